"""Latency draws: a pure function of seed, order and action, with the distribution of the samples; and nothing overtakes."""

from __future__ import annotations

import numpy as np
import pytest
from oracle.venue import delay
from test_paper import Floor, both
from test_simulate import LONG, S

import liqcore as lc
from liqcore.audit import AuditKind

pytestmark = pytest.mark.core

SAMPLES = [0.01, 0.02, 0.05, 0.2, 1.5]
NS = [round(x * 1e9) for x in SAMPLES]


def test_draws_equal_the_oracle_and_the_constants_their_arguments():
    for seed in (0, 1, -1, 2**62, -(2**63)):
        drawn = lc.Latency(order_samples=SAMPLES, ack_samples=np.array(SAMPLES), seed=seed)
        for order in (1, 4097, 2**40 + 17, 2**62):
            for what in (0, 1, 2, 3, 250):
                assert drawn.order_ns(order, what) == delay(NS, seed, order, what, 1)
                assert drawn.ack_ns(order, what) == delay(NS, seed, order, what, 2)
    constant = lc.Latency(order_s=0.25, ack_s=0.5, seed=9)
    assert {constant.order_ns(n, 1) for n in range(50)} == {S // 4} and {constant.ack_ns(n, 1) for n in range(50)} == {S // 2}


def test_a_draw_depends_on_nothing_that_was_drawn_before():
    one, two = (lc.Latency(order_samples=SAMPLES, seed=3) for _ in range(2))
    for n in range(1000):
        two.order_ns(n, 2)
    assert [one.order_ns(n, 1) for n in range(100)] == [two.order_ns(n, 1) for n in reversed(range(100))][::-1]


def test_draws_have_the_distribution_of_the_samples():
    """Every sample is drawn equally often by ids that count up, by seeds, and by ways; 4 sigma of a binomial."""
    n, p = 20_000, 1 / len(NS)
    bound = 4 * (n * p * (1 - p)) ** 0.5
    models = [lc.Latency(order_samples=SAMPLES, ack_samples=SAMPLES, seed=seed) for seed in range(200)]
    by_id = [models[7].order_ns(k << 12 | 1, 1) for k in range(n)]
    by_seed = [model.ack_ns(4097, k) for model in models for k in range(n // 200)]
    for drawn in (by_id, by_seed):
        assert all(abs(drawn.count(ns) - n * p) < bound for ns in NS)
    there, back = (np.array([way(k << 12 | 1, 1) for k in range(2000)]) for way in (models[7].order_ns, models[7].ack_ns))
    assert abs(np.corrcoef(there, back)[0, 1]) < 0.1


def test_samples_are_a_copy():
    samples = np.array([0.1, 0.1])
    model = lc.Latency(order_samples=samples)
    samples[:] = 5.0
    assert model.order_ns(1, 1) == S // 10 and model.as_dict()["order_samples"][0] == 2


@both
def test_reports_and_requests_never_overtake(side):
    """Draws from a microsecond to 1.5 s: what left first arrives first, on both ways."""
    rng = np.random.default_rng(1)
    latency = lc.Latency(order_samples=rng.exponential(0.2, 500), ack_samples=rng.exponential(0.2, 500), seed=5)
    floor = Floor(side, "touch", venue={"latency": latency}, trail="0.001", cooldown_s=0, max_hold_s=20, entry_ttl_s=5, quote_age_s=1e6)
    floor.quote(2493.0, 2507.0)  # no print contradicts it
    for n in range(900):
        floor.trade(2500.0 + 6 * np.sin(n / 7), qty=0.05)
        floor.wait(0.05)
        floor.liquidate()
    orders = [r for r in floor.records if r["kind"] in (AuditKind.AUDIT_ORDER, AuditKind.AUDIT_FILL)]
    executions = [r["x"][6] for r in orders if r["kind"] == AuditKind.AUDIT_FILL]
    assert len(executions) > 20 and executions == sorted(executions) and floor.paper.engine.refused == {}
    first = {}
    for r in orders:
        first.setdefault(int(r["id"]), r)
    assert all(r["kind"] == AuditKind.AUDIT_ORDER for r in first.values())  # NEW or a rejection comes before the order's fill


def test_another_seed_is_another_run_and_another_order_is_not():
    """A run with one order more: the latencies of the others stay what they were."""

    def answered(seed, early):
        floor = Floor(
            LONG,
            venue={"latency": lc.Latency(order_samples=SAMPLES[:3], ack_samples=SAMPLES[:3], seed=seed)},
            entry_ttl_s=4,
            cooldown_s=0,
            quote_age_s=1e6,
        )
        for n in range(8):
            if n or early:
                floor.liquidate()
            floor.wait(10.0)
        asked = {int(r["id"]): int(r["ts"]) for r in floor.kinds(AuditKind.AUDIT_REQUEST) if r["phase"] == 1}
        return [int(r["ts"]) - asked[int(r["id"])] for r in floor.kinds(AuditKind.AUDIT_ORDER) if int(r["phase"]) == 1]

    assert answered(1, True) == answered(1, True) != answered(2, True)
    # ids count brackets, so the one bracket less comes from the end
    assert answered(1, False) == answered(1, True)[:7]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order_s": -0.1}, "order_s: expected seconds"),
        ({"ack_s": float("nan")}, "ack_s: expected seconds"),
        ({"order_samples": []}, "order_samples: expected 1 to"),
        ({"ack_samples": [[0.1]]}, r"ack_samples: expected .* shape \(1, 1\)"),
        ({"order_samples": [0.1, -1.0]}, r"order_samples\[1\]: expected seconds"),
        ({"ack_samples": [0.1, 0.2, float("inf")]}, r"ack_samples\[2\]"),
    ],
)
def test_bad_latencies_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        lc.Latency(**options)


def test_snapshots_know_the_samples():
    def venue(**options):
        return lc.SimVenue([lc.Instrument("X")], latency=lc.Latency(**options))

    data = venue(order_samples=SAMPLES, seed=1).snapshot()
    venue(order_samples=SAMPLES, seed=1).restore(data)
    for other in ({"order_samples": SAMPLES, "seed": 2}, {"order_samples": SAMPLES[::-1], "seed": 1}, {}):
        with pytest.raises(ValueError, match="other instruments or settings"):
            venue(**other).restore(data)
