"""The gates that the gateway closes and opens: each change is told once, to the engine and in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from liqcore.event import Control, Gate

ALL = -1
# (gate, instrument) whose state at the start is closed until something is known
_CLOSED_AT_START = (Gate.GATE_START, Gate.GATE_PRIVATE, Gate.GATE_ORDERS, Gate.GATE_RECONCILE, Gate.GATE_CLOCK)
_OPEN_AT_START = (Gate.GATE_UNKNOWN, Gate.GATE_RATE)


class Gates:
    """report(code, gate, instrument): puts a CONTROL event before the engine."""

    def __init__(self, report: Callable[[int, int, int], None]) -> None:
        self._report = report
        self._closed: dict[tuple[int, int], tuple[int, str]] = {}

    def start(self, now: int, *, clock: bool, symbols: int) -> None:
        """Say every gate: a restored engine may remember gates of another life."""
        for gate in _CLOSED_AT_START:
            if gate != Gate.GATE_CLOCK or clock:
                self.close(gate, "not known yet", now)
        for gate in (*_OPEN_AT_START, *(() if clock else (Gate.GATE_CLOCK,))):
            self._report(Control.CONTROL_READY, gate, ALL)
        for n in range(symbols):
            self.close(Gate.GATE_SYMBOL, "its filters are not known yet", now, n)

    def close(self, gate: int, why: str, now: int, instrument: int = ALL) -> bool:
        """True where it was open."""
        before = self._closed.get((gate, instrument))
        self._closed[gate, instrument] = (before[0] if before else now, why)
        if before is None:
            self._report(Control.CONTROL_PAUSE, gate, instrument)
        return before is None

    def open(self, gate: int, instrument: int = ALL) -> bool:
        """True where it was closed."""
        if self._closed.pop((gate, instrument), None) is None:
            return False
        self._report(Control.CONTROL_READY, gate, instrument)
        return True

    def is_closed(self, gate: int, instrument: int = ALL) -> bool:
        return (gate, instrument) in self._closed

    def why(self, gate: int, instrument: int = ALL) -> str:
        return self._closed.get((gate, instrument), (0, ""))[1]

    @property
    def any_closed(self) -> bool:
        return bool(self._closed)

    def status(self) -> list[dict[str, Any]]:
        """Closed gates: name, instrument (-1 = all), since (ns), why."""
        return [{"gate": Gate(gate).name, "instrument": instrument, "since": since, "why": why}
                for (gate, instrument), (since, why) in self._closed.items()]
