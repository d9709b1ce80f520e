"""The report against real runs: the engine trades recorded frames of the synthetic market, and sums are computed again from the records."""

import csv
import json
import math
import re
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
import run_folder
from liqshell.errors import DataError
from liqshell.recording.packing import frame_files
from liqshell.report import coverage, figures, labels, ledger, load_run, make_report, statistics, stories, verdicts
from liqshell.report.prices import Series
from report_page import Page, terminal

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_folder.make_run(tmp_path_factory.mktemp("runs") / "demo", hours=2.5, seed=3, symbols=SYMBOLS, gap_s=40.0)


@pytest.fixture(scope="module")
def report(folder):
    return make_report(folder)


@pytest.fixture(scope="module")
def page(report):
    return Page(report.html.read_text("utf-8"))


def copy(folder: Path, to: Path, **changes) -> Path:
    """The same run with other lines in run.json; a value of ... removes the key."""
    shutil.copytree(folder, to)
    meta = json.loads((to / "run.json").read_text())
    meta.update(changes)
    (to / "run.json").write_text(json.dumps({k: v for k, v in meta.items() if v is not ...}))
    return to


# ---- numbers ----


@pytest.mark.slow
def test_sums_equal_those_of_the_audit_records(folder, report):
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    trades = audit[audit["kind"] == lc.AuditKind.AUDIT_TRADE]
    fills = audit[audit["kind"] == lc.AuditKind.AUDIT_FILL]
    assert {-1, 1} <= set(trades["side"].tolist()), "the run must hold long and short trades to prove anything"
    m = report.summary["money"]
    assert m["gross"] == pytest.approx(trades["x"][:, 3].sum()) and m["fees"] == pytest.approx(trades["x"][:, 4].sum())
    assert m["net"] == pytest.approx(trades["x"][:, 5].sum()) and m["fees"] > 0
    assert m["fees"] == pytest.approx(fills["x"][:, 2].sum()), "nothing is open, so all fees belong to trades"
    assert m["fees_maker"] == pytest.approx(fills["x"][fills["x"][:, 3] == 1, 2].sum())
    assert m["gross_decided"] - m["slippage"] - m["fees"] - m["funding"] == pytest.approx(m["net"])
    assert m["notional"] == pytest.approx((trades["x"][:, 0] * trades["x"][:, 2]).sum())
    assert report.summary["win_rate"]["k"] == int((trades["x"][:, 5] > 0).sum()) and report.summary["win_rate"]["n"] == len(trades)
    bps = trades["x"][:, 5] / (trades["x"][:, 0] * trades["x"][:, 2]) * 1e4
    t = report.summary["per_trade"]
    assert t["mean"] == pytest.approx(bps.mean()) and t["independent"]["t"] == pytest.approx(bps.mean() / (bps.std(ddof=1) / math.sqrt(len(bps))))
    stretches = set((trades["ts"] // round(t["cluster_s"] * 1e9)).tolist())
    assert t["clusters"] == len(stretches) < 5 and (t["low"], t["high"], t["t"]) == (None, None, None), "one short run is no five observations"
    assert sum(r["n"] for r in report.summary["exits"]) == len(trades)
    assert math.fsum(r["net"] for r in report.summary["exits"]) == pytest.approx(m["net"])
    assert math.fsum(r["net"] for r in report.summary["instruments"]) == pytest.approx(m["net"])


def test_gross_of_every_trade_follows_from_its_fills(folder):
    run = load_run(folder)
    for b in ledger.read_ledger(run).trades:
        cash = math.fsum(-f.side * f.price * f.qty for f in b.fills)
        assert b.closed.gross == pytest.approx(cash, abs=1e-6)
        assert b.closed.fees == pytest.approx(math.fsum(f.fee for f in b.fills))
        assert b.cascade is not None and b.side == b.cascade.side, "the fade buys where longs were liquidated"


def test_slippage_is_the_distance_between_trigger_and_fill(folder, report):
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    cost, stops = 0.0, 0
    for row in audit[(audit["kind"] == lc.AuditKind.AUDIT_FILL) & (audit["x"][:, 7] == lc.Role.ROLE_STOP)]:
        entry = audit[
            (audit["kind"] == lc.AuditKind.AUDIT_REQUEST)
            & (audit["id"] >> 12 == row["id"] >> 12)
            & (audit["x"][:, 7] == lc.Role.ROLE_ENTRY)
            & (audit["seq"] < row["seq"])
            & (audit["phase"] == 1)
        ][-1]
        cost += (entry["x"][2] - row["x"][0]) * entry["side"] * row["x"][1]
        stops += 1
    assert stops > 0 and report.summary["money"]["slippage"] == pytest.approx(cost, abs=1e-6)


def test_market_closes_are_measured_against_the_price_at_which_they_were_decided(tmp_path):
    policy = run_folder.Fade(max_hold_s=20.0, take_profit=0.02, stop_loss=0.05)
    out = make_report(run_folder.make_run(tmp_path / "holds", hours=1.0, symbols=("SOLUSDT", "BTCUSDT"), policy=policy)).summary
    assert [r["reason"] for r in out["exits"]] == ["max hold"] and out["exits"][0]["hold_s"] == pytest.approx(20.0, abs=1.0)
    audit = np.fromfile(tmp_path / "holds" / "audit.bin", lc.AUDIT_DTYPE)
    asked = {int(r["id"]): r for r in audit[(audit["kind"] == lc.AuditKind.AUDIT_REQUEST) & (audit["x"][:, 7] == lc.Role.ROLE_CLOSE)]}
    fills = [r for r in audit[audit["kind"] == lc.AuditKind.AUDIT_FILL] if int(r["id"]) in asked]
    cost = sum((r["x"][0] - asked[int(r["id"])]["x"][6]) * int(r["side"]) * r["x"][1] for r in fills)
    assert fills and out["money"]["slippage"] == pytest.approx(cost, abs=1e-6)


def test_cascades_and_refusals_are_counted_once(folder, report):
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    signals = audit[(audit["kind"] == lc.AuditKind.AUDIT_SIGNAL) & (audit["phase"] == lc.Phase.ACTIVE)]
    s = report.summary
    assert s["cascades"]["n"] == len({(int(r["instrument"]), int(r["id"])) for r in signals})
    risk = audit[audit["kind"] == lc.AuditKind.AUDIT_RISK]
    refused = [
        r
        for r in s["why_not"]
        if r["reason"] not in ("policy silent", "policy gave no reason", "not a cascade", "feed gap") and not r.get("condition")
    ]
    assert sum(r["n"] for r in refused) == int((risk["reason"] != 0).sum())
    assert next((r["n"] for r in s["why_not"] if r["reason"] == "not a cascade"), 0) == int((audit["kind"] == lc.AuditKind.AUDIT_LAPSED).sum())
    assert s["entries"]["placed"] == int((risk["reason"] == 0).sum())


def test_rates_are_per_covered_hour(report):
    for row in report.summary["instruments"]:
        assert row["gap_s"] == pytest.approx(40.0) and row["cascades"]["hours"] == pytest.approx(2.5 - 40 / 3600)
        c = row["cascades"]
        assert c["low"] <= c["n"] / c["hours"] <= c["high"]
    assert [i["state"] for i in report.summary["feed"]["incidents"]] == ["down", "up"]


def test_gap_without_an_end_lasts_until_the_end(folder):
    run = load_run(folder)
    book = stories.Ledger(
        feed=[(run.ended_ns - 10**9, 1, int(lc.FeedState.FEED_DOWN), 4.0, 0), (run.started_ns + 10**10, -1, int(lc.FeedState.FEED_GAP), 2.0, 4)]
    )
    assert coverage.gaps(run, book, 1) == [(run.started_ns + 8 * 10**9, run.started_ns + 10**10), (run.ended_ns - 5 * 10**9, run.ended_ns)]
    assert len(coverage.gaps(run, book, 0)) == 1


def test_truth_gives_precision_and_recall(folder, tmp_path, report):
    t = report.summary["truth"]
    assert t["precision"]["n"] == report.summary["cascades"]["n"] and t["precision"]["k"] > 0 and 0 < t["recall"]["share"] < 1
    assert t["side_right"]["k"] == t["precision"]["k"]
    flipped = copy(folder, tmp_path / "flipped")
    rows = json.loads((flipped / "truth.json").read_text())
    (flipped / "truth.json").write_text(json.dumps([{**r, "side": -r["side"]} for r in rows]))
    assert make_report(flipped).summary["truth"]["side_right"]["k"] < t["side_right"]["k"]
    elsewhere = copy(folder, tmp_path / "elsewhere")
    (elsewhere / "truth.json").write_text(json.dumps([{**r, "start_ns": r["start_ns"] + 10**14, "end_ns": r["end_ns"] + 10**14} for r in rows]))
    assert make_report(elsewhere).summary["truth"]["precision"]["k"] == 0
    (elsewhere / "truth.json").unlink()
    assert make_report(elsewhere).summary["truth"] is None


def test_latency_counts_speed_fold_in_market_time(report):
    rows = {r["name"]: r for r in report.summary["latency"]}
    step = rows["frame to step"]
    assert step["wall_ms"]["p50"] == pytest.approx(0.0031) and step["market_ms"]["p50"] == pytest.approx(0.0031 * 60)
    feed = rows["liquidation at the venue → received"]
    assert feed["market_ms"]["p50"] == pytest.approx(feed["wall_ms"]["p50"] * 60) and feed["n"] == report.summary["funnel"][0]["n"]


def test_files_agree(report):
    assert json.loads(report.json.read_text("utf-8")) == json.loads(json.dumps(report.figures))
    rows = list(csv.DictReader(StringIO(report.csv.read_text("utf-8"))))
    assert len(rows) == len(report.summary["trades"]) > 5 and "trades" not in report.figures
    for row, same in zip(rows, parquet.read_table(report.parquet).to_pylist(), strict=True):
        assert {name: str(value) for name, value in same.items()}.items() <= row.items()
    assert sum(float(r["net"]) for r in rows) == pytest.approx(report.summary["money"]["net"])


# ---- statistics ----


def test_intervals_against_published_values():
    assert statistics.poisson(0) == (0.0, pytest.approx(3.6889, abs=1e-4))
    assert statistics.poisson(1) == (pytest.approx(0.0253, abs=1e-4), pytest.approx(5.5716, abs=1e-4))
    assert statistics.poisson(10) == (pytest.approx(4.7954, abs=1e-4), pytest.approx(18.3904, abs=1e-4))
    assert statistics.poisson(201)[0] == pytest.approx(174.2, abs=0.1) and statistics.poisson(201)[1] == pytest.approx(230.8, abs=0.1)
    assert statistics.wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    for df, value in ((1, 12.7062), (2, 4.3027), (3, 3.1824), (5, 2.5706), (10, 2.2281), (30, 2.0423), (1000, 1.9623)):
        assert statistics.t_quantile(df) == pytest.approx(value, rel=2e-3)


def test_daily_sharpe_needs_days(report):
    assert report.summary["daily_sharpe"]["value"] is None
    assert statistics.daily_sharpe([0.01])["value"] is None and statistics.daily_sharpe([0.01, 0.01])["value"] is None
    found = statistics.daily_sharpe([0.01, -0.005, 0.002])
    daily = np.array([0.01, -0.005, 0.002])
    assert found["value"] == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(365))
    assert found["low"] < found["value"] < found["high"]
    assert statistics.mean_test([1.0])["t"] is None and statistics.mean_test([])["mean"] is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 500)), max_size=80), st.integers(1, 40), st.integers(0, 80))
