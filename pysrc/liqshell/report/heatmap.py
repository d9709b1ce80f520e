"""Pictures of a sweep that show regions of good settings, not only the best one.

    cells = stability(table, "take_profit", "stop_loss", "net_bps")
    fragment = heatmaps(table, "take_profit", "stop_loss", "net_bps")       # HTML with inline SVG, for a page or a file of its own

The best of thousands of settings is the one with the most luck. A region in which the neighbours are good as well has less of it: so each cell is
the median over all other parameters, and beside it stands the lowest median of the cell and of the cells one step of one parameter away.
"""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup

from liqshell.pages import empty, heat

CELLS_WITH_NUMBERS = 240
CELLS_DRAWN = 400  # more are one picture, whose values HOVER reads from columns
OUTLIERS = (0.01, 0.99)
NEIGHBOURS_LEAST = 3  # a cell with fewer measured neighbours is not called stable: nothing around it was tried
# cividis (Nunez, Anderton, Renslow 2018): reads alike for the colour-blind and in grey. For results with two signs: blue to orange through white.
Colours = tuple[tuple[int, int, int], ...]
CIVIDIS: Colours = (
    (0, 34, 78),
    (18, 53, 112),
    (59, 73, 108),
    (87, 93, 109),
    (112, 113, 115),
    (138, 134, 120),
    (165, 156, 116),
    (195, 179, 105),
    (225, 204, 85),
    (254, 232, 56),
)
LOSS_GAIN: Colours = (
    (178, 88, 6),
    (224, 130, 20),
    (253, 184, 99),
    (254, 224, 182),
    (247, 247, 247),
    (209, 229, 240),
    (146, 197, 222),
    (67, 147, 195),
    (33, 102, 172),
)


@dataclass(frozen=True)
class Stability:
    """Two parameters of a sweep as a grid. x, y: sorted values. median, worst: (len(y), len(x)), NaN where nothing was tried. count: settings a cell.

    worst: the lowest median of the cell and of those one step of one parameter away. best: (row, column) of the single best setting, best_value its
    metric; stable: (row, column) of the cell whose `worst` is best. None where there is none.
    """

    x: np.ndarray
    y: np.ndarray
    median: np.ndarray
    worst: np.ndarray
    count: np.ndarray
    best: tuple[int, int] | None
    best_value: float | None
    stable: tuple[int, int] | None


def stability(table: Mapping[str, np.ndarray], x: str, y: str, metric: str, *, higher_is_better: bool = True) -> Stability:
    """table: columns of equal length, one row a setting; x, y: parameters; metric: result. Rows whose metric is not finite count as not tried.

    ValueError where a column is missing, of another length, or x or y are not numbers.
    """
    columns = {}
    for name in (x, y, metric):
        if name not in table:
            raise ValueError(f"no column {name!r}; there are {', '.join(sorted(table))}")
        columns[name] = np.asarray(table[name])
        if columns[name].ndim != 1 or len(columns[name]) != len(columns[x]) or columns[name].dtype.kind not in "fiub":
            raise ValueError(
                f"column {name!r}: {columns[name].dtype} of shape {columns[name].shape}; expected one column of {len(columns[x])} numbers"
            )
    value = columns[metric].astype(float)
    xs, at_x = np.unique(columns[x], return_inverse=True)
    ys, at_y = np.unique(columns[y], return_inverse=True)
    shape = (len(ys), len(xs))
    median, count = np.full(shape, np.nan), np.zeros(shape, np.int64)
    good = np.flatnonzero(np.isfinite(value))
    cell = at_y[good] * len(xs) + at_x[good]
    order = np.lexsort((value[good], cell))
    cells, starts, sizes = np.unique(cell[order], return_index=True, return_counts=True)
    ranked = value[good][order]
    median.flat[cells] = (ranked[starts + (sizes - 1) // 2] + ranked[starts + sizes // 2]) / 2
    count.flat[cells] = sizes
    sign = 1.0 if higher_is_better else -1.0
    worst, neighbours = _worst(median * sign)
    best = int(good[np.argmax(value[good] * sign)]) if len(good) else None
    tried = np.isfinite(median)
    least = min(NEIGHBOURS_LEAST, int(neighbours[tried].max(initial=0)))
    candidates = np.where(tried & (neighbours >= least), worst, -np.inf)
    stable = divmod(int(np.argmax(candidates)), len(xs)) if len(good) else None
    return Stability(
        xs,
        ys,
        median,
        worst * sign,
        count,
        None if best is None else (int(at_y[best]), int(at_x[best])),
        None if best is None else float(value[best]),
        stable,
    )


def _around(grid: np.ndarray) -> np.ndarray:
    """The cells one step of one parameter away, (rows, columns, 4); NaN where there is none."""
    padded = np.pad(grid, 1, constant_values=np.nan)
    return np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]], axis=-1)


