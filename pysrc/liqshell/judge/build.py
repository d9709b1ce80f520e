"""The judge and the news of a configuration."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from liqcore.instrument import asset_of
from liqshell.clock import MarketTime
from liqshell.config.judge_sections import MODELS, JudgeConfig, NewsConfig, PriceConfig
from liqshell.errors import ConfigError, DataError
from liqshell.judge.asking import Asking, Model, Way
from liqshell.judge.command import Program
from liqshell.judge.limits import Caps
from liqshell.judge.past import NoJudge, RecordedJudge, RulesPast
from liqshell.judge.providers import provider_of
from liqshell.judge.rules import Rules
from liqshell.judge.types import Judge, PastJudge
from liqshell.log import redact
from liqshell.news.items import Item, NewsSource
from liqshell.news.sources import Announcements, Brave, Feeds, RecordedNews, Several
from liqshell.transport import is_loopback
from liqshell.vault import find_token
from liqshell.web import Web

USAGE = "judge-usage.json"  # in the folder of runs: what was used today


@cache
def _shipped_names() -> Mapping[str, str]:
    found: dict[str, str] = tomllib.loads((resources.files("liqshell.news") / "names.toml").read_text(encoding="utf-8"))
    return found


def names_of(news: NewsConfig) -> dict[str, str]:
    """Ticker -> name: those that ship, and the configuration's over them."""
    return {**_shipped_names(), **{ticker: str(name) for ticker, name in (news.names or {}).items()}}


def news_of(news: NewsConfig, clock: MarketTime) -> Several | None:
    """The sources of [news]; None where it names none. ConfigError where Brave's token is missing."""
    names, now = names_of(news), clock.now_ns
    common: dict[str, Any] = {"timeout_s": news.timeout_s, "ca": news.ca}
    sources: list[NewsSource] = []
    if news.brave:
        found = find_token("news_key")
        if not found:
            raise ConfigError("news.brave", "no key", "LIQCORE_NEWS_KEY in the environment, or news_key in the keyring under the service 'liqcore'")
        sources.append(Brave(found, names, now, base=news.brave_url, cache_s=news.cache_s, **common))
    if news.announcements:
        sources.append(Announcements(names, now, base=news.announcements_url, **common))
    sources += [Feeds(address, names, now, cache_s=news.cache_s, **common) for address in news.feeds]
    return Several(sources) if sources else None


def way_of(judge: JudgeConfig) -> Way:
    """How the configured judge is asked; ConfigError where something is missing for it."""
    if judge.kind == "rules":
        return Rules()
    if judge.kind == "command":
        return Program(judge.program)
    assert judge.kind in MODELS
    provider = provider_of(judge.kind, judge.model, judge.max_tokens, judge.effort)
    base = judge.base_url or provider.base
    if provider.target.startswith("/v1/"):  # both ways of writing a server's address are common
        base = base.rstrip("/").removesuffix("/v1")
    token = find_token("judge_key")
    if not token and not is_loopback(base):
        raise ConfigError(
            "judge", f"no key for {redact(base)}", "LIQCORE_JUDGE_KEY in the environment, or judge_key in the keyring under the service 'liqcore'"
        )
    return Model(judge.kind, provider, Web(base, provider.headers(token), judge.ca, secret=bool(token)), judge.model, judge.max_tokens, judge.effort)


def make_judge(
    judge: JudgeConfig,
    news: NewsConfig,
    clock: MarketTime,
    folder: str | Path | None,
    *,
    rows: Callable[[tuple[str, ...]], Iterable[Mapping[str, Any]]] | None = None,
) -> Judge:
    """The live judge of a configuration. folder: where what it has used today is kept ([run] out), None = nowhere. rows: reads recorded streams, for
    kind "recorded". ConfigError where something is missing."""
    if judge.kind in (None, "none"):
        return NoJudge()
    if judge.kind == "recorded":
        return RecordedJudge(rows(judge.recordings) if rows is not None else ())
    try:
        caps = Caps(
            Path(folder) / USAGE if folder is not None else None,
            questions_minute=judge.questions_minute,
            tokens_minute=judge.tokens_minute,
            tokens_day=judge.tokens_day,
            usd_minute=judge.usd_minute,
            usd_day=judge.usd_day,
        )
    except ValueError as why:
        raise ConfigError("judge", str(why)) from None
    way = way_of(judge)
    price = judge.prices.get(judge.model, PriceConfig())
    return Asking(
        way,
        clock,
        judge.timeout_s,
        caps,
        price=price,
        news=news_of(news, clock),
        news_timeout_s=news.timeout_s,
        hosts=news.hosts,
        age_max_s=news.age_max_s,
        concurrency=judge.concurrency,
    )


def news_in(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str], keep_s: float) -> RecordedNews:
    """The items that recorded judges were given, each from its time of receipt on. DataError where one is none."""
    found: dict[tuple[str, Item], None] = {}
    for row in rows:
        try:
            for item in row.get("news") or ():
                found[asset_of(str(row["contract"]).rpartition(":")[2]), Item.from_dict(item)] = None
        except (KeyError, TypeError, ValueError) as why:
            raise DataError("judge.jsonl", f"an invalid item of news: {why!r}", "the news of a run with a judge") from None
    return RecordedNews(found, names, keep_s)


def make_past_judge(
    kind: str,
    rows: Iterable[Mapping[str, Any]] = (),
    news: RecordedNews | None = None,
    *,
    hosts: tuple[str, ...] = (),
    age_max_s: float = 86_400.0,
    latency_s: float = 0.0,
) -> PastJudge:
    """ "recorded", "rules" or "none" over recordings. rows: of their judge streams; news: of theirs. latency_s: that the rules take."""
    if kind == "recorded":
        return RecordedJudge(rows)
    return RulesPast(news, hosts=hosts, age_max_s=age_max_s, latency_s=latency_s) if kind == "rules" else NoJudge()
