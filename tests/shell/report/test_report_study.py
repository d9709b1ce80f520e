"""The report of a backtest: real runs over seeded events, judged against controls, delays and a walk; every part may be missing."""

import csv
import json
import math
import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import liqcore as lc
import markets
import study_folder
from liqshell.errors import DataError
from liqshell.report import load_run, make_report, overfit, print_report, sections_study, statistics, study, terminal_study, text, verdicts
from liqshell.report.expected import MEASURES, compare
from liqshell.report.ledger import read_ledger
from liqshell.report.results import daily_returns
from liqshell.report.robust import CONTROLS, controls, delays, forward
from report_page import Page, terminal

DAY_NS = study_folder.DAY_NS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return study_folder.make_backtest(tmp_path_factory.mktemp("runs") / "backtest")


@pytest.fixture(scope="module")
def tape():
    return lc.Tape.of(markets.instruments(3), study_folder.events(3, 12.0, 60_000, 3))


@pytest.fixture(scope="module")
def report(folder, tape):
    return make_report(folder, tape=tape)


def copy(folder, to, meta=None, **changes):
    """The same run with another study (a value of ... removes the key) and other lines in run.json."""
    shutil.copytree(folder, to)
    if meta:
        (to / "run.json").write_text(json.dumps(json.loads((to / "run.json").read_text()) | meta))
    found = json.loads((to / "study.json").read_text()) | changes
    (to / "study.json").write_text(json.dumps({k: v for k, v in found.items() if v is not ...}))
    return to


# ---- numbers against the records ----


