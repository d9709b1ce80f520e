"""The judge made of plain code: words in the news give the grade, the policy's matrix the action. The same items give the same answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from liqshell.judge.asking import Told
from liqshell.judge.prompt import symbol_of
from liqshell.judge.types import Question
from liqshell.judge.validation import CONFIDENCE, HOSTS_MIN, stated
from liqshell.news.items import Item, independent

VERSION = 2
WORDS: Mapping[str, tuple[int, str]] = {  # event -> where it moves the price, words
    "delisting": (-1, r"delist(s|ed|ing|ings)?|removal of|will remove|ceases? trading|suspend(s|ed|ing)? trading"),
    "hack": (-1, r"hack(s|ed|ing|ers?)?|exploit(s|ed|ers?)?|drain(s|ed|ers?)?|stolen|breach(es|ed)?|rug ?pull(s|ed)?|phish(ed|ing)"),
    "regulation": (-1, r"lawsuit|sued|sues|charges?|charged|indict\w*|ban(s|ned)?|fraud|subpoena\w*|investigat\w+"),
    "outage": (-1, r"outage|halt(s|ed)?|offline|paused withdrawals|withdrawals paused|chain stop\w*"),
    "unlock": (-1, r"token unlock(s|ed|ing)?|unlocks? \$?\d[\w.,]*|vesting"),
    "listing": (1, r"(will|to) list\b|lists\b|new listing|listed on|listing on"),
    "partnership": (
        1,
        r"partner(s|ed|ing|ships?)?|integrat(es?|ed|ing|ions?)|acquir(es?|ed|ing)|etf (approv(al|es?|ed)|inflows?)|"
        r"approv(al of|es?|ed) (the )?\w* ?etf|adopts?|treasury buys?",
    ),
}
_COMPILED = {event: (way, re.compile(rf"\b({words})(?!\w)", re.I)) for event, (way, words) in WORDS.items()}
# what turns a phrase round: an approval that is delayed is none, an outage that is resolved is over; neither moves the price a known way
_UNDONE = re.compile(
    r"\b(delay(s|ed)|postpon(es|ed)|cancel(s|led|ed)|reject(s|ed)|resolv(es|ed)|lift(s|ed)|restor(es|ed)|"
    r"revers(es|ed)|overturn(s|ed))\b",
    re.I,
)
_DENIED = re.compile(r"\b(no|not|denies|denied|false|fake|rumou?rs?|dismiss\w*|drops?|withdraws?|avoids?)\b", re.I)


def event_of(item: Item) -> tuple[str, int]:
    """The event of an item and its effect on the price: +1, -1, 0 = no known word, denied or reversed."""
    text = f"{item.title} {item.description}"
    if item.event:
        return item.event, {"listing": 1, "delisting": -1, "outage": -1}.get(item.event, 0)
    if _DENIED.search(item.title):
        return "rumour", 0
    event, way = next(((event, way) for event, (way, pattern) in _COMPILED.items() if pattern.search(text)), ("none", 0))
    return event, 0 if _UNDONE.search(item.title) else way


def grade(direction: str, items: Sequence[Item]) -> tuple[str, str, list[int]]:
    """(news, event, ids). One item against it contradicts; for it two of independent hosts are needed."""
    wanted = 1 if direction == "LONG" else -1
    found = [(n, *event_of(item)) for n, item in enumerate(items, 1)]
    against = [(n, event) for n, event, way in found if way == -wanted]
    if against:
        return "contradicts", against[0][1], [n for n, _ in against]
    for_it = [(n, event) for n, event, way in found if way == wanted]
    if independent(items[n - 1] for n, _ in for_it) >= HOSTS_MIN:
        return "supports", for_it[0][1], [n for n, _ in for_it]
    return "none", "none", []


def answer_text(question: Question, items: Sequence[Item]) -> str:
    """The answer of the rules, in the form that a model gives."""
    news, event, evidence = grade(question.direction, items)
    outcome = stated(question, news)  # type: ignore[arg-type]
    words = {number: word for word, number in CONFIDENCE.items()}
    return json.dumps(
        {
            "symbol": symbol_of(question),
            "direction": question.direction,
            "action": outcome.action,
            "confidence": words.get(outcome.confidence, "low"),
            "news": news,
            "news_event": event,
            "liq_note": "as the policy says",
            "trend_note": "as the policy says",
            "news_note": f"{len(items)} items, by words: {event}",
            "action_reason": f"the policy's matrix with news {news}",
            "evidence": evidence,
        }
    )


class Rules:
    """A way: no socket."""

    identity: Mapping[str, Any] = {"kind": "rules", "version": VERSION}

    def request(self, question: Question, items: Sequence[Item]) -> dict[str, Any]:
        return {"text": answer_text(question, items)}

    def most(self, request: Mapping[str, Any]) -> Mapping[str, int]:
        return {}

    async def ask(self, request: Mapping[str, Any], until_s: float) -> Told:
        return Told("ok", request["text"], json.loads(request["text"]))

    async def close(self) -> None:
        pass
