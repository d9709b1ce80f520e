"""The routes of `liqcore serve`: what each answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqcore import audit
from liqcore.features.spec import TRANSFORMS
from liqcore.features.table import BBO, DELEVERAGE, ENTRIES, LIQUIDATION, TICKER, TRADE, VENUE_STATE
from liqshell import private
from liqshell.config.components import recorded_detectors
from liqshell.errors import DataError, LiqshellError
from liqshell.recording import journal
from liqshell.research.feature_rows import completeness, iso
from liqshell.run import view_page
from liqshell.run.view_page import View
from liqshell.service import answers, openapi
from liqshell.service.answers import head
from liqshell.service.checkpoints import Checkpoints
from liqshell.service.problems import Problem, without_paths
from liqshell.service.questions import JOB_ROWS_MAX, Question, canonical, history_of, instrument_of, names_of, step_of, time_of
from liqshell.service.series import series_of
from liqshell.service.sources import Dataset, Library
from liqshell.service.web import Request, Response, Route, Site, accepted, only, same

# Signals of a run, from its audit stream.
def _signals_answer(dataset: Dataset, since: int, instrument: int, limit: int) -> bytes:
    """Those after `since` (ns), the oldest first, at most `limit`; instrument: of one contract, -1 = of all."""
    if not dataset.name:
        raise Problem("not-found", "a store has no signals; runs have. `liqcore detect STORE` computes them")
    path = dataset.folder / journal.AUDIT
    manifest = journal.load_manifest(dataset.folder)
    size = os.stat(path).st_size // lc.AUDIT_DTYPE.itemsize if path.exists() else 0
    records = journal.current(np.memmap(path, lc.AUDIT_DTYPE, "r", shape=(size,)) if size else np.zeros(0, lc.AUDIT_DTYPE), manifest.get("abi"))
    mine = (records["kind"] == int(lc.AuditKind.AUDIT_SIGNAL)) & (records["ts"] > since)
    if instrument >= 0:
        mine &= records["instrument"] == instrument
    found = audit.view(records[mine][:limit], lc.AuditKind.AUDIT_SIGNAL)
    settings = manifest.get("settings")
    names = [spec["name"] for spec in recorded_detectors(settings)] if settings else []
    out = [_signal_row(dataset, row, names) for row in found]
    return orjson.dumps(
        {"signals": out, "more": int(mine.sum()) > len(out), "next_since": int(found["ts"][-1]) if len(found) else since, **head(dataset)}
    )


def _signal_row(dataset: Dataset, row: np.void, names: list[str]) -> dict[str, Any]:
    i, ts, which = dataset.data.instruments[int(row["instrument"])], int(row["ts"]), int(row["detector"])
    numbers = {name: _known_number(row[name]) for name in ("long_notional", "short_notional", "threshold", "z", "score", "price", "rolling")}
    return {"ts": ts, "time": iso(ts), "contract": i.key, "completeness": completeness(i),
            "detector": names[which - 1] if 0 < which <= len(names) else str(which), "phase": lc.Phase(int(row["phase"])).name,
            "liquidated": lc.Side(int(row["side"])).name, "count": int(row["count"]), **numbers}


def _known_number(x: np.float64) -> float | None:
    return float(x) if np.isfinite(x) else None


# Questions that are too large for one answer: worked on one after the other, their results kept until the server ends.
JOBS_MAX = 100                   # that wait or whose results are kept; the oldest results go first
WAITING_MAX = 8
_log = logging.getLogger("liqshell.service")


@dataclass
class Job:
    """owner: id of the key that asked. state: waiting, running, done or failed."""

    owner: str
    rows: int
    kind: str
    path: Path
    state: str = "waiting"
    done: int = 0
    why: str = ""


class Jobs:
    """One worker; a job's rows are read in order of time, with other requests in between."""

    def __init__(self, library: Library):
        self._library = library
        self._folder = Path(tempfile.mkdtemp(prefix="jobs-", dir=library.scratch.folder))
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "liqcore-job")

    def begin(self, dataset: Dataset, body: Any, kind: str, owner: str) -> str:
        """Problem where the question is wrong, or too many wait."""
        question = history_of(dataset, body, JOB_ROWS_MAX)
        answers.check(dataset, question, self._library.saved)
        ident = secrets.token_hex(8)
        job = Job(owner, len(question.rows), kind, self._folder / ident)
        with self._lock:
            if sum(one.state in ("waiting", "running") for one in self._jobs.values()) >= WAITING_MAX:
                raise Problem("quota-exceeded", f"{WAITING_MAX} jobs are already "
                                                "waiting", ((b"retry-after", b"60"),), **{"violated-policies": ["jobs"]})
            for old in [name for name, one in self._jobs.items() if one.state in ("done", "failed")][:max(0, len(self._jobs) + 1 - JOBS_MAX)]:
                self._jobs.pop(old).path.unlink(missing_ok=True)
            self._jobs[ident] = job
        self._worker.submit(self._work, job, dataset, question)
        return ident

    def _work(self, job: Job, dataset: Dataset, question: Question) -> None:
        job.state = "running"
        try:
            table = answers.table_of(dataset, question, self._library.saved, job.kind == answers.JSON, lambda done: setattr(job, "done", done))
            with private.opened(job.path, "wb") as out:
                out.write(answers.encode(table, job.kind))
            job.done, job.state = job.rows, "done"
        except (LiqshellError, Problem, OSError) as why:
            job.why, job.state = without_paths(why), "failed"
        except Exception:                # who asks for the job must not wait for ever
            _log.exception("job for %s", job.owner)
            job.why, job.state = "an error of the server; its log has it", "failed"

    def _of(self, ident: str, owner: str) -> Job:
        job = self._jobs.get(ident)
        if job is None or job.owner != owner:
            raise Problem("not-found", "no such job")
        return job

    def state(self, ident: str, owner: str) -> dict[str, Any]:
        """What is said of it. Problem where there is none of this key."""
        job = self._of(ident, owner)
        return {"id": ident, "state": job.state, "rows": job.rows, "rows_done": job.done, "type": job.kind,
                **({"why": job.why} if job.why else {}), **({"result": f"/v1/jobs/{ident}?result=1"} if job.state == "done" else {})}

    def result(self, ident: str, owner: str) -> tuple[bytes, str]:
        """(body, its kind). Problem where it is not done."""
        job = self._of(ident, owner)
        if job.state != "done":
            again = ((b"retry-after", b"1"),) if job.state != "failed" else ()
            raise Problem("not-ready", job.why or f"the job is {job.state}: {job.done:,} of {job.rows:,} rows", again)
        return job.path.read_bytes(), job.kind

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)


