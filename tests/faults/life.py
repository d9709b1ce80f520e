"""How a process comes to life from what the last one left, as live does it, and what may have happened to that in between."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liqshell.state.store import Store, connect, prepare, write_rows

if TYPE_CHECKING:
    from .process import Process
    from .world import World

IMAGE, STORE = "image.bin", "store.sqlite"


class Ledger(Store):
    """The store without its thread: rows wait as they do live, and are written when the world says so. What waits is lost with the process."""

    def __init__(self, folder: Path):
        self.path = folder / STORE
        self.room_min = 0
        self.dropped = self.written = self._offered = 0
        self.trouble = ""
        self.waiting: list[tuple[str, dict[str, Any]]] = []
        prepare(self.path)
        self._database = connect(self.path)
        self._database.execute("PRAGMA synchronous=OFF")    # a power cut is not simulated here

    def put(self, table: str, **row: Any) -> None:
        self.waiting.append((table, row))

    def write(self) -> None:
        if self.waiting:
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
        return ""


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
        else:
            with open(path, "r+b") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(world.r.randrange(max(1, size // 2)))
                file.write(bytes(world.r.randrange(256) for _ in range(256)))


def assemble(world: World, process: Process) -> None:
    raise NotImplementedError
