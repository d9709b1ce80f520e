"""A second judge, who keeps books of his own from what passes the venue's door: requests with their answers, and the rows of the private stream.

Written from the venue's documentation and the two laws on stops and on uncertain requests, without a look at the first judge (truth.py, duties.py,
end.py), which asks the venue's state instead. The two must come to the same verdict on every run: naked for more than 2 s, duplicates, entries that
leave after a kill, exposure. He raises nothing: `findings` is what he found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NS = 1_000_000_000
NAKED_NS = 2 * NS
FOUND_NS = 10 * NS  # what the venue or somebody else took away: found and mended within, from when the program can hear and act
READ_NS = 5 * NS  # from the moment both lines are up until the account has been read
BAN_NS = 660 * NS  # an address that is told to keep away is away for ten minutes
ROOM = 1.03  # of the exposure limit: orders are sized at one price and booked at another
FLIGHT_NS = 60 * NS  # no request is on its way for longer
ENTRY = 1  # role of an order: the last four bits of the number in its orderLinkId
SINGLE = (ENTRY, 3, 4)  # entry, target, close
LIVE = ("New", "PartiallyFilled", "Untriggered", "Triggered")
STOPS = ("StopLoss", "TrailingStop", "Stop", "PartialStopLoss")
MOVES = ("Trade", "AdlTrade", "BustTrade", "BlockTrade", "Settle", "Delivery", "MovePosition")  # execution types that change a position
RESIZES = ("ForwardSplitSettle", "ReverseSplitSettle", "Dividend")  # the position row alone says what is held after one of these
# faults during which a healthy program can do all that it must: the others excuse it until they end
HARMLESS = (
    "double_filled",
    "post_only_rejected",
    "kill_word",
    "manual_reduce",
    "manual_open",
    "cancel_rest",
    "adl_winner",
    "split",
    "dividend",
    "foreign",
    "manual_add",
    "budget",
    "disk_full",
    "new_tick",
    "delisted",
    "hedge",
)
STRIPS = ("adl", "liquidate", "cancel_stops", "drop_stop", "reject_stop", "split", "manual_reduce", "delisted")
SHARED = ("naked", "duplicate", "killed", "exposure")  # on which the judges must agree
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Finding:
    """law: of SHARED, or "books" where the venue's own frames contradict each other. at_ns: of the world's clock."""

    law: str
    at_ns: int
    text: str


@dataclass(slots=True)
class Account:
    """One symbol and position index. size: signed. naked_ns: since when no stop covers it, 0 = covered or flat; robbed: by no deed of the program.
    strange: somebody else's quantity is in it. resized: the next position row says the size. lost_ns: when the venue last ended a stop of its own
    accord, or filled an entry whose stop it had left out."""

    size: float = 0.0
    mark: float = 0.0
    field_stop: bool = False
    strange: bool = False
    resized: bool = False
    said: float | None = None
    naked_ns: int = 0
    robbed: bool = False
    lost_ns: int = -1
    told: bool = False
    orders: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class Books:
    """exposure_max, positions_max: the limits of the run. start_ns: of the world's clock. worst_ns: the longest that was not excused."""

    def __init__(self, exposure_max: float, positions_max: int, start_ns: int):
        self.exposure_max, self.positions_max = exposure_max, positions_max
        self.findings: list[Finding] = []
        self.worst_ns = 0
        self.frames = self.covered = 0  # rows read; times that a position was seen to be covered
        self._places: dict[Place, Account] = {}
        self._links: dict[str, str] = {}  # orderLinkId -> orderId of everything that the venue has ever booked
        self._lines: dict[str, int] = {}  # kind of connection -> since when it is up and known to be ours
        self._excused_ns = start_ns  # what happens before is not the program's fault
        self._stripped_ns = start_ns - 1  # until then somebody takes stops away
        self._wanted: set[str] = set()  # orderLinkIds of entries that left the program with a stop
        self._bare: set[str] = set()  # of those, the ones that the venue has booked without it
        self._killed_ns = 0  # 0 = not killed
        self._entered = False  # an entry has been booked since the exposure was last looked at

    # ---- what passes the door ----

    def asked(self, now: int, operation: str, wish: Mapping[str, Any], code: int) -> None:
        """The venue has looked at a request. operation: such as "order.create" or a REST path."""
        self.frames += 1
        link = str(wish.get("orderLinkId", ""))
        if "create" not in operation or not link:
            return
        if link in self._links or code == 110072:
            self._find("duplicate", now, f"{link} is asked for again, and the venue has booked it before ({code})")
        if code == 0:
            self._links.setdefault(link, "")
            if role(link) == ENTRY:
                self._entered = True
                if self._killed_ns and now - self._killed_ns > FLIGHT_NS:
                    self._find("killed", now, f"entry {link} arrives {(now - self._killed_ns) / NS:.1f} s after the kill")

    def said(self, now: int, topic: str, row: Mapping[str, Any]) -> None:
        """A row of the private stream, as the venue wrote it."""
        self.frames += 1
        if topic == "order":
            self._order(now, row)
        elif topic == "execution":
            self._execution(now, row)
        elif topic == "position":
            place = self._place(row)
            place.mark = _number(row, "markPrice") or place.mark
            place.field_stop = _number(row, "stopLoss") > 0.0 or _number(row, "trailingStop") > 0.0
            place.said = _number(row, "size") * {"Buy": 1, "Sell": -1}.get(str(row.get("side")), 0)

    def settle(self, now: int) -> None:
        """Everything of one moment has been said: look at the books."""
        for (symbol, idx), place in self._places.items():
            if place.said is not None:
                if place.resized:
                    place.strange |= abs(place.said) > abs(place.size)  # nobody has ordered what is more now
                    place.size, place.resized = place.said, False
                elif abs(place.said - place.size) > 1e-9:
                    self._find("books", now, f"{symbol}/{idx}: the position is said to be {place.said:g}, its executions make {place.size:g}")
                    place.size = place.said
                place.said = None
            if not place.size:
                place.strange = False
            self._cover(now, symbol, place)
            self._single(now, symbol, place)
        if self._entered:
            self._entered = False
            self._expose(now)

    def _order(self, now: int, row: Mapping[str, Any]) -> None:
        place, number = self._place(row), str(row.get("orderId"))
        link = str(row.get("orderLinkId", ""))
        if link:
            self._links[link] = number
            if link in self._wanted and not _number(row, "stopLoss"):
                self._bare.add(link)
        if row.get("orderStatus") in LIVE:
            place.orders[number] = row
        else:
            place.orders.pop(number, None)
            if row.get("stopOrderType") in STOPS and row.get("orderStatus") == "Cancelled" and row.get("rejectReason") != "EC_NoError":
                place.lost_ns = now

    def _execution(self, now: int, row: Mapping[str, Any]) -> None:
        place, kind = self._place(row), str(row.get("execType"))
        if kind in RESIZES:
            place.resized = True
        if kind not in MOVES:
            return
        before = place.size
        place.size = round(before + _number(row, "execQty") * (1 if row.get("side") == "Buy" else -1), 12)
        place.mark = _number(row, "execPrice") or place.mark
        grown = abs(place.size) > abs(before) + 1e-12 or before * place.size < 0.0
        link = str(row.get("orderLinkId", ""))
        if link in self._bare:
            place.lost_ns = now
        if grown and not link and row.get("createType", "CreateByUser") in ("", "CreateByUser"):
            place.strange = True
        if grown and link and role(link) not in (ENTRY, 0) and not place.strange:
            self._find("duplicate", now, f"{link} was to close and has made {place.size:g} of {before:g} {row.get('symbol')}")

    # ---- who can act ----

    def line(self, now: int, kind: str, up: bool) -> None:
        """A connection has proved whose it is (and, where it is the private one, asked for its topics), or is gone."""
        self._weigh(now)
        if up:
            self._lines.setdefault(kind, now)
        else:
            self._lines.pop(kind, None)

    def trouble(self, now: int, kind: str, until: int, code: int = 0) -> None:
        """A fault of the world acts until then."""
        self._weigh(now)
        if kind not in HARMLESS:
            self._excused_ns = max(self._excused_ns, until + (BAN_NS if code == 403 else 0))
        if kind in STRIPS:
            self._stripped_ns = max(self._stripped_ns, until + NS)

    def killed(self, now: int, on: bool) -> None:
        """The kill switch."""
        self._killed_ns = now if on else 0

    def sent(self, now: int, operation: str, wish: Mapping[str, Any]) -> None:
        """A request leaves the program."""
        if "create" not in operation or role(str(wish.get("orderLinkId", ""))) != ENTRY:
            return
        if _number(wish, "stopLoss"):
            self._wanted.add(str(wish["orderLinkId"]))
        if self._killed_ns:
            self._find("killed", now, f"entry {wish.get('orderLinkId')} leaves {(now - self._killed_ns) / NS:.3f} s after the kill")

    def look(self, now: int) -> None:
        """Time has passed."""
        self._weigh(now)

    # ---- for others to ask ----

    def held(self) -> bool:
        """Whether a position of ours is open at the venue."""
        return any(place.size and not place.strange for place in self._places.values())

    def resting(self) -> bool:
        """Whether an entry of ours rests at the venue."""
        return any(role(str(row.get("orderLinkId", ""))) == ENTRY for place in self._places.values() for row in place.orders.values())

    # ---- verdicts ----

    def able_ns(self) -> int | None:
        """Since when the program can hear and act; None: it cannot."""
        if len(self._lines) < 2:
            return None
        return max(self._excused_ns, max(self._lines.values()) + READ_NS)

    def _cover(self, now: int, symbol: str, place: Account) -> None:
        naked = bool(place.size) and not place.strange and not self._covered(place)
        self.covered += bool(place.size) and not naked
        if naked and not place.naked_ns:
            place.naked_ns, place.robbed = now, now <= self._stripped_ns or place.lost_ns == now
        elif not naked and place.naked_ns:
            self._weigh_one(now, symbol, place)
            place.naked_ns, place.told = 0, False

    def _single(self, now: int, symbol: str, place: Account) -> None:
        """One bracket an instrument: of its entry, its target and its close there is one each."""
        if len(place.orders) < 2:
            return
        roles = [role(str(row.get("orderLinkId", ""))) for row in place.orders.values()]
        for one in SINGLE:
            if roles.count(one) > 1:
                self._find("duplicate", now, f"{symbol}: {roles.count(one)} live orders of role {one}: {_short(place.orders)}")

    def _covered(self, place: Account) -> bool:
        if place.field_stop:
            return True
        left, against = abs(place.size), "Sell" if place.size > 0 else "Buy"
        for row in place.orders.values():
            if row.get("side") != against:
                continue
            kind = row.get("stopOrderType")
            stops = kind in STOPS and (row.get("reduceOnly") or row.get("closeOnTrigger"))
            if stops and kind != "PartialStopLoss" and row.get("tpslMode") == "Full":
                return True
            if stops or row.get("orderType") == "Market" and row.get("reduceOnly") and kind not in ("TakeProfit", "PartialTakeProfit"):
                left -= _number(row, "leavesQty") or _number(row, "qty")
        return left <= 1e-9

    def _weigh(self, now: int) -> None:
        for (symbol, _), place in self._places.items():
            if place.naked_ns:
                self._weigh_one(now, symbol, place)

    def _weigh_one(self, now: int, symbol: str, place: Account) -> None:
        naked, limit, able = now - place.naked_ns, NAKED_NS, self.able_ns()
        if place.robbed:
            if able is None:
                return
            if able > place.naked_ns:
                naked, limit = now - able, FOUND_NS
        self.worst_ns = max(self.worst_ns, naked)
        if naked > limit and not place.told:
            place.told = True
            self._find("naked", now, f"{symbol}: {place.size:g} for {naked / NS:.3f} s without a stop, orders: {_short(place.orders)}")

    def _expose(self, now: int) -> None:
        total, taken = 0.0, 0
        for place in self._places.values():
            entries = [row for row in place.orders.values() if role(str(row.get("orderLinkId", ""))) == ENTRY]
            if place.strange:
                continue
            total += abs(place.size) * place.mark
            total += sum(
                _number(row, "leavesQty") * ((_number(row, "price") if row.get("orderType") == "Limit" else 0.0) or place.mark) for row in entries
            )
            taken += bool(entries) or bool(place.size)
        if total > self.exposure_max * ROOM:
            self._find("exposure", now, f"{total:.2f} held and asked for, {self.exposure_max:g} allowed")
        if taken > self.positions_max:
            self._find("exposure", now, f"{taken} contracts held or asked for, {self.positions_max} allowed")

    def _place(self, row: Mapping[str, Any]) -> Account:
        return self._places.setdefault((str(row.get("symbol")), int(row.get("positionIdx", 0) or 0)), Account())

    def _find(self, law: str, now: int, text: str) -> None:
        self.findings.append(Finding(law, now, text))


def role(link: str) -> int:
    """Of an order: 0 where the id is not one of the program's (run, "-", number in hexadecimal)."""
    run, dash, number = link.rpartition("-")
    try:
        return int(number, 16) & 15 if run and dash else 0
    except ValueError:
        return 0


def _number(row: Mapping[str, Any], name: str) -> float:
    try:
        return float(row.get(name) or 0.0)
    except (TypeError, ValueError):
        return 0.0


def _short(orders: Mapping[str, Mapping[str, Any]]) -> str:
    return (
        ", ".join(
            f"{row.get('side')} {row.get('qty')} {row.get('stopOrderType') or row.get('orderType')} {row.get('orderStatus')}"
            for row in orders.values()
        )
        or "none"
    )
