"""The bugs that made the published results, reproduced on markets without any edge. Each wrong backtest wins; liqcore on the same ticks does not."""

import numpy as np
import pytest
from test_simulate import BIG

import liqcore as lc
import wrong_backtests as wrong
from liqcore.audit import AuditKind
from liqshell.report.statistics import spaced_mean

ETH = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.001")
DETECTOR = {"quantile": 0.95, "window_events": 1000, "warmup": 100, "window_s": 60.0}


class Rule(lc.Policy):
    """The rule of the wrong backtests, and the signals that it saw: (second, side)."""

    def __init__(self):
        self.seen = []

    def on_signal(self, signal, market):
        if signal.phase != lc.Phase.ACTIVE:
            return None
        self.seen.append((int(signal.ts // lc.SECOND) - wrong.START, int(signal.side)))
        return lc.Bracket(
            signal.side,
            entry_offset=wrong.OFFSET,
            take_profit=wrong.PROFIT,
            stop_loss=wrong.LOSS,
            entry_ttl_s=wrong.TTL,
            max_hold_s=wrong.HOLD,
            cooldown_s=0,
            notional=1000.0,
        )


def ours(m: wrong.Market, **detector) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """What every trade of liqcore made (fraction of entry notional, before fees), and the signals."""
    policy = Rule()
    engine = lc.Engine([ETH], lc.CascadeConfig(**DETECTOR | detector), policy, lc.Risk(**BIG), audit_capacity=1 << 20)
    paper = lc.Paper(engine, lc.SimVenue([ETH], order_latency_s=0.0, ack_latency_s=0.0))
    paper.run(m.events())
    audit = engine.audit.drain()
    x = audit[audit["kind"] == AuditKind.AUDIT_TRADE]["x"]
    return x[:, 3] / (x[:, 0] * x[:, 2]), policy.seen


def excess(wrong_made: list[float], made: np.ndarray) -> float:
    """How much more the wrong backtest makes a trade, in standard errors of the difference."""
    a, b = np.array(wrong_made), made
    return (a.mean() - b.mean()) / np.sqrt(a.var() / len(a) + b.var() / len(b))


def t_value(made: np.ndarray) -> float:
    return made.mean() / (made.std() / np.sqrt(len(made)))


@pytest.mark.parametrize("bug", [wrong.close_as_price, wrong.fill_and_exit_in_one_bar])
def test_bars_make_money_out_of_a_market_that_has_none(bug):
    m = wrong.market(1, 500)
    made, signals = ours(m)
    assert len(made) > 150
    assert abs(t_value(made)) < 3.0  # a martingale: nothing to win before fees
    assert excess(bug(m, signals), made) > 6.0
    assert np.mean(bug(m, signals)) > 0.0003  # and it looks like an edge worth having


def test_a_threshold_learnt_from_the_whole_sample_knows_which_part_of_it_pays():
    m = wrong.market(2, 800, growth=20.0, late_reversal=0.003)
    made, signals = ours(m)
    sample = wrong.threshold_of_the_whole_sample(m, 0.95)
    assert min(second for second, _ in signals) < 0.1 * len(m.price)  # ours had to trade the part that does not pay
    assert len(sample) < 0.8 * len(made)
    assert excess(sample, made) > 3.0


def test_who_knows_the_end_of_a_cascade_in_advance_buys_the_low():
    m = wrong.market(3, 800, push=0.001, rebound=0.8)
    made, signals = ours(m)
    starts = np.array(sorted(m.start))
    late = np.array([second - starts[np.searchsorted(starts, second, side="right") - 1] for second, _ in signals])
    assert np.median(late) <= 2  # ours acts at the second large liquidation, while it still runs
    assert excess(wrong.end_known_in_advance(m), made) > 4.0


def test_the_wrong_backtests_agree_with_ours_where_their_bug_cannot_act():
    """The same rule, told honestly in six lines: so what differs above is the bug and nothing else."""
    m = wrong.market(4, 300)
    made, signals = ours(m)
    honest = [x for second, side in signals if (x := wrong.enter_by_ticks(m.price, second - 1, side)) is not None]
    assert len(honest) == len(made)
    close = np.abs(np.array(honest) - made) < 3e-5  # a target between two ticks may be reached by one and not by the other
    assert close.mean() > 0.98


# ---- a market whose edge is known ----

REVERSAL = {"reversal": 0.006}  # 60 bps come back in the five minutes after a cascade


def known_edge(seeds: range, cascades: int) -> list[np.ndarray]:
    return [ours(wrong.market(seed, cascades, **REVERSAL))[0] * 1e4 for seed in seeds]


@pytest.mark.slow
def test_a_known_reversal_is_found_and_the_interval_covers_the_truth():
    """The truth is the mean of many markets of one law; the interval that a report prints for one of them must hold it about 95 times of 100."""
    runs = known_edge(range(100, 140), 120)
    truth, error = np.concatenate(runs).mean(), np.concatenate(runs).std() / np.sqrt(sum(map(len, runs)))
    assert truth > 4 * error and truth > 1.0  # the rule does win on this market: bps a trade, before fees
    held, at = 600 * 10**9, [(np.arange(len(made)) * 4 * wrong.GAP * 10**9).tolist() for made in runs]
    told = [spaced_mean(made.tolist(), ts, held) for made, ts in zip(runs, at, strict=True)]
    covered = [t["low"] <= truth <= t["high"] for t in told]
    assert 0.85 <= np.mean(covered) <= 1.0
    wide = known_edge(range(1), 1500)[0]
    found = spaced_mean(wide.tolist(), [n * 900 * 10**9 for n in range(len(wide))], held)
    assert found["low"] > 0.0 and found["low"] <= truth <= found["high"]  # with enough trades it is told from nothing
