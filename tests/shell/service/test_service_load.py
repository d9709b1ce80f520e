"""A hundred clients that stream from one server: each gets every event, the same bytes; live reads go on meanwhile. On real sockets."""

import asyncio
import json

import pytest

from api_rig import DAY, HOUR, T0, fill, market, served

CLIENTS, EVENTS = 100, 40


@pytest.mark.slow
def test_a_hundred_streams_are_the_same(tmp_path):
    store = fill(tmp_path / "store", market(tmp_path / "0", 0), market(tmp_path / "1", 1))
    with served(store, tmp_path / "state") as (address, token):
        port = int(address.rpartition(":")[2])

        async def ask(path: str, head: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n{head}\r\n".encode())
            return reader, writer

        async def one_stream() -> list[str]:
            reader, writer = await ask(
                "/v1/features/stream?asset=BTC&features=price.last,liquidations.liq_volume@1m&every=1h",
                f"Last-Event-ID: {T0 + DAY - EVENTS // 2 * HOUR}\r\n",
            )
            text = ""
            while text.count("\ndata: ") < EVENTS:
                text += (await asyncio.wait_for(reader.read(1 << 16), 30)).decode()
            writer.close()
            return [line for line in text.splitlines() if line.startswith("data: ")][:EVENTS]

        async def live() -> int:
            found = 0
            for _ in range(50):
                reader, writer = await ask("/v1/features/live?asset=ETH&features=price.last", "Connection: close\r\n")
                body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")[2]
                found += json.loads(body)["features"]["price.last"]["value"] > 0
                writer.close()
            return found

        async def all_of_them():
            return await asyncio.gather(live(), *(one_stream() for _ in range(CLIENTS)))

        reads, *streams = asyncio.run(all_of_them())
    assert reads == 50 and len(streams[0]) == EVENTS and all(one == streams[0] for one in streams)
