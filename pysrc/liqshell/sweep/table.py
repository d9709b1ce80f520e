"""The results of a sweep as one columnar table, and statistics of it beyond the best cell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from liqshell import private
from liqshell.arrow_column import arrow_column
from liqshell.config.study_sections import Setting
from liqshell.fields import SCALE
from liqshell.report.statistics import CLUSTERS_MIN, FEW, t_quantile

ALL = "ALL"  # the symbol of the rows that sum over symbols
FRACTIONS = {"policy.entry_offset", "policy.take_profit", "policy.stop_loss", "policy.trail", "detector.quantile", "detector.fall"}
DAY_ROOT = 365.0**0.5
#: sums over symbols; what is not listed is a largest value
SUMMED = (
    "signals",
    "refused_open",
    "refused_cooldown",
    "refused_data",
    "refused_risk",
    "entries",
    "filled",
    "trades",
    "wins",
    "targets",
    "stops",
    "max_holds",
    "phases",
    "others",
    "unfilled_ttl",
    "unfilled_post_only",
    "unfilled_other",
    "entry_makers",
    "hold_ns",
    "gross",
    "fees",
    "net",
    "net_squares",
    "notional",
)


def shown(name: str, value: Any) -> Any:
    """A parameter in the units of the configuration file: 150000 -> 0.0015."""
    return value / SCALE if name in FRACTIONS else float(value) if isinstance(value, Decimal) else value


def columns(results: Sequence[tuple[str, np.ndarray]], settings: Sequence[Setting], whole: np.ndarray) -> dict[str, np.ndarray]:
    """One row per symbol and setting, then the sums over symbols (where there are several).

    results: (symbol, rows of work.kept_dtype() in the order of the settings). whole: which of their days are whole ones.
    """
    blocks = [(symbol, _fields(rows)) for symbol, rows in results]
    daily = [rows["daily"] for _, rows in results]
    if len(blocks) > 1:
        together = {name: np.sum([b[name] for _, b in blocks], axis=0) for name in SUMMED}
        blocks.append((ALL, {name: together[name] if name in together else np.full(len(settings), np.nan) for name in blocks[0][1]}))
        daily.append(np.sum(daily, axis=0))
    named = [s.named for s in settings]
    out: dict[str, np.ndarray] = {"symbol": np.repeat(np.array([symbol for symbol, _ in blocks]), len(settings))}
    for name in named[0] if named else ():
        out[name] = np.tile(np.array([shown(name, own[name]) for own in named]), len(blocks))
    for name in blocks[0][1]:
        out[name] = np.concatenate([b[name] for _, b in blocks])
    return out | _derived(out, np.concatenate(daily), whole)


def _fields(rows: np.ndarray) -> dict[str, np.ndarray]:
    names = rows.dtype.names
    assert names is not None
    return {name: rows[name] for name in names if not name.startswith("open_") and name not in ("lost", "days", "runaways", "daily")} | {
        "left_open": (rows["open_lots"] != 0).astype(np.int64)
    }


def _derived(t: Mapping[str, np.ndarray], daily: np.ndarray, whole: np.ndarray) -> dict[str, np.ndarray]:
    """daily: net result of each UTC day, (rows, days). The interval of net and its t are by day, because trades of one cascade share one price path:
    every piece of a day is a cluster. There is none below FEW trades or CLUSTERS_MIN days with a result. The Sharpe ratio is of whole days."""
    days = daily.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        n = t["trades"].astype(float)
        mean = daily.mean(axis=1)
        spread = daily.std(axis=1, ddof=1) if days > 1 else np.full(len(n), np.nan)
        counted = daily[:, whole]
        deviation = counted.std(axis=1, ddof=1) if counted.shape[1] > 1 else np.full(len(n), np.nan)
        enough = (n >= FEW) & ((daily != 0.0).sum(axis=1) >= CLUSTERS_MIN)
        half = np.where(enough, t_quantile(days - 1) * spread * math.sqrt(days), np.nan)
        return {
            "win_rate": t["wins"] / n,
            "mean_bps": t["net"] / (t["notional"] / 2.0) * 1e4,
            "hold_s": t["hold_ns"] / n / 1e9,
            "net_low": t["net"] - half,
            "net_high": t["net"] + half,
            "net_t": np.where(enough, mean / spread * math.sqrt(days), np.nan),
            "sharpe": np.where(deviation > 0.0, counted.sum(axis=1) / max(1, counted.shape[1]) / deviation * DAY_ROOT, np.nan),
        }


def best(table: Mapping[str, np.ndarray], objective: str, symbol: str) -> np.ndarray:
    """Rows of a symbol, best first; rows without a value last. Equal values keep the order of the grid."""
    rows = np.flatnonzero(table["symbol"] == symbol)
    value = table[objective][rows]
    return rows[np.argsort(np.where(np.isfinite(value), -value, np.inf), kind="stable")]


def neighbours(settings: Sequence[Setting], axes: Mapping[str, tuple[Any, ...]], at: int) -> list[int]:
    """Settings that differ from setting `at` by one step of one parameter. The grid is a full product in the order of its axes."""
    sizes = [len(values) for values in axes.values()]
    place = np.unravel_index(at, sizes) if sizes else ()
    out = []
    for k, size in enumerate(sizes):
        for step in (-1, 1):
            if 0 <= place[k] + step < size:
                moved = list(place)
                moved[k] += step
                out.append(int(np.ravel_multi_index(moved, sizes)))
    return out


def write_parquet(table: Mapping[str, np.ndarray], path: Path, about: Mapping[str, str]) -> None:
    """The table as Parquet: the same results give the same file, byte for byte."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.table({name: arrow_column(column) for name, column in table.items()})
    made = made.replace_schema_metadata({f"liqcore.{key}": value for key, value in sorted(about.items())})
    temporary = path.with_suffix(".new")
    with private.opened(temporary, "wb") as out:
        pq.write_table(made, out, compression="zstd")
    temporary.replace(path)
