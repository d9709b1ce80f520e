"""The report's pages in a real browser: their scripts run to the end and draw."""

import shutil
import subprocess
import tempfile

import pytest

import liqcore as lc
import markets
import run_folder
import study_folder
from liqshell.report import make_report
from report_page import Page

pytestmark = pytest.mark.slow


def dumped(report) -> tuple[Page, str]:
    """The page after its scripts have run, and what the browser logged."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine: the page's script is not executed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        done = subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={profile}",
                "--virtual-time-budget=10000",
                "--enable-logging=stderr",
                "--run-all-compositor-stages-before-draw",
                "--window-size=1280,6000",
                "--dump-dom",
                report.html.as_uri(),
            ],
            capture_output=True,
            timeout=120,
            check=True,
        )
    return Page(done.stdout.decode()), "\n".join(line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line)


def drawn(page: Page) -> int:
    """Cards of cascades; the large chart was painted (the small ones are when they come into sight)."""
    assert ("canvas", "id", "chart") in page.attributes and any(tag == "canvas" and name == "width" for tag, name, _ in page.attributes)
    return len([value for tag, name, value in page.attributes if tag == "div" and name == "class" and value.startswith("card-c")])


def test_page_of_a_run(tmp_path):
    report = make_report(run_folder.make_run(tmp_path / "demo", hours=2.0, symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"), gap_s=40.0))
    page, log = dumped(report)
    assert not log and drawn(page) == report.summary["cascades"]["n"]


@pytest.mark.parametrize("with_tape", [True, False])
def test_page_of_a_backtest(tmp_path, with_tape):
    tape = lc.Tape.of(markets.instruments(3), study_folder.events(3, 12.0, 20_000, 3)) if with_tape else None
    report = make_report(study_folder.make_backtest(tmp_path / "study", count=20_000, draws=3, folds=2), tape=tape)
    page, log = dumped(report)
    assert not log and drawn(page) == min(160, report.summary["cascades"]["n"])
