"""Real order flow against the emulated venue over loopback: signatures checked there, unknown outcomes asked for and never sent again, the gate."""

import asyncio
import io
import json
from decimal import Decimal as D
from pathlib import Path
from urllib.parse import parse_qsl

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binary_frames import DOWN, HOUR, NOON, NS, UP, book, events, kline, klines, market
from liqshell import cli
from liqshell.binary import account as accounts
from liqshell.binary.account import Account, answer_of, fate
from liqshell.binary.desk import SPOT, VENUE, Bet, Settings
from liqshell.binary.fires import Event
from liqshell.binary.replay import difference, replay
from liqshell.binary.run import BINARY, BinaryRun, Places
from liqshell.emulator.server.binary_server import BinaryVenue
from liqshell.errors import ConfigError, VenueError
from liqshell.gate.hourly import refuse_early, settled_bets
from liqshell.recording.reader import read
from liqshell.recording.recorder import END, META, REST, WS, Recorder
from liqshell.venues.polymarket import signing
from liqshell.web import Reply

pytest.importorskip("eth_account", reason="orders need the extra liqcore[binary]")
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
START = 1_792_238_400 * NS + 1200 * NS
BET = Bet(1, NOON, "0x1", UP, "up", D(20), D("0.5"), D("0.07"), 0.6, 0.5, 0.49, NOON, NOON, order="0xabc")


class Fires:
    def __init__(self, run: BinaryRun):
        self.run = run

    def news(self) -> list[Event]:
        return [] if self.run.desk.bets else [Event(self.run._now(), "fire", 1, "bybit:BTCUSDT")]


def live_run(tmp_path: Path, name: str, venue: BinaryVenue) -> BinaryRun:
    places = Places.at(venue.url)
    account = Account(places.clob, KEY, lambda: run.desk.bets, lambda found: run.report(found))
    # a probability shifted far up: every fire is worth a bet
    run = BinaryRun(
        Settings(paper=False, deviations=0.7, hours=1000, value_min=0.0),
        places,
        tmp_path / name,
        state=tmp_path / "state.json",
        clock=venue.clock,
        account=account,
    )
    run.follow = Fires(run)  # type: ignore[assignment]
    return run


async def until(run: BinaryRun, *states: str) -> Bet:
    """Run until the bet is in one of the states."""
    await run.account.open()
    task = asyncio.create_task(run.run())
    try:
        async with asyncio.timeout(40):
            while not (run.desk.bets and run.desk.bets[0].state in states):
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
    finally:
        run.stop()
        await task
    return run.desk.bets[0]


@pytest.mark.parametrize(
    ("fault", "end"),
    [
        (None, "confirmed"),
        ("lose_ack", "confirmed"),
        ("http_500", "confirmed"),
        ("fail_trade", "failed"),
        ("reject", "killed"),
        ("post_only", "killed"),
    ],
)
def test_a_real_order_and_what_may_become_of_it(tmp_path, fault, end):
    faults = [{"kind": fault}] if fault else []

    async def main() -> None:
        async with BinaryVenue(5, faults, speed=20.0, start=START) as venue:
            run = live_run(tmp_path, "a", venue)
            bet = await until(run, end)
            (wallet,) = venue.exchange.wallets.values()
            assert venue.exchange.posted == 1 and wallet.address == run.account.address, "sent once, whatever the answer was"
            assert wallet.cash == run.desk.cash == 1000 - bet.cost - bet.fee and wallet.tokens.get(bet.token, 0) == bet.filled
            assert (bet.filled > 0) == (end == "confirmed") and bet.cost + bet.fee <= 20
            assert wallet.beat > 0, "heartbeats were sent"

    asyncio.run(main())
    assert difference(tmp_path / "a", replay(tmp_path / "a")[1]) == ""
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".gz")
    assert KEY[2:].encode() not in kept and KEY[2:].encode() not in orjson.dumps([str(replay(tmp_path / "a")[1])])


def trade(status: str, size="10", price="0.5", order="0xabc", **more) -> dict:
    return {"taker_order_id": order, "maker_orders": [], "status": status, "size": size, "price": price} | more


def others(trades: list[dict], count: int) -> list[dict]:
    """Trades of the same account in the same market, of orders that are none of ours."""
    return [trades[0] | {"id": f"other-{n}", "taker_order_id": f"0xother{n}", "maker_orders": []} for n in range(count)]


