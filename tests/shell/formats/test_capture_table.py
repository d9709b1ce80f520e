"""Every capture under the data folder: it imports, with so many events of each kind, or is refused, for a reason that is true of it. Counts are those of
the SOURCE.md of each folder, or were counted in the files with grep. `python tests/shell/formats/test_capture_table.py` prints the table."""

import fnmatch
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

import liqcore as lc
from captures import DATA, needs_data
from liqshell import formats
from liqshell.errors import DataError
from liqshell.formats.column_map import made
from liqshell.formats.proposal import propose

L, T, Q, C = int(lc.Kind.LIQUIDATION), int(lc.Kind.TRADE), int(lc.Kind.BBO), int(lc.Kind.TICKER)
VENUE_UNSAID = "neither the file nor the map gives the venue"
BARS, SUMS = "bars: ", "no known format"
JSON_RPC = "an object with the keys 'jsonrpc'"
UNREAD = "no frame with a supported topic"
UNORDERED = "the time goes back by"  # samples of frames, picked from different days


@dataclass(frozen=True)
class Expected:
    """kinds: events by kind. contracts: some of them. options: what a person has to say; unsaid: the refusal without. proposed: by the map that
    `liqcore columns` proposes, with these changes. refused: why not."""

    kinds: dict[int, int] = field(default_factory=dict)
    contracts: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    unsaid: str = ""
    proposed: dict[str, Any] | None = None
    refused: str = ""
    empty: bool = False  # it is read, and there is no event in it


def takes(*contracts: str, **kinds: int) -> Expected:
    return Expected(
        {"L": L, "T": T, "Q": Q, "C": C}[k] and {{"L": L, "T": T, "Q": Q, "C": C}[k]: n for k, n in kinds.items()}
        if (k := next(iter(kinds), ""))
        else {},
        contracts,
    )


def no(reason: str) -> Expected:
    return Expected(refused=reason)


def said(venue: str, contract: str, unsaid: str = VENUE_UNSAID, **kinds: int) -> Expected:
    found = takes(contract, **kinds)
    return Expected(found.kinds, found.contracts, {"venue": venue}, unsaid)


def by_map(changes: dict[str, Any], *contracts: str, unsaid: str = SUMS, venue: str = "", symbol: str = "", **kinds: int) -> Expected:
    options = {name: value for name, value in (("venue", venue), ("symbol", symbol)) if value}
    return Expected(takes(**kinds).kinds, contracts, options, unsaid, changes)


