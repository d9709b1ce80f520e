"""doctor: every verdict from made-up facts, and the whole of it against a loopback venue that checks signatures its own way."""

import asyncio
import dataclasses
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from test_state_image import ETH, SOL, saved

import account_frames as af
import liqcore as lc
from desk import CANCELLED, DONE, Desk, both
from liqcore.instrument import Instrument
from liqshell import log
from liqshell.config.load import load, loads
from liqshell.doctor import describe_limits, examine, gather
from liqshell.doctor.checks import config_hash
from liqshell.doctor.facts import Disk, Facts, Sample, offset
from liqshell.doctor.limits_text import dead_man, exposure
from liqshell.errors import ConfigError, DataError
from liqshell.live.start import Effect, decide
from liqshell.state.control import Control, Kill
from liqshell.state.folder import StateFolder, read_state
from liqshell.state.image import IMAGE, Image
from liqshell.state.lock import Lock
from liqshell.state.prefix import make_prefix
from liqshell.state.sheet import state_folder
from liqshell.venues.bybit.rest_responses import AccountInfo, FeeRate, KeyInfo
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.reports import OrderState, Position, Standing, Wallet
from relay import interface

ROOT = Path(__file__).parents[3]
KEY, SECRET = "Zk3xCanaryKey09aQp", "cAnArYsEcReT0123456789abcdefABCDEF77"
MS = 1_000_000
CONFIG = "[feed]\nsymbols = ['ETHUSDT', 'SOLUSDT']\n"
FLAT = Position("ETHUSDT", 0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0, "Normal", 0, -1, 0)
HELD = Position("ETHUSDT", -1, 0.5, 2500.0, 2510.0, 0.0, 0.0, 5.0, 0.0, 0.0, "Normal", 0, 1, 1)
ORDER = OrderState("7", "", "ETHUSDT", 1, Standing.LIVE, False, 2400.0, 0.1, 0.0, False, "", 0.0, 0.0, "", "", "", 0, 1, 1)
GOOD_KEY = KeyInfo(False, {"ContractTrade": ("Order", "Position")}, ("203.0.113.7",), "", 0, "", "", True, True)


