"""Static drawings as plain inline SVG in the page's colours: the waterfall from gross to net, and the account with its drawdown."""

from collections.abc import Sequence
from html import escape
from typing import Any

from liqshell.report.text import number, percent, short_money

POINTS_MAX = 1200  # of a line: more cannot be seen


def label(x: float, y: float, text: str, anchor: str = "start", kind: str = "m") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def open_svg(width: float, height: float, about: str) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(about, quote=True)}">'


def steps_of(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high, 1, 2 or 5 times a power of ten apart."""
    if not high > low:
        return [low]
    raw, step = (high - low) / count, 1.0
    while step * 10 <= raw:
        step *= 10
    while step > raw:
        step /= 10
    step *= next(k for k in (1, 2, 5, 10) if step * k >= raw * (1 - 1e-9))
    first = int(low // step)
    return [k * step for k in range(first, first + 3 * count + 3) if low - 1e-9 * step <= k * step <= high + 1e-9 * step]


def waterfall(m: dict[str, Any]) -> str:
    """gross at decision prices -> fees -> slippage -> funding -> net; every bar starts where the one before it ended. Fees are cut by role."""
    steps = [
        ("gross", m["gross_decided"], True, ""),
        ("maker", -m["fees_maker"], False, "fees"),
        ("taker", -m["fees_taker"], False, "fees"),
        ("slippage", -m["slippage"], False, ""),
        ("funding", -m["funding"], False, "" if m["funding_modelled"] else "not modelled"),
        ("net", m["net"], True, ""),
    ]
    level, bars = 0.0, []
    for name, value, total, note in steps:
        begin, end = (0.0, value) if total else (level, level + value)
        bars.append((name, value, begin, end, total, note))
        level = end
    low, high = min(0.0, *(min(b[2], b[3]) for b in bars)), max(0.0, *(max(b[2], b[3]) for b in bars))
    height, top, width, pitch = 150, 26, 66, 92
    scale = height / (high - low) if high > low else 1.0
    out = [open_svg(pitch * len(bars), height + top + 46, "From gross to net profit or loss")]
    zero = top + high * scale
    for n, (name, value, begin, end, total, note) in enumerate(bars):
        x = n * pitch + (pitch - width) / 2
        y, size = top + (high - max(begin, end)) * scale, max(1.5, abs(end - begin) * scale)
        colour = "var(--muted)" if value == 0 else "var(--good)" if value > 0 else "var(--bad)"
        out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{size:.1f}" rx="2" fill="{colour}" opacity="{1 if total else 0.6}"/>')
        if n + 1 < len(bars):
            at = top + (high - end) * scale
            out.append(f'<path d="M{x + width:.1f} {at:.1f}H{x + pitch:.1f}" stroke="var(--muted)" stroke-dasharray="2 3"/>')
        out.append(f'<text x="{x + width / 2:.1f}" y="{y - 7:.1f}" text-anchor="middle" font-weight="600">{escape(short_money(value))}</text>')
        out.append(label(x + width / 2, height + top + 22, name, "middle"))
        if note:
            out.append(label(x + width / 2, height + top + 40, note, "middle"))
    out.append(f'<path d="M0 {zero:.1f}H{pitch * len(bars)}" stroke="var(--ink)" stroke-width="1"/></svg>')
    return "".join(out)


def thinned(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most about POINTS_MAX points; of each stretch its first, lowest, highest and last stay, so no peak is lost."""
    if len(line) <= POINTS_MAX:
        return list(line)
    size = -(-len(line) * 4 // POINTS_MAX)
    out: list[tuple[float, float]] = []
    for first in range(0, len(line), size):
        part = line[first : first + size]
        keep = {0, len(part) - 1, min(range(len(part)), key=lambda k: part[k][1]), max(range(len(part)), key=lambda k: part[k][1])}
        out += [part[k] for k in sorted(keep)]
    return out


def account(points: list[tuple[float, float, float]], end_ms: float, equity: float | None, dates: tuple[str, str]) -> str:
    """points: (ms, gross at decision prices, net) of each closed trade; two step lines, so that the cost is the distance between them, and below
    them how far the account (net) stood under its last peak. dates: words for the two ends of the run."""
    width, height, left, top = 552, 170, 74, 12
    gross, net, lines = 0.0, 0.0, [[(0.0, 0.0)], [(0.0, 0.0)]]
    peak, falls = 0.0, [(0.0, 0.0)]
    for at, g, n in points:
        gross, net = gross + g, net + n
        peak = max(peak, net)
        lines[0].append((at, gross))
        lines[1].append((at, net))
        falls.append((at, (net - peak) / (equity + peak) if equity else net - peak))
    values = [v for line in lines for _, v in line]
    low, high = min(values), max(values)
    scale = height / (high - low) if high > low else 1.0
    span = max(end_ms, 1.0)

    def x_of(at: float) -> float:
        return left + at / span * (width - left)

    def path(line: list[tuple[float, float]], y: Any) -> str:
        line = thinned(line)
        return f"M{left:.1f} {y(line[0][1]):.1f}" + "".join(f"H{x_of(at):.1f}V{y(value):.1f}" for at, value in line[1:]) + f"H{width}"

    below, room = top + height + 20, 56
    out = [open_svg(width, below + room + 26, "Account after each trade, before and after costs, and its drawdown")]
    for value in steps_of(low, high, 4):
        at = top + (high - value) * scale
        out.append(f'<path d="M{left} {at:.1f}H{width}" stroke="var(--{"muted" if value == 0 else "line"})"/>')
        out.append(label(left - 8, at + 4, short_money(value), "end"))
    out.append(
        f'<path d="{path(lines[0], lambda v: top + (high - v) * scale)}" fill="none" stroke="var(--muted)" stroke-width="1.5" '
        'stroke-dasharray="4 3"/>'
    )
    out.append(f'<path d="{path(lines[1], lambda v: top + (high - v) * scale)}" fill="none" stroke="var(--accent)" stroke-width="2"/>')
    deepest = min(v for _, v in falls)
    depth = room / -deepest if deepest < 0 else 0.0
    out.append(f'<path d="{path(falls, lambda v: below - v * depth)}V{below}H{left}Z" fill="var(--bad)" opacity=".35"/>')
    out.append(f'<path d="M{left} {below}H{width}" stroke="var(--line)"/>')
    out.append(label(left - 8, below + 4, "peak", "end"))
    if deepest < 0:
        out.append(label(left - 8, below + room + 2, percent(deepest, 2) if equity else number(deepest), "end"))
    out.append(label(left, below + room + 22, dates[0]) + label(width, below + room + 22, dates[1], "end") + "</svg>")
    return "".join(out)
