"""The second campaign of the fault simulation: what it draws, that it proves that it looked, and a bounded run of it."""

import os
from collections import Counter

import numpy as np
import pytest
from faults import drift, generator, script, selfcheck, states
from faults.campaign import Summary, campaign
from faults.kinds import ALL, SECOND
from faults.laws import LAWS
from faults.world import run
from test_fault_drift import first_s
from test_faults import explain

from campaigns import most, seconds
from liqcore.event import REQUEST_DTYPE, Action, OrderType, RequestFlag, Role

FIRST = script.SECOND_FROM
BY_SCRIPTS = [name for name, bug in generator.BUGS.items() if not bug.runs]
BY_RUNS = [name for name, bug in generator.BUGS.items() if bug.runs]


def test_a_script_of_the_second_campaign_is_a_function_of_its_seed_and_survives_json():
    one = script.draw(FIRST + 5, 2.0)
    assert one == script.draw(FIRST + 5, 2.0) != script.draw(FIRST + 6, 2.0) and script.Script.of_json(one.to_json()) == one
    assert one.features is not None and {"market", "limit"} & set(one.features)
    assert all(script.draw(n, 2.0).features is None and not {f.kind for f in script.draw(n, 2.0).faults} & set(SECOND) for n in range(40))


def test_its_scripts_draw_what_there_is_and_leave_out_what_there_is():
    assert selfcheck.of_scripts() == [] == selfcheck.of_judges()
    assert (
        {
            "queries",
            "names_lost",
            "orders_down",
            "budget",
            "manual_add",
            "foreign",
            "disk_full",
            "new_tick",
            "delisted",
            "hedge",
            "restarted",
            "split",
            "dividend",
            "adl_winner",
        }
        == set(SECOND)
        < set(ALL)
    )


def test_there_are_sixty_states_and_a_campaign_that_was_not_there_says_so():
    assert len(states.STATES) >= 60 and "query fault during a start with an open position and a late fill" in states.STATES
    assert (states.needed(10_000.0), states.needed(20_000.0), states.needed(5_000.0), states.needed(450.0)) == (100, 100, 50, 0)
    enough = dict.fromkeys(states.STATES, 100)
    assert not states.missing(enough, 1e6) and list(states.missing(enough | {"stop fills": 99}, 1e6)) == ["stop fills"]
    summary = Summary(
        "x",
        seeds=1000,
        second=1000,
        hours=10_000.0,
        states=Counter(enough),
        asked=Counter(dict.fromkeys(LAWS, 1)),
        counts=Counter(
            dict.fromkeys(["kills", "lives", "judge frames", "judge covered", *(f"sprung {on}" for on in script.ON_SECOND)], 1)
            | {"entries": 9_999, "fills": 9_999}
        ),
        digests={str(n) for n in range(1000)},
    )
    assert selfcheck.of_runs(summary) == []
    summary.states["hedge mode"] = 99
    assert selfcheck.of_runs(summary) == ["state 'hedge mode': reached 99 times, needed 100"]


@pytest.mark.slow
def test_states_are_counted_and_nothing_breaks_in_a_few_seeds():
    summary = campaign(range(FIRST, FIRST + 4), 1.0)
    assert not summary.violations and not summary.disagreements, explain(summary)
    assert len([name for name in states.STATES if summary.states[name]]) >= 15 and summary.counts["judge covered"], summary.states


def a_broken_request(ts: int, wrong: dict) -> np.ndarray:
    """An entry for a contract without a bracket, as no engine in good health asks for it."""
    row = np.zeros((), REQUEST_DTYPE)
    usual = {
        "ts": ts,
        "id": 0 << 40 | 0xFFFF << 12 | Role.ROLE_ENTRY,
        "instrument": 0,
        "side": 1,
        "action": Action.ACTION_CREATE,
        "type": OrderType.ORDER_LIMIT,
        "price": 200_000,
        "qty": 1,
        "stop": 199_000,
    }
    for name, value in (usual | wrong).items():
        row[name] = value
    return row


@pytest.mark.parametrize(
    "wrong",
    [
        {"stop": 0},
        {"stop": 201_000},
        {"qty": 0},
        {"instrument": 77},
        {"flags": RequestFlag.REDUCE_ONLY},
        {"qty": 1_000_000},
        {"action": Action.ACTION_AMEND},
    ],
    ids=str,
)
def test_every_planted_request_that_no_healthy_engine_makes_latches_and_is_found(wrong):
    def plant(world):
        def ask():
            process = world.process
            process.guard.check(a_broken_request(process.now(), wrong), process.now(), 2_000.0)

        world.clock.after(30 * 10**9, ask)

    calm = script.Script(3, 0.1)
    outcome = run(calm, plant=plant)
    assert outcome.violation is not None and outcome.violation.law == "latched", outcome.violation
    assert not outcome.counts["entries"] and outcome.states["guard latched"]
    assert run(calm).violation is None


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_SCRIPTS)
def test_a_bug_of_the_generator_shows_in_its_scripts(name):
    assert generator.found_by(generator.BUGS[name]), generator.BUGS[name].what


def test_there_are_twenty_five_bugs_of_the_generator():
    assert len(generator.BUGS) >= 25


@pytest.mark.slow
def test_the_healthy_campaign_passes_its_own_check():
    assert generator.found_by(None) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_RUNS)
def test_a_bug_of_the_generator_shows_in_its_runs(name):
    assert generator.found_by(generator.BUGS[name]), generator.BUGS[name].what


def test_a_run_whose_frames_drift_is_a_function_of_its_seed():
    one = drift.Drift("order", ("data", "*", "cumExecQty"), "dropped")
    began = first_s(drift.SEEDS[0])
    assert drift.judge(one, drift.SEEDS[0], began).digest == drift.judge(one, drift.SEEDS[0], began).digest
    assert run(drift.script_of(drift.SEEDS[0], began)).violation is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3000173, 5000013, 5000032, 6001410])
def test_seeds_that_found_something(seed):
    """An order that ended while the frames of a living line were lost; the doubt about one that asked 30 times a second; a person who comes during a
    halt; two splits and a dividend within a second of a position whose stop the venue does not take."""
    assert run(script.draw(seed, 10.0)).violation is None


@pytest.mark.campaign
def test_the_second_campaign():
    summary = campaign(
        range(FIRST + 100_000, FIRST + 100_000 + most(24, 800_000)), 10.0, workers=min(4, os.cpu_count() or 1), seconds_max=seconds(60.0)
    )
    print(summary.to_json())
    assert not summary.violations and not summary.disagreements, explain(summary)
    assert not summary.blind(), summary.blind()