def samples(offset_ms: float = 3.0, rtt_ms: float = 20.0, count: int = 10) -> list[Sample]:
    out = []
    for n in range(count):
        sent, trip = 1_700_000_000_000 * MS + n * 100 * MS, int((rtt_ms + n) * MS)
        out.append(Sample(sent, sent + trip, sent + trip // 2 + int(offset_ms * MS), trip))
    return out


def healthy(**changes) -> Facts:
    names = ("ETHUSDT", "SOLUSDT")
    facts = Facts(
        rest="https://api.example",
        samples=samples(),
        with_keys=True,
        key=GOOD_KEY,
        account=AccountInfo("REGULAR_MARGIN", 6),
        wallet=Wallet(10_000.0, 9_000.0, 10_000.0, 1),
        positions=(),
        orders=(),
        dead_man={},
        disks=[Disk("runs", 100 << 30, True)],
        instruments={s: Instrument(s, tick_size="0.01", lot_size="0.01", min_qty="0.01", max_qty="8000", min_notional=5.0) for s in names},
        prices=dict(zip(names, (2500.0, 180.0), strict=True)),
        fees={s: FeeRate(s, 0.0002, 0.00055) for s in names},
        modes={s: (dataclasses.replace(FLAT, symbol=s),) for s in names},
    )
    for name, value in changes.items():
        assert hasattr(facts, name)
        setattr(facts, name, value)
    return facts


def verdicts(facts: Facts, text: str = CONFIG, live: bool = True) -> dict[str, str]:
    """The worst verdict under each id."""
    order = ["ok", "warn", "fail"]
    out: dict[str, str] = {}
    for check in examine(loads(text), facts, live=live):
        assert check.verdict == "ok" or check.action, check  # whoever complains says what to do
        out[check.id] = max(out.get(check.id, "ok"), check.verdict, key=order.index)
    return out


def test_a_healthy_account_has_nothing_to_complain_about():
    assert set(verdicts(healthy()).values()) == {"ok"}


BAD = [
    ({"samples": [], "missing": {"samples": "refused"}}, "venue", "fail"),
    ({"unsafe": ConfigError("http://api.example", "not encrypted", "https", "Use it")}, "transport", "fail"),
    ({"samples": samples(300.0)}, "clock", "warn"),
    ({"samples": samples(-300.0)}, "clock", "warn"),
    ({"samples": samples(1200.0)}, "clock", "fail"),
    ({"samples": samples(-1200.0)}, "clock", "fail"),
    ({"samples": samples(255.0, 20.0)}, "clock", "ok"),  # within what the measurement can tell
    ({"samples": samples(0.0, 3000.0)}, "clock", "warn"),
    ({"samples": samples(0.0, 60.0)}, "latency", "warn"),
    ({"samples": samples(0.0, 1100.0)}, "latency", "fail"),
    ({"disks": [Disk("runs", 499 << 20, True)]}, "disk", "fail"),
    ({"disks": [Disk("runs", 600 << 20, True)]}, "disk", "warn"),
    ({"disks": [Disk("runs", 1 << 40, False)]}, "disk", "fail"),
    ({"instruments": {}, "missing": {"instruments.ETHUSDT": "delisted"}}, "symbols", "fail"),
    ({"prices": {}}, "symbols", "warn"),
    ({"prices": {"ETHUSDT": 250_000.0, "SOLUSDT": 180.0}}, "symbols", "fail"),
    ({"prices": {"ETHUSDT": 0.2, "SOLUSDT": 180.0}}, "symbols", "fail"),
    ({"with_keys": False}, "keys", "fail"),
    ({"key": None}, "keys", "fail"),
    ({"key": dataclasses.replace(GOOD_KEY, permissions={"ContractTrade": ("Order", "Position"), "Wallet": ("Withdraw",)})}, "keys.withdraw", "fail"),
    ({"key": dataclasses.replace(GOOD_KEY, read_only=True)}, "keys.trade", "fail"),
    ({"key": dataclasses.replace(GOOD_KEY, permissions={"Spot": ("SpotTrade",)})}, "keys.trade", "fail"),
    ({"key": dataclasses.replace(GOOD_KEY, permissions=GOOD_KEY.permissions | {"Wallet": ("AccountTransfer",)})}, "keys.transfer", "warn"),
    ({"key": dataclasses.replace(GOOD_KEY, ips=())}, "keys.address", "warn"),
    ({"key": dataclasses.replace(GOOD_KEY, expires="2026-12-01T00:00:00Z", days_left=9)}, "keys.expiry", "warn"),
    ({"key": dataclasses.replace(GOOD_KEY, expires="2026-12-01T00:00:00Z", days_left=0)}, "keys.expiry", "fail"),
    ({"account": AccountInfo("REGULAR_MARGIN", 1)}, "account", "fail"),
    ({"account": AccountInfo("PORTFOLIO_MARGIN", 6)}, "account", "warn"),
    ({"account": None}, "account", "fail"),
    ({"wallet": None}, "wallet", "fail"),
    ({"wallet": Wallet(100.0, 0.0, 100.0, 1)}, "wallet", "warn"),
    ({"wallet": Wallet(0.0, 0.0, 0.0, 1)}, "wallet", "fail"),
    ({"fees": {s: FeeRate(s, 0.0004, 0.00055) for s in ("ETHUSDT", "SOLUSDT")}}, "fees", "warn"),
    ({"fees": {s: FeeRate(s, 0.0002, 0.0006) for s in ("ETHUSDT", "SOLUSDT")}}, "fees", "warn"),
    ({"fees": {s: FeeRate(s, 0.00075, 0.00055) for s in ("ETHUSDT", "SOLUSDT")}}, "fees", "fail"),
    ({"fees": {}}, "fees", "warn"),
    ({"modes": {s: (dataclasses.replace(FLAT, index=1), dataclasses.replace(FLAT, index=2)) for s in ("ETHUSDT", "SOLUSDT")}}, "mode", "fail"),
    ({"modes": {}}, "mode", "fail"),
    ({"modes": {s: (dataclasses.replace(FLAT, leverage=25.0),) for s in ("ETHUSDT", "SOLUSDT")}}, "leverage", "warn"),
    (
        {"modes": {s: (dataclasses.replace(FLAT, leverage=1.0),) for s in ("ETHUSDT", "SOLUSDT")}, "wallet": Wallet(10_000.0, 1_000.0, 1.0, 1)},
        "leverage",
        "warn",
    ),
    ({"positions": (HELD,)}, "positions", "warn"),
    ({"positions": (dataclasses.replace(HELD, symbol="XRPUSDT"),)}, "positions", "warn"),
    ({"positions": (FLAT,)}, "positions", "ok"),
    ({"positions": None}, "positions", "fail"),
    ({"orders": (ORDER,)}, "orders", "warn"),
    ({"orders": None}, "orders", "fail"),
    ({"dead_man": {"DERIVATIVES": 10.0}}, "dead_man", "warn"),
    ({"dead_man": None}, "dead_man", "warn"),
    ({"dead_man": {"SPOT": 10.0}}, "dead_man", "ok"),
]


@pytest.mark.parametrize(("changes", "check", "verdict"), BAD)
def test_each_fault_is_found_and_only_it(changes, check, verdict):
    also = {"latency"} if changes.get("samples") == samples(0.0, 3000.0) else set()
    found = verdicts(healthy(**changes))
    assert found[check] == verdict
    if "account" not in changes and "wallet" not in changes:
        assert {name for name, value in found.items() if value == "fail"} <= {check, *also}


@pytest.mark.parametrize(
    "changes",
    [
        c
        for c, check, verdict in BAD
        if verdict == "fail" and check.split(".")[0] in ("keys", "account", "wallet", "fees", "mode", "positions", "orders")
    ],
)
def test_on_paper_the_account_only_warns(changes):
    found = verdicts(healthy(**changes), live=False)
    assert "fail" not in found.values() and "warn" in found.values()


@pytest.mark.parametrize(
    ("policy", "limits", "limit"),
    [
        ("notional = 30000", "", "order_notional_max (25,000)"),
        ("notional = 20000", "exposure_max = 15000", "exposure_max (15,000)"),
        ("equity_share = 2.0", "leverage_max = 1", "leverage_max (10,000)"),
    ],
)
def test_a_trade_that_the_limits_would_always_refuse_is_found(policy, limits, limit):
    """Risk refuses an order above a limit, it does not make it smaller."""
    found = [c for c in examine(loads(f"{CONFIG}[policy]\n{policy}\n[limits]\n{limits}\n"), healthy()) if c.id == "symbols"]
    assert {check.verdict for check in found} == {"fail"} and all(limit in check.text for check in found)


def test_another_venue_is_said_not_to_be_known(tmp_path):
    text = f"[run]\nout = '{tmp_path}'\n[feed]\nvenue = 'okx'\nsymbols = ['ETH-USDT-SWAP']\nrest = 'http://127.0.0.1:1'\nws = 'ws://127.0.0.1:1'\n"
    assert (facts := asyncio.run(gather(loads(text), Keys(KEY, SECRET)))).disks and facts.state is not None and not facts.samples
    for live, verdict in ((True, "fail"), (False, "warn")):
        found = {check.id: check for check in examine(loads(text), facts, live=live)}
        assert found["venue"].verdict == verdict and "supports the REST of Bybit only, not of okx" in found["venue"].text and "limits" in found


def test_liquidation_before_the_stop_is_found_in_isolated_margin():
    text = CONFIG + "[policy]\nstop_loss = 0.06\n"
    tight = {s: (dataclasses.replace(FLAT, symbol=s, leverage=20.0),) for s in ("ETHUSDT", "SOLUSDT")}
    limits = "[limits]\nleverage_max = 20\n"
    assert verdicts(healthy(modes=tight, account=AccountInfo("ISOLATED_MARGIN", 6)), text + limits)["leverage"] == "fail"
    assert verdicts(healthy(modes=tight), text + limits)["leverage"] == "ok"  # cross: the whole wallet stands behind it


def test_the_leverage_that_a_live_start_sets_is_the_one_judged():
    text = CONFIG + "[live]\nleverage = 25\n"
    found = next(c for c in examine(loads(text), healthy()) if c.id == "leverage")
    assert found.verdict == "warn" and "leverage 5 (a live start sets 25)" in found.text


def test_foreign_orders_are_told_from_ours():
    orders = (
        ORDER,
        dataclasses.replace(ORDER, link_id="fade_k2x9-1a2"),
        dataclasses.replace(ORDER, link_id="by-hand"),
        dataclasses.replace(ORDER, link_id=f"{make_prefix('first', 1_700_000_000_000_000_000)}-1a2"),
        dataclasses.replace(ORDER, stop_kind="StopLoss"),
    )
    checks = [c for c in examine(loads(CONFIG), healthy(orders=orders, state=StateFolder("s", "first"))) if c.id == "orders"]
    assert sorted((c.verdict, c.text) for c in checks) == [
        ("ok", "1 open order, ETHUSDT: ours"),
        ("warn", "1 open order, ETHUSDT: of another liqcore, run 'fade_k2x9'"),
        ("warn", "1 open order, ETHUSDT: the stop of a position"),
        ("warn", "2 open orders, ETHUSDT: of another program or a person"),
    ]


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ({}, "ok"),
        ({"exists": True}, "ok"),
        ({"exists": True, "killed": "by hand"}, "fail"),
        ({"exists": True, "fault": "damaged"}, "fail"),
        ({"exists": True, "running": "pid 7"}, "fail"),
        ({"exists": True, "halted": "RISK_DAILY_LOSS"}, "warn"),
    ],
)
def test_the_state_folder(state, verdict):
    assert verdicts(healthy(state=StateFolder("s", "first", **state)))["state"] == verdict
    assert verdicts(healthy(state=StateFolder("s", "first", **state)), live=False)["state"] == ("warn" if verdict == "fail" else verdict)


