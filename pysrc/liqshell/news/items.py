"""An item of news, the interface of a source, and the cleaning of foreign text before its use."""

from __future__ import annotations

import asyncio
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

TITLE_MAX, DESCRIPTION_MAX, ITEMS_MAX = 200, 400, 8
RAW_MAX = 500  # of a text with its markup: how much is looked at for injections
LOOKED_AT_MAX = 20  # items of one question: looking costs time, and hostile ones may be many
NS = 1_000_000_000
SEARCH = "brave"  # the source whose items are pages of others
_TAG = re.compile(r"<[^<>]{0,2000}>")
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z](?:[a-z0-9-]*[a-z0-9])?")
_SECOND_LEVEL = {"co", "com", "org", "net", "gov", "ac", "edu", "or", "ne"}


@dataclass(frozen=True, slots=True)
class Item:
    """received_ns: when we got it, from which on it counts. published_ns: by its source, 0 = not stated. host: of its address. event: what a
    venue's own announcement is about ("listing", "delisting", "outage"), '' = not known."""

    received_ns: int
    source: str
    host: str
    title: str
    description: str = ""
    published_ns: int = 0
    event: str = ""

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Item:
        """From a recording; KeyError, TypeError or ValueError where it is none."""
        return cls(
            int(row["received_ns"]),
            str(row["source"]),
            str(row["host"]),
            str(row["title"]),
            str(row.get("description", "")),
            int(row.get("published_ns", 0)),
            str(row.get("event", "")),
        )


class NewsSource(Protocol):
    """Where items come from. `about` raises NewsError where it does not know: no news and not knowing are not the same."""

    name: str

    async def about(self, asset: str, as_of_ns: int) -> list[Item]: ...

    async def close(self) -> None: ...


class NewsError(Exception):
    """A source has no answer: which one, and why."""


