"""The emulated Binance USD-M feed: the market's rows become its streams, with the venue's own aggregation and throttles.

forceOrder shows at most one order per symbol and second, the largest by value, sent when the second is over; !forceOrder@arr carries COIN-M orders,
too.
"""

from collections import deque
from collections.abc import Sequence

from liqshell.clock import NS
from liqshell.emulator.market import binance_frames as binance
from liqshell.emulator.market.contracts import Contract
from liqshell.emulator.market.public_frames import Board, Lane, Row, mixed
from liqshell.emulator.market.synthetic_feed import Frame

AGGREGATE_MS = 100
AGGREGATES_KEPT = 1_000
DEPTH_MS = 100
FORCED_MS = 1_000
MARK_SLOW_MS = 3_000
COIN_M_SHARE = 3  # one in so many forced orders has a twin on COIN-M
SEED, BASIS_BPS = 0xB1A, -0.4
ALL_FORCED, ALL_MARKS = "!forceOrder@arr", ("!markPrice@arr@1s", "!markPrice@arr")


class BinanceLane(Lane):
    """One symbol."""

    def __init__(self, index: int, contract: Contract, wanted: set[str]) -> None:
        super().__init__(index, contract, SEED, BASIS_BPS)
        self.wanted = wanted
        name = contract.symbol.lower()
        self.names = {
            what: f"{name}@{what}" for what in ("aggTrade", "trade", "bookTicker", "markPrice@1s", "markPrice", "forceOrder", "depth@100ms", "depth")
        }
        self.aggregate: list[list[int]] = []  # side, ticks, lots, first id, last id, ms
        self.aggregate_ms = 0
        self.aggregates = 50_000 * (index + 1)
        self.first_id = self.trade_id + 1
        self.kept: deque[dict[str, object]] = deque(maxlen=AGGREGATES_KEPT)  # as REST writes them
        self.largest: tuple[float, int, int, int, int, int] | None = None  # value, ms, side, lots, limit, average
        self.coin_m: tuple[float, int, int, int, int, int] | None = None
        self.forced_ms = 0
        self.depth_ms = 0
        self.depth_sent: tuple[int, int, int] = (0, 0, 0)  # bid, ask, update

    def texts(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Bid and ask: (price, quantity)."""
        c = self.contract
        return (
            (binance.price_text(c, self.bid), binance.qty_text(c, self.bid_lots)),
            (binance.price_text(c, self.ask), binance.qty_text(c, self.ask_lots)),
        )

    def _later(self) -> None:
        self.due = min((ms for ms in (self.aggregate_ms, self.forced_ms, self.depth_ms) if ms), default=0)

    def trades(self, now_ms: int, prints: list[tuple[int, int, int]], out: list[Frame]) -> None:
        c, single = self.contract, self.names["trade"] in self.wanted
        for side, ticks, lots in prints:
            self.trade_id += 1
            if single:
                price, qty = binance.price_text(c, ticks), binance.qty_text(c, lots)
                out.append(Frame(self.names["trade"], binance.trade(c.symbol, now_ms, self.trade_id, price, qty, now_ms, side < 0)))
            last = self.aggregate[-1] if self.aggregate else None
            if last is not None and last[0] == side and last[1] == ticks:
                last[2], last[4], last[5] = last[2] + lots, self.trade_id, now_ms
            else:
                self.aggregate.append([side, ticks, lots, self.trade_id, self.trade_id, now_ms])
        if not self.aggregate_ms:
            self.aggregate_ms = now_ms - now_ms % AGGREGATE_MS + AGGREGATE_MS
        self._later()

    def quote(self, now_ms: int, out: list[Frame]) -> None:
        topic = self.names["bookTicker"]
        if topic in self.wanted:
            out.append(Frame(topic, binance.book_ticker(self.contract.symbol, self.update_id, *self.texts(), now_ms)))
        if not self.depth_ms and not self.wanted.isdisjoint((self.names["depth@100ms"], self.names["depth"])):
            self.depth_ms = now_ms - now_ms % DEPTH_MS + DEPTH_MS
            self._later()

    def liquidation(self, now_ms: int, side: int, lots: int, bankruptcy: int, fill: int, cascade: int) -> None:
        value = float(lots * fill)
        found = (value, now_ms, side, lots, bankruptcy, fill)
        if self.largest is None or value > self.largest[0]:
            self.largest = found
        if mixed(SEED, self.index, now_ms, lots) % COIN_M_SHARE == 0 and (self.coin_m is None or value > self.coin_m[0]):
            self.coin_m = found
        if not self.forced_ms:
            self.forced_ms = now_ms - now_ms % FORCED_MS + FORCED_MS
        self._later()

    def ticker(self, now_ms: int, out: list[Frame]) -> None:
        for name in ("markPrice@1s", "markPrice"):
            topic = self.names[name]
            if topic in self.wanted and (name != "markPrice" or now_ms % MARK_SLOW_MS < 1_000):
                out.append(Frame(topic, self.mark_frame()))

    def mark_frame(self) -> bytes:
        """The markPrice frame in force."""
        c = self.contract
        return binance.mark_price(
            c.symbol,
            self.ticker_ms,
            binance.price_text(c, self.mark),
            binance.price_text(c, self.index_price),
            binance.rate_text(self.funding),
            (self.ticker_ms // 28_800_000 + 1) * 28_800_000,
        )

    def flush(self, now_ms: int, out: list[Frame]) -> None:
        if self.aggregate_ms and self.aggregate_ms <= now_ms:
            self._send_aggregate(out)
        if self.depth_ms and self.depth_ms <= now_ms:
            self._send_depth(out)
        if self.forced_ms and self.forced_ms <= now_ms:
            self._send_forced(out)
        self._later()

    def _send_aggregate(self, out: list[Frame]) -> None:
        c, topic = self.contract, self.names["aggTrade"]
        for side, ticks, lots, first, last, ms in self.aggregate:
            self.aggregates += 1
            price, qty = binance.price_text(c, ticks), binance.qty_text(c, lots)
            self.kept.append({"a": self.aggregates, "p": price, "q": qty, "f": first, "l": last, "T": ms, "m": side < 0})
            if topic in self.wanted:
                out.append(Frame(topic, binance.agg_trade(c.symbol, self.aggregate_ms, self.aggregates, price, qty, first, last, ms, side < 0)))
        self.aggregate, self.aggregate_ms = [], 0

    def _send_depth(self, out: list[Frame]) -> None:
        c, (bid, ask, update) = self.contract, self.depth_sent
        now_bid, now_ask = self.texts()
        bids = [[binance.price_text(c, bid), "0"]] if bid and bid != self.bid else []
        asks = [[binance.price_text(c, ask), "0"]] if ask and ask != self.ask else []
        before = update or self.update_id - 1
        payload = binance.depth_update(c.symbol, self.depth_ms, before + 1, self.update_id, before, [*bids, list(now_bid)], [*asks, list(now_ask)])
        out += [Frame(topic, payload) for topic in (self.names["depth@100ms"], self.names["depth"]) if topic in self.wanted]
        self.depth_sent, self.depth_ms = (self.bid, self.ask, self.update_id), 0

    def _send_forced(self, out: list[Frame]) -> None:
        """The second is over."""
        c, at = self.contract, self.forced_ms
        if self.largest is not None:
            _, ms, side, lots, limit, fill = self.largest
            payload = binance.force_order(
                c.symbol, c.symbol, 1, at, side, binance.qty_text(c, lots), binance.price_text(c, max(limit, 1)), binance.price_text(c, fill), ms
            )
            out += [Frame(topic, payload) for topic in (self.names["forceOrder"], ALL_FORCED) if topic in self.wanted]
        if self.coin_m is not None and ALL_FORCED in self.wanted:
            value, ms, side, _, limit, fill = self.coin_m
            usd = value / c.lot_power / c.tick_power
            contracts = str(max(1, round(0.5 * usd / binance.COIN_M_USD.get(c.base, 10))))
            payload = binance.force_order(
                f"{c.base}USD_PERP", f"{c.base}USD", 2, at, side, contracts, binance.price_text(c, max(limit, 1)), binance.price_text(c, fill), ms
            )
            out.append(Frame(ALL_FORCED, payload))
        self.largest = self.coin_m = None
        self.forced_ms = 0


class BinanceBoard(Board[BinanceLane]):
    """Beside each contract's streams, one of the marks of all: of those that were known as the second began."""

    def __init__(self, lanes: Sequence[BinanceLane], wanted: set[str]) -> None:
        super().__init__(lanes, wanted)
        self._second = 0

    def take(self, rows: Sequence[Row]) -> None:
        second = rows[0][0] // NS
        if second > self._second:
            known = [lane.mark_frame() for lane in self.lanes if lane.mark]
            for topic in ALL_MARKS:
                if known and topic in self.wanted and (topic.endswith("@1s") or second % (MARK_SLOW_MS // 1_000) == 0):
                    self._out.append(Frame(topic, b"[" + b",".join(known) + b"]"))
            self._second = second
        super().take(rows)


def binance_board(contracts: Sequence[Contract], wanted: set[str]) -> BinanceBoard:
    """The venue's feed of these contracts."""
    return BinanceBoard([BinanceLane(n, contract, wanted) for n, contract in enumerate(contracts)], wanted)
