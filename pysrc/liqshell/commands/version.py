"""`liqcore version`."""

import json
import platform
import sys
from importlib import metadata
from typing import Annotated

from cyclopts import Parameter

import liqcore


def version(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """Print the versions of liqcore and its dependencies, for a bug report.

    Parameters
    ----------
    as_json
        One JSON object instead of lines.
    """
    found = {"liqcore": liqcore.__version__, "abi": liqcore.abi_version(), "python": platform.python_version(), "platform": platform.platform()}
    for name in ("numpy", "numba", "orjson", "uvloop", "picows", "aiohttp", "cyclopts", "rich"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    if as_json:
        json.dump(found, sys.stdout)
        print()
    else:
        for name, value in found.items():
            print(f"{name:<10}{value}")
    return 0
