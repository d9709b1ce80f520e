"""Starts over real sockets: a position that we did not open, positions that are taken over, a venue that cannot answer, and what doctor says of each."""

import asyncio
import contextlib
import json
import logging
import socket
import time

import pytest

import liqcore as lc
from liqcore.event import Role
from liqshell.config.load import loads
from liqshell.doctor import gather
from liqshell.doctor.checks import examine, would
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, DataError, LiqshellError, VenueError
from liqshell.live.adoption import Adoption
from liqshell.live.opening import open_state
from liqshell.live.start import AccountFacts, Effect, decide, effect_of
from liqshell.progress import describe
from liqshell.recording import journal
from liqshell.report import make_report
from liqshell.run import replay
from liqshell.state.control import Control, Kill
from liqshell.state.folder import read_state
from liqshell.state.sheet import state_folder
from liqshell.state.store import Store
from liqshell.venues.bybit.signing import Keys
from live_rig import configuration, trade
from rest_relay import Relay, code, relaying

SPEED = 80.0
# a trade that nothing but time ends, soon entered
HELD = "entry_offset = 0\nentry = 'market'\nmax_hold_s = {}\ntake_profit = 0.2\nstop_loss = 0.2\ncooldown_s = 1\n"
long_is_slow = pytest.mark.parametrize("side", [pytest.param(1, marks=pytest.mark.slow), -1])
short_is_slow = pytest.mark.parametrize("side", [1, pytest.param(-1, marks=pytest.mark.slow)])


def symbols_of(emulator):
    return tuple(emulator.states)[:3]


async def person(emulator, side, symbol, usd=300.0):
    """Somebody trades in the venue's app; signed quantity that the venue then has of it."""
    account = emulator.keys[0].account
    while emulator.states[symbol].bid is None:
        await asyncio.sleep(0.02)
    price = float(emulator.states[symbol].bid[0])
    decimals = {"BTCUSDT": 3, "ETHUSDT": 2}.get(symbol, 1)
    qty = f"{max(usd / price, 10.0**-decimals):.{decimals}f}"
    emulator.enter(None, lambda now: emulator.desk.exchange.manual_trade(account, symbol, "Buy" if side > 0 else "Sell", qty, now))
    while not (found := held(emulator, symbol)):
        await asyncio.sleep(0.02)
    return found


def held(emulator, symbol):
    found = emulator.desk.exchange.truth(emulator.keys[0].account)["positions"].get((symbol, 0))
    return found["qty"] if found else 0.0


def entries(audit, instrument):
    requests = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)) & (audit["instrument"] == instrument)]
    return sum(1 for row in requests if int(row["id"]) & 15 == Role.ROLE_ENTRY)


def run(main):
    return asyncio.run(asyncio.wait_for(main, 300.0))


