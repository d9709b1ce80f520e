"""The emulated market's pace on a busy machine: a test waits for what happens in minutes of the market, which pass whether or not this process runs.

Slower, the same minutes leave as much processor time for each as on a quiet machine. Results do not depend on the pace.
"""

import os
from dataclasses import replace

from liqshell.emulator import server

QUIET = 2.5  # processes that run or wait for a core, a core: as many as this suite has by itself
start = server.serve


def slowness() -> float:
    """How many times less processor time there is for this process than in a run of this suite alone. At least 1."""
    return max(1.0, os.getloadavg()[0] / (QUIET * (os.cpu_count() or 1)))


async def serve(config=None, feed=None):
    config = config or server.Config()
    return await start(replace(config, speed=config.speed / slowness()), feed)


server.serve = serve  # before the test modules import it
