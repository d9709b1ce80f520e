"""The columnar ledger against a plain walk over the records, written from docs/engine.md, event.pxd and docs/report.md, on random audit streams."""

import csv
import math
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from liqcore import AuditKind, FeedState, OrderStatus, Phase, Reason, Role
from liqcore.audit import VIEWS, rows
from liqshell.report.ledger import read_ledger
from liqshell.report.run import Run
from liqshell.report.statistics import numbered, sums_of
from liqshell.report.trades import Trades, floats, isos

MULTIPLIERS = (1.0, 0.1)
K, R = AuditKind, Reason
T0 = 1_700_000_000_000_000_000
#: which fields of a kind are drawn from what; the rest stays 0
NUMBERS = {
    "price": (0.0, 99.5, 100.0, 101.3),
    "qty": (0.0, 0.1, 0.2, 0.7),
    "last_price": (0.0, 100.1),
    "order_type": (1.0, 2.0),
    "fee": (0.01, 0.02, -0.003),
    "position": (0.0, 0.3, -0.2),
    "stop_price": (0.0, 98.0, 102.0),
    "target_price": (0.0, 103.0),
    "entry_price": (100.0, 101.0),
    "exit_price": (99.0, 102.5),
    "gross": (-1.5, 0.3, 2.0),
    "fees": (0.1, 0.3),
    "hold_s": (1.0, 7.5),
    "entry_is_maker": (0.0, 1.0),
    "paid": (0.05, -0.01),
    "latency_ms": (0.0, 3.0, 9.5),
    "take_profit": (0.001, 0.002),
    "stop_loss": (0.003,),
    "equity": (0.0, 1e4, 1.1e4),
    "long_notional": (0.0, 5e5, 7e5),
    "short_notional": (0.0, 2e5),
    "threshold": (1e4, 2e4),
    "z": (1.5, 2.5),
    "score": (3.0, 7.0),
    "gap_s": (0.0, 2.0),
    "notional": (1e5, 3e5),
    "streams": (0.0, float(lc.event.Stream.STREAM_LIQUIDATION), float(lc.event.Stream.STREAM_TRADE)),
}
PHASES = {
    K.AUDIT_SIGNAL: list(Phase)[:4],
    K.AUDIT_POLICY: [Phase.BUILDING, Phase.ACTIVE, Phase.ACTIVE],
    K.AUDIT_REQUEST: [1, 1, 2, 3],
    K.AUDIT_ORDER: list(OrderStatus),
    K.AUDIT_BRACKET: [0, 2, 3],
    K.AUDIT_FEED: list(FeedState),
}
REASONS = {
    K.AUDIT_POLICY: [R.OK, R.OK, R.NO_TRADE, R.ASK_LATER, R.POLICY_LEAVE, R.COOLDOWN],
    K.AUDIT_RISK: [R.OK, R.OK, R.HALTED, R.NETTED],
    K.AUDIT_JUDGE: [R.OK, R.VETOED],
    K.AUDIT_ORDER: [R.OK, R.END_TTL, R.END_POST_ONLY],
    K.AUDIT_BRACKET: [R.OK, R.END_STOP],
    K.AUDIT_TRADE: [R.END_STOP, R.END_TARGET],
    K.AUDIT_REFUSED: [R.BAD_PRICE, R.BAD_TIME],
}
OURS = (K.AUDIT_REQUEST, K.AUDIT_ORDER, K.AUDIT_FILL, K.AUDIT_BRACKET, K.AUDIT_TRADE, K.AUDIT_FUNDING)
WEIGHTS = (
    [K.AUDIT_SIGNAL] * 5
    + [K.AUDIT_POLICY] * 4
    + [K.AUDIT_RISK] * 4
    + [K.AUDIT_REQUEST] * 5
    + [K.AUDIT_ORDER] * 5
    + [K.AUDIT_FILL] * 5
    + [K.AUDIT_BRACKET] * 3
    + [K.AUDIT_TRADE] * 2
    + [K.AUDIT_FUNDING, K.AUDIT_LAPSED, K.AUDIT_FEED, K.AUDIT_LARGE, K.AUDIT_LARGE, K.AUDIT_JUDGE, K.AUDIT_REFUSED]
)


