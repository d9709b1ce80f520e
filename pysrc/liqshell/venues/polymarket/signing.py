"""Signatures of the venue: L1 (a wallet attests itself, EIP-712), L2 (an API key, HMAC), and orders (EIP-712, version 2).

The hash of an order is its id at the venue, so it is known before the order is sent: after a timeout the order is queried by that id. Hashes and
wallet signatures need the extra `liqcore[binary]` (eth-account); L2 does not.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from math import gcd
from typing import Any

from liqshell.errors import ConfigError

POLYGON = 137
EXCHANGE, NEG_RISK_EXCHANGE = "0xE111180000d2663C0091e4f400237545B87B996B", "0xe2222d279d744050d28e00520010520000310F59"
ATTESTS = "This message attests that I control the given wallet"
ZERO_32 = "0x" + "00" * 32
UNIT = Decimal(1_000_000)  # pUSD and shares have six decimals
EOA = 0  # signatureType: the wallet itself
# decimals of (price, size, amount) by tick
ROUNDING = {"0.1": (1, 2, 3), "0.01": (2, 2, 4), "0.005": (3, 2, 5), "0.0025": (4, 2, 6), "0.001": (3, 2, 5), "0.0001": (4, 2, 6)}
_DOMAIN = [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}, {"name": "chainId", "type": "uint256"}]
_CONTRACT = {"name": "verifyingContract", "type": "address"}
_AUTH = [
    {"name": "address", "type": "address"},
    {"name": "timestamp", "type": "string"},
    {"name": "nonce", "type": "uint256"},
    {"name": "message", "type": "string"},
]
_ORDER = [
    {"name": name, "type": kind}
    for name, kind in (
        ("salt", "uint256"),
        ("maker", "address"),
        ("signer", "address"),
        ("tokenId", "uint256"),
        ("makerAmount", "uint256"),
        ("takerAmount", "uint256"),
        ("side", "uint8"),
        ("signatureType", "uint8"),
        ("timestamp", "uint256"),
        ("metadata", "bytes32"),
        ("builder", "bytes32"),
    )
]


@dataclass(frozen=True)
class ApiKey:
    """Of L2. Neither repr nor str shows the secret parts."""

    key: str
    secret: str = field(repr=False)
    passphrase: str = field(repr=False)


@dataclass(frozen=True)
class Order:
    """An order as it is signed. maker_amount, taker_amount: millionths, of pUSD and of shares for a BUY, the other way for a SELL. timestamp: ms."""

    salt: int
    maker: str
    signer: str
    token: str
    maker_amount: int
    taker_amount: int
    buy: bool
    timestamp: int
    signature_type: int = EOA

    def message(self) -> dict[str, Any]:
        """Of the typed data."""
        return {
            "salt": self.salt,
            "maker": self.maker,
            "signer": self.signer,
            "tokenId": int(self.token),
            "makerAmount": self.maker_amount,
            "takerAmount": self.taker_amount,
            "side": 0 if self.buy else 1,
            "signatureType": self.signature_type,
            "timestamp": self.timestamp,
            "metadata": bytes(32),
            "builder": bytes(32),
        }


def amounts(buy: bool, shares: Decimal, price: Decimal, tick: Decimal, marketable: bool) -> tuple[int, int]:
    """(maker amount, taker amount) of an order, rounded as the venue demands. marketable: FAK or FOK, whose money has two decimals and whose shares
    four. What a buyer gives for a share is never above his price: it is the price where that many shares cost whole cents, else less than a tick
    below it (of orders of 1 pUSD or more). The amounts of rounded shares are the same again. ValueError for a price off the tick's grid or outside
    (0, 1), or for nothing to trade."""
    if not tick <= price <= 1 - tick or price % tick:
        raise ValueError(f"price {price} is not a multiple of the tick {tick} between {tick} and {1 - tick}")
    _, size_places, amount_places = ROUNDING[str(tick.normalize())]
    shares = _down(shares, 4 if marketable and buy else size_places)
    money = _down(shares * price, amount_places)
    if marketable and buy:
        # shares whose money is whole cents, so that the price that the venue computes is the limit; of fewer than that it is a little below it
        whole = 10 ** max(-int(price.normalize().as_tuple().exponent), 0)
        step = Decimal(whole // gcd(int(price * whole), whole)) / 100
        if shares >= step:
            shares = shares // step * step
        money = _down(shares * price, 2)
        shares = (money / price).quantize(Decimal("0.0001"), ROUND_UP)
    elif marketable:
        money = _down(shares * price, 4)
    if shares <= 0 or money <= 0:
        raise ValueError(f"nothing to trade: {shares} shares at {price}")
    give, take = (money, shares) if buy else (shares, money)
    return int(give * UNIT), int(take * UNIT)


def _down(value: Decimal, places: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), ROUND_DOWN)


def order_hash(order: Order, chain: int = POLYGON, contract: str = EXCHANGE) -> str:
    """The order's id at the venue, 0x and 64 digits."""
    return "0x" + _keccak(_signable(_typed_order(order, chain, contract))).hex()


