"""The routes of `liqcore serve` and their answers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from liqcore.features.spec import TRANSFORMS
from liqcore.features.table import BBO, DELEVERAGE, ENTRIES, LIQUIDATION, TICKER, TRADE, VENUE_STATE
from liqshell.errors import DataError
from liqshell.research.feature_rows import iso
from liqshell.run import view_page
from liqshell.service import answers, openapi, signals, watching
from liqshell.service.jobs import Jobs
from liqshell.service.problems import Problem, without_paths
from liqshell.service.questions import canonical, history_of, instrument_of, names_of, step_of, time_of
from liqshell.service.series import series_of
from liqshell.service.sources import Dataset, Library
from liqshell.service.stream import stream
from liqshell.service.web import Request, Response, Route, Site, accepted, only, same

REFRESH_S = 0.25  # how often what is followed is looked at
KINDS = {LIQUIDATION: "LIQUIDATION", TRADE: "TRADE", BBO: "BBO", TICKER: "TICKER", DELEVERAGE: "DELEVERAGE", VENUE_STATE: "VENUE_STATE"}
HISTORY_KINDS = (answers.JSON, answers.NDJSON, answers.CSV, answers.ARROW, answers.PARQUET)
NO_STORE = [(b"cache-control", b"no-store")]
LIVE_KEYS = ("asset", "features", "venue", "contract", "run", "strict")
STEP_NS_MIN = 1_000_000_000  # of market time between two events of a stream
PIECE_BYTES = 1 << 20
CELLS = 10_000  # of an answer of the past that cost as much as one request


@dataclass
class Api:
    """features: names that are made ready before anybody asks."""

    library: Library
    features: tuple[str, ...] = ()
    site: Site = field(init=False)
    trouble: str = ""  # why what is served cannot be followed
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
        """A store, or a run by name; opened at its first use."""
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
        out = [
            {
                "name": key,
                "unit": e.unit,
                "meaning": e.meaning,
                "window": "none" if e.window is None else "distance" if e.group == "map" else "required" if e.window == 0 else "optional",
                "transforms": list(TRANSFORMS),
                "made_of": [KINDS[kind] for kind in e.kinds],
            }
            for key, e in ENTRIES.items()
        ]
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
            raise Problem("not-known", "not known now: " + ", ".join(held.nulls), unknown=held.nulls)
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
        if cost := len(question.rows) * len(question.names) // CELLS:
            self.site.charge(request, "history", cost)
        series_of(dataset, question.names, self.library.saved)  # before anything is answered
        tag = answers.etag_of(dataset, question, kind)
        headers = [(b"etag", f'"{tag}"'.encode()), (b"cache-control", b"private, no-cache"), (b"vary", b"accept")]
        if same(tag, request.headers.get("if-none-match", "")):
            return Response(status=304, headers=headers)
        out = io.BytesIO()
        answers.write(dataset, question, self.library.saved, kind, out)
        return Response(out.getvalue(), kind=kind, headers=headers)

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
        pieces = stream(
            lambda: self.library.opened(query.get("run", "")) or dataset,
            self.library.saved,
            asked,
            contract,
            step,
            int(since or 0),
            lambda: self.site.holds(request.who),
        )
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
        """Its progress, or with ?result=1 its result."""
        only(request.query, "result")
        if (wanted := request.query.get("result", "1")) != "1":
            raise Problem("bad-value", f"result: found {wanted[:20]!r}, expected 1", name="result")
        ident = request.path.rpartition("/")[2]
        state = self.jobs.state(ident, request.who)
        if "result" not in request.query:
            return Response(orjson.dumps(state), headers=NO_STORE)
        path, kind = self.jobs.result(ident, request.who)
        return Response(_read(path), kind=kind, headers=[*NO_STORE, (b"content-length", str(path.stat().st_size).encode())])

    async def signals(self, request: Request) -> Response:
        """Signals of a run."""
        query = request.query
        only(query, "since", "asset", "contract", "venue", "run", "limit")
        since = time_of(query["since"], "since") if query.get("since", "0") != "0" else 0
        limit = query.get("limit", "1000")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 10_000):
            raise Problem("bad-value", "limit: expected 1 to 10000", name="limit")
        dataset = await self.dataset(query.get("run", ""))
        one = _chosen(dataset, query)
        return Response(await asyncio.to_thread(signals.answer, dataset, since, one, int(limit)), headers=NO_STORE)

    async def view(self, request: Request) -> Response:
        """The current state of a live run."""
        query = request.query
        only(query, "asset", "contract", "venue", "run")
        dataset = self.library.opened(query.get("run", "")) or await self.dataset(query.get("run", ""))
        one = _chosen(dataset, query)
        if not dataset.name:
            raise Problem("unknown-run", "this is a store, not a run")
        found = view_page.read(dataset.folder)
        if found is None:
            raise Problem("no-view", "the run has ended")
        return Response(watching.answer(dataset.name, found, one), headers=NO_STORE)

    async def health(self, request: Request) -> Response:
        """200 while what is served can be read."""
        only(request.query)
        try:
            dataset = self.library.opened("") or await self.dataset("")
        except Problem as why:
            return Response(orjson.dumps({"status": "not ready", "why": why.detail}), 503, headers=NO_STORE)
        about = {
            "status": "trouble" if self.trouble else "ok",
            **answers.head(dataset),
            "data_start": iso(dataset.data.start),
            "complete_through": iso(dataset.complete),
            "age_ms": max(time.time_ns() - dataset.complete, 0) / 1e6,
        }
        with contextlib.suppress(DataError):
            seen = view_page.read(dataset.folder) if dataset.name else None
            about |= {"process": watching.process(seen)} if seen else {}
        return Response(orjson.dumps(about | ({"why": self.trouble} if self.trouble else {})), 503 if self.trouble else 200, headers=NO_STORE)

    async def openapi(self, request: Request) -> Response:
        """The API in OpenAPI 3.1."""
        only(request.query)
        return Response(orjson.dumps(openapi.document()))

    async def docs(self, request: Request) -> Response:
        """One page without scripts."""
        return Response(
            openapi.page().encode(),
            kind="text/html; charset=utf-8",
            headers=[(b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'")],
        )


async def _read(path: Path) -> AsyncIterator[bytes]:
    """A file piece by piece: the result of a job may be larger than the memory."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


def _chosen(dataset: Dataset, query: Mapping[str, str]) -> int:
    """The contract that a query is about; -1 = all of them."""
    if query.keys() & {"asset", "contract", "venue"}:
        return instrument_of(dataset, query.get("asset"), query.get("contract"), query.get("venue"))
    return -1


def site_of(api: Api, **options: Any) -> Site:
    """The ASGI application. options: of Site."""
    api.site = Site(api.routes(), run=api.run, **options)
    return api.site
