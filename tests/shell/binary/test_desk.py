"""The desk: one bet an hour, at prices that are worth it, within the venue's minima, settled by the candle; long and short."""

import json
from decimal import Decimal as D

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from binary_frames import DOWN, HOUR, NOON, NS, RULES, UP, book, change, events, iso, kline, klines, market
from liqshell.binary.book import TokenBook
from liqshell.binary.desk import SPOT, VENUE, Desk, Settings
from liqshell.errors import DataError
from liqshell.venues.polymarket import signing
from liqshell.venues.polymarket.decoder import Book
from liqshell.venues.polymarket.market import taker_fee

MS = 1_000_000
T = NOON + 1800 * NS


def ready(spot: float = 64_000.0, state=None, asks=(("0.40", 1000),), bids=(("0.38", 1000),), now: int = T, **settings) -> Desk:
    """Half an hour in, spot at the open but for what is said, 24 candles of 0.5 % behind it, a book."""
    desk = Desk(Settings(**settings), state)
    desk.frame(now - 5 * NS, VENUE, "rest", events(market(), market(NOON + HOUR, 1)))
    desk.frame(
        now - 4 * NS, SPOT, "rest", klines(NOON - 24 * HOUR, [(64_000, 64_000 * (1.005 if n % 2 else 0.995)) for n in range(24)] + [(64_000, spot)])
    )
    for token in (UP, DOWN):
        desk.frame(now - 3 * NS, VENUE, "ws", book(token, [(p, s) for p, s in bids], [(p, s) for p, s in asks]))
    desk.frame(now - 2 * NS, SPOT, "ws", kline(NOON, 64_000, spot, now))
    desk.lines.clear()
    return desk


def end(desk: Desk, close: float) -> None:
    """The hour's candle is final."""
    desk.frame(NOON + HOUR + 5 * NS, SPOT, "rest", klines(NOON, [(64_000, close), (close, close)]))


def kinds(desk: Desk, kind: str) -> list[dict]:
    return [line for line in desk.lines if line["kind"] == kind]


@pytest.mark.parametrize(
    ("side", "token", "close", "won"), [(1, UP, 64_000.0, True), (1, UP, 63_999.99, False), (-1, DOWN, 63_999.99, True), (-1, DOWN, 64_000.0, False)]
)
def test_a_bet_from_fire_to_money(side, token, close, won):
    desk = ready(value_min=0.02)
    desk.fire(T, {"side": side})
    (bet,) = desk.bets
    assert bet.token == token and bet.state == "sent" and desk.cash == 1000 and bet.limit == D("0.43"), (
        "at 0.44 a fiftieth would be more than a quarter of Kelly"
    )
    desk.advance(T + 250 * MS)
    (bet,) = desk.bets
    fee = taker_fee(bet.filled, D("0.40"), D("0.07"))
    assert bet.state == "confirmed" and bet.cost == bet.filled * D("0.40") and bet.fee == fee and desk.cash == 1000 - bet.cost - fee
    assert bet.cost + fee <= 20 and bet.filled >= 5, "a fiftieth of the equity at most"
    end(desk, close)
    (bet,) = desk.bets
    assert (bet.state, bet.won) == ("settled", won) and desk.cash == 1000 + bet.profit and bet.profit == (bet.filled if won else 0) - bet.cost - fee
    assert kinds(desk, "settled")[0]["winner"] == ("up" if close >= 64_000 else "down")


