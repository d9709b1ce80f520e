"""Keys of the API: `lq_live_ID_SECRET`, shown once. The file holds the SHA-256 of each, never the key."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from liqshell import private
from liqshell.errors import ConfigError, DataError

FILE = "keys.json"
PREFIX = "lq_live_"
SCOPES = {
    "features:read": "live values, also as streams",
    "history:read": "values of the past, and jobs",
    "signals:read": "signals of runs",
    "runs:read": "the present state of a run: prices, positions, equity",
}


@dataclass(frozen=True)
class Key:
    """One of them, as the file has it. created: ISO time."""

    id: str
    sha256: str
    scopes: tuple[str, ...]
    created: str
    note: str = ""


def read(folder: Path) -> dict[str, Key]:
    """All by id. DataError where the file is damaged."""
    path = folder / FILE
    try:
        rows = json.loads(path.read_text())
        return {row["id"]: Key(**row | {"scopes": tuple(row["scopes"])}) for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as why:
        raise DataError(str(path), f"cannot be read ({why})", "keys as `liqcore serve key new` writes them") from None


def new(folder: Path, scopes: tuple[str, ...], created: str, note: str = "") -> str:
    """Make a key and keep its hash; returns the key."""
    if not scopes or set(scopes) - set(SCOPES):
        raise ConfigError("--scope", ", ".join(scopes) or "no scope", f"some of {', '.join(SCOPES)}")
    ident = secrets.token_hex(4)
    token = f"{PREFIX}{ident}_{secrets.token_urlsafe(32)}"
    _change(folder, lambda keys: keys | {ident: Key(ident, _hash(token), scopes, created, note)})
    return token


def revoke(folder: Path, ident: str) -> None:
    """The key of this id opens nothing any more. ConfigError where there is none."""
    if ident not in read(folder):
        raise ConfigError("key", f"no key {ident!r}", ", ".join(read(folder)) or "a key", "`liqcore serve key list` shows them")
    _change(folder, lambda keys: {name: key for name, key in keys.items() if name != ident})


def _change(folder: Path, change: Change) -> None:
    private.folder(folder)
    with private.opened(folder / f".{FILE}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = change(read(folder))
        draft = folder / f".{FILE}.new"
        private.write(draft, json.dumps([asdict(key) for key in keys.values()], indent=1) + "\n")
        os.replace(draft, folder / FILE)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


Change = Callable[[dict[str, Key]], dict[str, Key]]


class Keyring:
    """The keys as the server asks for them; the file is read again when it changes."""

    def __init__(self, folder: Path):
        self._folder, self._stamp = folder, -1
        self._keys: dict[str, Key] = {}

    def find(self, token: str) -> Key | None:
        """The key that a request shows; None if it is unknown."""
        self._refresh()
        ident = token.removeprefix(PREFIX).partition("_")[0] if token.startswith(PREFIX) else ""
        key = self._keys.get(ident)
        digest = _hash(token)  # also for a key that is not there: the same time
        return key if secrets.compare_digest(digest, key.sha256 if key is not None else "0" * 64) else None

    def has(self, ident: str) -> bool:
        """Whether the key of this id has not been revoked."""
        self._refresh()
        return ident in self._keys

    def __len__(self) -> int:
        self._refresh()
        return len(self._keys)

    def _refresh(self) -> None:
        try:
            stamp = (self._folder / FILE).stat().st_mtime_ns
        except OSError:
            stamp = 0
        if stamp != self._stamp:
            self._keys, self._stamp = read(self._folder), stamp
