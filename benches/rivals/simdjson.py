"""pysimdjson: one parser re-used, only the fields that are needed turned into Python objects."""

import simdjson as sj

PACKAGE = "pysimdjson"


def decode(shape):
    parser = sj.Parser()

    def rows(frame):
        document = parser.parse(frame)
        for r in document["data"]:
            ts, buy, price, qty = r["T"], r["S"] == "Buy", float(r["p"]), float(r["v"])
        del document, r  # the parser refuses to be re-used while a proxy is alive
        return ts, buy, price, qty

    def book(frame):
        document = parser.parse(frame)
        ts, data = document["cts"], document["data"]
        for p, v in data["b"]:
            price, qty = float(p), float(v)
        for p, v in data["a"]:
            price, qty = float(p), float(v)
        del document, data
        return ts, False, price, qty

    return book if shape in ("book", "top") else rows
