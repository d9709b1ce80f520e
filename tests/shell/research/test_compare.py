"""`liqcore compare`: the same numbers as each preset's own report, controls that are what they say, and words that claim no more than the numbers."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from pyarrow.parquet import read_table

import liqcore as lc
from liqshell.backtest import load_history
from liqshell.backtest.history import History, described
from liqshell.backtest.policy_log import SIGNAL_DTYPE, Listened, listen
from liqshell.backtest.touch import touch
from liqshell.config.load import load
from liqshell.errors import ConfigError
from liqshell.research.compare import events, page, plan, run_compare
from liqshell.research.compare.figures import COLUMNS, conclusion, flat
from liqshell.run.pipeline import settings
from recorded_run import SETTINGS, audit_of, record_run
from report_page import Page

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


@pytest.mark.slow
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
        assert row["deflated"]["trials"] == found["trials"] >= 2  # all presets count, whichever came first
        assert row["sharpe"]["value"] is None  # two hours are no days
        wanted = audit[(audit["kind"] == lc.AuditKind.AUDIT_POLICY) & (audit["reason"] == 0)]
        assert row["wanted"] >= len(wanted) > 0 and row["fade"] == row["wanted"] and row["follow"] == 0
        assert row["exposure_hours"] == pytest.approx(sum(read_table(folder / "trades.parquet")["hold_s"].to_pylist()) / 3600, abs=0.6)


def test_a_preset_keeps_its_own_numbers(config):
    """Of [policy] only the size of a trade is for all; limits and the cascade detector too."""
    loud = load(config_file := _written(config, '[policy]\npreset = "fade"\ntake_profit = 0.01\nnotional = 500\n'))
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
    rows = np.zeros(40, SIGNAL_DTYPE)
    rows["ts"] = rows["signal_ts"] = np.linspace(quotes["ts"][0], quotes["ts"][-1] - 120 * lc.SECOND, 40).astype(np.int64)
    rows["instrument"], rows["liquidated"], rows["phase"] = n, np.where(np.arange(40) % 3, 1, -1), 2
    free, dear = (events.both_signs(history, rows, 0.05, fee)[1] for fee in (0.0, 0.0005))
    assert free["horizon_s"] == 60.0 and free["n"] == dear["n"] > 30
    for sign in ("fade_bps", "follow_bps"):
        assert free[sign]["mean"] - dear[sign]["mean"] == pytest.approx(10.0)
    assert (
        free["fade_bps"]["mean"] + free["follow_bps"]["mean"] < 0 < free["fade_bps"]["mean"] - free["follow_bps"]["mean"]
        or free["fade_bps"]["mean"] < free["follow_bps"]["mean"]
    )
    now, then = (touch(history, n, rows["ts"] + 50_000_000 + wait) for wait in (0, 60 * lc.SECOND))
    known = now.known & then.known
    long_, short = (then.bid / now.ask - 1) * 1e4, (1 - then.ask / now.bid) * 1e4
    assert free["fade_bps"]["mean"] == pytest.approx(float(np.where(rows["liquidated"] > 0, long_, short)[known].mean()))
    assert free["follow_bps"]["mean"] == pytest.approx(float(np.where(rows["liquidated"] > 0, short, long_)[known].mean()))
    assert free["without_quote"] == int((~(now.live & then.live))[known].sum())
    turned = rows.copy()
    turned["liquidated"] *= -1
    other = events.both_signs(history, turned, 0.05, 0.0)[1]
    assert other["move_bps"]["mean"] == pytest.approx(-free["move_bps"]["mean"]) and other["fade_bps"]["mean"] == pytest.approx(
        free["follow_bps"]["mean"]
    )


def market_of(ticks, *, half=20, quotes=True, until=1.0):
    """A price every ten seconds for thirty hours, each printed on both sides; quotes as often, up to a part of the time."""
    ts = np.arange(0, 30 * 3600, 10) * lc.SECOND
    ts, count = ts + 1_772_452_800 * lc.SECOND, len(ts)
    rows = np.zeros((3, count), lc.EVENT_DTYPE)
    for k, side in enumerate((1, -1)):
        rows[k]["kind"], rows[k]["side"], rows[k]["price"], rows[k]["qty"] = int(lc.Kind.TRADE), side, (ticks + side * half) * 0.01, 1.0
        rows[k]["ts_recv"] = ts + k * 400_000_000
    rows[2]["kind"], rows[2]["price"], rows[2]["aux_price"] = int(lc.Kind.BBO), (ticks - half) * 0.01, (ticks + half) * 0.01
    rows[2]["qty"] = rows[2]["aux_qty"] = 1.0
    rows[2]["ts_recv"] = ts - 1
    made = np.concatenate([rows[0], rows[1], rows[2][: int(until * count)] if quotes else rows[2][:0]])
    made["ts_event"] = made["ts_recv"]
    made = made[np.argsort(made["ts_recv"], kind="stable")]
    tape = lc.Tape.of([lc.Instrument("X", tick_size="0.01", lot_size="0.001")], made)
    return described(History(tape, int(ts[0]) - 1, int(ts[-1]) + lc.SECOND, "f", "x"), quote_age_s=12.0)


def moved(market, seconds_, liquidated=1, fee=0.0):
    rows = np.zeros(60, SIGNAL_DTYPE)
    rows["ts"], rows["liquidated"] = market.start_ns + (np.asarray(seconds_) * 1e9).astype(np.int64), liquidated
    return events.both_signs(market, rows, 0.05, fee, market.spreads[0].share if not market.count("quotes") else None)


def test_many_events_of_few_cascades_are_no_evidence():
    """Sixty events within one rise are one observation of it sixty times over; events hours apart are as many as they are."""
    k = np.arange(30 * 360)
    noise = np.random.default_rng(1).normal(0.0, 300.0, 30 * 360).cumsum().astype(np.int64)
    rising, walking = market_of(1_000_000 + k * 50, half=1), market_of(1_000_000 + noise, half=1)
    few = moved(rising, np.linspace(3600, 5400, 60))[2]
    assert few["n"] == 60 and few["fade_bps"]["mean"] > 0 and few["fade_bps"]["low"] is None and few["fade_bps"]["t"] is None
    assert "too few for a test against chance" in events.conclusion_of("x", [few])
    many = moved(rising, np.arange(60) * 1700 + 3600)[2]
    assert many["fade_bps"]["low"] > 0 and "above zero at 95 %" in events.conclusion_of("x", [many])
    burst = moved(walking, np.repeat(np.arange(6) * 9000 + 5000, 10) + np.tile(np.arange(10), 6))[2]
    alone = moved(walking, np.arange(60) * 1700 + 3600)[2]

    def wide(h):
        return h["move_bps"]["high"] - h["move_bps"]["low"]

    assert wide(burst) > 2.0 * wide(alone)


def test_without_quotes_the_spread_is_paid_by_estimate_and_no_gain_is_claimed():
    """The same rise, once with quotes, once with trades alone, once with quotes that end halfway: the costs are alike within a basis point, and only
    what rests on quotes is told as earned."""
    ticks, at = 1_000_000 + np.arange(30 * 360) * 50, np.arange(60) * 1700 + 3600
    whole, none, half = market_of(ticks), market_of(ticks, quotes=False), market_of(ticks, until=0.5)
    assert none.spreads[0].share == pytest.approx(20 / 1_270_000, rel=0.2)
    quoted, bare, cut = (moved(market, at) for market in (whole, none, half))
    assert [h["without_quote"] for h in quoted] == [0] * 5 and [h["without_quote"] for h in bare] == [h["n"] for h in bare]
    assert 0 < cut[2]["without_quote"] < cut[2]["n"]
    for others in (bare, cut):
        for k in (2, 3):
            assert others[k]["fade_bps"]["mean"] == pytest.approx(quoted[k]["fade_bps"]["mean"], abs=1.0) and others[k]["fade_bps"]["low"] > 0
    assert "earns" in events.conclusion_of("x", quoted) and "above zero" in events.conclusion_of("x", quoted)
    for others, share in ((bare, "100 %"), (cut, "")):
        told = events.conclusion_of("x", others)
        assert "earns" not in told and f"{share} of these events had no live quote" in told and "no gain is claimed" in told
    dear = events.conclusion_of("x", moved(none, at, fee=0.05))
    assert "neither sign covers its costs at any horizon" in dear and "its spread estimated from prints in 100 % of the events" in dear


def test_a_quote_that_has_ended_prices_no_event():
    """Quotes end at noon, the price runs away: what is bought in the afternoon is not bought at the ask of noon."""
    half = market_of(1_000_000 + np.arange(30 * 360) * 50, until=0.5)
    afternoon = np.linspace(17 * 3600, 27 * 3600, 60)
    found = moved(half, afternoon)[1]
    assert found["without_quote"] == found["n"] == 60
    assert abs(found["fade_bps"]["mean"] - moved(market_of(1_000_000 + np.arange(30 * 360) * 50), afternoon)[1]["fade_bps"]["mean"]) < 1.0


def heard_of(*wishes):
    rows = np.zeros(len(wishes), SIGNAL_DTYPE)
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
    from liqshell.backtest.policy_log import Conditions

    c = Conditions()
    for k in range(100):
        c.add({"deep": k % 2 == 0, "turns": k % 4 == 0, "cheap": None if k >= 80 else True})
    rows = events.base_rates({"x": Listened(np.zeros(0, SIGNAL_DTYPE), {"X": c})}, 10.0)
    assert rows[0]["known"] == 80 and rows[0]["together"] == 20 and rows[0]["share"] == 0.25
    assert rows[0]["independent"] == pytest.approx(0.5 * 0.25 * 1.0) and rows[0]["rate"]["per_hour"] == 2.0


def row(preset, mean, low, high, n=40, edge=True, state="open", bare=0, quoted=1.0, contaminated=False):
    return {
        "preset": preset,
        "contaminated": contaminated,
        "wanted": n,
        "entries": n,
        "trades": n,
        "fills": {"n": 2 * n, "without_quote": {"k": bare, "n": 2 * n}},
        "quoted": quoted,
        "state": state,
        "edge": edge,
        "deflated": {"deflated": None, "edge": None, "p_superior": None},
        "trade": {"mean": mean, "low": low, "high": high, "n": n, "t": 2.5},
    }


def test_the_conclusion_claims_no_more_than_the_numbers():
    from liqshell.research.compare.figures import state

    assert state(row("a", 3.0, 1.0, 5.0)) == "pays" and state(row("a", 3.0, 1.0, 5.0, edge=False)) == "open"
    assert state(row("a", 3.0, 1.0, 5.0, n=12)) == "open" and state(row("a", -3.0, -5.0, -1.0)) == "loses"
    assert state(row("a", None, None, None, n=0)) == "idle"
    assert state(row("a", 3.0, 1.0, 5.0, bare=4)) == "pays" and state(row("a", 3.0, 1.0, 5.0, bare=5)) == "open"
    assert state(row("a", -3.0, -5.0, -1.0, bare=60)) == "loses"
    assert state(row("a", 3.0, 1.0, 5.0, contaminated=True)) == "open"
    assert conclusion([row("a", 3.0, 1.0, 5.0, contaminated=True), row("b", 1.0, -1.0, 3.0)], {}, 7, False).startswith("CONTAMINATED: a. ")
    assert state(row("a", 3.0, 1.0, 5.0, quoted=0.56)) == "open" and state(row("a", 3.0, 1.0, 5.0, quoted=None)) == "open"
    assert "1 of 2 closed too few trades, or in too few separate stretches" in conclusion(
        [row("a", 3.0, None, None), row("b", 1.0, -1.0, 3.0)], {}, 7, False
    )
    refused = conclusion([row("a", None, None, None, n=0, state="idle") | {"wanted": 62, "entries": 4}], {}, 7, False, liquidations=9)
    assert "62 entries were wanted and 4 placed, but none became a closed trade" in refused and "never met" not in refused  # the market met them
    assert "hold no liquidation" in conclusion([row("a", None, None, None, n=0, state="idle")], {}, 7, False, liquidations=0)
    assert "No quotes of X: " in conclusion([row("a", 3.0, 1.0, 5.0)], {}, 7, False, ["X"]) and "No profit is shown" in conclusion(
        [row("a", 3.0, 1.0, 5.0, bare=80)], {}, 7, False, ["X"]
    )
    assert "Quotes are live for 56.0 % of the traded time, 95 % are needed: no gain is claimed" in conclusion(
        [row("a", 3.0, 1.0, 5.0)], {}, 7, False, quoted=0.56
    )
    assert "Quotes are live" not in conclusion([row("a", 3.0, 1.0, 5.0)], {}, 7, False, quoted=0.96)
    told = conclusion([row("a", -1.0, -2.0, 0.5), row("b", -3.0, -5.0, -1.0, state="loses")], {"zone": "why"}, 7, True)
    assert (
        told.startswith("2 presets, 80 closed trades. No profit is shown: of 2 presets that rest on enough")
        and "1 of 2 with trades lose" in told
        and "zone" in told
        and "SYNTHETIC" in told
    )
    assert "a gains +3.0 bps a trade (95 % +1.0 to +5.0, n = 40)" in conclusion([row("a", 3.0, 1.0, 5.0, state="pays")], {}, 7, False)
    few = conclusion([row("a", 9.0, 1.0, 17.0, n=4), row("b", -3.0, None, None, n=2)], {}, 7, False)
    assert "No verdict is possible: none of the 2 with trades has enough" in few and "pay" not in few and "n = 4" in few
    alone = conclusion([row("a", 3.0, 1.0, 5.0, state="pays", edge=None), row("b", 1.0, -1.0, 3.0)], {}, 7, False)
    assert "no control supports a" in alone and "the best of several overstates what will follow" in alone
    assert "No trades" in conclusion([row("a", None, None, None, n=0, state="idle")], {}, 7, False)


def test_quotes_and_fills_stand_on_the_page_and_in_its_json(compared, found):
    assert 0 < found["quoted"] <= 1.0 and [one["source"] for one in found["half_spread"]] == ["quotes", "quotes"]
    for contract, part in zip(found["contracts"], compared.history.parts, strict=True):
        assert (contract["quoted"], contract["quotes"]) == (part["quoted"], part["quotes"]) and contract["streams"]["quotes"]["rows"] == part[
            "quotes"
        ]
    for preset in found["presets"]:
        report = json.loads((compared.folder / "presets" / preset["preset"] / "report.json").read_text())
        assert preset["fills"] == report["quotes"]["fills"] and preset["quoted"] == report["quotes"]["quoted"] == pytest.approx(found["quoted"])
        assert sum(rule["all"]["k"] for rule in preset["fills"]["rules"]) == preset["fills"]["n"] > 0
    told = " ".join(" ".join(Page(page.page(found)).text).split())
    for words in (
        "At which prices orders filled",
        "live quote",
        "moved print",
        "entries",
        "exits",
        "no quote",
        "quotes held",
        "silences of quotes",
        "half-spread, bps",
    ):
        assert words in told, words
    cut = found | {"quoted": 0.56, "contracts": [c | {"said": ["X: quotes end at noon"]} for c in found["contracts"]]}
    told = " ".join(" ".join(Page(page.page(cut)).text).split())
    assert "QUOTES COVER 56.0 %." in told and "X: quotes end at noon." in told
    none = found | {"quoted": 0.0, "without_quotes": found["symbols"]}
    assert "NO QUOTES." in " ".join(Page(page.page(none)).text)


def test_the_page_is_self_contained_and_says_synthetic(compared, found):
    text = (compared.folder / "compare.html").read_text()
    parsed = Page(text)
    told = " ".join(" ".join(parsed.text).split())
    assert not parsed.stack and "SYNTHETIC" in told and found["conclusion"] in told
    assert not [v for _, name, v in parsed.attributes if name in ("src", "href") and "://" in v]
    for title in (
        "Side by side",
        "From gross to net",
        "Controls",
        "Reaction delay",
        "Fade and follow on identical events",
        "Base rates",
        "Rates per covered hour",
    ):
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


@pytest.mark.slow
def test_a_second_run_keeps_what_is_right_and_the_command_says_the_same(market, compared, found):
    before = {name: (compared.folder / "presets" / name / "run.json").stat().st_mtime_ns for name in TWO}
    ended = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "liqshell",
            "compare",
            str(market / "data.toml"),
            "--policies",
            ",".join(TWO),
            "--json",
            "--out",
            str(compared.folder),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    again = json.loads(ended.stdout)
    assert again == json.loads(json.dumps(found))
    assert before == {name: (compared.folder / "presets" / name / "run.json").stat().st_mtime_ns for name in TWO}
    (market / "mine").mkdir()
    (market / "mine" / "x").write_text("keep")
    with pytest.raises(ConfigError, match="other than a comparison"):
        run_compare(load(market / "data.toml"), TWO, market / "mine")


def test_the_folder_of_a_run_is_enough(market):
    """Data instead of a configuration: the ages that its own run allowed are allowed here."""
    read = plan.read(market / "market")
    assert read.data.files == (str(market / "market"),) and read.limits.data_age_max_s == 12.0
    with pytest.raises(ConfigError, match="no such file"):
        plan.read(market / "nowhere")
