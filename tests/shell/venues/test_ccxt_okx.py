"""Orders through ccxt at OKX: its class with a venue of a few lines behind it, which keeps orders and conditional orders apart as OKX does."""

import asyncio
import json
from importlib.util import find_spec

import pytest

import liqcore as lc
from liqshell.config.load import loads
from liqshell.errors import ConfigError, VenueError
from liqshell.live.ccxt_account import refuse_without_consent
from liqshell.live.ccxt_client import Exchange, make_exchange
from liqshell.live.ccxt_poller import PollLink
from liqshell.state.prefix import make_prefix
from liqshell.venues.bybit.signing import Keys
from liqshell.venues.ccxt.mapping import fee_of
from liqshell.venues.outcome import Outcome

pytestmark = pytest.mark.skipif(find_spec("ccxt") is None, reason="ccxt is not installed")
NAME = "BTC-USDT-SWAP"
BTC = lc.Instrument(NAME, venue="okx", tick_size="0.1", lot_size="0.01", multiplier=0.01)
PREFIX = make_prefix("elsewhere1", 1_790_000_000_000_000_000)  # as long as one gets
NOW_MS = 1_790_000_100_000
MARK = 50_000.0


class Okx:
    """What OKX would answer, by path. Fills: newest first, at most 100; an order of the other list is not found; client ids of at most 32 letters and
    digits."""

    def __init__(self):
        self.orders, self.algos, self.fills, self.contracts, self.calls = {}, {}, [], 0.0, []

    def answer(self, path, method, told):
        self.calls.append(path)
        return getattr(self, f"{method.lower()}_{path.replace('/', '_').replace('-', '_')}")(told)

    def get_account_positions(self, told):
        return [
            {
                "instId": NAME,
                "instType": "SWAP",
                "mgnMode": "cross",
                "posSide": "net",
                "pos": f"{self.contracts:g}",
                "avgPx": "50000",
                "markPx": f"{MARK:g}",
                "lever": "5",
                "uTime": str(NOW_MS),
                "cTime": str(NOW_MS),
            }
        ]

    def get_trade_orders_pending(self, told):
        return list(self.orders.values())

    def get_trade_orders_algo_pending(self, told):
        return [one for one in self.algos.values() if one["ordType"] in told["ordType"].split(",")]

    def get_trade_orders_history(self, told):
        return []

    def get_trade_fills_history(self, told):
        found = [one for one in self.fills if int(told.get("begin", 0)) <= int(one["ts"]) <= int(told.get("end", 9e15))]
        return found[::-1][:100]

    def post_trade_order_algo(self, told):
        client = told.get("algoClOrdId", "")
        assert client.isalnum() and len(client) <= 32, client
        self.algos[str(len(self.algos) + 900)] = made = {
            "algoId": str(len(self.algos) + 900),
            "algoClOrdId": client,
            "clOrdId": "",
            "ordId": "",
            "instId": NAME,
            "instType": "SWAP",
            "ordType": told["ordType"],
            "state": "live",
            "side": told["side"],
            "posSide": "net",
            "sz": told["sz"],
            "actualSz": "",
            "slTriggerPx": told["slTriggerPx"],
            "slOrdPx": "-1",
            "reduceOnly": str(told["reduceOnly"]).lower(),
            "cTime": str(NOW_MS),
            "uTime": str(NOW_MS),
        }
        return [{"algoId": made["algoId"], "algoClOrdId": client, "sCode": "0"}]

    def post_trade_cancel_algos(self, told):
        for one in told:
            del self.algos[one["algoId"]]
        return [{"algoId": one["algoId"], "sCode": "0"} for one in told]

    def foreign(self, number, side, trigger, kind="conditional", reduce_only=True):
        """An order that a person placed in the app."""
        self.algos[str(number)] = {
            "algoId": str(number),
            "algoClOrdId": "",
            "clOrdId": "",
            "ordId": "",
            "instId": NAME,
            "instType": "SWAP",
            "ordType": kind,
            "state": "live",
            "side": side,
            "posSide": "net",
            "sz": "9",
            "actualSz": "",
            "slTriggerPx": f"{trigger:g}",
            "slOrdPx": "-1",
            "reduceOnly": str(reduce_only).lower(),
            "cTime": str(NOW_MS),
            "uTime": str(NOW_MS),
        }

    def fill(self, number, ts, order="77"):
        self.fills.append(
            {
                "instId": NAME,
                "instType": "SWAP",
                "tradeId": str(number),
                "ordId": order,
                "clOrdId": "",
                "fillPx": "50000",
                "fillSz": "1",
                "side": "buy",
                "execType": "T",
                "fee": "-0.25",
                "feeCcy": "USDT",
                "ts": str(ts),
                "posSide": "net",
            }
        )


