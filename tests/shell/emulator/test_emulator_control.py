"""Who may use the emulator's own paths: programs of this machine, no page of a browser that was served from elsewhere."""

import asyncio
from typing import Any

import pytest

from emulator_client import Client, talk
from liqshell.emulator.server.control import objection

PATHS = ("/emulator/status", "/emulator/truth", "/emulator/account", "/emulator/fault")


async def ask(address: str, method: str, path: str, *headers: str, body: str = "") -> tuple[int, str]:
    """(status, body) of a request with exactly these headers."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *headers, "Connection: close", f"Content-Length: {len(body)}", "", body]).encode())
    answer = (await asyncio.wait_for(reader.read(), 10.0)).decode(errors="replace")
    writer.close()
    head, _, text = answer.partition("\r\n\r\n")
    return int(head.split()[1]), text


def test_a_rebinding_host_and_a_foreign_origin_are_refused() -> None:
    """A page that resolves its own name to this machine sends its name; a page that posts across origins sends where it is from."""

    async def conversation(client: Client) -> None:
        line: Any = client.emulator.ready()
        own = line["rest"].removeprefix("http://")
        port = own.rpartition(":")[2]
        fault = '{"kind": "drop"}'
        foreign: tuple[tuple[str, ...], ...] = (
            ("Host: attacker.example",),
            (f"Host: attacker.example:{port}",),
            (f"Host: 127.0.0.1.attacker.example:{port}",),
            (f"Host: 192.168.1.4:{port}",),
            (f"Host: {own}", "Origin: http://attacker.example"),
            (f"Host: {own}", "Origin: null"),
            (f"Host: {own}", "Origin: http://127.0.0.1:1"),
            (f"Host: {own}", "Origin: file://"),
            (f"Host: {own}", "Origin: http://[bad"),
            ("Host: ",),
        )
        for path in PATHS:
            method = "POST" if path.endswith("fault") else "GET"
            for headers in foreign:
                status, text = await ask(line["rest"], method, path, *headers, body=fault if method == "POST" else "")
                assert status == 403 and ("Host" in text or "Origin" in text), (path, headers, status)
            encoded = path.replace("e", "%65", 1)
            assert (await ask(line["rest"], method, encoded, "Host: attacker.example"))[0] == 403
        assert (await ask(line["venues"]["okx"]["rest"], "GET", "/emulator/status", "Host: attacker.example"))[0] == 403
        assert client.emulator.faults.fired == [] and not client.emulator.faults.struck  # nothing was broken by them
        for headers in ((f"Host: {own}",), (f"Host: localhost:{port}",), (f"Host: {own}", f"Origin: http://{own}")):
            assert (await ask(line["rest"], "GET", "/emulator/status", *headers))[0] == 200
        assert (await ask(line["rest"], "POST", "/emulator/fault", f"Host: {own}", body=fault))[0] == 200
        # the venue's own paths are the venue's: no name of it is checked
        assert (await ask(line["rest"], "GET", "/v5/market/time", "Host: api.example", "Origin: http://attacker.example"))[0] == 200

    talk(conversation, venues=("bybit", "okx"))


@pytest.mark.parametrize(
    ("host", "origin", "fine"),
    [
        ("127.0.0.1:8080", None, True),
        ("[::1]:8080", None, True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("LOCALHOST:80", "http://localhost:80", True),
        ("127.9.9.9", None, True),
        ("[::2]:8080", None, False),
        ("localhost.example:80", None, False),
        (None, None, False),
        ("127.0.0.1:8080", "", False),
        ("127.0.0.1:8080", "https://127.0.0.1:8081", False),
        ("user@attacker.example", None, False),
        ("127.0.0.1@attacker.example", None, False),
    ],
)
def test_hosts_and_origins(host: str | None, origin: str | None, fine: bool) -> None:
    assert (objection(host, origin) == "") is fine
