"""liqcore as a NautilusTrader actor: liquidations come in as Nautilus custom data, signals go out on its message bus.

`LiquidationEvent` is the data that your own adapter publishes (Nautilus has no common type for it); side is the side of the position. The actor runs
the same in a Nautilus backtest and live, because liqcore takes its time from the data.
"""

from nautilus_trader.common.actor import Actor
from nautilus_trader.config import ActorConfig
from nautilus_trader.core.data import Data
from nautilus_trader.model.data import DataType

import liqcore as lc


class LiquidationEvent(Data):
    """One forced close. side: lc.LONG or lc.SHORT, of the position; price and qty as floats; times in ns UTC."""

    def __init__(self, symbol, side, price, qty, ts_event, ts_init):
        super().__init__()
        self.symbol, self.side, self.price, self.qty = symbol, side, price, qty
        self._ts_event, self._ts_init = ts_event, ts_init

    @property
    def ts_event(self):
        return self._ts_event

    @property
    def ts_init(self):
        return self._ts_init


class CascadeActorConfig(ActorConfig, frozen=True):
    symbols: tuple[str, ...]
    quantile: float = 0.95
    window_s: float = 60.0
    warmup: int = 100


class CascadeActor(Actor):
    """Subscribes to LiquidationEvent and publishes liqcore.Signal objects on the topic `liqcore.signal`."""

    def __init__(self, config):
        super().__init__(config)
        self.engine = lc.Engine(list(config.symbols), lc.CascadeConfig(quantile=config.quantile, window_s=config.window_s, warmup=config.warmup))
        self.signals = []

    def on_start(self):
        self.subscribe_data(DataType(LiquidationEvent))

    def on_data(self, data):
        if isinstance(data, LiquidationEvent):
            for signal in self.engine.on_liquidation(data.ts_event, data.ts_init, data.symbol, data.side, data.price, data.qty):
                self.signals.append(signal)
                self.msgbus.publish("liqcore.signal", signal)
