"""The simulated venue and paper trading: equal to a plain-Python oracle to the last bit, and the rules that a simulator must keep."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from oracle.simulate import PaperOracle, Settings

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import Action, FillFlag

pytestmark = pytest.mark.core

S = lc.SECOND
T0 = 1_700_000_000 * S
LONG, SHORT = int(lc.LONG), int(lc.SHORT)
BIG = {
    "order_notional_max": 1e9,
    "exposure_max": 1e9,
    "leverage_max": 1000.0,
    "orders_per_minute_max": 1000,
    "data_age_max_s": 1e6,
    "collar": 1.0,
    "daily_loss_max": 1.0,
    "weekly_loss_max": 1.0,
    "event_age_max_s": 1e6,
}
INSTRUMENTS = [
    lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001"),
    lc.Instrument("OKX", tick_size="0.1", lot_size="1", multiplier=0.01),
    lc.Instrument("DOGEUSDT", tick_size="0.00001", lot_size="1"),
    lc.Instrument("COARSE", tick_size="1", lot_size="0.001"),
]
MASKS = [0, 0, 4, 4, 4 | 2, 8, 8 | 32, 1, 1 | 2]  # of streams
PRICES = {"ETHUSDT": 2500.0, "OKX": 60000.0, "DOGEUSDT": 0.25, "COARSE": 2500.0}


class Answer(lc.Policy):
    def __init__(self, **bracket):
        self.brackets = {side: lc.Bracket(side, **bracket) for side in (LONG, SHORT)}

    def on_signal(self, signal, market):
        return self.brackets[signal.side] if signal.phase == lc.Phase.ACTIVE else None


def detector(window_s: float = 2.0) -> lc.CascadeConfig:
    return lc.CascadeConfig(warmup=1, min_events=1, window_events=2, window_s=window_s, decay_s=1.0)


def market(rng: random.Random, instrument: lc.Instrument, count: int, volatility: float) -> list[tuple]:
    """(ts, kind, a, b, ...): trades in ticks, lots and aggressor, quotes with their lots, liquidations (side, 0) and marks of the feed (state,
    streams, instrument). Bursts, equal times, jumps, silences; quotes that never come, come late, are cut, are few, are contradicted by prints."""
    ts, mid, sizes = T0, instrument.ticks(PRICES[instrument.symbol]), random.Random(count)
    few, first, last = rng.choice([1.0, 1.0, 1.0, 0.1]), rng.choice([0, 0, 0, 0, count // 3, count]), rng.choice([count, count, count, count // 2])
    wide = rng.choice([1, round(mid * volatility) + 1, 4 * round(mid * volatility) + 1])  # else most prints contradict the quote
    wild, silent, broken = rng.choice([0.0, 0.0, 0.05]), rng.choice([0.0, 0.0, 0.01]), rng.choice([0.0, 0.0, 0.01])
    odd = sizes.choice([0.0, 0.0, 0.1])  # quotes that are crossed, locked or have one side only
    out, down = [(ts, "trade", mid, 5, LONG)], 0
    for n in range(count):
        ts += rng.choice([0, 1, 10**6, rng.randrange(10**8), rng.randrange(10**9), 7 * 10**7])
        ts += rng.randrange(100 * S) if rng.random() < silent else 0
        mid = max(1000, mid + round(mid * rng.gauss(0.0, volatility) * (12 if rng.random() < 0.02 else 1)))
        what = rng.random()
        if rng.random() < broken + 0.2 * bool(down):
            state = lc.FeedState.FEED_UP if down else rng.choice([lc.FeedState.FEED_DOWN, lc.FeedState.FEED_GAP])
            streams = down - 1 if down else rng.choice(MASKS)
            down = streams + 1 if state == lc.FeedState.FEED_DOWN else 0
            out.append((ts, "feed", int(state), streams, rng.choice([0, -1])))
        elif what < 0.6:
            price = mid + (rng.choice([-1, 1]) * rng.randrange(2, 40) if rng.random() < wild else rng.choice([0, 0, 1, -1]))
            out.append((ts, "trade", price, rng.choice([1, 3, 50, 400]), sizes.choice([LONG, SHORT])))
        elif what < 0.9 and first <= n < last and rng.random() < few:
            bid, ask = max(1, mid - wide * rng.randrange(1, 4)), mid + wide * rng.randrange(1, 4)
            if sizes.random() < odd:
                bid, ask = sizes.choice([(ask, bid), (bid, bid), (bid, 0), (0, ask)])
            out.append((ts, "quote", bid, ask, sizes.choice([0, 2, 60, 500]), sizes.choice([0, 2, 60, 500])))
        elif what > 0.97:
            out.append((ts, "signal", rng.choice([LONG, SHORT]), 0))
    return out


def enter(target, instrument, event) -> tuple:
    """One event into an Engine."""
    ts, kind, a, b, *more = event
    if kind == "trade":
        return target.on_trade(ts, ts, 0, more[0], instrument.price(a), instrument.qty(b))
    if kind == "quote":
        return target.on_bbo(ts, ts, 0, instrument.price(a), instrument.qty(more[0]), instrument.price(b), instrument.qty(more[1]))
    if kind == "ticker":
        return target.on_ticker(ts, ts, 0, a, funding=b)
    if kind == "feed":
        return target.on_feed(ts, ts, a, more[0], b)
    return target.on_liquidation(ts, ts, 0, a, PRICES[instrument.symbol], 10.0, 1000.0)


KINDS = {"trade": lc.Kind.TRADE, "quote": lc.Kind.BBO, "signal": lc.Kind.LIQUIDATION, "ticker": lc.Kind.TICKER, "feed": lc.Kind.FEED}


def table(instrument, events) -> np.ndarray:
    out = np.zeros(len(events), lc.EVENT_DTYPE)
    for row, (ts, kind, a, b, *more) in zip(out, events, strict=True):
        row["ts_event"] = row["ts_recv"] = ts
        row["kind"] = KINDS[kind]
        if kind == "feed":
            row["code"], row["flags"], row["instrument"] = a, b, more[0]
            continue
        if kind == "trade":
            values = more[0] if more else LONG, instrument.price(a), instrument.qty(b), 0.0, 0.0
        elif kind == "quote":
            values = 0, instrument.price(a), instrument.qty(more[0]), instrument.price(b), instrument.qty(more[1])
        else:
            values = (a, PRICES[instrument.symbol], 10.0, 1000.0, 0.0) if kind == "signal" else (0, a, 0.0, 0.0, b)
        row["flags"] = more[0] if kind == "ticker" and more else 0
        row["side"], row["price"], row["qty"], row["aux_price"], row["aux_qty"] = values
    return out


def share(rng, low, high) -> Fraction:
    return Fraction(rng.randrange(low, high), 10**6)


def draw(seed: int, coarse: bool = False):
    rng = random.Random(seed)
    ms = 10**6
    g = Settings(
        notional=rng.choice([100.0, 1000.0, 5000.0]),
        market=rng.random() < 0.3,
        profit=rng.choice([Fraction(0), share(rng, 100, 3000), share(rng, 500, 2500)]),
        loss=share(rng, 300, 5000),
        trail=rng.choice([Fraction(0), share(rng, 500, 4000)]),
        ttl=rng.choice([1, 5, 30]) * S,
        hold=rng.choice([1, 10, 60]) * S,
        cooldown=rng.choice([0, 0, 5]) * S,
        requotes=rng.choice([0, 1, 2]),
        exit_phase=rng.choice([0, 0, 3, 4]),
        fills=rng.random() < 0.5 and "touch" or "through",
        order_latency=rng.choice([0, 1, 50 * ms, rng.randrange(500 * ms)]),
        ack_latency=rng.choice([0, 1, 50 * ms, rng.randrange(500 * ms)]),
        maker_fee=rng.choice([0.0002, 0.0, -0.0001]),
    )
    g.offset = Fraction(0) if g.market or rng.random() < 0.2 else share(rng, 1, 2000)
    if g.trail and seed % 3 == 0:
        g.basis, g.trail = "profit", g.trail * 150
    g.quote_age = rng.choice([200 * ms, 2 * S, 10 * S, 10 * S, 10**6 * S])
    g.print_wait = rng.choice([1 * ms, 100 * ms, 1 * S, 5 * S, 5 * S])
    g.half_spread = rng.choice([None, None, share(rng, 0, 500)])
    instrument = rng.choice(INSTRUMENTS)
    if coarse:
        g.fills, g.market, instrument = "touch", False, INSTRUMENTS[3]
        g.offset, g.profit = share(rng, 1, 400), share(rng, 400, 1500)
    return g, instrument, market(rng, instrument, 900, rng.choice([0.0001, 0.0004, 0.001]) if not coarse else 0.0003)


def paper(g: Settings, instrument) -> lc.Paper:
    policy = Answer(
        stop_loss=decimal(g.loss),
        take_profit=decimal(g.profit),
        trail=decimal(g.trail),
        trail_basis=g.basis,
        entry_offset=decimal(g.offset),
        entry="market" if g.market else "post_only",
        entry_ttl_s=g.ttl / S,
        max_hold_s=g.hold / S,
        cooldown_s=g.cooldown / S,
        requotes=g.requotes,
        exit_phase=g.exit_phase,
        notional=g.notional,
    )
    engine = lc.Engine([instrument], detector(), policy, lc.Risk(**BIG), equity=1e6, quote_age_s=g.quote_age / S)
    there, back = (("_s", g_ns / S) if isinstance(g_ns, int) else ("_samples", np.array(g_ns) / S) for g_ns in (g.order_latency, g.ack_latency))
    latency = lc.Latency(**{"order" + there[0]: there[1], "ack" + back[0]: back[1], "seed": g.seed})
    venue = lc.SimVenue(
        [instrument],
        fills=g.fills,
        taker="walk" if g.walk else "next",
        hidden="wait" if g.hidden else "none",
        maker_fee=g.maker_fee,
        taker_fee=g.taker_fee,
        latency=latency,
        funding_interval_s=g.funding / S,
        leverage=g.leverage,
        maintenance_margin=float(g.maintenance),
        print_wait_s=g.print_wait / S,
        half_spread=None if g.half_spread is None else float(g.half_spread),
    )
    return lc.Paper(engine, venue)


def decimal(fraction: Fraction) -> str:
    return f"{round(fraction * 10**6)}e-6"


def told(g: Settings, instrument, events) -> PaperOracle:
    """The oracle's story. Signals depend on market data only, so an engine without a policy gives them."""
    listener = lc.Engine([instrument], detector())
    timed, caused = [], []
    for event in events:
        timed += listener.advance(event[0])
        caused.append(enter(listener, instrument, event))
    tick, lot = float(Fraction(instrument.tick_size)), float(Fraction(instrument.lot_size))
    oracle = PaperOracle(instrument, g, tick, lot)
    for event, signals in zip(events, caused, strict=True):
        oracle.step(*event, timed=timed, caused=signals)
    timed += listener.advance(events[-1][0] + 3600 * S)
    oracle.advance(events[-1][0] + 3600 * S, timed)
    return oracle


