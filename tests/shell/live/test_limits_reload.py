"""Limits made stricter while running: downward only, by an event, replay-exact; what is refused is said."""

import os

import numpy as np
import pytest

import liqcore as lc
from desk import Desk, both, limits
from liqcore.audit import AuditKind
from liqcore.execution.risk import LIMIT_NAMES
from liqshell.live.limits_reload import GUARD_NAMES, LimitsFile, Reading, apply, plan, read_limits
from liqshell.state.store import Store

LOWER, HALVES = lc.Control.CONTROL_LOWER, {"positions_max": 2, "orders_per_minute_max": 15, "orders_per_signal_max": 2}


@pytest.mark.parametrize("limit", list(LIMIT_NAMES))
def test_every_limit_goes_down_and_never_up(limit):
    desk = Desk()
    desk.engine = lc.Engine(["A", "B"])
    name, before = LIMIT_NAMES[limit], desk.engine.risk.limits_now[LIMIT_NAMES[limit]]
    others = {key: value for key, value in desk.engine.risk.limits_now.items() if key != name}
    half = HALVES.get(name, before / 2)
    for k, (asked, then) in enumerate(((before, before), (before * 2, before), (half, half), (before, half), (half, half))):
        desk.engine.on_limit(k, limit, asked)
        assert desk.engine.risk.limits_now[name] == then
    assert {key: value for key, value in desk.engine.risk.limits_now.items() if key != name} == others
    (record,) = [r for r in desk.engine.audit.drain() if r["kind"] == AuditKind.AUDIT_LIMIT]
    assert (record["phase"], record["x"][0], record["x"][1], record["x"][5]) == (LOWER, before, half, limit)


@pytest.mark.parametrize(("limit", "value"), [(0, 1.0), (12, 1.0), (1, 0.0), (1, -1.0), (1, float("nan")), (1, float("inf"))])
def test_nonsense_is_refused_at_the_door(limit, value):
    engine = lc.Engine(["A"])
    before = engine.risk.limits_now
    engine.on_limit(1, limit, value)
    assert engine.risk.limits_now == before and sum(engine.refused.values()) == 1


def test_less_than_one_order_changes_nothing():
    engine = lc.Engine(["A"])
    engine.on_limit(1, lc.Limit.LIMIT_POSITIONS, 0.5)
    assert engine.risk.limits_now["positions_max"] == 4


@both
def test_a_lower_limit_refuses_the_next_entry_and_leaves_what_is_open(side):
    desk = Desk(side, risk=limits(), cooldown_s=0.0)
    desk.enter()
    desk.engine.on_limit(desk.now, lc.Limit.LIMIT_ORDER_NOTIONAL, 10.0)
    assert desk.collect() == [] and desk.held > 0.0
    other = Desk(side, risk=limits())
    other.engine.on_limit(other.now, lc.Limit.LIMIT_ORDER_NOTIONAL, 10.0)
    assert other.liquidate() == []


def test_a_run_with_a_lowered_limit_replays_to_the_same_audit():
    def run():
        desk = Desk(risk=limits())
        desk.engine.on_limit(desk.now, lc.Limit.LIMIT_EXPOSURE, 1.0)
        desk.liquidate()
        return np.array(desk.records).tobytes()

    assert run() == run()


# ---- the file ----


def write(path, text):
    path.write_text(text)
    os.utime(path, ns=(os.stat(path).st_mtime_ns + 1,) * 2)


