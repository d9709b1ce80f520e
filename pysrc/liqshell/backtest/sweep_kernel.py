"""A grid for liqcore.sweep: the same trades as a backtest of each setting, but separately for each symbol and without the account's limits.

`liqcore sweep` cuts it into units; walk-forward takes it for its choice only: what was chosen is run by the engine, with every limit, before a
number of it is reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liqcore.sweep import RESULT_DTYPE, Grid, sweep
from liqshell.backtest.answers import Answers, answers_of
from liqshell.backtest.half_spread import settings_of
from liqshell.backtest.history import History
from liqshell.config.load import Config
from liqshell.config.study_sections import Setting
from liqshell.report.coverage import DAY_NS
from liqshell.report.study import Outcome

FREE = {"maker_fee": 0.0, "taker_fee": 0.0}  # no trade of the kernel depends on its fees: so its results are those before fees
ALONE = {"entry", "entry_offset", "take_profit", "stop_loss", "trail", "entry_ttl_s", "max_hold_s", "cooldown_s", "exit_phase", "requotes"}
#: terms of a bracket that the kernel does not know; absent where they are as usual
SPECIAL = {"trail_basis", "replaces", "judge_s", "without_news"}


def why_not(config: Config, values: dict[str, Any], symbols: Sequence[str]) -> str:
    """The part of a configuration that a sweep does not support, '' if it may trade as the engine does: the policy's answers decide, see
    answers.inconstant. values: pipeline.settings of the configuration."""
    paper = values["paper"]
    reasons = (
        ("detectors other than [detector]", bool(values["detectors"]) or values["cascade"] is None),
        ("several rules", len(values["policies"]) != 1),
        ("[paper] fills = 'queue'", paper["fills"] == "queue"),
        ("[paper] taker = 'walk'", paper["taker"] != "next"),
        ("[paper] latency = 'empirical'", "latency" in paper),
        ("[paper] leverage", paper["leverage"] != 0.0),
        ("equity_share", any(config.policy_for(s).equity_share for s in symbols)),
        ("trail_basis, replaces, judge_s", any(SPECIAL & terms.keys() for terms in values["brackets"].values())),
    )
    return ", ".join(name for name, found in reasons if found)


def parts_of(cells: Sequence[Setting]) -> tuple[list[Setting], list[dict[str, Any]]]:
    """The deciders and the brackets of a product in its order: the cells are deciders x brackets."""
    deciders: dict[str, Setting] = {}
    seen: dict[str, None] = {}
    for cell in cells:  # what decides is the same of most cells: it is read once
        key = repr((cell.detector, cell.parameters, cell.detectors, cell.hours))
        if key not in seen:
            seen[key] = None
            deciders.setdefault(json.dumps(_outer(cell).named, default=str), _outer(cell))
    return list(deciders.values()), [dict(found) for found in dict.fromkeys(tuple(cell.policy.items()) for cell in cells)]


def _outer(cell: Setting) -> Setting:
    return Setting({}, cell.detector, cell.parameters, cell.detectors, cell.hours)


def grids_of(config: Config, symbols: Sequence[str], brackets: Sequence[Mapping[str, Any]]) -> list[Grid]:
    """One per symbol, a row a bracket setting; the same where no symbol has terms of its own."""
    alone = all(own.keys() <= ALONE for own in brackets)
    # where each axis decides its own argument only, each of its values is read once
    wanted = [{}, *(dict([item]) for item in dict.fromkeys(item for own in brackets for item in own.items()))] if alone else brackets
    known: list[tuple[list[dict[str, Any]], Grid]] = []
    out: list[Grid] = []
    for symbol in symbols:
        read = [config.with_setting(Setting(dict(own))).policy_for(symbol).bracket_arguments() for own in wanted]
        made = next((grid for before, grid in known if before == read), None)
        if made is None:
            made = Grid.of([{name: value for name, value in row.items() if name != "equity_share"} for row in read])
            made = _spread(made.rows, [next(iter(own.items())) for own in wanted[1:]], brackets) if alone else made
            known.append((read, made))
        out.append(made)
    return out


def _spread(rows: np.ndarray, items: Sequence[tuple[str, Any]], brackets: Sequence[Mapping[str, Any]]) -> Grid:
    """A row for each bracket. rows: of the usual one, then of each (name, value) beside what is usual."""
    out = np.repeat(rows[:1], len(brackets))
    place = {item: n for n, item in enumerate(items, 1)}
    for name in dict.fromkeys(name for name, _ in items):
        at = np.array([place.get((name, own.get(name)), 0) for own in brackets])
        for field in out.dtype.names or ():
            if (rows[field][at] != rows[field][0]).any():
                out[field] = rows[field][at]
    return Grid(out)


def venue_of(values: dict[str, Any], end_ns: int) -> dict[str, Any]:
    """Options of liqcore.sweep.sweep: the venue, how long a quote holds, and the limits that look at one order. See of_contract."""
    paper, limits = values["paper"], values["limits"]
    return (
        {name: paper[name] for name in ("fills", "maker_fee", "taker_fee", "order_latency_s", "ack_latency_s", "half_spread", "print_wait_s")}
        | {"quote_age_s": values["quote_age_s"]}
        | {name: limits[name] for name in ("data_age_max_s", "collar", "order_notional_max", "orders_per_signal_max")}
        | {"end": end_ns}
    )


def of_contract(venue: Mapping[str, Any], n: int) -> dict[str, Any]:
    """The same for one contract: with its own half-spread, where they differ."""
    spread = venue["half_spread"]
    return {**venue, "half_spread": spread[n] if isinstance(spread, list | tuple) else spread}


def answers_for(config: Config, history: History, decider: Setting) -> tuple[list[Answers], str]:
    """The policy's answers with one setting of the deciders, per instrument; and the reason why the kernel cannot compute them, '' if it can."""
    return answers_of(settings_of(config.with_setting(decider), history), history)