def clean(text: str, most: int) -> str:
    """Plain text of at most `most` characters: NFC, without tags, control, format and private characters (bidi overrides are format characters),
    white space as single spaces."""
    text = html.unescape(_TAG.sub(" ", text[: 20 * most]))
    text = unicodedata.normalize("NFC", _TAG.sub(" ", text))
    kept = "".join(" " if one.isspace() else one for one in text if one.isspace() or unicodedata.category(one) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return " ".join(kept.split())[:most].rstrip()


def host_of(address: str) -> str:
    """The public name of the host of a web address, in small letters, without www; '' where it has none. Readers differ on what a backslash is."""
    try:
        parts = urlsplit(address)
        found = (parts.hostname or "").lower().removesuffix(".").removeprefix("www.")
    except ValueError:
        return ""
    plain = parts.scheme in ("http", "https") and "\\" not in address
    return found if plain and len(found) <= 253 and _NAME.fullmatch(found) else ""


def owner_of(host: str) -> str:
    """The registered domain of a host, as far as its form shows it: a.b.example.co.uk -> example.co.uk."""
    parts = host.split(".")
    return ".".join(parts[-3:] if len(parts) > 2 and parts[-2] in _SECOND_LEVEL and len(parts[-1]) == 2 else parts[-2:])


# ---- hostile text ----

_FIELDS = "action|confidence|direction|news_event|evidence|action_reason|news_note|trend_note|liq_note"
PATTERNS: Mapping[str, re.Pattern[str]] = {
    "orders": re.compile(
        r"\b(ignore|disregard|forget|override|bypass|skip)\b.{0,40}\b(previous|prior|above|earlier|all|any|your|the|these|system)\b"
        r".{0,40}\b(instruction|prompt|rule|context|message|guideline|direction|matrix|text|polic)"
        r"|\b(ignore|disregard|forget)\b (all |any |everything )*(of )?(the )?(above|foregoing|preceding)\b"
        r"|(ignore|disregard|forget|override)(all|any|of|the|your)*(previous|prior|above|earlier)"  # letters put together
        r"|\b(ignore|disregard|forget)\b (everything|all|anything|what(ever)?)( that)? you\b",
        re.I,
    ),
    "orders in other languages": re.compile(
        r"\bignorier\w*\b.{0,30}\b(vorherig|vorig|bisherig|obig|alle)\w*\b.{0,30}\b(anweisung|instruktion|regel|befehl)"  # de
        r"|\b(ignore[zr]?|oublie[zr]?)\b.{0,30}\b(instruction|consigne|directive)s?\b.{0,30}\b(pr[ée]c[ée]dente?s?|ci-dessus|ant[ée]rieure?s?)"  # fr
        r"|\b(ignor[ae]n?|olvid[ae]n?|ignorem?|esque[çc]am?|ignor(a|ate|are)|dimentica(te)?)\b.{0,30}"  # es, pt, it
        r"\b(instruc\w+|instru[çc][õo]es|indicaciones|istruzioni|regras|reglas|regole)\b"
        r"|\b(и|про)?игнорир\w+.{0,30}(инструкци|указани|правил)|\bзабуд\w+.{0,30}(инструкци|указани|правил)"  # ru
        r"|(忽略|忽視|忽视|无视|無視).{0,12}(指令|指示|说明|說明|规则|規則|提示)"  # zh
        r"|(指示|命令|ルール|プロンプト).{0,8}(無視|忘れ)|(지시|명령|규칙|프롬프트).{0,8}(무시|잊)"  # ja, ko
        r"|(talimat|komut|yönerge|kural)\w*.{0,20}(yok say|görmezden gel|unut|dikkate alma)",
        re.I,
    ),  # tr
    "role": re.compile(
        r"(^|[\s\"'`>\[(|<])\[?/?(system|assistant|developer|user|inst|sys)\]?\s*(:|\||>|\]|prompt\b|message\b|override\b)"
        r"|[\"'“”]?\brole\b[\"'“”]?\s*[:=]\s*[\"'“”]?\s*(system|assistant|developer|user|tool)\b",
        re.I,
    ),
    "tokens": re.compile(
        r"<\||\|>|\[/?INST\]|<</?SYS>>|</?(system|instructions?|assistant|prompt)\b"
        r"|#{2,}\s*(system|instruction|new task|response)|```",
        re.I,
    ),
    "answer": re.compile(
        rf"[\"'“”]\s*(symbol|news)\s*[\"'“”]\s*[:=]|[\"'“”{{]\s*({_FIELDS})\s*[\"'“”]?\s*[:=]"
        rf"|\b({_FIELDS})\s*[:=]\s*[\"'“]?\w",
        re.I,
    ),
    "addressed": re.compile(
        r"\b(as an ai|you are (now|an? (ai|language|trading|helpful|assistant|judge))|language model|llm\b|chatbot|"
        r"dear (ai|model|assistant|judge)|"
        r"(attention|note|message|instructions?|reminder|notice) (to|for) (the )?"
        r"(ai|model|models|assistant|judge|bot|llm|grader)|"
        r"if you are (an? )?(ai|model|bot|judge))",
        re.I,
    ),
    "demands": re.compile(
        r"\b(you|model|judge|assistant|ai|grader)\b.{0,20}\b"
        r"(must|should|shall|need to|have to|are (required|instructed|ordered) to|will)\b.{0,40}"
        r"\b(answer|respond|reply|output|return|grade|mark|set|say|report|confirm|enter|approve|veto|classify|print)\b"
        r"|\b(answer|respond|reply|output|return|print)\b.{0,30}"
        r"\b(supports|contradicts|don.?t enter|json|only with|enter with|high confidence)\b"
        r"|\b(grade|mark|classify|rate|set|treat|label)\b.{0,30}\b(news|this|item|it|confidence|action|trade)\b.{0,20}"
        r"\b(as|to)\b.{0,10}"
        r"(supports|contradicts|high|enter|don.?t enter|none)\b",
        re.I,
    ),
    "encoded": re.compile(r"[A-Za-z0-9+/=_-]{100,}"),
    "new instructions": re.compile(
        r"\b(new|updated|real|actual|secret|hidden|following|revised) (system prompt|(instructions?|directives?)"
        r"(?! (for|on|from|about|to) (?!you\b|the (ai|model|judge|assistant|reader)\b)))\b"
        r"|\bend of (the )?(news|data|items?|context|article)\b",
        re.I,
    ),
}
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
_LOOKALIKE = str.maketrans("аеорсухіјѕԁ", "aeopcyxijsd")


def suspicion(text: str) -> str:
    """The name of the pattern of an injection that a text shows, '' = none. Read as a model might read it: compatibility forms, letters that look
    like Latin ones and letters with one or more spaces between them are taken for what they show. A filter of known phrases: it knows no others."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", html.unescape(text)))
    seen = plain.translate(_LOOKALIKE)
    together = re.sub(r"(?<=\b\w)[ ._-](?=\w\b)", "", seen)
    wide = re.sub(r"(?<=\b\w)[ ._-]{1,3}(?=\w\b)", "", seen)
    return next((name for name, pattern in PATTERNS.items() for form in dict.fromkeys((seen, together, wide, plain)) if pattern.search(form)), "")


# ---- selection ----


@dataclass(frozen=True, slots=True)
class Selected:
    """Items that may be shown to a judge, numbered by their place from 1 on; why others were not."""

    items: tuple[Item, ...]
    dropped: Mapping[str, int]


def _key(title: str) -> str:
    return "".join(one for one in unicodedata.normalize("NFKC", title).casefold() if one.isalnum())


def _selection(found: Iterable[Item], as_of_ns: int, age_max_s: float, hosts: Sequence[str]) -> Iterator[Selected]:
    """The work of select, an item a step; the last one has the result."""
    dropped: Counter[str] = Counter()
    out: dict[str, Item] = {}
    unfinished = Selected((), {})
    newest = sorted(found, key=lambda item: (-max(item.published_ns, 0), -item.received_ns, item.host, item.title))
    if len(newest) > LOOKED_AT_MAX:
        dropped["too many"] = len(newest) - LOOKED_AT_MAX
    for one in newest[:LOOKED_AT_MAX]:
        yield unfinished
        item = replace(one, title=clean(one.title, TITLE_MAX), description=clean(one.description, DESCRIPTION_MAX))
        if item.received_ns > as_of_ns:
            dropped["later"] += 1
        elif item.published_ns and as_of_ns - item.published_ns > age_max_s * NS:
            dropped["stale"] += 1
        elif hosts and not item.event and not any(item.host == host or item.host.endswith("." + host) for host in hosts):
            dropped["host"] += 1
        elif not item.title or not item.host:
            dropped["empty"] += 1
        elif _key(item.title) in out:
            dropped["duplicate"] += 1
        elif why := suspicion(f"{one.title[:RAW_MAX]} {one.description[:RAW_MAX]}") or suspicion(f"{item.title} {item.description}"):
            dropped[f"injection: {why}"] += 1
        elif len(out) >= ITEMS_MAX:
            dropped["too many"] += 1
        else:
            out[_key(item.title)] = item
    yield Selected(tuple(out.values()), dict(dropped))


def select(found: Iterable[Item], as_of_ns: int, *, age_max_s: float, hosts: Sequence[str] = ()) -> Selected:
    """The newest items that are known at `as_of_ns`, clean, each story once. hosts: the only ones that count, () = all; a venue's announcement always
    does."""
    *_, last = _selection(found, as_of_ns, age_max_s, hosts)
    return last


async def select_in_turns(found: Iterable[Item], as_of_ns: int, *, age_max_s: float, hosts: Sequence[str] = ()) -> Selected:
    """As select; between two items the loop does its other work, because hostile text takes milliseconds per item."""
    selected = Selected((), {})
    for so_far in _selection(found, as_of_ns, age_max_s, hosts):
        selected = so_far
        await asyncio.sleep(0)
    return selected


def independent(items: Iterable[Item]) -> int:
    """How many independent owners the items come from. The writer of a feed also writes its addresses, so items of one feed have one owner; a search
    shows pages of others."""
    groups: list[set[str]] = []
    for item in items:
        mine = {owner_of(item.host)} | (set() if item.source == SEARCH else {owner_of(item.source)})
        groups = [one for one in groups if not one & mine] + [mine.union(*(one for one in groups if one & mine))]
    return len(groups)
