"""`liqcore data` and `liqcore data get`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from liqshell.errors import ConfigError
from liqshell.input_file import address_of
from liqshell.store.load import Store

MISSING_SHOWN = 12


def what(
    store: Path,
    /,
    *,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
    rebuild: Annotated[bool, Parameter(negative=())] = False,
    verify: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Show a store's contracts, coverage, gaps and refused rows. Also writes report.json and report.html into the store.

    Parameters
    ----------
    store
        Folder that `liqcore import` made, or the address of a published one, such as s3://BUCKET/PATH.
    json_
        Print the report as one JSON object.
    rebuild
        First rebuild the catalogue from the partitions. It forgets the names of imported files; a new import of them adds nothing twice.
    verify
        Read every partition and column file and compare it with its fingerprint. Exit status 1 if one differs.
    """
    from liqshell.store import page, quality, repair
    from liqshell.store.terminal import show

    if rebuild:
        if address_of(store):
            raise ConfigError("--rebuild", "a store at an address", "the folder that it was published from")
        repair.rebuild(store)
    at = Store(store)
    faults = repair.verify(at) if verify else []
    report = quality.data_report(at)
    if verify:
        report["faults"] = faults
    unwritten = ""
    try:
        page.save(report, at.root)
    except OSError as why:  # a store that may only be read has its report all the same
        unwritten = why.strerror or str(why)
    if json_:
        print(json.dumps(report))
    else:
        show(report)
        for file in report["refused_files"]:
            first = str(file["reason"]).splitlines()[0].removeprefix(f"{file['name']}: ")
            print(f"not imported: {file['name']}: {first}")
        for fault in faults:
            print(f"DAMAGED {fault}")
        if verify and not faults:
            print("verified: every partition matches its fingerprint")
    if unwritten:
        print(f"report: not written into {at.root}: {unwritten}", file=sys.stderr)
    elif not json_:
        print(f"report: {at.root / 'report.html'}")
    return 1 if faults else 0


def get(
    venue: str,
    /,
    *,
    days: str,
    store: Path,
    files: Path | None = None,
    source: str = "",
    jobs: int = 1,
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Fetch hourly files of a venue's public archive and import them. After an interruption the same command continues.

    Hyperliquid: every fill of the venue, from 2025-05-25 on. The archive is in S3, and your AWS account pays for the transfer (AWS_PROFILE, or
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY). Needs pip install 'liqcore[s3]'.

    Parameters
    ----------
    venue
        hyperliquid.
    days
        2025-10-10, or 2025-10-10..2025-10-12, or several with commas. UTC.
    store
        Folder of the store; created if missing.
    files
        Folder for the fetched files; by default STORE-files. They may be deleted after the import.
    source
        Another place with the same files: s3://BUCKET, https://HOST/PATH, or a folder.
    jobs
        Processes that import.
    list_
        Only print what would be fetched, and its size.
    quiet
        No progress bar and no tables.
    """
    from liqshell.commands.import_ import import_
    from liqshell.progress import Bar
    from liqshell.store import fetch

    found = fetch.plan(venue, fetch.days_of(days), files or store.with_name(store.name + "-files"), source)
    print(
        f"{found.source}: {len(found.files)} files, {found.bytes / 1e6:,.1f} MB, of which {found.bytes_there / 1e6:,.1f} MB are here"
        + ("; your AWS account pays for the transfer" if found.source.startswith("s3:") else "")
    )
    if found.missing:
        print(
            f"not in the archive: {len(found.missing)} hours: {', '.join(found.missing[:MISSING_SHOWN])}"
            + (" …" if len(found.missing) > MISSING_SHOWN else ""),
            file=sys.stderr,
        )
    if list_:
        return 0
    with Bar("fetch", quiet) as bar:
        there = found.fetch(bar.show)
    return import_(tuple(there), store=store, jobs=jobs, quiet=quiet)


def put(store: Path, address: str, /, *, quiet: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Publish a store: send the parts that are missing at an address. After an interruption the same command continues. Readers use the address as a
    store.

    Parameters
    ----------
    store
        Folder that `liqcore import` made.
    address
        s3://BUCKET/PATH, gs://BUCKET/PATH, file:///PATH or another that pyarrow knows; credentials are taken from the environment.
    quiet
        No progress bar.
    """
    from liqshell.progress import Bar
    from liqshell.store import remote

    if not address_of(address):
        raise ConfigError("data put", repr(address), remote.EXAMPLE)
    with Bar("publish", quiet) as bar:
        sent, size = remote.publish(store, address_of(address), bar.show)
    print(f"sent {sent} partitions, {size / 1e6:,.1f} MB, and the catalogue")
    return 0


data = App(
    name="data",
    help_format="plaintext",
    result_action="return_value",
    exit_on_error=False,
    print_error=True,
    version_flags=[],
    suppress_keyboard_interrupt=False,
)
data.default(what)
data.command(get, name="get")
data.command(put, name="put")
