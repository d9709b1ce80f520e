"""The program that `python -m benches check` runs under callgrind: each loop at two lengths, each run dumped under its own label.

The difference of the two lengths, over the difference in items, is instructions per item: calling the loop, filling windows and starting
Python cancel.
"""

import numpy as np

import liqcore as lc
from benches import market, ours, streams, venue_streams
from benches.build import probe
from benches.simulators import liqcore_step, liqcore_sweep
from benches.simulators import ours as simulated
from liqcore.detectors.registry import make_detector
from liqcore.event import REQUEST_DTYPE, Action, OrderType
from liqcore.instrument import Instrument
from liqcore.sweep import Task, fade, signals_of
from liqshell.venues.adapters import adapter_of

SHORT, LONG = 2_000, 12_000
DAY = 200_000  # trades of the walk's day: 2,000 liquidations
SETTINGS = 1000  # of one sweep


def loops() -> dict[str, tuple]:
    """Label -> (method taking n, what one item is)."""
    p = probe()
    values = streams.notional(1 << 14)
    reaction = p.Reaction(ours.decoder(), ours.encoder(), 0, round_ns=4096 * 500 * 10**6)
    reaction.load(streams.LiquidationStream().take(4096))
    reaction.run(4096)
    engine = p.EngineLoop(ours.engine(), ours.events(50_000))
    featured = p.EngineLoop(ours.featured(), ours.mixed_events(50_000))
    bank = p.EngineLoop(ours.bank(), ours.events(50_000))
    detectors = {
        told["kind"]: probe("probe_detectors").DetectorLoop(make_detector(**told), Instrument("ETHUSDT"), ours.events(50_000))
        for told in ours.DETECTORS
    }
    day = market.day(DAY)
    tape = lc.Tape([simulated.instrument()], liqcore_step.parts(day))
    return {
        "quantile.decide": (p.QuantileLoop(values, 0.95, 1000).decide, "decision x >= P95 and push, window 1000"),
        "quantile.push": (p.QuantileLoop(values, 0.95, 1000).push, "push and exact P95, window 1000"),
        "window.push": (p.WindowLoop(values).push, "push and signed sum, 60 s"),
        "zscore.push": (p.ZscoreLoop(values, 288).push, "push, mean and std over 288"),
        **excitation_loops(values),
        "scan.liquidation": (p.DecodeLoop(ours.decoder(), streams.liquidation_frames(256, 1)).run, "allLiquidation frame of one row"),
        "scan.trade": (p.DecodeLoop(ours.decoder(), streams.trade_frames(256, 1)).run, "publicTrade frame of one row"),
        **venue_loops(p),
        "guard.entry": (p.GuardLoop(guard(), entries(), float(market.PRICE)).run, "entry through the guard of the last hop, four instruments"),
        "guard.cancel": (p.GuardLoop(guard(), entries(Action.ACTION_CANCEL), float(market.PRICE)).run, "cancel through the guard"),
        "encode.create": (p.EncodeLoop(ours.encoder(), ours.requests(_orders())).run, "order.create message"),
        "reaction": (reaction.run, "frame to order bytes: scan, kernels, encode"),
        "engine.step": (engine.run, "Engine.step of a liquidation: validation, kernels, detector, audit"),
        "engine.bank": (bank.run, "the same with six detectors side by side"),
        "engine.features": (featured.run, "event of a whole market (trades, quotes, tickers, liquidations) with the features of `reversal`"),
        **{f"detector.{kind}": (loop.run, f"liquidation through detector {kind}, its deadlines included") for kind, loop in detectors.items()},
        "walk": (lambda n: walk(tape, n), "liquidation of a backtest of 200,000 trades: all of the run, 1/2000 of it"),
        "sweep": (settings_loop(tape), "setting of a sweep of 1,000 over 200,000 trades, touch fills, no latency"),
        "passage": (p.PassageLoop(tape, 30).run, "first-passage query, 30 ticks away, over 200,000 trades"),
        "venue.match": (resting(simulated.events(day)[:20_000]).run, "row of the market at the simulated venue, two orders resting"),
    }


