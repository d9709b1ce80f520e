"""NautilusTrader 1.221: a live node that connects, reconciles, buys and sells at market by the order-entry websocket. Run by the interpreter that has it."""

import json
import sys
from decimal import Decimal

from nautilus_trader.adapters.bybit import factories
from nautilus_trader.adapters.bybit.common.enums import BybitProductType
from nautilus_trader.adapters.bybit.config import BybitDataClientConfig, BybitExecClientConfig
from nautilus_trader.adapters.bybit.factories import BybitLiveDataClientFactory, BybitLiveExecClientFactory
from nautilus_trader.config import InstrumentProviderConfig, LiveExecEngineConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId, TraderId
from nautilus_trader.trading.strategy import Strategy

line = json.loads(sys.argv[1])
rest, ws = line["rest"], line["ws"]
# this version has no setting for the public address
factories.get_ws_base_url_public = lambda product_type, is_demo, is_testnet: f"{ws}/v5/public/linear"
found = {"trades": 0, "filled": [], "reconciled": False}


class RoundTrip(Strategy):
    """In and out."""

    def on_start(self) -> None:
        found["reconciled"] = True  # the node starts strategies only when reconciliation is done
        self.bitcoin = InstrumentId.from_str("BTCUSDT-LINEAR.BYBIT")
        self.subscribe_trade_ticks(self.bitcoin)

    def on_trade_tick(self, tick) -> None:
        found["trades"] += 1
        if found["trades"] == 1:
            self.send(OrderSide.BUY)

    def send(self, side: OrderSide) -> None:
        instrument = self.cache.instrument(self.bitcoin)
        self.submit_order(self.order_factory.market(self.bitcoin, side, instrument.make_qty(Decimal("0.010")), reduce_only=side == OrderSide.SELL))

    def on_order_filled(self, event) -> None:
        found["filled"].append([event.order_side.name if hasattr(event.order_side, "name") else str(event.order_side), float(event.last_qty)])
        if len(found["filled"]) == 1:
            self.send(OrderSide.SELL)
        else:
            self.clock.set_timer("stop", __import__("pandas").Timedelta(seconds=1), callback=lambda _: node.stop())


keys = {"api_key": line["api_key"], "api_secret": line["api_secret"], "base_url_http": rest, "product_types": [BybitProductType.LINEAR]}
provider = InstrumentProviderConfig(load_all=True)
node = TradingNode(
    TradingNodeConfig(
        trader_id=TraderId("TESTER-001"),
        logging=LoggingConfig(log_level="WARNING"),
        exec_engine=LiveExecEngineConfig(reconciliation=True, reconciliation_lookback_mins=1440),
        data_clients={"BYBIT": BybitDataClientConfig(**keys, instrument_provider=provider)},
        exec_clients={
            "BYBIT": BybitExecClientConfig(
                **keys,
                base_url_ws_private=ws + "/v5/private",
                base_url_ws_trade=ws + "/v5/trade",
                use_ws_trade_api=True,
                instrument_provider=provider,
            )
        },
        timeout_connection=30.0,
        timeout_reconciliation=15.0,
        timeout_portfolio=15.0,
        timeout_disconnection=3.0,
        timeout_post_stop=1.0,
    )
)
node.add_data_client_factory("BYBIT", BybitLiveDataClientFactory)
node.add_exec_client_factory("BYBIT", BybitLiveExecClientFactory)
node.trader.add_strategy(RoundTrip())
node.build()
try:
    node.run()
finally:
    node.dispose()
print("\n" + json.dumps(found), flush=True)
