"""Bybit frames to events by json and float, in the fewest words: what the adapter's two ways are compared with. Only well-formed frames.

Returns a list of dicts; the carried values of tickers live in `last`, a dict that the caller keeps. Block trades (`BT`) and changes of a ticker that are
older than one before (`cs`) give nothing.
"""

import json

LIQUIDATED = {"Buy": 1, "Sell": -1}  # venue documentation, page all-liquidation: Buy = a long position was liquidated
TAKER = {"Buy": 1, "Sell": -1}
STREAMS = {"price": 8, "aux_price": 16, "aux_qty": 32, "qty": 64}  # mark, index, funding, open interest: bits of flags where they are not stated


def events(frame: bytes, last: dict | None = None) -> list[dict]:
    message = json.loads(frame)
    stem, _, symbol = message["topic"].rpartition(".")
    data = message["data"]
    if stem == "allLiquidation":
        return [
            {"kind": 1, "symbol": symbol, "ts_event": r["T"] * 10**6, "price": float(r["p"]), "qty": float(r["v"]), "side": LIQUIDATED[r["S"]]}
            for r in data
        ]
    if stem == "liquidation":
        return [
            {
                "kind": 1,
                "symbol": symbol,
                "ts_event": data["updatedTime"] * 10**6,
                "price": float(data["price"]),
                "qty": float(data["size"]),
                "side": LIQUIDATED[data["side"]],
            }
        ]
    if stem == "publicTrade":
        return [
            {
                "kind": 2,
                "symbol": symbol,
                "ts_event": r["T"] * 10**6,
                "price": float(r["p"]),
                "qty": float(r["v"]),
                "side": TAKER[r["S"]],
                "id": r.get("seq", 0),
            }
            for r in data
            if not r.get("BT")
        ]
    if stem == "orderbook.1":
        if message["type"] != "snapshot":
            return []
        (bid, bid_qty), (ask, ask_qty) = (data[key][0] if data[key] else ("0", "0") for key in ("b", "a"))
        return [
            {
                "kind": 3,
                "symbol": symbol,
                "ts_event": message.get("cts", message["ts"]) * 10**6,
                "price": float(bid),
                "qty": float(bid_qty),
                "aux_price": float(ask),
                "aux_qty": float(ask_qty),
                "id": data["u"],
            }
        ]
    if stem == "tickers":
        names = {"markPrice": "price", "indexPrice": "aux_price", "openInterest": "qty", "fundingRate": "aux_qty"}
        number = message.get("cs", 0)
        known = last[symbol] = {} if message["type"] == "snapshot" else last.get(symbol, {})
        if 0 < number < known.get("id", 0):
            return []
        new = {to: float(data[key]) for key, to in names.items() if data.get(key)}
        known |= new | {"id": max(number, known.get("id", 0))}
        flags = sum(bit for name, bit in STREAMS.items() if name not in known or known[name] == 0 and name != "aux_qty")
        return [{"kind": 4, "symbol": symbol, "ts_event": message["ts"] * 10**6, **known, "id": number, "flags": flags}] if new else []
    return []
