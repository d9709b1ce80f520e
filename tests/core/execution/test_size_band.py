"""Quantities have a band as prices have: one row of ten million ETH is a mistake; the largest print of a real cascade is none."""

import json
from pathlib import Path

import numpy as np
import pytest

from captures import DATA
from liqcore import EVENT_DTYPE, LONG, SECOND, CascadeConfig, Engine, Instrument
from liqcore.event import Kind, Reason
from liqshell import formats
from liqshell.cli import main
from liqshell.errors import DataError
from liqshell.formats.validate import SIZES_KEPT, Findings, Limits, Sizes, Validator

T0 = 1_772_452_800 * SECOND
ETH = 2500.0


def prints(sizes, kind=Kind.LIQUIDATION, instrument=0):
    out = np.zeros(len(sizes), EVENT_DTYPE)
    out["ts_event"] = out["ts_recv"] = T0 + np.arange(len(sizes)) * SECOND
    out["price"], out["qty"], out["side"], out["kind"], out["instrument"] = ETH, sizes, LONG, int(kind), instrument
    return out


def usual(count, seed=1):
    """Sizes with a heavy tail: most are small, a few a thousand times as large."""
    return np.round(np.random.default_rng(seed).lognormal(0.0, 2.2, count), 3) + 0.001


def judged(sizes, at_once=True):
    sizes = np.asarray(sizes, float)
    band = Sizes(1000.0)
    parts = [prints(sizes)] if at_once else np.split(prints(sizes), range(1, len(sizes)))
    return np.concatenate([band.absurd(part, np.ones(len(part), bool)) for part in parts])


# ---- what is learnt


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("at", [20, 500, 999])
def test_one_row_of_ten_million_is_refused(at, at_once):
    sizes = usual(1000)
    sizes[at] = 1e7
    assert np.flatnonzero(judged(sizes, at_once)).tolist() == [at]


@pytest.mark.parametrize("at_once", [True, False])
def test_the_tail_is_heavy_and_passes(at_once):
    for seed in range(20):
        assert not judged(usual(2000, seed), at_once).any(), seed


def test_a_size_that_there_is_five_times_is_one_that_there_is():
    """A contract whose unit changed: what holds is no mistake, however far it jumped."""
    sizes = np.concatenate([usual(200), [1e7] * SIZES_KEPT, usual(200)])
    assert not judged(sizes).any()
    sizes = np.concatenate([usual(200), [1e7] * (SIZES_KEPT - 1), usual(200)])
    assert judged(sizes).sum() == SIZES_KEPT - 1


def test_contracts_are_judged_by_their_own():
    rows = np.concatenate([prints(usual(100)), prints(usual(100) * 1e6, instrument=1)])
    assert not Sizes(1000.0).absurd(rows, np.ones(len(rows), bool)).any()


def test_what_was_refused_is_not_what_others_are_judged_by():
    band = Sizes(1000.0)
    for k in range(4):
        rows = prints(np.append(usual(100, k), 1e7 * (k + 1)))
        assert np.flatnonzero(band.absurd(rows, np.ones(len(rows), bool))).tolist() == [100]


@pytest.mark.parametrize("kind", [Kind.TRADE, Kind.LIQUIDATION])
def test_an_import_refuses_and_counts_it(kind):
    from liqshell.formats.validate import Block

    found = Findings("some.csv")
    validator = Validator(found, Limits())
    rows = prints(np.append(usual(200), 1e7), kind)
    out = np.concatenate([*validator.push(Block(rows, 2)), *validator.finish()])
    assert len(out) == 200 and out["qty"].max() < 1e7
    assert found.counts == {"quantity more than 1000 times the largest of its contract": 1} and "some.csv:202" in found.shown[0]
    kept = Findings("run")
    validator = Validator(kept, Limits(), faithful=True)
    assert len(np.concatenate([*validator.push(Block(rows, 2)), *validator.finish()])) == 201 and sum(kept.counts.values()) == 1


CAPTURES = (
    "liq-okx-hyperliquid",
    "liq-binance-btcusdt-2024-12",
    "liq-3venue-ethusdt-2026-04",
    "liq-binance-allmarket-2024-08",
    "liq-hyperliquid-2023",
    "liq-hyperliquid-oct10-2025",
    "liq-aster-2025-10",
    "liq-binance-bursts-2023-01",
    pytest.param("market-hftbacktest-binance-2024-08", marks=pytest.mark.slow),
    "market-bybit-v5-rawws-2026-08",
    "market-cryptofeed-rawws-2021",
)


