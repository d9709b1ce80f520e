"""The market of the exchange, equal to that of the clients: the emulator's own frames, decoded by the decoder of the live path, in batches."""

from collections.abc import Sequence

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqshell.emulator.api.account_api import AccountApi
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.synthetic_feed import Frame
from liqshell.venues.bybit.decoder import Frame as DecodedFrame
from liqshell.venues.bybit.decoder import FrameKind, PublicDecoder

ROOM = 4_096  # events of a batch; a frame has at most 1024
TOPICS = ("publicTrade", "orderbook.1", "tickers")
_ACCEPTED = (FrameKind.EVENTS, FrameKind.OTHER)


class Feeder:
    """Frames of these symbols to one desk. `unread`: frames that could not be decoded; our feeds should have none."""

    def __init__(self, desk: AccountApi, symbols: Sequence[str]) -> None:
        self.desk = desk
        self.topics = {f"{name}.{symbol}" for name in TOPICS for symbol in symbols}
        self.unread = 0
        self._decoder = PublicDecoder(symbols)
        self._events = np.zeros(ROOM, EVENT_DTYPE)

    def feed(self, frames: Sequence[Frame], now_ns: int) -> None:
        """Frames that are sent at now_ns."""
        events, decode, topics, n = self._events, self._decoder.decode, self.topics, 0
        for frame in frames:
            if frame.topic not in topics:
                continue
            if n > ROOM - 1_024:
                self.desk.on_events(events[:n])
                n = 0
            found = decode(frame.payload, now_ns, events[n:])
            if isinstance(found, DecodedFrame):
                self.unread += found.kind not in _ACCEPTED
                found = len(found.events)
            n += found
        if n:
            self.desk.on_events(events[:n])

    def begin(self, states: Sequence[SymbolState], now_ns: int) -> None:
        """The state of the market for a late subscriber."""
        now_ms = now_ns // 1_000_000
        frames = []
        for state in states:
            for name in TOPICS[1:]:
                topic = f"{name}.{state.contract.symbol}"
                if (payload := state.first_frame(topic, now_ms)) is not None:
                    frames.append(Frame(topic, payload))
        self.feed(frames, now_ns)
