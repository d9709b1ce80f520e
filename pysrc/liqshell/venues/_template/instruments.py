"""Contracts of the venue to instruments: pure functions, no sockets."""

import orjson

from liqcore.event import Completeness
from liqcore.instrument import Instrument
from liqshell.venues.adapter import InstrumentPage, Request, asset_and_factor, turnover_rows
from liqshell.venues.frames import shown

VENUE = "template"  # in Instrument.venue, recordings and stores: change it
COMPLETENESS = Completeness.COMPLETENESS_UNKNOWN  # FULL only where the venue documents that every liquidation is sent
TURNOVERS = (Request("/v1/tickers"),)


def instruments_request(cursor: str = "") -> Request:
    """Where the venue lists its contracts; cursor: of the page before, "" = the first."""
    return Request(f"/v1/contracts?cursor={cursor}" if cursor else "/v1/contracts")


def parse_instruments(page: bytes, cursor: str = "") -> InstrumentPage:
    """Contracts that trade. ValueError where the answer is not a list of contracts; single unusable rows are listed in `refused`."""
    try:
        answer = orjson.loads(page)
        rows, following = list(answer["contracts"]), str(answer.get("next", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"contracts: expected a list, got {page[:80]!r} ({error})") from None
    found, refused, quotes, states = [], [], {}, {}
    for row in rows:
        name = row.get("symbol") if type(row) is dict else None
        try:
            if row["status"] == "trading":
                # multiplier: base units of one unit of quantity; 1 where quantities are base units
                found.append(
                    Instrument(
                        row["symbol"],
                        venue=VENUE,
                        tick_size=row["tick"],
                        lot_size=row["lot"],
                        min_qty=row["min"],
                        multiplier=float(row.get("size", 1.0)),
                        asset=asset_and_factor(row["base"])[0],
                        completeness=COMPLETENESS,
                    )
                )
                quotes[row["symbol"]] = row["quote"]
            elif type(name) is str:
                states[name] = str(row["status"])
        except (KeyError, TypeError, ValueError) as error:
            refused.append(f"{shown(name)}: {type(error).__name__} {error}")
    return InstrumentPage(found, following, refused, quotes=quotes, states=states)


def parse_turnover(answer: bytes) -> dict[str, float]:
    """symbol -> turnover of 24 h in quote currency."""
    return turnover_rows("tickers", answer, lambda found: ((row["symbol"], float(row["turnover"])) for row in found["tickers"]))