@pytest.mark.parametrize(
    ("believed", "position", "verdict"),
    [
        ({"ETHUSDT": -0.5}, HELD, "ok"),
        ({"ETHUSDT": 0.5}, HELD, "warn"),
        ({"ETHUSDT": -0.4}, HELD, "warn"),
        ({}, HELD, "warn"),
        ({"ETHUSDT": 0.5}, dataclasses.replace(HELD, side=1), "ok"),
        ({"ETHUSDT": -0.5}, dataclasses.replace(HELD, stop_loss=0.0), "warn"),
    ],
)
def test_a_position_that_the_state_folder_knows_is_no_stranger(believed, position, verdict):
    assert verdicts(healthy(positions=(position,), state=StateFolder("s", "first", True, believed)))["positions"] == verdict


def test_a_real_state_folder_is_read_and_not_touched(tmp_path):
    config = loads(f"[run]\nname = 'first'\nout = '{tmp_path}'\n")
    folder = state_folder(tmp_path, "first")
    assert read_state(config) == StateFolder(str(folder), "first") and not list(tmp_path.iterdir())
    folder.mkdir(parents=True)
    assert read_state(config).exists and not list(folder.iterdir())
    with Lock(folder):
        control = Control(folder)
        control.set_kill(Kill.KILLED, "looked odd", "anna")
        control.close()
        Image(folder / IMAGE, [Instrument("ETHUSDT")], make_prefix("first", 1_700_000_000_000_000_000), 1_700_000_000_000_000_000)
        before = {file.name: file.read_bytes() for file in folder.iterdir()}
        found = read_state(config)
        assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert (
        found.killed == "looked odd, by anna" and str(os.getpid()) in found.running and found.believed == {} and not found.fault and not found.halted
    )
    (folder / IMAGE).write_bytes(b"rubbish" * 1000)
    assert "state image" in read_state(config).fault and not read_state(config).running


