"""The venues whose public data we read, by name."""

from collections.abc import Mapping

from liqshell.venues import binance, bybit_public, hyperliquid, okx
from liqshell.venues.adapter import GAP_S, Adapter

ADAPTERS: Mapping[str, Adapter] = {one.venue: one for one in (bybit_public.ADAPTER, binance.ADAPTER, okx.ADAPTER, hyperliquid.ADAPTER)}
ALIASES: Mapping[str, str] = {"binance": "binance_um", "binance_futures": "binance_um", "binance-futures": "binance_um",
                              "okex": "okx", "okex-swap": "okx", "okex-futures": "okx"}


def gap_s_of(name: str) -> float:
    """Silence of a venue that means missing data, s; of one that we cannot read (a recorded run of somebody's own), a cautious one."""
    found = ADAPTERS.get(ALIASES.get(name.lower(), name.lower()))
    return GAP_S if found is None else found.gap_s


def adapter_of(name: str) -> Adapter:
    """The adapter of a venue, also under other names that it goes by in recordings. ValueError where there is none."""
    found = ADAPTERS.get(ALIASES.get(name.lower(), name.lower()))
    if found is None:
        raise ValueError(f"venue: expected one of {', '.join(ADAPTERS)}, got {name!r}")
    return found
