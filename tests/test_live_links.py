"""The ways to the venue when it does not answer: REST calls do not wait for one another, a websocket that is swallowed on the way is tried again."""

import asyncio
import ssl
import time

import pytest

from liqshell.gateway.effects import Call, Channel
from liqshell.live import channel
from liqshell.live.channel import Link
from liqshell.live.rest import Rest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


async def listen(serve):
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_a_cancel_does_not_wait_for_questions_that_are_left_open():
    """Eight did, and the ninth call stood in a queue of our own while the stamp of its signature grew old."""
    hung = []

    async def serve(reader, writer):
        asked = await reader.readuntil(b"\r\n\r\n")
        if b"/slow" in asked:
            hung.append(writer)
            return
        writer.write(OK)
        writer.close()

    async def main():
        server, port = await listen(serve)
        rest = Rest(f"http://127.0.0.1:{port}", None, 5000, None, time.time_ns)
        slow = [asyncio.create_task(rest.call(Call(n, "GET", "/slow", "", "", 20.0))) for n in range(20)]
        while len(hung) < 20:
            await asyncio.sleep(0.005)
        answer = await rest.call(Call(99, "GET", "/fast", "", "", 20.0))
        for task in slow:
            task.cancel()
        await rest.close()
        for writer in hung:
            writer.close()
        server.close()
        return answer

    assert asyncio.run(asyncio.wait_for(main(), 15.0)).status == 200


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
