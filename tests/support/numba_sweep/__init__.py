"""The sweep in Numba, bracket by bracket and event by event: an independent kernel to compare liqcore.sweep with."""

import numpy as np

from liqcore.sweep import OPTIONS, _prepare
from liqcore.sweep.records import DAY_NS, RESULT_DTYPE, TRADE_DTYPE


def prepared(tape, instrument, signals, sides, grid, *, places=None, reference=None, end=None, closed=None, **options):
    """Arguments as for liqcore.sweep.sweep -> (market, terms, calls, phases, results without numbers, days, first day)."""
    market, terms, calls, phases = _prepare(tape, instrument, signals, sides, places, reference, end, closed, OPTIONS | options)
    results = np.zeros(len(grid), RESULT_DTYPE)
    results["days"] = days = max(0, int(terms["end"][0]) // DAY_NS - int(tape.start) // DAY_NS + 1)
    return market, terms, calls, phases, results, days, int(tape.start) // DAY_NS


def numba_sweep(tape, instrument, signals, sides, grid, **options):
    """What liqcore.sweep.sweep returns, and the net results by day."""
    from numba_sweep.columns import columns
    from numba_sweep.kernel import BLOCK, run

    market, terms, calls, phases, results, days, first_day = prepared(tape, instrument, signals, sides, grid, **options)
    daily = np.zeros((len(grid), days))
    run(
        columns(market.columns),
        terms,
        grid.rows,
        calls,
        phases,
        results,
        np.zeros(0, TRADE_DTYPE),
        np.zeros(len(grid), np.int64),
        first_day,
        daily,
        max(1, min(BLOCK, len(grid) // 2)),
    )
    return results, daily
