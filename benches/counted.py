"""The program that `python -m benches check` runs under callgrind: each loop at two lengths, each run dumped under its own label.

The difference of the two lengths, over the difference in items, is instructions per item: calling the loop, filling windows and starting
Python cancel.
"""

from benches import ours, streams
from benches.build import probe

SHORT, LONG = 2_000, 12_000


def loops() -> dict[str, tuple]:
    """Label -> (method taking n, what one item is)."""
    p = probe()
    values = streams.notional(1 << 14)
    reaction = p.Reaction(ours.decoder(), ours.encoder(), 0, round_ns=4096 * 500 * 10**6)
    reaction.load(streams.LiquidationStream().take(4096))
    reaction.run(4096)
    engine = p.EngineLoop(ours.engine(), ours.events(50_000))
    return {
        "quantile.decide": (p.QuantileLoop(values, 0.95, 1000).decide, "decision x >= P95 and push, window 1000"),
        "quantile.push": (p.QuantileLoop(values, 0.95, 1000).push, "push and exact P95, window 1000"),
        "window.push": (p.WindowLoop(values).push, "push and signed sum, 60 s"),
        "zscore.push": (p.ZscoreLoop(values, 288).push, "push, mean and std over 288"),
        "scan.liquidation": (p.DecodeLoop(ours.decoder(), streams.liquidation_frames(256, 1)).run, "allLiquidation frame of one row"),
        "scan.trade": (p.DecodeLoop(ours.decoder(), streams.trade_frames(256, 1)).run, "publicTrade frame of one row"),
        "encode.create": (p.EncodeLoop(ours.encoder(), ours.requests(_orders())).run, "order.create message"),
        "reaction": (reaction.run, "frame to order bytes: scan, kernels, encode"),
        "engine.step": (engine.run, "Engine.step of a liquidation: door, kernels, detector, audit"),
    }


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
