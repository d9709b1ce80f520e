"""Lines of recordings to records, ours and those of other programs.

    ours              see record.py
    hourly files      {ts, exchange, source, stream, symbol, result}
    cryptofeed 3      {"t": "recv", "conn", "ts": seconds, "data": the frame as text}; a line with t = connect names the address of a connection
    cryptofeed 2      "ADDRESS <-> SECONDS" (connected), "ADDRESS <- SECONDS: sent", "SECONDS: received" or "ADDRESS -> SECONDS: received"
    hftbacktest       "NANOSECONDS FRAME"
    frames            by themselves, and pages of REST answers (rest_pages.py)

Venues use one name in several markets: BTCUSDT of Bybit is a spot market and a linear contract. The address of a connection names the market of its
frames; without one, the frame's content does.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from liqshell.errors import DataError
from liqshell.iso import written_ns
from liqshell.recording import rest_pages
from liqshell.recording.recorder import TOPIC, label
from liqshell.recording.unaddressed import Unaddressed
from liqshell.venues.adapters import ADAPTERS

SKIP = "liqcore.skip"  # stream of lines that hold no frame
RAW = "raw"  # source of bare frames: their time of receipt is unknown
BINANCE_SPOT, BINANCE_CM, BYBIT_SPOT, BYBIT_OPTION, BYBIT_2 = "binance_spot", "binance_cm", "bybit_spot", "bybit_option", "bybit_v2"
GATE, FTX, DYDX = "gate.io", "ftx", "dydx"  # venues that are told apart in order to be named
# the market of a connection by a part of its address, the first that fits; other hosts stand for themselves
ADDRESSES = (
    ("/v5/public/spot", BYBIT_SPOT),
    ("/v5/public/option", BYBIT_OPTION),
    ("bybit.com/realtime", BYBIT_2),
    ("dstream.binance", BINANCE_CM),
    *((part, one.venue) for one in ADAPTERS.values() for part in one.hosts),
    ("stream.binance", BINANCE_SPOT),
)
_OURS = re.compile(
    rb'\{"ts":-?\d{1,18},"ts_recv":(-?\d{1,19}),"exchange":"([^"\\]*)","source":"([^"\\]*)","stream":"([^"\\]*)",'
    rb'"symbol":"([^"\\]*)",(?:"raw":"(text|base64)",)?"result":'
)
_CONNECTED = re.compile(rb"((?:wss?|https?)://\S+) <-> (\d{9,10}(?:\.\d{1,9})?)\s*")
_SENT = re.compile(rb"((?:wss?|https?)://\S+) <- (\d{9,10}(?:\.\d{1,9})?): ")
_RECEIVED = re.compile(rb"(?:((?:wss?|https?)://\S+) -> )?(\d{9,10}(?:\.\d{1,9})?): ")
_COLLECTED = re.compile(rb'(\d{19}) (?=\{"|\[)')
_CRYPTOFEED = ("header", "connect", "send", "http", "recv", "close")
_V3 = re.compile(rb'\{"t":\s?"(\w+)"')
_V3_CONN, _V3_ADDRESS = (re.compile(text) for text in (rb'"conn":\s?"([^"\\]{1,80})"', rb'"addr":\s?"([^"\\]{1,500})"'))
_V3_TS = re.compile(rb'"ts":\s?(\d{1,12}(?:\.\d{1,9})?)')
_INVERSE = re.compile(r"[A-Z0-9]+USD_(PERP|\d{6})")
BACK_NS = 1_000_000_000  # a connection that begins this far before the one above it stands beside it, not behind it
TIME_MAX = 1 << 62  # 2116, ns
COLLECTED = ""  # name of the connection of a collector that names none
PARTS_MAX = 64  # connections of one file that are read side by side
BEGINNINGS = (_CONNECTED, _SENT, _RECEIVED, _COLLECTED)


class Record(NamedTuple):
    ts_recv: int  # ns UTC; from a recording that kept only milliseconds, that many; from raw frames the venue's own time
    frame: bytes  # as it came over the wire; of a foreign recording, a frame of the same content
    stream: str  # topic, or liqcore.meta / .feed / .end / .gap for the recorder's own lines
    symbol: str
    exchange: str
    source: str = "ws"  # "rest": the answer to a poll; RAW


class Part(NamedTuple):
    """Lines of a capture, from `start` to before `end` (from 1), and what the lines before them say of connections."""

    start: int
    end: int
    addresses: dict[str, str]


def market_at(address: str) -> str:
    """The market of a connection by its address: a name such as bybit_spot, or the host where it is none that is known."""
    found = next((market for part, market in ADDRESSES if part in address), "")
    return found or re.sub(r"^\w+://([^/:?]*).*", r"\1", address, flags=re.S)[:80]


def is_capture(line: bytes) -> bool:
    """Whether a first line is of a collector whose lines are no JSON."""
    return any(pattern.match(line) for pattern in BEGINNINGS)


def parts_of(lines: Iterator[bytes], where: Path, market: str = "") -> list[Part]:
    """Where connections of one capture stand one behind the other, each with the whole time, the lines of each; [] where all is in order of receipt
    and has its addresses. DataError if they are too many to be read side by side, or if their markets cannot be distinguished.

    market: what a person says of a file without connections, bybit or bybit_spot."""
    out: list[Part] = []
    without = Unaddressed()
    addresses: dict[str, str] = {}
    conn, top, number, begin = b"", 0, 0, 1
    for number, line in enumerate(lines, 1):
        kind = _V3.match(line)
        if kind is not None:
            mine, at, address = (pattern.search(line, 0, 1000) for pattern in (_V3_CONN, _V3_TS, _V3_ADDRESS))
            if mine and address and kind[1] == b"connect":
                addresses[mine[1].decode("utf-8", "replace")] = address[1].decode("utf-8", "replace")
            elif mine and kind[1] == b"recv" and (named := mine[1].decode("utf-8", "replace")) not in addresses:
                without.see(named, line, number)
            name, ts = mine[1] if mine else conn, _seconds(at[1]) if at else 0
        else:
            opened = _CONNECTED.match(line)
            if opened is None and (number == 1 or not _RECEIVED.match(line) and not _SENT.match(line)):
                if number == 1:  # of a format without connections
                    return _collected(chain([line], lines), where, market) if _COLLECTED.match(line) else []
                continue
            stamp = opened or _SENT.match(line) or _RECEIVED.match(line)
            name, ts = (b"%d" % number if opened else conn), _seconds(stamp[2]) if stamp else 0
        if ts and name != conn and conn and ts < top - BACK_NS:
            out.append(Part(begin, number, addresses))
            begin, top = number, 0
            if len(out) >= PARTS_MAX:
                raise DataError(
                    f"{where}:{number}",
                    f"the time goes back at more than {PARTS_MAX} places where another connection begins",
                    "lines in order of receipt",
                    "Sort the file by time",
                )
        conn, top = name, max(top, ts)
    found = without.addresses(addresses, where)
    addresses |= found
    return [*out, Part(begin, number + 1, addresses)] if out or found else []


def _collected(lines: Iterator[bytes], where: Path, market: str) -> list[Part]:
    """Of hftbacktest's collector, which writes one connection a file and no address: Bybit's market is seen in the frames."""
    seen, number = Unaddressed(), 0
    for number, line in enumerate(lines, 1):
        seen.see("bybit", line, number)
    address = seen.only("bybit", market, where)
    return [Part(1, number + 1, {COLLECTED: address})] if address else []


def _seconds(text: bytes) -> int:
    """A decimal number of seconds, ns: every digit counts."""
    return int(Decimal(text.decode()) * 1_000_000_000)


class Lines:
    """The lines of one file, one after the other. addresses: of connections, where it is known already."""

    def __init__(self, file: Path, addresses: dict[str, str] | None = None):
        self.file = file
        self._addresses = dict(addresses or {})
        self._market = ""  # of the connection of a file with one a time

    def records(self, line: bytes, number: int) -> Iterator[Record]:
        """The records of a line. DataError where it is none of a recording."""
        ours = _OURS.match(line)
        if ours and line.endswith(b"}") and int(ours[1]) < TIME_MAX:
            ts, exchange, source, stream, symbol, raw = ours.groups()
            frame = line[ours.end() : -1]
            if raw:
                frame = _unwrap(frame, raw, self.file, number)
            yield Record(int(ts), frame, stream.decode(), symbol.decode(), exchange.decode(), source.decode())
            return
        if not line.startswith((b"{", b"[")) and (found := self._captured(line)) is not None:
            yield found
            return
        yield from self._json(line, number)

    def _captured(self, line: bytes) -> Record | None:
        """A line of cryptofeed 2, or of hftbacktest's collector."""
        collected = _COLLECTED.match(line)
        if collected is not None and int(collected[1]) < TIME_MAX:
            return _frame(line[collected.end() :].strip(), int(collected[1]), "", market_at(self._addresses.get(COLLECTED, "")))
        opened = _CONNECTED.fullmatch(line) or _SENT.match(line)
        if opened is not None:
            self._market = market_at(opened[1].decode("utf-8", "replace"))
            return Record(_seconds(opened[2]), b"{}", SKIP, "", "")
        received = _RECEIVED.match(line)
        if received is None:
            return None
        market = market_at(received[1].decode("utf-8", "replace")) if received[1] else self._market
        if (received[1] or b"").startswith(b"http"):
            return Record(_seconds(received[2]), b"{}", SKIP, "", "")
        return _frame(line[received.end() :].strip(), _seconds(received[2]), market)

    def _json(self, line: bytes, number: int) -> Iterator[Record]:
        file = self.file
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError as why:
            raise DataError(f"{file}:{number}", f"not JSON ({why}): {line[:60]!r}", "a recording: one JSON object a line") from None
        if (page := rest_pages.frames_of(found)) is not None:
            for market, frame, ts in page:
                stream, symbol = _labels(market, frame)
                yield Record(ts, frame, stream, symbol, market, RAW)
            return
        if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
            for n, row in enumerate(found, number):
                yield from self._json(orjson.dumps(row), n)
            return
        if not isinstance(found, dict):
            raise DataError(f"{file}:{number}", f"found {type(found).__name__}", "a JSON object a line: a recording or raw venue frames")
        if "result" in found and {"ts", "ts_recv", "stream", "exchange", "symbol", "source"} & found.keys():
            yield _foreign(found, file, number)
        elif found.get("t") in _CRYPTOFEED:
            yield self._cryptofeed(found, number)
        elif found.keys() <= {"id", "result", "error", "code", "msg"} and "id" in found and found.keys() & {"result", "error"}:
            yield Record(0, b"{}", SKIP, "", "")  # a venue's answer to a request
        elif (own := market_of(found)) is not None:
            stream, symbol = _labels(own, line)
            ts = _time_of(found)
            yield Record(0 if ts is None else _nanoseconds(ts, file, number), line.strip(), stream, symbol, own, RAW)
        else:
            yield _of_bybit(found, line, file, number)

    def _cryptofeed(self, found: dict[str, Any], number: int) -> Record:
        """A line of cryptofeed 3: t = recv has the frame as text in data and the time of receipt in seconds; the others are not ours."""
        ts, conn = found.get("ts", 0), str(found.get("conn", ""))
        if type(ts) not in (int, float) or not 0 <= ts < TIME_MAX / 1e9:
            raise DataError(f"{self.file}:{number}", f"ts: found {ts!r}", "the time of receipt in seconds")
        at = round(ts * 1e9)
        if found["t"] == "connect" and type(found.get("addr")) is str:
            self._addresses[conn] = found["addr"]
        if found["t"] != "recv" or type(found.get("data")) is not str:
            return Record(at, b"{}", SKIP, "", "")
        address = self._addresses.get(conn)
        market = market_at(address) if address is not None else ""
        if "." in market or not market:  # of no venue that has a name here: by the name of the connection
            market = conn.partition(".")[0].lower()
        frame = found["data"].encode("utf-8", "surrogatepass")
        stream, symbol = _labels(market, frame)
        return Record(at, frame, stream, symbol, market)


