"""Features of real captures: stream and definition agree to the bit."""

import gzip
import json

import numpy as np
import pytest

import liqcore as lc
from captures import DATA, large_streams, needs_data
from feature_streams import Twin, same

pytestmark = needs_data
LIQUIDATIONS = [
    f"liquidations.{name}"
    for name in (
        "liq_volume@1s",
        "liq_volume@5s",
        "liq_volume@1m",
        "liq_buy_volume@1m",
        "liq_sell_volume@1m",
        "liq_count@5m",
        "liq_rate@1m",
        "liq_max@15m",
        "liq_imbalance@15m",
        "liq_long_share@1h",
        "liq_cascade_flag",
        "liq_cascade_size",
        "liq_imbalance@15m:zscore",
        "liq_rate@1m:zscore",
        "liq_volume@5s:mean(5m)",
        "liq_volume@5s:std(15m)",
        "liq_volume@5s:max(1h)",
        "liq_volume@1s:lag(30s)",
        "liq_correlation@5m",
    )
]
MARKET = [
    "flow.ofi@30s",
    "flow.ofi@5s:zscore(3m,min=20)",
    "flow.trade_imbalance@30s",
    "flow.volume@10s",
    "flow.trade_count@1s",
    "flow.spread_bps",
    "price.last",
    "price.mark",
    "price.return@20s",
    "price.range@30s",
    "price.close@5s",
    "price.high@10s",
    "volatility.realised@1m",
    "volatility.atr@3s",
    "volatility.natr@2s",
    "funding.funding",
    "oi.oi",
    "oi.oi_change@1m",
    "price.basis",
    "flow.buy_volume@5s:max(30s)",
    "price.last:change(30s)",
]

EXCITED = ["hawkes.intensity_long", "hawkes.intensity_short:max(1h)", "hawkes.branching", "hawkes.next_large", "hawkes.next_large@5m"]
MAPS = ["map.pending_below@1pct", "map.pending_above@5pct", "map.pending_above@5pct:change(5m)"]


