"""What users of other engines complain about, shown not to be so here, in every fill model. And the sum of fills is the position, always."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
import markets

START = markets.START
FILLS = ("through", "touch", "queue")
TAKERS = ("next", "walk")
TICK = 0.01


def events(rows) -> np.ndarray:
    """Rows of (seconds, kind, price, qty, ...) as events; BBO: bid, bid quantity, ask, ask quantity."""
    out = np.zeros(len(rows), lc.EVENT_DTYPE)
    for e, (at, kind, price, qty, *rest) in zip(out, rows, strict=True):
        e["ts_recv"] = e["ts_event"] = START + round(at * lc.SECOND)
        e["kind"], e["price"], e["qty"] = kind, price, qty
        if kind == lc.Kind.BBO:
            e["aux_price"], e["aux_qty"] = rest
        else:
            e["side"] = rest[0]
    return out


def quiet(side: int) -> list[tuple]:
    """Smaller and smaller, so that none of them is large."""
    return [(n, lc.Kind.LIQUIDATION, 2000.0, 2.0 - 0.05 * n, side) for n in range(20)]


def flush(at: float, price: float = 2000.0) -> list[tuple]:
    """Two large liquidations of longs: the second makes the cascade ACTIVE."""
    return [(at + 0.1 * n, lc.Kind.LIQUIDATION, price, 50.0, lc.LONG) for n in range(2)]


def warm() -> list[tuple]:
    return [*quiet(lc.LONG), (60.0, lc.Kind.BBO, 2000.0, 10.0, 2000.01, 10.0), (60.1, lc.Kind.TRADE, 2000.0, 1.0, -1)]


class Fade(lc.Policy):
    def __init__(self, **terms):
        self.terms = {
            "entry_offset": 0.001,
            "take_profit": 0.002,
            "stop_loss": 0.002,
            "notional": 20_000.0,
            "entry_ttl_s": 60,
            "max_hold_s": 600,
            "cooldown_s": 1,
        } | terms

    def on_signal(self, signal, market):
        return lc.Bracket(signal.side, **self.terms) if signal.phase == lc.Phase.ACTIVE else None


def run(rows, policy, fills, taker="next", **venue) -> lc.Paper:
    instrument = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", min_qty="0.001")
    config = lc.CascadeConfig(warmup=10, window_events=50, fall=1.0)
    risk = lc.Risk(data_age_max_s=600.0, order_notional_max=1e6, exposure_max=1e6, daily_loss_max=0.9, weekly_loss_max=0.9)
    engine = lc.Engine([instrument], config, policy, risk, equity=1e5)
    paper = lc.Paper(
        engine,
        lc.SimVenue(
            [instrument],
            **{"fills": fills, "taker": taker, "hidden": "none", "order_latency_s": 0.01, "ack_latency_s": 0.01, "funding_interval_s": 0} | venue,
        ),
    )
    paper.run(events(rows))
    return paper


def records(paper: lc.Paper, kind) -> np.ndarray:
    paper.advance(paper.engine.now + lc.SECOND // 10)
    audit = paper.engine.audit.drain()
    return audit[audit["kind"] == kind]


def fills_of(paper):
    rows = records(paper, lc.AuditKind.AUDIT_FILL)
    return [(round(x["x"][0], 2), round(x["x"][1], 3) * int(x["side"]), lc.FillReason(x["phase"]).name) for x in rows]


# ---- partial fills reach the position (hftbacktest#316) ----


@pytest.mark.parametrize("fills", ["touch", "queue"])
def test_a_partial_fill_is_a_position_with_a_stop_and_a_target_of_its_size(fills):
    rows = [*warm(), *flush(61.0), (62.0, lc.Kind.TRADE, 1998.0, 3.0, -1)]
    paper = run(rows, Fade(), fills)
    assert fills_of(paper) == [(1998.0, 3.0, "FILL_TOUCH" if fills == "touch" else "FILL_QUEUE")]
    assert paper.venue.position(0) == pytest.approx(3.0)
    assert paper.engine.account.position(0)["qty"] == pytest.approx(3.0)
    orders = {o["type"]: o for o in paper.venue.orders(0) if o["side"] < 0}
    assert orders[lc.event.OrderType.ORDER_LIMIT]["qty"] == pytest.approx(3.0)  # the target
    assert orders[lc.event.OrderType.ORDER_STOP_MARKET]["price"] == pytest.approx(1994.01, abs=0.011)
    entry = next(o for o in paper.venue.orders(0) if o["side"] > 0)
    assert entry["qty"] == pytest.approx(10.01 - 3.0, abs=0.01)  # the rest still waits


@pytest.mark.parametrize("fills", ["touch", "queue"])
@pytest.mark.parametrize("taker", TAKERS)
def test_what_was_partly_filled_is_stopped_out_as_a_whole(fills, taker):
    rows = [
        *warm(),
        *flush(61.0),
        (62.0, lc.Kind.TRADE, 1998.0, 3.0, -1),
        (63.0, lc.Kind.TRADE, 1998.0, 1.5, -1),
        (64.0, lc.Kind.BBO, 1998.0, 50.0, 1998.5, 50.0),
        (70.0, lc.Kind.TRADE, 1990.0, 0.001, -1),
        (71.0, lc.Kind.BBO, 1989.0, 50.0, 1989.5, 50.0),
        (72.0, lc.Kind.BBO, 1989.0, 50.0, 1989.5, 50.0),
    ]
    paper = run(rows, Fade(), fills, taker)
    got = fills_of(paper)
    assert sum(q for _, q, reason in got if reason != "FILL_STOP") == pytest.approx(10.01)  # the fall took what was left of the entry, too
    assert sum(q for _, q, reason in got if reason == "FILL_STOP") == pytest.approx(-sum(q for _, q, r in got if r != "FILL_STOP"))
    assert paper.venue.position(0) == 0 and paper.venue.orders(0) == []


# ---- a stop through a jump fills at the next price, not at its trigger (NautilusTrader 1.221) ----


@pytest.mark.parametrize("fills", FILLS)
@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_that_the_market_jumps_over_fills_where_the_market_is(fills, taker, side):
    def at(price):  # mirrored around 2000 for a short
        return round(2000.0 + (price - 2000.0) * side, 2)

    def quote(seconds, bid):
        near, far = at(bid), at(bid + TICK)
        return (seconds, lc.Kind.BBO, min(near, far), 1000.0, max(near, far), 1000.0)

    forced = [(61.0 + 0.1 * n, lc.Kind.LIQUIDATION, 2000.0, 50.0, side) for n in range(2)]
    rows = [
        *quiet(side),
        quote(60.0, 2000.0),
        (60.1, lc.Kind.TRADE, 2000.0, 1.0, -side),
        *forced,
        (62.0, lc.Kind.TRADE, at(1997.5), 100.0, -side),
        quote(62.5, 1997.5),
        (70.0, lc.Kind.TRADE, at(1960.0), 0.5, -side),
        quote(70.5, 1958.0),
        quote(71.0, 1958.0),
    ]
    got = fills_of(run(rows, Fade(), fills, taker))
    assert got[0][0] == at(1998.0)
    stops = [row for row in got if row[2] == "FILL_STOP"]
    trigger = at(1994.01)
    assert stops and all((price - at(1960.0)) * side <= 0 for price, *_ in stops), f"the trigger was {trigger}"
    assert sum(q for _, q, _ in got) == pytest.approx(0.0, abs=1e-9)


# ---- sum of fills == position, in every model ----


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    fills=st.sampled_from(FILLS),
    taker=st.sampled_from(TAKERS),
    hidden=st.sampled_from(["wait", "none"]),
    latency_s=st.sampled_from([0.0, 0.01, 0.3]),
    size=st.integers(1, 3),
    cut=st.integers(100, 1500),
)
def test_the_sum_of_fills_is_the_position_at_venue_and_account(seed, fills, taker, hidden, latency_s, size, cut):
    """The account's at any moment, the venue's when its reports have arrived."""
    paper = markets.paper(
        markets.Fade(notional=5_000.0, trail=0.002),
        size=size,
        fills=fills,
        taker=taker,
        hidden=hidden,
        order_latency_s=latency_s,
        ack_latency_s=latency_s,
        funding_interval_s=0,
    )
    paper.run(markets.market(seed, cut, size))
    audit = paper.engine.audit.drain()
    made = audit[audit["kind"] == lc.AuditKind.AUDIT_FILL]
    for n in range(size):
        mine = made[made["instrument"] == n]
        held = float((mine["x"][:, 1] * mine["side"]).sum())
        assert paper.engine.account.position(n)["qty"] == pytest.approx(held, abs=1e-6)
    while paper.next_deadline is not None and paper.next_deadline <= paper.engine.now + lc.SECOND:  # let what is under way arrive
        paper.advance(paper.next_deadline)
    audit = np.concatenate([audit, paper.engine.audit.drain()])
    made = audit[audit["kind"] == lc.AuditKind.AUDIT_FILL]
    for n in range(size):
        mine = made[made["instrument"] == n]
        held = float((mine["x"][:, 1] * mine["side"]).sum())
        assert paper.venue.position(n) == pytest.approx(held, abs=1e-6)
        assert paper.engine.account.position(n)["qty"] == pytest.approx(held, abs=1e-6)