def test_buckets_equal_brute_force_however_they_are_fed(trades, count, cut):
    trades.sort(key=lambda t: t[0])
    ts, ticks = np.array([t[0] for t in trades], np.int64), np.array([t[1] for t in trades], np.int64)
    series = Series(100, 900, count)
    series.add_trades(ts[:cut], ticks[:cut])
    series.add_trades(ts[cut:], ticks[cut:])
    for k in range(count):
        inside = [p for t, p in trades if 100 <= t <= 900 and min(int((t - 100) / 800 * count), count - 1) == k]
        assert (series.high[k], series.last[k]) == ((max(inside), inside[-1]) if inside else (-1, -1))
        assert not inside or series.low[k] == min(inside)


def test_every_code_has_words():
    assert set(labels.REASONS) == {int(r) for r in lc.Reason} and set(labels.ALARMS) == {int(a) for a in lc.Alarm}
    assert set(labels.FILLS) == {int(f) for f in lc.FillReason} and set(labels.FEEDS) == {int(f) for f in lc.FeedState}
    assert set(labels.CONTROLS) == {int(c) for c in lc.Control}


# ---- the page ----


def test_page_is_whole_and_asks_nobody(report, page):
    assert not page.stack, f"never closed: {page.stack}"
    for tag, name, value in page.attributes:
        assert name not in ("src", "srcset", "action", "data-src"), (tag, name, value)
        assert name != "href" or value.startswith("#"), (tag, name, value)
        assert not name.startswith("on"), (tag, name)
    text = report.html.read_text("utf-8")
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= {value for _, name, value in page.attributes if name == "id"}
    identities = [value for _, name, value in page.attributes if name == "id"]
    assert len(identities) == len(set(identities)), "a section must not take the place of what the script looks for"
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", text)
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
    assert ("meta", "content", policy) in page.attributes
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert report.html.stat().st_size < 5_000_000