def stream(seed: int, count: int) -> np.ndarray:
    """Records in any order, as dense in coincidences as no run is: few instruments, sequences, orders and events."""
    rng = np.random.default_rng(seed)
    audit = np.zeros(count, lc.AUDIT_DTYPE)
    for k, r in enumerate(audit):
        kind = WEIGHTS[rng.integers(len(WEIGHTS))]
        r["seq"], r["ts"], r["kind"], r["instrument"] = k + 1, T0 + k * 1000 + rng.integers(3), kind, rng.integers(2)
        r["side"], r["phase"] = rng.choice([-1, 1]), rng.choice(PHASES.get(kind, [0]))
        r["reason"] = rng.choice(REASONS.get(kind, [R.OK]))
        r["id"] = T0 - rng.integers(1, 4)
        view = audit[k : k + 1].view(VIEWS[kind])
        for name in VIEWS[kind].names[8:]:
            if name in NUMBERS:
                view[name] = rng.choice(NUMBERS[name])
        if kind in OURS:
            role = rng.choice([Role.ROLE_ENTRY, Role.ROLE_ENTRY, Role.ROLE_STOP, Role.ROLE_TARGET])
            r["id"] = int(r["instrument"]) << 40 | int(rng.integers(1, 5)) << 12 | int(rng.integers(2)) << 4 | int(role)
            if kind == K.AUDIT_FILL:
                view["role"] = role
        if kind in (K.AUDIT_SIGNAL, K.AUDIT_LAPSED, K.AUDIT_LARGE):
            view["detector"], view["count"] = rng.integers(1, 3), rng.integers(1, 3)
        if kind == K.AUDIT_SIGNAL and rng.random() < 0.1:
            r["side"] = 0
        if kind == K.AUDIT_FEED:
            r["instrument"] = rng.integers(-1, 2)
        if kind == K.AUDIT_POLICY and r["reason"] in (R.NO_TRADE, R.ASK_LATER):
            declined = audit[k : k + 1].view(lc.audit.DECLINED_DTYPE)
            declined["condition"] = rng.choice([b"", b"score at least", b"phase is"])
    return audit


