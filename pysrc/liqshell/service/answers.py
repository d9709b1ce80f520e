"""Answers: the values of the features at the rows of a question, the reasons for unknown ones, as JSON, NDJSON, CSV, Arrow or Parquet."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, NamedTuple

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


PIECE_ROWS = 1 << 17  # of a long answer that are in memory at a time; more than an answer without a job has


@dataclass
class Table:
    """Some of the rows of a historical question, in their order, and the answer. values: by name; reasons: (name, row) -> why it is nan."""

    rows: NDArray[np.int64]
    series: Series
    values: dict[str, NDArray[np.float64]]
    reasons: dict[tuple[str, int], Unknown]


def etag_of(dataset: Dataset, question: Question, kind: str) -> str:
    """Of the data up to the last time that the answer looks at, which of its times they reach, what was asked, the form of the answer, and the
    version of the code."""
    q = question
    # where nothing was received for a while, the hash of a time is the same before and after it is known
    ts = q.rows[:, 0]
    known = [int(((ts >= dataset.data.start - after) & (ts <= q.until - after)).sum()) for after in (0, q.label[1] if q.label else 0)]
    out = hashlib.blake2b(repr((data_hash_of(dataset, q), known, q.names, q.asked, q.label, kind, head(dataset))).encode(), digest_size=16)
    out.update(np.ascontiguousarray(q.rows).data)
    return out.hexdigest()


def data_hash_of(dataset: Dataset, question: Question) -> str:
    """Of all that was received up to the last time that the answer looks at."""
    after = question.label[1] if question.label else 0
    return dataset.ledger.hash_at(min(_last(dataset, question) + after, question.until))


def _last(dataset: Dataset, question: Question) -> int:
    """The last time that is asked for."""
    return int(question.rows[:, 0].max()) if len(question.rows) else dataset.data.start - 1


def table_of(
    dataset: Dataset,
    question: Question,
    saved: Checkpoints,
    counts: bool = True,
    notify: Callable[[int], None] | None = None,
    part: slice = slice(None),
) -> Table:
    """Walk to each moment of these rows and read. counts: the samples behind each z-score, too. Problem for a name that looks at an asset that is not
    there."""
    asked = question.rows[part]
    rows, back = in_order(asked)
    label, after = question.label or ("", 0)
    series = series_of(dataset, question.names, saved)
    names = [*question.names, *(name for asked in question.names if counts for name in counts_of(asked))]
    found = series.rows(rows, names, notify, question.until)
    values = {name: found[back, n] for n, name in enumerate(names)}
    reasons = {
        (name, n): _why(dataset, series, name, int(asked[n, 0]), int(asked[n, 1]), question.until)
        for name in question.names
        for n in np.flatnonzero(np.isnan(values[name])).tolist()
    }
    if label:
        behind = series_of(dataset, (label,), saved)
        values[LABEL] = behind.rows(rows + (after, 0), (label,), None, question.until)[back, 0]
        reasons |= {
            (LABEL, n): _why(dataset, behind, label, int(asked[n, 0]) + after, int(asked[n, 1]), question.until)
            for n in np.flatnonzero(np.isnan(values[LABEL])).tolist()
        }
    return Table(asked, series, values, reasons)


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
    """The description of its data that every answer contains."""
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


def write(
    dataset: Dataset, question: Question, saved: Checkpoints, kind: str, out: IO[bytes], notify: Callable[[int], None] = lambda done: None
) -> None:
    """The whole answer. Of a long one whose times rise, PIECE_ROWS rows are in memory at a time (of JSON, which is by columns, the bare numbers are
    all); one in another order is walked over once, as it is. notify: called with how many rows are done."""
    count = len(question.rows)
    rising = count <= PIECE_ROWS or bool((np.diff(question.rows[:, 0]) >= 0).all())
    starts = range(0, max(count, 1), PIECE_ROWS if rising else count)

    def part(first: int) -> Table:
        return table_of(dataset, question, saved, kind == JSON, lambda done: notify(first + done), slice(first, first + starts.step))

    {JSON: _json, NDJSON: _ndjson, CSV: _csv, ARROW: _arrow, PARQUET: _parquet}[kind](dataset, question, map(part, starts), out)


def _columns(question: Question) -> list[str]:
    return [*question.names, *([LABEL] if question.label else [])]


def _known(values: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(x) else x for x in values.tolist()]


def _contracts(dataset: Dataset, rows: NDArray[np.int64]) -> list[str]:
    there = dataset.data.instruments
    return [there[n].key for n in rows[:, 1].tolist()]


def _json(dataset: Dataset, question: Question, tables: Iterable[Table], out: IO[bytes]) -> None:
    q, unknown, values, first = question, dict[str, dict[str, list[NDArray[np.int64]]]](), dict[str, list[NDArray[np.float64]]](), 0
    pieces = [q.rows[low : low + PIECE_ROWS] for low in range(0, len(q.rows), PIECE_ROWS)]
    series: Series | None = None
    for table in tables:
        series, places = table.series, dict[tuple[str, str], list[int]]()
        for (name, row), why in table.reasons.items():
            places.setdefault((name, why.reason), []).append(first + row)
        for (name, reason), found in places.items():
            unknown.setdefault(name, {}).setdefault(reason, []).append(np.array(found))
        for name, column in table.values.items():
            values.setdefault(name, []).append(column)
        first += len(table.rows)
    assert series is not None  # a question without rows has a table, too
    samples = {
        name: {
            count: (np.nan_to_num(part).astype(np.int64).tolist() for part in values[counted])
            for count, counted in zip(("n", "n_eff"), counts, strict=True)
        }
        for name in q.names
        if (counts := counts_of(name)) and counts[0] in values
    }
    instruments = tuple(dataset.data.instruments[n] for n in np.unique(q.rows[:, 1]).tolist())
    _emit(
        out,
        {
            "rows": len(q.rows),
            "columns": {
                "at": (part[:, 0].tolist() for part in pieces),
                "contract": (_contracts(dataset, part) for part in pieces),
                **{name: map(_known, values[name]) for name in _columns(q)},
            },
            "unknown": {name: {reason: (part.tolist() for part in parts) for reason, parts in found.items()} for name, found in unknown.items()},
            "samples": samples,
            "features": {name: about(series, name, instruments) for name in q.names},
            "asked": {written: name for written, name in q.asked.items() if written != name},
            **({"label": {"feature": q.label[0], "after_ns": q.label[1]}} if q.label else {}),
            "received_through_ns": dataset.ledger.received_through(min(_last(dataset, q), q.until)),
            "data_hash": data_hash_of(dataset, q),
            **head(dataset),
        },
    )


def _emit(out: IO[bytes], value: Any) -> None:
    """As orjson writes it; an iterator is of lists that are one list together."""
    if isinstance(value, dict):
        out.write(b"{")
        for n, (key, one) in enumerate(value.items()):
            out.write(b"," * bool(n) + orjson.dumps(key) + b":")
            _emit(out, one)
        out.write(b"}")
    elif isinstance(value, Iterator):
        between = b"["
        for part in value:
            if part:
                out.write(between + orjson.dumps(part)[1:-1])
                between = b","
        out.write(b"]" if between == b"," else b"[]")
    else:
        out.write(orjson.dumps(value))


def _ndjson(dataset: Dataset, question: Question, tables: Iterable[Table], out: IO[bytes]) -> None:
    names = _columns(question)
    for table in tables:
        columns, contracts = [_known(table.values[name]) for name in names], _contracts(dataset, table.rows)
        for n, ts in enumerate(table.rows[:, 0].tolist()):
            unknown = {name: table.reasons[name, n].reason for name in names if (name, n) in table.reasons}
            cells = {name: column[n] for name, column in zip(names, columns, strict=True)}
            row = {"at": ts, "time": iso(ts), "contract": contracts[n], **cells, **({"unknown": unknown} if unknown else {})}
            out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _csv(dataset: Dataset, question: Question, tables: Iterable[Table], out: IO[bytes]) -> None:
    """As `liqcore features` writes it: a cell without a value was not known."""
    names, there = _columns(question), dataset.data.instruments
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["time", "ts", "contract", "completeness", *names])
    for table in tables:
        columns = [table.values[name].tolist() for name in names]
        for n, (ts, instrument) in enumerate(table.rows.tolist()):
            cells = ("" if math.isnan(column[n]) else repr(column[n]) for column in columns)
            writer.writerow([iso(ts), ts, there[instrument].key, completeness(there[instrument]), *cells])
    text.detach()


def _tables(dataset: Dataset, question: Question, tables: Iterable[Table]) -> Iterator[Any]:
    """As pyarrow has them."""
    import pyarrow as pa

    about = {"data_hash": data_hash_of(dataset, question), **{key: str(value) for key, value in head(dataset).items()}}
    for table in tables:
        columns = {
            "ts": pa.array(table.rows[:, 0], pa.int64()),
            "contract": pa.array(_contracts(dataset, table.rows), pa.string()),
            **{name: pa.array(table.values[name], pa.float64(), from_pandas=True) for name in _columns(question)},
        }  # nan is null
        yield pa.table(columns).replace_schema_metadata({f"liqcore.{key}": value for key, value in about.items()})


def _arrow(dataset: Dataset, question: Question, tables: Iterable[Table], out: IO[bytes]) -> None:
    import pyarrow as pa

    found = _tables(dataset, question, tables)
    first = next(found)
    with pa.ipc.new_stream(out, first.schema) as writer:
        for table in chain((first,), found):
            writer.write_table(table)


def _parquet(dataset: Dataset, question: Question, tables: Iterable[Table], out: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    found = _tables(dataset, question, tables)
    first = next(found)
    with pq.ParquetWriter(out, first.schema) as writer:
        for table in chain((first,), found):
            writer.write_table(table)
