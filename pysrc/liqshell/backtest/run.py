"""One backtest: its folder, the run itself, then its controls and delays."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.user_error import told
from liqshell import private
from liqshell.backtest import shadows, trials, variants
from liqshell.backtest.half_spread import of_history, settings_of
from liqshell.backtest.history import HOUR_NS, History, load_history
from liqshell.backtest.past_judge import LIVE, AskPast, as_recorded, asker
from liqshell.backtest.spread import spread
from liqshell.backtest.trial_log import Tried
from liqshell.config.load import Config
from liqshell.config.study_sections import Setting
from liqshell.errors import ConfigError, DataError
from liqshell.fields import SCALE
from liqshell.grades import contracts_of, together
from liqshell.judge.asked import FILE as JUDGE
from liqshell.recording import journal
from liqshell.recording.journal import Journal
from liqshell.report.study import STUDY, VERSION
from liqshell.run.pipeline import make_paper
from liqshell.run.tape_driver import drive

FILLS = {
    "through": "a resting order fills completely when a trade or the opposite quote goes strictly beyond its price",
    "touch": "a resting order fills by the size of every trade at its price; optimistic",
    "queue": "trades at the price of a resting order first consume the size shown before it, then fill it; a trade beyond fills it completely",
}
TAKERS = {
    "next": "completely at the next price, never better than a live quote",
    "walk": "by the size that each event shows or trades, the rest at the next",
}
DAY_NS = 24 * HOUR_NS
SAMPLES_MAX = 20_000  # of the equity series
RETURNS = "returns.npy"  # (days of the test spans, settings), float64: daily net results
GROSS = "gross.npy"  # ... before fees and funding
#: what a run leaves in its folder, and nothing else: only such a folder is ever replaced
LEAVES = {
    journal.MANIFEST,
    journal.MANIFEST + ".new",
    journal.AUDIT,
    STUDY,
    "report.html",
    "report.json",
    "trades.csv",
    "trades.parquet",
    RETURNS,
    GROSS,
    trials.DAILY,
    JUDGE,
}
SMALL = 500_000  # events, below which processes cost more than they save
Notify = Callable[[str, float], None]


def run_backtest(
    config: Config,
    folder: str | Path | None = None,
    notify: Notify | None = None,
    name: str = "backtest",
    forward: bool = False,
    history: History | None = None,
) -> Path:
    """Run [backtest] on [data] and leave the folder of the run; its path. notify(what, share done) is called now and then. forward: walk forward too.
    history: what [data] names, where it is loaded already.

    The folder is by default [run] out / NAME-DIGEST of settings and data, so that the same run comes to the same place. A folder of an unfinished
    backtest is replaced; one that holds anything else is refused.
    """
    notify, timing = notify or (lambda what, done: None), dict[str, float]()
    began = time.perf_counter()
    notify("loading", 0.0)
    history = history or load_history(config)
    timing["load"] = time.perf_counter() - began
    values = settings_of(config, history)
    key = _hash({"settings": values, "data": history.fingerprint} | ({"forward": _plan(config)} if forward else {}))
    paper = make_paper(values, trust=True)  # before the folder: a policy that cannot be made leaves none
    judge = asker(values, history.instruments, config.judge, config.run.out)
    made = Path(folder) if folder is not None else Path(config.run.out) / f"{config.run.name or name}-{key[:8]}"
    claim(made, replace_finished=folder is None)
    book = Journal(made, manifest(config, history, values) | {"name": config.run.name or name, "finished": False})
    try:
        notify("the run itself", 0.0)
        began = time.perf_counter()
        audit, equity, counters = _run(paper, history, book, judge)
        timing["run"] = time.perf_counter() - began
        judged = _judged(judge, values, made)
        if judge is not None and values["judge"]["kind"] in LIVE:
            values = as_recorded(values, made)  # what runs beside it asks nobody anew
        study: dict[str, Any] = {
            "version": VERSION,
            "timing_s": timing,
            "problems": history.problems,
            "models": models(config, history),
            "half_spread": [one.as_dict() for one in of_history(config.paper, history)],
            "data": {"fingerprint": history.fingerprint, "store": history.source, "parts": history.parts},
            "equity": equity,
        }
        if judge is not None:
            notify("shadows of the judge's questions", 0.0)
            study["judge"] = shadows.judged(values, history, audit, judge.told, config.run.seed, judged["contaminated"])
        if config.backtest.study:
            study |= _variants(config, values, history, timing, notify)
        own = trials.identities(config, history, [Setting()])
        found = trials.log_trials(config, history, "backtest", own, {}, trials.days_net(audit, history)[:, None])
        found, more = _forward(config, history, made, study, timing, notify) if forward else (found, {})
        study["trials"] = trials.summary(found, own, made) | more
        private.write(made / STUDY, json.dumps(study) + "\n")
    except BaseException as why:  # the folder says that it is not finished, and why
        book.close(problem=told(why))
        raise
    finally:
        if judge is not None:
            judge.close()
    book.close(
        ended_ns=history.end_ns,
        wall_ended_ns=time.time_ns(),
        counters=counters,
        latency={},
        data_hash=history.fingerprint,
        finished=True,
        **({"judge": judged} if judged else {}),
    )
    return made


def _judged(judge: AskPast | None, values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The outcome of the questions, for run.json; writes them and their answers into the folder."""
    if judge is None:
        return {}
    lines = judge.lines().encode()
    private.write(folder / JUDGE, lines.decode())
    return {"kind": values["judge"]["kind"], "answered": judge.counts, "hash": hashlib.sha256(lines).hexdigest(), "contaminated": judge.contaminated}


