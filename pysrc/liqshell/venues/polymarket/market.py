"""One up-or-down market as the venue describes it, and the rule that it settles by.

    markets, refused = parse_markets(answer)          # of GET /events or /markets
    markets[0].start_ns                               # what a market is known by: the slug has the wall clock of New York, which repeats in November

A market whose rule is not one of `Rule`, word for word, is refused, with its unknown words. Nothing here guesses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

import orjson

from liqshell.iso import written_ns
from liqshell.venues.polymarket.rules import COINS, SERIES, named_for, unknown_config, unknown_sentence

NS = 1_000_000_000
HOUR_NS = 3600 * NS
FEE_PLACES = Decimal("0.00001")
TICKS = {"0.1", "0.01", "0.005", "0.0025", "0.001", "0.0001"}
_CONDITION = re.compile(r"0x[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"[1-9][0-9]{0,77}")
_SOURCES = (
    re.compile(r"https?://(?:www\.)?binance\.com/[a-z-]+/trade/([A-Z]{2,10})_USDT/?(?:\?type=spot)?"),
    re.compile(r"https?://data\.chain\.link/streams/[a-z0-9-]+/?"),
)


class Rule(StrEnum):
    """BINANCE_SPOT_1H: UP is paid where the 1h candle of Binance spot that opens at the market's start closes at or above its open."""

    BINANCE_SPOT_1H = "binance-spot-1h"


class Refused(ValueError):
    """A market that is not ours to trade, in words that name what it says. condition, slug: what it is known by, "" = it does not say. winner: "up"
    or "down" if it is closed and states it: holders of these shares are paid, independent of the rule that it states now."""

    def __init__(self, why: str, condition: str = "", slug: str = "", winner: str = ""):
        super().__init__(why)
        self.condition, self.slug, self.winner = condition, slug, winner


@dataclass(frozen=True)
class Market:
    """An hour. up, down: its tokens. start_ns: open of the candle that it settles on; end_ns: its end, and that of trading. tick: least step of a
    price; size_min: least shares of a resting order; fee_rate: see taker_fee. symbol: of the spot candle. open: it takes orders. winner: "up",
    "down" or "" while the venue says neither. withdrawn: why the rule that it was accepted by holds no longer; "" = it holds."""

    slug: str
    condition: str
    up: str
    down: str
    start_ns: int
    end_ns: int
    tick: Decimal
    size_min: Decimal
    fee_rate: Decimal
    rule: Rule
    symbol: str
    open: bool
    winner: str = ""
    neg_risk: bool = False
    withdrawn: str = ""

    def token(self, side: str) -> str:
        return {"up": self.up, "down": self.down}[side]


def taker_fee(shares: Decimal, price: Decimal, rate: Decimal) -> Decimal:
    """The fee of a taker: shares x rate x price x (1 - price), five decimals; smaller amounts are 0. Makers pay nothing."""
    fee = shares * rate * price * (1 - price)
    return fee.quantize(FEE_PLACES, ROUND_HALF_UP) if fee >= FEE_PLACES else Decimal(0)


def parse_markets(answer: bytes) -> tuple[list[Market], list[Refused]]:
    """The markets of an answer of /events or /markets, and those that are refused. ValueError where it is no such answer."""
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError as why:
        raise ValueError(f"a list of markets: not JSON ({why}): {answer[:80]!r}") from None
    if isinstance(found, dict):
        found = found.get("data", found.get("events", found.get("markets")))
    if not isinstance(found, list):
        raise ValueError(f"a list of markets: got {answer[:80]!r}")
    rows: list[tuple[Any, Any]] = []
    for one in found:
        inner = one.get("markets") if isinstance(one, dict) else None
        rows += [(row, one) for row in inner] if isinstance(inner, list) else [(one, {})]
    markets, refused = [], []
    for row, event in rows:
        try:
            markets.append(market_of(row, event))
        except Refused as why:
            refused.append(why)
    return sorted(markets, key=lambda one: one.start_ns), refused


