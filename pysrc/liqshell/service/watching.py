"""The view page of a run as JSON."""

from __future__ import annotations

import math
import time
from enum import IntEnum
from typing import Any

import orjson

import liqcore as lc
from liqshell.research.feature_rows import iso
from liqshell.run.view_page import View

TIMES = ("ts_trade", "ts_quote", "ts_mark", "quote_until", "deadline")
WORDS = {"phase": lc.Phase, "state": lc.BracketState}
NOT_TOLD = ("row", "contracts", "assets", "features", "boot", "pid_started")  # of the head of a page
BITS = {"gates": lc.Gate, "interrupted": lc.Stream}


def process(view: View) -> dict[str, Any]:
    """Whether the process of a run is there. A page without its process is one of a run that was killed."""
    word = "alive" if view.alive else "silent" if view.running else "dead"
    return {"state": word, "mode": view.head["mode"], "age_ms": max(time.time_ns() - view.wall_ns, 0) / 1e6}


def answer(run: str, view: View, one: int = -1) -> bytes:
    """The answer of GET /v1/view. one: place of the single requested contract, -1 = all."""
    places = range(len(view.rows)) if one < 0 else [one]
    return orjson.dumps(
        {
            "run": run,
            "as_of": iso(view.ts),
            "as_of_ns": view.ts,
            "process": process(view),
            "about": {key: value for key, value in view.head.items() if key not in NOT_TOLD},
            "contracts": [_contract(view, n) for n in places],
            "status": view.status,
        }
    )


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
