"""Paper and live runs count for how much of the traded time their quotes held; the report says it as it does of a backtest."""

import pytest

import liqcore as lc
from liqshell.live.coverage import QuoteCoverage
from liqshell.report import quotes
from liqshell.report.sections_quotes import label

T0, S = 1_772_409_600 * lc.SECOND, lc.SECOND


def watched(quoted_until: int, traded_until: int, steps: int = 1000, stride: float = 1.0) -> dict:
    """A trade every 20 s and a quote every 5 s, as long as there are any; looked at every `stride` s for 1,000 s."""
    engine, found = lc.Engine([lc.Instrument("ETHUSDT", venue="bybit"), lc.Instrument("SOLUSDT", venue="bybit")]), QuoteCoverage(2)
    moments = sorted([(t, 0) for t in range(0, 1000, 5)] + [(round(k * stride * 1e9) / 1e9, 1) for k in range(round(steps / stride))])
    for t, look in moments:
        now = T0 + round(t * S)
        if look:
            found.look(engine, now)
            continue
        if t < quoted_until:
            engine.on_bbo(now, now, 0, 1999.0, 1.0, 2001.0, 1.0)
        if t % 20 == 0 and t < traded_until:
            engine.on_trade(now, now, 0, 1, 2000.0, 1.0)
    return found.as_dict(engine.instruments)


@pytest.mark.parametrize(
    ("quoted_until", "traded_until", "hours", "share"),
    [
        (1000, 1000, 1000 / 3600, 1.0),
        (500, 1000, 1000 / 3600, 505 / 1000),  # the last quote at 495 s holds for 10 s
        (1000, 500, 540 / 3600, 1.0),  # the last trade at 480 s vouches for a minute
        (0, 1000, 1000 / 3600, 0.0),
    ],
)
@pytest.mark.parametrize("stride", [0.1, 1.0, 3.0])
def test_what_is_counted(quoted_until, traded_until, hours, share, stride):
    found = watched(quoted_until, traded_until, stride=stride)
    assert found["bybit:ETHUSDT"]["traded_hours"] == pytest.approx(hours, abs=8 / 3600)
    assert found["bybit:ETHUSDT"]["quoted"] == pytest.approx(share, abs=0.01)
    assert found["bybit:SOLUSDT"] == {"traded_hours": 0.0, "quoted": None}


def test_a_process_that_slept_counts_nothing_of_the_time_between():
    engine, found = lc.Engine(["ETHUSDT"]), QuoteCoverage(1)
    for t in (0, 1, 2, 500, 501):
        engine.on_trade(T0 + t * S, T0 + t * S, 0, 1, 2000.0, 1.0)
        found.look(engine, T0 + t * S)
    assert found.traded_ns == [3 * S]


def test_coverage_is_that_of_the_contracts_that_traded():
    def part(hours, quoted, count=None):
        return {"symbol": "A", "traded_hours": hours, "quoted": quoted, "quotes": count, "said": []}

    assert quotes.coverage([part(1.0, 0.5), part(0.0, None)]) == 0.5 and quotes.coverage([part(1.0, 0.5), part(1.0, None)]) is None
    assert quotes.coverage([part(0.0, None)]) is None and quotes.coverage([]) is None
    said = {
        "mode": "paper",
        "quotes": {"enough": False, "quoted": 0.0, "fills": {"without_quote": {"share": 1.0}}},
        "data": {"parts": [part(1.0, 0.0)]},
    }
    assert label(said) == "NO QUOTES." and label(said | {"mode": "live"}) == ""
    assert label(said | {"data": {"parts": [part(1.0, 0.0), part(1.0, 0.2)]}, "quotes": said["quotes"] | {"quoted": 0.1}}) == "QUOTES COVER 10.0 %."
