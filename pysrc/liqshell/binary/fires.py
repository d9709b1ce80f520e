"""Fires of the reversal's rule and ends of flushes, from the audit stream of a run, as it is written or afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

import liqcore as lc
from liqcore import audit
from liqshell.errors import DataError
from liqshell.recording import journal

RULE = "reversal"


class Event(NamedTuple):
    """kind: "fire" (the rule trades `side`) or "exhausted" (the forced selling of `side`, the side closed by force, has ended)."""

    ts: int
    kind: str
    side: int
    contract: str


class Follower:
    """The run in `folder`, whose policy is `reversal`. asset: of the contracts that count. DataError where it is no such run."""

    def __init__(self, folder: str | Path, asset: str = "BTC"):
        self.folder = Path(folder)
        manifest = journal.load_manifest(self.folder)
        journal.check_abi(manifest, self.folder / journal.MANIFEST)
        journal.refuse_damaged(self.folder, journal.damage_of(self.folder, manifest), "bets follow its decisions")
        settings = manifest.get("settings") or {}
        policies = settings.get("policies") or []
        self.rules = [str(one.get("rule", "")) for one in policies]
        if RULE not in self.rules:
            raise DataError(str(self.folder), f"no policy {RULE}: {', '.join(self.rules) or 'none'}", f'a run with [policy] preset = "{RULE}"')
        self.contracts = {
            n: f"{one.get('venue')}:{one['symbol']}"
            for n, one in enumerate(manifest.get("instruments") or [])
            if str(one["symbol"]).upper().startswith(asset)
        }
        if not self.contracts:
            raise DataError(str(self.folder), f"no contract of {asset}", f"a run with {asset}")
        self._abi, self._read = manifest.get("abi"), 0

    def news(self) -> list[Event]:
        """The lines written since the last call, in order."""
        path = self.folder / journal.AUDIT
        size = lc.AUDIT_DTYPE.itemsize
        with path.open("rb") as file:
            file.seek(self._read * size)
            data = file.read()
        rows = np.frombuffer(data[: len(data) // size * size], lc.AUDIT_DTYPE)
        self._read += len(rows)
        return self._events(journal.current(rows, self._abi))

    def _events(self, rows: np.ndarray) -> list[Event]:
        out = []
        mine = rows[np.isin(rows["instrument"], list(self.contracts))]
        answers = mine[(mine["kind"] == int(lc.AuditKind.AUDIT_POLICY)) & (mine["side"] != 0)]
        for row in audit.view(answers, lc.AuditKind.AUDIT_POLICY) if len(answers) else ():
            place = int(row["policy"])
            if self.rules[place - 1 if place else 0] == RULE:
                out.append(Event(int(row["ts"]), "fire", int(row["side"]), self.contracts[int(row["instrument"])]))
        signals = mine[mine["kind"] == int(lc.AuditKind.AUDIT_SIGNAL)]
        for row in audit.view(signals, lc.AuditKind.AUDIT_SIGNAL) if len(signals) else ():
            if int(row["phase"]) == int(lc.Phase.EXHAUSTED):
                out.append(Event(int(row["ts"]), "exhausted", int(row["side"]), self.contracts[int(row["instrument"])]))
        return sorted(out)
