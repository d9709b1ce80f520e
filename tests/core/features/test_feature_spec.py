"""The grammar of features: one spelling each, and errors that name the feature and suggest the nearest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqcore.features import spec

CANONICAL = {
    "liquidations.liq_imbalance@15m:zscore": "liquidations.liq_imbalance@15m:zscore",
    "flow.ofi@300s:zscore(1d)": "flow.ofi@5m:zscore",
    "funding.funding_avg@60m": "funding.funding_avg@1h",
    "liquidations.liq_buy_volume@1000ms": "liquidations.liq_long_volume@1s",
    "liquidations.liq_sell_volume@24h": "liquidations.liq_short_volume@1d",
    "btc/price.last": "BTC/price.last",
    "liquidations.liq_cascade_flag": "liquidations.liq_cascade_flag@1m",
    "liquidations.liq_correlation": "liquidations.liq_correlation@5m",
    "liquidations.liq_btc_lead": "BTC/liquidations.liq_volume@1s:lag(30s)",
    "liquidations.liq_btc_lead@5s": "BTC/liquidations.liq_volume@5s:lag(30s)",
    "map.pending_below@3.0pct:zscore": "map.pending_below@3pct:zscore",
    "hawkes.next_large": "hawkes.next_large@15s",
    "oi.oi:change": "oi.oi:change(1m)",
    "flow.ofi@5m:zscore(min=10)": "flow.ofi@5m:zscore(min=10)",
    "flow.ofi@300s:zscore(1d,min=10)": "flow.ofi@5m:zscore(min=10)",
    "flow.ofi@1h:zscore(2d)": "flow.ofi@1h:zscore",
    "flow.ofi@1h:mean(1d)": "flow.ofi@1h:mean",
    "flow.ofi@5m:n_eff": "flow.ofi@5m:n_eff",
    "flow.ofi@5m:rank(7d,min=30)": "flow.ofi@5m:rank(7d,min=30)",
    "price.close@5m:change(1h)": "price.close@5m:change(1h)",
    "price.last:rank(2h)": "price.last:rank(2h)",
}
STUDY = {  # the list of the written research system, whole
    "liq_volume_1s": "liquidations.liq_volume@1s",
    "liq_volume_5s": "liquidations.liq_volume@5s",
    "liq_volume_1m": "liquidations.liq_volume@1m",
    "liq_buy_volume": "liquidations.liq_long_volume@1m",
    "liq_sell_volume": "liquidations.liq_short_volume@1m",
    "liq_imbalance": "liquidations.liq_imbalance@15m",
    "liq_rate": "liquidations.liq_rate@1m",
    "liq_cascade_flag": "liquidations.liq_cascade_flag@1m",
    "liq_cascade_size": "liquidations.liq_cascade_size@1m",
    **{f"liq_volume_{how}_{time}": f"liquidations.liq_volume@5s:{how}({time})" for how in ("mean", "std", "max") for time in ("5m", "15m", "1h")},
    "liq_imbalance_zscore": "liquidations.liq_imbalance@15m:zscore",
    "liq_rate_zscore": "liquidations.liq_rate@1m:zscore",
    "liq_btc_lead": "BTC/liquidations.liq_volume@1s:lag(30s)",
    "liq_correlation_5m": "liquidations.liq_correlation@5m",
}


@pytest.mark.parametrize("name, expected", [*CANONICAL.items(), *STUDY.items()])
def test_one_spelling(name, expected):
    assert spec.canonical(name) == expected
    assert spec.canonical(expected) == expected


@pytest.mark.parametrize(
    "name, said",
    [
        ("liquidations.liq_imbalence@15m", "did you mean 'liq_imbalance'"),
        ("liquidation.liq_volume@1s", "did you mean 'liquidations'"),
        ("flow.ofi@5m:zcore", "did you mean 'zscore'"),
        ("flow.ofi", "needs a window, such as flow.ofi@1m"),
        ("price.last@1m", "takes no window"),
        ("flow.ofi@5x", "got '5x'"),
        ("flow.ofi@", "got ''"),
        ("flow.ofi@1ms", "expected 10ms to 30d"),
        ("flow.ofi@31d", "expected 10ms to 30d"),
        ("hawkes.next_large@2d", "expected 10ms to 1d"),
        ("map.pending_below@1m", "such as 3pct"),
        ("map.pending_below", "map.pending_below@3pct"),
        ("map.realised_above@30pct", "0.1pct to 20pct"),
        ("flow.ofi@5m:lag", "such as lag(30s)"),
        ("flow.ofi@5m:zscore(1s)", "expected 2m to 90d"),
        ("flow.ofi@5m:zscore(1)", "got '1'"),
        ("", "expected [ASSET/]"),
        ("flow.ofi@5m:zscore(7d,10)", "such as zscore(7d,min=10)"),
        ("flow.ofi@5m:mean(7d,min=10)", "such as zscore(7d,min=10)"),
        ("flow.ofi@5m:zscore(min=1)", "from 2 on"),
        ("flow.ofi@5m:lag(min=10)", "such as zscore(7d,min=10)"),
        ("price.open@1s:lag(1d)", "expected 1ms to 20000s"),
        ("volume", "expected [ASSET/]"),
        ("flow.volume@1m:mean:std", "expected [ASSET/]"),
        ("ETH/liquidations.liq_btc_lead", "takes neither"),
        ("liq_volume_mean_5x", "expected [ASSET/]"),
    ],
)
def test_errors_name_the_feature(name, said):
    with pytest.raises(ValueError, match=re.escape(f"feature {name!r}: ")) as why:
        spec.canonical(name)
    assert said in str(why.value)


@given(st.text(max_size=40))
def test_any_text_is_a_feature_or_a_value_error(text):
    try:
        assert spec.canonical(spec.canonical(text)) == spec.canonical(text)
    except ValueError as why:
        assert repr(text) in str(why)


windows = st.builds(lambda n, unit: f"{n}{unit}", st.integers(1, 60), st.sampled_from(["ms", "s", "m", "h", "d"]))


@given(st.sampled_from(sorted(spec.ENTRIES)), windows, st.sampled_from([*spec.TRANSFORMS, ""]), windows)
def test_every_name_has_a_bounded_history_and_whole_slots(key, window, transform, time):
    entry = spec.ENTRIES[key]
    name = key + (f"@{window}" if entry.window is not None else "") + (f":{transform}({time})" if transform else "")
    try:
        f = spec.parse(name)
    except ValueError:
        return
    assert spec.parse(f.text) == f
    assert f.samples <= spec.SAMPLES_MAX
    if f.span_ns:
        assert f.window_ns % spec.slots(f.window_ns) == 0
    if transform:
        assert 0 <= f.time_ns - f.step_ns * f.samples < f.step_ns or f.samples == 1 or (f.transform in spec.LAGS and f.samples == 0)
        if f.transform in spec.LAGS and f.entry.source == "candles":
            assert f.time_ns <= spec.CANDLES_MAX * f.window_ns


def test_features_that_need_the_same_share_it():
    plan = spec.plan(
        ["liq_volume_1m", "liq_rate", "liquidations.liq_rate@1m:zscore", "liquidations.liq_rate@1m:rank", "liq_btc_lead", "liq_volume_1s"]
    )
    assert plan.kernels == (("liquidations", 60 * 10**9), ("liquidations", 10**9)) and len(plan.histories) == 1
    assert plan.lags == ((2, 30 * 10**9),)
    assert plan.kinds == {1} and plan.readers[4][0] == "BTC"
