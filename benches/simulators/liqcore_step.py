"""liqcore, step: the engine of live and paper with detector, policy, risk, account and audit stream, and the simulated venue with latency, queue,
post-only and reduce-only judged on arrival, walked over a tape of memory-mapped columns. What is timed is a whole run, from making the engine to
reading the trades out of the audit stream."""

from pathlib import Path

import numpy as np

import liqcore as lc
from benches import market
from benches.simulators import ours
from benches.simulators.task import Outcome, Run

PACKAGE = "liqcore"
NOTE = "latency, queue, post-only, reduce-only, risk, audit; a policy in Python"
DELAY_S = 0.01  # of every order and every report, where the comparison has a latency


def parts(day: market.Day) -> dict:
    """The day as lc.Tape takes it."""
    f = day.forced
    rare = np.zeros(len(f["ts"]), lc.EVENT_DTYPE)
    rare["ts_event"] = rare["ts_recv"] = f["ts"]
    rare["kind"], rare["side"], rare["price"], rare["aux_price"] = lc.Kind.LIQUIDATION, f["side"], f["price"], f["notional"]
    rare["qty"] = f["notional"] / f["price"]
    empty = lc.TapeBuilder([ours.instrument()]).take()
    place = np.zeros(len(rare), empty["place"].dtype)
    place["trades_before"], place["quotes_before"] = f["trades_before"], f["quotes_before"]
    return {"strips": [{"trades": day.trades, "quotes": day.quotes}], "rare": rare, "place": place}


def tape_of_days(day: market.Day, count: int) -> lc.Tape:
    """The same day several times over: what a sweep costs more on it is the size of the tape alone."""
    shift = 86_400 * 10**9
    several = []
    for n in range(count):
        made = parts(day)
        strip = {stream: table | {"ts": table["ts"] + n * shift} for stream, table in made["strips"][0].items()}
        for name in ("ts_recv", "ts_event"):
            made["rare"][name] += n * shift
        several.append(made | {"strips": [strip]})
    return lc.Tape([ours.instrument()], several)


def export(day: market.Day, folder: Path) -> None:
    save(lc.Tape([ours.instrument()], parts(day)).parts(), folder / "tape")


def save(tree: dict, folder: Path) -> None:
    """Every array of the parts as a file of its own, pyramids too."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in tree.items():
        if isinstance(value, np.ndarray):
            np.save(folder / f"{name}.npy", value)
        else:
            save(value if isinstance(value, dict) else {str(n): v for n, v in enumerate(value)}, folder / name)


def load(folder: Path) -> dict:
    out: dict = {}
    for path in sorted(folder.iterdir()):
        out[path.stem] = np.load(path, mmap_mode="r") if path.suffix == ".npy" else load(path)
    return out


def tape(folder: Path, trusted: bool = True) -> lc.Tape:
    saved = load(folder / "tape")
    return lc.Tape([ours.instrument()], saved | {"strips": [saved["strips"]["0"]]}, trusted=trusted)


def venue(latency_s: float) -> lc.SimVenue:
    return lc.SimVenue(
        [ours.instrument()],
        fills="queue",
        hidden="none",
        maker_fee=market.MAKER,
        taker_fee=market.TAKER,
        order_latency_s=latency_s,
        ack_latency_s=latency_s,
        funding_interval_s=0,
    )


def one(t: lc.Tape, s: market.Setting, d: market.Detector, latency_s: float, policy: lc.Policy | None = None) -> np.ndarray:
    """The audit stream of one run."""
    paper = lc.Paper(ours.engine(s, d, policy), venue(latency_s))
    walk = lc.Walk(paper, t)
    records = []
    while not walk.run():
        records.append(paper.engine.audit.drain())
    records.append(paper.engine.audit.drain())
    return np.concatenate(records) if len(records) > 1 else records[0]


def prepare(folder: Path, latency_s: float) -> Run:
    t = tape(folder)
    return lambda s, d=None: Outcome(*ours.result(one(t, s, d or market.Detector(), latency_s)))