TABLE = {
    # ---- captures of collectors
    "market-cryptofeed-rawws-2021/BINANCE_FUTURES.ws.1.0.gz": takes("binance_um:SUSHIUSDT", Q=613, T=91),
    "market-cryptofeed-rawws-2021/BINANCE_DELIVERY.ws.1.0.gz": takes("binance_cm:BTCUSD_211231", Q=2240, T=51),
    "market-cryptofeed-rawws-2021/OKX.ws.1.0.gz": takes("okx:UNI-USD-SWAP", T=5),  # 69 trades of its spot markets are left out
    "market-cryptofeed-rawws-2021/BYBIT.ws.26.0.gz": no("Bybit's API 2, which the venue has retired"),
    "market-cryptofeed-rawws-2021/BITMEX.ws.1.0.gz": no(r"expected one of bybit, .*got 'www.bitmex.com'\. If it is a venue of yours"),
    "market-cryptofeed-rawws-2021/DERIBIT.ws.1.0.gz": no(r"expected one of bybit, .*got 'www.deribit.com'\. If it is a venue of yours"),
    "market-bybit-v5-rawws-2026-08/*": takes("bybit:BTCUSDT", "bybit:SOLUSDT", "bybit_spot:BTCUSDT", T=232, Q=527, C=124),
    "market-hftbacktest-binance-2024-08/usdm_*": takes("binance_um:BTCUSDT", Q=66_089, T=21_313),
    "market-hftbacktest-binance-2024-08/cm_*": takes("binance_cm:BTCUSD_PERP", Q=29_219, T=2_949),
    "market-hftbacktest-binance-2024-08/spot_*": takes("binance:BTCUSDT", Q=28_040, T=9_757),
    "market-hyperliquid-ticks-2026-06/trades_BTC_20260618*": takes("hyperliquid:BTC", T=429_769),
    "market-hyperliquid-ticks-2026-06/trades_BTC_20260621*": takes("hyperliquid:BTC", T=235_964),
    "market-hyperliquid-ticks-2026-06/trades_AVAX*": takes("hyperliquid:AVAX", T=24_820),
    "market-hyperliquid-ticks-2026-06/trades_SOL*": takes("hyperliquid:SOL", T=85_027),
    "market-hyperliquid-ticks-2026-06/trades_DOGE*": takes("hyperliquid:DOGE", T=29_257 - 92),  # 92 trades were written twice at two restarts
    "market-hyperliquid-ticks-2026-06/l2_AVAX*": takes("hyperliquid:AVAX", Q=43_196),
    "market-hyperliquid-ticks-2026-06/l2_BTC*": takes("hyperliquid:BTC", Q=43_187),
    "market-hyperliquid-ticks-2026-06/l2_SOL*": takes("hyperliquid:SOL", Q=43_194),
    "market-hyperliquid-ticks-2026-06/l2_DOGE*": takes("hyperliquid:DOGE", Q=27_970),
    "market-hyperliquid-ticks-2026-06/ctx_AVAX*": takes("hyperliquid:AVAX", C=1428),
    "market-hyperliquid-ticks-2026-06/ctx_BTC_20260618*": takes("hyperliquid:BTC", C=1428),
    "market-hyperliquid-ticks-2026-06/ctx_BTC_20260621*": takes("hyperliquid:BTC", C=1429),
    "market-hyperliquid-ticks-2026-06/ctx_DOGE*": takes("hyperliquid:DOGE", C=1428),
    "market-hyperliquid-ticks-2026-06/ctx_SOL*": takes("hyperliquid:SOL", C=1426),
    # ---- tables of liquidations
    "liq-3venue-ethusdt-2026-04/*": takes("binance_um:ETHUSDT", "bybit:ETHUSDT", "okx:ETHUSDT", L=73),
    "liq-aster-2025-10/*": said("aster", "aster:METUSDT", L=21),
    "liq-binance-allmarket-2024-08/binance_source_a.csv": said("binance_um", "binance_um:RAREUSDT", L=456),
    "liq-binance-allmarket-2024-08/binance_source_b.csv": said("binance_um", "binance_um:LDOUSDT", L=385),
    "liq-binance-allmarket-2024-08/liquidations_normalized.csv": takes("binance_um:RAREUSDT", L=841),
    # 1,546 rows say the time of the day only, and stand there again with the whole time: by the time of sending, and by their ids, each counts once
    "liq-binance-allmarket-2024-08/large_aggtrades*": by_map(
        {"time": {"column": "1", "unit": "ms"}}, "binance_um:SOLUSDT", unsaid=VENUE_UNSAID, venue="binance_um", T=20_635
    ),
    "liq-binance-btcusdt-2024-12/forceOrder_reconstructed.jsonl.gz": takes("binance_um:BTCUSDT", L=1097),
    "liq-binance-btcusdt-2024-12/liquidations_normalized.csv.gz": takes("binance_um:BTCUSDT", L=1097),
    "liq-binance-btcusdt-2024-12/liquidation_orders_source.csv.gz": by_map({}, "binance_um:BTCUSDT", venue="binance_um", L=1097),
    "liq-binance-btcusdt-2024-12/liquidation_orders_history.csv.gz": by_map(
        {"side": {"column": "Liquidation Type", "of": "position", "words": {"Short Trade": "short", "Long Trade": "long"}}, "sort": True},
        "binance_um:BTCUSDT",
        venue="binance_um",
        symbol="BTCUSDT",
        L=242,
    ),
    "liq-binance-btcusdt-2024-12/open_interest_history.csv.gz": by_map({}, "binance_um:BTCUSDT", venue="binance_um", symbol="BTCUSDT", C=294),
    "liq-binance-btcusdt-2024-12/agg_trade_data.csv.gz": no(SUMS),  # rows of mixed shapes, without a side
    "liq-binance-btcusdt-2024-12/btc_price_history.csv.gz": no(SUMS),  # prices without sizes and sides
    "liq-binance-1m-agg-2024-12/*": no(SUMS),  # sums of minutes
    "liq-binance-bursts-2023-01/*": no(SUMS),  # sums since the last row; candles
    "liq-hyperliquid-2023/liquidations.csv": no(SUMS),  # no coin, no side
    "liq-hyperliquid-2023/non_mm_trades.csv.gz": takes("hyperliquid:ETH", T=13_110),
    "liq-hyperliquid-oct10-2025/*.csv": no(SUMS),  # clusters and waves, not events
    "liq-hyperliquid-oct10-2025/*.json": no("an object with the keys 'event_start'"),
    "liq-okx-hyperliquid/liquidations_okx_normalized.csv.gz": takes("okx:BTC-USDT-SWAP", L=4085),
    "liq-okx-hyperliquid/liquidations_hyperliquid_normalized.csv.gz": no("position is neither long nor short"),
    "liq-okx-hyperliquid/liquidations_source.csv.gz": no(SUMS),  # the side S of Hyperliquid is not documented
    "liq-okx-hyperliquid/hyperliquid_daily_liquidation_totals.csv": no(SUMS),
    # ---- tables of markets
    "market-binance-ltcusdt-spot-2025-06/*": Expected({}, ("binance:LTCUSDT",), {"venue": "binance"}, VENUE_UNSAID),
    "market-binance-oi5m-2025-12_2026-06/BTC_oi_5m.csv.gz": by_map({}, "binance_um:BTCUSDT", venue="binance_um", symbol="BTCUSDT", C=55_296),
    "market-binance-oi5m-2025-12_2026-06/SOL_oi_5m.csv.gz": by_map({}, "binance_um:SOLUSDT", venue="binance_um", symbol="SOLUSDT", C=55_296),
    "market-binance-oi5m-2025-12_2026-06/*_funding.csv.gz": by_map({}, "binance_um:X", venue="binance_um", symbol="X", C=546),
    "market-hourly-7venues/candles_1h.csv.gz": no(SUMS),
    "market-hourly-7venues/funding_rates.csv.gz": Expected({}, ("bybit:BTC",), {}, SUMS, {"sort": True}),
    "market-hourly-7venues/open_interest.csv.gz": no(SUMS),  # in USD, which an event does not carry
    "market-lean-cryptofuture/binance_minute_adausdt_*_quote.zip": takes("binance_um:ADAUSDT", Q=1100),
    "market-lean-cryptofuture/binance_minute_btcusd_*_quote.zip": takes("binance_cm:BTCUSD_PERP", Q=1104),
    "market-lean-cryptofuture/bybit_minute_btcusd_*_quote.zip": takes("bybit:BTCUSD", Q=464),
    "market-lean-cryptofuture/bybit_minute_btcusdt_*_quote.zip": takes("bybit:BTCUSDT", Q=460),
    "market-lean-cryptofuture/*_trade.zip": no("bars of trades: each is the sum of a minute"),
    "market-lean-cryptofuture/binance_margin_interest_adausdt.csv": takes("binance_um:ADAUSDT", C=1),
    "market-lean-cryptofuture/binance_margin_interest_btcusd.csv": takes("binance_cm:BTCUSD_PERP", C=12),
    "market-lean-cryptofuture/bybit_margin_interest_*.csv": Expected({C: 3}),
    # ---- samples of frames
    "frames-crypto-msg-parser/okx.jsonl": Expected({T: 3, Q: 3, C: 7}),
    "frames-crypto-msg-parser/binance.jsonl": Expected(
        {T: 4, Q: 4, C: 7}, ("binance:BTCUSDT", "binance_cm:BTCUSD_PERP", "binance_um:BTCUSDT", "binance_um:BTCUSDT_220624")
    ),
    "frames-crypto-msg-parser/bybit.jsonl": no("an object with the keys 'ret_code'"),  # API 2
    "frames-crypto-msg-parser/bitmex.jsonl": no("an object with the keys 'symbol', 'id', 'side'"),
    "frames-crypto-msg-parser/deribit.jsonl": no(JSON_RPC),
    "frames-crypto-msg-parser/dydx.jsonl": no("2 x frame not used: the exchange dydx, which has no decoder here"),
    "frames-crypto-msg-parser/gate.jsonl": no(r"19 x frame not used: the exchange gate\.io, which has no decoder here"),
    "frames-crypto-msg-parser/kraken.jsonl": no(SUMS),
    "frames-crypto-msg-parser/*.jsonl": no(UNREAD),
    "frames-tardis-node/bybit.jsonl": Expected({L: 3, T: 4, Q: 3, C: 3}),
    "frames-tardis-node/hyperliquid.jsonl": Expected({T: 3, C: 1, int(lc.Kind.FEED): 1}),  # a book without one side
    "frames-tardis-node/okx_futures.jsonl": Expected({L: 1, T: 1, C: 5, int(lc.Kind.VENUE_STATE): 1}),
    "frames-tardis-node/deribit.jsonl": no(JSON_RPC),
    "frames-tardis-node/kraken_futures.jsonl": no("an object with the keys 'feed'"),
    **{f"frames-tardis-node/{name}.jsonl": no(UNORDERED) for name in ("aster", "binance_cm", "binance_um", "okx_swap")},
    "frames-tardis-node/*.jsonl": no(UNREAD),
    "frames-nautilus/bybit/xrpusdt-ob500.data.zip": takes("bybit:XRPUSDT", Q=48),
    "frames-nautilus/bybit/http_get_trades_recent.json": takes("bybit:BTCUSDT", T=1),
    "frames-nautilus/bybit/ws_ticker_linear.json": takes("bybit:BTCUSDT", C=1),
    "frames-nautilus/bybit/ws_orderbook_delta.json": Expected(empty=True),  # a change of one side: no quote yet
    "frames-nautilus/bybit/ws_orderbook_snapshot.json": takes("bybit:BTCUSDT", Q=1),
    "frames-nautilus/hyperliquid/http_recent_trades_btc.json": takes("hyperliquid:BTC", T=3),
    "frames-nautilus/okx/http_get_mark_price.json": takes("okx:BTC-USDT-SWAP", C=1),
    "frames-nautilus/okx/ws_funding_rate.json": takes("okx:BTC-USDT-SWAP", C=1),
    "frames-nautilus/binance/futures__market_data_json__liquidation_stream.json": takes("binance_um:BTCUSDT", L=1),
    "frames-nautilus/binance/futures__market_data_json__book_ticker_stream.json": takes("binance_um:BNBUSDT", Q=1),
    "frames-nautilus/binance/futures__market_data_json__mark_price_stream.json": takes("binance_um:BTCUSDT", C=1),
    "frames-nautilus/binance/futures__market_data_json__ticker_stream.json": no(UNREAD),
    "frames-nautilus/binance/futures__market_data_json__[at]*": no("time before 2009"),  # examples of the documentation: T = 123456785
    "frames-nautilus/*/ws_*": no(f"{UNREAD}|an object with the keys"),  # of accounts, of spot, of channels that hold no events
    "frames-nautilus/binance/futures__market_data*": no(UNREAD),
    "frames-nautilus/*": no(f"{UNREAD}|an object with the keys|found "),  # answers about accounts, orders and instruments
}
SLOW = ("trades_BTC_20260618", "trades_BTC_20260621", "hftbacktest-binance-2024-08/usdm", "hftbacktest-binance-2024-08/cm")


