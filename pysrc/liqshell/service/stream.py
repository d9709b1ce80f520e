"""Server-sent events: the values of a contract at every step of market time, from the one after Last-Event-ID on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import orjson

from liqshell.service import answers
from liqshell.service.checkpoints import Checkpoints
from liqshell.service.series import series_of
from liqshell.service.sources import Dataset

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
