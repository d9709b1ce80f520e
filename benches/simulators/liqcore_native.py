"""liqcore_step with a policy written in Cython (benches/native/probe.pyx): what the policy in Python costs."""

from pathlib import Path

from benches import market
from benches.build import probe
from benches.simulators import liqcore_step, ours
from benches.simulators.liqcore_step import export
from benches.simulators.task import Outcome, Run

__all__ = ["NOTE", "PACKAGE", "export", "prepare"]

PACKAGE = "liqcore"
NOTE = "latency, queue, post-only, reduce-only, risk, audit; a policy in Cython"


def prepare(folder: Path, latency_s: float) -> Run:
    tape, fade = liqcore_step.tape(folder), probe().Fade

    def run(s: market.Setting, d: market.Detector | None = None) -> Outcome:
        policy = fade(ours.bracket(s, 1), ours.bracket(s, -1))
        return Outcome(*ours.result(liqcore_step.one(tape, s, d or market.Detector(), latency_s, policy)))

    return run
