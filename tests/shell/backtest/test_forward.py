"""Walk-forward: what is chosen never depends on what it is judged on."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqcore as lc
from generated import generated
from liqshell.backtest import sweep_kernel, variants
from liqshell.backtest.forward import Result, choose, embargo_of, evaluate, part_of, plain, spans_of, walk_forward
from liqshell.backtest.half_spread import settings_of
from liqshell.config.load import loads
from liqshell.config.study_sections import ForwardConfig
from liqshell.errors import ConfigError
from liqshell.recording import journal
from liqshell.report.overfit import overfitting
from liqshell.report.study import load_study, outcome_of
from liqshell.run.pipeline import settings
from recorded_run import SETTINGS, record_run, study_of

HOUR = 3600 * lc.SECOND
GRID = """
[detector]
refresh_s = 0
warmup = 30
[limits]
daily_loss_max = 0.5
weekly_loss_max = 0.9
[policy]
entry_ttl_s = 300
max_hold_s = 300
[sweep.policy]
take_profit = [0.001, 0.002, 0.004]
stop_loss = [0.002, 0.004]
[forward]
train_days = 0.125
test_days = 0.0625
trades_min = 3
"""


@pytest.fixture(scope="module")
def history():
    return generated(7, ("SOLUSDT",), seed=5)


@pytest.fixture(scope="module")
def config():
    return loads(GRID)


@pytest.fixture(scope="module")
def walked(config, history):
    return walk_forward(config, history, lambda what, done: None)


# ---- spans ----


@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 10), st.floats(0, 86_400), st.sampled_from(["rolling", "anchored"]))
def test_spans_follow_each_other_and_never_touch(total, train, test, embargo_s, scheme):
    forward = ForwardConfig(train_days=train, test_days=test, scheme=scheme)
    start, end, embargo = 1_000, 1_000 + total * 24 * HOUR, round(embargo_s * lc.SECOND)
    try:
        spans = spans_of(start, end, forward, embargo)
    except ConfigError:
        assert (train + test) * 24 * HOUR + embargo > total * 24 * HOUR
        return
    for span in spans:
        assert start <= span.train[0] < span.train[1] and span.train[1] + embargo == span.test[0] < span.test[1] <= end
        assert span.test[1] - span.test[0] == test * 24 * HOUR
        assert span.train[1] - span.train[0] == train * 24 * HOUR if scheme == "rolling" else span.train[0] == start
    for a, b in zip(spans, spans[1:], strict=False):
        assert a.test[1] == b.test[0] and b.train[1] - a.train[1] == test * 24 * HOUR
    assert spans[-1].test[1] + test * 24 * HOUR > end


def test_the_embargo_outlives_every_trade_of_the_grid(config):
    assert embargo_of(config, ["SOLUSDT"]) == (300 + 300 + 60) * lc.SECOND
    longer = loads(GRID.replace("[forward]", "max_hold_s = [60, 900]\n[forward]"))
    assert embargo_of(longer, ["SOLUSDT"]) == (900 + 300 + 60) * lc.SECOND
    shorter = loads(GRID.replace("[forward]", "max_hold_s = [60, 90]\n[forward]"))
    assert embargo_of(shorter, ["SOLUSDT"]) == (90 + 300 + 60) * lc.SECOND, "no setting of this grid holds for the 300 s of [policy]"
    assert embargo_of(loads(GRID + "[sweep.detector]\nwindow_s = [30, 1800]\n"), ["SOLUSDT"]) == (1800 + 60) * lc.SECOND
    assert embargo_of(loads(GRID + "embargo_s = 3600\n"), ["SOLUSDT"]) == HOUR
    with pytest.raises(ConfigError, match=r"forward.embargo_s: found 30; expected at least .* \(600\)"):
        embargo_of(loads(GRID + "embargo_s = 30\n"), ["SOLUSDT"])


# ---- choosing ----


def result(value, trades=9):
    return Result(
        {
            "entries": 9,
            "trades": trades,
            "wins": 0,
            "gross": 0.0,
            "fees": 0.0,
            "funding": 0.0,
            "net": value or 0.0,
            "notional": 1.0,
            "mean_bps": value,
        },
        {"closed_ns": [], "net": [], "return_bps": []},
        value,
        np.zeros(1),
        np.zeros(1),
    )


def test_the_best_with_enough_trades_is_chosen_and_the_first_of_equals():
    assert choose([result(1.0), result(3.0, trades=2), result(2.0), result(2.0), result(None)], 3) == 2
    assert choose([result(3.0, trades=2), result(None)], 3) is None
    assert choose([result(-5.0), result(-4.0)], 0) == 1


def test_folds_say_what_an_independent_run_says(config, history, walked):
    forward, daily, problems = walked
    matrix = daily.net
    assert len(forward["folds"]) >= 2 and not problems and forward["embargo_s"] == 660.0
    cells = list(config.sweep.settings())
    assert matrix.shape == (len(forward["folds"]), len(cells))  # test spans shorter than a day are a day of their own
    for number, fold in enumerate(forward["folds"]):
        train, test = fold["train"], fold["test"]
        chosen = next(c for c in cells if {k: plain(k, v) for k, v in c.named.items()} == fold["chosen"])
        values = settings(config.with_setting(chosen), history.instruments)
        for span, name in ((train, "train_outcome"), (test, "test_outcome")):
            part = history.between(train[0], span[1] + 660 * lc.SECOND)
            audit = variants.trade(values, part, lambda inner, span=span: variants.Within(inner, *span))
            assert fold[name] == outcome_of(audit, history.multipliers)
            asked = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_POLICY)) & (audit["reason"] == 0)]["ts"]
            assert len(asked) and span[0] <= asked.min() and asked.max() < span[1]
        assert matrix[number, cells.index(chosen)] == pytest.approx(fold["test_outcome"]["net"])
        assert fold["train_value"] == fold["train_outcome"]["net"] and fold["settings"] == 6
        values = [evaluate(config, part_of(history, train, train[0], 660 * lc.SECOND), c, train) for c in cells]
        assert fold["train_value"] == max(v.value for v in values if v.outcome["trades"] >= 3)


def poisoned(history, after_ns):
    """The same data, but from after_ns on every price is another one: it doubles within a minute and stays there."""
    events = history.tape.events()
    late = events["ts_recv"] >= after_ns
    factor = np.ones(len(events))
    factor[late] = np.minimum(1.0 + (events["ts_recv"][late] - after_ns) / (60.0 * lc.SECOND), 2.0)
    events["price"] *= factor
    two = np.isin(events["kind"], (int(lc.Kind.BBO), int(lc.Kind.TICKER)))
    events["aux_price"][two] *= factor[two]
    return dataclasses.replace(history, tape=lc.Tape.of(history.instruments, events))


def test_poison_in_the_test_span_changes_no_choice(config, history, walked):
    """The first fold's test span, and all behind it, holds another market: what was chosen on the train span stays, what it earned does not."""
    first = walked[0]["folds"][0]
    other, _, _ = walk_forward(config, poisoned(history, first["test"][0]), lambda what, done: None)
    fold = other["folds"][0]
    for key in ("train", "chosen", "train_value", "train_outcome"):
        assert fold[key] == first[key], key
    assert fold["test_outcome"] != first["test_outcome"]
    later, _, _ = walk_forward(config, poisoned(history, first["train"][0] + HOUR), lambda what, done: None)
    assert later["folds"][0]["train_outcome"] != first["train_outcome"]  # the poison works


