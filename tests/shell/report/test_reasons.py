"""Why a preset did not trade, to the condition: no answer of a shipped policy that is no entry is without a named condition, its value and its threshold."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from test_policies_dollar import BEGIN, SIZE_ONLY, burst, momentum
from test_policies_study import remembered
from test_walk import same_run

import liqcore as lc
from generated import generated
from liqcore import LONG, SHORT, AuditKind, FeedState, Kind, Phase, Reason
from liqcore.audit import declined
from liqshell.backtest import run_backtest
from liqshell.config.load import loads, presets
from liqshell.demo import NEEDS, Needs
from liqshell.errors import ConfigError
from liqshell.report import figures
from liqshell.report.ledger import read_ledger
from liqshell.report.narrative import story
from liqshell.report.run import Run
from liqshell.report.unmet import sentence
from liqshell.run.pipeline import make_paper, settings
from liqshell.run.tape_driver import drive
from liqshell.sweep import run as sweeps
from recorded_run import SETTINGS, audit_of, record_run
from stage import BOTH, PRICE, Stage

NO_ENTRY = (Reason.NO_TRADE, Reason.ASK_LATER, Reason.POLICY_LEAVE)
PAGE = (Path(__file__).parents[3] / "docs" / "policies.md").read_text("utf-8")
NAMELESS = {"policy gave no reason", "asked later"}


def answers(audit):
    """Of each question that was answered with no entry: its reason and its condition."""
    return [(Reason(int(r["reason"])), declined(r["x"])) for r in audit if r["kind"] == AuditKind.AUDIT_POLICY and int(r["reason"]) in NO_ENTRY]


def nameless(audit):
    """Those without a name or without a threshold. A value may be nan: it is not known yet, and the sentence says so."""
    return [(reason, told) for reason, told in answers(audit) if told is None or not told[0] or np.isnan(told[2])]


@cache
def market(needs):
    return generated(min(needs.hours, 8.0), ("BTCUSDT",), seed=3, scale=needs.scale, funding_rate=needs.funding, long_share=needs.long_share)


@pytest.mark.slow
@pytest.mark.parametrize("preset", sorted(presets()))
def test_every_preset_on_the_market_of_its_demo(preset):
    """No answer without a condition; and so no table and no sentence of its report says that none was given."""
    found = market(NEEDS.get(preset, Needs()))
    values = settings(loads(f"[policy]\npreset = '{preset}'\n"), list(found.instruments))
    audit = drive(lc.Walk(make_paper(values), found.tape), found.end_ns)
    assert nameless(audit) == []
    run = Run(
        found.source,
        {"mode": "backtest", "settings": values},
        audit,
        found.instruments,
        None,
        found.start_ns,
        found.end_ns,
        1.0,
        tuple(i.symbol for i in found.instruments),
    )
    rows = figures.why_not(run, read_ledger(run))
    assert not NAMELESS & {row["reason"] for row in rows}
    told = [line.text for line in story(run) if line.what == "policy"]
    assert not [text for text in told if "answered:" in text]
    for row in (row["condition"] for row in rows if row.get("condition")):
        assert row["n"] >= row["later"] >= 0 and row["n"] >= row["unknown"] and (row["low"] is None) == (row["unknown"] == row["n"])
    counted = sum(row["condition"]["n"] for row in rows if row.get("condition"))
    assert counted == sum(reason != Reason.POLICY_LEAVE for reason, _ in answers(audit))


@pytest.mark.parametrize("preset", ["breakout", "cascade-fade", "imbalance", "momentum", "zone"])
def test_stepping_walking_and_a_restart_say_the_same(preset):
    """What is remembered and put off is the same whichever way the events come, to the byte of every record and of what is remembered."""
    found = market(NEEDS.get(preset, Needs()))
    hours = 8 if preset in ("momentum", "zone") else 2
    tape = found.between(found.start_ns, min(found.end_ns, found.start_ns + hours * 3600 * lc.SECOND)).tape
    values = settings(
        loads(f"[policy]\npreset = '{preset}'\n[policy.parameters]\nscore_min = 3\n" if preset == "momentum" else f"[policy]\npreset = '{preset}'\n"),
        list(found.instruments),
    )
    audit, _ = same_run(tape, lambda: make_paper(values))
    events, parts, desk = tape.events(), [], make_paper(values)
    for piece in np.array_split(events, 25):
        desk.run(piece)
        parts.append(desk.engine.audit.drain())
        taken, desk = desk.snapshot(), make_paper(values)
        desk.restore(taken)
    restarted, whole = np.concatenate(parts), np.frombuffer(audit, lc.AUDIT_DTYPE)
    assert answers(restarted) == answers(whole) != []
    if preset in ("breakout", "momentum"):
        assert Reason.ASK_LATER in {reason for reason, _ in answers(whole)}


def test_a_sweep_of_a_rule_that_looks_again_is_backtests(tmp_path):
    """The kernel knows nothing of its detectors and of its answers: where it is asked for, it is refused by name. Else each row is a backtest."""
    recorded = record_run(
        tmp_path / "market",
        hours=0.75,
        symbols=("BTCUSDT",),
        seed=3,
        market={"scale": 40.0, "funding_rate": 3e-4},
        config=loads(SETTINGS + '[policy]\npreset = "fade"\n'),
    )
    text = (
        f"[policy]\npreset = 'momentum'\n[policy.parameters]\nscore_min = 2\nknown_min = 0\nfunding_unknown = 'ignore'\nsize_min = 0\n"
        f"[detectors.momentum]\ntrigger_usd = 300000\nmin_usd = 5000\n[data]\nfiles = ['{recorded}']\n"
        f"[backtest]\nstudy = false\n[run]\nout = '{tmp_path}'\n"
    )
    swept = sweeps.run_sweep(loads(text + "[sweep.parameters]\nlook_again = ['followers', 'all']\n"), tmp_path / "sweep")
    assert swept.by == "backtest" and swept.why == "detectors other than [detector]" and swept.table["signals"].sum() > 0
    for row, choice in enumerate(("followers", "all")):
        folder = run_backtest(loads(text.replace("known_min", f"look_again = '{choice}'\nknown_min", 1)), tmp_path / choice)
        audit = audit_of(folder)
        assert swept.table["signals"][row] == sum(r["kind"] == AuditKind.AUDIT_POLICY and r["reason"] == Reason.OK for r in audit)
        assert swept.table["trades"][row] == (audit["kind"] == AuditKind.AUDIT_TRADE).sum()
        assert nameless(audit) == []
    with pytest.raises(ConfigError, match="does not support detectors other"):
        sweeps.run_sweep(loads(text + "[sweep]\nby = 'kernel'\n[sweep.parameters]\nlook_again = ['followers', 'all']\n"), tmp_path / "kernel")


def lived(preset, side):
    """By hand: an hour and more of small liquidations on both sides; a flush of $6M with a move of price; another of the other side while a trade may be
    out; an interruption of the feed; a flush behind it; then quiet."""
    s = Stage(preset, funding=0.0005 * side)
    for minute in range(66):
        for k in range(2 + (minute % 4 == 0)):
            s.forced(LONG if (minute + k) % 2 else SHORT, 5000.0 + minute)
        s.wait(60, every=10, price=round(PRICE * (1 + 0.0004 * ((minute % 10) - 5)), 1))
    for which, move in ((side, 0.006), (-side, 0.004), (side, 0.0)):
        for k in range(8):
            s.forced(which, 1.5e6)
            s.wait(1, price=round(PRICE * (1 - move * which * (k + 1) / 8), 1))
        s.wait(400, every=5)
    s.push(Kind.FEED, instrument=-1, code=FeedState.FEED_GAP)
    burst(s, side, count=6)
    s.wait(1200, every=10, price=PRICE)
    return s


def visited(side):
    """A zone that the price comes back to, and leaves."""
    s = remembered(side)
    s.wait(2, price=round(PRICE * (1 - side * 0.02), 1))
    s.wait(60, price=PRICE)
    return s


@BOTH
@pytest.mark.parametrize("preset", sorted(presets()))
def test_every_preset_on_a_tape_by_hand(preset, side):
    s = visited(side) if preset == "zone" else lived(preset, side)
    audit = np.array(s.story)
    assert answers(audit) and nameless(audit) == []
    assert {name for _, (name, *_) in answers(audit) if name.removeprefix("leave: ") not in PAGE} == set(), "docs/policies.md names them all"


@BOTH
def test_each_kind_of_answer_says_what_it_saw(side):
    """A cascade fade of $6M: the phase it waits for, the five minutes that it holds, the price that must be better, the flush that ends it."""
    s = Stage("cascade-fade")
    s.wait(60)
    burst(s, side)  # ACTIVE at 63 s
    told = answers(np.array(s.story))
    assert (Reason.NO_TRADE, ("phase is", float(Phase.ACTIVE), float(Phase.DECELERATING))) in told
    assert (Reason.NO_TRADE, ("leave: own wishes out, at least", 0.0, 1.0)) in told, "the bar at 60 s: nothing to leave"
    s.wait(700)
    ((at, way, _),) = s.asked
    told = answers(np.array(s.story))
    held = [found for reason, found in told if found[0] == "leave: s since asked, at least"]
    assert held[0] == ("leave: s since asked, at least", pytest.approx(120.0 - at if at < 120 else 180.0 - at), 300.0)
    same = [found for reason, found in told if found[0] == "leave: price better by over"]
    assert same[0][2] == 0.0 and all(value <= 0.0 for _, value, _ in same), "the price has not moved"
    s.wait(90, price=round(PRICE * (1 + 0.001 * side), 1))
    ((reason, found),) = [one for one in answers(np.array(s.story)) if one[0] == Reason.POLICY_LEAVE]
    assert found[0] == "leave: price better by over" and found[1] == pytest.approx(0.001, abs=1e-5) and found[2] == 0.0
    assert sentence("phase is", 3.0, 2.0) == "phase is ACTIVE: it was DECELERATING"
    assert sentence("leave: liquidated side is", -1.0, 1.0) == "leave: liquidated side is LONG: it was SHORT"
    assert sentence("leave: own wishes out, at least", 0.0, 1.0) == "leave: own open intents, at least 1: it was 0"


# ---- momentum: 5 to 15 s ----

NOW = SIZE_ONLY + "feature_funding = 'funding.funding'\n"  # the rate of this moment, so that it can change within seconds


def elevated_at(side, seconds, extra=""):
    """A flush of $6M whose crowd pays the neutral rate until so many seconds after the first print, and an elevated one from then on."""
    s = Stage("momentum", NOW + extra, funding=0.0001 * side)
    for minute in range(65):
        s.forced(LONG if minute % 2 else SHORT, 1000.0 + minute)
        s.wait(60, every=5)
    burst(s, side)
    s.wait(seconds - 3.0)
    s.funding = 0.0005 * side
    s.wait(30.0 - seconds)
    return s


@BOTH
@pytest.mark.parametrize(("seconds", "entry"), [(4.0, 5.0), (5.2, 6.0), (9.3, 10.0), (14.3, 15.0), (15.2, None)])
def test_momentum_enters_between_5_and_15_s_when_all_is_met(side, seconds, entry):
    """ "5 to 15 seconds after the first large liquidation event": at 5.000 s where everything is met, else at the first look of each second, never later."""
    s = elevated_at(side, seconds)
    assert [(at, way) for at, way, _ in s.asked] == ([(BEGIN + entry, -side)] if entry else [])
    waited = [r for r in s.records(AuditKind.AUDIT_POLICY) if r["reason"] == Reason.ASK_LATER and int(r["ts"]) > s.now - 40 * lc.SECOND]
    looks = [declined(r["x"]) for r in waited]
    assert looks[0] == ("s since the first, at least", pytest.approx(3.0), 5.0)
    assert looks[1:] == [("crowd's funding above", pytest.approx(0.0001), 0.00015)] * (int(entry or 15.0) - 5)
    assert all(float(r["x"][6]) == pytest.approx(1.0) for r in waited[1:]), "looked at again each second"
    assert s.unmet == ([] if entry else [("crowd's funding above", pytest.approx(0.0001), 0.00015)])
    assert elevated_at(side, seconds, "look_again = 'followers'\n").asked == (s.asked if seconds < 5.0 else []), "the other choice: once"


@BOTH
def test_momentum_needs_the_followers_once(side):
    """Others had followed by 5 s and cease: they were seen, so that the funding of 12 s still decides; a cascade that nobody follows is none."""
    s = elevated_at(side, 11.3)
    assert [at for at, *_ in s.asked] == [BEGIN + 12.0]
    alone = Stage("momentum", NOW, funding=0.0005 * side)
    alone.wait(600, every=5)
    alone.forced(side, 6e6)
    alone.wait(30)
    assert alone.asked == [] and alone.unmet[-1] == ("followers' volume above", 0.0, 0.0)


@BOTH
def test_momentum_that_waits_for_its_moment_survives_a_restart(side):
    """What it has seen and when it looks again go with the snapshot: from the middle of the ten seconds the same entry follows."""
    plain = elevated_at(side, 12.3)
    s = momentum(side, "feature_funding = 'funding.funding'\n", funding=0.0001)
    burst(s, side)
    s.wait(4.6)  # 7.6 s: seen followed at 5 s, asked again at 8 s
    taken, now = s.paper.snapshot(), s.now
    other = Stage("momentum", NOW)
    other.paper.restore(taken)
    other.now, other.funding, other.story = now, 0.0001 * side, []
    other.wait(4.7)
    other.funding = 0.0005 * side
    other.wait(10)
    assert [(at, way) for at, way, _ in other.asked] == [(at, way) for at, way, _ in plain.asked] == [(BEGIN + 13.0, -side)]
