"""The gates in a terminal, as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from liqshell.errors import ConfigError
from liqshell.gate.items import FAIL, PASS, Item
from liqshell.gate.judge import LIVE, PAPER, Gate
from liqshell.report.elements import empty, esc, muted, notice, section, table
from liqshell.report.html import document
from liqshell.report.text import NONE

TITLES = {PAPER: "Paper gate", LIVE: "Go-live gate"}
SAID = {PAPER: {PASS: "Paper trading has shown what was required of it.", FAIL: "Paper trading has shown something that must not be.",
                "": "Nothing that was seen speaks against going on, but not enough was seen to say so."},
        LIVE: {PASS: "A week of live trading was as paper had promised.", FAIL: "Live trading is not what paper had promised.",
               "": "There is too little live trading to judge."}}
STYLE = {PASS: "green", FAIL: "bold red"}


def said(gate: Gate, source: str) -> str:
    """What a gate comes to, in a sentence."""
    verdict = gate.verdict(source)
    return f"{verdict.upper()}. {SAID[source].get(verdict, SAID[source][''])}"


def excluded(gate: Gate) -> str:
    """Runs that count for nothing."""
    return "; ".join(f"{name}: {why}" for name, why in gate.excluded)


REHEARSAL = "A rehearsal: generated or accelerated markets were let in. It shows that the gate works, and is evidence of nothing else."


def print_gate(gate: Gate, console: Console | None = None) -> None:
    """In a terminal."""
    console = console or Console()
    if gate.rehearsal:
        console.print(Text(REHEARSAL, style="black on yellow"))
    for source, title in TITLES.items():
        head = Text(f"{title} ({source}): {said(gate, source)}", style=STYLE.get(gate.verdict(source), "yellow"))
        shown = Table(title=head, title_justify="left")
        for name in ("requirement", "required", "measured", "verdict"):
            shown.add_column(name, overflow="fold")
        for item in gate.items:
            if item.source == source:
                verdict = Text(item.verdict, style=STYLE.get(item.verdict, "yellow"))
                shown.add_row(Text(item.title), Text(item.required), Text(item.measured or NONE), verdict)
        console.print(shown)
    if gate.excluded:
        console.print(Text(f"Not counted: {excluded(gate)}", style="yellow"))


def page(gate: Gate) -> str:
    """A self-contained page."""
    body = [notice("REHEARSAL", REHEARSAL)] if gate.rehearsal else []
    for source, title in TITLES.items():
        rows = [_row(item) for item in gate.items if item.source == source]
        shown = table(("Requirement", "Required", "Measured", ">n", "Verdict"), rows) if rows else empty("nothing")
        body.append(section(f"{title} ({source})", shown, anchor=source.lower().replace("-", ""), verdict=said(gate, source)))
    runs = ", ".join(gate.runs) or "none"
    body.append(section("Runs", f"<p>{esc(runs)}</p>" + (notice("Not counted", excluded(gate)) if gate.excluded else ""),
                        "A gate passes where the whole 95 % interval of what was measured lies inside what is required; between that and a "
                        "fail there is not enough data. What must be flawless fails at the first fault."))
    return document("liqcore: may it go on?", "\n".join(body))


def _row(item: Item) -> list[str]:
    tone = {PASS: "pos", FAIL: "neg"}.get(item.verdict, "muted")
    note = f"<br>{muted(item.note)}" if item.note else ""
    verdict = f'<span class="{tone}">{esc(item.verdict)}</span>'
    return [esc(item.title), esc(item.required), (esc(item.measured) or NONE) + note, f"{item.n:,}", verdict]


def save(gate: Gate, folder: str | Path) -> Path:
    """gate.json and gate.html into a folder; the page's path."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gate.json").write_text(json.dumps(gate.as_dict(), indent=1, allow_nan=False) + "\n")
        (folder / "gate.html").write_text(page(gate), encoding="utf-8")
    except OSError as why:
        raise ConfigError("--out", f"{folder} cannot be written: {why.strerror or why}", "a folder for gate.json and gate.html") from None
    return folder / "gate.html"
