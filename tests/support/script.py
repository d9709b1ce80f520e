"""A desk whose policies say what a test tells them to: several policies, several instruments, one moment."""

from __future__ import annotations

import liqcore as lc
from desk import ETH, FADE, T0, Desk, S, limits
from liqcore.audit import AuditKind

QUICK = {"warmup": 1, "min_events": 1, "window_events": 2, "window_s": 0.001, "decay_s": 0.001}


class Script(lc.Policy):
    """Answers with `says` (a Bracket, Leave, Later, None, or a function of signal and market) and keeps what it heard."""

    def __init__(self, says=None, **declared):
        self.says, self.heard = says, []
        for name, value in declared.items():
            setattr(self, name, value)

    def on_signal(self, signal, market):
        self.heard.append((market.now, market.detector, signal.phase, int(signal.flags)))
        return self.says(signal, market) if callable(self.says) else self.says


class Play(Desk):
    """A desk of one instrument; each liquidate() is one ACTIVE signal (and an EXHAUSTED one a millisecond later, which nobody answers)."""

    def __init__(self, side, *policies, risk=None, price=2500.0, instrument=ETH):
        self.side, self.instrument, self.price = side, instrument, price
        self.made = (policies or (Script(),), risk)
        self.engine = self.fresh()
        self.now, self.records, self.requests, self.execution = T0, [], [], 0
        self.trade(price)
        self.liquidate()
        self.wait(1.0)

    def fresh(self):
        policies, risk = self.made
        return lc.Engine([self.instrument], lc.CascadeConfig(**QUICK), list(policies), risk or limits(), equity=100_000.0)

    @property
    def policy(self) -> Script:
        return self.made[0][0]

    def wish(self, says, policy=0, later_s=0.01):
        """One signal that one policy answers so; -> requests."""
        self.trade(self.price)
        script = self.made[0][policy]
        script.says = lambda signal, market: says if signal.phase == lc.Phase.ACTIVE else None
        out = self.liquidate()
        script.says = None
        return out + self.wait(later_s)

    def reasons(self, kind=AuditKind.AUDIT_RISK):
        return [lc.Reason(int(r["reason"])).name for r in self.kinds(kind)]

    def ended(self):
        """Reasons with which brackets became flat."""
        return [lc.Reason(int(r["reason"])).name for r in self.kinds(AuditKind.AUDIT_BRACKET) if r["phase"] == 0]


def bracket(side, **over):
    return lc.Bracket(side, **(FADE | over))


__all__ = ["Play", "QUICK", "S", "Script", "bracket"]
