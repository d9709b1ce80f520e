"""Fills as a Hyperliquid node writes them, both legs of every trade: trades, liquidations by side, and apart from them backstops and deleveraging.
Pure functions and classes, no sockets.

A trade is the leg with `crossed`. A liquidation is known by the leg of its user; where only the other leg is there, its `side` means the opposite.
One liquidated position that fills against many makers in one block is one liquidation: its quantity is the sum, its price the average, its notional
the sum of price x quantity. A fill outside the book (a backstop, a deleveraging) is neither a trade nor a liquidation.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from liqcore.event import Kind, Side
from liqshell.backstops import BACKSTOP
from liqshell.venues import frames as read
from liqshell.venues.frames import Refused, shown, typed

VENUE = "hyperliquid"
LONG, SHORT = int(Side.LONG), int(Side.SHORT)
TRADE, LIQUIDATION, DELEVERAGE = int(Kind.TRADE), int(Kind.LIQUIDATION), int(Kind.DELEVERAGE)
TAKER = {"B": LONG, "A": SHORT}
OF_OWN_LEG, OF_OTHER_LEG = {"A": LONG, "B": SHORT}, {"A": SHORT, "B": LONG}  # side of a leg -> the position that was closed by force
DELEVERAGED = "Auto-Deleveraging"
CLOSED = {
    "Close Long": LONG,
    "Long > Short": LONG,
    "Liquidated Cross Long": LONG,
    "Liquidated Isolated Long": LONG,
    "Close Short": SHORT,
    "Short > Long": SHORT,
    "Liquidated Cross Short": SHORT,
    "Liquidated Isolated Short": SHORT,
}
TRADED = frozenset((*CLOSED, "Open Long", "Open Short"))  # what a fill of the book is called: nothing else is a trade
COIN = re.compile(r"([a-z0-9]{1,16}:)?[A-Za-z0-9]{1,40}", re.ASCII)
KEYS = frozenset(
    (
        "coin",
        "px",
        "sz",
        "side",
        "time",
        "startPosition",
        "dir",
        "closedPnl",
        "hash",
        "oid",
        "crossed",
        "fee",
        "tid",
        "cloid",
        "feeToken",
        "twapId",
        "liquidation",
        "builder",
        "builderFee",
        "deployerFee",
        "priorityGas",
    )
)
NUMBER_MAX = 1e18
COINS_MAX = 100_000
Row = tuple[int, int, float, float, float, float, int, int, int, int, int, int]  # an EVENT_DTYPE row
Refuse = Callable[[str, str], None]


class _Leg:
    """One leg that names a liquidation or deleverages its user, or the other leg of such a trade."""

    __slots__ = ("crossed", "dir", "px", "side", "sz", "ts", "user")

    def __init__(self, user: str, fill: dict):
        self.user, self.px, self.sz, self.ts = user, number(fill, "px"), number(fill, "sz"), read.millis(fill, "time")
        self.side, self.dir = read.word(fill, "side"), read.word(fill, "dir")
        self.crossed = typed_bool(fill)
        if self.side not in TAKER:
            raise Refused("bad side", f"side: expected B or A, got {shown(self.side)}")


class _Forced:
    """The known data of one trade with a forced closing. own: the leg of whose position it was; other: of its counterparty; winner: deleveraged."""

    __slots__ = ("method", "named", "other", "own", "winner")

    def __init__(self) -> None:
        self.own: _Leg | None = None
        self.other: _Leg | None = None
        self.winner: _Leg | None = None
        self.named = self.method = ""

    @property
    def off_book(self) -> bool:
        return self.winner is not None or self.method == "backstop"


class Fills:
    """Legs of one block -> event rows. place(coin) -> number of the instrument, or -1 for one that is not wanted. counts: what gave no row."""

    def __init__(self, place: Callable[[str], int]):
        self.counts: Counter[str] = Counter()
        self._place = place
        self._places: dict[str, tuple[int, str]] = {}

    def rows(self, legs: Iterable[Any], ts_recv: int, refuse: Refuse) -> list[Row]:
        """Trades in their order, then what was closed by force, each user, coin and side once. legs: [user, fill] of one block, from the node's
        JSON. ts_recv: of all of them, ns. refuse(reason, detail): called for every leg that cannot be read; the others are not harmed."""
        out: list[Row] = []
        forced: dict[tuple[int, int], _Forced] = {}
        places = self._places
        for leg in legs:
            try:
                user, fill = leg
                n, why = places.get(fill["coin"]) or self._meet(fill["coin"])
                if n < 0:
                    self.counts[why] += 1
                elif fill.get("liquidation") is not None or fill["dir"] == DELEVERAGED:
                    self._forced(user, fill, n, forced)
                    if fill["crossed"] is True:
                        out.append(trade(fill, n, ts_recv))
                elif fill["crossed"] is True:
                    if fill["dir"] not in TRADED:
                        self.counts[f"no trade: dir {shown(fill['dir'])}"] += 1
                        continue
                    out.append(trade(fill, n, ts_recv))
                else:
                    typed_bool(fill)
            except Refused as why_not:
                refuse(str(why_not.args[0]), str(why_not.args[1]))
            except (KeyError, TypeError, ValueError, AttributeError) as why_not:
                refuse("no fill", f"{type(why_not).__name__} {why_not}: {shown(leg)}")
        if forced:
            out = self._without(out, {key for key, one in forced.items() if one.off_book})
        if len({row[6] for row in out}) != len(out):
            out = self._once(out)
        return out + self._closed(forced, ts_recv, refuse) if forced else out

    def _meet(self, coin: str) -> tuple[int, str]:
        """A coin for the first time."""
        typed(coin, str, "coin")
        if coin.startswith("@") or "/" in coin:
            found = -1, "fills of spot: no perpetuals"
        elif not COIN.fullmatch(coin):
            found = -1, "fills of coins whose names are no perpetual's"
        else:
            n = self._place(coin)
            found = n, "" if n >= 0 else "fills of coins that were not asked for"
        if len(self._places) < COINS_MAX:
            self._places[coin] = found
        return found

    def _forced(self, user: str, fill: dict, n: int, forced: dict[tuple[int, int], _Forced]) -> None:
        leg, key = _Leg(typed(user, str, "user").lower(), fill), (n, read.integer(fill, "tid"))
        about = fill.get("liquidation")
        one = forced.get(key) or forced.setdefault(key, _Forced())
        mine = False
        if about is not None:
            typed(about, dict, "liquidation")
            named = about.get("liquidatedUser")
            named = typed(named, str, "liquidatedUser").lower() if named else leg.user if leg.dir.startswith("Liquidated ") else ""
            one.named, one.method = named or one.named, one.method or read.word(about, "method")
            mine = leg.user == named
            if mine:
                one.own = leg
            else:
                one.other = leg
        if leg.dir == DELEVERAGED and not mine:
            if one.winner is not None:
                self.counts["deleveraging on both legs: counted once"] += 1
            else:
                one.winner = leg

    def _without(self, rows: list[Row], off: set[tuple[int, int]]) -> list[Row]:
        kept = [row for row in rows if (row[7], row[6]) not in off]
        if len(kept) < len(rows):
            self.counts["no trade: off the book (backstop or deleveraging)"] += len(rows) - len(kept)
        return kept

    def _once(self, rows: list[Row]) -> list[Row]:
        kept = list({(row[7], row[6]): row for row in reversed(rows)}.values())[::-1]
        if len(kept) < len(rows):
            self.counts["the same trade again"] += len(rows) - len(kept)
        return kept

    def _closed(self, forced: dict[tuple[int, int], _Forced], ts_recv: int, refuse: Refuse) -> list[Row]:
        sums: dict[tuple[int, int, str, int], list[Any]] = {}
        for (n, tid), one in forced.items():
            leg = one.own or one.other
            if one.winner is not None:
                self._add(sums, (DELEVERAGE, n, one.winner.user, OF_OWN_LEG[one.winner.side]), one.winner, tid)
            if leg is None:
                continue
            if not one.named:
                self.counts["liquidation that names no user: not counted as one"] += 1
                continue
            if not one.off_book and one.method != "market":
                self.counts[f"liquidation by a method that is not known, {shown(one.method)}: not counted as one"] += 1
                continue
            side = (OF_OWN_LEG if one.own else OF_OTHER_LEG)[leg.side]
            if one.own is None:
                self.counts["liquidation without its own leg: side from the counterparty's"] += 1
            elif CLOSED.get(leg.dir, side) != side:
                refuse("sides contradict", f"dir {leg.dir!r} and side {leg.side!r} of the liquidated leg, tid {tid}")
                continue
            kind = BACKSTOP if one.off_book else LIQUIDATION
            self._add(sums, (kind, n, one.named, side), leg, tid)
        return [
            (ts, ts_recv, low if low == high else notional / qty, qty, notional, 0.0, tid, n, kind, side, 0, 0)
            for (kind, n, _, side), (ts, qty, notional, low, high, tid) in sums.items()
        ]

    @staticmethod
    def _add(sums: dict[tuple[int, int, str, int], list[Any]], key: tuple[int, int, str, int], leg: _Leg, tid: int) -> None:
        found = sums.get(key)
        if found is None:
            sums[key] = [leg.ts, leg.sz, leg.px * leg.sz, leg.px, leg.px, tid]
        else:
            found[1] += leg.sz
            found[2] += leg.px * leg.sz
            found[3], found[4] = min(found[3], leg.px), max(found[4], leg.px)


def trade(fill: dict, n: int, ts_recv: int) -> Row:
    """The leg of the taker."""
    side = TAKER.get(fill["side"])
    if side is None:
        raise Refused("bad side", f"side: expected B or A, got {shown(fill['side'])}")
    return (read.millis(fill, "time"), ts_recv, number(fill, "px"), number(fill, "sz"), 0.0, 0.0, read.integer(fill, "tid"), n, TRADE, side, 0, 0)


def number(fill: dict, key: str) -> float:
    """A number above 0, as text or as a number."""
    value = fill.get(key)
    try:
        found = float(value) if type(value) in (str, int, float) else 0.0  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        found = 0.0
    if not 0.0 < found < NUMBER_MAX:
        raise Refused("bad number", f"{key}: expected a number above 0, got {shown(value)}")
    return found


def typed_bool(fill: dict) -> bool:
    found = fill.get("crossed")
    if type(found) is not bool:
        raise Refused("bad structure", f"crossed: expected true or false, got {shown(found)}")
    return found


def unknown_keys(legs: Sequence[Any]) -> set[str]:
    """Keys of the first fill that are not read and were not known of: the venue adds some."""
    fill = legs[0][1] if legs and type(legs[0]) is list and len(legs[0]) == 2 else None
    return set() if type(fill) is not dict else {key for key in fill if key not in KEYS}
