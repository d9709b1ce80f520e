"""Signatures against vectors of the venue's own clients (Polymarket/py-clob-client tests/signing, Polymarket/py-clob-client-v2 tests/signing and
tests/order_utils at 6231f16, and py_clob_client_v2 1.2.1 run with the same key). The key is the first of every local test chain."""

from decimal import Decimal as D

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from liqshell.errors import ConfigError
from liqshell.venues.polymarket import signing

pytest.importorskip("eth_account", reason="orders need the extra liqcore[binary]")
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
WALLET = "0x1111111111111111111111111111111111111111"


def order(**changed):
    mine = signing.address_of(KEY)
    values = {
        "salt": 479249096354,
        "maker": mine,
        "signer": mine,
        "token": "1234",
        "maker_amount": 100_000_000,
        "taker_amount": 50_000_000,
        "buy": True,
        "timestamp": 1_710_000_000_000,
    } | changed
    return signing.Order(**values)


def test_l1_of_the_venues_own_vector():
    assert signing.l1_headers(KEY, 10_000_000, 23, 80001)["POLY_SIGNATURE"] == (
        "0xd91760ebcb14e814e9e12600b9bc7cd6bf13ebc175f6a28538b4925763f94f90012da34dd71290d441c28bc4f9b2281d3eb9ecfd1c9a63db1ce9ca85c89c914c1b"
    )
    headers = signing.l1_headers(KEY, 10_000_000, 23, 80002)
    assert headers["POLY_SIGNATURE"] == (
        "0xf62319a987514da40e57e2f4d7529f7bac38f0355bd88bb5adbb3768d80de6c1682518e0af677d5260366425f4361e7b70c25ae232aff0ab2331e2b164a1aedc1b"
    )
    assert signing.l1_signer(headers, 80002) == signing.address_of(KEY) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    for wrong in ({"POLY_NONCE": "24"}, {"POLY_ADDRESS": WALLET}, {"POLY_SIGNATURE": "0x00"}, {"POLY_TIMESTAMP": "x"}):
        with pytest.raises(ValueError, match="Invalid L1 Request headers"):
            signing.l1_signer(headers | wrong, 80002)


def test_l2_of_the_venues_own_vector():
    secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert signing.l2_signature(secret, "1000000", "test-sign", "/orders", '{"hash": "0x123"}') == "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc="
    assert signing.l2_signature(secret, "1000000", "test-sign", "/orders", '{"hash":"0x123"}') != "ZwAdJKvoYRlEKDkNMwd5BuwNNtg93kNaR_oU2HrfVvc="
    key = signing.ApiKey("id", secret, "word")
    assert secret not in repr(key) and "word" not in repr(key)
    with pytest.raises(ValueError, match="base64"):
        signing.l2_signature("!", "1", "GET", "/")


def test_order_hashes_and_signatures_of_the_venues_own_clients():
    assert (
        signing.order_hash(order(maker=WALLET, signer=WALLET, signature_type=3), 80002)
        == "0x2afca94626db91b2d556c351584a4cd93e13da32e377dc48c7983e43afa5ab47"
    )
    assert signing.order_hash(order(), 80002) == "0x962c97b18bea292cc94b9479272aa74fb59a905e84a621a40eb339131e9fb6ba"
    assert signing.sign_order(order(), KEY, 80002) == (
        "0x518472f1b081f6bd713d638bb11d1bf0720ed577e93c52eb00ec9f5f325f7d510c65cbfdfe9130de2602185f4a500863d777d8b838cb28abc75ecc1b5330315d1c"
    )
    assert signing.order_hash(order(buy=False)) == "0x16a0f09f7aa884818f4dc44ec7fe687f3d9455b7cd3f2f009ac813c0cdc9dfe8"
    assert signing.sign_order(order(buy=False), KEY) == (
        "0xe72030764d6aa1a7ffa6a188245c11c19adc82b39d21f3123899d140aa2208d0115cc10e1f2a6ea0ca8e4dd264dc3a8ee363f16374a81af3993fa585fbb6f4581b"
    )


def test_a_body_gives_its_order_back_and_another_hand_is_seen():
    one = order()
    signature = signing.sign_order(one, KEY)
    body = signing.body_of(one, signature, "owner", "FAK")
    assert signing.order_in(body) == (one, signature) and signing.recovered(one, signature) == one.signer
    assert signing.recovered(order(maker_amount=100_000_001), signature) != one.signer
    for bad in ({}, {"order": {}}, {"order": body["order"] | {"side": "HOLD"}}, {"order": body["order"] | {"salt": "x"}}):
        with pytest.raises(ValueError, match="not an order"):
            signing.order_in(bad)


def test_a_wrong_key_is_named_and_not_shown():
    with pytest.raises(ConfigError) as why:
        signing.address_of("0xnot-a-key-but-secret")
    assert "secret" not in str(why.value)


TICKS = st.sampled_from([D("0.1"), D("0.01"), D("0.005"), D("0.0025"), D("0.001"), D("0.0001")])


@given(TICKS, st.integers(1, 9999), st.decimals("0.01", "5000", places=2), st.booleans(), st.booleans())
@example(D("0.001"), 200, D("5.00"), True, True)
@example(D("0.001"), 970, D("9.99"), True, True)
def test_amounts_keep_the_venues_decimals_and_never_ask_for_more(tick, step, shares, buy, marketable):
    price = tick * (step % (int(1 / tick) - 1) + 1)
    try:
        maker, taker = signing.amounts(buy, shares, price, tick, marketable)
    except ValueError:
        assert shares * price < D("0.02")
        return
    money, size = (maker, taker) if buy else (taker, maker)
    places = 2 if marketable and buy else 4 if marketable else signing.ROUNDING[str(tick.normalize())][2]
    assert money % 10 ** (6 - places) == 0 and size % 100 == 0
    assert money <= shares * price * 1_000_000 and size <= shares * 1_000_000
    if buy and marketable:
        assert D(money) / size <= price, "no more than the limit for a share"
        assert money < 1_000_000 or D(money) / size > price - tick, "and of a pUSD or more it is less than a tick below it"
        assert signing.amounts(True, D(size) / 1_000_000, price, tick, True) == (money, size), "what is rounded is not rounded again"
    if buy and marketable and shares >= 100:
        assert D(money) / size == price, "the limit that the venue sees is ours, exactly"


def test_prices_off_the_grid_are_refused():
    for price in ("0.505", "0", "1", "0.995"):
        with pytest.raises(ValueError, match="multiple of the tick"):
            signing.amounts(True, D(10), D(price), D("0.01"), True)
