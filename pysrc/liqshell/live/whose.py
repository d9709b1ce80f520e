"""Our part of a position, for actions at the venue without the live process: from the state image and the venue's list of executions.

The judgement of sizes is that of a start (liqshell.gateway.ownership). Where there is more than the image has, the executions since the contract was
last flat say who opened it. Nothing here asks or does anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from liqcore.event import Role
from liqshell.gateway.events import sequence_of
from liqshell.gateway.ownership import Ownership, ownership
from liqshell.state.prefix import is_ours
from liqshell.venues.bybit.orders import parse_order_link_id
from liqshell.venues.reports import TRADES, Execution, Position

KILL = re.compile(r"liqcore-kill-([0-9a-f]+)-([0-9a-f]+)-.*", re.ASCII)  # our closes: ms UTC, sequence of the bracket, contract
NEAR = 1e-9  # share of a quantity that is rounding
_Id = tuple[str, int]  # prefix and order id


@dataclass(frozen=True, slots=True)
class Share:
    """qty: what is ours by evidence, not more than the position. doubt: why the rest may be ours too, "" = it belongs to another party."""

    qty: float
    doubt: str = ""

    @property
    def foreign(self) -> bool:
        """All of it belongs to another party: read-only."""
        return not self.qty and not self.doubt


@dataclass(frozen=True, slots=True)
class Known:
    """The state folder's data of one contract. name: of our prefixes. run: that of the image, "" = no image. whole: the image can be read for this
    contract. trade: its record in the image (inspect()), None = never traded. created_ms: when the image was made."""

    name: str
    run: str = ""
    whole: bool = False
    trade: Mapping[str, Any] | None = None
    created_ms: int = 0

    @property
    def net(self) -> float:
        """Signed quantity that is ours by the image."""
        return float(self.trade["net"]) if self.trade is not None else 0.0

    def expected(self, position: Position) -> bool:
        """Whether the image explains a position by itself: as much as that is ours, or more was."""
        side = (self.net > 0) - (self.net < 0)
        venue = position.side * position.qty
        return self.whole and bool(side) and (abs(venue - self.net) <= NEAR * position.qty or ownership(venue, self.net, side) == Ownership.LESS)

    def entries_out(self) -> list[int]:
        """Entries of the image that may have filled since."""
        orders = self.trade["orders"] if self.trade is not None else ()
        return [order["id"] for order in orders if order["role"] == "entry" and order["status"] in ("sent", "live")]

    def ours(self, x: Execution) -> _Id | None:
        """Prefix and number of one of our orders, of this run or of a lost one; None for other names."""
        found = parse_order_link_id(x.link_id)
        return found if found is not None and (found[0] == self.run or is_ours(found[0], self.name)) else None


def share(known: Known, position: Position, executions: Sequence[Execution] | None, executed: Mapping[int, float | None]) -> Share:
    """executions: of the contract, newest first; None = could not be read. executed: of each of entries_out(), by the order itself; None = unknown to
    the venue."""
    if not known.whole:
        return _without_image(known, position, executions)
    net, side = known.net, position.side
    believed = min(abs(net), position.qty) if net * side > 0 else 0.0
    if executions is None:
        return Share(believed, "its executions cannot be read" if known.entries_out() and not known.expected(position) else "")
    listed = _listed(known, executions)
    more = _beyond(known, listed, executed)
    late = more > _beyond(known, listed, {}) + NEAR  # an execution of one of our orders is not in the list yet
    since = _since_flat(position, executions)
    seen = any(prefix == known.run and number in _numbers(known, "entry") for prefix, number in listed)
    closed = sum(x.qty for x in executions if _closes(known, x))
    if known.expected(position):
        # a bracket that has ended since, and then another party's
        over = seen and not late and since is not None and not any(known.ours(x) for x in since)
        return Share(0.0 if over else _clamp(abs(net) - closed, believed) if closed else believed)
    if since is not None and not late and (not net or seen):
        qty = _built(known, position, since)
    else:
        qty = _clamp((net + more) * side - closed, position.qty)
    unheard = any(found is None and (known.run, number) not in listed for number, found in executed.items())
    if unheard and position.side == (known.trade or {}).get("side"):
        return Share(qty, "our entry was on its way, and the venue does not know it")
    lost = since is None and any(prefix != known.run for prefix, _ in listed)
    return Share(qty, "a lost state folder of this name has traded it" if lost and qty < position.qty else "")


def _without_image(known: Known, position: Position, executions: Sequence[Execution] | None) -> Share:
    if executions is None:
        return Share(0.0, "the state image is lost, and the executions cannot be read")
    since = _since_flat(position, executions)
    span = list(reversed(executions)) if since is None else since
    qty = _built(known, position, span)
    entered = since is not None and any(found[1] & 15 == Role.ROLE_ENTRY for x in since if (found := known.ours(x)))
    # (an adopted position has none of our ids, and then we send no entry beside it)
    return Share(qty, "" if entered or qty >= position.qty * (1.0 - NEAR) else "the state image is lost")


def _numbers(known: Known, role: str = "") -> dict[int, float]:
    """Filled by the image, of each of its bracket's orders (of that role)."""
    orders = known.trade["orders"] if known.trade is not None else ()
    return {order["id"]: float(order["filled"]) for order in orders if order["id"] and role in ("", order["role"])}


