"""For every test: an example may take as long as a busy machine needs (wall-clock is no verdict), and what was compiled once is kept.

Hundreds of tests start a process of ours. Where PYTHONDONTWRITEBYTECODE is set, each of them would compile the whole shell again, a second and more.
"""

import os
import sys
import tempfile
from pathlib import Path
from zlib import crc32

sys.dont_write_bytecode = False  # before the imports that follow
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("LIQCORE_LOG_DIR", os.path.join(tempfile.gettempdir(), f"liqcore-test-log-{os.getuid()}"))  # of commands that fail

# what several files of tests use lies in support/; some of them also use each other's
HERE = Path(__file__).parent
sys.path += [str(folder) for folder in (HERE / "support", *sorted({file.parent for file in HERE.rglob("test_*.py")}))]

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _own_trial_log(tmp_path_factory):
    """No file of tests counts what another has tried, nor writes into the log of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIQCORE_TRIALS", str(tmp_path_factory.mktemp("trials") / "trials.jsonl"))
        yield


settings.register_profile("liqcore", deadline=None, print_blob=True)
settings.register_profile("full", settings.get_profile("liqcore"))
settings.load_profile("liqcore")
FEWEST, SHARE = 20, 4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files come in a mixed order, always the same: those that compute beside those that wait for sockets, or the cores would idle through all of the
    latter at once. A property is tried with a quarter of its examples, at least 20. All of them are tried by --hypothesis-profile=full, which .ci/run
    asks for, and by every test that is marked `slow` or `campaign`."""
    items.sort(key=lambda item: crc32(item.path.name.encode()))
    if config.getoption("--hypothesis-profile") == "full":
        return
    done = set()
    for item in items:
        test = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        own = getattr(test, "_hypothesis_internal_use_settings", None)  # as Hypothesis's own plugin reads and sets it
        if own is not None and test not in done and not any(map(item.get_closest_marker, ("slow", "campaign"))):
            done.add(test)
            test._hypothesis_internal_use_settings = settings(own, max_examples=min(own.max_examples, max(FEWEST, own.max_examples // SHARE)))


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores: tests of the live path wait for sockets most of their time."""
    return 2 * (os.cpu_count() or 1)