def rows(records, kind):
    return records[records["kind"] == kind]


def compare(seed: int, coarse: bool = False) -> tuple[PaperOracle, np.ndarray]:
    return contrast(seed, *draw(seed, coarse))


def contrast(seed: int, g: Settings, instrument: lc.Instrument, events: list[tuple]) -> tuple[PaperOracle, np.ndarray]:
    """The same market to the oracle and to Paper: fills, trades, funding and alarms must be equal, and the books must balance."""
    oracle = told(g, instrument, events)
    desk = paper(g, instrument)
    desk.run(table(instrument, events))
    desk.advance(events[-1][0] + 3600 * S)
    records = desk.engine.audit.drain()
    fills = [
        (int(r["ts"]), int(r["x"][7]), r["x"][0], r["x"][1], r["x"][2], int(r["x"][3]), int(r["phase"])) for r in rows(records, AuditKind.AUDIT_FILL)
    ]
    trades = [(int(r["ts"]), int(r["reason"]), *r["x"][3:7]) for r in rows(records, AuditKind.AUDIT_TRADE)]
    for n, (mine, theirs) in enumerate(zip(oracle.fills, fills, strict=False)):
        assert mine == theirs, f"seed={seed}: fill {n}: oracle {mine}, paper {theirs}"
    assert len(oracle.fills) == len(fills), f"seed={seed}"
    assert oracle.trades == trades, f"seed={seed}"
    assert desk.venue.lost == 0 and desk.engine.audit.lost == 0
    names = {int(lc.Alarm.ALARM_LIQUIDATED): "liquidated", int(lc.Alarm.ALARM_UNPROTECTED): "unprotected", int(lc.Alarm.ALARM_STUCK): "stuck"}
    alarms = [(int(r["ts"]), names.get(int(r["phase"]), lc.Alarm(r["phase"]).name)) for r in rows(records, AuditKind.AUDIT_ALARM)]
    assert oracle.alarms == alarms, f"seed={seed}"
    funded = [(int(r["ts"]), int(r["id"]) >> 12, int(r["side"]), *r["x"][:4]) for r in rows(records, AuditKind.AUDIT_FUNDING)]
    assert oracle.funded == [(ts, number, side, price, qty, paid, rate) for ts, number, side, price, qty, paid, rate in funded], f"seed={seed}"
    check_books(desk, records, seed)
    return oracle, records


