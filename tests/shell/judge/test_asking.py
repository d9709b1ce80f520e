"""The live judge against the stub on loopback: every fault through the real client, the deadline, breaker and caps."""

import asyncio
import json
import time

import pytest

from liqshell.clock import Clock
from liqshell.config.judge_sections import PriceConfig
from liqshell.emulator.server.outside import MODEL_FAULTS, Outside
from liqshell.judge.asking import Asking, Model
from liqshell.judge.asking import Told as Answered
from liqshell.judge.command import Program
from liqshell.judge.limits import Breaker, Caps
from liqshell.judge.providers import provider_of
from liqshell.judge.rules import Rules
from liqshell.judge.types import Outcome, Question
from liqshell.news.items import Item, NewsError
from liqshell.web import Web

NS = 1_000_000_000
OUTCOMES = {"supports": Outcome("enter", 3), "none": Outcome("enter", 2), "contradicts": Outcome("don't enter", 0)}
CONTENT = json.dumps({"as_of": 1, "complete": True, "z": 4.5}, sort_keys=True, separators=(",", ":")).encode()


def question(clock, judge_s=3.0, number=1, outcomes=OUTCOMES, asset="BTC", direction="SHORT"):
    now = clock.now_ns()
    return Question(number, 1, f"bybit:{asset}USDT", asset, direction, now, now + int(judge_s * NS), CONTENT, outcomes)


def asking(url, kind="openai", clock=None, caps=None, timeout_s=3.0, **more):
    provider = provider_of(kind, "stub", 500, None)
    base = url + "/v1" if kind == "openai" else url
    return Asking(Model(kind, provider, Web(base, provider.headers("")), "stub", 500, None), clock or Clock(), timeout_s, caps or Caps(None), **more)


class Told:
    name = "told"

    def __init__(self, items=(), fails=False):
        self.items, self.fails = items, fails

    async def about(self, asset, as_of_ns):
        if self.fails:
            raise NewsError("told: no answer")
        return list(self.items)

    async def close(self):
        pass


async def answered(faults=(), kind="openai", judge_s=3.0, times=1, **more):
    async with Outside(3, faults) as outside:
        judge = asking(outside.url, kind, **more)
        try:
            return [await judge.answer(question(judge.clock, judge_s, n)) for n in range(1, times + 1)], outside, judge
        finally:
            await judge.close()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_an_answer_is_the_weaker_of_model_and_matrix(kind):
    (answer,), outside, _ = asyncio.run(answered(kind=kind, price=PriceConfig(input=1.0, output=4.0)))
    assert (answer.status, answer.action, answer.confidence, answer.news_grade) == ("ok", "enter", 2, "none")
    assert answer.usage["input"] > 100 and answer.cost == (answer.usage["input"] + 4 * answer.usage["output"]) / 1e6
    assert answer.request["judge"]["kind"] == kind and answer.request["body"] == outside.bodies[0] and len(answer.key) == 40


STATUS = {"refusal": "refused", "cut": "cut"}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_every_fault_of_a_model_gives_no_entry(fault, kind):
    (answer, after), _, _ = asyncio.run(answered([{"kind": fault, "at": 1}], kind, times=2))
    assert (answer.action, answer.confidence, answer.status) == (None, 0, STATUS.get(fault, "invalid"))
    assert after.status == "ok"


@pytest.mark.parametrize("fault, status", [("http_500", "http_500"), ("half_body", "broken")])
def test_every_fault_of_the_way_gives_no_entry(fault, status):
    (answer, after), _, _ = asyncio.run(answered([{"kind": fault, "at": 1}], times=2))
    assert (answer.action, answer.status) == (None, status) and after.status == "ok"


def test_retry_after_is_kept():
    wall = [10**18]
    answers, outside, judge = asyncio.run(answered([{"kind": "http_429", "at": 1, "seconds": 7}], times=2, wall=lambda: wall[0]))
    assert [one.status for one in answers] == ["http_429", "breaker"] and outside.requests["judge"] == 1
    assert not judge.breaker.is_open(wall[0] + 7 * NS)


