"""study.json: the variants and trials of a backtest besides the run itself. This file is its definition: the backtest writes it, the report reads it.

It holds measurements, no verdicts: intervals, Sharpe ratios and sentences are made by the report from what stands here. Every part may be missing;
the report then states that. JSON has no NaN: a mean that does not exist is null. Money is in quote currency, times are int ns UTC, returns are in bps
of the entry's notional and net (after fees and funding), and spans are [start, end).

    {"version": 1,
     "delays":   [Delay, ...],           the same signals, acted upon so much later
     "controls": [Control, ...],         the same events, traded without knowledge
     "forward":  Forward,                parameters chosen on one span and judged on the next
     "trials":   Trials,                 how many settings were looked at before this one
     "expected": [Claim, ...],           overrides the claims that the report knows of a preset (expected.py)
     "data":     Data,                   what the market data was
     "models":   {"fills": "...", ...}     what is simulated and how, as sentences: shown under the assumptions
     "half_spread": [Spread, ...],       what takers pay where no quote holds, by contract, and where that number is from
     "judge":    Judged,                 the questions to the judge, its answers, and what each would have come to
     "equity":   Equity,                 the account at mark over time
     "timing_s": {"load": 1.2, ...},     where the time went
     "problems": ["...", ...]}           what could not be done and why: shown as they stand
"""

import json
from pathlib import Path
from types import UnionType
from typing import Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

from liqcore import AuditKind
from liqcore.audit import view
from liqshell.errors import DataError

STUDY = "study.json"
VERSION = 1


class Outcome(TypedDict):
    """The result of one execution of the signals: closed trades only. net = gross - fees - funding. mean_bps: mean net return of a trade, null
    without trades."""

    entries: int
    trades: int
    wins: int
    gross: float
    fees: float
    funding: float
    net: float
    notional: float
    mean_bps: float | None


class Trades(TypedDict):
    """Closed trades as columns of equal length, in order of closing."""

    closed_ns: list[int]
    net: list[float]
    return_bps: list[float]
    held_s: NotRequired[list[float]]  # older backtests do not tell


class Delay(TypedDict):
    """The run again, each signal reaching the policy delay_s later than in the data. One of them may be the run itself (delay_s = 0)."""

    delay_s: float
    outcome: Outcome
    trades: Trades


class Control(TypedDict):
    """One way to trade the same events without knowledge, drawn many times. `kind`: random_side, inverted_side, random_time or every_30_min
    (the report has words for these; another kind is shown by its `name`)."""

    kind: str
    name: NotRequired[str]
    seed: int | None  # of the first draw; null where nothing is drawn (inverted_side, every_30_min)
    draws: list[Outcome]


class Fold(TypedDict):
    """One step of the walk: `chosen` had the best `objective` of all settings on the train span."""

    train: tuple[int, int]
    test: tuple[int, int]
    settings: int  # tried on the train span
    chosen: dict[str, float | str]
    train_value: float | None  # the objective of the chosen setting on the train span
    test_value: float | None  # ... and on the test span
    train_outcome: Outcome
    test_outcome: Outcome
    test_trades: Trades
    test_rank: NotRequired[float | None]  # share of all settings that the chosen one beat on the test span, 0 to 1 (0.5 = luck)


class Forward(TypedDict):
    """The walk. objective: words, such as "net" or "daily Sharpe". scheme: rolling or anchored. embargo_s: left out between train and test."""

    objective: str
    scheme: str
    embargo_s: float
    folds: list[Fold]


class Trials(TypedDict):
    """Every setting that was looked at in order to find the one of this run, over all commands that logged it (the trial log), not only the last.

    problems: what is wrong with the log, in sentences. daily: name of an .npy in the run's folder, (UTC days, settings), daily net results of those
    that were tried and whose results are kept; own: which of them is this run.
    matrix, gross: names of .npy in the run's folder, float64 (days, settings), daily results of each setting of a walk, net and before fees and
    funding; groups: how each setting enters. For the probability of backtest overfitting.
    """

    n: int
    source: str
    problems: NotRequired[list[str]]
    daily: NotRequired[str | None]
    own: NotRequired[int]
    matrix: NotRequired[str | None]
    gross: NotRequired[str | None]
    groups: NotRequired[list[str]]