def captures() -> list[str]:
    if not DATA.is_dir():
        return []
    return [
        str(path.relative_to(DATA))
        for path in sorted(DATA.rglob("*"))
        if path.is_file() and path.suffix != ".md" and not path.name.startswith("LICENSE")
    ]


def expected(name: str) -> Expected:
    return next(one for pattern, one in TABLE.items() if fnmatch.fnmatchcase(name, pattern))


@cache
def outcome(name: str, said: bool) -> tuple[dict[int, int], set[str], str]:
    """(events by kind, contracts, the refusal) of a file; said: with what a person has to say of it."""
    one = expected(name)
    options = dict(one.options) if said else {}
    try:
        if said and one.proposed is not None:
            options["columns"] = made(propose(DATA / name).tables | one.proposed, name)
        with formats.read(DATA / name, formats.Options(**options)) as reading:
            contracts = {f"{venue}:{symbol}" for venue, symbol, _ in reading}
        return dict(reading.findings.kinds), contracts, ""
    except DataError as why:
        return {}, set(), str(why)


@needs_data
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if any(part in name for part in SLOW) else ()) for name in captures()])
def test_a_capture_imports_or_is_refused_for_a_true_reason(name):
    import re

    one = expected(name)
    if one.refused or one.unsaid:
        _, _, why = outcome(name, False)
        assert re.search(one.refused or one.unsaid, why) and DATA.joinpath(name).name in why, why
        if one.refused:
            return
    kinds, contracts, why = outcome(name, True)
    if one.empty:
        assert (why, kinds, contracts) == ("", {}, set())
        return
    assert not why and sum(kinds.values()) > 0 and set(one.contracts) <= contracts, (why, sorted(contracts)[:10])
    assert not one.kinds or kinds == one.kinds


@needs_data
def test_every_capture_has_its_line_and_every_line_a_capture():
    names = captures()
    first = {name: next((pattern for pattern in TABLE if fnmatch.fnmatchcase(name, pattern)), None) for name in names}
    assert None not in first.values() and set(first.values()) == set(TABLE)


if __name__ == "__main__":
    for capture in captures():
        kinds, contracts, why = outcome(capture, True)
        what = ", ".join(f"{count:,} {lc.Kind(kind).name}" for kind, count in sorted(kinds.items()))
        print(f"{capture} | {what + ' of ' + ', '.join(sorted(contracts)[:3]) if kinds else 'refused: ' + why.partition(': ')[2][:120]}")
