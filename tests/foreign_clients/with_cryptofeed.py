"""cryptofeed: trades and books over TLS, which it insists on. Its liquidation channel for this venue asks for a topic that is gone: left out."""

import asyncio
import json
import sys

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK, TRADES
from cryptofeed.exchanges import Bybit

tls = json.loads(sys.argv[1])["tls"]
counts = {"trades": 0, "books": 0, "crossed": 0}
Bybit.websocket_endpoints = [WebsocketEndpoint(tls["ws"] + "/v5/public/linear", options={"compression": None})]
Bybit.rest_endpoints = [
    RestEndpoint(
        tls["rest"], routes=Routes([f"/v5/market/instruments-info?&category={category}&status=Trading&limit=1000" for category in ("linear", "spot")])
    )
]


async def on_trade(trade, received: float) -> None:
    counts["trades"] += 1
    finish()


async def on_book(book, received: float) -> None:
    counts["books"] += 1
    counts["crossed"] += book.book.bids.index(0)[0] >= book.book.asks.index(0)[0]
    finish()


def finish() -> None:
    if min(counts["trades"], counts["books"]) > 30:
        asyncio.get_running_loop().stop()


handler = FeedHandler(config={"log": {"disabled": True}, "uvloop": False})
handler.add_feed(Bybit(symbols=["BTC-USDT-PERP", "SOL-USDT-PERP"], channels=[TRADES, L2_BOOK], callbacks={TRADES: on_trade, L2_BOOK: on_book}))
handler.run(install_signal_handlers=False)
print(json.dumps(counts), flush=True)
