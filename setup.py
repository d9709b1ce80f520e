"""Build the compiled modules. Everything else is in pyproject.toml.

Environment switches:
  LIQCORE_DEBUG=1      bounds, overflow, None and division checks on, -O1, assertions
  LIQCORE_COVERAGE=1   line tracing for Cython.Coverage (C files beside the sources)
  LIQCORE_SANITIZE=1   address and undefined-behaviour sanitizers (run with LD_PRELOAD=libasan)
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("LIQCORE_DEBUG") == "1"
COVERAGE = os.environ.get("LIQCORE_COVERAGE") == "1"
SANITIZE = os.environ.get("LIQCORE_SANITIZE") == "1"

ROOT = Path(__file__).parent
CORE = sorted(p.stem for p in (ROOT / "liqcore").glob("*.pyx"))
SHELL = sorted(".".join(p.relative_to(ROOT / "pysrc" / "liqshell").with_suffix("").parts) for p in (ROOT / "pysrc" / "liqshell").rglob("*.pyx"))


def flags() -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Compiler flags, linker flags and macros. -ffp-contract=off: all three implementations of a kernel must agree bit for bit."""
    compile_args = ["-O1" if DEBUG or SANITIZE else "-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wno-unused-function"]
    link_args, macros = [], []
    if DEBUG or SANITIZE or COVERAGE:
        compile_args += ["-g", "-UNDEBUG"]
    if SANITIZE:
        compile_args += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
        link_args += ["-fsanitize=address,undefined"]
    if COVERAGE:
        macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    return compile_args, link_args, macros


def extension(module: str, source: str) -> Extension:
    compile_args, link_args, macros = flags()
    return Extension(module, [source], include_dirs=["liqcore"], extra_compile_args=compile_args,
                     extra_link_args=link_args, define_macros=macros, depends=sorted(map(str, Path("liqcore").glob("*.h"))))


CHECKS = DEBUG or SANITIZE
setup(
    ext_modules=cythonize(
        [extension(f"liqcore.{name}", f"liqcore/{name}.pyx") for name in CORE]
        + [extension(f"liqshell.{name}", f"pysrc/liqshell/{name.replace('.', '/')}.pyx") for name in SHELL],
        build_dir=None if COVERAGE else "build/cython",
        include_path=["."],
        nthreads=int(os.environ.get("LIQCORE_BUILD_JOBS", os.cpu_count() or 1)),
        compiler_directives={
            "language_level": 3, "boundscheck": CHECKS, "wraparound": False, "cdivision": not CHECKS,
            "initializedcheck": CHECKS, "overflowcheck": False,
            "embedsignature": True, "auto_pickle": False, "linetrace": COVERAGE,
        },
    ),
)
