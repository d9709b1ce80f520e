"""Results are labelled and graded per contract and preset; "verified" is given by one command on one's own recording, and by nothing else."""

import dataclasses
import json

import pytest

import liqcore as lc
from liqshell import grades
from liqshell.backtest import load_history, run_backtest
from liqshell.cli import main
from liqshell.config.load import load, loads, presets
from liqshell.errors import ConfigError, DataError
from liqshell.gate import verify
from liqshell.gate.evaluation import fill_in
from liqshell.gate.evidence import Evidence, gather, open_run
from liqshell.report import make_report
from liqshell.run.pipeline import settings
from recorded_run import SETTINGS, record_run

TWO = (
    '[run]\nname = "two"\nout = "{out}"\n'
    + SETTINGS
    + ('[data]\nfiles = ["market"]\n[backtest]\nstudy = false\n[policy]\npreset = "fade"\n[policy.symbols.DOGEUSDT]\npreset = "trend"\n')
)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grades")
    record_run(folder / "market", hours=2, seed=11)
    (folder / "two.toml").write_text(TWO.format(out=folder / "runs"))
    return folder


@pytest.fixture(scope="module")
def report(market):
    config = load(market / "two.toml")
    history = load_history(config)
    return make_report(run_backtest(config, history=history), tape=history.tape)


@pytest.mark.slow
def test_each_contract_has_its_own_preset_and_grade(report):
    rows = {row["symbol"]: (row["preset"], row["grade"]) for row in report.summary["instruments"]}
    assert rows == {"SOLUSDT": ("fade", "contradicted"), "DOGEUSDT": ("trend", "claimed")}
    assert report.summary["preset"] == "fade+trend" and report.summary["evidence"].startswith("contradicted: fade (contradicted): ")
    assert {row["symbol"]: row["preset"] for row in report.summary["trades"]}.items() <= {"SOLUSDT": "fade", "DOGEUSDT": "trend"}.items()
    assert report.summary["trades"]


def test_claims_are_compared_with_the_contracts_of_their_preset(report):
    """trend promises nothing; what fade promises is observed on SOLUSDT alone."""
    s = report.summary
    assert {row["preset"] for row in s["expected"]} == {"fade"}
    own = [t for t in s["trades"] if t["symbol"] == "SOLUSDT"]
    won = next(row for row in s["expected"] if row["measure"] == "win_rate")
    assert won["observed"] == pytest.approx(sum(t["net"] > 0 for t in own) / len(own))
    # one contract: the claims of one, not of four
    assert [row["claimed_low"] for row in s["expected"] if row["measure"] == "daily_sharpe"] == [2.0]
    assert "fade contradicted" in report.html.read_text() and "trend claimed" in report.html.read_text()


def test_the_gate_judges_by_the_range_of_the_own_preset():
    mixed = Evidence(
        runs=1, placed=200, filled=200, trips=200, won=20, by={("SOLUSDT", "fade"): [100, 65, 65, 50], ("DOGEUSDT", "trend"): [100, 100, 100, 5]}
    )
    items = {item.id: item for item in fill_in(mixed, Evidence(), Evidence()) if item.id.startswith(("fills", "wins"))}
    assert sorted(items) == ["fills.SOLUSDT", "wins.SOLUSDT"] and items["fills.SOLUSDT"].n == 100 and "fade" in items["fills.SOLUSDT"].title


def test_the_gate_counts_by_contract_and_preset(market):
    one = open_run(market / "market", rehearsal=True)
    found = gather([one], None)
    assert {symbol for symbol, _ in found.by} <= {"SOLUSDT", "DOGEUSDT"}
    assert sum(counts[0] for counts in found.by.values()) == found.placed and sum(counts[2] for counts in found.by.values()) == found.trips
    assert [ts for ts, *_ in found.results] == sorted(ts for ts, *_ in found.results) and len(found.results) == found.trips


# ---- verified ----


def row_for(config, n=0, **changed):
    instruments = [lc.Instrument(symbol, venue="bybit") for symbol in ("SOLUSDT", "DOGEUSDT")]
    contract = grades.contracts_of(config, settings(config, instruments))[n]
    return {
        "numbers": contract["numbers"],
        "venue": "bybit",
        "symbol": contract["symbol"],
        "preset": contract["preset"],
        "run": "r",
        "data": "d",
        "trades": 40,
        "mean_bps": 4.0,
        "low_bps": 1.0,
        "high_bps": 7.0,
    } | changed


def graded(config):
    instruments = [lc.Instrument(symbol, venue="bybit") for symbol in ("SOLUSDT", "DOGEUSDT")]
    return [row["grade"] for row in grades.contracts_of(config, settings(config, instruments))]