@pytest.mark.parametrize(
    ("symbols", "unit", "why"),
    [
        ("['ETHUSDT']", {}, ""),
        ("['ETHUSDT', 'SOLUSDT']", {}, ""),
        ("['SOLUSDT']", {}, "is not configured"),
        ("['SOLUSDT', 'ETHUSDT']", {}, "as number 0 .* is now number 1"),
        ("['ETHUSDT']", {"tick_size": "0.05"}, "tick or lot"),
        ("'all'", {}, ""),
    ],
)
def test_an_open_trade_that_a_start_cannot_go_on_with_is_said_and_ends_it(tmp_path, symbols, unit, why):
    """The image that the start would open, and the start's own refusal."""
    config = loads(f"[feed]\nsymbols = {symbols}\n[run]\nname = 'first'\nout = '{tmp_path}'\n")
    folder = state_folder(tmp_path, "first")
    folder.mkdir(parents=True)
    saved(folder, [ETH])
    listed = {one.symbol: lc.Instrument(**(one.as_dict() | (unit if one is ETH else {}))) for one in (ETH, SOL)}
    decided = decide(config, Facts(state=read_state(config), instruments=listed))
    found = [one for one in decided if one.id == "state" and one.symbol and one.effect == Effect.END]
    assert [(one.symbol, bool(re.search(why, one.text)), bool(one.action)) for one in found] == ([("ETHUSDT", True, True)] if why else [])
    if symbols == "'all'":
        return
    named = [listed[symbol] for symbol in config.feed.symbols]
    if why:
        with pytest.raises(DataError, match=why if "lot" not in why else "tick"):
            Image(folder / IMAGE, named, "other", 0)
    else:
        Image(folder / IMAGE, named, "other", 0).close()


