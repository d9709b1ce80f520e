"""Orders through ccxt, tested with its bybit class against the emulated Bybit: operations, a whole run, a lost answer, a restart, refusals."""

import asyncio
import json
from collections import Counter
from importlib.util import find_spec

import pytest

import liqcore as lc
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.errors import ConfigError, VenueError
from liqshell.live import Session
from liqshell.live.ccxt_account import CcxtAccount, refuse_without_consent
from liqshell.live.ccxt_client import Exchange, make_exchange
from liqshell.recording import journal
from liqshell.run import replay
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.ccxt.mapping import order_row, outcome_of
from liqshell.venues.ccxt.port import CcxtPort
from liqshell.venues.effects import Answer, Call
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Standing

pytestmark = pytest.mark.skipif(find_spec("ccxt") is None, reason="ccxt is not installed")
BTC = lc.Instrument("BTCUSDT", venue="bybit", tick_size="0.1", lot_size="0.001", min_qty=0.001, min_notional=5.0)


def talk(conversation, **options):
    """conversation(exchange, emulator, call) with a ccxt bybit of its own; call(operation, **arguments) -> (status, what came back)."""

    async def main():
        async with await serve(
            Config(**{"seed": 3, "speed": 1.0, "symbols": ("BTCUSDT",), "parameters": {"warmup_hours": 0.2}} | options)
        ) as emulator:
            key = emulator.keys[0]
            made = Exchange(
                make_exchange("bybit", Keys(key.key, key.secret), emulator.rest), [BTC], "testrun", lambda: emulator.now_ns() // 1_000_000
            )

            async def call(operation, timeout_s=5.0, **arguments):
                answer = await made.call(Call(1, "CCXT", operation, "", json.dumps(arguments), timeout_s))
                return answer.status, json.loads(answer.body) if answer.body else {}

            try:
                async with asyncio.timeout(60):
                    await made.open()
                    while not (await made.position("BTCUSDT"))["mark"] and emulator.states["BTCUSDT"].bid is None:
                        await asyncio.sleep(0.05)
                    await conversation(made, emulator, call)
            finally:
                await made.close()

    asyncio.run(main())


@pytest.mark.parametrize("side", [1, -1])
def test_a_round_trip_with_a_watched_stop(side):
    """Market in, a reduce-only stop, the stop moved (there is one at every moment), market out: what was executed is said with our ids."""

    async def conversation(x, emulator, call):
        bid = float(emulator.states["BTCUSDT"].bid[0])
        assert await call("create", symbol="BTCUSDT", link="testrun-11", side=side, qty="0.010") == (
            200,
            {"outcome": int(Outcome.ACCEPTED), "order_id": next(iter(x.links))},
        )
        position = await x.position("BTCUSDT")
        assert (position["side"], position["qty"], position["stop_loss"]) == (side, 0.01, 0.0)
        for share in (0.02, 0.01):
            price = f"{bid * (1.0 - side * share):.1f}"
            assert (await call("stop", symbol="BTCUSDT", price=price))[1]["outcome"] == Outcome.ACCEPTED
            position = await x.position("BTCUSDT")
            stops = [row for row in await x.open_orders("BTCUSDT") if row["stop_kind"] == "StopLoss"]
            assert position["stop_loss"] == float(price) and len(stops) == 1
            assert stops[0]["standing"] == Standing.WAITING and stops[0]["side"] == -side and stops[0]["reduce_only"] and not stops[0]["link_id"]
        assert (await call("stop", symbol="BTCUSDT", price=price))[1]["outcome"] == Outcome.ACCEPTED  # again: nothing changes
        assert [row["order_id"] for row in await x.open_orders("BTCUSDT")] == [stops[0]["order_id"]]
        assert (await call("create", symbol="BTCUSDT", link="testrun-14", side=-side, qty="0.010", reduce_only=True))[0] == 200
        position = await x.position("BTCUSDT")
        assert position["qty"] == 0.0 and not await x.open_orders("BTCUSDT")  # what protects nothing is withdrawn
        rows = (await call("executions", symbol="BTCUSDT"))[1]["items"]
        assert Counter((row["link_id"], row["side"]) for row in rows).keys() == {("testrun-11", side), ("testrun-14", -side)}
        assert sum(row["qty"] for row in rows if row["side"] == side) == pytest.approx(0.01) and all(row["fee"] > 0 for row in rows)

    talk(conversation)


