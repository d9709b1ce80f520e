"""The sources that a live run may learn from before it begins: the folder of a run, a recording, a store, or files of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from liqshell.errors import ConfigError, DataError
from liqshell.live.learnt_keeper import Material
from liqshell.recording import reader as recording
from liqshell.recording.recorder import META
from liqshell.research import feature_rows
from liqshell.run.warm_up import Warmer


def material_of(path: Path, symbols: Sequence[str]) -> Material:
    """By what the path is; it is read when the run begins. symbols: venue:symbol of the run's contracts; those that a store has not are left out.
    ConfigError where nothing is there."""
    if not path.exists():
        raise ConfigError(str(path), "no such file or folder", "the folder of a run, a recording, a store, or a file of market data")
    return Material.of_run(path) if _of_ours(path) else Material(str(path), lambda warmer: _learn(warmer, path, symbols))


def _of_ours(path: Path) -> bool:
    """A recording that begins with the settings of a run."""
    try:
        first = next(iter(recording.read(path)), None)
    except (DataError, ValueError):
        return False
    return first is not None and first.stream == META


def _learn(warmer: Warmer, path: Path, symbols: Sequence[str]) -> None:
    """Market events, read as `liqcore features` reads them."""
    there: Sequence[str] = ()  # files: all, because a name that is not there is an error
    if path.is_dir() and (path / "catalogue.sqlite").is_file():
        from liqshell import store  # pyarrow

        opened = store.open(path)
        there = [name for name in symbols if any(name == f"{c.venue}:{c.symbol}" for c in opened.contracts)]
        known = ", ".join(f"{c.venue}:{c.symbol}" for c in opened.contracts)
        opened.close()
        if not there:
            raise DataError(str(path), f"a store of {known or 'nothing'}", f"some of {', '.join(symbols)}")
    data = feature_rows.open_data([path], there)
    warmer.events(data.parts, data.instruments, str(path))
    warmer.notes += [f"{path}: {note}" for note in data.notes]