def test_a_verification_is_of_these_numbers_on_this_contract(tmp_path):
    text = f'[run]\nout = "{tmp_path}"\n[feed]\nsymbols = ["SOLUSDT", "DOGEUSDT"]\n[policy]\npreset = "zone"\n'
    config = loads(text)
    assert graded(config) == ["claimed", "claimed"]
    grades.keep(tmp_path, [row_for(config)])
    assert graded(config) == ["verified", "claimed"]
    assert graded(loads(text + "notional = 77\n")) == ["verified", "claimed"]  # the money is not part of it
    assert graded(loads(text + "take_profit = 0.006\n")) == ["claimed", "claimed"]
    assert graded(loads(text + '[hours]\nutc = "13-18"\n')) == ["claimed", "claimed"]
    grades.keep(tmp_path, [row_for(config, 1), row_for(config, mean_bps=9.0)])
    assert graded(config) == ["verified", "verified"] and len(grades.verified(tmp_path)) == 2
    (tmp_path / grades.VERIFIED_FILE).write_text("[{}]")
    with pytest.raises(DataError, match="verified.json"):
        graded(config)


def test_no_preset_may_call_itself_verified():
    assert {preset.grade for preset in presets().values()} == {"claimed", "contradicted"}
    rule = {f.name: f for f in dataclasses.fields(type(presets()["fade"]))}["grade"].metadata["rule"]
    with pytest.raises(ValueError, match="claimed"):
        rule.read("verified")


def test_a_generated_market_verifies_nothing(report, market, capsys):
    rows = verify.assess(report.html.parent)
    assert [row["symbol"] for row in rows] == ["SOLUSDT", "DOGEUSDT"]
    assert all({"a generated market", "no controls were run"} <= set(row["missing"]) for row in rows)
    assert main(["verify", str(report.html.parent)]) == 1 and "not yet" in capsys.readouterr().out
    assert not (market / "runs" / grades.VERIFIED_FILE).exists()


def test_what_has_earned_it_is_written_and_shown(report, tmp_path, monkeypatch, capsys):
    """The same run as if its summary were that of a recording on which the preset pays: each of the demands decides alone."""
    real = verify.summarise

    def paying(run, ledger, study, **worse):
        s = real(run, ledger, study)
        s |= {"synthetic": False, "controls": {"edge": True}, "trials": {"deflated": 0.99}}
        s["quotes"]["fills"]["without_quote"] = {"k": 0, "n": 100}
        for part in s["data"]["parts"]:
            part |= {"receipt": "recorded", "quoted": 1.0}
        for row in s["instruments"]:
            row |= {"trades": 60, "mean_bps": 5.0, "low_bps": 1.0, "high_bps": 9.0}
        for path, value in worse.items():
            if path in ("trades", "low_bps"):
                s["instruments"][0][path] = value
            elif path in ("receipt", "quoted"):
                s["data"]["parts"][0][path] = value
            else:
                s[path] = value
        return s

    for worse in (
        {"synthetic": True},
        {"controls": None},
        {"controls": {"edge": None}},
        {"trials": {"deflated": 0.9}},
        {"trials": {"deflated": None}},
        {"trades": 29},
        {"low_bps": 0.0},
        {"low_bps": None},
        {"receipt": "modelled"},
        {"quoted": 0.5},
    ):
        monkeypatch.setattr(verify, "summarise", lambda *args, worse=worse: paying(*args, **worse))
        assert len(verify.assess(report.html.parent)[0]["missing"]) == 1, worse
    monkeypatch.setattr(verify, "summarise", paying)
    assert main(["verify", str(report.html.parent), "--out", str(tmp_path)]) == 0
    assert main(["presets", "fade", "--runs", str(tmp_path)]) == 0
    assert "VERIFIED SOLUSDT" in capsys.readouterr().out
    assert json.loads((tmp_path / grades.VERIFIED_FILE).read_text())[0]["trades"] == 60


# ---- by title ----


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Liquidation Cascade Market-Making", {"fade", "fade-btc"}),
        ("liquidation hunting", {"momentum"}),
        ("Research Plan", {"cascade-fade", "imbalance", "zone", "breakout"}),
        ("trend", {"trend"}),
        ("cascade reversal", {"reversal"}),
        ("Trading with Liquidation Data", {"trend"}),
    ],
)
def test_a_system_is_found_by_its_title(capsys, title, names):
    assert main(["presets", title, "--json"]) == 0
    assert {json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()} == names


def test_an_unknown_title_is_refused():
    from liqshell.commands.presets import named

    with pytest.raises(ConfigError, match="Liquidation Hunting"):
        named("bananas", presets())


def test_what_their_own_author_puts_below_fees_says_so(capsys):
    for name in ("imbalance", "cascade-fade"):
        main(["presets", name])
        assert "BELOW FEES by its own author" in capsys.readouterr().out
    assert presets()["trend"].grade == "claimed"