@pytest.mark.parametrize("count", [99, 100, 250])
def test_trades_are_read_to_their_last_page(tmp_path, count):
    """The account has traded more in this market than a page of its trades holds: the bet's own trade stands behind them."""

    async def main() -> None:
        async with BinaryVenue(5, [{"kind": "lose_ack"}], speed=20.0, start=START) as venue:
            run = live_run(tmp_path, "a", venue)
            looks = run.account._looks

            async def late() -> None:
                while not venue.exchange.trades:
                    await asyncio.sleep(0.01)
                venue.exchange.trades[:0] = others(venue.exchange.trades, count)
                await looks()

            run.account._looks = late
            bet = await until(run, "confirmed")
            (wallet,) = venue.exchange.wallets.values()
            assert wallet.cash == run.desk.cash == 1000 - bet.cost - bet.fee and wallet.tokens[bet.token] == bet.filled > 0

    asyncio.run(main())


def paged(pages: dict[str, tuple[list, object]]) -> tuple[Account, list[dict]]:
    """An account whose venue answers with these pages, by the cursor that asks for them."""
    told: list[dict] = []
    account = Account(Places.at("http://127.0.0.1:9").clob, KEY, list, told.append)

    async def call(method, path, body="", query=""):
        rows, cursor = pages[dict(parse_qsl(query)).get("next_cursor", "")]
        return Reply(200, orjson.dumps({"data": rows, "next_cursor": cursor}))

    account._call = call
    return account, told


@pytest.mark.parametrize("end", ["LTE=", "", None])
def test_a_bet_whose_trades_lie_on_two_pages_is_told_of_once_and_in_whole(end):
    """A page is cut by number: a trade that comes between two questions is on both of them."""
    first, second = trade("CONFIRMED") | {"id": "t1"}, trade("CONFIRMED", "5") | {"id": "t2"}
    account, told = paged({"": ([first], "MTAw"), "MTAw": ([first, second], end)})
    asyncio.run(account._look(BET))
    assert [(one["state"], D(one["filled"])) for one in told] == [("confirmed", D(15))]


@pytest.mark.parametrize(
    "pages",
    [
        {"": ([trade("CONFIRMED")], "MTAw"), "MTAw": ([], "MTAw")},
        {"": ([trade("CONFIRMED")], 7)},
        {"": ([trade("CONFIRMED")], "MTAw"), "MTAw": ("none", "LTE=")},
        {"" if n == 0 else str(n): ([trade("CONFIRMED")], str(n + 1)) for n in range(1000)},
    ],
)
def test_half_of_a_list_of_trades_is_none(pages):
    """A cursor that goes round, one that is none, a page that is none, a list without an end: nothing is believed."""
    account, told = paged(pages)
    asyncio.run(account._look(BET))
    assert told == []


def test_a_restart_asks_for_an_order_whose_answer_never_came(tmp_path):
    async def main() -> None:
        async with BinaryVenue(5, [{"kind": "lose_ack"}], speed=20.0, start=START) as venue:
            first = live_run(tmp_path, "a", venue)
            first.account._looks = lambda: asyncio.sleep(1e6)  # it ends before it can ask
            bet = await until(first, "sent")
            while not first.desk.bets[0].order:
                await asyncio.sleep(0.01)
            second = live_run(tmp_path, "b", venue)
            assert second.desk.bets[0].order and second.desk.bets[0].state == "sent"
            after = await until(second, "confirmed", "killed")
            # the first may have ended before the order had left: then the venue has nothing, which takes its time to be believed
            assert venue.exchange.posted <= 1 and after.number == bet.number
            assert after.state == "confirmed" or not venue.exchange.trades

    asyncio.run(main())


def test_a_trade_that_is_told_of_after_its_order_was_believed_gone_counts(tmp_path):
    async def main() -> None:
        async with BinaryVenue(5, [{"kind": "lose_ack"}], speed=20.0, start=START) as venue:
            run = live_run(tmp_path, "a", venue)
            looks = run.account._looks

            async def late() -> None:
                while not venue.exchange.trades or not run.desk.bets[0].order:
                    await asyncio.sleep(0.01)
                run.report({"bet": run.desk.bets[0].number, "state": "killed"})
                await looks()

            run.account._looks = late
            bet = await until(run, "confirmed")
            (wallet,) = venue.exchange.wallets.values()
            assert wallet.cash == run.desk.cash == 1000 - bet.cost - bet.fee and wallet.tokens[bet.token] == bet.filled > 0

    asyncio.run(main())
    told = [line for line in replay(tmp_path / "a")[1] if line["kind"] == "alarm"]
    assert [line["what"] for line in told] == ["an order that was believed gone has traded"], "a person is told, once"