@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_that_acts_is_told_as_one(side):
    """The trigger is reached: its execution carries no id of ours but is known as the stop's."""

    async def conversation(x, emulator, call):
        await call("create", symbol="BTCUSDT", link="testrun-11", side=side, qty="0.010")
        while (await x.position("BTCUSDT"))["qty"]:  # as near as the market lets us, until it comes
            bid = float(emulator.states["BTCUSDT"].bid[0])
            await call("stop", symbol="BTCUSDT", price=f"{bid * (1.0 - side * 0.0002):.1f}")
            await asyncio.sleep(0.1)
        rows = [row for row in await x.trades("BTCUSDT") if row["side"] == -side]
        assert rows and all(row["stop_kind"] == "StopLoss" and row["link_id"] == "" for row in rows)

    talk(conversation, speed=100.0)


def test_an_answer_that_is_lost_is_unknown_and_the_order_is_found():
    async def conversation(x, emulator, call):
        resting = f"{float(emulator.states['BTCUSDT'].bid[0]) * 0.97:.1f}"
        emulator.faults.add({"kind": "lose_ack", "operation": "create", "count": 1, "duration_s": 60})
        emulator.wake()
        await asyncio.sleep(0.05)
        status, body = await call("create", 1.0, symbol="BTCUSDT", link="testrun-21", side=1, qty="0.010", price=resting, post_only=True)
        assert (status, body) == (0, {})
        page = CcxtPort("testrun", [BTC]).result_of(Answer(0, why="lost"), Asked.CREATE)
        assert page.outcome == Outcome.UNKNOWN and not page.ok
        found = (await call("order", symbol="BTCUSDT", link="testrun-21"))[1]["items"]
        assert len(found) == 1 and found[0]["standing"] == Standing.LIVE and found[0]["price"] == float(resting)
        assert (await call("cancel", symbol="BTCUSDT", link="testrun-21"))[1]["outcome"] == Outcome.ACCEPTED
        assert (await call("cancel", symbol="BTCUSDT", link="testrun-21"))[1]["outcome"] == Outcome.GONE
        past = (await call("order", symbol="BTCUSDT", link="testrun-21", past=True))[1]["items"]
        assert past and past[0]["standing"] == Standing.CANCELLED
        # a refusal is one, and what is no refusal of a class of its own is not taken for one
        assert (await call("create", symbol="BTCUSDT", link="testrun-31", side=1, qty="900.000"))[1]["outcome"] == Outcome.REJECTED
        emulator.faults.add({"kind": "error", "code": 10016, "operation": "create", "count": 1, "booked": 1.0, "duration_s": 60})
        emulator.wake()
        await asyncio.sleep(0.05)
        assert (await call("create", symbol="BTCUSDT", link="testrun-41", side=1, qty="0.010", price=resting))[0] == 0

    talk(conversation)


def test_what_errors_mean():
    import ccxt

    for asked in (Asked.CREATE, Asked.CANCEL, Asked.STOP):
        for unknown in (
            ccxt.RequestTimeout("x"),
            ccxt.ExchangeNotAvailable("x"),
            ccxt.NetworkError("x"),
            ccxt.ExchangeError("odd"),
            KeyError("x"),
            TimeoutError(),
            ccxt.OnMaintenance("x"),
        ):
            assert outcome_of(unknown, asked) == Outcome.UNKNOWN, unknown
    assert outcome_of(ccxt.OrderNotFound("x"), Asked.CANCEL) == Outcome.GONE and outcome_of(ccxt.OrderNotFound("x"), Asked.CREATE) == Outcome.UNKNOWN
    assert outcome_of(ccxt.InsufficientFunds("x"), Asked.CREATE) == outcome_of(ccxt.InvalidOrder("x"), Asked.CREATE) == Outcome.REJECTED
    assert (
        outcome_of(ccxt.RateLimitExceeded("x"), Asked.CREATE) == Outcome.LATER
        and outcome_of(ccxt.DuplicateOrderId("x"), Asked.CREATE) == Outcome.LANDED
    )
    assert outcome_of(ccxt.AuthenticationError("x"), Asked.AUTH) == Outcome.FATAL and outcome_of(ccxt.NetworkError("x"), Asked.QUERY) == Outcome.LATER


