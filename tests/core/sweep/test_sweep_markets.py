"""The sweep over whole markets: grids against the walk setting by setting, and what a caller sees: grids, threads, chunks, detectors, errors."""

from __future__ import annotations

import random

import numpy as np
import pytest
from test_sweep import FREE, step_trades, sweep_trades
from test_walk import recorded, synthetic  # noqa: F401

import liqcore as lc
from liqcore import (
    SECOND,
    SIGNAL_DTYPE,
    CascadeConfig,
    Engine,
    Paper,
    Risk,
    SimVenue,
    Tape,
    Walk,
)
from liqcore.event import EVENT_DTYPE, FeedState, Kind, Phase, Stream
from liqcore.parallel import cores
from liqcore.sweep import (
    GRID_DTYPE,
    RESULT_DTYPE,
    Grid,
    daily_sharpe,
    fade,
    locate,
    signals_of,
    sweep,
    sweep_detectors,
    trades_of,
)
from markets import EAGER, Fade, instruments
from markets import market as generated

T0 = 1_772_452_800 * SECOND
RISK = {
    "order_notional_max": 1e9,
    "exposure_max": 1e9,
    "leverage_max": 1000.0,
    "orders_per_minute_max": 1000,
    "daily_loss_max": 1.0,
    "weekly_loss_max": 1.0,
    "positions_max": 100,
    "orders_per_signal_max": 4,
}


def draw_settings(seed: int, count: int, small: bool) -> list[dict]:
    """Random settings with fractions for a calm (small) or a wild market."""
    rng = random.Random(seed)
    unit = 1 if small else 10

    def share(low: int, high: int) -> str:
        return f"{rng.randrange(low * unit, high * unit)}e-6"

    return [
        {
            "entry": "market" if rng.random() < 0.3 else "post_only",
            "entry_offset": share(0, 200),
            "take_profit": rng.choice([0, share(20, 300)]),
            "stop_loss": share(50, 400),
            "trail": rng.choice([0, 0, share(50, 300)]),
            "entry_ttl_s": rng.choice([1, 30, 600]),
            "max_hold_s": rng.choice([2, 60, 1800]),
            "cooldown_s": rng.choice([0, 5, 300]),
            "exit_phase": rng.choice([0, 0, 3, 4]),
            "requotes": rng.choice([0, 2]),
            "notional": rng.choice([200.0, 2000.0]),
        }
        for _ in range(count)
    ]


def by_walk(tape, instrument: int, config, setting: dict, rules: dict, venue: dict) -> list[tuple]:
    """The trades of one setting by the walk, all but one instrument silent."""

    class Only(Fade):
        def on_signal(self, signal, market):
            return super().on_signal(signal, market) if signal.instrument == instrument else None

    engine = Engine(tape.instruments, config, Only(**setting), Risk(**RISK | rules), equity=1e9, audit_capacity=1 << 18)
    walk = Walk(Paper(engine, SimVenue(engine.instruments, **venue)), tape)
    assert walk.run()
    return step_trades(engine.audit.drain(), instrument)


def same_grid(tape, instrument: int, config, settings: list[dict], rules: dict, venue: dict) -> np.ndarray:
    """Every setting: trades of the sweep equal those of the walk, and sum up to its row of results."""
    signals, places = signals_of(tape, instrument, config)
    grid, sides = Grid.of(settings), fade(signals)
    free = {k: v for k, v in FREE.items() if k not in rules} | rules
    results = sweep(tape, instrument, signals, sides, grid, places=places, **venue, **free)
    for n, setting in enumerate(settings):
        trades = trades_of(tape, instrument, signals, sides, grid, n, places=places, **venue, **free)
        expected = by_walk(tape, instrument, config, setting, rules, venue)
        assert sweep_trades(trades, tape.instruments[instrument]) == expected, setting
        assert (results["trades"][n], results["net"][n]) == (len(expected), sum((t[8] for t in expected), 0.0)), setting
    return results


