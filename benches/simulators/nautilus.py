"""NautilusTrader: the rule as a Strategy that is called for liquidations and order events only (ticks go to the matching engine), target and stop as
orders at the venue, logging off.

Its stop-market order fills at its own trigger price, also when the market has jumped over it, so losses are smaller than everybody else's; the number
of trades can differ by the few that this decides.
"""

from decimal import Decimal
from pathlib import Path

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.core.data import Data
from nautilus_trader.model.currencies import ETH, USDT
from nautilus_trader.model.data import CustomData, DataType, QuoteTick, TradeTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, OrderStatus, TriggerType
from nautilus_trader.model.identifiers import ClientId, InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from benches import market
from benches.simulators.plain import Cascades
from benches.simulators.rule import entry_price, stop_price, target_price
from benches.simulators.task import Outcome, Run

PACKAGE = "nautilus_trader"
NOTE = "stops fill at their trigger"
ID = InstrumentId(Symbol("TASKUSDT"), Venue("TASK"))
DIGITS = 1


class Forced(Data):
    def __init__(self, ts: int, side: int, notional: float):
        self.ts, self.side, self.notional = ts, side, notional

    ts_event = property(lambda self: self.ts)
    ts_init = property(lambda self: self.ts)


KIND = DataType(Forced)


def perpetual() -> CryptoPerpetual:
    return CryptoPerpetual(
        ID,
        ID.symbol,
        ETH,
        USDT,
        USDT,
        False,
        DIGITS,
        0,
        Price(market.TICK, DIGITS),
        Quantity(1, 0),
        0,
        0,
        maker_fee=Decimal(str(market.MAKER)),
        taker_fee=Decimal(str(market.TAKER)),
        margin_init=Decimal("0.01"),
        margin_maint=Decimal("0.005"),
    )


def export(day: market.Day, folder: Path) -> None:
    np.savez(folder / "nautilus.npz", **{f"{k}.{c}": v for k in ("trades", "quotes", "forced") for c, v in getattr(day, k).items()})


def ticks(folder: Path) -> tuple[list, list, list]:
    with np.load(folder / "nautilus.npz") as z:
        d = {name: z[name] for name in z.files}
    t, q, f = ({k.split(".")[1]: v for k, v in d.items() if k.startswith(part)} for part in ("trades", "quotes", "forced"))

    def price(ticks):
        return np.round(ticks * market.TICK, DIGITS)

    def stamp(ts):
        return ts.astype(np.uint64)

    trades = TradeTick.from_raw_arrays_to_list(
        ID,
        DIGITS,
        0,
        price(t["price"]),
        t["lots"].astype(float),
        np.where(t["side"] > 0, 1, 2).astype(np.uint8),
        [str(n) for n in range(len(t["ts"]))],
        stamp(t["ts"]),
        stamp(t["ts"]),
    )
    quotes = QuoteTick.from_raw_arrays_to_list(
        ID, DIGITS, 0, price(q["bid"]), price(q["ask"]), q["bid_lots"].astype(float), q["ask_lots"].astype(float), stamp(q["ts"]), stamp(q["ts"])
    )
    forced = [CustomData(KIND, Forced(*row)) for row in zip(f["ts"].tolist(), f["side"].tolist(), f["notional"].tolist(), strict=True)]
    return trades, quotes, forced


def prepare(folder: Path, latency_s: float) -> Run:
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False))
    latency = LatencyModel(base_latency_nanos=round(latency_s * 1e9)) if latency_s else None
    engine.add_venue(
        ID.venue,
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(1_000_000, USDT)],
        base_currency=USDT,
        default_leverage=Decimal(10),
        latency_model=latency,
        trade_execution=True,
    )
    engine.add_instrument(perpetual())
    trades, quotes, forced = ticks(folder)
    engine.add_data(trades, sort=False)
    engine.add_data(quotes, sort=False)
    engine.add_data(forced, client_id=ClientId("FORCED"), sort=True)
    del trades, quotes, forced

    def run(setting: market.Setting, detector: market.Detector | None = None) -> Outcome:
        engine.reset()
        engine.clear_strategies()
        strategy = Fade(setting, detector or market.Detector())
        engine.add_strategy(strategy)
        return timed(engine, strategy)

    return run


