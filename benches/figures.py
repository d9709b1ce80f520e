"""The figures that the project set itself (rows 1-28): what is measured, the floor, and what a prototype reached.

A Figure reads one number out of a run's cases. Floors and prototype values are the plan's, not measurements of this page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Cases = dict[str, dict]


class Missing(Exception):
    """The run has no such measurement; the text says why."""


class Number(NamedTuple):
    best: float  # from the best sample of each side
    typical: float  # from the medians
    ours: str  # what stands behind it, with unit
    rival: str


@dataclass(frozen=True)
class Figure:
    row: int
    text: str
    read: Callable[[Cases], Number]
    floor: float
    prototype: str
    at_least: bool = True
    unit: str = "x"
    why: str = ""  # what was measured of a floor that is missed, and where the cost lies; printed as long as it is missed

    def reached(self, number: Number) -> bool:
        return number.best >= self.floor if self.at_least else number.best <= self.floor


def _contestant(cases: Cases, case: str, name: str) -> dict:
    if case not in cases:
        raise Missing(f"no case {case} in this run")
    found = cases[case]["contestants"].get(name)
    if found is None:
        raise Missing(cases[case]["skipped"].get(name, f"{name} did not take part"))
    return found


def _best(cases: Cases, case: str, name: str) -> tuple[float, float, str]:
    c, unit = _contestant(cases, case, name), cases[case]["unit"]
    best = c["max"] if unit.endswith("/s") else c["min"]
    return best, c["median"], f"{quantity(best)} {unit}"


def quantity(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}"


def ratio(case: str, rival: str, ours: str = "ours", rival_case: str = "") -> Callable[[Cases], Number]:
    """How many times better ours is than the rival: times are divided one way, rates the other."""

    def read(cases: Cases) -> Number:
        best, typical, text = _best(cases, case, ours)
        other, other_typical, other_text = _best(cases, rival_case or case, rival)
        if cases[case]["unit"].endswith("/s"):
            return Number(best / other, typical / other_typical, text, other_text)
        return Number(other / best, other_typical / typical, text, other_text)

    return read


def cost(case: str, limit: str, ours: str = "ours", limit_case: str = "") -> Callable[[Cases], Number]:
    """Our time as a multiple of the limit's: the smaller the better."""
    inverse = ratio(case, limit, ours, limit_case)

    def read(cases: Cases) -> Number:
        n = inverse(cases)
        return Number(1 / n.best, 1 / n.typical, n.ours, n.rival)

    return read


def value(case: str, name: str = "ours") -> Callable[[Cases], Number]:
    def read(cases: Cases) -> Number:
        best, typical, text = _best(cases, case, name)
        return Number(best, typical, text, "")

    return read


def share(case: str, name: str, ours: str = "ours") -> Callable[[Cases], Number]:
    """Our value as a fraction of another's: the smaller the better. For what is measured once (memory)."""
    return cost(case, name, ours)


def span(case: str) -> Callable[[Cases], Number]:
    """The last contestant of a case as a multiple of the first: what growing costs."""

    def read(cases: Cases) -> Number:
        if case not in cases:
            raise Missing(f"no case {case} in this run")
        names = list(cases[case]["contestants"])
        if len(names) < 2:
            raise Missing("only one size was measured")
        first, last = _best(cases, case, names[0]), _best(cases, case, names[-1])
        return Number(last[0] / first[0], last[1] / first[1], f"{last[2]} at {names[-1]}", f"{first[2]} at {names[0]}")

    return read


def worst(case: str) -> Callable[[Cases], Number]:
    """The largest of a case's contestants: streams of one kernel."""

    def read(cases: Cases) -> Number:
        if case not in cases:
            raise Missing(f"no case {case} in this run")
        name, c = max(cases[case]["contestants"].items(), key=lambda item: item[1]["max"])
        return Number(c["max"], c["median"], f"{quantity(c['max'])} {cases[case]['unit']} ({name})", "")

    return read


PUSH, BATCH, Z = "quantile.push.1000", "quantile.batch.1000", "zscore.batch.288"
REACT, FLOOD = "wire.reaction", "wire.flood"
DAY, LARGE, HFT = "backtest.day", "backtest.large", "hftbacktest, 10 ms"
SPIN, APPROXIMATE = "ours, uvloop, spin", "ours_approximate"

