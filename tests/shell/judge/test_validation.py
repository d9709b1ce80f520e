"""What an answer comes to, by properties: nothing that a model says gives more than the policy states. And the judges of the past."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqshell.clock import Clock
from liqshell.judge.past import NoJudge, RecordedJudge, RulesPast
from liqshell.judge.prompt import SCHEMA, marked, user_text
from liqshell.judge.types import Outcome, Question
from liqshell.judge.validation import NOTE_MAX, Invalid, checked, judged, key_of, parsed
from liqshell.news.items import Item
from liqshell.news.sources import RecordedNews

NS = 1_000_000_000
RANK = {"don't enter": 0, "hold": 1, "enter": 2}
ITEMS = tuple(Item(1, "brave", host, f"story {n}") for n, host in enumerate(("a.example.com", "b.example.com", "other.org"), 1))
outcomes = st.builds(
    lambda action, confidence: Outcome(action, confidence if action == "enter" else 0), st.sampled_from(list(RANK)), st.integers(1, 3)
)
stated = st.fixed_dictionaries({}, optional=dict.fromkeys(("supports", "none", "contradicts"), outcomes))


def question(given_outcomes, direction="LONG", content=b'{"z":1}'):
    return Question(1, 1, "bybit:BTCUSDT", "BTC", direction, 10**18, 10**18 + 5 * NS, content, given_outcomes)


def answer(**changes):
    return {
        "symbol": "BTCUSDT",
        "direction": "LONG",
        "action": "enter",
        "confidence": "high",
        "news": "none",
        "news_event": "none",
        "liq_note": "",
        "trend_note": "",
        "news_note": "",
        "action_reason": "",
        "evidence": [],
    } | changes


valid = st.builds(
    answer,
    action=st.sampled_from(list(RANK)),
    confidence=st.sampled_from(["high", "medium", "low"]),
    news=st.sampled_from(["supports", "none", "contradicts"]),
    evidence=st.lists(st.integers(1, 3), min_size=1, max_size=3),
)


@given(valid, stated)
def test_the_outcome_is_never_more_than_the_policy_states_nor_than_the_model_says(found, given_outcomes):
    verdict = judged(found, question(given_outcomes), ITEMS)
    allowed = given_outcomes.get(found["news"], Outcome("don't enter", 0))
    assert RANK[verdict.outcome.action] <= min(RANK[allowed.action], RANK[found["action"]])
    assert verdict.outcome.confidence <= min(allowed.confidence, {"high": 3, "medium": 2, "low": 1}[found["confidence"]])
    if found["news"] == "contradicts" or verdict.outcome.action != "enter":
        assert verdict.outcome.action != "enter" and verdict.outcome.confidence == 0
    hosts = {"example.com" if n < 3 else "other.org" for n in found["evidence"]}
    if found["news"] == "supports" and len(hosts) < 2:
        assert verdict.grade == "none"
        assert verdict.outcome.confidence <= given_outcomes.get("none", Outcome("don't enter", 0)).confidence


BROKEN = [
    ("symbol", "ETHUSDT"),
    ("direction", "SHORT"),
    ("action", "ENTER"),
    ("confidence", 3),
    ("news", "maybe"),
    ("evidence", [4]),
    ("evidence", [0]),
    ("evidence", [True]),
    ("evidence", ["1"]),
    ("evidence", [1.0]),
    ("evidence", None),
    ("liq_note", None),
    ("news_note", "x" * (NOTE_MAX + 1)),
    ("news", "supports"),
    ("news", "contradicts"),
    ("size", 100),
    ("action", ["enter"]),
]


@pytest.mark.parametrize("name, value", BROKEN)
def test_what_is_not_as_asked_is_no_answer(name, value):
    with pytest.raises(Invalid):
        judged(answer(**{name: value}), question({}), ITEMS)


@given(st.sampled_from(SCHEMA["required"]))
def test_a_field_that_is_missing_is_no_answer(name):
    with pytest.raises(Invalid):
        judged({key: value for key, value in answer().items() if key != name}, question({}), ITEMS)


@given(st.text(max_size=300))
def test_notes_are_plain_and_short(text):
    try:
        notes = checked(answer(news_note=text), question({}), ITEMS)
    except Invalid:
        assert len(unicodedata.normalize("NFC", text)) > NOTE_MAX
        return
    assert len(notes["news_note"]) <= NOTE_MAX
    assert not any(unicodedata.category(one) in ("Cc", "Cf", "Cs") for one in notes["news_note"])
    assert unicodedata.is_normalized("NFC", notes["news_note"])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=500),
        values.map(json.dumps),
        st.dictionaries(st.sampled_from(SCHEMA["required"]), values).map(lambda changes: json.dumps(answer(**changes))),
    )
)
def test_no_text_raises_anything_else_than_invalid(text):
    try:
        verdict = judged(parsed(text), question({"none": Outcome("enter", 2)}), ITEMS)
    except Invalid:
        return
    assert verdict.outcome.confidence <= 2


@pytest.mark.parametrize(
    "text", ["{} x", "```json\n{}\n```", "NaN", '{"a": NaN}', '{"a": Infinity}', "[]", "", "[" * 10_000, '{"a":1,"a":2}', "{" + " " * 70_000 + "}"]
)
def test_only_one_json_object_is_an_answer(text):
    with pytest.raises(Invalid):
        parsed(text)


def test_the_key_is_of_question_and_judge():
    judge = {"kind": "openai", "model": "m", "max_tokens": 100, "effort": ""}
    one = question({})
    keys = [
        key_of(one, judge),
        key_of(question({}, "SHORT"), judge),
        key_of(question({}, content=b'{"z":2}'), judge),
        key_of(one, judge | {"model": "n"}),
    ]
    assert len(set(keys)) == 4 and key_of(one, dict(reversed(judge.items()))) == keys[0]


def test_words_of_strangers_are_marked_and_carry_no_mark_of_their_own():
    found = json.loads(user_text(question({}), [Item(1, "brave", "a.com", "two ˆ˜words", "more of them")], "ˆ˜"))
    assert found["news"][0]["title"] == "twoˆ˜words" and " " not in found["news"][0]["description"] and found["mark"] == "ˆ˜"
    assert marked("a ˆb ˆ c", "ˆ") == "aˆbˆc"


JUDGE = {"kind": "openai", "model": "m"}


def row(asked, **changes):
    return {
        "key": key_of(asked, JUDGE),
        "status": "ok",
        "action": "enter",
        "confidence": 3,
        "news_grade": "supports",
        "request": {"judge": JUDGE},
        "asked_ns": 5 * NS,
        "answered_ns": 6 * NS,
    } | changes


def test_recorded_answers_are_found_by_key_and_held_against_what_is_stated_now():
    asked = question({"supports": Outcome("enter", 2)})
    judge = RecordedJudge([row(asked)])
    found = judge.answer_past(asked)
    assert (found.status, found.action, found.confidence, found.answered_ns) == ("ok", "enter", 2, asked.asked_ns + NS)
    unknown = judge.answer_past(question({}, content=b'{"z":9}'))
    assert (unknown.status, unknown.action) == ("unknown_key", None) and judge.counts == {"ok": 1, "unknown_key": 1}
    assert RecordedJudge([row(asked, answered_ns=11 * NS)]).answer_past(asked).status == "timeout"
    assert RecordedJudge([row(asked, status="timeout", action=None)]).answer_past(asked).action is None
    assert RecordedJudge([row(asked, action="buy")]).answer_past(asked).status == "invalid"
    assert RecordedJudge([]).answer_past(asked).status == "unknown_key" and NoJudge().answer_past(asked).action is None


def test_rules_of_the_past_know_what_had_been_received():
    stated_now = {"supports": Outcome("enter", 3), "none": Outcome("enter", 2)}
    rows = [
        ("BTC", Item(10**18 - NS, "brave", "a.com", "Bitcoin exchange will list it")),
        ("BTC", Item(10**18 + 1, "brave", "b.org", "Bitcoin partners up")),
        ("ETH", Item(10**18 - NS, "brave", "c.org", "Ethereum hacked")),
    ]
    news = RecordedNews(rows, {"BTC": "Bitcoin"})
    assert RulesPast(news).answer_past(question(stated_now)).news_grade == "none", "the second item had not come"
    later = Question(1, 1, "bybit:BTCUSDT", "BTC", "LONG", 10**18 + 2, 10**18 + NS, b"{}", stated_now)
    assert (RulesPast(news).answer_past(later).news_grade, RulesPast(news).answer_past(later).confidence) == ("supports", 3)
    assert RulesPast(None).answer_past(later).news_grade == "none" and Clock().speed == 1.0
