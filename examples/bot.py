"""An asyncio bot that keeps its own feed and its own orders, and asks liqcore only what to do.

    python examples/bot.py wss://stream.bybit.com [SYMBOL ...]

It connects to a Bybit V5 public websocket with aiohttp, reads the JSON itself, hands what it reads to the engine, and prints the orders that the
engine wants. A real bot would send them (`submit`) and report back what the venue says (engine.on_order, engine.on_fill).
"""

import asyncio
import contextlib
import sys
import time

import aiohttp
import orjson

import liqcore as lc

MS = 1_000_000
POSITION_SIDE = {"Buy": lc.LONG, "Sell": lc.SHORT}  # Bybit: S of a liquidation is the side of the position
TICKS = {
    "BTCUSDT": ("0.1", "0.001"),
    "ETHUSDT": ("0.01", "0.01"),
    "SOLUSDT": ("0.01", "0.1"),
    "XRPUSDT": ("0.0001", "0.1"),
    "DOGEUSDT": ("0.00001", "1"),
}


class Fade(lc.Policy):
    """Buy below a flush of longs, sell above a flush of shorts."""

    def on_signal(self, signal, market):
        if signal.phase == lc.Phase.ACTIVE:
            return lc.Bracket(signal.side, entry_offset=0.0015, take_profit=0.0015, stop_loss=0.0025, notional=2000.0)
        return None


class Bot:
    def __init__(self, symbols, now_ns=time.time_ns):
        self.now_ns = now_ns  # the clock of a rehearsal is the emulator's
        instruments = [lc.Instrument(s, venue="bybit", tick_size=TICKS[s][0], lot_size=TICKS[s][1], min_notional=5) for s in symbols]
        # a market that runs faster than the wall makes every delay of this machine look longer: a live bot keeps the defaults
        risk = lc.Risk(data_age_max_s=600, event_age_max_s=600)
        self.engine = lc.Engine(instruments, lc.CascadeConfig(quantile=0.95, window_s=60), Fade(), risk)
        self.symbols = symbols
        self.signals = []
        self.requests = []

    def on_frame(self, frame, ts_recv):
        """One websocket message of the venue."""
        message = orjson.loads(frame)
        topic = message.get("topic", "")
        if topic.startswith("allLiquidation."):
            for row in message["data"]:  # all of them: one frame can hold many
                self.note(self.engine.on_liquidation(row["T"] * MS, ts_recv, row["s"], POSITION_SIDE[row["S"]], float(row["p"]), float(row["v"])))
        elif topic.startswith("publicTrade."):
            for row in message["data"]:
                self.note(self.engine.on_trade(row["T"] * MS, ts_recv, row["s"], POSITION_SIDE[row["S"]], float(row["p"]), float(row["v"])))

    def note(self, signals):
        for signal in signals:
            self.signals.append(signal)
            print(f"{self.symbols[signal.instrument]} {signal.phase.name}: {signal.side.name.lower()}s liquidated, {signal.notional:,.0f} USD")
        for request in self.engine.drain():
            self.submit(request)

    def submit(self, request):
        """Send an order. This bot only prints it."""
        self.requests.append(request)
        print("  would send", request)

    async def run(self, url):
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    await self.listen(session, url)
                now = self.now_ns()  # the connection is lost: the engine must not trade on what it heard before
                self.note(self.engine.on_feed(now, now, lc.FeedState.FEED_GAP))
                await asyncio.sleep(1.0)

    async def listen(self, session, url):
        async with session.ws_connect(url + "/v5/public/linear", heartbeat=10) as ws:
            for symbol in self.symbols:
                await ws.send_json({"op": "subscribe", "args": [f"allLiquidation.{symbol}", f"publicTrade.{symbol}"]})
            async for message in ws:
                if message.type == aiohttp.WSMsgType.TEXT:
                    self.on_frame(message.data, self.now_ns())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    asyncio.run(Bot(sys.argv[2:] or ["ETHUSDT", "SOLUSDT"]).run(sys.argv[1]))
