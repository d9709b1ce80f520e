"""Judging a large grid by liqcore.sweep instead of one backtest a setting: the same trades, but every symbol for itself and without the
account's limits.

It serves the choice of a walk-forward only. What was chosen is run by the engine, with every limit, before a number of it is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import liqcore as lc
from liqshell.backtest.history import History
from liqshell.config import Config
from liqshell.report.study import Outcome
from liqshell.study import Setting


def why_not(config: Config, values: dict[str, Any], symbols: Sequence[str]) -> str:
    """Why a sweep would not trade as the engine does, '' where it does. values: pipeline.settings of the configuration."""
    paper = values["paper"]
    reasons = (("[policy] rule", values["rule"] != "fade"), ("[paper] fills = 'queue'", paper["fills"] == "queue"),
               ("[paper] taker = 'walk'", paper["taker"] != "next"), ("[paper] latency = 'empirical'", "latency" in paper),
               ("[paper] leverage", paper["leverage"] != 0.0), ("[sweep] objective = 'sharpe'", config.sweep.objective == "sharpe"),
               ("equity_share", any(config.policy_for(s).equity_share for s in symbols)))
    return ", ".join(name for name, found in reasons if found)


def outcomes(config: Config, values: dict[str, Any], part: History, cells: Sequence[Setting], span: tuple[int, int]) -> list[Outcome]:
    """What each setting does with the signals of `span`. cells: a product, detectors first. Funding is not part of it."""
    from liqcore import sweep as sweeping      # numba: only for those who sweep

    detectors = list(dict.fromkeys(tuple(cell.detector.items()) for cell in cells))
    policies = list(dict.fromkeys(tuple(cell.policy.items()) for cell in cells))
    total = np.zeros(len(cells), sweeping.RESULT_DTYPE)
    grids = []
    for instrument in part.instruments:
        wanted = [config.with_setting(Setting(dict(p), {})).policy_for(instrument.symbol).bracket_arguments() for p in policies]
        grids.append(sweeping.Grid.of([{name: value for name, value in row.items() if name != "equity_share"} for row in wanted]))
    paper, limits = values["paper"], values["limits"]
    options = {name: paper[name] for name in ("fills", "maker_fee", "taker_fee", "order_latency_s", "ack_latency_s")}
    options |= {name: limits[name] for name in ("data_age_max_s", "collar", "order_notional_max", "orders_per_signal_max")}
    for d, detector in enumerate(detectors):
        arguments = config.with_setting(Setting({}, dict(detector))).detector_values().cascade_arguments()
        signals = part.tape.signals(lc.CascadeConfig(**arguments))
        for n, grid in enumerate(grids):
            own = signals[signals["instrument"] == n]
            sides = np.where((own["ts"] >= span[0]) & (own["ts"] < span[1]), sweeping.fade(own), 0)
            found = sweeping.sweep(part.tape, n, own, sides, grid, places=sweeping.locate(part.tape, n, own), end=part.end_ns, **options)
            rows = total[d * len(policies):(d + 1) * len(policies)]
            for name in ("entries", "trades", "wins", "gross", "fees", "net", "notional"):
                rows[name] += found[name]
    total["notional"] /= 2.0                   # of the sweep: what was bought and sold; here, as everywhere in a report: of the entries
    return [{"entries": int(r["entries"]), "trades": int(r["trades"]), "wins": int(r["wins"]), "gross": float(r["gross"]), "fees": float(r["fees"]),
             "funding": 0.0, "net": float(r["net"]), "notional": float(r["notional"]),
             "mean_bps": float(r["net"] / r["notional"] * 1e4) if r["notional"] else None} for r in total]