def check_books(desk, records, seed) -> None:
    """What must hold of every run: flat at the end, money adds up, prices on tick."""
    instrument = desk.engine.instruments[0]
    assert desk.engine.bracket(0)["state"] == lc.BracketState.BRACKET_FLAT and desk.venue.position(0) == 0.0, f"seed={seed}"
    position = desk.engine.account.position(0)
    net = sum(r["x"][5] for r in rows(records, AuditKind.AUDIT_TRADE))
    moved = sum(r["x"][0] * r["x"][1] * instrument.multiplier for r in rows(records, AuditKind.AUDIT_FILL))
    paid = sum(r["x"][2] for r in rows(records, AuditKind.AUDIT_FUNDING))
    assert position["qty"] == 0.0 and position["funding"] == pytest.approx(paid, abs=1e-12)
    assert desk.engine.account.equity - 1e6 == pytest.approx(net - paid, abs=1e-12 * moved + 1e-9), f"seed={seed}"
    for r in rows(records, AuditKind.AUDIT_FILL):
        assert r["x"][0] == instrument.price(instrument.ticks(r["x"][0])) and r["x"][1] == instrument.qty(instrument.lots(r["x"][1] + 1e-12))


@pytest.mark.parametrize("block", range(6))
def test_paper_equals_oracle(block):
    """Random markets and brackets, both sides: every fill and trade, its time, price, role, reason, fee and result, to the last bit."""
    reasons, roles, trades, met = set(), set(), 0, Counter()
    for seed in range(block * 25, block * 25 + 25):
        oracle, records = compare(seed)
        reasons |= {reason for _, reason, *_ in oracle.trades} | {reason for _, reason in oracle.skipped}
        roles |= {(role, flags & 1, reason) for _, role, _, _, _, flags, reason in oracle.fills}
        trades += len(oracle.trades)
        met += oracle.venue.met + Counter(FillFlag(flags) for _, _, _, _, _, flags, _ in oracle.fills if flags)
    assert met["refused: age"] and met["refused: print"] and met["moved: next"] and met[FillFlag.FILL_PRINT], met
    assert trades > 50 and {60, 61, 62, 63} <= reasons and len(roles) >= 6  # the comparison was about something


