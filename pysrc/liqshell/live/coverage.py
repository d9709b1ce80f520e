"""The share of a contract's traded time with live quotes, sampled during the run."""

from __future__ import annotations

from typing import Any

import liqcore as lc

SAMPLE_NS = lc.SECOND  # of market time
LONGEST_NS = 60 * lc.SECOND  # what one sample may stand for: a process that slept knows nothing of the time between


class QuoteCoverage:
    """look(engine, now) as often as one likes; it samples once a second of market time."""

    def __init__(self, instruments: int):
        self._last = 0
        self.traded_ns = [0] * instruments
        self.quoted_ns = [0] * instruments

    def look(self, engine: lc.Engine, now: int) -> None:
        passed = now - self._last
        if passed < SAMPLE_NS:
            return
        if self._last and passed <= LONGEST_NS:
            for n in range(len(self.traded_ns)):
                holds = engine.holds(n, now)
                if holds & lc.Stream.STREAM_TRADE:
                    self.traded_ns[n] += passed
                    self.quoted_ns[n] += passed if holds & lc.Stream.STREAM_QUOTE else 0
        self._last = now

    def as_dict(self, instruments: tuple[lc.Instrument, ...]) -> dict[str, Any]:
        """By contract: hours in which it traded (a trade in the last minute), and the share of them in which a quote held (None where it never
        traded)."""
        return {
            one.key: {"traded_hours": round(traded / (3600 * lc.SECOND), 4), "quoted": round(quoted / traded, 6) if traded else None}
            for one, traded, quoted in zip(instruments, self.traded_ns, self.quoted_ns, strict=True)
        }