def timed(engine: BacktestEngine, strategy: "Fade") -> Outcome:
    engine.run()
    return Outcome(strategy.trades, float(engine.cache.account_for_venue(ID.venue).balance_total(USDT)) - 1_000_000)


class Fade(Strategy):
    def __init__(self, setting: market.Setting, detector: market.Detector):
        super().__init__(StrategyConfig(strategy_id="FADE-1"))
        self.s, self.cascades = setting, Cascades(detector)
        self.entry = self.target = self.loss = None
        self.side, self.reference, self.free, self.trades = 0, 0, 0, 0

    def on_start(self) -> None:
        self.instrument = self.cache.instrument(ID)
        self.subscribe_data(KIND, client_id=ClientId("FORCED"))

    def on_data(self, data) -> None:
        now = self.clock.timestamp_ns()
        side = self.cascades.push(data.ts, data.side, data.notional)
        if not side or self.entry is not None or now < self.free:
            return
        last = self.cache.trade_tick(ID)
        if last is None:
            return
        self.side, self.reference = side, round(float(last.price) / market.TICK)
        self.entry = self.limit(side, entry_price(side, self.reference, self.s.offset), False)
        self.submit_order(self.entry)
        self.clock.set_time_alert_ns("ttl", now + self.s.ttl_s * market.SECOND, self.on_ttl)

    def price(self, ticks: int) -> Price:
        return Price(ticks * market.TICK, DIGITS)

    def limit(self, side: int, ticks: int, reduce: bool):
        return self.order_factory.limit(
            ID, OrderSide.BUY if side > 0 else OrderSide.SELL, Quantity(1, 0), self.price(ticks), post_only=True, reduce_only=reduce
        )

    def on_ttl(self, event) -> None:
        if self.entry is not None and self.target is None and self.entry.is_open:
            self.cancel_order(self.entry)

    def on_order_filled(self, event) -> None:
        if self.entry is not None and event.client_order_id == self.entry.client_order_id:
            entry = round(float(event.last_px) / market.TICK)
            self.target = self.limit(-self.side, target_price(self.side, entry, self.s.take_profit, self.reference), True)
            self.loss = self.order_factory.stop_market(
                ID,
                OrderSide.SELL if self.side > 0 else OrderSide.BUY,
                Quantity(1, 0),
                self.price(stop_price(self.side, entry, self.s.stop_loss)),
                trigger_type=TriggerType.LAST_PRICE,
                reduce_only=True,
            )
            if "ttl" in self.clock.timer_names:
                self.clock.cancel_timer("ttl")
            self.submit_order(self.target)
            self.submit_order(self.loss)
            self.clock.set_time_alert_ns("hold", self.clock.timestamp_ns() + self.s.hold_s * market.SECOND, self.on_hold)
        else:
            self.trades += 1
            self.flat(self.clock.timestamp_ns() + self.s.cooldown_s * market.SECOND)

    def on_hold(self, event) -> None:
        if self.target is not None:
            self.submit_order(self.order_factory.market(ID, OrderSide.SELL if self.side > 0 else OrderSide.BUY, Quantity(1, 0), reduce_only=True))

    def flat(self, free: int) -> None:
        for order in (self.target, self.loss):
            if order is not None and order.status in (OrderStatus.ACCEPTED, OrderStatus.SUBMITTED):
                self.cancel_order(order)
        for name in self.clock.timer_names:
            self.clock.cancel_timer(name)
        self.entry = self.target = self.loss = None
        self.free = free

    def on_order_canceled(self, event) -> None:
        if self.entry is not None and event.client_order_id == self.entry.client_order_id:
            self.flat(0)

    def on_order_rejected(self, event) -> None:
        if self.entry is not None and event.client_order_id == self.entry.client_order_id:
            self.flat(0)
