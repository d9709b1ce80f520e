"""One page a written system, under its own title: found from README, from `liqcore presets` and in docs/; its command runs it on one's data."""

import json
import re
import shlex
from pathlib import Path

import pytest

from liqshell.cli import main
from liqshell.config.load import presets
from recorded_run import record_run

ROOT = Path(__file__).parents[2]
SYSTEMS = {preset.page: preset.title for preset in presets().values()}
PAGES = pytest.mark.parametrize("page", SYSTEMS)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return record_run(tmp_path_factory.mktemp("systems") / "market", hours=1, seed=11)


def test_there_are_five_and_every_preset_has_one():
    assert len(SYSTEMS) == 5 and all(preset.title and preset.page for preset in presets().values())


@PAGES
def test_a_reader_finds_it_by_its_title(page):
    text, readme = (ROOT / page).read_text(), (ROOT / "README.md").read_text()
    assert text.startswith(f"# {SYSTEMS[page]}\n") and f"[{SYSTEMS[page]}]({page})" in readme
    assert f"({Path(page).name})" in (ROOT / "docs" / "policies.md").read_text()


@PAGES
def test_it_has_the_rules_the_numbers_and_what_was_changed(page):
    text = (ROOT / page).read_text()
    own = [name for name, preset in presets().items() if preset.page == page]
    assert all(f"<!-- table: preset {name} -->" in text for name in own)
    assert "## Rules and numbers" in text and "## Changes and reasons" in text


@PAGES
def test_its_command_runs_it_on_data(page, data, tmp_path, monkeypatch, capsys):
    """The line as it stands, with the reader's data in its place. --quick: without controls, which test_compare looks at."""
    text = (ROOT / page).read_text()
    line = re.search(r"^liqcore compare DATA .*$", text, re.M)
    assert line is not None
    own = {name for name, preset in presets().items() if preset.page == page}
    monkeypatch.chdir(tmp_path)
    words = [str(data) if word == "DATA" else word for word in shlex.split(line[0])[1:]]
    assert main([*words, "--quick", "--json", "--workers", "1", "--out", str(tmp_path / "out")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["preset"] for row in found["presets"]} == own and not found["failed"]
