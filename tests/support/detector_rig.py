"""Streams, options and oracles that the tests of the detectors beside the cascade share."""

import numpy as np
from hypothesis import strategies as st
from oracle.anomaly import AnomalyOracle
from oracle.bars import BarsOracle
from oracle.dollar import DollarOracle
from oracle.imbalance import ImbalanceOracle
from oracle.rate import RateOracle

from liqcore import SECOND, Instrument, Standalone
from liqcore.detectors.registry import make_detector
from liqcore.event import SignalFlag

ORACLES = {"anomaly": AnomalyOracle, "bars": BarsOracle, "dollar": DollarOracle, "imbalance": ImbalanceOracle, "rate": RateOracle}
SHAPES = ("calm", "bursts", "onesided", "ties", "spikes", "gaps", "mixed")
START = 1_700_000_000 * SECOND


def generated(shape: str, seed: int, count: int) -> tuple[list[int], list[int], list[float]]:
    """Times, sides and notionals: sizes from hundreds to millions, so that every threshold is crossed both ways."""
    r = np.random.default_rng(seed)
    notional = np.exp(r.normal(10.0, 2.0, count))
    gaps = r.integers(0, 20 * SECOND, count)
    long_share = r.random()
    if shape == "bursts":
        gaps = np.where(r.random(count) < 0.9, r.integers(0, SECOND // 50, count), gaps * 20)
    elif shape == "onesided":
        long_share = r.choice([0.02, 0.98])
        notional *= 20.0
    elif shape == "ties":
        notional = r.choice([50_000.0, 50_000.0, 100_000.0, 1_000_000.0], count)
        gaps = r.choice([0, SECOND, 30 * SECOND, 90 * SECOND], count)
    elif shape == "spikes":
        notional[r.random(count) < 0.03] = 2.0**40
    elif shape == "gaps":
        gaps = np.where(r.random(count) < 0.05, r.integers(0, 2 * 86_400 * SECOND, count), gaps)
    elif shape == "mixed":
        gaps = np.where(r.random(count) < 0.7, 0, gaps * 4)
        notional = np.where(r.random(count) < 0.3, np.round(notional, -4) + 1.0, notional * 10.0)
    run = np.cumsum(r.random(count) < 0.1) % 2 if shape in ("bursts", "mixed") else np.zeros(count, int)
    p = np.where(run == 0, long_share, 1.0 - long_share)
    sides = np.where(r.random(count) < p, 1, -1)
    notional = np.clip(notional, 0.001, 2.0**40)
    return (START + np.cumsum(gaps)).tolist(), sides.tolist(), notional.tolist()


FEW = st.sampled_from([2, 4, 16, 64])  # windows that the streams fill
OPTIONS = {
    "anomaly": st.fixed_dictionaries(
        {
            "segment_s": st.sampled_from([1.0, 30.0, 300.0]),
            "baseline": st.sampled_from([4, 30, 288]),
            "min_segments": st.integers(1, 4),
            "z_normal": st.sampled_from([-1.0, 0.0, 0.5]),
        },
        optional={
            "z_min": st.sampled_from([0.5, 1.5, 3.0]),
            "purity": st.sampled_from([0.5, 0.75, 0.9]),
            "floor_usd": st.sampled_from([0.0, 50_000.0, 1e6]),
        },
    ),
    "bars": st.fixed_dictionaries({"period_s": st.sampled_from([600.0, 3600.0, 977.0])}),
    "rate": st.fixed_dictionaries(
        {
            "window_s": st.sampled_from([1.0, 30.0, 60.0]),
            "baseline": st.sampled_from([4, 30, 360]),
            "min_segments": st.integers(1, 4),
            "sigma_normal": st.sampled_from([-1.03, 0.11, 0.47]),
        },
        optional={"sigma": st.sampled_from([0.51, 1.53, 3.0]), "floor_per_minute": st.sampled_from([0.0, 5.0, 60.0]), "window_events": FEW},
    ),
    "dollar": st.fixed_dictionaries(
        {},
        optional={
            "min_usd": st.sampled_from([0.0, 1000.0, 50_000.0]),
            "window_s": st.sampled_from([0.001, 5.0, 90.0, 600.0]),
            "trigger_usd": st.sampled_from([1.0, 100_000.0, 1e6, 5e6]),
            "fall": st.sampled_from([0.0, 0.3, 0.6, 1.0]),
            "silence_s": st.sampled_from([0.001, 10.0, 60.0, 1000.0]),
            "rearm": st.sampled_from([0.0, 0.5, 1.0]),
            "window_events": FEW,
        },
    ),
    "imbalance": st.fixed_dictionaries(
        {},
        optional={
            "window_s": st.sampled_from([0.001, 5.0, 60.0, 3600.0]),
            "share": st.sampled_from([0.6, 0.7, 0.9, 1.0]),
            "normal": st.sampled_from([0.5, 0.55, 0.6]),
            "floor_usd": st.sampled_from([0.0, 1e5, 1e7]),
            "min_events": st.integers(1, 10),
            "window_events": st.sampled_from([16, 64]),
        },
    ),
}
#: settings that speak on every capture, the quiet ones too
LOUD = {
    "anomaly": {"segment_s": 30.0, "min_segments": 4, "baseline": 60, "z_min": 1.5, "z_normal": 0.5, "floor_usd": 1000.0},
    "bars": {"period_s": 3600.0},
    "rate": {"window_s": 30.0, "min_segments": 4, "baseline": 60, "sigma": 2.1234, "sigma_normal": 0.5678, "floor_per_minute": 0.0},
    "dollar": {"min_usd": 500.0, "trigger_usd": 20_000.0, "silence_s": 20.0},
    "imbalance": {"floor_usd": 1000.0, "min_events": 3},
}


def alone(kind: str, options: dict, instrument: Instrument | str = "X") -> Standalone:
    return Standalone(make_detector(kind, **options), instrument)


def exact(said) -> tuple:
    """What must agree to the last bit; of an oracle's Said or of a Signal."""
    if isinstance(said.phase, str):
        return (
            said.ts,
            said.ts_start,
            said.phase,
            said.side,
            said.count,
            said.long_notional,
            said.short_notional,
            said.price,
            said.rolling,
            said.sequence,
            said.uncertain,
        )
    return (
        said.ts,
        said.ts_start,
        said.phase.name,
        int(said.side),
        said.count,
        said.long_notional,
        said.short_notional,
        said.price,
        said.rolling,
        said.sequence,
        bool(said.flags & SignalFlag.SIGNAL_UNCERTAIN),
    )


def assert_same(signals, says) -> None:
    assert [exact(s) for s in signals] == [exact(s) for s in says], "\n".join(map(str, [*signals, "", *says]))
    for signal, said in zip(signals, says, strict=True):
        assert abs(signal.z - said.z) <= said.z_error, (signal, said)
        assert abs(signal.threshold - said.threshold) <= said.threshold_error, (signal, said)
