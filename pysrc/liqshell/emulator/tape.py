"""A recording as a feed: frames leave at the times they were received (the market clock starts at the first), or moved to another start."""

import heapq
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson

from ..errors import DataError
from ..recording import Record, read
from .contracts import BY_SYMBOL, CONTRACTS, Contract
from .state import SymbolState
from .quotes import KIND_BBO, KIND_LIQUIDATION, KIND_TICKER, KIND_TRADE
from .synthetic import MS, Frame, Tap

LOOK_AHEAD = 20_000                                  # frames from which symbols and decimals are learnt
_TIMES = re.compile(rb'"(ts|T|cts|start|end|timestamp)":(\d{13})\b')


def decimals(text: str) -> int:
    """Digits after the point."""
    return len(text.partition(".")[2])


def market_data(record: Record) -> dict | None:
    """The decoded frame, or None for acks, pongs and the recorder's own lines."""
    if record.stream.startswith("liqcore."):
        return None
    try:
        frame = orjson.loads(record.frame)
    except orjson.JSONDecodeError:
        return None
    return frame if isinstance(frame, dict) and isinstance(frame.get("topic"), str) and "data" in frame else None


def texts_of(frame: dict) -> Iterator[tuple[str, str, str]]:
    """(symbol, price, quantity) texts of a frame, as far as it has any."""
    data, topic = frame["data"], frame["topic"]
    symbol = topic.rpartition(".")[2]
    if topic.startswith("orderbook.") and isinstance(data, dict):
        yield from ((symbol, level[0], level[1]) for level in [*data.get("b", []), *data.get("a", [])])
    elif topic.startswith(("publicTrade.", "allLiquidation.")):
        yield from ((str(row.get("s", symbol)), str(row["p"]), str(row["v"])) for row in data if "p" in row and "v" in row)


def guess_contract(symbol: str, price: str, price_decimals: int, lot_decimals: int) -> Contract:
    """A contract as coarse as the texts of a recording show; what only agents need is left as in the first synthetic contract."""
    return replace(CONTRACTS[0], symbol=symbol, price=float(price), tick_decimals=price_decimals, price_decimals=price_decimals,
                   lot_decimals=lot_decimals, lots_max=10_000_000)


def rows_of(frame: dict, state: SymbolState, index: int, due_ns: int) -> list[list[tuple[int, ...]]]:
    """The rows of a frame for the emulated venues beside Bybit, at the moment it is due: liquidations one by one, prints of a frame together. What a
    ticker does not say is taken from the state before it."""
    topic, data, c = frame["topic"], frame["data"], state.contract

    def ticks(text: str) -> int:
        return round(float(text) * c.tick_power)

    def lots(text: str) -> int:
        return max(1, round(float(text) * c.lot_power))

    if topic.startswith(("publicTrade.", "allLiquidation.")) and isinstance(data, list):
        kind = KIND_TRADE if topic.startswith("publicTrade.") else KIND_LIQUIDATION
        rows: list[tuple[int, ...]] = [(due_ns, ticks(row["p"]), lots(row["v"]), 0, 0, 0, index, kind, 1 if row["S"] == "Buy" else -1)
                                       for row in data]
        return [rows] if kind == KIND_TRADE and rows else [[row] for row in rows]
    if topic.startswith("orderbook.1.") and data.get("b") and data.get("a"):
        (bid, bid_size), (ask, ask_size) = data["b"][0][:2], data["a"][0][:2]
        return [[(due_ns, ticks(bid), lots(bid_size), ticks(ask), lots(ask_size), 0, index, KIND_BBO, 0)]]
    if topic.startswith("tickers."):
        known = state.ticker | data
        if known.get("markPrice"):
            funding = round(float(known.get("fundingRate") or 0.0) * 1e8)
            return [[(due_ns, ticks(known["markPrice"]), round(float(known.get("openInterest") or 0.0) * c.lot_power),
                      ticks(known.get("indexPrice") or known["markPrice"]), funding, 0, index, KIND_TICKER, 0)]]
    return []


