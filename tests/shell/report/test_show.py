"""`liqcore show`: the story of a hand-made minute, long and short, told in sentences whose numbers are worked out here; and of recorded runs."""

import json
import re

import numpy as np
import pytest
from test_cli import run

import liqcore as lc
from liqshell.config.load import loads
from liqshell.report import load_run, make_report
from liqshell.report.narrative import state_before, story
from recorded_run import SETTINGS, record_run
from run_folder import Fade

T0 = 1_772_629_200 * lc.SECOND  # 2026-03-04 13:00:00 UTC
ETH = lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.001", completeness=lc.Completeness.COMPLETENESS_FULL)


def hand_made(folder, side, policy=None):
    """Two liquidations of $1,000 teach the detector; $50,000 at 13:01:00 and $60,000 at 13:01:10 are a cascade at a price of 100.00. The fade rests
    15 bps away: 99.85 long, 100.15 short. A trade beyond fills it at 13:01:20, and one beyond the target, 15 bps back, ends it at 13:01:40."""

    def row(kind, s, price, qty, of=0, ask=0.0):
        e = np.zeros(1, lc.EVENT_DTYPE)
        e["kind"], e["ts_recv"], e["price"], e["qty"], e["side"], e["aux_price"] = kind, T0 + round(s * 1e9), price, qty, of, ask
        e["ts_event"] = e["ts_recv"]
        return e

    forced, trade = int(lc.Kind.LIQUIDATION), int(lc.Kind.TRADE)
    rows = [
        row(trade, 0, 100.0, 1.0, 1),
        *(row(forced, s, 100.0, 10.0, side) for s in (1, 2)),
        row(trade, 59.9, 100.0, 1.0, 1),
        row(forced, 60, 100.0, 500.0, side),
        row(trade, 69.9, 100.0, 1.0, 1),
        row(forced, 70, 100.0, 600.0, side),
    ]
    rows += [
        row(trade, 80, 100.0 - side * 0.20, 100.0, -side),
        row(trade, 90, 100.0 - side * 0.10, 1.0, side),
        row(trade, 100, 100.0 + side * 0.10, 100.0, side),
    ]
    engine = lc.Engine([ETH], lc.CascadeConfig(warmup=2, window_events=100), policy or Fade(), lc.Risk(data_age_max_s=30.0), equity=10_000.0)
    paper = lc.Paper(engine, lc.SimVenue([ETH], maker_fee=0.0002, taker_fee=0.00055))
    paper.run(np.concatenate(rows))
    paper.advance(T0 + 240 * lc.SECOND)
    folder.mkdir()
    (folder / "audit.bin").write_bytes(engine.audit.drain().tobytes())
    cascade = {"quantile": 0.95, "window_events": 100, "window_s": 60.0, "min_events": 2, "warmup": 2}
    (folder / "run.json").write_text(
        json.dumps(
            {
                "mode": "paper",
                "instruments": [ETH.as_dict()],
                "started_ns": T0,
                "ended_ns": T0 + 240 * lc.SECOND,
                "settings": {"cascade": cascade, "venue": "simulated"},
            }
        )
    )
    return folder


