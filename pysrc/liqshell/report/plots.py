"""Static drawings of the study and of the breakdowns: delays, controls, folds, bars. Plain inline SVG in the page's colours; every picture has its
numbers in a table beside it."""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from liqshell.report.svg import label, open_svg, steps_of
from liqshell.report.text import number, seconds, short_money

WIDTH, LEFT = 552, 60
DOTS = 90  # bins of a control's distribution


def _span(values: Sequence[float | None], pad: float = 0.06) -> tuple[float, float]:
    """Lowest and highest with zero inside, and a little room."""
    found = [v for v in values if v is not None and math.isfinite(v)]
    low, high = min(0.0, *found) if found else 0.0, max(0.0, *found) if found else 0.0
    if low == high:
        return -1.0, 1.0
    return low - pad * (high - low) * (low < 0), high + pad * (high - low) * (high > 0)


def _grid(low: float, high: float, top: float, height: float, show: Any, count: int = 4) -> list[str]:
    out = []
    for value in steps_of(low, high, count):
        y = top + (high - value) / (high - low) * height
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH}" stroke="var(--{"muted" if abs(value) < 1e-12 else "line"})"/>')
        out.append(label(LEFT - 8, y + 4, show(value), "end"))
    return out


def delays(rows: list[dict[str, Any]]) -> str:
    """Mean net return of a trade with its interval over the reaction delay (equal steps: the delays grow by factors)."""
    top, height = 14, 190
    low, high = _span([r[k] for r in rows for k in ("mean_bps", "low_bps", "high_bps")])
    # one interval of few trades must not flatten the rest
    means = [r["mean_bps"] for r in rows if r["mean_bps"] is not None]
    if means:
        reach = 4 * max(1.0, max(means) - min(means), max(abs(v) for v in means))
        low, high = max(low, min(0.0, *means) - reach), min(high, max(0.0, *means) + reach)
    pitch = (WIDTH - LEFT) / max(1, len(rows))

    def y_of(value: float) -> float:
        return top + (high - min(max(value, low), high)) / (high - low) * height

    out = [open_svg(WIDTH, top + height + 44, "Net per trade in basis points at each reaction delay")]
    out += _grid(low, high, top, height, lambda v: f"{v:g}")
    line = []
    for k, r in enumerate(rows):
        x = LEFT + (k + 0.5) * pitch
        out.append(label(x, top + height + 20, seconds(r["delay_s"]), "middle"))
        out.append(label(x, top + height + 38, f"n {r['trades']}", "middle"))
        if r["mean_bps"] is None:
            continue
        y = y_of(r["mean_bps"])
        line.append(f"{x:.1f} {y:.1f}")
        if r["low_bps"] is not None:
            ends = f"M{x:.1f} {y_of(r['low_bps']):.1f}V{y_of(r['high_bps']):.1f}"
            out.append(f'<path d="{ends}" stroke="var(--muted)" stroke-width="5" opacity=".45"/>')
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="var(--{"good" if r["mean_bps"] > 0 else "bad"})"/>')
    if len(line) > 1:
        out.insert(1, f'<path d="M{"L".join(line)}" fill="none" stroke="var(--ink)" stroke-width="1.2" opacity=".6"/>')
    return "".join(out) + "</svg>"


def controls(rows: list[dict[str, Any]], real: float | None) -> str:
    """One lane a control: how often its draws came to what (bars), its middle 90 % (line), and the run itself (the upright)."""
    lane, top, left = 58, 22, 128
    values = [v for r in rows for v in r["values_bps"]] + ([real] if real is not None else [])
    low, high = _span(values, 0.04)
    scale = (WIDTH - left - 8) / (high - low)

    def x_of(value: float) -> float:
        return left + (value - low) * scale

    bottom = top + lane * len(rows)
    out = [open_svg(WIDTH, bottom + 26, "Net per trade of the controls and of the run")]
    for value in steps_of(low, high, 6):
        out.append(f'<path d="M{x_of(value):.1f} {top}V{bottom}" stroke="var(--{"muted" if abs(value) < 1e-12 else "line"})"/>')
        out.append(label(x_of(value), bottom + 18, f"{value:g}", "middle"))
    for k, r in enumerate(rows):
        base = top + (k + 1) * lane - 12
        out.append(label(left - 10, base - 14, r["name"], "end", ""))
        out.append(label(left - 10, base + 3, f"{r['draws']} draw{'s' if r['draws'] != 1 else ''}", "end"))
        if not r["values_bps"]:
            out.append(label(left + 8, base - 8, "no trade was closed"))
            continue
        if len(r["values_bps"]) > 1:
            counts, edges = np.histogram(r["values_bps"], bins=DOTS, range=(low, high))
            tall = (lane - 20) / max(1, counts.max())
            out += [
                f'<rect x="{x_of(edge):.1f}" y="{base - n * tall:.1f}" width="{max(1.5, (high - low) / DOTS * scale - 0.6):.1f}" '
                f'height="{n * tall:.1f}" fill="var(--muted)" opacity=".55"/>'
                for n, edge in zip(counts.tolist(), edges.tolist(), strict=False)
                if n
            ]
            out.append(f'<path d="M{x_of(r["p05_bps"]):.1f} {base + 4}H{x_of(r["p95_bps"]):.1f}" stroke="var(--ink)" stroke-width="2"/>')
        x = x_of(r["median_bps"])
        out.append(
            f'<path d="M{x:.1f} {base + 9}l-4 -5h8z" fill="var(--ink)"/>'
            if len(r["values_bps"]) > 1
            else f'<circle cx="{x:.1f}" cy="{base - 8}" r="5" fill="var(--muted)"/>'
        )
    if real is not None:
        x = x_of(real)
        side = "end" if x > (left + WIDTH) / 2 else "start"
        out.append(f'<path d="M{x:.1f} {top - 4}V{bottom}" stroke="var(--accent)" stroke-width="2.5"/>')
        out.append(
            f'<text x="{x + (-6 if side == "end" else 6):.1f}" y="{top - 8}" text-anchor="{side}" style="fill:var(--accent);font-weight:600">'
            f"this run {number(real, 1, True)} bps</text>"
        )
    return "".join(out) + "</svg>"