class Judged(TypedDict):
    """The questions to a judge as columns of equal length, in order. action: enter, hold, don't enter, null = no usable answer. enterable: whether
    some answer would have entered it. waited_s: until the engine received it. drift_bps: how far the price went our way meanwhile. net, net_bps,
    closed_ns: of its shadow bracket, the trade that it would have been by itself, null where there is none. rules, shuffled: whether the rules
    enter it, by the news that the judge was given and by those of another question. contaminated: a live model was asked about the past."""

    contaminated: bool
    seed: int
    asked_ns: list[int]
    contract: list[str]
    direction: list[str]
    status: list[str]
    action: list[str | None]
    confidence: list[int]
    enterable: list[bool]
    waited_s: list[float | None]
    cost: list[float]
    drift_bps: list[float | None]
    net: list[float | None]
    net_bps: list[float | None]
    closed_ns: list[int | None]
    rules: list[bool]
    shuffled: list[bool]


class Claim(TypedDict):
    """One published expectation. `measure` is a key of expected.MEASURES; low and high in its unit, null = open on that side."""

    id: str
    measure: str
    low: float | None
    high: float | None
    note: NotRequired[str]


class Part(TypedDict, total=False):
    """The data of one symbol. receipt: "recorded" (ts_recv was measured) or "modelled" (made from the venue's time; receipt_model says how)."""

    symbol: str
    source: str
    completeness: str  # FULL, CENSORED or UNKNOWN
    start_ns: int
    end_ns: int
    trades: int
    quotes: int
    liquidations: int
    covered_hours: float
    traded_hours: float  # that trades vouch for, a minute each
    quoted: float  # share of the traded time in which a quote held, by the engine's rule
    streams: dict[str, Any]  # each by itself: rows, first, last, covered_hours, share, silences and the longest of them
    said: list[str]  # what must be said of the streams, in sentences
    gaps: list[tuple[int, int]]
    receipt: str
    receipt_model: str
    refused: dict[str, int]  # reason -> rows that validation refused
    off_grid: int  # prices and quantities that were rounded to tick or lot
    fingerprint: str


class Spread(TypedDict):
    """The half-spread that takers of one contract pay where no quote holds (backtest/half_spread.py). source: configured, quotes, trades or tick."""

    symbol: str
    source: str
    share: float | None
    bps: float | None
    n: int
    told: str
    warning: str


class Data(TypedDict):
    """parts: one a symbol. fingerprint: of everything that was read. store: where it was kept, a name and not a path of this machine."""

    fingerprint: str
    store: NotRequired[str]
    parts: list[Part]


class Equity(TypedDict):
    """The account with open positions at mark, sampled (every hour): columns of equal length, the first before anything happened."""

    ts: list[int]
    marked: list[float]


class Study(TypedDict, total=False):
    """The whole file."""

    version: int
    delays: list[Delay]
    controls: list[Control]
    forward: Forward | None
    without_timetable: Outcome  # of the same run without [hours] and [blackout]
    trials: Trials | None
    expected: list[Claim]
    data: Data | None
    models: dict[str, str]
    half_spread: list[Spread]
    judge: Judged
    equity: Equity | None
    timing_s: dict[str, float]
    problems: list[str]


def trades_of(audit: np.ndarray, multipliers: np.ndarray | list[float]) -> Trades:
    """The closed trades of an audit stream. multipliers: contract multiplier per instrument. Funding counts for the trade of its bracket."""
    trades = view(audit, AuditKind.AUDIT_TRADE)
    notional = trades["entry_price"] * trades["qty"] * np.asarray(multipliers)[trades["instrument"]]
    net = trades["net"] - funding_of(audit, trades)
    with np.errstate(divide="ignore", invalid="ignore"):
        bps = np.where(notional > 0, net / notional * 1e4, 0.0)
    return {"closed_ns": trades["ts"].tolist(), "net": net.tolist(), "return_bps": bps.tolist(), "held_s": trades["hold_s"].tolist()}


