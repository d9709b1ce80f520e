"""The simulated venue and paper trading: equal to a plain-Python oracle to the last bit, and the rules that a simulator must keep."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.simulate import PaperOracle, Settings

import liqcore as lc
from liqcore.audit import AuditKind
from liqcore.event import Action

S = lc.SECOND
T0 = 1_700_000_000 * S
LONG, SHORT = int(lc.LONG), int(lc.SHORT)
BIG = {"order_notional_max": 1e9, "exposure_max": 1e9, "leverage_max": 1000.0, "orders_per_minute_max": 1000, "data_age_max_s": 1e6,
       "collar": 1.0, "daily_loss_max": 1.0, "weekly_loss_max": 1.0, "event_age_max_s": 1e6}
INSTRUMENTS = [lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001"), lc.Instrument("OKX", tick_size="0.1", lot_size="1", multiplier=0.01),
               lc.Instrument("DOGEUSDT", tick_size="0.00001", lot_size="1"), lc.Instrument("COARSE", tick_size="1", lot_size="0.001")]
PRICES = {"ETHUSDT": 2500.0, "OKX": 60000.0, "DOGEUSDT": 0.25, "COARSE": 2500.0}


class Answer(lc.Policy):
    def __init__(self, **bracket):
        self.brackets = {side: lc.Bracket(side, **bracket) for side in (LONG, SHORT)}

    def on_signal(self, signal, market):
        return self.brackets[signal.side] if signal.phase == lc.Phase.ACTIVE else None


def detector(window_s: float = 2.0) -> lc.CascadeConfig:
    return lc.CascadeConfig(warmup=1, min_events=1, window_events=2, window_s=window_s, decay_s=1.0)


def market(rng: random.Random, instrument: lc.Instrument, count: int, volatility: float) -> list[tuple]:
    """(ts, kind, a, b): trades in ticks and lots, quotes, and liquidations (side, 0). Bursts, equal times, jumps, stale and missing quotes."""
    ts, mid = T0, instrument.ticks(PRICES[instrument.symbol])
    out, quotes = [(ts, "trade", mid, 5)], rng.random() < 0.8
    for _ in range(count):
        ts += rng.choice([0, 1, 10 ** 6, rng.randrange(10 ** 8), rng.randrange(10 ** 9), 7 * 10 ** 7])
        mid = max(1000, mid + round(mid * rng.gauss(0.0, volatility) * (12 if rng.random() < 0.02 else 1)))
        what = rng.random()
        if what < 0.6:
            out.append((ts, "trade", mid + rng.choice([0, 0, 1, -1]), rng.choice([1, 3, 50, 400])))
        elif what < 0.9 and quotes:
            out.append((ts, "quote", mid - rng.randrange(1, 4), mid + rng.randrange(1, 4)))
        elif what > 0.97:
            out.append((ts, "signal", rng.choice([LONG, SHORT]), 0))
    return out


def enter(target, instrument, event) -> tuple:
    """One event into an Engine."""
    ts, kind, a, b = event
    if kind == "trade":
        return target.on_trade(ts, ts, 0, 1, instrument.price(a), instrument.qty(b))
    if kind == "quote":
        return target.on_bbo(ts, ts, 0, instrument.price(a), 1.0, instrument.price(b), 1.0)
    return target.on_liquidation(ts, ts, 0, a, PRICES[instrument.symbol], 10.0, 1000.0)


def table(instrument, events) -> np.ndarray:
    out = np.zeros(len(events), lc.EVENT_DTYPE)
    for row, (ts, kind, a, b) in zip(out, events):
        row["ts_event"] = row["ts_recv"] = ts
        row["kind"] = {"trade": lc.Kind.TRADE, "quote": lc.Kind.BBO, "signal": lc.Kind.LIQUIDATION}[kind]
        row["side"] = a if kind == "signal" else 1
        row["price"] = PRICES[instrument.symbol] if kind == "signal" else instrument.price(a)
        row["qty"] = 10.0 if kind == "signal" else instrument.qty(b) if kind == "trade" else 1.0
        row["aux_price"] = 1000.0 if kind == "signal" else instrument.price(b) if kind == "quote" else 0.0
        row["aux_qty"] = 1.0 if kind == "quote" else 0.0
    return out


def share(rng, low, high) -> Fraction:
    return Fraction(rng.randrange(low, high), 10 ** 6)


def draw(seed: int, coarse: bool = False):
    rng = random.Random(seed)
    ms = 10 ** 6
    g = Settings(
        notional=rng.choice([100.0, 1000.0, 5000.0]), market=rng.random() < 0.3, profit=rng.choice([Fraction(0), share(rng, 100, 3000), share(rng, 500, 2500)]),
        loss=share(rng, 300, 5000), trail=rng.choice([Fraction(0), share(rng, 500, 4000)]), ttl=rng.choice([1, 5, 30]) * S,
        hold=rng.choice([1, 10, 60]) * S, cooldown=rng.choice([0, 0, 5]) * S, requotes=rng.choice([0, 1, 2]), exit_phase=rng.choice([0, 0, 3, 4]),
        touch=rng.random() < 0.5, order_latency=rng.choice([0, 1, 50 * ms, rng.randrange(500 * ms)]),
        ack_latency=rng.choice([0, 1, 50 * ms, rng.randrange(500 * ms)]), maker_fee=rng.choice([0.0002, 0.0, -0.0001]))
    g.offset = Fraction(0) if g.market or rng.random() < 0.2 else share(rng, 1, 2000)
    instrument = rng.choice(INSTRUMENTS)
    if coarse:
        g.touch, g.market, instrument = True, False, INSTRUMENTS[3]
        g.offset, g.profit = share(rng, 1, 400), share(rng, 400, 1500)
    return g, instrument, market(rng, instrument, 900, rng.choice([0.0001, 0.0004, 0.001]) if not coarse else 0.0003)


def paper(g: Settings, instrument) -> lc.Paper:
    policy = Answer(stop_loss=decimal(g.loss), take_profit=decimal(g.profit), trail=decimal(g.trail), entry_offset=decimal(g.offset),
                    entry="market" if g.market else "post_only", entry_ttl_s=g.ttl / S, max_hold_s=g.hold / S, cooldown_s=g.cooldown / S,
                    requotes=g.requotes, exit_phase=g.exit_phase, notional=g.notional)
    engine = lc.Engine([instrument], detector(), policy, lc.Risk(**BIG), equity=1e6)
    venue = lc.SimVenue([instrument], fills="touch" if g.touch else "through", maker_fee=g.maker_fee, taker_fee=g.taker_fee,
                        order_latency_s=g.order_latency / S, ack_latency_s=g.ack_latency / S)
    return lc.Paper(engine, venue)


def decimal(fraction: Fraction) -> str:
    return f"{round(fraction * 10 ** 6)}e-6"


def told(g: Settings, instrument, events) -> PaperOracle:
    """The oracle's story. Signals depend on market data only, so an engine without a policy gives them."""
    listener = lc.Engine([instrument], detector())
    timed, caused = [], []
    for event in events:
        timed += listener.advance(event[0])
        caused.append(enter(listener, instrument, event))
    tick, lot = float(Fraction(instrument.tick_size)), float(Fraction(instrument.lot_size))
    oracle = PaperOracle(instrument, g, tick, lot)
    for event, signals in zip(events, caused):
        oracle.step(*event, timed, signals)
    timed += listener.advance(events[-1][0] + 3600 * S)
    oracle.advance(events[-1][0] + 3600 * S, timed)
    return oracle


