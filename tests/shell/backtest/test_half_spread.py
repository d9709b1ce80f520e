"""The half-spread of contracts without quotes: measured from prints that are known to have been bought and sold, and said where it is from."""

import json

import numpy as np
import pytest

import liqcore as lc
from liqshell.backtest import load_history, run_backtest
from liqshell.backtest.half_spread import HalfSpread, of_history, shares
from liqshell.backtest.history import History, described
from liqshell.backtest.trade_spread import MEASURED_MIN, from_trades
from liqshell.config.load import load, loads
from liqshell.recording import journal
from liqshell.sweep.page import write_sweep
from liqshell.sweep.run import run_sweep
from liqshell.sweep.table import shown
from recorded_run import SETTINGS, audit_of, record_run, study_of

TICK = 0.001
START = 1_772_452_800 * lc.SECOND


def bounce(
    half_bps: float, seed: int, *, count: int = 20_000, mean_gap_s: float = 0.5, sigma_bps: float = 0.5, tick: float = TICK, persistence: float = 0.5
) -> dict[str, np.ndarray]:
    """Trades of a martingale: the middle walks by sigma_bps in the root of a second, buyers pay the ask, sellers get the bid. persistence: chance
    that an aggressor is followed by one of its own side."""
    r = np.random.default_rng(seed)
    gap = r.exponential(mean_gap_s, count)
    middle = 100.0 * np.exp(np.cumsum(r.normal(0.0, 1.0, count) * sigma_bps * 1e-4 * np.sqrt(gap)))
    side = np.cumprod(np.where(r.random(count) < persistence, 1, -1))
    return {
        "ts": START + np.cumsum(gap * 1e9).astype(np.int64),
        "price": np.rint(middle * (1 + side * half_bps * 1e-4) / tick).astype(np.int32),
        "side": side.astype(np.int8),
    }


@pytest.mark.parametrize("half_bps", [1.0, 8.0])
@pytest.mark.parametrize(("gap_s", "sigma", "persistence"), [(0.5, 0.5, 0.5), (0.5, 2.0, 0.5), (3.0, 1.0, 0.5), (0.1, 0.5, 0.9), (20.0, 0.5, 0.6)])
def test_the_bounce_of_prints_gives_the_half_spread_within_a_fifth(half_bps, gap_s, sigma, persistence):
    """Also where the middle moves more between two prints than the spread is wide, and where prints are seconds apart."""
    for seed in range(5):
        share, n, window_s = from_trades(bounce(half_bps, seed, mean_gap_s=gap_s, sigma_bps=sigma, persistence=persistence))
        assert share == pytest.approx(half_bps * 1e-4, rel=0.2), (seed, n, window_s)
        assert n >= MEASURED_MIN and window_s in (1.0, 10.0, 60.0) and (window_s == 1.0 or gap_s >= 3.0)


def test_a_share_of_price_where_the_price_moves_far():
    trades = bounce(8.0, 1, sigma_bps=40.0)
    assert trades["price"].max() / trades["price"].min() > 1.5
    assert from_trades(trades)[0] == pytest.approx(8e-4, rel=0.2)


def test_nothing_is_made_of_too_few_prints_or_of_prints_of_one_side():
    few = {name: column[:40] for name, column in bounce(8.0, 1, mean_gap_s=30.0).items()}
    assert from_trades(few)[0] is None and from_trades(few)[1] < MEASURED_MIN
    one = bounce(8.0, 1) | {"side": np.ones(20_000, np.int8)}
    assert from_trades(one) == (None, 0, 60.0)
    flat = bounce(8.0, 1)
    assert from_trades(flat | {"price": np.full(20_000, 100_000, np.int32)})[0] is None, "no bounce is no spread"
    turned = flat | {"side": -flat["side"]}
    assert from_trades(turned)[0] is None, "buyers below sellers: these are not aggressors"


def history_of(trades: dict[str, np.ndarray], quotes: int = 0, half_bps: float = 3.0, symbol: str = "SOLUSDT") -> History:
    rows = np.zeros(len(trades["ts"]) + quotes, lc.EVENT_DTYPE)
    t, q = rows[: len(trades["ts"])], rows[len(trades["ts"]) :]
    t["ts_recv"], t["price"], t["side"], t["qty"], t["kind"] = trades["ts"], trades["price"] * TICK, trades["side"], 1.0, int(lc.Kind.TRADE)
    q["ts_recv"] = np.linspace(trades["ts"][0], trades["ts"][-1], quotes).astype(np.int64)
    q["price"], q["aux_price"], q["qty"], q["aux_qty"], q["kind"] = (
        100 * (1 - half_bps * 1e-4),
        100 * (1 + half_bps * 1e-4),
        1.0,
        1.0,
        int(lc.Kind.BBO),
    )
    rows["ts_event"] = rows["ts_recv"]
    rows = rows[np.argsort(rows["ts_recv"], kind="stable")]
    tape = lc.Tape.of([lc.Instrument(symbol, tick_size="0.001", lot_size="0.001")], rows)
    return described(History(tape, int(rows["ts_recv"][0]), int(rows["ts_recv"][-1]) + 1, "f", "x"))