VENUES = [
    {"fills": "through", "order_latency_s": 0.05, "ack_latency_s": 0.05},
    {"fills": "touch", "order_latency_s": 0.0, "ack_latency_s": 0.0},
    {"fills": "through", "order_latency_s": 0.2, "ack_latency_s": 0.01, "maker_fee": -0.0001},
]


@pytest.mark.parametrize("venue", VENUES)
def test_the_generators_market(synthetic, venue):
    config = CascadeConfig(window_events=200, warmup=50, refresh_s=600.0, quantile=0.9)
    for instrument in range(2):
        results = same_grid(
            synthetic, instrument, config, draw_settings(instrument, 12, small=False), {"data_age_max_s": 60.0, "collar": 0.02}, venue
        )
        assert results["trades"].sum() > 10


@pytest.mark.parametrize("venue", VENUES)
def test_recorded_ticks(recorded, venue):
    """Real trades and quotes, many of them at one moment."""
    config = CascadeConfig(window_events=200, warmup=50, quantile=0.8, window_s=5.0, decay_s=2.0)
    results = same_grid(recorded, 0, config, draw_settings(7, 25, small=True), {"data_age_max_s": 60.0, "collar": 0.02}, venue)
    assert results["trades"].sum() > 50 and results["stops"].sum() > 5 and results["targets"].sum() > 5


@pytest.mark.parametrize("seed", range(4))
def test_two_contracts_with_tickers_and_liquidations_at_the_same_moments(seed):
    events = generated(seed, 6000)
    events["ts_recv"] = events["ts_recv"] // (SECOND // 2) * (SECOND // 2)
    events["aux_qty"] = np.where(events["kind"] == Kind.TICKER, 0.0001, events["aux_qty"])
    tape = Tape.of(instruments(2), events)
    for instrument in range(2):
        results = same_grid(tape, instrument, EAGER, draw_settings(seed, 8, small=False), {"data_age_max_s": 60.0, "collar": 0.02}, VENUES[seed % 3])
        assert results["entries"].sum() > 20


@pytest.mark.parametrize("seed", range(6))
def test_refused_quotes_between_liquidations_of_one_moment(seed):
    """A crossed quote interrupts the quotes: for the liquidations of its moment that follow it, not for those before it."""
    events = generated(seed, 6000, size=1, feed=seed % 2 == 1)
    events["ts_recv"] = events["ts_recv"] // SECOND * SECOND
    crossed = (events["kind"] == Kind.BBO) & (np.random.default_rng(seed).random(len(events)) < 0.3)
    events["aux_price"][crossed] = events["price"][crossed] - 0.01
    tape = Tape.of(instruments(1), events)
    signals, places = signals_of(tape, 0, EAGER)
    quotes = tape.rare[(tape.rare["kind"] == Kind.FEED) & (tape.rare["flags"] == Stream.STREAM_QUOTE)]
    assert np.isin(signals["ts"][places[:, 2] > 0], quotes["ts_recv"]).sum() > 20
    results = same_grid(tape, 0, EAGER, draw_settings(seed, 8, small=False), {"data_age_max_s": 60.0, "collar": 0.02}, VENUES[seed % 3])
    assert results["entries"].sum() > 20


def test_a_feed_with_gaps():
    """Signals come from the engine's detector; what is uncertain is never entered."""
    tape = Tape.of(instruments(1), generated(3, 8000, size=1, feed=True))
    signals = tape.signals(EAGER)
    assert (signals["flags"] & 1).any() and (tape.rare["kind"] == Kind.FEED).any()
    results = same_grid(tape, 0, EAGER, draw_settings(3, 10, small=False), {"data_age_max_s": 60.0}, VENUES[0])
    assert results["refused_data"].min() > 0 and results["trades"].sum() > 10


