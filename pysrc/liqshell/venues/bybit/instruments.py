"""Bybit V5 linear: the instrument filters of market REST, to instruments. Pure functions, no sockets."""

import orjson

from liqcore.event import Completeness
from liqcore.instrument import Instrument
from liqshell.venues.adapter import InstrumentPage, Request, asset_and_factor, turnover_rows
from liqshell.venues.bybit.decoder import VENUE, shown

TURNOVERS = (Request("/v5/market/tickers?category=linear"),)
WATCHED_TAGS = {"ST"}  # special treatment, since 2026-09-29


def instruments_path(cursor: str = "") -> str:
    """REST path and query of a page of linear instruments. There are more than 500, the default page size."""
    query = "/v5/market/instruments-info?category=linear&status=Trading&limit=1000"
    return f"{query}&cursor={cursor}" if cursor else query


def parse_instruments(page: bytes, cursor: str = "") -> InstrumentPage:
    """Instruments of a page that trade now. ValueError where the answer is not such a page; single unusable rows are listed in `refused`."""
    try:
        answer = orjson.loads(page)
        code, result = answer["retCode"], answer["result"]
        if code != 0:
            raise ValueError(f"instruments-info: the venue answered retCode {code!r}: {shown(answer.get('retMsg'))}")
        if result.get("category", "linear") != "linear":
            raise ValueError(f"instruments-info: expected category linear, got {shown(result['category'])}")
        entries, cursor = list(result["list"]), result.get("nextPageCursor") or ""
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"instruments-info: expected retCode and result.list, got {page[:80]!r} ({error})") from None
    instruments, refused, quotes, states, special = [], [], {}, {}, {}
    for entry in entries:
        name = entry.get("symbol") if type(entry) is dict else None
        try:
            if entry["status"] == "Trading":
                instruments.append(_instrument(entry))
                quotes[entry["symbol"]] = entry.get("quoteCoin", "")
                if tags := sorted(WATCHED_TAGS.intersection(_tags(entry.get("tags")))):
                    special[entry["symbol"]] = f"special treatment ({', '.join(tags)})"
            elif type(name) is str:
                states[name] = str(entry["status"])[:40]
        except (KeyError, TypeError, ValueError) as error:
            refused.append(f"{shown(name)}: {type(error).__name__} {error}")
    return InstrumentPage(instruments, cursor if type(cursor) is str else "", refused, quotes=quotes, states=states, special=special)


def _tags(found: object) -> list[str]:
    """Labels of a contract: a list of words, or one text of them."""
    if type(found) is str:
        return [word.strip() for word in found.split(",")]
    return [word for word in found if type(word) is str] if type(found) is list else []


def parse_turnover(answer: bytes) -> dict[str, float]:
    """symbol -> turnover of 24 h."""
    return turnover_rows("tickers", answer, lambda found: ((row["symbol"], float(row.get("turnover24h") or 0.0)) for row in found["result"]["list"]))


def _instrument(entry: dict) -> Instrument:
    price, lot = entry["priceFilter"], entry["lotSizeFilter"]
    if entry["contractType"] not in ("LinearPerpetual", "LinearFutures"):
        raise ValueError(f"contractType: expected a linear contract, whose multiplier is 1, got {entry['contractType']!r}")
    # a market order may be smaller than a limit order (a tenth, on BTCUSDT), and whatever was entered must be closed by one
    most = min(lot["maxOrderQty"], lot.get("maxMktOrderQty") or lot["maxOrderQty"], key=float)
    return Instrument(
        entry["symbol"],
        venue=VENUE,
        tick_size=price["tickSize"],
        lot_size=lot["qtyStep"],
        multiplier=1.0,
        min_qty=lot["minOrderQty"],
        max_qty=most,
        min_notional=float(lot.get("minNotionalValue") or 0),
        completeness=Completeness.COMPLETENESS_FULL,
        asset=asset_and_factor(entry["baseCoin"])[0] if entry.get("baseCoin") else "",
    )
