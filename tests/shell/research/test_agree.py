"""`liqcore agree`: episodes, agreement and rates; the throttle against what was measured on the real tape; precision and recall on labelled cascades."""

import csv
import dataclasses
import gzip
import json
import math
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from captures import DATA, needs_data
from liqcore.detectors import registry
from liqshell import cli
from liqshell.errors import ConfigError
from liqshell.research import detector_agreement as agree
from liqshell.research import detector_quality as detection
from recorded_run import record_run

SECOND = lc.SECOND
TAPE = DATA / "liq-okx-hyperliquid" / "liquidations_okx_normalized.csv.gz"
SMALL = [
    {"kind": "cascade", "name": "cascade", "warmup": 30},
    {"kind": "dollar", "name": "dollar", "min_usd": 5000.0, "trigger_usd": 200_000.0},
    {"kind": "imbalance", "name": "imbalance"},
    {"kind": "rate", "name": "rate"},
]


def feed(rows, venue="bybit", completeness=lc.Completeness.COMPLETENESS_FULL, marks=(), end_s=7200) -> agree.Data:
    """rows: (seconds, instrument, side, notional)."""
    events = np.zeros(len(rows) + len(marks), lc.EVENT_DTYPE)
    for e, (at, n, side, notional) in zip(events, rows, strict=False):
        e["ts_event"] = e["ts_recv"] = round(at * SECOND)
        e["kind"], e["instrument"], e["side"], e["price"], e["qty"], e["aux_price"] = lc.Kind.LIQUIDATION, n, side, 100.0, notional / 100.0, notional
    for e, (at, n, state, since) in zip(events[len(rows) :], marks, strict=True):
        e["ts_recv"], e["ts_event"], e["kind"], e["instrument"], e["code"] = at * SECOND, since * SECOND, lc.Kind.FEED, n, state
    instruments = tuple(lc.Instrument(name, venue=venue, completeness=completeness) for name in ("AUSDT", "BUSDT"))
    return agree.Data(events[np.argsort(events["ts_recv"], kind="stable")], instruments, 0, end_s * SECOND, "made")


def flush(start: float, n: int = 0, side: int = 1, count: int = 8) -> list:
    """One of 1 M a second: 8 M in all."""
    return [(start + k, n, side, 1e6) for k in range(count)]


# ---- agreement ----


@settings(max_examples=200, deadline=None)
@given(
    *[st.lists(st.tuples(st.integers(0, 1), st.sampled_from([1, -1]), st.integers(0, 1000), st.integers(0, 90)), max_size=8) for _ in "ab"],
    st.integers(0, 100),
)
def test_matching_equals_looking_at_every_pair(a, b, tolerance):
    first, second = ([agree.Episode(n, side, ts, ts + length, 0.0) for n, side, ts, length in rows] for rows in (a, b))

    def meets(x, y):
        return x.instrument == y.instrument and max(x.ts, y.ts - tolerance) <= min(x.end, y.end + tolerance)

    assert agree.matched(first, second, tolerance) == (
        sum(any(meets(x, y) for y in second) for x in first),
        sum(any(meets(x, y) and x.side == y.side for y in second) for x in first),
    )


def test_a_detector_agrees_with_itself_and_chance_does_not():
    data = feed(flush(1000) + flush(3000, 1, -1) + flush(5000))
    told = [{"kind": "dollar", "name": name} for name in ("one", "other")]
    found = agree.agreement(data, told)
    pair = found["venues"][0]["pairs"][0]
    assert (pair["a"], pair["b"], pair["n"], pair["k"], pair["share"], pair["same_side"]) == ("one", "other", 3, 3, 1.0, 1.0)
    # 3 of 3: Wilson's interval begins at 3 / (3 + 1.96^2)
    assert pair["same_side_n"] == 3 and pair["same_side_low"] == pytest.approx(3 / (3 + 1.959964**2)) and pair["same_side_high"] == pytest.approx(1.0)
    assert pair["low"] == pytest.approx(0.4385, abs=1e-3) and pair["by_chance"] < 0.5
    rates = found["venues"][0]["detectors"][0]
    assert (rates["n"], rates["hours"], rates["per_hour"]) == (3, 4.0, 0.75) and rates["low"] < 0.75 < rates["high"]


