"""Faults of a venue on demand: scripted, or posted to the running emulator.

A fault is a dict such as {"kind": "stall", "at_s": 600, "duration_s": 10} or {"kind": "lose_ack", "operation": "create", "on_order": 3, "count": 1}.
It begins at a market time after the start (at_s), when a cascade has reached so many prints (on_cascade, known from the generator's ground truth), or
with the n-th order request (on_order: before that request is looked at); else at once. Durations are market seconds, delays wall seconds.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from heapq import heappop, heappush

import orjson

from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.synthetic_feed import Frame

NS = 1_000_000_000
VENUES = ("bybit", "binance", "okx")
CHANNELS = ("public", "private", "trade", "rest")
OPERATIONS = ("create", "amend", "cancel", "stop", "set", "query")
CONNECTION = {
    "drop": "every websocket (of `channel`) is reset (TCP RST)",
    "refuse": "new websocket connections (of `channel`; requests where it is rest) are reset for duration_s",
    "half_open": "the connections stay open but carry nothing for duration_s (0 = for ever), not even pongs; data due in that time are lost. A "
    "request in that time is executed with probability `booked`",
    "stall": "nothing is sent for duration_s, then everything at once",
    "maintenance": "for duration_s: all websockets are closed and refused, REST answers HTTP 503; orders stay",
    "clock_skew": "the venue's clock is delay_s ahead for duration_s (backward: true = behind)",
}
PUBLIC = {
    "delay_liquidations": "liquidation frames come delay_s + up to jitter_s (market seconds) late, for duration_s: out of order when jitter_s "
    "is large",
    "duplicate_liquidations": "liquidation frames come twice with the given probability, for duration_s",
    "invert_side": "Buy and Sell swapped in liquidation frames for duration_s",
    "lose_liquidations": "liquidation frames are dropped with the given probability, for duration_s",
    "book_restart": "an orderbook.1 snapshot with u = 1 for every symbol, as after a restart of the venue's service",
    "book_gap": "the u of orderbook.1 jumps ahead by 1000",
    "many_liquidations": "the rows of a liquidation frame are repeated until there are `rows`, for duration_s",
    "garbage_public": "damaged frames between the good ones, with the given probability, for duration_s",
}
# a request is hit where `channel` and `operation` fit it (left out = any), with the given probability, at most `count` times (0 = any number)
REQUEST = {
    "lose_ack": "the request is executed, the answer never arrives",
    "lose_request": "the request never arrives",
    "error": "answered with retCode `code` (10000, 10016, 10019: outcome unknown; 10003, 10005: key trouble), executed with probability `booked`",
    "http_error": "REST answers HTTP status `code` (500, 502, 503, 403, 429, ...) without a readable body; executed with probability `booked` (401, "
    "403, 404 never: they come before the request is read)",
    "rate_limit": "refused with 10006; reset_header: false omits the reset header",
    "slow_server": "the request is processed delay_s + up to jitter_s later: 10002 if its window has ended by then",
    "late_ack": "the answer comes delay_s + up to jitter_s later, after the private stream has reported",
    "no_req_id": "refusals on the order-entry websocket come without reqId",
    "reject_stop": "every request that places or moves a stop is refused with retCode `code` (0 = 110093)",
    "drop_stop": "the stop attached to an entry is omitted without notice; a request for a stop is acknowledged and ignored",
    "stale_rest": "REST queries of the account answer with its state of delay_s (market seconds) ago",
}
PRIVATE = {
    "delay_private": "private frames come delay_s + up to jitter_s late, in order: after the answers to the requests that caused them",
    "reorder_private": "private frames come up to jitter_s late, each with its own delay, so out of order",
    "duplicate_private": "private frames come twice (topic, where given) with the given probability",
    "lose_private": "private frames are lost (topic, where given) with the given probability",
    "execution_first": "executions come before the order message of the same moment, which follows delay_s later",
    "double_filled": "after Filled another Filled, with cancelType CancelByUser, as when a cancel races the fill",
    "post_only_rejected": "a post-only order that would take liquidity ends as Rejected instead of Cancelled (and the other way round)",
    "empty_numbers": "zero numbers are empty text in private frames",
    "garbage_private": "damaged frames between the good ones, with the given probability",
}
ACCOUNT = {
    "cancel_rest": "the venue cancels the rest of a partly executed entry",
    "cancel_stops": "the venue cancels the stops that protect positions",
    "adl": "auto-deleveraging closes `share` of the positions (of `symbol`) at the mark",
    "liquidate": "the account is liquidated",
    "manual_trade": "a person closes `share` of the position (of `symbol`) in the venue's app, or opens a small one if there is none and `symbol` "
    "is given",
    "halt": "the symbol (default: every one) stops trading for duration_s (110074)",
}
KINDS = CONNECTION | PUBLIC | REQUEST | PRIVATE | ACCOUNT
LIQUIDATION_TOPIC = {"bybit": "allLiquidation.", "binance": "forceOrder", "okx": "liquidation-orders"}
SIDE_TEXTS = {"bybit": (b'"S":"Buy"', b'"S":"Sell"'), "binance": (b'"S":"BUY"', b'"S":"SELL"'), "okx": (b'"side":"buy"', b'"side":"sell"')}
MOMENTARY = {"drop", "book_restart", "book_gap", "cancel_stops", "adl", "liquidate", "manual_trade"}
TOPICS = ("order", "execution", "position", "wallet")
WHOLE = ("on_cascade", "on_order", "code", "count", "rows")
NUMBERS = ("at_s", "on_cascade", "on_order", "duration_s", "delay_s", "jitter_s", "probability", "code", "booked", "count", "share", "rows")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; see KINDS."""

    kind: str
    at_s: float | None = None
    on_cascade: int | None = None
    on_order: int | None = None
    duration_s: float = 10.0
    delay_s: float = 2.0
    jitter_s: float = 0.0
    probability: float = 1.0
    channel: str = ""
    operation: str = ""
    topic: str = ""
    symbol: str = ""
    venue: str = ""
    code: int = 0
    booked: float = 0.5
    count: int = 0
    share: float = 1.0
    rows: int = 200
    reset_header: bool = True
    backward: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}: expected one of {', '.join(KINDS)}")
        if sum(begin is not None for begin in (self.at_s, self.on_cascade, self.on_order)) > 1:
            raise ValueError("a fault begins at_s or on_cascade or on_order, not both")
        for name in NUMBERS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9):
                raise ValueError(f"fault {self.kind}: {name} must be a number in [0, 1e9), got {value!r}")
            if name in WHOLE and isinstance(value, float):
                raise ValueError(f"fault {self.kind}: {name} must be a whole number, got {value!r}")
        for name, allowed in (("channel", CHANNELS), ("operation", OPERATIONS), ("topic", TOPICS)):
            if getattr(self, name) not in ("", *allowed):
                raise ValueError(f"fault {self.kind}: {name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if self.venue not in ("", *VENUES):
            raise ValueError(f"fault {self.kind}: venue must be one of {', '.join(VENUES)}, got {self.venue!r}")
        if not isinstance(self.symbol, str):
            raise ValueError(f"fault {self.kind}: symbol must be a text, got {self.symbol!r}")
        for name in ("reset_header", "backward"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"fault {self.kind}: {name} must be true or false, got {getattr(self, name)!r}")

    @classmethod
    def of(cls, spec: Mapping[str, object]) -> "Fault":
        """From a decoded JSON object; ValueError names what is unknown."""
        names = [f.name for f in fields(cls)]
        if not isinstance(spec, Mapping) or set(spec) - set(names):
            raise ValueError(f"a fault is an object with {', '.join(names)}; got {spec!r}")
        if "kind" not in spec:
            raise ValueError(f"a fault needs a kind: one of {', '.join(KINDS)}")
        return cls(**spec)  # type: ignore[arg-type]

    def fits(self, channel: str, operation: str, topic: str, venue: str = "bybit") -> bool:
        """Whether it is about that channel, operation, topic and venue."""
        return (
            self.venue in ("", venue)
            and (not self.channel or self.channel == channel)
            and (not self.operation or self.operation == operation)
            and (not self.topic or self.topic == topic)
        )


class Faults:
    """The faults that wait and the faults that act. Seeded: the same script on the same feed does the same.

    fired: what has begun, in order. struck: how often each kind has hit something. orders: order requests so far.
    """

    def __init__(self, seed: int, start_ns: int, script: Iterable[Mapping[str, object]] = ()) -> None:
        self.random = random.Random(seed)
        self._start = start_ns
        self._waiting = [Fault.of(spec) for spec in script]
        self._active: list[list] = []  # [end, fault, strikes left or -1]
        self._kinds: set[str] = set()  # of them: most questions are about a fault that does not act
        self._end = 0  # when the first of them ends
        self._late: dict[str, list[tuple[int, int, Frame]]] = {venue: [] for venue in VENUES}
        self._count = 0
        self.orders = 0
        self.fired: list[dict[str, object]] = []
        self.struck: Counter[str] = Counter()

    def add(self, spec: Mapping[str, object]) -> None:
        """One more; without at_s, on_cascade and on_order it begins at the next look."""
        self._waiting.append(Fault.of(spec))

    def begin(self, now_ns: int, cascade: int = 0) -> list[Fault]:
        """The faults that begin now; cascade: size of the largest cascade that is going on."""
        if not self._waiting:
            return []
        out: list[Fault] = []
        rest: list[Fault] = []
        for fault in self._waiting:
            if fault.on_cascade is not None:
                due = cascade >= fault.on_cascade
            elif fault.on_order is not None:
                due = self.orders >= fault.on_order
            else:
                due = now_ns >= self._start + int((fault.at_s or 0.0) * NS)
            (out if due else rest).append(fault)
        self._waiting = rest
        for fault in out:
            if fault.kind not in MOMENTARY:
                self._active.append([now_ns + int(fault.duration_s * NS), fault, fault.count or -1])
            self.fired.append({"kind": fault.kind, "at_ns": now_ns, "duration_s": fault.duration_s})
        if out:
            self._count_active()
        return out

    def _count_active(self) -> None:
        self._kinds = {fault.kind for _, fault, _ in self._active}
        self._end = min((end for end, _, _ in self._active), default=0)

    def _acting(self, kind: str, now_ns: int, venue: str) -> Iterable[Fault]:
        """The faults of that kind that act now on that venue."""
        if kind not in self._kinds:
            return ()
        return (fault for end, fault, left in self._active if fault.kind == kind and now_ns < end and left and fault.venue in ("", venue))

    def active(self, kind: str, now_ns: int, channel: str = "", venue: str = "bybit") -> Fault | None:
        """The fault of that kind that acts now on that venue (and channel), if any."""
        return next((fault for fault in self._acting(kind, now_ns, venue) if not channel or fault.channel in ("", channel)), None)

    def named(self, kind: str, now_ns: int, channel: str, venue: str = "bybit") -> Fault | None:
        """The fault of that kind that acts now and names that channel."""
        return next((fault for fault in self._acting(kind, now_ns, venue) if fault.channel == channel), None)

    def symbols(self, kind: str, now_ns: int) -> set[str]:
        """Symbols that faults of that kind name now."""
        return {fault.symbol for end, fault, _ in self._active if fault.kind == kind and now_ns < end}

    def until(self, kind: str, now_ns: int, channel: str = "") -> int:
        """When the last active fault of that kind ends; now_ns where none acts."""
        if kind not in self._kinds:
            return now_ns
        ends = (end for end, fault, left in self._active if fault.kind == kind and left and (not channel or fault.channel in ("", channel)))
        return max(ends, default=now_ns)

    def strike(self, kind: str, now_ns: int, channel: str = "", operation: str = "", topic: str = "", venue: str = "bybit") -> Fault | None:
        """The fault of that kind that hits this request or frame, if any: counted, and used up where it may hit only so many times."""
        for entry in self._active if kind in self._kinds else ():
            end, fault, left = entry
            if fault.kind == kind and now_ns < end and left and fault.fits(channel, operation, topic, venue) and self.happens(fault.probability):
                entry[2] = left - 1 if left > 0 else left
                self.struck[kind] += 1
                return fault
        return None

    def happens(self, probability: float) -> bool:
        """A coin."""
        return probability >= 1.0 or (probability > 0.0 and self.random.random() < probability)

    @property
    def quiet(self) -> bool:
        """Nothing acts and nothing is held back."""
        return not self._active and not any(self._late.values())

    @property
    def idle(self) -> bool:
        """Nothing acts and nothing waits to."""
        return not self._active and not self._waiting

    @property
    def next_ns(self) -> int | None:
        """When a delayed frame is due or something that waits or acts may change."""
        times = [late[0][0] for late in self._late.values() if late]
        times += [end for end, _, _ in self._active]
        times += [self._start + int((fault.at_s or 0.0) * NS) for fault in self._waiting if fault.on_cascade is None and fault.on_order is None]
        return min(times, default=None)

    def expire(self, now_ns: int) -> None:
        """Forget what has ended."""
        if self._active and now_ns >= self._end:
            self._active = [entry for entry in self._active if now_ns < entry[0]]
            self._count_active()

    def apply(self, now_ns: int, frames: list[Frame], venue: str = "bybit") -> list[Frame]:
        """Frames of a venue as they leave: delayed, doubled, lost or inverted."""
        late = self._late[venue]
        if not self._active and not late:
            return frames
        self.expire(now_ns)
        out = []
        for frame in frames:
            if self.strike("garbage_public", now_ns, "public", venue=venue):
                out.append(frame._replace(payload=damaged(frame.payload, self.random)))
            out += self._liquidations(now_ns, frame, venue) if LIQUIDATION_TOPIC[venue] in frame.topic else [frame]
        while late and late[0][0] <= now_ns:
            out.append(heappop(late)[2])
        return out

    def _liquidations(self, now_ns: int, frame: Frame, venue: str) -> list[Frame]:
        if self.active("invert_side", now_ns, venue=venue):
            buy, sell = SIDE_TEXTS[venue]
            frame = frame._replace(payload=sell.join(part.replace(sell, buy) for part in frame.payload.split(buy)))
        if (fault := self.active("lose_liquidations", now_ns, venue=venue)) and self.random.random() < fault.probability:
            return []
        if venue == "bybit" and (fault := self.strike("many_liquidations", now_ns, "public")):
            frame = frame._replace(payload=_repeated(frame.payload, int(fault.rows)))
        frames = [frame]
        if (fault := self.active("duplicate_liquidations", now_ns, venue=venue)) and self.random.random() < fault.probability:
            frames.append(frame)
        if fault := self.active("delay_liquidations", now_ns, venue=venue):
            for late in frames:
                self._count += 1
                wait = fault.delay_s + fault.jitter_s * self.random.random()
                heappush(self._late[venue], (now_ns + int(wait * NS), self._count, late))
            return []
        return frames


def _repeated(payload: bytes, rows: int) -> bytes:
    """A liquidation frame whose rows are repeated until there are so many."""
    frame = orjson.loads(payload)
    given = frame["data"]
    frame["data"] = [given[k % len(given)] for k in range(max(rows, len(given)))]
    return orjson.dumps(frame)


def damaged(payload: bytes, random_: random.Random) -> bytes:
    """A frame that is cut short, has a byte changed, or is something else altogether."""
    kind = random_.randrange(4)
    at = random_.randrange(max(1, len(payload)))
    if kind == 0:
        return payload[:at]
    if kind == 1:
        return payload[:at] + bytes((random_.randrange(32, 127),)) + payload[at + 1 :]
    if kind == 2:
        return payload.replace(b'"p":"', b'"p":"-').replace(b'"v":"', b'"v":"NaN')
    return b"[" * 2_000


def restart_frames(states: Iterable[SymbolState], ts_ms: int) -> list[Frame]:
    """orderbook.1 snapshots with u = 1."""
    out = []
    for state in states:
        if state.bid and state.ask:
            state.u = 1
            symbol = state.contract.symbol
            out.append(Frame(f"orderbook.1.{symbol}", bybit.book1_frame(symbol, ts_ms, *state.bid, *state.ask, 1, state.seq, ts_ms)))
    return out
