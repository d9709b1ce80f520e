"""Faults of the emulated venue, on demand and by script."""

import asyncio
import json
from collections import Counter

import aiohttp
import numpy as np
import pytest

from emulator_client import ALL, SYMBOLS, Client, away, drain, talk, watch_pauses
from liqshell.emulator.api.faults import Fault
from liqshell.emulator.server import Config, serve


def test_drop_and_refuse() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        for fault in ({"kind": "refuse", "duration_s": 1500}, {"kind": "drop"}):  # 3 s, whatever else the machine does
            client.emulator.faults.add(fault)
        client.emulator.wake()
        with pytest.raises(ConnectionError):
            while True:
                await client.next()
        with pytest.raises(aiohttp.ClientError):
            await client.connect()
        while client.emulator.hub.refusing:
            await asyncio.sleep(0.01)
        await client.connect()
        await client.subscribe(ALL)
        assert client.emulator.hub.refused >= 1 and client.emulator.hub.connected == 2

    talk(conversation, speed=500.0)


def test_half_open_is_silent_but_connected() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(ALL)
        async with client.session.post(client.emulator.rest + "/emulator/fault", json={"kind": "half_open", "duration_s": 0}) as response:
            assert response.status == 200
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            while True:  # what was on its way, then silence
                await client.next(timeout=0.4)
        await client.ws.send_str('{"op":"ping"}')
        with pytest.raises(TimeoutError):
            await client.next(timeout=0.2)
        assert not client.ws.closed and client.emulator.hub.connections
        other = await Client(client.session, client.emulator).connect()
        await other.subscribe(ALL)
        assert "topic" in await other.next()  # new connections are well

    talk(conversation)


def test_stall_delivers_late_but_everything() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(["publicTrade.BTCUSDT"])
        await client.next(lambda frame: "topic" in frame)
        client.emulator.faults.add({"kind": "stall", "duration_s": 60})
        client.emulator.wake()
        held = []
        while len(held) < 150:
            frame = await client.next(lambda frame: "topic" in frame)
            held.append((client.emulator.clock.now_ns() / 1e6 - frame["ts"], frame["data"][0]["seq"]))
        assert max(age for age, _ in held) > 30_000  # ms of market time: some were held back long
        assert [seq for _, seq in held] == sorted(seq for _, seq in held)

    talk(conversation, speed=100.0)


@pytest.mark.parametrize("kind", ["duplicate_liquidations", "invert_side", "delay_liquidations", "lose_liquidations"])
def test_faults_of_liquidation_frames(kind: str) -> None:
    def frames(script: tuple[dict, ...]) -> list[dict]:
        out: list[dict] = []

        async def conversation(client: Client) -> None:
            await client.subscribe(["allLiquidation.SOLUSDT", "allLiquidation.BTCUSDT"])
            await drain(client)
            out.extend(frame for frame in client.frames if "topic" in frame)

        talk(conversation, speed=2000.0, hours=0.2, wait_for_client=True, faults=script)
        return out

    lasting = 700 if kind == "delay_liquidations" else 10_000  # what is late at the end of the run is lost; a slow machine sends old frames late
    clean, faulty = frames(()), frames(({"kind": kind, "at_s": 0, "duration_s": lasting, "delay_s": 1, "jitter_s": 20},))

    def key(frame: dict) -> str:
        return json.dumps(frame)

    assert len(clean) > 10
    if kind == "duplicate_liquidations":
        times = Counter(map(key, faulty))
        twice = [frame for frame in faulty if times[key(frame)] == 2]
        last = max(frame["ts"] for frame in twice) - 30_000  # where the run ends, second copies that were still to come are cut off
        assert set(times.values()) <= {1, 2} and all(times[key(frame)] == 2 for frame in faulty if frame["ts"] < last)
        assert len(set(map(key, twice)) & set(map(key, clean))) > 10
    elif kind == "lose_liquidations":
        assert len(faulty) < len(clean)
    elif kind == "delay_liquidations":
        assert sorted(map(key, faulty)) == sorted(map(key, clean)) and faulty != clean
    else:
        swap = {"Buy": "Sell", "Sell": "Buy"}
        assert [[swap[row["S"]] for row in frame["data"]] for frame in faulty if frame["ts"] < clean[0]["ts"] + 400_000] == [
            [row["S"] for row in frame["data"]] for frame in clean if frame["ts"] < clean[0]["ts"] + 400_000
        ]


def test_a_fault_in_the_middle_of_a_cascade() -> None:
    async def conversation(client: Client) -> None:
        pauses: list[tuple[int, int]] = []
        watcher = asyncio.create_task(watch_pauses(client.emulator.clock, pauses))
        await client.subscribe(ALL)
        with pytest.raises(ConnectionError):
            while True:
                await client.next()
        fired = client.emulator.faults.fired[0]
        assert fired["kind"] == "drop"
        await client.emulator.clock.sleep(180.0)  # until the cascade has ended and is in the ground truth
        watcher.cancel()
        at = fired["at_ns"]
        truth = (await client.rest("/emulator/truth"))["cascades"]
        # on a busy machine the fault acts late by as long as this process did not run
        assert any(c["count"] >= 5 and c["start_ns"] <= at <= c["end_ns"] + 2_000_000_000 + away(pauses, c["start_ns"], at) for c in truth)

    talk(conversation, speed=200.0, faults=({"kind": "drop", "on_cascade": 5},))


