"""The venue's own clients against the emulated one: py-clob-client-v2 (its order book client) and polymarket-client (its new SDK).

They are no dependency: `pip install py-clob-client-v2 polymarket-client` lets these tests run.
"""

import asyncio

import pytest

from liqshell.emulator.server.binary_server import BinaryVenue

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
START = (1_792_238_400 + 1200) * 10**9


def at_the_venue(act) -> None:
    """act(venue) in a thread, as these clients wait for their answers."""

    async def main() -> None:
        async with BinaryVenue(5, speed=5.0, start=START) as venue:
            await asyncio.wait_for(asyncio.to_thread(act, venue), 60)

    asyncio.run(main())


def test_py_clob_client_v2_reads_orders_cancels_and_trades():
    sdk = pytest.importorskip("py_clob_client_v2", reason="pip install py-clob-client-v2")
    from py_clob_client_v2 import clob_types
    from py_clob_client_v2.exceptions import PolyApiException
    from py_clob_client_v2.http_helpers import helpers

    def act(venue: BinaryVenue) -> None:
        client = sdk.ClobClient(venue.url, chain_id=137, key=KEY)
        client.set_api_creds(client.create_or_derive_api_key())
        hour = min(venue.exchange.hours.values(), key=lambda one: one.start)
        up = hour.tokens[0]
        book = client.get_order_book(up)
        bids, asks = ([float(level["price"]) for level in book[side]] for side in ("bids", "asks"))
        assert bids[-1] == max(bids) and asks[-1] == min(asks) and book["tick_size"] == "0.01"
        low = round(max(bids) - 0.05, 2)
        resting = client.create_and_post_order(clob_types.OrderArgsV2(token_id=up, price=low, size=10.0, side="BUY"))
        assert resting["success"] and resting["status"] == "live"
        assert client.get_order(resting["orderID"])["size_matched"] == "0" and len(client.get_open_orders()) == 1
        assert client.cancel_order(clob_types.OrderPayload(orderID=resting["orderID"]))["canceled"] == [resting["orderID"]]
        assert client.get_open_orders() == []
        order = client.create_market_order(clob_types.MarketOrderArgsV2(token_id=up, amount=10.0, side="BUY", price=0.9, order_type="FAK"))
        taken = client.post_order(order, "FAK", defer_exec=True)
        assert taken["success"] and taken["status"] == "delayed" and taken["orderID"] in venue.exchange.orders
        import time

        time.sleep(0.5)
        (wallet,) = venue.exchange.wallets.values()
        assert wallet.tokens[up] > 10 and [one["taker_order_id"] for one in client.get_trades()] == [taken["orderID"]]
        assert client.post_heartbeat("")["heartbeat_id"]
        with pytest.raises(PolyApiException, match="lower than the minimum"):
            client.create_and_post_order(clob_types.OrderArgsV2(token_id=up, price=low, size=4.0, side="BUY"))
        helpers._http_client.close()

    at_the_venue(act)


def test_polymarket_client_signs_orders_that_the_venue_takes():
    sdk = pytest.importorskip("polymarket", reason="pip install polymarket-client")
    from eth_account import Account
    from eth_account.messages import encode_typed_data
    from polymarket._internal.actions.orders import typed_data, types

    from liqshell.venues.polymarket import signing

    wallet = Account.from_key(KEY).address
    for buy in (True, False):
        unsigned = types.UnsignedOrder(
            builder=types.BYTES32_ZERO,
            chain_id=137,
            exchange_address=sdk.PRODUCTION._config.standard_exchange,
            expiration=0,
            maker=wallet,
            maker_amount=1_000_000,
            metadata=types.BYTES32_ZERO,
            order_type="GTC",
            salt=7,
            side="BUY" if buy else "SELL",
            signature_type=0,
            signer=wallet,
            taker_amount=500_000,
            timestamp=1_710_000_000_000,
            token_id="1234",
        )
        theirs = Account.sign_message(encode_typed_data(full_message=typed_data.build_order_typed_data(unsigned)), private_key=KEY)
        ours = signing.Order(7, wallet, wallet, "1234", 1_000_000, 500_000, buy, 1_710_000_000_000)
        assert signing.sign_order(ours, KEY) == "0x" + bytes(theirs.signature).hex()


def test_polymarket_client_reads_markets_and_books():
    sdk = pytest.importorskip("polymarket", reason="pip install polymarket-client")
    import dataclasses

    from polymarket import environments

    def act(venue: BinaryVenue) -> None:
        config = dataclasses.replace(sdk.PRODUCTION._config, clob_url=venue.url, gamma_url=venue.url, data_url=venue.url, rfq_url=venue.url)
        client = sdk.PublicClient(environments._create_environment(name="emulated", config=config))
        hour = min(venue.exchange.hours.values(), key=lambda one: one.start)
        book = client.get_order_book(token_id=hour.tokens[0])
        assert max(level.price for level in book.bids) < min(level.price for level in book.asks)
        assert max(level.price for level in book.bids) < client.get_midpoint(token_id=hour.tokens[0]) < min(level.price for level in book.asks)
        client.close()

    at_the_venue(act)
