"""The frames of one venue in a recording: its decoder, and the contract of each of its symbols.

The contracts of a run are known from its settings. Those of other recordings come up while it is read: the decoder is made anew for each new one,
with the ticker values that were known."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqshell.recording.marks import Concern
from liqshell.venues.adapter import Adapter
from liqshell.venues.frames import TICKER, Frame, FrameKind

FRAME_EVENTS_MAX = 4096
TICKERS = sum(TICKER.values())  # the streams that tickers state


class VenueFrames:
    """adapter: of the venue. symbols, first: the contracts of a run, and which number the first of them has there; () = they come up.
    place(symbol): number of a new contract in the reading. gap_ns: silence that means missing data, 0 = none does."""

    def __init__(
        self,
        adapter: Adapter,
        symbols: Sequence[str] = (),
        first: int = 0,
        *,
        place: Callable[[str], int] | None = None,
        gap_ns: int = 0,
        alone: bool = True,
    ):
        self.adapter, self.gap_ns, self.frame_last = adapter, gap_ns, 0
        self.marked = (-1,) if alone else tuple(range(first, first + len(symbols)))
        self.each = tuple(range(first, first + len(symbols)))
        self.decoder = adapter.decoder(symbols, first)
        self._place = place
        self._places: np.ndarray = np.zeros(0, np.int32)
        self._known: Mapping[tuple[str, str], np.void] = {}
        self._pattern, self._named, self._strange = re.compile(adapter.symbol), adapter.names_in, set[str]()

    def remember(self, tickers: Mapping[tuple[str, str], np.void]) -> None:
        """Takes the state of earlier files by (venue, symbol), also of contracts that appear later."""
        self._known = tickers
        self._recall(self.decoder.symbols)

    def _recall(self, symbols: Sequence[str]) -> None:
        for n, symbol in enumerate(self.decoder.symbols):
            if symbol in symbols and (self.adapter.venue, symbol) in self._known:
                self.decoder.carried[n] = self._known[self.adapter.venue, symbol]

    def forget(self, marked: Sequence[Concern]) -> None:
        """Forgets the ticker values of these contracts, after a lost connection."""
        lost = [n for n, streams in marked if not streams or streams & TICKERS]
        self.decoder.forget(None if -1 in lost else lost)

    def decode(self, frame: bytes, ts_recv: int, out: np.ndarray) -> tuple[int, Frame | None]:
        """Events of a frame into out (their number), and what the frame was where it took the general way."""
        if self._place is not None:
            self._meet(frame)
        found = self.decoder.decode(frame, ts_recv, out)
        frame_info = None if isinstance(found, int) else found
        count = found if isinstance(found, int) else len(found.events)
        if count and self._place is not None:
            out["instrument"][:count] = self._places[out["instrument"][:count]]
        return count, frame_info

    def _meet(self, frame: bytes) -> None:
        known = self.decoder.symbols
        named = [raw.decode("utf-8", "replace") for raw in (self._named.findall(frame) if self._named else ())]
        new = dict.fromkeys(name for name in named if name not in self._strange and name not in known)
        fit = [name for name in new if self._pattern.fullmatch(name)]
        self._strange.update(name for name in new if name not in fit)
        if not fit or not self._of_use(frame):
            return
        before = self.decoder.carried
        self.decoder = self.adapter.decoder((*known, *fit))
        self.decoder.carried[: len(known)] = before[: len(known)]
        self._recall(fit)
        assert self._place is not None
        self._places = np.array([*self._places, *(self._place(name) for name in fit)], np.int32)

    def _of_use(self, frame: bytes) -> bool:
        """Whether a frame that names new contracts holds events at all: those of other channels make no contract."""
        symbols = tuple(dict.fromkeys(raw.decode("utf-8", "replace") for raw in self._named.findall(frame))) if self._named else ()
        trial = self.adapter.decoder(tuple(name for name in symbols if self._pattern.fullmatch(name)))
        return trial.scan.decode(frame, 0, np.zeros(FRAME_EVENTS_MAX, EVENT_DTYPE)) > 0 or bool(trial.read(frame, 0).events)


def frame_counts(frame_info: Frame) -> dict[str, int]:
    """The counters of a frame; none for a normal frame."""
    out = {f"row not used: {reason}": count for reason, count in frame_info.dropped.items()}
    if frame_info.kind not in (FrameKind.EVENTS, FrameKind.ACK, FrameKind.PONG) and not frame_info.dropped:
        out[f"frame {frame_info.kind.name.lower()}" + (f": {frame_info.reason}" if frame_info.reason else "")] = 1
    return out