def test_words():
    order = {"id": "7", "side": "sell", "status": "closed", "amount": 2.0, "filled": 1.0, "timestamp": 1000, "lastUpdateTimestamp": 1500}
    assert order_row(order, "X", "r-1", False, 9)["standing"] == Standing.CANCELLED  # "closed", though not all of it was filled
    quick = order | {"status": "canceled", "filled": 0.0, "postOnly": True}
    assert order_row(quick, "X", "r-1", False, 9)["reason"] == "post only"
    assert order_row(quick | {"lastUpdateTimestamp": 60_000}, "X", "r-1", False, 9)["reason"] == ""
    for separator in ("-", "Z"):
        port = CcxtPort("run1", [BTC], separator)
        assert port.parse_link_id(port.link_id((3 << 40) | 0x21)) == ("run1", (3 << 40) | 0x21)
        assert port.parse_link_id(f"run1{separator}s12ab1") is None and port.parse_link_id("a person's") is None


# ---- a whole run


def configuration(emulator, out, more="", max_hold_s=30):
    return loads(
        f'[run]\nname = "else"\nmode = "live"\nout = {json.dumps(str(out))}\n[feed]\nrest = "{emulator.rest}"\nws = "{emulator.ws}"\n'
        f'symbols = ["BTCUSDT", "SOLUSDT"]\n[detector]\nrefresh_s = 0\nwarmup = 10\nquantile = 0.6\n'
        f'[policy]\nentry = "market"\ncooldown_s = 1\nmax_hold_s = {max_hold_s}\nnotional = 500\n'
        f"[limits]\ndata_age_max_s = 60\nevent_age_max_s = 60\ndaily_loss_max = 0.5\nweekly_loss_max = 0.5\norders_per_minute_max = 256\n"
        f'[live]\nvia = "ccxt"\naccept_watched_stop = true\nwatchdog = false\n{more}'
    )


async def run_until(done, emulator, folder):
    """One life of a session, stopped at the first moment of which done(truth, whether a trade is believed open) holds. Returns the session and the
    truth at its end."""
    key = emulator.keys[0]
    config = configuration(emulator, folder.parent, max_hold_s=600)
    session = Session(config, folder, emulator.clock, {"synthetic": True}, account=CcxtAccount(config, Keys(key.key, key.secret)))

    def truth():
        return emulator.desk.exchange.truth(key.account)

    async def end():
        while not (session.account.ready.is_set() and done(truth(), any(session.pipeline.engine.bracket(n)["held"] for n in range(2)))):
            await asyncio.sleep(0.02)
        session.stop()

    beside = asyncio.create_task(end())
    try:
        async with asyncio.timeout(150):
            await session.run()
    finally:
        beside.cancel()
    return session, truth()


def held(truth):
    return {symbol: one["qty"] for (symbol, _), one in truth["positions"].items() if one["qty"]}


def protected(truth, believed):
    positions = [one for one in truth["positions"].values() if one["qty"]]
    return bool(believed and positions and all(one["stop_qty"] >= abs(one["qty"]) for one in positions))


def flat(truth, believed):
    return not believed and not held(truth)


@pytest.mark.slow
def test_a_run_its_replay_and_a_restart_with_an_open_position(tmp_path):
    """An entry, protected by a stop order of its own; the run ends in good order and leaves both; the next life takes the position up and closes it."""

    async def main():
        async with await serve(Config(seed=1, speed=60.0, symbols=("BTCUSDT", "SOLUSDT"), lead_s=0.3)) as emulator:
            return (await run_until(protected, emulator, tmp_path / "one"))[1], (await run_until(flat, emulator, tmp_path / "two"))[1]

    first, second = asyncio.run(main())
    for name in ("one", "two"):
        verdict = replay.prove(tmp_path / name)
        assert verdict.identical, (name, verdict)
    assert protected(first, True), first  # what is held and its stop, left to the venue
    assert not held(second)
    audits = {name: journal.load_audit(tmp_path / name) for name in ("one", "two")}
    fills = {name: audit[audit["kind"] == int(lc.AuditKind.AUDIT_FILL)] for name, audit in audits.items()}
    for symbol, qty in held(first).items():  # what the first left open, the second closed
        sides = {name: found["side"][found["instrument"] == ("BTCUSDT", "SOLUSDT").index(symbol)].tolist() for name, found in fills.items()}
        assert sides["one"][-1] * qty > 0 and sides["two"][0] * qty < 0, (symbol, qty, sides)
    requests = audits["two"][audits["two"]["kind"] == int(lc.AuditKind.AUDIT_REQUEST)]
    assert len(requests)


