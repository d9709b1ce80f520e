"""Modules of the core are found under their old names, with a warning that says the new one."""

import importlib
import subprocess
import sys

import pytest

from liqcore import old_paths


@pytest.mark.parametrize(("old", "new"), sorted(old_paths.PATHS.items()))
def test_an_old_name_is_the_module_itself(old, new):
    sys.modules.pop(f"liqcore.{old}", None)
    wanted = importlib.import_module(f"liqcore.{new}")
    spec = wanted.__spec__
    with pytest.warns(DeprecationWarning, match=f"liqcore.{old} is liqcore.{new} now"):
        found = importlib.import_module(f"liqcore.{old}")
    assert found is wanted and wanted.__spec__ is spec and wanted.__name__ == f"liqcore.{new}"


def test_a_user_sees_the_warning_at_his_own_line(tmp_path):
    program = tmp_path / "bot.py"
    program.write_text("import liqcore.detect\nfrom liqcore.slot import BracketState\nprint(liqcore.detect.__name__, BracketState.__module__)\n")
    done = subprocess.run([sys.executable, "-W", "default", str(program)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "liqcore.detectors.cascade liqcore.execution.order_state\n", done
    assert done.stderr.count("DeprecationWarning") == 2


def test_an_attribute_of_the_package_is_the_module_too(tmp_path):
    """Before, `import liqcore` had imported them all."""
    program = tmp_path / "bot.py"
    program.write_text(
        "import liqcore as lc\nprint(lc.detect.__name__)\nfrom liqcore import slot\nprint(slot.__name__, hasattr(lc, 'nothing'))\nlc.batch_maps\n"
    )
    done = subprocess.run([sys.executable, "-W", "default", str(program)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "liqcore.detectors.cascade\nliqcore.execution.order_state False\n"
    assert "bot.py:2: DeprecationWarning" in done.stderr and "bot.py:3: DeprecationWarning" in done.stderr
    assert "AttributeError: module 'liqcore' has no attribute 'batch_maps'; use liqcore.Features" in done.stderr


def test_other_names_are_not_found():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("liqcore.nothing")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("liqcore.detectors.detect")


@pytest.mark.parametrize("old", sorted(old_paths.GONE))
def test_a_module_that_is_gone_says_what_to_use(old):
    with pytest.raises(ModuleNotFoundError, match=f"liqcore.{old} is gone; use liqcore"):
        importlib.import_module(f"liqcore.{old}")
