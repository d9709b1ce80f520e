"""Fills of a Hyperliquid node in a store: what is apart stays apart, hours come together whatever their order, and the archive is fetched and resumed."""

import json

import numpy as np
import pytest

import liqcore as lc
from hyperliquid_ledger import Ledger, by_block, write
from liqshell.backstops import BACKSTOP
from liqshell.cli import main
from liqshell.store.importer import fill
from liqshell.store.load import Store


def archive(root, ledger, hours=("9", "10")):
    """The ledger cut into hourly files as the venue keeps them: names without a leading zero."""
    lines = by_block(ledger).splitlines(keepends=True)
    cut = [n * len(lines) // len(hours) for n in range(len(hours) + 1)]
    return [
        write(root / "node_fills_by_block" / "hourly" / "20251010" / f"{hour}.lz4", b"".join(lines[a:b]))
        for hour, a, b in zip(hours, cut, cut[1:], strict=False)
    ]


def notional(forced, coin, side):
    return float(sum(n for (_, _, c, s), (_, n) in forced.items() if c == coin and s == side))


def test_a_store_of_an_archive_has_every_liquidation_once_and_a_tape_no_deleveraging(tmp_path, capsys):
    ledger = Ledger(11).run(400)
    truth = ledger.truth
    archive(tmp_path / "s3", ledger)
    assert main(["import", str(tmp_path / "s3"), "--store", str(tmp_path / "store"), "--quiet"]) == 0
    store = Store(tmp_path / "store")
    assert [c.symbol for c in store.contracts] == ["BTC", "DOGE", "kPEPE", "xyz:MU"]
    for contract in store.contracts:
        coin = contract.symbol
        assert contract.rules.instrument.completeness == lc.Completeness.COMPLETENESS_FULL
        tape = store.tape([f"hyperliquid:{coin}"])
        events = tape.events(0)
        assert set(events["kind"]) <= {lc.Kind.TRADE, lc.Kind.LIQUIDATION, lc.Kind.DELEVERAGE}
        for side in (1, -1):
            mine = events[(events["kind"] == lc.Kind.LIQUIDATION) & (events["side"] == side)]
            assert len(mine) == sum(c == coin and s == side for _, _, c, s in truth.liquidations)
            assert mine["aux_price"].sum() == pytest.approx(notional(truth.liquidations, coin, side), rel=1e-9)
            for name, kind, forced in (("backstops", BACKSTOP, truth.backstops), ("deleveraged", lc.Kind.DELEVERAGE, truth.deleveragings)):
                kept = np.concatenate(list(contract.rows(name)))
                assert set(kept["kind"]) == {kind}
                assert kept["aux_price"][kept["side"] == side].sum() == pytest.approx(notional(forced, coin, side), rel=1e-9)
        assert int((events["kind"] == lc.Kind.TRADE).sum()) == sum(t[0] == coin for t in truth.trades)
    capsys.readouterr()
    assert main(["data", str(tmp_path / "store"), "--json", "--verify"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert not report["faults"] and {c["symbol"] for c in report["contracts"]} == {"BTC", "DOGE", "kPEPE", "xyz:MU"}
    totals = {name: sum(c["kinds"][name]["rows"] for c in report["contracts"]) for name in ("backstops", "deleveraged")}
    assert totals == {"backstops": len(truth.backstops), "deleveraged": len(truth.deleveragings)}
    assert main(["data", str(tmp_path / "store")]) == 0
    assert "backstops" in capsys.readouterr().out


def test_hours_in_any_order_and_twice_make_the_same_store(tmp_path):
    files = archive(tmp_path, Ledger(12).run(200), ("9", "10", "11"))
    for name, order in (("a", files), ("b", files[::-1] + files)):
        assert not fill(tmp_path / name, order).broken
    a, b = (Store(tmp_path / name).select() for name in ("a", "b"))
    assert a.fingerprint == b.fingerprint


def test_a_day_of_nothing_but_deleveraging_is_no_fault(tmp_path):
    legs = [
        [
            "0xa",
            {"coin": "BTC", "px": "100", "sz": "2", "side": "A", "time": 1_760_130_000_000, "dir": "Auto-Deleveraging", "crossed": False, "tid": 1},
        ]
    ]
    line = {"local_time": "2025-10-10T21:00:00.5", "block_time": "2025-10-10T21:00:00.4", "block_number": 1, "events": legs}
    assert not fill(tmp_path / "store", [write(tmp_path / "21.lz4", json.dumps(line).encode())]).broken
    store = Store(tmp_path / "store")
    assert store.tape().events(0)["kind"].tolist() == [lc.Kind.DELEVERAGE] and [len(e) for e in store.contract("BTC").rows("deleveraged")] == [1]


def test_an_archive_that_is_cut_is_named_and_harms_no_other(tmp_path, capsys):
    files = archive(tmp_path / "s3", Ledger(13).run(3000))
    files[1].write_bytes(files[1].read_bytes()[:-500])
    assert main(["import", *map(str, files), "--store", str(tmp_path / "store"), "--quiet"]) == 1
    assert f"NOT IMPORTED:\n{files[1]}" in capsys.readouterr().err
    assert Store(tmp_path / "store").contracts
