"""Mutated frames of Binance USD-M, OKX and Hyperliquid through both ways of decoding: nothing raises, nothing is written behind the room, a refused frame
changes no carried value, and what a shape takes equals the general path."""

import random

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_fuzz_decode import SEED, Room, mutate, says_twice

from campaigns import cases
from liqcore.event import EVENT_DTYPE
from liqshell.venues.adapters import adapter_of
from liqshell.venues.frames import FrameDecoder, FrameKind
from venue_frames import FRAMES, OKX, SYMBOLS, both

# OKX twice: where an inverse contract is among the symbols, liquidations go by the general path
CASES = {venue: (venue, SYMBOLS[venue], FRAMES[venue]) for venue in FRAMES} | {"okx linear": ("okx", ("BTC-USDT-SWAP", "ETH-USDT-SWAP"), OKX)}


def decoder_of(case: str, first: int = 0) -> FrameDecoder:
    return adapter_of(CASES[case][0]).decoder(CASES[case][1], first)


def details(frame: bytes, count: int) -> bytes:
    """A frame of liquidations with so many details."""
    message = orjson.loads(frame)
    entry = message["data"][0]
    entry["details"] = [
        entry["details"][0] | {"ts": str(1791565600771 + n), "posSide": ("net", "long", "short")[n % 3], "side": ("sell", "sell", "buy")[n % 3]}
        for n in range(count)
    ]
    return orjson.dumps(message)


def seeds(venue: str) -> list[bytes]:
    """Well-formed frames, also with their keys in other orders, with many rows, and wrapped."""
    out = list(CASES[venue][2].values())
    rng = random.Random(SEED)
    if venue.startswith("okx"):
        out += [details(OKX[name], count) for name in ("long", "short") for count in (0, 1, 2, 3, 40)]
    for frame in CASES[venue][2].values():
        message = orjson.loads(frame)
        out.append(orjson.dumps(shuffled(message, rng)))
        rows = message.get("data")
        if isinstance(rows, list):
            out += [orjson.dumps(message | {"data": (rows * 40)[:n]}) for n in (2, 3, 5, 33)]
        if venue == "binance_um":
            out.append(b'{"stream":"btcusdt@x","data":' + frame + b"}")
    if venue == "binance_um":
        out.append(b'{"openInterest":"10659.509","symbol":"BTCUSDT","time":1589437530011}')
    return out


def shuffled(value, rng):
    if isinstance(value, dict):
        items = [(key, shuffled(inner, rng)) for key, inner in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(one, rng) for one in value] if isinstance(value, list) else value


def check(decoder: FrameDecoder, frame: bytes, room: Room) -> bool:
    """One frame by both ways. True where a shape took it."""
    before = decoder.carried.tobytes()
    count = decoder.scan.decode(frame, 7, room.out)
    assert -2 <= count <= len(room.out), (count, frame)
    after = decoder.carried.tobytes()
    assert count >= 0 or after == before, frame
    decoder.carried[:] = np.frombuffer(before, EVENT_DTYPE)
    result = decoder.read(frame, 7)
    assert result.kind != FrameKind.MALFORMED or result.reason, frame
    assert all(len(event) == 12 for event in result.events)
    if count < 0:
        decoder.carried[:] = np.frombuffer(before, EVENT_DTYPE)
        return False
    taken = room.out[:count].tolist()
    if (result.dropped or repr(result.events) != repr(taken)) and says_twice(frame):
        return True
    assert result.kind == FrameKind.EVENTS and not result.dropped and repr(result.events) == repr(taken), (frame, result, taken)
    assert decoder.carried.tobytes() == after, frame
    return True


@pytest.mark.campaign
@pytest.mark.parametrize("venue", CASES)
def test_campaign(venue):
    rng = random.Random(SEED)
    decoder, room, good = decoder_of(venue, 2), Room(), seeds(venue)
    frames = taken = 0
    for _ in cases(3.0, gate=800, share=1 / len(CASES)):
        for _ in range(500):
            base = rng.choice(good)
            if rng.random() < 0.2:
                check(decoder, base, room)  # so that layouts are there to be confused
            taken += check(decoder, mutate(base, good, rng), room)
            frames += 1
        assert room.intact(), f"seed={SEED} frames={frames}: a byte outside the output array was written"
    print(f"campaign {venue}: seed={SEED} frames={frames} taken_by_shape={taken}")
    assert taken > 0


@pytest.mark.parametrize("venue", CASES)
def test_the_order_of_keys_changes_nothing(venue):
    """Whatever the order, and whichever order came before: the same events."""
    rng = random.Random(SEED)
    decoder = decoder_of(venue)
    for _ in range(60):
        for frame in CASES[venue][2].values():
            decoder.forget()
            usual = both(decoder_of(venue), frame)[1].events
            assert both(decoder, orjson.dumps(shuffled(orjson.loads(frame), rng)))[1].events == usual


@pytest.mark.parametrize("venue", CASES)
@given(data=st.data())
def test_prefixes_and_joined_frames(venue, data):
    decoder, room = decoder_of(venue), Room()
    frames = list(CASES[venue][2].values())
    first, second = data.draw(st.sampled_from(frames)), data.draw(st.sampled_from(frames))
    check(decoder, first, room)
    cut = data.draw(st.integers(0, len(first)))
    assert check(decoder, first[:cut], room) <= (cut == len(first))
    assert not check(decoder, first[:cut] + second, room) or cut == 0
    assert not check(decoder, first + second, room) and room.intact()


@pytest.mark.parametrize("venue", CASES)
def test_frames_at_the_edge_of_their_memory(venue):
    """As slices that end where their buffer ends: with the sanitizer build a read behind the end is an error."""
    decoder, room = decoder_of(venue), Room()
    for frame in seeds(venue):
        decoder.scan.decode(np.frombuffer(frame, "u1").copy(), 7, room.out)
        for size in range(max(0, len(frame) - 80), len(frame)):
            decoder.scan.decode(np.frombuffer(frame, "u1")[:size].copy(), 7, room.out)
    assert room.intact()


@pytest.mark.parametrize("stream", [b"", b"a", b"x" * 16, b"x" * 500, b'a\\"b', b"\xc3\xa9", b"\x1f"])
def test_binance_envelopes(stream):
    decoder = adapter_of("binance_um").decoder(SYMBOLS["binance_um"])
    room = Room()
    for inner in (FRAMES["binance_um"]["bought"], b"{}", b"[]", b'{"e":"aggTrade"}'):
        for tail in (b"}", b"", b"} ", b"}}", b"]"):
            check(decoder, b'{"stream":"' + stream + b'","data":' + inner + tail, room)
    assert room.intact()
