"""Modules that stand beside a file of the user's: the template of a venue works where it is copied to, and helpers belong to the SHA-256."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from liqshell import plugins
from liqshell.config.load import load
from liqshell.errors import ConfigError
from liqshell.plugins import DETECTOR, VENUE
from liqshell.venues.adapters import OWN_VENUES

ROOT = Path(__file__).parents[3]
DETECTOR_FILE = """import liqcore as lc
from .helper import LEAST

class Large(lc.CustomDetector):
    PARAMETERS = (lc.Parameter("least", LEAST, 0.0, 1e12, "quote currency", "so much"),)
"""


@pytest.fixture
def venue(tmp_path):
    folder = ROOT / "pysrc" / "liqshell" / "venues" / "_template"
    return Path(shutil.copytree(folder, tmp_path / "myv", ignore=shutil.ignore_patterns("__pycache__")))


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def outcome_of(folder):
    path = os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_template.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )


def large(folder, least="5.0"):
    folder.mkdir()
    (folder / "large.py").write_text(DETECTOR_FILE)
    (folder / "helper.py").write_text(f"LEAST = {least}\n")
    return f"{folder}/large.py:Large"


def test_a_copy_of_the_template_tests_its_own_decoder(venue):
    right = outcome_of(venue)
    assert right.returncode == 0 and "6 passed" in right.stdout, right.stdout
    change(
        venue / "decoder.py", 'LIQUIDATED_SIDE = {"sell": Side.LONG, "buy": Side.SHORT}', 'LIQUIDATED_SIDE = {"buy": Side.LONG, "sell": Side.SHORT}'
    )
    inverted = outcome_of(venue)
    assert inverted.returncode == 1 and "1 failed, 5 passed" in inverted.stdout, inverted.stdout


def test_a_copy_of_the_template_is_a_venue_of_a_configuration(venue, tmp_path):
    change(venue / "instruments.py", 'VENUE = "template"', 'VENUE = "myv"')
    (tmp_path / "run.toml").write_text(
        '[venues]\nmyv = "myv/adapter.py:ADAPTER"\n[feed]\nvenue = "myv"\nsymbols = ["BTC-PERP"]\n[policy]\npreset = "fade"\n'
    )
    try:
        assert load(tmp_path / "run.toml").feed.venue == "myv"
        own = OWN_VENUES["myv"]
        assert Path(sys.modules[own.adapter.decoder.__module__].__file__) == venue / "decoder.py"
    finally:
        OWN_VENUES.pop("myv", None)
    listed = "".join(f"{name} {hashlib.sha256((venue / f'{name}.py').read_bytes()).hexdigest()}\n" for name in ("adapter", "decoder", "instruments"))
    assert own.sha256 == hashlib.sha256(listed.encode()).hexdigest()


def test_what_stands_beside_a_file_is_hashed_and_a_change_of_it_is_refused(tmp_path):
    name = large(tmp_path / "a")
    digest = plugins.digest_of(name, DETECTOR, "kind")
    assert plugins.load(name, DETECTOR, "kind", digest).PARAMETERS[0].default == 5.0
    change(tmp_path / "a" / "helper.py", "5.0", "6.0")
    with pytest.raises(ConfigError, match=r"this file, or one of helper\.py beside it, has changed since the run"):
        plugins.load(name, DETECTOR, "kind", digest)
    assert plugins.load(name, DETECTOR, "kind").PARAMETERS[0].default == 6.0  # each time anew


def test_a_file_that_imports_none_has_the_digest_of_its_bytes():
    file = ROOT / "examples" / "own" / "streak.py"
    assert plugins.digest_of(f"{file}:Streak", DETECTOR, "kind") == hashlib.sha256(file.read_bytes()).hexdigest()


def test_modules_of_one_name_in_two_folders_are_two(tmp_path):
    first, second = large(tmp_path / "a", "1.0"), large(tmp_path / "b", "2.0")
    found = [plugins.load(name, DETECTOR, "kind").PARAMETERS[0].default for name in (first, second, first)]
    assert found == [1.0, 2.0, 1.0] and "helper" not in sys.modules


def test_a_module_beside_may_import_others_and_the_file_itself(tmp_path):
    name = large(tmp_path / "a")
    (tmp_path / "a" / "helper.py").write_text("from . import more\nLEAST = more.LEAST\n")
    (tmp_path / "a" / "more.py").write_text("LEAST = 7.0\ndef back():\n    from .large import Large\n    return Large\n")
    found = plugins.load(name, DETECTOR, "kind")
    assert found.PARAMETERS[0].default == 7.0
    assert sys.modules[f"{found.__module__}.more"].back() is found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("from helper import LEAST", r"No module named 'helper' \(line 2\).*Write `from \.helper import \.\.\.`: that is the file beside it"),
        ("from .halper import LEAST", r"a file halper\.py in .*, imported by a statement `from \.halper import \.\.\.`"),
    ],
)
def test_an_import_that_fails_says_what_to_write(tmp_path, line, message):
    name = large(tmp_path / "a")
    change(tmp_path / "a" / "large.py", "from .helper import LEAST", line)
    with pytest.raises(ConfigError, match=message):
        plugins.load(name, DETECTOR, "kind")


def test_what_is_wrong_beside_is_said_with_its_place(tmp_path):
    name = large(tmp_path / "a")
    (tmp_path / "a" / "helper.py").write_text("LEAST = = 1\n")
    with pytest.raises(ConfigError, match=r"large\.py: cannot be run: SyntaxError: .*\(helper\.py, line 1\)"):
        plugins.load(name, DETECTOR, "kind")


def test_the_decoder_of_the_template_itself_is_what_ships():
    code = f"{ROOT}/pysrc/liqshell/venues/_template/adapter.py:ADAPTER"
    assert plugins.load(code, VENUE, "venues.template").venue == "template"
