"""Whole markets and the stream of liquidations, over real sockets against the emulated venues; names, sides and limits by the venues' pages."""

import asyncio
import json
import logging
import re
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import aiohttp
import pytest

import liqcore as lc
import liqshell
from liqcore.event import Stream
from liqshell.config.load import loads
from liqshell.config.sections import FeedConfig
from liqshell.doctor import examine, gather
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, VenueError
from liqshell.live import Session
from liqshell.live.instruments import ListWatch, choose, fetch_list
from liqshell.live.tape import Liquidation
from liqshell.live.venue_clock import venue_clock
from liqshell.recording import journal
from liqshell.run import backtest_parity as parity
from liqshell.run import replay
from liqshell.run.recorded_events import read_events
from liqshell.venues.adapters import ADAPTERS, adapter_of

VENUES = ("bybit", "binance", "okx")
LIQUIDATIONS = int(Stream.STREAM_LIQUIDATION)


# a storm: what is tested is the road, and an ordinary quarter of an hour has few liquidations
BUSY = {"warmup_hours": 0.5, "bursts_per_hour": 60.0, "own_bursts_per_hour": 60.0, "market_bps": 2.0}


def emulated(speed=60.0, symbols=("BTCUSDT", "SOLUSDT"), **more):
    return Config(seed=3, speed=speed, venues=VENUES, symbols=symbols, parameters=BUSY, lead_s=0.5, **more)


def places(emulator, names=VENUES):
    found = emulator.ready()["venues"]
    return {name: (found[name]["rest"], found[name]["ws"]) for name in names}


async def read(events, until_s):
    """What comes in so many seconds of the wall."""
    out = []
    asyncio.get_running_loop().call_later(until_s, events.stop)
    async for event in events:
        out.append(event)
    return out


async def fill(events, out):
    async for event in events:
        out.append(event)


def ends(events):
    """(first, last) ts_event that a connection heard of each contract of a venue: of what lies between, it has heard all."""
    times = {}
    for one in events:
        times.setdefault((one.venue, one.symbol), []).append(one.ts_event)
    return {name: (found[0], found[-1]) for name, found in times.items()}


def between(events, heard, last=True):
    found = ends(heard)
    first_last = [(one, found.get((one.venue, one.symbol), (1 << 62, 0))) for one in events]
    return [one[1:] for one, (a, b) in first_last if a < one.ts_event and (one.ts_event < b or not last)]  # [1:]: times of receipt differ


# ---- the stream