@pytest.mark.parametrize("status", [b"429 Too Many Requests", b"503 Service Unavailable", b"529 Overloaded"])
@pytest.mark.parametrize("after", [b"30", b"Wed, 25 Nov 2026 03:00:30 GMT"])
def test_retry_after_is_kept_whatever_the_status_and_its_form(status, after):
    """RFC 9110: seconds, or a date, which is that of the server's clock."""
    asked = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        asked.append(1)
        writer.write(
            b"HTTP/1.1 "
            + status
            + b"\r\ndate: Wed, 25 Nov 2026 03:00:00 GMT\r\nretry-after: "
            + after
            + b"\r\ncontent-length: 2\r\nconnection: close"
            b"\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()

    async def twice():
        wall = [10**18]
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            judge = asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", wall=lambda: wall[0])
            found = [(await judge.answer(question(judge.clock))).status for _ in range(2)]
            await judge.close()
        return found, [judge.breaker.is_open(wall[0] + seconds * NS) for seconds in (29, 30)]

    found, held = asyncio.run(twice())
    assert found == [f"http_{status[:3].decode()}", "breaker"] and held == [True, False] and len(asked) == 1


def test_a_server_that_refuses_the_schema_is_asked_for_an_object_from_then_on():
    (first, second), outside, judge = asyncio.run(answered([{"kind": "http_400_schema"}], times=2))
    assert (first.status, second.status) == ("http_400", "ok") and not judge.way.strict
    assert outside.bodies[1]["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("fault", [{"kind": "hang"}, {"kind": "drip", "seconds": 0.01}, {"kind": "latency", "seconds": 5}])
@pytest.mark.parametrize("limit", ["question", "timeout_s"])
def test_the_deadline_holds_to_20_ms(fault, limit):
    async def late():
        async with Outside(1, [fault]) as outside:
            judge = asking(outside.url, timeout_s=0.3 if limit == "timeout_s" else 3.0)
            begun = time.monotonic()
            answer = await judge.answer(question(judge.clock, 0.3 if limit == "question" else 3.0))
            took = time.monotonic() - begun
            await judge.close()
            return answer, took - 0.3

    tries = []
    while len(tries) < 10 and not any(over < 0.020 for _, over in tries):  # the property is of the program, not of a busy machine
        tries.append(asyncio.run(late()))
    assert all(answer.status == "timeout" and answer.action is None for answer, _ in tries)
    assert min(over for _, over in tries) < 0.020, tries


def test_a_dead_server_is_tried_once_more_only_if_there_is_time():
    async def dead(judge_s):
        judge = asking("http://127.0.0.1:9")
        tried = []
        once = judge.way._web._once
        judge.way._web._once = lambda *a: tried.append(1) or once(*a)
        answer = await judge.answer(question(judge.clock, judge_s))
        await judge.close()
        return answer.status, len(tried)

    assert asyncio.run(dead(3.0)) == ("connect", 2) and asyncio.run(dead(1.0)) == ("connect", 1)


def test_five_failures_within_a_minute_open_the_breaker_for_300_s():
    wall = [10**18]
    answers, outside, judge = asyncio.run(answered([{"kind": "http_500"}], times=7, wall=lambda: wall[0]))
    assert [one.status for one in answers] == ["http_500"] * 5 + ["breaker"] * 2 and outside.requests["judge"] == 5
    assert judge.breaker.is_open(wall[0] + 299 * NS) and not judge.breaker.is_open(wall[0] + 300 * NS)


def test_failures_that_lie_apart_do_not_open_it():
    breaker = Breaker()
    assert not any(breaker.failed(n * 16 * NS) for n in range(20))
    breaker = Breaker()
    assert [breaker.failed(n * 15 * NS) for n in range(5)] == [False] * 4 + [True]


def test_caps_of_a_minute_and_of_a_day_hold_over_restarts(tmp_path):
    file, now = tmp_path / "usage.json", 1_790_000_000 * NS
    caps = Caps(file, questions_minute=2, tokens_day=1000, usd_day=1.0)
    first = caps.reserve(now, 400, 0.1)
    assert first and caps.reserve(now, 100, 0.1) and not caps.reserve(now, 1, 0.0), "two questions a minute"
    caps.settle(first, now, 300, 0.05)
    again = Caps(file, questions_minute=2, tokens_day=1000, usd_day=1.0)
    assert not again.reserve(now + 59 * NS, 1, 0.0) and again.reserve(now + 60 * NS, 600, 0.0)
    assert not again.reserve(now + 200 * NS, 1, 0.0), "a thousand tokens of the day are used"
    assert again.today[:2] == (3, 1000) and again.today[2] == pytest.approx(0.15)
    assert again.reserve(now + 86_400 * NS, 1000, 1.0) and not again.reserve(now + 86_500 * NS, 1, 0.0)
    assert not Caps(file, usd_day=1.0).reserve(now, 0, 0.01), "a clock that steps back has yesterday's budget not twice"
    file.write_text("{")
    with pytest.raises(ValueError, match="delete it"):
        Caps(file)


@pytest.mark.parametrize(
    ("was", "wrong"),
    [
        ('"usd": 0.5', '"usd": NaN'),
        ('"usd": 0.5', '"usd": -1000.0'),
        ('"tokens": 400', '"tokens": -1'),
        (", 400, 0.5]", ", 400, NaN]"),
        (", 400, 0.5]", ", -9999, 0.5]"),
    ],
)
def test_what_was_used_is_a_number_or_nothing_is_asked(tmp_path, was, wrong):
    file = tmp_path / "usage.json"
    Caps(file, usd_day=1.0).reserve(1_790_000_000 * NS, 400, 0.5)
    text = file.read_text()
    assert was in text and Caps(file).today[:2] == (1, 400)
    file.write_text(text.replace(was, wrong))
    with pytest.raises(ValueError, match="delete it"):
        Caps(file, usd_day=1.0)


def test_processes_with_one_usage_file_have_one_budget(tmp_path):
    """A backtest that asks a model, beside a live run."""
    file, now = tmp_path / "usage.json", 1_790_000_000 * NS
    one, other = (Caps(file, questions_minute=10, usd_day=1.0) for _ in range(2))
    first = one.reserve(now, 100, 0.6)
    assert first and not other.reserve(now, 100, 0.6) and other.reserve(now, 100, 0.3)
    one.settle(first, now, 40, 0.1)
    assert one.today[:2] == (2, 140) and other.reserve(now, 100, 0.6) and not one.reserve(now, 1, 0.1)
    assert Caps(file).today[:2] == (3, 240)
    file.write_text("{")
    assert not one.reserve(now + 86_400 * NS, 1, 0.0), "what was used is not known"


def test_a_judge_over_its_budget_is_not_asked(tmp_path):
    answers, outside, _ = asyncio.run(answered(times=2, caps=Caps(None, questions_minute=1)))
    assert [one.status for one in answers] == ["ok", "budget"] and outside.requests["judge"] == 1


def test_what_timed_out_stays_counted_in_full():
    caps = Caps(None, tokens_day=10**6)
    (answer,), _, _ = asyncio.run(answered([{"kind": "hang"}], judge_s=0.1, caps=caps, price=PriceConfig(input=1.0)))
    assert answer.status == "timeout" and caps.today[1] > 500 and answer.cost > 0


def test_news_that_is_not_known_is_not_no_news():
    (answer,), outside, _ = asyncio.run(answered(news=Told(fails=True)))
    assert (answer.action, answer.status) == (None, "no_news") and not outside.requests["judge"]


def test_rules_grade_by_words():
    clock = Clock()
    now = clock.now_ns()

    def run(items, direction="SHORT"):
        judge = Asking(Rules(), clock, 1.0, Caps(None), news=Told(items))
        return asyncio.run(judge.answer(question(clock, direction=direction)))

    hack = [
        Item(now, "brave", host, f"Bitcoin bridge {word}") for host, word in (("a.com", "hacked overnight"), ("b.com", "exploited, funds stolen"))
    ]
    assert (run(hack).news_grade, run(hack).confidence) == ("supports", 3)
    assert (run(hack[:1]).news_grade, run(hack[:1]).confidence) == ("none", 2), "one host is not two"
    assert (run(hack[:1], "LONG").action, run([]).confidence) == ("don't enter", 2)


PROGRAM = """
import json, os, sys, time
q = json.load(sys.stdin)
assert not [name for name in os.environ if "SECRET" in name]
time.sleep(float(sys.argv[1]))
print(json.dumps({"symbol": q["symbol"], "direction": q["direction"], "action": "enter", "confidence": "low", "news": "none", "news_event": "none",
  "liq_note": "", "trend_note": "", "news_note": "", "action_reason": "", "evidence": []}))
"""


def test_a_program_answers_or_ends_at_the_deadline(tmp_path, monkeypatch):
    monkeypatch.setenv("LIQCORE_API_SECRET", "x" * 20)
    import sys

    (tmp_path / "judge.py").write_text(PROGRAM)

    async def run(wait, judge_s):
        judge = Asking(Program((sys.executable, str(tmp_path / "judge.py"), wait)), Clock(), 20.0, Caps(None))
        begun = time.monotonic()
        return await judge.answer(question(judge.clock, judge_s)), time.monotonic() - begun

    answer, _ = asyncio.run(run("0", 20.0))
    assert (answer.status, answer.action, answer.confidence) == ("ok", "enter", 1)
    answer, took = asyncio.run(run("60", 0.5))
    assert answer.status == "timeout" and took < 5.0
    judge = Asking(Program(("/nonexistent/judge",)), Clock(), 1.0, Caps(None))
    assert asyncio.run(judge.answer(question(judge.clock))).status == "connect"


def test_the_key_stands_nowhere(tmp_path, caplog):
    canary = "sk-canary-0123456789abcdef"
    from liqshell.vault import find_token

    assert find_token("judge_key", {"LIQCORE_JUDGE_KEY": canary}) == canary

    async def run():
        async with Outside(1) as outside:
            provider = provider_of("openai", "stub", 500, None)
            seen = []
            original = outside._openai
            # a server that repeats what it was sent
            outside._openai = lambda r, b, k, n: seen.append(r.headers["Authorization"]) or original(r, b, k, n)
            way = Model("openai", provider, Web(outside.url + "/v1", provider.headers(canary), secret=True), "stub", 500, None)
            judge = Asking(way, Clock(), 3.0, Caps(tmp_path / "usage.json"))
            answer = await judge.answer(question(judge.clock))
            await judge.close()
            return answer, seen, repr(way), repr(judge)

    with caplog.at_level("DEBUG"):
        answer, seen, *texts = asyncio.run(run())
    assert seen == [f"Bearer {canary}"] and answer.status == "ok"
    everything = [repr(answer), *texts, caplog.text, *(file.read_text() for file in tmp_path.iterdir())]
    assert not [text for text in everything if canary in text]


def test_a_key_does_not_leave_in_the_clear():
    from liqshell.errors import ConfigError

    with pytest.raises(ConfigError):
        Web("http://192.0.2.1/v1", {"Authorization": "Bearer x"}, secret=True)


def test_many_questions_at_once_keep_their_deadlines():
    async def run():
        async with Outside(1, [{"kind": "latency", "seconds": 0.3}]) as outside:
            judge = asking(outside.url, concurrency=2)
            answers = await asyncio.gather(*(judge.answer(question(judge.clock, 0.8, n)) for n in range(8)))
            await judge.close()
            return answers

    found = [one.status for one in asyncio.run(run())]
    assert 2 <= found.count("ok") <= 4 and set(found) <= {"ok", "timeout", "busy", "breaker"}, found


def late(judge, n=6):
    """One question that is answered after 0.6 s, and n whose deadline is over by then; each with its seconds beyond 0.2."""

    async def timed(number):
        begun = time.monotonic()
        answer = await judge.answer(question(judge.clock, 0.2, number))
        return answer, time.monotonic() - begun - 0.2

    return asyncio.gather(judge.answer(question(judge.clock, 5.0, 1)), *(timed(k) for k in range(2, n + 2)))


def test_a_question_that_waits_for_a_place_says_nothing_about_the_provider():
    async def run():
        async with Outside(1, [{"kind": "latency", "seconds": 0.6}]) as outside:
            judge = asking(outside.url, concurrency=1, timeout_s=5.0)
            first, *waited = await late(judge)
            asked = outside.requests["judge"]
            after = await judge.answer(question(judge.clock, 5.0, 9))
            await judge.close()
            return first, waited, asked, after, judge

    first, waited, asked, after, judge = asyncio.run(run())
    assert asked == 1 and first.status == "ok" and {answer.status for answer, _ in waited} == {"busy"}
    assert after.status == "ok" and judge.counts == {"ok": 2, "busy": 6} and not judge.breaker.until_ns
    assert all(answer.action is None and not answer.cost and "body" not in answer.request for answer, _ in waited)
    assert min(over for _, over in waited) < 0.1, waited


def test_a_deadline_that_strikes_before_the_news_is_there_says_nothing_about_the_provider():
    class Slow(Told):
        async def about(self, asset, as_of_ns):
            await asyncio.sleep(5.0)

    answers, outside, judge = asyncio.run(answered(judge_s=0.05, times=6, news=Slow()))
    assert {one.status for one in answers} == {"no_news"} and not outside.requests["judge"] and not judge.breaker.until_ns


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        [],
        {"prompt_tokens": "9", "input_tokens": "9"},
        dict.fromkeys(("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens"), -9),
        {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 0, "output_tokens": 0},
    ],
)
def test_tokens_that_an_answer_does_not_say_count_in_full(kind, said):
    """A server without usage would otherwise be asked without end, below every cap."""
    provider = provider_of(kind, "stub", 500, None)
    bodies = {
        "openai": {"choices": [{"finish_reason": "stop", "message": {"content": "{}"}}], "usage": said},
        "anthropic": {"stop_reason": "end_turn", "content": [{"type": "text", "text": "{}"}], "usage": said},
    }
    assert provider.read(bodies[kind]).usage == {}

    async def run():
        clock, caps = Clock(), Caps(None, tokens_day=5_000)
        judge = asking("http://127.0.0.1:1", kind, clock, caps)
        judge.way = Says(provider.read(bodies[kind]).usage)
        return [(await judge.answer(question(clock, number=n))).status for n in range(1, 6)], caps.today

    statuses, used = asyncio.run(run())
    assert statuses == ["invalid", "invalid", "budget", "budget", "budget"] and used == (2, 4_000, 0.0)


class Says:
    """A way whose answers are no verdicts and take 2000 tokens at most."""

    identity = {"kind": "says"}

    def __init__(self, usage):
        self.usage = usage

    def request(self, question, items):
        return {}

    def most(self, request):
        return {"input": 1_500, "output": 500}

    async def ask(self, request, until_s):
        return Answered("ok", "{}", None, self.usage)

    async def close(self):
        pass
