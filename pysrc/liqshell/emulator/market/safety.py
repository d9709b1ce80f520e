"""The venue's safety data: price limits of each contract, the insurance pool and the distance to deleveraging.

All contracts share one healthy pool, so `insurance` is accepted and sends nothing, as on the venue.
"""

from collections.abc import Iterable, Mapping

import orjson

from liqshell.emulator.market import bybit_frames as bybit
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.synthetic_feed import Frame

LIMITS_MS, ALERT_MS = 300, 1_000
COIN = "USDT"
POOL = 250_000_000.0
ALERT, INSURANCE = f"adlAlert.{COIN}", f"insurance.{COIN}"


class Safety:
    """Topics priceLimit.{symbol}, adlAlert.USDT and insurance.USDT. share: how far from the mark the limits are."""

    def __init__(self, states: Mapping[str, SymbolState], share: float) -> None:
        self._states, self._share = states, share
        self._limits = {f"priceLimit.{symbol}": symbol for symbol in states}
        self._sent: dict[str, tuple[int, str]] = {}  # topic: when, and the mark that it was made of
        self.topics = {*self._limits, ALERT, INSURANCE}

    def first_frame(self, topic: str, now_ms: int) -> bytes | None:
        """The first frame of a new subscriber."""
        if topic == ALERT:
            rows = [
                {"c": COIN, "s": symbol, "b": POOL, "mb": "", "i_pr": -0.3, "pr": 0, "adl_tt": 10_000, "adl_sr": -0.25} for symbol in self._states
            ]
            return orjson.dumps({"topic": ALERT, "type": "snapshot", "ts": now_ms, "data": rows})
        state = self._states[self._limits[topic]] if topic in self._limits else None
        if state is None or not (mark := float(state.ticker.get("markPrice", "0"))):
            return None
        power = state.contract.tick_power
        high, low = int(mark * (1.0 + self._share) * power), -int(-mark * (1.0 - self._share) * power)
        return orjson.dumps(
            {
                "topic": topic,
                "ts": now_ms,
                "data": {
                    "symbol": state.contract.symbol,
                    "buyLmt": bybit.price_text(state.contract, high),
                    "sellLmt": bybit.price_text(state.contract, low),
                },
            }
        )

    def frames(self, wanted: Iterable[str], now_ms: int) -> list[Frame]:
        """Limits that have changed, at most every 300 ms; the alert every second."""
        out = []
        for topic in sorted(self.topics.intersection(wanted)):
            last, known = self._sent.get(topic, (0, ""))
            value = self._states[self._limits[topic]].ticker.get("markPrice", "") if topic in self._limits else str(now_ms // ALERT_MS)
            if value == known or now_ms < last + LIMITS_MS or (payload := self.first_frame(topic, now_ms)) is None:
                continue
            self._sent[topic] = now_ms, value
            out.append(Frame(topic, payload))
        return out
