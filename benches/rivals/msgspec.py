"""msgspec with typed structs: strict=False turns the quoted numbers into floats while parsing, the fastest general way we know."""

import msgspec as ms

PACKAGE = "msgspec"


class Row(ms.Struct):
    T: int
    S: str
    v: float
    p: float


class Rows(ms.Struct):
    topic: str
    ts: int
    data: list[Row]


class Levels(ms.Struct):
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class Book(ms.Struct):
    topic: str
    data: Levels
    cts: int


class Order(ms.Struct):
    category: str
    symbol: str
    orderLinkId: str
    side: str
    orderType: str
    qty: str
    price: str
    timeInForce: str
    positionIdx: int


class Request(ms.Struct):
    reqId: str
    header: dict[str, str]
    op: str
    args: list[Order]


def decode(shape):
    if shape in ("book", "top"):
        parse = ms.json.Decoder(Book, strict=False).decode

        def book(frame):
            d = parse(frame)
            price, qty = d.data.a[-1]
            return d.cts, False, price, qty

        return book
    parse = ms.json.Decoder(Rows, strict=False).decode

    def rows(frame):
        for r in parse(frame).data:
            ts, buy, price, qty = r.T, r.S == "Buy", r.p, r.v
        return ts, buy, price, qty

    return rows


def encode():
    dumps = ms.json.Encoder().encode

    def order_bytes(order):
        number, cause, ts_ms, buy, cents, thousandths = order
        return dumps(
            Request(
                f"c{cause:x}-{number:x}",
                {"X-BAPI-TIMESTAMP": str(ts_ms), "X-BAPI-RECV-WINDOW": "5000"},
                "order.create",
                [
                    Order(
                        "linear",
                        "ETHUSDT",
                        f"lq-{number:x}",
                        "Buy" if buy else "Sell",
                        "Limit",
                        f"{thousandths // 1000}.{thousandths % 1000:03d}",
                        f"{cents // 100}.{cents % 100:02d}",
                        "PostOnly",
                        0,
                    )
                ],
            )
        )

    return order_bytes