@pytest.mark.parametrize(
    ("side", "mine", "forced", "entry", "stop", "target", "buy", "sell"),
    [(1, "long", "long", "99.85", "99.6", "100", "buy", "sold"), (-1, "short", "short", "100.15", "100.4", "100", "sell", "bought")],
)
def test_a_hand_made_minute(side, mine, forced, entry, stop, target, buy, sell, tmp_path, capsys):
    folder = hand_made(tmp_path / "run", side)
    told = story(load_run(folder))
    seen = {}
    for line in told:
        seen.setdefault(line.what, []).append(((line.ts - T0) / 1e9, line.text))
    assert [at for at, _ in seen["large"]] == [60.0, 70.0]
    assert f"A {forced} of $50,000 is liquidated at 100: large for cascade (threshold $1,000.00), number 1" in seen["large"][0][1]
    ((at, active),) = [one for one in seen["signal"] if "ACTIVE" in one[1]]
    longs, shorts = ("$110,000", "$0.00") if side > 0 else ("$0.00", "$110,000")
    assert "threshold $45,100, z-score of the segment not known yet, score (uncalibrated) 5.9 of 10, price 100" in active, "of a minute no z is known"
    assert at == 70.0 and f"{forced}s liquidated, {longs} of longs and {shorts} of shorts in 2 events" in active
    ((_, wish),) = seen["policy"]
    assert f"wants to go {mine} with $2,000.00: entry 15 bps from 100, target 15 bps, stop 25 bps, up to 30.0 min for the fill" in wish
    assert seen["risk"][0][0] == 70.0 and seen["risk"][0][1].startswith("Risk approves $2,000.00") and "equity $10,000" in seen["risk"][0][1]
    assert (
        f"We send the entry: {buy} " in seen["request"][0][1] and f" at {entry}, limit, post-only, stop attached at {stop}" in seen["request"][0][1]
    )
    assert seen["order"][0] == (pytest.approx(70.1), f"The venue acknowledges the entry after 100 ms, at {entry}.")
    fills = [text for _, text in seen["fill"]]
    assert f"at {entry} (traded through), fee $0.40; position {mine}" in fills[0] and fills[1].startswith(f"Fill of the target: {sell} ")
    assert f"at {target} (traded through)" in fills[1] and fills[1].endswith("position flat.")
    ((at, end),) = seen["trade"]
    assert 100.0 <= at < 100.2 and end.startswith(f"The {mine} is closed: {entry} to {target}, +$") and "target (take-profit filled)" in end
    assert [line.ts for line in told] == sorted(line.ts for line in told)
    order = [line.what for line in told if line.what in ("large", "policy", "risk", "request", "order", "fill", "trade")]
    assert order.index("policy") < order.index("risk") < order.index("request") < order.index("order") < order.index("fill") < order.index("trade")

    status, out, _ = run(capsys, "show", folder, "--from", "13:01", "--to", "2026-03-04T13:01:15")
    assert status == 0 and out.startswith("At 2026-03-04 13:01:00 UTC. ETHUSDT: nothing open, no threshold yet.")
    assert "13:01:10.000  ETHUSDT  Risk approves" in out and "Fill" not in out
    status, out, _ = run(capsys, "show", folder, "--from", "13:01:30", "--to", "13:01:35")
    assert status == 0 and "ETHUSDT: a position is open, the last threshold" in out and "There was no decision in this time" in out
    status, out, _ = run(capsys, "show", folder, "--json")
    assert [json.loads(line)["text"] for line in out.splitlines()] == [line.text for line in told]


def test_why_it_did_not_trade_is_told_to_the_reason(tmp_path):
    """A second cascade within the cooldown: refused, and said so with what the reason means."""
    folder = hand_made(tmp_path / "run", 1)
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    risk = np.flatnonzero(audit["kind"] == lc.AuditKind.AUDIT_RISK)
    audit["reason"][risk] = int(lc.Reason.COOLDOWN)
    (folder / "audit.bin").write_bytes(audit.tobytes())
    (line,) = [line for line in story(load_run(folder)) if line.what == "risk"]
    assert "Risk refuses" in line.text and "cooldown, too soon after the last trade of the instrument" in line.text
    assert len(story(load_run(folder), why=True)) > len(story(load_run(folder)))


@pytest.mark.parametrize("side", [1, -1])
def test_the_condition_that_was_not_met_is_told(side, tmp_path):
    class Choosy(lc.Policy):
        def on_signal(self, signal, market):
            return self.decline("score at least", 6.21, 7.0) if signal.phase == lc.Phase.ACTIVE else None

    told = [line.text for line in story(load_run(hand_made(tmp_path / "run", side, Choosy())), why=True) if line.what == "policy"]
    assert "The policy, asked at ACTIVE, wants no trade: score at least 7: it was 6.21." in told
    assert any("answered: policy gave no reason" in line for line in told)