def sign_order(order: Order, private_key: str, chain: int = POLYGON, contract: str = EXCHANGE) -> str:
    """The wallet's signature, 0x and 130 digits."""
    return _signed(_typed_order(order, chain, contract), private_key)


def recovered(order: Order, signature: str, chain: int = POLYGON, contract: str = EXCHANGE) -> str:
    """The address whose key has signed; ValueError where the signature is none."""
    try:
        found: str = _eth().recover_message(_signable(_typed_order(order, chain, contract)), signature=signature)
        return found
    except Exception as why:  # of several packages, each with errors of its own
        raise ValueError(f"not a signature: {type(why).__name__}") from None


def body_of(order: Order, signature: str, owner: str, order_type: str, *, post_only: bool = False, expiration: int = 0) -> dict[str, Any]:
    """The body of POST /order. owner: the API key. expiration: seconds UTC, of a GTD; it is not signed."""
    return {
        "deferExec": False,
        "order": {
            "salt": order.salt,
            "maker": order.maker,
            "signer": order.signer,
            "tokenId": order.token,
            "makerAmount": str(order.maker_amount),
            "takerAmount": str(order.taker_amount),
            "side": "BUY" if order.buy else "SELL",
            "expiration": str(expiration),
            "signatureType": order.signature_type,
            "timestamp": str(order.timestamp),
            "metadata": ZERO_32,
            "builder": ZERO_32,
            "signature": signature,
        },
        "owner": owner,
        "orderType": order_type,
    } | ({"postOnly": True} if post_only else {})


def order_in(body: Mapping[str, Any]) -> tuple[Order, str]:
    """(order, signature) of a body; ValueError where it is none."""
    try:
        o = body["order"]
        if o["side"] not in ("BUY", "SELL") or o.get("metadata", ZERO_32) != ZERO_32 or o.get("builder", ZERO_32) != ZERO_32:
            raise ValueError("side, metadata or builder")
        return Order(
            int(o["salt"]),
            str(o["maker"]),
            str(o["signer"]),
            str(int(o["tokenId"])),
            int(o["makerAmount"]),
            int(o["takerAmount"]),
            o["side"] == "BUY",
            int(o["timestamp"]),
            int(o["signatureType"]),
        ), str(o["signature"])
    except (KeyError, TypeError, ValueError) as why:
        raise ValueError(f"not an order: {type(why).__name__} {why}") from None


def l1_headers(private_key: str, timestamp: int, nonce: int = 0, chain: int = POLYGON) -> dict[str, str]:
    """Of /auth/api-key and /auth/derive-api-key. timestamp: seconds."""
    address = address_of(private_key)
    return {
        "POLY_ADDRESS": address,
        "POLY_SIGNATURE": _signed(_typed_auth(address, timestamp, nonce, chain), private_key),
        "POLY_TIMESTAMP": str(timestamp),
        "POLY_NONCE": str(nonce),
    }


