"""What the venue says: markets and their own rule, books, trades; and what is refused by name."""

import contextlib
import json
import random
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binary_frames import DOWN, HOUR, NOON, RULES, UP, book, change, events, kline, klines, market
from liqshell.venues.polymarket import decoder as wire
from liqshell.venues.polymarket.market import Rule, parse_markets, taker_fee


def only(**changed):
    return parse_markets(events(market(**changed)))


def test_a_market_is_known_by_its_utc_start_and_its_lists_are_texts():
    (found,), refused = only()
    assert not refused and (found.start_ns, found.end_ns, found.rule, found.symbol) == (NOON, NOON + HOUR, Rule.BINANCE_SPOT_1H, "BTCUSDT")
    assert (found.up, found.down, found.tick, found.size_min, found.fee_rate, found.open) == (UP, DOWN, D("0.01"), 5, D("0.07"), True)
    assert found.token("down") == DOWN and found.token("up") == UP
    with pytest.raises(KeyError):
        found.token("left")


def test_the_double_hour_of_november_is_two_markets():
    """2026-11-01 05:00Z and 06:00Z are both 1am in New York: the same slug, two hours."""
    first = 1_793_509_200 * 10**9
    rows = [market(first + k * HOUR, k, slug="bitcoin-up-or-down-november-1-2026-1am-et") for k in range(2)]
    found, _ = parse_markets(events(*rows))
    assert [one.start_ns for one in found] == [first, first + HOUR] and found[0].slug == found[1].slug and found[0].up != found[1].up


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"resolutionSource": "https://data.chain.link/streams/btc-usd-twap-60s-streams"}, "Chainlink"),
        ({"resolutionSource": "https://www.coinbase.com/price/btc"}, "unknown resolutionSource"),
        ({"resolutionSource": ""}, "unknown resolutionSource"),
        ({"resolutionSource": "https://www.binance.com/en/trade/BTC_USDT?type=futures"}, "unknown resolutionSource"),
        ({"endDate": "2026-10-17T08:05:00Z"}, "not of one whole hour"),
        ({"eventStartTime": "noon"}, "eventStartTime"),
        ({"feeSchedule": {"exponent": 2, "rate": 0.07, "takerOnly": True}}, "exponent is not 1"),
        ({"feeSchedule": None}, "no feeSchedule"),
        ({"feeSchedule": {"exponent": 1, "rate": 7, "takerOnly": True}}, "rate is not a rate"),
        ({"feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": False}}, "takerOnly"),
        ({"outcomes": '["Yes", "No"]'}, "outcomes are not Up and Down"),
        ({"clobTokenIds": '["1"]'}, "clobTokenIds"),
        ({"conditionId": "0x1"}, "conditionId"),
        ({"orderPriceMinTickSize": 0.02}, "orderPriceMinTickSize"),
        ({"orderMinSize": 0}, "orderMinSize"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_own_words(changed, word):
    markets, refused = only(**changed)
    assert not markets and len(refused) == 1 and word in str(refused[0]) and str(refused[0]).startswith("bitcoin-up-or-down")


TEXT = (
    'This market will resolve to "Up" if the close price is greater than or equal to the open price for the BTC/USDT 1 hour candle that begins '
    'on the time and date specified in the title. Otherwise, this market will resolve to "Down".'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("greater than or equal to", "strictly greater than"),
        ("1 hour candle", "1 minute candle"),
        ("BTC/USDT", "ETH/USDT"),
        (TEXT, "The price of Bitcoin at noon decides."),
    ],
)
def test_the_description_is_read_too(old, new):
    assert only(description=TEXT)[0] and only(description=TEXT.replace("1 hour", "1-hour").upper())[0]
    found, (why,) = only(description=TEXT.replace(old, new))
    assert not found and "a description of another rule" in str(why)


def test_the_rules_as_the_venue_has_printed_them_are_known():
    """2026-09; a form of 2025; one without the address of the pair. White space and the form of quotation marks say nothing."""
    older = RULES.replace("other exchanges or trading pairs", "other sources or spot markets")
    for text in (
        RULES,
        older,
        RULES.replace(" (https://www.binance.com/en/trade/BTC_USDT)", ""),
        RULES.replace("\n\n", "  \n"),
        RULES.replace('"Up"', "“Up”"),
    ):
        assert only(description=text)[0], text
    assert only(description=None)[1], "a market that does not say its rule"
    (found,), _ = parse_markets(json.dumps([{"description": RULES, "markets": [{k: v for k, v in market().items() if k != "description"}]}]).encode())
    assert found.symbol == "BTCUSDT", "the event around it says the rule"


WORDS = RULES.split()