def test_nothing_behind_the_embargo_is_even_read(config, history):
    span = spans_of(history.start_ns, history.end_ns, config.forward, embargo_of(config, ["SOLUSDT"]))[0]
    part = part_of(history, span.train, span.train[0], embargo_of(config, ["SOLUSDT"]))
    assert part.tape.end < span.test[0] and part.end_ns == span.test[0]


def test_a_span_without_trades_chooses_nothing_and_says_so(config, history):
    strict = dataclasses.replace(config, forward=dataclasses.replace(config.forward, trades_min=100_000, judge_all=False))
    forward, matrix, problems = walk_forward(strict, history, lambda what, done: None)
    assert matrix is None and len(problems) == len(forward["folds"])
    assert all(f["chosen"] == {} and f["train_value"] is None and f["test_outcome"]["trades"] == 0 for f in forward["folds"])
    assert "no setting made 100,000 trades" in problems[0]


@pytest.mark.parametrize("objective", ["mean_bps", "sharpe"])
def test_other_objectives(objective, history):
    config = loads(GRID.replace("[sweep.policy]", f'[sweep]\nobjective = "{objective}"\n[sweep.policy]'))
    forward, _, _ = walk_forward(config, history, lambda what, done: None)
    assert forward["objective"] == objective
    for fold in forward["folds"]:
        value = fold["train_value"]
        assert value == fold["train_outcome"]["mean_bps"] if objective == "mean_bps" else value is None or np.isfinite(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GRID.replace("[0.001, 0.002, 0.004]", "[0.001]").replace("[0.002, 0.004]", "[0.002]"), "a grid of one setting"),
        (SETTINGS + "[forward]\ntrain_days = 0.1\ntest_days = 0.1\n", "no grid"),
        (GRID.replace("train_days = 0.125", "train_days = 30"), r"spans 0.29 days; expected at least train_days \+ embargo \+ test_days = 30.07"),
    ],
)
def test_what_cannot_be_walked(text, says, history):
    with pytest.raises(ConfigError, match=says):
        walk_forward(loads(text), history, lambda what, done: None)