class Walk:
    """The same, a record at a time."""

    def __init__(self, audit: np.ndarray):
        self.cascades, self.brackets, self.refusals, self.paid = [], [], [], 0.0
        self.now, self.begun, self.wish, self.granted, self.chain, self.naming = {}, {}, {}, {}, {}, set()
        self.of = {}
        self.naming = set(audit[audit["kind"] == K.AUDIT_LARGE].view(VIEWS[K.AUDIT_LARGE])["detector"].tolist())
        for r in rows(audit):
            getattr(self, AuditKind(r.kind).name.removeprefix("AUDIT_").lower())(r)
        for b in self.brackets:  # of a killed run: the trade is there, its bracket's end is not
            if b["closed"] and not b["flat"]:
                b["flat"] = b["closed"][0]

    def refused(self, r):
        pass

    def large(self, r):
        if r.count == 1 or r.instrument not in self.chain:
            self.chain[r.instrument] = []
        self.chain[r.instrument].append(r.ts)

    def signal(self, r):
        if not r.side:
            return
        c = self.now.get((r.instrument, r.detector))
        if c is None or c["start"] != r.id or c["ended"]:
            larges = self.chain.get(r.instrument, []) if r.detector in self.naming else []
            c = {
                "instrument": r.instrument,
                "start": r.id,
                "larges": larges,
                "active": 0,
                "ended": 0,
                "interrupted": False,
                "phases": [],
                "answers": [],
                "bracket": None,
                "detector": r.detector,
            }
            self.cascades.append(c)
            self.now[r.instrument, r.detector] = self.begun[r.instrument, r.id] = c
        c["phases"].append((r.ts, r.phase))
        c.update({name: getattr(r, name) for name in ("side", "long_notional", "short_notional", "threshold", "z", "score", "price", "count")})
        if r.phase == Phase.ACTIVE:
            c["active"] = c["active"] or r.ts
        if r.phase == Phase.EXHAUSTED:
            c["ended"] = r.ts

    def lapsed(self, r):
        c = self.now.get((r.instrument, r.detector))
        if c and not c["active"]:
            c["ended"] = r.ts

    def feed(self, r):
        if r.phase != FeedState.FEED_UP and (r.streams == 0 or int(r.streams) & lc.event.Stream.STREAM_LIQUIDATION):
            for c in self.now.values():
                if r.instrument in (-1, c["instrument"]) and not c["ended"]:
                    c["ended"], c["interrupted"] = r.ts, True

    def answer(self, c, r):
        if c is not None:
            c["answers"].append((r.ts, r.reason))
        if r.reason != R.OK:
            self.refusals.append(r.reason)

    def policy(self, r):
        c, condition = self.begun.get((r.instrument, r.id)), getattr(r, "condition", b"")
        if r.reason == R.OK:
            self.wish[r.instrument] = c, r.take_profit, r.stop_loss
        elif r.reason == R.COOLDOWN:
            self.answer(c, r)
        else:
            named = r.reason != R.POLICY_LEAVE and condition
            if c is not None and (named or r.phase == Phase.ACTIVE) and not (named and condition.startswith(b"phase is")):
                self.answer(c, r)

    def risk(self, r):
        wish = self.wish.pop(r.instrument, (self.begun.get((r.instrument, r.id)), 0.0, 0.0))
        self.answer(wish[0], r)
        if r.reason == R.OK:
            self.granted[r.instrument] = wish

    def judge(self, r):
        if r.reason != R.OK:
            self.answer(self.begun.get((r.instrument, r.id)), r)

    def request(self, r):
        b = self.of.get((r.instrument, r.id >> 12))
        create = r.phase == 1
        if b is None:
            if r.id & 15 != Role.ROLE_ENTRY or not create:
                return
            c, profit, stop = self.granted.pop(r.instrument, (None, 0.0, 0.0))
            b = {
                "instrument": r.instrument,
                "opened": r.ts,
                "side": r.side,
                "qty": r.qty,
                "cascade": c,
                "take_profit": profit,
                "stop_loss": stop,
                "score": c["score"] if c else 0.0,
                "cascade_notional": c["long_notional"] + c["short_notional"] if c else 0.0,
                "orders": {},
                "fills": [],
                "position": 0.0,
                "stop_price": 0.0,
                "flat": 0,
                "funding": 0.0,
                "closed": None,
            }
            if c is not None and c["bracket"] is None:
                c["bracket"] = b
            self.of[r.instrument, r.id >> 12] = b
            self.brackets.append(b)
        if create:
            b["orders"][r.id] = {
                "qty": r.qty,
                "type": int(r.order_type),
                "last": r.last_price,
                "steps": [(r.ts, r.price)] if r.price > 0 else [],
                "acked": 0,
                "ack_ms": 0.0,
                "triggered": 0,
                "ended": 0,
                "reason": 0,
                "rejected": False,
                "filled": 0.0,
            }
        elif r.id in b["orders"] and r.qty > 0:
            b["orders"][r.id]["qty"] = r.qty

    def order(self, r):
        if (b := self.of.get((r.instrument, r.id >> 12))) is None:
            return
        o = b["orders"].setdefault(
            r.id,
            {
                "qty": r.qty,
                "type": 0,
                "last": 0.0,
                "steps": [],
                "acked": 0,
                "ack_ms": 0.0,
                "triggered": 0,
                "ended": 0,
                "reason": 0,
                "rejected": False,
                "filled": 0.0,
            },
        )
        if r.phase == OrderStatus.ORDER_NEW:
            if not o["acked"]:
                o["acked"], o["ack_ms"] = r.ts, 0.0 if r.id & 15 == Role.ROLE_STOP else r.latency_ms
            if r.price > 0 and (not o["steps"] or o["steps"][-1][1] != r.price):
                o["steps"].append((r.ts, r.price))
        elif r.phase == OrderStatus.ORDER_TRIGGERED:
            o["triggered"] = r.ts
        elif (r.phase in (OrderStatus.ORDER_CANCELLED, OrderStatus.ORDER_DONE) or r.phase == OrderStatus.ORDER_REJECTED and not o["acked"]) and not o[
            "ended"
        ]:
            o["ended"], o["reason"], o["rejected"] = r.ts, r.reason, r.phase == OrderStatus.ORDER_REJECTED

    def fill(self, r):
        if (b := self.of.get((r.instrument, r.id >> 12))) is None:
            return
        b["fills"].append(r)
        b["position"] = r.position
        if (o := b["orders"].get(r.id)) is not None:
            o["filled"] += r.qty
            if not o["ended"] and (r.role == Role.ROLE_STOP or o["filled"] >= o["qty"] * (1 - 1e-9)):
                o["ended"] = r.ts

    def bracket(self, r):
        if (b := self.of.get((r.instrument, r.id >> 12))) is None:
            return
        b["position"], b["stop_price"] = r.position, r.stop_price or b["stop_price"]
        if r.phase == 0:
            b["flat"] = r.ts
            for o in b["orders"].values():
                o["ended"] = o["ended"] or r.ts

    def funding(self, r):
        self.paid += r.paid
        if (b := self.of.get((r.instrument, r.id >> 12))) is not None:
            b["funding"] += r.paid

    def trade(self, r):
        if (b := self.of.get((r.instrument, r.id >> 12))) is None:
            return
        slippage = 0.0
        for f in b["fills"]:
            o = b["orders"].get(f.id)
            if o is not None and (f.role == Role.ROLE_STOP or o["type"] == 2):
                stop = o["steps"][-1][1] if o["steps"] else b["stop_price"]
                meant = stop if f.role == Role.ROLE_STOP else o["last"]
                if meant > 0:
                    slippage += (f.price - meant) * f.side * f.qty * MULTIPLIERS[r.instrument]
        b["closed"] = (r.ts, r.reason, r.gross, r.fees, r.entry_price * r.qty * MULTIPLIERS[r.instrument], slippage)


