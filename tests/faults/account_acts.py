"""What the second campaign's faults do to the account, to the contracts and to the machine: people, corporate actions, a restart of the venue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from liqshell.emulator.exchange.accounts import Holding
from liqshell.emulator.market.bybit_frames import instrument_info

from .clock import MS, NS
from .kinds import Options

if TYPE_CHECKING:
    from .world import World

ADDED_USD = 100.0
LISTED_NS = 420 * NS  # the list of contracts is read every ten minutes: what happens to it ends so long before the quiet end of a run
AGAIN_NS = 2 * NS  # between two tries of what must wait for its chance
COARSER = 10  # times, of a tick that changes
BUDGET_LOOK_NS = 150 * MS
BUDGET_LEFT = 4  # of the last hop's requests a second: those are kept back for exits
SPLIT_TYPES = ("ForwardSplitSettle", "ReverseSplitSettle")


def chosen(world: World, options: Options) -> str:
    """The symbol that a fault is about."""
    found = world.venue.contracts
    return found[int(options.get("size", 0.0) * len(found)) % len(found)].symbol


def held(world: World, options: Options) -> tuple[str, Holding] | None:
    """A position of our own: the chosen symbol's, or any."""
    exchange, account = world.venue.exchange, world.venue.key.account
    found = {h.contract.symbol: h for h in account.holdings.values() if h.size and h.idx == 0 and h.contract.symbol not in world.truth.foreign}
    symbol = chosen(world, options)
    symbol = symbol if symbol in found else min(found, default="")
    return (symbol, exchange.positions.holding(account, exchange.index[symbol], 0)) if symbol else None


def queries(world: World, options: Options, until: int) -> None:
    """Questions by REST fail; orders and settings do not."""
    wish = {name: value for name, value in options.items() if name != "how"}
    world.venue.fault(options["how"], (until - world.clock.now) / NS, {**wish, "channel": "rest", "operation": "query"})


def names_lost(world: World, options: Options, until: int) -> None:
    """No name can be resolved: connections that stand go on, new ones and REST do not."""
    for name in ("private", "orders", "rest", "public"):
        world.network.unnamed_until[name] = max(until, world.network.unnamed_until.get(name, 0))


def orders_down(world: World, options: Options, until: int) -> None:
    """The order line is reset, and cannot be had again for a while."""
    world.network.refuse_until["orders"] = max(until, world.network.refuse_until.get("orders", 0))
    for link in world.network.of("orders"):
        link.die()


def budget(world: World, options: Options, until: int) -> None:
    """Others who share the account's rate limit leave nothing for entries."""

    def spend() -> None:
        process = world.process
        if world.clock.now < until and process is not None and process.alive:
            now = process.now()
            for _ in range(max(0, process.guard.room(now) - BUDGET_LEFT)):
                process.guard.spend(now)
                world.counts["felt budget"] += 1
            world.clock.after(BUDGET_LOOK_NS, spend)

    spend()


def manual_add(world: World, options: Options, until: int) -> bool:
    """A person makes a position of ours larger, and later closes all of it."""
    found = held(world, options)
    if found is None:
        return False
    symbol, h = found
    lots = max(1, int(ADDED_USD / h.contract.price * h.contract.lot_power))
    world.trace.say(world.clock.now, "person", "adds to", symbol)
    world.truth.foreign.add(symbol)
    world.opened_ns[symbol] = opened_ns = world.clock.now
    world.money_unknown = True
    if world.venue.trade_manually(symbol, "Buy" if h.size > 0 else "Sell", f"{lots / h.contract.lot_power:.10g}"):
        world.clock.at(until, close_foreign, world, symbol, opened_ns)
        return True
    world.truth.foreign.discard(symbol)
    return False


def close_foreign(world: World, symbol: str, opened_ns: int) -> None:
    """The person closes what he holds, and what is there besides, as soon as the venue lets him; unless somebody has opened another since."""
    if world.opened_ns[symbol] != opened_ns:
        return
    world.trace.say(world.clock.now, "person", "closes", symbol)
    if world.venue.close_manually(symbol):
        world.clock.after(5 * NS, lambda: world.truth.foreign.discard(symbol) if world.opened_ns[symbol] == opened_ns else None)
    else:
        world.clock.after(5 * NS, close_foreign, world, symbol, opened_ns)