def test_the_stream_says_what_the_venue_said_and_filters_it():
    """Bybit's frames as a client of our own reads them: `S` Buy = a long was closed by force, p the price, v the size in base units."""

    async def main():
        raw = []

        async def listen(http, ws):
            async with http.ws_connect(f"{ws}/v5/public/linear") as socket:
                await socket.send_json({"op": "subscribe", "args": ["allLiquidation.BTCUSDT", "allLiquidation.SOLUSDT"]})
                async for message in socket:
                    raw.extend(json.loads(message.data).get("data", []))

        async with await serve(emulated()) as emulator, aiohttp.ClientSession() as http:
            at = places(emulator)
            client = asyncio.create_task(listen(http, at["bybit"][1]))
            async with liqshell.stream(at) as every, liqshell.stream(at, min_usd=500, side="long") as some:
                lists = [], []
                reading = [asyncio.create_task(fill(stream, out)) for stream, out in zip((every, some), lists, strict=True)]

                def wanted():
                    return between([one for one in lists[0] if one.usd >= 500 and one.side == "LONG"], lists[1], last=False)

                while len(lists[0]) < 70 or len(wanted()) < 3:
                    await asyncio.sleep(0.05)
                every.stop()
                client.cancel()
                await reading[0]
                health, counts = every.health(), (every.received, every.dropped)
                while not set(wanted()) <= {one[1:] for one in lists[1]}:  # it may hear them later
                    await asyncio.sleep(0.05)
                some.stop()
                await reading[1]
            return raw, *lists, wanted(), health, counts

    raw, every, some, wanted, health, counts = asyncio.run(asyncio.wait_for(main(), 300))
    mine = [one for one in every if one.venue == "bybit"]
    told = [(row["T"], row["s"], {"Buy": "LONG", "Sell": "SHORT"}[row["S"]], float(row["p"]), float(row["v"])) for row in raw]
    ours = [(one.ts_event // 10**6, one.symbol, one.side, one.price, one.qty) for one in mine]
    begun = told.index(ours[0])  # our client may have been connected first, and hangs up last
    assert ours == told[begun : begun + len(ours)] and len(told) - begun - len(ours) <= 3
    assert len(mine) > 20 and {one.venue for one in every} == {"bybit", "binance_um", "okx"} and counts[1] == 0 <= counts[0] - len(every) < 20
    assert all(abs(one.usd - one.price * one.qty) < 0.01 for one in every) and {one.asset for one in every} == {"BTC", "SOL"}
    assert {one.venue: one.completeness for one in every} == {"bybit": "FULL", "binance_um": "CENSORED", "okx": "UNKNOWN"}
    # one market behind three venues: the same forced order has the same side everywhere
    sides = {(one.asset, one.ts_event): one.side for one in mine}
    others = [one for one in every if one.venue != "bybit" and (one.asset, one.ts_event) in sides]
    assert len(others) > 20 and all(sides[one.asset, one.ts_event] == one.side for one in others)
    assert len(wanted) >= 3 and all(one.usd >= 500 and one.side == "LONG" for one in some) and len({one[1:] for one in some}) == len(some)
    assert set(between(some, every)) <= {one[1:] for one in every}
    assert all(one["up"] and one["connections"] == 1 and one["contracts"] == 2 and not one["reconnects"] for one in health.values())


def test_a_slow_reader_loses_the_oldest_and_is_told():
    async def main():
        async with await serve(emulated()) as emulator, liqshell.stream(places(emulator, ("bybit",)), queue=5) as events:
            while events.received < 20:
                await asyncio.sleep(0.05)
            events.stop()
            left = [event async for event in events]
            return events.received, events.dropped, left

    received, dropped, left = asyncio.run(asyncio.wait_for(main(), 60))
    assert len(left) == 5 and received == dropped + 5 >= 20 and [one.ts for one in left] == sorted(one.ts for one in left)


@pytest.mark.slow
def test_a_lost_connection_comes_back_and_signals_come_when_asked():
    """Binance is torn off after a minute of its market; detection runs on what comes."""
    faults = [{"kind": "drop", "venue": "binance", "at_s": 120}]

    async def main():
        async with await serve(emulated(speed=240.0, faults=faults)) as emulator, liqshell.stream(places(emulator), signals=True) as events:
            out = await read(events, 14.0)
            return out, events.health()

    out, health = asyncio.run(asyncio.wait_for(main(), 60))
    assert health["binance_um"]["reconnects"] >= 1 and health["bybit"]["reconnects"] == 0 and health["binance_um"]["drops"]
    liquidations = [one for one in out if isinstance(one, Liquidation)]
    cascades = [one for one in out if not isinstance(one, Liquidation)]
    late = max(one.ts for one in liquidations if one.venue == "bybit") - 300 * 10**9
    assert any(one.venue == "binance_um" and one.ts > late for one in liquidations)
    assert cascades and {one.phase for one in cascades} <= {"BUILDING", "ACTIVE", "DECELERATING", "EXHAUSTED"} and cascades[0].notional > 0


def test_listings_are_taken_in_while_it_runs(caplog):
    """Binance lists SOLUSDT after the start, and takes BTCUSDT off the list."""
    caplog.set_level(logging.INFO, "liqshell.live")

    async def main():
        async with await serve(emulated()) as emulator:
            binance = emulator.neighbours[0]
            every, binance.contracts = binance.contracts, binance.contracts[:1]
            async with liqshell.stream(places(emulator, ("binance",)), list_every_s=10.0) as events:
                out = []
                reading = asyncio.create_task(fill(events, out))
                for wanted, contracts in (("BTCUSDT", every), ("SOLUSDT", every[1:])):
                    while wanted not in {one.symbol for one in out}:
                        await asyncio.sleep(0.05)
                    binance.contracts = contracts
                while "trade no more" not in caplog.text:
                    await asyncio.sleep(0.05)
                events.stop()
                await reading
                return out, events.health(), events.up

    out, health, up = asyncio.run(asyncio.wait_for(main(), 300))
    first = {symbol: min(one.ts for one in out if one.symbol == symbol) for symbol in ("BTCUSDT", "SOLUSDT")}
    assert first["BTCUSDT"] < first["SOLUSDT"] and health["binance_um"]["contracts"] == 2 and not health["binance_um"]["reconnects"]
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "binance_um lists SOLUSDT: added" in said and "binance_um: BTCUSDT trade no more" in said
    assert len(out) == len({(one.symbol, one.ts_event, one.qty) for one in out})  # nothing twice, though two connections carry the market


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"venues": ["hyperliquid"]}, "no public feed of liquidations"),
        ({"venues": ["kraken"]}, "bybit, binance_um, okx, hyperliquid"),
        ({"side": "buy"}, "'long' or 'short'"),
        ({"min_usd": -1}, "min_usd: found -1"),
        ({"queue": 0}, "queue: found 0"),
        ({"venues": []}, "venues: none"),
        ({"symbols": []}, "symbols: none"),
        ({"symbols": ["BTC"], "quote": "USDT"}, "only with symbols = 'all'"),
        ({"venues": ["okx"], "environment": "demo"}, "one of mainnet, testnet at okx"),
        ({"symbols": ["BTX"]}, "'BTX'"),
        ({"quote": "EUR"}, "none of its"),
        ({"min_usd": float("nan")}, "min_usd"),
    ],
)
def test_what_cannot_be_meant_is_said(given, said):
    async def main():
        async with await serve(emulated()) as emulator:
            places_or = {} if "venues" in given or "environment" in given else {"venues": places(emulator)}
            async with liqshell.stream(**places_or | given):
                pass

    with pytest.raises(ConfigError) as told:
        asyncio.run(asyncio.wait_for(main(), 30))
    assert said in str(told.value)


