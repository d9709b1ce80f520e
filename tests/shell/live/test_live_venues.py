"""Several venues in one process over real sockets: feeds, marks, polls and gaps of each venue alone; recording and replay, byte for byte."""

import asyncio
import json
from collections import Counter

import numpy as np
import pytest

import liqcore as lc
from liqcore.audit import rows as audit_rows
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, DataError
from liqshell.live import Session
from liqshell.live.account import LiveAccount
from liqshell.live.venue_clock import venue_clock
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.run import backtest_parity as parity
from liqshell.run import pipeline, replay
from liqshell.run.recorded_events import read_events
from liqshell.run.venue_source import Source, feeds_of, sources_of
from liqshell.venues.adapters import ADAPTERS, adapter_of
from liqshell.venues.bybit.signing import Keys

SPEED = 60.0
VENUES = ("bybit", "binance", "okx")
SYMBOLS = {"bybit": ["BTCUSDT", "SOLUSDT"], "binance": ["BTCUSDT", "SOLUSDT"], "okx": ["BTC-USDT-SWAP", "SOL-USDT-SWAP"]}
FEED, CONTROL = int(lc.AuditKind.AUDIT_FEED), int(lc.AuditKind.AUDIT_LIMIT)
UP, DOWN = int(lc.FeedState.FEED_UP), int(lc.FeedState.FEED_DOWN)
QUOTES, MARKET = 4, 1 | 2 | 8 | 16 | 32  # of Binance, by route: quotes; liquidations, trades, mark, index and funding. Open interest is polled


def configuration(emulator, venues=VENUES, more="", mode="paper", out="runs", watched=()):
    """[feed] is the first venue, [feeds.NAME] the others."""
    places = emulator.ready()["venues"]
    text = f'[run]\nname = "test"\nmode = "{mode}"\nout = {json.dumps(str(out))}\n'
    for n, name in enumerate(venues):
        text += f"[{'feeds.' + name if n else 'feed'}]\n" + (f'venue = "{name}"\n' if not n else "")
        text += f'rest = "{places[name]["rest"]}"\nws = "{places[name]["ws"]}"\nsymbols = {json.dumps(SYMBOLS[name])}\n'
        text += "trade = false\n" if name in watched else ""
    return loads(
        text + "[detector]\nrefresh_s = 0\nwarmup = 15\nquantile = 0.7\n[policy]\nentry_offset = 0.0003\n"
        "[limits]\ndata_age_max_s = 20.0\nevent_age_max_s = 20.0\ndaily_loss_max = 0.5\nweekly_loss_max = 0.5\n"
        "[live]\nwatchdog = false\n" + more
    )


def run(folder, minutes, *, faults=(), seed=3, speed=SPEED, venues=VENUES, during=None, account=False, watched=(), more=""):
    """(session, manifest, audit, replay's verdict) of a run of so many market minutes. during(session, emulator): a coroutine beside it."""

    async def main():
        config = Config(
            seed=seed, speed=speed, venues=VENUES, symbols=("BTCUSDT", "SOLUSDT"), parameters={"warmup_hours": 0.5}, faults=tuple(faults), lead_s=0.5
        )
        async with await serve(config) as emulator:
            mode = "live" if account else "paper"
            made = configuration(emulator, venues, more, mode, folder.parent, watched)
            clock, labels = await venue_clock(made.feed.rest_url)
            assert labels == {"synthetic": True, "market": "SYNTHETIC", "seed": seed, "market_seeds": [seed]}
            key = emulator.keys[0]
            session = Session(made, folder, clock, labels, account=LiveAccount(made, Keys(key.key, key.secret)) if account else None)
            beside = asyncio.create_task(during(session, emulator)) if during else None
            async with asyncio.timeout(240):
                manifest = await session.run(emulator.clock.now_ns() + int(minutes * 60e9))
            if beside is not None:
                beside.cancel()
            return session, manifest, emulator.desk.exchange.truth(key.account)

    session, manifest, truth = asyncio.run(main())
    return session, manifest, journal.load_audit(folder), replay.prove(folder), truth