def market_of(row: Any, event: Any = None) -> Market:
    """One market. event: what stands around it, whose start, series and rules count where its own are missing. Refused says what is wrong."""
    if not isinstance(row, dict):
        raise Refused(f"a market that is not an object: {str(row)[:60]!r}")
    slug, condition = (str(row.get(key) or "") for key in ("slug", "conditionId"))
    name = (slug or str(row.get("id") or "a market without a name"))[:120]
    outcomes, tokens, prices = (_texts(row.get(key)) for key in ("outcomes", "clobTokenIds", "outcomePrices"))
    closed = row.get("closed") is True
    winner = _winner(prices) if closed and outcomes == ["Up", "Down"] else ""

    def need(ok: object, what: str, found: Any) -> None:
        if not ok:
            raise Refused(f"{name}: {what}: got {str(found)[:160]!r}", condition, slug, winner)

    need(outcomes == ["Up", "Down"], "outcomes are not Up and Down", row.get("outcomes"))
    need(
        len(tokens) == 2 and all(_TOKEN.fullmatch(one) for one in tokens) and tokens[0] != tokens[1],
        "clobTokenIds are not two tokens",
        row.get("clobTokenIds"),
    )
    need(_CONDITION.fullmatch(condition), "conditionId is none", condition)
    around = event if isinstance(event, dict) else {}
    start, end = _moment(row.get("eventStartTime") or around.get("startTime")), _moment(row.get("endDate"))
    need(start, "eventStartTime is not a time", row.get("eventStartTime"))
    need(end, "endDate is not a time", row.get("endDate"))
    coin = _candle_of(row, around, start, end, need)
    need(isinstance(row.get("feeSchedule"), dict), "no feeSchedule", row.get("feeSchedule"))
    fees: dict[str, Any] = row["feeSchedule"]
    need(_number(fees.get("exponent")) == 1, "feeSchedule.exponent is not 1", fees)
    rate, tick, size = _number(fees.get("rate")), _number(row.get("orderPriceMinTickSize")), _number(row.get("orderMinSize"))
    need(rate is not None and 0 <= rate <= 1, "feeSchedule.rate is not a rate", fees)
    need(fees.get("takerOnly") is True, "feeSchedule.takerOnly is not true", fees)
    need(tick is not None and str(tick.normalize()) in TICKS, "orderPriceMinTickSize is none", row.get("orderPriceMinTickSize"))
    need(size is not None and 0 < size <= 1_000_000, "orderMinSize is none", row.get("orderMinSize"))
    assert rate is not None and tick is not None and size is not None
    takes = row.get("active") is True and not closed and row.get("acceptingOrders") is True and row.get("enableOrderBook") is True
    return Market(
        name,
        condition,
        tokens[0],
        tokens[1],
        start,
        end,
        tick.normalize(),
        size,
        rate,
        Rule.BINANCE_SPOT_1H,
        coin + "USDT",
        takes,
        winner,
        row.get("negRisk") is True,
    )


def _candle_of(row: dict[str, Any], around: dict[str, Any], start: int, end: int, need: Callable[[object, str, Any], None]) -> str:
    """The coin whose one-hour candle of spot a market settles on, by all that it says of it: source, length, name, series, text."""
    source = str(row.get("resolutionSource") or around.get("resolutionSource") or "")
    need(not _SOURCES[1].fullmatch(source), "it settles on Chainlink prices, which are not read here", source)
    found = _SOURCES[0].fullmatch(source)
    need(found and found[1] in COINS, "unknown resolutionSource", source)
    assert found is not None
    coin = found[1]
    need(end - start == HOUR_NS and start % HOUR_NS == 0, "a Binance candle that is not of one whole hour", f"{start} to {end}")
    slug, series = str(row.get("slug") or ""), around.get("seriesSlug")
    need(named_for(slug, coin, start), f"the name of another market than that of {COINS[coin]} in this hour", slug)
    need(series is None or series == SERIES[coin], "another series", series)
    config = unknown_config(row.get("cryptoMarketConfig"), coin)
    need(not config, "a cryptoMarketConfig of another price", config)
    text = row.get("description") or around.get("description")
    sentence = unknown_sentence(text if isinstance(text, str) else "", coin)
    need(not sentence, "a description of another rule", sentence)
    return coin


def _winner(prices: list[str]) -> str:
    """By the outcome prices of a closed market; "" where they are not 1 and 0."""
    values = [_number(text) for text in prices]
    return "up" if values == [1, 0] else "down" if values == [0, 1] else ""


def _texts(value: Any) -> list[str]:
    """A list of texts; the venue writes such lists as JSON inside a string."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _moment(value: Any) -> int:
    """ns UTC of a time as text; 0 = none."""
    try:
        found = written_ns(value) if isinstance(value, str) else 0
    except (ValueError, OverflowError):
        return 0
    return found if 0 < found < 1 << 62 else 0


def _number(value: Any) -> Decimal | None:
    """A finite number of JSON, or of text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
