"""The sources of API keys: the environment, else the system keyring. Never a configuration, a command line or a file of liqcore.

    LIQCORE_API_KEY_TESTNET, LIQCORE_API_SECRET_TESTNET      of one environment (MAINNET, TESTNET, DEMO)
    LIQCORE_API_KEY, LIQCORE_API_SECRET                      of any
    keyring: service "liqcore", names "api_key-testnet", "api_secret-testnet", else "api_key", "api_secret"      (pip install 'liqcore[keyring]')

What is found is registered with liqshell.log, so that no log line of this process can show it.
"""

from collections.abc import Mapping
from typing import Any

from liqshell.errors import ConfigError
from liqshell.log import protect
from liqshell.vault import SERVICE, no_core_dump, password, system_keyring, variable
from liqshell.venues.bybit.signing import Keys

KEY, SECRET = "LIQCORE_API_KEY", "LIQCORE_API_SECRET"


def load_keys(environment: str, environ: Mapping[str, str] | None = None, keyring: Any = None) -> Keys:
    """The keys for an environment of ours ("mainnet", "testnet", "demo").

    environ: that of this process unless told otherwise. keyring: an object with getpassword(service, name); by default the package of that name
    where it is installed. ConfigError where there are none, half of them, or what cannot be a key; it says where it looked, never what it found.
    """
    keys = find_keys(environment, environ, keyring)
    if keys is None:
        raise ConfigError(
            f"keys for {environment}",
            "no API key",
            f"{KEY} and {SECRET} in the environment (or with the suffix _{environment.upper()}), or in the keyring under the service {SERVICE!r}",
            "Create a key at the venue that may trade but not withdraw, bound to this machine's address",
        )
    return keys


def find_keys(environment: str, environ: Mapping[str, str] | None = None, keyring: Any = None) -> Keys | None:
    """As load_keys, but None where there are none at all.

    No variable of this frame ever holds what was found: a traceback that shows local variables must not show a secret.
    """
    suffix = environment.upper()
    for names in ((f"{KEY}_{suffix}", f"{SECRET}_{suffix}"), (KEY, SECRET)):
        keys, fault = _keys(names, *(variable(environ, name) for name in names))
        if keys is not None or fault:
            return _complete(keys, f"the environment: {names[0]}, {names[1]}", fault)
    vault = keyring if keyring is not None else system_keyring()
    for names in ((f"api_key-{environment}", f"api_secret-{environment}"), ("api_key", "api_secret")):
        keys, fault = _keys(names, *(password(vault, name) for name in names))
        if keys is not None or fault:
            return _complete(keys, f"the keyring, service {SERVICE!r}: {names[0]}, {names[1]}", fault)
    return None


def _keys(names: tuple[str, str], key: str, secret: str) -> tuple[Keys | None, str]:
    """(keys or None, what is wrong with them). Nothing is raised from here, because this frame knows the secret."""
    missing = [name for name, value in zip(names, (key, secret), strict=True) if not value]
    if len(missing) == 2:
        return None, ""
    if missing:
        return None, f"{missing[0]} is not set, but its other half is"
    try:
        keys = Keys(key, secret)
    except ValueError as why:
        return None, str(why)
    protect(key, secret)
    no_core_dump()
    return keys, ""


def _complete(keys: Keys | None, where: str, fault: str) -> Keys:
    if keys is None:
        raise ConfigError(where, fault, "both halves of one key", "Set them again; are they cut, quoted or swapped?")
    return keys