def test_a_position_without_a_stop_is_said():
    naked = dataclasses.replace(HELD, stop_loss=0.0)
    texts = [c.text for c in examine(loads(CONFIG), healthy(positions=(naked, HELD))) if c.id == "positions"]
    assert "short 0.5 at 2500, and has no stop" in texts[0] and "no stop" not in texts[1]


@pytest.mark.parametrize(
    ("key", "value"), [("leverage_max", 11), ("daily_loss_max", 0.02), ("weekly_loss_max", 0.03), ("orders_per_signal_max", 4), ("positions_max", 5)]
)
def test_limits_above_the_written_system_are_said(key, value):
    assert verdicts(healthy(), f"{CONFIG}[limits]\n{key} = {value}\n")["limits.written"] == "warn"


def test_the_worst_case_by_hand():
    # 2 symbols of 2000, stop 0.25 %, entry as maker 0.02 %, stop as taker 0.055 %: 0.325 % of 2000 = 6.50 a trade, 13 together
    worst = exposure(loads(CONFIG), 10_000.0, 0.0002, 0.00055)
    assert worst.trade == pytest.approx(6.5) and worst.open == 4000.0
    assert worst.day == pytest.approx(10_000 * 0.01 + 13.0) and worst.gap == pytest.approx(113.0 + 4000 * 0.05)
    words = " ".join(describe_limits(loads(CONFIG), 10_000.0, 0.0002, 0.00055))
    assert "loses up to 6.50 with fees" in words and "113.00 (1.1% of the equity)" in words and "313.00 (3.1%)" in words
    # one position at a time, and less room than two trades need
    assert exposure(loads(CONFIG + "[limits]\npositions_max = 1\n"), 10_000.0, 0.0, 0.0).open == 2000.0
    assert exposure(loads(CONFIG + "[limits]\nexposure_max = 3000\n"), 10_000.0, 0.0, 0.0).open == 3000.0
    assert exposure(loads(CONFIG), 300.0, 0.0, 0.0).open == 3000.0  # ten times the equity
    for text, sizes in (
        ("[data]\nsymbols = ['A', 'B']\n", {"A": 2000.0, "B": 2000.0}),
        ("[data]\nfiles = ['x']\n", {"every contract": 2000.0}),
        ("[data]\nfiles = ['x']\n[policy.symbols.A]\nnotional = 50\n", {"every contract": 2000.0, "A": 50.0}),
    ):
        assert exposure(loads("[policy]\nnotional = 2000\n" + text), 10_000.0, 0.0, 0.0).sizes == sizes
    assert exposure(loads(CONFIG + "[policy]\nequity_share = 0.5\n"), 10_000.0, 0.0, 0.0).sizes == {"ETHUSDT": 5000.0, "SOLUSDT": 5000.0}
    assert exposure(loads(CONFIG + "[policy]\nentry = 'market'\n"), 1e4, 0.0002, 0.00055).trade == pytest.approx(2000 * (0.0025 + 2 * 0.00055))


