"""Histories of the generated market, without frames: its records as a tape."""

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History, described
from liqshell.emulator.market import Market
from run_folder import instruments_of


def events_of(records: np.ndarray, instruments) -> np.ndarray:
    """The generator's records as events that are received when they happen."""
    out = np.zeros(len(records), lc.EVENT_DTYPE)
    tick = np.array([float(i.tick_size) for i in instruments])[records["symbol"]]
    lot = np.array([float(i.lot_size) for i in instruments])[records["symbol"]]
    quote, ticker = records["kind"] == int(lc.Kind.BBO), records["kind"] == int(lc.Kind.TICKER)
    out["ts_event"] = out["ts_recv"] = records["t"]
    out["instrument"], out["kind"], out["side"] = records["symbol"], records["kind"], records["side"]
    out["price"], out["qty"] = records["price"] * tick, records["qty"] * lot
    out["aux_price"] = np.where(quote | ticker, records["aux_price"] * tick, 0.0)
    out["aux_qty"] = np.where(quote, records["aux_qty"] * lot, np.where(ticker, records["aux_qty"] * 1e-8, 0.0))
    return out


def generated(hours: float, symbols=("SOLUSDT", "DOGEUSDT"), seed: int = 1, tickers: bool = True, **parameters) -> History:
    """`hours` of a market."""
    market = Market(seed=seed, symbols=tuple(symbols), **parameters)
    instruments = instruments_of(market)
    builder = lc.TapeBuilder(instruments)
    for block in market.blocks(hours):
        events = events_of(block, instruments)
        builder.push(events if tickers else events[events["kind"] != int(lc.Kind.TICKER)])
    start = market.parameters.start_ns
    return described(History(lc.Tape(instruments, builder.take()), start, start + round(hours * 3600 * lc.SECOND), f"seed {seed}", "generated", True))
