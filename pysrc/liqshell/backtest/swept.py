"""A grid for liqcore.sweep: the same trades as one backtest a setting, but every symbol for itself and without the account's limits.

`liqcore sweep` cuts it into units; walk-forward takes it for its choice only: what was chosen is run by the engine, with every limit, before a
number of it is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.answers import Answers, answers_of
from liqshell.backtest.history import History
from liqshell.config import Config
from liqshell.report.study import Outcome
from liqshell.rules import is_file, make_policy
from liqshell.study import Setting


def why_not(config: Config, values: dict[str, Any], symbols: Sequence[str]) -> str:
    """Why a sweep would not trade as the engine does, '' where it does. values: pipeline.settings of the configuration."""
    paper = values["paper"]
    # the brackets of a policy of one's own may differ from signal to signal, or from [policy]: rows of a grid would then not be what it does
    reasons = (("[policy] rule of your own", is_file(values["rule"])), ("[paper] fills = 'queue'", paper["fills"] == "queue"),
               ("[paper] taker = 'walk'", paper["taker"] != "next"), ("[paper] latency = 'empirical'", "latency" in paper),
               ("[paper] leverage", paper["leverage"] != 0.0),
               ("equity_share", any(config.policy_for(s).equity_share for s in symbols)))
    return ", ".join(name for name, found in reasons if found)


def parts_of(cells: Sequence[Setting]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Detector settings and bracket settings of a product, in its order: the cells are detectors x brackets."""
    return ([dict(found) for found in dict.fromkeys(tuple(cell.detector.items()) for cell in cells)],
            [dict(found) for found in dict.fromkeys(tuple(cell.policy.items()) for cell in cells)])


def grids_of(config: Config, symbols: Sequence[str], brackets: Sequence[Mapping[str, Any]]) -> list[Any]:
    """One liqcore.sweep.Grid per symbol, a row a bracket setting."""
    from liqcore.sweep import Grid      # numba: only for those who sweep

    grids = []
    for symbol in symbols:
        wanted = [config.with_setting(Setting(own, {})).policy_for(symbol).bracket_arguments() for own in brackets]
        grids.append(Grid.of([{name: value for name, value in row.items() if name != "equity_share"} for row in wanted]))
    return grids


def venue_of(values: dict[str, Any], end_ns: int) -> dict[str, Any]:
    """Options of liqcore.sweep.sweep: the venue, and the limits that look at one order."""
    paper, limits = values["paper"], values["limits"]
    return ({name: paper[name] for name in ("fills", "maker_fee", "taker_fee", "order_latency_s", "ack_latency_s")}
            | {name: limits[name] for name in ("data_age_max_s", "collar", "order_notional_max", "orders_per_signal_max")} | {"end": end_ns})


def heard(config: Config, values: dict[str, Any], tape: lc.Tape, detector: Mapping[str, Any]) -> list[Answers]:
    """What the policy answers to the signals of one detector setting, per instrument."""
    cascade = config.with_setting(Setting({}, detector)).detector_values().cascade_arguments()
    return answers_of(tape, cascade, partial(make_policy, values["rule"], values["brackets"], values.get("rule_sha256")), values["limits"])


def outcomes(config: Config, values: dict[str, Any], part: History, cells: Sequence[Setting], span: tuple[int, int]) -> list[Outcome]:
    """What each setting does with the signals of `span`. cells: a product, detectors first. Funding is not part of it."""
    from liqcore import sweep as sweeping

    detectors, brackets = parts_of(cells)
    total = np.zeros(len(cells), sweeping.RESULT_DTYPE)
    grids = grids_of(config, [i.symbol for i in part.instruments], brackets)
    venue = venue_of(values, part.end_ns)
    for d, detector in enumerate(detectors):
        for n, answers in enumerate(heard(config, values, part.tape, detector)):
            own = answers.within(*span)
            found = sweeping.sweep(part.tape, n, own.signals, own.sides, grids[n], places=own.places, **venue)
            rows = total[d * len(brackets):(d + 1) * len(brackets)]
            for name in ("entries", "trades", "wins", "gross", "fees", "net", "notional"):
                rows[name] += found[name]
    total["notional"] /= 2.0                   # of the sweep: what was bought and sold; here, as everywhere in a report: of the entries
    return [{"entries": int(r["entries"]), "trades": int(r["trades"]), "wins": int(r["wins"]), "gross": float(r["gross"]), "fees": float(r["fees"]),
             "funding": 0.0, "net": float(r["net"]), "notional": float(r["notional"]),
             "mean_bps": float(r["net"] / r["notional"] * 1e4) if r["notional"] else None} for r in total]