def _worst(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest of each cell and its neighbours (NaN: not tried, no neighbour), and how many neighbours there were."""
    near = _around(grid)
    tried = np.isfinite(near)
    return np.where(np.isfinite(grid), np.minimum(grid, np.where(tried, near, np.inf).min(axis=-1)), np.nan), tried.sum(axis=-1)


def colour(value: float, low: float, high: float) -> tuple[str, str]:
    """(fill, ink) of a value. low and high of different sign: zero is white, losses are orange, gains blue, on one scale for both."""
    if low < 0 < high:
        reach = max(-low, high)
        scale, share = LOSS_GAIN, (value + reach) / (2 * reach)
    else:
        scale, share = CIVIDIS, (value - low) / (high - low) if high > low else 0.5
    at = min(max(share, 0.0), 1.0) * (len(scale) - 1)
    k = min(int(at), len(scale) - 2)
    red, green, blue = (round(a + (b - a) * (at - k)) for a, b in zip(scale[k], scale[k + 1], strict=True))
    light = sum(w * (c / 255) ** 2.2 for w, c in zip((0.2126, 0.7152, 0.0722), (red, green, blue), strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}", "#111" if light > 0.19 else "#fff"  # where black and white have the same contrast


def _number(value: float) -> str:
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 1 else f"{value:.3g}"
    return text.replace("-", "−")


def _axis(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def _grid(s: Stability, grid: np.ndarray, names: tuple[str, str, str], span: tuple[float, float]) -> str:
    x_name, y_name, about = names
    rows, columns = grid.shape
    left, top, width = 92, 30, 440
    pitch = width / columns
    tall = min(max(pitch * 0.62, 16.0), 46.0) if rows <= 24 else max(380 / rows, 4.0)
    height = tall * rows
    dense = rows * columns > CELLS_DRAWN
    out = [
        f'<svg viewBox="0 0 {left + width + 8} {top + height + 46:.0f}" role="img" aria-label="{escape(about, quote=True)}"'
        + (f' data-heat="{escape(_columns(s, grid, x_name, y_name), quote=True)}"' if dense else "")
        + ">",
        f'<text x="{left}" y="16" font-weight="600">{escape(about)}</text>',
    ]
    written = rows * columns <= CELLS_WITH_NUMBERS and pitch >= 26
    if dense:
        out.append(
            f'<image x="{left}" y="{top}" width="{width}" height="{height:.1f}" preserveAspectRatio="none" style="image-rendering:pixelated" '
            f'href="data:image/png;base64,{_picture(grid, span)}"/>'
        )
    for row in range(rows):
        y = top + (rows - 1 - row) * tall
        for column in range(0 if dense else columns):
            value, x = float(grid[row, column]), left + column * pitch
            where = f"{x_name} {_axis(s.x[column])}, {y_name} {_axis(s.y[row])}"
            if not np.isfinite(value):
                out.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{pitch:.1f}" height="{tall:.1f}" fill="none" '
                    'stroke="var(--line,#ccc)" stroke-width=".5">'
                    f"<title>{escape(where)}: not tried</title></rect>"
                )
                continue
            fill, ink = colour(value, *span)
            out.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{pitch + 0.3:.1f}" height="{tall + 0.3:.1f}" fill="{fill}">'
                f"<title>{escape(where)}: {_number(value)} ({int(s.count[row, column])} settings)</title></rect>"
            )
            if written:
                out.append(
                    f'<text x="{x + pitch / 2:.1f}" y="{y + tall / 2 + 4:.1f}" text-anchor="middle" '
                    f'style="fill:{ink};font-size:{min(12, pitch * 0.34):.1f}px">'
                    f"{_number(value)}</text>"
                )
        if rows <= 24 or row % -(-rows // 12) == 0:
            out.append(f'<text class="m" x="{left - 6}" y="{y + tall / 2 + 4:.1f}" text-anchor="end">{_axis(s.y[row])}</text>')
    step = -(-columns // max(1, int(width // 74)))
    out += [
        f'<text class="m" x="{left + (column + 0.5) * pitch:.1f}" y="{top + height + 16:.1f}" text-anchor="middle">{_axis(s.x[column])}</text>'
        for column in range(0, columns, step)
    ]
    out.append(f'<text class="m" x="{left + width / 2}" y="{top + height + 36:.1f}" text-anchor="middle">{escape(x_name)}</text>')
    middle = top + height / 2
    out.append(f'<text class="m" x="10" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 10 {middle:.1f})">{escape(y_name)}</text>')
    out += _marks(s, left, top, pitch, tall)
    return "".join(out) + "</svg>"


def _picture(grid: np.ndarray, span: tuple[float, float]) -> str:
    """The cells as a PNG of one pixel each, the last row on top; what was not tried is clear."""
    low, high = span
    steps = [bytes.fromhex(colour(low + (high - low) * k / 255, *span)[0][1:]) + b"\xff" for k in range(256)] + [bytes(4)]
    with np.errstate(invalid="ignore"):
        level = np.clip((grid - low) / (high - low if high > low else 1.0) * 255, 0, 255)
    lines = [b"\0" + b"".join(steps[k] for k in row) for row in np.where(np.isfinite(grid), level, 256.0).astype(int)[::-1].tolist()]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", grid.shape[1], grid.shape[0], 8, 6, 0, 0, 0)
    made = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(lines), 9)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + made).decode()


def _columns(s: Stability, grid: np.ndarray, x_name: str, y_name: str) -> str:
    """The data that HOVER reads: names, axes, values (float32) and settings per cell (uint32)."""
    data = {name: base64.b64encode(values.tobytes()).decode() for name, values in (("v", grid.astype("<f4")), ("n", s.count.astype("<u4")))}
    if (s.count == s.count.flat[0]).all():
        data["n"] = ""
    return json.dumps({"names": [x_name, y_name], "x": s.x.tolist(), "y": s.y.tolist(), "each": int(s.count.flat[0]), **data}, separators=(",", ":"))


#: a script for the page: the values of a dense picture, in its title, where the pointer is
HOVER = """document.querySelectorAll("svg[data-heat]").forEach(svg=>{const d=JSON.parse(svg.dataset.heat),image=svg.querySelector("image"),
bytes=t=>Uint8Array.from(atob(t),c=>c.charCodeAt(0)).buffer,v=new Float32Array(bytes(d.v)),n=d.n?new Uint32Array(bytes(d.n)):null,
title=image.appendChild(document.createElementNS("http://www.w3.org/2000/svg","title"));image.addEventListener("mousemove",e=>{
const r=image.getBoundingClientRect(),c=Math.min(d.x.length-1,Math.floor((e.clientX-r.left)/r.width*d.x.length)),
l=d.y.length-1-Math.min(d.y.length-1,Math.floor((e.clientY-r.top)/r.height*d.y.length)),k=l*d.x.length+c;
title.textContent=`${d.names[0]} ${d.x[c]}, ${d.names[1]} ${d.y[l]}: `+
(isNaN(v[k])?"not tried":`${+v[k].toPrecision(6)} (${n?n[k]:d.each} settings)`)})})"""


def _marks(s: Stability, left: float, top: float, pitch: float, tall: float) -> list[str]:
    """A dotted frame around the single best setting's cell, full ones around the most stable cell and its neighbours."""
    out, rows, columns = [], len(s.y), len(s.x)
    if s.best is not None:
        row, column = s.best
        for line, dash in (("#fff", ""), ("#111", ' stroke-dasharray="3 3"')):
            out.append(
                f'<rect x="{left + column * pitch + 1.5:.1f}" y="{top + (rows - 1 - row) * tall + 1.5:.1f}" width="{pitch - 3:.1f}" '
                f'height="{tall - 3:.1f}" fill="none" stroke="{line}" stroke-width="2"{dash}/>'
            )
    if s.stable is not None:
        row, column = s.stable
        first, last = max(0, column - 1), min(columns - 1, column + 1)
        low, high = max(0, row - 1), min(rows - 1, row + 1)
        for line, wide in (("#fff", 4.5), ("#111", 2.2)):
            for x, y, across, up in ((first, row, last - first + 1, 1), (column, high, 1, high - low + 1)):
                out.append(
                    f'<rect x="{left + x * pitch:.1f}" y="{top + (rows - 1 - y) * tall:.1f}" width="{across * pitch:.1f}" '
                    f'height="{up * tall:.1f}" fill="none" stroke="{line}" stroke-width="{wide}"/>'
                )
    return out


def _scale(span: tuple[float, float], beyond: tuple[bool, bool]) -> str:
    low, high = span
    if low < 0 < high:
        low, high = -max(-low, high), max(-low, high)
    cells = "".join(f'<rect x="{k * 6}" y="0" width="6.3" height="12" fill="{colour(low + (high - low) * k / 39, *span)[0]}"/>' for k in range(40))
    middle = '<text class="m" x="120" y="27" text-anchor="middle">0</text>' if low < 0 < high else ""
    return (
        f'<svg viewBox="0 0 240 32" style="max-width:240px" role="img" aria-label="Colours">{cells}'
        f'<text class="m" x="0" y="27">{"≤ " * beyond[0]}{_number(low)}</text>'
        f'{middle}<text class="m" x="240" y="27" text-anchor="end">{"≥ " * beyond[1]}{_number(high)}</text></svg>'
    )


def heatmaps(
    table: Mapping[str, np.ndarray], x: str, y: str, metric: str, *, higher_is_better: bool = True, unit: str = "", conclude: bool = True
) -> Markup:
    """HTML: the median and the worst-within-one-step grid of two parameters on one colour scale, and a sentence that names the best setting and the
    most stable region. Arguments as for `stability`; unit: words behind the numbers; conclude: False where nothing may be concluded,
    and no sentence stands there."""
    s = stability(table, x, y, metric, higher_is_better=higher_is_better)
    finite = s.median[np.isfinite(s.median)]
    if not len(finite) or s.best is None or s.stable is None or s.best_value is None:
        return empty(f"No setting of {x} and {y} has a {metric}, so there is nothing to draw.")
    shown = np.concatenate([finite, s.worst[np.isfinite(s.worst)]])
    low, high = np.quantile(shown, OUTLIERS, method="nearest").tolist()  # one spike must not leave the rest without colours
    span = low, high
    beyond = bool(shown.min() < low), bool(shown.max() > high)
    median = _grid(s, s.median, (x, y, f"{metric}: median over the other parameters"), span)
    worst = _grid(s, s.worst, (x, y, f"{metric}: lowest median within one step"), span)
    text = sentence(s, x, y, metric, unit, higher_is_better=higher_is_better) if conclude else ""
    return heat(text, (median, worst), _scale(span, beyond))


def sentence(s: Stability, x: str, y: str, metric: str, unit: str = "", *, higher_is_better: bool = True) -> str:
    """The result of the grids in words, also for a terminal."""
    if s.best is None or s.stable is None or s.best_value is None:
        return f"No setting of {x} and {y} has a {metric}."
    unit = f" {unit}" if unit else ""

    def place(cell: tuple[int, int]) -> str:
        return f"{x} {_axis(s.x[cell[1]])}, {y} {_axis(s.y[cell[0]])}"

    near = _around(s.median)[s.best]
    near = near[np.isfinite(near)]
    lowest = (min if higher_is_better else max)(near.tolist()) if len(near) else None
    text = (
        f"The best single setting ({_number(s.best_value)}{unit}, dotted frame) has {place(s.best)}; the median of that cell is "
        f"{_number(float(s.median[s.best]))}, "
        + (f"the worst median one step away is {_number(lowest)}. " if lowest is not None else "no setting one step away was tried. ")
    )
    if s.best == s.stable:
        return text + "It is also the middle of the most stable region (full frame)."
    return text + (
        f"The most stable region (full frame) lies around {place(s.stable)}: median {_number(float(s.median[s.stable]))}, worst median "
        f"within one step {_number(float(s.worst[s.stable]))}."
    )
