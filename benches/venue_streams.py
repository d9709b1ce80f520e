"""Frames of Binance USD-M, OKX, Hyperliquid and Bybit as they come, from one seed: single kinds for the decoders, and a mixed flood of many contracts."""

import random

from benches.streams import BASE_MS, SEED

HASH = "0xb2628bf07a30ffa6267904156eee8601610085114d2758aec6a6784d14463055"
USERS = '"0x360878d351f05975e25f1807a27895e1e5e004fb","0x2e3d94f0562703b25c83308a05046ddaf9a8dd14"'


class Flood:
    """Contracts with prices of their own that move by single ticks, so that validation accepts them."""

    def __init__(self, contracts: int, seed: int = SEED):
        self.rng = random.Random(seed)
        self.names = [f"C{n:03d}" for n in range(contracts)]
        self.price = [self.rng.randrange(20_000, 900_000) for _ in range(contracts)]
        self.sequence = 400_900_217

    def step(self, n: int) -> tuple[str, str, str, bool]:
        """The contract's next bid and ask, a size, and whether the taker buys."""
        self.price[n] += self.rng.choice((-1, 0, 1))
        self.sequence += 1
        p = self.price[n]
        return f"{p / 100:.2f}", f"{p / 100 + 0.01:.2f}", f"{self.rng.randrange(1, 90_000) / 1000:.3f}", self.rng.random() < 0.5


def binance(f: Flood, n: int, kind: str, ms: int) -> bytes:
    bid, ask, size, buys = f.step(n)
    name = f.names[n] + "USDT"
    if kind == "quote":
        return (
            f'{{"e":"bookTicker","u":{f.sequence},"s":"{name}","b":"{bid}","B":"{size}","a":"{ask}","A":"1.250","T":{ms},"E":{ms + 2},'
            f'"ps":"{name}","st":1}}'
        ).encode()
    if kind == "trade":
        return (
            f'{{"e":"aggTrade","E":{ms + 2},"a":{f.sequence},"s":"{name}","p":"{ask if buys else bid}","q":"{size}","nq":"{size}","f":{f.sequence},'
            f'"l":{f.sequence + 2},"T":{ms},"m":{"false" if buys else "true"},"st":1}}'
        ).encode()
    if kind == "ticker":
        return (
            f'{{"e":"markPriceUpdate","E":{ms},"s":"{name}","p":"{bid}","ap":"{bid}","P":"{bid}","i":"{ask}","r":"0.00010000","T":{ms + 10**7},'
            f'"st":1}}'
        ).encode()
    return (
        f'{{"e":"forceOrder","E":{ms + 900},"o":{{"s":"{name}","S":"{"BUY" if buys else "SELL"}","o":"LIMIT","f":"IOC","q":"{size}","p":"{bid}",'
        f'"ap":"{ask if buys else bid}","X":"FILLED","l":"{size}","z":"{size}","T":{ms},"ps":"{name}","st":1}}}}'
    ).encode()


def okx(f: Flood, n: int, kind: str, ms: int) -> bytes:
    bid, ask, size, buys = f.step(n)
    name = f.names[n] + "-USDT-SWAP"
    if kind == "quote":
        return (
            f'{{"arg":{{"channel":"bbo-tbt","instId":"{name}"}},"data":[{{"asks":[["{ask}","727","0","22"]],"bids":[["{bid}","{size}","0","7"]],'
            f'"ts":"{ms}","seqId":{f.sequence}}}]}}'
        ).encode()
    if kind == "trade":
        return (
            f'{{"arg":{{"channel":"trades","instId":"{name}"}},"data":[{{"instId":"{name}","tradeId":"{f.sequence}","px":"{ask if buys else bid}",'
            f'"sz":"{size}","side":"{"buy" if buys else "sell"}","ts":"{ms}","count":"3","source":"0","seqId":{f.sequence}}}]}}'
        ).encode()
    if kind == "ticker":
        return (
            f'{{"arg":{{"channel":"mark-price","instId":"{name}"}},"data":[{{"instId":"{name}","instType":"SWAP","markPx":"{bid}","ts":"{ms}"}}]}}'
        ).encode()
    return (
        f'{{"arg":{{"channel":"liquidation-orders","instType":"SWAP"}},"data":[{{"details":[{{"bkLoss":"0","bkPx":"{bid}","ccy":"",'
        f'"posSide":"{"short" if buys else "long"}","side":"{"buy" if buys else "sell"}","sz":"{size}","ts":"{ms}"}}],'
        f'"instFamily":"{name[:-5]}","instId":"{name}","instType":"SWAP","uly":"{name[:-5]}"}}]}}'
    ).encode()


