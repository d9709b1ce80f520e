"""The model of the venue: accounts, orders, positions, money. No sockets, clock or signatures."""

from liqshell.emulator.exchange.accounts import Account
from liqshell.emulator.exchange.exchange import Exchange
from liqshell.emulator.exchange.settings import Settings

__all__ = ["Account", "Exchange", "Settings"]
