"""Backtests: the run folder, the same decisions as live, and what is run beside the run."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_cli import run

import liqcore as lc
from liqshell.backtest import load_history, run_backtest, variants
from liqshell.backtest.history import HALF_HOUR_NS
from liqshell.backtest.run import claim
from liqshell.config.load import load, loads
from liqshell.errors import ConfigError, DataError
from liqshell.recording import journal
from liqshell.report import make_report
from liqshell.report.study import load_study, outcome_of
from liqshell.run.pipeline import settings
from recorded_run import SETTINGS, audit_of, of_kind, record_run, study_of

COMMAND = [sys.executable, "-P", "-m", "liqshell"]
QUICK = ("backtest.study=false",)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("recorded") / "market", hours=3, seed=11)


@pytest.fixture(scope="module")
def written(recorded):
    """The configuration of the recorded run, with the data that it left."""
    file = recorded.parent / "fade.toml"
    file.write_text(
        f'[run]\nname = "study"\nout = "{recorded.parent / "runs"}"\n{SETTINGS}\n[data]\nfiles = ["market"]\n'
        "[backtest]\nrandom_draws = 4\ndelays_s = [0, 1, 30]\n"
    )
    return file


@pytest.fixture(scope="module")
def config(written):
    return load(written)


@pytest.fixture(scope="module")
def history(config):
    return load_history(config)


@pytest.fixture(scope="module")
def folder(config, history):
    return run_backtest(config, history=history)


def records(audit):
    """Without the numbers of the records: what was decided."""
    return [audit[name] for name in ("ts", "id", "instrument", "kind", "reason", "phase", "side", "x")]


def entries(audit):
    return of_kind(audit, lc.AuditKind.AUDIT_REQUEST)[of_kind(audit, lc.AuditKind.AUDIT_REQUEST)["x"][:, 7] == int(lc.Role.ROLE_ENTRY)]


def wanted(audit):
    """Brackets that the policy asked for: time, contract, side."""
    answers = of_kind(audit, lc.AuditKind.AUDIT_POLICY)
    answers = answers[answers["reason"] == 0]
    return list(zip(answers["ts"].tolist(), answers["instrument"].tolist(), answers["side"].tolist(), strict=True))


# ---- the run ----


def test_a_backtest_of_a_recording_decides_what_the_run_decided(recorded, folder):
    live, made = audit_of(recorded), audit_of(folder)
    assert len(of_kind(live, lc.AuditKind.AUDIT_TRADE)) >= 5
    assert made.tobytes() == live.tobytes()
    manifest = journal.load_manifest(folder)
    assert manifest["mode"] == "backtest" and manifest["finished"] is True and manifest["synthetic"] is True
    assert manifest["audit_records"] == len(made) and manifest["settings"] == journal.load_manifest(recorded)["settings"]
    assert len(manifest["code_hash"]) == len(manifest["data_hash"]) == len(manifest["config_hash"]) == 64


def test_the_same_run_comes_to_the_same_place_with_the_same_bytes(config, history, folder):
    before = {name: (folder / name).read_bytes() for name in (journal.AUDIT, "study.json")}
    stamp = journal.load_manifest(folder)
    assert run_backtest(config) == folder
    assert (folder / journal.AUDIT).read_bytes() == before[journal.AUDIT]
    studies = [json.loads(raw) | {"timing_s": None} for raw in (before["study.json"], (folder / "study.json").read_bytes())]
    assert studies[0] == studies[1]
    again = journal.load_manifest(folder)
    assert {k: v for k, v in stamp.items() if not k.startswith("wall")} == {k: v for k, v in again.items() if not k.startswith("wall")}
    quick = dataclasses.replace(config, backtest=dataclasses.replace(config.backtest, study=False))
    other = run_backtest(dataclasses.replace(quick, policy=dataclasses.replace(config.policy, take_profit=300_000)), history=history)
    assert other != folder and journal.load_manifest(other)["config_hash"] != stamp["config_hash"]


def test_the_report_reads_what_a_backtest_leaves(folder):
    assert load_study(folder) is not None
    report = make_report(folder)
    assert report.summary["mode"] == "backtest" and report.html.stat().st_size > 10_000
    assert len(report.summary["trades"]) == len(of_kind(audit_of(folder), lc.AuditKind.AUDIT_TRADE))


def test_the_account_at_mark_ends_where_the_trades_lead(folder, history):
    audit, equity = audit_of(folder), study_of(folder)["equity"]
    assert equity["ts"][0] == history.start_ns and equity["ts"][-1] == history.end_ns and len(equity["ts"]) == len(equity["marked"])
    assert all(b > a for a, b in zip(equity["ts"], equity["ts"][1:], strict=False))
    trades = of_kind(audit, lc.AuditKind.AUDIT_TRADE)
    net = trades["x"][:, 5].sum()
    held = of_kind(audit, lc.AuditKind.AUDIT_FILL)["x"][:, 0] * of_kind(audit, lc.AuditKind.AUDIT_FILL)["x"][:, 1]
    assert abs(equity["marked"][-1] - (10_000 + net)) <= 0.02 * held.max()  # the rest is what was still open


def test_a_cut_of_the_data_is_a_run_of_that_part(config, history):
    start = history.start_ns + 3600 * lc.SECOND
    cut = dataclasses.replace(
        config, data=dataclasses.replace(config.data, start=start, symbols=("DOGEUSDT",)), backtest=dataclasses.replace(config.backtest, study=False)
    )
    part = load_history(cut)
    assert [i.symbol for i in part.instruments] == ["DOGEUSDT"] and part.start_ns == start and part.tape.start >= start
    assert part.fingerprint != history.fingerprint
    doge = [i.symbol for i in history.instruments].index("DOGEUSDT")
    assert len(part.tape.trades(0)["ts"]) == (history.tape.trades(doge)["ts"] >= start).sum()
    made = run_backtest(cut)
    assert audit_of(made)["instrument"].max() <= 0 and audit_of(made)["ts"].min() >= start


def test_limits_act_as_live(config, history):
    for change, reason in (
        ({"positions_max": 1}, lc.Reason.RISK_POSITIONS),
        ({"order_notional_max": 1000.0}, lc.Reason.RISK_NOTIONAL),
        ({"exposure_max": 2500.0}, lc.Reason.RISK_EXPOSURE),
        ({"leverage_max": 0.1}, lc.Reason.RISK_LEVERAGE),
    ):
        values = settings(dataclasses.replace(config, limits=dataclasses.replace(config.limits, **change)), history.instruments)
        verdicts = of_kind(variants.trade(values, history), lc.AuditKind.AUDIT_RISK)["reason"]
        assert int(reason) in verdicts, reason.name
    latched = dataclasses.replace(config.limits, daily_loss_max=5_000, weekly_loss_max=2_000_000)  # 0.005 % of 10,000: half a unit
    audit = variants.trade(settings(dataclasses.replace(config, limits=latched), history.instruments), history)
    limits = of_kind(audit, lc.AuditKind.AUDIT_LIMIT)
    assert (limits["reason"] == int(lc.Reason.RISK_DAILY_LOSS)).any()
    assert not len(entries(audit)[entries(audit)["ts"] > limits["ts"][0]])


def test_size_is_a_notional_or_a_share_of_equity(config, history):
    def sizes(**change):
        policy = dataclasses.replace(config.policy, **change)
        audit = variants.trade(settings(dataclasses.replace(config, policy=policy), history.instruments), history)
        verdicts = of_kind(audit, lc.AuditKind.AUDIT_RISK)
        return verdicts[verdicts["reason"] == 0]["x"]

    fixed, shared = sizes(notional=3000.0), sizes(equity_share=0.25)
    assert len(fixed) and (np.abs(fixed[:, 0] / 3000.0 - 1) < 0.01).all()
    # of the equity at that moment, and rounded down to lots
    assert (shared[:, 0] <= 0.25 * shared[:, 5] * 1.003).all() and (shared[:, 0] > 0.24 * shared[:, 5]).all()
    assert len(set(np.round(shared[:, 5], 6))) > 1


# ---- delays and controls ----


def test_delays_are_measured_on_the_same_events(config, history, folder):
    values = settings(config, history.instruments)
    found = study_of(folder)["delays"]
    assert [d["delay_s"] for d in found] == [0.0, 1.0, 30.0]
    assert found[0]["outcome"] == outcome_of(audit_of(folder), history.multipliers)
    late = variants.trade(values, history.delayed(30 * lc.SECOND))
    base = variants.trade(values, history)
    first = [of_kind(a, lc.AuditKind.AUDIT_LARGE)[0] for a in (base, late)]
    assert first[1]["ts"] - first[0]["ts"] == 30 * lc.SECOND and first[1]["x"].tolist()[:3] == first[0]["x"].tolist()[:3]
    assert found[2]["outcome"] == outcome_of(late, history.multipliers)
    orders = variants.delayed(values, history, 1.0, "orders")
    assert orders["outcome"] != found[1]["outcome"]  # late orders carry old prices; late signals do not


def test_the_other_side_is_the_same_trade_turned(config, history):
    values = settings(config, history.instruments)
    base, turned = variants.trade(values, history), variants.trade(values, history, variants.Turned)
    assert [(ts, n, -side) for ts, n, side in wanted(base)] == wanted(turned)
    assert entries(base)[0]["side"] == -entries(turned)[0]["side"]
    for audit in (base, turned):  # a buy rests below the market, a sell above it, whichever idea it serves
        assert (np.sign(entries(audit)["x"][:, 0] - entries(audit)["x"][:, 6]) == -entries(audit)["side"]).all()


def test_a_bracket_is_turned_with_all_its_terms():
    long = lc.Bracket(lc.LONG, entry_offset="0.0015", take_profit="0.0015", stop_loss="0.0025", notional=1000)
    ethusdt = lc.Instrument("ETHUSDT", tick_size="0.01")
    assert long.turned(lc.SHORT).prices(ethusdt, 2500.0) == lc.Bracket(
        lc.SHORT, entry_offset="0.0015", take_profit="0.0015", stop_loss="0.0025", notional=1000
    ).prices(ethusdt, 2500.0)
    assert long.side == 1 and long.turned(1).prices(ethusdt, 2500.0) == long.prices(ethusdt, 2500.0)
    with pytest.raises(ValueError, match="expected LONG"):
        long.turned(0)


def test_random_sides_follow_from_the_seed_alone(config, history):
    values = settings(config, history.instruments)

    def sides(seed):
        return wanted(variants.trade(values, history, lambda inner: variants.RandomSide(inner, seed)))

    assert sides(1) == sides(1) and sides(1) != sides(2)
    assert [x[:2] for x in sides(1)] == [x[:2] for x in wanted(variants.trade(values, history))]
    drawn = np.array([side for seed in range(20) for _, _, side in sides(seed)])
    assert abs(drawn.mean()) < 4 / np.sqrt(len(drawn))


def test_liquidations_moved_in_time_keep_all_but_their_time(history):
    span = history.end_ns - history.start_ns
    offset = span // 3
    moved = history.shifted(offset)
    before, after = history.liquidations, moved.liquidations
    assert len(before) == len(after)
    back = (after["ts_recv"] - history.start_ns - offset) % span + history.start_ns
    order = np.argsort(back, kind="stable")
    assert (np.sort(back) == before["ts_recv"]).all()
    assert (after["instrument"][order] == before["instrument"]).all() and (after["side"][order] == before["side"]).all()
    assert (after["qty"][order] == before["qty"]).all()
    notional = np.where(before["aux_price"] > 0, before["aux_price"], before["price"] * before["qty"])
    assert np.allclose(after["aux_price"][order], notional, rtol=0)
    assert (after["ts_recv"] - after["ts_event"] == (before["ts_recv"] - before["ts_event"])[np.argsort(order, kind="stable")]).all()
    last = moved.last_trade(after)
    assert (np.abs(after["price"][last > 0] / last[last > 0] - 1) < 0.25).all()
    # everything else stays as it was
    assert (moved.tape.trades(0)["price"] == history.tape.trades(0)["price"]).all()
    assert (moved.rare(lc.Kind.TICKER) == history.rare(lc.Kind.TICKER)).all()


def test_moved_liquidations_do_not_trip_the_check_of_sides(config, history):
    """128 of them on the wrong side of mark would halt trading, and the control would lose nothing for the wrong reason."""
    values = settings(config, history.instruments)
    for draw in (variants.draw_of("random_time", values, history, 5, k) for k in range(3)):
        audit = variants.trade(draw.values, draw.history)
        limits = of_kind(audit, lc.AuditKind.AUDIT_LIMIT)
        assert not (limits["reason"] == int(lc.Reason.HALTED)).any()
        assert len(of_kind(audit, lc.AuditKind.AUDIT_SIGNAL))


def test_the_half_hour_control_enters_every_half_hour(config, history):
    values = settings(config, history.instruments)
    sides = {}
    assert variants.count_of("every_30_min", 1) == 2
    for phase, draw in enumerate(variants.draw_of("every_30_min", values, history, 0, k) for k in range(2)):
        audit = variants.trade(draw.values, draw.history)
        asked = wanted(audit)
        assert {ts % HALF_HOUR_NS for ts, _, _ in asked} == {0}
        for n in range(len(history.instruments)):
            own = [(ts, side) for ts, k, side in asked if k == n]
            assert len(own) == (history.end_ns - own[0][0] - 1) // HALF_HOUR_NS + 1 >= 5
            assert [side for _, side in own] == [own[0][1] * (-1) ** k for k in range(len(own))]
            sides[phase, n] = own[0]
        assert len(entries(audit))
    assert all(sides[0, n][1] == -sides[1, n][1] for n in range(len(history.instruments)))


def test_controls_are_in_the_study_with_their_seeds(folder):
    found = {c["kind"]: c for c in study_of(folder)["controls"]}
    assert {kind: len(c["draws"]) for kind, c in found.items()} == {"inverted_side": 1, "random_side": 4, "random_time": 4, "every_30_min": 2}
    assert found["random_side"]["seed"] == 0 and found["inverted_side"]["seed"] is None
    assert len({json.dumps(draw) for draw in found["random_time"]["draws"]}) > 1


# ---- policies of one's own, sparse data ----


def test_a_policy_in_a_file_beside_the_configuration(written, history):
    file = written.parent / "follow.py"
    file.write_text(
        "import liqcore as lc\n\n\nclass Follow(lc.Policy):\n    def __init__(self, default, brackets):\n"
        "        self.brackets = {s: lc.Bracket(s, **default) for s in (lc.LONG, lc.SHORT)}\n\n"
        "    def on_signal(self, signal, market):\n"
        "        return self.brackets[-signal.side] if signal.phase == lc.Phase.ACTIVE else None\n"
    )
    own = run_backtest(load(written, [*QUICK, "policy.rule=follow.py:Follow", "policy.entry=market"]), history=history)
    base = run_backtest(load(written, [*QUICK, "policy.entry=market"]), history=history)
    assert [(ts, n, -side) for ts, n, side in wanted(audit_of(base))] == wanted(audit_of(own))
    manifest = journal.load_manifest(own)
    assert manifest["grade"] == "claimed" and manifest["settings"]["rule"].endswith("follow.py:Follow") and manifest["settings"]["rule_sha256"]
    file.write_text(file.read_text().replace("self.brackets = {", "self.brackets = 1 / 0 + {"))
    folders = set(own.parent.iterdir())
    with pytest.raises(ConfigError, match=r"ZeroDivisionError.*\(line 6\)"):
        run_backtest(load(written, [*QUICK, "policy.rule=follow.py:Follow"]), history=history)
    with pytest.raises(ConfigError, match="one of Follow"):
        run_backtest(load(written, [*QUICK, "policy.rule=follow.py:Fellow"]), history=history)
    with pytest.raises(ConfigError, match="missing.py does not exist"):
        run_backtest(load(written, [*QUICK, "policy.rule=missing.py:Follow"]), history=history)
    assert set(own.parent.iterdir()) == folders


def test_trades_and_liquidations_are_enough(tmp_path):
    market = record_run(tmp_path / "market", hours=2, topics=("publicTrade", "allLiquidation"))
    config = load(_write(tmp_path))
    history = load_history(config)
    assert history.count("quotes") == 0 and not len(history.rare(lc.Kind.TICKER))
    folder = run_backtest(config)
    assert audit_of(folder).tobytes() == audit_of(market).tobytes()
    assert len(of_kind(audit_of(folder), lc.AuditKind.AUDIT_FILL))
    assert {"no quotes", "no tickers"} <= study_of(folder)["models"].keys()


def _write(folder, text="", files='["market"]'):
    file = folder / "c.toml"
    file.write_text(f'[run]\nname = "x"\nout = "{folder / "runs"}"\n{SETTINGS}\n[backtest]\nstudy = false\n[data]\nfiles = {files}\n{text}')
    return file


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ('symbols = ["BTCUSDT"]', DataError, r"no data of BTCUSDT; expected of SOLUSDT, DOGEUSDT"),
        ("start = 2030-01-01", DataError, r"nothing between 2030-01-01T00:00:00Z and its end"),
        ("end = 2020-01-01T00:00:00Z", DataError, r"nothing between its beginning and 2020"),
    ],
)
def test_data_that_is_not_there(recorded, text, error, says):
    with pytest.raises(error, match=says):
        run_backtest(load(_write(recorded.parent, text)))


def test_data_that_cannot_be_joined(recorded, tmp_path):
    shutil.copytree(recorded, tmp_path / "market")
    shutil.copytree(recorded, tmp_path / "again")
    with pytest.raises(DataError, match="overlap in time"):
        load_history(load(_write(tmp_path, files='["market", "again"]')))
    with pytest.raises(DataError, match="neither store nor files"):
        load_history(loads(""))
    with pytest.raises(DataError, match="no such file"):
        load_history(load(_write(tmp_path, files='["nowhere"]')))


# ---- the folder ----


def test_only_a_backtest_that_was_cut_off_is_replaced(tmp_path, config, history):
    quick = dataclasses.replace(config, backtest=dataclasses.replace(config.backtest, study=False))
    made = run_backtest(quick, tmp_path / "run", history=history)
    with pytest.raises(ConfigError, match="a finished backtest"):
        run_backtest(quick, tmp_path / "run", history=history)
    journal.update(made, finished=False)
    (made / journal.AUDIT).write_bytes(b"half")
    assert audit_of(run_backtest(quick, tmp_path / "run", history=history)).tobytes() == audit_of(made).tobytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose me")
    journal.update(made, finished=False)
    (made / "notes.txt").write_text("mine")
    for folder in (tmp_path / "mine", made):
        with pytest.raises(ConfigError, match="content that is not an unfinished backtest"):
            claim(folder, replace_finished=True)
    assert (tmp_path / "mine" / "thesis.txt").exists() and (made / "notes.txt").exists()


def test_a_policy_that_raises_ends_the_run_and_the_folder_says_why(written, history, tmp_path):
    (written.parent / "raises.py").write_text(
        "import liqcore as lc\n\n\nclass Raises(lc.Policy):\n    def on_signal(self, signal, market):\n        raise KeyError('never mind')\n"
    )
    with pytest.raises(KeyError):
        run_backtest(load(written, [*QUICK, "policy.rule=raises.py:Raises"]), tmp_path / "run", history=history)
    found = journal.load_manifest(tmp_path / "run")
    assert found["finished"] is False and found["problem"] == "KeyError: 'never mind'"


@pytest.mark.slow
def test_a_killed_backtest_says_so_and_is_made_again(written, folder, tmp_path):
    out = tmp_path / "run"
    command = [*COMMAND, "backtest", str(written), "--out", str(out), "--set", "backtest.random_draws=500"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while not (out / journal.AUDIT).exists() or not (out / journal.AUDIT).stat().st_size:
            assert child.poll() is None and time.monotonic() < until
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    assert journal.load_manifest(out)["finished"] is False and not (out / "study.json").exists()
    done = subprocess.run([*command[:-1], "backtest.random_draws=2"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert journal.load_manifest(out)["finished"] is True
    assert audit_of(out).tobytes() == audit_of(folder).tobytes()


def test_the_command(written, tmp_path, capsys):
    status, out, err = run(
        capsys, "backtest", written, "--out", tmp_path / "a", "--quick", "--json", "--set", "policy.take_profit=0.003", "limits.positions_max=1"
    )
    assert status == 0, err
    summary = json.loads(out)
    assert summary["mode"] == "backtest" and summary["folder"] == str(tmp_path / "a")
    assert journal.load_manifest(tmp_path / "a")["settings"]["brackets"]["SOLUSDT"]["take_profit"] == "0.003"
    done = subprocess.run([*COMMAND, "backtest", str(written), "--quick"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "Report: " in done.stdout and "SYNTHETIC" in done.stdout
    status, _, err = run(capsys, "backtest", written, "--set", "policy.take_profitt=0.003")
    assert status == 2 and "policy.take_profitt: unknown key. Did you mean 'take_profit'?" in " ".join(err.split())


@pytest.mark.slow
def test_the_example_is_a_configuration_of_what_a_demo_leaves(recorded, tmp_path):
    file = Path(__file__).parents[3] / "examples" / "backtest.toml"
    text = file.read_text().replace("../runs/demo", str(recorded))
    (tmp_path / "backtest.toml").write_text(text)
    assert load(file).sweep.size == 12
    for command in ("backtest", "forward"):
        done = subprocess.run(
            [*COMMAND, command, str(tmp_path / "backtest.toml"), "--set", f"run.out={tmp_path}", "backtest.random_draws=2"],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert "Can it be believed?" in done.stdout and ("Walk-forward" in done.stdout) == (command == "forward")


def test_a_policy_that_asks_a_judge_is_refused_where_the_data_holds_no_verdicts(written, tmp_path):
    """It would trade nothing, and the report would say that of the policy."""
    with pytest.raises(ConfigError, match="policy.judge_s.*these data hold no verdicts"):
        run_backtest(load(written, ["policy.judge_s=10"]), tmp_path / "run")