def _listed(known: Known, executions: Sequence[Execution]) -> dict[_Id, float]:
    """Signed executed quantity of each of our orders."""
    out: dict[_Id, float] = {}
    for x in executions:
        if x.kind in TRADES and (found := known.ours(x)) is not None:
            out[found] = out.get(found, 0.0) + x.side * x.qty
    return out


def _beyond(known: Known, listed: Mapping[_Id, float], executed: Mapping[int, float | None]) -> float:
    """What was executed of orders of this run after the image was written: of the orders that it has, beyond what it has of them, and of later
    brackets. Signed, on the side of the entries positive for a long position."""
    out, orders = 0.0, _numbers(known)
    now = int(known.trade["sequence"]) if known.trade is not None else -1
    side = int(known.trade["side"]) if known.trade is not None else 0
    numbers = {number for prefix, number in listed if prefix == known.run} | set(executed)
    for number in numbers:
        qty = listed.get((known.run, number), 0.0)
        if abs(qty) < (executed.get(number) or 0.0):
            qty = side * (executed[number] or 0.0)
        if number in orders:
            out += (1 if qty > 0 else -1) * max(0.0, abs(qty) - orders[number])
        elif sequence_of(number) > now:
            out += qty
    return out


def _closes(known: Known, x: Execution) -> bool:
    """Whether it is of a close of an earlier rescue, of the bracket that the image has."""
    found = KILL.fullmatch(x.link_id)
    return (
        found is not None and known.trade is not None and int(found[1], 16) >= known.created_ms and int(found[2], 16) == int(known.trade["sequence"])
    )


def _since_flat(position: Position, executions: Sequence[Execution]) -> list[Execution] | None:
    """The executions that made a position, oldest first; None where the list does not reach back to where nothing was held."""
    left, span = position.side * position.qty, []
    for x in executions:
        if x.kind not in TRADES:
            continue
        span.append(x)
        left -= x.side * x.qty
        if left * position.side <= NEAR * position.qty:
            return span[::-1]
    return None


def _built(known: Known, position: Position, span: Sequence[Execution]) -> float:
    """How much of a position those executions, oldest first, have made that are ours. Never more than was held in between."""

    def ours(x: Execution) -> bool:
        return known.ours(x) is not None or KILL.fullmatch(x.link_id) is not None

    held = position.side * position.qty - sum(x.side * x.qty for x in span if x.kind in TRADES)
    mine = 0.0
    for x in span:
        if x.kind in TRADES:
            held += x.side * x.qty
            mine += x.side * x.qty * ours(x)
            mine = max(0.0, min(mine, held)) if held > 0.0 else min(0.0, max(mine, held))
    return _clamp(mine * position.side, position.qty)


def _clamp(qty: float, most: float) -> float:
    """Between nothing and all; a rest that is rounding is none."""
    return 0.0 if qty <= NEAR * most else most if qty >= most * (1.0 - NEAR) else qty
