"""The desk of the hourly binary: its input is markets, books, spot candles and fires with their times of receipt, its output decisions and bets.

It opens nothing and reads no clock: the same inputs in the same order give the same lines, live, on paper and in a replay. A deadline is served at
its own moment, whenever time is advanced past it, so how often a live run looks at the clock changes nothing.

    desk.frame(ts, "polymarket", "ws", raw); desk.fire(ts, {"side": 1}); desk.advance(ts)
    desk.lines                                # what was decided, one object each; the caller takes them
    desk.requests                             # orders to send; on paper there are none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from decimal import ROUND_DOWN, Decimal
from math import log, nan, sqrt
from typing import Any

from liqshell.binary.book import CENT, ZERO, Taken, TokenBook
from liqshell.errors import DataError
from liqshell.policies.hourly import HOUR, HourlyUp, Offer, Shift, hour_of, settled_up
from liqshell.venues.polymarket import decoder as wire
from liqshell.venues.polymarket.market import Market, Refused, Rule, parse_markets
from liqshell.venues.polymarket.signing import UNIT, amounts

RULES = 2  # stands in every recording; one more with each change after which a recording gives other lines
SPOT, VENUE = "binance_spot", "polymarket"
NS = 1_000_000_000
CANDLES_KEPT, CANDLES_MIN = 24, 12  # hours behind the volatility
MARKETS_KEPT = 72
FIRE_AGE_NS = 60 * NS  # a minute: the rule is looked at once a minute
MONEY_MIN = Decimal(1)  # of a marketable order, pUSD
# of a bet. OUT: the outcome is not known and it counts as exposure; HELD: there are shares; MATCHED may still fail at the venue
SENT, DELAYED, MATCHED, CONFIRMED, FAILED, KILLED, SETTLED = "sent", "delayed", "matched", "confirmed", "failed", "killed", "settled"
OUT, HELD = (SENT, DELAYED), (MATCHED, CONFIRMED)
REPORTED = (DELAYED, MATCHED, CONFIRMED, FAILED, KILLED)


@dataclass(frozen=True)
class Settings:
    """equity: pUSD at the first start. value_min: least expected value per share. kelly, cap: see HourlyUp. day_loss_max: share of the equity, lost
    in a day of UTC, after which nothing is bet. deviations, hours: the measured shift of the probability and on how many hours. delay_ms: from the
    order to its match, the venue's taker delay and the way there. paper: fills are made here from the book."""

    symbol: str = "BTCUSDT"
    equity: float = 1000.0
    value_min: float = 0.02
    kelly: float = 0.25
    cap: float = 0.02
    day_loss_max: float = 0.05
    deviations: float = 0.0
    hours: int = 0
    delay_ms: float = 250.0
    book_age_s: float = 30.0
    spot_age_s: float = 10.0
    bets: bool = True
    paper: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("equity", 1.0, 1e9),
            ("value_min", 0.0, 1.0),
            ("kelly", 0.0, 1.0),
            ("cap", 0.0, 1.0),
            ("day_loss_max", 0.0, 1.0),
            ("deviations", -5.0, 5.0),
            ("hours", 0, 10**7),
            ("delay_ms", 0.0, 60_000.0),
            ("book_age_s", 0.1, 3600.0),
            ("spot_age_s", 0.1, 3600.0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name}: expected a number in [{low:g}, {high:g}], got {value!r}")


@dataclass(frozen=True)
class Bet:
    """One bet. shares: that it gets at the limit, at least, if all of it is
    filled; filled, cost, fee: had. ask, mid: of its token at the decision; probability: ours. due_ns: of a paper order, when
    it meets the book. order: the id at the venue. won: None until it is settled."""

    number: int
    hour: int
    condition: str
    token: str
    side: str
    shares: Decimal
    limit: Decimal
    rate: Decimal
    probability: float
    ask: float
    mid: float | None
    made_ns: int
    due_ns: int
    state: str = SENT
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    fee: Decimal = ZERO
    order: str = ""
    won: bool | None = None

    @property
    def stake(self) -> Decimal:
        """Money to spend, whole cents without fee: at better prices than the limit it buys more than `shares`."""
        return (self.shares * self.limit).quantize(CENT, ROUND_DOWN)

    @property
    def price(self) -> Decimal:
        """The highest price of a share that the venue fills it at."""
        return self.stake / self.shares

    @property
    def most(self) -> Decimal:
        """The most that it can cost, which is the most that it can lose."""
        if self.state in OUT:
            # what is spent is fixed; at a better price it buys more shares, and their fee is rate x (1 - price) of it
            return self.stake * (1 + self.rate)
        return self.cost + self.fee if self.state in HELD else ZERO

    @property
    def profit(self) -> Decimal:
        """Of a settled bet."""
        return (self.filled if self.won else ZERO) - self.cost - self.fee


