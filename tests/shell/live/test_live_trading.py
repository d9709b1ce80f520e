"""Real orders over real sockets against the emulated venue: what was decided live is decided again, and what is believed is so at the venue."""

import asyncio
import json
import os
import time

import numpy as np
import pytest

import liqcore as lc
from liqcore.event import Role
from liqshell import demo
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, DataError, VenueError
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.recorder import REPORT
from liqshell.report import make_report
from liqshell.run import backtest_parity as parity
from liqshell.run import replay
from liqshell.state.control import Control, Kill
from liqshell.state.image import IMAGE
from liqshell.state.image_file import inspect
from liqshell.state.store import Store
from live_rig import NS, configuration, live, trade, until_held


def requests(audit, role):
    asked = audit[audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)]
    return asked[(asked["phase"] == 1) & (asked["x"][:, 7] == int(role))]


def believed(session):
    """Positions as the engine holds them, signed, by symbol."""
    engine = session.pipeline.engine
    found = {i.symbol: round(engine.bracket(n)["held"] * engine.bracket(n)["side"], 9) for n, i in enumerate(engine.instruments)}
    return {symbol: qty for symbol, qty in found.items() if qty}


def real(truth):
    return {symbol: round(p["qty"], 9) for (symbol, _), p in truth["positions"].items() if p["qty"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live") / "run"
    return folder, *live(folder, 12, speed=120.0, seed=6, policy="entry_offset = 0\nentry = 'market'\nmax_hold_s = 120\ncooldown_s = 5\n")


def test_a_live_run_trades_and_replays_to_the_same_bytes(run):
    _, session, manifest, audit, verdict, truth = run
    assert verdict.identical and verdict.records == len(audit) > 0, verdict
    assert len(requests(audit, Role.ROLE_ENTRY)) >= 2 and len(requests(audit, Role.ROLE_TARGET)) >= 1, "nothing was traded: choose another seed"
    assert manifest["mode"] == "live" and manifest["environment"] == "loopback" and manifest["account"]["sent"] > 0
    assert manifest["counters"]["refused"] == {} and manifest["account"]["alarms"] == [], manifest["account"]


def test_what_is_believed_at_the_end_is_so_at_the_venue(run):
    _, session, manifest, _, _, truth = run
    assert believed(session) == real(truth)
    assert all(p["stop_qty"] >= abs(p["qty"]) for p in truth["positions"].values()), "a position was left without its stop"
    assert not [order for order in truth["orders"] if not order["reduce_only"] and not order["kind"]], "an entry rests after a good end"
    assert abs(session.pipeline.engine.account.equity - truth["equity"]) < 0.02 * truth["equity"]
    assert manifest["ended"].startswith("held" if real(truth) else "flat")


def test_the_account_in_the_engine_is_the_account_at_the_venue_when_all_is_flat(run):
    _, session, _, _, _, truth = run
    if real(truth):
        pytest.skip("a position is open at the end of this run")
    assert session.pipeline.engine.account.equity == pytest.approx(truth["balance"], abs=1e-6)


def test_every_order_stands_in_the_store_and_every_report_in_the_recording(run):
    folder, session, manifest, audit, _, _ = run
    store = Store(folder.parent / "state" / "test")
    orders, executions = store.rows("orders"), store.rows("executions")
    store.close()
    assert len(orders) == manifest["account"]["sent"] + manifest["account"]["refused"] + manifest["account"]["later"]
    fills = audit[audit["kind"] == int(lc.AuditKind.AUDIT_FILL)]
    assert len(executions) >= len(fills) > 0
    marks = [record for record in recording.read(folder / journal.FRAMES) if record.stream == REPORT]
    assert len(marks) == manifest["account"]["reports"]
    rows = np.frombuffer(b"".join(bytes.fromhex(json.loads(mark.frame)["row"]) for mark in marks), lc.EVENT_DTYPE)
    assert set(rows["kind"]) <= {int(k) for k in (lc.Kind.ORDER, lc.Kind.FILL, lc.Kind.CONTROL, lc.Kind.FUNDING)}


def test_a_live_run_cannot_be_proven_as_a_backtest_and_says_why(run):
    with pytest.raises(DataError, match="traded at a real venue.*without --as"):
        parity.prove_as_backtest(run[0])


@pytest.mark.slow
def test_a_second_run_of_the_account_takes_up_what_the_first_left(tmp_path):
    async def main():
        async with await serve(Config(seed=6, speed=120.0, lead_s=0.3)) as emulator:
            out = []
            for n in range(2):
                session, manifest = await trade(
                    emulator,
                    tmp_path / f"run{n}",
                    tmp_path,
                    4000 if n == 0 else 6,
                    during=until_held if n == 0 else None,
                    policy="entry_offset = 0\nentry = 'market'\nmax_hold_s = 3600\ntake_profit = 0.05\nstop_loss = 0.05\n",
                )
                out.append((session, manifest, emulator.desk.exchange.truth(emulator.keys[0].account)))
            return out

    (first, one, between), (second, two, _) = asyncio.run(main())
    assert real(between), "no position was open between the runs: choose another seed"
    assert one["account"]["prefix"] == two["account"]["prefix"], "the ids of one state folder begin alike"
    assert two["settings"]["restored"] and two["settings"]["resumed_ns"] >= one["ended_ns"]
    ids = [set(requests(journal.load_audit(tmp_path / f"run{n}"), Role.ROLE_ENTRY)["id"].tolist()) for n in range(2)]
    assert ids[0] and not ids[0] & ids[1], "an order id was used twice"
    assert all(replay.prove(tmp_path / f"run{n}").identical for n in range(2))
    assert two["account"]["alarms"] == []


@pytest.mark.slow
def test_drops_of_every_channel_end_in_agreement(tmp_path):
    faults = [
        {"kind": "drop", "at_s": 120, "channel": "private"},
        {"kind": "drop", "at_s": 200, "channel": "trade"},
        {"kind": "drop", "at_s": 300},
        {"kind": "lose_private", "at_s": 60, "probability": 0.2},
        {"kind": "duplicate_private", "probability": 0.3},
    ]
    session, manifest, _, verdict, truth = live(
        tmp_path / "run", 10, speed=120.0, seed=6, faults=faults, policy="entry_offset = 0\nentry = 'market'\nmax_hold_s = 120\ncooldown_s = 5\n"
    )
    assert verdict.identical, verdict
    assert manifest["account"]["connects"]["private"] >= 3 and manifest["account"]["connects"]["orders"] >= 3, manifest["account"]["connects"]
    assert believed(session) == real(truth)
    assert all(p["stop_qty"] >= abs(p["qty"]) for p in truth["positions"].values())


def test_positions_are_closed_at_the_end_where_that_was_asked_for(tmp_path):
    policy = "entry_offset = 0\nentry = 'market'\nmax_hold_s = 3600\ntake_profit = 0.05\nstop_loss = 0.05\n"
    session, manifest, audit, verdict, truth = live(tmp_path / "run", 4000, speed=60.0, seed=6, policy=policy, flatten=True, during=until_held)
    assert len(requests(audit, Role.ROLE_CLOSE)) >= 1, "nothing was held at the end: choose another seed"
    assert manifest["ended"] == "flat" and not real(truth) and not truth["orders"] and verdict.identical
    assert session.pipeline.engine.account.equity == pytest.approx(truth["balance"], abs=1e-6)


def test_the_end_says_what_the_venue_holds(tmp_path):
    """A person has bought: by our books nothing is held. "Flat" is the venue's word, or it is not said."""

    async def main():
        async with await serve(Config(seed=2, speed=20.0, lead_s=0.3)) as emulator:
            exchange, account = emulator.desk.exchange, emulator.keys[0].account

            async def buy(session):
                await session.account.ready.wait()
                exchange.manual_trade(account, "ETHUSDT", "Buy", "0.5", emulator.clock.now_ns())

            _, manifest = await trade(emulator, tmp_path / "run", tmp_path, 1, during=buy, policy="entry_offset = 0.05\n")
            return manifest["ended"], real(exchange.truth(account))

    ended, truth = asyncio.run(main())
    assert truth == {"ETHUSDT": 0.5} and ended == "the venue holds ETHUSDT 0.5; our books show nothing"


def test_over_tls_with_an_authority_of_ones_own(tmp_path):
    session, manifest, _, verdict, truth = live(tmp_path / "run", 3, speed=120.0, seed=2, venue={"tls": True})
    assert verdict.identical and manifest["ended"] and manifest["counters"]["frames"] > 0
    assert session.config.feed.rest_url.startswith("https:") and session.config.feed.private_url.startswith("wss:")
    assert believed(session) == real(truth)


@pytest.mark.slow
def test_a_loop_that_stood_still_takes_no_entries_until_it_turns_again(tmp_path):
    async def block(session):
        while session.account is None or not session.account.ready.is_set():
            await asyncio.sleep(0.01)
        time.sleep(2.3)  # the fault itself
        await asyncio.sleep(60)

    _, manifest, audit, verdict, _ = live(tmp_path / "run", 9, speed=120.0, seed=2, during=block)
    assert verdict.identical and manifest["account"]["stalls"] >= 1
    rows = [
        np.frombuffer(bytes.fromhex(json.loads(mark.frame)["row"]), lc.EVENT_DTYPE)[0]
        for mark in recording.read(tmp_path / "run" / journal.FRAMES)
        if mark.stream == REPORT
    ]
    stall = [int(row["code"]) for row in rows if row["kind"] == lc.Kind.CONTROL and row["flags"] == lc.Gate.GATE_STALL]
    assert stall[:2] == [lc.Control.CONTROL_PAUSE, lc.Control.CONTROL_READY]


def test_the_demo_trades_through_the_account_and_says_so(tmp_path):
    folder = tmp_path / "run"
    manifest = asyncio.run(demo.run(demo.Plan(folder, hours=0.1)))
    assert demo.prove(folder).identical
    assert manifest["mode"] == "live" and manifest["synthetic"] and manifest["account"]["connects"] == {"private": 1, "orders": 1}
    assert make_report(folder).summary["mode"] == "LIVE AGAINST THE LOOPBACK VENUE"
    assert "LIQCORE_API_SECRET" not in os.environ or os.environ["LIQCORE_API_SECRET"] not in json.dumps(manifest, default=str)


def test_the_kill_switch_stops_entries_and_lasts(tmp_path):
    async def kill(session):
        while session.account is None or not session.account.ready.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        session.account.kill("a test", "pytest")

    async def main():
        async with await serve(Config(seed=2, speed=120.0, lead_s=0.3)) as emulator:
            session, manifest = await trade(emulator, tmp_path / "run", tmp_path, 8, during=kill)
            with pytest.raises(ConfigError, match="kill switch is on .a test"):
                await trade(emulator, tmp_path / "again", tmp_path, 1)
            return session, manifest

    session, manifest = asyncio.run(main())
    audit = journal.load_audit(tmp_path / "run")
    entries = requests(audit, Role.ROLE_ENTRY)
    halts = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_LIMIT)) & (audit["reason"] == int(lc.Reason.HALTED))]
    assert len(halts) and (entries["ts"] <= halts["ts"][0]).all(), "an entry was asked for after the kill"
    assert session.pipeline.engine.risk.halted == lc.Reason.HALTED
    assert replay.prove(tmp_path / "run").identical
    control = Control(tmp_path / "state" / "test")
    assert control.kill == Kill.KILLED
    control.close()
    assert not (tmp_path / "again").exists(), "a refused start leaves no run"


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda key: setattr(key, "withdraw", True), "this key may withdraw money"),
        (lambda key: setattr(key, "trade", False), "this key may not trade"),
        (lambda key: setattr(key, "valid", False), "the venue does not accept the key"),
    ],
)
def test_a_key_that_may_too_much_or_too_little_is_refused_before_anything_is_sent(tmp_path, change, text):
    async def main():
        async with await serve(Config(seed=1, speed=60.0)) as emulator:
            change(emulator.keys[0])
            with pytest.raises(VenueError, match=text):
                await trade(emulator, tmp_path / "run", tmp_path, 1)
            return emulator.desk.exchange.truth(emulator.keys[0].account)

    truth = asyncio.run(main())
    assert truth["orders"] == [] and not (tmp_path / "run").exists()