def test_sums_equal_those_of_the_audit_records(folder, report):
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    trades = audit[audit["kind"] == lc.AuditKind.AUDIT_TRADE]
    s, x = report.summary, trades["x"]
    bps = x[:, 5] / (x[:, 0] * x[:, 2]) * 1e4
    assert len(trades) > 200 and s["portfolio"]["net"] == pytest.approx(x[:, 5].sum()) and s["portfolio"]["mean_bps"] == pytest.approx(bps.mean())
    for name in ("sides", "hours", "instruments", "exits"):
        assert math.fsum(r["net"] for r in s[name]) == pytest.approx(x[:, 5].sum()), name
        assert sum(r.get("n", r.get("trades")) for r in s[name]) == len(trades), name
    assert math.fsum(d["net"] for d in s["days"]) == pytest.approx(x[:, 5].sum()) and sum(d["trades"] for d in s["days"]) == len(trades)
    assert sum(r["n"] for r in s["holds"]) == len(trades)
    long = next(r for r in s["sides"] if r["side"] == "long")
    assert long["n"] == int((trades["side"] > 0).sum()) and long["mean_bps"] == pytest.approx(bps[trades["side"] > 0].mean())
    assert math.fsum(r["fees"] for r in s["money"]["fees_by_leg"]) == pytest.approx(x[:, 4].sum())
    for r in s["money"]["fees_by_leg"]:
        assert r["bps"] == pytest.approx(2.0 if r["role"] == "maker" else 5.5)
    clustered = statistics.clustered_mean(bps.tolist(), (trades["ts"] // DAY_NS).tolist())
    assert s["per_trade"]["t"] == pytest.approx(clustered["t"]) and clustered["clusters"] == 11, "a day has no data"
    assert (s["per_trade"]["cluster_s"], s["per_trade"]["clusters"]) == (86_400, 11)


def test_daily_returns_leave_out_the_day_without_data(folder, report):
    run = load_run(folder)
    audit = run.audit[run.audit["kind"] == lc.AuditKind.AUDIT_TRADE]
    nets = np.bincount((audit["ts"] - run.started_ns) // DAY_NS, audit["x"][:, 5], 12)
    account = 10_000 + np.concatenate([[0.0], np.cumsum(nets)[:-1]])
    returns = np.delete(nets / account, 5)  # the feed was down from day 4.8 to day 6
    d = report.summary["daily_sharpe"]
    assert (d["days"], d["days_without_data"]) == (11, 1)
    assert d["value"] == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    assert report.summary["days"][5]["covered"] == 0.0 and report.summary["days"][0]["covered"] == 1.0
    t = report.summary["trials"]
    assert (t["days"], t["edge"], t["deflated"]) == (11, None, None), "too few days"
    assert t["overfitting"] == overfit.overfitting(np.load(folder / "trials.npy"))


def test_a_day_of_which_the_data_are_a_piece_is_no_day_though_it_traded(folder):
    """22 recordings of 51 minutes, one a day, were 21 whole days with a Sharpe ratio of 161."""
    run = load_run(folder)
    ledger = read_ledger(run)
    day = next(k for k in range(12) if k != 5 and any((b.flat - run.started_ns) // DAY_NS == k for b in ledger.trades))
    ledger.feed += [
        (run.started_ns + day * DAY_NS + round(hours * 3600) * lc.SECOND, -1, state, 0.0, 0)
        for hours, state in ((0.1, lc.FeedState.FEED_DOWN), (23.0, lc.FeedState.FEED_UP))
    ]
    returns, without = daily_returns(run, ledger)
    assert (len(returns), without) == (10, 2)


@pytest.mark.parametrize(("completeness", "known"), [("UNKNOWN", False), ("FULL", True)])
def test_data_without_a_feed_of_liquidations_give_no_rate_of_cascades(folder, tmp_path, completeness, known):
    """Files of trades were said to hold "0.00 cascades per covered hour (0.00 to 0.01)", below what a preset promises."""
    data = json.loads((folder / "study.json").read_text())["data"]
    data["parts"][0] |= {"liquidations": 0, "completeness": completeness}
    s = make_report(copy(folder, tmp_path / "run", data=data)).summary
    hours = [row["cascades"]["hours"] for row in s["instruments"]]
    assert (hours[0] > 0, s["instruments"][0]["cascades"]["per_hour"] is not None) == (known, known) and all(h > 0 for h in hours[1:])
    assert s["cascades"]["rate"]["hours"] == pytest.approx(sum(hours))
    assert s["covered_instrument_hours"] == pytest.approx(3 * hours[1]), "trades are counted per hour of all data"


def test_drawdown_has_dates(report):
    m = report.summary["money"]
    d, run = m["drawdown"], report.summary
    assert d["share"] == m["max_drawdown_on_account"] > 0 and run["started_ns"] <= d["peak_ns"] < d["trough_ns"] <= run["ended_ns"]
    nets = [10_000.0]
    for r in sorted(run["trades"], key=lambda r: r["n"]):
        nets.append(nets[-1] + r["net"])
    assert d["share"] == pytest.approx(max((max(nets[: k + 1]) - v) / max(nets[: k + 1]) for k, v in enumerate(nets)))


def test_trades_csv_has_every_column(report):
    rows = list(csv.DictReader(StringIO(report.csv.read_text("utf-8"))))
    assert len(rows) == len(report.summary["trades"]) > 200
    for r in rows[:50]:
        net = float(r["gross"]) - float(r["fees"]) - float(r["funding"])
        assert float(r["net"]) == pytest.approx(net) and float(r["fee_entry"]) + float(r["fee_exit"]) == pytest.approx(float(r["fees"]))
        assert r["opened"].startswith("2026-03-") and r["opened"].endswith("Z")
        assert np.datetime64(r["opened"][:-1], "us").astype(np.int64) * 1000 == int(r["opened_ns"]) // 1000 * 1000
        assert int(r["signal_ns"]) <= int(r["decided_ns"]) < int(r["opened_ns"]) <= int(r["closed_ns"])
        assert float(r["threshold"]) > 0 and 0 < float(r["score"]) <= 10 and float(r["cascade_notional"]) > 0
        assert (r["side"], r["cascade"]) in (("long", "longs liquidated"), ("short", "shorts liquidated"))
        assert r["exit_leg"] in ("target", "stop", "close") and r["entry_role"] == "maker"
    audit = np.fromfile(report.csv.parent / "audit.bin", lc.AUDIT_DTYPE)
    exits = audit[(audit["kind"] == lc.AuditKind.AUDIT_FILL) & (audit["x"][:, 7] != lc.Role.ROLE_ENTRY)]
    assert {int(r["closed_ns"]) for r in rows} == set(exits["ts"].tolist()), "no exit of this run is filled in parts"
    assert all(int(r["closed_ns"]) - int(r["opened_ns"]) == round(float(r["hold_s"]) * 1e9) for r in rows)


def with_funding(folder, to, paid):
    """The run with a funding record in front of each of its first trades."""
    shutil.copytree(folder, to)
    audit = np.fromfile(to / "audit.bin", lc.AUDIT_DTYPE)
    at = np.flatnonzero(audit["kind"] == lc.AuditKind.AUDIT_TRADE)[: len(paid)]
    rows = audit[at].copy()
    rows["kind"], rows["x"] = lc.AuditKind.AUDIT_FUNDING, 0.0
    rows["x"][:, 2] = paid
    audit = np.insert(audit, at, rows)
    audit["seq"] = np.arange(len(audit))
    audit.tofile(to / "audit.bin")
    return to


def test_funding_is_part_of_the_way_to_net(folder, tmp_path, report):
    paid = [1.25, -0.5, 2.0]
    s = make_report(with_funding(folder, tmp_path / "funded", paid)).summary
    m, before = s["money"], report.summary["money"]
    assert m["funding"] == pytest.approx(2.75) and m["funding_modelled"] and not before["funding_modelled"]
    assert m["net"] == pytest.approx(before["net"] - 2.75)
    assert m["gross_decided"] - m["slippage"] - m["fees"] - m["funding"] == pytest.approx(m["net"])
    assert sorted(r["funding"] for r in s["trades"] if r["funding"]) == pytest.approx(sorted(paid))
    assert math.fsum(r["funding"] for r in s["exits"]) == pytest.approx(2.75) == math.fsum(r["funding"] for r in s["sides"])
    audit = np.fromfile(tmp_path / "funded" / "audit.bin", lc.AUDIT_DTYPE)
    found = study.outcome_of(audit, [1.0] * 3)
    assert found["funding"] == pytest.approx(2.75) and found["net"] == pytest.approx(m["net"])
    assert sum(study.trades_of(audit, [1.0] * 3)["net"]) == pytest.approx(m["net"])


def test_outcome_is_what_the_report_counts(folder, report):
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    found, s = study.outcome_of(audit, [1.0] * 3), report.summary
    assert (found["trades"], found["wins"], found["entries"]) == (s["portfolio"]["n"], s["portfolio"]["wins"], s["entries"]["placed"])
    for key in ("gross", "fees", "net", "notional"):
        assert found[key] == pytest.approx(s["portfolio"][key])
    assert found["mean_bps"] == pytest.approx(s["per_trade"]["mean"])
    empty = study.outcome_of(audit[:0], [1.0] * 3)
    assert empty["mean_bps"] is None and empty["net"] == 0.0


# ---- the study ----


def outcome(mean_bps, trades=40):
    return {
        "entries": trades,
        "trades": trades,
        "wins": trades // 2,
        "gross": 0.0,
        "fees": 0.0,
        "funding": 0.0,
        "net": 0.0,
        "notional": 1.0,
        "mean_bps": mean_bps if trades else None,
    }


def test_controls_are_a_distribution(report, folder):
    c = report.summary["controls"]
    random = next(r for r in c["rows"] if r["kind"] == "random_side")
    given = sorted(d["mean_bps"] for d in json.loads((folder / "study.json").read_text())["controls"][0]["draws"])
    real = report.summary["per_trade"]["mean"]
    assert random["values_bps"] == given and random["p"] == (1 + sum(v >= real for v in given)) / 16
    assert c["mean_bps"] == real and c["edge"] is False and "No edge over the controls" in c["verdict"]


@pytest.mark.parametrize(
    ("real", "n", "values", "inverted", "edge", "words"),
    [
        (5.0, 200, np.linspace(-3, 3, 99), -6.0, True, "An edge over the controls"),
        (
            5.0,
            29,
            np.linspace(-3, 3, 99),
            -6.0,
            None,
            "29 trades; a comparison with the controls needs 30. So far: the policy's +5.0 bps a trade is above",
        ),
        (5.0, 3, np.linspace(-3, 3, 99), 6.0, None, "3 trades; a comparison with the controls needs 30. So far: inverted side did as well"),
        (2.9, 200, np.linspace(-3, 3, 19), -6.0, False, "random side did as well"),
        (5.0, 200, np.linspace(-3, 3, 99), 6.0, False, "inverted side did as well"),
        (-1.0, 200, np.linspace(-9, -3, 99), -6.0, False, "but a loss"),
        (5.0, 200, np.linspace(-3, 3, 3), -6.0, False, "random side"),
    ],
)
def test_verdict_on_controls(real, n, values, inverted, edge, words):
    found = controls(
        {
            "controls": [
                {"kind": "random_side", "seed": 1, "draws": [outcome(v) for v in values]},
                {"kind": "inverted_side", "seed": None, "draws": [outcome(inverted)]},
            ]
        },
        {"mean": real, "n": n, "low": real - 1.0},
    )
    assert found["edge"] is edge and words in found["verdict"], found["verdict"]


def test_controls_without_trades():
    nothing = {"controls": [{"kind": "of_my_own", "name": "my own", "seed": 1, "draws": [outcome(None, 0)]}]}
    assert controls(nothing, {"mean": 1.0, "n": 9, "low": 0.0})["edge"] is None
    assert controls(nothing, {"mean": None, "n": 0, "low": None})["edge"] is None
    assert set(CONTROLS) == {"random_side", "inverted_side", "random_time", "every_30_min"}
    real = {"mean": 1.0, "n": 9, "low": 0.0}
    assert controls(nothing, real)["rows"][0]["name"] == "my own" and controls({}, real) is None


def test_a_control_inside_the_runs_own_interval_explains_it():
    """The draws scatter little, as they trade more often; the run's own trades say -1 to 11 bps."""
    study = {"controls": [{"kind": "random_side", "seed": 1, "draws": [outcome(v) for v in np.linspace(-0.5, 0.5, 99)]}]}
    found = controls(study, {"mean": 5.0, "n": 200, "low": -1.0})
    assert found["edge"] is False and "the difference may be chance" in found["verdict"]
    assert controls(study, {"mean": 5.0, "n": 200, "low": 1.0})["edge"] is True
    unknown = controls(study, {"mean": 5.0, "n": 40, "low": None})
    assert unknown["edge"] is None and "too few separate stretches of time for an interval" in unknown["verdict"]


def measured(values, day=0):
    return {"closed_ns": [(day + k % 5) * DAY_NS for k in range(len(values))], "net": list(values), "return_bps": list(values)}


def test_delays_are_told_as_they_are():
    up, down = [5.0, 6.0, 5.5, 4.5, 5.0] * 8, [-5.0, -6.0, -5.5, -4.5, -5.0] * 8
    rows = [{"delay_s": 60.0, "outcome": outcome(-5.2), "trades": measured(down)}, {"delay_s": 0.05, "outcome": outcome(5.2), "trades": measured(up)}]
    found = delays({"delays": rows})
    assert [r["delay_s"] for r in found["rows"]] == [0.05, 60.0] and "1 of 2 delays, the slowest 50 ms" in found["verdict"]
    assert found["rows"][0]["mean_bps"] == pytest.approx(5.2) and found["rows"][0]["low_bps"] > 0
    assert "no delay covers its costs" in delays({"delays": rows[:1]})["verdict"]
    none = {"delay_s": 1.0, "outcome": outcome(None, 0), "trades": measured([])}
    assert "No delay has a closed trade" in delays({"delays": [none]})["verdict"] and delays({"delays": [none]})["rows"][0]["win_rate"] is None
    assert delays({}) is None


def test_walk_forward_pools_the_test_spans(report, folder):
    f, given = report.summary["forward"], json.loads((folder / "study.json").read_text())["forward"]["folds"]
    pooled = [v for fold in given for v in fold["test_trades"]["return_bps"]]
    assert f["out_of_sample_bps"] == pytest.approx(np.mean(pooled)) and f["trades"] == len(pooled) == sum(r["test_trades"] for r in f["rows"])
    inside = sum(x["train_outcome"]["mean_bps"] * x["train_outcome"]["trades"] for x in given) / sum(x["train_outcome"]["trades"] for x in given)
    assert f["in_sample_bps"] == pytest.approx(inside) and f["positive_folds"] == sum(x["test_outcome"]["net"] > 0 for x in given)
    fold = given[0] | {"test_outcome": outcome(None, 0), "test_trades": measured([])}
    assert (
        "No test span has a closed trade"
        in forward({"forward": {"objective": "net", "scheme": "rolling", "embargo_s": 0.0, "folds": [fold]}})["verdict"]
    )
    assert forward({"forward": {"objective": "net", "scheme": "rolling", "embargo_s": 0.0, "folds": []}}) is None


def test_promised_and_observed(report):
    rows = {(r["id"], r["measure"]): r for r in report.summary["expected"]}
    assert rows["expected performance", "win_rate"]["verdict"] == "below" and rows["expected performance", "net_bps"]["verdict"] == "below"
    assert (
        rows["expected outcomes", "exits.target"]["observed"] == next(r for r in report.summary["exits"] if r["reason"] == "target")["share"]["share"]
    )
    assert rows["expected performance", "win_rate"]["observed"] == report.summary["win_rate"]["share"]
    days = report.summary["covered_instrument_hours"] / 24
    assert rows["expected performance", "trades_per_day"]["observed"] == pytest.approx(len(report.summary["trades"]) / days)


def test_own_claims_and_unknown_measures(folder, report):
    run = load_run(folder)
    claims = [{"id": "mine", "measure": "win_rate", "low": 0.0, "high": None}, {"id": "mine", "measure": "luck", "low": 1.0, "high": 2.0}]
    rows = compare(run, {"expected": claims}, report.summary)
    assert [r["verdict"] for r in rows] == ["as claimed", "cannot tell"]
    for claim in ({"low": None, "high": 0.01}, {"low": 0.99, "high": None}):
        verdict = compare(run, {"expected": [{"id": "x", "measure": "win_rate", **claim}]}, report.summary)[0]["verdict"]
        assert verdict == ("above" if claim["high"] else "below")


def test_every_measure_can_be_read_from_any_report(report, tmp_path):
    empty = make_report(study_folder.make_backtest(tmp_path / "empty", count=20, days=0.1, size=1, with_study=False)).summary
    for name, (_, _, read) in MEASURES.items():
        assert read(report.summary).value is not None, name
        assert read(empty).missing, name


def test_data_is_told_by_class(report):
    parts = {p["symbol"]: p for p in report.summary["data"]["parts"]}
    assert (parts["SOLUSDT"]["completeness"], parts["SOLUSDT"]["receipt"]) == ("CENSORED", "modelled")
    assert parts["ETHUSDT"]["covered"] == pytest.approx(0.9)


def test_volumes_of_unlike_feeds_are_never_added(folder, tmp_path, report):
    rows = json.loads((folder / "run.json").read_text())["instruments"]
    mixed = make_report(copy(folder, tmp_path / "mixed", {"instruments": [rows[0], {**rows[1], "completeness": 2}, rows[2]]})).summary["cascades"]
    whole = report.summary["cascades"]
    assert mixed["notional"] is None and set(mixed["notional_by_class"]) == {"CENSORED", "FULL"} and whole["notional"] is not None
    assert sum(mixed["notional_by_class"].values()) == pytest.approx(whole["notional"]) and all(v > 0 for v in mixed["notional_by_class"].values())


# ---- the page, the terminal, the files ----


def test_page_is_whole(report):
    page = Page(report.html.read_text("utf-8"))
    assert not page.stack and page.tags.count("svg") >= 8
    text_ = " ".join(page.text)
    for words in (
        "Can it be believed?",
        "Reaction delay",
        "Controls",
        "Walk-forward",
        "Trials",
        "Promised and observed",
        "CENSORED",
        "MODELLED",
        "SYNTHETIC",
        "Fees by leg",
        "deflated Sharpe",
        "probability of overfitting",
        "not simulated",
        "Long and short",
        "Time held",
        "venue's time + 250 ms",
    ):
        assert words in text_, words
    assert not re.search(r"\b(nan|inf|None)\b", text_), "what does not exist is a dash"
    shown = terminal(report.summary)
    for words in ("Can it be believed?", "Reaction delay", "Controls", "Walk-forward", "CENSORED", "deflated Sharpe", "Long and short"):
        assert words in shown, words
    assert "Latency" not in shown and not re.search(r"\b(nan|inf|None)\b", shown)
    narrow = Console(file=StringIO(), width=60)
    print_report(report.summary, narrow)


def test_prices_come_from_the_tape(report, tape, folder, tmp_path):
    page = Page(report.html.read_text("utf-8"))
    data = json.loads(next(s for s in page.scripts if s.startswith('{"origin"')))
    assert report.summary["drawing"]["trades"] == sum(len(tape.trades(n)["ts"]) for n in range(3)) > 10_000
    for n, i in enumerate(data["instruments"]):
        over, ticks = i["overview"], np.asarray(tape.trades(n)["price"])
        assert over["base"] == ticks.min() and max(a + b for a, b in zip(over["lo"], over["hi"], strict=True)) == ticks.max() - ticks.min()
        assert sum(over["l"]) > 0 and sum(over["s"]) > 0, "forced volume of both sides"
    without = make_report(folder, tmp_path / "without").summary
    assert "no frames" in without["drawing"]["problem"] and without["money"] == report.summary["money"]


def test_report_is_the_same_when_made_again(report, folder, tape, tmp_path):
    again = make_report(folder, tmp_path / "again", tape=tape)
    assert again.html.read_bytes() == report.html.read_bytes() and again.json.read_bytes() == report.json.read_bytes()


def test_json_is_strict_and_its_keys_are_documented(report):
    found = json.loads(report.json.read_text("utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    documented = (Path(__file__).parents[3] / "docs" / "report.md").read_text("utf-8")
    for key in found:
        assert f"`{key}`" in documented, f"docs/report.md does not tell of {key}"
    for key in report.summary["trades"].columns:
        assert f"`{key}`" in documented, f"docs/report.md does not tell of column {key}"


@pytest.mark.slow
@pytest.mark.parametrize("without", ["delays", "controls", "forward", "trials", "data", "expected", "models", "timing_s", "problems"])
def test_every_part_may_be_missing(folder, tmp_path, without):
    s = make_report(copy(folder, tmp_path / without, **{without: ...}))
    assert not Page(s.html.read_text("utf-8")).stack and terminal(s.summary)
    answers = {row["question"]: row["state"] for row in s.summary["belief"]}
    if without == "controls":
        assert answers["Is it better than chance entries?"] == "none"
    if without == "trials":
        assert s.summary["trials"]["trials"] == 1 and "no trial log" in s.summary["trials"]["source"]


def test_backtest_without_a_study_says_so(folder, tmp_path):
    bare = copy(folder, tmp_path / "bare")
    (bare / "study.json").unlink()
    out = make_report(bare)
    assert "it has no test of its result" in " ".join(Page(out.html.read_text("utf-8")).text)
    assert [row["state"] for row in out.summary["belief"]][1:4] == ["none"] * 3


def late(delay_s, mean, n=400):
    return {"delay_s": delay_s, "mean_bps": mean, "low_bps": mean - 0.5, "high_bps": mean + 0.5, "trades": n}


def states(s):
    return [row["state"] for row in verdicts.belief(s)]


def test_good_news_is_told_too():
    """belief() finds for a result that stands everything."""
    good = {
        "mode": "backtest",
        "synthetic": False,
        "per_trade": {"n": 400, "mean": 4.0, "low": 2.0, "high": 6.0, "t": 4.0, "few": False, "clusters": 40, "cluster_s": 86_400.0},
        "controls": {"edge": True, "verdict": "v"},
        "delays": {"rows": [late(0.05, 1.0), late(60.0, 1.0)]},
        "forward": {"out_of_sample_bps": 1.0, "low_bps": 0.5, "high_bps": 3.0, "trades": 90, "verdict": "v"},
        "trials": {
            "edge": True,
            "p_superior": 0.01,
            "p_shape": 0.02,
            "deflated": 0.97,
            "trials": 100,
            "settings": 100,
            "logged": True,
            "days": 80,
            "unmet": False,
            "problem": "",
            "overfitting": {"pbo": 0.05, "loss": 0.1},
        },
        "data": {"parts": [{"symbol": "X", "completeness": "FULL", "receipt": "recorded", "covered": 0.99}]},
        "quotes": {"quoted": 0.99, "weakness": ""},
    }
    assert states(good) == ["good"] * 6
    censored = {"parts": [good["data"]["parts"][0] | {"completeness": "CENSORED"}]}
    worse = good | {"trials": good["trials"] | {"overfitting": {"pbo": 0.6, "loss": 0.7}}, "data": censored}
    assert states(worse)[4:] == ["bad", "open"]
    assert "probability that the chosen setting loses 70.0 %" in verdicts.belief(worse)[4]["answer"]
    for change, state, words in (
        ({"edge": None, "settings": 3}, "open", "results exist for only 3 of them"),
        ({"logged": False}, "open", "one trial is assumed"),
        ({"edge": False, "p_shape": 0.3}, "open", "30.0 % of draws"),
        ({"edge": False, "p_superior": 0.7}, "bad", "70.0 %"),
        ({"edge": None, "problem": "the trial log is gone"}, "open", "the trial log is gone"),
        ({"unmet": True}, "good", "No trade of this setting met a move far beyond its stop"),
        ({"p_superior": None, "edge": None}, "open", "of results: too few"),
    ):
        row = verdicts.belief(good | {"trials": good["trials"] | change})[4]
        assert row["state"] == state and words in row["answer"]
    for slowest, state in ((0.25, "bad"), (5.0, "open")):
        assert states(good | {"delays": {"rows": [late(slowest, 4.0), late(60.0, -1.0)]}})[2] == state


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 15, "days": 0.1}, "No liquidation was large"),
        ({"entry_offset": 0.02, "entry_ttl_s": 1, "days": 2.0, "count": 4000}, "none was filled: entry expired"),
        ({"entry_offset": 0.09, "days": 2.0, "count": 10_000}, "risk refused all of them: price collar"),
        ({"notional": 0.001, "days": 2.0, "count": 10_000}, "risk refused all of them: below venue minimum"),
    ],
)
def test_no_trades_are_explained(tmp_path, options, words):
    out = make_report(study_folder.make_backtest(tmp_path / "none", with_study=False, size=1, **options))
    assert not out.summary["trades"] and words in " ".join(out.summary["silence"]), out.summary["silence"]
    page = Page(out.html.read_text("utf-8"))
    assert not page.stack and words in " ".join(page.text) and words.split(":")[0] in " ".join(terminal(out.summary).split())
    json.loads(out.json.read_text("utf-8"), parse_constant=lambda name: pytest.fail(name))


def test_hostile_study_stays_text(folder, tmp_path):
    bad = "</script><script>alert(1)</script><img src=x>&\"'[bold]@data@"
    given = json.loads((folder / "study.json").read_text())
    given["data"]["parts"][0] |= {"source": bad, "receipt_model": bad, "refused": {bad: 1}, "completeness": bad}
    given["controls"][0] |= {"kind": "own", "name": bad}
    given["forward"]["folds"][0]["chosen"] = {bad: bad}
    given["forward"] |= {"objective": bad, "scheme": bad}
    hostile = copy(
        folder,
        tmp_path / "hostile",
        data=given["data"],
        controls=given["controls"],
        forward=given["forward"],
        trials=given["trials"] | {"source": bad},
        models={bad: bad},
        timing_s={bad: 1.0},
        problems=[bad],
        expected=[{"id": bad, "measure": bad, "low": 1.0, "high": None, "note": bad}],
    )
    out = make_report(hostile)
    page = Page(out.html.read_text("utf-8"))
    assert page.tags.count("script") == 2 and "img" not in page.tags and not page.stack
    assert "".join(page.text).count("alert(1)") > 8 and "[bold]" in terminal(out.summary)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, r"study\.json: version: 2"),
        ({"delays": {}}, r"delays: found dict"),
        ({"delays": [{"delay_s": "1", "outcome": {}, "trades": {}}]}, r"delays\[0\]\.delay_s: found '1'"),
        ({"delays": [{"delay_s": 1.0, "outcome": {"entries": 1}, "trades": {}}]}, r"delays\[0\]\.outcome\.trades: missing"),
        ({"trials": {"n": 1.5, "source": "x", "sharpe_daily_sd": None}}, r"trials\.n: found 1\.5"),
        ({"controls": [{"kind": "x", "seed": True, "draws": []}]}, r"controls\[0\]\.seed: found True"),
        ({"equity": {"ts": [1], "marked": [float("inf")]}}, r"equity\.marked\[0\]: found inf"),
        ({"equity": {"ts": [1, 2], "marked": [1.0]}}, r"equity: columns"),
    ],
)
def test_wrong_studies_are_named(folder, tmp_path, change, words):
    with pytest.raises(DataError, match=words):
        make_report(copy(folder, tmp_path / "wrong", **change))