def marks(audit):
    """(instrument, state) of the feed's marks, in order."""
    return [(int(r["instrument"]), int(r["phase"])) for r in audit[audit["kind"] == FEED]]


def states(audit, instrument, streams):
    """The states of some streams of an instrument, and the seconds since the last word."""
    said = audit[(audit["kind"] == FEED) & (audit["instrument"] == instrument)]
    return [(int(r["phase"]), float(r["x"][0])) for r in said[said["x"][:, 2] == streams]]


def test_three_venues_one_run_and_its_replay(tmp_path):
    """Binance is torn off, OKX is in maintenance, Bybit goes on: each venue's instruments are uncertain alone, and everything replays."""
    faults = [{"kind": "drop", "venue": "binance", "at_s": 240}, {"kind": "maintenance", "venue": "okx", "at_s": 420, "duration_s": 60}]
    session, manifest, audit, verdict, _ = run(tmp_path / "run", 12, faults=faults)
    assert verdict.identical and verdict.records == len(audit) > 20, verdict
    assert [i["venue"] for i in manifest["settings"]["instruments"]] == ["bybit"] * 2 + ["binance_um"] * 2 + ["okx"] * 2
    health = manifest["counters"]["venues"]
    assert {name: one["completeness"] for name, one in health.items()} == {"bybit": "FULL", "binance_um": "CENSORED", "okx": "UNKNOWN"}
    assert health["binance_um"]["reconnects"] >= 2 and health["okx"]["reconnects"] >= 1 and health["bybit"]["reconnects"] == 0
    assert set(health["binance_um"]["connections"]) == {"public-1", "market-1"} and len(health["bybit"]["connections"]) == 1
    assert health["binance_um"]["polled"] > 20 and not health["binance_um"]["poll_failures"]
    assert all(one["frames"] > 500 and one["up"] is not None and not one["refused"] for one in health.values())
    said = marks(audit)
    times = Counter(said)
    assert times[0, DOWN] == times[1, DOWN] == 1  # bybit: at the end only
    assert times[2, DOWN] == times[3, DOWN] == 4 and times[2, UP] == 4  # both connections of binance: the fault, and the end
    for streams in (QUOTES, MARKET):
        assert [state for state, _ in states(audit, 2, streams)] == [UP, DOWN, UP, DOWN]
    assert {int(r["x"][2]) for r in audit[audit["kind"] == FEED] if r["instrument"] not in (2, 3)} == {0}  # a connection that carries everything
    assert times[4, DOWN] == times[5, DOWN] >= 2
    assert not any(instrument == -1 for instrument, _ in said)
    # what the recording says of itself: venue and source of every frame, marks by venue
    lines = Counter((record.exchange, record.source) for record in recording.read(tmp_path / "run" / "frames"))
    assert lines["bybit", "ws"] > 500 and lines["binance_um", "ws"] > 500 and lines["okx", "ws"] > 500
    assert lines["binance_um", "rest"] == health["binance_um"]["polled"] and lines["liqcore", "liqcore"] > 5
    # the same events as an array, the way a backtest reads them
    found = read_events(tmp_path / "run")
    kinds = {n: set(found.events["kind"][found.events["instrument"] == n]) for n in range(6)}
    assert all({int(lc.Kind.TRADE), int(lc.Kind.BBO), int(lc.Kind.TICKER)} <= one for one in kinds.values())
    assert all(int(lc.Kind.LIQUIDATION) in kinds[n] | kinds[n + 1] for n in (0, 2, 4))
    proof = parity.prove_as_backtest(tmp_path / "run")
    assert proof.identical, proof.difference
    liquidations = found.events[found.events["kind"] == int(lc.Kind.LIQUIDATION)]
    count = Counter(liquidations["instrument"].tolist())
    assert count[0] + count[1] > count[2] + count[3] > 0  # CENSORED is less than FULL