def disk_full(world: World, options: Options, until: int) -> None:
    """Nothing can be written to the disk."""
    world.disk_full_ns = world.clock.now if world.disk_full_until <= world.clock.now else world.disk_full_ns
    world.disk_full_until = max(world.disk_full_until, until)
    for when in (world.clock.now, until):
        world.clock.at(when + world.r.randrange(50, 250) * MS, world.heed_disk)


def new_tick(world: World, options: Options, until: int) -> bool:
    """A contract's tick becomes coarser; orders at prices between are refused. Taken back in the end."""
    symbol = chosen(world, options)
    listed = next((row for row in world.venue.listing if row["symbol"] == symbol), None)
    if listed is None or symbol in world.venue.coarse or world.quiet - until < LISTED_NS:
        return False
    world.trace.say(world.clock.now, "venue", "coarser tick", symbol)
    contract = next(c for c in world.venue.contracts if c.symbol == symbol)
    world.venue.coarse[symbol] = COARSER
    tick = f"{COARSER * 10.0**-contract.tick_decimals:.{contract.price_decimals}f}"
    listed["priceFilter"] = {**listed["priceFilter"], "tickSize": tick}

    def back() -> None:
        world.venue.coarse.pop(symbol, None)
        for row in world.venue.listing:
            if row["symbol"] == symbol:
                row.update(instrument_info(contract))

    world.clock.at(until, back)
    return True


def delisted(world: World, options: Options, until: int) -> bool:
    """Trading of a contract ends: out of the list, orders cancelled, positions delivered at the mark. It is listed again in the end."""
    venue, now = world.venue, world.clock.now
    symbol = chosen(world, options)
    if not any(row["symbol"] == symbol for row in venue.listing) or world.quiet - until < LISTED_NS:
        return False
    world.trace.say(now, "venue", "delists", symbol)
    contract = next(c for c in venue.contracts if c.symbol == symbol)
    venue.listing[:] = [row for row in venue.listing if row["symbol"] != symbol]
    venue.fault("halt", (until - now) / NS, {"symbol": symbol})
    exchange, account = venue.exchange, venue.key.account
    exchange.changes.withdraw([o for o in account.open.values() if o.n == exchange.index[symbol] and o.kind in ("", "Stop")], now, "CancelByDelivery")
    venue.desk.publish(now)
    venue.serve()
    for (n, _), h in list(account.holdings.items()):
        if n == exchange.index[symbol] and h.size:
            settle(world, h, abs(h.size), "CreateByDelivery", "Delivery")
    world.clock.at(until, venue.listing.append, instrument_info(contract))
    return True


def settle(world: World, h: Holding, lots: int, creator: str, kind: str) -> None:
    """The venue closes some of a position at the mark by itself."""
    exchange, now = world.venue.exchange, world.clock.now
    order = exchange.liquidation.close(h, creator, lots, now)
    exchange.ledger.execute(order, order.cap, lots, False, now, kind)
    exchange.matching.after_fill(order, 0, now)
    world.venue.desk.publish(now)
    world.venue.serve()


def hedge(world: World, options: Options, until: int) -> None:
    """A person switches a contract to hedge mode as soon as nothing is open there, and back in the end."""
    symbol = chosen(world, options)

    def switch(mode: int, last: int) -> None:
        code, _, _ = world.venue.exchange.rest(
            "POST",
            "/v5/position/switch-mode",
            "",
            f'{{"category":"linear","symbol":"{symbol}","mode":{mode}}}'.encode(),
            world.venue.key.account,
            world.clock.now,
        )
        world.trace.say(world.clock.now, "person", "switches mode", symbol, mode, code)
        if not code and mode == 3:
            world.venue.hedged.add(symbol)
            world.seen("hedge mode")
        elif not code:
            world.venue.hedged.discard(symbol)
        if code and world.clock.now + AGAIN_NS < last:
            world.clock.after(AGAIN_NS, switch, mode, last)

    switch(3, until)
    world.clock.at(until, lambda: switch(0, world.end) if symbol in world.venue.hedged else None)