def test_page_draws_what_happened(folder, report, page):
    data = json.loads(next(s for s in page.scripts if s.startswith('{"origin"')))
    assert len(data["cascades"]) == report.summary["cascades"]["n"] and len(data["equity"]) == len(report.summary["trades"])
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    fills = [f for b in data["brackets"] for f in b["fills"]]
    assert len(fills) == int((audit["kind"] == lc.AuditKind.AUDIT_FILL).sum())
    for i in data["instruments"]:
        assert len(i["overview"]["i"]) > 100 and i["windows"] and i["gaps"]
    for b in data["brackets"]:
        roles = {o["role"] for o in b["orders"]}
        assert "entry" in roles and (not b["fills"] or "stop" in roles), "an entry that filled has a stop to draw"
        for o in b["orders"]:
            assert o["ended"] is None or o["ended"] >= o["created"]
    lows = [min(x["lo"]) for i in data["instruments"] for x in i["windows"]]
    assert set(lows) == {0}, "ticks are counted from the lowest of each series"


def test_the_words_of_the_report(report, page):
    text, shown = " ".join(page.text), terminal(report.summary)
    for words_ in ("SYNTHETIC", "longs liquidated", "contradicted", "FULL", "not enough days", "break-even win rate"):
        assert words_ in text, words_
    for words_ in ("SYNTHETIC", "longs liquidated", "contradicted", "FULL", "not enough days", "break-even win rate", "identical"):
        assert words_ in shown, words_
    assert "SYNTHETIC" not in terminal({**report.summary, "synthetic": False})
    for source in (text, shown, report.json.read_text("utf-8")):
        assert not re.search(r"\b(Buy|Sell)\b", source), "sides are those of positions, never Buy or Sell"
    assert "nan" not in shown.lower().split() and "None" not in shown


