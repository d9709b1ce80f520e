"""The columns of a market that a sweep reads. Prices are integer ticks. The pyramids are those of Tape.index (see first_passage.pxd)."""

from typing import NamedTuple

import numpy as np

from liqcore.event import FeedState, Kind, Stream
from liqcore.simulation.tape import Tape


class Columns(NamedTuple):
    """One instrument."""

    ts: np.ndarray
    price: np.ndarray
    lots: np.ndarray
    side: np.ndarray  # aggressor
    index: dict[str, np.ndarray]
    quote_ts: np.ndarray
    bid: np.ndarray
    ask: np.ndarray
    before: np.ndarray  # trades before this quote
    quote_index: dict[str, np.ndarray]
    rank: np.ndarray  # number of quotes before each 64th trade (Tape.rank)
    gap_ts: np.ndarray  # interruptions of the stream of quotes
    gap_trades: np.ndarray  # trades and quotes before it
    gap_quotes: np.ndarray
    stop_ts: np.ndarray  # interruptions of the stream of trades
    stop_trades: np.ndarray
    cut_ts: np.ndarray  # interruptions of the stream of liquidations
    closed: np.ndarray  # no entries: from, to, from, to, ... (Timetable.closed)


def interruptions(tape: Tape, instrument: int) -> np.ndarray:
    """Rows of the rare events that interrupt a stream of the instrument."""
    marks = np.flatnonzero(tape.rare["kind"] == Kind.FEED)  # few of many rows; the others are not read again
    which = tape.rare["instrument"][marks]
    return marks[(tape.rare["code"][marks] != FeedState.FEED_UP) & ((which == instrument) | (which == -1))]


def of_stream(tape: Tape, marks: np.ndarray, stream: int) -> np.ndarray:
    """The marks that interrupt a Stream."""
    flags = tape.rare["flags"][marks]
    return marks[(flags == 0) | (flags & stream > 0)]


def columns(tape: Tape, instrument: int, closed: np.ndarray | None = None) -> Columns:
    """The columns of one instrument of a tape, with the pyramids that the tape keeps. closed: see Timetable.closed."""
    trades, quotes, index, marks = tape.trades(instrument), tape.quotes(instrument), tape.index(instrument), interruptions(tape, instrument)
    (gap_ts, gap_trades, gap_quotes), (stop_ts, stop_trades, _), (cut_ts, _, _) = (
        _gaps(tape, of_stream(tape, marks, stream), trades["ts"], quotes["ts"])
        for stream in (Stream.STREAM_QUOTE, Stream.STREAM_TRADE, Stream.STREAM_LIQUIDATION)
    )
    return Columns(
        trades["ts"],
        trades["price"],
        trades["lots"],
        trades["side"],
        index["trades"],
        quotes["ts"],
        quotes["bid"],
        quotes["ask"],
        quotes["trades_before"],
        index["quotes"],
        tape.rank(instrument),
        gap_ts,
        gap_trades,
        gap_quotes,
        stop_ts,
        stop_trades,
        cut_ts,
        np.zeros(0, np.int64) if closed is None else closed,
    )


def _gaps(tape: Tape, marks: np.ndarray, trades: np.ndarray, quotes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Columns of marks: ts, trades before, quotes before."""
    ts, everybody = np.ascontiguousarray(tape.rare["ts_recv"][marks]), tape.rare["instrument"][marks] < 0
    return ts, *(
        np.where(everybody, np.searchsorted(column, ts), tape.place[name][marks])
        for name, column in (("trades_before", trades), ("quotes_before", quotes))
    )
