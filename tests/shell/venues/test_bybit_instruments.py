"""Bybit instrument filters: pages of the venue, and pages that are none."""

import gzip
import json
import os
from pathlib import Path

import orjson
import pytest

from liqcore.event import Completeness
from liqshell.venues.bybit import instruments as bybit

DATA = Path(os.environ.get("LIQCORE_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
needs_data = pytest.mark.skipif(not (DATA / "frames-nautilus").is_dir(), reason=f"no captures at {DATA}: set LIQCORE_DATA")


@needs_data
def test_instruments_of_the_venue():
    page = bybit.parse_instruments((DATA / "frames-nautilus" / "bybit" / "http_get_instruments_linear.json").read_bytes())
    assert [i.symbol for i in page.instruments] == ["BTCUSDT", "ETHUSDT"] and page.cursor == "" and page.refused == []
    eth = page.instruments[1]
    assert (eth.tick_size, eth.lot_size, eth.min_notional, eth.min_lots, eth.max_lots) == ("0.05", "0.01", 5.0, 1, 50_000)
    assert eth.completeness == Completeness.COMPLETENESS_FULL and eth.multiplier == 1.0 and eth.venue == "bybit"
    with gzip.open(DATA / "market-bybit-v5-rawws-2026-08" / "BYBIT_BTC_SOL.jsonl.gz", "rt") as lines:
        answer = next(r["data"] for r in map(json.loads, lines) if r["t"] == "http" and "category=linear" in r["url"])
    page = bybit.parse_instruments(answer.encode())
    assert len(page.instruments) > 500 and page.refused == []
    with pytest.raises(ValueError, match="category"):
        bybit.parse_instruments(answer.replace('"category":"linear"', '"category":"inverse"', 1).encode())


@pytest.mark.parametrize(
    "page", [b"", b"{}", b"[]", b'{"retCode":10006,"retMsg":"Too many visits","result":{}}', b'{"retCode":0,"result":{"list":3}}']
)
def test_bad_instrument_pages_are_errors(page):
    with pytest.raises(ValueError, match="instruments-info"):
        bybit.parse_instruments(page)


def test_one_bad_instrument_does_not_hide_the_others():
    row = {
        "symbol": "AUSDT",
        "status": "Trading",
        "contractType": "LinearPerpetual",
        "priceFilter": {"tickSize": "0.1"},
        "lotSizeFilter": {"qtyStep": "1", "minOrderQty": "1", "maxOrderQty": "100"},
    }
    rows = [
        row,
        {**row, "symbol": "BUSDT", "priceFilter": {"tickSize": "x"}},
        {**row, "symbol": "CUSDT", "status": "PreLaunch"},
        5,
        {**row, "symbol": "DUSD", "contractType": "InversePerpetual"},
    ]
    page = bybit.parse_instruments(orjson.dumps({"retCode": 0, "result": {"list": rows, "nextPageCursor": "next"}}))
    assert [i.symbol for i in page.instruments] == ["AUSDT"] and page.cursor == "next" and page.instruments[0].max_lots == 100
    assert len(page.refused) == 3 and "'BUSDT'" in page.refused[0] and "tick_size" in page.refused[0]
    assert bybit.instruments_path("next").endswith("limit=1000&cursor=next")


@needs_data
def test_whatever_is_entered_can_be_closed_by_one_market_order():
    """The venue takes much smaller market orders than limit orders: a position of the largest limit order could not be closed."""
    with gzip.open(DATA / "market-bybit-v5-rawws-2026-08" / "BYBIT_BTC_SOL.jsonl.gz", "rt") as lines:
        answer = next(r["data"] for r in map(json.loads, lines) if r["t"] == "http" and "category=linear" in r["url"])
    filters = {row["symbol"]: row["lotSizeFilter"] for row in orjson.loads(answer)["result"]["list"]}
    instruments = bybit.parse_instruments(answer.encode()).instruments
    assert sum(float(filters[i.symbol]["maxMktOrderQty"]) < float(filters[i.symbol]["maxOrderQty"]) for i in instruments) > 500
    assert all(
        i.qty(i.max_lots) <= min(float(filters[i.symbol][key]) for key in ("maxMktOrderQty", "maxOrderQty", "postOnlyMaxOrderQty"))
        for i in instruments
    )
