"""Hyperliquid perpetuals: meta to instruments. Pure functions, no sockets."""

import re

import orjson

from liqcore.event import Completeness
from liqcore.instrument import Instrument
from liqshell.venues.adapter import InstrumentPage, Request, asset_and_factor, turnover_rows
from liqshell.venues.frames import shown

VENUE = "hyperliquid"
PRICE_DECIMALS_MAX = 6  # of perpetuals, less those of the size; prices have at most five significant digits besides
MIN_NOTIONAL = 10.0
TURNOVERS = (Request("/info", "POST", b'{"type":"metaAndAssetCtxs"}'),)  # the venue's own contracts; those of builders have none here
_NAME = re.compile(r"[a-z][a-z0-9]{0,15}", re.ASCII)


def instruments_request(cursor: str = "") -> Request:
    """The venue's own perpetuals are in one answer; those of each builder (HIP-3) in one of theirs. cursor: "" = the first, "?" = who the builders
    are, else the builders that are left, by their names."""
    if cursor in ("", "?"):
        return Request("/info", "POST", b'{"type":"meta"}' if not cursor else b'{"type":"perpDexs"}')
    return Request("/info", "POST", orjson.dumps({"type": "meta", "dex": cursor.split()[0]}))


def parse_instruments(page: bytes, cursor: str = "") -> InstrumentPage:
    """Perpetuals that trade. ValueError where the answer is not what was asked for; single unusable rows are listed in `refused`.

    The venue has no tick: a price has at most 5 significant digits and 6 - szDecimals decimals. tick_size is the finest that the second rule allows.
    """
    if cursor == "?":
        return InstrumentPage([], " ".join(_builders(page)), [])
    following = " ".join(cursor.split()[1:]) if cursor else "?"
    try:
        answer = orjson.loads(page)
        entries, quote = list(answer["universe"]), "USDC" if answer.get("collateralToken", 0) == 0 else f"token {answer['collateralToken']}"
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"meta: expected universe, got {page[:80]!r} ({error})") from None
    instruments, refused, states = [], [], {}
    for entry in entries:
        name = entry.get("name") if type(entry) is dict else None
        try:
            if not entry.get("isDelisted"):
                instruments.append(_instrument(entry))
            elif type(name) is str:
                states[name] = "delisted"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            refused.append(f"{shown(name)}: {type(error).__name__} {error}")
    return InstrumentPage(instruments, following, refused, quotes={one.symbol: quote for one in instruments}, states=states)


def parse_turnover(answer: bytes) -> dict[str, float]:
    """symbol -> turnover of 24 h."""
    return turnover_rows(
        "metaAndAssetCtxs",
        answer,
        lambda found: ((entry["name"], float(state["dayNtlVlm"])) for entry, state in zip(found[0]["universe"], found[1], strict=True)),
    )


def _builders(page: bytes) -> list[str]:
    """Names of the builders' exchanges; the venue's own stands among them as null."""
    try:
        found = [entry["name"] for entry in orjson.loads(page) if entry is not None]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"perpDexs: expected a list of names, got {page[:80]!r} ({error})") from None
    return [name for name in found if type(name) is str and _NAME.fullmatch(name)]


def _instrument(entry: dict) -> Instrument:
    decimals = entry["szDecimals"]
    if type(decimals) is not int or not 0 <= decimals <= PRICE_DECIMALS_MAX:
        raise ValueError(f"szDecimals: expected 0 to {PRICE_DECIMALS_MAX}, got {shown(decimals)}")
    return Instrument(
        entry["name"],
        venue=VENUE,
        tick_size=_step(PRICE_DECIMALS_MAX - decimals),
        lot_size=_step(decimals),
        min_notional=MIN_NOTIONAL,
        completeness=Completeness.COMPLETENESS_UNKNOWN,
        asset=asset_and_factor(entry["name"].rpartition(":")[2])[0],
    )


def _step(decimals: int) -> str:
    return f"0.{'1':0>{decimals}}" if decimals else "1"
