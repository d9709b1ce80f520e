"""What the faults of a script do to the wires, to the venue and to the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .account_acts import SECOND_ACTS, chosen, close_foreign
from .clock import NS
from .script import ALL, Fault

if TYPE_CHECKING:
    from .world import World

FACTOR, LOSS, REST_LOSS = 20.0, 0.2, 0.6
OPENED_USD = 50.0
SEEN_NS = 40 * NS  # a foreign position is to be found within a period of reconciliation
BANNED_NS = 660 * NS
RIGHT_NS = 400 * NS  # a clock that was set back goes on at nine tenths of its pace


def act(world: World, fault: Fault, until: int) -> bool:
    """Begin a fault that ends at `until`; False: there was nothing that it could be done to."""
    if fault.kind in SECOND_ACTS:
        return SECOND_ACTS[fault.kind](world, fault.options, until) is not False
    layer = ALL[fault.kind].layer
    if layer == "wires":
        _WIRES[fault.kind](world, fault.options, until)
    elif layer == "venue":
        options = dict(fault.options)
        if fault.kind in ("adl", "liquidate", "cancel_stops", "drop_stop", "reject_stop"):
            for contract in world.venue.contracts:
                world.truth.strip(contract.symbol, until + NS)
        if options.get("code") == 403 and world.quiet - until < BANNED_NS:
            options["code"] = 503  # a ban of the address lasts ten minutes: not at the end
        if fault.kind == "halt":
            options["symbol"] = chosen(world, options)
        kind = fault.kind
        if kind == "rights":
            kind = "http_error" if options["code"] == 401 else "error"
            options["channel"] = "rest" if options["code"] == 401 else options["channel"]
        world.venue.fault(kind, (until - world.clock.now) / NS, options)
    else:
        return _PEOPLE[fault.kind](world, fault.options, until) is not False
    return True


def _reset(world: World, options: dict[str, Any], until: int) -> None:
    for link in world.network.of(options["channel"]):
        link.die()


def _refuse(world: World, options: dict[str, Any], until: int) -> None:
    names = ("private", "orders", "rest", "public") if options["channel"] == "all" else (options["channel"],)
    for name in names:
        world.network.refuse_until[name] = max(world.network.refuse_until.get(name, 0), until)
        for link in world.network.of(name):
            link.die()


def _half_open(world: World, options: dict[str, Any], until: int) -> None:
    links = world.network.of(options["channel"])
    for link in links:
        link.hole_down, link.hole_up = True, options["up"]

    def end() -> None:  # what was lost stays lost: a connection with a hole in it is reset in the end
        for link in links:
            link.die()

    world.clock.at(until, end)


def _stall(world: World, options: dict[str, Any], until: int) -> None:
    for link in world.network.of(options["channel"]):
        link.stall_until = max(link.stall_until, until)


def _slow_wires(world: World, options: dict[str, Any], until: int) -> None:
    world.weather.factor = FACTOR
    world.clock.at(until, setattr, world.weather, "factor", 1.0)


def _lossy_wires(world: World, options: dict[str, Any], until: int) -> None:
    world.weather.loss = LOSS
    world.clock.at(until, setattr, world.weather, "loss", world.script.loss)


def _requests_lost(world: World, options: dict[str, Any], until: int) -> None:
    world.network.rest_lost_up = REST_LOSS
    world.clock.at(until, setattr, world.network, "rest_lost_up", 0.0)


def _answers_lost(world: World, options: dict[str, Any], until: int) -> None:
    world.network.rest_lost_down = REST_LOSS
    world.clock.at(until, setattr, world.network, "rest_lost_down", 0.0)


def _maintenance(world: World, options: dict[str, Any], until: int) -> None:
    world.venue.fault("maintenance", (until - world.clock.now) / NS, {})


def _manual_reduce(world: World, options: dict[str, Any], until: int) -> None:
    """A person closes some of what is held."""
    for (symbol, _), position in sorted(world.venue.books()["positions"].items()):
        if position["qty"]:
            world.trace.say(world.clock.now, "person", "reduces", symbol, position["qty"])
            world.truth.strip(symbol, until + NS)
            world.venue.reduce_manually(symbol, options["share"])
            return


def _manual_open(world: World, options: dict[str, Any], until: int) -> bool | None:
    """A person opens a position of his own where nothing is held; he closes it later. It is none of our business but for seeing it."""
    symbol = chosen(world, options)
    books = world.venue.books()
    if any(p["qty"] for (s, _), p in books["positions"].items() if s == symbol) or any(o["symbol"] == symbol for o in books["orders"]):
        return False
    opened_ns = world.clock.now
    world.trace.say(opened_ns, "person", "opens", symbol)
    contract = next(c for c in world.venue.contracts if c.symbol == symbol)
    world.truth.foreign.add(symbol)
    world.opened_ns[symbol] = opened_ns
    world.money_unknown = True
    qty = f"{int(OPENED_USD / contract.price * contract.lot_power) / contract.lot_power:.10g}"
    if not world.venue.trade_manually(symbol, "Buy" if options["share"] == 1.0 else "Sell", qty):
        world.truth.foreign.discard(symbol)
        return False

    def close() -> None:
        since = world.able_since()
        if world.opened_ns[symbol] != opened_ns:
            return  # another one has taken its place
        still = any(p["qty"] for (s, _), p in world.venue.books()["positions"].items() if s == symbol)  # ours may have taken it up
        if still and since is not None and world.clock.now - max(since, opened_ns) > SEEN_NS and symbol in world.truth.foreign:
            process = world.process
            world.truth.ask("foreign")
            if process is not None and not process.read_only_since(symbol, opened_ns):
                world.truth.fail("foreign", f"{symbol}: a position of somebody else's, and entries on it are possible")
        close_foreign(world, symbol, opened_ns)

    world.clock.at(until, close)
    return None


def _clock_step(world: World, options: dict[str, Any], until: int) -> None:
    world.offset_ns = int(options["offset_s"] * NS)
    world.clock_right_ns = max(world.clock_right_ns, until + RIGHT_NS)
    world.clock.at(until, setattr, world, "offset_ns", 0)


def _freeze(world: World, options: dict[str, Any], until: int) -> None:
    """The machine lets the process stand still: a paused guest, a swap, a collector of garbage."""
    if world.process is not None:
        world.process.frozen_until = max(until, world.process.frozen_until)


def _bad_market(world: World, options: dict[str, Any], until: int) -> None:
    world.bad_market_until = max(until, world.bad_market_until)


def _kill_word(world: World, options: dict[str, Any], until: int) -> None:
    world.killed_until = max(until, world.killed_until)
    world.set_kill(True)

    def lift() -> None:
        if world.clock.now >= world.killed_until:
            world.set_kill(False)

    world.clock.at(until, lift)


_WIRES = {
    "reset": _reset,
    "refuse": _refuse,
    "half_open": _half_open,
    "stall": _stall,
    "slow_wires": _slow_wires,
    "lossy_wires": _lossy_wires,
    "rest_requests_lost": _requests_lost,
    "rest_answers_lost": _answers_lost,
    "maintenance": _maintenance,
    "bad_market": _bad_market,
}
_PEOPLE = {
    "manual_reduce": _manual_reduce,
    "manual_open": _manual_open,
    "foreign": _manual_open,
    "clock_step": _clock_step,
    "kill_word": _kill_word,
    "freeze": _freeze,
}
