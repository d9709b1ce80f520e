"""liqcore's step and hftbacktest on the same ticks, fill for fill. Row 28; tests/core/simulation/test_hftbacktest.py runs all of it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

import liqcore as lc
from benches import market
from benches.simulators import ours

LATENCIES_S = (0.0, 0.01, 0.1)


class Watched(lc.Policy):
    """The task's rule, at the touch or away from it; it remembers what it was asked, for the other engine."""

    def __init__(self, setting: market.Setting, tick: float, notional: float, touch: bool):
        self.setting, self.tick, self.notional, self.touch = setting, tick, notional, touch
        self.seen: list[tuple[int, int, int]] = []

    def on_signal(self, signal, now):
        if signal.phase != lc.Phase.ACTIVE:
            return None
        near = now.bid if signal.side > 0 else now.ask
        self.seen.append((signal.ts, signal.side, round((near if self.touch else now.last) / self.tick)))
        return ours.bracket(self.setting, signal.side, self.notional, self.seen[-1][2])


@dataclass(frozen=True)
class Scene:
    day: market.Day
    instrument: lc.Instrument
    config: lc.CascadeConfig
    notional: float

    @cached_property
    def tape(self) -> lc.Tape:
        return lc.Tape.of([self.instrument], ours.events(self.day))


def step(scene: Scene, setting: market.Setting, latency_s: float, touch: bool) -> tuple[list[tuple], float, np.ndarray]:
    """liqcore: (fills as of hftbacktest_resident.FILL, cash less fees, signals)."""
    day = scene.day
    policy = Watched(setting, day.tick, scene.notional, touch)
    engine = lc.Engine([scene.instrument], scene.config, policy, ours.risk(), equity=1e6, audit_capacity=1 << 17)
    paper = lc.Paper(
        engine,
        lc.SimVenue(
            [scene.instrument],
            fills="queue",
            hidden="none",
            maker_fee=market.MAKER,
            taker_fee=market.TAKER,
            order_latency_s=latency_s,
            ack_latency_s=latency_s,
            funding_interval_s=0,
        ),
    )
    done = lc.Walk(paper, scene.tape).run(scene.tape.end + round(latency_s * 1e9))
    audit = engine.audit.drain()
    if not done or engine.audit.lost or engine.refused or paper.venue.lost:
        raise AssertionError(f"the run was not whole: {done}, {engine.audit.lost} records lost, refused {engine.refused}, venue {paper.venue.lost}")
    fills = audit[audit["kind"] == lc.AuditKind.AUDIT_FILL]
    x = fills["x"]
    rows = [
        (int(ts) - round(latency_s * 1e9), round(p / day.tick), q, s, bool(int(m) & lc.FillFlag.FILL_MAKER))
        for ts, p, q, s, m in zip(fills["ts"], x[:, 0], x[:, 1], fills["side"], x[:, 3], strict=True)
    ]
    held = float((x[:, 1] * fills["side"]).sum())
    if abs(paper.venue.position(0) - held) > 1e-9 or abs(engine.account.position(0)["qty"] - held) > 1e-9:
        raise AssertionError(f"the fills sum to {held}, the venue holds {paper.venue.position(0)}, the account {engine.account.position(0)}")
    cash = -(x[:, 0] * x[:, 1] * fills["side"]).sum() - x[:, 2].sum()
    return rows, cash, np.array(policy.seen, [("ts", "i8"), ("side", "i8"), ("reference", "i8")])


def difference(scene: Scene, setting: market.Setting, latency_s: float, touch: bool) -> tuple[str, int]:
    """The first difference in words, '' if there is none; and the number of fills."""
    from benches.simulators import hftbacktest_resident

    setting = replace(setting, offset=0) if touch else setting
    mine, cash, signals = step(scene, setting, latency_s, touch)
    fills, their_cash = hftbacktest_resident.fills(scene.day, signals, setting, latency_s)
    theirs = [(int(f["ts"]), int(f["price"]), float(f["qty"]), int(f["side"]), bool(f["maker"])) for f in fills]
    where = f"{setting}, {latency_s} s, {'touch' if touch else 'away'}: "
    for n, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            return f"{where}fill {n} of {len(mine)}: liqcore {a}, hftbacktest {b}", len(mine)
    if len(mine) != len(theirs) or abs(cash - their_cash) > 1e-4:
        return f"{where}{len(mine)} fills and cash {cash!r}, hftbacktest {len(theirs)} and {their_cash!r}", len(mine)
    return "", len(mine)
