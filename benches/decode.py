"""Frames to floats: until price, quantity, side and time of every row are held. Figures, row 8 and 9."""

from benches import ours, rivals, streams
from benches.build import probe
from benches.timing import Case, Contestant, measure, per_item

FRAMES = 256  # distinct frames: no parser may live off one


def shapes() -> dict[str, tuple[str, list[bytes]]]:
    return {
        "liquidation.x1": ("liquidation", streams.liquidation_frames(FRAMES, 1)),
        "liquidation.x10": ("liquidation", streams.liquidation_frames(FRAMES, 10)),
        "trade.x1": ("trade", streams.trade_frames(FRAMES, 1)),
        "trade.x20": ("trade", streams.trade_frames(FRAMES, 20)),
        "book.top": ("top", streams.top_frames(FRAMES)),
        "book.delta": ("book", streams.book_frames(FRAMES)),
    }


def run(quick: bool) -> list[dict]:
    repeats, target_ms = (3, 1.0) if quick else (40, 3.0)
    out = []
    for name, (shape, frames) in shapes().items():
        out.append(measure(python_calls(name, shape, frames), repeats, target_ms))
        if shape in ours.SHAPES:
            loop = probe().DecodeLoop(ours.decoder(), frames)
            out.append(
                measure(
                    Case(
                        f"decode.{name}.c",
                        f"decode {name} inside C ({len(frames[0])} B)",
                        "frame",
                        [Contestant("ours", lambda n, loop=loop: lambda: loop.run(n))],
                    ),
                    repeats,
                    target_ms,
                )
            )
    return out


def python_calls(name: str, shape: str, frames: list[bytes]) -> Case:
    present, absent = rivals.roles("decode")
    entries = [(rival, module.decode(shape), rivals.note(module, "decode")) for rival, module in present.items()]
    if shape in ours.SHAPES:
        entries.insert(0, ("ours", ours.decode(shape), ""))
    else:
        absent = {"ours": f"liqcore.codec.decode has no shape for '{shape}' frames yet", **absent}
    expected = {frame: present["json_stdlib"].decode(shape)(frame) for frame in frames}
    for rival, decode, _ in entries:
        last = ours.last_row if rival == "ours" else (lambda result: result)
        for frame in frames:
            got = last(decode(frame))
            if got != expected[frame]:
                raise AssertionError(f"{rival}: read {got} from {frame[:120]!r}, json reads {expected[frame]}")
    return Case(
        f"decode.{name}",
        f"decode {name} ({len(frames[0])} B): one Python call a frame",
        "frame",
        [Contestant(rival, per_item(decode, frames), note=note) for rival, decode, note in entries],
        absent,
    )
