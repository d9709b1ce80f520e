"""The journal and the progress line of a run when the disk is full or the terminal is gone: neither ends a run that trades."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from liqshell import progress
from liqshell.errors import ConfigError, DataError
from liqshell.recording import journal
from liqshell.recording.journal import AUDIT, Journal

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


def records(first, count):
    made = np.zeros(count, lc.AUDIT_DTYPE)
    made["ts"] = np.arange(first, first + count)
    return made


def switch(book, path):
    """Where the audit stream goes from now on."""
    book._audit.close()
    book._audit = open(path, "ab", buffering=0)  # noqa: SIM115


@needs_full
def test_a_full_disk_is_waited_out_and_the_stream_stays_whole(tmp_path, caplog):
    book = Journal(tmp_path / "run", {})
    book.audit(records(0, 3))
    switch(book, FULL)
    for k in range(3, 9, 2):
        book.audit(records(k, 2))
    assert "No space left" in book.trouble and caplog.text.count("cannot be written") == 1
    switch(book, tmp_path / "run" / AUDIT)
    book.audit(records(0, 0))
    assert not book.trouble
    book.close()
    data = (tmp_path / "run" / AUDIT).read_bytes()
    assert data == records(0, 9).tobytes()
    manifest = journal.load_manifest(tmp_path / "run")
    assert (manifest["audit_records"], manifest["audit_sha256"]) == (9, hashlib.sha256(data).hexdigest())


@needs_full
def test_what_waits_for_a_disk_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "PENDING_MAX", 5 * lc.AUDIT_DTYPE.itemsize)
    book = Journal(tmp_path / "run", {})
    switch(book, FULL)
    for k in range(20):
        book.audit(records(k, 1))
    assert (book.records, book.dropped) == (6, 14)
    switch(book, tmp_path / "run" / AUDIT)
    book.audit(records(20, 1))
    book.close()
    assert journal.load_audit(tmp_path / "run")["ts"].tolist() == list(range(6))  # no hole
    assert journal.load_manifest(tmp_path / "run")["audit_dropped"] == 15


def test_a_manifest_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    book = Journal(tmp_path / "run", {})
    monkeypatch.setattr(journal, "_write", full)
    with pytest.raises(DataError, match=r"run.json: cannot be written: No space left"):
        book.close()
    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        Journal(tmp_path / "other", {})


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_that_is_gone_ends_the_showing_only(monkeypatch, terminal):
    class Gone(io.StringIO):
        encoding = "utf-8"

        def isatty(self):
            return terminal

        def fileno(self):
            return os.open(os.devnull, os.O_RDONLY)

        def write(self, text):
            raise OSError(5, "Input/output error")

        flush = write

    monkeypatch.setattr("sys.stderr", Gone())
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    with progress.Bar("live") as bar:
        for _ in range(3):
            bar.show("something", 0.5)
