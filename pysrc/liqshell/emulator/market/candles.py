"""Candles for clients that subscribe to them: topics kline.{interval}.{symbol}, made of trades."""

from collections.abc import Iterable, Mapping

import orjson

from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.synthetic_feed import Frame

INTERVALS = {**{str(m): m * 60_000 for m in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)}, "D": 86_400_000}
PERIOD_MS = 1_000


class Candles:
    """The candles of these symbols: the current one once a second, `confirm` false, and once more, true, when its time is over."""

    def __init__(self, states: Mapping[str, SymbolState]) -> None:
        self._lines = {
            f"kline.{interval}.{symbol}": _Line(f"kline.{interval}.{symbol}", interval, state)
            for symbol, state in states.items()
            for interval in INTERVALS
        }
        self.topics = set(self._lines)

    def first_frame(self, topic: str, now_ms: int) -> bytes | None:
        """The current candle, for a new subscriber."""
        return self._lines[topic].current(now_ms)

    def frames(self, wanted: Iterable[str], now_ms: int) -> list[Frame]:
        """The frames due on subscribed topics."""
        return [Frame(topic, payload) for topic in sorted(self.topics.intersection(wanted)) for payload in self._lines[topic].due(now_ms)]


class _Line:
    """One topic. start: of the candle that its listeners know as the current one."""

    def __init__(self, topic: str, interval: str, state: SymbolState) -> None:
        self.topic, self.interval, self.state, self.step_ms = topic, interval, state, INTERVALS[interval]
        self.start = self.sent_ms = 0

    def current(self, now_ms: int) -> bytes | None:
        self.start = now_ms - now_ms % self.step_ms
        return self._frame(self.start, now_ms, False)

    def due(self, now_ms: int) -> list[bytes]:
        start = now_ms - now_ms % self.step_ms
        out: list[bytes | None] = []
        if 0 < self.start < start:  # a client acts on what is confirmed: at once
            out.append(self._frame(self.start, self.start + self.step_ms, True))
        if start != self.start or now_ms >= self.sent_ms + PERIOD_MS:
            self.start, self.sent_ms = start, now_ms
            out.append(self._frame(start, now_ms, False))
        return [payload for payload in out if payload is not None]

    def _frame(self, start: int, ts: int, confirm: bool) -> bytes | None:
        """None before the first trade. A time without trades has a flat candle at the last close."""
        found = self.state.bars.klines(self.step_ms, ts, end=start, limit=1)
        if not found:
            return None
        row = dict(zip(("open", "high", "low", "close", "volume", "turnover"), found[0][1:], strict=True))
        data = {"start": start, "end": start + self.step_ms - 1, "interval": self.interval, **row, "confirm": confirm, "timestamp": ts}
        return orjson.dumps({"type": "snapshot", "topic": self.topic, "data": [data], "ts": ts})
