"""What a report owes to live quotes: their coverage, the rules that filled the orders, the entries that were refused, and the ticks that are not given."""

import json
import shutil

import numpy as np
import pytest

import liqcore as lc
import study_folder
from liqcore.event import FillFlag
from liqshell.backtest.history import by_stream
from liqshell.recording import streams
from liqshell.report import load_run, make_report, quotes, text, verdicts
from liqshell.report.ledger import read_ledger
from report_page import Page, terminal

HOUR = 3_600 * lc.SECOND
T0 = 1_772_452_800 * lc.SECOND // HOUR * HOUR


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return study_folder.make_backtest(tmp_path_factory.mktemp("runs") / "backtest", days=6.0, count=20_000, draws=3, folds=2)


def with_flags(folder, to, *, printed=3, moved=5, refused=0):
    """The run with so many of its taker fills at prints, and so many of its entries refused because the quote had ended; how many fills of each rule
    and leg there are then."""
    shutil.copytree(folder, to)
    audit = np.fromfile(to / "audit.bin", lc.AUDIT_DTYPE)
    fills = np.flatnonzero(audit["kind"] == lc.AuditKind.AUDIT_FILL)
    audit["x"][fills, 3] = audit["x"][fills, 3] == int(FillFlag.FILL_MAKER)
    takers = fills[audit["x"][fills, 3] == 0]
    assert len(takers) > printed + moved
    audit["x"][takers[:printed], 3] = int(FillFlag.FILL_PRINT)
    audit["x"][takers[printed : printed + moved], 3] = int(FillFlag.FILL_MOVED)
    verdicts = np.flatnonzero((audit["kind"] == lc.AuditKind.AUDIT_RISK) & (audit["reason"] != 0))
    audit["reason"][verdicts] = int(lc.Reason.RISK_COLLAR)
    audit["reason"][verdicts[:refused]] = int(lc.Reason.QUOTE_ENDED)
    audit.tofile(to / "audit.bin")
    names = {1: "maker", 0: "quote", 2: "print", 4: "moved"}
    count = {(rule, leg): 0 for rule in names.values() for leg in ("entry", "exit")}
    for row in audit[fills]:
        count[names[int(row["x"][3])], "entry" if int(row["x"][7]) == lc.Role.ROLE_ENTRY else "exit"] += 1
    return count, int((audit["kind"] == lc.AuditKind.AUDIT_RISK).sum())


def quoted(to, share, said=(), rows=1000):
    """... and with quotes that hold for this share of the traded time."""
    found = json.loads((to / "study.json").read_text())
    for part in found["data"]["parts"]:
        part |= {
            "quoted": share,
            "traded_hours": 100.0,
            "said": list(said),
            "quotes": rows,
            "completeness": "FULL",
            "receipt": "recorded",
            "covered_hours": 24 * 6.0,
        }
    (to / "study.json").write_text(json.dumps(found))
    run = json.loads((to / "run.json").read_text())
    (to / "run.json").write_text(json.dumps(run | {"synthetic": False}))
    return to


def test_each_fill_is_told_with_the_rule_that_made_its_price(folder, tmp_path):
    count, _ = with_flags(folder, tmp_path / "run")
    s = make_report(tmp_path / "run").summary
    found = s["quotes"]["fills"]
    total = sum(count.values())
    assert found["n"] == total and found["modelled"]
    for row in found["rules"]:
        for leg in ("entry", "exit"):
            assert (row[leg]["k"], row[leg]["n"]) == (count[row["rule"], leg], sum(count[r, leg] for r in ("maker", "quote", "print", "moved")))
        assert row["all"]["k"] == row["entry"]["k"] + row["exit"]["k"] and row["all"]["share"] == pytest.approx(row["all"]["k"] / total)
    assert found["without_quote"]["k"] == 8 and {r["rule"] for r in found["rules"]} == {"maker", "quote", "print", "moved"}
    assert s["money"]["fees_maker"] == pytest.approx(
        sum(f.fee for b in read_ledger(load_run(tmp_path / "run")).trades for f in b.fills if f.flags == 1)
    )
    page, shown = " ".join(Page((tmp_path / "run" / "report.html").read_text("utf-8")).text), terminal(s)
    for words in ("live quote", "next print", "moved print", "resting order"):
        assert words in page and words in shown, words
    assert f"had no live quote: {3} at the next print, {5} at the moved print" in " ".join(page.split())


