"""Equity after a restart with an open trade: what the venue says, with everything that happened meanwhile counted once."""

import asyncio
import dataclasses

import pytest

import liqcore as lc
from liqshell.emulator.server import Config, serve
from liqshell.live.equity import cash, unheard
from liqshell.venues.reports import Execution
from live_rig import trade, until_held

HOLD = "entry_offset = 0\nentry = 'market'\nmax_hold_s = 3600\ntake_profit = 0.05\nstop_loss = 0.05\n"


def real(truth):
    return {symbol: p["qty"] for (symbol, _), p in truth["positions"].items() if p["qty"]}


@pytest.mark.parametrize(
    ("paid_in", "share"),
    [
        pytest.param(5000.0, 0.0, marks=pytest.mark.slow),
        pytest.param(-3000.0, 0.0, marks=pytest.mark.slow),
        pytest.param(0.0, 0.5, marks=pytest.mark.slow),
        (5000.0, 1.0),
        (-3000.0, 0.5),
    ],
)
def test_two_runs_with_money_and_fills_in_between(tmp_path, paid_in, share):
    """The first run leaves a position. Then money comes or goes, and a part of the position is closed, while nobody listens. The second run begins with
    the account's equity and ends flat with exactly the venue's balance: what happened in between counts once."""

    async def main(seed, folder):
        async with await serve(Config(seed=seed, speed=120.0, lead_s=0.3)) as emulator:
            exchange, account = emulator.desk.exchange, emulator.keys[0].account
            await trade(emulator, folder / "run0", folder, 4000, policy=HOLD, during=until_held)
            between = real(exchange.truth(account))
            if share:
                for symbol, qty in between.items():
                    part = round(abs(qty) * share, emulator.states[symbol].contract.lot_decimals)
                    exchange.manual_trade(account, symbol, "Sell" if qty > 0 else "Buy", f"{part}", emulator.clock.now_ns())
                await asyncio.sleep(0.5)
            account.balance += paid_in
            for n in range(1, 9):  # a busy machine may need longer to reconcile than the market lasts
                session, manifest = await trade(emulator, folder / f"run{n}", folder, 3, policy=HOLD, flatten=True)
                if "Nothing was started" not in manifest["ended"]:
                    break
            return between, session, manifest, exchange.truth(account)

    for seed in (6, 7):  # a position may have ended on its own before we look
        (tmp_path / str(seed)).mkdir()
        between, session, manifest, truth = asyncio.run(main(seed, tmp_path / str(seed)))
        if between:
            break
    assert between, "no position was open between the runs: choose another seed"
    assert not real(truth) and manifest["ended"] == "flat"
    assert session.pipeline.engine.account.equity == pytest.approx(truth["balance"], abs=1e-6)


# ---- what the executions explain ----

ETH = lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.01")
OTHER = lc.Instrument("ETHUSDT", venue="okx", tick_size="0.01", lot_size="0.01")


def execution(name, side, price, qty, fee=0.0, link="ours", kind="Trade", ts=1, **more):
    return dataclasses.replace(Execution(name, "o", link, "ETHUSDT", side, price, qty, fee, False, kind, "", "", 0, ts), **more)


class Restored:
    """An engine as it comes out of the image: two ETH bought at 2000, with what that cost."""

    def __init__(self):
        self.account = lc.Account([ETH, OTHER], 10_000.0)
        self.account.on_fill(0, 1, 200_000, 200, 2.0)
        self.account.on_mark(0, 2100.0)


def change(found, held, known=()):
    return unheard(Restored(), [ETH, OTHER], found, {"ETHUSDT": held}, set(known), lambda link: link == "ours")


def test_nothing_happened():
    assert change([], 2.0) == 0.0 and cash(Restored().account, 2) == pytest.approx(9998.0)


@pytest.mark.parametrize(
    ("found", "held", "expected"),
    [
        ([execution("a", -1, 2100.0, 2.0, 1.5)], 0.0, 198.5),  # sold 2 at 100 more, less the fee
        ([execution("a", -1, 2100.0, 0.5, 0.25)], 1.5, 49.75),
        ([execution("a", 1, 2200.0, 2.0, 1.0)], 4.0, -1.0),  # bought: the fee only
        ([execution("b", -1, 2200.0, 4.0, 1.0, ts=2), execution("a", 1, 2200.0, 2.0, 1.0, ts=1)], 0.0, 398.0),  # average 2100
        ([execution("a", -1, 1900.0, 2.0, 1.0, link="", stop_kind="StopLoss")], 0.0, -201.0),  # the attached stop has no name of ours
        ([execution("a", -1, 1900.0, 2.0, 1.0, link="", kind="BustTrade")], 0.0, -201.0),
        ([execution("f", 0, 2000.0, 2.0, 0.4, kind="Funding")], 2.0, -0.4),
        ([execution("d", -1, 2000.0, 2.0, 0.0, kind="Dividend")], 2.0, 0.0),  # no trade
        ([execution("a", -1, 2100.0, 1.0)], 2.0, 0.0),  # counted, and not yet in the store
    ],
)
def test_what_will_still_be_counted(found, held, expected):
    assert change(found, held) == pytest.approx(expected, abs=1e-9)


def test_what_was_counted_is_known_by_its_id():
    assert change([execution("a", -1, 2100.0, 1.0), execution("b", -1, 2100.0, 1.0, 0.5)], 1.0, known=["a"]) == pytest.approx(99.5)


@pytest.mark.parametrize(
    ("found", "held"), [([], 0.0), ([], 3.0), ([execution("a", -1, 2100.0, 1.0)], 0.0), ([execution("a", 1, 2100.0, 1.0, link="somebody")], 3.0)]
)
def test_what_they_do_not_explain_changes_nothing(found, held):
    assert change(found, held) is None
