"""Where a result is from: assumptions of this run and of no other, reasons for silence of the detectors that ran, and whole provenance."""

import contextlib
import json
import shutil

import pytest
from test_cli import run as cli_run

import liqcore as lc
import run_folder
import study_folder
from generated import generated
from liqshell import store
from liqshell.backtest import run_backtest
from liqshell.config.load import loads, presets
from liqshell.recording.journal import code_hash
from liqshell.recording.packing import frame_files
from liqshell.report import make_report
from liqshell.research.compare import page as compare
from liqshell.research.compare import run_compare
from liqshell.store import page as store_page
from liqshell.store import quality
from liqshell.sweep.page import write_sweep
from liqshell.sweep.run import run_sweep
from recorded_run import SETTINGS, record_run
from report_page import Page, terminal

#: what each preset listens to, as its file says
KINDS = {
    "fade": {"cascade"},
    "fade-btc": {"cascade"},
    "breakout": {"rate"},
    "cascade-fade": {"dollar", "bars"},
    "imbalance": {"imbalance", "bars"},
    "momentum": {"dollar", "bars"},
    "reversal": {"bars"},
    "trend": {"anomaly"},
    "zone": {"zone"},
}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    record_run(folder / "market", hours=1, seed=3)
    found = json.loads((folder / "market" / "run.json").read_text())
    (folder / "market" / "run.json").write_text(json.dumps(found | {"market_seeds": [3]}))
    return folder / "market"


def words(report):
    return " ".join(" ".join(Page(report.html.read_text("utf-8")).text).split()), " ".join(terminal(report.summary).split())


def account_run(folder, **changes):
    """A run of an account at a venue; its configuration has a [paper] table as every configuration has."""
    run_folder.make_run(folder, hours=0.2)
    found = json.loads((folder / "run.json").read_text())
    found |= {"mode": "live", "synthetic": False, "settings": {"venue": "gateway", "equity": 2500.0, "cascade": {"warmup": 100}}, **changes}
    found["config"]["paper"] |= {"order_latency_ms": 50, "ack_latency_ms": 50, "leverage": 0.0, "fills": "through"}
    (folder / "run.json").write_text(json.dumps(found))
    return make_report(folder)


def test_an_account_is_not_told_what_the_simulated_venue_does(tmp_path):
    report = account_run(tmp_path / "run")
    told = {row["about"]: row["what"] for row in report.summary["assumptions"]}
    assert told["latency"].startswith("measured") and told["own liquidation"].startswith("by the rules of the venue")
    page, _ = words(report)
    for wrong in ("50 ms, always", "never: the account is assumed to be large enough", "strictly beyond its price"):
        assert wrong not in page
    assert "emulated venue" in account_run(tmp_path / "loop", environment="loopback").summary["assumptions"][0]["what"]


def test_the_account_of_an_account_run_is_its_own_and_not_that_of_paper(tmp_path):
    assert account_run(tmp_path / "run").summary["money"]["equity_start"] in (2500.0, 100_000.0), "as risk saw it, never [paper] equity of 10,000"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(presets()))
def test_silence_is_explained_by_the_detectors_that_ran(name, market, tmp_path):
    config = loads(
        SETTINGS.replace("[detector]\nrefresh_s = 0\nwarmup = 30", "")
        + f'[policy]\npreset = "{name}"\n[data]\nfiles = ["{market}"]\n[backtest]\nstudy = false\n'
    )
    report = make_report(run_backtest(config, tmp_path / name))
    s, told = report.summary, " ".join(report.summary["silence"])
    kinds = {one["kind"] for one in s["detectors"]}
    assert kinds == KINDS[name]
    if "cascade" not in kinds:
        assert "quantile" not in told and "large liquidations" not in {row["step"] for row in s["funnel"]}
    if not s["trades"]:
        for one in s["detectors"]:
            assert one["active"] or one["kind"] == "cascade" or one["name"] in told or one["kind"] == "bars", told
        assert told and all(line in words(report)[0] for line in s["silence"] if "'" not in line)
    if kinds == {"bars"}:
        assert "No detector of cascades ran" in words(report)[1] and "no detector of cascades ran" in words(report)[0]