@pytest.mark.slow
def test_a_venue_that_is_watched_never_trades(tmp_path):
    """Its gates close with the first thing that is heard of it; its signals go on. Also as a backtest."""
    _, manifest, audit, verdict, _ = run(tmp_path / "run", 12, watched=("binance", "okx"), seed=1)
    assert verdict.identical, verdict
    asked = audit[audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)]
    signals = audit[audit["kind"] == int(lc.AuditKind.AUDIT_SIGNAL)]
    assert set(asked["instrument"].tolist()) <= {0, 1} and set(signals["instrument"].tolist()) & {2, 3, 4, 5}
    gates = audit_rows(audit[audit["kind"] == CONTROL])
    for n in (2, 3, 4, 5):
        mine = [(record.phase, record.gate) for record in gates if record.instrument == n]
        assert mine[0][0] == lc.Control.CONTROL_PAUSE and (lc.Control.CONTROL_READY, mine[0][1]) not in mine, "it closes at once and never opens"
    assert parity.prove_as_backtest(tmp_path / "run").identical


def test_a_half_dead_venue_is_noticed_by_its_silence(tmp_path):
    """Half-open sockets: nothing comes, not even a pong. The venue goes down, the others stay up."""

    async def half_open(session, emulator):
        while not session.up:
            await asyncio.sleep(0.01)
        emulator.faults.add({"kind": "half_open", "venue": "okx", "duration_s": 30_000})
        while session.down != ["okx"]:
            await asyncio.sleep(0.01)
        session.stop()

    _, manifest, audit, verdict, _ = run(tmp_path / "run", 200, during=half_open)
    assert verdict.identical, verdict
    health = manifest["counters"]["venues"]
    assert any("silent for more than" in why for why in health["okx"]["drops"]) and not health["bybit"]["drops"]
    assert Counter(marks(audit))[4, DOWN] >= 1 and Counter(marks(audit))[0, DOWN] == 1


def mute(emulator, venue, route="", deaf=False):
    """The venue has lost what was subscribed on its connections (of a route), says nothing of it and goes on answering pings. deaf: it also
    acknowledges new subscriptions and sends nothing."""
    hub = next((one.hub for one in emulator.neighbours if one.name == venue), emulator.hub)
    found = [connection for connection in hub.connections if connection.topics and connection.category.startswith(route)]
    for connection in found:
        connection.topics.clear()
    if deaf:
        take = hub._take

        def nothing(connection, names):
            take(connection, names)
            if connection.category.startswith(route):
                connection.topics = set()

        hub._take = nothing
    return len(found)


def muted(folder, venue, route="", after_s=0.5, venues=None, deaf=False, minutes=0.75):
    """(venues, audit, pace) of a run in which a second of the wall is `pace` seconds of the market, 10 on a quiet machine: another connection's word is
    waited for 1 s, any word for 25 s of the market."""
    lost, pace = [], 10.0

    async def later(session, emulator):
        nonlocal pace
        pace = emulator.config.speed
        while not session.up:
            await asyncio.sleep(0.01)
        await asyncio.sleep(after_s)
        lost.append(mute(emulator, venue, route, deaf))

    _, manifest, audit, verdict, _ = run(folder, minutes, venues=venues or (venue,), during=later, speed=pace)
    assert verdict.identical and lost == [1], (verdict, lost)
    proof = parity.prove_as_backtest(folder)
    assert proof.identical, proof.difference
    return manifest["counters"]["venues"], audit, pace


def test_a_route_that_says_nothing_while_another_speaks_is_a_gap(tmp_path):
    """Binance's marks come every second on the route of the liquidations: without them, prints may be missing though quotes and pongs come."""
    health, audit, pace = muted(tmp_path / "run", "binance", "market", venues=("bybit", "binance"))
    found = health["binance_um"]
    (why,) = [why for why in found["drops"] if "market-1: silent for more than" in why and "other connections send data" in why]
    limit = float(why.split("silent for more than ")[1].split(" s")[0])  # a second of the wall, or longer where the market is slow
    assert limit >= pace - 0.05
    assert found["connections"]["market-1"]["reconnects"] == 1 and found["connections"]["public-1"]["reconnects"] == 0
    assert not health["bybit"]["drops"] and health["bybit"]["reconnects"] == 0
    of = states(audit, 2, MARKET)
    assert [state for state, _ in of] == [UP, DOWN, UP, DOWN], of  # up, the silence, back, the end of the run
    assert [state for state, _ in states(audit, 2, QUOTES)] == [UP, DOWN]  # its quotes went on
    assert limit - 0.05 < of[1][1] < 3.0 * limit, of  # it is uncertain from the last word on, not from the last pong
    assert marks(audit).count((0, DOWN)) == 1