def test_a_changed_file_is_noticed_once_and_only_limits_are_read(tmp_path):
    path = tmp_path / "fade.toml"
    write(path, "[limits]\ncollar = 0.01\n")
    file = LimitsFile(path)
    assert file.changed() is None and file.changed(force=True) == Reading({"collar": 0.01})
    write(path, '[limits]\norder_notional_max = 1000\ndaily_loss_max = 0.005\n[feed]\nsymbols = "not a list"\n')
    assert file.changed() == Reading({"order_notional_max": 1000.0, "daily_loss_max": 0.005}) and file.changed() is None
    path.unlink()
    assert "cannot be read" in file.changed().problems[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[limits\n", "cannot be read"),
        ("[limits]\ncolar = 0.01\n", "collar"),
        ("[limits]\ncollar = 0.01\npositions_max = 0\n", "positions_max"),
        ("limits = 3\n", "a table"),
    ],
)
def test_a_wrong_file_changes_nothing_and_is_said(tmp_path, text, why):
    path = tmp_path / "fade.toml"
    write(path, text)
    found = plan(read_limits(path), lc.Risk().limits_now, 0)
    assert not found.events and not found.guard and not found.lowered
    assert why in found.refused[0] and "are unchanged" in found.refused[0]


def test_what_is_stricter_is_sent_and_what_is_looser_is_said():
    engine, guard = lc.Engine(["A"]), lc.Guard([lc.Instrument("A")])
    wanted = Reading({"order_notional_max": 100.0, "exposure_max": 1e6, "orders_per_minute_max": 5.0, "positions_max": 4.0, "weekly_loss_max": 0.001})
    found = plan(wanted, engine.risk.limits_now, 7)
    engine.run(np.array(list(found.events), lc.EVENT_DTYPE))
    assert guard.lower(found.guard) == []
    now = engine.risk.limits_now
    assert (now["order_notional_max"], now["exposure_max"], now["orders_per_minute_max"], now["weekly_loss_max"]) == (100.0, 100_000.0, 5, 0.001)
    assert (guard.limits_now["order_notional_max"], guard.limits_now["orders_per_minute_max"]) == (100.0, 5)
    assert [name for name, _, _ in found.lowered] == ["order_notional_max", "orders_per_minute_max", "weekly_loss_max"]
    assert found.refused == ("limits.exposure_max: 1e+06 is looser than the 100000 in force; a restart is needed",)
    assert set(GUARD_NAMES.values()) <= set(guard.limits_now)


class Said:
    """Effects that keep what they are told."""

    def __init__(self, engine):
        self.engine, self.notices = engine, []

    def report(self, event):
        self.engine.run(np.array([event], lc.EVENT_DTYPE))

    def notice(self, notice):
        self.notices.append(notice.text)


def test_a_limit_of_the_last_hop_that_is_stricter_already_is_no_refusal(tmp_path):
    """The guard counts at most 256 entries a minute: lowering 1000 to 500 is a lowering, and was reported as refused."""
    engine, guard, store = (
        lc.Engine(["A"], risk=lc.Risk(orders_per_minute_max=1000)),
        lc.Guard([lc.Instrument("A")], orders_per_minute_max=256),
        Store(tmp_path),
    )
    said = Said(engine)
    apply(Reading({"orders_per_minute_max": 500.0}), engine, guard, store, said, 7, "test")
    assert said.notices == ["orders_per_minute_max: 1000 -> 500"]
    apply(Reading({"orders_per_minute_max": 100.0}), engine, guard, store, said, 8, "test")
    assert said.notices[1:] == ["orders_per_minute_max: 500 -> 100"]
    assert (engine.risk.limits_now["orders_per_minute_max"], guard.limits_now["orders_per_minute_max"]) == (100, 100)
    store.close()


@pytest.mark.parametrize("name", list(HALVES))
def test_what_the_configuration_accepts_the_limits_of_the_engine_and_of_the_last_hop_accept(tmp_path, name):
    """orders_per_signal_max = 5 passed the check of the file, and ended in a traceback."""
    accepted = []
    for value in (1, 4, 5, 17, 100, 256, 1024, 1025):
        write(tmp_path / "fade.toml", f"[limits]\n{name} = {value}\n")
        if not read_limits(tmp_path / "fade.toml").problems:
            accepted.append(value)
            lc.Risk(**{name: value})
            if name in GUARD_NAMES:
                lc.Guard([lc.Instrument("A")], **{GUARD_NAMES[name]: min(value, 256)})
    assert 4 in accepted