def test_entries_refused_for_an_ended_quote_are_counted_and_told(folder, tmp_path):
    _, asked = with_flags(folder, tmp_path / "run", refused=4)
    s = make_report(tmp_path / "run").summary
    assert (s["quotes"]["refused"]["k"], s["quotes"]["refused"]["n"]) == (4, asked)
    row = next(r for r in s["why_not"] if r["reason"] == "quote had ended")
    assert row["n"] == 4 and "contradicted by a trade" in row["meaning"] and row["share"] == pytest.approx(4 / asked)
    assert any("4 of" in told and "refused because the last quote had ended" in told for told in s["quotes"]["told"])
    assert "refused because the last quote had ended" in " ".join(Page((tmp_path / "run" / "report.html").read_text("utf-8")).text)


MET = {"k": 0, "n": 800, "share": 0.0}  # fills without a live quote
GOOD = {
    "mode": "backtest",
    "synthetic": False,
    "per_trade": {"n": 400, "mean": 4.0, "low": 2.0, "high": 6.0, "t": 4.0, "few": False, "clusters": 40, "cluster_s": 86_400.0},
    "controls": {"edge": True, "verdict": "v"},
    "delays": {"rows": [{"delay_s": s, "mean_bps": 1.0, "low_bps": 0.5, "high_bps": 1.5, "trades": 400} for s in (0.05, 60.0)]},
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
}


@pytest.mark.parametrize(
    ("share", "states"),
    [(1.0, {"good"}), (0.95, {"good"}), (0.94, {"open"}), (0.56, {"open"}), (0.3, {"open", "bad"}), (0.0, {"open", "bad"}), (None, {"open"})],
)
def test_no_answer_gets_a_tick_where_quotes_do_not_cover_the_traded_time(share, states):
    """A result that stands everything else. Half the quotes of a market without an edge gave daily Sharpe ratios of 9 to 13."""
    found = verdicts.belief(GOOD | {"quotes": {"quoted": share, "weakness": quotes.weakness(share, MET)}})
    assert {row["state"] for row in found} == states
    if "good" not in states:
        assert all("Not passed" in row["answer"] for row in found if row["state"] == "open")
    last = next((row["state"], row["answer"]) for row in found if row["question"] == "Is the data good enough?")
    assert ("an unknown part" if share is None else f"live quotes {text.percent(share)} of the traded time") in last[1]
    assert (last[0] == "bad") is (share is not None and share < 0.5)


def test_quotes_that_are_missing_just_where_it_trades_give_no_tick():
    """Quotes hold for 97 % of the time, and half of the fills met none."""
    assert "56 of 112 fills had no live quote" in quotes.weakness(0.97, {"k": 56, "n": 112, "share": 0.5})
    assert quotes.weakness(0.97, {"k": 5, "n": 112, "share": 5 / 112}) == "" == quotes.weakness(0.97, {"k": 0, "n": 0, "share": None})


def test_bad_answers_stay_bad_without_quotes():
    lost = GOOD | {"controls": {"edge": False, "verdict": "v"}, "quotes": {"quoted": 0.2, "weakness": quotes.weakness(0.2, MET)}}
    assert verdicts.belief(lost)[1]["state"] == "bad"


def test_quotes_that_cover_a_part_are_said_at_the_top_of_the_page_and_of_the_terminal(folder, tmp_path):
    with_flags(folder, tmp_path / "run", printed=0, moved=0)
    said = ["bybit:ETHUSDT: quotes end at 2026-02-09 13:26:57 while trades continue to 2026-02-09 23:59:55: 10.6 h without a quote to trade against"]
    report = make_report(quoted(tmp_path / "run", 0.56, said))
    page = " ".join(" ".join(Page(report.html.read_text("utf-8")).text).split())
    assert "QUOTES COVER 56.0 %" in page and page.index("QUOTES COVER 56.0 %") < page.index("Can it be believed?")
    assert "Quotes are live for 56.0 % of the traded time" in page and "quotes end at 2026-02-09 13:26:57" in page
    assert "✓" not in page.split("question")[1].split("From gross to net")[0]
    shown = " ".join(terminal(report.summary).split())
    assert "QUOTES COVER 56.0 %" in shown and "quotes end at 2026-02-09" in shown
    whole = make_report(quoted(tmp_path / "run", 1.0))
    assert "QUOTES" not in " ".join(Page(whole.html.read_text("utf-8")).text).split("Can it be believed?")[0]
    bare = make_report(quoted(tmp_path / "run", 0.0, rows=0))
    page = " ".join(Page(bare.html.read_text("utf-8")).text)
    assert "NO QUOTES" in page and "no quotes. The spread that a taker pays is an estimate" in page


