"""The gateway: between what the engine believes of its orders and what the venue says of them.

Plain Python, sans-I/O, deterministic: every input is a method call with the time, every wish an Effect. Uncertain is not done (law L8): what is not
known is asked, what is asked is believed only when it can no longer change, and until then no entry leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from liqshell.gateway.effects import Answer, Call, Channel, Effects
from liqshell.gateway.port import Port
from liqshell.gateway.settings import Settings


class Gateway:
    """engine: liqcore.Engine, restored where there was something to restore. dispatch: anything with take() -> list of Sent and
    again(sent, now) -> Sent (liqshell.dispatch.Dispatch), or None. store: anything with the methods of liqshell.state.Store that store.py names, or
    None. port: the venue's language (gateway.bybit.BybitPort). settings: Settings. effects: the driver.

    Inputs, each with the present time in ns (never going back); the driver calls them from one thread, never from within an Effect:

        start(now)                      once, after the engine is restored, before or after the channels are up
        on_sent(sent, now)              what Dispatch did (optional: every input takes what is waiting in dispatch.take())
        collect(now)                    the same without an input: call it soon after the engine dispatched something between inputs
        on_frame(channel, raw, now)     one websocket message of the account's channels
        on_answer(call, answer, now)    the outcome of an Effects.call, exactly once
        on_channel(channel, up, now)    connected (not yet authenticated) or lost
        on_time(now)                    at next_deadline or any time

    None of them raises for anything that a venue can send.
    """

    def __init__(self, engine: Any, dispatch: Any, store: Any, port: Port, settings: Settings, effects: Effects) -> None: ...

    def start(self, now: int) -> None: ...
    def on_sent(self, sent: Any, now: int) -> None: ...
    def collect(self, now: int) -> None: ...
    def on_frame(self, channel: Channel, raw: bytes, now: int) -> None: ...
    def on_answer(self, call: Call, answer: Answer, now: int) -> None: ...
    def on_channel(self, channel: Channel, up: bool, now: int) -> None: ...
    def on_time(self, now: int) -> None: ...

    @property
    def next_deadline(self) -> int | None:
        """When on_time should be called next, ns; None = nothing is waiting."""
        ...

    @property
    def orders_ready(self) -> bool:
        """Whether the order-entry socket is authenticated: a Wire must not send before."""
        ...

    @property
    def ready(self) -> bool:
        """No gate of the gateway is closed."""
        ...

    def status(self) -> dict[str, Any]:
        """For the report, the doctor and the progress line: gates closed and since when, unknown orders, clock offset, counters, last reconcile."""
        ...

    def problems(self) -> Sequence[str]:
        """Why the start was refused, in words; empty where it was not."""
        ...