def talk(conversation):
    async def main():
        venue = Okx()
        x = make_exchange("okx", Keys("k" * 18, "s" * 36))

        async def request(path, api="public", method="GET", params=None, headers=None, body=None, config=None):
            return {"code": "0", "data": venue.answer(path, method, params)}

        x.request = request
        x.set_markets(
            [
                x.parse_market(
                    {
                        "alias": "",
                        "baseCcy": "",
                        "quoteCcy": "",
                        "ctMult": "1",
                        "ctType": "linear",
                        "ctVal": "0.01",
                        "ctValCcy": "BTC",
                        "instFamily": "BTC-USDT",
                        "instId": NAME,
                        "instType": "SWAP",
                        "lever": "100",
                        "lotSz": "0.01",
                        "minSz": "0.01",
                        "settleCcy": "USDT",
                        "state": "live",
                        "tickSz": "0.1",
                        "uly": "BTC-USDT",
                        "expTime": "",
                        "listTime": "1",
                    }
                )
            ]
        )
        made = Exchange(x, [BTC], PREFIX, lambda: NOW_MS)
        made.unified = {NAME: "BTC/USDT:USDT"}
        try:
            await conversation(made, venue)
        finally:
            await made.close()

    asyncio.run(main())


@pytest.fixture(autouse=True)
def passphrase(monkeypatch):
    monkeypatch.setenv("LIQCORE_API_PASSPHRASE", "not a secret")


@pytest.mark.parametrize("side", [1, -1])
def test_our_stop_is_seen_moved_and_withdrawn(side):
    """OKX lists conditional orders by kind, and ccxt asks for another kind than the one it places: unseen, each look would have put one more."""

    async def conversation(x, venue):
        venue.contracts = 9.0 * side
        for share in (0.02, 0.01):
            price = f"{MARK * (1.0 - side * share):.1f}"
            for _ in range(20):  # again and again: nothing changes
                assert (await x.do_stop(NAME, price))["outcome"] == Outcome.ACCEPTED
            assert (await x.position(NAME))["stop_loss"] == float(price)
            (stop,) = venue.algos.values()
            assert stop["side"] == ("sell" if side > 0 else "buy") and stop["sz"] == "9" and stop["reduceOnly"] == "true"
        for n in range(40):  # its client ids stay within what OKX takes, however many there were
            await x.do_stop(NAME, f"{MARK * (1.0 - side * (0.03 + n / 1e4)):.1f}")
        venue.contracts = 0.0
        await x.position(NAME)
        assert not venue.algos

    talk(conversation)


@pytest.mark.parametrize("side", [1, -1])
def test_orders_of_a_person_are_no_stops_of_ours(side):
    """What opens, or takes a profit, protects nothing; and nobody's orders but ours are ever withdrawn."""

    async def conversation(x, venue):
        venue.contracts = 9.0 * side
        away, profit = ("sell", "buy")[side < 0], MARK * (1.0 + side * 0.02)
        venue.foreign(1, away, profit)  # takes a profit
        venue.foreign(2, away, MARK * (1.0 - side * 0.03), reduce_only=False)  # may open the other side
        venue.foreign(3, ("buy", "sell")[side < 0], MARK * (1.0 - side * 0.01))  # adds
        assert (await x.position(NAME))["stop_loss"] == 0.0
        venue.foreign(4, away, MARK * (1.0 - side * 0.05))  # a stop: it protects, whoever put it
        assert (await x.position(NAME))["stop_loss"] == pytest.approx(MARK * (1.0 - side * 0.05))
        await x.do_stop(NAME, f"{MARK * (1.0 - side * 0.02):.1f}")
        assert len(venue.algos) == 5
        venue.contracts = 0.0
        await x.position(NAME)
        assert set(venue.algos) == {"1", "2", "3", "4"}

    talk(conversation)