def run_of(audit: np.ndarray, tmp_path) -> Run:
    instruments = tuple(
        lc.Instrument(venue="bybit", symbol=s, tick_size="0.1", lot_size="0.1", multiplier=m)
        for s, m in zip(("AUSDT", "BUSDT"), MULTIPLIERS, strict=True)
    )
    return Run(folder=tmp_path, meta={}, audit=audit, instruments=instruments, started_ns=T0, ended_ns=T0 + 10**9, symbols=("AUSDT", "BUSDT"))


def told(order) -> tuple:
    return (
        order.qty,
        order.type,
        order.last_price,
        order.steps,
        order.acked,
        order.ack_ms,
        order.triggered,
        order.ended,
        order.reason,
        order.rejected,
        order.filled,
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 400))
def test_the_columns_say_what_a_walk_says(seed, count, tmp_path_factory):
    audit = stream(seed, count)
    ledger, walk = read_ledger(run_of(audit, tmp_path_factory.getbasetemp())), Walk(audit)
    assert len(ledger.cascades) == len(walk.cascades) and len(ledger.brackets) == len(walk.brackets)
    of_cascade = {id(c): k for k, c in enumerate(walk.cascades)}
    for found, c in zip(ledger.cascades, walk.cascades, strict=True):
        for name in (
            "instrument",
            "start",
            "active",
            "ended",
            "interrupted",
            "phases",
            "side",
            "long_notional",
            "short_notional",
            "threshold",
            "z",
            "score",
            "price",
            "count",
            "detector",
        ):
            assert getattr(found, name) == c[name], name
        assert found.verdicts == c["answers"] and found.larges["ts"].tolist() == c["larges"]
        assert (found.bracket is None) == (c["bracket"] is None) and (c["bracket"] is None or found.bracket.opened == c["bracket"]["opened"])
    for found, b in zip(ledger.brackets, walk.brackets, strict=True):
        for name in (
            "instrument",
            "opened",
            "side",
            "qty",
            "take_profit",
            "stop_loss",
            "score",
            "cascade_notional",
            "position",
            "stop_price",
            "flat",
            "funding",
        ):
            assert getattr(found, name) == b[name], name
        assert (found.cascade is ledger.cascades[of_cascade[id(b["cascade"])]]) if b["cascade"] else found.cascade is None
        assert [(key, told(o)) for key, o in found.orders.items()] == [
            (
                key,
                tuple(o.values())[:1]
                + (o["type"], o["last"], o["steps"], o["acked"], o["ack_ms"], o["triggered"], o["ended"], o["reason"], o["rejected"], o["filled"]),
            )
            for key, o in b["orders"].items()
        ]
        assert [(f.ts, f.order, f.price, f.qty, f.fee) for f in found.fills] == [(f.ts, f.id, f.price, f.qty, f.fee) for f in b["fills"]]
        t = found.closed
        assert (t and (t.ts, t.reason, t.gross, t.fees, t.entry_notional, t.slippage)) == b["closed"] and (not t or t.funding == b["funding"])
    closed = sorted((b for b in walk.brackets if b["closed"]), key=lambda b: (b["flat"], b["instrument"]))
    assert [b.opened for b in ledger.trades] == [b["opened"] for b in closed]
    assert ledger.funding == walk.paid and list(ledger.refusals.elements()) == sorted(walk.refusals, key=list(dict.fromkeys(walk.refusals)).index)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), own=st.sampled_from([[0], [1], [0, 1]]))