# Server-sent events: the values of a contract at every step of market time, from the one after Last-Event-ID on.
POLL_S = 0.2
PING_S = 15.0
BEHIND_MAX = 1000  # events that a client may be behind; what is older is dropped, and their number said
BATCH = 50


async def stream(
    current: Callable[[], Dataset], saved: Checkpoints, asked: dict[str, str], contract: str, step: int, since: int, may: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """since: id of the last event that the client has, 0 = none: it begins with the newest one. Values are read from the past by their times, so an
    event that is sent again is the same, and a client that reads slowly holds nothing up. contract: venue:symbol, because an import may change its
    place. It ends when `may` is no longer so (the key was revoked), or the contract is gone."""
    after = since or current().complete // step * step - 1
    yield b"retry: 1000\n\n"
    sent = time.monotonic()
    while may():
        dataset = current()
        instrument = next((n for n, i in enumerate(dataset.data.instruments) if i.key == contract), -1)
        if instrument < 0:
            return
        first = (max(after, dataset.data.start - 1) // step + 1) * step
        due = max((dataset.complete - first) // step + 1, 0)
        if due > BEHIND_MAX:
            gone = due - BEHIND_MAX
            first, due = first + gone * step, BEHIND_MAX
            yield _event("dropped", first - step, orjson.dumps({"n": gone, "through_ns": first - step}))
        if due:
            times = [first + k * step for k in range(min(due, BATCH))]
            yield await asyncio.to_thread(_events, dataset, saved, asked, instrument, times)
            after, sent = times[-1], time.monotonic()
            continue
        if time.monotonic() - sent >= PING_S:
            yield b": nothing new\n\n"
            sent = time.monotonic()
        await asyncio.sleep(POLL_S)


def _events(dataset: Dataset, saved: Checkpoints, asked: dict[str, str], instrument: int, times: list[int]) -> bytes:
    series = series_of(dataset, tuple(dict.fromkeys(asked.values())), saved)
    rows = series.rows([(ts, instrument) for ts in times])
    return b"".join(
        _event("features", ts, answers.value_of(dataset, series, asked, instrument, ts, row).body) for ts, row in zip(times, rows, strict=True)
    )


def _event(kind: str, ident: int, data: bytes) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), ident, data)


# The view page of a run as JSON.
TIMES = ("ts_trade", "ts_quote", "ts_mark", "quote_until", "deadline")
WORDS = {"phase": lc.Phase, "state": lc.BracketState}
BITS = {"gates": lc.Gate, "interrupted": lc.Stream}


def _process(view: View) -> dict[str, Any]:
    """Whether the process of a run is there. A page without its process is one of a run that was killed."""
    word = "alive" if view.alive else "silent" if view.running else "dead"
    return {"state": word, "mode": view.head["mode"], "age_ms": max(time.time_ns() - view.wall_ns, 0) / 1e6}


def _view_answer(run: str, view: View, one: int = -1) -> bytes:
    """The answer of GET /v1/view. one: place of the contract that alone is wanted, -1 = all."""
    places = range(len(view.rows)) if one < 0 else [one]
    return orjson.dumps({"run": run, "as_of": iso(view.ts), "as_of_ns": view.ts, "process": _process(view), "about": _about(view),
                         "contracts": [_contract(view, n) for n in places], "status": view.status})


def _about(view: View) -> dict[str, Any]:
    return {key: value for key, value in view.head.items() if key not in ("row", "contracts", "assets", "features", "boot", "pid_started")}


def _word(member: IntEnum) -> str:
    """Its name without that of its enum."""
    return member.name.lower().removeprefix("bracket_").removeprefix("gate_").removeprefix("stream_")


def _contract(view: View, n: int) -> dict[str, Any]:
    row = dict(zip(view.rows.dtype.names or (), view.rows[n].item(), strict=True))
    for name in TIMES:
        row[name] = row[name] or None
    for name, words in WORDS.items():
        row[name] = _word(words(row[name]))
    for name, bits in BITS.items():
        row[name] = [_word(bit) for bit in bits if row[name] & (1 << bit if bits is lc.Gate else bit)]
    row["stop_confirmed"] = bool(row["stop_confirmed"])
    row["threshold"] = None if math.isnan(row["threshold"]) else row["threshold"]
    features = {name: None if math.isnan(x) else x for name, x in zip(view.head["features"], view.features[n].tolist(), strict=True)}
    return {"contract": view.head["contracts"][n], "asset": view.head["assets"][n], **row, "features": features}


REFRESH_S = 0.25                 # how often what is followed is looked at
KINDS = {LIQUIDATION: "LIQUIDATION", TRADE: "TRADE", BBO: "BBO", TICKER: "TICKER", DELEVERAGE: "DELEVERAGE", VENUE_STATE: "VENUE_STATE"}
HISTORY_KINDS = (answers.JSON, answers.NDJSON, answers.CSV, answers.ARROW, answers.PARQUET)
NO_STORE = [(b"cache-control", b"no-store")]
LIVE_KEYS = ("asset", "features", "venue", "contract", "run", "strict")
STEP_NS_MIN = 1_000_000_000       # of market time between two events of a stream
CELLS = 10_000                   # of an answer of the past that cost as much as one request


@dataclass
class Api:
    """features: names that are made ready before anybody asks."""

    library: Library
    features: tuple[str, ...] = ()
    site: Site = field(init=False)
    trouble: str = ""                # why what is served cannot be followed
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> dict[tuple[str, str], Route]:
        """(method, path) -> handler, scope of the key, limit."""
        return {
            ("GET", "/v1/features"): Route(self.listing, "features:read", "live"),
            ("GET", "/v1/features/parse"): Route(self.parsed, "features:read", "live"),
            ("GET", "/v1/features/live"): Route(self.live, "features:read", "live"),
            ("GET", "/v1/features/stream"): Route(self.streamed, "features:read", "live"),
            ("POST", "/v1/features/historical"): Route(self.historical, "history:read", "history"),
            ("POST", "/v1/jobs"): Route(self.job, "history:read", "history"),
            ("GET", "/v1/jobs/*"): Route(self.job_state, "history:read", "live"),
            ("GET", "/v1/signals"): Route(self.signals, "signals:read", "live"),
            ("GET", "/v1/view"): Route(self.view, "runs:read", "live"),
            ("GET", "/v1/health"): Route(self.health),
            ("GET", "/v1/openapi.json"): Route(self.openapi),
            ("GET", "/docs"): Route(self.docs),
        }

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Follow what is served while the server runs."""
        self.jobs = Jobs(self.library)
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            self.library.end()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            self.jobs.close()

    async def _follow(self) -> None:
        for name in ("",) if self.features else ():
            with contextlib.suppress(DataError, KeyError):
                dataset = await self.dataset(name)
                await asyncio.to_thread(answers.live, dataset, self.library.saved, names_of(list(self.features)), 0)
        while True:
            try:
                await asyncio.to_thread(self.library.refresh)
                self.trouble = ""
            except (DataError, OSError) as why:
                self.trouble = without_paths(why)
            await asyncio.sleep(REFRESH_S)

    async def dataset(self, name: str) -> Dataset:
        """A store, or a run by name; opened where nobody has asked for it before."""
        if len(name) > 200:
            raise Problem("unknown-run", "a name of more than 200 characters")
        async with self._opening:
            try:
                return await asyncio.to_thread(self.library.get, name)
            except KeyError:
                raise Problem("unknown-run", f"no run {name!r} here", there=list(self.library.runs())[-50:]) from None
            except DataError as why:
                raise Problem("not-ready", without_paths(why)) from None

    async def _asked(self, body: Any) -> Dataset:
        """The one that a question of the past names."""
        run = body.get("run", "") if isinstance(body, dict) else ""
        if not isinstance(run, str):
            raise Problem("bad-value", "run: expected a text", name="run")
        return await self.dataset(run)

    async def listing(self, request: Request) -> Response:
        """Every feature there is."""
        only(request.query)
        out = [{"name": key, "unit": e.unit, "meaning": e.meaning, "window": "none" if e.window is None else "distance" if e.group == "map"
                else "required" if e.window == 0 else "optional", "transforms": list(TRANSFORMS),
                "made_of": [KINDS[kind] for kind in e.kinds]} for key, e in ENTRIES.items()]
        return Response(orjson.dumps({"features": out, "transforms": TRANSFORMS}))

    async def parsed(self, request: Request) -> Response:
        """Names in full."""
        only(request.query, "names")
        found = names_of(request.query.get("names", ""))
        return Response(orjson.dumps({"names": [{"asked": written, "name": canonical(written)} for written in found]}))

    async def live(self, request: Request) -> Response:
        """The newest values of one contract."""
        query = request.query
        only(query, *LIVE_KEYS)
        strict = query.get("strict", "0")
        if strict not in ("0", "1"):
            raise Problem("bad-value", f"strict: found {strict[:20]!r}, expected 0 or 1", name="strict")
        asked = names_of(query.get("features", ""))
        dataset = self.library.opened(query.get("run", "")) or await self.dataset(query.get("run", ""))
        instrument = instrument_of(dataset, query.get("asset"), query.get("contract"), query.get("venue"))
        held = answers.held(dataset, asked, instrument)
        if held is None:
            held = await asyncio.to_thread(answers.live, dataset, self.library.saved, asked, instrument)
        if strict == "1" and held.nulls:
            raise Problem("not-ready", "not known now: " + ", ".join(held.nulls), unknown=held.nulls)
        age = max(time.time_ns() - held.as_of, 0) / 1e6
        return Response(b'{"age_ms":%.1f,%b' % (age, held.body[1:]), headers=NO_STORE)

    async def historical(self, request: Request) -> Response:
        """Rows of the past."""
        only(request.query)
        kind = accepted(request.headers.get("accept", ""), HISTORY_KINDS)
        body = await request.json()
        dataset = await self._asked(body)
        return await asyncio.to_thread(self._historical, request, dataset, body, kind)

    def _historical(self, request: Request, dataset: Dataset, body: Any, kind: str) -> Response:
        question = history_of(dataset, body)
        if (cost := len(question.rows) * len(question.names) // CELLS):
            self.site.charge(request, "history", cost)
        answers.check(dataset, question, self.library.saved)
        tag = answers.etag_of(dataset, question, kind)
        headers = [(b"etag", f'"{tag}"'.encode()), (b"cache-control", b"private, no-cache"), (b"vary", b"accept")]
        if same(tag, request.headers.get("if-none-match", "")):
            return Response(status=304, headers=headers)
        table = answers.table_of(dataset, question, self.library.saved, kind == answers.JSON)
        return Response(answers.encode(table, kind), kind=kind, headers=headers)

    async def streamed(self, request: Request) -> Response:
        """Live values as server-sent events."""
        query = request.query
        only(query, *LIVE_KEYS[:-1], "every")
        asked = names_of(query.get("features", ""))
        step = step_of(query.get("every", "1m"), "every")
        if step < STEP_NS_MIN:
            raise Problem("bad-value", "every: expected 1s or longer", name="every")
        since = request.headers.get("last-event-id", "")
        if since and (not since.isascii() or not since.isdigit() or len(since) > 19):
            raise Problem("bad-value", "Last-Event-ID: expected the id of an event, ns since 1970", name="last-event-id")
        dataset = await self.dataset(query.get("run", ""))
        instrument = instrument_of(dataset, query.get("asset"), query.get("contract"), query.get("venue"))
        await asyncio.to_thread(answers.live, dataset, self.library.saved, asked, instrument)
        contract = dataset.data.instruments[instrument].key
        pieces = stream(lambda: self.library.opened(query.get("run", "")) or dataset, self.library.saved, asked, contract, step,
                        int(since or 0), lambda: self.site.holds(request.who))
        return Response(pieces, kind="text/event-stream", headers=[*NO_STORE, (b"x-accel-buffering", b"no")])

    async def job(self, request: Request) -> Response:
        """A question that is too large for one answer."""
        only(request.query)
        body = await request.json()
        kind = accepted(request.headers.get("accept", ""), HISTORY_KINDS)
        dataset = await self._asked(body)
        ident = await asyncio.to_thread(self.jobs.begin, dataset, body, kind, request.who)
        return Response(orjson.dumps(self.jobs.state(ident, request.who)), 202, headers=[(b"location", f"/v1/jobs/{ident}".encode()), *NO_STORE])

    async def job_state(self, request: Request) -> Response:
        """How far it is, or with ?result=1 what came of it."""
        only(request.query, "result")
        if (wanted := request.query.get("result", "1")) != "1":
            raise Problem("bad-value", f"result: found {wanted[:20]!r}, expected 1", name="result")
        ident = request.path.rpartition("/")[2]
        state = self.jobs.state(ident, request.who)
        if "result" not in request.query:
            return Response(orjson.dumps(state), headers=NO_STORE)
        body, kind = await asyncio.to_thread(self.jobs.result, ident, request.who)
        return Response(body, kind=kind, headers=NO_STORE)

    async def signals(self, request: Request) -> Response:
        """Signals of a run."""
        query = request.query
        only(query, "since", "asset", "contract", "venue", "run", "limit")
        since = time_of(query["since"], "since") if "since" in query else 0
        limit = query.get("limit", "1000")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 10_000):
            raise Problem("bad-value", "limit: expected 1 to 10000", name="limit")
        dataset = await self.dataset(query.get("run", ""))
        one = _chosen(dataset, query)
        return Response(await asyncio.to_thread(_signals_answer, dataset, since, one, int(limit)), headers=NO_STORE)

    async def view(self, request: Request) -> Response:
        """What a run that goes on says of itself now."""
        query = request.query
        only(query, "asset", "contract", "venue", "run")
        dataset = self.library.opened(query.get("run", "")) or await self.dataset(query.get("run", ""))
        one = _chosen(dataset, query)
        if not dataset.name:
            raise Problem("unknown-run", "this is a store, not a run")
        found = view_page.read(dataset.folder)
        if found is None:
            raise Problem("not-ready", "no view page: the run has ended")
        return Response(_view_answer(dataset.name, found, one), headers=NO_STORE)

    async def health(self, request: Request) -> Response:
        """200 while what is served can be read."""
        only(request.query)
        try:
            dataset = self.library.opened("") or await self.dataset("")
        except Problem as why:
            return Response(orjson.dumps({"status": "not ready", "why": why.detail}), 503, headers=NO_STORE)
        about = {"status": "trouble" if self.trouble else "ok", **answers.head(dataset), "data_start": iso(dataset.data.start),
                 "complete_through": iso(dataset.complete), "age_ms": max(time.time_ns() - dataset.complete, 0) / 1e6}
        with contextlib.suppress(DataError):
            seen = view_page.read(dataset.folder) if dataset.name else None
            about |= {"process": _process(seen)} if seen else {}
        return Response(orjson.dumps(about | ({"why": self.trouble} if self.trouble else {})), 503 if self.trouble else 200, headers=NO_STORE)

    async def openapi(self, request: Request) -> Response:
        """The API in OpenAPI 3.1."""
        only(request.query)
        return Response(orjson.dumps(openapi.document()))

    async def docs(self, request: Request) -> Response:
        """One page without scripts."""
        return Response(openapi.page().encode(), kind="text/html; charset=utf-8",
                        headers=[(b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")])


def _chosen(dataset: Dataset, query: Mapping[str, str]) -> int:
    """The contract that a query is about; -1 = all of them."""
    if query.keys() & {"asset", "contract"}:
        return instrument_of(dataset, query.get("asset"), query.get("contract"), query.get("venue"))
    if "venue" in query:
        raise Problem("bad-value", "venue: expected with asset or contract", name="venue")
    return -1


def site_of(api: Api, **options: Any) -> Site:
    """The ASGI application. options: of Site."""
    api.site = Site(api.routes(), run=api.run, **options)
    return api.site
