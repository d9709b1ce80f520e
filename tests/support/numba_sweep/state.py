"""The sweep in Numba, bracket by bracket and event by event: what liqcore.sweep was before it was compiled, kept to compare with.

The state of one bracket: flat records that Numba reads by name.

It says the same things as bracket.pxd and simulate.pxd do, in the fewest words that a venue which always answers, and answers in order, can reach.
"""

from hashlib import sha256
from typing import Any

import numpy as np
from numba import njit

#: Of all that a sweep calls only what Python calls (sweep_kernel.run, sweep_columns.ended_at) is kept on disk: Numba notices a change in the file of
#: a function, not in those that it calls; see `fingerprint`.
#: Nothing here owns memory, so no references are counted; it takes half of the time away. Python calls none of these: no wrappers are compiled.
compiled = njit(nogil=True, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]
inlined = njit(nogil=True, _nrt=False, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore[call-overload]

NEVER = 0x7FFFFFFFFFFFFFFF
SCALE = 100_000_000
ENTRY, STOP, TARGET, CLOSE = 1, 2, 3, 4  # roles
CREATE, AMEND, CANCEL = 1, 2, 3  # what a request asks for
NONE, SENT, LIVE, ENDED = 0, 1, 2, 3  # what the engine believes of an order
NEW, REJECTED, CANCELLED, TRIGGERED, DONE, FILL = 1, 2, 3, 4, 5, 8
REQUESTS_RUNAWAY = 600  # requests of one bracket after which the engine would latch a halt
REPORTS = 4096  # reports on their way at most, as at the simulated venue
ARRIVALS = 64
ATTEMPTS_MAX = 5
EXECUTIONS_MAX = 256
ANSWER_NS = 5_000_000_000
LATE_NS = 60_000_000_000
WAIT_AGAIN_NS = 1_000_000_000
BACKOFF_NS, BACKOFF_MAX_NS = 100_000_000, 30_000_000_000
(
    REASON_OPEN,
    REASON_COOLDOWN,
    REASON_UNCERTAIN,
    REASON_STALE_EVENT,
    REASON_NO_PRICE,
    REASON_QTY,
    REASON_NOTIONAL,
    REASON_STALE_DATA,
    REASON_COLLAR,
    REASON_QUOTE_ENDED,
) = 22, 23, 24, 25, 26, 41, 42, 49, 50, 54
END_TTL, END_TARGET, END_STOP, END_MAX_HOLD, END_PHASE, END_POST_ONLY, END_VENUE, END_REDUCE = 60, 61, 62, 63, 64, 65, 69, 70


def _record(*groups: tuple[str, str]) -> np.dtype:
    return np.dtype([(name, kind) for kind, names in groups for name in names.split()])


#: an order twice: as the engine believes it to be, and as it stands at the venue (`live` and what follows)
ORDER = _record(("i8", "status asked price qty filled attempt not_before ts_asked unknown triggered live at size done made taking wait place"))
#: a bracket, the venue's side of it, and where in the market it stands
STATE = _record(
    ("i8", "active side reference entered exited best best_row entry_deadline hold_deadline ts_open ts_exit end requotes entry_maker"),
    ("i8", "last_exit entry_end target_taker executions requests opened_at finished"),
    ("f8", "entry_value exit_value fees"),
    ("i8", "position fired attached last bid ask"),
    ("i8", "now seen trade quote known next_trade next_quote next_ts wait_at asked_head asked_tail reports_head reports_tail lost"),
)
REQUEST = _record(("i8", "ts action role attempt price qty stop passive"))
REPORT = _record(("i8", "ts kind role attempt price lots maker reason"), ("f8", "fee"))


def fingerprint(*modules: dict[str, Any]) -> int:
    """Of everything that is compiled of the modules (their names): a function that is kept on disk closes over it, and Numba takes it as part of the
    key."""
    digest = sha256()
    for names in modules:
        for name, thing in sorted(names.items()):
            code = getattr(getattr(thing, "py_func", None), "__code__", None)
            if code is not None:
                digest.update(repr((name, code.co_code, code.co_consts, code.co_names)).encode())
            elif isinstance(thing, int | np.dtype):
                digest.update(repr((name, thing)).encode())
    return int.from_bytes(digest.digest()[:7], "little")
