"""Connections of a capture that have no line with their address, of cryptofeed 3 or of hftbacktest's collector, which writes none: finds the Bybit
market of each by its frames.

Trades of contracts have an UUID and a tick direction (`L`), those of spot a number; only contracts are liquidated and have a mark price. Books and
candles say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from liqshell.errors import DataError

SPOT, CONTRACTS = "wss://stream.bybit.com/v5/public/spot", "wss://stream.bybit.com/v5/public/linear"  # whatever contracts: one decoder reads them
# with the quotes of a frame that is kept as text, or of one by itself
_TOPIC = re.compile(rb'\\?"topic\\?":\s?\\?"((allLiquidation|liquidation|publicTrade|tickers|orderbook)\.[\w.:-]{1,80})\\?"')
_CONTRACT_TRADE = re.compile(rb'\\?"L\\?":|\\?"i\\?":\s?\\?"[0-9a-fA-F]{8}-')
_SPOT_TRADE = re.compile(rb'\\?"i\\?":\s?\\?"\d+\\?"')
_CONTRACT_TICKER = re.compile(rb'\\?"(?:markPrice|openInterest|fundingRate|tickDirection)\\?":')
_SNAPSHOT = re.compile(rb'\\?"type\\?":\s?\\?"snapshot\\?"')
ACTION = 'Put a line {"t": "connect", "conn": NAME, "ts": SECONDS, "addr": ADDRESS} of each at the beginning, or give the files separately'


class Unaddressed:
    """Lines of a capture, one after the other, then `addresses`."""

    def __init__(self) -> None:
        self._first_lines: dict[str, dict[str, int]] = {}  # connection -> market -> the line that says it first
        self._topics: dict[str, dict[str, int]] = {}  # topic -> connection -> its first line

    def see(self, conn: str, line: bytes, number: int) -> None:
        """A line that a connection received."""
        if not conn.lower().startswith("bybit") or (topic := _TOPIC.search(line)) is None:
            return
        self._topics.setdefault(topic[1].decode(), {}).setdefault(conn, number)
        if market := _market(topic[2], line):
            self._first_lines.setdefault(conn, {}).setdefault(market, number)

    def only(self, conn: str, given: str, where: Path) -> str:
        """The address of the one connection of a file that has no lines of connections; '' = nothing of Bybit is in it. given: the user's choice
        (bybit or bybit_spot), for frames that do not state it. DataError where neither does."""
        found = self.addresses({}, where).get(conn) or {"bybit": CONTRACTS, "bybit_spot": SPOT}.get(given, "")
        if self._topics and not found:
            topic, conns = next(iter(self._topics.items()))
            raise DataError(
                f"{where}:{conns[conn]}",
                f"{topic}, and no line shows whether it is of Bybit's spot market or of a contract",
                "a trade, a ticker or a liquidation among its frames: spot and contracts have the same topics",
                "Import it with `--venue bybit` (contracts) or `--venue bybit_spot`",
            )
        return found if self._topics else ""

    def addresses(self, known: Mapping[str, str], where: Path) -> dict[str, str]:
        """The market of each connection that has no address, as an address of it. DataError where two connections have one topic and nothing says
        that they are of one market, or where one has frames of two."""
        out: dict[str, str] = {}
        for conn, markets in self._first_lines.items():
            if conn in known:
                continue
            if len(markets) > 1:
                lines = " and ".join(f"line {number} is of {'spot' if market == SPOT else 'contracts'}" for market, number in markets.items())
                raise DataError(
                    str(where), f"connection {conn} without an address has frames of two markets: {lines}", "one market a connection", ACTION
                )
            (out[conn],) = markets
        for topic, conns in self._topics.items():
            silent = [conn for conn in conns if conn not in known and conn not in out]
            if silent and len(conns) > 1:
                names = ", ".join(f"{conn} (line {number})" for conn, number in list(conns.items())[:4])
                raise DataError(
                    str(where),
                    f"{topic} is in the connections {names}, and no line shows the market of {silent[0]}",
                    "the address of each connection: spot and contracts have the same topics",
                    ACTION,
                )
        return out


def _market(stem: bytes, line: bytes) -> str:
    """The market of a frame, as an address; '' = not stated."""
    if stem in (b"allLiquidation", b"liquidation"):
        return CONTRACTS
    if stem == b"publicTrade":
        return CONTRACTS if _CONTRACT_TRADE.search(line) else SPOT if _SPOT_TRADE.search(line) else ""
    if stem == b"tickers":
        return CONTRACTS if _CONTRACT_TICKER.search(line) else SPOT if _SNAPSHOT.search(line) else ""
    return ""
