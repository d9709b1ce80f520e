"""The kinds of faults: where each acts, how long, how often against the others, and what is drawn for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

Options = dict[str, Any]
CHANNELS = ("private", "orders")
UNKNOWN_CODES, FATAL_CODES = (10000, 10016, 10019), (10003, 10005, 10010, 33004, 401)  # 401: an HTTP status


def _plain(r: Random) -> Options:
    return {}


def _wire(r: Random) -> Options:
    return {"channel": r.choice(("private", "orders", "public", "all"))}


def _refuse(r: Random) -> Options:
    return {"channel": r.choice(("private", "orders", "rest", "all"))}


def _hole(r: Random) -> Options:
    return {"channel": r.choice(("private", "orders", "all")), "up": r.random() < 0.7}


def _request(r: Random) -> Options:
    return {
        "channel": r.choice(("trade", "trade", "rest")),
        "operation": r.choice(("", "create", "cancel", "amend", "query")),
        "probability": r.choice((1.0, 1.0, 0.5)),
        "count": r.choice((0, 1, 2)),
    }


def _error(r: Random) -> Options:
    return _request(r) | {"code": r.choice(UNKNOWN_CODES), "booked": r.choice((0.0, 0.5, 1.0))}


def _http(r: Random) -> Options:
    return {"channel": "rest", "code": r.choice((500, 502, 503, 429, 403)), "booked": r.choice((0.0, 1.0)), "probability": r.choice((1.0, 0.5))}


def _limit(r: Random) -> Options:
    return _request(r) | {"reset_header": r.random() < 0.5}


def _late(r: Random) -> Options:
    return {"delay_s": round(r.expovariate(1.0) * 0.5, 3), "jitter_s": round(r.expovariate(1.0) * 0.3, 3)}


def _slow(r: Random) -> Options:
    return _request(r) | {"delay_s": round(r.uniform(0.2, 9.0), 3)}


def _topic(r: Random) -> Options:
    return {"topic": r.choice(("", "order", "execution", "position")), "probability": r.choice((1.0, 0.5, 0.2))}


def _stale(r: Random) -> Options:
    return {"channel": "rest", "operation": "query", "delay_s": round(r.uniform(0.1, 5.0), 3)}


def _account(r: Random) -> Options:
    return {"share": r.choice((1.0, 0.5)), "size": round(r.random(), 3)}


def _rights(r: Random) -> Options:
    return {"channel": r.choice(("", "trade", "rest")), "code": r.choice(FATAL_CODES), "booked": 0.0, "probability": r.choice((1.0, 0.5))}


def _clock(r: Random) -> Options:
    return {"offset_s": round(r.choice((-1, 1)) * r.choice((0.2, 0.5, 1.5, 4.0, 30.0)) * r.uniform(0.5, 1.0), 3)}


def _queries(r: Random) -> Options:
    """Of questions by REST alone: what becomes of them."""
    how = r.choice(("http_error", "http_error", "error", "rate_limit", "lose_request", "lose_ack", "slow_server", "stale_rest"))
    return {
        "how": how,
        "code": r.choice((500, 502, 503)) if how == "http_error" else r.choice(UNKNOWN_CODES),
        "booked": 0.0,
        "probability": r.choice((1.0, 0.7, 0.3)),
        "delay_s": round(r.uniform(0.5, 9.0), 3),
        "reset_header": r.random() < 0.5,
    }


@dataclass(frozen=True, slots=True)
class Kind:
    """layer: "wires" (network.py), "venue" (the emulator's own faults), "people" (somebody does something to the account, or to us)."""

    layer: str
    duration_s: tuple[float, float]
    weight: float
    options: Callable[[Random], Options] = _plain


KINDS: dict[str, Kind] = {
    "reset": Kind("wires", (0, 0), 8, _wire),
    "refuse": Kind("wires", (1, 60), 5, _refuse),
    "half_open": Kind("wires", (30, 60), 4, _hole),
    "stall": Kind("wires", (0.3, 15), 6, _wire),
    "slow_wires": Kind("wires", (1, 60), 3),
    "lossy_wires": Kind("wires", (1, 120), 2),
    "rest_requests_lost": Kind("wires", (1, 60), 3),
    "rest_answers_lost": Kind("wires", (1, 60), 3),
    "maintenance": Kind("wires", (10, 300), 1.5),
    "lose_ack": Kind("venue", (0.5, 20), 5, _request),
    "lose_request": Kind("venue", (0.5, 20), 4, _request),
    "error": Kind("venue", (0.5, 10), 5, _error),
    "http_error": Kind("venue", (0.5, 30), 3, _http),
    "rate_limit": Kind("venue", (0.5, 5), 4, _limit),
    "slow_server": Kind("venue", (0.5, 10), 3, _slow),
    "late_ack": Kind("venue", (0.5, 30), 3, _late),
    "no_req_id": Kind("venue", (5, 60), 1),
    "reject_stop": Kind("venue", (1, 10), 1),
    "drop_stop": Kind("venue", (1, 10), 1),
    "stale_rest": Kind("venue", (0.5, 20), 3, _stale),
    "delay_private": Kind("venue", (0.5, 20), 3, _late),
    "reorder_private": Kind("venue", (0.5, 30), 4, _late),
    "duplicate_private": Kind("venue", (1, 60), 3, _topic),
    "lose_private": Kind("venue", (0.2, 10), 3, _topic),
    "execution_first": Kind("venue", (5, 60), 2, _late),
    "double_filled": Kind("venue", (5, 120), 2),
    "post_only_rejected": Kind("venue", (5, 300), 2),
    "empty_numbers": Kind("venue", (5, 60), 2),
    "garbage_private": Kind("venue", (0.5, 10), 2, _topic),
    "cancel_rest": Kind("venue", (5, 60), 1.5),
    "cancel_stops": Kind("venue", (0, 0), 1),
    "adl": Kind("venue", (0, 0), 1, _account),
    "liquidate": Kind("venue", (0, 0), 0.5),
    "halt": Kind("venue", (5, 60), 1, _account),
    "manual_reduce": Kind("people", (0, 0), 1.5, _account),
    "manual_open": Kind("people", (50, 120), 0.4, _account),
    "clock_step": Kind("people", (5, 60), 2, _clock),
    "kill_word": Kind("people", (5, 240), 0.7),
}
# Kinds that came later, drawn by a generator of their own and only where has_later(seed) says so: the other seeds are the runs that they were when
# they found something, and tests quote them.
LATER: dict[str, Kind] = {
    "freeze": Kind("people", (0.3, 12), 4),
    "rights": Kind("venue", (5, 60), 1, _rights),
    "bad_market": Kind("wires", (1, 30), 3),
}
# Kinds of the second campaign: seeds from SECOND_FROM on draw from all.
SECOND: dict[str, Kind] = {
    "queries": Kind("venue", (0.5, 25), 8, _queries),
    "names_lost": Kind("wires", (1, 30), 3),
    "orders_down": Kind("wires", (0.3, 4), 4),
    "budget": Kind("people", (0.5, 8), 5),
    "manual_add": Kind("people", (5, 90), 1.2, _account),
    "foreign": Kind("people", (50, 400), 1.5, _account),
    "disk_full": Kind("people", (5, 120), 2.5),
    "new_tick": Kind("people", (30, 200), 2.5, _account),
    "delisted": Kind("people", (30, 200), 2, _account),
    "hedge": Kind("people", (60, 400), 3, _account),
    "restarted": Kind("people", (2, 30), 2.5),
    "split": Kind("people", (0, 0), 1.2, _account),
    "dividend": Kind("people", (0, 0), 1.2, _account),
    "adl_winner": Kind("people", (20, 60), 1.5, _account),
}
ALL = KINDS | LATER | SECOND
# Weights in the second campaign of what makes its rarest states.
WEIGHTS = {name: kind.weight for name, kind in ALL.items()} | {"kill_word": 5.0, "manual_reduce": 4.0, "adl": 1.5, "liquidate": 1.0}