def rejected_once(side: int, feed: list[tuple]) -> np.ndarray:
    """One flush of `side`; the post-only entry that answers it would take when it arrives, because the market has gone on. feed: marks (s, state, streams)."""

    def event(at, kind, way, price, qty, ask=0.0, code=0, flags=0):
        return (T0 + round(at * SECOND),) * 2 + (price, qty, ask, 5.0 * (ask > 0), 0, 0, int(kind), way, flags, code)

    def level(points):  # so far below 100 where longs are flushed, above it where shorts are
        return round(100.0 - side * points, 2)

    def quote(at, points):
        low, high = sorted((level(points - 0.1), level(points + 0.1)))
        return event(at, Kind.BBO, 0, low, 5.0, high)

    out = [quote(0.0, 0.0), event(0.1, Kind.TRADE, side, 100.0, 1.0), *(event(1 + k / 1000, Kind.LIQUIDATION, side, 100.0, 1.0) for k in range(3))]
    out += [quote(1.02, 1.0), event(1.03, Kind.TRADE, -side, level(1.0), 1.0)]
    out += [quote(1.15 + 0.5 * k, 1.0 + 0.1 * k) for k in range(6)] + [
        event(1.3 + 0.5 * k, Kind.TRADE, -side, level(1.1 + 0.1 * k), 1.0) for k in range(6)
    ]
    out += [quote(30.0, 0.4), event(30.5, Kind.TRADE, side, level(0.4), 1.0)]
    out += [event(at, Kind.FEED, 0, 0.0, 0.0, code=state, flags=streams) for at, state, streams in feed]
    events = np.array(out, EVENT_DTYPE)
    return events[np.argsort(events["ts_recv"], kind="stable")]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("streams", [0, Stream.STREAM_LIQUIDATION, Stream.STREAM_QUOTE | Stream.STREAM_TRADE, Stream.STREAM_MARK])
def test_an_entry_goes_out_again_only_if_the_feed_was_whole_since_the_try_before(side, streams):
    """The signal comes at 1.001 s, the order reaches the venue at 1.051, its rejection is received at 1.101."""
    setting = {
        "entry": "post_only",
        "entry_offset": "0.001",
        "take_profit": "0.003",
        "stop_loss": "0.02",
        "requotes": 1,
        "notional": 1000.0,
        "max_hold_s": 20,
        "cooldown_s": 300,
    }
    config, venue = CascadeConfig(warmup=1, min_events=1, quantile=0.5, window_events=10, window_s=60.0), VENUES[0]
    entered = {}
    for at in (None, 1.0005, 1.001, 1.0010001, 1.04, 1.051, 1.06, 1.1009999, 1.101, 1.1010001, 1.12):
        for state in (FeedState.FEED_GAP, FeedState.FEED_DOWN, FeedState.FEED_UP):
            feed = [] if at is None else [(at, state, streams)] + [(1.13, FeedState.FEED_UP, streams)] * (state == FeedState.FEED_DOWN)
            tape = Tape.of(instruments(1), rejected_once(side, feed))
            for more in ({}, {"exit_phase": 4}):  # shared with others, and alone
                results = same_grid(
                    tape, 0, config, [setting | more, setting | more | {"requotes": 0}], {"data_age_max_s": 60.0, "collar": 0.5}, venue
                )
                entered[at, state, bool(more)] = int(results["filled"][0])
                assert results["filled"][1] == 0
    kept = {at for (at, state, _), filled in entered.items() if filled and state != FeedState.FEED_UP}
    assert None in kept and (streams not in (0, Stream.STREAM_LIQUIDATION) or kept == {None, 1.101, 1.1010001, 1.12}), entered
    assert all(filled for (at, state, _), filled in entered.items() if state == FeedState.FEED_UP)


# ---- what a caller sees ----


@pytest.fixture(scope="module")
def small():
    tape = Tape.of(instruments(1), generated(11, 20_000, size=1))
    signals, places = signals_of(tape, 0, EAGER)
    grid = Grid.product(
        stop_loss=[0.002, 0.004],
        notional=1000,
        take_profit=["0.001", "0.002", 0],
        entry_offset=[0.0005, 0.001, 0.002],
        trail=[0, 0.002],
        cooldown_s=5,
        max_hold_s=[30, 300],
    )
    return tape, signals, places, grid


