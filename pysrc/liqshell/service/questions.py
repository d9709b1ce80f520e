"""The checked content of a request: names of features, contracts, times. Each fault is a Problem that names the correct form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqcore.features.spec import ALIASES, TRANSFORMS, nanoseconds, parse, split_names
from liqcore.features.table import ENTRIES
from liqshell.errors import ConfigError
from liqshell.research.feature_rows import parse_time
from liqshell.service.problems import Problem
from liqshell.service.sources import Dataset

NAMES_MAX = 64
ROWS_MAX = 100_000  # of one answer; more is a job
JOB_ROWS_MAX = 10_000_000
TEXT_MAX = 200
TS_MAX = 1 << 62
NS_MIN = 10**18  # a number of 19 digits
DURATION = "^([1-9][0-9]{0,8}(ms|s)|[1-9][0-9]{0,6}m|[1-9][0-9]{0,5}h|[1-9][0-9]{0,3}d)$"
# a name as docs/features.md has it, or of the published research system; which windows and times a feature takes is said by GET /v1/features
_KEYS = [*ENTRIES, *(f"liquidations.{name}" for name in [*ALIASES, "liq_btc_lead"])]
FEATURE = (
    rf"([A-Za-z0-9]{{1,40}}/)?({'|'.join(_KEYS).replace('.', '[.]')})(@[0-9.]{{1,9}}(ms|s|m|h|d|pct))?"
    rf"(:({'|'.join(TRANSFORMS)})(\([a-z0-9=,]{{0,40}}\))?)?"
    f"|({'|'.join(name.removeprefix('liquidations.') for name in _KEYS if name.startswith('liquidations.'))})(_[a-z0-9_]{{1,50}})?"
)
HISTORY_KEYS = {"features", "rows", "asset", "contract", "venue", "at", "every", "start", "end", "label", "on_outside", "run"}


@dataclass(frozen=True)
class Question:
    """names: canonical, in the order asked for; asked: name as it was written -> canonical. rows: of (ts, instrument), in their own order. until: ns
    up to which the data were complete: a run continues while it is answered. label: another feature (canonical), read so many ns after each row."""

    names: tuple[str, ...]
    asked: Mapping[str, str]
    rows: NDArray[np.int64]
    until: int
    label: tuple[str, int] | None = None


def names_of(given: Any) -> dict[str, str]:
    """Names as they were written -> canonical. A text of names, separated by commas that are in no brackets, or a list of them."""
    if isinstance(given, str):
        given = split_names(given)
    if not isinstance(given, list) or not given or not all(isinstance(name, str) for name in given):
        raise Problem("bad-value", "features: expected a list of names such as liquidations.liq_imbalance@15m:zscore", name="features")
    if len(given) > NAMES_MAX:
        raise Problem("bad-value", f"features: {len(given)} names, at most {NAMES_MAX} in one request", name="features")
    return {name: canonical(name) for name in given}


def canonical(name: str) -> str:
    """Problem with the nearest name where it is none: another one where it has the described form, and no such window or transform is there."""
    try:
        if len(name) > TEXT_MAX:
            raise ValueError(f"feature {name[:40]!r}…: a name of {len(name)} characters, at most {TEXT_MAX}")
        return parse(name.strip()).text
    except ValueError as why:
        text = str(why)
        near = text.partition("did you mean '")[2].partition("'")[0]
        more: dict[str, Any] = {"name": name[:TEXT_MAX]} | ({"hint": near} if near else {})
        raise Problem("no-such-form" if re.fullmatch(FEATURE, name, re.ASCII) else "unknown-feature", text, **more) from None


def instrument_of(dataset: Dataset, asset: Any = None, contract: Any = None, venue: Any = None) -> int:
    """The contract of a request: by venue:symbol or symbol, or the first of an asset (on a venue). First is what a store has had for most days, so
    that a contract that is imported later takes nothing over."""
    for name, value in (("asset", asset), ("contract", contract), ("venue", venue)):
        if value is not None and (not isinstance(value, str) or not value or len(value) > TEXT_MAX):
            raise Problem("bad-value", f"{name}: expected a text", name=name)
    there = dataset.data.instruments
    if contract is not None:
        found = [n for n, i in enumerate(there) if contract in (i.key, i.symbol) and venue in (None, i.venue)]
        if asset is not None and found and not (found := [n for n in found if there[n].asset.upper() == asset.upper()]):
            raise Problem("unknown-asset", f"{contract!r} is not a contract of {asset!r}", there=_shown(dataset))
    elif asset is not None:
        found = [n for n, i in enumerate(there) if i.asset.upper() == asset.upper() and venue in (None, i.venue)]
    else:
        found = [n for n, i in enumerate(there) if venue in (None, i.venue)]
    on = f" on {venue}" if venue else ""
    if not found:
        raise Problem("unknown-asset", f"{contract or asset or 'any contract'}{on} is not served here", there=_shown(dataset))
    if contract is not None and len(found) > 1:
        raise Problem("ambiguous", f"contract {contract!r} of more than one venue", name="contract", there=[there[n].key for n in found])
    if asset is None and len(found) > 1:
        raise Problem("ambiguous", f"asset or contract: neither is given, and there are several contracts{on}", name="asset", there=_shown(dataset))
    return min(found, key=lambda n: (dataset.began.get(there[n].key, ""), n))


def _shown(dataset: Dataset) -> list[str]:
    return [i.key for i in dataset.data.instruments][:50]


def time_of(value: Any, where: str) -> int:
    """ISO text or a number since 1970 -> ns."""
    if isinstance(value, float) and value.is_integer():  # JSON has one kind of number
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Problem("bad-time", f"{where}: expected ISO text (UTC), or a number of seconds, ms, us or ns since 1970", name=where)
    try:
        ts = parse_time(str(value))
    except (ConfigError, ValueError, OverflowError) as why:
        raise Problem("bad-time", f"{where}: {str(why)[:TEXT_MAX]}", name=where) from None
    if not 0 < ts < TS_MAX:
        raise Problem("bad-time", f"{where}: expected a time after 1970-01-01T00:00:00Z and before 2116-02-20T23:53:38Z", name=where)
    return ts


def history_of(dataset: Dataset, body: Any, rows_max: int = ROWS_MAX) -> Question:
    """The body of POST /v1/features/historical."""
    if not isinstance(body, dict):
        raise Problem("bad-value", "expected a JSON object with features, and rows, at or every")
    if strange := sorted(str(key)[:40] for key in body.keys() - HISTORY_KEYS):
        raise Problem("bad-value", f"no such member: {', '.join(strange)}; expected {', '.join(sorted(HISTORY_KEYS))}", name=strange[0])
    asked = names_of(body.get("features"))
    if sum(key in body for key in ("rows", "at", "every")) != 1:
        raise Problem("bad-value", "expected one of rows, at, and every with start and end")
    given = body.get("rows", body.get("at"))
    if given is not None and len(given if isinstance(given, list) else ()) > rows_max:
        raise Problem("too-large", f"{len(given)} rows, at most {rows_max:,} here", hint="POST /v1/jobs" if rows_max == ROWS_MAX else "several jobs")
    until = dataset.complete
    rows = _rows(dataset, body) if "rows" in body else _times(dataset, body, until, rows_max)
    if body.get("on_outside", "null") not in ("null", "error"):
        raise Problem("bad-value", 'on_outside: expected "null" or "error"', name="on_outside")
    outside = rows[(rows[:, 0] < dataset.data.start) | (rows[:, 0] > until), 0]
    if len(outside) and body.get("on_outside") == "error":
        raise Problem("outside", f"{len(outside)} of {len(rows)} times are outside the data", at=int(outside[0]), start=dataset.data.start, end=until)
    return Question(tuple(dict.fromkeys(asked.values())), asked, rows, until, _label(body.get("label")))


def _rows(dataset: Dataset, body: dict[str, Any]) -> NDArray[np.int64]:
    if not isinstance(body["rows"], list):
        raise Problem("bad-value", 'rows: expected a list of {"asset" or "contract", "at"}', name="rows")
    if body.keys() & {"asset", "contract", "venue", "start", "end"}:
        raise Problem("bad-value", "asset, contract, venue, start and end belong to at or every; with rows each row has its own")
    out, known = [], dict[tuple[Any, ...], int]()
    for n, row in enumerate(body["rows"]):
        if not isinstance(row, dict) or row.keys() - {"asset", "contract", "venue", "at"} or "at" not in row:
            raise Problem("bad-value", f'rows[{n}]: expected {{"asset" or "contract", "at"}}', name=f"rows[{n}]")
        who = row.get("asset"), row.get("contract"), row.get("venue")
        if not all(value is None or isinstance(value, str) for value in who):
            raise Problem("bad-value", f"rows[{n}]: asset, contract and venue must be text", name=f"rows[{n}]")
        if who not in known:
            known[who] = instrument_of(dataset, *who)
        out.append((time_of(row["at"], f"rows[{n}].at"), known[who]))
    return np.array(out, np.int64).reshape(-1, 2)


def _times(dataset: Dataset, body: dict[str, Any], until: int, rows_max: int) -> NDArray[np.int64]:
    n = instrument_of(dataset, body.get("asset"), body.get("contract"), body.get("venue"))
    if "at" in body:
        if body.keys() & {"start", "end"}:
            raise Problem("bad-value", "start and end belong to every")
        if not isinstance(body["at"], list):
            raise Problem("bad-value", "at: expected a list of times", name="at")
        return _of_one(_times_of(body["at"]), n)
    step = step_of(body["every"], "every")
    first = time_of(body["start"], "start") if "start" in body else dataset.data.start
    last = time_of(body["end"], "end") if "end" in body else until
    if (last - first) // step >= rows_max:
        raise Problem(
            "too-many-rows",
            f"every: {(last - first) // step:,} rows, at most {rows_max:,} here",
            hint="POST /v1/jobs" if rows_max == ROWS_MAX else "several jobs",
        )
    return _of_one(np.arange(-(-first // step) * step, last + 1, step, dtype=np.int64), n)


def _times_of(given: list[Any]) -> NDArray[np.int64]:
    """Each as time_of has it; of ns, which is what programs send, all at once."""
    if set(map(type, given)) == {int} and min(given) >= NS_MIN and max(given) < TS_MAX:
        return np.array(given, np.int64)
    return np.array([time_of(ts, f"at[{k}]") for k, ts in enumerate(given)], np.int64)


def _of_one(times: NDArray[np.int64], instrument: int) -> NDArray[np.int64]:
    out = np.full((len(times), 2), instrument, np.int64)
    out[:, 0] = times
    return out


def step_of(value: Any, where: str) -> int:
    """A time such as 1m -> ns."""
    if not isinstance(value, str) or not re.fullmatch(DURATION, value):
        raise Problem(
            "bad-value", f"{where}: expected a number with a unit such as 30s, 1m or 1h, without zeros before it, of less than 110 years", name=where
        )
    return nanoseconds(value)


def _label(given: Any) -> tuple[str, int] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or given.keys() != {"feature", "after"} or not isinstance(given["feature"], str):
        raise Problem("bad-value", 'label: expected {"feature": NAME, "after": "1h"}', name="label")
    return canonical(given["feature"]), step_of(given["after"], "label.after")


def in_order(rows: Sequence[tuple[int, int]] | NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows once each in order of time, as an array of two columns, and for each of the given ones its place among them."""
    pairs = np.asarray(rows, np.int64).reshape(-1, 2)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    found = pairs[order]
    first = np.ones(len(found), bool)
    first[1:] = (found[1:] != found[:-1]).any(axis=1)
    back = np.empty(len(found), np.int64)
    back[order] = np.cumsum(first) - 1
    return found[first], back
