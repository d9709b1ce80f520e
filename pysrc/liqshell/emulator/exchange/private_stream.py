"""The private stream of the emulated venue: orders at once; executions, positions and wallets once for each operation."""

from typing import Any

from liqshell.emulator.exchange.accounts import Account, Holding
from liqshell.emulator.exchange.orders import Order
from liqshell.emulator.exchange.positions import Positions

StreamMessage = tuple[Account, str, int, list[dict[str, Any]]]
WALLETS_KEPT = 64


class PrivateStream:
    """filled, moved, paid: what the next flush() says. changes: messages taken so far."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.held = False  # a request is being handled: messages wait for its end
        self.changes = 0  # messages so far
        self._messages: list[StreamMessage] = []
        self.filled: list[tuple[Account, dict[str, Any]]] = []  # executions that have not been said yet
        self.moved: dict[Holding, None] = {}  # positions to be said
        self.paid: dict[Account, None] = {}  # wallets to be said

    def together(self, now_ns: int) -> "Together":
        """During a request nothing is pushed: its effects are sent once, at its end."""
        return Together(self, now_ns)

    # ---- messages ----

    def emit_order(self, order: Order, now_ns: int) -> None:
        """The order has changed."""
        row = order.remember(now_ns)
        if "order" in order.account.topics:
            self._messages.append((order.account, "order", now_ns, [row]))

    def flush(self, now_ns: int) -> None:
        """Say what an operation has done, once: executions, positions, the wallet."""
        if self.held:
            return
        if self.filled:
            for account in dict.fromkeys(account for account, _ in self.filled):
                if "execution" in account.topics:
                    self._messages.append((account, "execution", now_ns, [row for who, row in self.filled if who is account]))
            self.filled.clear()
        if self.moved:
            for holding in self.moved:
                self.emit_position(holding, now_ns)
            self.moved.clear()
        if self.paid:
            for account in self.paid:
                row = self.positions.wallet_row(account)
                account.wallets.append((now_ns, row))
                if len(account.wallets) > WALLETS_KEPT:
                    del account.wallets[0]
                if "wallet" in account.topics:
                    self._messages.append((account, "wallet", now_ns, [row]))
            self.paid.clear()

    def emit_position(self, holding: Holding, now_ns: int) -> None:
        """One position, now."""
        holding.updated_ms = now_ns // 1_000_000
        row = self.positions.position_row(holding)
        holding.remember(now_ns, row)
        if "position" in holding.account.topics:
            self._messages.append((holding.account, "position", now_ns, [row]))

    def take(self) -> list[StreamMessage]:
        """All messages on the private streams since the last call: (account, topic, time ns, rows of `data`), in order.
        The rows are the venue's JSON objects; they are shared with the model: encode or copy, never change them."""
        messages, self._messages = self._messages, []
        self.changes += len(messages)
        return messages


class Together:
    """See PrivateStream.together."""

    __slots__ = ("now_ns", "stream")

    def __init__(self, stream: PrivateStream, now_ns: int) -> None:
        self.stream, self.now_ns = stream, now_ns

    def __enter__(self) -> None:
        self.stream.held = True

    def __exit__(self, *_: object) -> None:
        self.stream.held = False
        self.stream.flush(self.now_ns)
