"""A bytes template filled in by %: the fastest encoder in plain Python."""

PACKAGE = ""

ORDER = (
    b'{"reqId":"c%x-%x","header":{"X-BAPI-TIMESTAMP":"%d","X-BAPI-RECV-WINDOW":"5000"},"op":"order.create","args":[{'
    b'"category":"linear","symbol":"ETHUSDT","orderLinkId":"lq-%x","side":"%s","orderType":"Limit","qty":"%d.%03d","price":"%d.%02d",'
    b'"timeInForce":"PostOnly","positionIdx":0}]}'
)


def encode():
    def order_bytes(order):
        number, cause, ts_ms, buy, cents, thousandths = order
        return ORDER % (cause, number, ts_ms, number, b"Buy" if buy else b"Sell", thousandths // 1000, thousandths % 1000, cents // 100, cents % 100)

    return order_bytes
