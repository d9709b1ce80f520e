"""Engine.view(): each field is what the methods that were there before say, long and short, and looking changes nothing."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqcore import SECOND, BracketState, Engine, Gate, Instrument, Phase
from liqcore.engine import VIEW_DTYPE
from liqcore.event import Kind, Role
from markets import market, paper, state
from scene import SIDES, Scene

pytestmark = pytest.mark.core


def check(engine, row, n):
    position, bracket = engine.account.position(n), engine.bracket(n)
    assert (row["position"], row["entry_price"], row["unrealized"], row["realized"]) == tuple(
        position[key] for key in ("qty", "entry_price", "unrealized", "realized")
    )
    threshold = engine.threshold(n)
    assert row["threshold"] == threshold or math.isnan(row["threshold"]) and math.isnan(threshold)
    assert Phase(row["phase"]) == engine.phase(n) and BracketState(row["state"]) == bracket["state"]
    assert tuple(gate for gate in Gate if row["gates"] >> int(gate) & 1) == engine.gates(n)
    orders = {order["role"]: order for order in engine.orders(n)}
    if bracket["state"] == BracketState.BRACKET_FLAT:
        assert (row["side"], row["stop"], row["target"], row["deadline"], row["best"], row["stop_confirmed"]) == (0, 0.0, 0.0, 0, 0.0, 0)
    else:
        assert row["side"] == bracket["side"] and np.sign(row["position"]) in (0, row["side"])
        stop = orders.get(Role.ROLE_STOP)
        assert row["stop_confirmed"] == (stop is not None and stop["status"] == "live")
        if stop is not None and stop["status"] == "live":
            assert row["stop"] == stop["price"]
        if (target := orders.get(Role.ROLE_TARGET)) is not None and target["status"] == "live":
            assert row["target"] == target["price"]


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_each_row_is_what_the_engine_says(seed):
    """After every 37th event of a market with cascades and brackets. The market itself is kept here by hand."""
    watched, alone = paper(), paper()
    events, seen = market(seed, 1500), [{}, {}]
    states = set()
    for k in range(0, len(events), 37):
        part = events[k : k + 37]
        watched.run(part)
        alone.run(part)
        for e in part:
            n = int(e["instrument"])
            if e["kind"] == Kind.TRADE:
                seen[n]["ts_trade"], seen[n]["last"] = int(e["ts_recv"]), e["price"]
            elif e["kind"] == Kind.BBO:
                seen[n]["ts_quote"], seen[n]["bid"], seen[n]["ask"] = int(e["ts_recv"]), e["price"], e["aux_price"]
            elif e["kind"] == Kind.TICKER:
                seen[n]["ts_mark"], seen[n]["mark"] = int(e["ts_recv"]), e["price"]
        rows = watched.engine.view()
        for n in range(2):
            assert {key: rows[n][key] for key in seen[n]} == seen[n]
            check(watched.engine, rows[n], n)
            states.add(int(rows[n]["state"]))
    assert len(states) > 1, "nothing was ever entered: choose another range of seeds"
    assert state(watched.engine) == state(alone.engine)
    assert watched.engine.audit.drain().tobytes() == alone.engine.audit.drain().tobytes()


@SIDES
def test_a_position_in_its_row(side):
    s = Scene()
    s.cascade(side)
    (entry,) = s.engine.drain()
    row = s.engine.view()[0]
    assert (row["side"], row["position"], row["count"], Phase(row["phase"])) == (side, 0.0, 2, Phase.ACTIVE)
    assert row["deadline"] == s.now + 20 * SECOND and (row["long_notional"], row["short_notional"])[side < 0] > 0.0
    s.fill(entry)
    row = s.engine.view()[0]
    assert row["position"] == side * entry.qty and row["entry_price"] == entry.price and not row["stop_confirmed"]
    assert row["stop"] == entry.stop and row["deadline"] == s.now + 30 * SECOND
    assert s.engine.view()[1]["position"] == 0.0


def test_it_writes_where_it_is_told():
    engine = Engine([Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001", min_qty="0.001")])
    out = np.zeros(1, VIEW_DTYPE)
    assert engine.view(out) is out and math.isnan(out["threshold"][0]) and out["last"][0] == 0.0
    with pytest.raises(ValueError, match="expected 1 rows"):
        engine.view(np.zeros(2, VIEW_DTYPE))
    with pytest.raises(ValueError):
        engine.view(np.zeros(1, "<f8"))