def test_paper_equals_oracle_in_partial_fills():
    """Fills by touch on a coarse grid: entries and targets are filled piece by piece, and amended in a race with their fills."""
    touched, amended = 0, 0
    for seed in (*range(3000, 3030), 10362):  # 10362: a position comes back after its max hold
        oracle, records = compare(seed, coarse=True)
        touched += sum(fill[-1] == lc.FillReason.FILL_TOUCH for fill in oracle.fills)
        amended += sum((r["phase"] == Action.ACTION_AMEND) and int(r["id"]) & 15 == 3 for r in rows(records, AuditKind.AUDIT_REQUEST))
    assert touched > 100 and amended > 10, (touched, amended)


@pytest.mark.parametrize("block", range(4))
def test_snapshot_anywhere_continues_byte_for_byte(block):
    for seed in range(1000 + 4 * block, 1004 + 4 * block):
        g, instrument, events = draw(seed)
        rows_ = table(instrument, events)
        whole = paper(g, instrument)
        whole.run(rows_)
        expected = whole.engine.audit.drain().tobytes()
        rng, got, at, desk = random.Random(seed), b"", 0, paper(g, instrument)
        while at < len(rows_):
            step = rng.randrange(1, 60)
            desk.run(rows_[at : at + step])
            at += step
            got += desk.engine.audit.drain().tobytes()
            data, desk = desk.snapshot(), paper(g, instrument)
            desk.restore(data)
        assert got == expected, f"seed={seed}"
        assert desk.venue.snapshot() == whole.venue.snapshot() and desk.engine.snapshot() == whole.engine.snapshot()