def l1_signer(headers: Mapping[str, str], chain: int = POLYGON) -> str:
    """The address that has signed L1 headers; ValueError where none has, or another than they name."""
    try:
        address = headers["POLY_ADDRESS"]
        typed = _typed_auth(address, int(headers["POLY_TIMESTAMP"]), int(headers.get("POLY_NONCE") or 0), chain)
        found: str = _eth().recover_message(_signable(typed), signature=headers["POLY_SIGNATURE"])
    except Exception as why:
        raise ValueError(f"Invalid L1 Request headers ({type(why).__name__})") from None
    if found.lower() != address.lower():
        raise ValueError("Invalid L1 Request headers (another signer)")
    return found


def l2_signature(secret: str, timestamp: str, method: str, path: str, body: str = "") -> str:
    """HMAC of a request; body: exactly what is sent. ValueError where the secret is none."""
    try:
        key = base64.b64decode(secret, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the API secret is not URL-safe base64") from None
    digest = hmac.new(key, f"{timestamp}{method}{path}{body}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).decode()


def l2_headers(key: ApiKey, address: str, timestamp: int, method: str, path: str, body: str = "") -> dict[str, str]:
    """Of a private request. timestamp: seconds; path: without the query."""
    return {
        "POLY_ADDRESS": address,
        "POLY_SIGNATURE": l2_signature(key.secret, str(timestamp), method, path, body),
        "POLY_TIMESTAMP": str(timestamp),
        "POLY_API_KEY": key.key,
        "POLY_PASSPHRASE": key.passphrase,
    }


def address_of(private_key: str) -> str:
    """The wallet's address; ConfigError where the key is none, without showing it."""
    try:
        found: str = _eth().from_key(private_key).address
        return found
    except ConfigError:
        raise
    except Exception as why:
        raise ConfigError("the wallet's private key", f"not a key ({type(why).__name__})", "0x and 64 hexadecimal digits") from None


def _typed_order(order: Order, chain: int, contract: str) -> dict[str, Any]:
    return {
        "primaryType": "Order",
        "types": {"EIP712Domain": [*_DOMAIN, _CONTRACT], "Order": _ORDER},
        "domain": {"name": "Polymarket CTF Exchange", "version": "2", "chainId": chain, "verifyingContract": contract},
        "message": order.message(),
    }


def _typed_auth(address: str, timestamp: int, nonce: int, chain: int) -> dict[str, Any]:
    return {
        "primaryType": "ClobAuth",
        "types": {"EIP712Domain": _DOMAIN, "ClobAuth": _AUTH},
        "domain": {"name": "ClobAuthDomain", "version": "1", "chainId": chain},
        "message": {"address": address, "timestamp": str(timestamp), "nonce": nonce, "message": ATTESTS},
    }


def _eth() -> Any:
    try:
        from eth_account import Account
    except ImportError:
        raise ConfigError("orders at Polymarket", "the package eth-account is missing", "it", "pip install 'liqcore[binary]'") from None
    return Account


def _signable(typed: dict[str, Any]) -> Any:
    _eth()
    from eth_account.messages import encode_typed_data

    return encode_typed_data(full_message=typed)


def _keccak(message: Any) -> bytes:
    from eth_utils.crypto import keccak

    return bytes(keccak(b"\x19" + message.version + message.header + message.body))


def _signed(typed: dict[str, Any], private_key: str) -> str:
    try:
        return "0x" + bytes(_eth().sign_message(_signable(typed), private_key=private_key).signature).hex()
    except ConfigError:
        raise
    except Exception as why:
        raise ConfigError("the wallet's private key", f"cannot sign ({type(why).__name__})", "0x and 64 hexadecimal digits") from None
