"""Signals of a run, from its audit stream."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import orjson

import liqcore as lc
from liqcore import audit
from liqshell.config.components import recorded_detectors
from liqshell.recording import journal
from liqshell.research.feature_rows import completeness, iso
from liqshell.service.answers import head
from liqshell.service.problems import Problem
from liqshell.service.sources import Dataset


def answer(dataset: Dataset, since: int, instrument: int, limit: int) -> bytes:
    """Those after `since` (ns), the oldest first, at most `limit`; instrument: of one contract, -1 = of all."""
    if not dataset.name:
        raise Problem("not-found", "a store has no signals; runs have. `liqcore detect STORE` computes them")
    path = dataset.folder / journal.AUDIT
    manifest = journal.load_manifest(dataset.folder)
    journal.check_abi(manifest, dataset.folder / journal.MANIFEST)
    if damage := journal.damage_of(dataset.folder, manifest):
        raise Problem("not-ready", f"the run's audit stream cannot be trusted: {damage}")
    size = os.stat(path).st_size // lc.AUDIT_DTYPE.itemsize if path.exists() else 0
    records = journal.current(np.memmap(path, lc.AUDIT_DTYPE, "r", shape=(size,)) if size else np.zeros(0, lc.AUDIT_DTYPE), manifest.get("abi"))
    mine = (records["kind"] == int(lc.AuditKind.AUDIT_SIGNAL)) & (records["ts"] > since)
    if instrument >= 0:
        mine &= records["instrument"] == instrument
    found = audit.view(records[mine][:limit], lc.AuditKind.AUDIT_SIGNAL)
    settings = manifest.get("settings")
    names = [spec["name"] for spec in recorded_detectors(settings)] if settings else []
    out = [_signal(dataset, row, names) for row in found]
    return orjson.dumps(
        {"signals": out, "more": int(mine.sum()) > len(out), "next_since": int(found["ts"][-1]) if len(found) else since, **head(dataset)}
    )


def _signal(dataset: Dataset, row: np.void, names: list[str]) -> dict[str, Any]:
    i, ts, which = dataset.data.instruments[int(row["instrument"])], int(row["ts"]), int(row["detector"])
    numbers = {
        name: float(row[name]) if np.isfinite(row[name]) else None
        for name in ("long_notional", "short_notional", "threshold", "z", "score", "price", "rolling")
    }
    return {
        "ts": ts,
        "time": iso(ts),
        "contract": i.key,
        "completeness": completeness(i),
        "detector": names[which - 1] if 0 < which <= len(names) else str(which),
        "phase": lc.Phase(int(row["phase"])).name,
        "liquidated": lc.Side(int(row["side"])).name,
        "count": int(row["count"]),
        **numbers,
    }
