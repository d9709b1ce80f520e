"""Strict decoding of parsed TOML into frozen dataclasses: every field states its range, every fault is reported, at once.

A section is a frozen dataclass whose fields are made by the functions below; a field whose type is such a dataclass is a sub-table.
`decode()` walks both together and collects problems instead of stopping at the first, because a person fixes a file, not a line.
"""

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from liqshell.errors import ConfigError
from liqshell.iso import written_ns
from liqshell.log import MASK, holds_secret, redact, redact_value

SCALE = 100_000_000  # as in liqcore/instrument.pxd: fractions are integers in units of 1e-8


@dataclass(frozen=True)
class Rule:
    """The values of one field. `read` returns the value as it is kept, or raises ValueError; `expected` completes 'expected ...'; `schema` says in
    JSON Schema what can be said there of the values."""

    expected: str
    read: Callable[[Any], Any]
    schema: Mapping[str, Any]


class Complaint(ValueError):
    """Raised by a Rule whose complaint needs other words than its `expected`."""


def _decimal(value: Any) -> Decimal:
    # bool is an int in Python; true is not a number in TOML
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError
    return number


def _within(number: Any, low: Any, high: Any, above: bool) -> Any:
    if not (low < number if above else low <= number) or not number <= high:
        raise ValueError
    return number


def _range(low: str, high: str, above: bool) -> str:
    return f"above {low} and at most {high}" if above else f"from {low} to {high}"


def _make(rule: Rule, default: Any) -> Any:
    return field(default=None if default is None else rule.read(default), metadata={"rule": rule})


def _bounds(kind: str, low: float, high: float, above: bool) -> dict[str, Any]:
    return {"type": kind, "exclusiveMinimum" if above else "minimum": low, "maximum": high}


def matching(pattern: str) -> dict[str, Any]:
    """JSON Schema of a text that matches a pattern completely."""
    return {"type": "string", "pattern": f"^({pattern})$"}


def fraction(default: str | None, low: str, high: str, *, above: bool = False) -> Any:
    """A share such as 0.0015, kept exactly as an integer in units of 1e-8; at most 8 decimals. default None = not set."""

    def read(value: Any) -> int:
        scaled = _within(_decimal(value), Decimal(low), Decimal(high), above) * SCALE
        if scaled != scaled.to_integral_value():
            raise ValueError
        return int(scaled)

    expected = f"a fraction {_range(low, high, above)} with at most 8 decimals (0.0015 = 0.15 %)"
    return _make(Rule(expected, read, _bounds("number", float(low), float(high), above)), None if default is None else Decimal(default))


def number(default: float | None, low: float, high: float, unit: str, *, above: bool = False) -> Any:
    """A measured quantity, kept as the nearest double."""

    def read(value: Any) -> float:
        return float(_within(_decimal(value), Decimal(repr(low)), Decimal(repr(high)), above))

    rule = Rule(f"a number {_range(f'{low:g}', f'{high:g}', above)} ({unit})", read, _bounds("number", low, high, above))
    return field(default=None if default is None else float(default), metadata={"rule": rule})


def integer(default: int | None, low: int, high: int, unit: str = "") -> Any:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError
        return _within(value, low, high, False)

    return _make(Rule(f"a whole number from {low} to {high}" + (f" ({unit})" if unit else ""), read, _bounds("integer", low, high, False)), default)


