"""Bybit's requests and answers for the gateway: the adapter's pure functions under the names of order_port.Port."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from liqcore.event import Action, OrderType, Reason, RequestFlag
from liqcore.instrument import Instrument
from liqshell.transport import Endpoint
from liqshell.venues.bybit import instruments as bybit_instruments
from liqshell.venues.bybit import orders as bybit_orders
from liqshell.venues.bybit import private_stream as bybit_private
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit import rest_responses as bybit_answers
from liqshell.venues.bybit.decoder import ping_frame
from liqshell.venues.bybit.error_codes import outcome
from liqshell.venues.bybit.private_stream import ReportKind
from liqshell.venues.bybit.signing import Keys, private_auth_frame, trade_auth_frame
from liqshell.venues.effects import Answer, Channel
from liqshell.venues.order_port import Ask, ChannelNotice, Listing, Message, NoticeKind, Page
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Execution, OrderReply, OrderState, Position

_BY_CANCEL = {
    "CancelByReduceOnly": Reason.END_REDUCE_ONLY,
    "CancelByPrepareLiq": Reason.END_LIQUIDATED,
    "CancelAllBeforeLiq": Reason.END_LIQUIDATED,
    "CancelByUser": Reason.OK,
}
Row = OrderState | Execution | Position


class BybitPort:
    """keys: for the auth frames, which leave for `endpoints`. run: prefix of our client order ids. instruments: as in the engine. wall_ms: the clock
    that the venue judges time stamps by where that is not the gateway's (a market at a multiple of real time); None = the gateway's. order_socket:
    False for demo trading."""

    attaches_stops = True
    subscribe = staticmethod(bybit_private.subscribe_frame)
    parse_link_id, parse_request_id = staticmethod(bybit_orders.parse_order_link_id), staticmethod(bybit_orders.parse_request_id)
    ask_time, cancel, set_leverage = staticmethod(bybit_rest.server_time), staticmethod(bybit_rest.cancel), staticmethod(bybit_rest.set_leverage)

    def __init__(
        self,
        keys: Keys,
        run: str,
        instruments: Sequence[Instrument],
        endpoints: Mapping[Channel, Endpoint],
        *,
        wall_ms: Callable[[], int] | None = None,
        order_socket: bool = True,
    ) -> None:
        self.has_order_socket = order_socket
        self._keys, self._endpoints = keys, endpoints
        self._run = run
        self._instruments = tuple(instruments)
        self._units = {i.symbol: i for i in self._instruments if i.venue == self._instruments[0].venue}
        self._wall_ms = wall_ms
        self._pings = 0
        bybit_orders.order_link_id(run, 0)  # a prefix that cannot be one is found out here

    # ---- channels ----

    def auth(self, channel: Channel, now_ms: int) -> bytes:
        at = self._wall_ms() if self._wall_ms is not None else now_ms
        frame = private_auth_frame if channel == Channel.PRIVATE else trade_auth_frame
        return frame(self._keys, self._endpoints[channel], at)

    def ping(self, channel: Channel) -> bytes:
        self._pings += 1
        return ping_frame(self._pings) if channel == Channel.PRIVATE else bybit_private.trade_ping(self._pings)

    def read(self, channel: Channel, raw: bytes) -> Sequence[Message]:
        """Every statement of a frame, in order."""
        report = bybit_private.read_frame(raw)
        if report.kind == ReportKind.REPLY and report.reply is not None:
            return (report.reply,)
        if report.kind in (ReportKind.ORDERS, ReportKind.EXECUTIONS, ReportKind.POSITIONS, ReportKind.WALLETS):
            rows: tuple[Row, ...] = (*report.orders, *report.executions, *report.positions)
            faults = [f"{report.reason}: {report.detail}"] * bool(report.refused) + list(filter(None, map(self._beyond, rows)))
            found: tuple[Message, ...] = (*(row for row in rows if not self._beyond(row)), *report.wallets)
            return (*found, ChannelNotice(NoticeKind.LOST_ROWS, faults[0])) if faults else found
        if report.kind == ReportKind.PONG:
            return (ChannelNotice(NoticeKind.PONG),)
        if report.kind == ReportKind.ACK:
            kind = {"auth": NoticeKind.AUTHENTICATED, "subscribe": NoticeKind.SUBSCRIBED}.get(report.operation, NoticeKind.OTHER)
            return (ChannelNotice(kind, report.detail),)
        if report.kind == ReportKind.ACK_FAILED:
            # the private stream refuses without a code, and no code is not code 0
            fate = outcome(report.code, Asked.AUTH) if report.code else Outcome.UNKNOWN
            if report.operation == "auth" and fate == Outcome.DONE:
                return (ChannelNotice(NoticeKind.AUTHENTICATED),)  # a second login on a connection that has one
            return (ChannelNotice(NoticeKind.REFUSED, f"{report.operation} {report.code}: {report.detail or report.message}", fate == Outcome.FATAL),)
        # a frame whose rows were all unreadable may have told of a fill
        kind = NoticeKind.OTHER if report.kind == ReportKind.OTHER else NoticeKind.LOST_ROWS if report.refused else NoticeKind.MALFORMED
        return (ChannelNotice(kind, f"{report.reason}: {report.detail}"),)

    def _beyond(self, row: Row) -> str:
        """What is wrong with the numbers of a row: well-formed ones that no order of this contract can have; "" = nothing."""
        unit = self._units.get(row.symbol)
        if unit is None:
            return ""
        prices = (
            [row.price]
            if isinstance(row, Execution)
            else [row.entry, row.stop_loss, row.mark]
            if isinstance(row, Position)
            else [row.price, row.trigger, row.stop_loss]
        )
        try:
            for qty in (row.qty, row.executed if isinstance(row, OrderState) else 0.0):
                unit.lots(qty)
            for price in filter(None, prices):
                unit.ticks(price)
        except ValueError as why:
            return str(why)
        return ""

    def outcome(self, reply: OrderReply, asked: Asked) -> Outcome:
        return outcome(reply.code, asked)

    def is_ban(self, answer: Answer) -> bool:
        return answer.status == 403

    def is_restarting(self, reply: OrderReply) -> bool:
        return reply.code in (10016, 10019)

    # ---- ids and words ----

    def link_id(self, order: int) -> str:
        return bybit_orders.order_link_id(self._run, order)

    def reason(self, state: OrderState) -> int:
        """Why an order ended, in the engine's vocabulary."""
        if state.reason == bybit_private.POST_ONLY_WOULD_TAKE:
            return Reason.END_POST_ONLY
        return _BY_CANCEL.get(state.cancel, Reason.END_VENUE)

    # ---- requests ----

    def ask_positions(self, symbol: str = "", cursor: str = "") -> Ask:
        return bybit_rest.positions(symbol, cursor=cursor)

    def ask_open_orders(self, cursor: str = "") -> Ask:
        return bybit_rest.open_orders(cursor=cursor)

    def ask_order(self, symbol: str, link_id: str, *, past: bool = False) -> Ask:
        return (bybit_rest.order_past if past else bybit_rest.order_now)(symbol, link_id)

    def ask_executions(self, since_ms: int = 0, until_ms: int = 0, cursor: str = "", *, symbol: str = "", link_id: str = "") -> Ask:
        return bybit_rest.executions(since_ms or None, until_ms or None, symbol=symbol, link_id=link_id, cursor=cursor)

    def ask_instruments(self, cursor: str = "") -> Ask:
        return bybit_rest.instruments(cursor=cursor)

    def order(self, sent: Any) -> Ask | None:
        """An order request that Dispatch could not send, as REST; None where the venue has no such request."""
        instrument = self._instruments[sent.instrument]
        link = self.link_id(sent.id)
        qty = instrument.qty_text(sent.qty) if sent.qty else ""
        price = instrument.price_text(sent.price) if sent.price else ""
        stop = instrument.price_text(sent.stop) if sent.stop else ""
        conditional = sent.type == OrderType.ORDER_STOP_MARKET
        if sent.action == Action.ACTION_CANCEL:
            return self.cancel(instrument.symbol, link)
        if sent.action == Action.ACTION_AMEND:
            return bybit_rest.amend(
                instrument.symbol, link, qty=qty, price="" if conditional else price, trigger=price if conditional else "", stop_loss=stop
            )
        market = sent.type == OrderType.ORDER_MARKET
        if not qty or (not market and not price):
            return None
        return bybit_rest.create(
            instrument.symbol,
            link,
            sent.side,
            qty,
            "" if market or conditional else price,
            post_only=bool(sent.flags & RequestFlag.POST_ONLY),
            reduce_only=bool(sent.flags & RequestFlag.REDUCE_ONLY),
            trigger=price if conditional else "",
            stop_loss=stop,
        )

    def set_stop(self, symbol: str, price: str) -> Ask:
        return bybit_rest.trading_stop(symbol, stop_loss=price)

    # ---- answers ----

    def time_of(self, answer: Answer) -> int | None:
        """The venue's time, ns."""
        found = bybit_answers.parse_server_time(answer.body)
        return found.value if answer.status == 200 and found.ok else None

    def orders_of(self, answer: Answer) -> Page:
        return self._whole(_page(answer, bybit_answers.parse_orders(answer.body)))

    def executions_of(self, answer: Answer) -> Page:
        return self._whole(_page(answer, bybit_answers.parse_executions(answer.body)))

    def positions_of(self, answer: Answer) -> Page:
        return self._whole(_page(answer, bybit_answers.parse_positions(answer.body)))

    def _whole(self, page: Page) -> Page:
        """A list with one row that cannot be is no list."""
        fault = next(filter(None, map(self._beyond, page.items)), "")
        return Page(False, Outcome.LATER, 0, fault) if fault else page

    def instruments_of(self, answer: Answer) -> Page:
        try:
            page = bybit_instruments.parse_instruments(answer.body)
        except ValueError as why:
            return Page(False, Outcome.LATER, text=str(why))
        items = tuple(Listing(i.symbol, i.tick_size, i.lot_size, page.special.get(i.symbol, "")) for i in page.instruments)
        return Page(answer.status == 200, Outcome.DONE if answer.status == 200 else Outcome.LATER, items=items, cursor=page.cursor)

    def result_of(self, answer: Answer, asked: Asked) -> Page:
        """Of a request that changes something."""
        verdict = bybit_answers.interpret_reply(answer.status, answer.body, asked)
        return Page(
            verdict.outcome in (Outcome.ACCEPTED, Outcome.DONE),
            verdict.outcome,
            verdict.code,
            verdict.message,
            wait_s=_wait(answer),
            order_id=verdict.order_id,
        )


def _wait(answer: Answer) -> float:
    """The pause that the venue asks for, 0 = not stated."""
    ahead_s = bybit_answers.reset_ms(answer.headers) / 1e3 - answer.received_ns / 1e9
    return ahead_s if 0.0 < ahead_s <= 60.0 else 1.0 if answer.status == 429 else 0.0  # (an overloaded venue may say nothing but its status)


def _page(answer: Answer, found: bybit_answers.Parsed[Any]) -> Page:
    if found.ok and answer.status == 200:
        return Page(True, Outcome.DONE, 0, items=found.value or (), cursor=found.cursor)
    verdict = bybit_answers.interpret_reply(answer.status, answer.body, Asked.QUERY)
    failed = Outcome.LATER if verdict.outcome in (Outcome.DONE, Outcome.ACCEPTED) else verdict.outcome  # a body that could not be used
    passing = verdict.code > 0 and outcome(verdict.code, Asked.CREATE) == Outcome.UNKNOWN  # an error of its own: it does not ask for a pause
    return Page(False, failed, verdict.code, found.reason or verdict.message, wait_s=_wait(answer), passing=passing)