def test_what_a_dead_man_switch_would_do():
    assert "institutional clients only" in dead_man({}) and "naked" in dead_man({"DERIVATIVES": 30.0}) and "30 s" in dead_man({"DERIVATIVES": 30.0})
    assert "SPOT" in dead_man({"SPOT": 10.0}) and "did not answer whether" in dead_man(None)


def test_the_offset_is_the_fastest_samples():
    fast = Sample(0, 10 * MS, 105 * MS, 10 * MS)
    slow = Sample(0, 900 * MS, 900 * MS, 900 * MS)
    assert offset([slow, fast, slow]) == (100 * MS, 5 * MS)


def test_equal_configurations_have_equal_hashes():
    assert config_hash(loads(CONFIG)) == config_hash(loads("[feed]\nsymbols=[ 'ETHUSDT','SOLUSDT' ] # x\n[limits]\npositions_max = 4\n"))
    assert config_hash(loads(CONFIG)) != config_hash(loads(CONFIG + "[limits]\npositions_max = 3\n"))


class LoopbackVenue:
    """The REST of an account, with its own idea of what a signature is."""

    def __init__(self, ahead_ms: float = 0.0):
        self.ahead_ms, self.asked, self.bad = ahead_ms, [], {}

    def now_ms(self) -> float:
        return time.time() * 1000 + self.ahead_ms

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path in ("/v5/private", "/v5/trade"):
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for _ in socket:
                raise AssertionError("doctor logs in nowhere")
            return socket
        self.asked.append((request.method, request.path, request.query_string))
        if request.path in self.bad:
            return self.bad[request.path]()
        if request.path.startswith("/v5/market/"):
            return web.json_response(self.market(request))
        stamp, window = request.headers["X-BAPI-TIMESTAMP"], request.headers["X-BAPI-RECV-WINDOW"]
        text = stamp + request.headers["X-BAPI-API-KEY"] + window + request.query_string
        if hmac.digest(SECRET.encode(), text.encode(), hashlib.sha256).hex() != request.headers["X-BAPI-SIGN"]:
            return web.json_response(af.envelope({}, 10004, f"error sign! origin_string[{text}]"))
        if not self.now_ms() - int(window) <= int(stamp) < self.now_ms() + 1000:
            return web.json_response(af.envelope({}, 10002, "invalid request, please check your server timestamp"))
        return web.json_response(self.account(request))

    def market(self, request):
        symbol = request.query.get("symbol", "")
        if request.path.endswith("/time"):
            ns = int(self.now_ms() * 1e6)
            return af.envelope({"timeSecond": str(ns // 10**9), "timeNano": str(ns)})
        if request.path.endswith("/tickers"):
            return af.listing({"symbol": symbol, "lastPrice": "2500.5"})
        entry = {
            "symbol": symbol,
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "priceFilter": {"tickSize": "0.01"},
            "lotSizeFilter": {"qtyStep": "0.01", "minOrderQty": "0.01", "maxOrderQty": "800", "minNotionalValue": "5"},
        }
        return af.listing(*[entry] if symbol != "GONEUSDT" else [])

    def account(self, request):
        symbol, cursor = request.query.get("symbol"), request.query.get("cursor")
        if request.path == "/v5/position/list":
            if symbol:
                return af.listing(af.POSITION_REST | {"side": "", "size": "0", "symbol": symbol, "avgPrice": "0"})
            return (
                af.listing(af.POSITION_REST, cursor="p%3D2") if not cursor else af.listing(af.POSITION_REST | {"symbol": "XRPUSDT", "side": "Sell"})
            )
        return {
            "/v5/user/query-api": af.envelope(af.KEY_INFO),
            "/v5/account/info": af.envelope({"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 6}),
            "/v5/account/wallet-balance": af.listing(af.WALLET),
            "/v5/order/realtime": af.listing(af.ORDER_REST),
            "/v5/execution/list": af.listing(),
            "/v5/account/fee-rate": af.listing({"symbol": symbol, "makerFeeRate": "0.0002", "takerFeeRate": "0.00055"}),
            "/v5/account/query-dcp-info": af.envelope({"dcpInfos": []}),
        }[request.path]


@asynccontextmanager
async def serving(venue: LoopbackVenue, host: str = "127.0.0.1"):
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", venue.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    try:
        yield f"http://{host}:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def ask(venue: LoopbackVenue, tmp_path, keys=True, symbols="'ETHUSDT'", secret=SECRET, host="127.0.0.1", ws="") -> tuple[Facts, dict[str, str]]:
    async def main():
        async with serving(venue, host) as rest:
            config = loads(
                f"[feed]\nsymbols = [{symbols}]\nrest = '{rest}'\nws = '{ws or rest.replace('http', 'ws', 1)}'\n[run]\nout = '{tmp_path}/runs'\n"
            )
            return config, await gather(config, Keys(KEY, secret) if keys else None, samples=5)

    config, facts = asyncio.run(main())
    out: dict[str, str] = {}
    for check in examine(config, facts):
        out[check.id] = f"{check.verdict}: {check.text}"
    assert SECRET not in str(out) and KEY not in str(out)
    return facts, out


def test_against_a_venue(tmp_path):
    venue = LoopbackVenue()
    facts, said = ask(venue, tmp_path)
    assert not facts.missing and len(facts.samples) == 5 and not [text for text in said.values() if text.startswith("fail")]
    assert [p.symbol for p in facts.positions] == ["ETHUSDT", "XRPUSDT"]  # both pages
    assert ("GET", "/v5/position/list", "category=linear&settleCoin=USDT&limit=200&cursor=p%3D2") in venue.asked
    assert {method for method, *_ in venue.asked} == {"GET"}  # doctor changes nothing


@pytest.mark.parametrize("ahead_ms", [4000.0, -4000.0])
def test_a_wrong_clock_is_the_only_thing_that_is_wrong(tmp_path, ahead_ms):
    # the account is asked with the venue's time, or the clock would hide everything else
    facts, said = ask(LoopbackVenue(ahead_ms), tmp_path)
    assert said["clock"].startswith("fail") and ("behind" if ahead_ms > 0 else "ahead of") in said["clock"]
    assert facts.key is not None and [name for name, text in said.items() if text.startswith("fail")] == ["clock"]


def test_a_venue_whose_streams_cannot_be_opened_is_no_start(tmp_path):
    """REST answers, and nothing listens where the account's stream and the orders are."""
    facts, found = ask(LoopbackVenue(), tmp_path, ws="ws://127.0.0.1:1")
    assert len(facts.closed) == 2 and "127.0.0.1:1" in facts.closed["the account's stream"]
    assert found["connections"].startswith("fail") and [name for name, text in found.items() if text.startswith("fail")] == ["connections"]


def test_a_wrong_secret_and_what_the_venue_says_of_it(tmp_path):
    facts, said = ask(LoopbackVenue(), tmp_path, secret="anotherSecret000")
    assert said["keys"].startswith("fail") and "10004" in said["keys"] and "origin_string[redacted]" in said["keys"]
    assert facts.wallet is None and said["wallet"].startswith("fail")


def test_without_keys_nothing_private_is_asked(tmp_path):
    venue = LoopbackVenue()
    _, said = ask(venue, tmp_path, keys=False)
    assert said["keys"].startswith("fail") and not [path for _, path, _ in venue.asked if not path.startswith(("/v5/market/", "/emulator/"))]


def test_nothing_is_signed_for_an_address_that_is_not_encrypted(tmp_path):
    _, said = ask(venue := LoopbackVenue(), tmp_path, host=interface())
    assert said["transport"].startswith("fail") and "not encrypted" in said["transport"] and "clock" in said and "keys" not in said
    assert not [path for _, path, _ in venue.asked if not path.startswith(("/v5/market/", "/emulator/"))]


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=502, text="<html>"),
        lambda: web.Response(text="{}"),
        lambda: web.Response(body=b"\xff" * 9),
        lambda: web.HTTPFound("http://127.0.0.1:1/elsewhere"),
    ],
)
def test_a_venue_that_answers_rubbish(tmp_path, answer):
    venue = LoopbackVenue()
    for path in ("/v5/account/wallet-balance", "/v5/position/list", "/v5/market/instruments-info"):
        venue.bad[path] = answer
    facts, said = ask(venue, tmp_path)
    assert facts.wallet is None and facts.positions is None and not facts.instruments and facts.missing["wallet"]
    assert said["positions"].startswith("fail") and said["wallet"].startswith("fail") and said["symbols"].startswith("fail")


def test_a_contract_that_is_gone(tmp_path):
    _, said = ask(LoopbackVenue(), tmp_path, symbols="'GONEUSDT'")
    assert said["symbols"] == "fail: GONEUSDT: the venue does not trade it at present"


def test_the_command(tmp_path):
    async def main():
        async with serving(LoopbackVenue()) as rest:
            config = tmp_path / "c.toml"
            config.write_text(f"[feed]\nsymbols = ['ETHUSDT']\nrest = '{rest}'\nws = 'ws{rest[4:]}'\n[run]\nout = '{tmp_path}/runs'\n")
            environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}", "PATH": "", "LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": SECRET}
            out = []
            for arguments in (["--samples", "3"], ["--samples", "3", "--json", "--live"], ["--json", "--set", "feed.symbols=['GONEUSDT']"]):
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    "liqshell",
                    "doctor",
                    str(config),
                    *arguments,
                    env=environment,
                    cwd=tmp_path,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                said, wrong = await asyncio.wait_for(process.communicate(), 60)
                out.append((process.returncode, said.decode(), wrong.decode()))
            return out

    known = log._known  # of tests before this one
    (text_status, text, wrong), (json_status, answer, _), (bad_status, bad, _) = asyncio.run(main())
    assert text_status == 0 and not wrong and "It may start. Read the warnings." in text and "ok    clock" in text
    assert not [one for one in (text, answer, bad) if KEY in one or SECRET in one]
    found = json.loads(answer)
    assert json_status == 0 and found["fail"] == 0 and found["live"] and {"id", "verdict", "text", "action"} == set(found["checks"][0])
    assert found["config"] == config_hash(load(tmp_path / "c.toml"))
    assert bad_status == 1 and json.loads(bad)["fail"] == 1
    assert log._known is known


@both
@pytest.mark.parametrize("stage, entering", [("sent", True), ("executed", True), ("cancelled", False)])
def test_an_entry_that_was_executed_and_not_yet_booked_is_ours(tmp_path, side, stage, entering):
    """The order's report came before the kill, its execution did not: a start said of the position that we did not open it."""
    config = loads(f"[run]\nname = 'first'\nout = '{tmp_path}'\n")
    folder = state_folder(tmp_path, "first")
    folder.mkdir(parents=True)
    desk = Desk(side)
    (entry,) = desk.liquidate()
    if stage != "sent":
        desk.order(entry.id, DONE if stage == "executed" else CANCELLED, filled=entry.qty if stage == "executed" else 0.0)
    prefix, now = make_prefix("first", 1_700_000_000_000_000_000), 1_700_000_000_000_000_000
    image = Image(folder / IMAGE, [desk.instrument], prefix, now)
    image.save(desk.engine)
    image.close()
    assert read_state(config).entering == (frozenset(("ETHUSDT",)) if entering else frozenset())
