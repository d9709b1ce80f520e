"""The picture of a comparison: each preset's mean net return of a trade with its interval, among its controls. The table below it has the numbers."""

from __future__ import annotations

from html import escape
from typing import Any

from liqshell.report.svg import label, open_svg, steps_of
from liqshell.report.text import number

WIDTH, LEFT, RIGHT, LANE, TOP = 1120, 150, 150, 44, 26
COLOURS = {"pays": "good", "loses": "bad", "open": "accent", "idle": "muted"}


def forest(rows: list[dict[str, Any]]) -> str:
    """One lane a preset. Dot and bar: mean and 95 % interval. Hollow: the other side of the same trades. Thin line: the middle 90 % of random sides,
    and of random times below it. An interval that would flatten the others is cut, with an arrow."""
    centres = [v for r in rows for v in (r["trade"]["mean"], *(c["median_bps"] for c in r["controls"].values())) if v is not None]
    drawn = [c[end] for r in rows for c in r["controls"].values() for end in ("p05_bps", "p95_bps")]
    ends = [v for v in (*drawn, *(r["trade"][end] for r in rows for end in ("low", "high"))) if v is not None]
    reach = 3.0 * max([10.0, *(abs(v) for v in centres)])
    low, high = max(min([-10.0, *centres, *ends]), -reach), min(max([10.0, *centres, *ends]), reach)
    scale = (WIDTH - LEFT - RIGHT) / (high - low)

    def x_of(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) * scale

    bottom = TOP + LANE * len(rows)
    out = [open_svg(WIDTH, bottom + 30, "Net per trade of each preset in basis points, with its controls")]
    for value in steps_of(low, high, 8):
        out.append(f'<path d="M{x_of(value):.1f} {TOP - 8}V{bottom}" stroke="var(--{"muted" if abs(value) < 1e-12 else "line"})"/>')
        out.append(label(x_of(value), bottom + 18, f"{value:g}", "middle"))
    for k, r in enumerate(rows):
        y, t = TOP + (k + 0.5) * LANE, r["trade"]
        out.append(f'<text x="{LEFT - 12}" y="{y + 4:.1f}" text-anchor="end" font-weight="600">{escape(r["preset"])}</text>')
        if t["mean"] is None:
            out.append(label(WIDTH - RIGHT + 12, y + 4, "no trade"))
            continue
        for name, below in (("random_side", 10), ("random_time", 15)):
            c = r["controls"].get(name)
            if c and c["p05_bps"] is not None:
                out.append(
                    f'<path d="M{x_of(c["p05_bps"]):.1f} {y + below:.1f}H{x_of(c["p95_bps"]):.1f}" stroke="var(--muted)" stroke-width="2" '
                    f'stroke-dasharray="{"3 3" if below > 10 else "none"}" opacity=".8"/>'
                )
        colour = COLOURS[r["state"]]
        if t["low"] is not None:
            out.append(f'<path d="M{x_of(t["low"]):.1f} {y:.1f}H{x_of(t["high"]):.1f}" stroke="var(--{colour})" stroke-width="5" opacity=".4"/>')
            out += [
                f'<path d="M{x_of(v):.1f} {y - 5:.1f}l{6 * s} 5l{-6 * s} 5z" fill="var(--{colour})" opacity=".7"/>'
                for v, s in ((t["low"], -1), (t["high"], 1))
                if not low <= v <= high
            ]
        other = r["controls"].get("inverted_side")
        if other and other["median_bps"] is not None:
            out.append(f'<circle cx="{x_of(other["median_bps"]):.1f}" cy="{y:.1f}" r="5" fill="var(--card)" stroke="var(--ink)" stroke-width="1.5"/>')
        out.append(f'<circle cx="{x_of(t["mean"]):.1f}" cy="{y:.1f}" r="6" fill="var(--{colour})"/>')
        out.append(label(WIDTH - RIGHT + 12, y + 4, f"{number(t['mean'], 1, True)} bps, n {r['trades']:,}"))
    return "".join(out) + "</svg>"