def outcomes(
    config: Config, values: dict[str, Any], part: History, cells: Sequence[Setting], span: tuple[int, int], days: int = 0
) -> tuple[list[Outcome], np.ndarray, np.ndarray]:
    """The result of each setting on the signals of `span`; and its net result, and that before fees, of each of so many days of the span, (days,
    settings). cells: a product, detectors first. Funding is not part of it."""
    deciders, brackets = parts_of(cells)
    total = np.zeros(len(cells), RESULT_DTYPE)
    net, gross = np.zeros((days, len(cells))), np.zeros((days, len(cells)))
    grids = grids_of(config, [i.symbol for i in part.instruments], brackets)
    venue = venue_of(values, part.end_ns)
    for d, decider in enumerate(deciders):
        for n, answers in enumerate(answers_for(config, part, decider)[0]):
            own = answers.within(*span)

            def swept(free: Mapping[str, Any], daily: np.ndarray | None, n: int = n, own: Answers = own) -> np.ndarray:
                return sweep(
                    part.tape,
                    n,
                    own.signals,
                    own.sides,
                    grids[n],
                    places=own.places,
                    closed=own.closed,
                    daily=daily,
                    **{**of_contract(venue, n), **free},
                )

            here = slice(d * len(brackets), (d + 1) * len(brackets))
            daily = np.zeros((len(brackets), days_of(part.tape.start, part.end_ns))) if days else None
            found, rows = swept({}, daily), total[here]
            if daily is not None:
                net[:, here] += _by_day(daily, part.tape.start, span, days)
                swept(FREE, daily)
                gross[:, here] += _by_day(daily, part.tape.start, span, days)
            for name in ("entries", "trades", "wins", "gross", "fees", "net", "notional"):
                rows[name] += found[name]
    total["notional"] /= 2.0  # half of what was bought and sold: that of the entries, but for what the trades gained or lost
    outcomes_: list[Outcome] = [
        {
            "entries": int(r["entries"]),
            "trades": int(r["trades"]),
            "wins": int(r["wins"]),
            "gross": float(r["gross"]),
            "fees": float(r["fees"]),
            "funding": 0.0,
            "net": float(r["net"]),
            "notional": float(r["notional"]),
            "mean_bps": float(r["net"] / r["notional"] * 1e4) if r["notional"] else None,
        }
        for r in total
    ]
    return outcomes_, net, gross


def days_of(start_ns: int, end_ns: int) -> int:
    """Days (UTC) that a span touches."""
    return max(0, end_ns // DAY_NS - start_ns // DAY_NS + 1)


def _by_day(daily: np.ndarray, start_ns: int, span: tuple[int, int], days: int) -> np.ndarray:
    """Results by UTC day from that of start_ns on, (settings, UTC days), as (days of the span, settings): what ends later belongs to the last day,
    and where the span begins inside of a day, its first and its last piece are one day of 24 h together."""
    first = span[0] // DAY_NS - start_ns // DAY_NS
    at = np.clip(np.arange(daily.shape[1]) - first, 0, (span[1] - 1) // DAY_NS - span[0] // DAY_NS) % days
    out = np.zeros((days, len(daily)))
    np.add.at(out, at, daily.T)
    return out
