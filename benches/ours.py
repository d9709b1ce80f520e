"""Our side of every comparison: the same roles as the rivals, by the package as it ships."""

from bisect import bisect_left, insort

import numpy as np

from benches import streams
from benches.build import probe
from liqcore.event import EVENT_DTYPE, REQUEST_DTYPE, Action, Kind, OrderType, RequestFlag, Side
from liqcore.instrument import Instrument
from liqcore.kernels.quantile import RollingQuantile, rolling_quantile_approximate
from liqcore.kernels.zscore import RollingZ
from liqshell.venues.bybit import decoder as bybit
from liqshell.venues.bybit import orders as bybit_orders

NOTES = {"quantile_push": "exact, NumPy's linear interpolation", "quantile_batch": "exact, NumPy's linear interpolation"}
SHAPES = ("liquidation", "trade", "top")
SYMBOLS = ("ROSEUSDT", "BTCUSDT", "ETHUSDT")
ROOM = np.zeros(2048, dtype=EVENT_DTYPE)


def quantile_push(window, q):
    return RollingQuantile(q, window).push


def quantile_batch(window, q):
    return lambda x: RollingQuantile(q, window).run(x)


def quantile_approximate(x, window, q):
    return rolling_quantile_approximate(x, q, window)


def zscore_push(window):
    return RollingZ(window).push


def zscore_batch(window):
    return lambda x: RollingZ(window).run(x)


def instruments() -> list[Instrument]:
    return [
        Instrument("ROSEUSDT", venue="bybit", tick_size="0.00001", lot_size="1"),
        Instrument("BTCUSDT", venue="bybit", tick_size="0.1", lot_size="0.001"),
        Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.001"),
    ]


def decoder():
    return bybit.PublicDecoder(SYMBOLS).scan


def decode(shape):
    """Number of events in ROOM."""
    decode_frame = decoder().decode
    return lambda frame: decode_frame(frame, 1, ROOM)


def last_row(count):
    """What the latest decode() left, in the rivals' form."""
    e = ROOM[count - 1]
    if e["kind"] == Kind.BBO:
        return int(e["ts_event"]) // 10**6, False, float(e["aux_price"]), float(e["aux_qty"])
    return int(e["ts_event"]) // 10**6, bool(e["side"] == Side.LONG), float(e["price"]), float(e["qty"])


def encoder():
    return bybit_orders.order_encoder("lq", instruments())


def requests(orders) -> np.ndarray:
    out = np.zeros(len(orders), dtype=REQUEST_DTYPE)
    for row, (number, cause, ts_ms, buy, cents, thousandths) in zip(out, orders, strict=True):
        row["ts"], row["id"], row["price"], row["qty"], row["cause"] = ts_ms * 10**6, number, cents, thousandths, cause
        row["instrument"], row["side"] = SYMBOLS.index("ETHUSDT"), Side.LONG if buy else Side.SHORT
        row["action"], row["type"], row["flags"] = Action.ACTION_CREATE, OrderType.ORDER_LIMIT, RequestFlag.POST_ONLY
    return out


def request(order):
    """(the 64 bytes of a request, ts_ms): what encode() takes."""
    return requests([order])[0].tobytes(), order[2]


def encode():
    encode_request = encoder().encode
    return lambda pair: encode_request(*pair)


def reaction():
    return probe().Reaction(decoder(), encoder(), 0).react


def engine():
    from liqcore.detectors.cascade import CascadeConfig
    from liqcore.engine import Engine

    return Engine(["ETHUSDT"], CascadeConfig())


#: the detectors beside the cascade; thresholds such that each speaks on these streams
DETECTORS = (
    {"kind": "anomaly"},
    {"kind": "bars"},
    {"kind": "dollar", "min_usd": 5_000.0, "trigger_usd": 500_000.0},
    {"kind": "imbalance"},
    {"kind": "rate"},
)


def bank():
    """An engine with all of them and the cascade."""
    from liqcore.detectors.registry import make_detector
    from liqcore.engine import Engine

    return Engine(["ETHUSDT"], detectors=[make_detector("cascade"), *(make_detector(**told) for told in DETECTORS)])


#: those that the preset `reversal` asks for
FEATURES = ("liquidations.liq_imbalance@15m:zscore", "flow.ofi@5m:zscore", "funding.funding_avg@1h")


def featured():
    """An engine with the cascade and the features of `reversal`."""
    from liqcore.detectors.cascade import CascadeConfig
    from liqcore.engine import Engine

    return Engine(["ETHUSDT"], CascadeConfig(), features=FEATURES)