@given(st.integers(0, len(WORDS) - 1), st.sampled_from(["drop", "not", "twice", "swap", "digit"]))
def test_a_text_that_differs_in_one_word_is_another_rule(at, how):
    """Whatever the word: its absence, another one beside it, another number."""
    words = list(WORDS)
    words[at : at + 1] = {
        "drop": [],
        "not": ["not", words[at]],
        "twice": [words[at]] * 2,
        "swap": [words[-1], words[at]],
        "digit": ["1" + words[at]],
    }[how]
    found, (why,) = only(description=" ".join(words))
    assert not found and "a description of another rule" in str(why)


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace('"Up"', '"X"').replace('"Down"', '"Up"').replace('"X"', '"Down"'),
        TEXT.replace("will resolve", "will not resolve", 1),
        TEXT.replace("1 hour", "11 hour"),
        TEXT.replace("begins on", "ends on"),
        TEXT.replace("the close price", "the high price"),
        TEXT.replace("close price", "volume-weighted average price"),
        TEXT.replace("open price for", "open price of the candle before"),
        TEXT.replace("begins on", "begins one hour after"),
        TEXT + " The candle is that of the BTC/USDT perpetual futures contract.",
        TEXT + " The source is Coinbase.",
        TEXT + " If the close equals the open, this market resolves 50-50.",
        TEXT + ' If the close price is equal to the open price this market will resolve to "Down".',
        TEXT + " " + TEXT,
        TEXT.split(" Otherwise")[0],
        TEXT.replace("greater than", "&gt;"),
        "",
        " ",
        7,
    ],
)
def test_rules_that_pay_otherwise_are_refused_with_the_sentence_that_is_not_known(text):
    found, (why,) = only(description=text)
    assert not found and "a description of another rule" in str(why)
    if isinstance(text, str) and "Coinbase" in text:
        assert "the source is coinbase." in str(why) and "otherwise" not in str(why)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"slug": "ethereum-up-or-down-october-17-2026-8am-et"}, "the name of another market"),
        ({"slug": "btc-updown-4h-1787414400"}, "the name of another"),
        ({"slug": "bitcoin-up-or-down-october-17-2026-3pm-et"}, "the name of another"),
        ({"slug": "bitcoin-up-or-down-october-17-2025-8am-et"}, "the name"),
        ({"slug": "bitcoin-up-or-down-on-october-17-2026"}, "the name of another"),
        ({"slug": None}, "the name of another"),
        ({"cryptoMarketConfig": {"id": "btc-1h-twap-60", "asset": "btc", "duration": "1h", "twapEnabled": True}}, "twapEnabled: True"),
        ({"cryptoMarketConfig": {"asset": "eth"}}, "asset: 'eth'"),
        ({"cryptoMarketConfig": {"duration": "4h"}}, "duration: '4h'"),
        ({"cryptoMarketConfig": "twap"}, "cryptoMarketConfig"),
        ({"resolutionSource": "https://www.binance.com/en/trade/ETH_USDT"}, "unknown resolutionSource"),
    ],
)
def test_whatever_a_market_says_of_itself_must_name_the_same_candle(changed, word):
    found, (why,) = only(**changed)
    assert not found and word in str(why)


def test_a_name_without_its_year_and_a_config_of_a_candle_are_known():
    assert only(slug="bitcoin-up-or-down-october-17-8am-et")[0]
    assert only(cryptoMarketConfig={"id": "btc-1h", "asset": "btc", "duration": "1h", "twapEnabled": False})[0]
    rows = [{"seriesSlug": "btc-up-or-down-4h", "markets": [market()]}]
    assert "another series" in str(parse_markets(json.dumps(rows).encode())[1][0])


def test_a_market_without_an_order_book_takes_no_orders():
    for value in (False, None, "true"):
        (found,), _ = only(enableOrderBook=value)
        assert not found.open


def test_the_fee_rate_is_the_markets_own():
    (found,), _ = only(feeSchedule={"exponent": 1, "rate": 0.072, "takerOnly": True})
    assert found.fee_rate == D("0.072")
    for price, fee in (("0.50", "1.75"), ("0.30", "1.47"), ("0.10", "0.63")):
        assert taker_fee(D(100), D(price), D("0.07")) == D(fee)
    assert taker_fee(D("0.01"), D("0.001"), D("0.07")) == 0, "less than five decimals is nothing"
    assert taker_fee(D("0.0004"), D("0.5"), D("0.07")) == 0 and taker_fee(D("0.0006"), D("0.5"), D("0.07")) == D("0.00001")


def test_a_closed_market_says_who_is_paid_only_where_its_prices_do():
    for prices, winner in (('["1", "0"]', "up"), ('["0", "1"]', "down"), ('["0.5", "0.5"]', ""), ("nonsense", "")):
        (found,), _ = only(closed=True, outcomePrices=prices)
        assert found.winner == winner and not found.open
    (found,), _ = only(outcomePrices='["1", "0"]')
    assert found.winner == "", "an open market has no winner whatever its prices"