def test_results_do_not_depend_on_threads_or_chunks(small):
    tape, signals, places, grid = small
    sides, calls = fade(signals), []
    whole = sweep(tape, 0, signals, sides, grid, places=places, threads=1, **FREE)
    assert whole["trades"].min() > 0 and len(np.unique(whole["net"])) > len(grid) // 2
    for threads, chunk in ((1, 1), (2, 7), (2, 1000), (None, 31)):
        threads = threads and min(threads, cores())
        got = sweep(tape, 0, signals, sides, grid, places=places, threads=threads, chunk=chunk, on_progress=lambda *x: calls.append(x), **FREE)
        assert got.tobytes() == whole.tobytes(), (threads, chunk)
    assert calls[:3] == [(1, len(grid)), (2, len(grid)), (3, len(grid))] and calls[-1] == (len(grid), len(grid))
    assert sweep(tape, 0, signals, sides, grid[5:9], places=places, **FREE).tobytes() == whole[5:9].tobytes()
    assert sweep(tape, 0, signals, sides, grid, **FREE).tobytes() == whole.tobytes()  # places found by their times


def test_statistics_follow_from_the_trades(small):
    tape, signals, places, grid = small
    results = sweep(tape, 0, signals, fade(signals), grid, places=places, **FREE)
    day = 86_400 * SECOND
    for n in (0, 17, len(grid) - 1):
        trades = trades_of(tape, 0, signals, fade(signals), grid, n, places=places, **FREE)
        trades = trades[trades["open"] == 0]
        days = np.zeros(tape.end // day - tape.start // day + 1)
        for t in trades:
            days[t["ts_flat"] // day - tape.start // day] += t["net"]
        assert results["days"][n] == len(days) and results["daily_squares"][n] == pytest.approx((days**2).sum(), rel=1e-12)
        if len(days) > 1:
            assert daily_sharpe(results)[n] == pytest.approx(days.mean() / days.std(ddof=1) * np.sqrt(365), rel=1e-9)
        turnover = (trades["lots"] * (trades["entry_price"] + trades["exit_price"])).sum() * 0.001
        assert results["notional"][n] == pytest.approx(turnover, rel=1e-12)
        reasons = [results[k][n] for k in ("targets", "stops", "max_holds", "phases", "others")]
        assert sum(reasons) == results["trades"][n] == len(trades)


def test_detectors_share_the_market(small):
    tape, _, _, grid = small
    configs = [CascadeConfig(**EAGER.as_dict() | {"quantile": q}) for q in (0.5, 0.8)]
    calls = []
    got = sweep_detectors(tape, 0, configs, grid, on_progress=lambda *x: calls.append(x), **FREE)
    assert got.shape == (2, len(grid)) and got.dtype == RESULT_DTYPE and calls == [(len(grid), 2 * len(grid)), (2 * len(grid), 2 * len(grid))]
    for n, config in enumerate(configs):
        signals, places = signals_of(tape, 0, config)
        assert got[n].tobytes() == sweep(tape, 0, signals, fade(signals), grid, places=places, **FREE).tobytes()
    assert got[0].tobytes() != got[1].tobytes()


def test_grids():
    grid = Grid.product(stop_loss=[0.001, "0.002"], notional=[100, 200.0], take_profit="0.0015", entry=["market", "post_only"], max_hold_s=90)
    assert len(grid) == 8 and grid.rows.dtype == GRID_DTYPE
    assert grid.rows["stop_loss"].tolist() == [100_000] * 4 + [200_000] * 4 and grid.rows["entry_type"].tolist() == [2, 1] * 4
    assert grid.rows["max_hold_ns"][0] == 90 * SECOND and grid.rows["cooldown_ns"][0] == 300 * SECOND
    assert grid.setting(3) == {
        "entry": "post_only",
        "entry_offset": "0e-8",
        "take_profit": "150000e-8",
        "stop_loss": "100000e-8",
        "trail": "0e-8",
        "entry_ttl_s": 1800.0,
        "max_hold_s": 90.0,
        "cooldown_s": 300.0,
        "exit_phase": 0,
        "requotes": 0,
        "notional": 200.0,
    }
    assert Grid.of([grid.setting(n) for n in range(len(grid))]).rows.tobytes() == grid.rows.tobytes()
    assert grid[2:4].rows.tobytes() == grid.rows[2:4].tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_loss": 0.6}, "stop_loss: expected a fraction from 0 to 0.5"),
        ({"stop_loss": 0}, "row 0: stop_loss: expected 1 to"),
        ({"stop_loss": 0.001, "trail": 0.0000000001}, "trail: expected a fraction"),
        ({"stop_loss": 0.001, "entry": "limit"}, "entry: expected 'post_only'"),
        ({"stop_loss": 0.001, "max_hold_s": 0}, "max_hold_ns: expected"),
        ({"stop_loss": 0.001, "exit_phase": 7}, "exit_phase: expected a Phase"),
        ({"stop_loss": 0.001, "requotes": [0, 9]}, "row 1: requotes"),
        ({"stop_loss": 0.001, "colour": 1}, "unknown option colour"),
        ({"stop_loss": []}, "stop_loss is an empty list"),
        ({}, "stop_loss is required"),
        ({"stop_loss": "many"}, "stop_loss: expected a fraction"),
        ({"stop_loss": 0.001, "notional": -1}, "notional: expected an amount"),
        ({"stop_loss": 0.001, "entry_ttl_s": "x"}, "entry_ttl_s: expected seconds"),
    ],
)
def test_grids_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Grid.product(**{"notional": 100} | options)


