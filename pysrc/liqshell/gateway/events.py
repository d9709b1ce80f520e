"""Venue reports to engine events: rows of EVENT_DTYPE as tuples. Pure functions."""

from __future__ import annotations

from hashlib import blake2b

from liqcore.event import FillReason, Kind, OrderStatus, Reason, Role
from liqshell.venues.reports import Execution, OrderState, Standing

MS = 1_000_000
ALL_INSTRUMENTS = -1
FILL_MAKER = 1
_STATUS = {
    Standing.WAITING: OrderStatus.ORDER_NEW,
    Standing.LIVE: OrderStatus.ORDER_NEW,
    Standing.TRIGGERED: OrderStatus.ORDER_NEW,
    Standing.FILLED: OrderStatus.ORDER_DONE,
    Standing.CANCELLED: OrderStatus.ORDER_CANCELLED,
    Standing.REJECTED: OrderStatus.ORDER_REJECTED,
}
Event = tuple[int, int, float, float, float, float, int, int, int, int, int, int]


def execution_number(execution_id: str) -> int:
    """The venue's execution id as an integer below 2**53: the same text always gives the same number, in every run."""
    return int.from_bytes(blake2b(execution_id.encode(), digest_size=8).digest(), "little") >> 11


def order_number(instrument: int, sequence: int, role: int) -> int:
    """Id of the orders of a bracket that have none of ours on the wire: the attached stop, a liquidation, an outside reduction."""
    return (instrument << 40) | ((sequence & 0xFFFFFFF) << 12) | role


def instrument_of(order: int) -> int:
    return order >> 40


def sequence_of(order: int) -> int:
    return (order >> 12) & 0xFFFFFFF


def role_of(order: int) -> int:
    return order & 15


def order_event(
    now: int, ts_ns: int, order: int, status: int, reason: int = 0, *, price: float = 0.0, qty: float = 0.0, executed: float = 0.0
) -> Event:
    """ORDER: status and reason of one order; qty resting, executed cumulative (0 = not stated)."""
    return (_time(ts_ns), now, price, qty, 0.0, executed, order, instrument_of(order), int(Kind.ORDER), 0, int(reason), int(status))


def state_event(now: int, order: int, state: OrderState, reason: int, *, created: bool) -> Event:
    """ORDER of a venue's order. created: whether we know that it was once alive; what dies then was cancelled, not rejected: a rejection would be
    taken for that of the request which is on its way."""
    status = _STATUS[state.standing]
    if status == OrderStatus.ORDER_REJECTED and created:
        status = OrderStatus.ORDER_CANCELLED
    if status in (OrderStatus.ORDER_NEW, OrderStatus.ORDER_DONE):
        reason = Reason.OK
    return order_event(
        now, state.updated_ms * MS, order, status, reason, price=state.price, qty=max(0.0, state.qty - state.executed), executed=state.executed
    )


def fill_event(now: int, order: int, execution: Execution, end: int = 0) -> Event:
    """FILL. end: Reason of the exit that a close order carries out."""
    role = role_of(order)
    if execution.maker:
        code = FillReason.FILL_THROUGH
    elif role == Role.ROLE_STOP:
        code = FillReason.FILL_STOP
    elif role == Role.ROLE_LIQUIDATION:
        code = FillReason.FILL_LIQUIDATED
    elif role == Role.ROLE_CLOSE:
        code = FillReason.FILL_TIMEOUT if end == Reason.END_MAX_HOLD else FillReason.FILL_CLOSE
    else:
        code = FillReason.FILL_CROSS
    return (
        _time(execution.ts_ms * MS),
        now,
        execution.price,
        execution.qty,
        execution.fee,
        float(execution_number(execution.id)),
        order,
        instrument_of(order),
        int(Kind.FILL),
        0,
        FILL_MAKER if execution.maker else 0,
        int(code),
    )


def funding_event(now: int, instrument: int, side: int, execution: Execution) -> Event:
    """FUNDING: price the mark, qty what was held, aux_price what was paid."""
    value = execution.qty * execution.price
    rate = execution.fee / value * side if value > 0.0 else 0.0
    return (_time(execution.ts_ms * MS), now, execution.price, execution.qty, execution.fee, rate, 0, instrument, int(Kind.FUNDING), side, 0, 0)


def control_event(now: int, code: int, gate: int = 0, instrument: int = ALL_INSTRUMENTS) -> Event:
    return (now, now, 0.0, 0.0, 0.0, 0.0, 0, instrument, int(Kind.CONTROL), 0, int(gate), int(code))


def _time(ts_ns: int) -> int:
    return ts_ns if 0 <= ts_ns < 0x4000000000000000 else 0