def _labels(market: str, frame: bytes) -> tuple[str, str]:
    """(stream, symbol) of a frame, as written in it."""
    own = "binance_um" if market.startswith("binance") else market
    if own in ADAPTERS and ADAPTERS[own].kind_key:
        stream, symbol = label(own, frame)
        return stream.decode(), symbol.decode()
    named = TOPIC.search(frame, 0, 400)
    topic = named[1].decode() if named else ""
    return topic, topic.rpartition(".")[2]


def _frame(frame: bytes, ts: int, market: str, otherwise: str = "") -> Record:
    """A frame whose time of receipt is known; market '' = to be seen in it; otherwise: the market of what looks like no other venue's."""
    if not market:
        try:
            found = orjson.loads(frame)
        except orjson.JSONDecodeError:
            found = None
        market = (market_of(found) or otherwise or "bybit") if isinstance(found, dict) else ""
    stream, symbol = _labels(market, frame)
    return Record(ts, frame, stream, symbol, market)


def market_of(frame: dict[str, Any]) -> str | None:
    """The venue of a frame, where its form alone says it; None: Bybit's, or no market data."""
    if "e" in frame or "stream" in frame or "openInterest" in frame and "symbol" in frame or "lastUpdateId" in frame:
        data = frame.get("data", frame) if "stream" in frame else frame
        data = data[0] if isinstance(data, list) and data else data
        return _binance(data) if isinstance(data, dict) else "binance_um"
    if "arg" in frame or "event" in frame and "channel" not in frame:
        return "okx"
    return _by_channel(frame) if "channel" in frame else None


