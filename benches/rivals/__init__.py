"""Rivals: one file each, all with the same small interface. A rival is a module with

    PACKAGE      the distribution whose version is reported ('' = the standard library)
    and any of these roles, each a factory that returns what is timed:
    quantile_push(window, q) -> f(x) -> threshold        one Python call a value, quantile wanted after every push
    quantile_batch(window, q) -> f(array) -> array
    zscore_push(window) -> f(x) -> z                     z of x against the last `window` values, population std
    zscore_batch(window) -> f(array) -> (mean, std)
    decode(shape) -> f(frame) -> the last row as (ts_ms, is_buy, price, qty)    shape: 'liquidation' | 'trade' | 'book' | 'top'
    encode() -> f(order) -> bytes                        order: (id, cause, ts_ms, is_buy, price in cents, quantity in
                                                         thousandths); all contestants make the bytes of liqshell.venues.bybit.orders
    reaction() -> f(frame) -> order bytes
    client(arguments)                                    coroutine: a websocket client for wire.py (see client.py)
    NOTES = {role: how its result differs from the definition}

A rival whose package is absent is skipped, with the reason in the results.
"""

import contextlib
import importlib
import importlib.metadata
import pkgutil
from types import ModuleType


def load() -> tuple[dict[str, ModuleType], dict[str, str]]:
    """All rivals that import here by name, and why the others do not."""
    present: dict[str, ModuleType] = {}
    absent: dict[str, str] = {}
    for info in pkgutil.iter_modules(__path__):
        try:
            present[info.name] = importlib.import_module(f"{__name__}.{info.name}")
        except ImportError as e:
            absent[info.name] = f"not installed here: {e}"
    return present, absent


def roles(role: str) -> tuple[dict[str, ModuleType], dict[str, str]]:
    """The rivals that play a role, and the absent ones (which might have)."""
    present, absent = load()
    return {name: module for name, module in present.items() if hasattr(module, role)}, absent


def note(module: ModuleType, role: str) -> str:
    return getattr(module, "NOTES", {}).get(role, "")


def versions() -> dict[str, str]:
    present, _ = load()
    out = {}
    for module in present.values():
        for package in filter(None, module.PACKAGE.split(",")):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # of a role that imports it late
                out[package] = importlib.metadata.version(package)
    return dict(sorted(out.items()))