def test_a_venue_that_does_not_answer_is_an_error_at_the_start():
    async def main():
        async with liqshell.stream({"bybit": ("http://127.0.0.1:9", "ws://127.0.0.1:9")}):
            pass

    with pytest.raises(VenueError, match="no list of instruments"):
        asyncio.run(main())


@pytest.mark.slow
def test_the_command_prints_them(tmp_path):
    line = tmp_path / "line"
    with open(line, "w") as out:
        venue = subprocess.Popen(
            [sys.executable, "-P", "-m", "liqshell", "emulate", "--seed", "3", "--speed", "60", "--venues", "bybit,binance,okx", "--wait"], stdout=out
        )
    try:
        for _ in range(200):
            if line.read_text().endswith("\n") or venue.poll() is not None:
                break
            subprocess.run(["sleep", "0.1"], check=True)
        done = subprocess.run(
            [sys.executable, "-P", "-m", "liqshell", "tape", "--at", str(line), "--min-usd", "1000", "--json", "--for-s", "8"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        wrong = subprocess.run(
            [sys.executable, "-P", "-m", "liqshell", "tape", "--at", str(line), "--venues", "kraken"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        venue.terminate()
        venue.wait(10)
    rows = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.returncode == 0 and rows
    assert all(row["event"] == "liquidation" and row["usd"] >= 1000 and row["side"] in ("LONG", "SHORT") for row in rows)
    assert "0 dropped" in done.stderr and "bybit: 5 contracts" in done.stderr
    assert wrong.returncode == 2 and "no addresses of 'kraken'" in wrong.stderr


# ---- what is asked for


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("count", [3, 600])
def test_liquidations_alone_take_one_connection_and_something_is_sure(name, count):
    """Binance and OKX have a stream of the whole market; Bybit one a contract, of which one connection takes 21,000 characters."""
    symbols = [f"COIN{n}USDT" if name != "okx" else f"COIN{n}-USDT-SWAP" for n in range(count)]
    adapter = adapter_of(name)
    (connection,) = adapter.plan(symbols, "ws://x", LIQUIDATIONS)
    args = [arg for one in connection.subscriptions for arg in one.args]
    assert len(connection.sure) == 1 and connection.sure[0] in args
    assert set(adapter.carries(connection, symbols)) == set(symbols)
    assert all(bits & LIQUIDATIONS for bits in adapter.carries(connection, symbols).values())
    expected = {"bybit": count + 1, "binance": 2, "okx": 2}[name]
    assert len(args) == len(set(args)) == expected and sum(map(len, args)) <= 21_000
    assert name != "binance" or args == ["!forceOrder@arr", "!markPrice@arr"] and "/market/" in connection.url


def test_a_whole_market_at_binance_and_what_okx_counts():
    """Per contract only what has no stream of the market: quotes (/public) and trades (/market). OKX: 480 subscriptions an hour and connection."""
    symbols = [f"COIN{n}USDT" for n in range(650)]
    plan = adapter_of("binance").plan(symbols, "ws://x", whole=True)
    args = {one.name: [arg for sub in one.subscriptions for arg in sub.args] for one in plan}
    assert args.pop("market-all") == ["!forceOrder@arr", "!markPrice@arr@1s"]
    kinds = {name.split("-")[0]: {arg.split("@")[1] for arg in found} for name, found in args.items()}
    assert kinds == {"public": {"bookTicker"}, "market": {"aggTrade"}}
    assert all(len(found) <= 1024 for found in args.values()) and sum(map(len, args.values())) == 2 * 650
    ids = [sub.id for one in plan for sub in one.subscriptions]
    assert len(ids) == len(set(ids))
    okx = adapter_of("okx").plan([f"C{n}-USDT-SWAP" for n in range(400)], "ws://x", whole=True)
    assert all(sum(len(sub.args) for sub in one.subscriptions) < 480 for one in okx)
    assert sum("liquidation-orders:SWAP" in sub.args for one in okx for sub in one.subscriptions) == 1
    with pytest.raises(ValueError, match="at most 333"):
        adapter_of("hyperliquid").plan([f"C{n}" for n in range(334)], "ws://x", whole=True)


@pytest.mark.parametrize(
    ("venue", "answer", "turnover"),
    [
        (
            "binance",
            [{"symbol": "BTCUSDT", "volume": "2.5", "quoteVolume": "250000.5"}, {"symbol": "币安人生USDT", "quoteVolume": "3"}],
            {"BTCUSDT": 250000.5, "币安人生USDT": 3.0},
        ),
        (
            "bybit",
            {
                "retCode": 0,
                "result": {"category": "linear", "list": [{"symbol": "ETHUSDT", "turnover24h": "17.25"}, {"symbol": "NEWUSDT", "turnover24h": ""}]},
            },
            {"ETHUSDT": 17.25, "NEWUSDT": 0.0},
        ),
        (
            "okx",
            {"code": "0", "data": [{"instId": "BTC-USDT-SWAP", "last": "50000", "volCcy24h": "2", "vol24h": "200"}]},
            {"BTC-USDT-SWAP": 100000.0},
        ),
        (
            "hyperliquid",
            [{"universe": [{"name": "BTC"}, {"name": "kPEPE"}]}, [{"dayNtlVlm": "1169046.29"}, {"dayNtlVlm": "0.0"}]],
            {"BTC": 1169046.29, "kPEPE": 0.0},
        ),
    ],
)
def test_turnover_as_the_venues_state_it(venue, answer, turnover):
    adapter = adapter_of(venue)
    assert adapter.parse_turnover(json.dumps(answer).encode()) == turnover
    for damaged in (b"", b"[1]", b'{"code":"50011","msg":"Too Many Requests","data":null}', b"<html>"):
        with pytest.raises(ValueError, match="got b'"):
            adapter.parse_turnover(damaged)


def test_choosing_by_quote_turnover_and_name():
    """Against what Binance's REST says, read here by hand."""

    async def main():
        five = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
        async with await serve(emulated(symbols=five)) as emulator, aiohttp.ClientSession() as http:
            await asyncio.sleep(4.0)
            rest, ws = places(emulator)["binance"]
            async with http.get(rest + "/fapi/v1/ticker/24hr") as answer:
                told = {row["symbol"]: float(row["quoteVolume"]) for row in await answer.json()}
            least = sorted(told.values())[2]
            feed = FeedConfig(venue="binance_um", rest=rest, ws=ws, symbols=("all",))
            page = await fetch_list(feed)
            names = []
            for more in ({}, {"quote": "USDT", "exclude": ("BTCUSDT",)}, {"quote": "USDC"}, {"min_turnover_usd": least * 0.999}):
                found = await choose(FeedConfig(**vars(feed) | more), page)
                names.append([one.symbol for one in found])
            return told, least, names

    told, least, names = asyncio.run(asyncio.wait_for(main(), 60))
    assert names[0] == sorted(told) and names[1] == sorted(set(told) - {"BTCUSDT"}) and names[2] == []
    assert set(names[3]) >= {name for name, value in told.items() if value >= least} and 0 < len(names[3]) < 5


# ---- a run


def whole(emulator, more=""):
    text = '[run]\nname = "test"\n'
    for n, (name, (rest, ws)) in enumerate(places(emulator).items()):
        text += f"[{'feeds.' + name if n else 'feed'}]\n" + (f'venue = "{name}"\n' if not n else "") + f'rest = "{rest}"\nws = "{ws}"\n'
        text += 'symbols = "all"\nquote = "USDT"\nlist_every_s = 20\n' + more * (not n)
    return loads(text + "[limits]\ndata_age_max_s = 20.0\nevent_age_max_s = 20.0\n[detector]\nwarmup = 15\nquantile = 0.7\nrefresh_s = 0\n")


@pytest.mark.slow
def test_a_run_of_whole_markets_closes_the_gate_of_what_is_delisted(tmp_path, caplog):
    async def main():
        async with await serve(emulated()) as emulator:
            config = whole(emulator, 'exclude = ["SOLUSDT"]\n')
            assert config.feed.whole and config.feed.named == ()
            clock, labels = await venue_clock(config.feed.rest_url)
            session, binance = Session(config, tmp_path / "run", clock, labels), emulator.neighbours[0]

            async def delist():
                every = binance.contracts
                await asyncio.sleep(3.0)
                binance.contracts = every[:1]
                while "it does not trade any more" not in caplog.text:
                    await asyncio.sleep(0.1)
                binance.contracts = every

            delisting = asyncio.create_task(delist())
            try:
                return await session.run(emulator.clock.now_ns() + int(12 * 60e9))
            finally:
                delisting.cancel()

    manifest = asyncio.run(asyncio.wait_for(main(), 90))
    assert [i["symbol"] for i in manifest["settings"]["instruments"]] == ["BTCUSDT", "BTCUSDT", "SOLUSDT", "BTC-USDT-SWAP", "SOL-USDT-SWAP"]
    health = manifest["counters"]["venues"]
    assert set(health["binance_um"]["connections"]) == {"market-all", "market-1", "public-1"} and health["binance_um"]["not_trading"] == []
    assert not any(one["drops"] for name, one in health.items() if name != "binance_um") and not any(one["refused"] for one in health.values()), (
        health
    )
    assert health["binance_um"]["drops"] and all("SOLUSDT subscribed again" in why for why in health["binance_um"]["drops"]), "what trades again"
    audit = journal.load_audit(tmp_path / "run")
    said = [
        (int(r["instrument"]), int(r["phase"]))
        for r in audit[audit["kind"] == int(lc.AuditKind.AUDIT_LIMIT)]
        if int(r["phase"]) in (int(lc.Control.CONTROL_PAUSE), int(lc.Control.CONTROL_READY))
    ]
    assert said == [(2, int(lc.Control.CONTROL_PAUSE)), (2, int(lc.Control.CONTROL_READY))]
    assert "binance_um:SOLUSDT no entries on it: it does not trade any more" in caplog.text
    verdict, proof = replay.prove(tmp_path / "run"), parity.prove_as_backtest(tmp_path / "run")
    assert verdict.identical and proof.identical, (verdict, proof.difference)
    kinds = read_events(tmp_path / "run").events
    for n in range(5):
        assert {int(lc.Kind.LIQUIDATION), int(lc.Kind.TRADE), int(lc.Kind.BBO), int(lc.Kind.TICKER)} <= set(kinds["kind"][kinds["instrument"] == n])


def test_a_list_that_lost_more_than_half_is_not_believed():
    told = []
    instruments = [lc.Instrument(f"C{n}USDT") for n in range(10)]
    watch = ListWatch(FeedConfig(symbols=("all",), every=True), None, 1.0, asyncio.Event(), ["C0USDT", "C9USDT"], lambda *found: told.append(found))

    def look(names):
        from liqshell.venues.adapter import InstrumentPage

        watch.look(InstrumentPage([one for one in instruments if one.symbol in names], "", []))

    every = [one.symbol for one in instruments]
    look(every[:9])
    look(every[:3])
    assert watch.failures == 1 and [found[:2] for found in told] == [({"C9USDT": "it does not trade any more"}, [])]
    look(every)
    assert told[1][:2] == ({}, ["C9USDT"]) and told[1][2].instruments == [] and watch.gone == {}
    watch.known.discard("C9USDT")
    look(every[1:])
    assert told[2][0] == {"C0USDT": "it does not trade any more"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('symbols = "every"', "feed.symbols: found 'every'; expected a list of 1 to 1024"),
        ('symbols = ["BTCUSDT"]\nexclude = ["ETHUSDT"]', "feed.exclude: found ['ETHUSDT']"),
        ('symbols = ["BTCUSDT"]\nmin_turnover_usd = 5', "feed.min_turnover_usd: found 5.0 together with a list"),
        ('symbols = "all"\nquote = "usdt"', "feed.quote: found 'usdt'"),
        ('symbols = "all"\nmin_turnover_usd = -1', "feed.min_turnover_usd: found -1"),
        ('symbols = "all"\nlist_every_s = 1', "feed.list_every_s: found 1"),
        ('symbols = "all"\nexclude = ["ETHUSDT"]\n[policy.symbols.ETHUSDT]\nnotional = 5', "policy.symbols.ETHUSDT"),
        ('symbols = "all"\n[run]\nmode = "live"', "feed.symbols: found 'all' with run.mode = 'live'"),
    ],
)
def test_what_is_wrong_with_whole_markets_is_said(text, said):
    with pytest.raises(ConfigError) as told:
        loads("[feed]\n" + text + "\n")
    assert said in str(told.value)


def test_no_contract_left_is_said_with_its_quotes():
    async def main():
        async with await serve(emulated()) as emulator:
            config = loads(f'[feed]\nrest = "{emulator.rest}"\nws = "{emulator.ws}"\nsymbols = "all"\nquote = "USDC"\n')
            await Session(config, "unused").run()

    with pytest.raises(ConfigError) as told:
        asyncio.run(asyncio.wait_for(main(), 30))
    assert "'all' of bybit" in str(told.value) and "quote USDC" in str(told.value) and "a quote such as USDT" in str(told.value)


def test_doctor_counts_whole_markets():
    async def main():
        async with await serve(emulated()) as emulator:
            config = whole(emulator)
            return examine(config, await gather(config, None, samples=3), live=False), config.feeds["okx"]

    checks, _ = asyncio.run(asyncio.wait_for(main(), 60))
    said = [(check.verdict, check.text) for check in checks if check.id == "symbols"]
    assert said == [
        ("ok", "bybit: 2 contracts, BTCUSDT, SOLUSDT"),
        ("ok", "binance_um: 2 contracts, BTCUSDT, SOLUSDT"),
        ("ok", "okx: 2 contracts, BTC-USDT-SWAP, SOL-USDT-SWAP"),
    ]
    assert any("in every contract" in check.text for check in checks)


def test_every_venue_says_what_its_turnover_is():
    assert all(adapter.turnovers for adapter in ADAPTERS.values())


def test_the_three_lines_of_the_readme_run(capsys):
    """As printed there, at the emulated venues."""
    text = (Path(__file__).parents[3] / "README.md").read_text()
    (code,) = re.findall(r"<!-- lines: stream -->\n```py\n(.*?)```", text, re.S)
    assert len(code.splitlines()) == 3

    async def main():
        async with await serve(emulated(speed=120.0)) as emulator:
            at, made = places(emulator), []

            def stream(venues, **more):
                made.append(liqshell.stream({name: at[name] for name in venues}, **more))
                asyncio.get_running_loop().call_later(8.0, made[0].stop)
                return made[0]

            space = {"liqshell": types.SimpleNamespace(stream=stream)}
            exec("async def run():\n" + textwrap.indent(code, "    "), space)
            await space["run"]()

    asyncio.run(asyncio.wait_for(main(), 60))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows and all(len(row) == 5 and row[2] in ("LONG", "SHORT") and int(row[3]) >= 50_000 for row in rows)