def test_what_a_person_does_not_confirm_is_not_done(tmp_path):
    asked = []

    async def main():
        async with await serve(Config(seed=1, speed=60.0)) as emulator:
            with pytest.raises(ConfigError, match="not confirmed.*Nothing was sent"):
                await trade(emulator, tmp_path / "run", tmp_path, 1, confirm=lambda terms, word: asked.append((terms, word)) or False)

    asyncio.run(main())
    ((terms, word),) = asked
    assert word == "MAINNET" and "REAL ORDERS" in terms and "10,000.00 USDT equity" in terms and "loss a day 50.00%" in terms


def test_a_position_that_is_not_ours_is_left_alone_and_said(tmp_path):
    """A person opens a position of a contract that we trade."""
    faults = [{"kind": "manual_trade", "symbol": "ETHUSDT", "at_s": 60}]
    policy = "notional = 0.5\n"  # below the venue's minimum: we do not trade ourselves
    session, manifest, _, verdict, truth = live(tmp_path / "run", 5, speed=120.0, seed=2, faults=faults, policy=policy)
    assert truth["positions"].get(("ETHUSDT", 0), {}).get("qty", 0) > 0, "it was touched, or never opened"
    store = Store(tmp_path / "state" / "test")
    said = [row["text"] for row in store.rows("notices") if row["symbol"] == "ETHUSDT"]
    store.close()
    assert any("not ours" in text for text in said), manifest["account"]
    assert verdict.identical and "ETHUSDT" not in believed(session)


