"""What a run is evidence of: which market, which hours, which contracts, each once; and what its brackets show."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from test_gate import CONFIG

import liqcore as lc
import recorded_run
from liqshell.config.load import loads
from liqshell.gate import Evidence, evaluate, open_run
from liqshell.gate.evaluation import PAPER, fill_in
from liqshell.gate.evidence import gather
from liqshell.gate.exits import exit_faults, limit_faults
from liqshell.gate.items import THIN
from liqshell.report.stories import Bracket, Fill, Order

S = lc.SECOND
T0 = 1_700_000_000 * S


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return recorded_run.record_run(tmp_path_factory.mktemp("gate") / "run", hours=1.0, seed=11, config=loads(CONFIG), cut_s=40.0)


@pytest.mark.parametrize(
    ("changes", "use"),
    [
        ({"synthetic": True, "speed": 1.0}, "a generated market"),
        ({"synthetic": True, "speed": 60.0}, "a generated market"),
        ({"synthetic": False, "speed": 60.0}, "a market at 60 times real time"),
        ({"synthetic": False, "environment": "testnet"}, "a market of the testnet"),
        ({"synthetic": False, "environment": "https://api-testnet.bybit.com"}, "a market of the testnet"),
        ({"synthetic": False, "environment": "loopback"}, "a market on this machine"),
        ({"synthetic": False, "mode": "live", "environment": "demo"}, "orders of a demo account, whose fills are the venue's model"),
    ],
)
def test_a_market_that_is_not_the_real_one_is_no_evidence(folder, tmp_path, changes, use):
    (tmp_path / "audit.bin").write_bytes((folder / "audit.bin").read_bytes())
    (tmp_path / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | changes))
    gate = evaluate([open_run(tmp_path)])
    assert (
        gate.verdict(PAPER) == THIN and gate.excluded == ((tmp_path.name, use),) and not gate.runs and {item.verdict for item in gate.items} == {THIN}
    )
    assert open_run(tmp_path, rehearsal=True).use == changes.get("mode", "paper")


@pytest.mark.parametrize(("mode", "environment"), [("paper", "mainnet"), ("live", "mainnet"), ("paper", "demo"), ("live", "https://api.bybit.eu")])
def test_a_run_of_the_real_market_counts(folder, tmp_path, mode, environment):
    """The demo environment has mainnet's public feed: enough for paper."""
    (tmp_path / "audit.bin").write_bytes((folder / "audit.bin").read_bytes())
    changes = {"synthetic": False, "mode": mode, "environment": environment}
    (tmp_path / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | changes))
    assert open_run(tmp_path).use == mode


def copied(folder: Path, to: Path, change=None, audit=None) -> Path:
    """A run folder with another run.json or other records."""
    to.mkdir()
    meta = json.loads((folder / "run.json").read_text())
    if change is not None:
        change(meta)
    (to / "run.json").write_text(json.dumps(meta))
    records = np.fromfile(folder / "audit.bin", lc.AUDIT_DTYPE)
    (to / "audit.bin").write_bytes((records if audit is None else audit(records)).tobytes())
    return to


def test_a_run_counts_once(folder, tmp_path):
    """The same folder twice, or a copy of it, is not twice the evidence; neither is it the record that it is compared with."""
    one, again = open_run(folder, rehearsal=True), open_run(copied(folder, tmp_path / "copy"), rehearsal=True)
    gate = evaluate([one, again, one], against=[again], rehearsal=True)
    assert gate.runs == ("run",) and gate.excluded == tuple((name, "a run already given") for name in ("copy", "run", "copy"))
    alone = evaluate([one], rehearsal=True)
    assert [dataclasses.asdict(item) for item in gate.items] == [dataclasses.asdict(item) for item in alone.items]


def test_hours_that_two_runs_covered_count_once(folder, tmp_path):
    """A live run beside a paper run of the same market, or two presets on paper: the cascades of these hours happened once."""

    def moved(records):
        """Another run of the same market: other records, the same cascades."""
        return np.delete(records, records_of(records, lc.AuditKind.AUDIT_FUNDING, lc.AuditKind.AUDIT_BRACKET))

    one, other = open_run(folder, rehearsal=True), open_run(copied(folder, tmp_path / "other", audit=moved), rehearsal=True)
    alone, both = gather([one], None), gather([one, other], None)
    assert sum(alone.cascades.values()) > 0 and both.covered == pytest.approx(alone.covered) and both.cascades == alone.cascades
    live = gather([other], None, alone)
    assert live.covered == pytest.approx(alone.covered)  # a week of live trading is one, whatever ran beside it
    assert {symbol: hours for symbol, (hours, _) in live.beside.items()} == pytest.approx(alone.covered)
    assert {symbol: count for symbol, (_, count) in live.beside.items()} == alone.cascades
    assert [i.measured for i in fill_in(alone, live, Evidence()) if i.id.startswith("cascades")] == [
        i.measured for i in fill_in(alone, Evidence(), Evidence()) if i.id.startswith("cascades")
    ]


def records_of(audit, *kinds):
    return np.flatnonzero(np.isin(audit["kind"], [int(kind) for kind in kinds]))