def test_streams_stand_on_the_data_page_each_with_its_silences(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    report = make_report(tmp_path / "run")
    page = " ".join(" ".join(Page(report.html.read_text("utf-8")).text).split())
    part = report.summary["data"]["parts"][0]
    assert part["streams"]["quotes"]["rows"] == part["quotes"] > 0 and 0 < part["quoted"] <= 1
    for words in ("Streams", "quotes held", "silences", "longest"):
        assert words in page, words
    assert "quotes" in terminal(report.summary).split("Data")[1]


def test_the_half_spread_stands_among_the_assumptions_with_its_source_and_its_warning(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    found = json.loads((tmp_path / "run" / "study.json").read_text())
    found["half_spread"] = [
        {
            "symbol": "ETHUSDT",
            "source": "trades",
            "share": 0.0004,
            "bps": 4.0,
            "n": 1234,
            "told": "4.00 bps: half of the median difference (n = 1,234)",
            "warning": "",
        },
        {
            "symbol": "SOLUSDT",
            "source": "tick",
            "share": None,
            "bps": 0.4,
            "n": 3,
            "told": "one tick",
            "warning": "SOLUSDT has no quotes: set [paper] half_spread",
        },
    ]
    (tmp_path / "run" / "study.json").write_text(json.dumps(found))
    report = make_report(tmp_path / "run")
    assert report.summary["half_spread"] == found["half_spread"]
    page, shown = (" ".join(t.split()) for t in (" ".join(Page(report.html.read_text("utf-8")).text), terminal(report.summary)))
    for words in ("half-spread: ETHUSDT", "4.00 bps: half of the median difference (n = 1,234)", "set [paper] half_spread"):
        assert words in page, words
    assert "4.00 bps" in shown and "set [paper] half_spread" in shown


# ---- coverage over columns ----


def tape_of(trades, quotes_):
    rows = np.zeros(len(trades) + len(quotes_), lc.EVENT_DTYPE)
    t, q = rows[: len(trades)], rows[len(trades) :]
    t["ts_recv"], t["price"], t["qty"], t["side"], t["kind"] = trades, 100.0, 1.0, 1, int(lc.Kind.TRADE)
    q["ts_recv"], q["price"], q["aux_price"], q["qty"], q["aux_qty"], q["kind"] = quotes_, 99.9, 100.1, 1.0, 1.0, int(lc.Kind.BBO)
    rows["ts_event"] = rows["ts_recv"]
    return lc.Tape.of([lc.Instrument("ETHUSDT", tick_size="0.1", lot_size="0.001")], rows[np.argsort(rows["ts_recv"], kind="stable")])


def part_of(tape, hours=24):
    return by_stream("ETHUSDT", streams.of_tape(tape, T0, T0 + hours * HOUR)[0])


def test_the_day_whose_book_ends_at_half_past_one():
    """The day of the issue: 100 % covered, FULL, and a quote 5,374 s old."""
    trades = T0 + np.arange(0, 86_400, 2) * lc.SECOND
    found = part_of(tape_of(trades, T0 + np.arange(0, 13 * 3600 + 27 * 60, 3) * lc.SECOND + 1))
    assert found["quoted"] == pytest.approx((13 * 3600 + 27 * 60 + 7) / 86_400, abs=1e-4) and found["traded_hours"] == pytest.approx(24.0, abs=0.01)
    assert "quotes end at" in found["said"][0] and "10.6 h without a quote" in found["said"][0]
    assert found["streams"]["quotes"]["silences"] == 1 and found["streams"]["quotes"]["longest_s"] == pytest.approx(37_973, abs=60)


def test_quotes_count_where_there_are_trades_only():
    """Quotes of a night in which nothing trades are no help to a day without them."""
    trades = T0 + np.arange(0, 12 * 3600, 5) * lc.SECOND
    night = T0 + np.arange(12 * 3600 + 120, 86_400, 2) * lc.SECOND
    assert part_of(tape_of(trades, night))["quoted"] == 0.0
    assert part_of(tape_of(trades, trades + 1))["quoted"] == pytest.approx(1.0, abs=0.01)
    thinned = (trades + 1)[::100]  # one in a hundred: 10 s of every 500
    assert part_of(tape_of(trades, thinned))["quoted"] == pytest.approx(0.02, abs=0.005)
    assert part_of(tape_of(trades, night[:0]))["quoted"] == 0.0 and part_of(tape_of(trades, night[:0]))["streams"]["quotes"]["rows"] == 0
