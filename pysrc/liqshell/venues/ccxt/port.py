"""The gateway's port for an account behind ccxt: its requests become operations of the ccxt client, and answers become reports."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from liqcore.event import Action, OrderType, Reason, RequestFlag
from liqcore.instrument import Instrument
from liqshell.venues.bybit.orders import order_link_id, parse_order_link_id
from liqshell.venues.effects import Answer, Channel
from liqshell.venues.order_port import Ask, ChannelNotice, Listing, Message, NoticeKind, Page
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Execution, OrderReply, OrderState, Position, Standing

METHOD = "CCXT"  # Ask.method: no HTTP verb, the driver knows the operation
_DIGITS = re.compile(r"[0-9a-f]{1,16}", re.ASCII)


def _ask(operation: str, weight: str = "query", **arguments: Any) -> Ask:
    return Ask(METHOD, operation, "", json.dumps(arguments), weight)


class CcxtPort:
    """run: prefix of our client order ids. separator: between it and the number. instruments: as in the engine. The stop of an entry is not sent with
    it: the caller has the user's consent to a watched stop."""

    has_order_socket = False
    attaches_stops = False

    def __init__(self, run: str, instruments: Sequence[Instrument], separator: str = "-") -> None:
        self._run, self._separator = run, separator
        self._instruments = tuple(instruments)

    # ---- the channel, which is made of polls

    def auth(self, channel: Channel, now_ms: int) -> bytes:
        return b"auth"

    def subscribe(self) -> bytes:
        return b"subscribe"

    def ping(self, channel: Channel) -> bytes:
        return b"ping"

    def read(self, channel: Channel, raw: bytes) -> Sequence[Message]:
        found = json.loads(raw)
        if "said" in found:
            return (ChannelNotice(NoticeKind[found["said"]], found.get("text", ""), found.get("fatal", False)),)
        out: list[Message] = [Execution(**row) for row in found.get("executions", ())]
        out += [_state(row) for row in found.get("orders", ())]
        return (*out, *(Position(**row) for row in found.get("positions", ())))

    def outcome(self, reply: OrderReply, asked: Asked) -> Outcome:
        return Outcome.UNKNOWN

    def is_ban(self, answer: Answer) -> bool:
        return False

    def is_restarting(self, reply: OrderReply) -> bool:
        return False

    # ---- ids and words

    def link_id(self, order: int) -> str:
        return order_link_id(self._run, order).replace("-", self._separator)

    def parse_link_id(self, link_id: str) -> tuple[str, int] | None:
        run, found, number = link_id.rpartition(self._separator)
        return parse_order_link_id(f"{run}-{number}") if found and _DIGITS.fullmatch(number) else None

    def parse_request_id(self, request_id: str) -> tuple[int, int, int] | None:
        return None

    def reason(self, state: OrderState) -> int:
        return Reason.END_POST_ONLY if state.reason == "post only" else Reason.END_VENUE if state.standing == Standing.REJECTED else Reason.OK

    # ---- requests

    def ask_time(self) -> Ask:
        return _ask("time")

    def ask_positions(self, symbol: str = "", cursor: str = "") -> Ask:
        return _ask("positions", symbol=symbol)

    def ask_open_orders(self, cursor: str = "") -> Ask:
        return _ask("open_orders")

    def ask_order(self, symbol: str, link_id: str, *, past: bool = False) -> Ask:
        return _ask("order", symbol=symbol, link=link_id, past=past)

    def ask_executions(self, since_ms: int = 0, until_ms: int = 0, cursor: str = "", *, symbol: str = "", link_id: str = "") -> Ask:
        return _ask("executions", since=since_ms, symbol=symbol, link=link_id)

    def ask_instruments(self, cursor: str = "") -> Ask:
        return _ask("instruments", "market")

    def order(self, sent: Any) -> Ask | None:
        """None where there is no such request."""
        i, link = self._instruments[sent.instrument], self.link_id(sent.id)
        qty = i.qty_text(sent.qty) if sent.qty else ""
        price = i.price_text(sent.price) if sent.price else ""
        conditional = sent.type == OrderType.ORDER_STOP_MARKET
        if sent.action == Action.ACTION_CANCEL:
            return self.cancel(i.symbol, link)
        if sent.action == Action.ACTION_AMEND:
            return None if conditional else _ask("amend", "order", symbol=i.symbol, link=link, side=int(sent.side), qty=qty, price=price)
        market = sent.type == OrderType.ORDER_MARKET
        if not qty or (not market and not price):
            return None
        return _ask(
            "create",
            "order",
            symbol=i.symbol,
            link=link,
            side=int(sent.side),
            qty=qty,
            price="" if market or conditional else price,
            post_only=bool(sent.flags & RequestFlag.POST_ONLY),
            reduce_only=bool(sent.flags & RequestFlag.REDUCE_ONLY),
            trigger=price if conditional else "",
        )

    def cancel(self, symbol: str, link_id: str = "", order_id: str = "") -> Ask:
        return _ask("cancel", "order", symbol=symbol, link=link_id, order_id=order_id)

    def set_stop(self, symbol: str, price: str) -> Ask:
        return _ask("stop", "setting", symbol=symbol, price=price)

    def set_leverage(self, symbol: str, leverage: str) -> Ask:
        return _ask("leverage", "setting", symbol=symbol, leverage=leverage)

    # ---- answers

    def time_of(self, answer: Answer) -> int | None:
        found = _answer_of(answer)
        return int(found["ms"]) * 1_000_000 if found.get("ms") else None

    def orders_of(self, answer: Answer) -> Page:
        return self._page(answer, [_state(row) for row in _answer_of(answer).get("items", ())])

    def executions_of(self, answer: Answer) -> Page:
        return self._page(answer, [Execution(**row) for row in _answer_of(answer).get("items", ())])

    def positions_of(self, answer: Answer) -> Page:
        return self._page(answer, [Position(**row) for row in _answer_of(answer).get("items", ())])

    def instruments_of(self, answer: Answer) -> Page:
        return self._page(answer, [Listing(*row) for row in _answer_of(answer).get("items", ())])

    def result_of(self, answer: Answer, asked: Asked) -> Page:
        """Of a request that changes something. Without an answer it is unknown."""
        found = _answer_of(answer)
        outcome = Outcome(found.get("outcome", Outcome.UNKNOWN))
        return Page(outcome in (Outcome.ACCEPTED, Outcome.DONE), outcome, 0, found.get("text", answer.why), order_id=found.get("order_id", ""))

    def _page(self, answer: Answer, items: list[Any]) -> Page:
        found = _answer_of(answer)
        outcome = Outcome(found.get("outcome", Outcome.LATER))
        return Page(
            "items" in found and outcome == Outcome.DONE,
            outcome,
            0,
            found.get("text", answer.why),
            items=tuple(items),
        )


def _answer_of(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.body) if answer.status == 200 and answer.body else {}
    return found


def _state(row: dict[str, Any]) -> OrderState:
    return OrderState(**row | {"standing": Standing(row["standing"])})
