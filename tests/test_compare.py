"""`liqcore compare`: the same numbers as each preset's own report, controls that are what they say, and words that claim no more than the numbers."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from recorded_run import SETTINGS, audit_of, record_run
from report_page import Page

import liqcore as lc
from liqshell.backtest import load_history
from liqshell.backtest.listen import HEARD_DTYPE, Listened, listen
from liqshell.compare import events, page, plan, run_compare
from liqshell.compare.figures import COLUMNS, conclusion, flat
from liqshell.config import load
from liqshell.errors import ConfigError
from liqshell.pipeline import settings

DATA = '[run]\nname = "both"\nout = "{out}"\n' + SETTINGS + '[data]\nfiles = ["market"]\n[backtest]\nrandom_draws = 2\ndelays_s = [0, 5]\n'
TWO = ("fade", "fade-btc")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    record_run(folder / "market", hours=2, seed=11)
    (folder / "data.toml").write_text(DATA.format(out=folder / "runs"))
    return folder


@pytest.fixture(scope="module")
def config(market):
    return load(market / "data.toml")


@pytest.fixture(scope="module")
def history(config):
    return load_history(config)


@pytest.fixture(scope="module")
def compared(config, history):
    return run_compare(config, TWO, history=history)


@pytest.fixture(scope="module")
def found(compared):
    return page.write(compared)


def test_every_number_is_that_of_the_presets_own_report(compared, found):
    assert [r["preset"] for r in found["presets"]] == list(TWO) and not found["failed"] and found["label"] == "SYNTHETIC"
    for row in found["presets"]:
        folder = compared.folder / "presets" / row["preset"]
        report, audit = json.loads((folder / "report.json").read_text()), audit_of(folder)
        trades = audit[audit["kind"] == lc.AuditKind.AUDIT_TRADE]
        assert row["trades"] == len(trades) > 0
        assert row["money"]["net"] == report["money"]["net"] == pytest.approx(float(trades["x"][:, 5].sum()), abs=1e-9)
        m = row["money"]
        assert m["gross_decided"] - m["slippage"] - m["fees"] - m["funding"] == pytest.approx(m["net"], abs=1e-9)
        assert m["net_on_account"] == pytest.approx(m["net"] / 10_000) and m["net_on_notional_bps"] == pytest.approx(m["net"] / m["notional"] * 1e4)
        assert row["controls"]["inverted_side"]["draws"] == 1 and row["controls"]["random_side"]["draws"] == 2
        assert row["deflated"]["trials"] == found["trials"] >= 2          # all presets count, whichever came first
        assert row["sharpe"]["value"] is None                             # two hours are no days
        wanted = audit[(audit["kind"] == lc.AuditKind.AUDIT_POLICY) & (audit["reason"] == 0)]
        assert row["wanted"] >= len(wanted) > 0 and row["fade"] == row["wanted"] and row["follow"] == 0
        assert row["exposure_hours"] == pytest.approx(sum(t["hold_s"] for t in report["trades"]) / 3600, abs=0.6)


def test_a_preset_keeps_its_own_numbers(config):
    """Of [policy] only the size of a trade is for all; limits and the cascade detector too."""
    loud = load(config_file := _written(config, "[policy]\npreset = \"fade\"\ntake_profit = 0.01\nnotional = 500\n"))
    made = plan.with_preset(loud, "fade-btc")
    values = made.policy_for("SOLUSDT")
    assert (values.take_profit, values.stop_loss, values.notional) == (500_000, 250_000, 500.0)
    assert made.detector_values().warmup == 30 and made.limits.data_age_max_s == 12 and config_file.exists()
    with pytest.raises(ConfigError, match=r"fade-bct.*Did you mean fade-btc|fade-btc"):
        plan.names_of(["fade-bct"])


def _written(config, text):
    from pathlib import Path
    file = Path(config.run.out).parent / "loud.toml"
    file.write_text(DATA.format(out=config.run.out) + text)
    return file


def test_listening_hears_what_a_trading_run_is_asked(config, history, compared):
    heard = listen(settings(plan.with_preset(config, "fade"), history.instruments), history)
    audit = audit_of(compared.folder / "presets" / "fade")
    said = audit[audit["kind"] == lc.AuditKind.AUDIT_SIGNAL]
    assert len(heard.rows) == len(said) and (heard.rows["signal_ts"] == said["ts"]).all() and (heard.rows["liquidated"] == said["side"]).all()
    assert (heard.wanted["side"] == heard.wanted["liquidated"]).all()


def test_both_signs_pay_the_same_costs_on_the_same_prices(history):
    """Bought at the ask and sold at the bid, whoever does it: fade and follow together lose two round trips."""
    n, quotes = 0, history.tape.quotes(0)
    rows = np.zeros(40, HEARD_DTYPE)
    rows["ts"] = rows["signal_ts"] = np.linspace(quotes["ts"][0], quotes["ts"][-1] - 120 * lc.SECOND, 40).astype(np.int64)
    rows["instrument"], rows["liquidated"], rows["phase"] = n, np.where(np.arange(40) % 3, 1, -1), 2
    free, dear = (events.both_signs(history, rows, 0.05, fee)[1] for fee in (0.0, 0.0005))
    assert free["horizon_s"] == 60.0 and free["n"] == dear["n"] > 30
    for sign in ("fade_bps", "follow_bps"):
        assert free[sign]["mean"] - dear[sign]["mean"] == pytest.approx(10.0)
    assert free["fade_bps"]["mean"] + free["follow_bps"]["mean"] < 0 < free["fade_bps"]["mean"] - free["follow_bps"]["mean"] or \
        free["fade_bps"]["mean"] < free["follow_bps"]["mean"]
    bid, ask = events.quoted(history, n, rows["ts"] + 50_000_000)
    later_bid, later_ask = events.quoted(history, n, rows["ts"] + 50_000_000 + 60 * lc.SECOND)
    known = np.isfinite(bid) & np.isfinite(later_bid)
    long_, short = (later_bid / ask - 1) * 1e4, (1 - later_ask / bid) * 1e4
    assert free["fade_bps"]["mean"] == pytest.approx(float(np.where(rows["liquidated"] > 0, long_, short)[known].mean()))
    assert free["follow_bps"]["mean"] == pytest.approx(float(np.where(rows["liquidated"] > 0, short, long_)[known].mean()))
    turned = rows.copy()
    turned["liquidated"] *= -1
    other = events.both_signs(history, turned, 0.05, 0.0)[1]
    assert other["move_bps"]["mean"] == pytest.approx(-free["move_bps"]["mean"]) and other["fade_bps"]["mean"] == pytest.approx(free["follow_bps"]["mean"])


def test_many_events_of_few_cascades_are_no_evidence():
    """Sixty events within one rise are one observation of it sixty times over; events hours apart are as many as they are."""
    class Tape:
        def __init__(self, ts, ticks):
            self.told = {"ts": ts, "bid": ticks, "ask": ticks}

        def quotes(self, n):
            return self.told

        trades = quotes

    class Market:
        instruments = (lc.Instrument("X", tick_size="0.01"),)

        def __init__(self, drift):
            ts = np.arange(0, 30 * 3600, 10) * lc.SECOND
            self.tape, self.end_ns = Tape(ts, 1_000_000 + drift(np.arange(len(ts)))), int(ts[-1])

    def moved(market, seconds_):
        rows = np.zeros(60, HEARD_DTYPE)
        rows["ts"], rows["liquidated"] = (np.asarray(seconds_) * 1e9).astype(np.int64), 1
        return events.both_signs(market, rows, 0.05, 0.0)[2]
    noise = np.random.default_rng(1).normal(0.0, 300.0, 30 * 360).cumsum()
    rising = Market(lambda k: k * 50)
    few = moved(rising, np.linspace(3600, 5400, 60))
    assert few["n"] == 60 and few["fade_bps"]["mean"] > 0 and few["fade_bps"]["low"] is None and few["fade_bps"]["t"] is None
    assert "too few to tell the best from chance" in events.told_of("x", [few])
    many = moved(rising, np.arange(60) * 1700 + 3600)
    assert many["fade_bps"]["low"] > 0 and "above zero at 95 %" in events.told_of("x", [many])
    burst = moved(Market(lambda k: noise), np.repeat(np.arange(6) * 9000 + 5000, 10) + np.tile(np.arange(10), 6))
    alone = moved(Market(lambda k: noise), np.arange(60) * 1700 + 3600)

    def wide(h):
        return h["move_bps"]["high"] - h["move_bps"]["low"]
    assert wide(burst) > 2.0 * wide(alone)


def test_costs_without_quotes_are_said_to_have_no_spread():
    """The same rise, once with quotes and once with trades alone: a gain after fees only is told as one that shows nothing."""
    ts = np.arange(0, 30 * 3600, 10) * lc.SECOND
    ticks = 1_000_000 + np.arange(len(ts)) * 50
    none = np.zeros(0, np.int64)

    class Tape:
        def __init__(self, quoted):
            self.spread = {"ts": ts, "bid": ticks - 20, "ask": ticks + 20} if quoted else {"ts": none, "bid": none, "ask": none}

        def quotes(self, n):
            return self.spread

        def trades(self, n):
            return {"ts": ts, "price": ticks}

    class Market:
        instruments, end_ns = (lc.Instrument("X", tick_size="0.01"),), int(ts[-1])

        def __init__(self, quoted):
            self.tape = Tape(quoted)
    rows = np.zeros(60, HEARD_DTYPE)
    rows["ts"], rows["liquidated"] = (np.arange(60) * 1700 + 3600) * lc.SECOND, 1
    quoted, bare = (events.both_signs(Market(known), rows, 0.05, 0.0) for known in (True, False))
    assert [h["without_spread"] for h in quoted] == [0] * 5 and [h["without_spread"] for h in bare] == [h["n"] for h in bare]
    assert quoted[2]["fade_bps"]["mean"] < bare[2]["fade_bps"]["mean"] and bare[2]["fade_bps"]["low"] > 0
    assert "earns" in events.told_of("x", quoted) and "above zero" in events.told_of("x", quoted)
    told = events.told_of("x", bare)
    assert "earns" not in told and "no spread is paid here" in told and "not known" in told
    rows["liquidated"] = -1
    follow = events.told_of("x", events.both_signs(Market(False), rows, 0.05, 0.0))
    assert "earns" not in follow and "no spread is paid here" in follow
    dear = events.told_of("x", events.both_signs(Market(False), rows, 0.05, 0.05))
    assert "neither sign earns its fees at any horizon, and no spread is counted" in dear


def heard_of(*wishes):
    rows = np.zeros(len(wishes), HEARD_DTYPE)
    for k, (ts, instrument, liquidated, side) in enumerate(wishes):
        rows[k]["ts"] = rows[k]["signal_ts"] = ts * lc.SECOND
        rows[k]["instrument"], rows[k]["liquidated"], rows[k]["side"], rows[k]["answer"] = instrument, liquidated, side, 1 if side else 0
    return Listened(rows, {})


def test_shared_moments_and_opposite_wishes():
    heard = {"a": heard_of((100, 0, 1, 1), (500, 0, -1, -1), (900, 1, 1, 1)), "b": heard_of((130, 0, 1, -1), (470, 0, -1, -1), (905, 0, 1, 1))}
    (ab, ba) = events.together(heard)
    assert (ab["preset"], ab["wanted"], ab["shared"], ab["opposite"]) == ("a", 3, 2, 1) and (ba["shared"], ba["opposite"]) == (2, 1)
    assert events.signs(heard["b"]) == {"asked": 3, "wanted": 3, "fade": 2, "follow": 1, "neither": 0, "leave": 0, "later": 0}


def test_base_rates_are_of_all_conditions_together():
    from liqshell.backtest.listen import Conditions

    c = Conditions()
    for k in range(100):
        c.add({"deep": k % 2 == 0, "turns": k % 4 == 0, "cheap": None if k >= 80 else True})
    rows = events.base_rates({"x": Listened(np.zeros(0, HEARD_DTYPE), {"X": c})}, 10.0)
    assert rows[0]["known"] == 80 and rows[0]["together"] == 20 and rows[0]["share"] == 0.25
    assert rows[0]["independent"] == pytest.approx(0.5 * 0.25 * 1.0) and rows[0]["rate"]["per_hour"] == 2.0


def row(preset, mean, low, high, n=40, edge=True, state="open", without_spread=0):
    return {"preset": preset, "trades": n, "without_spread": without_spread, "state": state, "edge": edge, "deflated": {"deflated": None},
            "trade": {"mean": mean, "low": low, "high": high, "n": n, "t": 2.5}}


def test_the_conclusion_claims_no_more_than_the_numbers():
    from liqshell.compare.figures import state
    assert state(row("a", 3.0, 1.0, 5.0)) == "pays" and state(row("a", 3.0, 1.0, 5.0, edge=False)) == "open"
    assert state(row("a", 3.0, 1.0, 5.0, n=12)) == "open" and state(row("a", -3.0, -5.0, -1.0)) == "loses"
    assert state(row("a", None, None, None, n=0)) == "idle"
    assert state(row("a", 3.0, 1.0, 5.0, without_spread=1)) == "open" and state(row("a", -3.0, -5.0, -1.0, without_spread=9)) == "loses"
    assert "1 of 2 that traded did so in too few separate stretches" in conclusion([row("a", 3.0, None, None), row("b", 1.0, -1.0, 3.0)], {}, 7, False)
    assert "holds no liquidation" in conclusion([row("a", None, None, None, n=0, state="idle")], {}, 7, False, liquidations=0)
    assert "No quotes of X: " in conclusion([row("a", 3.0, 1.0, 5.0)], {}, 7, False, ["X"]) and "Nothing pays" in conclusion(
        [row("a", 3.0, 1.0, 5.0, without_spread=40)], {}, 7, False, ["X"])
    told = conclusion([row("a", -1.0, -2.0, 0.5), row("b", -3.0, -5.0, -1.0, state="loses")], {"zone": "why"}, 7, True)
    assert told.startswith("2 presets, 80 closed trades. Nothing pays:") and "1 of 2 that traded lose" in told and "zone" in told and "SYNTHETIC" in told
    assert "a gains +3.0 bps" in conclusion([row("a", 3.0, 1.0, 5.0, state="pays")], {}, 7, False)
    assert "Nothing traded" in conclusion([row("a", None, None, None, n=0, state="idle")], {}, 7, False)


def test_the_page_is_self_contained_and_says_synthetic(compared, found):
    text = (compared.folder / "compare.html").read_text()
    parsed = Page(text)
    told = " ".join(" ".join(parsed.text).split())
    assert not parsed.stack and "SYNTHETIC" in told and found["conclusion"] in told
    assert not [v for _, name, v in parsed.attributes if name in ("src", "href") and "://" in v]
    for title in ("Side by side", "From gross to net", "Controls", "Reaction delay", "Fade and follow on identical events", "Base rates",
                  "Rates per covered hour"):
        assert title in told
    for r in found["presets"]:
        assert (compared.folder / r["report"]).is_file() and r["report"] in text
    with (compared.folder / "compare.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [r["preset"] for r in rows] == list(TWO) and list(rows[0]) == COLUMNS
    assert [float(r["money.net"]) for r in rows] == [r["money"]["net"] for r in found["presets"]]
    assert flat(found["presets"][0])["win.share"] == found["presets"][0]["win"]["share"]
    with (compared.folder / "events.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 5 * len(found["fade_and_follow"]) > 0


def test_a_second_run_keeps_what_is_right_and_the_command_says_the_same(market, compared, found):
    before = {name: (compared.folder / "presets" / name / "run.json").stat().st_mtime_ns for name in TWO}
    ended = subprocess.run([sys.executable, "-P", "-m", "liqshell", "compare", str(market / "data.toml"), "--policies", ",".join(TWO), "--json",
                            "--out", str(compared.folder)], capture_output=True, text=True, check=True)
    again = json.loads(ended.stdout)
    assert again == json.loads(json.dumps(found))
    assert before == {name: (compared.folder / "presets" / name / "run.json").stat().st_mtime_ns for name in TWO}
    (market / "mine").mkdir()
    (market / "mine" / "x").write_text("keep")
    with pytest.raises(ConfigError, match="not a comparison"):
        run_compare(load(market / "data.toml"), TWO, market / "mine")


def test_the_folder_of_a_run_is_enough(market):
    """Data instead of a configuration: the ages that its own run allowed are allowed here."""
    read = plan.read(market / "market")
    assert read.data.files == (str(market / "market"),) and read.limits.data_age_max_s == 12.0
    with pytest.raises(ConfigError, match="no such file"):
        plan.read(market / "nowhere")
