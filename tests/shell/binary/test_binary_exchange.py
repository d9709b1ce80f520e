"""The emulated binary venue without sockets: money, delays, minima, steps of trades, heartbeats, the double hour, scripted faults."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqshell.emulator.binary.exchange import CROSSES, HEARTBEAT_NS, HOUR, NO_MONEY, NOT_READY, NS, ONLY_POST, TAKER_DELAY_NS, BinaryExchange
from liqshell.emulator.binary.faults import FAULTS, BinaryFault
from liqshell.emulator.binary.spot import Walk
from liqshell.venues.polymarket.market import parse_markets, taker_fee
from liqshell.venues.polymarket.signing import Order, amounts

START = 1_792_238_400 * NS + 600 * NS


def exchange(*faults, start: int = START, seed: int = 3, **more) -> BinaryExchange:
    out = BinaryExchange(Walk(seed, start), start, seed, [BinaryFault.of(one) for one in faults], **more)
    out.advance(start + NS)
    return out


class Trader:
    def __init__(self, venue: BinaryExchange):
        self.venue, self.wallet, self.count = venue, venue.account("0xabc"), 0
        self.hour = min(venue.hours.values(), key=lambda one: one.start)

    def post(self, shares, price=None, side="up", buy=True, kind="FAK", post_only=False, expiration=0, tick=None):
        token = self.hour.tokens[0 if side == "up" else 1]
        self.count += 1
        bids, asks = self.hour.levels.get(token, ({}, {}))
        price = price if price is not None else min(asks) if buy else max(bids)
        maker, taker = amounts(buy, D(shares), D(price), tick or self.hour.tick, kind in ("FAK", "FOK"))
        order = Order(self.count, "0xabc", "0xabc", token, maker, taker, buy, self.venue.now // 1_000_000)
        return self.venue.post(self.wallet, order, f"0x{self.count}", kind, post_only, expiration)

    def after(self, seconds: float):
        self.venue.advance(self.venue.now + round(seconds * NS))

    @property
    def statuses(self):
        news, self.venue.user_news = self.venue.user_news, []
        return [event["status"] for _, event in news]


@pytest.mark.parametrize("side", ["up", "down"])
def test_a_bet_costs_its_price_and_fee_and_pays_one_or_nothing(side):
    venue = exchange()
    me = Trader(venue)
    token = me.hour.tokens[0 if side == "up" else 1]
    ask = min(me.hour.levels[token][1])
    answer = me.post(20, ask, side)
    assert answer["status"] == "delayed" and me.wallet.cash == 1000
    venue.advance(venue.now + TAKER_DELAY_NS - 1)
    assert me.wallet.cash == 1000 and not me.wallet.tokens, "not before the taker's delay is over"
    me.after(0.001)
    shares = me.wallet.tokens[token]
    assert shares >= D("19.9") and me.wallet.cash == 1000 - shares * ask - taker_fee(shares, ask, D("0.07"))
    me.after(6)
    assert me.statuses == ["MATCHED", "MATCHED", "MINED", "CONFIRMED"]
    cash = me.wallet.cash
    venue.advance(me.hour.end + 31 * NS)
    won = me.hour.winner == side
    assert me.wallet.cash == cash + (shares if won else 0) and not me.wallet.tokens
    ((open_, close),) = [(o, c) for s, o, c in venue.spot.candles(venue.now, 3) if s == me.hour.start]
    assert me.hour.winner == ("up" if close >= open_ else "down")


def test_refusals_have_the_venues_words():
    venue = exchange()
    me = Trader(venue)
    ask = min(me.hour.levels[me.hour.tokens[0]][1])
    low = ask - 5 * me.hour.tick
    assert "lower than the minimum" in me.post(4, low, kind="GTC")["errorMsg"]
    assert "min size: $1" in me.post(D("1.2"), ask)["errorMsg"]
    assert me.post(10, ask, kind="GTC", post_only=True)["errorMsg"] == CROSSES
    assert me.post(5000, low, kind="GTC")["errorMsg"] == NO_MONEY
    assert me.post(10, low, buy=False, kind="GTC")["errorMsg"] == NO_MONEY, "nobody sells what he does not have"
    assert me.post(10, low, kind="GTD", expiration=venue.now // NS + 30)["errorMsg"] == "invalid expiration"
    assert "tick size rule" in me.post(10, low + D("0.001"), kind="GTC", tick=D("0.001"))["errorMsg"]
    assert me.post(10, low, kind="GTC")["status"] == "live"
    me.count -= 1
    assert me.post(10, low, kind="GTC")["errorMsg"] == "order already exists", "the same order twice is one order"
    venue.advance(me.hour.end)
    assert me.post(10, low, kind="GTC")["errorMsg"] == NOT_READY


def test_fill_or_kill_takes_all_or_nothing_and_fak_what_is_there():
    venue = exchange(lag_s=0.0)
    me = Trader(venue)
    token = me.hour.tokens[0]
    asks = me.hour.levels[token][1]
    best = min(asks)
    more = asks[best] + 100
    me.post(more, best, kind="FOK")
    venue._take(venue.orders["0x1"])
    assert me.wallet.cash == 1000 and venue.orders["0x1"].status == "CANCELED"
    me.post(more, best, kind="FAK")
    venue._take(venue.orders["0x2"])
    assert me.wallet.tokens[token] == asks[best] and venue.orders["0x2"].status == "MATCHED"


def test_a_resting_order_trades_at_its_price_without_fee_when_quotes_come():
    for seed in range(30):
        venue = exchange(seed=seed)
        me = Trader(venue)
        token = me.hour.tokens[0]
        price = min(me.hour.levels[token][1]) - me.hour.tick
        assert me.post(10, price, kind="GTC", post_only=True)["status"] == "live"
        me.after(900)
        if venue.orders["0x1"].status == "MATCHED":
            assert me.wallet.cash == 1000 - 10 * price and me.wallet.tokens[token] == 10
            return
    pytest.fail("no price came down by a tick in 30 quarters of an hour")


def test_heartbeats_that_stop_cancel_everything_and_those_never_begun_do_not():
    venue = exchange()
    me = Trader(venue)
    low = min(me.hour.levels[me.hour.tokens[0]][1]) - 20 * me.hour.tick
    me.post(10, low, kind="GTC")
    me.after(60)
    assert venue.orders["0x1"].status == "LIVE"
    good, one = venue.beat(me.wallet, "")
    assert good and not venue.beat(me.wallet, "stale")[0] and venue.beat(me.wallet, "stale")[1] == one
    for _ in range(4):
        me.after(8)
        good, one = venue.beat(me.wallet, one)
        assert good
    assert venue.orders["0x1"].status == "LIVE"
    me.after(HEARTBEAT_NS / NS + 1)
    assert venue.orders["0x1"].status == "CANCELED"


def test_the_double_hour_has_one_slug_and_two_markets():
    first = 1_793_509_200 * NS  # 2026-11-01 05:00Z: 1am in New York, and an hour later again
    venue = exchange(start=first + NS)
    rows = [venue.listed(one) for one in sorted(venue.hours.values(), key=lambda one: one.start)]
    assert rows[0]["slug"] == rows[1]["slug"] == "bitcoin-up-or-down-november-1-2026-1am-et" and rows[2]["slug"].endswith("2am-et")
    import orjson

    found, refused = parse_markets(orjson.dumps(rows))
    assert not refused and [one.start_ns for one in found] == [first, first + HOUR, first + 2 * HOUR]


def test_a_trade_that_fails_gives_everything_back():
    venue = exchange({"kind": "fail_trade", "at": 1})
    me = Trader(venue)
    me.post(20)
    me.after(1)
    assert me.wallet.cash < 1000
    me.after(6)
    assert me.wallet.cash == 1000 and me.wallet.tokens[me.hour.tokens[0]] == 0 and me.statuses[-2:] == ["RETRYING", "FAILED"]


def test_post_only_after_a_restart_of_matching():
    venue = exchange({"kind": "post_only", "seconds": 120})
    me = Trader(venue)
    assert me.post(20)["errorMsg"] == ONLY_POST
    me.after(121)
    assert me.post(20)["success"]


def test_tick_changes_are_said_and_quotes_follow():
    venue = exchange({"kind": "tick_change", "after_s": 5, "seconds": 10})
    venue.market_news.clear()
    venue.advance(START + 6 * NS)
    kinds = [event["event_type"] for _, event in venue.market_news]
    assert "tick_size_change" in kinds and kinds.index("tick_size_change") < kinds.index("book")
    venue.advance(START + 20 * NS)
    assert min(venue.hours.values(), key=lambda one: one.start).tick == D("0.01")


@given(st.lists(st.tuples(st.sampled_from(["buy", "sell", "rest", "cancel", "wait"]), st.integers(1, 300)), max_size=12), st.integers(0, 5))
def test_money_and_shares_are_kept_whatever_is_done(acts, seed):
    """Cash + shares at cost change by what was paid and the fees only: recounted from the trades that did not fail."""
    venue = exchange({"kind": "fail_trade", "share": 0.3}, seed=seed)
    me = Trader(venue)
    for what, n in acts:
        if what == "wait":
            me.after(n)
        elif what == "cancel":
            venue.cancel(me.wallet, f"0x{max(1, me.count)}")
        else:
            token = me.hour.tokens[n % 2]
            if not all(me.hour.levels[token]):
                continue
            price = min(me.hour.levels[token][1]) if what == "buy" else max(me.hour.levels[token][0])
            me.post(n, price, "up" if n % 2 == 0 else "down", what != "sell", "GTC" if what == "rest" else "FAK")
        assert me.wallet.cash >= 0 and all(x >= 0 for x in me.wallet.tokens.values()) or any(t["status"] == "FAILED" for t in venue.trades)
    me.after(10)
    if venue.now >= me.hour.end:
        return
    cash, tokens = D(1000), dict.fromkeys(me.hour.tokens, D(0))
    for trade in venue.trades:
        if trade["status"] == "FAILED":
            continue
        sign, shares, price = 1 if trade["side"] == "BUY" else -1, D(trade["size"]), D(trade["price"])
        cash -= sign * shares * price + (taker_fee(shares, price, D("0.07")) if trade["trader_side"] == "TAKER" else 0)
        tokens[trade["asset_id"]] += sign * shares
    assert me.wallet.cash == cash and all(me.wallet.tokens.get(token, 0) == have for token, have in tokens.items())


def test_faults_are_checked():
    for bad in ({}, {"kind": "x"}, {"kind": "drop", "seconds": -1}, {"kind": "drop", "at": True}, {"kind": "drop", "side": 1}, "drop"):
        with pytest.raises(ValueError, match="fault"):
            BinaryFault.of(bad)
    assert all(BinaryFault.of({"kind": kind}).kind == kind for kind in FAULTS)