def choice(default: str | None, *names: str) -> Any:
    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            near = difflib.get_close_matches(value, names, 1) if isinstance(value, str) else []
            raise Complaint(f"one of {', '.join(map(repr, names))}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return value

    return _make(Rule(f"one of {', '.join(map(repr, names))}", read, {"enum": list(names)}), default)


def flag(default: bool | None) -> Any:
    def read(value: Any) -> bool:
        if not isinstance(value, bool):
            raise ValueError
        return value

    return _make(Rule("true or false", read, {"type": "boolean"}), default)


def text(default: str | None, pattern: str, expected: str) -> Any:
    """Text that matches a pattern completely. The default need not (an unset text is '')."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError
        return value

    return field(default=default, metadata={"rule": Rule(expected, read, matching(pattern))})


def names(pattern: str, expected: str, *, most: int, word: str = "") -> Any:
    """A list of distinct names, kept as a tuple. word: may stand instead of a list, and is kept as a tuple of itself."""

    def read(value: Any) -> tuple[str, ...]:
        if word and value in (word, [word]):
            return (word,)
        if not isinstance(value, list) or not 1 <= len(value) <= most:
            raise ValueError
        if not all(isinstance(item, str) and re.fullmatch(pattern, item) for item in value):
            raise ValueError
        twice = sorted({item for item in value if value.count(item) > 1})
        if twice:
            raise Complaint(f"each name once; {', '.join(twice)} appears more than once")
        return tuple(value)

    several = {"type": "array", "items": matching(pattern), "minItems": 1, "maxItems": most, "uniqueItems": True}
    schema = {"anyOf": [several, {"const": word}]} if word else several
    return field(default=(), metadata={"rule": Rule(f"a list of 1 to {most} {expected}" + (f", or {word!r}" if word else ""), read, schema)})


def timestamp() -> Any:
    """A time as TOML writes it (2026-03-04, 2026-03-04T12:00:00Z) or as text, kept as ns UTC; 0 = not set."""

    def read(value: Any) -> int:
        if not isinstance(value, str | date):
            raise ValueError
        ns = written_ns(value if isinstance(value, str) else value.isoformat())
        if not 0 < ns < 2**62:
            raise ValueError
        return ns

    expected = 'a date or a time such as 2026-03-04 or "2026-03-04T12:00" (UTC), from 1970 to 2116'
    return field(default=0, metadata={"rule": Rule(expected, read, {"type": "string"})})  # as editors show TOML's dates


def paths(most: int) -> Any:
    """A list of files or folders."""

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= most or not all(isinstance(v, str) and v and "\0" not in v for v in value):
            raise ValueError
        return tuple(value)

    schema = {"type": "array", "minItems": 1, "maxItems": most, "items": {"type": "string", "minLength": 1}}
    return field(default=(), metadata={"rule": Rule(f"a list of 1 to {most} files or folders", read, schema)})


def tables(section: Any, pattern: str, expected: str) -> Any:
    """A table of named sub-tables, all of the same section type, or of what `plain_table` makes."""
    return field(default_factory=lambda: MappingProxyType({}), metadata={"section": section, "pattern": pattern, "expected": expected})


def written(one: "dataclasses.Field[Any]") -> Any:
    """The default of a field as a file would say it; None where there is none."""
    value = one.default
    if value is dataclasses.MISSING or value is None or value == "" or value == ():
        return None
    if one.metadata["rule"].schema == {"type": "string"}:  # a moment: 0 is not set
        return None
    if one.metadata["rule"].expected.startswith("a fraction") and isinstance(value, int):
        return value / SCALE
    return list(value) if isinstance(value, tuple) else value


def set_values(section: Any) -> dict[str, Any]:
    """The values of a section by key, fractions as numbers; without `parameters`, which have their own table."""
    out = {}
    for one in dataclasses.fields(section):
        value = getattr(section, one.name)
        if value is not None and "rule" in one.metadata and one.name != "parameters":
            out[one.name] = value / SCALE if one.metadata["rule"].expected.startswith("a fraction") else value
    return out


def table(section: type) -> Any:
    return field(default_factory=section, metadata={"section": section})


def plain_table(expected: str) -> Any:
    """A table of plain values whose keys are not known here (parameters of a rule, of a detector), kept as they were written; None = not set.
    The caller, who knows the keys, checks them."""

    def read(value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(map(_is_plain, value.values())):
            raise ValueError
        return MappingProxyType(dict(value))

    return field(default=None, metadata={"rule": Rule(f"a table of {expected}", read, {"type": "object"})})


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | Decimal | str) or isinstance(value, list) and all(map(_is_plain, value))


def plain(value: Any) -> Any:
    """A value of a parsed file as JSON knows it: decimals become the nearest doubles."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def shown(value: Any) -> str:
    """A found value as it is quoted in a message: as TOML would write it, short, and without what looks like a credential."""
    if isinstance(value, bool):
        out = str(value).lower()
    elif isinstance(value, Decimal):
        out = str(value)
    elif isinstance(value, Mapping):
        out = "a table"
    elif isinstance(value, list):
        out = f"[{', '.join(map(shown, value))}]"
    elif isinstance(value, date | time):
        out = value.isoformat()
    else:
        out = repr(value)
    out = redact(out)
    return out if len(out) <= 80 else out[:77] + "..."


# a secret as venues make them: random letters and digits of both cases, of the lengths that are in use
_RANDOM = re.compile(r"(?=[^0-9]*[0-9])(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])(?:[A-Za-z0-9]{36}|[A-Za-z0-9]{40}|[A-Za-z0-9]{64})", re.ASCII)


def credentials(found: Mapping[str, Any], file: str, path: str = "") -> list[ConfigError]:
    """A problem for everything in a parsed file that is named or looks like a credential; none of them shows it."""
    out: list[ConfigError] = []
    for key, value in found.items():
        here = f"{path}.{key}" if path else key
        if _RANDOM.fullmatch(key):
            here = f"{path}.{MASK}" if path else MASK
        if isinstance(value, Mapping):
            out += credentials(value, file, here)
        elif redact_value(key, "") == MASK or any(map(_secret_like, value if isinstance(value, list) else [value])):
            out.append(
                ConfigError(
                    f"{file}: {here}",
                    "a value that looks like a credential (not shown)",
                    "no key, secret or token in a configuration",
                    "Set LIQCORE_API_KEY and LIQCORE_API_SECRET in the environment or use the keyring. Replace the key at the venue, "
                    "because this one was in a file",
                )
            )
    return out


def _secret_like(value: Any) -> bool:
    return isinstance(value, str) and (bool(_RANDOM.fullmatch(value)) or holds_secret(value))


def decode(section: type, found: Any, file: str, path: str, problems: list[ConfigError]) -> Any:
    """Build `section` from a parsed table. Problems are added to `problems`; a field with a problem keeps its default."""
    if not isinstance(found, Mapping):
        problems.append(ConfigError(f"{file}: {path}", f"found {shown(found)}", "a table", f"Write it as [{path}]"))
        return section()
    fields = {f.name: f for f in dataclasses.fields(section) if f.init and f.metadata}
    values: dict[str, Any] = {}
    for key, value in found.items():
        here = f"{path}.{key}" if path else key
        known = fields.get(key)
        if known is None:
            problems.append(_unknown(file, here, key, list(fields)))
        elif "pattern" in known.metadata:
            values[key] = _named(known.metadata, value, file, here, problems)
        elif "section" in known.metadata:
            values[key] = decode(known.metadata["section"], value, file, here, problems)
        else:
            rule: Rule = known.metadata["rule"]
            try:
                values[key] = rule.read(value)
            except Complaint as why:
                problems.append(ConfigError(f"{file}: {here}", f"found {shown(value)}", str(why)))
            except (ValueError, InvalidOperation):
                problems.append(ConfigError(f"{file}: {here}", f"found {shown(value)}", rule.expected))
    return section(**values)


#: keys of earlier versions, and what takes their place
GONE = {
    "judge.without_news": "Remove it. The policy states what each grade of the news gives: trend by its matrix; others enter without news unless "
    '[policy] without_news = "don\'t enter"'
}


def _unknown(file: str, here: str, key: str, known: list[str]) -> ConfigError:
    if here in GONE:
        return ConfigError(f"{file}: {here}", "a key that no longer exists", "", GONE[here])
    near = difflib.get_close_matches(key, known, 1, 0.5)
    action = f"Did you mean {near[0]!r}?" if near else "Known here: " + ", ".join(known)
    return ConfigError(f"{file}: {here}", "unknown key", "", action)


def _named(metadata: Mapping[str, Any], found: Any, file: str, path: str, problems: list[ConfigError]) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        problems.append(ConfigError(f"{file}: {path}", f"found {shown(found)}", f"tables named by {metadata['expected']}"))
        return MappingProxyType({})
    out = {}
    for name, inner in found.items():
        if not re.fullmatch(metadata["pattern"], name):
            problems.append(ConfigError(f"{file}: {path}.{name}", f"found the name {name!r}", metadata["expected"]))
            continue
        section = metadata["section"]
        if isinstance(section, type):
            out[name] = decode(section, inner, file, f"{path}.{name}", problems)
            continue
        try:
            out[name] = section.metadata["rule"].read(inner)
        except ValueError:
            problems.append(ConfigError(f"{file}: {path}.{name}", f"found {shown(inner)}", section.metadata["rule"].expected))
    return MappingProxyType(out)