@pytest.mark.parametrize("mark", [0, int(FeedState.FEED_GAP), int(FeedState.FEED_DOWN)])
@pytest.mark.parametrize("wait", [1e-12, 1e-9, 2e-9, 0.4])
def test_the_shortest_wait_where_a_mark_and_the_trade_that_fires_the_stop_share_a_nanosecond(wait, mark):
    """A wait of 0 is refused: the columns do not say what stood before a mark of its own nanosecond. From 1 ns on all of it has been."""
    rows = [(0, Kind.TRADE, 100.0, 1, 0, 0.0), *((1 + n, Kind.LIQUIDATION, 100.0, 1, 0, 0.0) for n in range(3))]
    rows += [(ms, Kind.TRADE, 100.0, 1, 0, 0.0) for ms in (100, 200)] + [(2900, Kind.BBO, 98.0, 0, 0, 98.2)]
    rows += [(3000, Kind.FEED, 0.0, 0, mark, 0.0)] * (mark > 0) + [(ms, Kind.TRADE, price, -1, 0, 0.0) for ms, price in ((3000, 98.0), (3400, 97.0))]
    events = np.zeros(len(rows), EVENT_DTYPE)
    for event, (ms, kind, price, side, code, ask) in zip(events, rows, strict=True):
        event["ts_event"] = event["ts_recv"] = T0 + ms * 10**6
        event["kind"], event["price"], event["side"], event["code"], event["aux_price"] = kind, price, side, code, ask
        event["qty"], event["aux_qty"] = float(kind != Kind.FEED) * 5.0, 5.0 * (ask > 0)
    tape = Tape.of(instruments(1), events)
    bracket = {"entry": "market", "stop_loss": 0.01, "notional": 1000}
    config = CascadeConfig(warmup=1, min_events=1, quantile=0.5, window_events=10)
    venue = {"order_latency_s": 0.05, "ack_latency_s": 0.05, "print_wait_s": wait, "half_spread": 0.0005}
    signals, places = signals_of(tape, 0, config)
    grid = Grid.of([bracket])
    found = trades_of(tape, 0, signals, fade(signals), grid, 0, places=places, data_age_max_s=5.0, **venue)
    row = sweep(tape, 0, signals, fade(signals), grid, places=places, data_age_max_s=5.0, **venue)[0]

    class Market(lc.Policy):
        def on_signal(self, signal, market):
            return lc.Bracket(signal.side, **bracket) if signal.phase == Phase.ACTIVE else None

    paper = Paper(Engine(tape.instruments, config, Market(), Risk(data_age_max_s=5.0)), SimVenue(tape.instruments, funding_interval_s=0.0, **venue))
    paper.run(events)
    paper.advance(int(tape.end))
    told = lc.audit.view(paper.engine.audit.drain(), lc.AuditKind.AUDIT_TRADE)
    assert [(t["exit_price"], t["net"]) for t in told] == [(t["exit_price"], t["net"]) for t in found if not t["open"]]
    assert len(told) == (mark > 0 and wait < 0.1), "the others are heard of after the end"
    assert (row["trades"], row["net"]) == (len(told), sum(told["net"].tolist()))
    with pytest.raises(ValueError, match="print_wait_s"):
        SimVenue(tape.instruments, print_wait_s=0.0)


