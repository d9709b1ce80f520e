"""`liqcore emulate --state FILE`: accounts and orders survive a restart, however the emulator ended."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

import liqcore as lc
from account_client import AccountClient
from exchange_floor import ETH, LONG, SHORT, Floor
from liqcore.event import Kind
from liqshell.emulator.exchange.saved_accounts import Keeper, load, restore
from liqshell.emulator.market.contracts import CONTRACTS
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.server import Config, serve
from liqshell.errors import DataError

ROOT = Path(__file__).parents[3]
ORDER = {"category": "linear", "symbol": "BTCUSDT"}


# ---- the model: one that was written and read goes on as the other does


def live(floor: Floor, draw: random.Random, steps: int) -> None:
    """Orders of every kind, amended and cancelled, and a market that fills and triggers some."""
    at = 2500.0
    for _step in range(steps):
        at = min(max(at + draw.uniform(-6.0, 6.0), 2300.0), 2700.0)
        what = draw.randint(0, 9)
        if what == 0:
            floor.limit(
                at - draw.uniform(0.1, 20.0),
                qty=f"{draw.randint(1, 9) / 10}",
                takeProfit=floor.text(at + 60.0),
                stopLoss=floor.text(at - 60.0),
                tpslMode=draw.choice(("Full", "Partial")),
            )
        elif what == 1:
            floor.create(qty=f"{draw.randint(1, 5) / 10}")
        elif what == 2:
            floor.create(floor.close, qty="0.2", triggerPrice=floor.text(at - 25.0), triggerDirection=2 if floor.side > 0 else 1, reduceOnly=True)
        elif what == 3:
            floor.stop(
                stopLoss=floor.text(at - draw.uniform(10.0, 90.0)),
                trailingStop=draw.choice(("", "15", "40")),
                activePrice=draw.choice(("", floor.text(at + 30.0))),
            )
        elif what == 4 and floor.account.open:
            link = draw.choice([order.link_id for order in floor.account.open.values()])
            if link:
                floor.cancel(link) if draw.random() < 0.5 else floor.amend(link, qty=f"{draw.randint(1, 9) / 10}")
        market(floor, at)


def market(floor: Floor, at: float) -> None:
    floor.ticker(at)
    floor.quote(at - 0.05, at + 0.05)
    floor.trade(at)
    floor.trade(at - 0.3, aggressor=-1)
    floor.hear()


def said(floor: Floor) -> Any:
    """What is really so, without the ids that are drawn for what is made later."""
    truth = floor.truth
    orders = sorted(json.dumps({key: value for key, value in one.items() if key != "order_id"}) for one in truth["orders"])
    return {**truth, "orders": orders, **{name: round(truth[name], 6) for name in ("balance", "equity", "available")}}


def written(floor: Floor, path: Path) -> Floor:
    """The same in another process: from the file alone."""
    states = {contract.symbol: SymbolState(contract) for contract in CONTRACTS}
    Keeper(path, floor.exchange, states, 7, lambda: 1).keep(floor.now)
    again = Floor(floor.side, quotes=False)
    again.now, again.links = floor.now, floor.links
    saved = load(path, 7)
    assert saved is not None
    restore(path, saved, again.exchange, states, again.now)
    return again


@pytest.mark.parametrize("seed", range(24))
def test_an_exchange_that_was_written_goes_on_as_the_other(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    floor = Floor(LONG if seed % 2 else SHORT, equity=20_000.0)
    live(floor, draw, 60)
    # an entry in flight has an owner, twins and stops; a market order waits for its price
    floor.enter("0.5", takeProfit=floor.text(2600.0), stopLoss=floor.text(2400.0), tpslMode="Partial")
    again = written(floor, tmp_path / "state")
    for one in (floor, again):
        one.ticker(2500.0)
        one.quote(2499.95, 2500.05)
        one.trade(2500.0)
        one.hear()
        one.exchange.positions.watch_margin()
    assert said(again) == said(floor) and floor.truth["orders"]
    for query in ("category=linear&symbol=ETHUSDT", "category=linear&symbol=ETHUSDT&limit=50"):
        for path in ("/v5/order/realtime", "/v5/execution/list", "/v5/position/closed-pnl", "/v5/position/list"):
            one, other = (side.get(path, query)["list"] for side in (floor, again))
            assert [{k: v for k, v in row.items() if k != "updatedTime"} for row in one] == [
                {k: v for k, v in row.items() if k != "updatedTime"} for row in other
            ], path
    state = draw.getrandbits(64)
    for one in (floor, again):
        live(one, random.Random(state), 40)
    assert said(again) == said(floor)
    for one in (floor, again):  # and through every stop that is left
        for at in (2450.0, 2390.0, 2200.0, 2650.0, 2500.0):
            market(one, at)
    assert said(again) == said(floor)
    used = next(iter(floor.account.used_links))
    assert again.create(qty="0.1", orderLinkId=used)[0] == 110072
    ids = {row["execId"] for _, row in again.account.executions}
    assert len(ids) == len(again.account.executions)


@pytest.mark.slow
def test_a_market_order_in_flight_is_filled_after_the_restart(tmp_path: Path) -> None:
    floor = Floor()
    floor.now += 20 * lc.SECOND  # the quote has ended: a market order waits for the next price
    assert floor.create(qty="1")[0] == 0 and floor.held == 0.0 and floor.truth["orders"]
    again = written(floor, tmp_path / "state")
    again.ticker(2500.0)
    again.quote(2499.99, 2500.01)
    again.put(kind=Kind.TRADE, instrument=ETH, side=1, price=2500.01, qty=5.0)
    again.hear()
    assert again.held == 1.0 and not again.truth["orders"]


# ---- over sockets


async def enter(client: AccountClient) -> None:
    """A position with stops, an order at rest, a conditional one."""
    private = await client.private("position", "order")
    while not client.emulator.states["BTCUSDT"].ticker:
        await asyncio.sleep(0.01)
    last = float(client.emulator.states["BTCUSDT"].ticker["lastPrice"])
    for more in (
        {"side": "Buy", "orderType": "Market", "qty": "0.02", "stopLoss": f"{last * 0.8:.1f}", "orderLinkId": "in"},
        {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": f"{last * 0.96:.1f}", "orderLinkId": "rests"},
        {
            "side": "Sell",
            "orderType": "Market",
            "qty": "0.01",
            "triggerPrice": f"{last * 0.7:.1f}",
            "triggerDirection": 2,
            "reduceOnly": True,
            "orderLinkId": "waits",
        },
    ):
        assert (await client.rest("POST", "/v5/order/create", {**ORDER, **more}))["retCode"] == 0
    await private.row("position", symbol="BTCUSDT", size="0.02")
    await private.row("order", orderLinkId="waits", orderStatus="Untriggered")


def truth(emulator: Any) -> Any:
    return emulator.desk.exchange.truth(emulator.keys[0].account)


def test_accounts_and_orders_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    config = Config(seed=4, speed=20.0, symbols=("BTCUSDT", "SOLUSDT"), parameters={"warmup_hours": 0.3}, state=str(path))

    async def run() -> None:
        async with await serve(config) as first, aiohttp.ClientSession() as session:
            line = first.ready()
            await enter(AccountClient(session, first))
            before, ended = truth(first), first.now_ns()
            price = float(first.states["BTCUSDT"].ticker["lastPrice"])
        assert path.stat().st_mode & 0o077 == 0 and not (tmp_path / "accounts.json.new").exists()
        async with await serve(config) as second, aiohttp.ClientSession() as session:
            assert second.ready()["api_key"] == line["api_key"] and second.now_ns() >= ended
            after = truth(second)
            for name in ("positions", "orders", "balance", "ended"):
                assert after[name] == before[name], name
            assert abs(after["equity"] - before["equity"]) < 100.0  # the market goes on where it stood
            client = AccountClient(session, second)
            rows = (await client.rest("GET", "/v5/order/realtime", "category=linear&symbol=BTCUSDT"))["result"]["list"]
            assert {row["orderLinkId"] for row in rows} >= {"rests", "waits"}
            found = (await client.rest("GET", "/v5/execution/list", "category=linear&symbol=BTCUSDT"))["result"]["list"]
            assert [row["orderLinkId"] for row in found] == ["in"]
            again = await client.rest("POST", "/v5/order/create", {**ORDER, "side": "Buy", "orderType": "Market", "qty": "0.01", "orderLinkId": "in"})
            assert again["retCode"] == 110072
            assert (await client.rest("POST", "/v5/order/cancel", {**ORDER, "orderLinkId": "rests"}))["retCode"] == 0
            private = await client.private("position")
            out = await client.rest("POST", "/v5/order/create", {**ORDER, "side": "Sell", "orderType": "Market", "qty": "0.02", "reduceOnly": True})
            assert out["retCode"] == 0
            await private.row("position", symbol="BTCUSDT", size="0")
            assert abs(float(second.states["BTCUSDT"].ticker["lastPrice"]) / price - 1.0) < 0.02
            assert not [one for one in truth(second)["orders"] if one["kind"] == "StopLoss"]

    asyncio.run(run())


@pytest.mark.slow
def test_accounts_survive_a_kill(tmp_path: Path) -> None:
    """SIGKILL leaves no moment to write: what happened is in the file a second later, and the file is whole."""
    path = tmp_path / "accounts.json"
    command = [sys.executable, "-P", "-m", "liqshell", "emulate", "--at", "now", "--seed", "9", "--symbols", "BTCUSDT", "--state", str(path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'pysrc'}:{ROOT}"}

    def start() -> tuple[subprocess.Popen[str], Any]:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    def end_of(process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGKILL)
        process.communicate()

    class Place:  # what AccountClient needs of an emulator
        def __init__(self, line: Any) -> None:
            self.line = line

        def ready(self) -> Any:
            return self.line

    async def ask(line: Any, method: str, path: str, body: Any = "") -> Any:
        async with aiohttp.ClientSession() as session:
            return await AccountClient(session, Place(line)).rest(method, path, body)  # type: ignore[arg-type]

    process, line = start()
    try:
        for round_ in range(3):
            link = f"kept{round_}"
            made = asyncio.run(
                ask(
                    line,
                    "POST",
                    "/v5/order/create",
                    {**ORDER, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "50000", "timeInForce": "PostOnly", "orderLinkId": link},
                )
            )
            assert made["retCode"] in (0, 110003), made  # the price limits may be elsewhere
            if made["retCode"] == 110003:
                pytest.skip("the market has gone too far from 50,000")
            end = time.monotonic() + 60.0
            while link not in path.read_text() and time.monotonic() < end:
                time.sleep(0.05)
            end_of(process)
            process, line = start()
            rows = asyncio.run(ask(line, "GET", "/v5/order/realtime", "category=linear&symbol=BTCUSDT"))["result"]["list"]
            assert {row["orderLinkId"] for row in rows} == {f"kept{k}" for k in range(round_ + 1)}
    finally:
        end_of(process)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda raw: raw[:-40], "not a file of the emulator"),
        (lambda raw: b"", "not a file of the emulator"),
        (lambda raw: b"[]", "not a file of the emulator"),
        (lambda raw: raw.replace(b'"version":1', b'"version":9'), "version 9"),
        (lambda raw: raw.replace(b'"seed":4', b'"seed":5'), "accounts of seed 5"),
        (lambda raw: raw.replace(b"BTCUSDT", b"PEPEUSDT"), "does not fit this market"),
        (lambda raw: raw.replace(b'"qty":', b'"qyt":'), "does not fit"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_kept(damage: Any, says: str, tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    config = Config(seed=4, speed=20.0, symbols=("BTCUSDT",), parameters={"warmup_hours": 0.1}, state=str(path))

    async def run() -> None:
        async with await serve(config) as emulator, aiohttp.ClientSession() as session:
            await enter(AccountClient(session, emulator))
        assert orjson.loads(path.read_bytes())["accounts"]
        path.write_bytes(damage(path.read_bytes()))
        before = path.read_bytes()
        with pytest.raises(DataError, match=says) as told:
            await serve(config)
        assert str(path) in str(told.value) and "move the file" in str(told.value).lower() and path.read_bytes() == before

    asyncio.run(run())


def test_a_place_that_cannot_be_written_is_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no/such"):
        asyncio.run(serve(Config(symbols=("BTCUSDT",), parameters={"warmup_hours": 0.1}, state=str(tmp_path / "no" / "such" / "file"))))
