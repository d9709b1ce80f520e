"""An order to bytes: all contestants make the same bytes. Figures, row 10."""

import random

from benches import ours, rivals, streams
from benches.build import probe
from benches.timing import Case, Contestant, measure, per_item


def orders(n: int) -> list[tuple[int, int, int, bool, int, int]]:
    """(id, cause, ts_ms, is_buy, price in cents, quantity in thousandths)."""
    rng = random.Random(streams.SEED)
    return [
        (
            rng.getrandbits(40),
            rng.getrandbits(20),
            streams.BASE_MS + i,
            rng.random() < 0.5,
            rng.randrange(100_000, 500_000),
            rng.randrange(100, 99_999),
        )
        for i in range(n)
    ]


def run(quick: bool) -> list[dict]:
    repeats, target_ms = (3, 1.0) if quick else (40, 3.0)
    pool = orders(1024)
    present, absent = rivals.roles("encode")
    encode = {name: module.encode() for name, module in present.items()}
    mine, requests = ours.encode(), [ours.request(order) for order in pool]
    for order, request in zip(pool, requests, strict=True):
        wanted = mine(request)
        for name, f in encode.items():
            if f(order) != wanted:
                raise AssertionError(f"{name} made {f(order)!r}, ours {wanted!r}")
    contestants = [Contestant("ours", per_item(mine, requests))]
    contestants += [Contestant(name, per_item(f, pool), note=rivals.note(present[name], "encode")) for name, f in encode.items()]
    loop = probe().EncodeLoop(ours.encoder(), ours.requests(pool))
    title = f"encode order.create ({len(mine(requests[0]))} B, the same bytes from all)"
    return [
        measure(Case("encode.create", title, "order", contestants, absent), repeats, target_ms),
        measure(
            Case("encode.create.c", "encode order.create inside C", "order", [Contestant("ours", lambda n: lambda: loop.run(n))]), repeats, target_ms
        ),
    ]
