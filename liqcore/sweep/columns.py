"""What a sweep reads of a market. Prices are integer ticks. The pyramids are those of Tape.index (first_passage.pxd says what they are)."""

from typing import NamedTuple

import numpy as np

from liqcore.event import FeedState, Kind, Stream
from liqcore.simulation.tape import Tape


class Columns(NamedTuple):
    """One instrument."""

    ts: np.ndarray
    price: np.ndarray
    lots: np.ndarray
    side: np.ndarray             # aggressor
    index: dict[str, np.ndarray]
    quote_ts: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    before: np.ndarray           # trades before this quote
    quote_index: dict[str, np.ndarray]
    rank: np.ndarray             # quotes before each 64th trade (Tape.rank)
    gap_ts: np.ndarray           # when the stream of quotes was interrupted
    gap_trades: np.ndarray       # trades and quotes before it
    gap_quotes: np.ndarray
    gap_late: np.ndarray         # a liquidation of its moment and place stands before it, and none after it
    stop_ts: np.ndarray          # when the stream of trades was
    stop_trades: np.ndarray
    closed: np.ndarray           # no entries: from, to, from, to, ... (Timetable.closed)


def columns(tape: Tape, instrument: int, closed: np.ndarray | None = None) -> Columns:
    """The columns of one instrument of a tape, with the pyramids that the tape keeps. closed: see Timetable.closed."""
    trades, quotes, index = tape.trades(instrument), tape.quotes(instrument), tape.index(instrument)
    marks = np.flatnonzero(tape.rare["kind"] == Kind.FEED)               # few of many: the rest is not looked at again
    marks = marks[(tape.rare["code"][marks] != FeedState.FEED_UP) & np.isin(tape.rare["instrument"][marks], (instrument, -1))]
    return Columns(trades["ts"], trades["price"], trades["lots"], trades["side"], index["trades"],
                   quotes["ts"], quotes["bid"], quotes["ask"], quotes["trades_before"], index["quotes"], tape.rank(instrument),
                   *_gaps(tape, instrument, Stream.STREAM_QUOTE, marks, trades["ts"], quotes["ts"]),
                   *_gaps(tape, instrument, Stream.STREAM_TRADE, marks, trades["ts"], quotes["ts"])[:2],
                   np.zeros(0, np.int64) if closed is None else closed)


def _late(tape: Tape, instrument: int, marks: np.ndarray) -> np.ndarray:
    """Of marks (rows of the rare events): a liquidation of the instrument at its moment and place stands before it, and none after it."""
    if not len(marks):
        return np.zeros(0, bool)
    forced = np.flatnonzero((tape.rare["kind"] == Kind.LIQUIDATION) & (tape.rare["instrument"] == instrument))

    def place(rows: np.ndarray) -> list[tuple[int, int, int]]:
        return list(zip(tape.rare["ts_recv"][rows].tolist(), *(tape.place[name][rows].tolist() for name in ("trades_before", "quotes_before")),
                        strict=True))

    stands: dict[tuple[int, int, int], int] = {}          # the last of them
    for row, key in zip(forced.tolist(), place(forced), strict=True):
        stands[key] = row
    found = [stands.get(key, row) < row for row, key in zip(marks.tolist(), place(marks), strict=True)]
    return np.array(found, bool) & (tape.rare["instrument"][marks] >= 0)


def _gaps(tape: Tape, instrument: int, stream: int, marks: np.ndarray, trades: np.ndarray, quotes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Interruptions of a Stream of the instrument: ts, trades before, quotes before, late (see _late). marks: rows of all its interruptions."""
    rare, place = tape.rare, tape.place
    flags = rare["flags"][marks]
    at = marks[(flags == 0) | (flags & stream > 0)]
    ts, everybody = np.ascontiguousarray(rare["ts_recv"][at]), rare["instrument"][at] < 0
    return ts, *(np.where(everybody, np.searchsorted(column, ts), place[name][at])
                 for name, column in (("trades_before", trades), ("quotes_before", quotes))), _late(tape, instrument, at)
