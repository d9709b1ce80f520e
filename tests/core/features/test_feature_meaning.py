"""What the numbers of features are: sides and signs, windows, candles, averages, gaps, other assets, completeness; and the class in Python."""

import numpy as np
import pytest

import liqcore as lc
from feature_streams import INSTRUMENTS, SECOND
from liqcore.event import Kind

# ---- what the numbers are ----


def rows_of(*fields) -> np.ndarray:
    """(second, kind, instrument, side, price, qty, aux_price, aux_qty)"""
    out = np.zeros(len(fields), lc.EVENT_DTYPE)
    for row, (second, kind, n, side, price, qty, aux_price, aux_qty) in zip(out, fields, strict=True):
        row["ts_recv"] = row["ts_event"] = round(second * SECOND)
        row["kind"], row["instrument"], row["side"], row["price"], row["qty"] = int(kind), n, side, price, qty
        row["aux_price"], row["aux_qty"] = aux_price, aux_qty
    return out


def liquidation(second, side, notional, n=0):
    return second, Kind.LIQUIDATION, n, side, 1.0, notional, 0.0, 0.0


def test_liquidated_sides_and_the_sign_of_the_imbalance():
    names = ["liq_buy_volume", "liq_sell_volume", "liq_imbalance_1m", "liquidations.liq_long_share@1m", "liq_rate", "liquidations.liq_max@1m"]
    features = lc.Features(names, "BTCUSDT")
    features.push(rows_of(liquidation(600, 1, 5.0), liquidation(670, 1, 300.0), liquidation(671, -1, 100.0)))
    assert features.table(700 * SECOND)[0].tolist() == [300.0, 100.0, -0.5, 0.75, 2.0, 300.0]
    assert features.names[0] == "liquidations.liq_long_volume@1m"
    assert features.table(800 * SECOND)[0].tolist() == [0.0, 0.0, 0.0, 0.5, 0.0, 0.0]