@pytest.mark.parametrize("folder", CAPTURES)
def test_no_print_of_a_capture_is_refused(folder):
    """Real markets, cascades among them: their largest prints pass."""
    data = DATA / folder
    if not data.is_dir():
        pytest.skip(f"{data} is not here")
    rows = 0
    for file in sorted(path for path in data.rglob("*") if path.is_file() and path.stat().st_size > 2000):
        try:
            with formats.read(file) as reading:
                rows += sum(len(events) for *_, events in reading)
                refused = {reason: count for reason, count in reading.counts.items() if reason.startswith("quantity more than")}
        except DataError:
            continue
        assert not refused, (file, refused, reading.shown)


# ---- detect


def test_detect_makes_no_signal_of_it(tmp_path: Path, capsys):
    """One row of 1e7 ETH made an ACTIVE cascade of $25bn: in a table and in frames it is refused, counted and named, and the rest is as without it."""
    sizes = usual(400)

    def lines(sizes):
        return ["ts_ms,symbol,position,price,qty_base,notional_usd"] + [f"{1_772_452_800_000 + 700 * n},ETHUSDT,long,{ETH},{q},0" for n, q in sizes]

    def frames(sizes):
        return [
            json.dumps(
                {
                    "topic": "allLiquidation.ETHUSDT",
                    "type": "snapshot",
                    "ts": 1_772_452_800_000 + 700 * n,
                    "data": [{"T": 1_772_452_800_000 + 700 * n, "s": "ETHUSDT", "S": "Buy", "v": str(q), "p": str(ETH)}],
                }
            )
            for n, q in sizes
        ]

    clean, dirty = list(enumerate(sizes)), [*list(enumerate(sizes))[:300], (300, 1e7), *list(enumerate(sizes))[301:]]
    for make, name in ((lines, "t.csv"), (frames, "f.jsonl")):
        (tmp_path / name).write_text("\n".join(make(clean[:300] + clean[301:])) + "\n")
        assert main(["detect", str(tmp_path / name)]) == 0
        without = capsys.readouterr().out
        (tmp_path / name).write_text("\n".join(make(dirty)) + "\n")
        assert main(["detect", str(tmp_path / name)]) == 0
        found = capsys.readouterr()
        assert found.out == without != "" and max(json.loads(line)["long_notional"] for line in found.out.splitlines()) < 1e9
        assert "refused quantities: 1: more than 1000 times the largest of their contract, the first: ETHUSDT 1e+07 at 2500" in found.err


# ---- the live door: what the venue declares


def live_engine(max_qty=None):
    return Engine(
        [Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.01", max_qty=max_qty)],
        CascadeConfig(warmup=1, min_events=1, window_events=2, floor=1000.0),
    )


def liquidate(engine, qty, at=1):
    """Whether the door lets it in."""
    before = engine.events
    engine.on_liquidation(T0 + at, T0 + at, 0, LONG, ETH, qty)
    return engine.events > before


def test_the_door_knows_the_largest_order():
    """maxOrderQty of Bybit's ETHUSDT is some thousand. A forced order is filled in parts, so a hundred times that still passes."""
    engine = live_engine(max_qty=724)
    assert liquidate(engine, 72_400.0) and not engine.refused
    assert not liquidate(engine, 1e7, 2) and engine.refused == {Reason.BAD_QTY: 1}
    assert liquidate(live_engine(), 1e6), "of a contract that declares nothing nothing is known here"


# ---- an engine alone


def test_an_engine_alone_takes_what_the_shell_refuses():
    """docs/engine.md says so, and offers these two ways."""
    rows = prints(np.append(1.0 + np.arange(150) % 7, 1e7))
    rows["ts_event"][150] = rows["ts_recv"][150] = T0 + 200 * SECOND
    config = CascadeConfig(quantile=0.95, window_s=60)
    assert max(signal.notional for signal in Engine(["ETHUSDT"], config).run(rows)) > 2.5e10
    absurd = formats.Sizes().absurd(rows)
    assert np.flatnonzero(absurd).tolist() == [150]
    for engine, given in ((Engine(["ETHUSDT"], config), rows[~absurd]), (Engine([Instrument("ETHUSDT", max_qty=724)], config), rows)):
        assert all(signal.notional < 1e6 for signal in engine.run(given))


def test_sizes_look_at_prints_only():
    rows = prints(np.append(usual(100), [1e7, 1e7, 1e7]))
    rows["kind"][101] = int(Kind.TICKER)
    good = np.ones(len(rows), bool)
    good[102] = False
    assert np.flatnonzero(formats.Sizes().absurd(rows, good)).tolist() == [100]