def test_a_configuration_without_a_recording_does_not_trade():
    from liqshell.live.opening import refuse_unsafe

    config = configuration("http://127.0.0.1:1", "ws://127.0.0.1:1", "runs", record="enabled = false")
    with pytest.raises(ConfigError, match="cannot be replayed"):
        refuse_unsafe(config)
    assert NS == 10**9


def test_more_entries_than_the_last_hop_counts_are_refused_at_the_start():
    from liqshell.live.opening import ENTRIES_MAX, refuse_unsafe

    for most in (ENTRIES_MAX, ENTRIES_MAX + 1):
        config = configuration("http://127.0.0.1:1", "ws://127.0.0.1:1", "runs", orders_per_minute_max=most)
        if most == ENTRIES_MAX:
            refuse_unsafe(config)
            lc.Guard(lc.Engine(["ETHUSDT"]).instruments, order_notional_max=1.0, orders_per_minute_max=most)
            continue
        with pytest.raises(ConfigError, match="orders_per_minute_max: 257; expected at most 256"):
            refuse_unsafe(config)
        with pytest.raises(ValueError, match="orders_per_minute_max"):
            lc.Guard(lc.Engine(["ETHUSDT"]).instruments, order_notional_max=1.0, orders_per_minute_max=most)


@pytest.mark.parametrize(
    ("symbols", "wrong"),
    [
        (("BTCPERP",), "BTCPERP"),
        (("ETHUSDT", "ETH-27NOV26", "USDTPERP"), "ETH-27NOV26, USDTPERP"),
        (("ETHUSDT", "1000PEPEUSDT", "BTCUSDT-27NOV26"), ""),
    ],
)
def test_a_contract_of_which_the_account_would_not_be_seen_is_not_traded(symbols, wrong):
    """Lists of positions and orders are asked for by the coin of settlement: a position in USDC was nowhere, and taken for flat."""
    from liqshell.live.opening import refuse_unsafe

    config = configuration("http://127.0.0.1:1", "ws://127.0.0.1:1", "runs", symbols)
    if not wrong:
        refuse_unsafe(config)
        return
    with pytest.raises(ConfigError, match=f"not settled in USDT: {wrong}"):
        refuse_unsafe(config)


@pytest.mark.slow
def test_a_good_end_does_not_make_a_lasting_halt_of_that_of_a_day(tmp_path):
    """Ctrl-C while the day's loss limit had latched: the next start found a halt of an operator, which midnight does not lift."""

    async def lower(session):
        await session.account.ready.wait()
        now = session.account.now()
        session.account.report(
            (now, now, 1e-9, 0.0, 0.0, 0.0, 0, -1, int(lc.Kind.CONTROL), 0, int(lc.Limit.LIMIT_DAILY_LOSS), int(lc.Control.CONTROL_LOWER))
        )

    session, manifest, audit, verdict, _ = live(
        tmp_path / "run", 12, speed=120.0, seed=6, during=lower, policy="entry_offset = 0\nentry = 'market'\nmax_hold_s = 60\ncooldown_s = 5\n"
    )
    assert len(requests(audit, Role.ROLE_ENTRY)), "nothing was traded: choose another seed"
    assert inspect(tmp_path / "state" / "test" / IMAGE)["halted"] == lc.Reason.RISK_DAILY_LOSS
    assert manifest["ended"] and verdict.identical