def rows(records, kind):
    return records[records["kind"] == kind]


def compare(seed: int, coarse: bool = False) -> tuple[PaperOracle, np.ndarray]:
    g, instrument, events = draw(seed, coarse)
    oracle = told(g, instrument, events)
    desk = paper(g, instrument)
    desk.run(table(instrument, events))
    desk.advance(events[-1][0] + 3600 * S)
    records = desk.engine.audit.drain()
    fills = [(int(r["ts"]), int(r["x"][7]), r["x"][0], r["x"][1], r["x"][2], bool(r["x"][3]), int(r["phase"])) for r in rows(records, AuditKind.AUDIT_FILL)]
    trades = [(int(r["ts"]), int(r["reason"]), *r["x"][3:7]) for r in rows(records, AuditKind.AUDIT_TRADE)]
    told_fills = [(ts, role, price, qty, fee, maker, reason) for ts, role, price, qty, fee, maker, reason in oracle.fills]
    for n, (mine, theirs) in enumerate(zip(told_fills, fills)):
        assert mine == theirs, f"seed={seed}: fill {n}: oracle {mine}, paper {theirs}"
    assert len(told_fills) == len(fills), f"seed={seed}"
    assert oracle.trades == trades, f"seed={seed}"
    assert desk.venue.lost == 0 and desk.engine.audit.lost == 0
    assert not len(rows(records, AuditKind.AUDIT_ALARM)), f"seed={seed}: {rows(records, AuditKind.AUDIT_ALARM)}"
    check_books(desk, records, seed)
    return oracle, records