def test_at_multiples_of_a_slot_a_window_is_exactly_its_length():
    """Then it is what liqcore.Window says, to the bit; in between it reaches back at most one slot more."""
    rng = np.random.default_rng(5)
    features, exact, wider = lc.Features(["liq_volume_1m"], "BTCUSDT"), lc.Window(60 * SECOND), lc.Window(60 * SECOND + SECOND // 2)
    at = start = 5 * SECOND
    for _ in range(400):
        at += int(rng.integers(0, 3 * SECOND)) // 1000 * 1000
        side, notional = int(rng.choice([-1, 1])), round(float(rng.lognormal(8, 2)), 2)
        row = rows_of((0, Kind.LIQUIDATION, 0, side, 1.0, 1.0, notional, 0.0))
        row["ts_recv"] = at
        features.push(row)
        for window in (exact, wider):
            window.push(at, side, notional)
        value = features.read("liq_volume_1m", 0)
        if not np.isnan(value):
            assert exact.total <= value <= wider.total
        at += -at % (SECOND // 2)
        exact.advance(at)
        wider.advance(at)
        value = features.read("liq_volume_1m", 0, at)
        assert value == exact.total or (np.isnan(value) and at < start + 64 * SECOND)


def test_the_cascade_flag_is_the_detectors_phase():
    rng = np.random.default_rng(7)
    features = lc.Features(["liquidations.liq_cascade_flag@20s", "liquidations.liq_cascade_size@20s"], "BTCUSDT")
    detector = lc.Cascade(lc.CascadeConfig(window_s=20.0, window_events=1000, warmup=100))
    at, runs, ran = 100 * SECOND, 0.0, 0
    for _ in range(1500):
        at += int(rng.exponential(8 * SECOND))
        side, notional = int(rng.choice([-1, 1])), float(rng.lognormal(8, 2))
        signals = detector.push(at, side, notional)
        row = rows_of((0, Kind.LIQUIDATION, 0, side, 1.0, 1.0, notional, 0.0))
        row["ts_recv"] = at
        features.push(row)
        for signal in signals:
            runs = {"ACTIVE": signal.notional, "EXHAUSTED": 0.0}.get(signal.phase.name, runs)
        flag, size = features.table()[0]
        if not np.isnan(flag):
            assert flag == (detector.phase.name in ("ACTIVE", "DECELERATING")) and (size > 0) == bool(flag)
            ran += int(flag)
    assert ran > 20


def test_order_flow_imbalance_of_the_best_quotes():
    """Cont, Kukanov, Stoikov (2014): a bid that rises brings its size, one that falls takes the old size away; asks the other way round."""
    quotes = [(100, 5, 101, 7), (100, 8, 101, 7), (101, 2, 102, 4), (100, 6, 101, 3), (100, 6, 101, 1)]
    expected = [0, 3, 2 + 7, -2 - 3, 2]
    names = ["flow.ofi@1m", "flow.spread_bps"]
    features = lc.Features(names, "BTCUSDT")
    for k, (bid, bid_qty, ask, ask_qty) in enumerate(quotes):
        features.push(rows_of((600 + k, Kind.BBO, 0, 0, bid, bid_qty, ask, ask_qty)))
    features.push(rows_of((659.9, Kind.BBO, 0, 0, 100, 6, 101, 1)))
    assert features.read("flow.ofi@1m", 0, 660 * SECOND) == sum(expected)
    assert features.read("flow.spread_bps", 0) == 1 / 100.5 * 1e4


def test_trades_candles_and_volatility():
    trade = [(600 + 10 * k, Kind.TRADE, 0, 1 if k % 3 else -1, price, 2.0, 0.0, 0.0) for k, price in enumerate((100, 104, 98, 101, 102, 103, 90))]
    names = [f"price.{name}@1m" for name in ("open", "high", "low", "close")] + [
        "flow.trade_imbalance@1m",
        "flow.volume@1m",
        "price.return@30s",
        "price.last",
    ]
    features = lc.Features(names, "BTCUSDT")
    features.push(rows_of(*trade))
    assert features.table(665 * SECOND)[0, :4].tolist() == [100, 104, 98, 103]  # the candle of the trade at 90 is not complete
    assert features.read("price.close@1m", 0, 725 * SECOND) == 90
    assert features.table(785 * SECOND)[0, :4].tolist() == [90] * 4  # a candle without a trade
    fresh = lc.Features(names, "BTCUSDT")
    fresh.push(rows_of(*trade))
    bought = 2.0 * (104 + 98 + 102 + 103)
    total = 2.0 * (100 + 104 + 98 + 101 + 102 + 103 + 90)
    assert fresh.read("flow.volume@1m", 0, 660 * SECOND) == total
    assert fresh.read("flow.trade_imbalance@1m", 0) == (bought - (total - bought)) / total
    assert fresh.read("price.return@30s", 0) == 90 / 98 - 1  # the trade of 630 s is in the window, what stood before is 98


def test_funding_is_averaged_over_time_and_then_over_venues():
    def ticker(second, n, rate):
        return second, Kind.TICKER, n, 0, 100.0, 0.0, 0.0, rate

    venues = [lc.Instrument("BTCUSDT", venue="bybit"), lc.Instrument("BTC-USDT-SWAP", venue="okx"), lc.Instrument("ETHUSDT", venue="bybit")]
    features = lc.Features(["funding.funding_avg@2m", "funding.funding"], venues)
    features.push(rows_of(ticker(0.5, 0, 0.0001), ticker(0.5, 1, 0.0003), ticker(60.5, 0, -0.0001)))
    got = features.table(121 * SECOND)[:, 0]
    assert got[0] == got[1] and abs(got[0] - (0.0 + 0.0003) / 2) < 2e-6 and np.isnan(got[2])
    features.push(rows_of((122, Kind.FEED, 1, 0, 0, 0, 0, 0)))  # code 0 is refused
    down = rows_of((123, Kind.FEED, 1, 0, 0, 0, 0, 0))
    down["code"] = int(lc.FeedState.FEED_DOWN)
    features.push(down)
    assert features.refused == {lc.Reason.BAD_CODE: 1}
    assert features.read("funding.funding_avg@2m", 1, 125 * SECOND) == features.read("funding.funding_avg@2m", "bybit:BTCUSDT", 125 * SECOND) < 0.0001
    assert np.isnan(features.read("funding.funding", 1)) and features.read("funding.funding", 0) == -0.0001


def test_a_gap_makes_what_spans_it_unknown():
    names = ["liq_volume_5s", "price.last", "liquidations.liq_volume@1s:mean(5s)"]
    features = lc.Features(names, [lc.Instrument(symbol, completeness=lc.Completeness.COMPLETENESS_FULL) for symbol in ("BTCUSDT", "ETHUSDT")])
    features.push(rows_of((10, Kind.TRADE, 0, 1, 100, 1, 0, 0), liquidation(12, 1, 10.0), (20, Kind.TRADE, 0, 1, 101, 1, 0, 0)))
    assert not np.isnan(features.table(20 * SECOND)[0]).any()
    gap = rows_of((21, Kind.FEED, 0, 0, 0, 0, 0, 0))
    gap["code"] = int(lc.FeedState.FEED_GAP)
    features.push(gap)
    assert np.isnan(features.table(25 * SECOND)[0]).all() and np.isnan(features.read(names[0], "ETHUSDT"))  # of which nothing was heard
    assert features.read(names[0], 0, 26 * SECOND) == 0.0 and np.isnan(features.read("price.last", 0)) and features.read(names[2], 0) == 0.0
    gap["ts_recv"], gap["code"] = 28 * SECOND, int(lc.FeedState.FEED_DOWN)
    features.push(gap)
    assert np.isnan(features.read(names[0], 0, 90 * SECOND))  # however long it lasts
    gap["ts_recv"], gap["code"] = 100 * SECOND, int(lc.FeedState.FEED_UP)
    features.push(gap)
    assert np.isnan(features.read(names[0], 0, 104 * SECOND)) and features.read(names[0], 0, 105 * SECOND) == 0.0


# ---- a feed of liquidations that may not exist ----


def mark(second, code, streams=0):
    return {"ts_recv": second * SECOND, "ts_event": second * SECOND, "kind": Kind.FEED, "instrument": 0, "code": int(code), "flags": int(streams)}


def observed(completeness, *rows):
    """Seconds from which on the last 12 s of liquidations are known: before a volume is nan, and after it a number. rows: of `rows_of`, or marks."""
    features = lc.Features(["liquidations.liq_volume@12s"], [lc.Instrument("BTCUSDT", completeness=completeness)])
    out, known, at = [], False, 0
    for second in range(200):
        due = [row for row in rows[at:] if (row["ts_recv"] // SECOND if isinstance(row, dict) else row[0]) == second]
        at += len(due)
        for row in due:
            event = np.zeros(1, lc.EVENT_DTYPE) if isinstance(row, dict) else rows_of(row)
            for field, value in row.items() if isinstance(row, dict) else ():
                event[field] = value
            assert features.push(event) == 1
        now = not np.isnan(features.read("liquidations.liq_volume@12s", 0, second * SECOND))
        if now != known:
            out.append(second)
        known = now
    return out


TRADES = tuple((second, Kind.TRADE, 0, 1, 100.0, 1.0, 0.0, 0.0) for second in range(1, 200, 10))
FORCED_AT_55 = (55, Kind.LIQUIDATION, 0, 1, 100.0, 1.0, 0.0, 0.0)
UNKNOWN, FULL, CENSORED = (lc.Completeness["COMPLETENESS_" + name] for name in ("UNKNOWN", "FULL", "CENSORED"))
UP, DOWN, GAP = lc.FeedState.FEED_UP, lc.FeedState.FEED_DOWN, lc.FeedState.FEED_GAP
FORCED, TRADED = int(lc.Stream.STREAM_LIQUIDATION), int(lc.Stream.STREAM_TRADE)


def in_order(*rows):
    return sorted(rows, key=lambda row: row["ts_recv"] // SECOND if isinstance(row, dict) else row[0])


def test_nothing_is_said_of_liquidations_that_nobody_was_heard_to_publish():
    """Files of trades: null for ever, not 0. Where a venue is known to publish them, silence is 0; elsewhere the first one says that they are
    received, or a feed that was reported up."""
    assert observed(UNKNOWN, *TRADES) == []
    assert observed(FULL, *TRADES) == observed(CENSORED, *TRADES) == [13]
    assert observed(UNKNOWN, *in_order(*TRADES, FORCED_AT_55)) == [67] and observed(FULL, *in_order(*TRADES, FORCED_AT_55)) == [13]
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, UP))) == observed(UNKNOWN, *in_order(*TRADES, mark(31, UP, FORCED | TRADED))) == [43]
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, UP, TRADED))) == []  # its liquidations are not subscribed to
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, UP, TRADED), FORCED_AT_55)) == [67]


