"""Limits and dead-man switches in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from liqshell.config.load import Config
from liqshell.config.sections import LimitsConfig
from liqshell.fields import SCALE

GAP = 0.05  # a jump past every stop that is worth being shown: what a flash crash has done


@dataclass(frozen=True, slots=True)
class Exposure:
    """Largest losses of a configuration, quote currency. trade: one trade stopped where it should be, fees included. open: everything that may
    be open at once. day: the daily limit used up, and then everything open stopped. gap: the same with prices GAP beyond the stops. sizes: notional
    of one trade of each symbol."""

    equity: float
    trade: float
    open: float
    day: float
    gap: float
    sizes: Mapping[str, float]


def exposure(config: Config, equity: float, maker: float, taker: float) -> Exposure:
    """At an equity and at fee rates (shares of the notional)."""
    limits = config.limits
    each, risks = {}, {}
    named = config.feed.named or (() if config.feed.whole else config.data.symbols)
    for symbol in named or ("every contract", *config.policy.symbols):
        values = config.policy_for(symbol)
        size = values.equity_share * equity if values.equity_share else values.notional
        each[symbol] = min(size, limits.order_notional_max)
        entry = maker if values.entry == "post_only" else taker
        risks[symbol] = values.stop_loss / SCALE + entry + taker
    # one position a symbol; the largest of them together, within what the limits leave
    alike = 1 if named else limits.positions_max
    sizes = sorted([(each[s], risks[s]) for s in each] * alike, reverse=True)[: limits.positions_max]
    room = min(limits.exposure_max, limits.leverage_max * equity)
    held = stopped = 0.0
    for size, risk in sizes:
        size = min(size, room - held)
        held, stopped = held + size, stopped + size * risk
    trade = max((each[s] * risks[s] for s in each), default=0.0)
    day = equity * limits.daily_loss_max / SCALE + stopped
    return Exposure(equity, trade, held, day, day + held * GAP, each)


def describe_limits(config: Config, equity: float, maker: float, taker: float) -> list[str]:
    """One sentence a limit, and what it comes to."""
    limits, worst = config.limits, exposure(config, equity, maker, taker)
    return [
        f"At most {limits.positions_max} positions at once, one a contract; each trade is "
        + ", ".join(f"{money(size)} in {symbol}" for symbol, size in worst.sizes.items())
        + ".",
        f"No order above {money(limits.order_notional_max)}; positions and open orders together never above {money(limits.exposure_max)} nor "
        f"{limits.leverage_max:g} times the equity ({money(limits.leverage_max * equity)} now).",
        f"At most {limits.orders_per_minute_max} orders a minute and {limits.orders_per_signal_max} a signal; above that, trading halts until a "
        "person resumes it.",
        f"A loss of {limits.daily_loss_max / SCALE:.2%} of the equity in a day ({money(equity * limits.daily_loss_max / SCALE)}) stops entries until "
        f"00:00 UTC, {limits.weekly_loss_max / SCALE:.2%} in a week ({money(equity * limits.weekly_loss_max / SCALE)}) until a person resumes them.",
        f"No entry on data older than {limits.data_age_max_s:g} s, nor on a best bid and ask that is older than {config.engine.quote_age_s:g} s, cut "
        f"off or contradicted by a trade, nor at a price more than {limits.collar / SCALE:.2%} from the last.",
        f"A trade that ends at its stop loses up to {money(worst.trade)} with fees. At most {money(worst.open)} can be open at once.",
        f"Worst planned day: the daily limit is reached and then every open trade ends at its stop: {money(worst.day)} ({_share(worst.day, equity)} "
        "of the equity).",
        f"Stops are market orders: if prices jump {GAP:.0%} past all of them, the loss is {money(worst.gap)} ({_share(worst.gap, equity)}).",
    ]


def contradictions(limits: LimitsConfig) -> list[str]:
    """Limits above what the published system allows: leverage never above 10, a day's loss of 1 %, a week's of 2 %, 3 orders a signal."""
    out = []
    for name, bound, shown in (
        ("leverage_max", 10.0, "10"),
        ("daily_loss_max", 0.01 * SCALE, "0.01"),
        ("weekly_loss_max", 0.02 * SCALE, "0.02"),
        ("orders_per_signal_max", 3, "3"),
        ("positions_max", 4, "4"),
    ):
        if getattr(limits, name) > bound:
            found = getattr(limits, name)
            out.append(f"{name} = {found / SCALE if name.endswith('loss_max') else found:g} is above {shown}")
    return out


def dead_man(switches: Mapping[str, float] | None) -> str:
    """What happens to our orders if this machine fails."""
    own = (
        "If this machine or its connection fails, the venue does nothing: stops rest there and protect positions. A resting entry stays until "
        "liqcore is back, with its stop attached; the venue does not apply its time to live or the time limit of a position"
    )
    if switches is None:
        return own + ". The venue did not answer whether this account has a dead-man switch."
    if "DERIVATIVES" not in switches:
        have = f" (it has one for {', '.join(sorted(switches))}, which does not apply to these contracts)" if switches else ""
        return own + f". This account has no dead-man switch for derivatives{have}: the venue gives one to institutional clients only."
    return (
        f"This account has a dead-man switch: {switches['DERIVATIVES']:g} s after the last connection that subscribed to dcp.future is gone, "
        "the venue cancels the open orders of the product. The documentation does not say whether it also cancels the stops of positions, "
        f"which would leave them naked. So liqcore does not subscribe to it, and it never fires for liqcore's connections. {own}."
    )


def money(value: float) -> str:
    """Quote currency, no cents from 1000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else "all"