def test_matrix_of_trials_must_be_one(folder, tmp_path):
    for name, rows in (
        ("../trials.npy", None),
        ("none.npy", None),
        ("flat.npy", np.zeros(4)),
        ("nan.npy", np.full((12, 3), np.nan)),
        ("words.npy", np.array([["a"]])),
    ):
        to = copy(folder, tmp_path / name.replace("/", ""), trials={"n": 3, "source": "x", "sharpe_daily_sd": None, "matrix": name})
        if rows is not None:
            np.save(to / name, rows)
        out = make_report(to)
        assert out.summary["trials"]["overfitting"] is None and out.summary["trials"]["problem"]
        assert "problem" in " ".join(Page(out.html.read_text("utf-8")).text)


def test_account_at_mark(folder, tmp_path):
    start = json.loads((folder / "run.json").read_text())["started_ns"]
    equity = {"ts": [start + k * DAY_NS for k in range(4)], "marked": [10_000.0, 10_500.0, 9_450.0, 10_600.0]}
    out = make_report(copy(folder, tmp_path / "marked", equity=equity))
    assert out.summary["money"]["drawdown_marked"]["share"] == pytest.approx(0.1) and "10.00 %" in out.html.read_text("utf-8")


def test_spans_of_a_walk_are_told_to_the_minute_where_they_are_no_whole_days():
    """Two folds of half an hour have one date: only the times tell them apart."""
    hour, day = 3_600_000_000_000, 86_400_000_000_000
    noon = 20_516 * day + 12 * hour  # 2026-03-04 12:00
    assert text.between(noon, noon + hour // 2) == "2026-03-04 12:00 to 12:30"
    assert text.between(noon, noon + day) == "2026-03-04 12:00 to 2026-03-05 12:00"
    assert text.between(20_516 * day, 20_518 * day) == "2026-03-04 to 2026-03-06"


def test_the_walk_says_times_intervals_and_n(report):
    s, f = report.summary, report.summary["forward"]
    page, shown = sections_study.forward(s), StringIO()
    Console(file=shown, width=200).print(terminal_study._forward(s))
    for row in f["rows"]:
        span = text.between(row["test_start_ns"], row["test_end_ns"])
        assert span in page and span in shown.getvalue()
    assert f["sharpe_low"] < f["daily_sharpe"] < f["sharpe_high"] and f"95 % {text.interval(f['sharpe_low'], f['sharpe_high'])}" in page
    assert f"of all settings on {f['ranked']} test spans" in page and f["ranked"] == len(f["rows"])