def test_what_is_missing_does_not_say_that_there_were_liquidations():
    """A hole in data without liquidations ends, and there are none behind it either; where they were received, they are again."""
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, GAP))) == observed(UNKNOWN, *in_order(*TRADES, mark(31, DOWN), mark(51, UP))) == []
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, DOWN), mark(51, UP, FORCED))) == [63]
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, DOWN), mark(51, UP), mark(71, UP, FORCED))) == [71]  # whole since 51
    assert observed(UNKNOWN, *in_order(*TRADES, FORCED_AT_55, mark(81, DOWN), mark(101, UP))) == [67, 81, 113]
    assert observed(FULL, *in_order(*TRADES, mark(31, DOWN), mark(51, UP))) == [13, 31, 63]
    assert observed(UNKNOWN, *in_order(*TRADES, mark(31, DOWN), mark(51, UP), FORCED_AT_55)) == [63]  # it speaks, and was up since 51


def test_an_engine_and_a_reading_of_its_events_say_the_same_of_an_unknown_feed():
    names = ["liquidations.liq_volume@12s", "liquidations.liq_volume@12s:lag(20s)", "liquidations.liq_imbalance@12s:n(1m)", "hawkes.intensity_long"]
    instrument = lc.Instrument("BTCUSDT", completeness=UNKNOWN)
    rows = rows_of(*in_order(*TRADES, FORCED_AT_55))
    engine, whole, half = lc.Engine([instrument], features=names), lc.Features(names, [instrument]), lc.Features(names, [instrument])
    for event in rows:
        engine.run(event.reshape(1))
        half.push(event.reshape(1))
        again = lc.Features(names, [instrument])
        again.restore(half.snapshot())
        half = again
    times = rows["ts_recv"].astype(np.int64)
    table = whole.rows(rows, times, np.zeros(len(rows), np.int32), names)
    assert np.array_equal(table[-1], half.table()[0], equal_nan=True)
    assert [engine.feature(name, 0) for name in names] == table[-1].tolist()
    early = times < 55 * SECOND
    assert np.isnan(table[early]).all() and not np.isnan(table[-1]).any()