@pytest.mark.slow
def test_a_route_that_acknowledges_and_says_nothing_does_not_come_up(tmp_path):
    """The venue acknowledges streams that it never sends: an acknowledgement alone brings nothing up again."""
    health, audit, _ = muted(tmp_path / "run", "binance", "market", deaf=True, minutes=0.9)
    found = health["binance_um"]
    assert found["connections"]["market-1"]["reconnects"] >= 2 and found["connections"]["public-1"]["reconnects"] == 0
    assert [state for _, state in marks(audit)] == [UP, UP, DOWN, DOWN] and not found["connections"]["market-1"]["up"]


def test_silence_where_nothing_is_certain_is_no_gap(tmp_path):
    """Quotes of Binance come when they change, liquidations when there are some: pongs are enough."""
    health, audit, _ = muted(tmp_path / "run", "binance", "public", after_s=0.0)
    assert not health["binance_um"]["drops"] and health["binance_um"]["reconnects"] == 0 and health["binance_um"]["gaps"] == 0
    assert [state for _, state in marks(audit)] == [UP, UP, DOWN, DOWN]


@pytest.mark.parametrize("venue", ["bybit", pytest.param("okx", marks=pytest.mark.slow)])
def test_a_venue_of_one_connection_that_answers_pings_only(tmp_path, venue):
    """Nobody else speaks by which one could tell: after stale_after_s it is opened anew, pongs or not."""
    health, audit, _ = muted(tmp_path / "run", venue, minutes=1.2)
    (found,) = health.values()
    assert found["reconnects"] == 1 and any("silent for more than 25.0 s" in why and "pong" not in why for why in found["drops"]), found["drops"]
    assert [state for _, state in marks(audit)] == [UP, DOWN, UP, DOWN]


def test_binance_alone_with_an_unknown_symbol(tmp_path):
    async def main():
        async with await serve(Config(seed=1, venues=("binance",), symbols=("BTCUSDT",), parameters={"warmup_hours": 0.2})) as emulator:
            place = emulator.ready()["venues"]["binance"]
            config = loads(f'[feed]\nvenue = "binance"\nrest = "{place["rest"]}"\nws = "{place["ws"]}"\nsymbols = ["BTCUSD"]\n')
            await Session(config, tmp_path / "run").run()

    with pytest.raises(ConfigError) as told:
        asyncio.run(main())
    assert "binance_um does not trade it" in str(told.value) and "BTCUSDT" in str(told.value)


@pytest.mark.parametrize("first", ["binance", "okx"])
def test_another_venue_alone_records_and_replays(tmp_path, first):
    """One venue: its marks are for all instruments, as always."""
    _, manifest, audit, verdict, _ = run(tmp_path / "run", 5, venues=(first,))
    assert verdict.identical and manifest["venue"] == adapter_of(first).venue
    assert marks(audit) and {instrument for instrument, _ in marks(audit)} == {-1}
    assert manifest["counters"]["frames"] > 200


@pytest.mark.slow
def test_real_orders_at_one_venue_while_others_are_watched(tmp_path):
    """The account is Bybit's; the gateway knows Bybit's contracts only, though another venue's have the same names."""
    session, manifest, audit, verdict, truth = run(tmp_path / "run", 12, account=True, seed=1)
    assert verdict.identical and manifest["mode"] == "live", verdict
    asked = audit[audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)]
    assert len(asked) and set(asked["instrument"].tolist()) <= {0, 1}
    assert not any(one["qty"] for one in truth["positions"].values()) or all(symbol in SYMBOLS["bybit"] for symbol, _ in truth["positions"])
    with pytest.raises(DataError, match="real venue"):
        parity.prove_as_backtest(tmp_path / "run")


# ---- without sockets