def venue_loops(p) -> dict[str, tuple]:
    """Frames of the other venues that go by shape."""
    out = {}
    for venue, kind in (
        ("binance_um", "quote"),
        ("binance_um", "trade"),
        ("binance_um", "liquidation"),
        ("binance_um", "ticker"),
        ("okx", "quote"),
        ("okx", "trade"),
        ("okx", "ticker"),
        ("okx", "liquidation"),
        ("hyperliquid", "quote"),
        ("hyperliquid", "trade"),
        ("hyperliquid", "ticker"),
    ):
        scan = adapter_of(venue).decoder([venue_streams.SYMBOL[venue].format("C000")]).scan
        out[f"scan.{venue}.{kind}"] = (p.DecodeLoop(scan, venue_streams.frames(venue, kind, 256)).run, f"{kind} frame of {venue}")
    return out


def excitation_loops(values) -> dict[str, tuple]:
    """Hawkes and the liquidation maps."""
    p = probe("excitation")
    pending = p.PendingLoop(values)
    return {
        "hawkes.push": (p.HawkesLoop(values).push, "liquidation into the Hawkes kernel: intensities, branching, history"),
        "hawkes.push.500": (p.HawkesLoop(values, 500).push, "the same, 500 contracts that excite each other"),
        "pending.push": (pending.push, "trade into the estimated map, open interest once in 20"),
        "pending.read": (pending.read, "estimated notional within 3 % of the price"),
        **{
            f"detector.{kind}": (
                probe("probe_detectors").DetectorLoop(make_detector(kind, **told), Instrument("ETHUSDT"), ours.events(50_000)).run,
                f"liquidation through detector {kind}, its deadlines included",
            )
            for kind, told in (("hawkes", {"percentile": 0.0}), ("zone", {}))
        },
        "density.push": (p.DensityLoop(values).push, "liquidation into the realised map, zones decided once in 1,200"),
    }


def walk(tape: lc.Tape, n: int) -> None:
    for _ in range(n * (market.FULL // DAY) // market.FORCED):
        liqcore_step.one(tape, market.Setting(), market.Detector(), liqcore_step.DELAY_S)


def settings_loop(tape: lc.Tape):
    """Whole sweeps on one core: each is 1,000 items."""
    signals, places = signals_of(tape, 0, simulated.config(market.Detector()))
    task = Task(tape, 0, signals, fade(signals), places=places, **liqcore_sweep.OPTIONS)
    grid = liqcore_sweep.grid(market.settings(SETTINGS))

    def run(n: int) -> None:
        for _ in range(n // SETTINGS):
            task.sweep(grid, threads=1)

    return run


def guard() -> lc.Guard:
    names = [lc.Instrument(f"S{n}USDT", tick_size="1", lot_size="0.001") for n in range(4)]
    return lc.Guard(names, orders_per_minute_max=256, total_notional_max=1e12, entry_age_s=4e9)


def entries(action: int = Action.ACTION_CREATE):
    """An entry of each of four instruments in turn, each time of a new bracket."""
    out = np.zeros(1 << 14, REQUEST_DTYPE)
    n = np.arange(len(out))
    out["instrument"], out["side"], out["action"], out["type"] = n % 4, 1, action, OrderType.ORDER_LIMIT
    out["id"] = n % 4 << 40 | (n // 4 + 1) << 12 | 1
    out["price"], out["stop"], out["qty"] = market.PRICE, market.PRICE * 99 // 100, 1
    return out


def resting(events):
    """A venue where a buy and a sell wait 5 % away."""
    orders = np.zeros(2, REQUEST_DTYPE)
    orders["id"], orders["side"], orders["price"], orders["qty"] = (1, 4097), (1, -1), (market.PRICE * 19 // 20, market.PRICE * 21 // 20), 1
    orders["action"], orders["type"] = Action.ACTION_CREATE, OrderType.ORDER_LIMIT
    return probe("probe_venue").MatchLoop(liqcore_step.venue(0.0), events[events["kind"] != lc.Kind.LIQUIDATION], orders)


def _orders():
    from benches.encode import orders

    return orders(1024)


def main() -> None:
    p = probe()
    for label, (run, _) in loops().items():
        for n in (SHORT, LONG):
            p.count_start()
            run(n)
            p.count_stop(f"{label} {n}".encode())


if __name__ == "__main__":
    main()
