"""A recording as a feed: frames leave at the times they were received (the market clock starts at the first), or moved to another start."""

import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import orjson

from liqshell.clock import NS
from liqshell.emulator.market.contracts import BY_SYMBOL, CONTRACTS, Contract
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.market.quotes import KIND_BBO, KIND_LIQUIDATION, KIND_TICKER, KIND_TRADE
from liqshell.emulator.market.synthetic_feed import MS, Frame, Tap
from liqshell.errors import DataError
from liqshell.recording.reader import Record, read

LOOK_AHEAD = 20_000  # frames from which symbols and decimals are learnt
_DECIMAL = re.compile(r"\d{1,15}(\.\d{1,15})?", re.ASCII)
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
    """(symbol, price, quantity) texts of a sound frame, as far as it has any."""
    data, topic = frame["data"], frame["topic"]
    symbol = topic.rpartition(".")[2]
    if topic.startswith("orderbook."):
        yield from ((symbol, level[0], level[1]) for level in [*data["b"], *data["a"]])
    elif topic.startswith(("publicTrade.", "allLiquidation.")):
        yield from ((symbol, row["p"], row["v"]) for row in data)


def _decimal(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and _DECIMAL.fullmatch(text) is not None


def _levels(side: object) -> bool:
    return isinstance(side, list) and all(isinstance(one, list) and len(one) > 1 and _decimal(one[0]) and _decimal(one[1]) for one in side)


def sound(frame: dict) -> bool:
    """True if the frame's content is valid for its symbol. A recording holds what was received: damaged frames, too."""
    topic, data = frame["topic"], frame["data"]
    symbol = topic.rpartition(".")[2]
    if topic.startswith(("publicTrade.", "allLiquidation.")):
        return isinstance(data, list) and all(
            isinstance(row, dict)
            and row.get("s") == symbol
            and row.get("S") in ("Buy", "Sell")
            and _decimal(row.get("p"))
            and _decimal(row.get("v"))
            and isinstance(row.get("T"), int)
            and isinstance(row.get("seq", 0), int)
            for row in data
        )
    if topic.startswith("orderbook."):
        return (
            isinstance(data, dict)
            and data.get("s") == symbol
            and isinstance(frame.get("cts", 0), int)
            and all(isinstance(data.get(name, 0), int) for name in ("u", "seq"))
            and all(map(_levels, (data.get("b"), data.get("a"))))
        )
    if topic.startswith("tickers."):
        return (
            isinstance(data, dict)
            and data.get("symbol") == symbol
            and isinstance(frame.get("cs", 0), int)
            and all(isinstance(value, str) for value in data.values())
            and all(not data.get(name) or _decimal(data[name]) for name in ("lastPrice", "markPrice", "indexPrice", "openInterest"))
        )
    return True


def guess_contract(symbol: str, price: str, price_decimals: int, lot_decimals: int) -> Contract:
    """A contract as coarse as the texts of a recording show; what only agents need is left as in the first synthetic contract."""
    return replace(
        CONTRACTS[0],
        symbol=symbol,
        price=float(price),
        tick_decimals=price_decimals,
        price_decimals=price_decimals,
        lot_decimals=lot_decimals,
        lots_max=10_000_000,
    )


def rows_of(frame: dict, state: SymbolState, index: int, due_ns: int) -> list[list[tuple[int, ...]]]:
    """The rows of a frame for the emulated venues beside Bybit, at the moment it is due: liquidations one by one, prints of a frame together. Fields
    missing in a ticker are taken from the state before it."""
    topic, data, c = frame["topic"], frame["data"], state.contract

    def ticks(text: str) -> int:
        return round(float(text) * c.tick_power)

    def lots(text: str) -> int:
        return max(1, round(float(text) * c.lot_power))

    if topic.startswith(("publicTrade.", "allLiquidation.")) and isinstance(data, list):
        kind = KIND_TRADE if topic.startswith("publicTrade.") else KIND_LIQUIDATION
        rows: list[tuple[int, ...]] = [
            (due_ns, ticks(row["p"]), lots(row["v"]), 0, 0, 0, index, kind, 1 if row["S"] == "Buy" else -1) for row in data if not row.get("BT")
        ]  # a block trade meets no order
        return [rows] if kind == KIND_TRADE and rows else [[row] for row in rows]
    if topic.startswith("orderbook.1.") and data.get("b") and data.get("a"):
        (bid, bid_size), (ask, ask_size) = data["b"][0][:2], data["a"][0][:2]
        return [[(due_ns, ticks(bid), lots(bid_size), ticks(ask), lots(ask_size), 0, index, KIND_BBO, 0)]]
    if topic.startswith("tickers."):
        known = state.ticker | data
        if known.get("markPrice"):
            funding = round(float(known.get("fundingRate") or 0.0) * 1e8)
            return [
                [
                    (
                        due_ns,
                        ticks(known["markPrice"]),
                        round(float(known.get("openInterest") or 0.0) * c.lot_power),
                        ticks(known.get("indexPrice") or known["markPrice"]),
                        funding,
                        0,
                        index,
                        KIND_TICKER,
                        0,
                    )
                ]
            ]
    return []


class TapeFeed:
    """Frames of one or more recordings, in order of receipt; read as they are needed.

    start_ns  market time of the first frame; then the ms times inside the frames are moved by as much. None = as recorded
    symbols   of the recording that are sent; none named = all
    hours     stop after so much market time
    damaged   frames from which nothing could be learnt; they are sent as they were received
    """

    synthetic = False

    def __init__(self, paths: Iterable[Path], start_ns: int | None = None, symbols: Sequence[str] = (), hours: float | None = None) -> None:
        self.paths = [Path(path) for path in paths]
        self.damaged = 0
        self.wanted: set[str] = set()
        self.taps: list[Tap] = []
        self.topics: set[str] = set()
        self.states: dict[str, SymbolState] = {}
        self._books: dict[str, dict] = {}  # the first whole one of each symbol
        self._learn()
        if unknown := set(symbols) - set(self.states):
            raise ValueError(f"the recording has {', '.join(self.states)}; asked for {', '.join(sorted(unknown))}")
        if symbols:
            self.states = {symbol: state for symbol, state in self.states.items() if symbol in symbols}
            self.topics = {topic for topic in self.topics if topic.rpartition(".")[2] in symbols}
        self._index = {symbol: n for n, symbol in enumerate(self.states)}
        self._frames = self._read()
        self._ahead: tuple[int, str, bytes, dict] | None = next(self._frames, None)
        if self._ahead is None:
            raise DataError(", ".join(map(str, self.paths)), "no market-data frame", "a recording of Bybit V5 public frames")
        first = self._ahead[0]
        self._shift_ms = 0 if start_ns is None else (start_ns - first) // MS
        self.start_ns = first + self._shift_ms * MS
        self._end_ns = None if hours is None else self.start_ns + int(hours * 3600 * NS)

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
            if not sound(frame):
                continue
            self.topics.add(topic)
            if topic.startswith("orderbook.1.") and frame["data"].get("b") and frame["data"].get("a"):
                self._books.setdefault(topic.rpartition(".")[2], frame)
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
        due = None if self._ahead is None else self._ahead[0] + self._shift_ms * MS
        return None if due is None or self._end_ns is not None and due >= self._end_ns else due

    def until(self, now_ns: int) -> list[Frame]:
        """Every frame due by now."""
        out = []
        while (due := self.next_ns) is not None and due <= now_ns:
            assert self._ahead is not None
            _, topic, raw, frame = self._ahead
            self._ahead = next(self._frames, None)
            if sound(frame):
                self._know(frame, due)
            else:
                self.damaged += 1
            if topic in self.wanted:
                out.append(Frame(topic, self._moved(raw)))
        return out

    def opening(self, now_ns: int) -> list[Frame]:
        """The recording's first books, before it begins; see SyntheticFeed. Of a recording without books there is nothing to say."""
        out: list[Frame] = []
        for symbol, frame in self._books.items():
            state = self.states.get(symbol)
            if state is None:
                continue
            self._know(frame, now_ns)
            state.book_ms = now_ns // MS
            if frame["topic"] in self.wanted and (payload := state.book_frame(state.book_ms)) is not None:
                out.append(Frame(frame["topic"], payload))
        return out

    def _moved(self, raw: bytes) -> bytes:
        if not self._shift_ms:
            return raw
        return _TIMES.sub(lambda found: b'"%b":%d' % (found[1], int(found[2]) + self._shift_ms), raw)

    def _know(self, frame: dict, due_ns: int) -> None:
        """Keep the state behind REST and first frames. Data missing in a recording is not invented."""
        topic, data = frame["topic"], frame["data"]
        state = self.states.get(topic.rpartition(".")[2])
        if state is None:
            return
        for rows in rows_of(frame, state, self._index[state.contract.symbol], due_ns) if self.taps else ():
            for tap in self.taps:
                tap(rows)
        if topic.startswith("publicTrade."):
            for row in data:
                if not row.get("BT"):
                    state.on_trade(int(row["T"]) + self._shift_ms, row["S"], row["v"], row["p"], row.get("i", ""), int(row.get("seq", 0)))
        elif topic.startswith("tickers."):
            state.ticker |= {key: value for key, value in data.items() if key != "symbol"}
            state.seq = int(frame.get("cs", state.seq))
        elif topic.startswith("orderbook.1.") and data.get("b") and data.get("a"):
            state.bid, state.ask = tuple(data["b"][0][:2]), tuple(data["a"][0][:2])
            state.u, state.seq = int(data.get("u", state.u)), int(data.get("seq", state.seq))
            state.book_ms = int(frame.get("cts", frame.get("ts", 0))) + self._shift_ms