def test_hostile_names_stay_text(folder, tmp_path):
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'[bold]@data@"
    meta = json.loads((folder / "run.json").read_text())
    instruments = [{**row, "symbol": bad + str(n), "venue": bad} for n, row in enumerate(meta["instruments"])]
    hostile = copy(
        folder,
        tmp_path / "hostile",
        name=bad,
        preset=bad,
        evidence=bad,
        venue="bybit",
        mode=bad,
        instruments=instruments,
        version=bad,
        config_hash=bad,
        counters={"refused": {bad: 1}, "decode": {bad: bad}},
        latency={bad: {"p50": 1.0}},
    )
    out = make_report(hostile)
    page = Page(out.html.read_text("utf-8"))
    assert page.tags.count("script") == 2 and "img" not in page.tags and not page.stack
    assert "".join(page.text).count("alert(1)") > 3, "the name is shown, as text"
    assert json.loads(next(s for s in page.scripts if s.startswith('{"origin"')))["instruments"][0]["symbol"] == bad + "0"
    assert "[bold]" in terminal(out.summary)


# ---- what a folder may lack ----


def test_empty_run(tmp_path):
    folder = run_folder.make_run(tmp_path / "empty", hours=0.0, symbols=("SOLUSDT",))
    out = make_report(folder)
    page = Page(out.html.read_text("utf-8"))
    assert not page.stack and "No trade was closed" in " ".join(page.text)
    assert out.summary["money"]["net"] == 0.0 and out.summary["cascades"]["rate"]["per_hour"] is None and not out.summary["trades"]
    assert "No trade was closed" in terminal(out.summary)
    assert out.csv.read_text().count("\n") == 1 and "closed_ns" in out.csv.read_text()