def test_book_restart() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(["orderbook.1.BTCUSDT"])
        await client.next(lambda frame: "topic" in frame)
        client.emulator.faults.add({"kind": "book_restart"})
        client.emulator.wake()
        assert (await client.next(lambda frame: "topic" in frame and frame["data"]["u"] == 1))["type"] == "snapshot"

    talk(conversation)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def run() -> None:
        config = Config(seed=3, speed=5000.0, symbols=SYMBOLS, parameters={"warmup_hours": 0.1}, buffer_max=100_000)
        async with await serve(config) as emulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port, limit=1024)
            writer.write(
                b"GET /v5/public/linear HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            body = json.dumps({"op": "subscribe", "args": ALL}).encode()
            writer.write(b"\x81\xfe" + len(body).to_bytes(2, "big") + b"\0\0\0\0" + body)
            async with asyncio.timeout(180.0):
                while not emulator.hub.slow_consumers:
                    await asyncio.sleep(0.02)
            assert not emulator.hub.connections or emulator.hub.slow_consumers == 1
            writer.close()

    asyncio.run(run())


def test_bad_faults_and_configurations() -> None:
    for spec, words in (
        ({"kind": "explode"}, "unknown fault"),
        ({"at_s": 1}, "needs a kind"),
        ({"kind": "drop", "when": 1}, "an object"),
        ({"kind": "drop", "at_s": 1, "on_cascade": 2}, "not both"),
        ({"kind": "drop", "at_s": "x"}, "must be a number"),
        ({"kind": "lose_private", "topic": "orders"}, "topic must be one of order, execution"),
        ({"kind": "http_error", "code": 500.5}, "code must be a whole number"),
        ({"kind": "halt", "symbol": 1}, "must be a text"),
    ):
        with pytest.raises(ValueError, match=words):
            Fault.of(spec)
    with pytest.raises(ValueError, match="loopback"):
        Config(host="0.0.0.0")
    with pytest.raises(ValueError, match="hours"):
        Config(hours=0.0)


def test_a_frame_with_many_liquidations_reaches_the_adapter_whole() -> None:
    from liqcore.event import EVENT_DTYPE, Side
    from liqshell.venues.bybit.decoder import PublicDecoder

    async def conversation(client: Client) -> None:
        await client.subscribe(["allLiquidation.SOLUSDT"])
        frame = await client.next(lambda frame: "topic" in frame)
        assert len(frame["data"]) == 200
        found = np.zeros(256, EVENT_DTYPE)
        assert PublicDecoder(("SOLUSDT",)).decode(json.dumps(frame, separators=(",", ":")).encode(), 1, found) == 200
        assert [int(side) for side in found["side"][:200]] == [Side.LONG if row["S"] == "Buy" else Side.SHORT for row in frame["data"]]
        assert [f"{price:g}" for price in found["price"][:200]] == [f"{float(row['p']):g}" for row in frame["data"]]

    talk(conversation, faults=({"kind": "many_liquidations", "rows": 200, "duration_s": 1e6},))


def test_book_gap_and_damaged_public_frames() -> None:
    async def conversation(client: Client) -> None:
        await client.subscribe(["orderbook.1.BTCUSDT"])
        before = (await client.next(lambda frame: "topic" in frame))["data"]["u"]
        client.emulator.faults.add({"kind": "book_gap"})
        client.emulator.wake()
        assert (await client.next(lambda frame: "topic" in frame and frame["data"]["u"] > before + 900))["data"]["u"] < before + 1_500
        client.emulator.faults.add({"kind": "garbage_public", "duration_s": 1e6, "probability": 0.5})
        client.emulator.wake()
        good = bad = 0
        async with asyncio.timeout(120.0):
            while not (good > 20 and bad > 5):
                received = await client.ws.receive()
                try:
                    good += isinstance(json.loads(received.data)["data"]["b"][0][0], str)
                except (ValueError, LookupError, TypeError, UnicodeDecodeError, RecursionError):
                    bad += 1

    talk(conversation)


def test_deeper_books_follow_the_quotes() -> None:
    async def conversation(client: Client) -> None:
        topics = [f"orderbook.{depth}.BTCUSDT" for depth in (50, 200, 1000)]
        await client.subscribe(["orderbook.1.BTCUSDT", *topics])
        books: dict[str, dict[str, dict[str, str]]] = {}
        for _ in range(200):
            frame = await client.next(lambda frame: "topic" in frame)
            topic, data = frame["topic"], frame["data"]
            if topic not in topics:
                continue
            assert (frame["type"] == "snapshot") == (topic not in books)
            book = books.setdefault(topic, {"b": {}, "a": {}, "u": {"u": "0"}})
            assert frame["type"] == "snapshot" or data["u"] == int(book["u"]["u"]) + 1
            book["u"]["u"] = str(data["u"])
            for side in ("b", "a"):
                for price, size in data[side]:
                    if size == "0":
                        del book[side][price]
                    else:
                        book[side][price] = size
                assert len(book[side]) == 1
            assert float(next(iter(book["b"]))) < float(next(iter(book["a"])))
        assert set(books) == set(topics)
        refused = await client.request({"op": "subscribe", "args": ["orderbook.500.BTCUSDT"]})
        assert refused["ret_msg"] == "error:handler not found,topic:orderbook.500.BTCUSDT"

    talk(conversation)
