"""A wish that is netted, refused or replaced names the one that won: in the audit stream and in the report."""

from __future__ import annotations

import json

import numpy as np
import pytest

import liqcore as lc
from desk import NEW, both
from liqcore.audit import named
from liqshell.report.intents import gave_way, winner
from liqshell.report.run import Run
from script import Play, Script, bracket


def asked(desk, reason: str) -> np.ndarray:
    """The last verdict of that reason."""
    rows = [r for r in desk.records if r["kind"] == lc.AuditKind.AUDIT_RISK and r["reason"] == lc.Reason[reason]]
    return named(rows[-1])


def test_opposite_wishes_of_one_moment_name_each_other():
    """Two policies on one signal: 1000 long against 600 short. The short one is gone and names the long one's wish; what is left enters with 400."""

    class Wants(lc.Policy):
        def __init__(self, side, notional, confidence):
            self.terms = {"stop_loss": 0.01, "notional": notional, "confidence": confidence, "entry": "market"}
            self.side = side

        def on_signal(self, signal, market):
            return lc.Bracket(self.side, **self.terms) if signal.phase == lc.Phase.ACTIVE else None

    engine = lc.Engine(
        [lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001")],
        lc.CascadeConfig(warmup=2, quantile=0.5, window_events=10),
        [Wants(1, 1000.0, 3), Wants(-1, 600.0, 9)],
        lc.Risk(data_age_max_s=1e6, event_age_max_s=1e6),
    )
    now = 1_772_452_800 * lc.SECOND
    engine.on_trade(now, now, 0, lc.LONG, 2500.0, 1.0)
    for n in range(8):
        engine.on_liquidation(now + n, now + n, 0, lc.LONG, 2500.0, 1.0 + n)
    records = engine.audit.drain()
    answers = records[(records["kind"] == lc.AuditKind.AUDIT_POLICY) & (records["reason"] == lc.Reason.OK)][:2]
    long, short = (next(r for r in answers if r["side"] == side) for side in (1, -1))
    netted = records[(records["kind"] == lc.AuditKind.AUDIT_RISK) & (records["reason"] == lc.Reason.NETTED)][0]
    netted = named(netted)
    assert netted["side"] == -1 and netted["notional"] == 600.0
    assert netted["other_wish"] == long["seq"] and netted["other_bracket"] == 0.0
    assert (netted["other_confidence"], netted["other_policy"]) == (3, 1) and short["seq"] != long["seq"]
    run = Run(None, {"settings": {"policies": [{"rule": "a"}, {"rule": "b"}]}}, records, tuple(engine.instruments), symbols=("ETHUSDT",))
    row = gave_way(run)[0]
    assert (row["side"], row["won"], row["won_rule"], row["won_side"], row["won_sequence"]) == ("short", "wish", "a", "long", int(long["seq"]))
    assert winner(row) == f"the long intent {long['seq']} of a, confidence 3" and json.dumps(row)


@both
@pytest.mark.parametrize(("wish", "reason"), [({"confidence": 9}, "BRACKET_OPEN"), ({"confidence": 4, "replaces": True}, "WEAKER")])
def test_a_wish_that_an_open_trade_keeps_out_names_the_trade(side, wish, reason):
    desk = Play(side, Script())
    (entry,) = desk.wish(bracket(side, confidence=5))
    desk.order(entry.id, NEW)
    desk.wish(bracket(side, **wish))
    row = asked(desk, reason)
    assert row["other_bracket"] == desk.engine.bracket(0)["sequence"] == 1 and row["other_wish"] == 0.0
    assert (row["other_confidence"], row["other_policy"]) == (5, 1)


@both
def test_a_wish_that_replaces_names_what_it_replaces_and_a_stronger_one_takes_its_place(side):
    desk = Play(side, Script())
    (entry,) = desk.wish(bracket(side, confidence=5))
    desk.order(entry.id, NEW)
    desk.wish(bracket(side, confidence=6, replaces=True))
    assert asked(desk, "REPLACING")["other_bracket"] == 1.0
    desk.wish(bracket(-side, confidence=8, replaces=True))
    weaker = asked(desk, "WEAKER")
    answers = [r for r in desk.records if r["kind"] == lc.AuditKind.AUDIT_POLICY and r["reason"] == lc.Reason.OK]
    assert weaker["side"] == side and weaker["other_wish"] == answers[-1]["seq"]
    assert (weaker["other_confidence"], weaker["other_policy"]) == (8, 1)
