"""orjson, and float() on the numbers that venues send as strings."""

import orjson as oj

PACKAGE = "orjson"
loads = oj.loads


def decode(shape):
    return decoder(shape, loads)


def decoder(shape, loads):
    """The same reading for every parser that returns dicts."""

    def rows(frame):
        for r in loads(frame)["data"]:
            ts, buy, price, qty = r["T"], r["S"] == "Buy", float(r["p"]), float(r["v"])
        return ts, buy, price, qty

    def book(frame):
        d = loads(frame)
        ts, data = d["cts"], d["data"]
        for p, v in data["b"]:
            price, qty = float(p), float(v)
        for p, v in data["a"]:
            price, qty = float(p), float(v)
        return ts, False, price, qty

    return book if shape in ("book", "top") else rows


def encode():
    return encoder(oj.dumps)


def encoder(dumps):
    """The same order for every serialiser of dicts."""

    def order_bytes(order):
        number, cause, ts_ms, buy, cents, thousandths = order
        return dumps(
            {
                "reqId": f"c{cause:x}-{number:x}",
                "header": {"X-BAPI-TIMESTAMP": str(ts_ms), "X-BAPI-RECV-WINDOW": "5000"},
                "op": "order.create",
                "args": [
                    {
                        "category": "linear",
                        "symbol": "ETHUSDT",
                        "orderLinkId": f"lq-{number:x}",
                        "side": "Buy" if buy else "Sell",
                        "orderType": "Limit",
                        "qty": f"{thousandths // 1000}.{thousandths % 1000:03d}",
                        "price": f"{cents // 100}.{cents % 100:02d}",
                        "timeInForce": "PostOnly",
                        "positionIdx": 0,
                    }
                ],
            }
        )

    return order_bytes
