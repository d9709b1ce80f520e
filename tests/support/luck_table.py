"""How often the best of many settings is called an edge: where none has one, and where one of a hundred has.

    python -m tests.luck_table --draws 500

prints the table of docs/report.md. The markets are drawn here, without a tape: what is tested is liqshell.report.luck alone.
"""

import argparse
import math

import numpy as np

from liqshell.report.luck import assess
from liqshell.report.robust import LIKELY, selected

TRADES = 5  # a day
SIZES = ((30, 20), (60, 100), (40, 2592))
KINDS = ("normal", "fade", "gaps", "crash", "autocorrelated")
WIN, LOSS, GAP, GAPS = 0.0015, 0.005, 0.05, 1 / 150
EDGE = 0.001  # a trade
WORDS = {
    "normal": "normal days",
    "fade": "fade shape: many small gains, few losses",
    "gaps": "fade, one trade in 150 gaps -5 %",
    "crash": "5 % of days lose ten deviations",
    "autocorrelated": "autocorrelated days (0.3)",
}


def drawn(kind: str, days: int, settings: int, rng: np.random.Generator, edge: float = 0.0) -> np.ndarray:
    """Daily results (days, settings) in parts of the notional; none of them has an edge but the first, which has `edge` a trade."""
    shape = days * TRADES, settings
    if kind == "crash":
        crash = rng.random((days, settings)) < 0.05
        out = np.where(crash, -10.0, rng.normal(0.5 / 0.95, 1.0, (days, settings))) * 0.003 * math.sqrt(TRADES)
    elif kind == "autocorrelated":
        noise, out = rng.normal(0.0, 1.0, (days + 50, settings)), np.zeros((days + 50, settings))
        for day in range(1, days + 50):
            out[day] = 0.3 * out[day - 1] + noise[day]
        out = out[50:] * 0.003 * math.sqrt(TRADES)
    else:
        out = single(kind, shape, rng).reshape(days, TRADES, settings).sum(axis=1)
    out[:, 0] += edge * TRADES
    return out


def single(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Results of trades."""
    gap = rng.random(shape) < GAPS if kind == "gaps" else np.zeros(shape, bool)
    wanted = GAPS * GAP / (1 - GAPS) if kind == "gaps" else 0.0
    wins = rng.random(shape) < (wanted + LOSS) / (WIN + LOSS)
    return rng.normal(0.0, 0.003, shape) if kind == "normal" else np.where(gap, -GAP, np.where(wins, WIN, -LOSS))


def share(kind: str, days: int, settings: int, draws: int, seed: int, edge: float = 0.0) -> float:
    """Of the draws in which an edge is called; with `edge`, in which it is called of the setting that has it."""
    rng = np.random.default_rng(seed)
    called = 0
    for n in range(draws):
        found = assess(drawn(kind, days, settings, rng, edge), seed=n)
        called += bool(found["edge"]) and (not edge or found["best"] == 0)
    return called / draws


def control_share(kind: str, trades: int, settings: int, draws: int, seed: int) -> float:
    """Of the draws in which the best of worthless settings beats both drawn controls: its own trades on random sides, and trades of any time. The p are
    those after the choice (report.robust.selected), of 20 draws of each control."""
    rng, called = np.random.default_rng(seed), 0
    for _ in range(draws):
        every = drawn(kind, trades // TRADES, settings, rng) if kind in ("crash", "autocorrelated") else single(kind, (trades, settings), rng)
        best = every[:, int(np.argmax(every.mean(axis=0)))]
        sides = (best * rng.choice([-1, 1], (20, len(best)))).mean(axis=1)
        times = rng.choice(every.ravel(), (20, len(best))).mean(axis=1)
        called += all(selected(float(best.mean()), own.tolist(), settings) < LIKELY for own in (sides, times))
    return called / draws


ROWS = {"edge": KINDS, "controls": KINDS[:3], "planted": KINDS[:2]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--rows", nargs="*", default=[f"{what}:{kind}" for what, kinds in ROWS.items() for kind in kinds], help="some of them only")
    arguments = parser.parse_args()
    draws = arguments.draws
    print("| results | " + " | ".join(f"{d} days x {s:,}" for d, s in SIZES) + " |\n|---|" + "---:|" * len(SIZES))
    for what, kind in (row.split(":") for row in arguments.rows):
        if what == "planted":
            print(f"| {WORDS[kind]}, one setting with +{EDGE:.2%} a trade | | {share(kind, 60, 100, draws, 2, EDGE):.1%} | |", flush=True)
            continue
        own = [share(kind, d, s, draws, 1) if what == "edge" else control_share(kind, d * TRADES, s, draws, 3) for d, s in SIZES]
        print(f"| {WORDS[kind]}{': the best beats its controls' if what == 'controls' else ''} | {' | '.join(f'{v:.1%}' for v in own)} |", flush=True)


if __name__ == "__main__":
    main()
