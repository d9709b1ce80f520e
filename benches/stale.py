"""Rivals of which the page has a version that is not the newest: which, since when there is another, and why that one was not run.

Looked up with `pip index versions --pre` on CHECKED. A row goes when its rival has been measured again: the page then names the version that it finds.
"""

from dataclasses import dataclass

CHECKED = "2026-11-22"


@dataclass(frozen=True)
class Stale:
    """rival: as tables name it. package, measured: as notes name them. newest: on CHECKED. why: it was not run. means: for the figure."""

    rival: str
    package: str
    measured: str
    newest: str
    why: str
    means: str


STALE = (
    Stale(
        "NautilusTrader",
        "nautilus_trader",
        "1.221.0",
        "2.0.0rc6 (and 1.231.0 of the old core)",
        "1.221.0 is the last version that installs on Python 3.11, which these benchmarks use. 2.0.0rc6 needs Python 3.12. It installs and "
        "imports there on this machine, but it is a different program (a Rust core; no nautilus_trader.backtest.engine, no "
        "nautilus_trader.trading.strategy). The rule of the benchmark is written for 1.x and does not run on it; it has not been ported",
        "The ratio is against the old Cython core, not against 2.0. An earlier measurement, whose script is not in the repository, gave "
        "about 377 x against a 2.0 release candidate. Expect that order of magnitude; the present version was not measured",
    ),
    Stale("vectorbt", "vectorbt", "1.0.0", "1.2.0", "the backtests were measured before 1.2.0 was installed", "The ratios are those of 1.0.0"),
)


def label(text: str) -> str:
    """The name of a figure, with the version where that is not the newest."""
    for one in STALE:
        if one.rival in text:
            return text.replace(f"{one.rival} (see its version)", one.rival) + f" {one.measured}, not the newest: {one.newest.split(' ')[0]}"
    return text


def section(result: dict) -> list[str]:
    """For the page. A stale row must be about what the results really hold."""
    notes = [c["note"] for case in result["cases"] for c in case["contestants"].values()]
    rows = []
    for one in STALE:
        if any(f"{one.package} {one.measured}" in (note or "") for note in notes):
            rows.append(f"| {one.rival} | {one.measured} | {one.newest} | {one.why}. {one.means} |")
    absent: dict[str, str] = {}
    for case in result["cases"]:
        absent |= {name: (why.splitlines() or ["no reason given"])[0] for name, why in case["skipped"].items()}
    out = [
        "## Rivals as they are today",
        "",
        f"The newest versions of the three simulators were checked on {CHECKED}: hftbacktest 2.4.4 is the newest. The other packages are "
        "listed under Versions; whether they are the newest was not checked.",
        "",
        "| rival | measured here | newest | why the newest was not run, and the meaning of the figure |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    return out + (["Not run here at all: " + "; ".join(f"{name} ({why})" for name, why in sorted(absent.items())) + ".", ""] if absent else [])
