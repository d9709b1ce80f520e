"""The interface of the server's parts to the whole: time, faults, the account side, and shared objects."""

from collections.abc import Callable, Mapping
from typing import Protocol

from liqshell.clock import Clock
from liqshell.emulator.api.account_api import AccountApi
from liqshell.emulator.api.faults import Faults
from liqshell.emulator.api.network_link import Link
from liqshell.emulator.market.agents import Cascade
from liqshell.emulator.market.market_state import SymbolState
from liqshell.emulator.server.options import Config
from liqshell.emulator.server.tls import Certificate


class Host(Protocol):
    """The running emulator as its parts see it. label: SYNTHETIC or RECORDING, on every answer. certificate: of the TLS port, None without one."""

    config: Config
    states: dict[str, SymbolState]
    synthetic: bool
    label: str
    clock: Clock
    faults: Faults
    desk: AccountApi
    certificate: Certificate | None

    def now_ns(self) -> int:
        """Market time; it never runs back."""

    def link(self, name: str, ordered: bool = True) -> Link:
        """One direction of one connection."""

    def enter(self, link: Link | None, act: Callable[[int], None], attend: bool = True) -> None:
        """Something comes in, over a link (None: that of REST): act(market time) when it has arrived. attend: it is about an account."""

    def wake(self) -> None:
        """Look at the clock and the faults now."""

    def truth(self) -> list[Cascade]:
        """The cascades that have ended by now; empty for a recording."""

    def status(self) -> Mapping[str, object]:
        """Counters."""