# ---- by the sweep ----

LOOSE = GRID.replace("[limits]", "[paper]\nfunding_interval_s = 0\n[limits]\nexposure_max = 1e9\norders_per_minute_max = 1000\nleverage_max = 1000")


@pytest.mark.slow
def test_the_sweep_judges_as_the_engine_does():
    """Two symbols, limits of the account out of reach, no funding: every setting has the same outcome either way, so the same is chosen."""
    both = generated(7, ("SOLUSDT", "DOGEUSDT"), seed=3)
    config = loads(LOOSE + "[sweep.detector]\nquantile = [0.9, 0.95]\n")
    embargo = embargo_of(config, ["SOLUSDT", "DOGEUSDT"])
    span = spans_of(both.start_ns, both.end_ns, config.forward, embargo)[0]
    cells = list(config.sweep.settings())
    for one in (span.train, span.test):
        part = part_of(both, one, span.train[0], embargo)
        found, net, gross = sweep_kernel.outcomes(config, settings_of(config, part), part, cells, one, 1)
        assert net.sum(axis=0) == pytest.approx([o["net"] for o in found]) and gross.sum(axis=0) == pytest.approx([o["gross"] for o in found])
        for cell, outcome in zip(cells, found, strict=True):
            by_engine = evaluate(config, part, cell, one).outcome
            assert {k: outcome[k] for k in ("entries", "trades", "wins")} == {k: by_engine[k] for k in ("entries", "trades", "wins")}
            for name in ("gross", "fees", "net"):
                assert outcome[name] == pytest.approx(by_engine[name], rel=1e-12, abs=1e-9)
            assert outcome["notional"] == pytest.approx(by_engine["notional"], rel=0.005)  # half of what was bought and sold
            assert outcome["mean_bps"] == pytest.approx(by_engine["mean_bps"], abs=0.1)  # of the sums, and the mean over trades
    assert sum(o["trades"] for o in found) > 20
    folds = [walk_forward(loads(LOOSE + f'by = "{by}"\n'), both, lambda what, done: None) for by in ("backtest", "sweep")]
    for a, b in zip(folds[0][0]["folds"], folds[1][0]["folds"], strict=True):
        assert a == {key: pytest.approx(value) if key == "test_rank" else value for key, value in b.items()}
    assert "the sweep kernel compared the settings" in folds[1][2][0] and "overfitting" not in folds[1][2][0] and not folds[0][2]
    for name in ("net", "gross"):
        by_engine, by_sweep = (getattr(found[1], name) for found in folds)
        assert by_engine.shape == by_sweep.shape == (len(folds[0][0]["folds"]), 6) and np.abs(by_engine).sum() > 0
        assert by_sweep == pytest.approx(by_engine, rel=1e-9, abs=1e-6)