def restarted(world: World, options: Options, until: int) -> None:
    """The venue is down for maintenance, and when it comes back it knows nothing of orders that have ended; executions it does know."""
    world.venue.fault("maintenance", (until - world.clock.now) / NS, {})

    def forget() -> None:
        account = world.venue.key.account
        for order in account.ended:
            account.orders.pop(order.id, None)
            if order.link_id:
                account.links.pop(order.link_id, None)
        world.counts["orders forgotten"] += len(account.ended)
        account.ended.clear()
        account.ended_links.clear()

    world.clock.at(until - 1, forget)


def split(world: World, options: Options, until: int) -> bool:
    """The quantity of a position is halved or doubled, at the price that it had: a split of a market that this simulation does not split."""
    found = held(world, options)
    if found is None:
        return False
    symbol, h = found
    forward = options["share"] == 1.0
    change = abs(h.size) if forward else -(abs(h.size) // 2)
    if not change:
        return False
    world.trace.say(world.clock.now, "venue", "splits", symbol, change)
    world.money_unknown = True
    world.truth.resize(symbol)
    _corporate(world, h, SPLIT_TYPES[not forward], change * (1 if h.size > 0 else -1))
    return True


def dividend(world: World, options: Options, until: int) -> bool:
    """Money for a position that stays as it is; the execution says its quantity."""
    found = held(world, options)
    if found is None:
        return False
    world.trace.say(world.clock.now, "venue", "pays a dividend", found[0])
    world.money_unknown = True
    _corporate(world, found[1], "Dividend", 0)
    return True


def _corporate(world: World, h: Holding, kind: str, change: int) -> None:
    """A row of the execution stream that is no trade (here: shaped as one of funding, against the position); what is held changes by so many lots,
    and its stops with it."""
    exchange, now = world.venue.exchange, world.clock.now
    exchange.liquidation.charge_funding(h, now)
    row = exchange.stream.filled[-1][1]
    row["execType"], row["side"] = kind, "Sell" if h.size > 0 else "Buy"
    h.size += change
    exchange.matching.stops.follow(h, now)
    exchange.positions.watch_margin()
    exchange.stream.flush(now)
    world.venue.desk.publish(now)
    world.venue.serve()


def adl_winner(world: World, options: Options, until: int) -> None:
    """Auto-deleveraging takes a position of ours as soon as one wins."""
    found = held(world, options)
    if found is not None and found[1].unrealised(world.venue.exchange.positions.mark(found[1].n)) > 0.0:
        world.others()
        for contract in world.venue.contracts:
            world.truth.strip(contract.symbol, world.clock.now + NS)
        world.second.trouble(world.clock.now, "adl", world.clock.now)
        world.seen("our winner is deleveraged")
        world.venue.exchange.deleverage(world.venue.key.account, found[0], world.clock.now, share=options["share"])
        world.venue.desk.publish(world.clock.now)
        world.venue.serve()
    elif world.clock.now + AGAIN_NS < until:
        world.clock.after(AGAIN_NS, adl_winner, world, options, until)


def between(world: World, wish: Any) -> bool:
    """Whether a request names a price between two of its contract's ticks as they are now."""
    factor = world.venue.coarse.get(str(wish.get("symbol")), 0)
    if not factor:
        return False
    contract = next(c for c in world.venue.contracts if c.symbol == wish["symbol"])
    prices = [float(wish.get(name) or 0.0) for name in ("price", "stopLoss", "takeProfit", "triggerPrice")]
    return any(round(price * contract.tick_power) % factor for price in prices if price)


SECOND_ACTS: dict[str, Callable[[World, Options, int], bool | None]] = {
    "queries": queries,
    "names_lost": names_lost,
    "orders_down": orders_down,
    "budget": budget,
    "manual_add": manual_add,
    "disk_full": disk_full,
    "new_tick": new_tick,
    "delisted": delisted,
    "hedge": hedge,
    "restarted": restarted,
    "split": split,
    "dividend": dividend,
    "adl_winner": adl_winner,
}
