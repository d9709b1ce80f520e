"""A bytes template filled in by %: the fastest encoder in plain Python."""

PACKAGE = ""

ORDER = (b'{"reqId":"r%d","header":{"X-BAPI-TIMESTAMP":"%d","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{"category":"linear",'
         b'"symbol":"ETHUSDT","side":"%s","orderType":"Limit","qty":"%d.%03d","price":"%d.%02d","timeInForce":"PostOnly",'
         b'"orderLinkId":"lq-%d"}]}')


def encode():
    def order_bytes(order):
        number, ts_ms, buy, cents, thousandths = order
        return ORDER % (number, ts_ms, b"Buy" if buy else b"Sell", thousandths // 1000, thousandths % 1000, cents // 100, cents % 100, number)

    return order_bytes