def test_contracts_that_are_watched_only_are_no_evidence_of_those_that_are_traded(folder, tmp_path):
    """Two venues have an ETHUSDT: hours and cascades of the one that is only looked at are not added to the other's, and it is no second contract."""

    def as_two_venues(meta, watched):
        first, *_ = meta["instruments"]
        meta["instruments"] = [first, first | {"venue": "binance_um"}]
        meta["settings"]["feeds"] = [
            {"venue": i["venue"], "first": n, "count": 1, "gap_ns": 1, "watched": bool(n and watched)} for n, i in enumerate(meta["instruments"])
        ]

    name = json.loads((folder / "run.json").read_text())["instruments"][0]["symbol"]
    alone = gather([open_run(folder, rehearsal=True)], None)
    found = gather([open_run(copied(folder, tmp_path / "watched", lambda meta: as_two_venues(meta, True)), rehearsal=True)], None)
    assert found.covered == {name: pytest.approx(alone.covered[name])} and found.cascades == {name: alone.cascades[name]}
    found = gather([open_run(copied(folder, tmp_path / "traded", lambda meta: as_two_venues(meta, False)), rehearsal=True)], None)
    assert set(found.covered) == {f"bybit:{name}", f"binance_um:{name}"} and found.covered[f"bybit:{name}"] == pytest.approx(alone.covered[name])


def test_a_record_by_another_detector_is_not_compared_with(folder, tmp_path):
    def other(meta):
        meta["settings"]["cascade"]["quantile"] = 0.5

    record = open_run(copied(folder, tmp_path / "record", other, lambda records: records[:-1]), rehearsal=True)
    gate = evaluate([open_run(folder, rehearsal=True)], against=[record], rehearsal=True)
    assert gate.excluded == (("record", "a record by another cascade detector"),)


def test_a_sound_run_of_market_entries_shows_no_fault(tmp_path):
    """They eat into the book: several fills at several prices, from whose average target and stop count."""
    text = (
        CONFIG.replace("entry_offset = 0.0005", "entry = 'market'\nentry_offset = 0\ntake_profit = 0.003\nstop_loss = 0.004\nnotional = 20000")
        + "[paper]\ntaker = 'walk'\nequity = 1000000\n"
    )
    one = open_run(recorded_run.record_run(tmp_path / "run", hours=1.5, seed=12, config=loads(text)), rehearsal=True)
    several = [b for b in one.ledger.brackets if len({f.price for f in b.entry_fills}) > 1 and b.first(lc.Role.ROLE_TARGET) is not None]
    assert {b.side for b in several} == {1, -1}  # or this test shows nothing
    assert any(len(b.first(lc.Role.ROLE_TARGET).steps) > 1 for b in several)  # followed the average
    found = gather([one], None)
    assert found.exit_faults == {1: [], -1: []} and not found.limit_faults


@pytest.mark.parametrize("side", [1, -1])
def test_a_target_that_stayed_at_the_first_fill_is_a_fault(folder, side):
    """Of a market entry at two prices: for moments, yes; for as long as it lived, no."""
    run = open_run(folder, rehearsal=True).run
    start = run.started_ns + S

    def faults(price: float, ended: int) -> list[str]:
        entry, stop = (
            Order(0x1001, 1, side, start, 2.0, 2, 100.0),
            Order(0x1002, 2, -side, start, 2.0, steps=[(start, 100.0 - 0.4 * side)], acked=start + 1),
        )
        target = Order(0x1003, 3, -side, start + 1, 2.0, 1, 100.0, [(start + 1, price)], ended=ended)
        fills = [
            Fill(start + 1, entry.id, 1, side, 100.0, 1.0, 0.0, False, 1),
            Fill(start + 2, entry.id, 1, side, 100.0 + 0.2 * side, 1.0, 0.0, False, 1),
        ]
        b = Bracket(
            0,
            1,
            side,
            start,
            orders={o.id: o for o in (entry, stop, target)},
            fills=fills,
            flat=start + 60 * S,
            stop_price=100.0 - 0.4 * side,
            take_profit=0.01,
            stop_loss=0.005,
        )
        return [fault.what for fault in exit_faults(run, b) if "take-profit" in fault.what]

    first, average = 100.0 * (1 + 0.01 * side), (100.0 + 0.1 * side) * (1 + 0.01 * side)
    assert faults(average, start + 50 * S) == [] and faults(first, start + S) == []
    assert len(faults(first, start + 50 * S)) == 1 and len(faults(100.0, start + S)) == 1


def test_a_bracket_that_takes_the_place_of_a_weaker_one_waits_for_no_cooldown(folder):
    """The engine lets it in at the moment at which the other is flat; nobody else."""
    run = open_run(folder, rehearsal=True).run

    def faults(end: lc.Reason, later: int) -> list[str]:
        fill = Fill(T0 + 1, 1, 1, 1, 100.0, 1.0, 0.0, True, 1)
        first = Bracket(0, 1, 1, T0, fills=[fill], flat=T0 + S, end=int(end))
        return [fault.what for fault in limit_faults(run, SimpleNamespace(brackets=[first, Bracket(0, 2, -1, T0 + S + later)], limits=[]))]

    assert faults(lc.Reason.END_REPLACED, 0) == []
    assert "the cooldown is 60 s" in faults(lc.Reason.END_REPLACED, 1)[0] and "the cooldown is 60 s" in faults(lc.Reason.END_STOP, 0)[0]