def bybit(f: Flood, n: int, kind: str, ms: int) -> bytes:
    bid, ask, size, buys = f.step(n)
    name, side = f.names[n] + "USDT", "Buy" if buys else "Sell"
    if kind == "quote":
        return (
            f'{{"topic":"orderbook.1.{name}","ts":{ms + 2},"type":"snapshot","data":{{"s":"{name}","b":[["{bid}","{size}"]],"a":[["{ask}","2.5"]],'
            f'"u":{f.sequence},"seq":{f.sequence}}},"cts":{ms}}}'
        ).encode()
    if kind == "trade":
        return (
            f'{{"topic":"publicTrade.{name}","type":"snapshot","ts":{ms + 2},"data":[{{"T":{ms},"s":"{name}","S":"{side}","v":"{size}",'
            f'"p":"{ask if buys else bid}","L":"PlusTick","i":"2290000001189048101","BT":false,"RPI":false,"seq":{f.sequence}}}]}}'
        ).encode()
    if kind == "ticker":
        return (
            f'{{"topic":"tickers.{name}","type":"delta","data":{{"symbol":"{name}","markPrice":"{bid}","openInterest":"59891.732"}},'
            f'"cs":{f.sequence},"ts":{ms}}}'
        ).encode()
    return (
        f'{{"topic":"allLiquidation.{name}","type":"snapshot","ts":{ms + 400},"data":[{{"T":{ms},"s":"{name}","S":"{side}","v":"{size}",'
        f'"p":"{bid}"}}]}}'
    ).encode()


def hyperliquid(f: Flood, n: int, kind: str, ms: int) -> bytes:
    bid, ask, size, buys = f.step(n)
    name = f.names[n]
    if kind == "quote":
        return (
            f'{{"channel":"bbo","data":{{"coin":"{name}","time":{ms},"bbo":[{{"px":"{bid}","sz":"{size}","n":3}},{{"px":"{ask}","sz":"2.5","n":1}}]}}}}'
        ).encode()
    if kind == "trade":
        return (
            f'{{"channel":"trades","data":[{{"coin":"{name}","side":"{"B" if buys else "A"}","px":"{ask if buys else bid}","sz":"{size}","time":{ms},'
            f'"hash":"{HASH}","tid":{f.sequence * 2_000_000},"users":[{USERS}]}}]}}'
        ).encode()
    return (
        f'{{"channel":"activeAssetCtx","data":{{"coin":"{name}","ctx":{{"funding":"0.0000125","openInterest":"{size}","prevDayPx":"{bid}",'
        f'"dayNtlVlm":"7665220.55","premium":"0.0001","oraclePx":"{ask}","markPx":"{bid}","midPx":"{bid}","impactPxs":["{bid}","{ask}"],'
        f'"dayBaseVlm":"11.5"}}}}}}'
    ).encode()


MAKERS = {"binance_um": binance, "okx": okx, "bybit": bybit, "hyperliquid": hyperliquid}
SYMBOL = {"binance_um": "{}USDT", "okx": "{}-USDT-SWAP", "bybit": "{}USDT", "hyperliquid": "{}"}
KINDS = ("quote", "trade", "ticker", "liquidation")
SHARES = (0.66, 0.28, 0.05, 0.01)  # of the frames of a busy minute: quotes before all


def frames(venue: str, kind: str, count: int, contracts: int = 1) -> list[bytes]:
    """Frames of one kind."""
    flood = Flood(contracts)
    return [MAKERS[venue](flood, n % contracts, kind, BASE_MS + 5 * n) for n in range(count)]


def mixed(venues: list[str], contracts: int, count: int, per_s: float, seed: int = SEED) -> list[tuple[int, bytes]]:
    """(number of the venue, frame): all kinds of all venues, the contracts by Zipf, in the order of their times at so many frames a second."""
    rng = random.Random(seed)
    floods = [Flood(contracts, seed + n) for n in range(len(venues))]
    order = list(range(contracts))
    weights = [1.0 / (n + 1) for n in order]
    who = rng.choices(order, weights, k=count)
    what = rng.choices(KINDS, SHARES, k=count)
    out = []
    for n in range(count):
        v = rng.randrange(len(venues))
        kind = what[n] if what[n] != "liquidation" or venues[v] != "hyperliquid" else "trade"
        out.append((v, MAKERS[venues[v]](floods[v], who[n], kind, BASE_MS + int(n * 1000 / per_s))))
    return out
