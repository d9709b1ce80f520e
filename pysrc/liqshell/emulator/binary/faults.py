"""Faults of the emulated binary venue: scripted by order, by share or by market time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# of orders: at = which one; of requests and streams: between `after_s` and `after_s` + `seconds` of market time
ORDER_FAULTS = ("fail_trade", "lose_ack", "http_500", "slow_ack", "reject")
TIME_FAULTS = ("post_only", "no_book", "drop", "silent", "tick_change", "late_market", "unknown_rule", "wrong_winner", "no_gamma")
FAULTS = (*ORDER_FAULTS, *TIME_FAULTS)


@dataclass(frozen=True)
class BinaryFault:
    """at: the order that it meets, from 1 on; 0 = any. share: of the orders. after_s, seconds: market time from the start of the emulator."""

    kind: str
    at: int = 0
    share: float = 1.0
    after_s: float = 0.0
    seconds: float = 1e12

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> BinaryFault:
        """ValueError says what is wrong with it."""
        if not isinstance(spec, Mapping) or not {"kind"} <= spec.keys() <= {"kind", "at", "share", "after_s", "seconds"}:
            raise ValueError(f"a fault of the binary venue is an object with kind and optionally at, share, after_s, seconds; got {spec!r}")
        fault = cls(**spec)
        if fault.kind not in FAULTS:
            raise ValueError(f"faults of the binary venue are {', '.join(FAULTS)}; got {fault.kind!r}")
        for name, low, high in (("at", 0, 1 << 40), ("share", 0.0, 1.0), ("after_s", 0.0, 1e12), ("seconds", 0.0, 1e12)):
            value = getattr(fault, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} of a fault must be a number in [{low:g}, {high:g}], got {value!r}")
        return fault
