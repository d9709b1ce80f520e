"""Mutated frames through both ways of decoding: nothing raises, nothing is written behind the room, and what scan takes equals the general path.

The campaign (tests/support/campaigns.py) takes 3 s where nobody says how long.
"""

import json
import os
import random

import numpy as np
import orjson
import pytest

from campaigns import cases, seed
from liqcore.event import EVENT_DTYPE
from liqshell.venues.bybit.decoder import FrameKind, PublicDecoder

SEED = seed()
SYMBOLS = ["BTCUSDT", "ROSEUSDT", "1000PEPEUSDT", "A", "LONGESTSYMBOLOFTHIRTYONECHARSXX"]
ROOM = 32
CANARY = 0xA5
HUGE = [
    b"9" * 400,
    b"1e309",
    b"-0",
    b"-1",
    b"0.0",
    b"18446744073709551616",
    b"9007199254740993",
    b"1" + b"0" * 30,
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b"\\u0000",
    b"\\",
    b"\xff",
    b"\xc3\xa9",
    b"0.30000000000000004",
    b"00",
    b"1.",
    b".1",
    b"+1",
]


def seeds(rng: random.Random) -> list[bytes]:
    """Well-formed frames of every kind, with one to 40 rows."""
    frames = []
    for name in SYMBOLS:
        for count in (1, 2, 5, 40):
            rows = [
                {"T": 1739502302929 + i, "s": name, "S": rng.choice(["Buy", "Sell"]), "v": str(rng.randrange(1, 10**6)), "p": f"{rng.random():.5f}"}
                for i in range(count)
            ]
            frames.append(orjson.dumps({"topic": f"allLiquidation.{name}", "type": "snapshot", "ts": 1739502303204, "data": rows}))
            frames.append(
                orjson.dumps(
                    {
                        "topic": f"publicTrade.{name}",
                        "type": "snapshot",
                        "ts": 1,
                        "data": [{**r, "L": "PlusTick", "i": "2290000001189048101", "BT": False, "RPI": True, "seq": 753843954913} for r in rows],
                    }
                )
            )
        frames.append(
            orjson.dumps(
                {
                    "topic": f"orderbook.1.{name}",
                    "ts": 1,
                    "type": "snapshot",
                    "data": {"s": name, "b": [["28552.00", "0.047"]], "a": [["28552.10", "25.433"]], "u": 7003305, "seq": 50193540681},
                    "cts": 2,
                }
            )
        )
        for kind in ("snapshot", "delta"):
            frames.append(
                orjson.dumps(
                    {
                        "topic": f"tickers.{name}",
                        "type": kind,
                        "data": {
                            "symbol": name,
                            "lastPrice": "65114.30",
                            "markPrice": "65117.44",
                            "openInterest": "59891.732",
                            "fundingRate": "-0.0001",
                            "bid1Price": "",
                        },
                        "cs": 753843900397,
                        "ts": 1786310817583,
                    }
                )
            )
    frames.append(b'{"success":true,"ret_msg":"","conn_id":"x","req_id":"1","op":"subscribe"}')
    frames.append(
        b'{"data":{"price":"0.03803","side":"Buy","size":"1637","symbol":"ROSEUSDT","updatedTime":1673251091822},"topic":"liquidation.ROSEUSDT","ts":1}'
    )
    return frames


