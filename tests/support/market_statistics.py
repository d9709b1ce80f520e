"""Statistics of trades, prices and books by their definitions: the same functions for the captures and for the generated market. Readers of the
captures under ../shared/data (or LIQCORE_DATA)."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from captures import DATA

MINUTE_MS = 60_000
RUSH_MS, RUSH_SHARE = 10_000, 0.005  # the half percent of moments with the largest move of the last ten seconds
CASCADE_GAP_S, CASCADE_EVENTS = 1.0, 5  # as the published study counts cascades
CASCADE_DAY_SHARE = 1e6 / 47e6  # its least value, 1 M USD, as a share of the 47 M USD that its two venues liquidated in a day
CLUSTER_GAP_S, CLUSTER_EVENTS = 10.0, 10


class Trades(NamedTuple):
    """Prints in order of time: ms, price, side of the taker (+1 = buy)."""

    t: np.ndarray
    price: np.ndarray
    side: np.ndarray


class Book(NamedTuple):
    """The touch: ms, bid, its quantity, ask, its quantity."""

    t: np.ndarray
    bid: np.ndarray
    bid_qty: np.ndarray
    ask: np.ndarray
    ask_qty: np.ndarray

    def mid(self, t: np.ndarray) -> np.ndarray:
        """The mid in force at these times, ms."""
        at = np.maximum(np.searchsorted(self.t, t, side="right") - 1, 0)
        return (self.bid[at] + self.ask[at]) / 2.0


# ---- trades and prices ----


def same_moment(trades: Trades) -> float:
    """Share of trades in the same millisecond as the one before."""
    return float(np.mean(np.diff(trades.t) == 0))


def sign_memory(trades: Trades) -> float:
    """Correlation of the takers' sides of one trade and the next."""
    return float(np.corrcoef(trades.side[:-1], trades.side[1:])[0, 1])


def minute_returns(trades: Trades) -> np.ndarray:
    """Returns of whole minutes in bps, from the last trade of one to the last of the next; a minute without a trade gives none."""
    ends = np.arange(trades.t[0] // MINUTE_MS + 1, trades.t[-1] // MINUTE_MS + 1) * MINUTE_MS
    last = np.searchsorted(trades.t, ends, side="left") - 1
    traded = ends - trades.t[last] <= MINUTE_MS
    return 1e4 * np.diff(np.log(trades.price[last]))[traded[1:] & traded[:-1]]


def kurtosis(x: np.ndarray) -> float:
    """Fourth moment about the mean over the squared variance: 3 of a normal."""
    return float(np.mean((x - x.mean()) ** 4) / x.var() ** 2)


# ---- books ----


def depth_in_a_rush(book: Book) -> float:
    """Median quantity at the touch that is being hit, in the fastest moves, over the median at both touches."""
    mid = (book.bid + book.ask) / 2.0
    before = np.searchsorted(book.t, book.t - RUSH_MS, side="right") - 1
    known = (before >= 0) & (book.t - book.t[np.maximum(before, 0)] < 1.5 * RUSH_MS)
    move = np.where(known, np.log(mid / mid[np.maximum(before, 0)]), 0.0)
    rush = known & (np.abs(move) >= np.quantile(np.abs(move[known]), 1.0 - RUSH_SHARE))
    hit = np.where(move < 0.0, book.bid_qty, book.ask_qty)
    return float(np.median(hit[rush]) / np.median(np.concatenate([book.bid_qty, book.ask_qty])))


# ---- cascades ----


def clusters(t_s: np.ndarray, gap_s: float, least: int) -> list[np.ndarray]:
    """Positions of the events of each run with gaps below gap_s and at least so many events."""
    groups = np.split(np.arange(len(t_s)), np.flatnonzero(np.diff(t_s) >= gap_s) + 1)
    return [group for group in groups if len(group) >= least]


def cascades(t_s: np.ndarray, side: np.ndarray, usd: np.ndarray, days: float) -> list[tuple[float, float, int]]:
    """(start, end, direction of the forced flow): gaps below 1 s on one side, five events, the published share of a day's value."""
    found = []
    least = CASCADE_DAY_SHARE * usd.sum() / days
    for one in (1, -1):
        mine = np.flatnonzero(side == one)
        found += [
            (float(t_s[mine[c[0]]]), float(t_s[mine[c[-1]]]), -one)
            for c in clusters(t_s[mine], CASCADE_GAP_S, CASCADE_EVENTS)
            if usd[mine[c]].sum() >= least
        ]
    return sorted(found)


def moves_after(found: list[tuple[float, float, int]], price: np.ndarray, wait_s: float) -> np.ndarray:
    """Change of a price that is known at each second, from the end of each cascade on, in bps in the direction of the forced flow."""
    ends = np.array([round(end + 0.5) for _, end, _ in found])
    there = ends + round(wait_s)
    inside = there < len(price)
    return np.array([direction for *_, direction in found])[inside] * 1e4 * (price[there[inside]] / price[ends[inside]] - 1.0)


def along_clusters(t_s: np.ndarray, side: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Move of the price from the first to the last event of each cluster, in bps in the direction of its flow."""
    return np.array(
        [-np.sign(side[c].sum()) * 1e4 * (price[c[-1]] / price[c[0]] - 1.0) for c in clusters(t_s, CLUSTER_GAP_S, CLUSTER_EVENTS) if side[c].sum()]
    )


def thinned(t_s: np.ndarray, usd: np.ndarray) -> np.ndarray:
    """Positions that a throttled venue sends: the largest of each second."""
    by = np.lexsort((-usd, np.floor(t_s)))
    return np.sort(by[np.unique(np.floor(t_s)[by], return_index=True)[1]])


# ---- captures ----


def lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt") as file:
        yield from file


def _sorted(rows: list[tuple[float, ...]]) -> list[np.ndarray]:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return [column[order] for column in columns]


def hyperliquid_trades(name: str) -> Trades:
    """A file of market-hyperliquid-ticks-2026-06, such as BTC_20260618."""
    rows = map(json.loads, lines(DATA / "market-hyperliquid-ticks-2026-06" / f"trades_{name}.jsonl.gz"))
    return Trades(*_sorted([(r["ts"], r["px"], 1 if r["side"] == "B" else -1) for r in rows]))


def hyperliquid_book(name: str) -> Book:
    rows = map(json.loads, lines(DATA / "market-hyperliquid-ticks-2026-06" / f"l2_{name}.jsonl.gz"))
    return Book(*_sorted([(r["ts"], *r["bids"][0], *r["asks"][0]) for r in rows if r["bids"] and r["asks"]]))


def binance_trades(name: str) -> Trades:
    """A file of market-hftbacktest-binance-2024-08: raw frames behind the time of receipt."""
    frames = (
        json.loads(line.split(" ", 1)[1])["data"]
        for line in lines(DATA / "market-hftbacktest-binance-2024-08" / f"{name}.gz")
        if '"e":"trade"' in line
    )
    return Trades(*_sorted([(f["T"], float(f["p"]), -1 if f["m"] else 1) for f in frames]))


def binance_liquidations() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds, side of the position, average price of the fill: liq-binance-btcusdt-2024-12."""
    frames = (json.loads(line) for line in lines(DATA / "liq-binance-btcusdt-2024-12" / "forceOrder_reconstructed.jsonl.gz"))
    orders = [frame.get("data", frame)["o"] for frame in frames]
    return tuple(_sorted([(o["T"] / 1e3, 1 if o["S"] == "SELL" else -1, float(o["ap"])) for o in orders]))  # type: ignore[return-value]
