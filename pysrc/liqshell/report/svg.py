"""The two static drawings: the waterfall from gross to net, and the account after each trade. Plain inline SVG in the page's colours."""

from html import escape
from typing import Any

from liqshell.report.text import money


def waterfall(m: dict[str, Any]) -> str:
    """gross at decision prices -> fees -> slippage -> funding -> net; every bar starts where the one before it ended."""
    steps = [("gross", m["gross_decided"], True), ("fees", -m["fees"], False), ("slippage", -m["slippage"], False),
             ("funding", -m["funding"], False), ("net", m["net"], True)]
    level, bars = 0.0, []
    for name, value, total in steps:
        begin, end = (0.0, value) if total else (level, level + value)
        bars.append((name, value, begin, end, total))
        level = end
    low, high = min(0.0, *(min(b[2], b[3]) for b in bars)), max(0.0, *(max(b[2], b[3]) for b in bars))
    height, top, width, pitch = 150, 26, 78, 108
    scale = height / (high - low) if high > low else 1.0
    out = [f'<svg viewBox="0 0 {pitch * len(bars)} {height + top + 46}" role="img" aria-label="From gross to net profit or loss">']
    zero = top + high * scale
    for n, (name, value, begin, end, total) in enumerate(bars):
        x = n * pitch + (pitch - width) / 2
        y, size = top + (high - max(begin, end)) * scale, max(1.5, abs(end - begin) * scale)
        colour = "var(--muted)" if value == 0 else "var(--good)" if value > 0 else "var(--bad)"
        out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width}" height="{size:.1f}" rx="2" fill="{colour}" '
                   f'opacity="{1 if total else .6}"/>')
        if n + 1 < len(bars):
            at = top + (high - end) * scale
            out.append(f'<path d="M{x + width:.1f} {at:.1f}H{x + pitch:.1f}" stroke="var(--muted)" stroke-dasharray="2 3"/>')
        out.append(f'<text x="{x + width / 2:.1f}" y="{y - 7:.1f}" text-anchor="middle" font-weight="600">'
                   f'{escape(money(value, sign=True))}</text>')
        note = "not modelled" if name == "funding" and not m["funding_modelled"] else ""
        out.append(f'<text class="m" x="{x + width / 2:.1f}" y="{height + top + 22}" text-anchor="middle">{escape(name)}</text>')
        if note:
            out.append(f'<text class="m" x="{x + width / 2:.1f}" y="{height + top + 38}" text-anchor="middle">{note}</text>')
    out.append(f'<path d="M0 {zero:.1f}H{pitch * len(bars)}" stroke="var(--ink)" stroke-width="1"/></svg>')
    return "".join(out)


def equity(points: list[tuple[float, float, float]], end_ms: float) -> str:
    """points: (ms, gross at decision prices, net) of each closed trade; two step lines, so that the cost is the distance between them."""
    width, height, left, top = 540, 190, 62, 12
    gross, net, lines = 0.0, 0.0, [[(0.0, 0.0)], [(0.0, 0.0)]]
    for at, g, n in points:
        gross, net = gross + g, net + n
        lines[0].append((at, gross))
        lines[1].append((at, net))
    values = [v for line in lines for _, v in line]
    low, high = min(values), max(values)
    scale = height / (high - low) if high > low else 1.0
    span = max(end_ms, 1.0)

    def path(line: list[tuple[float, float]]) -> str:
        d = [f"M{left:.1f} {top + (high - line[0][1]) * scale:.1f}"]
        for at, value in line[1:]:
            d.append(f"H{left + at / span * (width - left):.1f}V{top + (high - value) * scale:.1f}")
        return "".join(d) + f"H{width}"
    out = [f'<svg viewBox="0 0 {width} {height + top + 30}" role="img" aria-label="Account after each trade, before and after costs">']
    marks: list[float] = []
    for value in sorted({0.0, low, high}, key=lambda v: (v != 0.0, -abs(v))):
        y = top + (high - value) * scale
        if all(abs(y - other) > 15 for other in marks):
            marks.append(y)
            out.append(f'<path d="M{left} {y:.1f}H{width}" stroke="var(--line)"/>'
                       f'<text class="m" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(money(value, sign=value != 0))}</text>')
    out.append(f'<path d="{path(lines[0])}" fill="none" stroke="var(--muted)" stroke-width="1.5" stroke-dasharray="4 3"/>')
    out.append(f'<path d="{path(lines[1])}" fill="none" stroke="var(--accent)" stroke-width="2"/>')
    out.append(f'<text class="m" x="{left}" y="{height + top + 24}">start</text>'
               f'<text class="m" x="{width}" y="{height + top + 24}" text-anchor="end">end of run</text></svg>')
    return "".join(out)