@pytest.mark.slow
def test_every_record_of_a_recorded_run_has_a_sentence(tmp_path, capsys):
    record_run(tmp_path / "run", hours=2, seed=12, cut_s=60.0)
    found = load_run(tmp_path / "run")
    told, silent = story(found, why=True), {"bracket", "signal"}
    spoken = {line.seq for line in told}
    assert {lc.AuditKind(int(r["kind"])).name.removeprefix("AUDIT_").lower() for r in found.audit if int(r["seq"]) not in spoken} <= silent
    assert {"large", "signal", "policy", "risk", "request", "order", "fill", "trade", "feed", "liquidation"} <= {line.what for line in told}
    small = [line for line in told if line.what == "liquidation"]
    assert small and all("no detector counts it as large" in line.text for line in small)
    middle = (found.started_ns + found.ended_ns) // 2
    assert any("The feed is down" in line for line in state_before(found, middle + 30 * lc.SECOND))
    status, out, _ = run(capsys, "show", tmp_path / "run", "--symbol", "SOLUSDT")
    assert status == 0 and "SOLUSDT" in out and "DOGEUSDT" not in out
    key = next(i.key for i in found.instruments if i.symbol == "SOLUSDT")
    assert key.partition(":")[2] == "SOLUSDT" and run(capsys, "show", tmp_path / "run", "--symbol", key) == (0, out, "")
    for wrong, words in (
        (("--symbol", "BTCUSDT"), "no contract of this run"),
        (("--from", "noon"), "not a time"),
        (("--from", "14:00", "--to", "13:00"), "not after"),
    ):
        status, _, err = run(capsys, "show", tmp_path / "run", *wrong)
        assert status == 2 and words in err


class AtMarket(lc.Policy):
    def on_signal(self, signal, market):
        return (
            lc.Bracket(signal.side, entry="market", entry_offset=0.0015, stop_loss=0.01, notional=1000) if signal.phase == lc.Phase.ACTIVE else None
        )


def test_an_entry_at_market_is_told_as_such(tmp_path):
    folder = hand_made(tmp_path / "run", 1, AtMarket())
    (told,) = [line.text for line in story(load_run(folder)) if line.what == "policy"]
    assert told.startswith("The policy, asked at ACTIVE, wants to go long with $1,000.00: entry at market, after 100, ")
    (sent, *_) = [line.text for line in story(load_run(folder)) if line.what == "request"]
    assert "market" in sent and "send the entry" in sent
    # refused: nothing was sent, and the settings say what was meant
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    audit[audit["kind"] != lc.AuditKind.AUDIT_REQUEST].tofile(folder / "audit.bin")
    meta = json.loads((folder / "run.json").read_text())
    for entry, words in (("market", "entry at market"), ("post_only", "entry 15 bps from 100")):
        meta["settings"] = meta.get("settings", {}) | {"brackets": {"ETHUSDT": {"entry": entry}}}
        (folder / "run.json").write_text(json.dumps(meta))
        assert words in next(line.text for line in story(load_run(folder)) if line.what == "policy")


KINDS = """
[detectors.quick]
kind = "rate"
[detectors.wild]
kind = "hawkes"
times = 1.2
back = 1.0
percentile = 0.0
[detectors.lopsided]
kind = "imbalance"
floor_usd = 1000
[detectors.odd]
kind = "anomaly"
z_min = 1
z_normal = 0.5
floor_usd = 0
[detectors.big]
kind = "dollar"
trigger_usd = 20000
min_usd = 0
[detectors.quarter]
kind = "bars"
period_s = 900
"""


@pytest.mark.slow
def test_what_a_detector_carries_stands_in_its_own_unit(tmp_path, capsys):
    """Thresholds are dollars where a detector compares dollars: a rate is liquidations a minute, a share a percentage, an excitement times the usual
    one, an anomaly standard deviations; a bar has none."""
    folder = record_run(tmp_path / "run", hours=3, seed=12, config=loads(SETTINGS + KINDS))
    told = [line.text for line in story(load_run(folder), why=True) if line.what == "signal"]
    units = {
        "quick": r"threshold [\d.]+ liquidations a minute, z-score of the rate ",
        "wild": r"threshold 1.2 times usual, excitement [\d.e+]+ times usual, score ",
        "lopsided": r"threshold 70\.0 % of one side, share of the side [\d.]+ %, price ",
        "odd": r"threshold z 1\.00, z-score of the segment [\d.−]+, price ",
        "big": r"threshold \$20,000, volume of the side [\d.]+ times the threshold, price ",
    }
    for name, unit in units.items():
        own = [text for text in told if text.startswith(f"{name} is ")]
        assert own and all(re.search(unit, text) for text in own), (name, own[:2])
    assert not any(re.search(r"threshold \$0\.00|z 0\.00|score 0\.00", text) for text in told)
    at = story(load_run(folder))[-1].ts + lc.SECOND
    before = " ".join(state_before(load_run(folder), at))
    assert re.search(r"the last threshold of quick [\d.]+ liquidations a minute", before) and "$0.00" not in before and "quarter" not in before
    summary = make_report(folder).summary
    for row in summary["instruments"]:
        last = row["threshold_said"]
        assert last.startswith("$") == (row["threshold"] > 1000), (row["threshold"], last)


