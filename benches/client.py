"""One websocket client in its own process: python -m benches.client NAME PORT COUNT LOOP MODE CPU

NAME: 'ours', or a rival with a client() role. COUNT 0: answer every frame with an order; else count that many frames and answer once.
LOOP: uvloop or asyncio. MODE: spin (the loop never sleeps) or block. Ends when the server closes the connection.
"""

import asyncio
import contextlib
import importlib
import os
import sys

from benches.spinning import SPIN


def find(name: str):
    if name.startswith("ours"):
        from benches import ours

        return getattr(ours, f"client_{name}")
    return importlib.import_module(f"benches.rivals.{name}").client


async def serve(name: str, port: int, count: int, spin: bool) -> None:
    if spin:
        asyncio.get_running_loop().call_later(0.1, SPIN.start)  # connect first: a spinning loop starves its own resolver threads
    with contextlib.suppress(ConnectionError, EOFError):
        await find(name)(port, count)


def main(arguments: list[str]) -> None:
    name, port, count, loop, mode, cpu = arguments
    if int(cpu) >= 0:
        os.sched_setaffinity(0, {int(cpu)})
    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            runner.run(serve(name, int(port), int(count), mode == "spin"))
        except Exception as e:
            # the server hangs up when it has seen enough; clients of every library say so in their own words
            if "clos" not in f"{type(e).__name__} {e}".lower():
                raise


if __name__ == "__main__":
    main(sys.argv[1:])
