"""Where API keys come from: the environment, else the system keyring. Never from a configuration, a command line or a file of ours.

    LIQCORE_API_KEY_TESTNET, LIQCORE_API_SECRET_TESTNET      of one environment (MAINNET, TESTNET, DEMO)
    LIQCORE_API_KEY, LIQCORE_API_SECRET                      of any
    keyring: service "liqcore", names "api_key-testnet", "api_secret-testnet", else "api_key", "api_secret"      (pip install 'liqcore[keyring]')

What is found is registered with liqshell.log, so that no log line of this process can show it.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

from liqshell.errors import ConfigError
from liqshell.log import protect, redact
from liqshell.venues.bybit_signing import Keys

KEY, SECRET = "LIQCORE_API_KEY", "LIQCORE_API_SECRET"
SERVICE = "liqcore"
_log = logging.getLogger("liqshell.keys")


def load_keys(environment: str, environ: Mapping[str, str] | None = None, keyring: Any = None) -> Keys:
    """The keys for an environment of ours ("mainnet", "testnet", "demo").

    environ: of this process unless told otherwise. keyring: an object with get_password(service, name); by default the package of that name where it
    is installed. ConfigError where there are none, half of them, or what cannot be a key; it says where it looked, never what it found.
    """
    keys = find_keys(environment, environ, keyring)
    if keys is None:
        raise ConfigError(f"keys for {environment}", "no API key", f"{KEY} and {SECRET} in the environment (or with the suffix "
                          f"_{environment.upper()}), or in the keyring under the service {SERVICE!r}",
                          "Create a key at the venue that may trade and may not withdraw, bound to this machine's address")
    return keys


def find_keys(environment: str, environ: Mapping[str, str] | None = None, keyring: Any = None) -> Keys | None:
    """As load_keys, but None where there are none at all."""
    suffix = environment.upper()
    environ = os.environ if environ is None else environ
    for key, secret in ((f"{KEY}_{suffix}", f"{SECRET}_{suffix}"), (KEY, SECRET)):
        if environ.get(key) or environ.get(secret):
            return _keys((environ.get(key), environ.get(secret)), (key, secret), "the environment")
    vault = keyring if keyring is not None else _keyring()
    if vault is None:
        return None
    for names in ((f"api_key-{environment}", f"api_secret-{environment}"), ("api_key", "api_secret")):
        pair = tuple(_password(vault, name) for name in names)
        if any(pair):
            return _keys(pair, names, f"the keyring, service {SERVICE!r}")
    return None


def _keys(pair: tuple[Any, ...], names: tuple[str, str], where: str) -> Keys:
    """Checks both halves. Nothing that a traceback shows of this frame may hold them once something is raised."""
    texts = [value.strip() if isinstance(value, str) else "" for value in pair]
    missing = [name for name, value in zip(names, texts, strict=True) if not value]
    keys, fault = None, ""
    if not missing:
        try:
            keys = Keys(texts[0], texts[1])
            protect(*texts)
        except ValueError as why:
            fault = str(why)
    del pair, texts
    if missing:
        raise ConfigError(where, f"{missing[0]} is not set, though its other half is", f"both {names[0]} and {names[1]}") from None
    if keys is None:
        raise ConfigError(f"{where}: {names[0]}, {names[1]}", fault, action="Set them again; were they cut, quoted or swapped?") from None
    return keys


def _keyring() -> Any:
    try:
        import keyring
    except ImportError:
        return None
    return keyring


def _password(vault: Any, name: str) -> str | None:
    """A keyring may be locked, absent or broken in ways of its own: then it has nothing for us, and the log says so."""
    try:
        found = vault.get_password(SERVICE, name)
    except Exception as why:
        _log.info("the keyring does not answer: %s", redact(f"{type(why).__name__} {why}"))
        return None
    return found if isinstance(found, str) else None
