"""`liqcore detect` on a file, on the store made of it, on a run and on that run's own audit: one and the same signals, and the time that they cover."""

import json

import numpy as np
import pytest

import liqcore as lc
from captures import DATA, needs_data
from liqshell import cli
from liqshell.config.load import loads
from liqshell.research import detector_agreement as agree
from recorded_run import audit_of, of_kind, record_run

MS = 1_000_000
T0 = 1_786_310_000_000


def detect(capsys, *arguments) -> tuple[list[dict], str]:
    capsys.readouterr()
    assert cli.main(["detect", *map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def imported(path, store):
    assert cli.main(["import", str(path), "--store", str(store), "--quiet"]) == 0
    return store


# ---- notionals at another price than the reported one ----


def line(ms: int, us: int, topic: str, row: dict) -> str:
    frame = {"topic": topic, "type": "snapshot", "ts": ms, "data": [row]}
    return (
        json.dumps(
            {"ts": ms, "ts_recv": ms * MS + us * 1000, "exchange": "bybit", "source": "ws", "stream": topic, "symbol": "ETHUSDT", "result": frame},
            separators=(",", ":"),
        )
        + "\n"
    )


def recorded(path, trades: bool = True):
    """Thirteen liquidations at 1980, each behind a trade at 2000 and, every third, a mark of 1990."""
    out = []
    for n, qty in enumerate([1, 2, 3] * 4 + [50]):
        ms = T0 + 1000 * n
        if trades:
            out.append(line(ms, 0, "publicTrade.ETHUSDT", {"T": ms, "s": "ETHUSDT", "S": "Buy", "v": "1", "p": "2000", "i": str(n), "BT": False}))
        out.append(line(ms, 1, "allLiquidation.ETHUSDT", {"T": ms, "s": "ETHUSDT", "S": "Buy", "v": str(qty), "p": "1980"}))
    path.write_text("".join(out))
    return path


def test_a_store_has_the_trades_that_a_notional_is_taken_at(tmp_path, capsys):
    """3 x 2000, the last trade, and no 3 x 1980; SIGNAL_MARK_NOTIONAL (8) says so."""
    file = recorded(tmp_path / "2026-08-09_21.jsonl")
    store = imported(file, tmp_path / "store")
    for told in ("x=cascade,warmup=5,notional=last", "x=cascade,warmup=5"):
        found, _ = detect(capsys, file, "-d", told)
        again, _ = detect(capsys, store, "-d", told)
        assert found == again and found
    found, err = detect(capsys, store, "-d", "x=cascade,warmup=5,notional=last")
    assert (found[0]["long_notional"], found[0]["price"], found[0]["flags"]) == (6000.0, 2000.0, 8) and "reported prices" not in err
    told = agree.parse(["x=cascade,warmup=5,notional=last"])
    episodes = [agree.episodes_of(agree.read_data([path], agree.wants_dense(told)), told)[0][0] for path in (file, store)]
    assert episodes[0] == episodes[1] and episodes[0][0].threshold == 6000.0


def test_where_there_was_no_such_price_no_signal_says_that_it_stands_on_it(tmp_path, capsys):
    file = recorded(tmp_path / "2026-08-09_21.jsonl", trades=False)
    store = imported(file, tmp_path / "store")
    for data in (file, store):
        for basis, said in (("last", "no trade of ETHUSDT"), ("mark", "no mark of ETHUSDT")):
            found, err = detect(capsys, data, "-d", f"x=cascade,warmup=5,notional={basis}")
            assert (found[0]["long_notional"], found[0]["flags"]) == (5940.0, 0) and said in err and "reported prices" in err


# ---- a run is read as the live engine saw it ----


def test_a_run_its_store_and_its_audit_say_the_same(tmp_path, capsys):
    """Nobody wrote the silences of a thin market down: the sink of the run inferred them (docs/formats.md), and so does whoever reads it."""
    config = loads("[detector]\nrefresh_s = 0\nwarmup = 10\nquantile = 0.7\n[limits]\ndata_age_max_s = 12\nevent_age_max_s = 12\n")
    run = record_run(tmp_path / "run", hours=1.0, seed=5, symbols=("DOGEUSDT",), config=config, topics=("publicTrade", "allLiquidation"))
    audit = audit_of(run)
    gaps = of_kind(audit, lc.AuditKind.AUDIT_FEED)
    live = [
        (int(s["ts"]), lc.Phase(int(s["phase"])).name, bool(s["reason"] == lc.Reason.UNCERTAIN)) for s in of_kind(audit, lc.AuditKind.AUDIT_SIGNAL)
    ]
    assert np.count_nonzero(gaps["phase"] == int(lc.FeedState.FEED_GAP)) > 3
    assert len({phase for _, phase, _ in live}) > 2 and {uncertain for *_, uncertain in live} == {True, False}
    options = ("--warmup", 10, "--quantile", 0.7)
    of_run, _ = detect(capsys, run, *options)
    of_store, _ = detect(capsys, imported(run, tmp_path / "store"), *options)
    assert [(s["ts"], s["phase"], bool(s["flags"] & 1)) for s in of_run] == live
    last = max(s["ts"] for s in of_store)
    assert of_store == [s for s in of_run if s["ts"] <= last] and len(of_run) - len(of_store) <= 1  # a store does not know when the run ended


# ---- one time of receipt, one coverage ----


def table(path, seconds) -> str:
    path.write_text(
        "ts_ms,venue,symbol,position,price,qty_base,notional_usd\n"
        + "".join(f"{T0 + round(s * 1000)},bybit,{name}USDT,long,100,{size},{100 * size}\n" for s, name, size in seconds)
    )
    return path


def test_a_table_and_the_store_made_of_it_cover_the_same_time(tmp_path, capsys):
    """A recorder that was off for an hour: neither has seen that hour, and what is known comes 50 ms after it happened (docs/formats.md)."""
    rows = [(s, "AB"[s % 2], 1 + s % 7) for s in range(0, 1200, 20)] + [(s, "AB"[s % 40 // 20], 1 + s % 9) for s in range(4800, 6000, 20)]
    file = table(tmp_path / "events.csv", [*rows, (6000, "A", 90), (6001, "A", 90), (6400, "A", 1)])
    store = imported(file, tmp_path / "store")
    told = agree.parse(["cascade,warmup=10", "imbalance,floor_usd=1000,min_events=2", "rate"])
    first, second = (agree.agreement(agree.read_data([path]), told) for path in (file, store))
    assert first["venues"] == second["venues"]
    assert first["venues"][0]["covered_hours"] == pytest.approx(2 * (6400 - (4800 - 1180)) / 3600, abs=1e-3)
    assert (first["start_ns"], first["end_ns"]) == (second["start_ns"], second["end_ns"]) == (T0 * MS + 50 * MS, (T0 + 6_400_000) * MS + 50 * MS + 1)
    found, again = (detect(capsys, path, "--warmup", 10)[0] for path in (file, store))
    assert found == again and found[-1]["phase"] == "EXHAUSTED" and {s["ts"] % (1000 * MS) for s in found if s["phase"] == "ACTIVE"} == {50 * MS}


@needs_data
def test_the_real_table_and_its_store_agree(tmp_path):
    file = DATA / "liq-okx-hyperliquid" / "liquidations_okx_normalized.csv.gz"
    store = imported(file, tmp_path / "store")
    first, second = (agree.agreement(agree.read_data([path]), agree.parse(["cascade", "rate"])) for path in (file, store))
    assert first["venues"] == second["venues"] and first["venues"][0]["covered_hours"] < 60
