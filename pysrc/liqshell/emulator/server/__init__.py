"""The emulator as a server: sockets, REST, clock, and the venues beside Bybit."""

from liqshell.emulator.server.options import SYMBOLS, Config
from liqshell.emulator.server.server import Emulator, run, serve

__all__ = ["SYMBOLS", "Config", "Emulator", "run", "serve"]