class TapeFeed:
    """Frames of one or more recordings, in order of receipt; read as they are needed.

    start_ns  market time of the first frame; then the ms times inside the frames are moved by as much. None = as recorded
    """

    synthetic = False

    def __init__(self, paths: Iterable[Path], start_ns: int | None = None) -> None:
        self.paths = [Path(path) for path in paths]
        self.wanted: set[str] = set()
        self.taps: list[Tap] = []
        self.topics: set[str] = set()
        self.states: dict[str, SymbolState] = {}
        self._learn()
        self._index = {symbol: n for n, symbol in enumerate(self.states)}
        self._frames = self._read()
        self._ahead: tuple[int, str, bytes, dict] | None = next(self._frames, None)
        if self._ahead is None:
            raise DataError(", ".join(map(str, self.paths)), "no market-data frame", "a recording of Bybit V5 public frames")
        first = self._ahead[0]
        self._shift_ms = 0 if start_ns is None else (start_ns - first) // MS
        self.start_ns = first + self._shift_ms * MS

    def _read(self) -> Iterator[tuple[int, str, bytes, dict]]:
        def one(path: Path) -> Iterator[tuple[int, str, bytes, dict]]:
            for record in read(path):
                if (frame := market_data(record)) is not None:
                    yield record.ts_recv, frame["topic"], record.frame, frame
        return heapq.merge(*map(one, self.paths), key=lambda item: item[0])

    def _learn(self) -> None:
        """Symbols, topics and decimals of the beginning of the recording."""
        found: dict[str, tuple[str, int, int]] = {}
        for _, topic, _, frame in itertools.islice(self._read(), LOOK_AHEAD):
            self.topics.add(topic)
            for symbol, price, qty in texts_of(frame):
                _, p, q = found.get(symbol, ("", 0, 0))
                found[symbol] = price, max(p, decimals(price)), max(q, decimals(qty))
        names = {topic.rpartition(".")[2] for topic in self.topics}
        for symbol in sorted(names | set(found)):
            known = BY_SYMBOL.get(symbol)
            if known is not None:
                self.states[symbol] = SymbolState(known)
            elif symbol in found:
                self.states[symbol] = SymbolState(guess_contract(symbol, *found[symbol]))

    def prepare(self) -> bool:
        """Nothing is made ahead."""
        return False

    @property
    def next_ns(self) -> int | None:
        """When the next frame is due, or None at the end."""
        return None if self._ahead is None else self._ahead[0] + self._shift_ms * MS

    def until(self, now_ns: int) -> list[Frame]:
        """Every frame due by now."""
        out = []
        while (due := self.next_ns) is not None and due <= now_ns:
            assert self._ahead is not None
            _, topic, raw, frame = self._ahead
            self._ahead = next(self._frames, None)
            self._know(frame, due)
            if topic in self.wanted:
                out.append(Frame(topic, self._moved(raw)))
        return out

    def _moved(self, raw: bytes) -> bytes:
        if not self._shift_ms:
            return raw
        return _TIMES.sub(lambda found: b'"%b":%d' % (found[1], int(found[2]) + self._shift_ms), raw)

    def _know(self, frame: dict, due_ns: int) -> None:
        """Keep the state behind REST and first frames. What a recording lacks is not made up."""
        topic, data = frame["topic"], frame["data"]
        state = self.states.get(topic.rpartition(".")[2])
        if state is None:
            return
        for rows in rows_of(frame, state, self._index[state.contract.symbol], due_ns) if self.taps else ():
            for tap in self.taps:
                tap(rows)
        if topic.startswith("publicTrade."):
            for row in data:
                state.on_trade(int(row["T"]) + self._shift_ms, row["S"], row["v"], row["p"], row.get("i", ""), int(row.get("seq", 0)))
        elif topic.startswith("tickers."):
            state.ticker |= {key: value for key, value in data.items() if key != "symbol"}
            state.seq = int(frame.get("cs", state.seq))
        elif topic.startswith("orderbook.1.") and data.get("b") and data.get("a"):
            state.bid, state.ask = tuple(data["b"][0][:2]), tuple(data["a"][0][:2])
            state.u, state.seq = int(data.get("u", state.u)), int(data.get("seq", state.seq))
            state.book_ms = int(frame.get("cts", frame.get("ts", 0))) + self._shift_ms
