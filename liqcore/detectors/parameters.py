"""The settings of detectors: one table for each kind, used for the constructor's checks, its errors and docs/detectors.md."""

from collections.abc import Iterable
from typing import Any, NamedTuple


class Parameter(NamedTuple):
    """One setting: its name, default, smallest and largest value, unit, meaning, and the choices of a text. A default of type int accepts whole
    numbers, of type float any number from low to high, of type str one of `choices`."""

    name: str
    default: float | str
    low: float
    high: float
    unit: str
    meaning: str
    choices: tuple[str, ...] = ()

    @property
    def accepts(self) -> str:
        """The accepted values, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        low, high = (f"{x:g}" if float(f"{x:g}") == x else repr(x) for x in (self.low, self.high))
        what = f"{'a whole number ' if isinstance(self.default, int) else ''}{low} to {high}"
        return f"{what} ({self.unit})" if self.unit else what


for _name, _text in {
    "name": "Name of the keyword.",
    "default": "Value that is used unless another is given; its type is that of the setting.",
    "low": "Smallest value, in `unit`.",
    "high": "Largest value, in `unit`.",
    "unit": "Unit of the value, '' = none.",
    "meaning": "What the value is, in one line.",
    "choices": "The accepted texts, () = a number.",
}.items():
    getattr(Parameter, _name).__doc__ = _text
Table = tuple[Parameter, ...]


def resolve_parameters(kind: str, table: Table, given: dict[str, Any]) -> dict[str, Any]:
    """The values of all parameters, or their defaults. ValueError names the parameter, its accepted values and the given one."""
    known = {p.name: p for p in table}
    for name in given:
        if name not in known:
            raise ValueError(f"detector {kind}: no parameter is called {name!r}; expected {', '.join(known) or 'none'}")
    out = {}
    for p in table:
        value = given.get(p.name, p.default)
        if p.choices:
            good = value in p.choices
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool) and p.low <= value <= p.high
            good = number and (not isinstance(p.default, int) or int(value) == value)
        if not good:
            raise ValueError(f"detector {kind}, {p.name}: expected {p.accepts}, got {value!r}")
        out[p.name] = value if p.choices else type(p.default)(value)
    return out


def own_table(kind: str, rows: Any) -> Table:
    """PARAMETERS of a user's class. ValueError names the row that is no Parameter, or whose name cannot be used."""
    table, taken = tuple(rows) if isinstance(rows, Iterable) else (rows,), {"kind", "name", "sha256"}
    for row in table:
        if not isinstance(row, Parameter):
            raise ValueError(f"detector {kind}, PARAMETERS: expected rows of liqcore.Parameter, got {row!r}")
        if row.name in taken:
            raise ValueError(f"detector {kind}, PARAMETERS: expected each name once, and not kind, name or sha256, got {row.name!r}")
        taken.add(row.name)
    return table


def power_of_two(kind: str, name: str, values: dict[str, Any]) -> None:
    """ValueError unless the value of `name` is a power of two, because rings are indexed by a mask."""
    if values[name] & (values[name] - 1):
        above = 1 << values[name].bit_length()
        raise ValueError(f"detector {kind}, {name}: expected a power of two, such as {above // 2} or {above}, got {values[name]}")