@pytest.mark.parametrize("seed", range(2000, 2006))
def test_cutting_and_waking_change_nothing(seed):
    """The same events in calls of one, and with advance() at arbitrary moments between them."""
    g, instrument, events = draw(seed)
    rows_ = table(instrument, events)
    whole, cut, rng = paper(g, instrument), paper(g, instrument), random.Random(seed)
    whole.run(rows_)
    for n in range(len(rows_)):
        if n and rng.random() < 0.5:
            before, after = int(rows_["ts_recv"][n - 1]), int(rows_["ts_recv"][n])
            if after > before:
                cut.advance(rng.randrange(before, after))
        cut.run(rows_[n : n + 1])
    assert whole.engine.audit.drain().tobytes() == cut.engine.audit.drain().tobytes()


def test_bad_arguments_and_snapshots():
    with pytest.raises(ValueError, match="fills: expected"):
        lc.SimVenue([INSTRUMENTS[0]], fills="magic")
    with pytest.raises(ValueError, match="order_latency_s"):
        lc.SimVenue([INSTRUMENTS[0]], order_latency_s=float("nan"))
    with pytest.raises(ValueError, match="maker_fee"):
        lc.SimVenue([INSTRUMENTS[0]], maker_fee=2.0)
    venue = lc.SimVenue([INSTRUMENTS[0]])
    for call in (venue.orders, venue.position):
        with pytest.raises(IndexError, match="instrument 7"):
            call(7)
    for data, message in (
        (b"", "damaged"),
        (b"x" * 10_000, "damaged"),
        (venue.snapshot()[:-1], "expected"),
        (lc.SimVenue([INSTRUMENTS[0]], fills="touch").snapshot(), "other instruments or settings"),
    ):
        with pytest.raises(ValueError, match=message):
            venue.restore(data)
    with pytest.raises(ValueError, match="same instruments"):
        lc.Paper(lc.Engine([INSTRUMENTS[0]]), lc.SimVenue([INSTRUMENTS[1]]))
