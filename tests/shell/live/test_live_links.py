"""The websockets of the account when the venue does not answer: what is swallowed on the way is given up and tried again."""

import asyncio
import ssl

import pytest

from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.live import Session, channel, stream
from liqshell.live.channel import Link
from liqshell.transport import Endpoint
from liqshell.venues.effects import Channel


async def listen(answer):
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_connection_that_is_swallowed_is_given_up_and_tried_again(monkeypatch, scheme):
    """TCP stands and nothing follows; TLS alone would have waited for a minute."""
    monkeypatch.setattr(channel, "CONNECT_S", 0.2)
    monkeypatch.setattr(channel, "RECONNECT_S", (0.01, 0.02))
    tries = []

    async def answer(reader, writer):
        tries.append(writer)

    async def main():
        server, port = await listen(answer)
        link = Link(Channel.PRIVATE, Endpoint(f"{scheme}://127.0.0.1:{port}", ssl.create_default_context()), lambda *_: None, lambda *_: None)
        link.connect()
        run = asyncio.create_task(link.run())
        while len(tries) < 3:
            await asyncio.sleep(0.01)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        for writer in tries:
            writer.close()
        server.close()

    asyncio.run(asyncio.wait_for(main(), 10.0))


def test_the_end_does_not_wait_for_a_feed_that_is_being_connected(tmp_path, monkeypatch):
    """Ten seconds without a heartbeat: the watchdog came to rescue a process that was ending in good order."""
    monkeypatch.setattr(stream, "CONNECT_TIMEOUT_S", 1000.0)

    async def main():
        taken = []
        silent, port = await listen(lambda reader, writer: taken.append(writer))
        async with await serve(Config(seed=1, speed=60.0, lead_s=0.1)) as emulator:
            session = Session(
                loads(f'[run]\nname = "test"\n[feed]\nrest = "{emulator.rest}"\nws = "wss://127.0.0.1:{port}"\nsymbols = ["ETHUSDT"]\n'),
                tmp_path / "run",
                emulator.clock,
            )
            asyncio.get_running_loop().call_later(1.0, session.stop)
            manifest = await asyncio.wait_for(session.run(), 40.0)  # TLS alone waits for a minute
        for writer in taken:
            writer.close()
        silent.close()
        return manifest

    assert asyncio.run(main())["counters"]["frames"] == 0
