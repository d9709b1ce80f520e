"""The benches themselves: rivals agree with the definitions, ratios are divided the right way round, the gate catches what it must."""

import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benches import build, check, figures, growth, market, report, rivals, streams, timing

pytestmark = pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="benches need a C compiler")


def a_case(case_id, unit, **contestants):
    return {
        "id": case_id,
        "title": case_id,
        "unit": unit,
        "skipped": {"gone": "not installed here"},
        "contestants": {
            name: {"min": low, "median": middle, "max": high, "samples": 3, "items": 10, "note": ""}
            for name, (low, middle, high) in contestants.items()
        },
    }


CASES = {
    "push": a_case("push", "ns/push", ours=(10.0, 12.0, 20.0), slow=(40.0, 48.0, 50.0)),
    "flood": a_case("flood", "frames/s", ours=(4e6, 5e6, 8e6), slow=(1e6, 2e6, 2e6)),
}


def test_ratios_divide_times_one_way_and_rates_the_other():
    assert figures.ratio("push", "slow")(CASES)[:2] == (4.0, 4.0)
    assert figures.ratio("flood", "slow")(CASES)[:2] == (4.0, 2.5)
    assert figures.cost("push", "slow")(CASES)[:2] == (0.25, 0.25)
    assert figures.value("push")(CASES).best == 10.0
    assert figures.worst("push")(CASES).best == 50.0
    with pytest.raises(figures.Missing, match="not installed here"):
        figures.ratio("push", "gone")(CASES)
    with pytest.raises(figures.Missing, match="no case"):
        figures.ratio("nowhere", "slow")(CASES)


def test_a_figure_is_reached_on_the_right_side_of_its_floor():
    faster = figures.Figure(1, "x", figures.ratio("push", "slow"), 4.0, "")
    cheaper = figures.Figure(1, "x", figures.cost("push", "slow"), 0.25, "", at_least=False)
    assert faster.reached(faster.read(CASES)) and cheaper.reached(cheaper.read(CASES))
    assert not figures.Figure(1, "x", faster.read, 4.1, "").reached(faster.read(CASES))
    assert not figures.Figure(1, "x", cheaper.read, 0.2, "", at_least=False).reached(cheaper.read(CASES))


def test_the_interleaving_counts_items_and_orders_costs():
    pool = list(range(100))
    case = timing.Case(
        "x",
        "x",
        "item",
        [
            timing.Contestant("cheap", timing.per_item(lambda x: x, pool)),
            timing.Contestant("dear", timing.per_item(lambda x: sum(range(2000)), pool)),
        ],
    )
    got = timing.measure(case, repeats=3, target_ms=1.0)["contestants"]
    assert got["cheap"]["items"] > got["dear"]["items"]
    for c in got.values():
        assert 0 < c["min"] <= c["median"] <= c["max"] and c["samples"] == 3


def test_the_gate_sees_regressions_missing_budgets_and_lost_loops():
    verdicts = {
        row[0]: row[3]
        for row in check.compare(
            {"same": 100.0, "slower": 102.1, "faster": 90.0, "new": 5.0}, {"same": 101.0, "slower": 100.0, "faster": 100.0, "lost": 7.0}
        )
    }
    assert verdicts["same"] == "ok"
    assert verdicts["slower"] == "REGRESSION"
    assert verdicts["faster"].startswith("better")
    assert verdicts["new"].startswith("NO BUDGET") and verdicts["lost"].startswith("MISSING")


def test_streams_are_seeded_and_have_the_tail():
    x = streams.notional(100_000)
    np.testing.assert_array_equal(x, streams.notional(100_000))
    assert (x > 0).all() and 0.02 < (x > 50_000).mean() < 0.3 and x.max() > 50 * np.quantile(x, 0.95)
    stream = streams.LiquidationStream()
    frames = stream.take(3000) + stream.take(5)
    assert len(set(frames)) == 3005
    times = [json.loads(f)["data"][0]["T"] for f in frames]
    assert times == sorted(times)
    for frame in streams.book_frames(3) + streams.top_frames(3) + streams.trade_frames(3, 2) + streams.liquidation_frames(3, 2):
        json.loads(frame)


def test_every_rival_says_what_it_is_and_plays_a_role():
    present, absent = rivals.load()
    assert "json_stdlib" in present and "numpy_deque" in present
    known = {"quantile_push", "quantile_batch", "zscore_push", "zscore_batch", "decode", "encode", "reaction", "client"}
    for name, module in present.items():
        assert isinstance(module.PACKAGE, str), name
        assert known & set(vars(module)), f"{name} plays no role"
        assert set(getattr(module, "NOTES", {})) <= known, name
    assert all("not installed" in reason for reason in absent.values())


