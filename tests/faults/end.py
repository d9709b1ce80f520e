"""What must be so when nothing goes wrong any more, and what must be so whenever things have been quiet for long enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from liqcore.event import Gate, Role
from liqshell.venues.bybit.orders import parse_order_link_id

from .clock import NS

if TYPE_CHECKING:
    from .process import Process
    from .world import World

CALM_NS = 5 * NS  # what is on its way after so long without trouble is lost, not late
SETTLED_NS = 45 * NS  # longer than a reconciliation period and its second look
BANNED_NS = 660 * NS
MONEY = 1e-6  # rounding of fees, in quote currency for each fill


def believed(process: Process) -> dict[str, float]:
    """Symbol -> signed quantity that the engine's account believes in."""
    return {instrument.symbol: process.engine.account.position(n)["qty"] for n, instrument in enumerate(process.engine.instruments)}


def held(world: World) -> dict[str, float]:
    out: dict[str, float] = {contract.symbol: 0.0 for contract in world.venue.contracts}
    for (symbol, _), position in world.venue.books()["positions"].items():
        out[symbol] += position["qty"]
    return out


def differences(world: World, process: Process) -> list[str]:
    """Where engine and venue disagree about positions, in words."""
    ours, theirs = believed(process), held(world)
    # what a split has added was never asked for: the program has to say that it is not ours, and to enter nothing beside it
    surplus = {symbol for symbol in world.truth.resized if process.says_foreign(symbol)}
    return [
        f"{symbol}: the engine believes in {ours[symbol]:g}, the venue holds {theirs[symbol]:g}"
        for symbol in ours
        if abs(ours[symbol] - theirs[symbol]) > 1e-9 and symbol not in world.truth.foreign | surplus
    ]


def compare(world: World) -> None:
    """Whenever nothing has gone wrong and nothing has happened at the venue for a while, what is believed must be what is."""
    process = world.process
    if process is None or not process.alive or process.refused or world.person.busy:
        return
    now, since = world.clock.now, world.able_since()
    if since is not None and now - max(since, world.venue.changed_ns, world.trouble_ended_ns) > CALM_NS and not world.image_lost:
        world.truth.ask("no leaks")
        _leaks(world, process)
        # frames lost on a living line leave no trace: only the next reading of the account tells that an order has ended
        if now - world.frames_lost_ns > SETTLED_NS:
            world.truth.ask("no ghosts")
            _ghosts(world, process)
    if world.troubled or now - max(world.born_ns, world.venue.changed_ns, world.trouble_ended_ns) < SETTLED_NS:
        return
    world.truth.ask("reconciled")
    if not process.gateway.ready:  # it says so itself; for ten minutes it may (that long an address is banned)
        closed = min(gate["since"] for gate in process.gateway.status()["gates"])
        if process.now() - closed > BANNED_NS and now - max(world.born_ns, world.trouble_ended_ns) > BANNED_NS:
            world.truth.fail("comes back", f"gates stay closed although nothing is wrong: {process.gateway.status()}")
        return
    world.counts["compared"] += 1
    found = differences(world, process)
    if found:
        world.truth.fail("reconciled", "; ".join(found))
    world.image_lost = False


def at_rest(world: World) -> None:
    """The last moment of a run: four minutes after the last fault."""
    truth, process = world.truth, world.process
    truth.ask("comes back", "nothing unknown")
    if process is None or not process.alive:
        truth.fail("comes back", "no process lives at the end of the run")
        return
    if world.truth.naked:
        truth.fail("protected", f"without a stop at the end: {', '.join(world.truth.naked)}")
    if process.refused or world.person.busy:
        world.counts["read only at the end"] += 1
        return
    status = process.gateway.status()
    # where a clock half a minute ahead was set back, the run's own is still on its way, at nine tenths of the pace: then it may enter nothing yet
    ahead = process.now() > world.clock.now
    shut = {gate["gate"] for gate in status["gates"]} - ({Gate.GATE_CLOCK.name} if ahead else set())
    if shut or not (ahead or process.gateway.ready):
        truth.fail("comes back", f"gates are closed four minutes after the last fault: {status}")
    unknown = [order for order in process.engine.orders() if order["unknown"]]
    if unknown:
        truth.fail("nothing unknown", f"{unknown}")
    if world.clock.now - world.venue.changed_ns > CALM_NS:  # what changed a moment ago may still be on its way
        _leaks(world, process)
        _ghosts(world, process)
        found = differences(world, process)
        if found:
            truth.fail("reconciled", "; ".join(found))
        _money(world, process)


def _leaks(world: World, process: Process) -> None:
    """Orders at the venue that no bracket knows."""
    known = {order["id"] for order in process.engine.orders() if order["status"] != "ended"}
    leaked = []
    for order in world.venue.books()["orders"]:
        found = parse_order_link_id(order["link_id"])
        if found is not None and found[1] not in known:
            leaked.append(f"{order['symbol']} {order['link_id']} {order['status']}")
    if leaked:
        world.truth.fail("no leaks", f"live at the venue, and unknown to every bracket: {'; '.join(leaked)}")


def _ghosts(world: World, process: Process) -> None:
    """Orders that a bracket believes to rest, and that the venue has not."""
    there = {found[1] for order in world.venue.books()["orders"] if (found := parse_order_link_id(order["link_id"])) is not None}
    ghosts = [
        f"{order['symbol']} {order['id']:x}"
        for order in process.engine.orders()
        if order["status"] == "live" and not order["asked"] and not order["unknown"] and order["role"] != Role.ROLE_STOP and order["id"] not in there
    ]
    if ghosts:
        world.truth.fail("no ghosts", f"believed to rest, and unknown to the venue: {'; '.join(ghosts)}")


def _money(world: World, process: Process) -> None:
    """What the engine counted is what the venue booked, unless an image was lost or somebody else traded."""
    if world.money_unknown:
        return
    world.truth.ask("money")
    account = process.engine.account
    books: Any = world.venue.books()
    realised = books["equity"] - account.equity
    open_positions = any(p["qty"] for p in books["positions"].values())
    if not open_positions and abs(realised) > 0.01 + MONEY * world.truth.counts["fills"]:
        world.truth.fail("money", f"the venue says {books['equity']:.6f}, the engine {account.equity:.6f}")
