"""The websockets of the account when the venue does not answer: what is swallowed on the way is given up and tried again."""

import asyncio
import ssl

import pytest

from liqshell.gateway.effects import Channel
from liqshell.live import channel
from liqshell.live.channel import Link

async def listen(serve):
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_connection_that_is_swallowed_is_given_up_and_tried_again(monkeypatch, scheme):
    """TCP stands and nothing follows; TLS alone would have waited for a minute."""
    monkeypatch.setattr(channel, "CONNECT_S", 0.2)
    monkeypatch.setattr(channel, "RECONNECT_S", (0.01, 0.02))
    tries = []

    async def serve(reader, writer):
        tries.append(writer)

    async def main():
        server, port = await listen(serve)
        link = Link(Channel.PRIVATE, f"{scheme}://127.0.0.1:{port}", ssl.create_default_context(), lambda *_: None, lambda *_: None)
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