def mutate(frame: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """One to four random injuries."""
    out = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(10)
        if kind <= 2 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 3 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind == 4:
            del out[at : at + rng.randrange(1, 20)]
        elif kind == 5:
            out[at:at] = out[at : at + rng.randrange(1, 60)]
        elif kind == 6:
            other = rng.choice(others)
            cut = rng.randrange(len(other))
            out[at : at + rng.randrange(40)] = other[cut : cut + rng.randrange(80)]
        elif kind == 7:
            out[at : at + rng.randrange(8)] = rng.choice(HUGE)
        elif kind == 8:
            del out[at:]
        else:
            out[at:at] = rng.choice((b"[" * 40, b"{" * 40, b'{"topic":', bytes(rng.randrange(64)), b'"', b",", b"}", b"]"))
    return bytes(out)


class Room:
    """An output array between canaries."""

    def __init__(self):
        self.memory = np.full((ROOM + 64) * EVENT_DTYPE.itemsize, CANARY, "u1")
        self.out = self.memory[32 * 64 : (32 + ROOM) * 64].view(EVENT_DTYPE)

    def intact(self) -> bool:
        return bool((self.memory[: 32 * 64] == CANARY).all() and (self.memory[(32 + ROOM) * 64 :] == CANARY).all())


def says_twice(frame: bytes) -> bool:
    """Whether an object of the frame has a name twice. JSON does not say which counts: the scan takes the first, orjson the last; no venue sends one."""
    found = []

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found.append(len(dict(pairs)) < len(pairs))
        return dict(pairs)

    json.loads(frame, object_pairs_hook=members)
    return any(found)


def check(decoder: PublicDecoder, frame: bytes, room: Room) -> bool:
    """One frame through both ways. True where scan took it."""
    before = decoder.carried.tobytes()
    count = decoder.scan.decode(frame, 7, room.out)
    assert -2 <= count <= ROOM, (count, frame)
    if count < 0:
        assert decoder.carried.tobytes() == before, frame
        result = decoder.read(frame, 7)
        assert result.kind != FrameKind.MALFORMED or result.reason, frame
        return False
    taken, after = room.out[:count].tolist(), decoder.carried.tobytes()
    decoder.carried[:] = np.frombuffer(before, EVENT_DTYPE)
    result = decoder.read(frame, 7)
    if repr(result.events) != repr(taken) and says_twice(frame):
        return True
    assert result.kind == FrameKind.EVENTS and repr(result.events) == repr(taken), (frame, result, taken)
    assert decoder.carried.tobytes() == after, frame
    return True


@pytest.mark.campaign
def test_campaign():
    rng = random.Random(SEED)
    decoder, room = PublicDecoder(SYMBOLS), Room()
    good = seeds(rng)
    frames = taken = 0
    for _ in cases(3.0, gate=1600):
        for _ in range(500):
            base = rng.choice(good)
            if rng.random() < 0.2:
                check(decoder, base, room)  # so that layouts are there to be confused
            taken += check(decoder, mutate(base, good, rng), room)
            frames += 1
        assert room.intact(), f"seed={SEED} frames={frames}: a byte outside the output array was written"
    print(f"campaign: seed={SEED} frames={frames} taken_by_scan={taken}")
    assert taken > 0 and frames >= 500


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0",
        b"\0" * 31,
        b"\0" * 64,
        bytes(range(256)),
        b"{" * 10_000_000,
        b"[" * 10_000_000,
        b'{"topic":"allLiquidation.BTCUSDT","data":' + b"[" * 100_000,
        b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":' + b"9" * 1_000_000 + b"}",
        b'{"topic":"allLiquidation.' + b"A" * 10_000_000,
        b'{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"i":"' + b"a" * 2_000_000,
        b" " * 10_000_000,
        b'{"topic":"tickers.A","type":"delta","data":{"symbol":"A","lastPrice":"' + b"\\" * 100,
        os.urandom(100_000),
    ],
    ids=range(14),
)
def test_monsters(frame):
    decoder, room = PublicDecoder(SYMBOLS), Room()
    assert not check(decoder, frame, room)
    assert decoder.read(frame, 7).kind == FrameKind.MALFORMED
    assert room.intact()


def test_large_frame_that_is_good():
    """2 MB of well-formed rows: more than the general path accepts, and more than there is room for."""
    row = b'{"T":1739502302929,"s":"BTCUSDT","S":"Buy","v":"1","p":"2"}'
    frame = b'{"topic":"allLiquidation.BTCUSDT","type":"snapshot","ts":1,"data":[' + b",".join([row] * 40_000) + b"]}"
    decoder, room = PublicDecoder(SYMBOLS), Room()
    for _ in range(2):
        assert decoder.scan.decode(frame, 7, room.out) == -2
        assert room.intact()
        assert decoder.scan.decode(frame, 7, np.zeros(40_000, EVENT_DTYPE)) == 40_000
    assert decoder.read(frame, 7).reason == "too large"


@pytest.mark.parametrize("size", range(1, 140))
def test_frames_at_the_edge_of_their_memory(size):
    """Frames as slices that end where their buffer ends: with the sanitizer build a read behind the end is an error."""
    decoder, room = PublicDecoder(SYMBOLS), Room()
    whole = b'{"topic":"allLiquidation.A","type":"snapshot","ts":1,"data":[{"T":1,"s":"A","S":"Buy","v":"1","p":"2"}]}'
    for _ in range(2):
        assert decoder.scan.decode(bytearray(whole), 7, room.out) == 1
        decoder.scan.decode(np.frombuffer(whole * 2, "u1")[:size].copy(), 7, room.out)
    assert room.intact()