@given(
    st.lists(st.tuples(st.integers(20, 60), st.integers(1, 400)), min_size=1, max_size=6, unique_by=lambda level: level[0]),
    st.sampled_from([0.02, 0.2, 1.0]),
    st.sampled_from([1, -1]),
)
@example([(20, 6)], 0.02, 1)
def test_a_stake_is_no_more_than_the_share_of_kelly_wherever_it_is_filled(levels, cap, side):
    """Money in whole shares by hand: what the order may cost at its limit is within Kelly's share there, and no other level of the book would gain more."""
    desk = ready(asks=[(str(D(cents) / 100), size) for cents, size in sorted(levels)], bids=[("0.05", 1000)], cap=cap)
    desk.fire(T, {"side": side})
    rate, equity = 0.07, 1000.0

    def kelly(price: float) -> float:
        cost = price + rate * price * (1 - price)
        return max(0.0, min(cap, 0.25 * (0.5 - cost) / (1 - cost)))

    def gain(money: float, limit: int) -> float:
        found = 0.0
        for cents, size in sorted(levels):
            some = min(money / (cents / 100), size) if cents <= limit else 0
            money -= some * cents / 100
            found += some * (0.5 - cents / 100 - rate * cents / 100 * (1 - cents / 100))
        return found

    best = max(gain(kelly(cents / 100) * equity / (1 + rate), cents) for cents, _ in levels)
    if not desk.bets:
        assert best < 5 * 0.3, "worth less than the venue's smallest order"
        return
    (bet,) = desk.bets
    at = float(bet.limit)
    assert float(bet.most) <= kelly(at) * equity + 1e-6 and bet.limit >= D(min(levels)[0]) / 100
    # the venue takes whole cents from a taker: what is cut off is less than the fewest shares that cost whole cents
    step = next(n for n in range(1, 101) if n * round(100 * at) % 100 == 0) / 100
    assert gain(float(bet.stake) + step * at, round(100 * at)) >= best - 0.02
    desk.advance(T + 250 * MS)
    assert desk.bets[0].cost > 0


def test_the_hour_is_used_by_an_order_and_not_by_a_decision():
    desk = ready(asks=(("0.60", 1000),), bids=(("0.58", 10),))
    desk.fire(T, {"side": 1})
    assert not desk.bets and "not worth the ask" in kinds(desk, "fire")[0]["why"]
    desk.frame(T + NS, VENUE, "ws", change(UP, "0.40", "1000", "SELL"))
    desk.fire(T + 2 * NS, {"side": 1})
    assert len(desk.bets) == 1
    desk.fire(T + 3 * NS, {"side": 1})
    assert len(desk.bets) == 1 and kinds(desk, "fire")[-1]["why"] == "this hour has had its trade"


def test_an_old_fire_is_no_reason_to_bet():
    desk = ready()
    desk.fire(T, {"side": 1, "ts": T - 61 * NS})
    assert not desk.bets and "61 s old" in kinds(desk, "fire")[0]["why"]
    desk.fire(T, {"side": 1, "ts": T - 60 * NS})
    assert len(desk.bets) == 1


def test_the_book_moves_during_the_takers_delay():
    desk = ready()
    desk.fire(T, {"side": 1})
    limit = desk.bets[0].limit
    desk.frame(T + 100 * MS, VENUE, "ws", book(UP, [("0.50", 10)], [("0.55", 1000)]))
    desk.frame(T + 300 * MS, VENUE, "ws", book(UP, [("0.38", 10)], [("0.39", 1000)]))
    (bet,) = desk.bets
    assert bet.state == "killed" and bet.filled == 0 and desk.cash == 1000 and limit < D("0.55"), "it met the book of its own moment"
    assert desk.policy.hour == NOON, "an order was out: the hour has had its bet"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"now": T, "late": 60}, "the spot price or the hour's open is not known"),
        ({"drop": True}, "no book that could be relied on"),
        ({"asks": ()}, "no book that could be relied on, or nobody offers"),
        ({"asks": (("0.40", 2),)}, "below the venue's minimum"),
        ({"equity": 10.0}, "below the venue's minimum"),
        ({"bets": False}, "only recorded"),
    ],
)
def test_what_is_not_known_or_too_small_is_not_bet_on(wrong, why):
    late, drop = wrong.pop("late", 0), wrong.pop("drop", False)
    desk = ready(**wrong)
    if drop:
        desk.down(T - NS, VENUE)
    desk.fire(T + late * NS, {"side": 1})
    said = [line.get("why", "") for line in desk.lines if line["kind"] in ("fire", "declined")]
    assert not desk.bets and any(why in one for one in said), said


