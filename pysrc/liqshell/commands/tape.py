"""`liqcore tape`."""

from __future__ import annotations

import asyncio
import json
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError
from liqshell.name_lists import Names


def tape(
    *,
    venues: Names = ("bybit", "binance", "okx"),
    symbols: Names = ("all",),
    exclude: Names = (),
    quote: str = "",
    min_turnover_usd: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    min_usd: Annotated[float, Parameter(validator=Number(gte=0))] = 0.0,
    side: str | None = None,
    signals: Annotated[bool, Parameter(negative=())] = False,
    environment: str = "mainnet",
    at: str = "",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
    for_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
) -> int:
    """Print the liquidations of several venues as they arrive. No account, no configuration; nothing is stored.

    A line: time of receipt, venue, contract, side of the liquidated position, notional in US dollars, quantity in base units and price, and the
    completeness of the venue's feed: FULL, CENSORED (a sample) or UNKNOWN. Ctrl-C ends it.

    Parameters
    ----------
    venues
        Of bybit, binance (USD-M), okx.
    symbols
        all, or names of contracts and assets: BTC is every contract of it.
    exclude
        Contracts to exclude from all.
    quote
        Of all, only contracts whose prices are in this currency, such as USDT.
    min_turnover_usd
        Of all, only contracts with this turnover in the last 24 hours.
    min_usd
        Smallest liquidation to print.
    side
        long or short: only positions of this side.
    signals
        Also print cascades, by the detector of the preset `fade`. It needs 100 liquidations of a contract first.
    environment
        mainnet or testnet.
    at
        Addresses of emulated venues: the line that `liqcore emulate` prints, or a file that begins with it.
    json_
        One JSON object a line; times in ns UTC.
    for_s
        Stop after so many seconds.
    """
    from liqshell.live.tape import stream

    places: Any = _places(at, venues) if at else venues
    events = stream(
        places,
        symbols="all" if symbols == ("all",) else symbols,
        exclude=exclude,
        quote=quote,
        min_turnover_usd=min_turnover_usd,
        min_usd=min_usd,
        side=side,
        signals=signals,
        environment=environment,
    )

    asyncio.run(_print(events, _json if json_ else _line, for_s))
    return 0


async def _print(events: Any, shown: Callable[[Any], str], for_s: float | None) -> None:
    """Until it is stopped, or for so many seconds."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, events.stop)
    if for_s is not None:
        loop.call_later(for_s, events.stop)
    async with events:
        async for event in events:
            print(shown(event), flush=True)
        health = events.health()
    text = "; ".join(f"{venue}: {one['contracts']} contracts, {one['reconnects']} reconnects" for venue, one in health.items())
    print(f"{events.received} liquidations received, {events.dropped} dropped; {text}", file=sys.stderr)


def _places(text: str, venues: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """Addresses of these venues as `liqcore emulate` says them."""
    where = "--at"
    try:
        if not text.lstrip().startswith("{"):
            where = f"--at {text}"
            text = Path(text).read_text(encoding="utf-8").partition("\n")[0]
        found = json.loads(text)["venues"]
        return {name: (found[name]["rest"], found[name]["ws"]) for name in venues}
    except OSError as why:
        raise ConfigError(where, f"cannot be read: {why.strerror or why}", "a file with the line of `liqcore emulate`") from None
    except (ValueError, TypeError) as why:
        raise ConfigError(where, f"not a line of `liqcore emulate`: {why}", "the JSON line of `liqcore emulate`") from None
    except KeyError as why:
        raise ConfigError(where, f"no addresses of {why}", "a venue that is emulated", "Start `liqcore emulate --venues bybit,binance,okx`") from None


def _json(event: Any) -> str:
    values = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in event._asdict().items()}
    return json.dumps({"event": type(event).__name__.lower()} | values)


def _line(event: Any) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(event.ts // 10**9)) + f".{event.ts // 10**6 % 1000:03d}"
    head = f"{at}  {event.venue:<10} {event.symbol:<18} {event.side:<5}"
    if hasattr(event, "phase"):
        return f"{head} {event.notional:>14,.0f}  cascade {event.phase}, {event.large} large"
    usd = "?" if math.isnan(event.usd) else f"{event.usd:,.0f}"
    return f"{head} {usd:>14}  {event.qty:g} at {event.price:g}  {event.completeness}"
