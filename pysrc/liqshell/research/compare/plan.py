"""The plan of a comparison: one configuration per preset, equal in everything but the preset's own settings."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from liqshell.backtest.past_judge import PAST
from liqshell.config.load import Config, load, loads, presets
from liqshell.config.sections import LimitsConfig, PolicyConfig
from liqshell.errors import ConfigError, DataError
from liqshell.recording import journal
from liqshell.store.catalogue import FILE as CATALOGUE


def names_of(wanted: Sequence[str]) -> list[str]:
    """Presets by name, each once, () = all that ship. ConfigError for one that does not exist."""
    known = presets()
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(f"--policies {name}", "no preset of this name", f"of {', '.join(known)}", f"Did you mean {near[0]}?" if near else "")
    return list(dict.fromkeys(wanted)) or list(known)


def with_preset(config: Config, name: str) -> Config:
    """The configuration with another preset and that preset's own numbers.

    Of [policy] only the money stays (notional, equity_share), and that a judge is asked (judge_s, without_news) where [judge] names one that answers
    about the past: offsets belong to their preset. [detector] and [detectors.NAME] change the detectors of
    every preset that has them; [limits] holds for all, and what it leaves out is the preset's.
    """
    preset = presets()[name]
    before = config.preset_of().limits
    given = {f.name: value for f in dataclasses.fields(LimitsConfig) if (value := getattr(config.limits, f.name)) != getattr(before, f.name)}
    judge_s, without_news = (config.policy.judge_s, config.policy.without_news) if config.judge.kind in PAST else (None, None)
    changed: dict[str, Any] = {
        "policy": PolicyConfig(
            preset=name, notional=config.policy.notional, equity_share=config.policy.equity_share, judge_s=judge_s, without_news=without_news
        ),
        "limits": dataclasses.replace(preset.limits, **given),
    }
    own = getattr(preset, "detectors", {})
    if getattr(config, "detectors", None):
        changed["detectors"] = {key: table for key, table in config.detectors.items() if key in own}
    return dataclasses.replace(config, **changed)


def read(path: Path, changes: Sequence[str] = ()) -> Config:
    """The configuration of a comparison: a TOML file with [data]; or data itself: a store, the folder of a run, a file that can be imported."""
    if path.suffix == ".toml" and path.is_file():
        return load(path, changes)
    if not path.exists():
        raise ConfigError(str(path), "no such file or folder", "a configuration, a store, or the folder of a run")
    at = json.dumps(str(path.resolve()))
    lines = []
    if (path / CATALOGUE).is_file():
        lines = [f"[data]\nstore = {at}"]
    else:
        lines = [f"[data]\nfiles = [{at}]"]
        try:
            settings = journal.load_manifest(path).get("settings") or {}
        except DataError:
            settings = {}
        # a rehearsal faster than the wall is late by so much more: what its own run allowed is allowed here, and what it took for a price is one here
        for table, values, keys in (
            ("limits", settings.get("limits"), ("data_age_max_s", "event_age_max_s")),
            ("engine", settings, ("quote_age_s",)),
            ("paper", settings.get("paper"), ("half_spread", "print_wait_s")),
        ):
            known = values or {}
            same = [f"{key} = {float(known[key])!r}" for key in keys if isinstance(known.get(key), int | float)]
            lines += [f"[{table}]", *same] if same else []
    return loads("\n".join(lines) + "\n", str(path), changes)