def claim(folder: Path, replace_finished: bool) -> None:
    """Make room for a run: what an unfinished backtest left there goes. ConfigError where the folder holds anything else."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        found = journal.load_manifest(folder)
    except DataError:
        found = {}
    ours = found.get("mode") == "backtest" and all(item.name in LEAVES for item in folder.iterdir())
    if not ours or found.get("finished") and not replace_finished:
        what = "a finished backtest" if ours else "content that is not an unfinished backtest"
        raise ConfigError(
            str(folder), f"this folder holds {what}", "a new folder, or one with an unfinished backtest", "Choose another --out or remove it"
        )
    # the manifest goes last: killed in between, the folder still says what it was
    for item in sorted(folder.iterdir(), key=lambda item: item.name == journal.MANIFEST):
        item.unlink()


def manifest(config: Config, history: History, values: dict[str, Any]) -> dict[str, Any]:
    """run.json as far as it is known at the start: the keys of a live run, with what makes it reproducible."""
    contracts = contracts_of(config, values)
    names, grade, evidence = together(contracts)
    return {
        "version": lc.__version__,
        "abi": lc.abi_version(),
        "mode": "backtest",
        "venue": history.instruments[0].venue or config.feed.venue,
        "seed": config.run.seed,
        "synthetic": history.synthetic,
        "speed": 1.0,
        "preset": names,
        "evidence": evidence,
        "grade": grade,
        "contracts": contracts,
        "config": config.as_dict(),
        "settings": values,
        "instruments": values["instruments"],
        "config_hash": _hash(values),
        "code_hash": journal.code_hash(),
        "market_seeds": list(history.market_seeds),
        "data_hash": history.fingerprint,
        "started_ns": history.start_ns,
        "ended_ns": history.end_ns,
        "wall_started_ns": time.time_ns(),
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _run(paper: lc.Paper, history: History, book: Journal, judge: AskPast | None) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """The run itself: its audit stream (also into the journal), the account at mark over time, and the counters."""
    engine = paper.engine
    times, marked = [history.start_ns], [engine.account.equity]

    def each(ts: int, fresh: np.ndarray) -> None:
        book.audit(fresh)
        times.append(ts)
        marked.append(engine.account.equity)

    audit = drive(lc.Walk(paper, history.tape, judge), history.end_ns, _sample_times(history.start_ns, history.end_ns), each)
    refused = {reason.name: n for reason, n in engine.refused.items()}
    return audit, {"ts": times, "marked": marked}, {"events": len(history.tape), "refused": refused}


def _sample_times(start_ns: int, end_ns: int) -> list[int]:
    """Full hours in between (full days where there are too many)."""
    grid = HOUR_NS if (end_ns - start_ns) // HOUR_NS <= SAMPLES_MAX else DAY_NS
    return list(range((start_ns // grid + 1) * grid, end_ns, grid))


def _variants(config: Config, values: dict[str, Any], history: History, timing: dict[str, float], notify: Notify) -> dict[str, Any]:
    """Delays and controls, side by side on all cores, and the run without its timetable."""
    wanted = config.backtest
    items = variants.items_of(wanted.delays_s, wanted.controls_wanted, wanted.random_draws)
    began = time.perf_counter()
    study = variants.Study(values, history, config.run.seed, wanted.delay_of)
    made: dict[tuple[str, float], Any] = {}
    for item, result in spread(variants.one, study, items, 1 if len(history.tape) < SMALL else 0):
        made[item] = result
        notify(f"reaction {item[1]:g} s later" if item[0] == variants.DELAY else f"control {item[0]}", len(made) / len(items))
    timing["variants"] = time.perf_counter() - began
    controls = [
        {"kind": kind, "seed": variants.seed_of(kind, config.run.seed), "draws": [made[item] for item in items if item[0] == kind]}
        for kind in wanted.controls_wanted
    ]
    found: dict[str, Any] = {"delays": [made[variants.DELAY, delay_s] for delay_s in wanted.delays_s], "controls": controls}
    if values.get("timetable"):
        open_ = {key: value for key, value in values.items() if key != "timetable"}
        found["without_timetable"] = variants.outcome(variants.trade(open_, history), history)
    return found


def models(config: Config, history: History) -> dict[str, str]:
    """The assumptions, in words."""
    paper = config.paper
    slow = (
        "every liquidation is received later by the delay" if config.backtest.delay_of == "reaction" else "every request arrives later by the delay"
    ) + ", on top of the latency"
    constant = f"orders {paper.order_latency_ms:g} ms, reports {paper.ack_latency_ms:g} ms, constant"
    measured = f"drawn from {Path(paper.latency_samples).name} with seed {paper.latency_seed}" if paper.latency == "empirical" else "constant"
    out = {
        "fills": FILLS[paper.fills],
        "market orders and stops": TAKERS[paper.taker],
        "latency": constant if paper.latency == "constant" else measured,
        "funding": f"every {paper.funding_interval_s / 3600:g} h at the rate of the tickers" if paper.funding_interval_s else "none",
        "own liquidation": f"at {paper.leverage:g} x isolated margin, maintenance {paper.maintenance_margin / SCALE:.2%}"
        if paper.leverage
        else "not modelled: leverage is only a limit",
        "delays": slow,
        "own impact": "none: our orders do not move the market",
    }
    out["no live quote"] = (
        f"a best bid and ask older than {config.engine.quote_age_s:g} s, cut off by the feed or contradicted by a trade does not count. Takers then "
        f"fill at the first later trade whose aggressor is on their side; without one within {paper.print_wait_s:g} s, at the last trade moved by "
        "the half-spread against them. Post-only is checked against the last trade, moved in the same way. Entries are refused if quotes existed "
        "before"
    )
    if not history.count("quotes"):
        out["no quotes"] = "the data have no best bid and ask: the cost of the spread is an estimate, and no gain is claimed"
    if not (history.tape.rare["kind"] == int(lc.Kind.TICKER)).any():
        out["no tickers"] = (
            "the data have no mark price and no funding rate: positions are marked at the last trade, no funding is paid, and the "
            "side of liquidations is not checked against the mark price"
        )
    return out


def _plan(config: Config) -> dict[str, Any]:
    """The grid of [sweep] and [forward], by which a walk is known."""
    return {"axes": config.sweep.axes, "objective": config.sweep.objective, "forward": vars(config.forward)}


def _forward(
    config: Config, history: History, folder: Path, study: dict[str, Any], timing: dict[str, float], notify: Notify
) -> tuple[Tried, dict[str, Any]]:
    """Walk forward, into the study; what was tried, and where the daily results of its settings are."""
    from liqshell.backtest.forward import walk_forward

    began = time.perf_counter()
    found, daily, problems = walk_forward(config, history, notify)
    timing["forward"] = time.perf_counter() - began
    study["forward"] = found
    study["problems"] = study["problems"] + problems
    cells = list(config.sweep.settings())
    more: dict[str, Any] = {}
    if daily is not None:
        for name, rows in ((RETURNS, daily.net), (GROSS, daily.gross)):
            np.save(folder / name, rows)
        symbols = [i.symbol for i in history.instruments]
        entries = ["+".join(sorted({config.with_setting(cell).policy_for(symbol).entry for symbol in symbols})) for cell in cells]
        more = {"matrix": RETURNS, "gross": GROSS, "groups": entries}
    return trials.log_trials(config, history, "forward", trials.identities(config, history, cells), trials.grid_of(config)), more