def test_a_tick_change_puts_the_book_in_doubt_until_a_whole_one_comes():
    desk = ready()
    desk.frame(
        T - NS,
        VENUE,
        "ws",
        json.dumps(
            {
                "event_type": "tick_size_change",
                "market": "0x1",
                "asset_id": UP,
                "old_tick_size": "0.01",
                "new_tick_size": "0.001",
                "timestamp": "1703875210000",
            }
        ).encode(),
    )
    desk.frame(T - NS // 2, VENUE, "ws", change(UP, "0.40", "1000", "SELL"))
    desk.fire(T, {"side": 1})
    assert not desk.bets
    desk.frame(T + NS, VENUE, "ws", book(UP, [("0.389", 10)], [("0.395", 1000)]))
    desk.fire(T + 2 * NS, {"side": 1})
    assert desk.bets[0].limit % D("0.001") == 0 and desk.bets[0].limit > D("0.43")


def test_the_venues_word_pays_and_a_difference_is_an_alarm():
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    end(desk, 64_100.0)
    assert desk.bets[0].won is True
    desk.frame(NOON + HOUR + 60 * NS, VENUE, "rest", events(market(closed=True, outcomePrices='["0", "1"]')))
    assert desk.bets[0].won is False and desk.cash == 1000 + desk.bets[0].profit
    assert len(kinds(desk, "alarm")) == 1 and "another side" in kinds(desk, "alarm")[0]["what"]


def resolved(winner: str) -> bytes:
    return json.dumps(
        {
            "event_type": "market_resolved",
            "id": "1",
            "market": market()["conditionId"],
            "assets_ids": [UP, DOWN],
            "winning_asset_id": UP if winner == "up" else DOWN,
            "winning_outcome": winner.title(),
            "timestamp": "1",
        }
    ).encode()


def word(desk: Desk, ts: int, winner: str, way: str) -> None:
    """The venue says who is paid."""
    if way == "stream":
        desk.frame(ts, VENUE, "ws", resolved(winner))
    else:
        desk.frame(ts, VENUE, "rest", events(market(closed=True, outcomePrices='["1", "0"]' if winner == "up" else '["0", "1"]')))


@pytest.mark.parametrize("way", ["stream", "list"])
@pytest.mark.parametrize("later", [None, "before", "after"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_winner_that_is_named_before_the_hour_is_over_is_paid_at_its_end(way, later, restart):
    """The source: a market pays by its hour's candle, which is not closed before; whoever names a winner earlier may still be put right."""
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    (bet,), cash = desk.bets, desk.cash
    for n in range(3):  # said again and again, once in the log
        word(desk, T + (60 + n) * NS, "up", way)
    assert desk.bets == [bet] and desk.cash == cash and not kinds(desk, "settled") and NOON not in desk.settled
    (alarm,) = kinds(desk, "alarm")
    assert "before the hour was over" in alarm["what"] and (alarm["hour"], alarm["venue"]) == (NOON, "up")
    if later == "before":
        word(desk, T + 120 * NS, "down", way)
        assert desk.bets == [bet] and [one["venue"] for one in kinds(desk, "alarm")] == ["up", "down"]
    if restart:
        desk = Desk(Settings(), json.loads(json.dumps(desk.snapshot())))
        desk.frame(NOON + HOUR - 60 * NS, VENUE, "rest", events(market()))
    desk.advance(NOON + HOUR - 1)
    assert desk.bets == [bet] and desk.cash == cash
    desk.advance(NOON + HOUR + 3 * NS)
    (bet,) = desk.bets
    assert (bet.state, bet.won) == ("settled", later != "before") and desk.cash == 1000 + bet.profit
    (line,) = kinds(desk, "settled")
    assert (line["ts"], line["hour"], line["winner"]) == (NOON + HOUR, NOON, "down" if later == "before" else "up")
    if later == "after":
        word(desk, NOON + HOUR + 60 * NS, "down", way)
        (bet,) = desk.bets
        assert bet.won is False and desk.cash == 1000 + bet.profit and kinds(desk, "settled")[-1]["winner"] == "down"


@pytest.mark.parametrize("way", ["stream", "list"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_candle_that_comes_after_the_venues_word_and_differs_is_an_alarm(way, restart):
    """The word is paid at once; that it is not the market's own rule is seen when the candle is final."""
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    word(desk, NOON + HOUR + NS, "down", way)
    assert desk.bets[0].won is False and not kinds(desk, "alarm")
    if restart:
        desk = Desk(Settings(), json.loads(json.dumps(desk.snapshot())))
    for _ in range(3):
        end(desk, 64_100.0)
    (alarm,) = kinds(desk, "alarm")
    assert "another side than the candle" in alarm["what"] and (alarm["hour"], alarm["venue"], alarm["close"]) == (NOON, "down", 64_100.0)
    assert desk.bets[0].won is False and desk.cash == 1000 + desk.bets[0].profit, "the venue's word counts"
    if not restart:
        assert [line["kind"] for line in desk.lines].count("settled") == 1
        again = Desk(Settings(), json.loads(json.dumps(desk.snapshot())))
        end(again, 64_100.0)
        assert not kinds(again, "alarm"), "a restart does not tell it again"
    word(desk, NOON + HOUR + 60 * NS, "up", "stream")
    assert restart or desk.bets[0].won is True and len(kinds(desk, "alarm")) == 1
    word(desk, NOON + HOUR + 90 * NS, "down", "stream")
    assert restart or len(kinds(desk, "alarm")) == 2, "it has changed its mind twice"


@pytest.mark.parametrize("wrong", [{"winning_asset_id": DOWN}, {"winning_asset_id": "999"}, {"winning_outcome": "Yes"}])
@pytest.mark.parametrize("restart", [False, True])
def test_a_word_that_contradicts_itself_pays_nobody_until_it_is_clear(wrong, restart):
    """Its token and the name of its outcome say two things: neither is taken for the other, nor is the candle while the venue is unsure."""
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    cash = desk.cash
    for n in range(3):
        desk.frame(NOON + HOUR + NS + n, VENUE, "ws", json.dumps(json.loads(resolved("up")) | wrong).encode())
    end(desk, 64_100.0)
    (alarm,) = kinds(desk, "alarm")
    assert "contradicts itself" in alarm["what"] and alarm["hour"] == NOON
    assert desk.bets[0].state == "confirmed" and desk.cash == cash and not kinds(desk, "settled")
    if restart:
        desk = Desk(Settings(), json.loads(json.dumps(desk.snapshot())))
        end(desk, 64_100.0)
        assert desk.bets[0].state == "confirmed" and desk.cash == cash
    word(desk, NOON + HOUR + 60 * NS, "down", "list")
    assert desk.bets[0].won is False and desk.cash == 1000 + desk.bets[0].profit


def test_a_candle_that_is_final_by_a_clock_before_ours_settles_at_the_end_of_its_hour():
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    desk.frame(NOON + HOUR - 3 * MS, SPOT, "rest", klines(NOON, [(64_000, 64_100), (64_100, 64_100)]))
    assert desk.bets[0].state == "confirmed"
    desk.advance(NOON + HOUR)
    assert desk.bets[0].won is True and kinds(desk, "settled")[0]["ts"] == NOON + HOUR and not kinds(desk, "alarm")


@pytest.mark.parametrize(("side", "close", "paid"), [(1, 64_100.0, '["0", "1"]'), (-1, 64_000.0, '["0", "1"]'), (1, 63_000.0, '["1", "0"]')])
def test_a_restart_does_not_forget_the_venues_word(side, close, paid):
    """The list still has the market as running: the candle alone would pay the other side again."""
    desk = ready()
    desk.fire(T, {"side": side})
    desk.advance(T + NS)
    end(desk, close)
    desk.frame(NOON + HOUR + 60 * NS, VENUE, "rest", events(market(closed=True, outcomePrices=paid)))
    money, won = desk.cash, desk.bets[0].won
    again = Desk(Settings(), json.loads(json.dumps(desk.snapshot())))
    again.frame(NOON + HOUR + 70 * NS, VENUE, "rest", events(market()))
    end(again, close)
    assert (again.cash, again.bets[0].won) == (money, won) and not kinds(again, "bet")


def test_a_book_from_before_a_silence_is_in_doubt_until_a_whole_one_comes():
    """A sign of life after it does not say what was missed."""
    desk = ready()
    desk.frame(T + 40 * NS, VENUE, "ws", b"PONG")
    assert desk.book_of(UP, T + 40 * NS) is None
    desk.frame(T + 41 * NS, VENUE, "ws", change(UP, "0.41", 10, "SELL", T))
    assert desk.book_of(UP, T + 41 * NS) is None
    desk.frame(T + 42 * NS, VENUE, "rest", book(UP, [("0.38", 10)], [("0.40", 10)], T))
    desk.frame(T + 43 * NS, VENUE, "ws", b"PONG")
    assert desk.book_of(UP, T + 43 * NS) is not None and desk.book_of(DOWN, T + 43 * NS) is None


def level(price, size="10", **more) -> dict:
    return {"asset_id": UP, "price": price, "side": "SELL", "size": size, "hash": "0x1"} | more


UNREADABLE = {
    "crossed": (book(UP, [("0.55", 10)], [("0.45", 10)]), False),
    "not a number": (book(UP, [("0.10", 1)], [("0.90", "nan")]), False),
    "an ask of 1": (book(UP, [("0.99", 10)], [("1.00", 10)]), False),
    "cut": (book(UP, [("0.10", 1)], [("0.90", 1)])[:40], True),
    "a field renamed": (
        json.dumps(
            {
                "event_type": "price_change",
                "market": "0x0",
                "timestamp": "1",
                "price_changes": [{"asset_id": UP, "px": "0.95", "side": "SELL", "size": "0"}],
            }
        ).encode(),
        False,
    ),
    "a price with a letter": (
        json.dumps({"event_type": "price_change", "market": "0x0", "timestamp": "1", "price_changes": [level("0.5o")]}).encode(),
        False,
    ),
    "a best price with a letter": (change(UP, "0.40", 1000, "SELL", best_bid="0.38", best_ask="x"), False),
    "changes of nobody": (json.dumps({"event_type": "price_change", "market": "0x0", "timestamp": "1", "price_changes": "none"}).encode(), True),
    "a tick of 0": (
        json.dumps({"event_type": "tick_size_change", "market": "0x0", "asset_id": UP, "new_tick_size": "0", "timestamp": "1"}).encode(),
        False,
    ),
    "no kind": (b'{"event_kind":"book"}', True),
    "no object": (b"[7]", True),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_puts_its_book_in_doubt_until_a_whole_one_comes(name):
    """The old book is not the venue's any more; which level has changed is what could not be read."""
    frame, everyones = UNREADABLE[name]
    desk = ready()
    desk.frame(T - NS, VENUE, "ws", frame)
    assert desk.malformed == 1 and desk.book_of(UP, T) is None and (desk.book_of(DOWN, T) is None) == everyones
    desk.frame(T - NS // 2, VENUE, "ws", change(UP, "0.40", 1000, "SELL"))
    desk.fire(T, {"side": 1})
    assert not desk.bets and "no book that could be relied on" in kinds(desk, "fire")[0]["why"]
    desk.frame(T + NS, VENUE, "ws", book(UP, [("0.38", 10)], [("0.40", 1000)]))
    desk.fire(T + 2 * NS, {"side": 1})
    assert len(desk.bets) == 1


def test_a_trade_that_cannot_be_read_says_nothing_of_the_book():
    desk = ready()
    desk.frame(
        T - NS, VENUE, "ws", json.dumps({"event_type": "last_trade_price", "market": "0x0", "asset_id": UP, "price": "x", "timestamp": "1"}).encode()
    )
    assert desk.malformed == 1 and desk.book_of(UP, T) is not None


@pytest.mark.parametrize(
    ("frame", "alive"),
    [
        (b"PONG", True),
        (json.dumps({"event_type": "best_bid_ask", "asset_id": UP}).encode(), True),
        (json.dumps({"event_type": "last_trade_price", "asset_id": UP, "price": "x"}).encode(), False),
        (json.dumps({"event_type": "price_delta", "asset_id": UP, "price": "0.9"}).encode(), False),
    ],
)
def test_only_what_is_understood_is_a_sign_of_life(frame, alive):
    desk = ready()
    for second in range(0, 60, 10):
        desk.frame(T + second * NS, VENUE, "ws", frame)
    assert (desk.book_of(UP, T + 60 * NS) is not None) == alive


@pytest.mark.parametrize(
    ("best", "known"),
    [
        ({"best_bid": "0.38", "best_ask": "0.40"}, True),
        ({"best_bid": "0.380", "best_ask": "0.4"}, True),
        ({}, True),
        ({"best_bid": "", "best_ask": None}, True),
        ({"best_bid": "0.38", "best_ask": "0.95"}, False),
        ({"best_bid": "0.94", "best_ask": "0.40"}, False),
        ({"best_ask": "0.39"}, False),
        ({"best_bid": "0"}, False),
        ({"best_ask": "1"}, False),
    ],
)
def test_a_change_whose_best_prices_contradict_the_book_shows_that_something_was_missed(best, known):
    desk = ready()
    desk.frame(T - NS, VENUE, "ws", change(UP, "0.60", 5, "SELL", **best))
    assert (desk.book_of(UP, T) is not None) == known and desk.book_of(DOWN, T) is not None
    desk.frame(T - NS // 2, VENUE, "ws", book(UP, [("0.38", 10)], [("0.40", 1000)]))
    assert desk.book_of(UP, T) is not None


def test_the_best_prices_of_a_change_are_those_after_all_changes_of_its_event():
    """Rows of one event come level by level: what the last one states is compared, and an empty side is 0 or the end of the range."""
    rows = [
        level("0.40", "0", best_bid="0.38", best_ask="0.45"),
        level("0.45", best_bid="0.38", best_ask="0.45"),
        level("0.38", "0", side="BUY", best_bid="0", best_ask="0.45"),
    ]
    desk = ready()
    desk.frame(T - NS, VENUE, "ws", json.dumps({"event_type": "price_change", "market": "0x0", "timestamp": "1", "price_changes": rows}).encode())
    found = desk.book_of(UP, T)
    assert found is not None and (found.bid, found.ask) == (None, D("0.45"))
    rows = [level("0.45", "0", best_bid="0", best_ask="1")]
    desk.frame(T - NS, VENUE, "ws", json.dumps({"event_type": "price_change", "market": "0x0", "timestamp": "1", "price_changes": rows}).encode())
    assert desk.book_of(UP, T) is not None and desk.book_of(UP, T).ask is None


def test_a_day_of_losses_ends_betting_until_the_next_day():
    desk = ready(cap=0.5, kelly=1.0, day_loss_max=0.02)
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    end(desk, 63_000.0)
    assert desk.bets[0].profit < -20
    later = NOON + HOUR + 1800 * NS
    desk.frame(later, SPOT, "ws", kline(NOON + HOUR, 63_000, 63_000, later))
    desk.frame(later, VENUE, "ws", book(str(int(UP) + 1), [("0.38", 10)], [("0.40", 1000)], n=1))
    desk.fire(later + NS, {"side": 1})
    assert len(desk.bets) == 1 and "the day's loss" in kinds(desk, "fire")[-1]["why"]


def test_a_restart_keeps_an_open_bet_its_hour_and_its_money():
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    kept = json.loads(json.dumps(desk.snapshot()))
    again = ready(state=kept)
    assert again.bets == desk.bets and again.cash == desk.cash < 1000
    again.fire(T + 10 * NS, {"side": 1})
    assert len(again.bets) == 1, "the hour has had its bet before the restart"
    end(again, 64_100.0)
    assert again.bets[0].state == "settled" and again.cash == 1000 + again.bets[0].profit
    late = Desk(Settings(), kept)
    late.frame(NOON + 3 * HOUR, SPOT, "rest", klines(NOON, [(64_000, 64_001), (1, 1), (1, 1), (1, 1)]))
    assert late.bets[0].won is True, "its market need not be listed any more: the candle says it"
    for bad in (
        {},
        {"cash": "x", "hour": 0, "next": 1, "bets": [], "settled": {}},
        kept | {"bets": [{}]},
        kept | {"paper": False},
        kept | {"said": []},
        kept | {"settled": []},
    ):
        with pytest.raises(DataError, match="state of the hourly bets"):
            Desk(Settings(), bad or {"x": 1})


def test_orders_at_a_venue_are_exposure_until_they_are_known():
    desk = ready(paper=False)
    desk.fire(T, {"side": 1})
    (request,), (bet,) = desk.requests, desk.bets
    assert (request.bet, request.token, request.limit) == (bet.number, UP, bet.limit)
    desk.advance(T + 60 * NS)
    assert desk.bets[0].state == "sent" and desk.bets[0].most > 0, "no answer: it may be there"
    desk.report(T + 61 * NS, {"bet": bet.number, "order": "0xabc"})
    desk.report(T + 62 * NS, {"bet": bet.number, "state": "delayed"})
    desk.report(T + 63 * NS, {"bet": bet.number, "state": "matched", "filled": "20", "cost": "8", "fee": "0.336"})
    assert desk.bets[0].state == "matched" and desk.cash == D("991.664") and desk.bets[0].order == "0xabc"
    end(desk, 64_100.0)
    assert desk.bets[0].state == "matched", "a match may still fail: it is not paid"
    desk.report(NOON + HOUR + 60 * NS, {"bet": bet.number, "state": "confirmed", "filled": "20", "cost": "8", "fee": "0.336"})
    assert desk.bets[0].won is True and desk.cash == D("1011.664")


@pytest.mark.parametrize("tick", ["0.01", "0.005", "0.0025", "0.001", "0.0001"])
@pytest.mark.parametrize("ask", ["0.20", "0.25", "0.345", "0.395", "0.4125", "0.4317"])
def test_a_paper_bet_stakes_what_the_live_order_of_the_same_decision_does(tick, ask):
    """The venue's text: money of a marketable order has two decimals, its shares four; a FAK at a limit never pays more than the limit."""
    if D(ask) % D(tick):
        return
    made = []
    for paper in (True, False):
        desk = ready(paper=paper, asks=((ask, 1000),), bids=(("0.05", 1000),), kelly=1.0)
        for token in (UP, DOWN):
            desk.frame(T - NS, VENUE, "ws", book(token, [("0.05", 1000)], [(ask, 1000)], tick_size=tick))
        desk.fire(T, {"side": 1})
        if not desk.bets:
            assert kinds(desk, "declined")
            return
        made.append((desk, desk.bets[0]))
    (paper, bet), (live, twin) = made
    (request,) = live.requests
    maker, taker = signing.amounts(True, request.shares, request.limit, request.tick, marketable=True)
    assert (bet.stake, bet.shares) == (twin.stake, twin.shares) == (D(maker) / 1_000_000, D(taker) / 1_000_000)
    assert bet.stake % D("0.01") == 0 and bet.shares % D("0.0001") == 0 and D(ask) <= bet.stake / bet.shares <= bet.limit
    paper.advance(T + NS)
    assert 0 < paper.bets[0].cost <= bet.stake


def test_a_match_that_fails_costs_nothing():
    desk = ready(paper=False)
    desk.fire(T, {"side": 1})
    for state in ("matched", "failed"):
        desk.report(T + NS, {"bet": 1, "state": state, "filled": "20", "cost": "8", "fee": "0.336"})
    assert desk.cash == 1000 and desk.bets[0].state == "failed" and desk.bets[0].most == 0
    desk.report(T + 2 * NS, {"bet": 1, "state": "confirmed", "filled": "20", "cost": "8", "fee": "0.3"})
    assert desk.bets[0].state == "failed" and kinds(desk, "alarm"), "what has ended does not begin again; a person is told"
    desk.report(T + 2 * NS, {"bet": 99, "state": "confirmed"})
    assert len(kinds(desk, "alarm")) == 2


def test_a_late_word_that_an_order_was_refused_does_not_undo_its_shares():
    """The answer to the order and the account's trades come on two ways."""
    desk = ready(paper=False)
    desk.fire(T, {"side": 1})
    desk.report(T + NS, {"bet": 1, "state": "confirmed", "filled": "20", "cost": "8", "fee": "0.336"})
    desk.report(T + 2 * NS, {"bet": 1, "state": "killed"})
    assert desk.bets[0].state == "confirmed" and desk.cash == D("991.664")


def test_unknown_rules_are_named_once_and_never_bet_on():
    desk = Desk(Settings())
    for n in range(3):
        desk.frame(T + n, VENUE, "rest", events(market(resolutionSource="https://data.chain.link/streams/btc-usd")))
    assert len(kinds(desk, "refused")) == 1 and "Chainlink" in desk.lines[0]["why"] and not desk.markets


WITHDRAWN = [
    {"resolutionSource": "https://data.chain.link/streams/btc-usd"},
    {"description": RULES.replace("greater than or equal to", "less than")},
    {"feeSchedule": {"exponent": 2, "rate": 0.07, "takerOnly": True}},
    {"endDate": iso(NOON + 2 * HOUR)},
    {"clobTokenIds": json.dumps([DOWN, UP])},
    {"conditionId": "", "description": ""},
]


@pytest.mark.parametrize("changed", WITHDRAWN)
def test_a_market_whose_rule_is_withdrawn_is_bet_on_no_longer(changed):
    """The venue's newest list is its word: what it pays by now is not what we have known."""
    desk = ready()
    for n in range(3):
        desk.frame(T - 900 * MS + n, VENUE, "rest", events(market(**changed)))
    desk.fire(T, {"side": 1})
    assert not desk.bets and "withdrawn" in kinds(desk, "fire")[0]["why"]
    (alarm,) = kinds(desk, "alarm")
    assert "withdrawn" in alarm["what"] and (alarm["hour"], alarm["slug"], alarm["bets"]) == (NOON, market()["slug"], [])
    desk.frame(T + NS, VENUE, "rest", events(market()))
    desk.fire(T + 2 * NS, {"side": 1})
    assert len(desk.bets) == 1, "the newest list has the known rule again"


@pytest.mark.parametrize("changed", WITHDRAWN[:4])
@pytest.mark.parametrize("restart", [False, True])
def test_an_open_bet_of_a_withdrawn_market_is_settled_and_a_person_is_told(changed, restart):
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.advance(T + NS)
    cash = desk.cash
    desk.frame(T + 2 * NS, VENUE, "rest", events(market(**changed)))
    (alarm,) = kinds(desk, "alarm")
    assert alarm["bets"] == [1] and desk.bets[0].state == "confirmed" and desk.cash == cash
    if restart:
        desk = Desk(Settings(), json.loads(json.dumps(desk.snapshot())))
        desk.frame(T + 60 * NS, VENUE, "rest", events(market(**changed)))
    desk.frame(NOON + HOUR + 60 * NS, VENUE, "rest", events(market(closed=True, outcomePrices='["1", "0"]', **changed)))
    assert desk.bets[0].won is True and desk.cash == 1000 + desk.bets[0].profit, "what it pays is the venue's to say, whatever its rule"


def test_an_order_on_its_way_does_not_meet_the_book_of_a_withdrawn_market():
    desk = ready()
    desk.fire(T, {"side": 1})
    desk.frame(T + 100 * MS, VENUE, "rest", events(market(**WITHDRAWN[0])))
    desk.advance(T + NS)
    assert desk.bets[0].state == "killed" and desk.cash == 1000


PRICES = st.integers(1, 99).map(lambda n: D(n) / 100)
LEVELS = st.dictionaries(PRICES, st.decimals("0.01", "500", places=2), max_size=8)


@given(LEVELS, st.decimals("0.01", "1000", places=2), PRICES)
def test_a_taker_walks_the_ask_as_an_auctioneer_would(levels, money, limit):
    """Against the plain way: the cheapest offers one after the other, as whole as the money allows."""
    book = TokenBook()
    book.replace(Book("0x1", UP, (), tuple(levels.items()), 1), 1)
    taken = book.take(money, limit, D("0.07"))
    left, shares, fee = money, D(0), D(0)
    for price, size in sorted(levels.items()):
        if price <= limit:
            some = size if size * price <= left else int(left / price * 10_000) / D(10_000)
            left, shares, fee = left - some * price, shares + some, fee + taker_fee(some, price, D("0.07"))
    assert (taken.shares, taken.cost, taken.fee) == (shares, money - left, fee)
    assert taken.cost <= money and taken.shares <= book.depth(limit) and taken.fee <= money * D("0.07")
    assert taken.cost > money - D("0.0001") * limit * 8 or taken.shares == book.depth(limit), "the money is spent, or nothing is offered any more"
    assert book.asks == dict(levels), "what we would take is still there: the venue says what is left"


@given(st.lists(st.tuples(PRICES, st.decimals("0", "50", places=2), st.booleans()), max_size=40))
def test_a_book_is_never_crossed(changes):
    from liqshell.venues.polymarket.decoder import Change

    book = TokenBook()
    book.replace(Book("0x1", UP, ((D("0.4"), D(5)),), ((D("0.6"), D(5)),), 1), 1)
    for n, (price, size, buy) in enumerate(changes):
        book.change(Change("0x1", UP, price, size, buy, 1), n)
        assert book.bid is None or book.ask is None or book.bid < book.ask
        assert (book.bids if buy else book.asks).get(price, D(0)) == size


@given(st.lists(st.tuples(st.sampled_from(["fire", "down", "book", "tick", "word", "advance", "wait"]), st.integers(0, 400)), max_size=30))
@example([("fire", 1), ("word", 0), ("wait", 200)])
def test_looking_at_the_clock_more_often_changes_nothing(acts):
    """The same inputs with and without moments between them: the same lines, so a replay decides as the run did."""
    out = []
    for often in (False, True):
        desk, now = ready(delay_ms=250.0), T
        for what, ms in acts:
            if often:
                for step in range(0, ms, 7):
                    desk.advance(now + step * MS)
            now += ms * MS * (10_000 if what == "wait" else 1)
            if what == "word":
                desk.frame(now, VENUE, "ws", resolved("up" if ms % 2 else "down"))
            elif what == "fire":
                desk.fire(now, {"side": 1 if ms % 2 else -1})
            elif what == "down":
                desk.down(now, VENUE)
            elif what == "book":
                desk.frame(now, VENUE, "ws", book(UP, [("0.30", 5)], [(f"0.{40 + ms % 9}", 100)]))
            elif what == "tick":
                desk.frame(now, SPOT, "ws", kline(NOON, 64_000, 64_000 + ms, now))
        desk.advance(now + NS)
        out.append(desk.lines)
    assert out[0] == out[1]
