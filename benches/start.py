"""Start: import times in fresh processes, and what the live process must not import. Figures, row 16."""

import statistics
import subprocess
import sys

from benches import build

SCRIPT = """
import sys, time
import numpy
before = time.perf_counter_ns()
import {module}
print(time.perf_counter_ns() - before, 'numba' in sys.modules)
"""


def run(quick: bool) -> list[dict]:
    out = []
    for module, title in (
        ("liqcore", "import liqcore, after numpy"),
        ("liqshell.run.feed_listener", "import liqshell.run.feed_listener with picows, after numpy"),
    ):
        took, numba = [], False
        for _ in range(3 if quick else 15):
            line = subprocess.run(
                [sys.executable, "-c", SCRIPT.format(module=module)],
                capture_output=True,
                text=True,
                check=True,
                cwd=build.ROOT,
                env=build.environment(),
            ).stdout.split()
            took.append(int(line[0]) / 1e6)
            numba = numba or line[1] == "True"
        out.append(
            {
                "id": f"start.{module}",
                "title": title,
                "unit": "ms",
                "skipped": {},
                "contestants": {
                    "ours": {
                        "min": min(took),
                        "median": statistics.median(took),
                        "max": max(took),
                        "samples": len(took),
                        "items": 1,
                        "note": "imports numba" if numba else "does not import numba",
                    }
                },
            }
        )
    return out