def test_the_published_page_is_what_the_published_results_say():
    result = report.load(report.PUBLISHED)
    assert not result["quick"]
    assert report.PAGE.read_text() == report.page(result), "docs/benchmarks.md was edited or is old: run `python -m benches report`"
    rows = report.lines_of(result)
    assert {r["row"] for r in rows} == set(range(1, 29))
    for row in rows:
        assert row["verdict"] in ("reached", "MISSED") or row["verdict"].startswith("not measured: "), row


@pytest.mark.slow
def test_budgets_cover_every_loop():
    pytest.importorskip("Cython")
    from benches import counted

    for key, budgets in json.loads(check.BUDGETS.read_text()).items():
        assert set(budgets) == set(counted.loops()), key
        assert all(math.isfinite(x) and x > 0 for x in budgets.values())


@pytest.mark.slow
def test_one_group_runs_end_to_end(tmp_path):
    """encode is the smallest group that has ours, rivals, a probe inside C and equal bytes from all."""
    done = subprocess.run(
        [sys.executable, "-c", "import json; from benches import encode; print(json.dumps(encode.run(True)))"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=build.ROOT,
        env=build.environment(),
    )
    assert done.returncode == 0, done.stderr
    cases = {case["id"]: case for case in json.loads(done.stdout)}
    assert "ours" in cases["encode.create"]["contestants"] and "json_stdlib" in cases["encode.create"]["contestants"]
    assert cases["encode.create.c"]["contestants"]["ours"]["min"] > 0


@pytest.mark.slow
def test_the_loopback_market_times_an_order(tmp_path):
    from benches import wire

    frames = tmp_path / "frames"
    frames.write_bytes(b"\n".join(streams.LiquidationStream().take(50)) + b"\n")
    server, client = build.program("wire_server"), build.program("wire_client")
    for peer in (wire.Peer("C", "c_block"), wire.Peer("ours", "ours", loop="asyncio"), wire.Peer("live", "ours_live")):
        got = wire.trial(peer, "react", frames, 60, server, client)
        assert got["count"] == 60 and 0 < got["min_us"] <= got["p50_us"] <= got["p99_us"] <= got["max_us"]
    got = wire.trial(wire.Peer("ours", "ours_flood"), "flood", frames, 20_000, server, client)
    assert got["count"] == 20_000 and got["frames_per_s"] > 0


def test_a_client_that_fails_is_reported_with_its_words(tmp_path):
    from benches import wire

    frames = tmp_path / "frames"
    frames.write_bytes(b"{}\n")
    with pytest.raises(wire.WireError, match="no_such_client"):
        wire.trial(wire.Peer("broken", "no_such_client"), "react", frames, 5, build.program("wire_server"), build.program("wire_client"))
    start = time.monotonic()  # one that ends without a word and never connects is reported as well, long before the server gives up
    with pytest.raises(wire.WireError, match="ended with status 0"):
        wire.trial(wire.Peer("silent", "c_block"), "react", frames, 5, build.program("wire_server"), Path(shutil.which("true")))
    assert time.monotonic() - start < wire.TIMEOUT_S / 4


# ---- the simulator's task ----


def test_the_day_is_seeded_and_every_move_of_the_quote_is_made_by_a_trade():
    day, again, longer = market.day(50_000), market.day(50_000), market.day(2_000_000)
    for part in ("trades", "quotes", "forced"):
        for name, column in getattr(day, part).items():
            np.testing.assert_array_equal(column, getattr(again, part)[name])
    for d, count in ((day, 50_000), (longer, 2_000_000)):
        t, q, f = d.trades, d.quotes, d.forced
        at = np.searchsorted(q["ts"], t["ts"]) - 1
        assert len(t["ts"]) == count and at.min() == 0
        np.testing.assert_array_equal(t["price"], np.where(t["side"] > 0, q["ask"][at], q["bid"][at]))
        last = q["trades_before"][1:] - 1  # the trade before each move took the level
        np.testing.assert_array_equal(t["side"][last], np.sign(np.diff(q["bid"])))
        every = np.sort(np.concatenate([t["ts"], q["ts"], f["ts"]]))
        assert (np.diff(np.sort(np.concatenate([t["ts"], q["ts"]]))) >= 7).all() and (every % 7 <= 1).all()
        np.testing.assert_array_equal(f["trades_before"], np.searchsorted(t["ts"], f["ts"]))
    np.testing.assert_array_equal(market.day(1_000_000).quotes["bid"], longer.quotes["bid"])  # more trades, the same path
    assert len(longer.forced["ts"]) == market.FORCED
    assert len(set(market.settings(300))) == 300 and market.settings(2)[0] == market.Setting()
    assert market.settings(50) == market.settings(300)[:50] and len(set(market.detectors(100))) == 100


@pytest.mark.slow
def test_the_loops_and_liqcore_make_the_same_trades(tmp_path):
    """plain Python == Numba == step (queue; walked) == sweep, without latency: number of trades and result, over settings."""
    from benches.simulators import liqcore_step, liqcore_sweep, numba_loop, plain

    day = market.day(400_000)
    runs = []
    for simulator in (plain, numba_loop, liqcore_step):
        simulator.export(day, tmp_path)
        runs.append(simulator.prepare(tmp_path, 0.0))
    settings = market.settings(4)
    swept = liqcore_sweep.whole(liqcore_sweep.columns(tmp_path), liqcore_sweep.grid(settings))
    total = 0
    for setting, row in zip(settings, swept, strict=True):
        trades, net = runs[0](setting)
        total += trades
        for run in runs[1:]:
            assert run(setting).trades == trades and run(setting).net == pytest.approx(net, abs=1e-6)
        assert row["trades"] == trades and row["net"] == pytest.approx(net, abs=1e-6)
    assert total >= 40


def test_engines_that_disagree_are_not_timed():
    from benches import backtest

    ours = {"trades": 70, "net": -12.5}
    backtest.agree({backtest.PLAIN: ours, "hftbacktest": {"trades": 70, "net": -12.50001}})
    with pytest.raises(AssertionError, match="hftbacktest"):
        backtest.agree({backtest.PLAIN: ours, "hftbacktest": {"trades": 70, "net": -12.6}})
    with pytest.raises(AssertionError, match="not the same task"):
        backtest.agree({backtest.PLAIN: ours, "NautilusTrader": {"trades": 40, "net": 3.0}})


def test_a_simulator_answers_from_its_own_process(tmp_path):
    from benches import backtest, worker

    backtest.export(20_000, tmp_path / "day", ["plain"])
    with worker.Worker("plain", tmp_path / "day") as child:
        assert child.ready() == "" and child.prepared["note"]
        one, two = child.run([0]), child.run([0, 1])
    assert two["trades"] >= one["trades"] and one["ms"] > 0 and one["peak_mb"] > 10
    (tmp_path / "empty").mkdir()
    with worker.Worker("no_such_engine", tmp_path / "empty") as child:
        assert "no_such_engine" in child.ready()


def test_growth_is_the_last_size_against_the_first():
    case = a_case("scale", "us/setting", small=(10.0, 12.0, 20.0), large=(15.0, 18.0, 30.0))
    assert figures.span("scale")({"scale": case})[:2] == (1.5, 1.5)
    with pytest.raises(figures.Missing, match="one size"):
        figures.span("scale")({"scale": a_case("scale", "us/setting", small=(10.0, 12.0, 20.0))})


def test_the_growth_table_divides_the_last_step_by_the_first():
    case = a_case("growth.days", "ns/bracket", **{"1": (200.0, 210.0, 220.0), "10": (180.0, 190.0, 200.0), "100": (400.0, 420.0, 430.0)})
    for one in case["contestants"].values():
        one["note"] = "64 MB at most"
    text = growth.section([case, CASES["push"]])
    assert text[-2] == "| growth.days | 1, 10, 100 | a bracket: 210 ns, 64 MB; 190 ns, 64 MB; 420 ns, 64 MB | 2.00x |"
    assert growth.section([CASES["push"]]) == []


@pytest.mark.parametrize("axis", [pytest.param("contracts", marks=pytest.mark.slow), "days", "rows"])
def test_a_step_of_growth_is_measured_in_a_process_of_its_own(axis):
    done = subprocess.run(
        [sys.executable, "-m", "benches.growth", axis, "--step", str(growth.AXES[axis].quick[0])],
        capture_output=True,
        text=True,
        check=True,
        cwd=build.ROOT,
        env=build.environment(),
        timeout=300,
    )
    found = json.loads(done.stdout)
    assert len(found["ns"]) == growth.ROUNDS and min(found["ns"]) > 0 and found["mb"] > 20
