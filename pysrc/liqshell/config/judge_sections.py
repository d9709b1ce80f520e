"""[judge] and [news]: the judge that grades news for and against an entry, and the sources of the news.

    [judge]                                        [news]
    kind = "openai"                                brave = true
    base_url = "http://127.0.0.1:8080/v1"          announcements = true
    model = "qwen3-8b"                             feeds = ["https://www.coindesk.com/arc/outboundfeeds/rss/"]

Keys are in the environment (LIQCORE_JUDGE_KEY, LIQCORE_NEWS_KEY) or in the keyring (judge_key, news_key), never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liqshell.errors import ConfigError
from liqshell.fields import choice, flag, integer, names, number, paths, plain_table, tables, text

KINDS = ("openai", "anthropic", "rules", "recorded", "command", "none")
MODELS = ("openai", "anthropic")  # kinds that ask a model by HTTP
ADDRESS, ADDRESS_TEXT = r"https?://[^\s\0]{1,400}", "an address such as http://127.0.0.1:8080/v1"
HOST = r"[a-z0-9-]+(\.[a-z0-9-]+)+"
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}"


@dataclass(frozen=True)
class PriceConfig:
    """The price of a model, US dollars per million tokens. cached: of input that the service had read before."""

    input: float = number(0.0, 0.0, 10_000.0, "US dollars per million tokens")
    cached: float | None = number(None, 0.0, 10_000.0, "US dollars per million tokens")
    output: float = number(0.0, 0.0, 10_000.0, "US dollars per million tokens")


@dataclass(frozen=True)
class JudgeConfig:
    """kind: openai (any server that speaks its chat completions), anthropic, rules (plain code), recorded (answers of recordings), command (a
    program), none (nobody of ours: only Session.judge). timeout_s: for the model's answer, within judge_s. Caps: 0 = none. latency_s: of the rules
    in a backtest. past_model: a backtest may ask a model, or a program, about the past, of which it may know what happened: CONTAMINATED."""

    kind: str | None = choice(None, *KINDS)
    base_url: str = text("", ADDRESS, ADDRESS_TEXT)
    model: str = text("", MODEL_NAME, "the name of a model")
    ca: str = text("", r"[^\0]+", "a PEM file of an authority")
    timeout_s: float = number(3.0, 0.05, 60.0, "seconds")
    concurrency: int = integer(4, 1, 64, "questions at once")
    max_tokens: int = integer(1000, 64, 32_000, "tokens of an answer, including its reasoning")
    effort: str | None = choice(None, "none", "minimal", "low", "medium", "high")
    questions_minute: int = integer(30, 0, 10_000, "questions")
    tokens_minute: int = integer(0, 0, 10**9, "tokens")
    tokens_day: int = integer(0, 0, 10**10, "tokens")
    usd_minute: float = number(0.0, 0.0, 1e6, "US dollars")
    usd_day: float = number(0.0, 0.0, 1e6, "US dollars")
    prices: Mapping[str, PriceConfig] = tables(PriceConfig, MODEL_NAME, "models")
    program: tuple[str, ...] = names(r"[^\0]+", "words of a command line", most=50)
    recordings: tuple[str, ...] = paths(1000)
    latency_s: float = number(0.5, 0.0, 60.0, "seconds from question to verdict")
    past_model: bool = flag(False)


@dataclass(frozen=True)
class NewsConfig:
    """brave: the news search; needs LIQCORE_NEWS_KEY. announcements: of Bybit. feeds: addresses of RSS or Atom. hosts: the only ones that count,
    none named = all. names: ticker = "name", beside those that ship."""

    brave: bool = flag(False)
    announcements: bool = flag(False)
    feeds: tuple[str, ...] = names(ADDRESS, "addresses of feeds", most=20)
    hosts: tuple[str, ...] = names(HOST, "hosts such as 'coindesk.com'", most=500)
    names: Mapping[str, str] | None = plain_table("names by ticker, such as BTC = 'Bitcoin'")
    age_max_s: float = number(86_400.0, 60.0, 604_800.0, "seconds")
    cache_s: float = number(120.0, 0.0, 3_600.0, "seconds")
    timeout_s: float = number(1.5, 0.05, 30.0, "seconds")
    brave_url: str = text("", ADDRESS, ADDRESS_TEXT)
    announcements_url: str = text("", ADDRESS, ADDRESS_TEXT)
    ca: str = text("", r"[^\0]+", "a PEM file of an authority")


def judge_problems(judge: JudgeConfig, news: NewsConfig, file: str) -> list[ConfigError]:
    """Problems of [judge] and [news] that concern several fields."""
    out = []

    def wrong(key: str, found: str, expected: str) -> None:
        out.append(ConfigError(f"{file}: {key}", found, expected))

    if judge.kind in MODELS and not judge.model:
        wrong("judge.model", "not set", "the name of the model")
    if judge.kind == "command" and not judge.program:
        wrong("judge.program", "not set", "a list of words, the program first")
    if judge.kind == "recorded" and not judge.recordings:
        wrong("judge.recordings", "not set", "recordings with a judge's answers")
    if (judge.usd_day or judge.usd_minute) and judge.kind in MODELS and judge.model not in judge.prices:
        wrong("judge.prices", f"no price of {judge.model!r}, but a cap in US dollars", f'[judge.prices."{judge.model}"] with input and output')
    for key in ("brave", "announcements"):
        if getattr(news, f"{key}_url") and not getattr(news, key):
            wrong(f"news.{key}_url", f"an address, but news.{key} is not true, so it is not used", f"{key} = true with it")
    if any(not isinstance(name, str) for name in (news.names or {}).values()):
        wrong("news.names", "a name that is not text", "names such as BTC = 'Bitcoin'")
    return out
