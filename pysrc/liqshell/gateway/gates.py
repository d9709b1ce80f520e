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
    """report(code, gate, instrument): puts a CONTROL event before the engine. The engine has one bit a gate and contract; here a gate may be closed
    for a contract and for all at once, and what is closed for a contract stays so when that of all opens."""

    def __init__(self, report: Callable[[int, int, int], None]) -> None:
        self._report = report
        self._closed: dict[tuple[int, int], tuple[int, str]] = {}
        self._symbols = 0

    def start(self, now: int, *, clock: bool, symbols: int) -> None:
        """Say every gate: a restored engine may remember gates of another life."""
        self._symbols = symbols
        for gate in _CLOSED_AT_START:
            if gate != Gate.GATE_CLOCK or clock:
                self.close(gate, "not known yet", now)
        for gate in (*_OPEN_AT_START, *(() if clock else (Gate.GATE_CLOCK,))):
            self._report(Control.CONTROL_READY, gate, ALL)
        for n in range(symbols):
            self.close(Gate.GATE_SYMBOL, "its contract rules are not known yet", now, n)

    def close(self, gate: int, why: str, now: int, instrument: int = ALL) -> bool:
        """True where it was open."""
        before = self._closed.get((gate, instrument))
        self._closed[gate, instrument] = (before[0] if before else now, why)
        if before is None and not self._is_shut(gate, instrument):
            self._report(Control.CONTROL_PAUSE, gate, instrument)
        return before is None

    def open(self, gate: int, instrument: int = ALL) -> bool:
        """True where it was closed."""
        if self._closed.pop((gate, instrument), None) is None:
            return False
        still = [n for n in range(self._symbols) if (gate, n) in self._closed] if instrument == ALL else []
        if still:
            for n in range(self._symbols):
                if n not in still:
                    self._report(Control.CONTROL_READY, gate, n)
        elif not self._is_shut(gate, instrument):
            self._report(Control.CONTROL_READY, gate, instrument)
        return True

    def _is_shut(self, gate: int, instrument: int) -> bool:
        """Whether the engine has the gate of a contract closed for the sake of all."""
        return instrument != ALL and (gate, ALL) in self._closed

    def is_closed(self, gate: int, instrument: int = ALL) -> bool:
        return (gate, instrument) in self._closed

    def why(self, gate: int, instrument: int = ALL) -> str:
        return self._closed.get((gate, instrument), (0, ""))[1]

    @property
    def any_closed(self) -> bool:
        """Whether one is closed that concerns all contracts."""
        return any(instrument == ALL for _, instrument in self._closed)

    def status(self) -> list[dict[str, Any]]:
        """Closed gates: name, instrument (-1 = all), since (ns), why."""
        return [{"gate": Gate(gate).name, "instrument": instrument, "since": since, "why": why}
                for (gate, instrument), (since, why) in self._closed.items()]
