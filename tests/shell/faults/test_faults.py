"""The trading process under every fault, in one process, on virtual time: see tests/faults. A failure prints seed, commit and the
command that repeats it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults import script
from faults.campaign import campaign
from faults.mutants import MUTANTS, hunt
from faults.world import run

from campaigns import most, seconds

ROOT = Path(__file__).parents[3]
QUICK = (
    "stop_assumed",
    "no_dedupe",
    "kill_word_ignored",
    "image_not_written",
    "not_found_believed",
    "retry_on_timeout",
    "foreign_ignored",
    "cancels_blocked",
    "old_market_traded",
    "close_not_sent",
    "doubt_not_said",
)


def command(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([".", "pysrc", os.environ.get("PYTHONPATH", "")])}
    return subprocess.run([sys.executable, "-m", "tests.faults", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def explain(summary) -> str:
    return "\n".join(
        f"seed={v['seed']} commit={summary.commit}: {v['law']} at {v['at_s']} s: {v['text']}\n{v['reproduce']}\n" + "\n".join(v["tail"])
        for v in summary.violations
    )


def test_a_few_seeds_with_all_faults_break_no_law():
    summary = campaign(range(8), 0.5)
    assert not summary.violations, explain(summary)
    assert summary.counts["entries"] > 20 and summary.counts["fills"] > 20 and summary.counts["kills"] > 3, summary.line()
    assert len(summary.fired) > 20, summary.fired


@pytest.mark.slow
@pytest.mark.parametrize("seed", [142, 400, 430, 502, 600, 912, 1036, 1095, 1195, 1283, 1374, 1417, 1597, 2016, 2441])
def test_seeds_that_found_something(seed):
    """600: a deadline that nobody served kept the process busy for ever. 912: a stop went while its report was lost. 1597: a stop that could not be put
    where it belonged was asked for without a pause. 2016: an entry whose stop the venue had left out filled while nobody could reach the venue. 1036:
    people who reduce twice at once are not to open a position of their own. 1195: what is refused at the venue's door was not done. 1417:
    a clock that was set back made every question fail until the next measurement. 2441: one that was set back stopped every deadline meanwhile. 142:
    a process that had stood still answered an old post-only reject with a new entry. 430: executions could not be learnt for a minute, and nobody was
    told. 400: the gate of a clock that was right again stayed shut for up to a minute more. 1283, 1095: the end of a market close that was partly filled was
    not asked for. 1374: the venue's model let a deleveraging withdraw the order of a liquidation, which then never ended. 502: an exit waited for REST, and
    nobody was told."""
    summary = campaign(range(seed, seed + 1), 4.0)
    assert not summary.violations, explain(summary)


def test_without_faults_everything_is_traded_and_agrees_to_the_cent():
    made = script.draw(3, 1.0)
    made.faults, made.kills = [], []
    outcome = run(made)
    assert outcome.violation is None, (outcome.violation, outcome.tail)
    assert outcome.counts["entries"] > 5 and outcome.counts["fills"] > 5 and outcome.worst_naked_s == 0.0


def test_a_run_is_a_function_of_its_seed_and_nothing_else():
    """Twice in processes of their own, whose hashes of texts differ."""
    said = [command("reproduce", "5", "--hours", "0.4", "--lines", "2000", hash_seed=seed).stdout for seed in ("1", "2")]
    last = [text.splitlines()[-1].split(" cpu=")[0] for text in said]
    assert last[0] == last[1] and "seed=5 commit=" in last[0] and "digest=" in last[0]
    assert said[0].splitlines()[:-1] == said[1].splitlines()[:-1] and len(said[0].splitlines()) > 200


def test_the_command_sums_a_campaign_up_for_programs():
    done = command("run", "--seeds", "0:2", "--hours", "0.2")
    summary = json.loads(done.stdout)
    assert (summary["seeds"], summary["violations"], done.returncode) == (2, [], 0) and summary["hours"] == 0.4
    assert {"commit", "cpu_s", "counts", "faults", "worst_naked_s"} <= set(summary) and "0 violations" in done.stderr


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name == "no_dedupe" else ()) for name in QUICK])
def test_a_planted_bug_is_found_quickly(name):
    found, runs = hunt(MUTANTS[name], seeds_max=10)
    assert found is not None, f"{MUTANTS[name].what}: not found in {runs} runs"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MUTANTS if name not in QUICK])
def test_every_planted_bug_is_found(name):
    found, runs = hunt(MUTANTS[name], seeds_max=400, seconds_max=200.0)
    assert found is not None, f"{MUTANTS[name].what}: not found in {runs} runs"


@pytest.mark.slow
def test_a_failing_script_is_shrunk_to_what_makes_it_fail(tmp_path):
    from faults.shrink import shrink

    mutant = MUTANTS["stop_assumed"]
    with mutant.plant():
        found, _ = hunt(mutant, seeds_max=10)
        law = found.violation.law
        whole = mutant.script(found.seed)

        def fails(candidate):
            violation = run(candidate).violation
            return violation.at_s if violation is not None and violation.law == law else None

        small, tries = shrink(whole, fails, 60)
        assert len(small.faults) + len(small.kills) <= 3 < len(whole.faults) and small.hours <= whole.hours, small
        again = script.Script.of_json(small.to_json())
        assert run(again).violation.law == law and tries <= 61


@pytest.mark.campaign
def test_campaign():
    summary = campaign(range(1_000_000, 1_000_000 + most(50, 1_000_000)), 4.0, workers=min(4, os.cpu_count() or 1), seconds_max=seconds(60.0))
    print(summary.to_json())
    assert not summary.violations, explain(summary)
