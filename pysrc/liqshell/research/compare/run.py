"""One comparison: every preset in the same backtest on the same history, with its own folder and report, then the comparison."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liqshell import private
from liqshell.backtest import load_history, run_backtest
from liqshell.backtest.half_spread import of_history, settings_of
from liqshell.backtest.history import History
from liqshell.backtest.past_judge import refuse_model
from liqshell.backtest.policy_log import Listened, listen
from liqshell.backtest.run import claim, manifest
from liqshell.backtest.spread import spread
from liqshell.backtest.trials import identities, log_trials, summary
from liqshell.config.load import Config
from liqshell.config.study_sections import Setting
from liqshell.errors import ConfigError, DataError, LiqshellError
from liqshell.recording import journal
from liqshell.report import make_report
from liqshell.report.study import STUDY
from liqshell.research.compare import events
from liqshell.research.compare.figures import row_of
from liqshell.research.compare.plan import names_of, with_preset
from liqshell.run.pipeline import make_engine

RUNS = "presets"  # folder of the runs, one a preset
Notify = Callable[[str, float], None]


@dataclass(frozen=True)
class Compared:
    """A finished comparison. rows: one a preset (figures.row_of), in the order asked for; failed: presets that could not be run, and why."""

    folder: Path
    config: Config
    history: History
    rows: list[dict[str, Any]]
    failed: dict[str, str]
    signs: list[dict[str, Any]]
    together: list[dict[str, Any]]
    base_rates: list[dict[str, Any]]
    tried: int
    hours: float
    half_spread: list[dict[str, Any]]


@dataclass(frozen=True)
class _Work:
    """The data that the processes share."""

    config: Config
    history: History
    folder: Path


def run_compare(
    config: Config,
    wanted: Sequence[str] = (),
    out: str | Path | None = None,
    *,
    workers: int = 0,
    notify: Notify | None = None,
    history: History | None = None,
) -> Compared:
    """Run the presets on [data] and compare them. wanted: names, () = all. out: by default [run] out / NAME-compare; runs of before that are
    still right (same settings, data and code) are kept. workers: processes, 0 = one a core. notify(what, share done) is called now and then."""
    notify = notify or (lambda what, done: None)
    names = names_of(wanted)
    notify("loading", 0.0)
    refuse_model(config, "comparison")
    history = history or load_history(config)
    folder = Path(out) if out is not None else Path(config.run.out) / (f"{config.run.name}-compare" if config.run.name else "compare")
    _claim(folder)
    work = _Work(config, history, folder)
    by_preset: dict[str, Listened] = {}
    failed: dict[str, str] = {}
    for done, (name, found) in enumerate(spread(_run, work, names, workers), 1):
        if isinstance(found, Listened):
            by_preset[name] = found
        else:
            failed[name] = found
        notify(f"{done} of {len(names)} presets", 0.9 * done / len(names))
    by_preset = {name: by_preset[name] for name in names if name in by_preset}
    tried = _count_trials(config, history, folder, list(by_preset))
    summaries = {}
    for done, (name, found) in enumerate(spread(_report, work, list(by_preset), workers), 1):
        summaries[name] = found
        notify(f"report {done} of {len(by_preset)}", 0.9 + 0.1 * done / len(by_preset))
    hours = sum(part["covered_hours"] for part in history.parts)
    rows = [
        row_of(name, with_preset(config, name), summaries[name], events.signs(by_preset[name]), hours, f"{RUNS}/{name}/report.html")
        for name in by_preset
    ]
    values = {name: settings_of(with_preset(config, name), history) for name in by_preset}
    return Compared(
        folder,
        config,
        history,
        rows,
        failed,
        _signs(config, history, by_preset, values),
        events.together(by_preset),
        events.base_rates(by_preset, hours),
        tried,
        hours,
        [one.as_dict() for one in of_history(config.paper, history)],
    )


def _signs(config: Config, history: History, by_preset: dict[str, Listened], values: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Both signs on the signals of each detector and on the wishes of each preset."""
    paper = values[next(iter(values))]["paper"] if values else {}
    out = []
    for name, rows in events.named(events.of_detectors(by_preset, values), by_preset):
        horizons = events.both_signs(history, rows, paper["order_latency_s"], paper["taker_fee"], paper["half_spread"], paper["print_wait_s"])
        out.append(
            {
                "name": name,
                "events": len(rows),
                "longs_liquidated": int((rows["liquidated"] > 0).sum()),
                "shorts_liquidated": int((rows["liquidated"] < 0).sum()),
                "horizons": horizons,
                "told": events.conclusion_of(name, horizons),
            }
        )
    return out


def _claim(folder: Path) -> None:
    """A folder of an earlier comparison or an empty one."""
    if folder.exists() and any(folder.iterdir()) and not (folder / RUNS).is_dir():
        raise ConfigError(
            str(folder), "this folder holds content other than a comparison", "a new folder, or one of a comparison", "Choose another --out"
        )
    private.folder(folder / RUNS)


def _run(work: _Work, name: str) -> Listened | str:
    """One preset: its backtest into its folder, and what it was asked; or why it could not be run on this data."""
    config = with_preset(work.config, name)
    folder = work.folder / RUNS / name
    try:
        values = settings_of(config, work.history)
        try:
            make_engine(values, trust=True)
        except (ValueError, KeyError) as why:  # a detector or a feature that these contracts do not have
            return str(why)
        found = listen(values, work.history)
        listened = Listened(found.rows, found.conditions)
        if not _right(folder, config, work.history, values):
            claim(folder, replace_finished=True)
            run_backtest(config, folder, history=work.history)
        return listened
    except LiqshellError as why:
        return str(why)


def _right(folder: Path, config: Config, history: History, values: dict[str, Any]) -> bool:
    """Whether the folder holds this very run already."""
    try:
        found, now = journal.load_manifest(folder), manifest(config, history, values)
    except DataError:
        return False
    study = {name: getattr(config.backtest, name) for name in ("study", "controls", "random_draws", "delays_s", "delay_of")}
    known = {name: (found.get("config") or {}).get("backtest", {}).get(name) for name in study}
    return (
        bool(found.get("finished"))
        and all(found.get(key) == now[key] for key in ("config_hash", "data_hash"))
        and found.get("code_hash") == journal.code_hash()
        and not journal.damage_of(folder, found)
        and json.dumps(study, default=str) == json.dumps(known, default=str)
    )


def _report(work: _Work, name: str) -> dict[str, Any]:
    return make_report(work.folder / RUNS / name, tape=work.history.tape).summary


def _count_trials(config: Config, history: History, folder: Path, names: Iterable[str]) -> int:
    """All presets are trials of one search: each run receives their number, itself and later ones included."""
    each = {name: identities(with_preset(config, name), history, [Setting()]) for name in names}
    if not each:
        return 0
    found = log_trials(config, history, "compare", np.concatenate(list(each.values())), {"preset": list(each)})
    for name in each:
        path = folder / RUNS / name / STUDY
        study = json.loads(path.read_text())
        study["trials"] = summary(found, each[name], path.parent)
        temporary = path.with_suffix(".new")
        private.write(temporary, json.dumps(study) + "\n")
        shutil.move(temporary, path)
    return found.n
