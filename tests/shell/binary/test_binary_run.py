"""The whole way on paper over real loopback sockets: record, decide, bet, settle; a restart with an open bet; the replay says the same."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest

import liqcore as lc
from binary_frames import NOON, events, market
from liqshell import cli
from liqshell.binary.desk import RULES, VENUE, Settings
from liqshell.binary.fires import Event
from liqshell.binary.replay import difference, replay, said_by
from liqshell.binary.run import BINARY, BinaryRun, Places
from liqshell.clock import Clock
from liqshell.emulator.server.binary_server import BinaryVenue
from liqshell.errors import ConfigError, DataError, VenueError
from liqshell.gate.hourly import settled_bets
from liqshell.recording.recorder import END, META, REST, Recorder

NS, HOUR = 10**9, 3600 * 10**9
START = 1_792_238_400 * NS + 1200 * NS
SPEED = 200.0


class Fires:
    """Fires every `every_s` of market time, in the place of a run that is followed."""

    def __init__(self, now, every_s: float):
        self.now, self.every, self.next = now, round(every_s * NS), 0

    def news(self) -> list[Event]:
        now = self.now()
        if now < self.next:
            return []
        self.next = now + self.every
        return [Event(now, "fire", 1, "bybit:BTCUSDT")]


def bet(tmp_path: Path, name: str, venue: BinaryVenue, settings: Settings | None = None, every_s: float = 120.0) -> BinaryRun:
    run = BinaryRun(
        settings or Settings(value_min=0.0, cap=0.02, kelly=1.0),
        Places.at(venue.url),
        tmp_path / name,
        state=tmp_path / "state.json",
        clock=venue.clock,
    )
    run.follow = Fires(run._now, every_s)  # type: ignore[assignment]
    return run


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "bets.log").read_text().splitlines()]


def test_record_decide_bet_settle_and_the_replay_is_the_same(tmp_path):
    async def main() -> None:
        async with BinaryVenue(5, speed=2 * SPEED, start=START, lag_s=120.0) as venue:
            await bet(tmp_path, "a", venue).run(START + 2 * HOUR - 900 * NS)

    asyncio.run(asyncio.wait_for(main(), 110))
    said = lines_of(tmp_path / "a")
    bets = [line for line in said if line["kind"] == "bet"]
    assert bets, [line for line in said if line["kind"] == "fire"][:5]
    by_hour: dict[int, set[int]] = {}
    for line in bets:
        by_hour.setdefault(line["hour"], set()).add(line["number"])
    assert all(len(numbers) == 1 for numbers in by_hour.values()), "one bet an hour"
    settled = {line["number"]: line for line in bets if line["state"] == "settled"}
    winners = {line["hour"]: line["winner"] for line in said if line["kind"] == "settled"}
    for line in settled.values():
        assert line["won"] == (winners[line["hour"]] == line["side"])
        assert line["profit"] == pytest.approx((line["filled"] if line["won"] else 0.0) - line["cost"] - line["fee"])
    assert settled and len(winners) >= 2 and not [line for line in said if line["kind"] == "alarm"]
    desk, again = replay(tmp_path / "a")
    assert difference(tmp_path / "a", again) == "" and desk.malformed == 0


def test_whenever_it_is_killed_the_recording_has_what_the_log_says(tmp_path):
    async def main() -> None:
        async with BinaryVenue(5, speed=SPEED, start=START, lag_s=120.0) as venue:
            run = bet(tmp_path, "a", venue)
            task, seen = asyncio.create_task(run.run()), 0
            while seen < 4:  # markets, fires, bets
                await asyncio.sleep(0.002)
                said = said_by(tmp_path / "a") if (tmp_path / "a" / "bets.log").exists() else []
                if len(said) > seen:
                    seen = len(said)
                    assert [json.dumps(line, sort_keys=True) for line in replay(tmp_path / "a")[1]][:seen] == said
                assert not task.done()
            run.stop()
            await task

    asyncio.run(asyncio.wait_for(main(), 110))


@pytest.mark.slow
def test_a_restart_with_an_open_bet_keeps_it_and_settles_it(tmp_path):
    async def main() -> list:
        async with BinaryVenue(5, speed=SPEED, start=START, lag_s=120.0) as venue:
            first = bet(tmp_path, "a", venue)
            task = asyncio.create_task(first.run())
            while not any(one.state == "confirmed" for one in first.desk.bets):
                await asyncio.sleep(0.005)
            first.stop()
            await task
            held = [one for one in first.desk.bets if one.state == "confirmed"]
            second = bet(tmp_path, "b", venue, every_s=1e6)
            assert [one for one in second.desk.bets if one.state == "confirmed"] == held and second.desk.cash == first.desk.cash
            await second.run(held[0].hour + HOUR + 300 * NS)
            return [held[0], next(one for one in second.desk.bets if one.number == held[0].number), first.desk.cash, second.desk.cash]

    held, after, before, cash = asyncio.run(asyncio.wait_for(main(), 110))
    assert after.state == "settled" and (after.filled, after.cost) == (held.filled, held.cost)
    assert cash == before + (after.filled if after.won else 0)
    for name in "ab":
        assert difference(tmp_path / name, replay(tmp_path / name)[1]) == ""


@pytest.mark.slow
def test_a_stream_that_is_torn_silent_or_without_books_is_survived(tmp_path):
    faults = [
        {"kind": "no_book", "after_s": 0, "seconds": 120},
        {"kind": "drop", "after_s": 400, "seconds": 5},
        {"kind": "silent", "after_s": 800, "seconds": 500},
        {"kind": "unknown_rule", "after_s": 2000, "seconds": 300},
    ]

    async def main() -> dict:
        async with BinaryVenue(6, faults, speed=SPEED, start=START) as venue:
            run = bet(tmp_path, "a", venue)
            found = await run.run(START + 2600 * NS)
            assert any(book.known for book in run.desk.books.values())
            return found

    found = asyncio.run(asyncio.wait_for(main(), 60))
    said = lines_of(tmp_path / "a")
    assert found["reconnects"] >= 1 and found["refused"] >= 1 and [line for line in said if line["kind"] == "down"]
    assert difference(tmp_path / "a", replay(tmp_path / "a")[1]) == ""


def test_a_market_that_is_listed_before_its_book_does_not_cost_the_others(tmp_path):
    """No book of any token for ten minutes: asked for again and again, but the connection is opened anew a few times only."""
    faults = [{"kind": kind, "seconds": 600} for kind in ("no_book", "late_market")]

    async def main() -> None:
        async with BinaryVenue(6, faults, speed=60.0, start=START) as venue:
            run = bet(tmp_path, "a", venue, every_s=1e6)
            task = asyncio.create_task(run.run(START + 720 * NS))
            while venue.now() < START + 590 * NS:
                assert not any(book.known for book in run.desk.books.values())
                await asyncio.sleep(0.2)
            found = await task
            assert 1 <= found["reconnects"] <= 4 and any(book.known for book in run.desk.books.values())

    asyncio.run(asyncio.wait_for(main(), 60))


def test_a_fire_of_a_followed_run_becomes_a_bet(tmp_path):
    """From the rule in an engine over its audit stream, written while it is followed, to an order: nothing between is stood in for."""
    from test_fires import audit_of, market

    from liqshell.binary.fires import Follower
    from liqshell.recording.journal import Journal

    records, values = audit_of(market())

    async def main() -> list:
        journal = Journal(tmp_path / "run", {"settings": values, "instruments": values["instruments"], "abi": lc.abi_version()})
        async with BinaryVenue(5, speed=60.0, start=START, lag_s=0.0) as venue:
            run = BinaryRun(
                Settings(deviations=2.0, hours=1000, value_min=0.0),
                Places.at(venue.url),
                tmp_path / "a",
                clock=venue.clock,
                follow=Follower(tmp_path / "run"),
            )
            task = asyncio.create_task(run.run())
            await asyncio.sleep(0.6)
            assert not run.desk.bets and not task.done()
            journal.audit(records)
            async with asyncio.timeout(20):
                while not any(bet.state == "confirmed" for bet in run.desk.bets):
                    await asyncio.sleep(0.01)
            run.stop()
            await task
            journal.close()
            return run.desk.bets

    (bet,) = asyncio.run(main())
    assert bet.side == "up" and bet.filled > 0
    (fire,) = (line for line in lines_of(tmp_path / "a") if line["kind"] == "fire")
    assert fire["why"] == "" and fire["calibrated"] and difference(tmp_path / "a", replay(tmp_path / "a")[1]) == ""


def test_a_state_has_one_holder_and_one_kind_of_money(tmp_path):
    places, state = Places.at("http://127.0.0.1:9"), tmp_path / "state.json"
    first = BinaryRun(Settings(), places, tmp_path / "a", state=state)
    with pytest.raises(ConfigError, match="another live process"):
        BinaryRun(Settings(), places, tmp_path / "b", state=state)
    first.release()
    state.write_text(json.dumps(first.desk.snapshot()))
    with pytest.raises(DataError, match="of paper bets"):
        BinaryRun(Settings(paper=False), places, tmp_path / "c", state=state, account=first)  # type: ignore[arg-type]
    BinaryRun(Settings(), places, tmp_path / "d", state=state).release()
    state.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        BinaryRun(Settings(), places, tmp_path / "e", state=state)


def test_what_cannot_begin_says_why(tmp_path):
    with pytest.raises(ConfigError, match="real orders without an account"):
        BinaryRun(Settings(paper=False), Places.at("http://127.0.0.1:9"), tmp_path / "a")
    with pytest.raises(ConfigError, match="symbol"):
        BinaryRun(Settings(symbol="DOGEUSDT"), Places.at("http://127.0.0.1:9"), tmp_path / "b")
    with pytest.raises(VenueError, match="no answer"):
        asyncio.run(BinaryRun(Settings(), Places.at("http://127.0.0.1:9"), tmp_path / "c").run())


def test_hours_that_stay_unresolved_do_not_keep_others_from_being_asked_about(tmp_path):
    asked = []

    class Asking(BinaryRun):
        async def _ask(self, web, target, exchange):
            asked.append(int(target.split("condition_ids=0x")[1][:64], 16))
            return True

    async def run():
        one = Asking(Settings(), Places.at("http://127.0.0.1:1"), tmp_path / "run", clock=Clock(market_ns=NOON + 9 * HOUR + 5 * NS))
        one._gamma = None  # nothing is asked
        one.desk.frame(NOON, VENUE, REST, events(*(market(NOON + n * HOUR, n) for n in range(9))))
        for _ in range(3):
            await one._closed()

    asyncio.run(run())
    assert sorted(asked) == list(range(9)) and asked[:3] == [8, 7, 6]


@pytest.mark.parametrize("confirmed", [False, True])
def test_a_winner_that_was_named_too_early_is_kept_over_a_restart_and_asked_about_again(tmp_path, confirmed):
    asked = []

    class Asking(BinaryRun):
        async def _ask(self, web, target, exchange):
            asked.append(target)
            return True

    def named(one, ts):
        one._last = ts
        one._hear(VENUE, REST, events(market(closed=True, outcomePrices='["1", "0"]')))
        one._write()

    def begun(name):
        one = Asking(Settings(), Places.at("http://127.0.0.1:1"), tmp_path / name, state=tmp_path / "state.json", clock=Clock(market_ns=NOON))
        one._gamma, one._lines = None, (tmp_path / f"{name}.log").open("w")
        one._recorder = Recorder(tmp_path / name / "frames", exchange=VENUE, meta={})
        return one

    def ended(one):
        one._lines.close()
        one._recorder.close()
        one.release()

    async def run():
        one = begun("a")
        named(one, NOON + HOUR - 60 * NS)
        ended(one)
        one = begun("b")
        assert one.desk.said == {NOON: "up"}
        named(one, NOON + HOUR - 30 * NS)
        one._last = NOON + HOUR + 60 * NS
        if confirmed:
            named(one, NOON + HOUR + 60 * NS)
        await one._closed()
        ended(one)

    asyncio.run(run())
    assert len(asked) == (0 if confirmed else 1)


@pytest.mark.parametrize(
    ("rules", "same", "word"),
    [
        (RULES, True, ""),
        (RULES, False, "line 1: the run has"),
        (1, True, ""),
        (1, False, f"by rules 1 of another version of liqcore; this one has rules {RULES}"),
        (RULES + 1, False, f"by rules {RULES + 1} of another version"),
    ],
)
def test_bets_of_other_rules_are_refused_by_name_where_they_differ(tmp_path, rules, same, word, capsys):
    """What an earlier version decided otherwise is no damage of the recording: what to do is said, by the replay and by the gate of real orders."""
    folder = tmp_path / "old"
    with Recorder(folder / "frames", exchange=VENUE, meta={"kind": "binary"}) as recorder:
        recorder.mark(
            NOON, META, {"binary": rules, "version": "0.1.0", "settings": asdict(Settings()), "state": None, "place": Places().clob, "speed": 1.0}
        )
        recorder.mark(NOON + NS, BINARY, {"down": VENUE})
        recorder.mark(NOON + 2 * NS, END, {})
    lines = replay(folder)[1]
    assert lines
    said = [json.dumps(line if same else line | {"kind": "other"}, sort_keys=True) for line in lines]
    (folder / "bets.log").write_text("".join(line + "\n" for line in said))
    assert difference(folder, lines).find(word) >= 0 and (difference(folder, lines) == "") == same
    count, left_out = settled_bets([folder])
    assert count == 0 and bool(left_out) == (not same) and all(word in why for why in left_out)
    assert cli.main(["replay", str(folder)]) == (0 if same else 1)
    assert word in capsys.readouterr().out
