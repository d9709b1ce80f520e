from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from picows import WSTransport
from typing_extensions import Buffer, disjoint_base

from liqcore.codec.encode import OrderEncoder
from liqcore.engine import Engine
from liqcore.event import Reason
from liqcore.guard import Guard
from liqshell.state.image import Image

class Fate(IntEnum):
    SENT = 1
    REFUSED = 2
    LATER = 3

class Why(IntEnum):
    NOTHING = 0
    BUDGET = 1
    DOWN = 2
    NO_FORM = 3
    DOUBT = 4

class Sent(NamedTuple):
    ts: int
    fate: Fate
    why: Why
    reason: Reason
    id: int
    action: int
    type: int
    side: int
    flags: int
    instrument: int
    price: int
    qty: int
    stop: int
    cause: int
    decided: int
    end: int

@disjoint_base
class Wire:
    def send(self, frame: Buffer) -> bool: ...

@disjoint_base
class PicowsWire(Wire):
    transport: WSTransport | None

@disjoint_base
class Dispatch:
    @property
    def engine(self) -> Engine: ...
    @property
    def guard(self) -> Guard | None: ...
    @property
    def encoder(self) -> OrderEncoder: ...
    @property
    def image(self) -> Image | None: ...
    @property
    def wire(self) -> Wire: ...
    @property
    def sent(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def later(self) -> int: ...
    offset_ms: int
    on_waiting: Callable[[], object] | None
    def __init__(
        self, engine: Engine, guard: Guard | None, encoder: OrderEncoder, image: Image | None, wire: Wire, wall_ms: Callable[[], int] | None = None
    ) -> None: ...
    def pump(self, now: int) -> int: ...
    def again(self, sent: Sent, now: int) -> Sent: ...
    @property
    def waiting(self) -> int: ...
    def take(self) -> list[Sent]: ...
