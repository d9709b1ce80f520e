"""NumPy dtypes of the records of a sweep, which records.pxd and kernel.pyx read and write."""

import numpy as np

SCALE = 100_000_000
DAY_NS = 86_400_000_000_000
ANSWER_NS = 5_000_000_000
REASON_UNCERTAIN, REASON_STALE_EVENT = 24, 25


def _record(*groups: tuple[str, str]) -> np.dtype:
    return np.dtype([(name, kind) for kind, names in groups for name in names.split()])


#: constants of a whole sweep
TERMS = _record(
    ("i8", "touch order_latency ack_latency data_age_max quote_age print_wait half_spread slow tick_mantissa lot_mantissa"),
    ("i8", "lots_min lots_max requotes_max end"),
    ("f8", "maker_fee taker_fee tick_power lot_power tick lot multiplier notional_min notional_max collar"),
)
#: a signal that the policy acts on, with values common to all settings
CALL = _record(("i8", "ts timed trade quote side reference last reason ended stale closed sequence row"))
#: every signal of the instrument, for exits by phase
PHASES = _record(("i8", "ts timed trade quote phase sequence"))

RESULT_DTYPE = np.dtype(
    [
        (name, "i8")
        for name in (
            "signals",
            "refused_open",
            "refused_cooldown",
            "refused_data",
            "refused_risk",
            "entries",
            "filled",
            "trades",
            "wins",
            "targets",
            "stops",
            "max_holds",
            "phases",
            "others",
            "unfilled_ttl",
            "unfilled_post_only",
            "unfilled_other",
            "entry_makers",
            "hold_ns",
            "hold_ns_max",
            "days",
            "runaways",
        )
    ]
    + [(name, "f8") for name in ("gross", "fees", "net", "net_squares", "drawdown_max", "daily_squares", "notional")]
    + [("open_side", "i8"), ("open_lots", "i8"), ("open_price", "f8"), ("open_fees", "f8"), ("lost", "i8")]
)
TRADE_DTYPE = np.dtype(
    [(name, "i8") for name in ("signal", "ts_signal", "ts_open", "ts_exit", "ts_flat", "lots")]
    + [(name, "f8") for name in ("entry_price", "exit_price", "gross", "fees", "net")]
    + [("side", "i1"), ("reason", "u1"), ("entry_is_maker", "u1"), ("open", "u1")]
)
