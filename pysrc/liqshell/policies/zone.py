"""Zone: bet on a bounce at levels with many past liquidations, on REALISED density.

The Research Plan's third strategy.

Price falls into a zone where longs were liquidated (support) -> buy; price rises into one of shorts (resistance) -> sell. Out when price has moved
more than 0.5 % away ([policy] take_profit), or when the detector says that the visit is over ([policy] exit_phase): bounced, or, which is the rule's
stop, a cascade goes through the zone. A hard stop stands behind.
"""

from __future__ import annotations

import liqcore as lc
from liqshell.policies.ruled import Ruled


class Zone(Ruled):
    """Remembers nothing: everything is in the detector and in the bracket."""

    detectors = ("zone",)

    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | lc.Declined | None:
        return self.bracket(market, signal.side) if signal.phase == lc.Phase.ACTIVE else self.wrong_phase(signal)
