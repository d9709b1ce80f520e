"""Hyperliquid perpetuals: meta to instruments. Pure functions, no sockets."""

import orjson

from liqcore.event import Completeness
from liqcore.instrument import Instrument
from liqshell.venues.adapter import InstrumentPage, Request, asset_and_factor
from liqshell.venues.frames import shown

VENUE = "hyperliquid"
PRICE_DECIMALS_MAX = 6           # of perpetuals, less those of the size; prices have at most five significant digits besides
MIN_NOTIONAL = 10.0


def instruments_request(cursor: str = "") -> Request:
    """All perpetuals are in one answer."""
    return Request("/info", "POST", b'{"type":"meta"}')


def parse_instruments(page: bytes) -> InstrumentPage:
    """Perpetuals that trade. ValueError where the answer is not meta; single unusable rows are listed in `refused`.

    The venue has no tick: a price has at most 5 significant digits and 6 - szDecimals decimals. tick_size is the finest that the second rule allows.
    """
    try:
        entries = list(orjson.loads(page)["universe"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"meta: expected universe, got {page[:80]!r} ({error})") from None
    instruments, refused = [], []
    for entry in entries:
        name = entry.get("name") if type(entry) is dict else None
        try:
            if not entry.get("isDelisted"):
                instruments.append(_instrument(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            refused.append(f"{shown(name)}: {type(error).__name__} {error}")
    return InstrumentPage(instruments, "", refused)


def _instrument(entry: dict) -> Instrument:
    decimals = entry["szDecimals"]
    if type(decimals) is not int or not 0 <= decimals <= PRICE_DECIMALS_MAX:
        raise ValueError(f"szDecimals: expected 0 to {PRICE_DECIMALS_MAX}, got {shown(decimals)}")
    return Instrument(entry["name"], venue=VENUE, tick_size=_step(PRICE_DECIMALS_MAX - decimals), lot_size=_step(decimals), min_notional=MIN_NOTIONAL,
                      completeness=Completeness.COMPLETENESS_UNKNOWN, asset=asset_and_factor(entry["name"])[0])


def _step(decimals: int) -> str:
    return f"0.{'1':0>{decimals}}" if decimals else "1"
