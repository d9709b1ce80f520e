"""Orders of the emulated venue from acceptance to their end: their owners, and their places in the matcher."""

from liqcore.simulation.matcher import Matcher
from liqshell.emulator.exchange.accounts import Account
from liqshell.emulator.exchange.orders import Ids, Order
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.private_stream import PrivateStream
from liqshell.emulator.exchange.settings import Settings

CAPACITY = 8192  # orders at rest, of all accounts
RESERVED = 1024  # of them for what protects positions
REALTIME_ENDED = 500  # ended orders that order/realtime still knows


class Books:
    """slots: the order at each place of the matcher. resting: how many there are."""

    def __init__(self, settings: Settings, matcher: Matcher, ids: Ids, positions: Positions, stream: PrivateStream) -> None:
        self.settings, self.matcher, self.ids, self.positions, self.stream = settings, matcher, ids, positions, stream
        self.slots: list[Order | None] = [None] * CAPACITY
        self.resting = 0  # orders in the matcher

    def admit(self, order: Order) -> None:
        """A new order is the account's."""
        account = order.account
        self.ids.serial += 1
        order.serial = self.ids.serial
        account.orders[order.id] = account.open[order.id] = order
        if order.link_id:
            account.links[order.link_id] = order
            account.used_links.add(order.link_id)

    def enter(self, order: Order, slot: int) -> None:
        """Its place in the matcher."""
        order.slot = slot
        self.slots[slot] = order
        self.resting += 1

    def leave(self, order: Order) -> None:
        """Out of the matcher."""
        if order.slot >= 0:
            self.matcher.remove(order.slot)
            self.slots[order.slot] = None
            self.resting -= 1
            order.slot = -1

    def finish(self, order: Order, status: str, now_ns: int, *, cancel: str = "", reject: str = "") -> None:
        """The order ends."""
        account = order.account
        self.positions.release(order)
        self.leave(order)
        order.status = status
        order.cancel_type, order.reject = cancel or order.cancel_type, reject or order.reject
        account.open.pop(order.id, None)
        account.ended.append(order)
        if order.link_id:
            account.ended_links[order.link_id] = status
        self._forget(account)
        self.stream.emit_order(order, now_ns)
        h = account.holdings.get((order.n, order.idx))
        if h is not None:
            self.stream.moved[h] = None

    # ---- the life of an order ----

    def _forget(self, account: Account) -> None:
        """What is long over is kept short, and then not at all."""
        if len(account.ended) > REALTIME_ENDED:
            del account.ended[-REALTIME_ENDED - 1].versions[:-1]
        if len(account.ended) > self.settings.history_max:
            old = account.ended.popleft()
            account.orders.pop(old.id, None)
            if old.link_id:
                account.links.pop(old.link_id, None)
                account.ended_links.pop(old.link_id, None)

    @staticmethod
    def room(slot: int) -> int:
        """The slot itself; the emulator has room for every order that the venue's limits let in."""
        if slot < 0:
            raise RuntimeError("the emulated venue is full: too many open orders")
        return slot
