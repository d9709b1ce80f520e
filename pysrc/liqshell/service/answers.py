"""Answers: what the features were at the rows of a question, why some are not known, and all of it as JSON, NDJSON, CSV, Arrow or Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

import liqcore as lc
from liqcore.features.spec import parse
from liqshell.research.feature_rows import completeness, iso
from liqshell.service.checkpoints import Checkpoints
from liqshell.service.ledger import Unknown
from liqshell.service.questions import Question, in_order
from liqshell.service.series import Series, counts_of, series_of
from liqshell.service.sources import Dataset

JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
ENGINE = f"{lc.__version__}+abi{lc.abi_version()}"
LABEL = "label"
ANSWERS_MAX = 256  # live ones that are kept until more is received


@dataclass
class Table:
    """The answer to a historical question, in the order of its rows. values: by name; reasons: (name, row) -> why it is nan."""

    question: Question
    dataset: Dataset
    series: Series
    values: dict[str, NDArray[np.float64]]
    reasons: dict[tuple[str, int], Unknown]
    data_hash: str
    received_through: int


def etag_of(dataset: Dataset, question: Question, kind: str) -> str:
    """Of the data up to the last time that the answer looks at, which of its times they reach, what was asked, the form of the answer, and the
    version of the code."""
    q = question
    # where nothing was received for a while, the hash of a time is the same before and after it is known
    known = [sum(dataset.data.start <= ts + after <= q.until for ts, _ in q.rows) for after in (0, q.label[1] if q.label else 0)]
    return hashlib.blake2b(
        repr((data_hash_of(dataset, q), known, q.names, q.asked, q.rows, q.label, kind, head(dataset))).encode(), digest_size=16
    ).hexdigest()


def check(dataset: Dataset, question: Question, saved: Checkpoints) -> None:
    """Problem for a name that looks at an asset which is not there: before anything is answered."""
    series_of(dataset, question.names, saved)


def data_hash_of(dataset: Dataset, question: Question) -> str:
    """Of all that was received up to the last time that the answer looks at."""
    after = question.label[1] if question.label else 0
    last = max((ts for ts, _ in question.rows), default=dataset.data.start - 1) + after
    return dataset.ledger.hash_at(min(last, question.until))


def table_of(dataset: Dataset, question: Question, saved: Checkpoints, counts: bool = True, notify: Callable[[int], None] | None = None) -> Table:
    """Walk to each moment and read. counts: the samples behind each z-score, too. Problem for a name that looks at an asset that is not there."""
    rows, back = in_order(question.rows)
    label, after = question.label or ("", 0)
    series = series_of(dataset, question.names, saved)
    names = [*question.names, *(name for asked in question.names if counts for name in counts_of(asked))]
    found = series.rows(rows, names, notify, question.until)
    values = {name: found[back, n] for n, name in enumerate(names)}
    reasons = {
        (name, n): _why(dataset, series, name, *question.rows[n], question.until)
        for name in question.names for n in np.flatnonzero(np.isnan(values[name])).tolist()
    }
    if label:
        behind = series_of(dataset, (label,), saved)
        values[LABEL] = behind.rows(rows + (after, 0), (label,), None, question.until)[back, 0]
        reasons |= {
            (LABEL, n): _why(dataset, behind, label, question.rows[n][0] + after, question.rows[n][1], question.until)
            for n in np.flatnonzero(np.isnan(values[LABEL])).tolist()
        }
    last = min(int(rows[-1, 0]) if len(rows) else dataset.data.start - 1, question.until)
    return Table(question, dataset, series, values, reasons, data_hash_of(dataset, question), dataset.ledger.received_through(last))


def _why(dataset: Dataset, series: Series, name: str, ts: int, instrument: int, until: int) -> Unknown:
    series.check()
    if not dataset.data.start <= ts <= until:
        return Unknown("outside")
    there = dataset.data.instruments
    source = series.about[series.column[name]]["instruments"][there[instrument].key]["source"]
    return dataset.ledger.why(parse(name), next(n for n, i in enumerate(there) if i.key == source), ts)


def about(series: Series, name: str, instruments: Iterator[lc.Instrument] | tuple[lc.Instrument, ...]) -> dict[str, Any]:
    """Unit, and the completeness of the liquidations that it is made of."""
    row = series.about[series.column[name]]
    marks = {i.key: row["instruments"][i.key]["completeness"] for i in instruments if "completeness" in row["instruments"][i.key]}
    return {"unit": row["unit"]} | ({"completeness": marks} if marks else {})


def head(dataset: Dataset) -> dict[str, Any]:
    """What every answer says of its data."""
    return {"engine": ENGINE, "synthetic": dataset.synthetic, "receive_time": dataset.received} | ({"run": dataset.name} if dataset.name else {})


# ---- live ----


class Held(NamedTuple):
    """An answer as it stands until more is received. body: JSON without the age of the data; nulls: names that are not known."""

    as_of: int
    body: bytes
    nulls: list[str]


def held(dataset: Dataset, asked: dict[str, str], instrument: int) -> Held | None:
    """The answer where it has been given since the last event."""
    return dataset.answers.get((dataset.complete, instrument, tuple(asked.items())))


def live(dataset: Dataset, saved: Checkpoints, asked: dict[str, str], instrument: int) -> Held:
    """The newest values of a contract. Problem for a name that looks at an asset which is not there."""
    series = series_of(dataset, tuple(dict.fromkeys(asked.values())), saved)
    ts, row = series.now(instrument)
    found = value_of(dataset, series, asked, instrument, ts, row)
    with dataset.lock:
        if len(dataset.answers) > ANSWERS_MAX or dataset.answers and next(iter(dataset.answers))[0] < ts:
            dataset.answers.clear()
        dataset.answers[ts, instrument, tuple(asked.items())] = found
    return found


def value_of(dataset: Dataset, series: Series, asked: dict[str, str], instrument: int, ts: int, row: Sequence[float]) -> Held:
    """One row as an object: of a live answer, and of an event of a stream."""
    it, features = dataset.data.instruments[instrument], dict[str, Any]()
    for written, name in asked.items():
        value = float(row[series.column[name]])
        one: dict[str, Any] = {"value": None if math.isnan(value) else value, "unit": parse(name).unit}
        if written != name:
            one["asked"] = written
        if mark := about(series, name, (it,)).get("completeness"):
            one["completeness"] = mark[it.key]
        for count, counted in zip(("n", "n_eff"), counts_of(name), strict=False):
            known = float(row[series.column[counted]])
            one[count] = 0 if math.isnan(known) else int(known)
        if math.isnan(value):
            why = _why(dataset, series, name, ts, instrument, ts)
            one |= {"unknown": why.reason} | ({"until": iso(why.until)} if why.until else {})
        features[name] = one
    body = {
        "as_of": iso(ts),
        "as_of_ns": ts,
        "received_through_ns": dataset.ledger.received_through(ts),
        "asset": it.asset,
        "contract": it.key,
        "data_hash": dataset.ledger.hash_at(ts),
        **head(dataset),
        "features": features,
    }
    return Held(ts, orjson.dumps(body), [name for name, one in features.items() if one["value"] is None])


# ---- history ----


def encode(table: Table, kind: str) -> bytes:
    """The whole answer."""
    return {JSON: _json, NDJSON: _ndjson, CSV: _csv, ARROW: _arrow, PARQUET: _parquet}[kind](table)


def _columns(table: Table) -> list[str]:
    return [*table.question.names, *([LABEL] if table.question.label else [])]


def _known(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(x) else x for x in values.tolist()]


def _contracts(table: Table) -> list[str]:
    there = table.dataset.data.instruments
    return [there[n].key for _, n in table.question.rows]


def _json(table: Table) -> bytes:
    q = table.question
    instruments = tuple(table.dataset.data.instruments[n] for n in sorted({n for _, n in q.rows}))
    unknown: dict[str, dict[str, list[int]]] = {}
    for (name, row), why in table.reasons.items():
        unknown.setdefault(name, {}).setdefault(why.reason, []).append(row)
    samples = {
        name: {
            count: [0 if x is None else int(x) for x in _known(table.values[counted])] for count, counted in zip(("n", "n_eff"), counts, strict=True)
        }
        for name in q.names
        if (counts := counts_of(name)) and counts[0] in table.values
    }
    out = {
        "rows": len(q.rows),
        "columns": {"at": [ts for ts, _ in q.rows], "contract": _contracts(table), **{name: _known(table.values[name]) for name in _columns(table)}},
        "unknown": unknown,
        "samples": samples,
        "features": {name: about(table.series, name, instruments) for name in q.names},
        "asked": {written: name for written, name in q.asked.items() if written != name},
        **({"label": {"feature": q.label[0], "after_ns": q.label[1]}} if q.label else {}),
        "received_through_ns": table.received_through,
        "data_hash": table.data_hash,
        **head(table.dataset),
    }
    return orjson.dumps(out)


def _ndjson(table: Table) -> bytes:
    names, contracts = _columns(table), _contracts(table)
    columns = [_known(table.values[name]) for name in names]
    lines = []
    for n, (ts, _) in enumerate(table.question.rows):
        unknown = {name: table.reasons[name, n].reason for name in names if (name, n) in table.reasons}
        lines.append(
            orjson.dumps(
                {
                    "at": ts,
                    "time": iso(ts),
                    "contract": contracts[n],
                    **{name: column[n] for name, column in zip(names, columns, strict=True)},
                    **({"unknown": unknown} if unknown else {}),
                }
            )
        )
    return b"\n".join([*lines, b""])


def _csv(table: Table) -> bytes:
    """As `liqcore features` writes it: a cell without a value was not known."""
    names, there, out = _columns(table), table.dataset.data.instruments, io.StringIO()
    columns = [table.values[name].tolist() for name in names]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", "ts", "contract", "completeness", *names])
    for n, (ts, instrument) in enumerate(table.question.rows):
        cells = ("" if math.isnan(column[n]) else repr(column[n]) for column in columns)
        writer.writerow([iso(ts), ts, there[instrument].key, completeness(there[instrument]), *cells])
    return out.getvalue().encode()


def _table(table: Table) -> Any:
    import pyarrow as pa

    columns = {
        "ts": pa.array([ts for ts, _ in table.question.rows], pa.int64()),
        "contract": pa.array(_contracts(table), pa.string()),
        **{name: pa.array(table.values[name], pa.float64(), from_pandas=True) for name in _columns(table)},
    }  # nan is null
    about = {"data_hash": table.data_hash, **{key: str(value) for key, value in head(table.dataset).items()}}
    return pa.table(columns).replace_schema_metadata({f"liqcore.{key}": value for key, value in about.items()})


def _arrow(table: Table) -> bytes:
    import pyarrow as pa

    out, found = io.BytesIO(), _table(table)
    with pa.ipc.new_stream(out, found.schema) as writer:
        writer.write_table(found)
    return out.getvalue()


def _parquet(table: Table) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(_table(table), out)
    return out.getvalue()