def test_addresses_of_a_configuration_are_the_adapters():
    for name, adapter in ADAPTERS.items():
        for key, one in adapter.environments.items():
            feed = loads(f'[feed]\nvenue = "{name}"\nenvironment = "{key}"\nsymbols = ["BTCUSDT"]\n').feed
            assert (feed.rest_url, feed.ws_url) == (one.rest, one.ws)
            assert (feed.private_url, feed.trade_url) == (one.private and one.private + "/v5/private", one.trade and one.trade + "/v5/trade")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[feeds.bybit]\nsymbols = ["X"]\n', "the venue of [feed] again"),
        ("[feeds.okx]\n", "at least one contract name"),
        ('[feeds.okx]\nsymbols = ["BTC-USDT-SWAP"]\nenvironment = "demo"\n', "one of 'mainnet', 'testnet' at okx"),
        ('[feeds.okx]\nsymbols = ["BTC-USDT-SWAP"]\nrest = "http://127.0.0.1:1"\n', "both rest and ws"),
        ('[feeds.kraken]\nsymbols = ["X"]\n', "bybit, binance_um, okx, hyperliquid"),
    ],
)
def test_what_is_wrong_with_feeds_is_said(text, said):
    with pytest.raises(ConfigError) as told:
        loads('[feed]\nsymbols = ["BTCUSDT"]\n' + text)
    assert said in str(told.value)


def engine_of(*venues):
    instruments = [lc.Instrument(f"S{k}{venue.upper()}", venue=venue) for venue in venues for k in range(2)]
    return lc.Engine(instruments), instruments


def test_silence_of_one_venue_is_its_own_gap():
    """Two venues, one sink: each looks at its own frames only; polls are no sign of life; down forgets the silence."""
    from liqshell.run.sink import LiveSink, VenueSink

    engine, _ = engine_of("bybit", "okx")
    sink = LiveSink(engine, 5 * lc.SECOND)
    one, two = VenueSink(sink, 5 * lc.SECOND, 0, 2), VenueSink(sink, 12 * lc.SECOND, 2, 2, True)
    start = 1_700_000_000 * lc.SECOND

    def quote(instrument, at_s):
        at = start + int(at_s * lc.SECOND)
        return np.array([(at, at, 100.0, 1.0, 100.01, 1.0, 0, instrument, int(lc.Kind.BBO), 0, 0, 0)], lc.EVENT_DTYPE)

    one.rows(quote(0, 0))
    two.rows(quote(2, 1))
    for k in range(8):
        one.rows(quote(1, 2 + k))
    two.rows(quote(3, 10))  # 9 s: not silent enough
    two.polled(quote(3, 20))  # no sign of life
    one.rows(quote(0, 23))  # 14 s: a gap of bybit
    two.rows(quote(3, 23))  # 13 s: a gap of okx
    one.feed(int(lc.FeedState.FEED_DOWN), start, start + 24 * lc.SECOND)
    one.rows(quote(0, 60))
    audit = engine.audit.drain()
    assert marks(audit) == [(0, 3), (1, 3), (2, 3), (3, 3), (0, DOWN), (1, DOWN)]
    assert (one.gaps, two.gaps, sink.gaps) == (1, 1, 2) and two.events == 4
    assert [int(r["instrument"]) for r in audit[audit["kind"] == CONTROL]] == [2, 3]


@pytest.mark.parametrize(("venue", "gap_s"), [("bybit", 5), ("binance_um", 5), ("okx", 12), ("hyperliquid", 12)])
def test_the_silence_that_a_run_records_is_that_of_its_own_venue(venue, gap_s):
    """OKX's slowest sign of life is a mark after 10 s, Hyperliquid has none that is sure; 5 s were a false gap there."""
    config = loads(f'[feed]\nvenue = "{venue}"\nsymbols = ["S1"]\n')
    found = pipeline.settings(config, [lc.Instrument("S1", venue=venue)])
    assert found["gap_ns"] == found["feeds"][0]["gap_ns"] == gap_s * lc.SECOND


