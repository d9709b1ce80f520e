"""Busy polling: the loop never sleeps, sockets are read without being woken, and everything else goes on."""

import asyncio
import socket

import picows
import pytest
import uvloop

from liqshell.live.spin import READS, Spin

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def run(main, loop) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


class Echo(picows.WSListener):
    def on_ws_connected(self, transport):
        Echo.transport = transport

    def on_ws_frame(self, transport, frame):
        transport.send(frame.msg_type, frame.get_payload_as_bytes())


class Keep(picows.WSListener):
    def __init__(self):
        self.got = []

    def on_ws_frame(self, transport, frame):
        self.got.append(frame.get_payload_as_bytes())


async def pair():
    server = await picows.ws_create_server(lambda request: Echo(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, client = await picows.ws_connect(Keep, f"ws://127.0.0.1:{port}/")
    return server, transport, client


@LOOPS
def test_a_spinning_loop_delivers_every_frame_once_and_serves_timers(loop):
    async def main():
        server, transport, client = await pair()
        spin = Spin()
        spin.watch(transport)
        spin.start()
        spin.start()  # once is enough
        sent = [b"%d" % n for n in range(200)]
        for text in sent:
            transport.send(picows.WSMsgType.TEXT, text)
            await asyncio.sleep(0)
        for _ in range(1000):
            if len(client.got) == len(sent):
                break
            await asyncio.sleep(0.001)  # a timer: it comes although the loop never sleeps
        spin.forget(transport)
        spin.stop()
        assert client.got == sent
        transport.disconnect()
        server.close()

    run(main, loop)


@LOOPS
def test_the_socket_is_read_between_the_turns_of_the_loop(loop):
    """What the reader does is counted: READS of each watched socket a turn, none after it was forgotten or the spin has stopped."""

    class Transport:
        def __init__(self):
            self.underlying_transport = self
            self.reads = 0
            self.socket, self.peer = socket.socketpair()

        def get_extra_info(self, name):
            return self.socket if name == "socket" else None

        def is_closing(self):
            return False

        def _read_ready(self):
            self.reads += 1

    async def main():
        spin, one, other = Spin(), Transport(), Transport()
        spin.watch(one)
        spin.watch(other)
        spin.watch(object())  # a transport that cannot be read so
        spin.start()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert one.reads == other.reads and one.reads % READS == 0 and one.reads > 0
        spin.forget(other)
        before = other.reads
        await asyncio.sleep(0)
        assert other.reads == before and one.reads > before
        spin.stop()
        await asyncio.sleep(0)
        last = one.reads
        await asyncio.sleep(0.01)
        assert one.reads == last
        one.peer.send(b"x")  # both are the loop's again
        other.peer.send(b"x")
        before = other.reads
        await asyncio.sleep(0.01)
        assert one.reads > last and other.reads > before
        for each in (one, other):
            asyncio.get_running_loop().remove_reader(each.socket)
            each.socket.close()
            each.peer.close()

    run(main, loop)


@LOOPS
def test_a_connection_that_is_given_back_goes_on(loop):
    """Forgotten while it stands (its age), and after the spin has ended: frames and the close arrive by the loop."""

    async def main():
        server, transport, client = await pair()
        spin = Spin()
        spin.start()
        spin.watch(transport)
        for n, change in enumerate((lambda: None, lambda: spin.forget(transport), lambda: spin.watch(transport), spin.stop)):
            change()
            transport.send(picows.WSMsgType.TEXT, b"%d" % n)
            for _ in range(1000):
                if len(client.got) > n:
                    break
                await asyncio.sleep(0.001)
            assert client.got[-1] == b"%d" % n
        transport.disconnect()
        await asyncio.wait_for(transport.wait_disconnected(), 5.0)
        spin.forget(transport)
        server.close()

    run(main, loop)


@LOOPS
@pytest.mark.parametrize("spin", [False, True])
def test_a_lost_connection_is_noticed(spin, loop):
    async def main():
        server, transport, _ = await pair()
        busy = Spin()
        if spin:
            busy.watch(transport)
            busy.start()
        Echo.transport.disconnect(False)
        await asyncio.wait_for(transport.wait_disconnected(), 5.0)
        busy.forget(transport)
        for _ in range(3):
            await asyncio.sleep(0)
        busy.stop()
        server.close()

    run(main, loop)