def test_a_run_that_was_killed_between_a_trade_and_the_end_of_its_bracket(folder, tmp_path):
    cut = copy(folder, tmp_path / "cut", finished=False, problem="")
    audit = np.fromfile(cut / "audit.bin", lc.AUDIT_DTYPE)
    trade = np.flatnonzero(audit["kind"] == lc.AuditKind.AUDIT_TRADE)[2]
    flat = int(audit["ts"][:trade][audit["kind"][:trade] == lc.AuditKind.AUDIT_FILL][-1])
    audit["ts"][trade] += 2 * lc.SECOND  # the end of the bracket's other order is reported late: its position was flat before
    audit[: trade + 1].tofile(cut / "audit.bin")
    shutil.rmtree(cut / "frames")
    out = make_report(cut)
    last = list(csv.DictReader(StringIO(out.csv.read_text())))[-1]
    assert out.summary["portfolio"]["n"] == 3 and int(last["closed_ns"]) == flat == int(last["opened_ns"]) + round(float(last["hold_s"]) * 1e9)
    assert np.datetime64(last["closed"][:-1], "ns").astype(np.int64) == flat // 1000 * 1000


@pytest.mark.parametrize("share", [0.002, 0.1, 0.37, 0.5, 0.61, 0.93])
def test_any_beginning_of_a_run_makes_a_report(folder, tmp_path, share):
    """A killed run leaves a prefix of its stream: every step of every bracket is cut somewhere."""
    cut = copy(folder, tmp_path / "cut", finished=False, problem="KeyboardInterrupt: ")
    audit = np.fromfile(cut / "audit.bin", lc.AUDIT_DTYPE)
    for end in range(int(share * len(audit)), int(share * len(audit)) + 4):
        audit[:end].tofile(cut / "audit.bin")
        shutil.rmtree(cut / "frames", ignore_errors=True)
        out = make_report(cut)
        page = Page(out.html.read_text("utf-8"))
        assert not page.stack and "UNFINISHED" in " ".join(page.text) and "UNFINISHED" in terminal(out.summary)
        json.loads(out.json.read_text("utf-8"), parse_constant=lambda name: pytest.fail(name))
        m = out.summary["money"]
        trades = audit[:end][audit[:end]["kind"] == lc.AuditKind.AUDIT_TRADE]
        assert m["net"] == pytest.approx(trades["x"][:, 5].sum()) and len(out.summary["trades"]) == len(trades)


def test_position_left_open(tmp_path):
    policy = run_folder.Fade(take_profit=0.4, stop_loss=0.4, max_hold_s=86_400.0)
    folder = run_folder.make_run(tmp_path / "open", hours=1.0, symbols=("SOLUSDT", "BTCUSDT"), policy=policy)
    s = make_report(folder).summary
    held = [r for r in s["left_open"] if r["what"] == "position"]
    assert held and not s["trades"] and s["money"]["net"] == 0.0
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    fills = audit[audit["kind"] == lc.AuditKind.AUDIT_FILL]
    assert sum(r["fees"] for r in held) == pytest.approx(fills["x"][:, 2].sum())
    for row in held:
        sign = 1 if row["side"] == "long" else -1
        assert row["unrealised"] == pytest.approx((row["last"] - row["entry"]) * row["qty"] * sign) and row["stop"] > 0
    assert "Left open" in terminal(s) and "win rate" not in terminal(s).split("Left open")[1]


