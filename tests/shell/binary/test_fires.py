"""Fires of the rule: found in data as a running policy finds them, and followed in the audit stream of a run while it is written."""

import json

import numpy as np
import pytest

import liqcore as lc
from liqshell.binary.fires import Follower
from liqshell.config.load import loads
from liqshell.errors import DataError
from liqshell.recording.journal import Journal
from liqshell.research.feature_walk import Data
from liqshell.research.hourly import evaluate, exhaustions_of, fires_by_contract, prices_at, report, traded_hours, with_probability
from liqshell.run.pipeline import Pipeline, settings

SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9
T0 = 1_792_238_400 * SECOND
FLUSH = T0 + 11 * HOUR
BTC = lc.Instrument("BTCUSDT", venue="bybit", tick_size="0.1")
HOURS = 13


def market(side: int = 1) -> np.ndarray:
    """Thirteen hours of a quiet market with balanced liquidations and negative funding; after eleven, longs are flushed for five minutes, and two
    minutes later the best bid grows for five. side -1: the mirror."""
    rng, rows = np.random.default_rng(4), []

    def put(ts, kind, price=0.0, qty=0.0, aux_price=0.0, aux_qty=0.0, which=0):
        rows.append((ts, ts, price, qty, aux_price, aux_qty, len(rows) + 1, 0, int(kind), which, 0, 0))

    for k in range(HOURS * 360):
        ts = T0 + k * 10 * SECOND
        since = (ts - FLUSH) / MINUTE
        price = 64_000.0 + 10.0 * np.sin(k / 300) + (0.0 if since < 0 else -side * 200.0)
        sizes = rng.uniform(1.0, 3.0, 2)
        if 7 <= since < 12:
            sizes[0 if side > 0 else 1] += 40.0 * (since - 6)
        put(ts, lc.Kind.BBO, round(price, 1), sizes[0], round(price, 1) + 0.1, sizes[1])
        put(ts + SECOND, lc.Kind.TRADE, round(price, 1), 0.01, which=1)
        if k % 6 == 0:
            put(ts + 2 * SECOND, lc.Kind.TICKER, round(price, 1), 1000.0, round(price, 1), -0.0001 * side)
        if k % 12 == 0:
            for which in (1, -1):
                put(ts + 3 * SECOND, lc.Kind.LIQUIDATION, round(price, 1), float(rng.uniform(0.5, 0.6)), which=which)
        if 0 <= since < 5:
            put(ts + 4 * SECOND, lc.Kind.LIQUIDATION, round(price, 1), 20.0, which=side)
    return np.array(rows, lc.EVENT_DTYPE)


def data_of(rows: np.ndarray) -> Data:
    return Data((BTC,), np.array_split(rows, 7), int(rows["ts_recv"][0]), int(rows["ts_recv"][-1]))


def fires_of(data: Data) -> list[tuple[int, int]]:
    """Of all contracts of the asset, as `liqcore hourly` counts them."""
    return sorted({fire for found in fires_by_contract(data).values() for fire in found})


def audit_of(rows: np.ndarray, extra: str = "", detector: str = "") -> tuple[np.ndarray, dict]:
    values = settings(loads(f"[policy]\npreset = 'reversal'\n{extra}\n{detector}"), [BTC])
    pipeline = Pipeline(values, lambda signals: None)
    pipeline.engine.run(rows)
    return pipeline.drain_audit(), values


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return market()