def test_chance_is_measured_in_covered_time():
    """Hours in which the recorder was off can hold no episode of anybody: moved into them, everything would look better than chance."""
    events = flush(600) + flush(1800, 1, -1) + flush(3000) + flush(2100, 1)
    told = [{"kind": "dollar", "name": name} for name in ("one", "other")]
    short = agree.agreement(feed(events, end_s=3600), told, 200.0)["venues"][0]["pairs"][0]
    off = [(3600, -1, lc.FeedState.FEED_DOWN, 3600)]
    long_ = agree.agreement(feed(events, marks=off, end_s=10 * 3600), told, 200.0)["venues"][0]["pairs"][0]
    assert short["by_chance"] > 0.1 and long_["by_chance"] == pytest.approx(short["by_chance"], abs=0.1)


def test_packing_takes_the_gaps_out():
    marks = [
        (100, -1, lc.FeedState.FEED_DOWN, 100),
        (300, -1, lc.FeedState.FEED_UP, 300),
        (500, -1, lc.FeedState.FEED_DOWN, 500),
        (900, -1, lc.FeedState.FEED_UP, 900),
    ]
    data = feed(flush(50), marks=marks, end_s=1000)
    start = data.start_ns
    told = [agree.Episode(0, 1, start + a * SECOND, start + b * SECOND, 0.0) for a, b in ((50, 60), (90, 200), (310, 320), (490, 950), (999, 1000))]
    spans, (found,) = agree.packed_of(data, [told])
    assert spans[0] == 400 * SECOND
    assert [(e.ts // SECOND, e.end // SECOND) for e in found] == [(50, 60), (90, 100), (110, 120), (290, 350), (399, 400)]


def test_bursts_are_found_whatever_the_order():
    ts = np.array([k * SECOND // 10 for k in range(25)] + [10**12])
    mixed = np.random.default_rng(3).permutation(26)
    assert detection.in_bursts(ts).sum() == 25 and (detection.in_bursts(ts[mixed]) == detection.in_bursts(ts)[mixed]).all()


def test_an_episode_goes_from_active_to_exhausted_and_instruments_are_kept_apart():
    data = feed(flush(1000) + flush(1004, 1, -1))
    (found,), _ = agree.episodes_of(data, [{"kind": "dollar", "name": "dollar"}])
    assert [(e.instrument, e.side, e.ts // SECOND, e.end // SECOND) for e in found] == [(0, 1, 1005, 1067), (1, -1, 1009, 1071)]
    assert agree.matched(found[:1], found[1:], 10**12) == (0, 0)


def test_an_episode_that_a_gap_ends_or_the_data_cut_is_closed():
    marks = [(1010, -1, lc.FeedState.FEED_DOWN, 1010), (1100, -1, lc.FeedState.FEED_UP, 1100)]
    (found,), _ = agree.episodes_of(feed(flush(1000) + flush(7195, count=6), marks=marks, end_s=7202), [{"kind": "dollar", "name": "d"}])
    assert [(e.ts // SECOND, e.end // SECOND) for e in found] == [(1005, 4605), (7200, 7202)]


def test_covered_hours_leave_out_what_the_feed_missed():
    down, up, gap = lc.FeedState.FEED_DOWN, lc.FeedState.FEED_UP, lc.FeedState.FEED_GAP
    data = feed(flush(10), marks=[(1000, -1, down, 1000), (1900, -1, up, 1900), (3000, 0, gap, 2940), (7000, 1, down, 7000)])
    assert data.gaps(0) == [(1000 * SECOND, 1900 * SECOND), (2940 * SECOND, 3000 * SECOND)]
    assert data.gaps(1) == [(1000 * SECOND, 1900 * SECOND), (7000 * SECOND, 7200 * SECOND)]
    assert data.hours(0) == pytest.approx((7200 - 960) / 3600)


def test_venues_are_never_added_up_and_a_censored_one_is_named():
    data = feed(flush(1000) + flush(1000, 1))
    other = [
        lc.Instrument(**{**i.as_dict(), "venue": venue, "completeness": c})
        for i, venue, c in zip(
            data.instruments, ("bybit", "binance_um"), (lc.Completeness.COMPLETENESS_FULL, lc.Completeness.COMPLETENESS_CENSORED), strict=True
        )
    ]
    data = dataclasses.replace(data, instruments=tuple(other))
    found = agree.agreement(data, [{"kind": "dollar", "name": "big"}, {"kind": "bars", "name": "bars"}])
    assert [(v["venue"], v["completeness"], v["detectors"][0]["n"]) for v in found["venues"]] == [
        ("binance_um", ["CENSORED"], 1),
        ("bybit", ["FULL"], 1),
    ]
    (warning,) = found["warnings"]
    assert warning.startswith("binance_um is CENSORED") and warning.endswith("affected: big")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["x=casade"], "no detector kind 'casade'"),
        (["dollar,trigger=5"], "'trigger=5'; expected param=value; dollar has min_usd"),
        (["dollar,min_usd=lots"], "'lots'; expected a number"),
        (["dollar", "dollar"], "the same name twice"),
        (["a=rate,sigma=-1"], "sigma: expected 0 to"),
    ],
)
def test_what_cannot_be_a_detector_is_named(texts, says):
    with pytest.raises(ConfigError) as why:
        agree.parse(texts)
    assert says in str(why.value)


def test_detectors_are_told_by_name_kind_and_parameters():
    assert agree.parse(["big=dollar,trigger_usd=2e6,min_usd=1000", "rate"]) == [
        {"kind": "dollar", "name": "big", "trigger_usd": 2e6, "min_usd": 1000},
        {"kind": "rate", "name": "rate"},
    ]
    assert agree.parse(["c=cascade,mode=anchored"])[0]["mode"] == "anchored"
    assert {one["kind"] for one in agree.parse([])} >= {"cascade", "anomaly", "dollar", "imbalance", "rate"}


# ---- the throttle ----


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 1), st.sampled_from([1, -1]), st.sampled_from([1.0, 2.0, 2.0, 7.0])), max_size=60))
def test_the_throttle_keeps_the_largest_of_each_symbol_and_second(rows):
    rows = sorted(((ms / 1000, n, side, x) for ms, n, side, x in rows), key=lambda row: row[0])
    data = feed(rows)
    best = defaultdict(float)
    for at, n, _, x in rows:
        best[n, math.floor(at)] = max(best[n, math.floor(at)], x)
    view = detection.throttled(data)
    shown = {(int(e["instrument"]), int(e["ts_event"]) // SECOND): float(e["aux_price"]) for e in view.events}
    assert len(view.events) == len(best) and shown == dict(best)
    assert np.all(np.diff(view.events["ts_recv"]) >= 0) and np.all(view.events["ts_recv"] % SECOND == 0)
    assert np.all(view.events["ts_recv"] - view.events["ts_event"] > 0)  # nobody knows the largest before the second is over
    assert {i.completeness for i in view.instruments} == {lc.Completeness.COMPLETENESS_CENSORED}


@needs_data
def test_the_throttle_on_the_real_tape_keeps_what_was_measured():
    """data.md 1.4, measured on another path: 24 to 40 % of the events and 77 to 84 % of the value; in bursts 13 to 17 % and 64 to 73 %."""
    data = agree.read_data([TAPE])
    assert len(data.instruments) == 3
    for n in range(3):
        found = detection.kept_shares(data.events[data.events["instrument"] == n], data.instruments)
        assert 0.235 <= found["all"]["events_kept"] <= 0.405 and 0.765 <= found["all"]["value_kept"] <= 0.845
        assert 0.125 <= found["bursts"]["events_kept"] <= 0.175 and 0.635 <= found["bursts"]["value_kept"] <= 0.735
        assert found["bursts"]["events"] > 300


@needs_data
def test_what_the_throttle_costs_the_detectors_is_reported():
    """A detector tuned on a full feed loses most on a throttled one; one that only asks for presence loses less."""
    report = detection.throttle_report(agree.read_data([TAPE]), SMALL, 60.0)
    rows = {row["detector"]: row for row in report["detectors"]}
    assert rows["cascade"]["throttled"] < 0.6 * rows["cascade"]["full"]
    assert rows["dollar"]["throttled"] <= rows["dollar"]["full"] and rows["dollar"]["new"]["k"] == 0
    assert all(row["found"]["low"] <= row["found"]["share"] <= row["found"]["high"] for row in rows.values() if row["full"])


# ---- labelled cascades ----


@pytest.fixture(scope="module")
def market():
    return detection.labelled(4.0, seed=2, lead_h=1.0, symbols=("SOLUSDT", "DOGEUSDT"), scale=30.0)


def test_the_labels_are_those_of_the_prints(market):
    """Each cascade's prints are in the feed: its first and last moment, its side, its number."""
    assert len(market.truth) > 20
    place = {i.symbol: n for n, i in enumerate(market.data.instruments)}
    for c in market.truth:
        e = market.data.events
        own = e[(e["instrument"] == place[c.symbol]) & (e["side"] == c.side) & (e["ts_event"] >= c.start_ns) & (e["ts_event"] <= c.end_ns)]
        assert len(own) == c.count and own["ts_event"][0] == c.start_ns and own["ts_event"][-1] == c.end_ns
        assert (own["price"] * own["qty"]).sum() == pytest.approx(c.notional, rel=0.02)


def test_quality_is_counted_as_it_is_said(market):
    """A detector that sees every second print finds nearly all and is nearly always right; one that never speaks finds none; bars find by accident."""
    told = [
        {"kind": "cascade", "name": "eager", "quantile": 0.05, "window_events": 20, "warmup": 1, "min_events": 2, "window_s": 10.0},
        {"kind": "dollar", "name": "deaf", "trigger_usd": 1e14},
    ]
    eager, deaf = detection.quality(market, market.data, told)
    targets = sum(c.count >= 5 for c in market.truth)
    assert eager["recall"]["n"] == targets and eager["recall"]["share"] > 0.6 and eager["in_any"]["share"] > 0.8
    assert 0.0 <= eager["delay_s"] < 30.0 and eager["precision"]["k"] <= eager["in_any"]["k"] <= eager["episodes"]
    assert (deaf["episodes"], deaf["recall"]["k"], deaf["recall"]["share"], deaf["precision"]["share"], deaf["delay_s"]) == (0, 0, 0.0, None, None)


def test_the_wrong_side_finds_nothing(market):
    turned = market.data.events.copy()
    turned["side"] = -turned["side"]
    told = [{"kind": "dollar", "name": "dollar", "min_usd": 5000.0, "trigger_usd": 500_000.0}]
    (right,) = detection.quality(market, market.data, told)
    (wrong,) = detection.quality(market, dataclasses.replace(market.data, events=turned), told)
    assert right["recall"]["k"] > 3 and right["precision"]["share"] > 0.7
    assert wrong["episodes"] == right["episodes"] and wrong["recall"]["share"] < 0.3 * right["recall"]["share"]


def test_a_throttled_view_costs_the_cascade_detector_recall(market):
    told = [{"kind": "cascade", "name": "cascade", "warmup": 30}]
    (full,) = detection.quality(market, market.data, told)
    (few,) = detection.quality(market, detection.throttled(market.data), told)
    assert few["recall"]["k"] < full["recall"]["k"] and full["precision"]["share"] >= 0.8


# ---- the command ----


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "events.csv"
    rows = flush(1000) + flush(3000, 1, -1)
    path.write_text(
        "ts_ms,venue,symbol,position,price,qty_base,notional_usd\n"
        + "".join(
            f"{1_772_409_600_000 + round(at * 1000)},binance_um,{'AB'[n]}USDT,{'long' if side > 0 else 'short'},100,{x / 100},{x}\n"
            for at, n, side, x in rows
        )
    )
    return path


def test_the_command_prints_tables_json_and_csv(table, tmp_path, capsys):
    assert cli.main(["agree", str(table), "-d", "big=dollar", "-d", "imbalance", "--throttle"]) == 0
    said = capsys.readouterr().out
    assert "binance_um is CENSORED" in said and "big" in said and "Binance's rule" in said and "CENSORED already" in said
    assert cli.main(["agree", str(table), "-d", "big=dollar", "-d", "imbalance", "--json", "--csv", str(tmp_path / "pairs.csv")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["venues"][0]["completeness"] == ["CENSORED"] and found["settings"][0]["trigger_usd"] == 5e6
    rows = list(csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines()))
    assert [(r["venue"], r["a"], r["b"], r["episodes"], r["agreeing"], r["share"]) for r in rows] == [
        ("binance_um", "big", "imbalance", "2", "2", "1"),
        ("binance_um", "imbalance", "big", "2", "2", "1"),
    ]


def test_the_command_measures_on_a_generated_market(capsys):
    line = ["agree", "--labelled", "0.2", "--symbols", "DOGEUSDT", "--scale", "30", "-d", "dollar,min_usd=5000,trigger_usd=500000"]
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    assert "SYNTHETIC" in said and "Throttled" in said
    assert cli.main([*line, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["synthetic"] and found["full"][0]["detector"] == "dollar" and found["settings"][0]["trigger_usd"] == 500_000.0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([], "no data"),
        (["nowhere.csv"], "no such file"),
        (["--labelled", "-1"], "0 to 1000 hours"),
        (["--labelled", "1", "--symbols", "NOSUCH"], "NOSUCH"),
        (["x", "--tolerance-s", "-1"], "0 to 86400"),
    ],
)
def test_what_cannot_be_done_is_said(line, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["agree", *line]) == 2
    assert says in capsys.readouterr().err


def test_a_run_and_a_store_made_of_it_give_the_same_episodes(tmp_path):
    run = record_run(tmp_path / "run", hours=0.3, seed=5, symbols=("DOGEUSDT",))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", "import", str(run), "--store", str(tmp_path / "store"), "--quiet"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = agree.parse(["imbalance,floor_usd=500,min_events=3", "cascade,warmup=5,quantile=0.8,window_events=20", "bars,period_s=300"])
    one, other = (agree.read_data([path]) for path in (run, tmp_path / "store"))
    found, again = agree.episodes_of(one, told)[0], agree.episodes_of(other, told)[0]
    assert sum(len(es) for es in found) > 4
    assert [[(e.ts, e.side) for e in es] for es in found[:2]] == [[(e.ts, e.side) for e in es] for es in again[:2]]
    rare = agree.read_data([run], dense=agree.wants_dense(told))
    assert len(rare.events) < len(one.events) / 3 and agree.episodes_of(rare, told)[0] == found
    assert agree.wants_dense([{"kind": "zone", "name": "zone"}])
    report = agree.agreement(one, told)
    assert report["synthetic"] and "SYNTHETIC" in report["warnings"][-1]
    assert report["venues"][0]["covered_hours"] == pytest.approx(0.3, abs=0.02) and report["venues"][0]["completeness"] == ["FULL"]


def test_an_import_of_a_packed_table_works(table, tmp_path):
    packed = tmp_path / "events.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    kinds = agree.read_data([packed, table]).events["kind"].tolist()
    assert kinds == [lc.Kind.LIQUIDATION] * 16 + [lc.Kind.FEED] * 2 + [lc.Kind.LIQUIDATION] * 16  # behind half an hour of silence a mark of each


# ---- liqcore detect: any detector, on liquidations alone ----


@pytest.fixture(scope="module")
def forced(tmp_path_factory):
    """Liquidations alone: a table, and a store made of it."""
    folder = tmp_path_factory.mktemp("forced")
    rng = np.random.default_rng(5)
    ts = 1_772_409_600_000 + np.cumsum(np.where(rng.random(800) < 0.8, rng.integers(1, 900, 800), rng.integers(10_000, 200_000, 800)))
    rows = [
        f"{t},BTCUSDT,{'long' if rng.random() < 0.7 else 'short'},{50_000 + rng.normal(0, 50):.1f},{q:.4f},{q * 50_000:.2f}"
        for t, q in zip(ts.tolist(), np.exp(rng.normal(-3, 2, 800)).tolist(), strict=True)
    ]
    table = folder / "forced.csv"
    table.write_text("ts_ms,symbol,position,price,qty_base,notional_usd\n" + "\n".join(rows) + "\n")
    assert cli.main(["import", str(table), "--store", str(folder / "store"), "--venue", "bybit"]) == 0
    return folder


def said_by(capsys, *arguments) -> tuple[list[dict], str]:
    assert cli.main(["detect", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_of_detector_runs_on_liquidations_alone(forced, capsys, kind):
    capsys.readouterr()
    table, err = said_by(capsys, forced / "forced.csv", "-d", f"mine={kind}")
    store, _ = said_by(capsys, forced / "store", "-d", f"mine={kind}")
    assert {s["detector"] for s in table + store} <= {"mine"}
    keys = ("phase", "side", "count", "long_notional", "short_notional", "sequence")
    if kind in ("cascade", "imbalance", "rate"):  # (a store of days goes on to the end of its last day)
        assert table and [[s[k] for k in keys] for s in store[: len(table)]] == [[s[k] for k in keys] for s in table]
    assert ("mine needs trades" in err) is (kind == "zone")


def test_a_presets_detectors_and_what_has_not_warmed_up(forced, capsys):
    capsys.readouterr()
    found, err = said_by(capsys, forced / "forced.csv", "--preset", "momentum")
    assert {s["detector"] for s in found} >= {"bars"} and "momentum: " in err
    _, err = said_by(capsys, forced / "forced.csv", "--warmup", "900")
    assert "no contract has enough liquidations for its warm-up" in err
    assert cli.main(["detect", str(forced / "store"), "--preset", "fade", "-d", "rate"]) != 0
    assert "one of the two" in capsys.readouterr().err
    assert cli.main(["detect", str(forced / "store"), str(forced / "forced.csv")]) != 0
    assert "one store alone" in capsys.readouterr().err


def test_agree_and_features_take_liquidations_alone(forced, capsys):
    assert cli.main(["agree", str(forced / "store")]) == 0
    assert "detectors and features of trades have no data there" in capsys.readouterr().out
    assert cli.main(["features", str(forced / "store"), "--features", "liquidations.liq_volume@1h", "--every", "1h"]) == 0
    assert cli.main(["compare", str(forced / "store")]) != 0 and "Fills need the prices" in capsys.readouterr().err