def test_the_seed_of_the_generator_is_not_that_of_the_backtest(market, tmp_path):
    config = loads(f'{SETTINGS}[run]\nseed = 99\n[data]\nfiles = ["{market}"]\n[backtest]\nstudy = false\n')
    report = make_report(run_backtest(config, tmp_path / "run"))
    assert (
        report.summary["stamp"]["market_seeds"] == [3]
        and report.summary["stamp"]["seed"] == 99
        and report.summary["stamp"]["code_hash"] == code_hash()
    )
    page, _ = words(report)
    assert "made by a generator (seed 3)" in page and "seed 99)" not in page
    shutil.copytree(tmp_path / "run", tmp_path / "unknown")
    found = json.loads((tmp_path / "unknown" / "run.json").read_text())
    (tmp_path / "unknown" / "run.json").write_text(json.dumps(found | {"market_seeds": []}))
    page, _ = words(make_report(tmp_path / "unknown"))
    assert "made by a generator:" in page and "not in the data" in page


def test_a_store_keeps_the_seeds_of_what_it_was_made_from(market, tmp_path):
    """Two generated recordings, one after the other, of seeds 3 and 4: a study of a span names the seeds of that span, a store of one of them that one."""
    later = record_run(tmp_path / "later", hours=0.2, seed=4, market={"start_ns": 1_772_720_000 * lc.SECOND})
    found = json.loads((later / "run.json").read_text())
    (later / "run.json").write_text(json.dumps(found | {"market_seeds": [4]}))
    assert not store.fill(tmp_path / "both", [*frame_files(market / "frames"), *frame_files(later / "frames")]).broken
    assert not store.fill(tmp_path / "one", frame_files(market / "frames")).broken
    opened = store.open(tmp_path / "both")
    assert opened.select(missing="gap").market_seeds == (3, 4)
    assert opened.select(start="2026-03-05", missing="gap").market_seeds == (4,)
    opened.close()
    config = loads(f'{SETTINGS}[run]\nseed = 99\n[data]\nstore = "{tmp_path / "one"}"\n[backtest]\nstudy = false\n')
    report = make_report(run_backtest(config, tmp_path / "run"))
    assert report.summary["stamp"]["market_seeds"] == [3] and "made by a generator (seed 3)" in words(report)[0]
    told = loads(f'{SETTINGS}[data]\nstore = "{tmp_path / "one"}"\n[sweep]\nworkers = 1\n[sweep.detector]\nmin_events = [2, 3]\n')
    write_sweep(run_sweep(told, tmp_path / "sweep"))
    compare.write(run_compare(told, ("fade",), tmp_path / "compare", workers=1))
    with contextlib.closing(store.open(tmp_path / "one")) as one:
        store_page.save(quality.data_report(one), tmp_path / "one")
    for file in (report.html, tmp_path / "sweep" / "sweep.html", tmp_path / "compare" / "compare.html", tmp_path / "one" / "report.html"):
        assert "SYNTHETIC MARKET, seed 3" in file.read_text("utf-8"), file.name


def test_an_empty_stream_is_no_sign_that_nothing_was_seen(tmp_path, capsys):
    """A zone without anything to remember decides nothing: what was looked at is said, and what it waits for; also by `liqcore show`."""
    found = generated(0.05, ("BTCUSDT",), seed=3)
    config = loads(f'[policy]\npreset = "zone"\n[run]\nout = "{tmp_path}"\n[backtest]\nstudy = false\n')
    summary = make_report(run_backtest(config, tmp_path / "run", history=found)).summary
    assert summary["stamp"]["audit_records"] == 0
    (part,) = summary["data"]["parts"]
    told = " ".join(summary["silence"])
    assert f"{part['trades'] + part['liquidations']:,} trades and liquidations led to a decision" in told and "audit stream is empty" not in told
    waits = (
        "The detector zone was never ACTIVE. It waits for a return of the price, after 300 s away, to levels of large earlier liquidations, once 20"
    )
    assert waits in told
    status, out, _ = cli_run(capsys, "show", tmp_path / "run")
    assert status == 0 and out.startswith("There was no decision in this time.") and waits in out


def test_a_report_without_settings_claims_no_quantile(tmp_path):
    report = make_report(study_folder.make_backtest(tmp_path / "run", count=15, days=0.1, size=1, with_study=False))
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "No liquidation was large" in " ".join(report.summary["silence"])
    (tmp_path / "run" / "run.json").write_text(json.dumps(found | {"settings": {}}))
    assert make_report(tmp_path / "run").summary["silence"] == ["No liquidation was large."]