def test_a_bet_without_an_order_was_never_sent(tmp_path):
    async def main() -> None:
        async with BinaryVenue(5, speed=20.0, start=START) as venue:
            run = live_run(tmp_path, "a", venue)
            run.desk.bets = [Bet(**{**BET.__dict__, "order": "", "hour": START // HOUR * HOUR})]
            assert (await until(run, "killed")).state == "killed" and venue.exchange.posted == 0

    asyncio.run(main())


def test_a_wallet_that_the_venue_does_not_know_cannot_begin():
    async def main() -> None:
        account = Account(Places.at("http://127.0.0.1:9").clob, KEY, list, lambda found: None)
        with pytest.raises(VenueError, match="no time"):
            await account.open()
        await account.close()
        assert KEY not in repr(account)

    asyncio.run(main())
    with pytest.raises(ConfigError):
        Account(Places.at("http://example.com").clob, KEY, list, lambda found: None)  # nothing signed leaves without TLS


def reply(code: int, **body) -> Reply:
    return Reply(code, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (reply(200, success=True, orderID="0x1", status="delayed"), "delayed"),
        (reply(200, success=True, orderID="0x1", status="matched"), "delayed"),
        (reply(200, success=True, orderID="", status=""), ""),
        (reply(200, success=True, orderID="0x2"), ""),
        (reply(500, error="x"), ""),
        (Reply(0, why="timeout"), ""),
        (reply(200, success=False, errorMsg="no"), "killed"),
        (reply(400, error="not enough balance / allowance"), "killed"),
        (reply(400, error="order already exists"), ""),
        (reply(429, error="slow down"), ""),
        (Reply(200, b"<html>"), ""),
        (Reply(200, b"[]"), ""),
    ],
)
def test_only_a_clear_word_ends_an_order(found, state):
    assert answer_of(found, "0x1")[0] == state


def test_fate_of_a_bet():
    assert fate(BET, []) is None and fate(BET, [trade("CONFIRMED", order="0xother")]) is None
    found = fate(BET, [trade("CONFIRMED"), trade("MINED", "5", "0.4")])
    assert found == {"bet": 1, "state": "matched", "filled": "15", "cost": "7.0", "fee": "0.25900"}
    assert fate(BET, [trade("CONFIRMED"), trade("FAILED", "5")])["filled"] == "10"
    assert fate(BET, [trade("FAILED"), trade("FAILED")])["state"] == "failed"
    assert fate(BET, [trade("TRADE_STATUS_CONFIRMED")])["state"] == "confirmed"
    assert fate(BET, [trade("CONFIRMED", order="0x", maker_orders=[{"order_id": "0xabc"}])])["state"] == "confirmed"
    for bad in ({"size": "x"}, {"price": "2"}, {"size": "-1"}):
        assert fate(BET, [trade("CONFIRMED"), trade("CONFIRMED") | bad]) is None, "half an answer is none"


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["taker_order_id", "maker_orders", "status", "size", "price"]),
            st.one_of(st.none(), st.integers(), st.text(max_size=5), st.just("0xabc"), st.lists(st.integers(), max_size=2)),
        )
    )
)
def test_trades_of_any_shape_never_raise(rows):
    found = fate(BET, rows)
    assert found is None or D(found["filled"]) >= 0


def test_the_same_bet_is_the_same_order():
    from liqshell.binary.desk import Request
    from liqshell.venues.polymarket.market import parse_markets

    (one,), _ = parse_markets(events(market()))
    account = Account(Places.at("http://127.0.0.1:9").clob, KEY, list, lambda found: None)
    request = Request(7, one, UP, D("20.55"), D("0.46"), D("0.01"))
    first, again = (signing.order_hash(account.order_of(request, NOON)) for _ in range(2))
    other = signing.order_hash(account.order_of(Request(8, one, UP, D("20.55"), D("0.46"), D("0.01")), NOON))
    assert first == again != other
    order = account.order_of(request, NOON)
    assert order.maker_amount <= D("20.55") * D("0.46") * 1_000_000 and order.maker_amount % 10_000 == 0 and order.salt < 1 << 53
    assert accounts.BEAT_S < 10


def paper(folder: Path, count: int, **meta) -> Path:
    """A recording of `count` hours with one settled bet each."""
    with Recorder(folder / "frames", exchange="polymarket") as out:
        out.mark(
            NOON - NS,
            META,
            {"binary": 1, "settings": {"value_min": 0.0, "day_loss_max": 1.0}, "state": None, "place": "https://clob.polymarket.com", "speed": 1.0}
            | meta,
        )
        for n in range(count):
            start = NOON + n * HOUR
            now = start + 1800 * NS
            out.append(now, events(market(start, n)), VENUE, REST)
            rows = [(64_000, 64_000 * (1.005 if k % 2 else 0.995)) for k in range(24)] + [(64_000, 64_000)]
            out.append(now + NS, klines(start - 24 * HOUR, rows), SPOT, REST)
            out.append(now + 2 * NS, book(str(int(UP) + n), [("0.38", 1000)], [("0.40", 1000)], now, n), VENUE, WS)
            out.append(now + 3 * NS, kline(start, 64_000, 64_000, now), SPOT, WS)
            out.mark(now + 4 * NS, BINARY, {"fire": {"side": 1}})
            out.append(start + HOUR, klines(start, [(64_000, 64_000 + (n % 2) - 0.5), (1, 1)]), SPOT, REST)
        out.mark(NOON + count * HOUR + NS, END, {})
    (folder / "bets.log").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in replay(folder)[1]))
    return folder


