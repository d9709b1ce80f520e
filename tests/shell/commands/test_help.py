"""help() of everything public says what it is: liqcore.__all__, and the attributes and methods of its classes."""

import enum
import inspect

import pytest

import liqcore as lc

# values, not things with a docstring; a tuple's own methods; class attributes that the class docstring explains
NOT_ASKED = {("Policy", "detectors"), ("Policy", "features"), ("Policy", "symbols")}


def says(thing: object, name: str) -> bool:
    """Whether a docstring says more than the signature that Cython writes at its head."""
    lines = (getattr(thing, "__doc__", None) or "").strip().splitlines()
    if lines and (lines[0].split("(")[0].rpartition(".")[2] == name or lines[0].partition(":")[0].rpartition(".")[2] == name):
        lines = lines[1:]
    return bool("".join(lines).strip())


def members(cls: type) -> list[str]:
    return [name for name in dir(cls) if not name.startswith("_") and not (issubclass(cls, tuple) and name in dir(tuple))]


@pytest.mark.parametrize("name", [name for name in lc.__all__ if callable(getattr(lc, name))])
def test_it_has_a_docstring(name):
    thing = getattr(lc, name)
    assert says(thing, name) and thing.__doc__ != getattr(enum.IntEnum, "__doc__", None), name
    if not inspect.isclass(thing) or issubclass(thing, enum.Enum):
        return
    silent = [m for m in members(thing) if (name, m) not in NOT_ASKED and not says(inspect.getattr_static(thing, m), m)]
    assert not silent, f"{name}: without a docstring: {', '.join(silent)}"


@pytest.mark.parametrize("cls", [lc.Signal, lc.Market, lc.Request, lc.Instrument, lc.Account])
def test_a_field_says_its_unit(cls):
    """Prices and notionals say quote currency, times say ns."""
    for name in members(cls):
        told = inspect.getattr_static(cls, name).__doc__
        if name.startswith("ts") or name == "now":
            assert "ns" in told, (cls, name)
        elif (
            "notional" in name or name in ("price", "bid", "ask", "mark", "last", "stop", "index", "equity", "threshold") and cls is not lc.Instrument
        ):
            assert "quote currency" in told or "otional" in told, (cls, name, told)