async def until(condition, seconds=180.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "not within the time"
        await asyncio.sleep(0.02)
    return found


# ---- a position that we did not open


@pytest.mark.slow
@long_is_slow
def test_a_position_of_somebody_elses_closes_its_contract_and_nothing_else(tmp_path, side):
    """It ended every start after a minute. It is there at the start, and on another contract it comes later."""

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:
            eth, later, third = symbols_of(emulator)
            theirs = await person(emulator, side, eth)
            seen = {}

            async def during(session):
                account = session.account
                await account.ready.wait()
                seen["ready"] = {gate.name for gate in account.engine.gates(0)}, {gate.name for gate in account.engine.gates(1)}
                await person(emulator, -side, later)
                await until(lambda: later in account.gateway.status()["foreign"])
                seen["later"] = [{gate.name for gate in account.engine.gates(n)} for n in range(3)]
                seen["entered"] = entries_so_far(session, 1)
                await until(lambda: entries_so_far(session, 2) > 0)
                seen["after"] = entries_so_far(session, 1)
                session.stop()

            def entries_so_far(session, n):
                return session.account.engine.bracket(n)["sequence"]

            session, manifest = await trade(emulator, tmp_path / "run", tmp_path, 400, policy=HELD.format(30), during=during)
            return seen, manifest, theirs, held(emulator, eth), session.account.engine.risk.halted

    seen, manifest, theirs, left, halted = run(main())
    assert seen["ready"] == ({"GATE_RECONCILE"}, set()) and halted == lc.Reason.OK
    assert "GATE_RECONCILE" in seen["later"][0] and "GATE_RECONCILE" in seen["later"][1] and "GATE_RECONCILE" not in seen["later"][2]
    assert seen["after"] == seen["entered"], "nothing new entered where somebody else holds"
    assert theirs == left and entries(journal.load_audit(tmp_path / "run"), 0) == 0
    assert sum("another party trades this contract" in text for text in manifest["account"]["alarms"]) == 2
    assert replay.prove(tmp_path / "run").identical


async def own_trade(emulator, folder, side, hold_s, rest=None):
    """A life of the process that ends with an open trade of ours on the first contract."""
    name = symbols_of(emulator)[0]
    await person(emulator, side, name)

    async def during(session):
        while not hasattr(session.account, "gateway"):
            await asyncio.sleep(0.01)
        await session.account.ready.wait()
        assert session.account.engine.bracket(0)["held"]
        session.stop()

    await trade(emulator, folder / "one", folder, 4000, policy=HELD.format(hold_s), during=during, adopt=[Adoption(name)], rest=rest)
    assert held(emulator, name)
    return name


@pytest.mark.slow
@short_is_slow
def test_a_trade_of_ours_is_supervised_from_the_first_moment_beside_it(tmp_path, side):
    """Its time limit passed while the start waited, and then the start ended."""

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:
            ours = await own_trade(emulator, tmp_path, side, 1200)
            other = symbols_of(emulator)[1]
            theirs = await person(emulator, side, other)

            async def second(session):
                await until(lambda: not held(emulator, ours))
                await session.account.ready.wait()
                session.stop()

            session, manifest = await trade(emulator, tmp_path / "two", tmp_path, 4000, policy=HELD.format(1200), during=second)
            return theirs, held(emulator, other), session.account.alarms

    theirs, left, alarms = run(main())
    assert theirs == left and any("another party" in text for text in alarms)
    closes = [
        row
        for row in journal.load_audit(tmp_path / "two")
        if row["kind"] == int(lc.AuditKind.AUDIT_REQUEST) and int(row["id"]) & 15 == Role.ROLE_CLOSE
    ]
    assert closes and replay.prove(tmp_path / "two").identical


# ---- taken over


@pytest.mark.slow
@long_is_slow
def test_a_position_that_is_adopted_gets_its_stop_first_and_ends_by_its_time_limit(tmp_path, side):
    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:
            name = symbols_of(emulator)[0]
            theirs = await person(emulator, side, name)
            seen = {}

            async def during(session):
                await until(lambda: getattr(session.account, "gateway", None) is not None)
                truth = emulator.desk.exchange.truth(emulator.keys[0].account)["positions"][name, 0]
                seen["stop"] = truth["stop_loss"], truth["entry"]
                await session.account.ready.wait()
                bracket = session.account.engine.bracket(0)
                seen["booked"] = bracket["held"] * bracket["side"]
                await until(lambda: not held(emulator, name))
                session.stop()

            _, manifest = await trade(
                emulator, tmp_path / "run", tmp_path, 600, policy=HELD.format(1200).replace("0.2", "0.05"), during=during, adopt=[Adoption(name)]
            )
            return theirs, seen, manifest

    theirs, seen, manifest = run(main())
    stop, entry = seen["stop"]
    assert stop and (entry - stop) * side == pytest.approx(0.05 * entry, rel=0.2), "the policy's stop_loss from the mark, there before it was booked"
    assert seen["booked"] == pytest.approx(theirs)
    assert manifest["account"]["notices"]["adopted"] == 1 and not [text for text in manifest["account"]["alarms"] if "another party" in text]
    assert replay.prove(tmp_path / "run").identical
    store = Store(tmp_path / "state" / "test")
    assert any(row["kind"] == "adopted" for row in store.rows("notices", last=200))
    store.close()


def test_what_cannot_be_adopted_stays_read_only(tmp_path):
    """A stop on the wrong side; a contract without a position. And one that is not configured ends the start."""

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:
            one, two, _ = symbols_of(emulator)
            theirs = await person(emulator, 1, one)

            async def during(session):
                await session.account.ready.wait()
                session.stop()

            session, manifest = await trade(emulator, tmp_path / "run", tmp_path, 400, during=during, adopt=[Adoption(one, 1e6), Adoption(two)])
            with pytest.raises(ConfigError, match="not one of"):
                await trade(emulator, tmp_path / "other", tmp_path, 1, adopt=[Adoption("XXXUSDT")])
            return manifest, theirs, held(emulator, one), emulator.desk.exchange.truth(emulator.keys[0].account)["positions"][one, 0]["stop_loss"]

    manifest, theirs, left, stop = run(main())
    alarms = manifest["account"]["alarms"]
    assert (
        theirs == left
        and not stop
        and any("does not protect" in text for text in alarms)
        and any("no position that is not ours" in text for text in alarms)
    )


# ---- what doctor says is what a start does


def _withdraw(emulator, config):
    emulator.keys[0].withdraw = True


def _readonly(emulator, config):
    emulator.keys[0].trade = False


def _invalid(emulator, config):
    emulator.keys[0].valid = False


def _killed(emulator, config):
    from liqshell.state.sheet import state_folder

    folder = state_folder(config.run.out, config.run.name)
    folder.mkdir(parents=True)
    control = Control(folder)
    control.set_kill(Kill.KILLED, "looked odd", "anna")
    control.close()


def _hedge(emulator, config):
    account = emulator.keys[0].account
    wish = json.dumps({"category": "linear", "coin": "USDT", "mode": 3}).encode()
    emulator.enter(None, lambda now: emulator.desk.exchange.rest("POST", "/v5/position/switch-mode", "", wish, account, now))


CASES = {
    "nothing": (None, None, Effect.GO),
    "foreign": ("person", None, Effect.READ_ONLY),
    "withdraw": (_withdraw, None, Effect.END),
    "readonly": (_readonly, None, Effect.END),
    "invalid": (_invalid, None, Effect.END),
    "killed": (_killed, None, Effect.END),
    "hedge": (_hedge, None, Effect.END),
    "503": (None, 503, Effect.WAIT),
    "10016": (None, code(10016), Effect.WAIT),
    "10006": (None, code(10006), Effect.WAIT),
    "10005": (None, code(10005), Effect.END),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_doctor_says_what_the_start_then_does(tmp_path, case):
    """One function decides both. Said: begins, begins read-only, waits and then ends, ends. Done: the same."""
    change, told, effect = CASES[case]

    async def main():
        async with (
            await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator,
            relaying(emulator.rest, lambda path, n: told if path == "/v5/account/wallet-balance" else None) as relay,
        ):
            config = configuration(relay.rest, emulator.ws, tmp_path, symbols_of(emulator))
            if change == "person":
                await person(emulator, 1, symbols_of(emulator)[0])
            elif change is not None:
                change(emulator, config)
            key = emulator.keys[0]
            said, text = would(config, await gather(config, Keys(key.key, key.secret), samples=3))
            done, began = Effect.GO, time.monotonic()

            async def during(session):
                while not hasattr(session.account, "gateway"):
                    await asyncio.sleep(0.01)
                await session.account.ready.wait()
                session.stop()

            try:
                session, _ = await trade(
                    emulator, tmp_path / "run", tmp_path, 400, during=during, rest=relay.rest, start_patience_s=40.0 if told is None else 1.5
                )
                done = Effect.READ_ONLY if session.account.gateway.reconciler.foreign else Effect.GO
            except LiqshellError as why:
                done = Effect.WAIT if "asked again for" in str(why) else Effect.END
            return said, text, done, time.monotonic() - began

    said, text, done, seconds = run(main())
    assert said == done == effect, (said, done, text)
    word = {Effect.GO: "begins.", Effect.READ_ONLY: "read-only.", Effect.WAIT: "--start-patience", Effect.END: "now ends:"}[effect]
    assert word in text


@pytest.mark.slow
def test_a_lost_image_with_a_trade_open_halts_and_doctor_and_the_first_line_say_so(tmp_path, caplog):
    """Doctor and the first line said that everything else trades; a second later the run halted."""

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:

            async def entered(session):
                while session.pipeline is None or not any(session.pipeline.engine.bracket(n)["held"] for n in range(3)):
                    await asyncio.sleep(0.01)
                session.stop()

            await trade(emulator, tmp_path / "one", tmp_path, 100_000, policy=HELD.format(600_000), during=entered)
            name = next(one for one in symbols_of(emulator) if held(emulator, one))
            config = configuration(emulator.rest, emulator.ws, tmp_path, symbols_of(emulator))
            key = emulator.keys[0]
            whole = would(config, await gather(config, Keys(key.key, key.secret), samples=3))
            (state_folder(config.run.out, config.run.name) / "image.bin").unlink()
            facts = await gather(config, Keys(key.key, key.secret), samples=3)
            said, text = would(config, facts)
            checks = {check.id: check for check in examine(config, facts)}
            seen = {}

            async def during(session):
                while not hasattr(session.account, "gateway"):
                    await asyncio.sleep(0.01)
                await session.account.ready.wait()
                seen["halted"] = session.account.engine.risk.halted
                session.stop()

            with caplog.at_level(logging.WARNING, "liqshell.live"):
                await trade(emulator, tmp_path / "two", tmp_path, 400, policy=HELD.format(600_000), during=during)
            return name, whole, said, text, checks, seen

    name, whole, said, text, checks, seen = run(main())
    assert whole[0] == Effect.GO and said == Effect.HALTED and "entries halted until a person resumes" in text and name in text
    assert "is lost" in text and "whole" not in checks["state"].text
    first = next(record.message for record in caplog.records if record.message.startswith("start: "))
    assert "is lost. No contract has entries" in first and "the others trade" not in caplog.text.split("is lost. No contract has entries")[0]
    assert seen["halted"] == lc.Reason.HALTED
    manifest = journal.load_manifest(tmp_path / "two")
    assert any("is lost" in one for one in manifest["account"]["alarms"])


@pytest.mark.slow
def test_sides_read_the_wrong_way_round_are_told_everywhere(tmp_path, caplog):
    """The side check halted, and nobody was told: no log, no alarm, no cause at the next start."""
    lines = []

    async def main():
        fault = {"kind": "invert_side", "at_s": 0.0, "duration_s": 1e6}
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3, faults=(fault,))) as emulator:

            async def during(session):
                while session.pipeline is None or not session.pipeline.engine.risk.halted:
                    await asyncio.sleep(0.01)
                await until(lambda: session.halted_by)
                lines.append(describe(session))
                session.stop()

            with caplog.at_level(logging.WARNING, "liqshell.live"):
                await trade(emulator, tmp_path / "one", tmp_path, 4000, during=during)
            config = configuration(emulator.rest, emulator.ws, tmp_path, symbols_of(emulator))
            key = emulator.keys[0]
            said = would(config, await gather(config, Keys(key.key, key.secret), samples=3))
            first = caplog.text
            caplog.clear()

            async def again(session):
                while not hasattr(session.account, "gateway"):
                    await asyncio.sleep(0.01)
                await session.account.ready.wait()
                session.stop()

            with caplog.at_level(logging.WARNING, "liqshell.live"):
                await trade(emulator, tmp_path / "two", tmp_path, 400, during=again)
            return said, first, caplog.text

    (effect, text), first, second = run(main())
    words = "the sides are inverted"
    assert words in first and "ENTRIES HALTED: the side check" in lines[0]
    assert any(words in one for one in journal.load_manifest(tmp_path / "one")["account"]["alarms"])
    store = Store(tmp_path / "state" / "test")
    assert any(words in row["text"] and row["level"] == 3 for row in store.rows("notices"))
    store.close()
    assert effect == Effect.HALTED and words in text and words in second
    meanings = {row["reason"]: row["meaning"] for row in make_report(tmp_path / "one").summary["why_not"]}
    assert "halted" not in meanings or "side check" in meanings["halted"]


