"""A client of `liqcore serve` in plain Python: frames of pandas or polars in and out.

    from liqshell.client import Client
    api = Client("http://127.0.0.1:8710", key)
    api.live(["liquidations.liq_imbalance@15m:zscore"], asset="BTC")["features"]
    frame = api.historical(frame, ["price.last"])         # columns asset or contract, and at; one column more for each feature

It needs no package besides; pandas and polars only where such a frame is handed in.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from liqcore.features.spec import split_names
from liqshell.errors import ConfigError, LiqshellError
from liqshell.transport import is_loopback, tls_context

ROWS_MAX = 50_000  # of one request; more rows are several
ROW_KEYS = ("asset", "contract", "venue", "at")
LABEL = "label"


class ApiError(LiqshellError):
    """The server refused. problem: its text (RFC 9457); status: of HTTP, 0 without an answer."""

    def __init__(self, where: str, found: str, status: int = 0, problem: Mapping[str, Any] | None = None):
        self.status, self.problem = status, dict(problem or {})
        super().__init__(where, found)


class Client:
    """key: as `liqcore serve key new` printed it. timeout_s: of one answer. patience_s: how long it waits in all where the quota is used up. ca: PEM
    file of the authority that alone is trusted, "" = the system's.
    ConfigError where the key would leave this machine unencrypted."""

    def __init__(self, url: str = "http://127.0.0.1:8710", key: str = "", timeout_s: float = 60.0, patience_s: float = 120.0, ca: str = ""):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"url {url!r}", "no address of a server", "such as http://127.0.0.1:8710")
        if key and parts.scheme != "https" and not is_loopback(url):
            raise ConfigError(f"url {url!r}", "the key would be sent unencrypted", "https://, or an address of this machine")
        self._url, self._key = url.rstrip("/"), key
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._tls = tls_context(ca, url)

    def live(self, features: Sequence[str] | str, asset: str | None = None, **more: str) -> dict[str, Any]:
        """The newest values of one contract. more: contract, venue, run, strict="1"."""
        found: dict[str, Any] = self._json("GET", "/v1/features/live?" + _query(features, asset=asset, **more))
        return found

    def parse(self, names: Sequence[str] | str) -> list[str]:
        """Names in full. ApiError for one that is none, with the nearest one as problem["hint"]."""
        text = names if isinstance(names, str) else ",".join(names)
        return [one["name"] for one in self._json("GET", "/v1/features/parse?" + urlencode({"names": text}))["names"]]

    def historical(self, rows: Any, features: Sequence[str] | str, label: tuple[str, str] | None = None, run: str = "") -> Any:
        """Each row with its features, as they were known at its time; in the order of the rows.

        rows: a DataFrame of pandas or polars, or a list of dicts; columns `at` (UTC time, or ns) and `asset` or `contract`. The answer is of the same
        kind, with one column more for each feature, under the name that was asked for: nan (polars: null) where it was not known. label: (feature,
        time after the row), such as ("price.last", "1h"), as the column `label`: it is of the future, so no feature.
        """
        names = split_names(features) if isinstance(features, str) else list(features)
        asked, give = _rows_of(rows)
        _check(rows, asked, [*names, *([LABEL] if label else [])])
        values: dict[str, list[float | None]] = {name: [] for name in [*names, *([LABEL] if label else [])]}
        for low in range(0, len(asked), ROWS_MAX):
            body: dict[str, Any] = {"features": names, "rows": asked[low : low + ROWS_MAX]}
            body |= {"label": {"feature": label[0], "after": label[1]}} if label else {}
            found = self._json("POST", "/v1/features/historical", body | ({"run": run} if run else {}))
            for name, column in values.items():
                column += found["columns"][found["asked"].get(name, name)]
        return give(values)

    def signals(self, since: int | str = 0, **more: str) -> list[dict[str, Any]]:
        """All signals of a run after a time. more: asset, contract, venue, run."""
        out: list[dict[str, Any]] = []
        while True:
            found = self._json("GET", "/v1/signals?" + urlencode(({"since": since} if since else {}) | more))
            out += found["signals"]
            if not found["more"]:
                return out
            since = found["next_since"]

    def view(self, **more: str) -> dict[str, Any]:
        """The current state of a live run. more: asset, contract, venue, run. ApiError 404 where it has ended."""
        return self._json("GET", f"/v1/view?{urlencode(more)}")

    def stream(
        self, features: Sequence[str] | str, asset: str | None = None, every: str = "1m", last: int = 0, **more: str
    ) -> Iterator[dict[str, Any]]:
        """Values at every step of market time, for ever. last: as_of_ns of the last one that is known, 0 = begin with the newest. A lost connection
        is taken up again where it was."""
        query = _query(features, asset=asset, every=every, **more)
        while True:
            try:
                with self._open("GET", f"/v1/features/stream?{query}", headers={"Last-Event-ID": str(last)} if last else {}) as answer:
                    for kind, ident, data in _events(answer):
                        last = ident
                        if kind == "features":
                            yield data
            except (ApiError, OSError, HTTPException) as why:
                if isinstance(why, ApiError) and why.status:
                    raise
            time.sleep(1.0)

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        with self._open(method, path, body) as answer:
            try:
                found = json.load(answer)
            except (OSError, HTTPException, ValueError) as why:
                raise ApiError(self._url, f"an incomplete answer: {why}", answer.status) from None
        if not isinstance(found, dict):
            raise ApiError(self._url, "an answer that is not from `liqcore serve`", answer.status)
        return found

    def _open(self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        given = {"Accept": "application/json", **({"Authorization": f"Bearer {self._key}"} if self._key else {}), **(headers or {})}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self._url + path, data, given | ({"Content-Type": "application/json"} if data else {}), method=method)
        until = time.monotonic() + self._patience_s
        while True:
            try:
                return urllib.request.urlopen(request, timeout=self._timeout_s, context=self._tls)
            except urllib.error.HTTPError as why:
                wait = why.headers.get("Retry-After", "")
                if why.code == 429 and wait.isdigit() and time.monotonic() + int(wait) <= until:
                    why.close()
                    time.sleep(int(wait))
                    continue
                raise _error(path.partition("?")[0], why) from None
            except (OSError, HTTPException) as why:
                raise ApiError(self._url, f"no answer: {getattr(why, 'reason', why)}") from None


def _error(where: str, why: urllib.error.HTTPError) -> ApiError:
    with why:
        try:
            problem = json.load(why)
            text = f"{problem['title']}: {problem['detail']}"
        except (OSError, HTTPException, ValueError, KeyError, TypeError):
            problem, text = {}, f"status {why.code}"
    return ApiError(where, text, why.code, problem)


def _query(features: Sequence[str] | str, **more: str | None) -> str:
    text = features if isinstance(features, str) else ",".join(features)
    return urlencode({"features": text} | {name: value for name, value in more.items() if value is not None})


def _events(answer: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Of a stream, each when it is complete."""
    held: dict[str, str] = {}
    for line in answer:
        text = line.decode().rstrip("\n")
        if not text and "data" in held:
            yield held["event"], int(held["id"]), json.loads(held["data"])
            held = {}
        elif text and not text.startswith(":"):
            name, _, value = text.partition(": ")
            held[name] = value


