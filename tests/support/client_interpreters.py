"""Which interpreter has a client library. They ask for packages that get in one another's way, so each may have an environment of its own."""

import os
import subprocess
import sys
from functools import cache

import pytest

VARIABLES = ("LIQCORE_CLIENTS_PYTHON", "LIQCORE_RIVALS_PYTHON")  # interpreters, separated as in PATH
PACKAGES = {
    "pybit": "pybit",
    "ccxt": "ccxt",
    "okx": "python-okx",
    "binance.um_futures": "binance-futures-connector",
    "freqtrade": "freqtrade",
    "cryptofeed": "cryptofeed",
    "nautilus_trader.adapters.bybit": "nautilus_trader==1.221.0",
}


@cache
def interpreter(module: str) -> str:
    """The first interpreter that can import a module, this one before the named ones; "" where none can."""
    named = [one for variable in VARIABLES for one in os.environ.get(variable, "").split(os.pathsep) if one]
    for python in (sys.executable, *named):
        found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=120)
        if found.returncode == 0:
            return python
    return ""


def needed(module: str) -> str:
    """The same; skips the test with the reason where none can."""
    found = interpreter(module)
    if not found:
        pytest.skip(f"{PACKAGES[module]} is not installed: pip install it into an environment and name its interpreter in {VARIABLES[0]}")
    return found
