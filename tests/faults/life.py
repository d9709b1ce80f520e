"""How a process comes to life from what the last one left, as live does it, and what may have happened to that in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import liqcore as lc
from liqshell.gateway.gateway import Gateway
from liqshell.gateway.settings import Settings
from liqshell.run.dispatch import Dispatch
from liqshell.state.control import Control
from liqshell.state.image import IMAGE, Image
from liqshell.state.prefix import make_prefix
from liqshell.state.store import STORE, Store, connect, prepare, write_rows
from liqshell.venues.bybit.orders import order_encoder
from liqshell.venues.bybit.port import BybitPort
from liqshell.venues.effects import Channel

from .clock import MS

if TYPE_CHECKING:
    from .process import Process
    from .world import World

NAME = "sim"
WRITES_IMAGE = WATCHES_KILL_WORD = True  # mutants say False


class Ledger(Store):
    """The store without its thread: rows wait as they do live, and are written when the world says so. What waits is lost with the process."""

    def __init__(self, folder: Path, full: Callable[[], bool] = lambda: False):
        self.path = folder / STORE
        self.full = full  # whether nothing can be written to the disk
        self.room_min = 0
        self.dropped = self.written = self._offered = 0
        self.trouble = ""
        self.waiting: list[tuple[str, dict[str, Any]]] = []
        prepare(self.path)
        self._database = connect(self.path)
        self._database.execute("PRAGMA synchronous=OFF")  # a power cut is not simulated here

    def put(self, table: str, **row: Any) -> None:
        self.waiting.append((table, row))

    def write(self) -> None:
        self.trouble = "database or disk is full" if self.waiting and self.full() else ""
        if self.waiting and not self.trouble:
            write_rows(self._database, self.waiting)
            self.written += len(self.waiting)
            self.waiting.clear()

    def flush(self, timeout_s: float = 5.0) -> bool:
        self.write()
        return True

    def close(self, timeout_s: float = 5.0) -> bool:
        self._database.close()
        return True

    def entries_off(self) -> str:
        return "no space left on the disk" if self.full() else ""


def spoil(folder: Path, image: str, store: str, world: World) -> None:
    """Lose or tear files between two lives."""
    for name, fate in ((IMAGE, image), (STORE, store)):
        path = folder / name
        if fate == "kept" or not path.exists():
            continue
        world.trace.say(world.clock.now, "spoils", name, fate)
        if fate == "lost":
            for one in folder.glob(name + "*"):
                one.unlink()
            if name == IMAGE:
                world.truth.minute.clear()  # the entries of the last minute stood in it
        else:
            with open(path, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(world.r.randrange(max(1, size // 2)))
                file.write(bytes(world.r.randrange(256) for _ in range(256)))


def restore(image: Image, engine: lc.Engine) -> dict[str, Any]:
    """What the last life believed, into a new engine."""
    return image.restore(engine)


def assemble(world: World, process: Process) -> None:
    """As the live session does: image, then engine, then the last hop, then the gateway. DataError where what was left cannot be used."""
    engine, folder = process.engine, world.folder
    now = process.now()
    process.control = Control(folder)  # before the store, as live: where there is a store there was a switch
    process.store = Ledger(folder, world.disk_is_full)
    process.image = image = Image(folder / IMAGE, engine.instruments, make_prefix(NAME, now), now)
    found = restore(image, engine)
    if not found["fresh"]:
        process.wire_clock.read(max(now, found["now_ns"]), world.clock.now)
        engine.resume(process.now())
    encoder = order_encoder(image.run, engine.instruments)
    process.guard = guard = lc.Guard(engine.instruments, **world.bot.guard())
    if image.guard:
        guard.restore(image.guard)
    guard.follow(engine)
    if WATCHES_KILL_WORD:
        guard.watch(process.control.address, process.control)
    process.dispatch = Dispatch(engine, guard, encoder, image if WRITES_IMAGE else None, process.wire, lambda: process.now() // MS)
    port = BybitPort(world.keys, image.run, engine.instruments, dict.fromkeys(Channel, world.endpoint))
    settings = Settings(image.run, NAME, seed=world.script.seed * 1000 + process.number)
    process.gateway = Gateway(engine, process.dispatch, process.store, port, settings, process)
    world.trace.say(world.clock.now, "restored", image.run, str(found["open"]), str(found["torn"]))