def test_the_flush_fires_and_data_and_policy_agree(rows, tmp_path):
    found = fires_of(data_of(rows))
    assert found and all(side == 1 and FLUSH < ts < FLUSH + 30 * MINUTE for ts, side in found)
    records, values = audit_of(rows)
    journal = Journal(tmp_path / "run", {"settings": values, "instruments": values["instruments"], "abi": lc.abi_version()})
    follower = Follower(tmp_path / "run")
    assert follower.news() == []
    news = []
    for part in np.array_split(records, 50):
        journal.audit(part)
        news += follower.news()
    journal.close()
    live = [(event.ts, event.side) for event in news if event.kind == "fire"]
    # the policy is asked by the first event of a minute, the data are read at the minute itself
    assert [(ts // MINUTE, side) for ts, side in live] == [(ts // MINUTE, side) for ts, side in found] and follower.news() == []


def test_before_the_flush_is_known_nothing_fires(rows):
    """The prefix law: what is cut off later changes nothing before."""
    whole = fires_of(data_of(rows))
    for until in (FLUSH, whole[0][0] - MINUTE, whole[0][0] + 5 * MINUTE):
        found = fires_of(data_of(rows[rows["ts_recv"] <= until]))
        assert found == [one for one in whole if one[0] <= until]


def test_positive_funding_or_a_flush_of_shorts_fires_nothing_without_the_mirror():
    assert fires_of(data_of(market(-1))) == []
    rows = market()
    rows["aux_qty"][rows["kind"] == int(lc.Kind.TICKER)] = 0.0001
    assert fires_of(data_of(rows)) == []


def test_the_end_of_the_flush_prices_and_hours(rows):
    data = data_of(rows)
    ended = exhaustions_of(data)
    assert any(side == 1 and FLUSH < ts < FLUSH + 15 * MINUTE for ts, side in ended)
    hours = traded_hours(data)
    assert len(hours) >= HOURS - 2 and hours[FLUSH - HOUR][1] > hours[FLUSH][1] + 150
    fires = fires_of(data)
    prices = prices_at(data, [ts for ts, _ in fires] + [T0 - 1])
    assert prices[0] == pytest.approx(63_800, abs=15) and np.isnan(prices[-1])
    known = with_probability([(*fires[0], prices[0])], hours)
    said = evaluate(known, hours, settled_on="hours of the contract's own trades")
    assert said["hit_rate"]["n"] == 1 and said["all_hours"]["n"] == len(hours)
    json.dumps(said, allow_nan=False)


@pytest.mark.parametrize("flushed", [0, 1])
def test_the_fires_of_every_contract_count(rows, flushed, monkeypatch):
    """Two contracts, of which one is flushed: whichever stands first, its fires are those of its own data alone."""
    other = lc.Instrument("BTCUSDC", venue="bybit", tick_size="0.1")
    quiet = rows.copy()
    quiet = quiet[(quiet["kind"] != int(lc.Kind.LIQUIDATION)) | (quiet["qty"] < 1.0)]
    quiet["instrument"], shown = 1 - flushed, rows.copy()
    shown["instrument"] = flushed
    both = np.concatenate([shown, quiet])
    both = both[np.argsort(both["ts_recv"], kind="stable")]
    data = Data((BTC, other), np.array_split(both, 7), int(both["ts_recv"][0]), int(both["ts_recv"][-1]))
    alone = fires_of(data_of(rows))
    assert alone and fires_of(data) == alone
    keys = [BTC.key, other.key]
    assert fires_by_contract(data) == {keys[flushed]: alone, keys[1 - flushed]: []}
    monkeypatch.setattr("liqshell.research.feature_rows.open_data", lambda paths, symbols: data)
    found = report(["given"], (), None, "BTC", ())
    assert len(found["fired"]) == len(alone) and any(
        f"{keys[flushed]} {len(alone)}" in note and f"are those of {keys[0]}" in note for note in found["notes"]
    )


def test_runs_that_cannot_be_followed_are_named(tmp_path):
    with pytest.raises(DataError, match="run.json"):
        Follower(tmp_path)
    Journal(tmp_path / "a", {"settings": {"policies": [{"rule": "fade"}]}, "instruments": []}).close()
    with pytest.raises(DataError, match="no policy reversal: fade"):
        Follower(tmp_path / "a")
    Journal(tmp_path / "b", {"settings": {"policies": [{"rule": "reversal"}]}, "instruments": [{"symbol": "ETHUSDT", "venue": "bybit"}]}).close()
    with pytest.raises(DataError, match="no contract of BTC"):
        Follower(tmp_path / "b")
