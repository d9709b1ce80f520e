"""How every snapshot is wrapped: a name with its version, parts with their lengths, and a checksum over all of it."""

from collections.abc import Sequence
from zlib import crc32

WORD = 8        # bytes of a length, and of the checksum at the end
SMALL = 1 << 16 # bytes that are copied a second time rather than summed piece by piece


def pack(name: bytes, parts: list[bytes]) -> bytes:
    """The parts of one snapshot as bytes; unpack() gives them back."""
    pieces = [name]
    for part in parts:
        pieces += len(part).to_bytes(WORD, "little"), part
    if sum(map(len, parts)) < SMALL:
        whole = b"".join(pieces)
        return whole + crc32(whole).to_bytes(WORD, "little")
    check = 0
    for piece in pieces:
        check = crc32(piece, check)
    return b"".join((*pieces, check.to_bytes(WORD, "little")))       # written once


def unpack(name: bytes, data: bytes, what: str) -> list[bytes]:
    """The parts of a snapshot made by pack() under the same name; ValueError, saying what it was for, where anything is missing or damaged."""
    if not data.startswith(name):
        raise ValueError(f"{what} snapshot: not one, or of another version of liqcore: it starts with {data[:len(name)]!r}, expected {name!r}")
    end = len(data) - WORD
    if end < len(name) or crc32(data[:end]) != int.from_bytes(data[end:], "little"):
        raise ValueError(f"{what} snapshot: truncated or damaged ({len(data)} bytes, the checksum does not fit); take it from another copy")
    parts, at = [], len(name)
    while at < end:
        size = int.from_bytes(data[at:at + WORD], "little")
        parts.append(data[at + WORD:at + WORD + size])
        at += WORD + size
    return parts


def fitting(name: bytes, data: bytes, what: str, settings: object, sizes: Sequence[int | None]) -> list[bytes]:
    """The parts behind the first one, which is the repr of the settings that it was made with. sizes: bytes of each, None = it checks itself.
    ValueError for other settings or other parts, and for whatever unpack() refuses."""
    first, *parts = unpack(name, data, what) or [b""]
    if first != repr(settings).encode():
        raise ValueError(f"{what} snapshot: of other settings ({first.decode(errors='replace')}); these are {settings!r}")
    if len(parts) != len(sizes) or any(size not in (None, len(part)) for part, size in zip(parts, sizes, strict=True)):
        raise ValueError(f"{what} snapshot: of another version of liqcore")
    return parts


def same_first(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> int:
    """How many instruments a record of trades was made with; ValueError unless they are our first ones, on the same grid of ticks and lots. What the
    venue allows (smallest and largest quantity) may have changed; what a tick is worth may not, because the record counts in ticks."""
    for n, old in enumerate(theirs):
        found = ours[n] if n < len(ours) else {}
        for key in ("venue", "symbol", "tick_size", "lot_size", "multiplier"):
            if found.get(key) != old.get(key):
                raise ValueError(f"trade snapshot: instrument {n} was {old['symbol']} with {key} {old.get(key)!r}, is "
                                 f"{found.get('symbol', 'missing')} with {found.get(key)!r}: order ids and prices would mean something else. Keep "
                                 "the order of the instruments and add new ones at the end; or close what is open by hand and begin with a new "
                                 "state folder")
    return len(theirs)
