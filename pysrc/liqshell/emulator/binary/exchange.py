"""The emulated binary venue without sockets: hours, books, orders, money. `advance` sets the time; `market_news` and `user_news` receive the
messages.

Makers quote around the probability of UP, as it was `lag_s` ago: the book reprices late, which is what the idea bets on. With lag_s 0 it does not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from functools import partial
from math import erf, log, sqrt
from typing import Any
from zoneinfo import ZoneInfo

from liqshell.emulator.binary.faults import BinaryFault
from liqshell.emulator.binary.spot import HOUR, NS, SYMBOL, Spot
from liqshell.venues.polymarket.market import taker_fee
from liqshell.venues.polymarket.signing import Order

UNIT = Decimal(1_000_000)
TAKER_DELAY_NS, MINED_NS, CONFIRMED_NS = 150_000_000, 2 * NS, 5 * NS
RESOLVE_NS, HEARTBEAT_NS, QUOTE_NS = 30 * NS, 10 * NS, 500_000_000
HOURS_AHEAD, HOURS_KEPT = 3, 30
SIZE_MIN, MONEY_MIN = Decimal(5), Decimal(1)
LEVELS, LEVEL_SIZE = 5, 400
NOT_READY = "the market is not yet ready to process new orders"
CROSSES = "invalid post-only order: order crosses book"
ONLY_POST = "post-only mode: only post-only orders and cancels are allowed"
NO_MONEY = "not enough balance / allowance"
BINANCE, CHAINLINK = "https://www.binance.com/en/trade/BTC_USDT", "https://data.chain.link/streams/btc-usd-twap-60s-streams"
DESCRIPTION = (
    'This market will resolve to "Up" if the close price is greater than or equal to the open price for the BTC/USDT 1 hour candle that '
    'begins on the time and date specified in the title. Otherwise, this market will resolve to "Down".'
)
News = dict[str, Any]
NOTHING_YET = {"errorMsg": "", "makingAmount": "", "takingAmount": ""}


@dataclass
class Hour:
    """One market. levels: what makers offer of each token, by price, as (bids, asks)."""

    start: int
    condition: str
    tokens: tuple[str, str]
    slug: str
    tick: Decimal = Decimal("0.01")
    levels: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = field(default_factory=dict)
    winner: str = ""
    taken: dict[tuple[str, Decimal], Decimal] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.start + HOUR


@dataclass
class Resting:
    """An order of an account. due: of one that waits for the taker's delay, 0 = it rests."""

    id: str
    owner: str
    order: Order
    kind: str
    price: Decimal
    shares: Decimal
    due: int
    expires: int = 0
    filled: Decimal = Decimal(0)
    status: str = "LIVE"


@dataclass
class Wallet:
    address: str
    key: str
    secret: str
    passphrase: str
    cash: Decimal
    tokens: dict[str, Decimal] = field(default_factory=dict)
    beat: int = 0  # of the last heartbeat, ns; 0 = none was ever sent
    beat_id: str = ""