def test_messages_of_the_stream():
    (found,) = wire.decode(book(UP, [("0.48", 100), ("0.50", 20)], [("0.51", 5), ("0.60", 7)]))
    assert isinstance(found, wire.Book) and max(found.bids) == (D("0.50"), 20) and min(found.asks) == (D("0.51"), 5) and found.ts_event == NOON
    (one,) = wire.decode(change(UP, "0.51", "0", "SELL"))
    assert (one.price, one.size, one.buy) == (D("0.51"), 0, False)
    trade = {
        "event_type": "last_trade_price",
        "market": "0x1",
        "asset_id": UP,
        "fee_rate_bps": "0",
        "price": "0.51",
        "side": "BUY",
        "size": "25.0",
        "timestamp": "1703875202000",
    }
    tick = {
        "event_type": "tick_size_change",
        "market": "0x1",
        "asset_id": UP,
        "old_tick_size": "0.01",
        "new_tick_size": "0.001",
        "timestamp": "1703875210000",
    }
    ended = {
        "event_type": "market_resolved",
        "id": "1",
        "market": "0x1",
        "assets_ids": [UP, DOWN],
        "winning_asset_id": UP,
        "timestamp": "1766790415550",
    }
    found = wire.decode(json.dumps([trade, tick, ended, {"event_type": "best_bid_ask"}]).encode())
    assert [type(one).__name__ for one in found] == ["Trade", "TickChange", "Resolved", "Other"]
    assert found[0].size == 25 and found[1].tick == D("0.001") and found[2].winner == UP
    assert wire.decode(b"PONG") == [wire.Other("PONG")]


def test_a_candle_is_final_only_when_the_next_one_exists():
    rows = wire.decode_klines(klines(NOON, [(1, 2), (2, 3)]), "BTCUSDT")
    assert [(one.start_ns, one.final, one.close) for one in rows] == [(NOON, True, 2.0), (NOON + HOUR, False, 3.0)]
    (live,) = wire.decode_spot(kline(NOON, 64_000, 64_100, NOON + 5 * 10**9))
    assert (live.open, live.close, live.final) == (64_000.0, 64_100.0, False)
    assert isinstance(wire.decode_klines(klines(NOON, [(1, 2)])[:-5], "BTCUSDT")[0], wire.Malformed)


GOOD = [book(UP, [("0.48", 100)], [("0.51", 5)]), change(UP, "0.5", "3", "BUY"), kline(NOON, 1, 2, NOON), klines(NOON, [(1, 2)]), events(market())]


@given(st.sampled_from(GOOD), st.integers(0, 2**32), st.integers(1, 8))
def test_broken_frames_are_malformed_and_never_raise(frame, seed, count):
    rng, data = random.Random(seed), bytearray(frame)
    for _ in range(count):
        at = rng.randrange(len(data))
        act = rng.randrange(3)
        data[at : at + 1] = [b"", bytes([rng.randrange(256)]), bytes([data[at]]) * 3][act]
        data = data or bytearray(b"x")
    for found in (
        wire.decode(bytes(data)),
        [wire.decode_book(bytes(data))],
        wire.decode_spot(bytes(data)),
        wire.decode_klines(bytes(data), "BTCUSDT"),
    ):
        assert all(isinstance(one, wire.Message) for one in found)
    with contextlib.suppress(ValueError):
        parse_markets(bytes(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "event_type",
                    "bids",
                    "asks",
                    "price",
                    "size",
                    "side",
                    "timestamp",
                    "market",
                    "asset_id",
                    "price_changes",
                    "e",
                    "k",
                    "t",
                    "data",
                    "markets",
                    "slug",
                    "outcomes",
                    "clobTokenIds",
                    "feeSchedule",
                    "new_tick_size",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)
KINDS = st.sampled_from(["book", "price_change", "last_trade_price", "tick_size_change", "market_resolved", "kline", "aggTrade"])


@given(JSON, KINDS)
def test_json_of_any_shape_is_a_message_or_malformed(value, kind):
    if isinstance(value, dict):
        value |= {"event_type": kind, "e": kind}
    raw = json.dumps(value).encode()
    for found in (wire.decode(raw), [wire.decode_book(raw)], wire.decode_spot(raw), wire.decode_klines(raw, "BTCUSDT")):
        for one in found:
            assert isinstance(one, wire.Message)
            if isinstance(one, wire.Change | wire.Trade):
                assert 0 < one.price < 1 and one.size >= 0
    try:
        markets, refused = parse_markets(raw)
        assert not markets
    except ValueError:
        pass
