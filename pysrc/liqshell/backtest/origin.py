"""The source of a study's data, so that another process opens the same data: all contracts, or one of them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import liqcore as lc
from liqshell.backtest.history import History, fingerprint_of, imported_into, own_runs, recorded, with_gaps
from liqshell.backtest.past_judge import asks_anew
from liqshell.config.load import Config
from liqshell.errors import DataError
from liqshell.input_file import address_of


@dataclass(frozen=True)
class Origin:
    """store: a folder, with the span that was selected of it; or runs: their folders. contracts: by the names that they have there, symbols: as
    instruments. span, fingerprint: of the History; anew: without the verdicts of the run."""

    contracts: tuple[str, ...]
    symbols: tuple[str, ...]
    span: tuple[int, int]
    fingerprint: str
    store: str = ""
    selected: tuple[int, int] = (0, 0)
    runs: tuple[str, ...] = ()
    anew: bool = False

    @classmethod
    def of(cls, config: Config, history: History) -> Origin:
        """That of a History that load_history has made of this configuration."""
        data, symbols = config.data, tuple(i.symbol for i in history.instruments)
        span = history.start_ns, history.end_ns
        if not data.store and own_runs(data.files):
            return cls(symbols, symbols, span, history.fingerprint, runs=tuple(map(os.path.abspath, data.files)), anew=asks_anew(config, symbols))
        from liqshell import store

        folder = address_of(data.store) or os.path.abspath(data.store or imported_into(config)[0])
        opened = store.open(folder)
        try:
            selection = opened.select(data.symbols or config.feed.named, data.start or None, data.end or None, missing="gap")
        finally:
            opened.close()
        names = tuple(f"{contract.venue}:{contract.symbol}" for contract in selection.contracts)
        return cls(names, symbols, span, history.fingerprint, folder, (selection.start, selection.end))

    def open(self, contract: int | None = None) -> lc.Tape:
        """The tape of the History, or of one contract of it. DataError where it cannot be opened, or is not the same data."""
        chosen = self.contracts if contract is None else self.contracts[contract : contract + 1]
        if self.runs:
            found = recorded(self.runs, chosen)
            self._check(found.fingerprint)
            found = found.between(*self.span) if self.span != (found.start_ns, found.end_ns) else found
            return (found.without_verdicts() if self.anew else found).tape
        from liqshell import store

        opened = store.open(self.store)
        try:
            self._check(opened.select(self.contracts, *self.selected, missing="gap").fingerprint)
            tape = opened.tape_of(opened.select(chosen, *self.selected, missing="gap"))
        finally:
            opened.close()
        return with_gaps(History(tape, *self.span, self.fingerprint, self.store)).tape

    def _check(self, source: str) -> None:
        if fingerprint_of(source, self.span, list(self.symbols)) != self.fingerprint:
            raise DataError(self.store or ", ".join(self.runs), "holds other data of this span and these contracts", "the same partitions")
