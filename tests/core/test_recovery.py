"""How soon a restart with an open trade is back when questions fail: answers lost, HTTP 503, internal errors, the pace."""

import random

import pytest

from gateway_rig import Rig, S
from liqshell.venues.effects import Answer

SYMBOLS = ("ETHUSDT", "SOLUSDT", "BTCUSDT")
RECOVERY_S, LIMIT_S = 10.0, 120.0
FAULTS = ("lost", "503", "10016", "10006")


def recovery(seed: int, share: float, faults: tuple[str, ...] = FAULTS) -> tuple[float, int]:
    """Seconds from the start of a process that holds a trade until it is ready, and its questions; `share` of them meet one of the faults. The trade
    is what the venue says, and has its stop."""
    draw = random.Random(seed)
    side = 1 if seed % 2 else -1
    rig = Rig(side, symbols=SYMBOLS, latency_ms=30)
    rig.enter()
    rig.fill_entry()
    image = rig.engine.trade_snapshot()
    rig.now += 2 * S
    new = Rig(side, exchange=rig.exchange, now=rig.now, store=rig.store, symbols=SYMBOLS, latency_ms=30, start=False)
    new.engine.trade_restore(image)
    new.engine.resume(new.now)
    new.exchange.take()
    fates: dict[int, str] = {}

    def fate(call) -> str:
        if call.number not in fates:
            fates[call.number] = draw.choice(faults) if call.method == "GET" and draw.random() < share else ""
        return fates[call.number]

    def alter(call, body):
        told = fate(call)
        return Answer(503, b"<html>") if told == "503" else body | {"retCode": int(told), "retMsg": "x", "result": {}} if told.isdigit() else body

    new.on_rest_answer = lambda call: fate(call) != "lost"
    new.alter_answer = alter
    began = new.now
    new.gateway.start(new.now)
    while not new.gateway.ready and new.now - began < LIMIT_S * S:
        new.wait(0.05)
    assert new.held() == new.truth()[0] != 0.0 and new.worst_naked_ns == 0
    return (new.now - began) / S, len(new.calls)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "mean_s"), [(0.0, 1.0), (0.1, 2.0), (0.25, 3.0), (0.4, 5.0)])
def test_a_restart_is_back_within_ten_seconds_though_questions_fail(share, mean_s):
    """A quarter of all questions: a mean of 16 s and 58 s at the 95th percentile when one failed page threw a whole reading away. Four in ten: 5.8 s
    and 12.7 s when a venue that answers some was taken for one that is down."""
    seconds = sorted(recovery(seed, share)[0] for seed in range(60))
    assert sum(seconds) / len(seconds) < mean_s and seconds[int(0.95 * len(seconds))] < RECOVERY_S, seconds


@pytest.mark.parametrize(("share", "mean_s"), [(0.25, 2.5), (0.4, 4.0)])
def test_a_restart_is_back_within_ten_seconds_though_answers_are_lost(share, mean_s):
    """Lost answers alone, the slowest fault: each costs a wait. A mean of 6.3 s and 18.2 s at the 95th percentile of four in ten when each wait was as
    long as for a venue of which nothing is known, a pause followed it, and a page that was lost five times threw its reading away."""
    found = [recovery(seed, share, ("lost",)) for seed in range(60)]
    seconds = sorted(took for took, _ in found)
    assert sum(seconds) / len(seconds) < mean_s and seconds[int(0.95 * len(seconds))] < RECOVERY_S, seconds
    assert max(calls for _, calls in found) < 120, "a few readings, not many"


def test_a_path_that_is_slow_is_waited_for_though_the_others_are_quick():
    """Executions are answered after 2.5 s, everything else at once: no wait is so short for ever that they are never heard."""
    rig = Rig(1, latency_ms=30, start=False)
    asked: dict[int, int] = {}

    def slow(call):
        if call.path != "/v5/execution/list":
            return True
        asked[call.number] = rig.now
        if call.timeout_s < 2.5:
            return False
        rig.latency = int(1.25 * S)
        rig.after(1, lambda: setattr(rig, "latency", 30_000_000))
        return True

    rig.on_rest = slow
    rig.gateway.start(rig.now)
    rig.wait(30.0)
    assert rig.gateway.ready and len(asked) > 2 and not rig.gates()


def test_questions_of_a_reading_that_was_given_up_close_nothing():
    """The private stream comes up while a first reading waits for its answers: the next reading is whole, and the old one's lost answers say nothing."""
    rig = Rig(1, latency_ms=30, start=False)
    first = set()

    def lost(call):
        if call.path == "/v5/execution/list" and not first:
            first.add(call.number)
        return call.number not in first

    rig.on_rest = lost
    rig.gateway.start(rig.now)
    rig.wait(0.6)
    assert rig.gateway.ready
    rig.wait(4.0)
    assert rig.gateway.ready and len([call for call in rig.calls if call.path == "/v5/execution/list"]) == 2


def test_questions_are_not_pressed_on_a_venue_that_answers_none():
    """Faster at first, and at a falling rate."""
    rig = Rig(1)
    rig.wait(5.0)
    rig.on_rest = lambda call: False
    rig.wait(120.0)
    before = sum(rig.counts[path] for path in ("/v5/position/list", "/v5/order/realtime", "/v5/execution/list"))
    rig.wait(600.0)
    assert sum(rig.counts[path] for path in ("/v5/position/list", "/v5/order/realtime", "/v5/execution/list")) - before < 120