def check_books(desk, records, seed) -> None:
    """What must hold of every run: flat at the end, money adds up, prices on tick."""
    instrument = desk.engine.instruments[0]
    assert desk.engine.bracket(0)["state"] == lc.BracketState.BRACKET_FLAT and desk.venue.position(0) == 0.0, f"seed={seed}"
    position = desk.engine.account.position(0)
    net = sum(r["x"][5] for r in rows(records, AuditKind.AUDIT_TRADE))
    moved = sum(r["x"][0] * r["x"][1] * instrument.multiplier for r in rows(records, AuditKind.AUDIT_FILL))
    assert position["qty"] == 0.0 and desk.engine.account.equity - 1e6 == pytest.approx(net, abs=1e-12 * moved + 1e-9), f"seed={seed}"
    for r in rows(records, AuditKind.AUDIT_FILL):
        assert r["x"][0] == instrument.price(instrument.ticks(r["x"][0])) and r["x"][1] == instrument.qty(instrument.lots(r["x"][1] + 1e-12))


@pytest.mark.parametrize("block", range(6))
def test_paper_equals_oracle(block):
    """Random markets and brackets, both sides: every fill and trade, its time, price, role, reason, fee and result, to the last bit."""
    reasons, roles, trades = set(), set(), 0
    for seed in range(block * 25, block * 25 + 25):
        oracle, records = compare(seed)
        reasons |= {reason for _, reason, *_ in oracle.trades} | {reason for _, reason in oracle.skipped}
        roles |= {(role, maker, reason) for _, role, _, _, _, maker, reason in oracle.fills}
        trades += len(oracle.trades)
    assert trades > 50 and {60, 61, 62, 63} <= reasons and len(roles) >= 6      # the comparison was about something


def test_paper_equals_oracle_in_partial_fills():
    """Fills by touch on a coarse grid: entries and targets are filled piece by piece, and amended in a race with their fills."""
    touched, amended = 0, 0
    for seed in range(3000, 3030):
        oracle, records = compare(seed, coarse=True)
        touched += sum(fill[-1] == lc.FillReason.FILL_TOUCH for fill in oracle.fills)
        amended += sum((r["phase"] == Action.ACTION_AMEND) and int(r["id"]) & 15 == 3 for r in rows(records, AuditKind.AUDIT_REQUEST))
    assert touched > 100 and amended > 10, (touched, amended)


# ---- single rules, both sides ----

both = pytest.mark.parametrize("side", [LONG, SHORT])
ETH = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.01")     # 1002 are 0.40 at the entry of either side


class Floor:
    """Paper trading by hand: prices are given for a long and mirrored about 2500 for a short."""

    def __init__(self, side: int = LONG, fills: str = "through", latency_s: float = 0.05, risk: dict | None = None, **bracket):
        self.side, self.now = side, T0
        bracket = {"stop_loss": "0.0025", "take_profit": "0.0015", "entry_offset": "0.0015", "notional": 1002.0, "cooldown_s": 300} | bracket
        engine = lc.Engine([ETH], detector(0.001 if not bracket.get("exit_phase") else 60.0), Answer(**bracket), lc.Risk(**(BIG | (risk or {}))), equity=1e5)
        self.paper = lc.Paper(engine, lc.SimVenue([ETH], fills=fills, order_latency_s=latency_s, ack_latency_s=latency_s))
        self.records = []
        self.quote(2499.99, 2500.01)
        self.trade(2500.0)
        self.liquidate()
        self.wait(1.0)

    def put(self, **fields):
        row = np.zeros(1, lc.EVENT_DTYPE)
        self.now += 1
        row["ts_event"] = row["ts_recv"] = self.now
        for name, value in fields.items():
            row[name] = value
        self.paper.run(row)
        self.records += list(self.paper.engine.audit.drain())

    def price(self, long: float) -> float:
        return ETH.price(ETH.ticks(long if self.side > 0 else 5000.0 - long))

    def trade(self, price: float, qty: float = 1.0):
        self.put(kind=lc.Kind.TRADE, side=1, price=self.price(price), qty=qty)

    def quote(self, bid: float, ask: float):
        low, high = sorted((self.price(bid), self.price(ask)))
        self.put(kind=lc.Kind.BBO, price=low, qty=1.0, aux_price=high, aux_qty=1.0)

    def liquidate(self):
        self.put(kind=lc.Kind.LIQUIDATION, side=self.side, price=2500.0, qty=10.0, aux_price=1000.0)

    def wait(self, seconds: float):
        self.now += round(seconds * 1e9)
        self.paper.advance(self.now)
        self.records += list(self.paper.engine.audit.drain())

    def kinds(self, kind):
        return [r for r in self.records if r["kind"] == kind]

    def fills(self):
        """(role, price as for a long, qty, maker, reason)"""
        return [(int(r["x"][7]), round(self.price(r["x"][0]), 2), round(r["x"][1], 3), bool(r["x"][3]), int(r["phase"])) for r in self.kinds(AuditKind.AUDIT_FILL)]

    @property
    def trades(self):
        return self.kinds(AuditKind.AUDIT_TRADE)


