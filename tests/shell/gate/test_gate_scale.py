"""The scale gate: a second contract after a profitable week, a third and fourth after two, more size after a month, none after a losing streak."""

import pytest

from liqshell.gate.evidence import Evidence
from liqshell.gate.items import FAIL, PASS, THIN
from liqshell.gate.scale import scale_items

DAY = 86_400_000_000_000
END = 20_000 * DAY


def live(days: float, *, win: float = 12.0, loss: float = -6.0, share: float = 0.6, a_day: int = 12, tail=(), **changed) -> Evidence:
    """So many days of one contract, every trade an hour from the next."""
    results = []
    for day in range(int(days)):
        for k in range(a_day):
            bps = win if (k * 7 + day * 3) % 10 < share * 10 else loss
            results.append((END - (int(days) - day) * DAY + (k + 1) * DAY // (a_day + 1), 60 * 10**9, bps / 10, bps))
    results += [(END - len(tail) + n, 60 * 10**9, bps / 10, bps) for n, bps in enumerate(tail)]
    return Evidence(runs=1, spans={"SOLUSDT": [(END - round(days * DAY), END)]}, covered={"SOLUSDT": days * 24.0}, results=results, **changed)


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {item.id: item.verdict for item in scale_items(evidence)}


@pytest.mark.parametrize(("days", "open_steps"), [(6, 0), (8, 1), (15, 2), (31, 3)])
def test_each_step_needs_its_days(days, open_steps):
    found = verdicts(live(days))
    steps = ["scale.second", "scale.third", "scale.size"]
    assert [found[step] for step in steps] == [PASS] * open_steps + [THIN] * (3 - open_steps)
    assert found["scale.streak"] == PASS


def test_a_loss_beyond_chance_closes_every_step_and_none_is_open_without_evidence():
    lost = verdicts(live(31, win=2.0, loss=-12.0))
    assert {lost[step] for step in ("scale.second", "scale.third", "scale.size", "scale.streak")} == {FAIL}
    assert set(verdicts(Evidence()).values()) == {THIN}


def test_a_gain_that_chance_explains_is_not_enough():
    assert verdicts(live(8, win=10.0, loss=-14.0))["scale.second"] == THIN


@pytest.mark.parametrize(("tail", "verdict"), [((-1.0,) * 5, FAIL), ((-1.0,) * 4, PASS), ((-1.0,) * 5 + (1.0,), PASS)])
def test_never_after_a_losing_streak(tail, verdict):
    """A gain ends a streak; the last trade of the days before is one."""
    assert verdicts(live(31, share=1.0, tail=tail))["scale.streak"] == verdict


def test_a_week_that_lost_is_a_streak():
    evidence = live(31, share=1.0)
    evidence.results += [(END - 3, 1, -1e6, -50.0), (END - 2, 1, 1.0, 5.0)]
    assert verdicts(evidence)["scale.streak"] == FAIL


@pytest.mark.parametrize(("filled", "verdict"), [(200, PASS), (20, FAIL), (82, THIN)])
def test_fills_of_a_month(filled, verdict):
    """Of 200 resting entries; those of before the month count no more."""
    decided = [(END - 31 * DAY, True)] * 500 + [(END - k, k < filled) for k in range(200)]
    item = next(item for item in scale_items(live(31, decided=decided)) if item.id == "scale.fills")
    assert (item.n, item.verdict) == (200, verdict)
