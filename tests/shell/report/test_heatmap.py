"""Pictures of a sweep: the grids against brute force, and what a reader is told."""

import base64
import json
import re
import struct
import zlib
from statistics import median
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqshell.pages import document, section
from liqshell.report.heatmap import colour, heatmaps, sentence, stability
from liqshell.sweep.table import neighbours
from report_page import Page

results = st.one_of(st.integers(-50, 50), st.just(None))
rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(0, 2), results), min_size=1, max_size=60)


def table_of(found):
    return {
        "tp": np.array([r[0] * 0.001 for r in found]),
        "sl": np.array([r[1] for r in found]),
        "hold": np.array([r[2] for r in found]),
        "net": np.array([np.nan if r[3] is None else float(r[3]) for r in found]),
    }


@settings(max_examples=120, deadline=None)
@given(rows, st.booleans())
def test_grids_equal_brute_force(found, higher):
    s = stability(table_of(found), "tp", "sl", "net", higher_is_better=higher)
    assert s.x.tolist() == sorted({r[0] * 0.001 for r in found}) and s.y.tolist() == sorted({r[1] for r in found})
    cells = {}
    for a, b, _, v in found:
        if v is not None:
            cells.setdefault((s.y.tolist().index(b), s.x.tolist().index(a * 0.001)), []).append(v)
    worse = min if higher else max
    for row in range(len(s.y)):
        for column in range(len(s.x)):
            if (row, column) not in cells:
                assert np.isnan(s.median[row, column]) and np.isnan(s.worst[row, column]) and s.count[row, column] == 0
                continue
            assert s.median[row, column] == median(cells[row, column]) and s.count[row, column] == len(cells[row, column])
            around = [median(v) for (r, c), v in cells.items() if abs(r - row) + abs(c - column) <= 1]
            assert s.worst[row, column] == worse(around)
    if not cells:
        assert s.best is s.stable is s.best_value is None
        assert "nothing to draw" in heatmaps(table_of(found), "tp", "sl", "net") and "No setting" in sentence(s, "tp", "sl", "net")
        return
    everything = [v for values in cells.values() for v in values]
    assert s.best_value == (max if higher else min)(everything) and s.best_value in cells[s.best] and s.stable in cells


