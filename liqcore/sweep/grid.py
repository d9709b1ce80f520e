"""The settings of a sweep: one row a setting, the terms of a Bracket as integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

SCALE = 100_000_000
HALF = SCALE // 2
LIMIT, MARKET = 1, 2
ENTRIES = {"post_only": LIMIT, "market": MARKET}

GRID_DTYPE = np.dtype(
    [
        ("entry_type", "i8"),
        ("entry_offset", "i8"),
        ("take_profit", "i8"),
        ("stop_loss", "i8"),
        ("trail", "i8"),
        ("entry_ttl_ns", "i8"),
        ("max_hold_ns", "i8"),
        ("cooldown_ns", "i8"),
        ("exit_phase", "i8"),
        ("requotes", "i8"),
        ("notional", "f8"),
    ]
)
DEFAULTS = {
    "entry": "post_only",
    "entry_offset": 0,
    "take_profit": 0,
    "stop_loss": None,
    "trail": 0,
    "entry_ttl_s": 1800,
    "max_hold_s": 1800,
    "cooldown_s": 300,
    "exit_phase": 0,
    "requotes": 0,
    "notional": None,
}


def _fraction(name: str, value: object) -> int:
    """A fraction of price such as 0.0015 as an exact count of 1e-8, by the rule of Bracket."""
    try:
        scaled = Decimal(repr(value) if isinstance(value, float) else str(value)) * SCALE
    except InvalidOperation:
        scaled = Decimal("nan")
    if not scaled.is_finite() or scaled != scaled.to_integral_value() or not 0 <= scaled <= HALF:
        raise ValueError(f"{name}: expected a fraction from 0 to 0.5 with at most 8 decimals (0.0015 = 0.15 %), got {value!r}")
    return int(scaled)


def _seconds(name: str, value: object) -> int:
    try:
        ns = round(float(value) * 1e9)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        ns = -1
    if not 0 <= ns <= 10**17:
        raise ValueError(f"{name}: expected seconds from 0 to 1e8, got {value!r}")
    return ns


def _cell(name: str, value: object) -> tuple[str, int | float]:
    """An option of Bracket -> (column, value of the column)."""
    if name == "entry":
        if value not in ENTRIES:
            raise ValueError(f"entry: expected 'post_only' or 'market', got {value!r}")
        return "entry_type", ENTRIES[value]
    if name.endswith("_s"):
        return name[:-2] + "_ns", _seconds(name, value)
    if name in ("exit_phase", "requotes"):
        return name, int(value)  # type: ignore[call-overload, unused-ignore]
    if name == "notional":
        return name, float(value)  # type: ignore[arg-type]
    return name, _fraction(name, value)


def _check_names(names: Set[str]) -> None:
    unknown = sorted(names - DEFAULTS.keys())
    if unknown:
        raise ValueError(f"grid: unknown option {', '.join(unknown)}; expected {', '.join(DEFAULTS)}")
    for name in ("stop_loss", "notional"):
        if name not in names:
            raise ValueError(f"grid: {name} is required")


class Grid:
    """Bracket settings to try, one in each row: an array of GRID_DTYPE.

    Columns: entry_type (OrderType: limit = post-only, or market); entry_offset, take_profit, stop_loss, trail (integers of 1e-8 of price);
    entry_ttl_ns, max_hold_ns, cooldown_ns; exit_phase (Phase, 0 = stay); requotes (0-3); notional (quote currency). liqcore.Bracket defines their
    meaning and valid values; the side is the signal's. ValueError names the first invalid row.
    """

    def __init__(self, rows):
        rows = np.atleast_1d(np.array(rows))
        if rows.dtype != GRID_DTYPE or rows.ndim != 1:
            raise ValueError(f"grid: expected a one-dimensional array of GRID_DTYPE, got {rows.dtype} of shape {rows.shape}; see Grid.product")
        self.rows = rows
        self._check()

    @classmethod
    def product(cls, **values: Any) -> Grid:
        """Every combination, the last-named option varying fastest. Options and units are those of Bracket: entry, entry_offset, take_profit,
        stop_loss (required), trail, entry_ttl_s, max_hold_s, cooldown_s, exit_phase, requotes, notional (required); each is one value or a list."""
        _check_names(values.keys())
        given = dict(values) | {name: value for name, value in DEFAULTS.items() if name not in values}
        axes = {}
        for name, value in given.items():
            cells = [_cell(name, v) for v in (value if isinstance(value, list | tuple | range | np.ndarray) else [value])]
            if not cells:
                raise ValueError(f"grid: {name} is an empty list")
            axes[cells[0][0]] = [cell for _, cell in cells]
        rows = np.zeros(int(np.prod([len(cells) for cells in axes.values()])), GRID_DTYPE)
        for column, spread in zip(axes, np.meshgrid(*[np.array(cells) for cells in axes.values()], indexing="ij"), strict=True):
            rows[column] = spread.ravel()
        return cls(rows)

    @classmethod
    def of(cls, settings: Iterable[Mapping[str, Any]]) -> Grid:
        """One row for each mapping of `settings`, with the options of `product` as single values."""
        given = list(settings)
        if not given:
            raise ValueError("grid: expected at least one setting")
        for names in {frozenset(setting) for setting in given}:
            _check_names(names)
        rows = np.zeros(len(given), GRID_DTYPE)
        for name, default in DEFAULTS.items():
            known: dict[tuple[type, str], tuple[str, int | float]] = {}  # a value of many settings is parsed once
            column, cells = "", []
            for setting in given:
                value = setting.get(name, default)
                key = (type(value), repr(value))
                if key not in known:
                    known[key] = _cell(name, value)
                column, cell = known[key]
                cells.append(cell)
            rows[column] = cells
        return cls(rows)

    def _check(self) -> None:
        r = self.rows
        rules = (
            ("entry_type: expected 1 (post-only limit) or 2 (market)", (r["entry_type"] != LIMIT) & (r["entry_type"] != MARKET)),
            *(
                (f"{name}: expected 0 to {HALF} (half of the price)", (r[name] < 0) | (r[name] > HALF))
                for name in ("entry_offset", "take_profit", "trail")
            ),
            (f"stop_loss: expected 1 to {HALF}: no position without a stop", (r["stop_loss"] <= 0) | (r["stop_loss"] > HALF)),
            *((f"{name}: expected 1 to 1e17 ns", (r[name] <= 0) | (r[name] > 10**17)) for name in ("entry_ttl_ns", "max_hold_ns")),
            ("cooldown_ns: expected 0 to 1e17 ns", (r["cooldown_ns"] < 0) | (r["cooldown_ns"] > 10**17)),
            ("exit_phase: expected a Phase, 0 to 4", (r["exit_phase"] < 0) | (r["exit_phase"] > 4)),
            ("requotes: expected 0 to 3", (r["requotes"] < 0) | (r["requotes"] > 3)),
            ("notional: expected an amount above 0 and below 1e15", ~((r["notional"] > 0.0) & (r["notional"] < 1e15))),
        )
        for text, bad in rules:
            if bad.any():
                at = int(np.argmax(bad))
                raise ValueError(f"grid, row {at}: {text}, got {r[text.split(':')[0]][at]}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, n: Any) -> Grid:
        """A part of the grid: Grid for an index, a slice or an array of indices."""
        return Grid(self.rows[n])

    def setting(self, n: int) -> Mapping[str, object]:
        """The options of Bracket in row n (fractions as exact text)."""
        row = self.rows[n]
        out: dict[str, object] = {"entry": "post_only" if row["entry_type"] == LIMIT else "market"}
        for name in ("entry_offset", "take_profit", "stop_loss", "trail"):
            out[name] = f"{int(row[name])}e-8"
        for name in ("entry_ttl", "max_hold", "cooldown"):
            out[name + "_s"] = int(row[name + "_ns"]) / 1e9
        return out | {"exit_phase": int(row["exit_phase"]), "requotes": int(row["requotes"]), "notional": float(row["notional"])}
