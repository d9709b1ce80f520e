"""The contracts of the synthetic market: trading rules in the venue's form, and the behaviour of their agents."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Contract:
    """One linear perpetual. Prices in quote currency, quantities in base units, `_bps` in 1e-4 of the price."""

    symbol: str
    price: float  # where the market starts
    tick_decimals: int  # tick = 10**-tick_decimals
    lot_decimals: int  # lot = 10**-lot_decimals
    price_decimals: int  # in the text of a price: the venue writes BTC with two, though the tick is 0.1
    lots_max: int  # largest order, lots
    leverage_max: int
    maintenance_bps: float  # maintenance margin rate of the lowest tier
    beta: float  # exposure to the shared market factor
    volatility_bps: float  # own noise, per square root of a second
    impact_bps: float  # price move of a forced order = impact_bps * sqrt(notional / 1000 USD)
    size_median: float  # forced orders, USD
    size_sigma: float  # of log size, in the body
    herds_per_hour: float  # groups of positions opened together
    herd_median: float  # positions in a group
    loners_per_hour: float  # positions opened alone
    trade_size_median: float  # calm trades, USD
    trades_per_s: float
    prints_index: float  # P(an order prints k times or more) = k ** -prints_index
    open_interest: float  # base units held by everybody else
    scale: float = 1.0  # how many times the size of the real market: see scaled()

    @property
    def base(self) -> str:
        """Base coin."""
        return self.symbol.removesuffix("USDT")

    @property
    def tick_power(self) -> float:
        """price = ticks / tick_power, correctly rounded."""
        return 10.0**self.tick_decimals

    @property
    def ticks_max(self) -> int:
        """The highest price of an order, ticks."""
        return round(self.price * self.tick_power * 20)

    @property
    def lot_power(self) -> float:
        """quantity = lots / lot_power, correctly rounded."""
        return 10.0**self.lot_decimals


CONTRACTS = (
    Contract("BTCUSDT", 68_000.0, 1, 3, 2, 1_190_000, 100, 45.0, 1.0, 0.33, 0.046, 820.0, 2.0, 118.0, 4.4, 200.0, 900.0, 2.0, 1.35, 52_000.0),
    Contract("ETHUSDT", 2_000.0, 2, 2, 2, 724_000, 100, 45.0, 1.2, 0.42, 0.06, 760.0, 2.1, 115.0, 4.4, 200.0, 700.0, 1.8, 1.35, 880_000.0),
    Contract("SOLUSDT", 89.0, 2, 1, 3, 796_000, 100, 70.0, 1.4, 0.55, 0.045, 500.0, 2.2, 88.0, 4.3, 280.0, 450.0, 1.2, 1.8, 7_400_000.0),
    Contract("XRPUSDT", 1.4, 4, 1, 4, 27_000_000, 75, 75.0, 1.3, 0.55, 0.045, 480.0, 2.2, 105.0, 3.6, 280.0, 400.0, 1.1, 1.8, 210_000_000.0),
    Contract("DOGEUSDT", 0.095, 5, 0, 5, 16_000_000, 75, 75.0, 1.3, 0.7, 0.022, 460.0, 2.2, 70.0, 2.1, 320.0, 350.0, 1.0, 1.8, 2_100_000_000.0),
)
SCALE_MAX = 1_000.0


def scaled(contract: Contract, scale: float) -> Contract:
    """The same market with `scale` times the money in it: positions, trades, quotes and open interest grow, the impact of a dollar shrinks with their
    square root, so that the same draws give the same price path (but for rounding to lots). At 1 nothing changes."""
    return replace(
        contract,
        size_median=contract.size_median * scale,
        trade_size_median=contract.trade_size_median * scale,
        open_interest=contract.open_interest * scale,
        impact_bps=contract.impact_bps / scale**0.5,
        scale=scale,
    )


BY_SYMBOL = {contract.symbol: contract for contract in CONTRACTS}


def contracts_of(symbols: tuple[str, ...]) -> tuple[Contract, ...]:
    """The contracts named, in that order; ValueError names the ones there are."""
    unknown = [symbol for symbol in symbols if symbol not in BY_SYMBOL]
    if unknown or not symbols or len(set(symbols)) != len(symbols):
        raise ValueError(f"the synthetic market has {', '.join(BY_SYMBOL)}, each at most once; asked for {', '.join(symbols) or 'none'}")
    return tuple(BY_SYMBOL[symbol] for symbol in symbols)