def test_the_gate_counts_settled_paper_bets_of_the_real_venue_only(tmp_path):
    good = paper(tmp_path / "good", 200)
    assert refuse_early([good]) == 200 and settled_bets([good, good])[0] == 200, "an hour counts once"
    few, emulated, fast = paper(tmp_path / "few", 3), paper(tmp_path / "emu", 3, place="http://127.0.0.1:8"), paper(tmp_path / "fast", 3, speed=60.0)
    with pytest.raises(ConfigError, match="3 settled paper bets"):
        refuse_early([few])
    assert settled_bets([emulated])[0] == settled_bets([fast])[0] == 0 and "emulated" in settled_bets([emulated])[1][0]
    assert settled_bets([emulated], rehearsal=True)[0] == 3
    with (few / "bets.log").open("a") as file:
        file.write("{}\n")
    assert settled_bets([few])[0] == 0 and "the run has" in settled_bets([few])[1][0], "a log that its recording does not give again is no evidence"
    assert settled_bets([tmp_path / "none"])[0] == 0 and DOWN


def test_an_address_that_is_not_the_venues_is_no_evidence(tmp_path):
    """An emulator may be reached through another name than that of the loop."""
    lan = paper(tmp_path / "lan", 2, place="http://192.168.1.5:8080")
    assert settled_bets([lan])[0] == 0 and "emulated" in settled_bets([lan])[1][0] and settled_bets([lan], rehearsal=True)[0] == 2


def test_bets_of_a_state_count_where_their_making_is_recorded(tmp_path):
    """A state is a file that anybody can write; a restart finds open bets in it."""
    first, again = tmp_path / "first", tmp_path / "again"
    make_and_settle(first, again)
    assert settled_bets([again]) == (0, ["1 settled bets: no folder shows how they were made"]), "out of nothing"
    assert settled_bets([first])[0] == 0, "not settled yet"
    assert settled_bets([first, again]) == settled_bets([again, first, again]) == (1, [])


def test_a_run_that_was_killed_keeps_what_its_log_says(tmp_path):
    """The log may lack its last lines, the recording none of those that the log has."""
    killed = paper(tmp_path / "killed", 3)
    manifest, log = killed / "frames" / "manifest.json", killed / "bets.log"
    lines = log.read_text().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if '"state": "settled"' in line)
    log.write_text("".join(lines[:last]) + lines[last][:20])
    assert settled_bets([killed])[0] == 0, "one that came to its end has all of its lines"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"closed": False}))
    assert settled_bets([killed]) == (2, [])
    log.write_text("".join([*lines, lines[-1]]))
    assert settled_bets([killed])[0] == 0, "more than its recording gives"


def make_and_settle(first: Path, again: Path) -> None:
    """A bet that one recording makes and the next one, begun with its state, settles."""
    whole = paper(first.parent / "whole", 1)
    about = {"binary": 1, "settings": {"value_min": 0.0, "day_loss_max": 1.0}, "place": "https://clob.polymarket.com", "speed": 1.0}
    records = [one for one in read(whole) if one.stream not in (META, END)]
    state = None
    for folder, part in ((first, records[:-1]), (again, records[-1:])):
        with Recorder(folder / "frames", exchange="polymarket") as out:
            out.mark(part[0].ts_recv - 1, META, about | {"state": state})
            for one in part:
                if one.stream == BINARY:
                    out.mark(one.ts_recv, BINARY, json.loads(one.frame))
                else:
                    out.append(one.ts_recv, one.frame, one.exchange, one.source)
            out.mark(part[-1].ts_recv + NS, END, {})
        desk, lines = replay(folder)
        state = desk.snapshot()
        (folder / "bets.log").write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


def test_the_command_refuses_real_orders_without_evidence_or_key(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("LIQCORE_POLYMARKET_KEY", raising=False)
    assert cli.main(["bet", str(tmp_path), "--live", "--paper-runs", str(paper(tmp_path / "few", 3))]) == 2
    assert "3 settled paper bets" in capsys.readouterr().err
    good = paper(tmp_path / "good", 200)
    assert cli.main(["bet", str(tmp_path), "--live", "--paper-runs", str(good)]) == 2
    assert "LIQCORE_POLYMARKET_KEY" in capsys.readouterr().err
    monkeypatch.setenv("LIQCORE_POLYMARKET_KEY", KEY)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.main(["bet", str(tmp_path), "--live", "--paper-runs", str(good)]) == 2
    captured = capsys.readouterr()
    assert "not confirmed" in captured.err and KEY not in captured.err + captured.out
    assert cli.main(["bet", str(tmp_path), "--yes-i-accept-real-orders"]) == 2
