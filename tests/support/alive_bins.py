"""Bins of trades and liquidations (liqshell.run.sink.PULSE_DTYPE) of generated markets and of captures, and what a judge makes of them."""

from collections.abc import Iterable, Iterator

import numpy as np

from liqcore.event import Kind
from liqshell.emulator.market import Market
from liqshell.run.sink import PULSE_DTYPE
from liqshell.run.stream_silence import BIN_NS, Alive, Change

PAUSE_NS = 1_800_000_000_000  # of a whole capture: its recorder was off, as in ../shared/data.md
Bin = tuple[int, np.ndarray]


def generated(seed: int, hours: float, symbols: tuple[str, ...] = ()) -> Iterator[Bin]:
    """Bins of a generated market, one venue."""
    market = Market(seed=seed, **({"symbols": symbols} if symbols else {}))
    n, waits, since = len(market.contracts), np.zeros(0, PULSE_DTYPE), 0
    for block in market.blocks(hours):
        place = (block["t"] - block["t"][0] // BIN_NS * BIN_NS) // BIN_NS
        first = int(block["t"][0] // BIN_NS * BIN_NS)
        rows = np.zeros((int(place[-1]) + 1, n), PULSE_DTYPE)
        trade, forced = block["kind"] == int(Kind.TRADE), block["kind"] == int(Kind.LIQUIDATION)
        at, price = (place[trade], block["symbol"][trade]), block["price"][trade].astype(float)
        rows["low"] = np.inf
        np.maximum.at(rows["high"], at, price)
        np.minimum.at(rows["low"], at, price)
        np.add.at(rows["trades"], at, 1)
        rows["last"][at] = price  # of equal places the last one counts
        rows["low"][rows["trades"] == 0] = 0.0
        at = place[forced], block["symbol"][forced]
        np.add.at(rows["liquidations"], at, 1)
        np.maximum.at(rows["ts_liquidation"], at, block["t"][forced])
        for k, row in enumerate(rows):
            start = first + k * BIN_NS
            if start == since:  # a bin on the edge of two blocks
                waits = joined(waits, row)
            else:
                if since:
                    yield since, waits
                since, waits = start, row


def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    out = a.copy()
    some = b["trades"] > 0
    both = some & (a["trades"] > 0)
    out["high"] = np.maximum(a["high"], b["high"])
    out["low"] = np.where(both, np.minimum(a["low"], b["low"]), np.where(some, b["low"], a["low"]))
    out["last"] = np.where(some, b["last"], a["last"])
    for name in ("trades", "liquidations"):
        out[name] += b[name]
    out["ts_liquidation"] = np.maximum(a["ts_liquidation"], b["ts_liquidation"])
    return out


def of_capture(times: list[np.ndarray], until: list[int] | None = None) -> Iterator[tuple[int, np.ndarray, list[int]]]:
    """Bins of liquidations whose market nobody recorded: each contract trades once a bin, at one price, so that all there is to learn from is time and
    the others. times: ns, in order, of each contract. With each bin, the contracts that the recorder left out before it: pauses of the whole capture,
    and what lies before a contract's first event and after its last."""
    every = np.unique(np.concatenate(times) // BIN_NS)
    counts = [dict(zip(*np.unique(t // BIN_NS, return_counts=True), strict=True)) for t in times]
    lasts = [dict(zip((t // BIN_NS).tolist(), t.tolist(), strict=True)) for t in times]
    ends = [(int(t[0] // BIN_NS), int(t[-1] // BIN_NS)) for t in times]
    for before, at in zip(np.append(every[:1], every[:-1]).tolist(), every.tolist(), strict=True):
        paused = (at - before) * BIN_NS > PAUSE_NS
        for k in range(at if paused or before == at else before + 1, at + 1):
            row = np.zeros(len(times), PULSE_DTYPE)
            row["high"] = row["low"] = row["last"] = 100.0
            row["trades"] = 1
            row["liquidations"] = [c.get(k, 0) for c in counts]
            row["ts_liquidation"] = [last.get(k, 0) for last in lasts]
            off = list(range(len(times))) if paused else [n for n, (first, last) in enumerate(ends) if not first <= k <= last]
            yield k * BIN_NS, row, off


def judge(alive: Alive, bins: Iterable[Bin]) -> list[Change]:
    return [change for start, rows in bins for change in alive.push(start, rows)]


def silenced(bins: Iterable[Bin], contracts: Iterable[int]) -> Iterator[Bin]:
    """The same, where the liquidations of these contracts do not arrive."""
    places = list(contracts)
    for start, rows in bins:
        rows = rows.copy()
        rows["liquidations"][places] = 0
        rows["ts_liquidation"][places] = 0
        yield start, rows