@pytest.mark.parametrize(("side", "reference", "tick", "expected"), [(LONG, 2500.0, "0.01", (2496.25, 2500.0, 2490.01)),
                                                                     (SHORT, 180.0, "0.01", (180.27, 180.0, 180.72))])
@pytest.mark.parametrize("exit_by", ["target", "stop"])
def test_golden_prices_through_paper(side, reference, tick, expected, exit_by):
    """S2-12 through the whole engine: what is asked for, and what the fills are."""
    instrument = lc.Instrument("ETHUSDT", tick_size=tick, lot_size="0.001")
    policy = Answer(stop_loss="0.0025", take_profit="0.0015", entry_offset="0.0015", notional=1000.0)
    desk = lc.Paper(lc.Engine([instrument], detector(), policy, lc.Risk(**BIG)), lc.SimVenue([instrument]))
    entry, target, stop = (instrument.ticks(price) for price in expected)
    beyond = target + side if exit_by == "target" else stop
    events = [(T0, "trade", instrument.ticks(reference), 9), (T0 + 1, "signal", side, 0), (T0 + 10 * S, "signal", side, 0),
              (T0 + 11 * S, "trade", entry - side, 9), (T0 + 12 * S, "trade", beyond, 9), (T0 + 13 * S, "trade", beyond - side, 9)]
    rows_ = table(instrument, events)
    rows_["price"][1:3] = reference
    desk.run(rows_)
    desk.advance(T0 + 20 * S)
    records = desk.engine.audit.drain()
    asked = [r for r in rows(records, AuditKind.AUDIT_REQUEST) if r["phase"] == Action.ACTION_CREATE]
    assert [r["x"][0] for r in asked] == [expected[0], expected[1]] and asked[0]["x"][2] == expected[2]
    fills = [r["x"][0] for r in rows(records, AuditKind.AUDIT_FILL)]
    assert fills == [expected[0], expected[1] if exit_by == "target" else instrument.price(stop - side)]


@both
def test_nothing_fills_before_arrival_or_on_arrival(side):
    floor = Floor(side, latency_s=0.5)
    floor.liquidate()
    floor.wait(0.4)
    floor.trade(2490.0)             # far beyond the entry while it is on its way
    floor.trade(2500.0)
    assert floor.fills() == [] and floor.paper.venue.orders(0) == []
    floor.wait(0.2)
    assert len(floor.paper.venue.orders(0)) == 1
    floor.wait(1.0)
    assert floor.fills() == []


@both
def test_through_needs_a_price_strictly_beyond(side):
    for fills in ("through", "touch"):
        floor = Floor(side, fills)
        floor.liquidate()
        floor.wait(1.0)
        floor.trade(2496.25, qty=0.1)
        floor.wait(1.0)
        assert floor.fills() == ([] if fills == "through" else [(1, 2496.25, 0.1, True, int(lc.FillReason.FILL_TOUCH))])
        floor.trade(2496.24, qty=0.001)
        floor.wait(1.0)
        assert sum(fill[2] for fill in floor.fills() if fill[0] == 1) == pytest.approx(0.4)
        targets = [r for r in floor.kinds(AuditKind.AUDIT_REQUEST) if int(r["id"]) & 15 == 3]
        assert [round(r["x"][1], 3) for r in targets] == ([0.4] if fills == "through" else [0.1, 0.4])     # amended to what was filled


