"""`liqcore demo --policy NAME`: every preset on a market that is made for it, its numbers its own, its recording replayed to the byte."""

import asyncio
import json
import subprocess
import sys

import pytest

import liqcore as lc
from generated import generated
from liqshell import demo
from liqshell.commands.demo import demo as command
from liqshell.config.load import presets
from liqshell.emulator.market import Market
from liqshell.emulator.market.contracts import CONTRACTS
from liqshell.errors import ConfigError
from liqshell.recording import journal
from liqshell.run.pipeline import make_paper, settings
from liqshell.run.tape_driver import drive

READY = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1", "symbols": ["BTCUSDT", "SOLUSDT"]}


def run(folder, name, *more):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", "demo", "--policy", name, "--json", "--out", str(folder / name), *more],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads((folder / name / "run.json").read_text())


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_demo_of_a_preset_trades_its_numbers(name, tmp_path):
    config = demo.configure(demo.Plan(tmp_path, preset=name), READY)
    made, told = config.policy_for("SOLUSDT"), presets()[name].policy
    assert config.preset_of().name == name
    for field in ("entry", "entry_offset", "take_profit", "stop_loss", "max_hold_s", "notional"):
        assert getattr(told, field) in (None, getattr(made, field))


def test_what_a_preset_waits_for_is_told_and_every_entry_is_a_preset():
    assert demo.NEEDS.keys() <= presets().keys() and all(needs.why for needs in demo.NEEDS.values())
    with pytest.raises(ConfigError, match="no preset of this name"):
        command(options=__import__("liqshell.commands.demo", fromlist=["Options"]).Options(policy="momentun"))


@pytest.mark.slow
def test_a_machine_that_is_too_slow_for_the_speed_is_told_so(tmp_path, monkeypatch):
    """The market is over a moment after it began, before anybody could have asked for the account."""
    monkeypatch.setattr(demo, "LEAD_S", 0.02)
    with pytest.raises(ConfigError, match=r"--speed 720: this machine is too slow: .*there was no trade; expected .*Try --speed 120"):
        asyncio.run(demo.run(demo.Plan(tmp_path / "run", speed=720.0, hours=0.001)))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["ended"].startswith("before the account was reconciled")


@pytest.mark.slow
def test_a_preset_that_waits_for_millions_trades_on_a_larger_market(tmp_path):
    found, manifest = run(tmp_path, "cascade-fade", "--hours", "1", "--speed", "360")
    assert found["preset"] == "cascade-fade" and found["synthetic"] and found["replay"]["identical"]
    assert found["entries"]["placed"] > 0 and manifest["market_scale"] == 40.0 and manifest["market_long_share"] == 0.55


def test_where_the_crowd_is_short_it_is_shorts_that_are_liquidated():
    """And a flush of longs is unusual: what `reversal` waits for."""

    def longs(share):
        records = Market(seed=1, symbols=("SOLUSDT",), long_share=share, warmup_hours=1.0).take(1.0)
        return float((records["side"][records["kind"] == int(lc.Kind.LIQUIDATION)] > 0).mean())

    short = demo.NEEDS["reversal"].long_share
    assert longs(short) < 0.1 and longs(1.0 - short) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_acts_in_its_demo_and_replays(name, tmp_path):
    """A demo is paced by the clock: where other programs leave it too little of the machine, its events are late and it enters nothing. Then slower."""
    for speed in (480, 160):
        (folder := tmp_path / f"{speed}").mkdir()
        found, manifest = run(folder, name, "--speed", str(speed))
        assert manifest["market_long_share"] == demo.NEEDS.get(name, demo.Needs()).long_share
        assert found["replay"]["identical"] and len(journal.load_audit(folder / name))
        if found["entries"]["placed"]:
            return
    raise AssertionError(f"no entry: {found['entries']}")


@pytest.mark.slow
def test_momentum_trades_on_the_market_of_its_demo(tmp_path):
    """Without the wire, so that it is the same every time: it enters, and every cascade that it lets go says for which condition."""
    needs, symbols = demo.NEEDS["momentum"], tuple(contract.symbol for contract in CONTRACTS)
    history = generated(needs.hours, symbols, 1, scale=needs.scale, funding_rate=needs.funding, long_share=needs.long_share)
    config = demo.configure(demo.Plan(tmp_path, preset="momentum"), READY | {"symbols": list(symbols)})
    audit = drive(lc.Walk(make_paper(settings(config, history.instruments)), history.tape), history.end_ns)
    assert (audit["kind"] == int(lc.AuditKind.AUDIT_TRADE)).sum() >= 3
    answers = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_POLICY)) & (audit["reason"] == int(lc.Reason.NO_TRADE))]
    named = [found[0] for x in answers["x"] if (found := lc.audit.declined(x)) is not None]
    assert {"s since the first, at most", "crowd's funding above", "score at least"} <= set(named)


@pytest.mark.slow
def test_the_written_system_with_its_judge_shows_its_three_tables(tmp_path):
    """Signals are judged by a model on loopback; account, positions and latest signals stand in the report, and the run replays."""
    for speed in (160, 80):
        (folder := tmp_path / f"{speed}").mkdir()
        found, _ = run(folder, "trend", "--judge", "stub", "--paper", "--speed", str(speed), "--hours", "4", "--scale", "20")
        assert found["replay"]["identical"]
        if found["desk"]["signals"]:
            break
    signals, account = found["desk"]["signals"], found["desk"]["account"]
    assert signals and found["judge"]["answered"] and found["judge"]["kind"] == "openai"
    assert {row["anomaly"] for row in signals} <= {"strong", "medium"} and all(row["z"] >= 3.0 and row["purity"] > 0.75 for row in signals)
    assert {row["action"] for row in signals} <= {"enter", "hold", "don't enter", None} and any(row.get("action_reason") for row in signals)
    assert account["positions_max"] == 5 and account["stop_loss"] == 0.03 and account["trail"] == 0.02 and account["balance"] > 0.0
    assert all(row["entry"] > 0.0 and row["gain_max"] >= row["gain"] for row in found["desk"]["positions"])
    page = (folder / "trend" / "report.html").read_text()
    assert all(title in page for title in ("Account, positions, signals", "Latest signals", "given back"))