def compare(names, rows, instruments, moments=40, defined=6, known=0.5):
    """At `moments` places of the tape; the definition, which is slow, at the first events and a few places of the rest."""
    rows = rows[np.argsort(rows["ts_recv"], kind="stable")]
    features, accepted = lc.Features(names, instruments), []
    stops = np.unique(np.linspace(len(rows) // 3, len(rows), moments).astype(int))
    at, times, got = 0, [], []
    for stop in stops:
        while stop < len(rows) and rows["ts_recv"][stop] == rows["ts_recv"][stop - 1]:
            stop += 1
        if stop <= at:
            continue
        features.push(rows[at:stop])
        at = stop
        times.append(int(rows["ts_recv"][stop - 1]))
        got.append(features.table(times[-1]))
    refused = sum(features.refused.values())
    if refused:  # the definition is given what the door lets in
        door = lc.Features(names[:1], instruments)
        accepted = np.array([door.push(rows[k : k + 1]) for k in range(len(rows))], bool)
        rows = rows[accepted]
    unknown = np.isnan(got).all((0, 1))
    assert np.mean(~unknown) >= known, [n for n, bad in zip(names, unknown, strict=True) if bad]
    twin, fed = Twin(names, instruments), 0
    rng = np.random.default_rng(1)
    for k in np.linspace(0, len(times) - 1, defined).astype(int):
        stop = int(np.searchsorted(rows["ts_recv"], times[k], "right"))
        for e in rows[fed:stop]:
            twin.push(e)
        fed = stop
        for r in rng.choice(len(names), min(4, len(names)), replace=False):
            n = int(rng.integers(0, len(instruments)))
            assert same(twin.read(r, n, times[k]), got[k][n, r]), (names[r], n, times[k])
        if fed > 5000:
            return


@pytest.mark.parametrize("stream", large_streams(400), ids=lambda s: f"{s.name}:{s.symbol}")
def test_liquidation_tapes(stream):
    instrument = stream.instrument()
    compare(LIQUIDATIONS, stream.events()[:4000], [lc.Instrument("BTCUSDT", tick_size=instrument.tick_size)], defined=3)
    compare(EXCITED, stream.events()[:4000], [lc.Instrument("BTCUSDT", tick_size=instrument.tick_size)])


def test_a_binance_capture_with_book_and_trades():
    """Raw frames with their time of receipt: trades and best quotes of the USD-M capture."""
    fields = []
    with gzip.open(DATA / "market-hftbacktest-binance-2024-08" / "usdm_btcusdt_20240808.gz", "rt") as lines:
        for line in lines:
            received, _, text = line.partition(" ")
            if '@trade"' not in text and '@bookTicker"' not in text:
                continue
            data = json.loads(text)["data"]
            if data["e"] == "trade":
                fields.append((int(data["T"]) * 10**6, int(received), float(data["p"]), float(data["q"]), 0.0, 0.0, 2, -1 if data["m"] else 1))
            else:
                fields.append((int(data["T"]) * 10**6, int(received), *(float(data[k]) for k in "bBaA"), 3, 0))
            if len(fields) == 60_000:
                break
    rows = np.zeros(len(fields), lc.EVENT_DTYPE)
    for name, column in zip(("ts_event", "ts_recv", "price", "qty", "aux_price", "aux_qty", "kind", "side"), zip(*fields, strict=True), strict=True):
        rows[name] = column
    compare(MARKET, rows, [lc.Instrument("BTCUSDT", tick_size="0.01")], known=0.6)


def test_hyperliquid_ticks():
    """Trades, books and tickers of one coin: best quotes every half second, open interest and funding every minute."""
    folder, fields = DATA / "market-hyperliquid-ticks-2026-06", []

    def read(name, most, make):
        with gzip.open(folder / f"{name}.jsonl.gz", "rt") as lines:
            for n, line in enumerate(lines):
                if n == most:
                    break
                row = json.loads(line)
                fields.append((row["ts"] * 10**6, *make(row)))

    read("trades_SOL_20260620", 15_000, lambda r: (r["px"], r["sz"], 0.0, 0.0, 2, 1 if r["side"] == "B" else -1))
    end = fields[-1][0]
    read("l2_SOL_20260620", 8_000, lambda r: (*r["bids"][0], *r["asks"][0], 3, 0))
    read("ctx_SOL_20260620", 3_000, lambda r: (r["mark"], r["oi"], r["oracle"], r["funding"], 4, 0))
    fields = sorted((row for row in fields if row[0] <= end), key=lambda row: row[0])
    rows = np.zeros(len(fields), lc.EVENT_DTYPE)
    for name, column in zip(("ts_recv", "price", "qty", "aux_price", "aux_qty", "kind", "side"), zip(*fields, strict=True), strict=True):
        rows[name] = column
    rows["ts_event"] = rows["ts_recv"]
    compare([*MARKET, "funding.funding_avg@1h", "oi.oi_change@15m"], rows, [lc.Instrument("SOL", tick_size="0.0001")], defined=2, known=0.9)
    compare(MAPS, rows, [lc.Instrument("SOL", tick_size="0.0001")], known=1.0)


def test_bybit_raw_frames():
    from liqshell.research import feature_rows

    data = feature_rows.open_data([DATA / "market-bybit-v5-rawws-2026-08" / "BYBIT_BTC_SOL.jsonl.gz"])
    rows = np.concatenate(list(data.parts))
    short = [
        f"{name}"
        for name in (
            "flow.ofi@1s",
            "flow.volume@2s",
            "flow.trade_imbalance@1s",
            "flow.spread_bps",
            "price.last",
            "price.mark",
            "funding.funding",
            "price.return@1s",
            "liquidations.liq_volume@1s",
            "oi.oi",
            "price.basis",
            "oi.oi_change@1s",
            "price.range@2s",
        )
    ]
    compare(short, rows, list(data.instruments), moments=30, known=0.4)
    # the file has neither liquidations nor marks of their feed: only the map of open interest is known
    assert not np.isin(rows["kind"], (lc.Kind.LIQUIDATION, lc.Kind.FEED)).any()
    compare(["map.pending_below@2pct"], rows, list(data.instruments), moments=30, known=0.9)
    compare(["map.realised_below@2pct", "hawkes.next_large"], rows, list(data.instruments), moments=30, known=0.0)
