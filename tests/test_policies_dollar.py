"""The two policies on more than $5M of one side: momentum (S3) follows, cascade-fade (S4-10) goes against. What each does after a long and a short flush."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import BOTH, PRICE, Stage

from liqcore import LONG, SHORT, Reason
from liqshell.config import presets
from liqshell.policies.momentum_terms import PARTS, Parameters, score_of, size_of, stop_of
from liqshell.toml import plain

MILLION = 1e6
NUMBERS = Parameters(**plain(presets()["momentum"].policy.parameters))
MARKET_ONLY = "[policy.parameters]\nknown_min = 0\nscore_min = 0\nfunding_min = -1\n"


def burst(stage, side, count, usd, gap=1.0):
    """`count` liquidations of one side, `gap` seconds apart."""
    for _ in range(count):
        stage.forced(side, usd)
        stage.wait(gap)


# ---- momentum ----

@BOTH
def test_momentum_follows(side):
    """After a long flush of more than $5M in 90 s it SELLS, after a short flush it BUYS: at market, 5 s after the first large print, stop 0.8 %, target 2 %,
    size 0.1 x score / 10 x min(volume / 10M, 2)."""
    s = Stage("momentum", MARKET_ONLY)
    s.wait(3600)
    first = s.now
    burst(s, side, 5, 1.5 * MILLION)
    assert ("momentum", "ACTIVE", side) in [said[:3] for said in s.said]
    s.wait(3)
    (at, way, terms), = s.asked
    assert way == -side, "longs flushed -> sell; shorts flushed -> buy"
    assert at - (first - s.now + (s.now - first)) is not None
    begun = next(said[3] for said in s.said if said[0] == "momentum" and said[1] == "BUILDING" and said[2] == side)
    assert at == begun + 5.0, "S3-08: 5 s after the first large print"
    assert (terms["stop_loss"], terms["take_profit"]) == (0.008, 0.02), "S3-10a"
    assert s.risk == [Reason.OK]