@both
def test_post_only_is_judged_on_arrival_and_requoted_within_bounds(side):
    for requotes in (0, 1, 2):
        floor = Floor(side, requotes=requotes)
        floor.liquidate()
        for n in range(6):                              # the market falls faster than the quotes follow
            floor.quote(2490.0 - 10 * n, 2490.01 - 10 * n)
            floor.trade(2490.0 - 10 * n)
            floor.wait(0.1)
        entries = [r for r in floor.kinds(AuditKind.AUDIT_REQUEST) if int(r["id"]) & 15 == 1]
        rejects = [r for r in floor.kinds(AuditKind.AUDIT_ORDER) if r["reason"] == lc.Reason.END_POST_ONLY]
        assert len(entries) == len(rejects) == requotes + 1 or len(rejects) < requotes + 1 == len(entries)
        assert len({int(r["id"]) for r in entries}) == len(entries)


@both
def test_stop_fills_at_the_next_price_through_a_jump(side):
    floor = Floor(side)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2496.0)
    floor.wait(1.0)
    floor.quote(2460.0, 2460.02)
    floor.trade(2470.0)             # the jump: trigger
    assert len(floor.paper.venue.orders(0)) == 2
    floor.trade(2465.0)             # the next price is worse than the trigger, and so is the bid
    floor.wait(1.0)
    assert floor.fills()[-1] == (2, 2460.0, 0.4, False, int(lc.FillReason.FILL_STOP))
    trade, = floor.trades
    assert trade["reason"] == lc.Reason.END_STOP and trade["x"][3] == pytest.approx(0.4 * (2460.0 - 2496.25))


@both
def test_a_sweep_through_entry_and_stop_takes_both(side):
    """The wick case: one trade beyond the entry and its stop. A simulator that forgets the stop here invents the whole profit of a fade."""
    floor = Floor(side)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2480.0)             # entry 2496.25, stop 2490.01
    assert floor.paper.venue.orders(0)[0]["triggered"]
    floor.trade(2485.0)
    floor.wait(1.0)
    assert [fill[0] for fill in floor.fills()] == [1, 2] and floor.fills()[1][1] == 2485.0
    entered, left = (int(r["ts"]) for r in floor.kinds(AuditKind.AUDIT_FILL))
    assert left > entered           # not from the same event


@both
def test_fired_stop_goes_before_the_target(side):
    """A rebound beyond the target after the trigger: the stop was on its way first. (The target must not depend on the place its order lies in.)"""
    for slots in (0, 1):
        floor = Floor(side, "touch" if slots else "through", take_profit="0.0005")
        floor.quote(2497.1, 2497.2)
        floor.liquidate()
        floor.wait(1.0)
        if slots:
            floor.trade(2496.25, qty=0.1)
            floor.wait(1.0)
        floor.trade(2496.0)
        floor.wait(1.0)
        floor.trade(2490.0)
        floor.trade(2510.0)
        floor.wait(1.0)
        assert floor.fills()[-1][0] == 2, floor.fills()


@both
def test_market_entry_keeps_its_stop_and_anchors_it_at_the_fill(side):
    """S2-09b: the stop counts from the fill. The ask is 0.2 % above the last trade."""
    floor = Floor(side, entry="market", entry_offset=0, take_profit=0)
    floor.quote(2504.99, 2505.0)
    floor.liquidate()
    floor.wait(1.0)
    assert floor.fills() == [(1, 2505.0, 0.4, False, int(lc.FillReason.FILL_CROSS))]
    stop, = floor.paper.venue.orders(0)
    assert floor.price(stop["price"]) == pytest.approx(2498.74 if side > 0 else 2498.77, abs=0.001) and stop["type"] == 3
    assert not floor.kinds(AuditKind.AUDIT_ALARM)