def test_run_json_may_hold_little_and_frames_may_lack(folder, tmp_path, report):
    lean = copy(folder, tmp_path / "lean", **{k: ... for k in json.loads((folder / "run.json").read_text()) if k != "instruments"}, novelty={"x": 1})
    shutil.rmtree(lean / "frames")
    (lean / "truth.json").unlink()
    out = make_report(lean)
    assert out.summary["money"]["net"] == pytest.approx(report.summary["money"]["net"])
    assert "no frames" in out.summary["drawing"]["problem"] and "no frames" in " ".join(Page(out.html.read_text("utf-8")).text)
    assert "lean" in terminal(out.summary)


def test_recording_with_a_torn_tail_is_drawn_and_told(folder, tmp_path, report):
    torn = copy(folder, tmp_path / "torn")
    file = frame_files(torn / "frames")[-1]
    file.write_bytes(file.read_bytes()[:-300])
    out = make_report(torn)
    assert "damaged" in out.summary["drawing"]["problem"] and 0 < out.summary["drawing"]["trades"] < report.summary["drawing"]["trades"]


def test_missing_records_are_told(folder, tmp_path, report):
    holes = copy(folder, tmp_path / "holes")
    np.delete(np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE), [5, 6, 9]).tofile(holes / "audit.bin")
    out = make_report(holes)
    assert (out.summary["stamp"]["audit_lost"], report.summary["stamp"]["audit_lost"]) == (3, 0)
    assert "INCOMPLETE" in out.html.read_text("utf-8") and "INCOMPLETE" in terminal(out.summary)


def test_wrong_folders_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"run\.json: no such file"):
        load_run(tmp_path / "nowhere")
    cut = copy(folder, tmp_path / "cut")
    data = (cut / "audit.bin").read_bytes()
    (cut / "audit.bin").write_bytes(data[:-7])
    with pytest.raises(DataError, match=rf"audit\.bin: {len(data) - 7} bytes.*multiple of 96"):
        make_report(cut)
    (cut / "audit.bin").write_bytes(b"\xff" * 96)
    with pytest.raises(DataError, match="record 0: kind 255"):
        make_report(cut)
    (cut / "audit.bin").write_bytes(data + data)
    with pytest.raises(DataError, match="rising sequence"):
        make_report(cut)
    (cut / "audit.bin").unlink()
    with pytest.raises(DataError, match=r"audit\.bin: no such file"):
        make_report(cut)
    few = copy(folder, tmp_path / "few", instruments=json.loads((folder / "run.json").read_text())["instruments"][:1])
    with pytest.raises(DataError, match="different runs"):
        make_report(few)
    (few / "run.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        make_report(few)
    for key, value in (("speed", "fast"), ("started_ns", float("nan")), ("ended_ns", -1)):
        with pytest.raises(DataError, match=f"run\\.json: {key}: {value!r}; expected a number"):
            load_run(copy(folder, tmp_path / f"wrong {key}", **{key: value}))
    broken = copy(folder, tmp_path / "broken")
    (broken / "truth.json").write_text('[{"id": 1}]')
    with pytest.raises(DataError, match=r"truth\.json: \[0\].*symbol"):
        make_report(broken)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([], ""),
        ([{"ts": 30, "what": "halted", "reason": "weekly loss limit"}], "weekly loss limit"),
        ([{"ts": 30, "what": "halted", "reason": "daily loss limit"}, {"ts": 50, "what": "resumed", "reason": "daily loss limit"}], ""),
        ([{"ts": 50, "what": "limit lowered", "reason": "none"}], ""),
        ([{"ts": 30, "what": "halted", "reason": "weekly loss limit"}, {"ts": 50, "what": "limit lowered", "reason": "none"}], "70 % of the run"),
        ([{"ts": 50, "what": "resumed", "reason": "none"}, {"ts": 90, "what": "flattened", "reason": "halted"}], "10 % of the run"),
    ],
)
def test_a_run_that_stood_halted_says_so_first(limits, words):
    told = verdicts.halted({"feed": {"limits": limits}, "started_ns": 0, "ended_ns": 100})
    assert (words in told) if words else told == ""