def folds(rows: list[dict[str, Any]]) -> str:
    """Mean net return of a trade per fold: in sample hollow, out of sample full."""
    top, height = 14, 170
    low, high = _span([r[k] for r in rows for k in ("train_bps", "test_bps")])
    pitch = (WIDTH - LEFT) / max(1, len(rows))
    width = min(26.0, pitch * 0.36)
    zero = top + high / (high - low) * height
    out = [open_svg(WIDTH, top + height + 26, "Net per trade of each fold, in sample and out of sample")]
    out += _grid(low, high, top, height, lambda v: f"{v:g}")
    for k, r in enumerate(rows):
        x = LEFT + (k + 0.5) * pitch
        for value, at, style in (
            (r["train_bps"], x - width - 1, 'fill="none" stroke="var(--muted)" stroke-width="1.5"'),
            (r["test_bps"], x + 1, f'fill="var(--{"good" if (r["test_bps"] or 0) > 0 else "bad"})"'),
        ):
            if value is not None:
                y = top + (high - max(value, 0.0)) / (high - low) * height
                size = max(1.0, abs(value) / (high - low) * height)
                out.append(f'<rect x="{at:.1f}" y="{y:.1f}" width="{width:.1f}" height="{size:.1f}" {style}/>')
        if len(rows) <= 24 or k % (len(rows) // 12) == 0:
            out.append(label(x, top + height + 20, str(r["fold"]), "middle"))
    return "".join(out) + f'<path d="M{LEFT} {zero:.1f}H{WIDTH}" stroke="var(--ink)"/></svg>'


def bars(rows: list[tuple[str, float, str]], about: str, show: Any = short_money, every: int = 1) -> str:
    """One upright bar a row: (name under it, value, hover text). every: which names are written."""
    top, height = 12, 130
    low, high = _span([v for _, v, _ in rows], 0.03)
    pitch = (WIDTH - LEFT) / max(1, len(rows))
    zero = top + high / (high - low) * height
    out = [open_svg(WIDTH, top + height + 26, about)] + _grid(low, high, top, height, show, 3)
    for k, (name, value, hover) in enumerate(rows):
        x = LEFT + k * pitch
        y = top + (high - max(value, 0.0)) / (high - low) * height
        if value:
            size = max(1.0, abs(value) / (high - low) * height)
            out.append(
                f'<rect x="{x + pitch * 0.12:.1f}" y="{y:.1f}" width="{max(0.8, pitch * 0.76):.1f}" height="{size:.1f}" '
                f'fill="var(--{"good" if value > 0 else "bad"})"><title>{escape(hover)}</title></rect>'
            )
        if k % every == 0:
            out.append(label(x + pitch / 2, top + height + 20, name, "middle"))
    return "".join(out) + f'<path d="M{LEFT} {zero:.1f}H{WIDTH}" stroke="var(--muted)"/></svg>'


def holds(rows: list[dict[str, Any]]) -> str:
    """Histogram of the time held; the part that won is full."""
    top, height = 18, 130
    most = max((r["n"] for r in rows), default=0) or 1
    pitch = (WIDTH - 8) / max(1, len(rows))
    out = [open_svg(WIDTH, top + height + 26, "Trades by the time that they were held")]
    for k, r in enumerate(rows):
        x, size, won = 8 + k * pitch, r["n"] / most * height, r["wins"] / most * height
        base = top + height
        out.append(f'<rect x="{x:.1f}" y="{base - size:.1f}" width="{pitch - 4:.1f}" height="{size - won:.1f}" fill="var(--bad)" opacity=".65"/>')
        out.append(f'<rect x="{x:.1f}" y="{base - won:.1f}" width="{pitch - 4:.1f}" height="{won:.1f}" fill="var(--good)" opacity=".85"/>')
        if r["n"]:
            out.append(label(x + pitch / 2 - 2, base - size - 5, str(r["n"]), "middle"))
        if r["low"] is not None:
            out.append(label(x - 2, base + 18, _short(r["low"]), "middle"))
    return "".join(out) + f'<path d="M8 {top + height}H{WIDTH}" stroke="var(--muted)"/></svg>'


def _short(value_s: float) -> str:
    return f"{value_s:g}s" if value_s < 60 else f"{value_s / 60:g}m" if value_s < 3600 else f"{value_s / 3600:g}h"