def test_the_source_is_configured_then_quotes_then_trades_then_the_tick():
    trades = bounce(8.0, 1)
    bare, quoted = history_of(trades), history_of(trades, 5_000)
    [found] = of_history(loads("[paper]\nhalf_spread = 0.0003\n").paper, bare)
    assert (found.source, found.share, found.n) == ("configured", 0.0003, 0) and not found.warning and found.bps == pytest.approx(3.0)
    [found] = of_history(loads("").paper, quoted)
    assert (found.source, found.share) == ("quotes", None) and found.n == 5_000 and found.bps == pytest.approx(3.0, abs=0.2) and not found.warning
    [found] = of_history(loads("").paper, bare)
    assert found.source == "trades" and found.share == pytest.approx(8e-4, rel=0.2) and found.bps == pytest.approx(found.share * 1e4)
    assert found.share == round(found.share, 8), "the simulated venue takes units of 1e-8"
    assert f"n = {found.n:,}" in found.told and "trades of buyers and sellers within 1 s" in found.told and "8." in found.told
    [found] = of_history(loads("").paper, history_of({name: column[:25] for name, column in trades.items()}))
    assert (found.source, found.share) == ("tick", None) and "one tick" in found.warning and "[paper] half_spread" in found.warning
    assert found.bps == pytest.approx(TICK / 100 * 1e4, rel=0.05)


def test_a_spread_below_the_tick_is_the_tick():
    """Half a tick or less cannot be paid: what is smaller than the grid shows is not measured."""
    [found] = of_history(loads("").paper, history_of(bounce(0.01, 1)))
    assert found.source == "tick" and found.warning


def test_a_part_without_quotes_of_a_contract_that_has_some_goes_by_its_trades():
    """In a part of the data that was never quoted the simulated venue would know one tick only."""
    trades = bounce(8.0, 2)
    history = history_of(trades, 500)
    [whole] = shares(history)
    assert whole is None
    part = history.between(history.start_ns, history.end_ns)
    quotes = part.tape.parts()
    bare = quotes["strips"][0] | {"quotes": {name: column[:0] for name, column in quotes["strips"][0]["quotes"].items() if name != "index"}}
    without = History(lc.Tape(part.instruments, quotes | {"strips": [bare]}), part.start_ns, part.end_ns, "f", "x", spreads=history.spreads)
    [measured] = shares(without)
    assert measured == pytest.approx(8e-4, rel=0.2)


def test_what_is_measured_is_plain_data():
    assert HalfSpread("X", "trades", 0.0004, 4.0, 120, "told").as_dict() == {
        "symbol": "X",
        "source": "trades",
        "share": 0.0004,
        "bps": 4.0,
        "n": 120,
        "told": "told",
        "warning": "",
    }


# ---- it reaches whoever trades ----


@pytest.mark.slow
def test_backtest_and_sweep_of_trades_alone_pay_what_was_measured(tmp_path):
    """Measured once before they begin, the same number in settings, study, table and page; row for row the same trades."""
    record_run(tmp_path / "market", hours=3.5, seed=12, topics=("publicTrade", "allLiquidation", "tickers"))
    (tmp_path / "grid.toml").write_text(
        f'[run]\nname = "grid"\nout = "{tmp_path / "runs"}"\n{SETTINGS}order_notional_max = 1e9\nexposure_max = 1e9\nleverage_max = 1000\n'
        "positions_max = 100\norders_per_minute_max = 1000\ndaily_loss_max = 1\nweekly_loss_max = 1\n[data]\nfiles = ['market']\n[paper]\n"
        "funding_interval_s = 0\nprint_wait_s = 0.3\n[backtest]\nstudy = false\n[sweep.policy]\ntake_profit = [0.001, 0.0025]\nentry_offset = [0.0005]\n"
    )
    config = load(tmp_path / "grid.toml")
    history = load_history(config)
    spreads = shares(history)
    assert all(spreads) and all(0.2e-4 < share < 2e-4 for share in spreads)
    swept = run_sweep(config)
    assert swept.by == "kernel" and [one["share"] for one in swept.half_spread] == spreads and swept.quoted == 0.0
    for at, setting in enumerate(swept.settings):
        named = [f"{name}={shown(name, value)}" for name, value in setting.named.items()]
        folder = run_backtest(load(tmp_path / "grid.toml", named), tmp_path / str(at))
        assert journal.load_manifest(folder)["settings"]["paper"]["half_spread"] == spreads
        assert [one["share"] for one in study_of(folder)["half_spread"]] == spreads
        audit = audit_of(folder)
        fills, trades = (audit[audit["kind"] == int(kind)] for kind in (lc.AuditKind.AUDIT_FILL, lc.AuditKind.AUDIT_TRADE))
        assert (fills["x"][:, 3] == 4).any() and (fills["x"][:, 3] == 2).any(), "at prints, and at moved prints"
        for n, symbol in enumerate(swept.symbols):
            row = np.flatnonzero(swept.table["symbol"] == symbol)[at]
            mine = trades[trades["instrument"] == n]
            assert swept.table["trades"][row] == len(mine) and swept.table["net"][row] == float(sum(mine["x"][:, 5].tolist()))
    summary = write_sweep(swept)
    assert summary["settings"] == 2
    page = (swept.folder / "sweep.html").read_text()
    assert "NO QUOTES." in page and "trades of buyers and sellers within" in page
    assert json.loads((swept.folder / "summary.json").read_text())["half_spread"][0]["source"] == "trades"
