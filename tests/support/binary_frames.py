"""Frames and answers of the hourly binary, in the shapes of the public captures (5m record of 2026-08-22, stream examples of the venue's pages)."""

import json
from datetime import UTC, datetime, timedelta

HOUR, NS = 3_600_000_000_000, 1_000_000_000
NOON = 1_792_238_400 * NS  # 2026-10-17 12:00 UTC
UP, DOWN = (
    "113013382422133157315656090194075928009220145127085300671933810669470922115281",
    "34038349155375505476764349018583065542443879908961992019053731521216367745079",
)


# the rules as the venue has printed them under hourly markets, 2026-09
RULES = """This market will resolve to "Up" if the close price is greater than or equal to the open price for the BTC/USDT 1 hour candle that begins on the time and date specified in the title. Otherwise, this market will resolve to "Down".

The resolution source for this market is information from Binance, specifically the BTC/USDT pair (https://www.binance.com/en/trade/BTC_USDT). The close « C » and open « O » displayed at the top of the graph for the relevant "1H" candle will be used once the data for that candle is finalized.

Please note that this market is about the price according to Binance BTC/USDT, not according to other exchanges or trading pairs."""


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def slug(start: int) -> str:
    """Of the hour, by the clock of New York; only October 2026, when that is UTC - 4."""
    at = datetime.fromtimestamp(start // NS, UTC) - timedelta(hours=4)
    return f"bitcoin-up-or-down-october-{at.day}-2026-{(at.hour + 11) % 12 + 1}{'pm' if at.hour >= 12 else 'am'}-et"


def market(start: int = NOON, n: int = 0, **changed) -> dict:
    """One market of Gamma; n tells hours apart."""
    return {
        "id": str(3763487 + n),
        "conditionId": f"0x{n:064x}",
        "slug": slug(start),
        "description": RULES,
        "clobTokenIds": json.dumps([str(int(UP) + n), str(int(DOWN) + n)]),
        "outcomes": '["Up", "Down"]',
        "outcomePrices": '["0.5", "0.5"]',
        "eventStartTime": iso(start),
        "endDate": iso(start + HOUR),
        "active": True,
        "closed": False,
        "acceptingOrders": True,
        "enableOrderBook": True,
        "resolutionSource": "https://www.binance.com/en/trade/BTC_USDT",
        "orderPriceMinTickSize": 0.01,
        "orderMinSize": 5,
        "negRisk": False,
        "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
    } | changed


def events(*rows: dict) -> bytes:
    return json.dumps([{"id": "1", "seriesSlug": "btc-up-or-down-hourly", "markets": [row]} for row in rows]).encode()


def book(token: str, bids, asks, ts: int = NOON, n: int = 0, **more) -> bytes:
    """Best level last, as the venue sends it."""
    levels = [[{"price": str(p), "size": str(s)} for p, s in side] for side in (sorted(bids), sorted(asks, reverse=True))]
    return json.dumps(
        {
            "event_type": "book",
            "market": f"0x{n:064x}",
            "asset_id": token,
            "bids": levels[0],
            "asks": levels[1],
            "timestamp": str(ts // 1_000_000),
            "hash": "0x0",
        }
        | more
    ).encode()


def change(token: str, price, size, side: str, ts: int = NOON, n: int = 0, **best) -> bytes:
    """best: best_bid, best_ask, where it says them."""
    return json.dumps(
        {
            "event_type": "price_change",
            "market": f"0x{n:064x}",
            "timestamp": str(ts // 1_000_000),
            "price_changes": [{"asset_id": token, "price": str(price), "side": side, "size": str(size), "hash": "0x1"} | best],
        }
    ).encode()


def kline(start: int, open_: float, close: float, now: int) -> bytes:
    return json.dumps(
        {
            "stream": "btcusdt@kline_1h",
            "data": {
                "e": "kline",
                "E": now // 1_000_000,
                "s": "BTCUSDT",
                "k": {
                    "t": start // 1_000_000,
                    "T": (start + HOUR) // 1_000_000 - 1,
                    "s": "BTCUSDT",
                    "i": "1h",
                    "o": f"{open_:.2f}",
                    "c": f"{close:.2f}",
                    "h": "0",
                    "l": "0",
                    "x": False,
                },
            },
        }
    ).encode()


def klines(start: int, rows) -> bytes:
    """rows: (open, close) of each hour from `start` on."""
    return json.dumps(
        [
            [(start + n * HOUR) // 1_000_000, f"{o:.2f}", "0", "0", f"{c:.2f}", "1", (start + (n + 1) * HOUR) // 1_000_000 - 1, "1", 1, "1", "1", "0"]
            for n, (o, c) in enumerate(rows)
        ]
    ).encode()
