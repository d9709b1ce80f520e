"""Files for the tests of the store: events of some contracts as .npz, their reader, and a seeded market to fill them with."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np

from liqcore.event import EVENT_DTYPE, Kind
from liqshell.recording.streams import Held

T0 = 1_770_595_200_000_000_000  # 2026-02-09 00:00 UTC
DAY = 86_400_000_000_000
HOUR = 3_600_000_000_000
SECOND = 1_000_000_000
ORDER = {Kind.FEED: 0, Kind.TRADE: 1, Kind.BBO: 2, Kind.TICKER: 3, Kind.LIQUIDATION: 4}


class Reading:
    """One .npz: arrays named venue~symbol."""

    format = "npz"
    received = "recorded"
    notes = ()
    rules = {}

    chunk = 500

    def __init__(self, path: Path):
        self._path, self.counts = path, {}

    def __enter__(self):
        return self

    def __exit__(self, *why):
        pass

    def __iter__(self):
        with np.load(self._path) as arrays:
            for name in arrays:
                venue, symbol = name.split("~")
                rows = arrays[name]
                for start in range(0, len(rows), self.chunk):
                    yield venue, symbol, rows[start : start + self.chunk]


def opener(path: Path) -> Reading:
    return Reading(path)


def save(path: Path, contracts: dict[str, np.ndarray]) -> Path:
    """contracts: "venue~symbol" -> events."""
    np.savez(path, **contracts)
    return path.with_suffix(".npz") if path.suffix != ".npz" else path


def market(rows: int, seed: int = 0, start: int = T0, span: int = DAY, step_ns: int = 1_000_000, price: float = 2000.0) -> np.ndarray:
    """Events of one contract in order of receipt; several share a moment where rows are many for `span / step_ns`. Ids rise, so that rows differ."""
    rng = np.random.default_rng(seed)
    out = np.zeros(rows, EVENT_DTYPE)
    out["ts_recv"] = start + np.sort(rng.integers(0, span // step_ns, rows)) * step_ns
    out["ts_event"] = out["ts_recv"] - 7_000_000
    out["kind"] = rng.choice([Kind.TRADE, Kind.BBO, Kind.LIQUIDATION, Kind.TICKER], rows, p=[0.5, 0.4, 0.07, 0.03])
    mid = round(price * 100) + np.cumsum(rng.integers(-2, 3, rows))
    out["price"] = mid / 100
    out["qty"] = rng.integers(1, 5000, rows) / 1000
    out["id"] = np.arange(1, rows + 1) + 10_000_000 * seed
    sided = np.isin(out["kind"], [Kind.TRADE, Kind.LIQUIDATION])
    out["side"][sided] = rng.choice([-1, 1], sided.sum())
    book, ticker, forced = (out["kind"] == k for k in (Kind.BBO, Kind.TICKER, Kind.LIQUIDATION))
    out["aux_price"][book] = (mid[book] + 1) / 100
    out["aux_qty"][book] = rng.integers(1, 5000, book.sum()) / 1000
    out["aux_price"][ticker] = out["price"][ticker]
    out["aux_qty"][ticker] = 1e-4
    out["aux_price"][forced] = np.where(rng.random(forced.sum()) < 0.5, 0.0, out["price"][forced] * out["qty"][forced])
    return out


def entering(events: np.ndarray) -> np.ndarray:
    """In the order in which a store hands them to the engine."""
    rank = np.array([ORDER[k] for k in events["kind"]])
    return events[np.lexsort((rank, events["ts_recv"]))]


def digest(root: Path) -> dict[str, str]:
    """Every file of a store that is data, and the catalogue's tables: what two equal stores have in common."""
    out = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.suffix in (".parquet", ".strip")
    }
    with sqlite3.connect(root / "catalogue.sqlite") as base:
        for table in ("about", "sources", "partitions", "origins", "rules", "refused", "moves"):
            out[table] = str(sorted(base.execute(f"select * from {table}")))
    base.close()
    return out


def partitions(root: Path) -> dict[tuple[str, ...], str]:
    """Fingerprints of the content alone."""
    from liqshell import store

    return {(k.venue, k.symbol, k.kind, k.day): c.fingerprint for k, c in store.open(root).catalogue.partitions().items()}


def by_hour(found: Held) -> list[float]:
    """The share of each hour of UTC in which a stream held, from that of its start on; of the first and last the part inside."""
    first, last = found.start // HOUR, -(-found.end // HOUR)
    edges = np.clip(np.arange(first, last + 1) * HOUR, found.start, found.end)
    until = np.concatenate([[0], np.cumsum(found.held[:, 1] - found.held[:, 0])])
    at = np.searchsorted(found.held[:, 0], edges, "right")
    cut = np.where(at > 0, np.maximum(0, found.held[np.maximum(at, 1) - 1, 1] - edges) if len(found.held) else 0, 0)
    held, whole = np.diff(until[at] - cut), np.diff(edges)
    return np.divide(held, whole, out=np.zeros(len(held)), where=whole > 0).tolist()
