"""What the benches feed: heavy-tailed notional, stress streams, and Bybit frames. All from one seed."""

import random

import numpy as np

SEED = 20251010
BASE_MS = 1_760_126_400_000  # frames carry plausible times; nothing reads a clock


def notional(n: int, seed: int = SEED) -> np.ndarray:
    """Liquidation sizes in USD: lognormal sigma 1.8, with 3 % from a Pareto tail of index 1.3."""
    rng = np.random.default_rng(seed)
    x = rng.lognormal(8.0, 1.8, n)
    tail = rng.random(n) < 0.03
    x[tail] = 50_000.0 * (1.0 + rng.pareto(1.3, int(tail.sum())))
    return x


def stress(kind: str, n: int, seed: int = SEED) -> np.ndarray:
    """Streams on which prototypes were slow or wrong: 'drift', 'bursts' (x50 for 300 of 3,000), 'monotone', 'ties', 'spikes' (1e9)."""
    x = notional(n, seed)
    i = np.arange(n)
    match kind:
        case "calm":
            return x
        case "drift":
            return x * np.exp(6.0 * np.sin(i / 20_000.0))
        case "bursts":
            return np.where(i % 3000 < 300, x * 50.0, x)
        case "monotone":
            return 1000.0 + i * 0.5
        case "ties":
            return np.round(x, -4) + 1.0
        case "spikes":
            return np.where(i % 997 == 0, 1e9, x)
    raise ValueError(f"stress: no stream called {kind!r}; there are calm, drift, bursts, monotone, ties, spikes")


def zipf_symbols(n: int, symbols: int, seed: int = SEED) -> np.ndarray:
    """Which symbol each event belongs to: Zipf with exponent 1."""
    weights = 1.0 / np.arange(1, symbols + 1)
    return np.random.default_rng(seed).choice(symbols, n, p=weights / weights.sum()).astype(np.int32)


def liquidation_frames(n: int, rows: int, symbol: str = "ROSEUSDT", seed: int = SEED) -> list[bytes]:
    """Bybit allLiquidation frames of `rows` rows."""
    rng = random.Random(seed + rows)
    out = []
    for i in range(n):
        ts = BASE_MS + 500 * i
        data = ",".join(
            f'{{"T":{ts - rng.randrange(500)},"s":"{symbol}","S":"{rng.choice(("Buy", "Sell"))}","v":"{rng.randrange(100, 99999)}",'
            f'"p":"0.0{rng.randrange(4000, 4999)}"}}'
            for _ in range(rows)
        )
        out.append(f'{{"topic":"allLiquidation.{symbol}","type":"snapshot","ts":{ts},"data":[{data}]}}'.encode())
    return out


class LiquidationStream:
    """allLiquidation x1 frames whose time always goes on: windows by time fill and empty as they do live."""

    GAP_MS = 500

    def __init__(self, symbol: str = "ROSEUSDT", seed: int = SEED):
        self.symbol, self.at = symbol.encode(), 0
        self.rows = [frame.partition(b'"data":[{"T":')[2].partition(b",")[2] for frame in liquidation_frames(1024, 1, symbol, seed)]

    def take(self, n: int) -> list[bytes]:
        """The next n frames."""
        head = b'{"topic":"allLiquidation.' + self.symbol + b'","type":"snapshot","ts":%d,"data":[{"T":%d,%s'
        first, self.at = self.at, self.at + n
        stamps = range(BASE_MS + first * self.GAP_MS, BASE_MS + self.at * self.GAP_MS, self.GAP_MS)
        return [head % (ts, ts - 275, self.rows[i % 1024]) for i, ts in enumerate(stamps, first)]


def trade_frames(n: int, rows: int, symbol: str = "BTCUSDT", seed: int = SEED) -> list[bytes]:
    """Bybit publicTrade frames of `rows` trades."""
    rng = random.Random(seed + rows)
    out = []
    for i in range(n):
        ts = BASE_MS + 100 * i
        data = ",".join(
            f'{{"T":{ts - rng.randrange(20)},"s":"{symbol}","S":"{rng.choice(("Buy", "Sell"))}","v":"0.{rng.randrange(1, 999):03d}",'
            f'"p":"{rng.randrange(60000, 69999)}.{rng.randrange(10)}0","L":"PlusTick","i":"{_uuid(rng)}","BT":false,"RPI":false,'
            f'"seq":{57377493000 + i}}}'
            for _ in range(rows)
        )
        out.append(f'{{"topic":"publicTrade.{symbol}","type":"snapshot","ts":{ts},"data":[{data}]}}'.encode())
    return out


def book_frames(n: int, levels: int = 8, symbol: str = "BTCUSDT", seed: int = SEED) -> list[bytes]:
    """Bybit orderbook.50 deltas with `levels` changed prices on each side."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        ts = BASE_MS + 20 * i
        mid = rng.randrange(60000, 69999)
        bids, asks = (",".join(_level(rng, mid + sign * k, 0, 10) for k in range(1, levels + 1)) for sign in (-1, 1))
        out.append(
            f'{{"topic":"orderbook.50.{symbol}","type":"delta","ts":{ts},"data":{{"s":"{symbol}","b":[{bids}],"a":[{asks}],'
            f'"u":{177400507 + i},"seq":{66544703342 + i}}},"cts":{ts - 3}}}'.encode()
        )
    return out


def top_frames(n: int, symbol: str = "BTCUSDT", seed: int = SEED) -> list[bytes]:
    """Bybit orderbook.1 snapshots: best bid and ask (level 1 has `ts` before `type`, unlike the other topics)."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        ts, mid = BASE_MS + 10 * i, rng.randrange(60000, 69999)
        out.append(
            f'{{"topic":"orderbook.1.{symbol}","ts":{ts},"type":"snapshot","data":{{"s":"{symbol}","b":[{_level(rng, mid, 0, 5)}],'
            f'"a":[{_level(rng, mid, 5, 10)}],"u":{177400507 + i},"seq":{66544703342 + i}}},"cts":{ts - 3}}}'.encode()
        )
    return out


def _level(rng: random.Random, price: int, low: int, high: int) -> str:
    """["price","size"], the price with a first decimal in low .. high - 1."""
    return f'["{price}.{rng.randrange(low, high)}0","{rng.randrange(0, 9)}.{rng.randrange(1000):03d}"]'


def _uuid(rng: random.Random) -> str:
    h = f"{rng.getrandbits(128):032x}"
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