class BinaryExchange:
    """now: market time at the start. faults: scripted. cash: of a new account."""

    def __init__(
        self,
        spot: Spot,
        now: int,
        seed: int = 0,
        faults: list[BinaryFault] | None = None,
        cash: float = 1000.0,
        lag_s: float = 20.0,
        rate: Decimal = Decimal("0.07"),
    ):
        self.spot, self.started, self.now, self.seed, self.faults, self.rate = spot, now, now, seed, faults or [], rate
        self.cash, self.lag_ns = Decimal(str(cash)), round(lag_s * NS)
        self.heartbeat_ns = HEARTBEAT_NS  # longer where the market is faster than the wall, in which clients beat
        self.hours: dict[int, Hour] = {}
        self.wallets: dict[str, Wallet] = {}  # by API key
        self.orders: dict[str, Resting] = {}
        self.trades: list[News] = []
        self.market_news: list[tuple[str, News]] = []  # (token, event)
        self.user_news: list[tuple[str, News]] = []  # (API key, event)
        self.posted = self.struck = 0
        self._later: list[tuple[int, int, Callable[[int], None]]] = []
        self._fair: list[tuple[int, int, float]] = []  # (ts, hour, probability) as it was
        self._quoted = 0
        self._hours(now)

    # ---- time ----

    def advance(self, now: int) -> None:
        """All that happens until now, in order of time: quotes, delayed orders, trades' steps, expiry, heartbeats, resolutions."""
        while True:
            due = min((one[0] for one in self._later), default=1 << 62)
            quote = self._quoted + QUOTE_NS if self._quoted else self.now
            at = min(due, quote)
            if at > now:
                break
            self.now = max(self.now, at)
            if due <= quote:
                one = min(self._later, key=lambda later: later[:2])
                self._later.remove(one)
                one[2](self.now)
            else:
                # far behind (a fast clock): quotes of moments that nobody saw are not made one by one
                self._quoted = max(quote, min(due, now) - QUOTE_NS)
                self.now = max(self.now, self._quoted)
                self._beats()
                self._hours(self.now)
                self._quotes()
        self.now = max(self.now, now)

    def active(self, kind: str) -> bool:
        """Whether a fault of market time holds now."""
        since = (self.now - self.started) / NS
        return any(one.kind == kind and one.after_s <= since < one.after_s + one.seconds for one in self.faults)

    def _at(self, when: int, act: Callable[[int], None]) -> None:
        self._later.append((when, len(self._later) + self.posted * 1000, act))

    def _draw(self, *what: object) -> float:
        return int.from_bytes(hashlib.blake2b(repr((self.seed, *what)).encode(), digest_size=8).digest(), "big") / 2**64

    # ---- markets ----

    def _hours(self, now: int) -> None:
        for start in range(now // HOUR * HOUR, now // HOUR * HOUR + HOURS_AHEAD * HOUR, HOUR):
            if start not in self.hours:
                digest = hashlib.sha256(f"{self.seed} {start}".encode()).hexdigest()
                up, down = (str(int(hashlib.sha256(f"{digest} {side}".encode()).hexdigest(), 16)) for side in ("up", "down"))
                self.hours[start] = Hour(start, "0x" + digest, (up, down), _slug(start))
                self._at(start + HOUR, self._ended)
                self._at(start + HOUR + RESOLVE_NS, self._resolve)
        for start in sorted(self.hours)[:-HOURS_KEPT]:
            if self.hours[start].winner:
                del self.hours[start]

    def hour_of_token(self, token: str) -> Hour | None:
        return next((one for one in self.hours.values() if token in one.tokens), None)

    def listed(self, hour: Hour) -> News:
        """The market as Gamma has it: lists are JSON inside texts."""
        rule = CHAINLINK if self.active("unknown_rule") else BINANCE
        over = self.now >= hour.end
        prices = ["1", "0"] if hour.winner == "up" else ["0", "1"] if hour.winner else ["0.5", "0.5"]
        quote = '["{}", "{}"]'.format
        return {
            "id": str(hour.start // HOUR),
            "conditionId": hour.condition,
            "slug": hour.slug,
            "question": f"Bitcoin Up or Down - {hour.slug}",
            "outcomes": quote("Up", "Down"),
            "clobTokenIds": quote(*hour.tokens),
            "outcomePrices": quote(*prices),
            "startDate": _iso(hour.start - 24 * HOUR),
            "eventStartTime": _iso(hour.start),
            "endDate": _iso(hour.end),
            "active": True,
            "description": DESCRIPTION,
            "closed": bool(hour.winner),
            "acceptingOrders": not over,
            "enableOrderBook": True,
            "resolutionSource": rule,
            "orderPriceMinTickSize": float(hour.tick),
            "orderMinSize": 5,
            "makerBaseFee": 1000,
            "takerBaseFee": 1000,
            "negRisk": False,
            "feeSchedule": {"exponent": 1, "rate": float(self.rate), "takerOnly": True, "rebateRate": 0.2},
        }

    def _ended(self, now: int) -> None:
        """Trading of hours that are over stops: what rests in them is cancelled."""
        for one in list(self.orders.values()):
            hour = self.hour_of_token(one.order.token)
            if hour is not None and hour.end <= now and one.status == "LIVE":
                self._cancel(one)

    def _resolve(self, now: int) -> None:
        for hour in self.hours.values():
            if hour.end + RESOLVE_NS > now or hour.winner:
                continue
            found = next(((o, c) for start, o, c in self.spot.candles(hour.end - NS, 2) if start == hour.start), None)
            if found is None:
                continue
            up = found[1] >= found[0]
            hour.winner = "up" if up != self.active("wrong_winner") else "down"
            token = hour.tokens[0 if hour.winner == "up" else 1]
            for one in hour.tokens:
                self.market_news.append(
                    (
                        one,
                        {
                            "event_type": "market_resolved",
                            "id": str(hour.start // HOUR),
                            "market": hour.condition,
                            "assets_ids": list(hour.tokens),
                            "winning_asset_id": token,
                            "winning_outcome": hour.winner.title(),
                            "timestamp": str(now // 1_000_000),
                            "tags": ["crypto"],
                        },
                    )
                )
            for wallet in self.wallets.values():
                wallet.cash += wallet.tokens.pop(token, Decimal(0))
                for one in hour.tokens:
                    wallet.tokens.pop(one, None)

    # ---- books ----

    def probability(self, hour: Hour, now: int) -> float:
        """Of UP: a driftless walk, half before the hour begins."""
        if now < hour.start:
            return 0.5
        found = self.spot.candles(now, 25)
        mine = next((row for row in found if row[0] == hour.start), None)
        moves = [log(c / o) ** 2 for _, o, c in found[:-1]]
        if mine is None or not moves:
            return 0.5
        left = max((hour.end - now) / HOUR, 1e-6)
        away = log(self.spot.price(now) / mine[1]) / (sqrt(sum(moves) / len(moves)) * sqrt(left) + 1e-12)
        return 0.5 * (1.0 + erf(away / sqrt(2.0)))

    def _quotes(self) -> None:
        now = self.now
        for hour in self.hours.values():
            if hour.end <= now or hour.start > now + HOUR:
                continue
            self._fair.append((now, hour.start, self.probability(hour, now)))
            seen = [p for ts, start, p in self._fair if start == hour.start and ts <= now - self.lag_ns]
            p = seen[-1] if seen else self._fair[-1][2]
            tick = Decimal("0.001") if not 0.04 <= p <= 0.96 or self.active("tick_change") else Decimal("0.01")
            if tick != hour.tick:
                for token in hour.tokens:
                    self.market_news.append(
                        (
                            token,
                            {
                                "event_type": "tick_size_change",
                                "market": hour.condition,
                                "asset_id": token,
                                "old_tick_size": str(hour.tick),
                                "new_tick_size": str(tick),
                                "timestamp": str(now // 1_000_000),
                            },
                        )
                    )
                hour.tick, hour.levels = tick, {}
            self._quote(hour, p, now)
        self._fair = [row for row in self._fair if row[0] > now - self.lag_ns - 60 * NS]
        self._fills()

    def _quote(self, hour: Hour, p: float, now: int) -> None:
        """Makers' levels around p, a tick of spread on each side; DOWN is the mirror of UP. Says what has changed."""
        tick = hour.tick
        middle = min(max(Decimal(str(round(p / float(tick)))) * tick, 2 * tick), 1 - 2 * tick)
        ups: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        for n in range(1, LEVELS + 1):
            size = Decimal(round(LEVEL_SIZE * (0.5 + self._draw("size", hour.start, n, now // (10 * NS)))))
            for k, price in ((0, middle - n * tick), (1, middle + n * tick)):
                if tick <= price <= 1 - tick:
                    ups[k][price] = size
        downs = ({1 - price: size for price, size in ups[1].items()}, {1 - price: size for price, size in ups[0].items()})
        hour.taken.clear()
        for token, new in zip(hour.tokens, (ups, downs), strict=True):
            old = hour.levels.get(token)
            hour.levels[token] = new
            if old is None:
                self.market_news.append((token, self.book(hour, token)))
                continue
            rows = [
                {
                    "asset_id": token,
                    "price": str(price),
                    "side": side,
                    "size": str(new[k].get(price, Decimal(0))),
                    "hash": "0x0",
                    "best_bid": str(max(new[0], default=0)),
                    "best_ask": str(min(new[1], default=0)),
                }
                for k, side in ((0, "BUY"), (1, "SELL"))
                for price in sorted({*old[k], *new[k]})
                if old[k].get(price) != new[k].get(price)
            ]
            # what is gone before what is new, so that no moment shows a crossed book
            rows.sort(key=lambda row: row["size"] != "0")
            if rows:
                self.market_news.append(
                    (token, {"event_type": "price_change", "market": hour.condition, "price_changes": rows, "timestamp": str(now // 1_000_000)})
                )

    def book(self, hour: Hour, token: str) -> News:
        """The whole book; the best level stands last, as at the venue."""
        bids, asks = hour.levels.get(token, ({}, {}))
        return {
            "event_type": "book",
            "market": hour.condition,
            "asset_id": token,
            "timestamp": str(self.now // 1_000_000),
            "hash": "0x0",
            "bids": [{"price": str(p), "size": str(s)} for p, s in sorted(bids.items())],
            "asks": [{"price": str(p), "size": str(s)} for p, s in sorted(asks.items(), reverse=True)],
            "min_order_size": "5",
            "tick_size": str(hour.tick),
            "neg_risk": False,
            "last_trade_price": "0.5",
        }

    # ---- orders ----

    def account(self, address: str) -> Wallet:
        """The wallet of an address, made at its first call."""
        for one in self.wallets.values():
            if one.address.lower() == address.lower():
                return one
        digest = hashlib.sha256(f"{self.seed} {address.lower()}".encode()).digest()
        one = Wallet(address, digest[:16].hex(), base64.urlsafe_b64encode(digest).decode(), digest[16:].hex(), self.cash)
        self.wallets[one.key] = one
        return one

    def strikes(self, kind: str) -> bool:
        """Whether a fault of orders meets the one that was posted last."""
        met = any(
            one.kind == kind
            and (one.at == self.posted if one.at else self._draw(kind, self.posted) < one.share)
            and one.after_s <= (self.now - self.started) / NS < one.after_s + one.seconds
            for one in self.faults
        )
        self.struck += met
        return met

    def post(self, wallet: Wallet, order: Order, order_id: str, kind: str, post_only: bool, expiration: int) -> News:
        """The answer to POST /order. kind: GTC, GTD, FOK, FAK."""
        self.posted += 1
        give, take = Decimal(order.maker_amount) / UNIT, Decimal(order.taker_amount) / UNIT
        shares, money = (take, give) if order.buy else (give, take)
        hour = self.hour_of_token(order.token)
        price = money / shares if shares else Decimal(0)

        def answer(status: str) -> News:
            return {"success": True, "orderID": order_id, "status": status} | NOTHING_YET | {"tradeIDs": [], "transactionsHashes": []}

        def refuse(text: str) -> News:
            return {"success": False, "orderID": "", "status": ""} | NOTHING_YET | {"errorMsg": text}

        if self.strikes("reject"):
            return refuse(NOT_READY)
        if order_id in self.orders:
            return refuse("order already exists")
        if hour is None or self.now >= hour.end or self.active("late_market"):
            return refuse(NOT_READY)
        if not hour.tick <= price <= 1 - hour.tick:
            return refuse(f"invalid price ({price}), min: {hour.tick} - max: {1 - hour.tick}")
        marketable = self._touches(hour, order, price)
        if kind in ("GTC", "GTD") and price % hour.tick:
            return refuse(f"order {order_id} is invalid. Price ({price}) breaks minimum tick size rule: {hour.tick}")
        if kind in ("GTC", "GTD") and shares < SIZE_MIN:
            return refuse(f"order {order_id} is invalid. Size ({shares}) lower than the minimum: {SIZE_MIN}")
        if order.buy and (marketable or kind in ("FOK", "FAK")) and money < MONEY_MIN:
            return refuse(f"invalid amount for a marketable BUY order (${money}), min size: $1")
        if kind == "GTD" and expiration < self.now // NS + 60:
            return refuse("invalid expiration")
        if self.active("post_only") and not post_only:
            return refuse(ONLY_POST)
        if post_only and marketable:
            return refuse(CROSSES)
        have = self._free(wallet) if order.buy else wallet.tokens.get(order.token, Decimal(0)) - self._offered(wallet, order.token)
        if (money if order.buy else shares) > have:
            return refuse(NO_MONEY)
        one = Resting(order_id, wallet.key, order, kind, price, shares, 0, expiration * NS if kind == "GTD" else 0)
        self.orders[order_id] = one
        if kind in ("FOK", "FAK") or marketable:
            one.due = self.now + TAKER_DELAY_NS
            self._at(one.due, lambda now: self._take(one))
            return answer("delayed")
        if one.expires:
            self._at(one.expires, lambda now: self._cancel(one))
        self._order_news(one, "PLACEMENT")
        return answer("live")

    def cancel(self, wallet: Wallet, order_id: str) -> str:
        """ "" or why it is not cancelled."""
        one = self.orders.get(order_id)
        if one is None or one.owner != wallet.key or one.status != "LIVE":
            return "order can't be found - already canceled or matched"
        self._cancel(one)
        return ""

    def open_orders(self, wallet: Wallet) -> list[Resting]:
        return [one for one in self.orders.values() if one.owner == wallet.key and one.status == "LIVE"]

    def beat(self, wallet: Wallet, given: str) -> tuple[bool, str]:
        """(taken, the id that the next heartbeat has to carry)."""
        if wallet.beat and given != wallet.beat_id:
            return False, wallet.beat_id
        wallet.beat, wallet.beat_id = self.now, hashlib.sha256(f"{wallet.key} {self.now}".encode()).hexdigest()[:32]
        return True, wallet.beat_id

    def _beats(self) -> None:
        """Who has begun to send heartbeats and has stopped loses all orders."""
        for wallet in self.wallets.values():
            if wallet.beat and self.now - wallet.beat > self.heartbeat_ns:
                wallet.beat, wallet.beat_id = 0, ""
                for one in self.open_orders(wallet):
                    self._cancel(one)

    def _touches(self, hour: Hour, order: Order, price: Decimal) -> bool:
        bids, asks = hour.levels.get(order.token, ({}, {}))
        return bool(asks) and price >= min(asks) if order.buy else bool(bids) and price <= max(bids)

    def _free(self, wallet: Wallet) -> Decimal:
        return wallet.cash - sum((one.price * (one.shares - one.filled) for one in self.open_orders(wallet) if one.order.buy), Decimal(0))

    def _offered(self, wallet: Wallet, token: str) -> Decimal:
        return sum((one.shares - one.filled for one in self.open_orders(wallet) if not one.order.buy and one.order.token == token), Decimal(0))

    def _take(self, one: Resting) -> None:
        """The delay is over: the order meets the book of now."""
        hour = self.hour_of_token(one.order.token)
        if one.status != "LIVE":
            return None
        if hour is None or self.now >= hour.end:
            return self._cancel(one)
        side = hour.levels.get(one.order.token, ({}, {}))[1 if one.order.buy else 0]
        rows = [
            (price, size - hour.taken.get((one.order.token, price), Decimal(0)))
            for price, size in sorted(side.items(), reverse=not one.order.buy)
            if (price <= one.price if one.order.buy else price >= one.price)
        ]
        there = sum((max(size, Decimal(0)) for _, size in rows), Decimal(0))
        if one.kind == "FOK" and there < one.shares:
            return self._cancel(one)
        # the money of a FAK buy is what is spent: a better price gives more shares
        money = one.price * one.shares if one.order.buy and one.kind in ("FOK", "FAK") else None
        for price, size in rows:
            left = one.shares - one.filled if money is None else (money / price).quantize(Decimal("0.0001"), ROUND_DOWN)
            some = min(left, size)
            if some > 0:
                hour.taken[one.order.token, price] = hour.taken.get((one.order.token, price), Decimal(0)) + some
                money = None if money is None else money - some * price
                self._trade(one, some, price, taker=True)
        one.due = 0
        if one.kind in ("FOK", "FAK"):
            one.status = "MATCHED" if one.filled else "CANCELED"
            self._order_news(one, "UPDATE" if one.filled else "CANCELLATION")
        elif one.filled >= one.shares:
            one.status = "MATCHED"
            self._order_news(one, "UPDATE")
        else:
            self._order_news(one, "PLACEMENT")
        return None

    def _fills(self) -> None:
        """Resting orders that the makers' quotes have come to trade, at their own price and without fee."""
        for one in list(self.orders.values()):
            hour = self.hour_of_token(one.order.token)
            if one.status != "LIVE" or one.due or hour is None or not self._touches(hour, one.order, one.price):
                continue
            side = hour.levels[one.order.token][1 if one.order.buy else 0]
            there = sum((s for p, s in side.items() if (p <= one.price if one.order.buy else p >= one.price)), Decimal(0))
            self._trade(one, min(one.shares - one.filled, there), one.price, taker=False)
            if one.filled >= one.shares:
                one.status = "MATCHED"
            self._order_news(one, "UPDATE")

    def _trade(self, one: Resting, shares: Decimal, price: Decimal, *, taker: bool) -> None:
        wallet = self.wallets[one.owner]
        fee = taker_fee(shares, price, self.rate) if taker else Decimal(0)
        sign = 1 if one.order.buy else -1
        one.filled += shares
        wallet.cash -= sign * shares * price + fee
        wallet.tokens[one.order.token] = wallet.tokens.get(one.order.token, Decimal(0)) + sign * shares
        hour = self.hour_of_token(one.order.token)
        assert hour is not None
        stamp = str(self.now // 1_000_000)
        trade: News = {
            "id": f"trade-{len(self.trades) + 1}",
            "taker_order_id": one.id if taker else "0xmaker",
            "market": hour.condition,
            "asset_id": one.order.token,
            "side": "BUY" if one.order.buy else "SELL",
            "size": str(shares),
            "price": str(price),
            "fee_rate_bps": "1000",
            "status": "MATCHED",
            "match_time": stamp,
            "last_update": stamp,
            "outcome": "Up",
            "owner": one.owner,
            "maker_address": wallet.address,
            "transaction_hash": "",
            "trader_side": "TAKER" if taker else "MAKER",
            "maker_orders": [
                {
                    "order_id": "0xmaker" if taker else one.id,
                    "matched_amount": str(shares),
                    "price": str(price),
                    "asset_id": one.order.token,
                    "owner": one.owner,
                    "fee_rate_bps": "0",
                }
            ],
        }
        self.trades.append(trade)
        self.market_news.append(
            (
                one.order.token,
                {
                    "event_type": "last_trade_price",
                    "market": hour.condition,
                    "asset_id": one.order.token,
                    "fee_rate_bps": "0",
                    "price": str(price),
                    "side": trade["side"],
                    "size": str(shares),
                    "timestamp": stamp,
                },
            )
        )
        fails = self.strikes("fail_trade")
        self._trade_news(trade, one.owner)
        steps = ((MINED_NS, "RETRYING"), (CONFIRMED_NS, "FAILED")) if fails else ((MINED_NS, "MINED"), (CONFIRMED_NS, "CONFIRMED"))
        for after, status in steps:
            self._at(self.now + after, partial(self._step, trade, one, status, shares, sign * shares * price + fee))

    def _step(self, trade: News, one: Resting, status: str, shares: Decimal, paid: Decimal, now: int) -> None:
        trade |= {"status": status, "last_update": str(now // 1_000_000)}
        if status == "MINED":
            trade["transaction_hash"] = "0x" + hashlib.sha256(str(trade["id"]).encode()).hexdigest()
        if status == "FAILED":  # nothing has happened: money and shares are back
            wallet, token = self.wallets[one.owner], one.order.token
            wallet.cash += paid
            wallet.tokens[token] = wallet.tokens.get(token, Decimal(0)) - (shares if one.order.buy else -shares)
        self._trade_news(trade, one.owner)

    def _cancel(self, one: Resting) -> None:
        if one.status == "LIVE":
            one.status = "CANCELED"
            self._order_news(one, "CANCELLATION")

    def order_row(self, one: Resting) -> News:
        """As GET /data/order says it."""
        hour = self.hour_of_token(one.order.token)
        return {
            "id": one.id,
            "asset_id": one.order.token,
            "market": hour.condition if hour else "",
            "side": "BUY" if one.order.buy else "SELL",
            "price": str(one.price),
            "original_size": str(one.shares),
            "size_matched": str(one.filled),
            "status": one.status,
            "order_type": one.kind,
            "expiration": str(one.expires // NS),
            "associate_trades": [trade["id"] for trade in self.trades if one.id in _orders_of(trade)],
            "created_at": one.order.timestamp // 1000,
            "owner": one.owner,
            "outcome": "Up",
            "maker_address": one.order.maker,
        }

    def _order_news(self, one: Resting, kind: str) -> None:
        self.user_news.append((one.owner, {"event_type": "order", "type": kind, "timestamp": str(self.now // 1_000_000)} | self.order_row(one)))

    def _trade_news(self, trade: Mapping[str, Any], owner: str) -> None:
        self.user_news.append((owner, {"event_type": "trade", "type": "TRADE", "timestamp": str(self.now // 1_000_000)} | dict(trade)))


def _orders_of(trade: Mapping[str, Any]) -> set[str]:
    return {str(trade["taker_order_id"]), *(str(one["order_id"]) for one in trade["maker_orders"])}


def _slug(start: int) -> str:
    """By the wall clock of New York: on a Sunday of November two hours have the same."""
    at = datetime.fromtimestamp(start // NS, UTC).astimezone(ZoneInfo("America/New_York"))
    hour = f"{at.hour % 12 or 12}{'am' if at.hour < 12 else 'pm'}"
    return f"bitcoin-up-or-down-{at.strftime('%B').lower()}-{at.day}-{at.year}-{hour}-et"


def _iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["SYMBOL", "BinaryExchange"]
