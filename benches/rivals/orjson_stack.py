"""A careful Python bot: orjson in, the fastest rolling quantile and z-score from packages, orjson out; the socket by `websockets`."""

from collections import deque

import orjson as oj
import screamer as sc

try:
    from benches.rivals import rolling_quantiles as quantile
except ImportError:
    from benches.rivals import river as quantile

PACKAGE = "orjson,screamer,websockets," + quantile.PACKAGE
NOTES = {"reaction": f"quantile by {quantile.PACKAGE}"}


def reaction():
    push = quantile.quantile_push(1000, 0.95)
    mean, std = sc.RollingMean(288), sc.RollingStd(288)
    recent, signed, threshold = deque(), 0.0, 0.0

    def react(frame):
        nonlocal signed, threshold
        for r in oj.loads(frame)["data"]:
            price, ts = float(r["p"]), r["T"]
            notional = price * float(r["v"])
            large = threshold is not None and notional >= threshold
            threshold = push(notional)
            s = std(notional)
            z = (notional - mean(notional)) / s if s > 0.0 else 0.0
            x = notional if r["S"] == "Buy" else -notional
            recent.append((ts, x))
            signed += x
            while recent[0][0] < ts - 60_000:
                signed -= recent.popleft()[1]
        return oj.dumps(
            {
                "reqId": f"r{ts}",
                "header": {"X-BAPI-TIMESTAMP": str(ts), "X-BAPI-RECV-WINDOW": "5000"},
                "op": "order.create",
                "args": [
                    {
                        "category": "linear",
                        "symbol": "ROSEUSDT",
                        "side": "Buy" if signed > 0 else "Sell",
                        "orderType": "Limit",
                        "qty": "1",
                        "price": f"{price * (0.9985 if z > 0.0 or large else 0.998):.5f}",
                        "timeInForce": "PostOnly",
                        "orderLinkId": f"lq-{ts}",
                    }
                ],
            }
        )

    return react


async def client(port, count):
    import websockets

    react = reaction()
    async with websockets.connect(f"ws://127.0.0.1:{port}/", compression=None, max_size=None) as ws:
        if not count:
            async for frame in ws:
                await ws.send(react(frame), text=True)
        for _ in range(count):
            await ws.recv(decode=False)
        await ws.send("done")
        await ws.wait_closed()
