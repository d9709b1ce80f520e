"""In process, no socket: frame bytes -> decode -> P95 of 1000, z over 288, signed 60 s window -> order bytes. Figures, row 11."""

import json

from benches import ours, rivals, streams
from benches.build import probe
from benches.timing import Case, Contestant, Prepare, Run, measure

FRAMES = 4096


def run(quick: bool) -> list[dict]:
    repeats, target_ms = (3, 1.0) if quick else (40, 3.0)
    present, absent = rivals.roles("reaction")
    entries = [("ours", ours.reaction(), "")]
    entries += [(name, module.reaction(), rivals.note(module, "reaction")) for name, module in present.items()]
    stream = streams.LiquidationStream()
    loop = probe().Reaction(ours.decoder(), ours.encoder(), 0, round_ns=FRAMES * stream.GAP_MS * 10**6)
    loop.load(stream.take(FRAMES))
    return [
        measure(
            Case(
                "reaction",
                "frame to order bytes in process: one Python call a frame",
                "frame",
                [Contestant(name, fresh(react), note=note) for name, react, note in entries],
                absent,
            ),
            repeats,
            target_ms,
        ),
        measure(
            Case("reaction.c", "frame to order bytes inside C", "frame", [Contestant("kernels", lambda n: lambda: loop.run(n))]), repeats, target_ms
        ),
        *engine(quick, repeats, target_ms),
    ]


def fresh(react) -> Prepare:
    """Each contestant sees its own endless stream, its quantile window full from the start."""
    stream = streams.LiquidationStream()
    for frame in stream.take(1500):
        check_order(react(frame))

    def prepare(n: int) -> Run:
        frames = stream.take(n)

        def run() -> None:
            for frame in frames:
                react(frame)

        return run

    return prepare


def check_order(order: bytes) -> None:
    args = json.loads(order)["args"][0]
    if args["symbol"] != "ROSEUSDT" or not 0.03 < float(args["price"]) < 0.06:
        raise AssertionError(f"not the order that was asked for: {order!r}")


def engine(quick: bool, repeats: int, target_ms: float) -> list[dict]:
    """The real path: liqcore.Engine.step with detector, audit and risk, without Python in the loop."""
    steps = probe().EngineLoop(ours.engine(), ours.events(20_000 if quick else 200_000))
    return [
        measure(
            Case(
                "engine.step",
                "Engine.step of a liquidation: validation, kernels, detector, audit, inside C",
                "event",
                [Contestant("ours", lambda n: lambda: steps.run(n))],
            ),
            repeats,
            target_ms,
        )
    ]
