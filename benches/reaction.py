"""In process, no socket: frame bytes -> decode -> P95 of 1000, z over 288, signed 60 s window -> order bytes. PERFORMANCE row 11."""

from benches import ours, rivals, streams
from benches.build import probe
from benches.timing import Case, Contestant, measure, per_item

FRAMES = 4096


def run(quick: bool) -> list[dict]:
    repeats, target_ms = (2, 2.0) if quick else (9, 20.0)
    frames = streams.liquidation_frames(FRAMES, 1)
    present, absent = rivals.roles("reaction")
    entries = [("ours", ours.reaction(), "")]
    entries += [(name, module.reaction(), rivals.note(module, "reaction")) for name, module in present.items()]
    for _, react, _ in entries:
        for frame in frames[:1500]:
            react(frame)
    loop = probe().Reaction(ours.decoder(), ours.encoder(), 0)
    loop.load(frames)
    return [measure(Case("reaction", "frame to order bytes in process: one Python call a frame", "frame",
                         [Contestant(name, per_item(react, later(frames)), note=note) for name, react, note in entries], absent), repeats, target_ms),
            measure(Case("reaction.c", "frame to order bytes inside C", "frame", [Contestant("kernels", lambda n: lambda: loop.run(n))]),
                    repeats, target_ms),
            *engine(quick, repeats, target_ms)]


def later(frames: list[bytes]) -> list[bytes]:
    """All frames in order; the pool is walked round and round, so event time jumps back once a round and everybody empties the window late."""
    return frames


def engine(quick: bool, repeats: int, target_ms: float) -> list[dict]:
    """The real path: liqcore.Engine.step with detector, audit and risk, without Python in the loop."""
    steps = probe().EngineLoop(ours.engine(), ours.events(20_000 if quick else 200_000))
    return [measure(Case("engine.step", "Engine.step of a liquidation: door, kernels, detector, audit, inside C", "event",
                         [Contestant("ours", lambda n: lambda: steps.run(n))]), repeats, target_ms)]
