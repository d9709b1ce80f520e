"""Frames of Binance USD-M, OKX and Hyperliquid as they are on the wire, by what they are; and both ways of decoding one."""

import numpy as np

from liqcore.event import EVENT_DTYPE
from liqshell.venues.frames import Frame, FrameDecoder

TS = 1_791_565_603_100_000_000
ROOM = 64

BINANCE = {
    # recorded 2026-10-09 (public code): st and ps inside o, combined stream
    "long": b'{"stream":"!forceOrder@arr","data":{"e":"forceOrder","E":1791565603055,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.190",'
    b'"p":"82338.30","ap":"82651.90","X":"FILLED","l":"0.155","z":"0.190","T":1791565602120,"ps":"BTCUSDT","st":1}}}',
    "short": b'{"e":"forceOrder","E":1568014460893,"st":1,"ps":"BTCUSDT","o":{"s":"BTCUSDT","S":"BUY","o":"LIMIT","f":"IOC","q":"0.014","p":"82950",'
    b'"ap":"82910.5","X":"FILLED","l":"0.014","z":"0.014","T":1568014460893}}',
    "bought": b'{"e":"aggTrade","E":1698871323061,"a":5933014,"s":"BTCUSDT","p":"82100.1","q":"0.100","nq":"0.090","f":100,"l":105,"T":1698871323059,'
    b'"m":false}',
    "sold": b'{"e":"aggTrade","E":1698871323061,"a":5933015,"s":"1000PEPEUSDT","p":"0.0011","q":"5","f":106,"l":106,"T":1698871323060,"m":true}',
    "quote": b'{"e":"bookTicker","u":400900217,"s":"BTCUSDT","b":"82100.1","B":"31.21","a":"82100.2","A":"40.66","T":1568014460891,"E":1568014460893,'
    b'"ps":"BTCUSDT","st":1}',
    "ticker": b'{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"82794.15","ap":"82790.1","P":"82784.25","i":"82784.62","r":"-0.00038167",'
    b'"T":1562306400000,"st":1}',
}
OKX = {
    # recorded 2026-10-09 (public code)
    "long": b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0","bkPx":"82655.7","ccy":"","posSide":"long",'
    b'"side":"sell","sz":"8.55","ts":"1791565600771"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}]}',
    "short": b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"instType":"SWAP","instId":"BTC-USDT-SWAP","uly":"BTC-USDT",'
    b'"instFamily":"BTC-USDT","details":[{"side":"buy","posSide":"net","bkPx":"82655.7","sz":"13","bkLoss":"0","ccy":"","ts":"1692266434010"}]}]}',
    "bought": b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"130639474","px":"42219.9",'
    b'"sz":"0.12","side":"buy","ts":"1630048897897","count":"3","source":"0","seqId":1234}]}',
    "sold": b'{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"148266905","px":"48938.5","sz":"5",'
    b'"side":"sell","ts":"1640131236050"},{"instId":"BTC-USDT-SWAP","tradeId":"148266906","px":"48938.4","sz":"1","side":"sell",'
    b'"ts":"1640131236051"}]}',
    "quote": b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["38632.4","727","0","22"]],"bids":[["38632.3","990","0","22"]],'
    b'"ts":"1651761120004","seqId":363996337}]}',
    "ticker": b'{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","markPx":"2.1729",'
    b'"ts":"1640131259180"}]}',
    "interest": b'{"arg":{"channel":"open-interest","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","oi":"644195",'
    b'"oiCcy":"6441.95","oiUsd":"1","ts":"1640131258756"}]}',
}
HYPERLIQUID = {
    "bought": b'{"channel":"trades","data":[{"coin":"BTC","side":"B","px":"69998.0","sz":"0.00714","time":1730160007572,"hash":"0xb2628bf07a30",'
    b'"tid":1125899906842623,"users":["0x360878d351f05975","0x2e3d94f0562703b2"]}]}',
    "sold": b'{"channel":"trades","data":[{"coin":"kPEPE","side":"A","px":"1.9008","sz":"10.5","time":1730160015113,"hash":"0xdde3","tid":61127950},'
    b'{"coin":"BTC","side":"A","px":"69998.0","sz":"1.0","time":1730160015113,"hash":"0xdde4","tid":61127951}]}',
    "quote": b'{"channel":"bbo","data":{"coin":"BTC","time":1750948919838,"bbo":[{"px":"107575.0","sz":"3.87947","n":17},'
    b'{"px":"107576.0","sz":"50.0","n":1}]}}',
    "ticker": b'{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"-0.00004863","openInterest":"18617460.0","prevDayPx":"0.20296",'
    b'"dayNtlVlm":"7665220.55613","premium":"0.00008521","oraclePx":"0.1995","markPx":"0.19963","midPx":"0.19957",'
    b'"impactPxs":["0.199517","0.199725"]}}}',
}
FRAMES = {"binance_um": BINANCE, "okx": OKX, "hyperliquid": HYPERLIQUID}
SYMBOLS = {
    "binance_um": ("BTCUSDT", "1000PEPEUSDT", "ETHUSDT"),
    "okx": ("BTC-USDT-SWAP", "BTC-USD-SWAP", "ETH-USDT-SWAP", "BTC-USDT-261225"),
    "hyperliquid": ("BTC", "kPEPE", "ETH"),
}


def both(decoder: FrameDecoder, frame: bytes, ts_recv: int = TS) -> tuple[list[tuple] | None, Frame]:
    """The events by shape (None where the shapes hand the frame back), and the Frame of the general path, from the same carried values. A frame taken
    by shape must give the same events and leave the same values by the general path."""
    out, before = np.zeros(ROOM, EVENT_DTYPE), decoder.carried.tobytes()
    count = decoder.scan.decode(frame, ts_recv, out)
    after = decoder.carried.tobytes()
    decoder.carried[:] = np.frombuffer(before, EVENT_DTYPE)
    general = decoder.read(frame, ts_recv)
    if count < 0:
        assert after == before, frame
        return None, general
    scanned = out[:count].tolist()
    assert repr(scanned) == repr(general.events) and decoder.carried.tobytes() == after, (frame, scanned, general)
    return scanned, general
