"""Deeper order books for clients that ask for them: snapshot, then deltas, with the one level that the emulated market has on each side."""

from collections.abc import Iterable, Mapping

import orjson

from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.synthetic_feed import Frame

PERIOD_MS = {50: 20, 200: 100, 500: 100, 1000: 200}
REMOVED = 500  # by the real venue, for futures; some clients still ask for it


class Depth:
    """Topics orderbook.50, .200 and .1000 (and .500 where wanted) of these symbols."""

    def __init__(self, states: Mapping[str, SymbolState], with_removed: bool = False) -> None:
        self._books = {
            f"orderbook.{depth}.{symbol}": _Book(f"orderbook.{depth}.{symbol}", state, period)
            for symbol, state in states.items()
            for depth, period in PERIOD_MS.items()
            if with_removed or depth != REMOVED
        }
        self.topics = set(self._books)

    def first_frame(self, topic: str, now_ms: int) -> bytes | None:
        """The snapshot that a new subscriber gets."""
        return self._books[topic].snapshot(now_ms)

    def frames(self, wanted: Iterable[str], now_ms: int) -> list[Frame]:
        """The changes since the last frames of subscribed topics."""
        out = []
        for topic in sorted(self.topics.intersection(wanted)):
            if (payload := self._books[topic].delta(now_ms)) is not None:
                out.append(Frame(topic, payload))
        return out


class _Book:
    """One topic, as its listeners know it."""

    def __init__(self, topic: str, state: SymbolState, period_ms: int) -> None:
        self.topic, self.state, self.period_ms = topic, state, period_ms
        self.known: tuple[tuple[str, str], tuple[str, str]] | None = None
        self.u = 1_000_000
        self.sent_ms = 0

    def _frame(self, kind: str, bids: list[list[str]], asks: list[list[str]], now_ms: int) -> bytes:
        state = self.state
        return orjson.dumps(
            {
                "topic": self.topic,
                "type": kind,
                "ts": now_ms,
                "cts": state.book_ms,
                "data": {"s": state.contract.symbol, "b": bids, "a": asks, "u": self.u, "seq": state.seq},
            }
        )

    def snapshot(self, now_ms: int) -> bytes | None:
        if self.known is None:
            if self.state.bid is None or self.state.ask is None:
                return None
            self.known = self.state.bid, self.state.ask
        bid, ask = self.known
        return self._frame("snapshot", [list(bid)], [list(ask)], now_ms)

    def delta(self, now_ms: int) -> bytes | None:
        bid, ask = self.state.bid, self.state.ask
        if bid is None or ask is None or (bid, ask) == self.known or now_ms < self.sent_ms + self.period_ms:
            return None
        self.sent_ms = now_ms
        self.u += 1
        before, self.known = self.known, (bid, ask)
        if before is None:
            return self._frame("snapshot", [list(bid)], [list(ask)], now_ms)
        return self._frame("delta", _changes(before[0], bid), _changes(before[1], ask), now_ms)


def _changes(before: tuple[str, str], now: tuple[str, str]) -> list[list[str]]:
    """Levels to delete (size 0) and to set."""
    if before == now:
        return []
    return ([[before[0], "0"]] if before[0] != now[0] else []) + [list(now)]