def test_a_part_of_a_ledger_is_the_ledger_of_the_part(seed, own, tmp_path_factory):
    audit, folder = stream(seed, 300), tmp_path_factory.getbasetemp()
    part = read_ledger(run_of(audit, folder)).of_instruments(own)
    alone = read_ledger(run_of(audit[np.isin(audit["instrument"], [-1, *own])], folder))
    for name in ("bracket_rows", "order_rows", "fill_rows", "trade_rows", "step_rows", "phase_rows", "verdict_rows"):
        assert getattr(part, name).tobytes() == getattr(alone, name).tobytes(), name
    assert part.funding == alone.funding and part.equity_start == alone.equity_start and part.feed == alone.feed


@given(st.lists(st.floats() | st.floats(1e-5, 1e-3) | st.floats(1e15, 1e17)))
def test_numbers_are_written_as_python_writes_them(values):
    assert not values or floats(np.array(values)) == [repr(v) for v in values]


@given(st.lists(st.integers(0, 4_000_000_000_000_000_000), min_size=1))
def test_times_are_written_as_one_by_one(values):
    def iso(ns):
        return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9 // 1000:06d}Z" if ns else ""

    assert isos(np.array([0, *values])).tolist() == ["", *map(iso, values)]


@given(st.lists(st.lists(st.floats(-1e9, 1e9), max_size=5), max_size=8))
def test_sums_of_groups_are_rounded_once(groups):
    owners = np.repeat(np.arange(len(groups)), [len(g) for g in groups]).astype(np.int64)
    found = sums_of(owners, np.array([v for g in groups for v in g]), len(groups))
    assert found.tolist() == [math.fsum(g) for g in groups]


def test_numbers_of_keys_are_given_in_order_of_appearance():
    assert [x.tolist() if isinstance(x, np.ndarray) else x for x in numbered([7, 3, 7, 9])] == [[0, 1, 0, 2], 3]


def test_files_hold_the_same_trades(tmp_path):
    trades = Trades(
        {"n": np.arange(1, 20_001), "symbol": np.array(["A,B", 'C"'] * 10_000, object), "net": np.random.default_rng(1).normal(size=20_000)}
    )
    trades.write_csv(tmp_path / "t.csv")
    trades.write_parquet(tmp_path / "t.parquet")
    with (tmp_path / "t.csv").open(newline="") as stream:
        read = [{"n": int(r["n"]), "symbol": r["symbol"], "net": float(r["net"])} for r in csv.DictReader(stream)]
    assert read == list(trades) == pq.read_table(tmp_path / "t.parquet").to_pylist() and trades[3] == read[3] and trades[-2:] == read[-2:]


def test_a_ledger_without_records_is_empty(tmp_path):
    ledger = read_ledger(run_of(np.zeros(0, lc.AUDIT_DTYPE), tmp_path))
    assert not ledger.cascades and not ledger.brackets and not ledger.trades and ledger.funding == 0.0
    with pytest.raises(TypeError, match="AUDIT_DTYPE"):
        read_ledger(run_of(np.zeros(3), tmp_path))