def test_every_execution_is_told_however_many_there_are_and_whatever_fails_in_between():
    """One large order has hundreds of executions, a full answer is cut, and a poll may fail after some of its questions were answered."""

    async def conversation(x, venue):
        told = []
        link = PollLink(x, lambda channel, raw: told.extend(json.loads(raw).get("executions", ())), lambda channel, up: None)
        link._up = True
        for n in range(430):
            venue.fill(n, NOW_MS - 20_000 + 40 * n)
        positions, venue.get_account_positions = venue.get_account_positions, None  # TypeError, as of an answer that ccxt cannot read
        assert not await link._round()
        venue.get_account_positions = positions
        history, venue.get_trade_orders_history = venue.get_trade_orders_history, None
        assert not await link._round() and not told
        venue.get_trade_orders_history = history
        assert await link._round()
        assert {row["id"] for row in told} == {str(n) for n in range(430)} and len(told) == 430
        venue.fill(430, NOW_MS)
        assert await link._round() and [row["id"] for row in told[430:]] == ["430"]
        for _ in range(5):
            await link._round()
        venue.calls.clear()
        await link._round()  # whose order it was is not asked for ever
        assert "trade/orders-history" not in venue.calls and len(told) == 431

    talk(conversation)


def test_a_fee_in_another_currency_is_not_taken_for_dollars():
    market = {"settle": "USDT", "taker": 0.0005, "maker": 0.0002, "contractSize": 0.01}
    trade = {"price": 50_000.0, "amount": 3.0, "takerOrMaker": "taker"}
    assert fee_of(trade | {"fee": {"cost": 0.7, "currency": "USDT"}}, market) == 0.7
    assert fee_of(trade | {"fee": {"cost": 0.0012, "currency": "BNB"}}, market) == pytest.approx(50_000 * 3 * 0.01 * 0.0005)
    assert fee_of(trade | {"fee": {"cost": 0.0012, "currency": "BNB"}, "takerOrMaker": "maker"}, market) == pytest.approx(50_000 * 3 * 0.01 * 0.0002)
    assert fee_of(trade, market) == fee_of(trade | {"fee": {"cost": None, "currency": "USDT"}}, market) == pytest.approx(50_000 * 3 * 0.01 * 0.0005)


def test_contracts_of_another_size_are_refused():
    class Other:
        id = "other"
        has = dict.fromkeys(("createOrder", "cancelOrder", "fetchOpenOrders", "fetchMyTrades", "fetchPositions", "fetchBalance"), True)

        async def load_markets(self):
            return {"BTC/USDT:USDT": {"id": NAME, "swap": True, "linear": True, "contractSize": 1.0}}

    with pytest.raises(VenueError, match="a contract of BTC-USDT-SWAP has the size 1 here and 0.01"):
        asyncio.run(Exchange(Other(), [BTC], PREFIX, lambda: 0).open())


def test_a_run_whose_name_okx_would_not_take_is_refused():
    def told(name, exchange=""):
        return loads(
            f'[run]\nname = "{name}"\n[feed]\nvenue = "okx"\nsymbols = ["{NAME}"]\n[live]\nvia = "ccxt"\naccept_watched_stop = true\n'
            f"watchdog = false\n{exchange}"
        )

    refuse_without_consent(told("cascade1"))
    for exchange in ("", 'exchange = "myokx"'):
        with pytest.raises(ConfigError, match="letters and digits"):
            refuse_without_consent(told("my-run", exchange))
