"""`liqcore record`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number


def record(
    *,
    symbols: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())],
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
    from liqshell.commands.live import run_session
    from liqshell.config.load import loads
    from liqshell.live import Session
    from liqshell.live.venue_clock import venue_clock

    addresses = f"rest = {json.dumps(rest)}\nws = {json.dumps(ws)}\n" if rest or ws else f"environment = {json.dumps(environment)}\n"
    addresses += f"node = {json.dumps(str(node))}\n" if node is not None else ""
    config = loads(f"[run]\nname = \"record\"\n[feed]\nvenue = {json.dumps(venue)}\n{addresses}symbols = {json.dumps(list(symbols))}\n", "record")
    folder = out or Path("runs") / f"record-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
    clock, labels = asyncio.run(venue_clock(config.feed.rest_url))
    session = Session(config, folder, clock, labels, trade=False)
    run_session(session, for_s)
    counters = session.counters()
    print(f"{folder}: {counters['frames']} frames, {counters['events']} events, {counters['signals']} signals, {counters['reconnects']} reconnects")
    return 0
