"""Tests whether a configuration can be built: constructs every object of `live` and `backtest` once, and discards it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import liqcore as lc
from liqshell.config.load import Config
from liqshell.errors import ConfigError, DataError, LiqshellError
from liqshell.recording import journal
from liqshell.run.pipeline import LiveStart, Pipeline, make_paper, settings


@dataclass(frozen=True, slots=True)
class Made:
    """what: 'paper', 'live', 'backtest', 'warm' or 'ccxt'. text: what was made of it. fault: why it cannot be made, None = it can."""

    what: str
    text: str
    fault: LiqshellError | None = None


def construct(config: Config, known: Mapping[str, lc.Instrument], speed: float = 1.0) -> list[Made]:
    """known: contracts of [feed] as the venue describes them; the others are made up, with fine ticks. A policy of the user's is run to make it, as
    a start would. Raises nothing for what a configuration may say."""
    out: list[Made] = []
    if contracts := [*_of_feeds(config, known)]:
        out.append(_tried("paper", contracts, lambda: Pipeline(settings(config, contracts, speed), trust=True)))
        if config.run.mode == "live":
            start = LiveStart(config.paper.equity, config.live.patience)
            out.append(_tried("live", contracts, lambda: Pipeline(settings(config, contracts, speed, live=start), trust=True)))
    out += _of_data(config)
    for source in config.warm.sources:
        if not Path(source).exists():
            out.append(
                Made(
                    "warm",
                    "",
                    ConfigError(
                        "[warm] sources",
                        f"{source}: no such file or folder",
                        "a run, a recording, a store or a file",
                        "Correct the path, or remove it",
                    ),
                )
            )
    if config.run.mode == "live" and config.live.via == "ccxt":
        from liqshell.live.ccxt_account import refuse_without_consent

        try:
            refuse_without_consent(config)
        except ConfigError as why:
            out.append(Made("ccxt", "", why))
    return out


def _of_feeds(config: Config, known: Mapping[str, lc.Instrument]) -> Iterator[lc.Instrument]:
    for feed in config.all_feeds():
        for symbol in feed.named:
            first = known.get(symbol) if feed.venue == config.feed.venue else None
            yield first or _made_up(feed.venue, symbol)


def _made_up(venue: str, symbol: str) -> lc.Instrument:
    return lc.Instrument(symbol, venue=venue, tick_size="0.000001", lot_size="0.000001")


def _tried(what: str, contracts: Sequence[lc.Instrument], make: Callable[[], object]) -> Made:
    try:
        make()
    except (ConfigError, DataError) as why:
        return Made(what, "", why)
    except (ValueError, TypeError) as why:
        return Made(what, "", ConfigError(f"[{what}]", str(why)))
    return Made(what, f"{len(contracts)} contract{'s' if len(contracts) > 1 else ''}")


def _of_data(config: Config) -> Iterator[Made]:
    """The contracts and times of a backtest, without reading its events."""
    data = config.data
    wanted = data.symbols or config.feed.named
    contracts: list[lc.Instrument] = []
    try:
        if data.store:
            from liqshell import store  # pyarrow

            opened = store.open(data.store)
            try:
                contracts = list(opened.select(wanted, data.start or None, data.end or None, missing="gap").instruments)
            finally:
                opened.close()
        for file in data.files:
            if not Path(file).exists():
                raise DataError(file, "no such file or folder", "the folder of a run, a recording, or a file that can be imported")
            if (Path(file) / journal.MANIFEST).is_file():
                listed = journal.load_manifest(file).get("instruments", ())
                contracts = contracts or [lc.Instrument(**fields) for fields in listed if not wanted or fields["symbol"] in wanted]
        if data.files and not contracts:
            contracts = [_made_up(data.venue or config.feed.venue, symbol) for symbol in wanted]
        if contracts:
            config.refuse_unknown_symbols([one.symbol for one in contracts])
    except (ConfigError, DataError) as why:
        yield Made("backtest", "", why)
        return
    if contracts:
        yield _tried("backtest", contracts, lambda: make_paper(settings(config, contracts), trust=True))