@pytest.mark.parametrize(
    ("by", "what", "reason", "funding", "words"),
    [
        ("kernel", "limit lowered", "cooldown", 0.0, "Here acted: smaller entries after few fills ([limits] fill_rate_min)."),
        ("kernel", "resumed", "daily loss limit", -2.5, "Here acted: daily loss limit (3 refusals), funding (−$2.50)."),
        ("kernel", "resumed", "cooldown", 0.0, ""),
        ("backtest", "limit lowered", "daily loss limit", -2.5, ""),
    ],
)
def test_the_backtest_of_a_row_says_what_the_kernel_of_the_sweep_does_not_have(by, what, reason, funding, words):
    told = verdicts.of_row(
        {
            "sweep": {"net": -7.0, "trades": 12, "by": by},
            "feed": {"limits": [{"what": what}]},
            "why_not": [{"reason": reason, "n": 3}],
            "money": {"funding": funding},
        }
    )
    assert told.startswith("which has it at −$7.00 in 12 trades.") and told.endswith(words) and ("acted" in told) == bool(words)


def test_closed_gates_are_no_halt_and_their_time_is_summed():
    """Per gate the time in which it was closed for any instrument; what is still closed at the end counts to the end."""
    engine, Gate = lc.Engine(["ETHUSDT", "SOLUSDT"]), lc.Gate
    pause, ready, second = lc.Control.CONTROL_PAUSE, lc.Control.CONTROL_READY, lc.SECOND
    for at, control, gate, instrument in (
        (10, pause, Gate.GATE_START, -1),
        (14, ready, Gate.GATE_START, "ETHUSDT"),
        (20, ready, Gate.GATE_START, -1),
        (30, pause, Gate.GATE_PRIVATE, 1),
        (31, ready, Gate.GATE_PRIVATE, 1),
        (95, pause, Gate.GATE_PRIVATE, 0),
    ):
        engine.on_control(at * second, control, gate, instrument)
    run = SimpleNamespace(symbols=("ETHUSDT", "SOLUSDT"), ended_ns=100 * second)
    told = stories.Ledger(gates=[(int(r["ts"]), int(r["instrument"]), int(r["phase"]), int(r["x"][3])) for r in engine.audit.drain()])
    assert figures.held_back(run, told) == {labels.GATES[Gate.GATE_START]: 10.0, labels.GATES[Gate.GATE_PRIVATE]: 6.0}
    assert set(labels.GATES) == set(Gate)


def test_a_piece_of_a_day_is_no_day_of_results():
    """From 18:00 of day 10 to 06:00 of day 13, with 13 hours missing on day 12 in both feeds: day 11 alone is a day. Of a span that ends at midnight the
    day that begins there is none."""
    hour = coverage.HOUR_NS
    start, end = (10 * 24 + 18) * hour, (13 * 24 + 6) * hour
    gap = [(12 * 24 * hour, (12 * 24 + 13) * hour)]
    found = coverage.calendar(start, end, [gap, gap])
    assert [(day, round(covered, 3), hours) for day, covered, hours in found] == [
        (10, 1.0, 6.0),
        (11, 1.0, 24.0),
        (12, round(11 / 24, 3), 24.0),
        (13, 1.0, 6.0),
    ]
    assert coverage.whole(found, 10, 4).tolist() == [False, True, False, False]
    assert coverage.whole(coverage.calendar(start, end, [gap, []]), 10, 4).tolist() == [False, True, True, False], (
        "half of the feeds had 11 hours of 24"
    )
    midnight = coverage.calendar(10 * 24 * hour, 12 * 24 * hour, [[]])
    assert coverage.whole(midnight, 10, 3).tolist() == [True, True, False] and coverage.calendar(start, start, [[]]) == []
