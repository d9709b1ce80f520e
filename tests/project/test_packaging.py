"""What is installed: declared dependencies and no others, files that users need, an import that stays small."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def requirement(text: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", text)[0].lower().replace("-", "_")


def third_party(path: Path) -> set[str]:
    """Top-level modules that a file imports, but for the standard library and our own."""
    text = path.read_text()
    if path.suffix == ".py":
        found = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").split(".")[0])
    else:
        text = re.sub(r'"""(?:.|\n)*?"""|#[^\n]*', "", text)
        found = {m.split(".")[0] for m in re.findall(r"^[ \t]*(?:from|c?import)[ \t]+([\w.]+)", text, re.M)}
        found -= {"libc", "libcpp", "cpython", "posix", "cython"}
    return found - set(sys.stdlib_module_names) - {"liqcore", "liqshell", ""}


def runtime_imports() -> dict[str, set[str]]:
    out: dict[str, set[str]] = {}
    for folder in ("liqcore", "pysrc/liqshell"):
        for path in sorted((ROOT / folder).rglob("*.py*")):
            if path.suffix in (".py", ".pyx") and "__pycache__" not in path.parts:
                for module in third_party(path):
                    out.setdefault(module, set()).add(str(path.relative_to(ROOT)))
    return out


def test_every_import_is_a_declared_dependency_and_every_dependency_is_imported():
    declared = {requirement(text) for text in PROJECT["project"]["dependencies"]}
    imported = runtime_imports()
    imported.pop("llvmlite", None)  # comes with numba, which pins it
    # the extra `cluster`: of one file, which says how to install it
    assert imported.pop("ray", set()) == {"pysrc/liqshell/sweep/cluster.py"}
    assert imported.pop("keyring", set()) == {"pysrc/liqshell/vault.py"}
    assert imported.pop("trustme", set()) == {"pysrc/liqshell/emulator/server/tls.py"}
    assert imported.pop("ccxt", set()) == {"pysrc/liqshell/live/ccxt_client.py"}
    assert imported.pop("eth_account", set()) == imported.pop("eth_utils", set()) == {"pysrc/liqshell/venues/polymarket/signing.py"}
    assert {"eth_account", "eth_utils"} == {requirement(text).replace("-", "_") for text in PROJECT["project"]["optional-dependencies"]["binary"]}
    assert imported.pop("fsspec", set()) == {"pysrc/liqshell/store/fetch.py"}
    assert imported.pop("httptools", set()) == {"pysrc/liqshell/service/server.py"}
    assert imported.pop("uvicorn", set()) == {"pysrc/liqshell/service/server.py", "pysrc/liqshell/service/connection.py"}
    assert imported.pop("pandas", set()) == imported.pop("polars", set()) == {"pysrc/liqshell/client.py"}  # only where such a frame is handed in
    assert {"uvicorn", "httptools"} == {requirement(text) for text in PROJECT["project"]["optional-dependencies"]["api"]}
    assert "fsspec" in {requirement(text) for text in PROJECT["project"]["optional-dependencies"]["s3"]}
    assert "ccxt" in {requirement(text) for text in PROJECT["project"]["optional-dependencies"]["ccxt"]}
    assert "trustme" in {requirement(text) for text in PROJECT["project"]["optional-dependencies"]["tls"]}
    assert "keyring" in {requirement(text) for text in PROJECT["project"]["optional-dependencies"]["keyring"]}
    assert "ray" in {requirement(text) for text in PROJECT["project"]["optional-dependencies"]["cluster"]}
    assert not {module: files for module, files in imported.items() if module not in declared}
    assert declared == set(imported)


def test_the_core_needs_numpy_and_for_arrays_numba():
    found = {module: files for module, files in runtime_imports().items() if any(name.startswith("liqcore/") for name in files)}
    assert set(found) == {"numpy", "numba", "llvmlite"}
    assert {name for module in ("numba", "llvmlite") for name in found[module] if name.startswith("liqcore/")} <= {
        name for name in found["numba"] if name.startswith("liqcore/batch/")
    }


def test_every_package_folder_is_packed():
    folders = {
        str(p.parent.relative_to(ROOT)).replace("pysrc/", "").replace("/", ".")
        for top in ("liqcore", "pysrc/liqshell")
        for p in (ROOT / top).rglob("*.py")
        if "__pycache__" not in p.parts
    }
    told = PROJECT["tool"]["setuptools"]["packages"]["find"]
    found = [name for where in told["where"] for name in find_packages(str(ROOT / where), include=told["include"])]
    assert folders == set(found) and len(found) == len(folders)


def test_every_file_that_ships_is_packed():
    """Each file beside the code is covered by a pattern of package-data."""
    tracked = subprocess.run(["git", "ls-files", "liqcore", "pysrc/liqshell"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    missing = []
    for name in tracked.stdout.split():
        package, _, inner = name.removeprefix("pysrc/").partition("/")
        if (
            not name.endswith(".py")
            and not any(Path(name).match(pattern) for pattern in patterns["*"])
            and not any(Path(inner).match(pattern) and inner.count("/") == pattern.count("/") for pattern in patterns.get(package, ()))
        ):
            missing.append(name)
    assert not missing


def test_importing_liqcore_stays_small():
    """Modules beyond NumPy's own: time depends on the machine, their number does not."""
    program = (
        "import sys, numpy; before = set(sys.modules); import liqcore; "
        "print(*sorted(m for m in set(sys.modules) - before if m.split('.')[0] != 'liqcore'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    extra = {name.split(".")[0] for name in done.stdout.split()}
    assert extra <= {"zlib", "cython_runtime"} | {n for n in extra if n.startswith("_cython")}, extra


def test_what_a_live_engine_does_not_need_is_imported_when_it_is_asked_for():
    program = (
        "import sys, liqcore; early = [m for m in sys.modules if m.startswith(('liqcore.simulation.', 'liqcore.guard'))]; "
        "assert not early, early; assert set(liqcore.__all__) <= set(dir(liqcore)); from liqcore import *; import liqcore.simulation.paper as paper; "
        "assert Paper is paper.Paper is liqcore.Paper; missing = [name for name in liqcore.__all__ if not hasattr(liqcore, name)]; "
        "assert not missing and not hasattr(liqcore, 'Papers'), missing"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "liqcore").rglob("*.py")) + sorted((ROOT / "pysrc" / "liqshell").rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_syntax_is_that_of_the_oldest_python(path):
    oldest = tuple(map(int, re.search(r"(\d+)\.(\d+)", PROJECT["project"]["requires-python"]).groups()))
    ast.parse(path.read_text(), feature_version=oldest)


def test_headers_compile_without_wide_instructions(tmp_path):
    """What is left for arm64: no intrinsics of x86, every path in portable C, no warning."""
    import shutil

    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    headers = [str(p.relative_to(ROOT / "liqcore")) for p in (ROOT / "liqcore").rglob("*.h") if "kernel" not in p.name]
    program = tmp_path / "headers.c"
    program.write_text("".join(f'#include "{name}"\n' for name in sorted(headers)) + "int main(void) { return 0; }\n")
    done = subprocess.run(
        [
            compiler,
            "-std=gnu11",
            "-Wall",
            "-Werror",
            "-Wno-unused-function",
            "-DLIQCORE_SCAN_PORTABLE",
            "-I",
            str(ROOT / "liqcore"),
            "-O1",
            "-c",
            str(program),
            "-o",
            str(tmp_path / "headers.o"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    text = "".join((ROOT / "liqcore" / name).read_text() for name in headers)
    guarded = re.sub(r"#if defined\(__SSE2__\).*?#endif|#ifdef SCAN_SSE2.*?(?=#else|#endif)", "", text, flags=re.S)
    assert not re.search(r"immintrin|emmintrin|_mm_\w+|__builtin_ia32", guarded)