# ---- the class ----


def test_what_is_asked_for_must_exist():
    features = lc.Features(["liq_volume_5s", "BTC/flow.volume@1m"], INSTRUMENTS)
    assert features.names == ("liquidations.liq_volume@5s", "BTC/flow.volume@1m") and features.wants == 1 << 1 | 1 << 2
    assert np.isnan(features.read("liq_volume_5s"))
    with pytest.raises(KeyError, match="not one of those asked for"):
        features.read("liq_volume_1m")
    with pytest.raises(KeyError, match="DOGEUSDT"):
        features.read("liq_volume_5s", "DOGEUSDT")
    features.read("liquidations.liq_volume@5s", "okx:ETH-USDT-SWAP", 50 * SECOND)
    with pytest.raises(ValueError, match="at least 50000000000 ns"):
        features.read("liq_volume_5s", 0, 49 * SECOND)
    with pytest.raises(ValueError, match="no instrument here is of that asset .there are: ETH"):
        lc.Features(["liq_btc_lead"], "ETHUSDT")
    with pytest.raises(RuntimeError, match="no instruments"):
        lc.Features(["liq_volume_5s"]).table()
    with pytest.raises(TypeError, match="names: expected several, such as a list"):
        lc.Features("liq_volume_5s")
    with pytest.raises(TypeError, match="EVENT_DTYPE"):
        features.push(np.zeros(3))


def test_the_contract_of_another_asset_is_that_of_the_same_venue():
    features = lc.Features(["BTC/price.last"], [*INSTRUMENTS, lc.Instrument("SOLUSDT", venue="binance_um")])
    for k, n in enumerate((0, 2)):
        features.push(rows_of((10 + k, Kind.TRADE, n, 1, 100 + k, 1, 0, 0)))
    assert features.table(20 * SECOND)[:, 0].tolist() == [100, 100, 101, 101, 100]


def test_a_symbol_of_two_venues_is_not_read_by_chance():
    features = lc.Features(["price.last"], [lc.Instrument("BTCUSDT", venue=venue) for venue in ("bybit", "binance_um", "okx")] + ["ETHUSDT"])
    features.push(rows_of(*((10 + n, Kind.TRADE, n, 1, 100 + n, 1, 0, 0) for n in range(4))))
    assert features.read("price.last", "binance_um:BTCUSDT") == 101 and features.read("price.last", "ETHUSDT") == 103
    with pytest.raises(KeyError, match="bybit:BTCUSDT, binance_um:BTCUSDT"):
        features.read("price.last", "BTCUSDT")


def test_completeness_travels():
    instruments = [
        lc.Instrument("BTCUSDT", venue="binance_um", completeness=lc.Completeness.COMPLETENESS_CENSORED),
        lc.Instrument("ETHUSDT", venue="bybit", completeness=lc.Completeness.COMPLETENESS_FULL),
    ]
    volume, price, lead = lc.Features(["liq_volume_5s", "price.last", "liq_btc_lead"], instruments).describe()
    assert volume["instruments"]["binance_um:BTCUSDT"] == {"source": "binance_um:BTCUSDT", "completeness": "censored"}
    assert lead["instruments"]["bybit:ETHUSDT"] == {"source": "binance_um:BTCUSDT", "completeness": "censored"}
    assert "completeness" not in price["instruments"]["bybit:ETHUSDT"] and volume["unit"] == "quote" and lead["step_ns"] == 0


def test_five_hundred_symbols_on_three_venues_fit():
    instruments = [lc.Instrument(f"A{n}USDT", venue=venue) for venue in ("binance_um", "bybit", "okx") for n in range(500)]
    names = [
        "liquidations.liq_imbalance@15m:zscore",
        "flow.ofi@5m:zscore",
        "funding.funding_avg@1h",
        "liq_volume_1m",
        "liq_rate_zscore",
        "price.return@1m",
        "volatility.realised@1h",
    ]
    features = lc.Features(names, instruments)
    assert features.nbytes < 150e6
    features.push(rows_of(liquidation(100, 1, 5.0, 1499)))
    assert features.read("liq_volume_1m", 1499, 200 * SECOND) == 0.0
