"""Builds what the benches need beside the package: two C programs, and the Cython probe that times kernels without Python around them.

Everything goes to build/benches, named by a hash of its sources and of the package's headers: built once, rebuilt when something changes.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "benches" / "native"
CACHE = ROOT / "build" / "benches"


def environment() -> dict[str, str]:
    """For child processes: this checkout first."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "pysrc"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}


def compiler() -> str:
    found = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if not found:
        raise RuntimeError("benches need a C compiler: install gcc or set CC")
    return found


def _digest(*paths: Path) -> str:
    h = hashlib.sha256(sys.version.encode())
    for path in sorted(paths):
        h.update(path.name.encode() + path.read_bytes())
    return h.hexdigest()[:16]


def program(name: str) -> Path:
    """Compile native/<name>.c; returns the program."""
    source = NATIVE / f"{name}.c"
    target = CACHE / f"{name}-{_digest(source, NATIVE / 'wire.h')}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        _call([compiler(), "-O2", "-Wall", "-o", str(partial), str(source)])
        partial.replace(target)
    return target


def probe(name: str = "probe") -> ModuleType:
    """Compile and import native/<name>.pyx, with the same flags as the package."""
    if name in sys.modules:
        return sys.modules[name]
    core, shell = ROOT / "liqcore", ROOT / "pysrc" / "liqshell"
    sources = [NATIVE / f"{name}.pyx", *core.rglob("*.pxd"), *core.rglob("*.h"), *shell.rglob("*.pxd")]
    folder = CACHE / f"{name}-{_digest(*sources)}"
    target = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _compile_probe(name, folder, target)
    spec = importlib.util.spec_from_file_location(name, target)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _compile_probe(name: str, folder: Path, target: Path) -> None:
    c = folder / f"{name}.c"
    _call(
        [
            sys.executable,
            "-m",
            "cython",
            "-3",
            "-I",
            str(ROOT),
            "-I",
            str(ROOT / "pysrc"),
            "-X",
            "boundscheck=False,wraparound=False,cdivision=True,initializedcheck=False",
            "-o",
            str(c),
            str(NATIVE / f"{name}.pyx"),
        ]
    )
    _call(
        [
            compiler(),
            "-shared",
            "-fPIC",
            "-O3",
            "-ffp-contract=off",
            "-fno-math-errno",
            "-g",
            "-I",
            sysconfig.get_path("include"),
            "-I",
            str(ROOT / "liqcore"),
            "-o",
            str(target) + ".partial",
            str(c),
        ]
    )
    Path(str(target) + ".partial").replace(target)


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    if done.returncode:
        raise RuntimeError(f"benches: {' '.join(command[:4])} ... failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
