"""A policy of one's own that listens to the detector of streak.py and reads the feature of shares.py."""

import liqcore as lc


class Against(lc.Policy):
    detectors = ("streak",)
    features = ("own.forced_share",)

    def __init__(self, default, brackets):
        self.brackets = brackets

    def on_signal(self, signal, market):
        if signal.phase != lc.Phase.ACTIVE:
            return None
        share = market.feature("own.forced_share")
        if not share >= 0.01:
            return lc.Declined("forced share at least", share, 0.01)
        return lc.Bracket(signal.side, **self.brackets[market.instrument.symbol])