def _by_channel(frame: dict[str, Any]) -> str:
    """Hyperliquid, or one of the venues whose frames name a channel as its do."""
    if str(frame["channel"]).startswith(("spot.", "futures.", "options.")):
        return GATE
    return FTX if "market" in frame else DYDX if "connection_id" in frame else "hyperliquid"


def _binance(data: dict[str, Any]) -> str:
    """Which of Binance's markets a row is of: coin-margined contracts by their names, spot by what only it sends or leaves out."""
    order = data.get("o")
    name = order.get("s") if isinstance(order, dict) else data.get("s", data.get("symbol"))
    if isinstance(name, str) and _INVERSE.fullmatch(name):
        return BINANCE_CM
    spot = "M" in data or "e" not in data and {"u", "b", "B", "a", "A"} <= data.keys() or data.get("e") == "depthUpdate" and "T" not in data
    return BINANCE_SPOT if spot else "binance_um"


def _of_bybit(found: dict[str, Any], line: bytes, file: Path, number: int) -> Record:
    """A frame of Bybit by itself, or an acknowledgement."""
    ts = found.get("ts")
    if ts is None and ("data" not in found and not {"topic", "op", "success"} & found.keys()):
        raise DataError(
            f"{file}:{number}",
            f"an object with the keys {', '.join(map(repr, list(found)[:6]))}",
            "a recording line (ts, exchange, stream, symbol, result) or a raw venue frame (topic, ts, data)",
        )
    topic = str(found.get("topic", ""))
    return Record(0 if ts is None else _nanoseconds(ts, file, number), line.strip(), topic, topic.rpartition(".")[2], "", RAW)


