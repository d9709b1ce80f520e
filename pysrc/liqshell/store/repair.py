"""Repair of a store after changes on the disk: verify it, and build its catalogue anew."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import unquote

from liqshell.errors import DataError
from liqshell.store import partition
from liqshell.store.catalogue import FILE, STAGING, Catalogue, Lock
from liqshell.store.load import Store
from liqshell.store.partition import Content, Key, Writer
from liqshell.store.rows import KINDS
from liqshell.store.strip import Stale, open_strip
from liqshell.store.strip import verify as verify_strip


def verify(store: Store) -> list[str]:
    """Read every partition, and every strip that is in use, through. The faults, one line each; a damaged strip is deleted, because it is only a
    cache."""
    faults: list[str] = []
    for contract in store._contracts.values():
        for key, content in sorted(contract.contents.items()):
            path = contract.file(key)
            try:
                found = partition.fingerprint(path, key)
            except DataError as why:
                faults.append(str(why))
                continue
            if found != content.fingerprint:
                faults.append(f"{path}: its rows differ from those of the import (fingerprint {found}, catalogue {content.fingerprint})")
        for day in contract.days():
            path = contract.day_file(day)
            try:
                strip = open_strip(path, contract.day_key(day))
            except Stale:
                continue  # it will be made when it is needed
            column = verify_strip(strip)
            if column:
                path.unlink()
                faults.append(f"{path}: column {column} was damaged and is deleted; the next use creates it again")
    return faults


def rebuild(root: Path) -> int:
    """Make the catalogue from the partitions that are there; returns how many. Users' data of contracts are lost with a damaged catalogue."""
    if not root.is_dir():
        raise DataError(str(root), "no such folder", "a store")
    with Lock(root):
        rules = {}
        try:
            before = Catalogue(root)
            before.finish()  # a commit that was booked is finished first
            rules = before.rules()
            before.close()
        except DataError:
            if (root / FILE).exists():
                (root / FILE).rename(root / f"{FILE}.damaged-{time.time_ns()}")
        found = {key: _content(root, key) for key in keys_on_disk(root)}
        catalogue = Catalogue(root, create=True)
        catalogue.replace_partitions(found)
        for name, stated in rules.items():
            catalogue.restore_rules(name, stated)
        catalogue.clear()
        catalogue.close()
    return len(found)


def keys_on_disk(root: Path) -> list[Key]:
    """The partitions that the folders hold, by their names."""
    out = []
    for path in sorted(root.glob("*/*/*/*.parquet")):
        venue, symbol, kind = (unquote(part) for part in path.relative_to(root).parts[:3])
        if kind in KINDS and not venue.startswith(".") and path.parts[-4] != STAGING:
            out.append(Key(venue, symbol, kind, path.stem))
    return out


def _content(root: Path, key: Key) -> Content:
    """Measure a partition by writing it again beside itself, and throwing the copy away."""
    aside = root / STAGING / "measure.parquet"
    path = key.file(root)
    stated = partition.about(path)
    writer = Writer(aside, key, stated["sources"])
    try:
        for events in partition.read(path, key):
            writer.push(events)
        content = writer.close()
    finally:
        aside.unlink(missing_ok=True)
    content.fingerprint = partition.fingerprint(path, key)  # of the file: the copy may be of a later format
    if content.fingerprint != stated["fingerprint"]:
        raise partition.damaged(path, ValueError("its rows do not match its fingerprint"))
    content.bytes, content.format = path.stat().st_size, int(stated["format"])
    return content