def plateau():
    """A lonely spike, and a wide hill of lower height."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(9), np.arange(7)))
    net = -5.0 + 12.0 * np.exp(-((x - 6) ** 2 + (y - 3) ** 2) / 6.0)
    net[(x == 1) & (y == 5)] = 30.0
    return {"take_profit": x, "stop_loss": y, "net_bps": net}


def test_the_spike_is_the_best_and_the_hill_is_the_stable_one():
    s = stability(plateau(), "take_profit", "stop_loss", "net_bps")
    assert s.best == (5, 1) and s.best_value == 30.0 and s.stable == (3, 6)
    assert s.worst[s.best] < 0 < s.worst[s.stable]
    told = sentence(s, "take_profit", "stop_loss", "net_bps", "bps")
    assert "30.0 bps" in told and "around take_profit 6, stop_loss 3" in told


def test_fragment_is_well_formed_and_shows_both_grids():
    fragment = heatmaps(plateau(), "take_profit", "stop_loss", "net_bps")
    tree = ElementTree.fromstring(f"<div>{fragment}</div>")
    assert len(tree.findall(".//svg")) == 3 and not re.search(r"https?:|<script|href", fragment)
    titles = [t.text for t in tree.iter("title")]
    assert len(titles) == 2 * 63 and "take_profit 1, stop_loss 5: 30.0 (1 settings)" in titles
    assert "nan" not in fragment.lower()
    many = {"a": np.repeat(np.arange(40), 40), "b": np.tile(np.arange(40), 40), "net": np.arange(1600.0)}
    dense = heatmaps(many, "a", "b", "net")
    assert len(ElementTree.fromstring(f"<div>{dense}</div>").findall(".//text")) < 120, "numbers only where there is room for them"


def test_a_page_of_its_own():
    page = Page(document("sweep <b>", section("Stability", heatmaps(plateau(), "take_profit", "stop_loss", "net_bps"))))
    assert not page.stack and "script" not in page.tags and "b" not in page.tags and page.tags.count("svg") == 3
    assert not [v for _, name, v in page.attributes if name in ("src", "href")]


def test_names_are_escaped():
    bad = '<img src=x>&"'
    table = {bad: np.array([1, 2]), "b": np.array([1, 1]), "net": np.array([1.0, 2.0])}
    fragment = heatmaps(table, bad, "b", "net", unit=bad)
    ElementTree.fromstring(f"<div>{fragment}</div>")
    assert "<img" not in fragment


def test_one_setting_and_equal_values():
    one = {"a": np.array([1]), "b": np.array([2]), "net": np.array([-3.0])}
    assert stability(one, "a", "b", "net").stable == (0, 0)
    ElementTree.fromstring(f"<div>{heatmaps(one, 'a', 'b', 'net')}</div>")


@settings(max_examples=100, deadline=None)
@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(0, 1))
def test_colours_can_be_read(a, b, share):
    low, high = min(a, b), max(a, b)
    fill, ink = colour(low + share * (high - low), low, high)

    def light(text):
        parts = [int(text[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = sorted((light(fill), light("#111111" if ink == "#111" else "#ffffff")))
    assert (lights[1] + 0.05) / (lights[0] + 0.05) > 3.0, f"{ink} on {fill}"


def test_a_gain_is_blue_and_a_loss_is_orange_whatever_the_span():
    for low, high in ((-1.0, 9.0), (-9.0, 1.0)):
        gain, loss = (tuple(int(colour(v, low, high)[0][k : k + 2], 16) for k in (1, 3, 5)) for v in (high * 0.8, low * 0.8))
        assert gain[2] >= gain[0] and loss[0] >= loss[2]


def test_bad_tables_are_named():
    table = plateau()
    with pytest.raises(ValueError, match="no column 'trail'; there are net_bps"):
        stability(table, "trail", "stop_loss", "net_bps")
    with pytest.raises(ValueError, match="column 'stop_loss'.*62"):
        stability({**table, "take_profit": table["take_profit"][1:], "stop_loss": table["stop_loss"]}, "take_profit", "stop_loss", "net_bps")
    with pytest.raises(ValueError, match="numbers"):
        stability({**table, "stop_loss": np.array(["a"] * 63)}, "take_profit", "stop_loss", "net_bps")


def test_twenty_thousand_cells_fit_in_a_megabyte_and_keep_their_values():
    """142 x 142 cells took 6.3 MB. Values are read back from the columns as the page's script reads them."""
    x, y = (a.ravel() for a in np.meshgrid(np.arange(142) * 1e-4, np.arange(142) * 1e-4))
    net = np.random.default_rng(1).normal(size=len(x))
    net[17] = np.nan
    fragment = heatmaps({"tp": x, "sl": y, "net": net}, "tp", "sl", "net")
    assert len(x) > 20_000 and len(fragment) < 1_000_000
    drawn = ElementTree.fromstring(f"<div>{fragment}</div>").find(".//svg[@data-heat]")
    told = json.loads(drawn.attrib["data-heat"])
    read = np.frombuffer(base64.b64decode(told["v"]), "<f4")
    assert np.array_equal(read, net.astype("f4"), equal_nan=True) and len(told["x"]) == len(told["y"]) == 142
    picture = base64.b64decode(next(n for n in drawn.iter() if n.tag.endswith("image")).attrib["href"].partition(",")[2])
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", picture[16:24]) == (142, 142)
    rows = np.frombuffer(zlib.decompress(picture[41:-16]), np.uint8).reshape(142, 1 + 4 * 142)[:, 1:].reshape(142, 142, 4)
    assert (rows[..., 3] == 255).sum() == 142 * 142 - 1 and rows[141, 17, 3] == 0, "not tried is clear, the first row below"
    gain, loss = (rows[141 - k // 142, k % 142].astype(int) for k in (int(np.nanargmax(net)), int(np.nanargmin(net))))
    assert gain[2] > gain[0] and loss[0] > loss[2]


def test_one_cell_has_one_worst_neighbour():
    """Where nothing but the two parameters varies, the sentence under the picture and the table of a sweep name the same number."""
    table = plateau()
    s = stability(table, "take_profit", "stop_loss", "net_bps")
    around = [float(table["net_bps"][k]) for k in neighbours([None] * 63, {"stop_loss": tuple(range(7)), "take_profit": tuple(range(9))}, 5 * 9 + 1)]
    assert f"worst median one step away is {min(around):.1f}".replace("-", "−") in sentence(s, "take_profit", "stop_loss", "net_bps")