def _time_of(frame: Any) -> Any:
    """The first time that a frame states, from outside in; None where it states none."""
    while isinstance(frame, dict):
        ts = next((frame[key] for key in ("ts", "E", "T", "time") if isinstance(frame.get(key), int | str)), None)
        if ts is not None:
            return ts
        inner = next((frame[key] for key in ("data", "details", "o") if key in frame), None)
        frame = inner[0] if isinstance(inner, list) and inner else inner
    return None


def _unwrap(text: bytes, raw: bytes, file: Path, number: int) -> bytes:
    try:
        value = json.loads(text)
        return value.encode() if raw == b"text" else base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error, AttributeError, TypeError) as why:
        raise DataError(f"{file}:{number}", f"a frame kept as {raw.decode()} cannot be decoded ({why})", "what Recorder wrote") from None


def _foreign(found: dict[str, Any], file: Path, number: int) -> Record:
    """A line of the hourly files' schema: {ts, exchange, source, stream, symbol, result}; result is the frame, or its payload {ts, data}, or text."""
    stream, symbol = str(found.get("stream") or ""), str(found.get("symbol") or "")
    ts = found.get("ts_recv", found.get("ts"))
    if ts is None:
        raise DataError(f"{file}:{number}", "no 'ts' with 'result'", "the time of receipt in milliseconds")
    result = found["result"]
    if isinstance(result, dict) and "topic" not in result and "data" in result and market_of(result) is None:
        data = result["data"]
        rows = data if isinstance(data, list) else [data]
        if not symbol and rows and isinstance(rows[0], dict):
            symbol = str(rows[0].get("s", ""))
        # the stream is the topic itself, or only its kind: the hourly files have both
        kind = "allLiquidation" if not stream or "liquidation" in stream.lower() else stream
        result = {
            "topic": stream if "." in stream else f"{kind}.{symbol}",
            "type": result.get("type", "snapshot"),
            "ts": result.get("ts", ts),
            "data": rows if kind == "allLiquidation" else data,
        }
    frame = result.encode() if isinstance(result, str) else orjson.dumps(result)
    named = TOPIC.search(frame, 0, 400)
    topic = named[1].decode() if named else stream
    exchange = str(found.get("exchange", ""))
    if exchange.lower().startswith("binance") and isinstance(result, dict) and (market := market_of(result)) in (BINANCE_CM, BINANCE_SPOT):
        exchange = market
    return Record(_nanoseconds(ts, file, number), frame, topic, symbol or topic.rpartition(".")[2], exchange, str(found.get("source", "ws")))


def _nanoseconds(value: Any, file: Path, number: int) -> int:
    """A time stamp in s, ms, us or ns since 1970, recognised by its size, or ISO 8601 text."""
    try:
        if isinstance(value, str):
            if not value.isdigit():
                return written_ns(value)
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 9.2e18:
            unit = 1_000_000_000 if value < 1e11 else 1_000_000 if value < 1e14 else 1000 if value < 1e17 else 1
            if value * unit >= TIME_MAX:
                raise OverflowError
            if isinstance(value, int):
                return value * unit
            whole = int(value)  # a double of 1.7e9 seconds is good to 0.2 us: keep what it says and no more
            return whole * unit + round((value - whole) * 1e6) * unit // 1_000_000
    except (ValueError, OverflowError):
        pass
    raise DataError(f"{file}:{number}", f"{value!r} is not a time", "milliseconds since 1970")