def mixed_events(n: int) -> np.ndarray:
    """The whole market of one instrument: of twelve events six trades, four quotes, a ticker and a liquidation."""
    out = events(n)
    turn = np.arange(n) % 12
    for kind, which in ((Kind.TRADE, turn < 6), (Kind.BBO, (turn >= 6) & (turn < 10)), (Kind.TICKER, turn == 10)):
        out["kind"][which] = kind
    out["side"][turn >= 6] *= (turn[turn >= 6] == 11).astype(np.int8)
    quotes, tickers = (turn >= 6) & (turn < 10), turn == 10
    out["aux_price"][quotes] = out["price"][quotes] + 0.01
    out["aux_qty"][quotes] = out["qty"][quotes]
    out["aux_price"][tickers] = out["price"][tickers]
    out["aux_qty"][tickers] = 1e-4
    return out


def events(n: int) -> np.ndarray:
    """Liquidations of one instrument: heavy-tailed, clustered in time."""
    rng = np.random.default_rng(streams.SEED)
    out = np.zeros(n, dtype=EVENT_DTYPE)
    gaps = np.where(rng.random(n) < 0.8, rng.exponential(0.4, n), rng.exponential(40.0, n))
    out["ts_recv"] = streams.BASE_MS * 10**6 + (np.cumsum(gaps) * 1e9).astype(np.int64)
    out["ts_event"] = out["ts_recv"] - 20_000_000
    out["price"] = np.round(3000.0 + np.cumsum(rng.normal(0.0, 0.05, n)), 2)
    out["qty"] = streams.notional(n) / out["price"]
    out["kind"] = Kind.LIQUIDATION
    out["side"] = np.where(rng.random(n) < 0.6, 1, -1)
    return out


def decisions_by_sorting(values: np.ndarray, q: float, window: int, n: int) -> np.ndarray:
    """For n values after the first `window`: is it at or above np.quantile of the `window` values before it? The stream repeats at its end.

    Plain Python on a sorted list; the arithmetic between two order statistics is NumPy's, so equality is to the last bit.
    """
    x = np.resize(values, window + n).tolist()
    ordered = sorted(x[:window])
    index = (window - 1) * q
    k = int(index)
    t = index - k
    out = np.empty(n, dtype=bool)
    for i in range(n):
        new, a, b = x[window + i], ordered[k], ordered[min(k + 1, window - 1)]
        out[i] = new >= (b - (b - a) * (1.0 - t) if t >= 0.5 else a + (b - a) * t)
        del ordered[bisect_left(ordered, x[i])]
        insort(ordered, new)
    return out


async def _connect(port, listener, sink):
    import picows

    transport, _ = await picows.ws_connect(lambda: listener, f"ws://127.0.0.1:{port}/")
    if sink is not None:
        sink.transport = transport
    _spin(transport)
    await transport.wait_disconnected()


def _spin(transport):
    """Where the client spins, its socket is read between the loop's turns, as in a live run with [run] spin."""
    from benches.spinning import SPIN

    SPIN.watch(transport)


def _listener(sink):
    from liqshell.run.feed_listener import FeedListener

    return FeedListener(decoder(), sink, lambda raw, ts_recv: None)


async def client_ours(port, count):
    """The shipped path: FeedListener, scan, kernels, encoder, order from a C buffer."""
    sink = probe().ReactionSink(probe().Reaction(decoder(), encoder(), 0))
    await _connect(port, _listener(sink), sink)


async def client_ours_live(port, count):
    """A live run: the whole engine, the guard's limits, the state image before every send, the recording after it."""
    import tempfile
    from pathlib import Path

    import picows

    from liqcore.detectors.cascade import CascadeConfig
    from liqcore.engine import Engine
    from liqcore.guard import Guard
    from liqshell.recording.recorder import Recorder
    from liqshell.run.dispatch import Dispatch, PicowsWire
    from liqshell.run.feed_listener import FeedListener
    from liqshell.state.image import Image

    with tempfile.TemporaryDirectory() as folder:
        found = Engine(instruments(), CascadeConfig())
        for n, price in enumerate((0.045, 60_000.0, 2_500.0)):
            found.on_trade(1, 1, n, Side.LONG, price, 1.0)
        guard = Guard(
            found.instruments,
            order_notional_max=1e9,
            total_notional_max=1e12,
            collar=0.99,
            orders_per_minute_max=200,
            rate_max=200,
            rate_window_s=0.001,
        )
        wire = PicowsWire()
        image = Image(Path(folder) / "image.bin", found.instruments, "lqbench", 1)
        sink = probe().LiveReactionSink(found, Dispatch(found, guard, encoder(), image, wire))
        with Recorder(Path(folder) / "frames") as recorder:
            listener = FeedListener(decoder(), sink, lambda raw, ts_recv: None, tap=recorder.tap("bybit"))
            transport, _ = await picows.ws_connect(lambda: listener, f"ws://127.0.0.1:{port}/")
            wire.transport = transport
            _spin(transport)
            await transport.wait_disconnected()
        image.close()


async def client_ours_flood(port, count):
    sink = probe().CountingSink(probe().Reaction(decoder(), encoder(), 0), count)
    await _connect(port, _listener(sink), sink)


async def client_ours_count(port, count):
    await _connect(port, probe().CountingListener(count), None)
