"""The gates in a terminal, as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path

from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from liqshell import private
from liqshell.errors import ConfigError
from liqshell.fitted import Table
from liqshell.gate.evaluation import LIVE, PAPER, Gate
from liqshell.gate.items import FAIL, PASS, Item
from liqshell.gate.scale import SCALE
from liqshell.pages import below, document, empty, notice, paragraphs, section, span, table
from liqshell.report.text import NONE

TITLES = {PAPER: "Paper gate", LIVE: "Go-live gate", SCALE: "Scale gate"}
SENTENCES = {
    PAPER: {
        PASS: "Paper trading meets every requirement.",
        FAIL: "Paper trading fails a requirement.",
        "": "No requirement fails, but there are too few data to pass all of them.",
    },
    LIVE: {
        PASS: "A week of live trading agrees with paper trading.",
        FAIL: "Live trading fails a requirement.",
        "": "There is too little live trading for a verdict.",
    },
    SCALE: {
        PASS: "Every step is allowed.",
        FAIL: "A requirement for growth fails: see the rows.",
        "": "The steps with a passed row are allowed, the others not yet.",
    },
}
STYLE = {PASS: "green", FAIL: "bold red"}


def sentence(gate: Gate, source: str) -> str:
    """The result of a gate, as a sentence."""
    verdict = gate.verdict(source)
    return f"{verdict.upper()}. {SENTENCES[source].get(verdict, SENTENCES[source][''])}"


def excluded(gate: Gate) -> str:
    """Runs that count for nothing."""
    return "; ".join(f"{name}: {why}" for name, why in gate.excluded)


REHEARSAL = "A rehearsal with generated or accelerated markets. It shows that the gate works, and is no other evidence."


def print_gate(gate: Gate, console: Console | None = None) -> None:
    """In a terminal."""
    console = console or Console()
    if gate.rehearsal:
        console.print(Text(REHEARSAL, style="black on yellow"))
    for source, title in TITLES.items():
        head = Text(f"{title}: {sentence(gate, source)}", style=STYLE.get(gate.verdict(source), "yellow"))
        shown = Table(title=head, title_justify="left")
        for name in ("requirement", "required", "measured", "n", "95 %", "verdict"):
            shown.add_column(name, overflow="fold", justify="right" if name == "n" else "left")
        for item in gate.items:
            if item.source == source:
                verdict = Text(item.verdict, style=STYLE.get(item.verdict, "yellow"))
                shown.add_row(Text(item.title), Text(item.required), Text(item.measured or NONE), f"{item.n:,}", item.interval, verdict)
        console.print(shown)
    if gate.excluded:
        console.print(Text(f"Not counted: {excluded(gate)}", style="yellow"))


def page(gate: Gate) -> str:
    """A self-contained page."""
    body = Markup()
    for source, title in TITLES.items():
        rows = [_row(item) for item in gate.items if item.source == source]
        shown = table(("Requirement", "Required", "Measured", ">n", "95 %", "Verdict"), rows, stack=True) if rows else empty("nothing")
        body += section(title, shown, anchor=source, verdict=sentence(gate, source))
    body += section(
        "Runs",
        paragraphs([", ".join(gate.runs) or "none"]) + (notice("Not counted", excluded(gate)) if gate.excluded else ""),
        "A row passes if the whole 95 % interval of the measurement lies inside the requirement, and fails if it lies outside; in "
        "between there are too few data. A row that allows no fault fails at the first one; its interval gives the faults to expect in "
        "as many further cases.",
    )
    return document("liqcore: is the next step allowed?", body, notices=[("REHEARSAL", REHEARSAL)] if gate.rehearsal else ())


def _row(item: Item) -> tuple[str, ...]:
    tone = {PASS: "pos", FAIL: "neg"}.get(item.verdict, "muted")
    measured = item.measured or NONE
    return (item.title, item.required, below(measured, item.note) if item.note else measured, f"{item.n:,}", item.interval, span(item.verdict, tone))


def save(gate: Gate, folder: str | Path) -> Path:
    """gate.json and gate.html into a folder; the page's path."""
    folder = Path(folder)
    try:
        private.folder(folder)
        private.write(folder / "gate.json", json.dumps(gate.as_dict(), indent=1, allow_nan=False) + "\n")
        private.write(folder / "gate.html", page(gate))
    except OSError as why:
        raise ConfigError("--out", f"{folder} cannot be written: {why.strerror or why}", "a folder for gate.json and gate.html") from None
    return folder / "gate.html"
