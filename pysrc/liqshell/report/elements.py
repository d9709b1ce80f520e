"""What the page is made of: escaped text, tables, sections, tiles. What came from outside is escaped here or by `esc`, and nowhere else."""

from collections.abc import Iterable
from html import escape
from typing import Any

from liqshell.report.text import NONE


def esc(value: Any) -> str:
    return escape(str(value), quote=True)


def signed(value: float | None, text: str) -> str:
    """Green above zero, red below."""
    return f'<span class="{"pos" if value > 0 else "neg"}">{esc(text)}</span>' if value else esc(text)


def muted(text: str) -> str:
    return f'<span class="muted">{esc(text)}</span>'


def table(columns: Iterable[str], rows: Iterable[Iterable[str]], tall: bool = False, foot: int = 0) -> str:
    """Columns that begin with '>' hold numbers. Cells are HTML already: the caller has escaped them. foot: how many of the last rows are sums."""
    columns, body = list(columns), [list(row) for row in rows]
    kind = ["n" if c.startswith(">") else "" for c in columns]
    head = "".join(f'<th class="{k}">{esc(c.lstrip(">"))}</th>' for c, k in zip(columns, kind, strict=True))
    lines = []
    for n, row in enumerate(body):
        cells = "".join(f'<td class="{k}">{cell}</td>' for cell, k in zip(row, kind, strict=True))
        lines.append(("<tr class=\"sum\">" if n >= len(body) - foot else "<tr>") + cells + "</tr>")
    return f'<div class="scroll{" tall" if tall else ""}"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def section(title: str, body: str, sub: str = "", anchor: str = "", verdict: str = "") -> str:
    """verdict: the plain sentence that the section comes to, shown above its numbers."""
    identity = f' id="{anchor}"' if anchor else ""
    told = f'<p class="told">{esc(verdict)}</p>' if verdict else ""
    return f'<section{identity}><h2>{esc(title)}</h2>' + (f'<p class="sub">{esc(sub)}</p>' if sub else "") + told + body + "</section>"


def empty(text: str) -> str:
    return f'<p class="empty">{esc(text)}</p>'


def notice(label: str, text: str) -> str:
    return f'<p class="notice"><b>{esc(label)}</b> {esc(text)}</p>'


def tile(key: str, value: str, detail: str, tone: float | None = None) -> str:
    colour = "" if not tone else " pos" if tone > 0 else " neg"
    parts = (("k", key), ("v" + colour, value), ("d", detail))
    return '<div class="tile">' + "".join(f'<div class="{name}">{esc(text)}</div>' for name, text in parts) + "</div>"


def slim(body: str) -> str:
    return f'<div class="slim">{body}</div>'


def two(left: str, right: str) -> str:
    return f'<div class="two">{left}{right}</div>' if left and right else left + right


def count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else NONE if value is None else esc(value)