_DECIMALS = tuple(f.name for f in fields(Bet) if f.type == "Decimal")


@dataclass(frozen=True)
class Request:
    """An order to send: a buyer of `shares` at `limit` at most, what cannot be had at once is forgotten (FAK)."""

    bet: int
    market: Market
    token: str
    shares: Decimal
    limit: Decimal
    tick: Decimal


class Desk:
    """state: the `snapshot` of the previous run."""

    def __init__(self, settings: Settings, state: Mapping[str, Any] | None = None):
        self.settings = settings
        self.now = 0
        self.cash = Decimal(str(settings.equity))
        self.bets: list[Bet] = []
        self.markets: dict[int, Market] = {}
        self.books: dict[str, TokenBook] = {}
        self.candles: dict[int, wire.Candle] = {}
        self.settled: dict[int, str] = {}  # hour -> winner, by its rule or by the venue's word
        self.said: dict[int, str] = {}  # hour -> winner, by the venue's word
        self.early: set[int] = set()  # hours whose winner was known before they were over, and not confirmed since
        self.unclear: set[int] = set()  # hours of which the venue has contradicted itself: nothing is paid until it is clear
        self.differs: dict[int, str] = {}  # hour -> the venue's word that an alarm has told to differ from the candle
        self.spot, self.spot_ts = nan, 0
        self.lines: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.malformed = self.unread = 0
        self.refused: set[str] = set()
        self.policy = HourlyUp(0.07, settings.value_min, Shift(settings.deviations, settings.hours), settings.kelly, settings.cap)
        self._heard = 0  # receipt of the last sign of life of the market stream
        if state:
            self._restore(state)

    # ---- what comes in ----

    def frame(self, ts: int, exchange: str, source: str, raw: bytes) -> None:
        """A frame of a stream, or the answer to a request."""
        self.advance(ts)
        if exchange == SPOT:
            for message in wire.decode_klines(raw, self.settings.symbol) if source == "rest" else wire.decode_spot(raw):
                self._message(message, ts)
        elif source != "rest":
            for book in self.books.values():  # what was missed in a silence is not known
                if book.known and ts - max(book.ts, self._heard) > self.settings.book_age_s * NS:
                    book.drop()
            messages = wire.decode(raw)
            if not any(isinstance(one, wire.Malformed) or isinstance(one, wire.Other) and not one.known for one in messages):
                self._heard = ts  # what is not understood is no sign that the books are still told of
            for message in messages:
                self._message(message, ts)
        elif b'"bids"' in raw[:2000] or b'"asks"' in raw[:2000]:
            self._message(wire.decode_book(raw), ts)
        else:
            self._list(raw, ts)

    def fire(self, ts: int, facts: Mapping[str, Any]) -> None:
        """The reversal's rule has fired. facts: side 1 = longs were flushed, buy UP; -1 = the mirror; 0 = only the end of a flush, kept for the
        evaluation."""
        self.advance(ts)
        if not int(facts.get("side", 1)):
            return
        side = "up" if int(facts.get("side", 1)) > 0 else "down"
        hour = hour_of(ts)
        market = self.markets.get(hour)
        offer, why, book = self._offer(ts, side, market)
        if ts - int(facts.get("ts", ts)) > FIRE_AGE_NS:
            why = f"the fire is {(ts - int(facts['ts'])) / NS:.0f} s old"
        line = {
            "kind": "fire",
            "ts": ts,
            "hour": hour,
            "side": side,
            "why": why,
            "spot": _known(self.spot),
            "open": self._open_of(hour),
            "volatility": _known(self.volatility(hour)),
            "ask": _float(book.ask) if book else None,
            "mid": book.mid if book else None,
            "probability": _known(offer.probability) if offer else None,
            "value": _known(offer.value) if offer else None,
            "calibrated": self.policy.shift.calibrated,
        }
        self.lines.append(line)
        if not why and offer is not None and market is not None and book is not None:
            self._bet(ts, market, side, offer, book)

    def down(self, ts: int, name: str) -> None:
        """A connection is lost: its values are unknown now."""
        self.advance(ts)
        if name == VENUE:
            for book in self.books.values():
                book.drop()
        else:
            self.spot, self.spot_ts = nan, 0
        self.lines.append({"kind": "down", "ts": ts, "what": name})

    def report(self, ts: int, found: Mapping[str, Any]) -> None:
        """Takes the venue's report of a bet: {"bet": number, "state": one of REPORTED, "filled", "cost", "fee": so far, in all}, or
        {"bet", "order": id}."""
        self.advance(ts)
        bet = next((one for one in self.bets if one.number == found.get("bet")), None)
        state = found.get("state", bet.state if bet else "")
        late = bet is not None and bet.state == KILLED and state in HELD  # shares at the venue count
        if bet is None or not (late or bet.state in (*OUT, *HELD)) or found.get("state") and state not in REPORTED:
            self._alarm(ts, "a report of no open bet", report=dict(found))
            return
        if late:
            self._alarm(ts, "an order that was believed gone has traded", report=dict(found))
        if bet.state == CONFIRMED and state in (DELAYED, MATCHED, KILLED) or bet.state == MATCHED and state in (DELAYED, KILLED):
            return  # news of two ways that overtook one another
        taken = Taken(*(Decimal(str(found.get(name, getattr(bet, name)))) for name in ("filled", "cost", "fee")))
        self._put(replace(bet, state=state, order=str(found.get("order", bet.order))), ts, taken)
        self._settle_all(ts)

    def advance(self, ts: int) -> None:
        """Time is ts: paper orders that were due by then met the book as it was, hours that were over by then are settled."""
        while True:
            due = min(
                (bet for bet in self.bets if bet.state == SENT and self.settings.paper and bet.due_ns <= ts),
                key=lambda bet: (bet.due_ns, bet.number),
                default=None,
            )
            over = min((hour + HOUR for hour in self.early if self.now < hour + HOUR <= ts), default=None)
            if due is not None and (over is None or due.due_ns <= over):
                self.now = max(self.now, due.due_ns)
                self._match(due)
            elif over is not None:
                self.now = over
                self._settle_all(over)
            else:
                break
        self.now = max(self.now, ts)

    # ---- what is known ----

    @property
    def equity(self) -> Decimal:
        """Cash and what open bets have cost."""
        return self.cash + sum((bet.cost + bet.fee for bet in self.bets if bet.state in HELD), ZERO)

    def volatility(self, hour: int) -> float:
        """Of the log price in an hour: root mean square of the closed candles of the day before `hour`; nan where too few are known."""
        rows = [self.candles[h] for h in range(hour - CANDLES_KEPT * HOUR, hour, HOUR) if h in self.candles and self.candles[h].final]
        if len(rows) < CANDLES_MIN:
            return nan
        return sqrt(sum(log(one.close / one.open) ** 2 for one in rows) / len(rows))

    def mid_up(self, hour: int, ts: int) -> float | None:
        """The book's probability of UP, None where it is not known now."""
        market = self.markets.get(hour)
        book = self.book_of(market.up, ts) if market is not None else None
        return book.mid if book is not None else None

    def fair_up(self, hour: int, ts: int, side: int = 1) -> float | None:
        """Ours, None where something is not known now. side: 1 after a flush of longs, -1 after one of shorts; a measured shift goes that way."""
        offer, _, _ = self._offer(ts, "up" if side > 0 else "down", self.markets.get(hour), nan)
        return None if offer is None else _known(offer.probability if side > 0 else 1.0 - offer.probability)

    def known_of(self, hour: int) -> tuple[float, float, float]:
        """(spot price, open of the hour, volatility), nan where not known."""
        open_ = self._open_of(hour)
        return self.spot, nan if open_ is None else open_, self.volatility(hour)

    def snapshot(self) -> dict[str, Any]:
        """The state for a restart, as JSON values: bets that are open or of the last day, hours with a bet, money."""
        kept = [bet for bet in self.bets if bet.state in (*OUT, *HELD) or bet.hour > self.now - 24 * HOUR]
        return {
            "paper": self.settings.paper,
            "cash": str(self.cash),
            "hour": self.policy.hour,
            "next": max((self._next - 1, *(bet.number for bet in self.bets))) + 1,
            "bets": [{key: str(value) if isinstance(value, Decimal) else value for key, value in asdict(bet).items()} for bet in kept],
            "settled": {str(hour): who for hour, who in sorted(self.settled.items())[-48:]},
            "said": {str(hour): who for hour, who in sorted(self.said.items())[-48:]},
            "early": sorted(self.early)[-48:],
            "unclear": sorted(self.unclear)[-48:],
            "differs": {str(hour): who for hour, who in sorted(self.differs.items())[-48:]},
        }

    # ---- inside ----

    def _restore(self, state: Mapping[str, Any]) -> None:
        try:
            self.cash, self.policy.hour, self._next = Decimal(state["cash"]), int(state["hour"]), int(state["next"])
            self.bets = [_bet_of(row) for row in state["bets"]]
            self.settled = {int(hour): str(who) for hour, who in state["settled"].items()}
            self.said = {int(hour): str(who) for hour, who in state.get("said", {}).items()}
            self.early, self.unclear = (set(map(int, state.get(name, ()))) for name in ("early", "unclear"))
            self.differs = {int(hour): str(who) for hour, who in state.get("differs", {}).items()}
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as why:
            raise DataError(
                "the state of the hourly bets", f"{type(why).__name__}: {why}", "what a run has left", "Move the file away only if no bet is open"
            ) from None
        if state.get("paper") is not self.settings.paper:
            raise DataError(
                "the state of the hourly bets",
                "of paper bets" if state.get("paper") else "of real orders",
                "one file for paper and another one for real orders",
                "Name another --state",
            )

    _next = 1

    def _message(self, message: wire.Message, ts: int) -> None:
        if isinstance(message, wire.Malformed):
            self.malformed += 1
            for token in self.books.keys() if message.books is None else message.books & self.books.keys():
                self.books[token].drop()  # what it would have told of them is not known
        elif isinstance(message, wire.Other):
            self.unread += 1
        elif isinstance(message, wire.Candle):
            self._candle(message, ts)
        elif isinstance(message, wire.SpotTrade):
            if message.symbol == self.settings.symbol:
                self.spot, self.spot_ts = message.price, ts
        elif isinstance(message, wire.Resolved):
            market = next((one for one in self.markets.values() if one.condition == message.market), None)
            if market is not None:
                self._resolved(market, message, ts)
        elif not isinstance(message, wire.Trade):
            book = self.books.get(message.token)
            if book is None:
                return
            if isinstance(message, wire.Book):
                book.replace(message, ts)
            elif isinstance(message, wire.Change):
                book.change(message, ts)
            else:  # the whole book is asked for again: levels off the new grid are gone
                book.drop()
                book.tick = message.tick

    def _list(self, raw: bytes, ts: int) -> None:
        """A list of markets: adds new hours, takes the winners of closed ones, refuses unknown rules by name. The newest list counts: a
        market that has another rule in it is bet on no longer."""
        try:
            found, refused = parse_markets(raw)
        except ValueError:
            self.malformed += 1
            return
        for market in found:
            if market.symbol != self.settings.symbol:
                continue
            known = self.markets.get(market.start_ns)
            if known is not None and known.condition != market.condition:
                self._alarm(ts, "two markets of one hour", slugs=[known.slug, market.slug])
                continue
            if known is not None and (known.up, known.down) != (market.up, market.down):
                self._withdraw(known, "its tokens are others now", ts)
                continue
            self.markets[market.start_ns] = market
            for token in (market.up, market.down):
                self.books.setdefault(token, TokenBook())
            if known is None:
                self.lines.append(
                    {
                        "kind": "market",
                        "ts": ts,
                        "hour": market.start_ns,
                        "slug": market.slug,
                        "condition": market.condition,
                        "rule": market.rule.value,
                        "fee_rate": float(market.fee_rate),
                        "tick": float(market.tick),
                    }
                )
            if market.winner:
                self._venue_says(market.start_ns, market.winner, ts)
        for one in refused:
            self._refuse(one, ts)
        for start in sorted(self.markets)[:-MARKETS_KEPT]:
            gone = self.markets.pop(start)
            self.early.discard(start)
            for token in (gone.up, gone.down):
                self.books.pop(token, None)
        self._settle_all(ts)

    def _refuse(self, refused: Refused, ts: int) -> None:
        """A market that is not ours to trade; one that we have known, or hold, is taken out. Shares held there are still settled as the venue
        reports."""
        why = str(refused)
        if why not in self.refused and len(self.refused) < 1000:
            self.refused.add(why)
            self.lines.append({"kind": "refused", "ts": ts, "why": why})
            for hour in [bet.hour for bet in self.bets if bet.condition == refused.condition and bet.hour not in self.markets]:
                self._alarm_withdrawn(hour, refused.condition, refused.slug, why, ts)  # of a bet that a restart has found
        for market in list(self.markets.values()):
            if market.condition == refused.condition or not refused.condition and market.slug == refused.slug:
                self._withdraw(market, why, ts)
        if refused.winner:
            for hour in {
                *(one.start_ns for one in self.markets.values() if one.condition == refused.condition),
                *(bet.hour for bet in self.bets if bet.condition == refused.condition),
            }:
                self._venue_says(hour, refused.winner, ts)

    def _withdraw(self, market: Market, why: str, ts: int) -> None:
        if market.withdrawn == why:
            return
        self.markets[market.start_ns] = replace(market, open=False, withdrawn=why)
        self._alarm_withdrawn(market.start_ns, market.condition, market.slug, why, ts)

    def _alarm_withdrawn(self, hour: int, condition: str, slug: str, why: str, ts: int) -> None:
        held = [bet.number for bet in self.bets if bet.condition == condition and bet.state in (*OUT, *HELD)]
        self._alarm(ts, "a market's rule is withdrawn: nothing is bet on it", hour=hour, slug=slug, why=why, bets=held)

    def _candle(self, candle: wire.Candle, ts: int) -> None:
        if candle.symbol != self.settings.symbol or candle.start_ns % HOUR:
            return
        known = self.candles.get(candle.start_ns)
        if known is not None and known.final:
            return
        self.candles[candle.start_ns] = candle
        if candle.start_ns == hour_of(ts) and not candle.final:
            self.spot, self.spot_ts = candle.close, ts
        for start in sorted(self.candles)[: -4 * CANDLES_KEPT]:
            del self.candles[start]
        if candle.final:
            self._settle_all(ts)

    def book_of(self, token: str, ts: int) -> TokenBook | None:
        """A book that may be relied on now."""
        book = self.books.get(token)
        age = ts - max(book.ts, self._heard) if book is not None and book.known else 1 << 62
        return book if age <= self.settings.book_age_s * NS else None

    def _open_of(self, hour: int) -> float | None:
        return self.candles[hour].open if hour in self.candles else None

    def _offer(self, ts: int, side: str, market: Market | None, ask: float | None = None) -> tuple[Offer | None, str, TokenBook | None]:
        """(what it is worth, why nothing is bought, the book). ask: instead of the book's."""
        hour, limit_s = hour_of(ts), self.settings.spot_age_s
        open_ = self._open_of(hour)
        book = self.book_of(market.token(side), ts) if market is not None else None
        if market is None:
            return None, "no market of this hour is known", book
        if open_ is None or not ts - self.spot_ts <= limit_s * NS:
            return None, "the spot price or the hour's open is not known", book
        self.policy.fee_rate = float(market.fee_rate)
        best = ask if ask is not None else nan if book is None or book.ask is None else float(book.ask)
        offer = self.policy.judge(ts, True, self.spot, open_, self.volatility(hour), best, side == "up")
        if market.withdrawn:
            return offer, f"the market's rule is withdrawn: {market.withdrawn}", book
        if not market.open or ts >= market.end_ns or market.rule is not Rule.BINANCE_SPOT_1H:
            return offer, "the market takes no orders", book
        if book is None or book.ask is None:
            return offer, "no book that could be relied on, or nobody offers", book
        if not self.settings.bets:
            return offer, "only recorded", book
        lost = -sum((bet.profit for bet in self.bets if bet.state == SETTLED and bet.hour // (24 * HOUR) == ts // (24 * HOUR)), ZERO)
        if lost > Decimal(str(self.settings.day_loss_max)) * self.equity:
            return offer, f"the day's loss of {lost:.2f} is at its limit", book
        return offer, offer.why, book

    def _bet(self, ts: int, market: Market, side: str, offer: Offer, book: TokenBook) -> None:
        """The size and the limit: no more than the policy's share of the equity even if all of it is filled at the limit; nothing below the venue's
        minima."""
        tick = book.tick or market.tick
        money = self._spend(market, offer.probability, book)
        # the book moves until the order meets it: as far as the same money is still worth staking
        needed = float(money * (1 + market.fee_rate) / self.equity) * (1.0 - 1e-9) if money else 1.0  # 1e-9: of floats
        limit = Decimal(str(self.policy.highest(offer.probability, float(tick), needed))).quantize(tick)
        assert book.ask is not None
        # a higher limit leaves fewer shares of the money: not fewer than the venue takes
        limit = min(limit, max((money / market.size_min).quantize(tick, ROUND_DOWN), book.ask))
        shares = (money / limit).quantize(CENT, ROUND_DOWN) if limit else ZERO
        why = f"below the venue's minimum of {market.size_min} shares and {MONEY_MIN} pUSD"
        if shares >= market.size_min and shares * book.ask >= MONEY_MIN:
            # as the order is written: on paper nothing is staked that a live order would not
            cost, size = (Decimal(amount) / UNIT for amount in amounts(True, shares, limit, tick, marketable=True))
            why = "" if size >= market.size_min and size * book.ask >= MONEY_MIN else why
            why = why or ("" if cost / size >= book.ask else f"{shares} shares cost no whole cents at {limit}: the ask would not be met")
            shares = size
        if why:
            self.lines.append({"kind": "declined", "ts": ts, "hour": market.start_ns, "shares": float(shares), "why": why})
            return
        number = max(self._next, max((bet.number for bet in self.bets), default=0) + 1)
        bet = Bet(
            number,
            market.start_ns,
            market.condition,
            market.token(side),
            side,
            shares,
            limit,
            market.fee_rate,
            offer.probability,
            float(book.ask),
            book.mid,
            ts,
            ts + round(self.settings.delay_ms * 1e6),
        )
        self.bets.append(bet)
        self.policy.made(ts)
        self._line(bet, ts)
        if not self.settings.paper:
            self.requests.append(Request(number, market, bet.token, shares, limit, tick))

    def _spend(self, market: Market, chance: float, book: TokenBook) -> Decimal:
        """The money, without fee, that gains most on average in the book as it stands. A deeper level gives more shares, and a smaller stake is worth
        paying that price."""
        free = self.cash - sum((bet.most for bet in self.bets if bet.state in OUT), ZERO)
        best, most = ZERO, ZERO
        for limit in sorted(book.asks):
            share = Decimal(str(self.policy.share(chance, float(limit))))
            if not share:
                break
            money = min(min(share * self.equity, free) / (1 + market.fee_rate), book.depth(limit) * limit)
            taken = book.take(money, limit, market.fee_rate)
            gain = Decimal(str(chance)) * taken.shares - taken.cost - taken.fee
            if gain > most:
                best, most = money, gain
        return best

    def _match(self, bet: Bet) -> None:
        """A paper order meets the book."""
        book = self.book_of(bet.token, bet.due_ns)
        market = self.markets.get(bet.hour)
        late = market is not None and (bet.due_ns >= market.end_ns or not market.open)
        taken = book.take(bet.stake, bet.price, bet.rate) if book is not None and not late else Taken(ZERO, ZERO, ZERO)
        self._put(replace(bet, state=CONFIRMED if taken.shares else KILLED), bet.due_ns, taken)

    def _put(self, bet: Bet, ts: int, taken: Taken) -> None:
        """A bet has changed; the cash follows what was paid for it."""
        at = next(n for n, one in enumerate(self.bets) if one.number == bet.number)
        before = self.bets[at]
        if bet.state in (FAILED, KILLED):
            taken = Taken(ZERO, ZERO, ZERO)
        bet = replace(bet, filled=taken.shares, cost=taken.cost, fee=taken.fee)
        if bet == before:
            return
        self.cash -= bet.cost + bet.fee - before.cost - before.fee
        self.bets[at] = bet
        self._line(bet, ts)

    def _alarm(self, ts: int, what: str, **about: Any) -> None:
        self.lines.append({"kind": "alarm", "ts": ts, "what": what, **about})

    def _line(self, bet: Bet, ts: int) -> None:
        values = {key: float(value) if isinstance(value, Decimal) else value for key, value in asdict(bet).items()}
        profit = float(bet.profit) if bet.state == SETTLED else None
        self.lines.append({"kind": "bet", "ts": ts, **values, "profit": profit, "cash": float(self.cash)})

    def _resolved(self, market: Market, said: wire.Resolved, ts: int) -> None:
        """The stream's word. One that names a token and another outcome, or a token of no side, is no word: who is paid is asked again."""
        hour, side = market.start_ns, {market.up: "up", market.down: "down"}.get(said.winner, "")
        if side and said.outcome.lower() in (side, ""):
            self._venue_says(hour, side, ts)
        elif hour not in self.unclear:
            self.unclear.add(hour)
            what = "the venue contradicts itself on who is paid: nothing is until it is clear"
            self._alarm(ts, what, hour=hour, venue=side, outcome=said.outcome, token=said.winner)

    def _venue_says(self, hour: int, winner: str, ts: int) -> None:
        again = self.said.get(hour) == winner and hour not in self.unclear
        self.unclear.discard(hour)
        if ts >= hour + HOUR:
            self.early.discard(hour)
        if again:
            return
        self.said[hour] = winner
        for start in sorted(self.said)[: -2 * MARKETS_KEPT]:
            del self.said[start]
            self.differs.pop(start, None)
        if ts < hour + HOUR:
            self._alarm(ts, "a winner was named before the hour was over: nothing is paid by it until then", hour=hour, venue=winner)
        self._settle_all(ts)

    def _settle_all(self, ts: int) -> None:
        """Settles the ended hours whose candle is final or whose winner the venue has reported. If the two differ, the venue's result counts and
        the operator is told, in either order."""
        due = {*self.markets, *(bet.hour for bet in self.bets if bet.state in HELD)}
        for hour in sorted(due | self.said.keys()):
            candle, said = self.candles.get(hour), self.said.get(hour, "")
            own = ("up" if settled_up(candle.open, candle.close) else "down") if candle is not None and candle.final else ""
            winner = said or own
            if not winner or hour in self.unclear:
                continue
            if ts < hour + HOUR:
                self.early.add(hour)
                continue
            if hour in due and winner != self.settled.get(hour, ""):
                self.settled[hour] = winner
                self.lines.append({"kind": "settled", "ts": ts, "hour": hour, "winner": winner, "candle": own, "venue": said})
            self._compare(hour, own, said, ts)
            if hour in due:
                self._pay(hour, winner, ts)

    def _compare(self, hour: int, own: str, said: str, ts: int) -> None:
        """The candle with the venue's word, once both are there. Of a bet that is paid already, too."""
        if not own or not said:
            return
        if own == said:
            self.differs.pop(hour, None)
        elif self.differs.get(hour) != said:
            self.differs[hour] = said
            candle = self.candles[hour]
            self._alarm(ts, "the venue pays another side than the candle", hour=hour, open=candle.open, close=candle.close, venue=said)

    def _pay(self, hour: int, winner: str, ts: int) -> None:
        for at, bet in enumerate(self.bets):
            if bet.hour != hour:
                continue
            won = bet.side == winner
            if bet.state == CONFIRMED:  # what is only matched may still fail: it waits for its report
                self.bets[at] = replace(bet, state=SETTLED, won=won)
                self.cash += bet.filled if won else ZERO
                self._line(self.bets[at], ts)
            elif bet.state == SETTLED and bet.won != won:  # the venue's word came after the candle, and differs
                self.bets[at] = replace(bet, won=won)
                self.cash += bet.filled if won else -bet.filled
                self._line(self.bets[at], ts)


def _bet_of(row: Mapping[str, Any]) -> Bet:
    values: dict[str, Any] = {key: Decimal(value) if key in _DECIMALS else value for key, value in row.items()}
    return Bet(**values)


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _known(value: float) -> float | None:
    """nan as JSON has it."""
    return value if value == value else None
