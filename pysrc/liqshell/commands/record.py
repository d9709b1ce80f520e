"""`liqcore record`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError
from liqshell.name_lists import Names


def record(
    *,
    symbols: Names = (),
    binary: str = "",
    binary_url: str = "",
    venue: str = "bybit",
    environment: str = "mainnet",
    rest: str = "",
    ws: str = "",
    node: Path | None = None,
    out: Path | None = None,
    for_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
) -> int:
    """Record a venue's public feed (liquidations, trades, best bid and ask, tickers) and the signals in it. No orders, no keys.

    Parameters
    ----------
    symbols
        Contracts as the venue writes them, such as BTCUSDT ETHUSDT. For several venues in one run use `liqcore live` with [feeds.NAME].
    binary
        btc-1h instead of symbols: the hourly binary of Polymarket, with its books, trades, resolutions and the spot candles (docs/hourly.md).
    binary_url
        Another address of it, such as `binary` of `liqcore emulate --binary`.
    venue
        bybit, binance (USD-M), okx or hyperliquid.
    environment
        mainnet or testnet.
    rest
        Another address, such as that of `liqcore emulate`; needs --ws too.
    ws
        Another address.
    node
        The data folder of a Hyperliquid node of your own, which writes fills (`--write-fills`): its liquidations are recorded too.
    out
        New folder; by default runs/record-TIME.
    for_s
        Stop after so many seconds; else Ctrl-C.
    """
    folder = out or Path("runs") / f"record-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    if binary or binary_url:
        return _binary(binary, binary_url, folder, for_s, bool(symbols))
    if not symbols:
        raise ConfigError("--symbols", "none", "contracts such as BTCUSDT, or --binary btc-1h")
    from liqshell.commands.live import run_session
    from liqshell.config.load import loads
    from liqshell.live import Session
    from liqshell.live.venue_clock import venue_clock

    addresses = f"rest = {json.dumps(rest)}\nws = {json.dumps(ws)}\n" if rest or ws else f"environment = {json.dumps(environment)}\n"
    addresses += f"node = {json.dumps(str(node))}\n" if node is not None else ""
    config = loads(f'[run]\nname = "record"\n[feed]\nvenue = {json.dumps(venue)}\n{addresses}symbols = {json.dumps(list(symbols))}\n', "record")
    clock, labels = asyncio.run(venue_clock(config.feed.rest_url))
    session = Session(config, folder, clock, labels, trade=False)
    run_session(session, for_s)
    counters = session.counters()
    print(f"{folder}: {counters['frames']} frames, {counters['events']} events, {counters['signals']} signals, {counters['reconnects']} reconnects")
    return 0


def _binary(which: str, url: str, folder: Path, for_s: float | None, symbols: bool) -> int:
    if which != "btc-1h" or symbols:
        raise ConfigError("--binary", f"{which or 'none'}{' together with --symbols' if symbols else ''}", "btc-1h alone")
    from liqshell.binary.desk import Settings
    from liqshell.commands.bet import run_bets

    found = run_bets(Settings(bets=False), url, folder, for_s=for_s)
    print(f"{folder}: {found['markets']} markets, {found['lines']} lines, {found['reconnects']} reconnects")
    return 0
