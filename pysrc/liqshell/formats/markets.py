"""The markets of captures that live does not read: Binance's coin-margined contracts and its spot market. Bybit's spot market sends the frames of its
contracts; its options and its retired API are not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from liqcore.event import Completeness, Kind
from liqshell.recording.lines import BINANCE_CM, BINANCE_SPOT, BYBIT_2, BYBIT_OPTION, BYBIT_SPOT, DYDX, FTX, GATE
from liqshell.venues import adapters
from liqshell.venues import frames as read
from liqshell.venues.adapter import Adapter
from liqshell.venues.binance import decoder as binance
from liqshell.venues.frames import Frame, FrameKind

#: markets of which nothing is read, and the words for it
UNREAD: Mapping[str, str] = {
    BYBIT_OPTION: "Bybit's options",
    BYBIT_2: "Bybit's API 2, which the venue has retired",
    **{name: f"the exchange {name}, which has no decoder here" for name in (GATE, FTX, DYDX)},
}
#: the venue under which a store has the contracts of a market
BYBIT: Mapping[str, str] = {"": "bybit", "bybit": "bybit", BYBIT_SPOT: "bybit_spot"}
#: markets beside those whose liquidations a detector follows: counted there, and kept apart in a store
BESIDE = (BINANCE_CM, BINANCE_SPOT, BYBIT_SPOT, *UNREAD)
_QUOTE = ("u", "s", "b", "B", "a", "A")


class _CoinMargined(binance.PublicDecoder):
    """Frames of dstream: all contracts are coin-margined, whatever `st` says."""

    def _mine(self, row: dict[str, Any], *more: dict[str, Any]) -> int:
        return self.index(row.get("s"))


class _Spot(binance.PublicDecoder):
    """Frames of the spot market: its bookTicker has neither name nor time."""

    def message(self, message: dict[str, Any], ts_recv: int) -> Frame:
        row = message.get("data") if "stream" in message else message
        if type(row) is dict and "e" not in row and all(key in row for key in _QUOTE):
            values = (read.decimal(row, key) for key in ("b", "B", "a", "A"))
            return Frame(FrameKind.EVENTS, [self.event(Kind.BBO, self.index(row["s"]), ts_recv, ts_recv, *values, number=read.integer(row, "u"))])
        return super().message(message, ts_recv)


MARKETS: Mapping[str, Adapter] = {
    BINANCE_CM: replace(binance.ADAPTER, venue="binance_cm", decoder=_CoinMargined, symbol=r"[A-Z0-9]{1,20}USD_(PERP|[0-9]{6})"),
    BINANCE_SPOT: replace(binance.ADAPTER, venue="binance", decoder=_Spot, symbol_keys=("s",), completeness=Completeness.COMPLETENESS_UNKNOWN),
}


def adapter_of(name: str, where: str | Path = "") -> Adapter:
    """The adapter of a market of a capture. where: what names it. UnknownVenue where there is none."""
    return MARKETS.get(name.lower()) or adapters.adapter_of(name, where)
