"""The stubs say what the compiled modules are, and a type checker sees the public API as meant."""

import ast
import enum
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed: pip install 'liqcore[test]'")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "tests" / "typing" / "public_api.py"
COMPILED = sorted(
    ".".join(p.relative_to(top).with_suffix("").parts)
    for top, package in ((ROOT, "liqcore"), (ROOT / "pysrc", "liqshell"))
    for p in (top / package).rglob("*.pyx")
)


def mypy(module: str, *arguments: str, cache: Path, stubs: Path | None = None) -> subprocess.CompletedProcess[str]:
    """mypy or stubtest in a process of its own; what it runs is the tree, what it reads is the tree or `stubs`."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cache,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "MYPYPATH": str(stubs) if stubs else paths, "PYTHONPATH": paths, "MYPY_CACHE_DIR": str(cache / "mypy")},
    )


@pytest.mark.slow
def test_every_stub_equals_its_compiled_module(tmp_path):
    # names without a stub: what a module itself imports, and what Cython adds
    done = mypy(
        "mypy.stubtest", "--ignore-missing-stub", "--allowlist", str(EXAMPLES.with_name("stubtest.allow")), "--concise", *COMPILED, cache=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_stub_that_lies_would_be_noticed(tmp_path):
    """stubtest does look into compiled modules: a wrong argument, value or name in a stub is found."""
    stubs = tmp_path / "liqcore" / "kernels"
    stubs.mkdir(parents=True)
    for folder in (stubs, stubs.parent):
        (folder / "__init__.pyi").touch()
    text = (ROOT / "liqcore" / "kernels" / "window.pyi").read_text()
    (stubs / "window.pyi").write_text(text.replace("horizon_ns", "horizon_s").replace("def push(self, ts", "def push(self, time"))
    done = mypy("mypy.stubtest", "--ignore-missing-stub", "--concise", "liqcore.kernels.window", cache=tmp_path, stubs=tmp_path)
    assert done.returncode != 0
    for what in ("liqcore.kernels.window.Window.push", "liqcore.kernels.window.Window.horizon_s"):
        assert what in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("module", COMPILED)
def test_members_of_enums(module):
    """stubtest does not compare them: a compiled enum makes its members at run time."""
    path = ROOT / ("pysrc" if module.startswith("liqshell") else "") / (module.replace(".", "/") + ".pyi")
    compiled = importlib.import_module(module)
    stated = {
        node.name: {item.targets[0].id: ast.literal_eval(item.value) for item in node.body if isinstance(item, ast.Assign)}
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == "IntEnum" for b in node.bases)
    }
    actual = {
        name: {member: int(value) for member, value in found.__members__.items()}
        for name, found in vars(compiled).items()
        if isinstance(found, enum.EnumType) and found.__module__ == module
    }
    assert stated == actual


def test_checkers_see_the_public_api_as_meant(tmp_path):
    done = mypy("mypy", "--strict", "--no-error-summary", "--show-column-numbers", "--no-pretty", str(EXAMPLES), cache=tmp_path)
    faults = [line for line in done.stdout.splitlines() if ": note: Revealed type" not in line]
    assert not faults, done.stdout + done.stderr
    revealed = {int(m[1]): m[2] for m in re.finditer(r'public_api\.py:(\d+):\d+: note: Revealed type is "(.*)"', done.stdout)}
    expected = {n: line.rsplit("  # ", 1)[1] for n, line in enumerate(EXAMPLES.read_text().splitlines(), 1) if re.match(r"\s*reveal_type\(", line)}
    assert len(expected) > 25
    assert {n: revealed.get(n, "").replace("builtins.", "").replace("typing.", "") for n in expected} == expected


@pytest.mark.slow
def test_the_shell_passes_mypy(tmp_path):
    """With the settings of pyproject.toml."""
    done = mypy(
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        str(ROOT / "pysrc" / "liqshell"),
        str(ROOT / "liqcore" / "__init__.py"),
        str(ROOT / "liqcore" / "codec" / "shape.py"),
        cache=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
