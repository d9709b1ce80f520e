"""Null markets through the command line: an edge is called as seldom as the level says. The whole of it: python -m tests.null_markets."""

import math

import pytest

import campaigns
from null_markets import campaign, told

pytestmark = pytest.mark.campaign  # 20 s of processor time a market


def at_least(k: int, n: int, p: float) -> float:
    """Probability of k or more of n."""
    return math.fsum(math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1))


def test_an_edge_is_seldom_called_of_markets_without_one():
    """As many markets as there is time for, at least one. All share one log: each counts its own settings only."""
    every = list(campaign(campaigns.most(4, 200), campaigns.seconds(20.0)))
    assert all(said.days >= 20 and said.trades > 0 and said.trials == (48, 48) for said in every)  # (the best of noise may have traded once)
    assert max(said.trades for said in every) > 20
    for called in (sum(bool(said.swept) for said in every), sum(bool(said.reported) for said in every)):
        assert at_least(called, len(every), 0.05) > 0.001, f"{called} of {len(every)}"


def test_a_fresh_store_of_the_same_data_counts_the_same_trials(tmp_path):
    first, again = (told(tmp_path, 1, store) for store in ("store", "again"))
    assert first == again and again.trials == (48, 48)