FIGURES = (
    Figure(1, "streaming P95, W=1000, one Python call: rolling-quantiles", ratio(PUSH, "rolling_quantiles"), 2.5, "2.8"),
    Figure(1, "... river", ratio(PUSH, "river"), 7, "7.8"),
    Figure(1, "... screamer", ratio(PUSH, "screamer"), 12, "14"),
    Figure(1, "... numpy.percentile(deque)", ratio(PUSH, "numpy_deque"), 1500, "1,700"),
    Figure(2, "batch P95, W=1000, exact: scipy percentile_filter", ratio(BATCH, "scipy"), 3, "3.2"),
    Figure(2, "... polars", ratio(BATCH, "polars"), 6.5, "7.0"),
    Figure(2, "... pandas", ratio(BATCH, "pandas"), 27, "30"),
    Figure(3, "batch P95, error <= 0.4 %: scipy percentile_filter", ratio(BATCH, "scipy", APPROXIMATE), 6, "6.2"),
    Figure(3, "... polars", ratio(BATCH, "polars", APPROXIMATE), 13, "13.5"),
    Figure(
        4,
        "exact decision x > P95 inside C, W=100",
        value("quantile.decide.100", "calm"),
        8,
        "6.8",
        False,
        "ns",
        why="141 instructions, compared with 116 at W=1000: the exact comparison near the P95 takes 29 (15 at W=1000), keeping its "
        "neighbours in order 10 (5), collecting them again 4",
    ),
    Figure(4, "... W=1000", value("quantile.decide.1000", "calm"), 8, "6.8", False, "ns"),
    Figure(4, "... W=10,000", value("quantile.decide.10000", "calm"), 8, "6.8", False, "ns"),
    Figure(4, "... bursts against calm, W=1000", cost("quantile.decide.1000", "calm", "bursts"), 1.3, "1.22", False),
    Figure(4, "... decisions that differ from a sort, worst stream", worst("quantile.wrong"), 0, "0", False, "wrong"),
    Figure(
        5,
        "500 symbols, Zipf: decision and push",
        value("quantile.symbols.500"),
        15,
        "14.8",
        False,
        "ns",
        why="a window of 1000 takes 15.9 kB a contract, and 8 MB for 500 contracts; the second-level cache has 1 MB. In one run: 9.2 ns "
        "with one contract, 13.1 with 50 (0.8 MB), 18.8 with 200 (3.2 MB), 21.4 with 500",
    ),
    Figure(6, "z-score batch: error after a 1e9 spike", value("zscore.error"), 1e-12, "1e-14", False, "relative"),
    Figure(6, "... polars", ratio(Z, "polars"), 4.5, "4.7"),
    Figure(6, "... pandas", ratio(Z, "pandas"), 6, "6.7"),
    Figure(6, "... time as a multiple of bottleneck's (which is wrong after a spike)", cost(Z, "bottleneck"), 1.25, "1.17", False),
    Figure(7, "z-score streaming: screamer", ratio("zscore.push.288", "screamer"), 5, "5.8"),
    Figure(7, "... river", ratio("zscore.push.288", "river"), 100, "106"),
    Figure(7, "... numpy on a deque", ratio("zscore.push.288", "numpy_deque"), 500, "535"),
    Figure(8, "decode a liquidation to floats, one Python call: msgspec typed", ratio("decode.liquidation.x1", "msgspec"), 4, "4.1"),
    Figure(8, "... orjson + float()", ratio("decode.liquidation.x1", "orjson"), 11, "11.7"),
    Figure(8, "... json", ratio("decode.liquidation.x1", "json_stdlib"), 33, "34"),
    Figure(8, "... inside C", value("decode.liquidation.x1.c"), 60, "53, predicted shape 28", False, "ns"),
    Figure(9, "decode a book delta (8 + 8 levels): msgspec typed", ratio("decode.book.delta", "msgspec"), 6, "6.1"),
    Figure(9, "... orjson + float()", ratio("decode.book.delta", "orjson"), 15, "15.8"),
    Figure(10, "encode order.create: bytes %", ratio("encode.create", "bytes_template"), 3.4, "3.5"),
    Figure(10, "... orjson", ratio("encode.create", "orjson"), 9, "10"),
    Figure(11, "frame to order bytes in process: best composite of packages", ratio("reaction", "composite"), 10, "11"),
    Figure(11, "... naive script", ratio("reaction", "naive"), 550, "600"),
    Figure(11, "... one Python call", value("reaction"), 200, "172", False, "ns"),
    Figure(11, "... inside C", value("reaction.c", "kernels"), 120, "112", False, "ns"),
    Figure(12, "loopback push to order, spin, p50 as a multiple of C busy-poll", cost(REACT, "C busy-poll", SPIN), 1.15, "1.15", False),
    Figure(12, "... websockets + orjson on uvloop, spin", ratio(REACT, "orjson on websockets, uvloop, spin", SPIN), 2.4, "2.4"),
    Figure(12, "... websockets + orjson on uvloop", ratio(REACT, "orjson on websockets, uvloop", SPIN), 7, "7.4"),
    Figure(12, "... naive: websockets + json + pybit REST", ratio(REACT, "naive: websockets + json + numpy + pybit REST", SPIN), 65, "69"),
    Figure(13, "loopback push to order, blocking, p50 as a multiple of C blocking", cost(REACT, "C blocking", "ours, uvloop"), 1.1, "1.07", False),
    Figure(14, "flood, listener only", value(FLOOD, "ours, counting only"), 6e6, "8.4 M", True, "frames/s"),
    Figure(14, "... websockets", ratio(FLOOD, "websockets, asyncio", "ours, counting only"), 25, "28"),
    Figure(14, "... aiohttp", ratio(FLOOD, "aiohttp", "ours, counting only"), 8, "9"),
    Figure(14, "... picows' Python listener", ratio(FLOOD, "picows Python listener", "ours, counting only"), 4, "4.3"),
    Figure(14, "... with scan and kernels inside", value(FLOOD, "ours, scan + kernels"), 3e6, "-", True, "frames/s"),
    Figure(
        15,
        "instructions/event: decision and push",
        value("count.quantile.decide"),
        65,
        "57 tail, 61 histogram",
        False,
        "instructions",
        why="84 push into ring, buckets and rank; 15 compare exactly when x is near the P95; 5 keep its neighbours in order; 10 are the "
        "loop of the measurement. The prototype's histogram had an error of 0.4 %",
    ),
    Figure(
        15,
        "... mean and std",
        value("count.zscore.push"),
        35,
        "33",
        False,
        "instructions",
        why="42 are ring and sums of the newer part, 32 the merge of both parts (Chan), 23 the older part (computed once in 288 values), 13 "
        "the loop of the measurement, 3 the root. Nothing is subtracted, so the error after a 1e9 spike is 6e-16",
    ),
    Figure(
        15,
        "... scan of a liquidation",
        value("count.scan.liquidation"),
        720,
        "716",
        False,
        "instructions",
        why="743 are in the reader, which compares each of the 152 bytes of a frame with the predicted layout or reads it; 53 in the "
        "decoder around it; 23 in the loop of the measurement",
    ),
    Figure(
        15,
        "... encode",
        value("count.encode.create"),
        160,
        "154",
        False,
        "instructions",
        why="a message of 310 bytes is made of nine texts and eight numbers: 132 instructions copy the texts, 101 print the 13 digits of "
        "the time; the others print two exact decimals and three hexadecimal numbers",
    ),
    Figure(
        16,
        "import of the compiled core",
        value("start.liqcore"),
        5,
        "2-4.5",
        False,
        "ms",
        why="there are 36 extension modules; the prototype had three. 56 % of the processor time runs their bodies (14 % the enum classes "
        "of liqcore.event, 7 % the dtypes of the audit's records), 20 % loads them, 16 % runs 14 Python files, 8 % finds the files. "
        "Modules that a live engine does not need are imported on first use, which saved a fifth",
    ),
    Figure(
        17,
        "step with all models, 2 M trades: hftbacktest at the same latency",
        ratio(DAY, HFT),
        80,
        "126 without audit",
    ),
    Figure(17, "... the first run of a turn, behind the other programs", ratio(DAY, HFT, "ours, first run of a turn"), 50, "-"),
    Figure(17, "... 20 M trades", ratio(LARGE, HFT), 30, "58 without audit"),
    Figure(18, "... NautilusTrader (see its version)", ratio(DAY, "NautilusTrader"), 1500, "2,900"),
    Figure(18, "... plain Python", ratio(DAY, "plain Python"), 200, "420"),
    Figure(19, "sweep, 100 settings from columns to results: hftbacktest", ratio("sweep.100", "hftbacktest"), 2200, "4,490"),
    Figure(
        19,
        "... on two cores",
        ratio("sweep.100", "hftbacktest", "ours, two cores"),
        4000,
        "-",
        why="of 5.0 ms on an Intel Xeon 1.1 are in one thread: 0.55 for the signals, 0.55 for the parts that all settings share. Two threads check the "
        "columns and build their index in 2.0 ms instead of 3.2, and run the settings in 1.8 instead of 2.2",
    ),
    Figure(20, "sweep, 10,000 settings, one core", value("sweep.10000"), 60, "40", False, "ms"),
    Figure(
        20,
        "... two cores against one",
        ratio("sweep.10000", "ours", "ours, two cores"),
        1.8,
        "-",
        why="each thread computes the shared parts of its own settings: two halves of the settings take 35.7 ms in sum, all together 31.2; "
        "another 1.6 ms are in one thread. Two independent processes reach 1.9 x (AMD EPYC)",
    ),
    Figure(
        20,
        "... 10 days: every bracket by itself",
        ratio("sweep.days", "one by one, 10 days", "shared, 10 days"),
        50,
        "75",
        why="the comparison, a sweep of every bracket by itself, is six times faster than when the floor was set: 3,640 ns a bracket then, "
        "about 500 now. Compared with the old value the shared sweep is more than 110 times faster",
    ),
    Figure(20, "... 10 days against one, a bracket", ratio("sweep.days", "shared, 10 days", "shared, 1 days"), 1.2, "0.93", False),
    Figure(21, "100 detector x 100 execution settings", value("sweep.grid"), 1000, "-", False, "ms"),
    Figure(
        22,
        "cost of a setting, most trades against fewest: sweep",
        span("scale.sweep"),
        2,
        "-",
        False,
        why="instructions grow by 2 % from 1 M to 10 M trades (68.8 M to 70.3 M for 1,000 settings); the rest of the growth is waiting for "
        "memory: the prices of 100 M trades are 400 MB",
    ),
    Figure(22, "... walk", span("scale.walk"), 2, "-", False),
    Figure(23, "bytes a trade takes in memory", value("backtest.bytes", "ours, trade columns"), 17, "13-17", False, "B"),
    Figure(
        23,
        "... with quotes, liquidations and index: hftbacktest",
        ratio("backtest.bytes", "hftbacktest"),
        5,
        "-",
        why="17 of 24 B are the trade itself (time 8, price 4, lots 4, side 1), 6.4 the quotes (one for five trades), the rest liquidations "
        "and index",
    ),
    Figure(
        23,
        "peak memory at 20 M trades as a share of hftbacktest's",
        share(LARGE + ".memory", HFT),
        1 / 6,
        "-",
        False,
        why="the columns of 20 M trades are 340 MB; they are mapped from files but count as memory of the process. Python and the core take "
        "the other 30",
    ),
    Figure(24, "from disk to running: np.load of hftbacktest's npz", ratio("backtest.load", "hftbacktest"), 50, "-"),
    Figure(25, "cold process to first result, 200,000 trades", value("backtest.cold"), 0.4, "0.27", False, "s"),
    Figure(26, "policy in Python as a multiple of one in Cython", cost("backtest.policy", "cython", "python"), 1.5, "-", False),
    Figure(27, "cascade detector, batch", value("detect.batch"), 60, "99", False, "ns"),
    Figure(28, "parity: runs that differ from hftbacktest", value("backtest.parity"), 0, "0", False, "runs"),
)
