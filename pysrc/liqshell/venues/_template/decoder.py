"""Public frames of the venue to events: pure, no sockets.

A frame is {"channel": ..., "symbol": ..., "ts": ms, ...}. The `side` of its liquidations is that of the FORCED ORDER: "sell" = a long was closed by
force. Implement the venue's documentation here; a wrong side inverts every signal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from liqcore.codec.shape import Shape, decimal, integer, literal, millis, side, symbol
from liqcore.event import Kind, Side
from liqshell.venues import frames as read
from liqshell.venues.frames import Frame, FrameDecoder, FrameKind, Refused, shown

LIQUIDATED_SIDE = {"sell": Side.LONG, "buy": Side.SHORT}
AGGRESSOR = {"buy": Side.LONG, "sell": Side.SHORT}
SHAPES = (  # frames that come often, key by key: read in C; all others, and whatever differs, go to message()
    Shape(
        Kind.TRADE,
        {
            "channel": literal("trades"),
            "symbol": symbol(),
            "ts": millis("ts_event"),
            "id": integer("id"),
            "side": side(AGGRESSOR),
            "price": decimal("price"),
            "qty": decimal("qty"),
        },
    ),
    Shape(
        Kind.BBO,
        {
            "channel": literal("quotes"),
            "symbol": symbol(),
            "ts": millis("ts_event"),
            "bid": decimal("price"),
            "bid_qty": decimal("qty"),
            "ask": decimal("aux_price"),
            "ask_qty": decimal("aux_qty"),
        },
    ),
)


class PublicDecoder(FrameDecoder):
    """One decoder for all connections of the venue."""

    def __init__(self, symbols: Sequence[str], first: int = 0, faces: Mapping[str, float] | None = None):
        super().__init__(symbols, first, SHAPES, "channel")

    def message(self, message: dict[str, Any], ts_recv: int) -> Frame:
        """Any JSON object, by the general path: it says the same as the shapes, and is their check."""
        if "op" in message:
            return self._answer(message)
        channel = message.get("channel")
        if channel not in ("trades", "quotes", "liquidations", "marks"):
            return Frame(FrameKind.OTHER, reason="other channel", detail=shown(channel))
        n, ts = self.index(message.get("symbol")), read.millis(message, "ts")
        if channel == "quotes":
            prices = [read.decimal(message, key) for key in ("bid", "bid_qty", "ask", "ask_qty")]
            return Frame(FrameKind.EVENTS, [self.event(Kind.BBO, n, ts, ts_recv, *prices)])
        if channel == "marks":
            stated = {
                name: value
                for key, name in (("mark", "price"), ("index", "aux_price"), ("funding", "aux_qty"), ("oi", "qty"))
                if (value := read.stated(message, key)) is not None
            }
            return Frame(FrameKind.EVENTS, self.ticker(n, ts, ts_recv, stated))
        price, qty = read.decimal(message, "price"), read.decimal(message, "qty")
        sides, kind = (AGGRESSOR, Kind.TRADE) if channel == "trades" else (LIQUIDATED_SIDE, Kind.LIQUIDATION)
        if message.get("side") not in sides:
            raise Refused("bad side", f"side: expected one of {', '.join(sides)}, got {shown(message.get('side'))}")
        number = read.integer(message, "id") if channel == "trades" else 0
        return Frame(FrameKind.EVENTS, [self.event(kind, n, ts, ts_recv, price, qty, number=number, side=int(sides[message["side"]]))])

    def _answer(self, message: dict[str, Any]) -> Frame:
        """Answers to what we sent: a pong, a subscription that was taken or refused."""
        if message["op"] == "pong":
            return Frame(FrameKind.PONG)
        name = str(message.get("name", ""))
        if message["op"] == "subscribed":
            return Frame(FrameKind.ACK, acks=(name,), topics=(name,))
        if message["op"] == "error":
            return Frame(FrameKind.ACK_FAILED, reason="refused", detail=shown(message), topics=(name,), acks=(name,))
        return Frame(FrameKind.OTHER, reason="other operation", detail=shown(message))
