"""How long a judge may take: from the signal to the order with a model that answers in 300 ms, and a deadline that holds where nobody answers.

The engine, the asking beside the loop, the HTTP client, validation and the loopback model are the real ones; the market is one liquidation a contract.
"""

import asyncio
import time

import numpy as np
import pytest

import liqcore as lc
from desk import FADE, limits
from liqcore.event import Action
from liqshell.clock import Clock
from liqshell.config.load import loads
from liqshell.emulator.server.outside import Outside
from liqshell.judge.asked import rows_of
from liqshell.judge.build import make_judge
from liqshell.live.judging import Judging

QUICK = {"warmup": 1, "min_events": 1, "window_events": 2, "window_s": 0.001, "decay_s": 0.001}
NAMES = [f"C{n}USDT" for n in range(4)]
pytestmark = pytest.mark.slow


class Asks(lc.Policy):
    def __init__(self, judge_s):
        self.judge_s = judge_s

    def on_signal(self, signal, market):
        return (
            lc.Bracket(signal.side, judge_s=self.judge_s, confidence=3, cooldown_s=0, entry_ttl_s=1, **FADE)
            if signal.phase == lc.Phase.ACTIVE
            else None
        )


class Loop:
    """The trading loop as far as a judge sees it: events and deadlines at their time, verdicts as they come."""

    def __init__(self, judge_s):
        self.clock, self.engine = Clock(), lc.Engine(NAMES, lc.CascadeConfig(**QUICK), Asks(judge_s), limits(positions_max=100), equity=1e6)
        self.signal_ns, self.order_ns, self.heard = {}, {}, []

    def now(self):
        return max(self.clock.now_ns(), self.engine.now)

    def entries(self):
        for request in self.engine.drain():
            if request.role == lc.Role.ROLE_ENTRY and request.action == Action.ACTION_CREATE:
                self.order_ns[request.instrument.symbol] = time.perf_counter_ns()
                now = self.now()
                self.engine.on_order(now, now, request.id, lc.OrderStatus.ORDER_CANCELLED)

    def verdict(self, question, judgment, confidence):
        ts = self.now()
        self.heard.append((question, judgment, ts))
        self.engine.on_verdict(ts, question, judgment, confidence)
        self.entries()
        return ts

    def anomaly(self):
        """One signal of every contract."""
        for n, name in enumerate(NAMES):
            ts = self.now()
            self.engine.on_trade(ts, ts, n, 1, 100.0, 1.0)
            self.signal_ns[name] = time.perf_counter_ns()
            self.engine.on_liquidation(self.now(), self.now(), n, 1, 100.0, 10.0)
        self.entries()


def rounds(tmp_path, faults, judge_s, count, pause_s, base=None):
    """`count` times four questions; the loop, the questions' deadlines, and how long signal to order took, ms."""
    took, deadlines = [], {}

    async def main():
        async with Outside(1, faults) as outside:
            config = loads(
                f'[policy]\njudge_s = 1\n[judge]\nkind = "openai"\nmodel = "stub"\nbase_url = "{base or outside.url + "/v1"}"\n'
                "questions_minute = 10000\ntimeout_s = 60\n"
            )
            loop = Loop(judge_s)
            judge = make_judge(config.judge, config.news, loop.clock, None)
            if hasattr(judge, "breaker"):
                judge.breaker.failed = lambda now: False  # each round is to ask
            judging = Judging(judge, lambda: loop.engine, loop.verdict, tmp_path)
            task = asyncio.create_task(judging.run())
            try:
                loop.anomaly()  # the first only warms up
                for _ in range(count):
                    await asyncio.sleep(0.05)
                    loop.order_ns.clear()
                    loop.anomaly()
                    deadlines.update({q["id"]: q["deadline"] for q in loop.engine.questions()})
                    end = time.perf_counter() + pause_s
                    while time.perf_counter() < end and (not deadlines or len(loop.order_ns) < len(NAMES)):
                        await asyncio.sleep(0.002)
                        loop.engine.advance(loop.now())
                        loop.entries()
                    took.extend((loop.order_ns[name] - loop.signal_ns[name]) / 1e6 for name in loop.order_ns)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await judge.close()
            return loop

    return asyncio.run(main()), deadlines, np.array(took)


def test_from_signal_to_order_with_a_model_of_300_ms(tmp_path):
    """p99 within 400 ms: an answer of 300 ms costs less than 100 ms of ours. On a machine that others use the better of two runs counts."""
    best = None
    for _ in range(2):
        _, _, took = rounds(tmp_path, [{"kind": "latency", "seconds": 0.3}], 5.0, 30, 2.0)
        assert len(took) >= 100 and took.min() >= 300.0
        best = min(best or np.inf, float(np.quantile(took, 0.99)))
        print(f"signal to order: p50 {np.median(took):.1f} ms, p99 {np.quantile(took, 0.99):.1f} ms, max {took.max():.1f} ms, n = {len(took)}")
        if best <= 400.0:
            return
    raise AssertionError(f"p99 {best:.1f} ms")


@pytest.mark.parametrize("dead", ["hangs", "nobody listens", "drips"])
def test_with_a_dead_model_the_deadline_holds_and_nothing_trades(tmp_path, dead):
    faults = [{"kind": "drip", "seconds": 0.2}] if dead == "drips" else [{"kind": "hang"}]
    for attempt in range(2):  # on a machine that others use the better of two runs counts
        (folder := tmp_path / str(attempt)).mkdir()
        loop, deadlines, took = rounds(folder, faults, 0.4, 8, 0.6, "http://127.0.0.1:1/v1" if dead == "nobody listens" else None)
        assert len(took) == 0 and not loop.engine.verdicts["confirmed"] and loop.engine.verdicts["unjudged"] >= 24 and loop.engine.questions() == []
        rows = [row for row in rows_of([str(folder)]) if row["number"] in deadlines]
        late = np.array([(row["answered_ns"] - deadlines[row["number"]]) / 1e6 for row in rows])
        assert all(judgment == lc.Judgment.JUDGE_FAILED for _, judgment, _ in loop.heard) and len(late) >= 24
        assert not loop.engine.verdicts["ignored"], "after the deadline nobody is told"
        print(f"{dead}: given up p50 {np.median(late):.1f} ms after the deadline, latest {late.max():.1f} ms")
        if np.quantile(late, 0.95) <= 20.0:
            break
    assert np.quantile(late, 0.95) <= 20.0, late
    if dead != "nobody listens":
        assert late.min() >= -20.0
