"""Build the compiled modules. Everything else is in pyproject.toml.

Environment switches:
  LIQCORE_DEBUG=1      bounds, overflow, None and division checks on, -O1, assertions
  LIQCORE_COVERAGE=1   line tracing for Cython.Coverage (C files beside the sources)
  LIQCORE_SANITIZE=1   address and undefined-behaviour sanitizers (run with LD_PRELOAD=libasan)
  LIQCORE_BUILD_JOBS=N modules that are translated and compiled at once (default: one for each processor)
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler.AutoDocTransforms import EmbedSignature
from setuptools import Extension, setup

DEBUG = os.environ.get("LIQCORE_DEBUG") == "1"
COVERAGE = os.environ.get("LIQCORE_COVERAGE") == "1"
SANITIZE = os.environ.get("LIQCORE_SANITIZE") == "1"

JOBS = int(os.environ.get("LIQCORE_BUILD_JOBS", os.cpu_count() or 1))

PACKAGES = {"liqcore": "liqcore", "liqshell": "pysrc/liqshell"}


arguments_of = EmbedSignature._fmt_arglist


def with_star_in_place(self, args, npoargs=0, npargs=0, *more, hide_self=False):
    """Cython leaves `self` out of the signature of a class, but counts it where it puts the `*`: one too far to the right."""
    left_out = sum(hide_self and arg.entry.is_self_arg for arg in args)
    return arguments_of(self, args, npoargs, npargs - left_out, *more, hide_self=hide_self)


EmbedSignature._fmt_arglist = with_star_in_place


def flags() -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Compiler flags, linker flags and macros. -ffp-contract=off: all three implementations of a kernel must agree bit for bit."""
    compile_args = ["-O1" if DEBUG or SANITIZE else "-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wno-unused-function"]
    link_args, macros = [], []
    if DEBUG or SANITIZE or COVERAGE:
        compile_args += ["-g", "-UNDEBUG"]
    else:
        compile_args += ["-g0"]          # Python's own flags ask for -g, which doubles the size and nobody reads
    if SANITIZE:
        compile_args += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
        link_args += ["-fsanitize=address,undefined"]
    if COVERAGE:
        macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    return compile_args, link_args, macros


def extension(package: str, folder: Path, source: Path) -> Extension:
    compile_args, link_args, macros = flags()
    module = ".".join((package, *source.relative_to(folder).with_suffix("").parts))
    return Extension(module, [str(source)], include_dirs=["liqcore"], extra_compile_args=compile_args,
                     extra_link_args=link_args, define_macros=macros, depends=sorted(map(str, Path("liqcore").rglob("*.h"))))


CHECKS = DEBUG or SANITIZE
setup(
    ext_modules=cythonize(
        [extension(package, Path(folder), path) for package, folder in PACKAGES.items() for path in sorted(Path(folder).rglob("*.pyx"))],
        build_dir=None if COVERAGE else "build/cython",
        include_path=["."],
        nthreads=JOBS,
        compiler_directives={
            "language_level": 3, "boundscheck": CHECKS, "wraparound": False, "cdivision": not CHECKS,
            "initializedcheck": CHECKS, "overflowcheck": False,
            "embedsignature": True, "auto_pickle": False, "linetrace": COVERAGE,
        },
    ),
    options={"build_ext": {"parallel": JOBS}},
)