def test_feeds_of_a_run_as_settings():
    late = 1_500_000_000
    _, instruments = engine_of("bybit", "okx", "binance_um", "hyperliquid")
    assert feeds_of(instruments, 1.0, {"okx"}, 1.5) == [
        {"venue": "bybit", "first": 0, "count": 2, "gap_ns": 5 * lc.SECOND, "watched": False, "late_ns": late},
        {"venue": "okx", "first": 2, "count": 2, "gap_ns": 12 * lc.SECOND, "watched": True, "late_ns": late},
        {"venue": "binance_um", "first": 4, "count": 2, "gap_ns": 5 * lc.SECOND, "watched": False, "late_ns": late},
        {"venue": "hyperliquid", "first": 6, "count": 2, "gap_ns": 12 * lc.SECOND, "watched": False, "late_ns": late},
    ]
    with pytest.raises(DataError, match="not in one group"):
        feeds_of([instruments[0], instruments[2], instruments[1]])
    # settings from before there were several feeds
    old = {"instruments": [i.as_dict() for i in instruments[:2]], "gap_ns": 7}
    (source,) = sources_of(old, None).values()
    assert isinstance(source, Source) and (source.venue, source.gap_ns, source.instruments) == ("bybit", 7, (-1,))


def test_subscriptions_that_are_refused_in_part():
    """Bybit refuses a whole request for one unknown topic: the rest is asked for again; what is refused for good is told."""
    from liqshell.live.stream import Stream

    adapter = adapter_of("bybit")
    (connection,) = adapter.plan(["BTCUSDT"], "ws://x")

    class Feed:
        source = Source({"venue": "bybit", "first": 0, "count": 1, "gap_ns": 1, "watched": False}, ["BTCUSDT"], None, True)

    stream = Stream(Feed(), connection, None, 0)
    stream._waiting = {name: one for one in connection.subscriptions for name in one.acks}
    first, *beside = connection.subscriptions

    def refuse(one, topic):
        stream._on_other(
            json.dumps({"success": False, "ret_msg": f"error:handler not found,topic:{topic}", "req_id": one.id, "op": "subscribe"}).encode(), 1
        )

    refuse(first, first.args[0])
    assert stream.refused == {first.args[0]} and len(stream._to_send) == 1 and first.args[0] not in stream._to_send[0].args
    others = {name for one in beside for name in one.acks}
    assert set(stream._waiting) == others | set(stream._to_send[0].acks) and len(others) == len(beside) == 3
    for one in beside:  # what a contract can do without: nothing is asked for again
        refuse(one, one.args[0])
    assert stream.refused == {first.args[0], "priceLimit.BTCUSDT", "adlAlert.USDT", "insurance.USDT"} and len(stream._to_send) == 1
    assert set(stream._waiting) == set(stream._to_send[0].acks)


def test_a_refusal_that_names_only_the_request_is_heard():
    """OKX may refuse a whole request and say which by its id alone: halves are asked for, until the bad one is alone; the feed then comes up."""
    from liqshell.live.stream import Stream

    symbols = ["BTC-USDT-SWAP", "GONE-USDT-SWAP"]
    (connection,) = adapter_of("okx").plan(symbols, "ws://x")

    class Feed:
        source = Source({"venue": "okx", "first": 0, "count": 2, "gap_ns": 1, "watched": False}, symbols, None, True)

    stream = Stream(Feed(), connection, None, 0)
    stream._to_send = list(connection.subscriptions)
    stream._waiting = {name: one for one in stream._to_send for name in one.acks}
    while stream._to_send:
        asked = stream._to_send.pop(0)
        if any("GONE" in name for name in asked.acks):
            stream._on_other(json.dumps({"event": "error", "id": asked.id, "code": "60012", "msg": "Invalid request", "connId": "x"}).encode(), 1)
        else:
            for arg in json.loads(asked.frame)["args"]:
                stream._on_other(json.dumps({"event": "subscribe", "id": asked.id, "arg": arg, "connId": "x"}).encode(), 1)
    wanted = {arg for one in connection.subscriptions for arg in one.args}
    assert stream.refused == {arg for arg in wanted if "GONE" in arg} and not stream._waiting


