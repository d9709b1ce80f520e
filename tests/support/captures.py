"""The recorded liquidations of ../shared/data (or LIQCORE_DATA) as streams: one per file and symbol, ordered by time."""

import csv
import gzip
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from liqcore import EVENT_DTYPE, Instrument
from liqcore.event import Kind

DATA = Path(os.environ.get("LIQCORE_DATA") or Path(__file__).parents[2].parent / "shared" / "data")
ABSENT = f"the market data captures are not here ({DATA}); set LIQCORE_DATA to their folder"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=ABSENT)
SIDES = {"long": 1, "short": -1}


@dataclass(frozen=True)
class Stream:
    name: str
    symbol: str
    ts: np.ndarray  # ns
    side: np.ndarray  # +1 long, -1 short
    price: np.ndarray
    qty: np.ndarray
    notional: np.ndarray

    def instrument(self) -> Instrument:
        return Instrument(self.symbol, tick_size="0.01" if self.price.max() > 10_000 else "0.000001")

    def events(self, instrument: int = 0, stated: bool = True) -> np.ndarray:
        """As engine events; stated: with the notional of the file, else the engine computes quantity x price."""
        out = np.zeros(len(self.ts), EVENT_DTYPE)
        out["ts_event"] = out["ts_recv"] = self.ts
        out["price"], out["qty"], out["side"] = self.price, self.qty, self.side
        out["aux_price"] = self.notional if stated else 0.0
        out["instrument"] = instrument
        out["kind"] = Kind.LIQUIDATION
        return out


def rows_of(path: Path) -> list[dict]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


@cache
def streams() -> tuple[Stream, ...]:
    """Every capture with ts_ms, position and price. Where the position is unknown upstream the sides alternate: the detector must not care."""
    out = []
    for path in sorted(DATA.glob("*/*.csv*")) if DATA.is_dir() else ():
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
            columns = file.readline().strip().split(",")
        if not {"ts_ms", "position", "price", "qty_base"} <= set(columns):
            continue
        by_symbol: dict[str, list[dict]] = {}
        for row in rows_of(path):
            by_symbol.setdefault(row["symbol"], []).append(row)
        for symbol, rows in sorted(by_symbol.items()):
            rows.sort(key=lambda row: int(row["ts_ms"]))
            out.append(
                Stream(
                    path.parent.name,
                    symbol,
                    np.array([int(row["ts_ms"]) for row in rows]) * 1_000_000,
                    np.array([SIDES.get(row["position"], 1 - 2 * (n % 2)) for n, row in enumerate(rows)]),
                    np.array([float(row["price"]) for row in rows]),
                    np.array([float(row["qty_base"]) for row in rows]),
                    np.array([float(row["notional_usd"]) for row in rows]),
                )
            )
    return tuple(out)


def large_streams(least: int = 200) -> list[Stream]:
    return [stream for stream in streams() if len(stream.ts) >= least]


def market(stream_list) -> tuple[list[Instrument], np.ndarray]:
    """Several streams as one feed: instruments, and the events in order of receipt."""
    events = np.concatenate([stream.events(n) for n, stream in enumerate(stream_list)])
    return [stream.instrument() for stream in stream_list], events[np.argsort(events["ts_recv"], kind="stable")]