@pytest.mark.slow
def test_the_sweep_keeps_the_days_that_the_engine_keeps():
    """Two whole UTC days in the middle of a market: the net result of each, of every setting, is that of the engine; so is the one before fees."""
    config, day = loads(LOOSE), 24 * HOUR
    history = generated(61, ("SOLUSDT",), seed=3, tickers=False)
    first = -(-history.start_ns // day) * day
    span, cells = (first, first + 2 * day), list(config.sweep.settings())
    part = part_of(history, span, history.start_ns, HOUR)
    _, net, gross = sweep_kernel.outcomes(config, settings_of(config, part), part, cells, span, 2)
    assert net.shape == (2, len(cells)) and (net != 0.0).all()
    for n, cell in enumerate(cells[:3]):
        by_engine = evaluate(config, part, cell, span)
        assert net[:, n] == pytest.approx(by_engine.daily, rel=1e-9) and gross[:, n] == pytest.approx(by_engine.gross, rel=1e-9)


def test_two_pieces_of_a_day_are_one_day():
    """A span of two days from 18:00 touches three UTC days: 6 h, 24 h and 18 h. The pieces are one row; what ends behind the span is of its last piece."""
    day, start = 24 * HOUR, 10 * 24 * HOUR + 18 * HOUR
    daily = np.array([[5.0, 1.0, 2.0, 4.0, 8.0]])  # one setting, UTC days 9 to 13; nothing of the span can end on day 9
    assert sweep_kernel._by_day(daily[:, 1:], start, (start, start + 2 * day), 2).tolist() == [[1.0 + 4.0 + 8.0], [2.0]]
    aligned = 10 * day
    assert sweep_kernel._by_day(daily[:, 1:], aligned, (aligned, aligned + 2 * day), 2).tolist() == [[1.0], [2.0 + 4.0 + 8.0]]


def test_what_the_sweep_does_not_know_is_a_backtest(config, history):
    for text, why in (
        ("[paper]\nfills = 'queue'\n", "fills = 'queue'"),
        ("[paper]\nleverage = 5\n", "leverage"),
        ("[paper]\ntaker = 'walk'\n", "taker"),
    ):
        with pytest.raises(ConfigError, match=f"forward.by: 'sweep', which does not support .*{why}"):
            walk_forward(loads(GRID + "by = 'sweep'\n" + text), history, lambda what, done: None)
    own = loads("[policy]\nequity_share = 0.1\n")
    assert "equity_share" in sweep_kernel.why_not(own, settings(own, history.instruments), ["SOLUSDT"])
    assert sweep_kernel.why_not(config, settings(config, history.instruments), ["SOLUSDT"]) == ""


# ---- the command and the trial log ----


@pytest.mark.slow
def test_the_command_leaves_folds_returns_and_trials(tmp_path):
    record_run(tmp_path / "market", hours=2.5, seed=4)
    text = GRID.replace("[limits]", "[limits]\ndata_age_max_s = 12\nevent_age_max_s = 12").replace("0.125", "0.04").replace("0.0625", "0.02")
    (tmp_path / "c.toml").write_text(f'[run]\nname = "walk"\nout = "{tmp_path / "runs"}"\n{text}\n[data]\nfiles = ["market"]\n')
    command = [sys.executable, "-P", "-m", "liqshell", "forward", str(tmp_path / "c.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    folder = json.loads(done.stdout)["folder"]
    study = load_study(folder)
    assert study is not None and len(study["forward"]["folds"]) >= 1 and study["trials"]["matrix"] == "returns.npy"
    matrix = np.load(f"{folder}/returns.npy")
    assert matrix.shape == (len(study["forward"]["folds"]), 6)
    assert study["trials"]["n"] == 7  # six of the grid, one configured
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert study_of(tmp_path / "runs" / folder.rsplit("/", 1)[1])["trials"]["n"] == 7 and done.returncode == 0  # the same again is no new trial
    assert journal.load_manifest(folder)["finished"] is True
    done = subprocess.run([*command, "--set", "sweep.policy.take_profit=[0.001, 0.003]"], capture_output=True, text=True, timeout=300)
    assert (
        study_of(tmp_path / "runs" / json.loads(done.stdout)["folder"].rsplit("/", 1)[1])["trials"]["n"] == 7 + 2
    )  # two of the four were tried before


def test_returns_of_every_setting_feed_the_probability_of_overfitting(walked):
    columns = walked[1].net.shape[1]
    assert walked[1].gross.shape == walked[1].net.shape and (walked[1].gross >= walked[1].net).all(), "fees, and no funding"
    found = overfitting(np.random.default_rng(1).normal(size=(40, columns)))
    assert found["settings"] == columns  # the orientation that the report expects: days down, settings across


def test_an_entry_outside_of_the_span_is_refused_for_that_reason():
    class Always(lc.Policy):
        def on_signal(self, signal, market):
            return lc.Bracket(signal.side, notional=100.0, take_profit=0.01, stop_loss=0.01)

    start, end = 1_700_000_100 * lc.SECOND, 1_700_000_200 * lc.SECOND
    cascade = lc.make_detector("cascade", quantile=0.5, window_events=2, min_events=1, warmup=2, refresh_s=0.0, window_s=5.0)
    engine = lc.Engine(["X"], None, variants.Within(Always(), start, end), detectors=[cascade])
    for second in (0, 40, 80, 120, 160, 200, 240):
        at = 1_700_000_000 * lc.SECOND + second * lc.SECOND
        engine.on_liquidation(at, at, 0, lc.LONG, 10.0, 1.0 + second)
    asked = engine.audit.drain()
    asked = asked[(asked["kind"] == int(lc.AuditKind.AUDIT_POLICY)) & (asked["phase"] == int(lc.Phase.ACTIVE))]
    told = {int(one["ts"]) // lc.SECOND - 1_700_000_000: lc.audit.declined(one) if one["reason"] == lc.Reason.NO_TRADE else "wanted" for one in asked}
    assert told == {
        80: ("s into the span at least", -20.0, 0.0),
        120: "wanted",
        160: "wanted",
        200: ("s left of the span more than", 0.0, 0.0),
        240: ("s left of the span more than", -40.0, 0.0),
    }