@pytest.mark.slow
@pytest.mark.parametrize(("paid_in", "share"), [(5000.0, 0.0), (-3000.0, 0.5), (700.0, 1.0)])
def test_equity_after_a_restart_with_an_open_trade_is_the_venues(tmp_path, paid_in, share):
    """Money comes or goes, and a part of the position is closed, while nobody listens. The old value was kept; what happened counts once."""

    async def main():
        async with await serve(Config(seed=1, speed=60.0, symbols=("BTCUSDT", "SOLUSDT"), lead_s=0.3)) as emulator:
            exchange, account = emulator.desk.exchange, emulator.keys[0].account
            between = held((await run_until(protected, emulator, tmp_path / "one"))[1])
            for symbol, qty in between.items():
                part = round(abs(qty) * share, emulator.states[symbol].contract.lot_decimals)
                if part:
                    exchange.manual_trade(account, symbol, "Sell" if qty > 0 else "Buy", f"{part}", emulator.clock.now_ns())
            await asyncio.sleep(0.5)
            account.balance += paid_in
            session, truth = await run_until(flat, emulator, tmp_path / "two")
            return between, session.pipeline.engine.account.equity, truth

    between, equity, truth = asyncio.run(main())
    assert between and not held(truth)
    assert equity == pytest.approx(truth["balance"], abs=1e-6)


@pytest.mark.parametrize(("name", "open_counts"), [("bybit", False), ("binanceusdm", True), ("okx", True), ("nobody", None)])
def test_cash_is_without_what_open_positions_would_bring(name, open_counts):
    """The total of ccxt's balance: marginBalance at Binance, eq at OKX, walletBalance at Bybit."""

    class Told:
        id = name

        def market(self, symbol):
            return {"settle": "USDT"}

        async def fetch_balance(self):
            return {"USDT": {"total": 1000.0, "free": 900.0}}

        async def fetch_positions(self):
            return [{"unrealizedPnl": 30.0}, {"unrealizedPnl": -5.0}, {"unrealizedPnl": None}]

    made = Exchange(Told(), [BTC], "r", lambda: 0)
    made.unified = {"BTCUSDT": "BTC/USDT:USDT"}
    assert asyncio.run(made.cash()) == (None if open_counts is None else 975.0 if open_counts else 1000.0)


def test_what_is_not_accepted_is_refused(tmp_path):
    class Emulator:
        rest, ws = "http://127.0.0.1:1", "ws://127.0.0.1:1"

    config = configuration(Emulator, tmp_path)
    refuse_without_consent(config)
    bad = loads('[feed]\nsymbols = ["X"]\n[live]\nvia = "ccxt"\n')
    with pytest.raises(ConfigError) as told:
        refuse_without_consent(bad)
    assert "accept_watched_stop" in str(told.value) and "watchdog" in str(told.value)
    with pytest.raises(ConfigError):
        CcxtAccount(bad, Keys("k" * 18, "s" * 36))
    from liqshell.live.opening import refuse_unsafe

    with pytest.raises(ConfigError, match="bybit, with a built-in account connection"):
        refuse_unsafe(loads('[feed]\nvenue = "okx"\nsymbols = ["BTC-USDT-SWAP"]\n'))
    with pytest.raises(ConfigError, match="an exchange of ccxt"):
        make_exchange("nosuchvenue", Keys("k" * 18, "s" * 36))


def test_an_exchange_that_cannot_is_refused():
    class Poor:
        id = "poor"
        has = {"createOrder": True, "fetchPositions": False}

        async def load_markets(self):
            return {}

    with pytest.raises(VenueError, match="cannot cancelOrder, fetchOpenOrders, fetchMyTrades, fetchPositions, fetchBalance"):
        asyncio.run(Exchange(Poor(), [BTC], "r", lambda: 0).open())


def test_kill_asks_no_other_venue_in_the_language_of_bybit(tmp_path, monkeypatch, capsys):
    """It sent signed Bybit calls to Binance, and reported that the key was refused."""
    from liqshell.commands.kill import kill
    from liqshell.state.control import Control, Kill

    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.toml").write_text('[feed]\nvenue = "binance"\nrest = "http://127.0.0.1:9"\nws = "ws://127.0.0.1:9"\nsymbols = ["ETHUSDT"]\n')
    assert kill(tmp_path / "my.toml") == 1
    assert "supports Bybit only" in capsys.readouterr().err and Control(tmp_path / "runs/state/my").kill == Kill.KILLED