Give = Callable[[dict[str, list[float | None]]], Any]


def _rows_of(rows: Any) -> tuple[list[dict[str, Any]], Give]:
    """Rows as the API takes them, and how the answer is put beside them."""
    kind = type(rows).__module__.partition(".")[0]
    if kind == "pandas":
        return _pandas(rows)
    if kind == "polars":
        return _polars(rows)
    if not isinstance(rows, list):
        raise ConfigError("rows", f"a {type(rows).__name__}", "a DataFrame of pandas or polars, or a list of dicts")
    asked = [{key: row[key] for key in ROW_KEYS if row.get(key) is not None} for row in rows]
    return asked, lambda values: [row | {name: column[n] for name, column in values.items()} for n, row in enumerate(rows)]


def _check(rows: Any, asked: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """ConfigError for a column that an answer would overwrite, and for values that are neither text nor numbers."""
    there = set().union(*rows) if isinstance(rows, list) else set(rows.columns)
    if taken := [name for name in names if name in there]:
        raise ConfigError("rows", f"a column {taken[0]!r}, which the answer has as well", "columns of other names", "Rename it, or leave it out")
    for n, row in enumerate(asked):
        for name, value in row.items():
            if not isinstance(value, str | int | float):
                found = f"{type(value).__name__} {value}"
                raise ConfigError(f"rows[{n}].{name}", found[:80], "ISO text (UTC), or a number since 1970" if name == "at" else "a text")


def _columns(names: Sequence[str]) -> list[str]:
    found = [name for name in ROW_KEYS if name in names]
    if "at" not in found or not {"asset", "contract"} & set(found):
        raise ConfigError("rows", f"columns {', '.join(map(str, names))}", "at, and asset or contract")
    return found


def _pandas(frame: Any) -> tuple[list[dict[str, Any]], Give]:
    import pandas as pd

    columns = {}
    for name in _columns(frame.columns):
        column = frame[name]
        if name == "at" and pd.api.types.is_datetime64_any_dtype(column):
            column = pd.to_datetime(column, utc=True).dt.as_unit("ns").astype("int64")
        columns[name] = column.tolist()
    asked = [{name: column[n] for name, column in columns.items() if column[n] is not None and column[n] == column[n]} for n in range(len(frame))]
    return asked, lambda values: frame.assign(
        **{name: pd.Series([float("nan") if x is None else x for x in column], frame.index, float) for name, column in values.items()}
    )


def _polars(frame: Any) -> tuple[list[dict[str, Any]], Give]:
    import polars as pl

    chosen = frame.select(_columns(frame.columns))
    if isinstance(chosen.schema["at"], pl.Datetime | pl.Date):
        chosen = chosen.with_columns(pl.col("at").dt.epoch("ns"))
    asked = [{name: value for name, value in row.items() if value is not None} for row in chosen.to_dicts()]
    return asked, lambda values: frame.with_columns([pl.Series(name, column, pl.Float64) for name, column in values.items()])
