"""The source of a secret of one word: the environment, else the system keyring under the service "liqcore". Never a file of liqcore."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from liqshell.errors import ConfigError
from liqshell.log import protect, redact

SERVICE = "liqcore"
_log = logging.getLogger("liqshell.vault")


def no_core_dump() -> None:
    """A process that knows a secret leaves no copy of its memory on the disk when it crashes."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError) as why:
        _log.info("core dumps cannot be switched off: %s", why)


def variable(environ: Mapping[str, str] | None, name: str) -> str:
    """Of the environment given, else of this process; '' where it is not set."""
    return (os.environ if environ is None else environ).get(name, "").strip()


def system_keyring() -> Any:
    """The package of that name where it is installed, else None."""
    try:
        import keyring
    except ImportError:
        return None
    return keyring


def password(vault: Any, name: str) -> str:
    """A keyring may be locked, absent or broken: then no password is found, and the log says why."""
    if vault is None:
        return ""
    try:
        found = vault.get_password(SERVICE, name)
    except Exception as why:
        _log.info("the keyring does not answer: %s", redact(type(why).__name__))
        return ""
    return found.strip() if isinstance(found, str) else ""


def find_token(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The token LIQCORE_NAME of the environment, else "name" of the keyring; '' where there is none. It is registered with liqshell.log, so that no
    log line shows it. ConfigError where it cannot be sent in a header; the message does not show it."""
    found = variable(environ, f"LIQCORE_{name.upper()}") or password(system_keyring(), name)
    if not found:
        return ""
    if not (8 <= len(found) <= 512 and found.isascii() and found.isprintable() and " " not in found):
        fault = f"{len(found)} characters, or characters not allowed in a header"
        found = ""  # a traceback that shows local variables must not show a secret
        raise ConfigError(
            f"LIQCORE_{name.upper()}", fault, "8 to 512 printable ASCII characters without spaces", "Set it again; is it cut or quoted?"
        )
    protect(found)
    no_core_dump()
    return found
