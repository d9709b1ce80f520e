"""OKX v5: the contracts of swaps and futures, to instruments. Pure functions, no sockets."""

from collections.abc import Mapping

import orjson

from liqcore.event import Completeness
from liqcore.instrument import Instrument
from liqshell.venues.adapter import InstrumentPage, Request, asset_and_factor, turnover_rows
from liqshell.venues.frames import shown

VENUE = "okx"
MARKETS = ("SWAP", "FUTURES")
TURNOVERS = tuple(Request(f"/api/v5/market/tickers?instType={market}") for market in MARKETS)
TICKS_LIMIT = 1 << 35  # instrument.pxd: TICKS_MAX


def dollars(symbol: str) -> float:
    """The value of one contract of an inverse swap or future, USD, by its name; 0 for linear ones. Where the instrument is known, its ctVal
    counts."""
    return (100.0 if symbol.startswith("BTC-") else 10.0) if "-USD-" in symbol else 0.0


def instruments_request(cursor: str = "") -> Request:
    """Contracts of one market; cursor "" is the first."""
    return Request(f"/api/v5/public/instruments?instType={cursor or MARKETS[0]}")


def parse_instruments(page: bytes, cursor: str = "") -> InstrumentPage:
    """Contracts that trade now. ValueError where the answer is no list of contracts; single unusable rows are listed in `refused`.

    multiplier = ctVal x ctMult, base units of one contract. An inverse contract is worth fixed dollars (`faces`), not fixed base units: it is here
    to be watched, its smallest order is larger than any that is allowed."""
    try:
        answer = orjson.loads(page)
        if answer["code"] != "0":
            raise ValueError(f"instruments: the venue answered code {answer['code']!r}: {shown(answer.get('msg'))}")
        entries = list(answer["data"])
        following = _next(entries)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"instruments: expected code and data, got {page[:80]!r} ({error})") from None
    instruments, refused, faces, states, codes = [], [], {}, {}, {}
    for entry in entries:
        name = entry.get("instId") if type(entry) is dict else None
        try:
            if entry["state"] == "live":
                instruments.append(_instrument(entry))
                if entry["ctType"] == "inverse":
                    faces[entry["instId"]] = _worth(entry)
                if entry.get("instIdCode"):
                    codes[entry["instId"]] = str(entry["instIdCode"])
            elif type(name) is str:
                states[name] = str(entry["state"])[:40]
        except (KeyError, TypeError, ValueError) as error:
            refused.append(f"{shown(name)}: {type(error).__name__} {error}")
    quotes = {one.symbol: one.symbol.split("-")[1].partition("_")[0] for one in instruments}
    return InstrumentPage(instruments, following, refused, faces, quotes, states, codes=codes)


def parse_turnover(answer: bytes) -> dict[str, float]:
    """symbol -> turnover of 24 h: the volume in base units at the last price."""
    return turnover_rows(
        "tickers", answer, lambda found: ((row["instId"], float(row["volCcy24h"] or 0) * float(row["last"] or 0)) for row in found["data"])
    )


def _next(entries: list) -> str:
    """The market to ask for after this one."""
    market = next((entry["instType"] for entry in entries if type(entry) is dict and "instType" in entry), MARKETS[-1])
    at = MARKETS.index(market) + 1 if market in MARKETS else len(MARKETS)
    return MARKETS[at] if at < len(MARKETS) else ""


def _worth(entry: Mapping[str, str]) -> float:
    return float(entry["ctVal"]) * float(entry["ctMult"])


def _instrument(entry: Mapping[str, str]) -> Instrument:
    name, lot = entry["instId"], entry["lotSz"]
    asset = asset_and_factor(name.split("-")[0])[0]
    if entry["ctType"] == "inverse":
        if entry["ctValCcy"] != "USD":
            raise ValueError(f"ctValCcy: expected USD of an inverse contract, got {entry['ctValCcy']!r}")
        _worth(entry)
        return Instrument(
            name,
            venue=VENUE,
            tick_size=entry["tickSz"],
            lot_size=lot,
            min_qty=str((TICKS_LIMIT - 1) * float(lot)),
            asset=asset,
            completeness=Completeness.COMPLETENESS_UNKNOWN,
        )
    if entry["ctType"] != "linear":
        raise ValueError(f"ctType: expected linear or inverse, got {entry['ctType']!r}")
    # what was entered must be closed by one market order, which may be smaller than a limit order
    most = min((size for size in (entry.get("maxLmtSz"), entry.get("maxMktSz")) if size), key=float, default="")
    return Instrument(
        name,
        venue=VENUE,
        tick_size=entry["tickSz"],
        lot_size=lot,
        multiplier=_worth(entry),
        min_qty=entry["minSz"],
        max_qty=most if most and float(most) / float(lot) < TICKS_LIMIT - 1 else None,
        asset=asset,
        completeness=Completeness.COMPLETENESS_UNKNOWN,
    )
