"""Paper trading and the emulated venue: the same engine on the same market gets the same fills, trade for trade."""

from __future__ import annotations

import numpy as np
import pytest

import liqcore as lc
from exchange_bridge import Bridge
from generated import events_of
from liqcore.audit import AuditKind
from liqcore.event import Role
from liqshell.emulator.exchange import Settings
from liqshell.emulator.market import Market
from liqshell.emulator.market.contracts import contracts_of
from markets import Fade, market, paper
from run_folder import instruments_of

LIMITS = {"data_age_max_s": 60.0, "orders_per_minute_max": 1000, "daily_loss_max": 0.5, "weekly_loss_max": 0.5}


def fills(engine: lc.Engine) -> list[tuple]:
    """(time, bracket, what for, price, quantity, maker) of every fill that the engine has heard of. A stop that has fired and a close at market on their
    way out together are one: which of them gets how much of a thin quote is the venue's choice."""
    records = engine.audit.drain()
    found = records[records["kind"] == int(AuditKind.AUDIT_FILL)]
    leaving = {int(Role.ROLE_STOP): "out", int(Role.ROLE_CLOSE): "out"}
    return [
        (
            int(r["ts"]),
            int(r["id"]) >> 12,
            leaving.get(int(r["id"]) & 15, int(r["id"]) & 15),
            *(round(float(x), 9) for x in r["x"][:2]),
            bool(int(r["x"][3]) & 1),
        )
        for r in found
    ]


@pytest.mark.parametrize(("model", "taker"), [("through", "next"), ("queue", "walk")])
def test_the_same_fills_in_the_generated_market(model, taker):
    """The agents' market with its cascades, in the venue's own ticks and lots."""
    generator = Market(seed=4, symbols=("SOLUSDT", "DOGEUSDT"))
    names = instruments_of(generator)
    events = np.concatenate([events_of(block, names) for block in generator.blocks(3.0)])
    config = lc.CascadeConfig(warmup=20, quantile=0.7)

    def engine() -> lc.Engine:
        return lc.Engine(names, config, Fade(entry_offset=0.0003), lc.Risk(**LIMITS), audit_capacity=1 << 17)

    on_paper = lc.Paper(engine(), lc.SimVenue(names, fills=model, taker=taker, order_latency_s=0.0, ack_latency_s=0.0))
    on_paper.run(events)
    bridge = Bridge(
        engine(), Settings(fills=model, taker=taker, conditional_survives=False, wrong_side_stops="fire"), contracts_of(("SOLUSDT", "DOGEUSDT"))
    )
    bridge.run(events)
    expected = fills(on_paper.engine)
    assert fills(bridge.engine) == expected and len(expected) > 10


@pytest.mark.parametrize(("model", "taker"), [("through", "next"), ("touch", "next"), ("queue", "next"), ("touch", "walk"), ("queue", "walk")])
@pytest.mark.parametrize(
    "options",
    [{}, {"trail": 0.001, "entry_offset": 0.0002, "max_hold_s": 300}, {"entry": "market", "entry_offset": 0}],
    ids=["bracket", "trailing", "market"],
)
def test_paper_and_the_emulated_venue_give_the_same_fills(model, taker, options):
    total = 0
    for seed in range(6):
        events = market(seed, 3000, feed=True, spread=(0.01, 2.0)[seed % 2], masks=True)
        events["aux_qty"] = np.where(events["kind"] == int(lc.Kind.TICKER), 1e-4, events["aux_qty"])
        on_paper = paper(Fade(**options), risk=LIMITS, fills=model, taker=taker, order_latency_s=0.0, ack_latency_s=0.0)
        on_paper.run(events)
        bridge = Bridge(
            paper(Fade(**options), risk=LIMITS).engine, Settings(fills=model, taker=taker, conditional_survives=False, wrong_side_stops="fire")
        )
        bridge.run(events)
        expected, got = fills(on_paper.engine), fills(bridge.engine)
        assert got == expected, (
            f"seed {seed}: first difference {next((p for p in zip(expected, got, strict=False) if p[0] != p[1]), (len(expected), len(got)))}"
        )
        total += len(got)
        assert abs(bridge.engine.account.equity - on_paper.engine.account.equity) < 1e-5
        bridge.settle()  # what the venue has said and the engine has not heard yet
        truth = bridge.exchange.truth(bridge.account)
        assert truth["positions"] or truth["balance"] - 1e6 == pytest.approx(bridge.engine.account.equity - 10_000.0, abs=1e-4)
    assert total > 50, "the market has not traded enough to show anything"
