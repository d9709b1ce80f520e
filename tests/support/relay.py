"""A machine in the middle: it listens where it is told, takes what comes, plaintext or TLS, REST or websocket, and keeps every byte that it could read."""

import base64
import contextlib
import hashlib
import socket
import ssl
import threading

import pytest

ANSWER = b'{"retCode":0,"retMsg":"OK","result":{"list":[],"timeSecond":"1","timeNano":"1"},"time":1}'


def interface() -> str:
    """An address of this machine that is not loopback; the test is skipped where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("198.51.100.1", 9))  # nothing is sent: this only asks which address would be used
        found = probe.getsockname()[0]
        if not found.startswith(("127.", "0.")):
            return str(found)
    pytest.skip("this machine has no address beside loopback: nothing can listen where a signature must not go")


class Relay:
    """context: of TLS, None = plaintext. location: answer every request with a redirect to there. `read`: what was said to it, websocket frames
    unmasked; `taken`: connections that it accepted."""

    def __init__(self, host: str, context: ssl.SSLContext | None = None, location: str = ""):
        self.read, self.taken = bytearray(), 0
        self._context, self._location = context, location
        self._server = socket.create_server((host, 0))
        self.host, self.port = host, self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._server, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(5.0)

    def heard(self, *secrets: str) -> list[str]:
        """Those of the texts that reached it, and its names of headers and fields that only something signed has."""
        return [text for text in (*secrets, "X-BAPI", "x-bapi", "X-MBX", "OK-ACCESS", "signature=", '"auth"') if text.encode() in self.read]

    def _accept(self) -> None:
        while True:
            try:
                one = self._server.accept()[0]
            except OSError:
                return
            self.taken += 1
            line = one if self._context is None else self._context.wrap_socket(one, server_side=True, do_handshake_on_connect=False)
            self._open.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError), line:
            head = b""
            while chunk := line.recv(65_536):
                self.read += chunk
                head += chunk
                if b"\r\n\r\n" in head:
                    fields = {name.strip().lower(): value.strip() for name, _, value in (row.partition(b":") for row in head.split(b"\r\n"))}
                    head = b""
                    if self._location:
                        line.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % self._location.encode())
                    elif b"sec-websocket-key" in fields:
                        made = base64.b64encode(hashlib.sha1(fields[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
                        line.sendall(
                            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
                            % made
                        )
                        self._frames(line)
                    else:
                        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER))

    def _frames(self, line: socket.socket) -> None:
        with line.makefile("rb") as stream:
            while len(start := stream.read(2)) == 2:
                size = start[1] & 127
                if size > 125:
                    size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
                mask = stream.read(4)
                self.read += bytes(byte ^ mask[n % 4] for n, byte in enumerate(stream.read(size)))
