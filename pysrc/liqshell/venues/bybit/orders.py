"""Bybit V5 websocket order entry: requests to messages, and the ids on the wire.

Order frames are not signed (the connection is, once). An acknowledgement means accepted, not booked: it does not prove that the order exists.
"""

import re
from collections.abc import Callable, Sequence

from liqcore.codec.encode import Hole, OrderEncoder, Variant
from liqcore.event import Action, OrderType, Side
from liqcore.instrument import Instrument

LINK_ID_CHARS_MAX = 36
_RUN = re.compile(r"[A-Za-z0-9_]{1,19}", re.ASCII)  # 19 + "-" + 16 hexadecimal digits = 36
_LINK_ID = re.compile(r"([A-Za-z0-9_]{1,19})-([0-9a-f]{1,16})", re.ASCII)
_REQUEST_ID = re.compile(r"([cax])([0-9a-f]{1,16})-([0-9a-f]{1,16})", re.ASCII)
_ACTION_LETTER: dict[int, str] = {Action.ACTION_CREATE: "c", Action.ACTION_AMEND: "a", Action.ACTION_CANCEL: "x"}
_ACTION_OF = {letter: Action(action) for action, letter in _ACTION_LETTER.items()}
_OPERATION: dict[int, str] = {Action.ACTION_CREATE: "order.create", Action.ACTION_AMEND: "order.amend", Action.ACTION_CANCEL: "order.cancel"}


def order_link_id(run: str, order_id: int) -> str:
    """The client order id on the wire: deterministic, so that an order is recognised after a crash.

    order_id already holds instrument, sequence and role.
    """
    if not _RUN.fullmatch(run):
        raise ValueError(f"run: expected 1 to 19 letters, digits or underscores, got {run!r}")
    if not 0 <= order_id < 2**63:
        raise ValueError(f"order id: expected 0 to 2**63 - 1, got {order_id}")
    return f"{run}-{order_id:x}"


def parse_order_link_id(link_id: str) -> tuple[str, int] | None:
    """(run, order id), or None for other ids (orders placed by hand or by another program)."""
    match = _LINK_ID.fullmatch(link_id)
    return (match.group(1), int(match.group(2), 16)) if match else None


def parse_request_id(req_id: str) -> tuple[Action, int, int] | None:
    """(action, cause, order id) of the reqId that a reply repeats, or None. cause is the audit sequence of the decision."""
    match = _REQUEST_ID.fullmatch(req_id)
    return (_ACTION_OF[match.group(1)], int(match.group(2), 16), int(match.group(3), 16)) if match else None


def order_encoder(run: str, instruments: Sequence[Instrument], *, recv_window_ms: int = 5000) -> OrderEncoder:
    """An encoder of this venue's order frames for one run."""
    if not 100 <= recv_window_ms <= 60_000:
        raise ValueError(f"recv_window_ms: expected 100 to 60000, got {recv_window_ms}")
    order_link_id(run, 0)
    return OrderEncoder(order_template(run, recv_window_ms), list(instruments))


def order_template(run: str, recv_window_ms: int) -> Callable[[Variant], list | None]:
    """The message of each request variant, as text and holes; None where the venue has no such order."""
    bodies: dict[int, Callable[[Variant], list | None]] = {Action.ACTION_CREATE: _create, Action.ACTION_AMEND: _amend, Action.ACTION_CANCEL: _cancel}

    def template(v: Variant) -> list | None:
        body = bodies[v.action](v)
        if body is None:
            return None
        return [
            f'{{"reqId":"{_ACTION_LETTER[v.action]}',
            Hole.CAUSE,
            "-",
            Hole.ID,
            '","header":{"X-BAPI-TIMESTAMP":"',
            Hole.NOW_MS,
            f'","X-BAPI-RECV-WINDOW":"{recv_window_ms}"}},"op":"{_OPERATION[v.action]}","args":[{{"category":"linear","symbol":"',
            Hole.SYMBOL,
            f'","orderLinkId":"{run}-',
            Hole.ID,
            '"',
            *body,
            "}]}",
        ]

    return template


def _number(key: str, hole: int) -> list:
    return [f',"{key}":"', hole, '"']


def _create(v: Variant) -> list | None:
    market, stop = v.type == OrderType.ORDER_MARKET, v.type == OrderType.ORDER_STOP_MARKET
    if v.type == 0 or not v.has_qty or (not market and not v.has_price):
        return None
    if v.post_only and (market or stop):
        return None
    if v.has_stop and (v.reduce_only or stop):  # the venue refuses an attached stop on a reduce-only order
        return None
    body = [f',"side":"{"Buy" if v.side == Side.LONG else "Sell"}","orderType":"{"Market" if market or stop else "Limit"}"']
    body += _number("qty", Hole.QTY)
    if stop:  # triggerDirection: 1 when the price rises to it, 2 when it falls to it
        body += _number("triggerPrice", Hole.PRICE) + [f',"triggerDirection":{1 if v.side == Side.LONG else 2},"triggerBy":"LastPrice"']
    elif not market:
        body += _number("price", Hole.PRICE) + [f',"timeInForce":"{"PostOnly" if v.post_only else "GTC"}"']
    if v.reduce_only:
        body += [',"reduceOnly":true' + (',"closeOnTrigger":true' if stop else "")]
    if v.has_stop:
        body += _number("stopLoss", Hole.STOP) + [',"slTriggerBy":"LastPrice","tpslMode":"Full"']
    return [*body, ',"positionIdx":0']


def _amend(v: Variant) -> list | None:
    """Only what changes is sent."""
    if not (v.has_price or v.has_qty or v.has_stop):
        return None
    body = _number("qty", Hole.QTY) if v.has_qty else []
    if v.has_price:
        body += _number("triggerPrice" if v.type == OrderType.ORDER_STOP_MARKET else "price", Hole.PRICE)
    return body + (_number("stopLoss", Hole.STOP) if v.has_stop else [])


def _cancel(v: Variant) -> list | None:
    return []
