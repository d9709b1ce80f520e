"""The best that can be put together from packages: msgspec typed decode, the fastest rolling quantile there is, screamer, a bytes template;
the socket by a picows listener in Python."""

from collections import deque

import screamer as sc

from benches.rivals import msgspec as parser

try:
    from benches.rivals import rolling_quantiles as quantile
except ImportError:
    from benches.rivals import river as quantile

PACKAGE = "msgspec,screamer,picows," + quantile.PACKAGE
NOTES = {"reaction": f"quantile by {quantile.PACKAGE}"}
ORDER = (
    b'{"reqId":"r%d","header":{"X-BAPI-TIMESTAMP":"%d","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear",'
    b'"symbol":"ROSEUSDT","side":"%s","orderType":"Limit","qty":"1","price":"0.%05d","timeInForce":"PostOnly",'
    b'"orderLinkId":"lq-%d"}]}'
)


def reaction():
    parse = parser.ms.json.Decoder(parser.Rows, strict=False).decode
    push = quantile.quantile_push(1000, 0.95)
    mean, std = sc.RollingMean(288), sc.RollingStd(288)
    recent, signed, threshold = deque(), 0.0, 0.0

    def react(frame):
        nonlocal signed, threshold
        for r in parse(frame).data:
            notional = r.p * r.v
            ts = r.T
            large = threshold is not None and notional >= threshold
            threshold = push(notional)
            s = std(notional)
            z = (notional - mean(notional)) / s if s > 0.0 else 0.0
            x = notional if r.S == "Buy" else -notional
            recent.append((ts, x))
            signed += x
            while recent[0][0] < ts - 60_000:
                signed -= recent.popleft()[1]
        return ORDER % (ts, ts, b"Buy" if signed > 0 else b"Sell", int(r.p * (99850.0 if z > 0.0 or large else 99800.0)), ts)

    return react


async def client(port, count):
    import picows

    react = reaction()
    left = count

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport, frame):
            nonlocal left
            if count:
                left -= 1
                if not left:
                    transport.send(picows.WSMsgType.TEXT, b"done")
            else:
                transport.send(picows.WSMsgType.TEXT, react(frame.get_payload_as_memoryview()))

    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{port}/")
    await transport.wait_disconnected()