@pytest.mark.parametrize("damage", ["zeros", "aside"])
def test_a_damaged_store_ends_a_start_and_doctor_says_so(tmp_path, damage):
    config = configuration("http://127.0.0.1:9", "ws://127.0.0.1:9", tmp_path, ("ETHUSDT",))
    folder = state_folder(config.run.out, config.run.name)
    instruments = (lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.01"),)
    open_state(config, instruments).close()
    effects = lambda: effect_of([one for one in decide(config, AccountFacts(state=read_state(config))) if one.id == "state"])  # noqa: E731
    assert effects() == Effect.GO
    if damage == "zeros":
        (folder / "store.sqlite").write_bytes(bytes(40960))
    else:
        (folder / "store.sqlite").rename(folder / "store.sqlite.damaged-1")
    assert effects() == Effect.END
    with pytest.raises(DataError, match="store"):
        open_state(config, instruments)


# ---- a venue that cannot answer just now

ANSWERS = {"503": 503, "10016": code(10016), "10006": code(10006), "10002": code(10002), "lost": "lost", "rubbish": b"<html>"}


@pytest.mark.parametrize("kind", [kind if kind in ("503", "10016") else pytest.param(kind, marks=pytest.mark.slow) for kind in ANSWERS])
def test_a_start_asks_again_what_the_venue_could_not_answer(tmp_path, caplog, kind):
    """The first two answers of every question are of no use. It ended the start."""

    async def main():
        async with (
            await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator,
            relaying(emulator.rest, lambda path, n: ANSWERS[kind] if n < (1 if kind == "lost" else 2) else None) as relay,
        ):

            async def during(session):
                while not hasattr(session.account, "gateway"):
                    await asyncio.sleep(0.01)
                await session.account.ready.wait()
                session.stop()

            _, manifest = await trade(emulator, tmp_path / "run", tmp_path, 4000, during=during, rest=relay.rest, start_patience_s=120.0)
            return manifest

    with caplog.at_level(logging.WARNING, "liqshell.live"):
        manifest = run(main())
    assert manifest["account"]["prefix"] and any("asks again" in record.message and "s left" in record.message for record in caplog.records)


@pytest.mark.parametrize(("patience_s", "cut"), [(120.0, True), (30.0, False)])
def test_a_lost_list_of_contracts_is_asked_for_again_soon_where_there_is_time(tmp_path, caplog, patience_s, cut):
    """It cost ten seconds of a restart. Without time for another try a slow answer is waited for."""

    def lost(path, n):
        return "lost" if n < 1 and path.startswith("/v5/market/instruments-info") else None

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator, relaying(emulator.rest, lost) as relay:

            async def during(session):
                while not hasattr(session.account, "gateway"):
                    await asyncio.sleep(0.01)
                await session.account.ready.wait()
                session.stop()

            await trade(emulator, tmp_path / "run", tmp_path, 4000, during=during, rest=relay.rest, start_patience_s=patience_s)

    with caplog.at_level(logging.WARNING, "liqshell.live"):
        run(main())
    told = [record.getMessage() for record in caplog.records if "no list of instruments" in record.getMessage()]
    assert told and any("no list of instruments within 1.5 s" in text for text in told) == cut, told


def test_a_venue_that_does_not_listen_yet_is_waited_for(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:
            relay = Relay(emulator.rest)
            relay.port = port
            began = time.monotonic()

            async def late():
                await asyncio.sleep(2.0)
                await relay.listen()

            async def during(session):
                while not hasattr(session.account, "gateway"):
                    await asyncio.sleep(0.01)
                await session.account.ready.wait()
                session.stop()

            opening = asyncio.create_task(late())
            try:
                await trade(emulator, tmp_path / "run", tmp_path, 4000, during=during, rest=f"http://127.0.0.1:{port}", start_patience_s=120.0)
            finally:
                await opening
                await relay.close()
            return time.monotonic() - began

    assert run(main()) > 2.0


def test_a_name_that_does_not_resolve_is_asked_for_as_long_as_patience_lasts_and_a_wish_to_stop_ends_it(tmp_path, caplog):
    from liqshell.live import Session

    config = loads(
        f'[run]\nname = "test"\nout = {json.dumps(str(tmp_path))}\n[feed]\nrest = "https://nobody.invalid"\nws = "wss://nobody.invalid"\n'
        'symbols = ["ETHUSDT"]\n'
    )
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "liqshell.live"), pytest.raises(VenueError, match="no list of instruments"):
        run(Session(config, tmp_path / "run", start_patience_s=1.2).run())
    assert time.monotonic() - began > 1.2 and any("asks again" in record.message for record in caplog.records)

    async def main():
        session = Session(config, tmp_path / "run", start_patience_s=300.0)
        asyncio.get_running_loop().call_later(0.5, session.stop)
        with contextlib.suppress(VenueError):
            await session.run()

    began = time.monotonic()
    run(main())
    assert time.monotonic() - began < 100.0


@pytest.mark.slow
@pytest.mark.parametrize(("sick", "side"), [("account", 1), ("everything", 1), ("everything", -1)])
def test_a_trade_of_ours_is_supervised_while_the_venue_cannot_answer(tmp_path, sick, side):
    """Its time limit closes it over the order socket, though no question about the account is answered; "everything": nor the list of contracts."""
    questions = ("/v5/user/query-api", "/v5/account/", "/v5/market/instruments-info")

    async def main():
        async with await serve(Config(seed=1, speed=SPEED, lead_s=0.3)) as emulator:
            well = asyncio.Event()
            async with relaying(
                emulator.rest,
                lambda path, n: 503 if not well.is_set() and path.startswith(questions[:2] if sick == "account" else questions) else None,
            ) as relay:
                well.set()
                ours = await own_trade(emulator, tmp_path, side, 1200, relay.rest)
                well.clear()
                seen = {}

                async def second(session):
                    await until(lambda: not held(emulator, ours))
                    seen["ready"] = session.account.ready.is_set()
                    seen["gates"] = {gate.name for gate in session.account.engine.gates(0)}
                    well.set()
                    await session.account.ready.wait()
                    seen["then"] = {gate.name for gate in session.account.engine.gates(0)}
                    session.stop()

                await trade(emulator, tmp_path / "two", tmp_path, 4000, policy=HELD.format(1200), during=second, rest=relay.rest)
                return seen

    seen = run(main())
    assert not seen["ready"] and "GATE_START" in seen["gates"] and "GATE_START" not in seen["then"]
    assert replay.prove(tmp_path / "two").identical