def test_what_is_sure_to_come():
    """By venue: of which arguments something is heard within Adapter.gap_s though nothing happens; each is one that is asked for on that connection."""
    found = {}
    for name, adapter in ADAPTERS.items():
        for connection in adapter.plan([f"S{n}USDT" if name != "okx" else f"S{n}-USDT-SWAP" for n in range(120)], "ws://x"):
            asked = {arg for one in connection.subscriptions for arg in one.args}
            assert set(connection.sure) <= asked and not any("iquidation" in arg or "force" in arg for arg in connection.sure)
            assert len(connection.sure) in (0, len({symbol for one in connection.subscriptions for symbol in one.symbols}))
            found.setdefault((name, connection.name.partition("-")[0]), set()).update(
                arg.replace("S0", "S").replace("s0", "s") for arg in connection.sure[:1] if "0" in arg
            )
    assert found[("binance_um", "public")] == found[("hyperliquid", "public")] == set()
    assert "susdt@markPrice@1s" in found[("binance_um", "market")] and "mark-price:S-USDT-SWAP" in found[("okx", "public")]
    assert "orderbook.1.SUSDT" in found[("bybit", "linear")]


def test_what_was_refused_is_not_waited_for():
    """A contract whose marks the venue does not know: then nothing is sure any more, and pongs are a sign of life."""
    from liqshell.live.stream import Stream

    connection = adapter_of("binance").plan(["AUSDT", "BUSDT"], "ws://x")[1]
    stream = Stream(type("Feed", (), {}), connection, None, 0)
    assert stream._must_send
    stream.refused = {"ausdt@markPrice@1s", "busdt@forceOrder"}
    assert stream._must_send
    stream.refused |= {"busdt@markPrice@1s"}
    assert not stream._must_send


@pytest.mark.parametrize("others_speak", [True, False])
def test_what_is_never_answered_is_left_out_where_others_are_answered(others_speak):
    """Asked for twice, then done without: one odd contract must not cost the liquidations of all others an endless reconnect."""
    from liqshell.live.stream import Stream

    symbols = ["BTC-USDT-SWAP", "ETH-USD_UM_XPERP-310404"]
    (connection,) = adapter_of("okx").plan(symbols, "ws://x")

    class Feed:
        source = Source({"venue": "okx", "first": 0, "count": 2, "gap_ns": 1, "watched": False}, symbols, None, True)

    stream = Stream(Feed(), connection, None, 0)
    stream._waiting = {name: one for one in connection.subscriptions for name in one.acks}
    stream._asked.update(stream._waiting.keys())
    silent = {name for name in stream._waiting if "ETH-USD" in name}
    if not others_speak:
        assert not stream._ask_unanswered(received=False)
        return
    for name in set(stream._waiting) - silent:
        del stream._waiting[name]
    assert stream._ask_unanswered(received=True) and not stream.refused and {name for one in stream._to_send for name in one.acks} >= silent
    stream._to_send.clear()
    assert stream._ask_unanswered(received=True) and stream.refused == silent and not stream._waiting and not stream._to_send


def test_an_okx_refusal_is_matched_by_its_name_or_by_its_id():
    """Names of X-Perps have a "_"; a refusal that spells the name in a way of its own is matched by the id that it echoes."""
    from liqshell.live.stream import Stream

    symbols = ["BTC-USDT-SWAP", "ETH-USD_UM_XPERP-310404"]
    (connection,) = adapter_of("okx").plan(symbols, "ws://x")
    request = connection.subscriptions[0]
    bad = "trades:ETH-USD_UM_XPERP-310404"
    for said, left in ((f"channel:trades,instId:{symbols[1]} doesn't exist", {bad}), ("channel:trades,instId:eth-usd doesn't exist", set())):

        class Feed:
            source = Source({"venue": "okx", "first": 0, "count": 2, "gap_ns": 1, "watched": False}, symbols, None, True)

        stream = Stream(Feed(), connection, None, 0)
        stream._waiting = {name: one for one in connection.subscriptions for name in one.acks}
        stream._on_other(json.dumps({"event": "error", "id": request.id, "code": "60018", "msg": said, "connId": "x"}).encode(), 1)
        assert stream.refused == left and (left or len(stream._to_send) == 2)
