"""The scorer of the estimated map: it finds what is planted, finds nothing where nothing is, never looks ahead, and says so in words."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from test_cli import run

from liqcore.event import EVENT_DTYPE, Kind
from liqcore.kernels.estimated_map import PendingConfig, liquidation_price
from liqshell.errors import ConfigError, DataError
from liqshell.research.maps.load import Market, load
from liqshell.research.maps.score import pooled, ranks, score_of
from liqshell.research.maps.windows import Setting, windows_of
from liqshell.store import importer
from recorded_run import record_run
from store_files import opener, save

SECOND = 10**9
START = 1_770_595_200 * SECOND
CONFIG = PendingConfig(tiers=((50.0, 1.0),), half_life_s=0.0)
SETTING = Setting(every_s=600.0, range_pct=4.0, bin_bps=10.0, warmup_s=1800.0)


def rows(kind, ts, price, qty, side=0, notional=0.0):
    out = np.zeros(len(ts), EVENT_DTYPE)
    out["kind"], out["ts_event"], out["ts_recv"], out["price"], out["qty"], out["side"], out["aux_price"] = kind, ts, ts, price, qty, side, notional
    return out


def walked(hours, seed):
    """Trades once a second along a random walk of 4 bps a root second."""
    rng = np.random.default_rng(seed)
    count = int(hours * 3600)
    ts = START + np.arange(count) * SECOND
    return rng, ts, 1000.0 * np.exp(np.cumsum(rng.normal(0, 4e-4, count)))


def planted(hours=16.0, seed=1, honest=True) -> Market:
    """Every five minutes one side opens positions of 50x (open interest rises, takers of that side trade); they are liquidated when the price comes to
    their level. Not honest: as many liquidations of the same sides and sizes, at random times, whatever the levels."""
    rng, ts, price = walked(hours, seed)
    taker = np.where(rng.random(len(ts)) < 0.5, 1, -1)
    interest, level, parts, forced = 1e6, [], [], []
    open_ = []
    for n in range(len(ts)):
        for position in [p for p in open_ if (price[n] - p[1]) * p[0] <= 0]:
            open_.remove(position)
            forced.append((n, *position))
            interest -= position[2]
        if n % 300 == 150:
            side, qty = (1 if rng.random() < 0.5 else -1), float(rng.exponential(1.0) ** 3)
            taker[n - 100 : n + 1] = side
            open_.append((side, liquidation_price(float(price[n]), side, 50.0), qty))
            interest += qty
        if n % 10 == 0:
            level.append((ts[n], interest, price[n]))
    at, oi, mark = (np.array(column) for column in zip(*level, strict=True))
    parts = [rows(Kind.TRADE, ts, price, 1.0, taker), rows(Kind.TICKER, at.astype(np.int64), mark, oi)]
    n = np.array([f[0] for f in forced])
    if not honest:
        n = np.sort(rng.integers(3600, len(ts), len(forced)))
    parts.append(rows(Kind.LIQUIDATION, ts[n], price[n], [f[3] for f in forced], [f[1] for f in forced]))
    events = np.concatenate(parts)
    return Market("X", events[np.argsort(events["ts_recv"], kind="stable")])


def test_a_planted_map_is_found():
    score = score_of(windows_of(planted(), CONFIG, SETTING), draws=500)
    assert score.windows > 30 and score.score > 0.65 and score.low > 0.6
    assert score.beats == {"prices": True, "moments": True} and "beats both" in score.verdict
    assert score.table[0]["rank"] == 1 and score.table[0]["share"] > 2 * score.table[0]["share_by_chance"]
    assert sum(row["share"] for row in score.table) == pytest.approx(1.0) == sum(row["share_by_chance"] for row in score.table)


def test_chance_is_called_chance():
    """The same market, its liquidations at random times: neither null is beaten."""
    score = score_of(windows_of(planted(honest=False), CONFIG, SETTING), draws=500)
    assert score.windows > 30 and not score.beats["prices"] and "NOT" in score.verdict


def test_the_wrong_side_is_not_confirmed():
    """A map whose longs and shorts are exchanged (takers read the wrong way round) loses what it knew."""
    market = planted()
    events = market.events.copy()
    events["side"] = np.where(events["kind"] == int(Kind.TRADE), -events["side"], events["side"])
    right, wrong = (score_of(windows_of(m, CONFIG, SETTING), draws=300) for m in (market, replace(market, events=events)))
    assert wrong.score < right.score - 0.1 or wrong.windows < right.windows / 2


def test_the_nulls_are_calibrated():
    """Scores of shuffled predictions have p-values all over 0..1: about one in twenty is below 0.05, not one in five."""
    windows = windows_of(planted(hours=8.0), CONFIG, SETTING)
    rng, p = np.random.default_rng(3), []
    for n in range(60):
        noise = [replace(w, predicted=np.concatenate([rng.random(w.reached), w.predicted[w.reached :]])) for w in windows]
        p.append(score_of(noise, draws=200, seed=n).prices.p)
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) < 0.05) < 0.2
    again = score_of(windows, draws=200, seed=5)
    assert again == score_of(windows, draws=200, seed=5) != score_of(windows, draws=200, seed=6)


def test_ranks_and_weights():
    assert ranks(np.array([0.0, 0.0, 5.0, 1.0])).tolist() == [0.25, 0.25, 0.875, 0.625]
    windows = windows_of(planted(hours=8.0), CONFIG, SETTING)
    assert score_of(windows, by="notional", draws=200).windows == len(windows)
    with pytest.raises(ValueError, match="at least one window"):
        score_of([])
    few = score_of(windows[:5], draws=200)
    assert "too few data" in few.verdict
    for count in (1, 2, 5):
        told = score_of([w for w in windows if w.start_ns in sorted({w.start_ns for w in windows})[:count]], draws=200).as_dict()
        assert told["moments"] == count and told["interval"] is None and not told["judged"]
        assert all(null["interval"] is None and null["p"] is None and not null["beaten"] for null in told["null"].values())


def test_maps_are_point_in_time():
    """What the map said at a moment is the same whether the data ends there or goes on, and a window knows nothing of later liquidations."""
    market = planted(hours=6.0)
    cut = int(len(market.events) * 0.7)
    until = int(market.events["ts_recv"][cut])
    whole = [w for w in windows_of(market, CONFIG, SETTING) if w.start_ns + 600 * SECOND <= until]
    part = [w for w in windows_of(replace(market, events=market.events[: cut + 1]), CONFIG, SETTING) if w.start_ns + 600 * SECOND <= until]
    assert len(whole) == len(part) > 5
    for a, b in zip(whole, part, strict=True):
        assert (a.start_ns, a.side, a.reached) == (b.start_ns, b.side, b.reached)
        assert np.array_equal(a.predicted, b.predicted) and np.array_equal(a.events, b.events)


@pytest.mark.parametrize("side", [1, -1])
def test_a_window_by_hand(side):
    """100 units of 10x from 1000; the price goes 3 % against them; one liquidation at 1.05 % from the start, one at 0.2 % on the other side."""
    ts = START + np.arange(8) * 600 * SECOND
    level = 1000.0 * (1 - 0.0105 * side)
    path = np.array([1000.0, 1000.0, 1000.0, 1000.0 * (1 - 0.03 * side), 1000.0, 1000.0, 1000.0, 1000.0])
    events = np.concatenate(
        [
            rows(Kind.TRADE, ts + 1, path, 1.0, side),
            rows(Kind.TICKER, ts[:2], 1000.0, np.array([1000.0, 1100.0])),
            rows(Kind.LIQUIDATION, np.array([ts[3] + 100, ts[3] + 200]), np.array([level, 1000.0 * (1 + 0.002 * side)]), 2.0, side, 7.0),
        ]
    )
    events = events[np.argsort(events["ts_recv"], kind="stable")]
    config = PendingConfig(tiers=((1 / 0.012, 1.0),), maintenance=0.0, half_life_s=0.0)
    (window,) = windows_of(Market("X", events), config, Setting(600.0, 4.0, 10.0, "reported", 0.0))
    assert (window.start_ns, window.side, window.outside) == (int(ts[3]), side, 1)
    width = math.log1p(1e-3)
    assert window.events.nonzero()[0].tolist() == [int(side * math.log(1000.0 / level) / width)] and window.notional.sum() == 7.0
    assert window.reached > int(0.03 / width) - 2
    at = int(side * math.log(1000.0 / liquidation_price(1000.0, side, 1 / 0.012, 0.0)) / width)
    assert abs(int(window.predicted.argmax()) - at) <= 1 and window.predicted.sum() == pytest.approx(100 * 1000 * (1 - 0.012 * side), rel=2e-3)


def tables(tmp_path, market):
    """The market as an event table of liquidations, and a table of open interest with prices."""
    forced = market.of(Kind.LIQUIDATION)
    lines = ["ts_ms,symbol,position,price,qty_base,notional_usd,venue"]
    lines += [f"{e['ts_recv'] // 10**6},X,{'long' if e['side'] > 0 else 'short'},{e['price']},{e['qty']},{e['price'] * e['qty']},okx" for e in forced]
    (tmp_path / "forced.csv").write_text("\n".join(lines) + "\n")
    tickers = market.of(Kind.TICKER)
    lines = ["ts_ms,oi,mark"] + [f"{e['ts_recv'] // 10**6},{float(e['qty'])!r},{float(e['price'])!r}" for e in tickers]
    (tmp_path / "oi.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "forced.csv", tmp_path / "oi.csv"


def test_the_command(tmp_path, capsys):
    forced, interest = tables(tmp_path, planted(hours=12.0))
    arguments = (
        "maps",
        forced,
        "--interest",
        f"X={interest}",
        "--every-s",
        "600",
        "--warmup-s",
        "1800",
        "--tiers",
        "50:1",
        "--split",
        "even",
        "--half-life-s",
        "0",
        "--draws",
        "300",
        "--json",
        tmp_path / "out.json",
    )
    status, out, _ = run(capsys, *arguments)
    written = json.loads((tmp_path / "out.json").read_text())
    assert status == 0 and "ESTIMATED" in out and "beats both nulls" in out and "SYNTHETIC" not in out
    assert written["map"] == "ESTIMATED" and written["scores"]["all"] == written["scores"]["X"] and written["completeness"] == {"X": "UNKNOWN"}
    assert set(written["scores"]["X"]["null"]) == {"prices", "moments"} and len(written["scores"]["X"]["ranks"]) == 5
    forced, interest = tables(tmp_path, planted(hours=12.0, honest=False))
    status, out, _ = run(capsys, *arguments)
    assert status == 1 and "NOT" in out
    status, out, _ = run(capsys, *("14400" if one == "600" else one for one in arguments))
    assert status == 1 and "too few data for a result" in out and "[" not in out.replace("[bold]", "") and "0.0" not in out.split("bins reached")[0]


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    forced, interest = tables(tmp_path, planted(hours=2.0))
    bad = tmp_path / "bad.csv"
    for arguments, words in (
        ((forced, "--interest", f"Y={interest}"), "no such contract"),
        ((forced, "--interest", "X"), "SYMBOL=FILE"),
        ((tmp_path / "none.csv",), "no such file"),
        ((forced,), "--interest"),
        ((forced, "--symbols", "Z"), "Z"),
        ((forced, "--tiers", "abc"), "LEVERAGE:SHARE"),
        ((forced, "--tiers", "0.5:1"), "leverage"),
        ((forced, "--draws", "5"), "draws"),
    ):
        status, _, err = run(capsys, "maps", *arguments)
        assert status == 2 and words in err, (arguments, err)
    for text in ("a,b\n1,2\n", "ts_ms,oi,mark\n1,x,2\n", "ts_ms,oi,oi_usd\n1,0,2\n", ""):
        bad.write_text(text)
        status, _, err = run(capsys, "maps", forced, "--interest", f"X={bad}")
        assert status == 2 and "bad.csv" in err


def test_stores_and_recordings_are_read(tmp_path):
    """A store and a recording give the same kinds of events; of a recording all contracts."""
    market = planted(hours=1.0)
    file = save(tmp_path / "x.npz", {"bybit~XUSDT": market.events})
    importer.run(tmp_path / "store", [file], opener)
    (loaded,) = load(tmp_path / "store", ["XUSDT"])
    assert {int(k) for k in np.unique(loaded.events["kind"])} >= {1, 2, 4} and len(loaded.of(Kind.TICKER)) == len(market.of(Kind.TICKER))
    assert loaded.completeness == "FULL" and not loaded.synthetic
    folder = record_run(tmp_path / "run", hours=0.1)
    names = [m.name for m in load(folder)]
    assert names == ["SOLUSDT", "DOGEUSDT"]
    assert all(len(m.of(Kind.TICKER)) and len(m.of(Kind.TRADE)) for m in load(folder))
    with pytest.raises(ConfigError, match="no contract"):
        load(folder, ["NONE"])
    with pytest.raises((ConfigError, DataError)):
        load(tmp_path / "nothing")


def test_contracts_that_say_too_little_say_no_more_together():
    """Twelve contracts of 8 moments each: 96 windows, and each verdict is "too few data"."""
    windows = windows_of(planted(hours=12.0), CONFIG, SETTING)
    first = sorted({w.start_ns for w in windows})[:8]
    few = {f"C{n}": [replace(w, contract=f"C{n}", start_ns=w.start_ns + n) for w in windows if w.start_ns in first] for n in range(12)}
    assert all("too few data" in score_of(found, draws=100).verdict for found in few.values())
    found = pooled(few, draws=100)
    assert found.starts == 96 and "too few data" in found.verdict and not found.as_dict()["judged"]
    beside = pooled(few | {"X": windows}, draws=100)
    assert beside.windows == len(windows) and "too little" not in beside.verdict, "what can be judged is, without the others"


def test_the_same_moments_counted_many_times_make_no_narrower_interval():
    windows = windows_of(planted(hours=12.0), CONFIG, SETTING)
    once, often = score_of(windows, draws=500), score_of([replace(w, contract=f"C{n}") for n in range(9) for w in windows], draws=100)
    assert often.starts == once.starts and often.high - often.low == pytest.approx(once.high - once.low, rel=0.3)
    assert f"95 % {once.low:.3f} to {once.high:.3f}" in once.verdict and f"{once.windows} windows at {once.starts} moments" in once.verdict


def test_tables_that_go_to_a_file_are_as_wide_as_columns_says(monkeypatch, tmp_path, capsys):
    forced, interest = tables(tmp_path, planted(hours=4.0))
    monkeypatch.setenv("COLUMNS", "60")
    status, out, _ = run(capsys, "maps", forced, "--interest", f"X={interest}", "--every-s", "3600", "--warmup-s", "1800", "--draws", "100")
    assert status == 1 and max(map(len, out.splitlines())) <= 60, max(out.splitlines(), key=len)