def test_errors_name_what_is_wrong(small):
    tape, signals, places, grid = small
    sides = fade(signals)
    for change, message in (
        ({"fills": "queue"}, "use a backtest"),
        ({"maker_fee": 0.5}, "maker_fee: expected"),
        ({"order_latency_s": [0.1]}, "constant"),
        ({"collar": 0.0}, "collar"),
        ({"print_wait_s": 0.0}, "print_wait_s: expected"),
        ({"threads": 0}, "threads"),
        ({"chunk": 0}, "chunk"),
        ({"places": places[1:]}, "places: expected shape"),
        ({"reference": sides * 0.5}, "reference: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            sweep(tape, 0, signals, sides, grid, **{"places": places} | change)
    with pytest.raises(ValueError, match="instrument: expected 0 to 0"):
        sweep(tape, 3, signals, sides, grid)
    with pytest.raises(ValueError, match="signals: expected"):
        sweep(tape, 0, signals[::-1], sides, grid)
    with pytest.raises(ValueError, match="sides: expected"):
        sweep(tape, 0, signals, sides[1:], grid)
    with pytest.raises(ValueError, match="sides: expected"):
        sweep(tape, 0, signals, sides * 2, grid)
    with pytest.raises(TypeError, match="unknown argument colour"):
        trades_of(tape, 0, signals, sides, grid, colour=1)
    with pytest.raises(ValueError, match="GRID_DTYPE"):
        Grid(np.zeros(3))
    strange = signals.copy()
    strange["ts"] += 1
    with pytest.raises(ValueError, match="no liquidation of the tape has its time"):
        locate(tape, 0, strange)


def test_places_that_times_do_not_tell():
    """Two liquidations and a trade at one moment: which of the two made the signal, only the detector knows."""
    rows = np.zeros(40, EVENT_DTYPE)
    rows["ts_recv"] = rows["ts_event"] = 1_700_000_000 * SECOND + np.repeat(np.arange(10), 4) * SECOND
    rows["kind"] = np.tile([Kind.LIQUIDATION, Kind.TRADE, Kind.LIQUIDATION, Kind.TRADE], 10)
    rows["side"], rows["price"], rows["qty"] = 1, 2000.0, np.tile([1.0, 1.0, 50.0, 1.0], 10)
    config = CascadeConfig(warmup=4, window_events=10, quantile=0.5, min_events=1, window_s=1.5, decay_s=1.0)
    tape = Tape.of(instruments(1), rows)
    signals, places = signals_of(tape, 0, config)
    active = signals["phase"] == Phase.ACTIVE
    assert active.any() and (places[active, 0] % 2 == 1).all()
    with pytest.raises(ValueError, match="give places="):
        locate(tape, 0, signals)
    rows["kind"][1], rows["code"][1] = Kind.FEED, FeedState.FEED_GAP  # a trade fewer: the places behind it are even
    signals, places = signals_of(Tape.of(instruments(1), rows), 0, config)
    active = signals["phase"] == Phase.ACTIVE
    assert active.any() and (places[active, 0] % 2 == 0).all()


def test_nothing_to_do():
    tape = Tape.of(instruments(1), generated(5, 2000, size=1))
    none, grid = np.zeros(0, SIGNAL_DTYPE), Grid.product(stop_loss=0.001, notional=100)
    result = sweep(tape, 0, none, np.zeros(0, np.int8), grid)
    assert result["signals"][0] == result["trades"][0] == 0 and len(trades_of(tape, 0, none, np.zeros(0, np.int8), grid)) == 0
    empty = Tape.of(instruments(1), np.zeros(0, EVENT_DTYPE))
    assert sweep(empty, 0, none, np.zeros(0, np.int8), grid)["days"][0] <= 1
