"""Binance USD-M: exchangeInfo to instruments. Pure functions, no sockets."""

import orjson

from liqcore.event import Completeness
from liqcore.instrument import Instrument
from liqshell.venues.adapter import InstrumentPage, Request, asset_and_factor, turnover_rows
from liqshell.venues.frames import plain, shown

VENUE = "binance_um"
TURNOVERS = (Request("/fapi/v1/ticker/24hr"),)
_CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER", "TRADIFI_PERPETUAL")


def instruments_request(cursor: str = "") -> Request:
    """All contracts are in one answer."""
    return Request("/fapi/v1/exchangeInfo")


def parse_instruments(page: bytes, cursor: str = "") -> InstrumentPage:
    """Contracts that trade now. ValueError where the answer is not exchangeInfo; single unusable rows are listed in `refused`."""
    try:
        answer = orjson.loads(page)
        if "symbols" not in answer and "msg" in answer:
            raise ValueError(f"exchangeInfo: the venue answered {shown(answer.get('code'))}: {shown(answer['msg'])}")
        entries = list(answer["symbols"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"exchangeInfo: expected symbols, got {page[:80]!r} ({error})") from None
    instruments, refused, quotes, states = [], [], {}, {}
    for entry in entries:
        name = entry.get("symbol") if type(entry) is dict else None
        try:
            if entry["status"] == "TRADING":
                instruments.append(_instrument(entry))
                quotes[entry["symbol"]] = entry.get("quoteAsset", "")
            elif type(name) is str:
                states[name] = str(entry["status"])[:40]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            refused.append(f"{shown(name)}: {type(error).__name__} {error}")
    return InstrumentPage(instruments, "", refused, quotes=quotes, states=states)


def parse_turnover(answer: bytes) -> dict[str, float]:
    """symbol -> turnover of 24 h."""
    return turnover_rows("24 h tickers", answer, lambda found: ((row["symbol"], float(row["quoteVolume"])) for row in found))


def _instrument(entry: dict) -> Instrument:
    if entry["contractType"] not in _CONTRACTS:
        raise ValueError(f"contractType: expected one of {', '.join(_CONTRACTS)}, got {entry['contractType']!r}")
    if entry["marginAsset"] == entry["baseAsset"]:
        raise ValueError("marginAsset: expected a quote currency, got the base coin: a coin-margined contract")
    filters = {one["filterType"]: one for one in entry["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    # what was entered must be closed by one market order, which may be smaller than a limit order
    most = min(lot["maxQty"], filters.get("MARKET_LOT_SIZE", lot)["maxQty"], key=float)
    return Instrument(
        entry["symbol"],
        venue=VENUE,
        tick_size=plain(price["tickSize"]),
        lot_size=plain(lot["stepSize"]),
        multiplier=1.0,
        min_qty=lot["minQty"],
        max_qty=most,
        min_notional=float(filters.get("MIN_NOTIONAL", {}).get("notional") or 0),
        completeness=Completeness.COMPLETENESS_CENSORED,
        asset=asset_and_factor(entry["baseAsset"])[0],
    )
