"""`liqcore demo --policy NAME`: every preset on a market that is made for it, its numbers its own, its recording replayed to the byte."""

import json
import subprocess
import sys

import pytest

import liqcore as lc
from liqshell import demo, journal
from liqshell.commands.demo import demo as command
from liqshell.config import presets
from liqshell.errors import ConfigError

READY = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1", "symbols": ["BTCUSDT", "SOLUSDT"]}


def run(folder, name, *more):
    done = subprocess.run([sys.executable, "-P", "-m", "liqshell", "demo", "--policy", name, "--json", "--out", str(folder / name), *more],
                          capture_output=True, text=True, timeout=400)
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
        command(**{"options": __import__("liqshell.commands.demo", fromlist=["Options"]).Options(policy="momentun")})


def test_a_preset_that_waits_for_millions_trades_on_a_larger_market(tmp_path):
    found, manifest = run(tmp_path, "cascade-fade", "--hours", "1", "--speed", "360")
    assert found["preset"] == "cascade-fade" and found["synthetic"] and found["replay"]["identical"]
    assert found["entries"]["placed"] > 0 and manifest["market_scale"] == 40.0


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_acts_in_its_demo_and_replays(name, tmp_path):
    """momentum is asked and asks to be asked again, but its four conditions rarely hold together while its map is hours old: docs/policies.md.
    reversal knows its z-scores after 7.5 hours only (30 independent samples), and its three conditions then rarely hold within a demo."""
    found, _ = run(tmp_path, name, "--speed", "480")
    audit = journal.load_audit(tmp_path / name)
    answers = audit["reason"][audit["kind"] == int(lc.AuditKind.AUDIT_POLICY)]
    assert found["replay"]["identical"]
    assert found["entries"]["placed"] > 0 or name == "reversal" or name == "momentum" and int(lc.Reason.ASK_LATER) in answers
