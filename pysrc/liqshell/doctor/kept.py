"""The stored learnt state of a configuration, read only."""

from __future__ import annotations

from dataclasses import dataclass

import liqcore as lc
from liqshell.config.load import Config
from liqshell.errors import ConfigError, DataError
from liqshell.run.pipeline import make_engine, settings
from liqshell.run.warm_up import policies_of
from liqshell.state.learnt import Learnt, learnt_file, load


@dataclass(frozen=True, slots=True)
class Kept:
    """The learnt state of the last run. path: of the file. learnt: None = there is none, or `fault` says why it will not be used."""

    path: str
    learnt: Learnt | None = None
    fault: str = ""


def read_kept(config: Config, now_ns: int, speed: float = 1.0) -> Kept:
    """Raises nothing for what may be in the file. now_ns, speed: of the market. A start that looks at it finds the same, but for the ticks and lots
    that the venue says."""
    path = learnt_file(config.run.out, config.run.name or "live")
    try:
        found = load(path)
        if found is None:
            return Kept(str(path))
        instruments = [lc.Instrument(**fields) for fields in found.identity["instruments"]]
        wanted = [f"{one.venue}:{symbol}" for one in config.all_feeds() for symbol in one.symbols]
        learnt = [i.key for i in instruments]
        if learnt != wanted:
            return Kept(str(path), None, f"{path}: its state is of {', '.join(learnt)}; this configuration watches {', '.join(wanted)}")
        values = settings(config, instruments, speed)
        found.fit(policies_of(values), make_engine(values, trust=True), str(path))
        age_h = (now_ns - found.until_ns) / 3.6e12
        if not 0.0 <= age_h <= config.warm.age_max_h:
            return Kept(
                str(path), None, f"{path}: its state ends {age_h:,.1f} h ago; expected from 0 to [warm] age_max_h = {config.warm.age_max_h:g}"
            )
    except (DataError, ConfigError, ValueError, TypeError) as why:
        return Kept(str(path), None, str(why))
    return Kept(str(path), found)