def funding_of(audit: np.ndarray, trades: np.ndarray) -> np.ndarray:
    """Funding paid (> 0) or received by each of the AUDIT_TRADE records: same instrument and sequence, between the trade before and this one."""
    paid = np.zeros(len(trades))
    events = view(audit, AuditKind.AUDIT_FUNDING)
    if not len(events) or not len(trades):
        return paid
    latest: dict[tuple[int, int], int] = {}
    for k, (n, key) in enumerate(zip(trades["instrument"].tolist(), (trades["id"] >> 12).tolist(), strict=True)):
        latest[n, key] = k
    for n, key, amount in zip(events["instrument"].tolist(), (events["id"] >> 12).tolist(), events["paid"].tolist(), strict=True):
        at = latest.get((n, key))
        if at is not None:
            paid[at] += amount
    return paid


def outcome_of(audit: np.ndarray, multipliers: np.ndarray | list[float]) -> Outcome:
    """The sums of an audit stream, for writers of a study."""
    kinds = audit["kind"]
    trades = view(audit, AuditKind.AUDIT_TRADE)
    entries = int(((kinds == AuditKind.AUDIT_RISK) & (audit["reason"] == 0)).sum())
    found = trades_of(audit, multipliers)
    notional = float((trades["entry_price"] * trades["qty"] * np.asarray(multipliers)[trades["instrument"]]).sum())
    net = np.array(found["net"])
    return {
        "entries": entries,
        "trades": len(trades),
        "wins": int((net > 0).sum()),
        "gross": float(trades["gross"].sum()),
        "fees": float(trades["fees"].sum()),
        "funding": float(trades["net"].sum() - net.sum()),
        "net": float(net.sum()),
        "notional": notional,
        "mean_bps": float(np.mean(found["return_bps"])) if len(trades) else None,
    }


#: the parts that are checked, each for the keys that it must have
_CHECKED = ("delays", "controls", "forward", "trials", "expected", "data", "half_spread", "equity", "models", "timing_s", "problems")


def load_study(folder: str | Path) -> Study | None:
    """study.json of a run's folder, None where there is none. DataError names the key that is missing or of another type. Unknown keys are kept."""
    path = Path(folder) / STUDY
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(str(path), f"not JSON ({error})", "the study of a backtest") from None
    if not isinstance(found, dict):
        raise DataError(str(path), f"found {type(found).__name__}", "an object")
    if found.get("version") != VERSION:
        raise DataError(f"{path}: version", repr(found.get("version")), f"{VERSION}", "Make the report with the version that made the backtest")
    shapes = get_type_hints(Study)
    for key in _CHECKED:
        if found.get(key) is not None:
            _check(f"{path}: {key}", found[key], shapes[key])
    return found  # type: ignore[return-value]


def _check(where: str, value: Any, shape: Any) -> None:
    """Raise DataError at the first place where a JSON value is not of the type; of an object its required keys are checked."""
    kind, inner = get_origin(shape), get_args(shape)
    if kind is UnionType and is_typeddict(inner[0]):  # what is null was not looked at
        shape = inner[0]
    if kind in (list, tuple):
        if not isinstance(value, list):
            raise DataError(where, f"found {type(value).__name__}", "a list")
        for n, item in enumerate(value):
            _check(f"{where}[{n}]", item, inner[0])
    elif is_typeddict(shape):
        if not isinstance(value, dict):
            raise DataError(where, f"found {type(value).__name__}", "an object")
        required = {key: one for key, one in get_type_hints(shape).items() if key in shape.__required_keys__}
        for key, one in required.items():
            if key not in value:
                raise DataError(f"{where}.{key}", "missing", "see liqshell/report/study.py")
            _check(f"{where}.{key}", value[key], one)
        if shape in (Trades, Equity) and len({len(value[key]) for key in required}) > 1:
            raise DataError(where, "columns of " + ", ".join(f"{len(value[key])} ({key})" for key in required), "columns of one length")
    else:
        wanted = dict if kind is dict else shape | int if shape in (float, float | None) else shape
        if not isinstance(value, wanted) or isinstance(value, bool) or (isinstance(value, float) and not np.isfinite(value)):
            raise DataError(where, f"found {value!r}", str(getattr(shape, "__name__", shape)))
