"""What the docs say is run: every Python block, every safe liqcore line, the configuration; tables made from the program are as the program."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import doc_tables
from liqshell.config import load as config

ROOT = Path(__file__).parents[2]
PAGES = [page for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))] if page.is_file()]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pysrc"), os.environ.get("PYTHONPATH", "")])}


def blocks(language: str) -> list:
    """(page, number, text) of the fenced blocks in a language."""
    return [
        pytest.param(match[1], id=f"{page.name}:{page.read_text().count(chr(10), 0, match.start()) + 1}")
        for page in PAGES
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.S | re.M)
    ]


def commands() -> list:
    """Lines of shell blocks that start with liqcore; a line with a place to be filled in (CAPITALS) is not one that can be run."""
    lines = [line for block in blocks("sh") for line in block.values[0].splitlines()]
    return [line for line in lines if line.startswith("liqcore ") and not re.search(r"\s[A-Z]{3,}", line)]


@pytest.mark.parametrize("text", blocks("python"))
def test_python_block(text, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", text], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("line", commands())
def test_command_line(line, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", *shlex.split(line)[1:]], cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("text", blocks("toml"))
def test_configuration_block(text):
    assert config.loads(text).feed.symbols


def test_there_is_something_to_run():
    assert len(blocks("python")) >= 4 and len(commands()) >= 5 and blocks("toml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_as_the_program(page):
    assert page.read_text() == doc_tables.filled(page.read_text()), "run: python tests/support/doc_tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    broken = [link for link in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text()) if not (page.parent / link).exists()]
    assert not broken


def test_every_command_and_enum_of_the_public_api_is_named():
    readme, engine = (ROOT / "README.md").read_text(), (ROOT / "docs" / "engine.md").read_text()
    from liqshell.cli import COMMANDS

    assert not [name for name in COMMANDS if name != "version" and f"liqcore {name}" not in readme]
    for table in [name for name in doc_tables.TABLES if name != "preset"] + [f"preset {name}" for name in config.presets()]:
        assert sum(page.read_text().count(f"<!-- table: {table} -->") for page in PAGES) == 1, table
    assert "uncalibrated" in engine or "not calibrated" in engine
