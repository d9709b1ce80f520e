"""The known descriptions of an hourly market: the sentences of its rules, its name, its candle. Only descriptions known word for word are accepted.

The venue settles by the text, and a text that differs in one word can pay the other side: other words, more of them or fewer are another rule. The
sentences are those of the hourly Bitcoin markets of 2025 and 2026; if markets of different months state the same in two ways, both are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from liqshell.errors import ConfigError
from liqshell.iso import wall_clock

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
COINS = {"BTC": "bitcoin"}  # in the names of markets
SERIES = {"BTC": "btc-up-or-down-hourly"}
# each at most once, in this order; of the ways to say the same thing, one
_REQUIRED, _POSSIBLE = True, False
_SENTENCES: tuple[tuple[bool, tuple[str, ...]], ...] = (
    (
        _REQUIRED,
        (
            'This market will resolve to "Up" if the close price is greater than or equal to the open price for the {coin}/USDT 1 hour candle '
            "that begins on the time and date specified in the title.",
        ),
    ),
    (_REQUIRED, ('Otherwise, this market will resolve to "Down".',)),
    (
        _POSSIBLE,
        (
            "The resolution source for this market is information from Binance, specifically the {coin}/USDT pair "
            "(https://www.binance.com/en/trade/{coin}_USDT).",
            "The resolution source for this market is information from Binance, specifically the {coin}/USDT pair.",
        ),
    ),
    (
        _POSSIBLE,
        (
            'The close « C » and open « O » displayed at the top of the graph for the relevant "1H" candle will be used once the data for '
            "that candle is finalized.",
        ),
    ),
    (
        _POSSIBLE,
        (
            "Please note that this market is about the price according to Binance {coin}/USDT, not according to other exchanges or trading pairs.",
            "Please note that this market is about the price according to Binance {coin}/USDT, not according to other sources or spot markets.",
        ),
    ),
)
_PLAIN = str.maketrans({"“": '"', "”": '"', "’": "'", "-": " "})


def _plain(text: str) -> str:
    """Without what no rule hangs on: case, white space, hyphens, the form of quotation marks."""
    return " ".join(text.translate(_PLAIN).lower().split())


@cache
def _known(coin: str) -> tuple[tuple[bool, tuple[str, ...]], ...]:
    return tuple((required, tuple(_plain(one.format(coin=coin)) for one in ways)) for required, ways in _SENTENCES)


def unknown_sentence(text: str, coin: str) -> str:
    """The first sentence of a market's description that is not of the rule of one hour's candle of spot coin/USDT, or that is missing there; "" where
    the text is that rule and nothing else."""
    left = _plain(text)
    for required, ways in _known(coin):
        found = next((one for one in ways if left == one or left.startswith(one + " ")), "")
        if required and not found:
            return _first(left) or f"nothing, instead of: {ways[0]}"
        left = left.removeprefix(found).lstrip()
    return _first(left)


def _first(text: str) -> str:
    sentence, dot, _ = text.partition(". ")
    return sentence + dot.strip()


def named_for(slug: str, coin: str, start_ns: int) -> bool:
    """Whether a market's name is that of the coin's hour from start_ns on, by the clocks of New York; older names have no year. The rules speak of
    "the time and date specified in the title". ConfigError where this machine does not know that place's time."""
    try:
        year, month, day, hour = wall_clock(start_ns, "America/New_York")
    except KeyError:
        raise ConfigError("the names of the hourly markets", "this machine has no time zones", "America/New_York", "pip install tzdata") from None
    head, tail = f"{COINS.get(coin)}-up-or-down-{MONTHS[month - 1]}-{day}", f"{hour % 12 or 12}{'am' if hour < 12 else 'pm'}-et"
    return slug in (f"{head}-{year}-{tail}", f"{head}-{tail}")


def unknown_config(config: Any, coin: str) -> str:
    """What a market's cryptoMarketConfig, where it has one, says of another coin, length or price than those of a candle; "" = nothing."""
    if config is None:
        return ""
    if not isinstance(config, Mapping):
        return str(config)
    wanted = {"asset": coin.lower(), "duration": "1h", "twapEnabled": False}
    return next((f"{key}: {config[key]!r}" for key, value in wanted.items() if config.get(key, value) != value), "")