def test_numbers_that_nobody_asked_for_are_not_told_as_zero(tmp_path):
    """A wish that is refused before risk asks for its numbers has none: neither exposure, nor equity, nor a size."""
    folder = hand_made(tmp_path / "run", 1)
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    risk = np.flatnonzero(audit["kind"] == lc.AuditKind.AUDIT_RISK)
    audit["reason"][risk], audit["x"][risk] = int(lc.Reason.COOLDOWN), 0.0
    asked = np.flatnonzero((audit["kind"] == lc.AuditKind.AUDIT_POLICY) & (audit["reason"] == lc.Reason.OK))
    audit["x"][asked, 4] = 0.0  # a share of the account: the size is not known until risk asks
    (folder / "audit.bin").write_bytes(audit.tobytes())
    told = {line.what: line.text for line in story(load_run(folder))}
    assert told["risk"] == "No entry: cooldown, too soon after the last trade of the instrument." and "with a share of the account" in told["policy"]


def test_a_lowered_limit_is_named_and_stops_no_entry(tmp_path):
    folder = hand_made(tmp_path / "run", 1)
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    engine = lc.Engine(["ETHUSDT"], risk=lc.Risk(leverage_max=3.0))
    engine.on_limit(T0, lc.Limit.LIMIT_LEVERAGE, 2.0)
    lowered = engine.audit.drain()
    rows = np.concatenate([lowered, lowered, lowered])
    rows["x"][1:, :2], rows["x"][1:, 5] = [(1.0, 0.5), (0.5, 1.0)], int(lc.Limit.LIMIT_SIZE)
    merged = np.concatenate([rows, audit])
    merged["seq"] = np.arange(1, len(merged) + 1)
    (folder / "audit.bin").write_bytes(merged.tobytes())
    assert [line.text for line in story(load_run(folder)) if line.what == "limit"] == [
        "A limit is lowered: leverage_max from 3 to 2.",
        "The size of entries is multiplied by 0.5 from here on (before: by 1).",
        "The size of entries is multiplied by 1 from here on (before: by 0.5).",
    ]


def test_the_end_of_a_run_is_no_lack_of_reconciliation(tmp_path):
    """The gate of the start opens when the account is reconciled, and closes again when the run winds down."""
    folder = hand_made(tmp_path / "run", 1)
    audit = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    rows = np.zeros(3, lc.AUDIT_DTYPE)
    rows["kind"], rows["instrument"] = int(lc.AuditKind.AUDIT_LIMIT), -1
    rows["phase"] = [int(lc.Control.CONTROL_PAUSE), int(lc.Control.CONTROL_READY), int(lc.Control.CONTROL_PAUSE)]
    rows["x"][:, 3], rows["ts"] = int(lc.Gate.GATE_START), T0 + np.array([0, 2, 230]) * lc.SECOND
    merged = np.concatenate([rows[:2], audit, rows[2:]])
    merged["seq"] = np.arange(1, len(merged) + 1)
    (folder / "audit.bin").write_bytes(merged.tobytes())
    told = [line.text for line in story(load_run(folder)) if line.what == "limit"]
    assert told == [
        "Entries are blocked: the account is not reconciled yet.",
        "No longer blocking entries: the account is not reconciled yet.",
        "Entries are blocked: the run ends.",
    ]
    held = make_report(folder).summary["feed"]["held_back"]
    assert held["the account is not reconciled yet"] == 2.0 and held["the run ends"] == 10.0
