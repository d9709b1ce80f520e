"""What a type checker sees of liqcore. Read by mypy in tests/project/test_stubs.py, never run: every reveal_type() stands beside what it must say."""

from typing import TYPE_CHECKING

import liqcore as lc

if TYPE_CHECKING:
    from typing import reveal_type

engine = lc.Engine(["ETHUSDT"], lc.CascadeConfig(quantile=0.95, window_s=60))
reveal_type(engine)  # liqcore.engine.Engine
reveal_type(engine.instruments)  # tuple[liqcore.instrument.Instrument, ...]
reveal_type(engine.on_liquidation(0, 0, "ETHUSDT", lc.LONG, 2500.0, 1.0))  # tuple[liqcore.event.Signal, ...]
reveal_type(engine.drain())  # list[liqcore.request.Request]
reveal_type(engine.next_deadline)  # int | None
reveal_type(engine.refused)  # dict[liqcore.event.Reason, int]
reveal_type(engine.phase("ETHUSDT"))  # liqcore.event.Phase
reveal_type(engine.account.equity)  # float
reveal_type(engine.audit.drain().dtype)  # numpy.dtype[numpy.void]
reveal_type(engine.snapshot())  # bytes
reveal_type(lc.LONG)  # liqcore.event.Side
reveal_type(lc.SECOND)  # int
reveal_type(lc.AUDIT_FIELDS[lc.AuditKind.AUDIT_FILL])  # tuple[str, tuple[str, ...]]


class Fade(lc.Policy):
    def on_signal(self, signal: lc.Signal, market: lc.Market) -> lc.Bracket | None:
        reveal_type(signal.phase)  # liqcore.event.Phase
        reveal_type(signal.side)  # liqcore.event.Side
        reveal_type(market.last)  # float
        reveal_type(market.instrument.symbol)  # str
        if signal.phase == lc.Phase.ACTIVE:
            return lc.Bracket(signal.side, entry_offset=0.0015, take_profit=0.0015, stop_loss=0.0025, notional=2000.0)
        return None


ethusdt = lc.Instrument("ETHUSDT", tick_size="0.01", lot_size="0.01")
paper = lc.Paper(lc.Engine([ethusdt], policy=Fade(), risk=lc.Risk(daily_loss_max=0.01)), lc.SimVenue([ethusdt], fills="touch"))
slow = lc.Latency(order_samples=[0.02, 0.04], ack_s=0.1, seed=7)
reveal_type(lc.SimVenue([ethusdt], fills="queue", hidden="none", taker="walk", latency=slow, leverage=10.0).reach(0))  # tuple[float, float, bool]
reveal_type(paper.advance(0))  # list[liqcore.event.Signal]
for request in paper.engine.drain():
    reveal_type(request.price)  # float | None
    reveal_type(request.qty_text)  # str
    reveal_type(request.role)  # liqcore.event.Role
reveal_type(lc.Cascade().push(0, lc.SHORT, 1e5))  # list[liqcore.event.Signal]
reveal_type(lc.Window(60 * lc.SECOND).total)  # float
reveal_type(lc.SegmentZ(60 * lc.SECOND).push(0, 1.0))  # float
reveal_type(lc.RollingQuantile().push(1.0))  # float
reveal_type(lc.QuantileSketch().quantile(0.5))  # float
reveal_type(lc.get_include())  # str

# what a checker must refuse
engine.instruments = ()  # type: ignore[misc]
lc.CascadeConfig(mode="chian")  # type: ignore[arg-type]
lc.Bracket(lc.LONG)  # type: ignore[call-arg]
lc.SimVenue(["ETHUSDT"])  # type: ignore[list-item]
lc.SimVenue([ethusdt], fills="magic")  # type: ignore[arg-type]
engine.on_trade(0, 0, "ETHUSDT", lc.LONG, "2500", 1.0)  # type: ignore[arg-type]