@both
def test_ttl_max_hold_and_cooldown(side):
    floor = Floor(side, entry_ttl_s=10, max_hold_s=20, cooldown_s=300)
    floor.liquidate()
    sent = floor.now
    floor.wait(11.0)
    assert floor.paper.engine.bracket(0)["end"] == lc.Reason.END_TTL and floor.paper.venue.orders(0) == []
    cancel = [r for r in floor.kinds(AuditKind.AUDIT_REQUEST) if r["phase"] == Action.ACTION_CANCEL]
    assert [int(r["ts"]) - sent for r in cancel] == [10 * S]
    floor.liquidate()                                   # no cooldown after an entry that never filled
    floor.wait(1.0)
    floor.trade(2496.0)
    floor.trade(2499.0)
    floor.wait(30.0)
    assert floor.fills()[-1][0] == 4 and floor.fills()[-1][4] == lc.FillReason.FILL_TIMEOUT
    trade, = floor.trades
    entry, close = (int(r["ts"]) for r in floor.kinds(AuditKind.AUDIT_FILL))
    assert trade["reason"] == lc.Reason.END_MAX_HOLD and close - entry == 20 * S + 10 ** 8      # to the venue and back
    floor.now = close + 299 * S
    floor.trade(2500.0)
    floor.liquidate()
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.COOLDOWN
    floor.wait(2.0)
    floor.liquidate()
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.OK
    floor.liquidate()
    floor.wait(0.01)
    floor.liquidate()
    assert floor.kinds(AuditKind.AUDIT_RISK)[-1]["reason"] == lc.Reason.BRACKET_OPEN


def test_c10_fees_per_leg_and_role():
    """Regression fixture of C10: the written result charges one maker leg of 2 bps. Both legs are charged here, each by the role it had."""
    one_leg = 2e-4
    for exit_price, exit_fee, name in ((2500.5, 2e-4, lc.Reason.END_TARGET), (2485.0, 5.5e-4, lc.Reason.END_STOP)):
        floor = Floor(LONG)
        floor.liquidate()
        floor.wait(1.0)
        floor.trade(2496.0)
        floor.wait(1.0)
        floor.trade(exit_price)
        floor.trade(exit_price)
        floor.wait(1.0)
        trade, = floor.trades
        out = floor.fills()[-1][1]
        assert trade["reason"] == name and trade["x"][4] == pytest.approx(0.4 * (2496.25 * 2e-4 + out * exit_fee), rel=1e-12)
        assert trade["x"][5] == trade["x"][3] - trade["x"][4] and trade["x"][4] > 1.9 * 0.4 * 2496.25 * one_leg
        assert floor.paper.engine.account.equity == pytest.approx(1e5 + trade["x"][5], abs=1e-9)


@both
def test_refused_events_never_reach_the_venue(side):
    """A trade of a thousandth of the price, refused at the door while a report is being delivered, must not fill or stop anything."""
    floor = Floor(side)
    floor.liquidate()
    floor.wait(1.0)
    floor.trade(2496.0)             # the fill's report is under way
    floor.now += 10 ** 9
    floor.put(kind=lc.Kind.TRADE, side=1, price=2.5 if side > 0 else 2.5e6, qty=1.0)
    floor.put(kind=lc.Kind.TRADE, side=1, price=float("nan"), qty=1.0)
    assert sum(floor.paper.engine.refused.values()) == 2
    floor.trade(2499.0)
    floor.wait(1.0)
    assert [fill[0] for fill in floor.fills()] == [1]


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
            desk.run(rows_[at:at + step])
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
        cut.run(rows_[n:n + 1])
    assert whole.engine.audit.drain().tobytes() == cut.engine.audit.drain().tobytes()


def test_bad_arguments_and_snapshots():
    with pytest.raises(ValueError, match="fills: expected"):
        lc.SimVenue([ETH], fills="magic")
    with pytest.raises(ValueError, match="order_latency_s"):
        lc.SimVenue([ETH], order_latency_s=float("nan"))
    with pytest.raises(ValueError, match="maker_fee"):
        lc.SimVenue([ETH], maker_fee=2.0)
    venue = lc.SimVenue([ETH])
    for call in (venue.orders, venue.position):
        with pytest.raises(IndexError, match="instrument 7"):
            call(7)
    for data, message in ((b"", "damaged"), (b"x" * 10_000, "damaged"), (venue.snapshot()[:-1], "expected"),
                          (lc.SimVenue([ETH], fills="touch").snapshot(), "other instruments or settings")):
        with pytest.raises(ValueError, match=message):
            venue.restore(data)
    with pytest.raises(ValueError, match="same instruments"):
        lc.Paper(lc.Engine([ETH]), lc.SimVenue([INSTRUMENTS[1]]))
