"""Build the compiled modules. Everything else is in pyproject.toml.

Environment switches:
  LIQCORE_DEBUG=1      bounds, overflow, None and division checks on, -O1, assertions
  LIQCORE_COVERAGE=1   line tracing for Cython.Coverage (C files beside the sources)
  LIQCORE_SANITIZE=1   address and undefined-behaviour sanitizers (run with LD_PRELOAD=libasan)
  LIQCORE_BUILD_JOBS=N modules that are translated and compiled at once (default: one for each processor)
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("LIQCORE_DEBUG") == "1"
COVERAGE = os.environ.get("LIQCORE_COVERAGE") == "1"
SANITIZE = os.environ.get("LIQCORE_SANITIZE") == "1"

JOBS = int(os.environ.get("LIQCORE_BUILD_JOBS", os.cpu_count() or 1))

PACKAGES = {"liqcore": "liqcore", "liqshell": "pysrc/liqshell"}
SHARED = "liqcore._cython"  # what Cython puts into every module that uses it (typed memoryviews, mostly), once
#: what runs once, or once an order, and not once an event: -O2 makes it smaller. The rest has budgets of instructions, which -O2 breaks
COLD = {
    SHARED,
    "liqshell.run.dispatch",
    "liqshell.state.image",
    "liqshell.state.image_file",
    *(
        f"liqcore.{name}"
        for name in (
            "argument",
            "audit",
            "bracket_spec",
            "detectors.python_detector",
            "event",
            "execution.trade_snapshot",
            "features.state",
            "instrument",
            "policy",
            "request",
            "simulation.latency",
            "simulation.tape",
            "snapshot",
            "timetable",
        )
    ),
}


def flags(module: str) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Compiler flags, linker flags and macros. -ffp-contract=off: all three implementations of a kernel must agree bit for bit."""
    level = "-O1" if DEBUG or SANITIZE else "-O2" if module in COLD else "-O3"
    compile_args = [level, "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wno-unused-function"]
    link_args, macros = [], []
    if DEBUG or SANITIZE or COVERAGE:
        compile_args += ["-g", "-UNDEBUG"]
    else:
        compile_args += ["-g0"]  # Python's own flags ask for -g, which doubles the size and nobody reads
        if sys.platform == "linux":
            link_args += ["-Wl,-s"]  # nor names that only a debugger asks for
    if SANITIZE:
        compile_args += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
        link_args += ["-fsanitize=address,undefined"]
    if COVERAGE:
        macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    return compile_args, link_args, macros


def extension(module: str, *sources: Path) -> Extension:
    compile_args, link_args, macros = flags(module)
    return Extension(
        module,
        list(map(str, sources)),
        include_dirs=["liqcore"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
        define_macros=macros,
        depends=sorted(map(str, Path("liqcore").rglob("*.h"))),
    )


def extensions() -> list[Extension]:
    found = [
        (".".join((package, *path.relative_to(folder).with_suffix("").parts)), path)
        for package, folder in PACKAGES.items()
        for path in sorted(Path(folder).rglob("*.pyx"))
    ]
    return [extension(SHARED), *(extension(module, path) for module, path in found)]


CHECKS = DEBUG or SANITIZE
setup(
    ext_modules=cythonize(
        extensions(),
        shared_utility_qualified_name=SHARED,
        build_dir=None if COVERAGE else "build/cython",
        include_path=["."],
        nthreads=JOBS,
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKS,
            "wraparound": False,
            "cdivision": not CHECKS,
            "initializedcheck": CHECKS,
            "overflowcheck": False,
            "embedsignature": True,
            "auto_pickle": False,
            "linetrace": COVERAGE,
        },
    ),
    options={"build_ext": {"parallel": JOBS}},
)
