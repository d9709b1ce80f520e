"""The learnt state of the market as one file: detectors, features with their maps and ranks, the memory of policies, and the place in the recording.
It is taken during a run and at its end; a new engine of the same configuration begins with it.

    learnt = take(engine, venues, head)         # of a running engine
    raw = learnt.encode()                       # bytes for a file or a recording
    learnt = decode(raw, "runs/learnt/eth.bin")
    learnt.fit(policies, engine)                # DataError that names what differs
    learnt.apply(engine)                        # a new engine: brackets, account and limits stay its own

Orders, positions and limits are not learnt: they are in the state image of an account (image.pyx), or begin anew on paper.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import liqcore as lc
from liqcore.engine import SNAPSHOT_NAME
from liqcore.event import reads_abi
from liqcore.snapshot import pack, unpack
from liqshell import private
from liqshell.errors import DataError
from liqshell.input_file import content

NAME = b"liqcore-learnt-1\n"
# Engine.snapshot() in parts: identity, clock, sequence of the audit, market, slots, side checks, account, risk, features, answers, detectors
CLOCK, SLOTS, ACCOUNT, RISK, ANSWERS, DETECTORS = 1, 4, 6, 7, 9, 10
OWN = (0, 2, SLOTS, ACCOUNT, RISK)  # of the engine that goes on
NOW_BYTES = 8  # the clock's first field; what it counts belongs to each engine
INSTRUMENT = ("venue", "symbol", "tick_size", "lot_size", "multiplier", "completeness")  # what is learnt is counted in these
Venues = Mapping[str, tuple[int, bytes]]  # by venue: receipt of the last frame with events (ns, 0 = none), and the ticker values carried on


@dataclass(frozen=True)
class Learnt:
    """head: plain values: version, abi, since_ns and until_ns (first and last event learnt from), holes (spans in between without data), known_ns (by
    contract and detector: since when its threshold is known), run, mark, ended (the folder and the place of its recording that it was taken at;
    ended: that recording has nothing more), policies. engine: its snapshot. venues: the decoders at that place."""

    head: dict[str, Any]
    engine: bytes
    venues: Venues

    def encode(self) -> bytes:
        """As bytes with a checksum."""
        venues = {name: [last, carried.hex()] for name, (last, carried) in self.venues.items()}
        plain = [json.dumps(one, sort_keys=True).encode() for one in (self.head, venues)]
        return pack(NAME, [*plain, zlib.compress(self.engine, 1)])

    @property
    def until_ns(self) -> int:
        return int(self.head["until_ns"])

    @property
    def identity(self) -> dict[str, Any]:
        """The parameters of the engine."""
        found: dict[str, Any] = json.loads(unpack(SNAPSHOT_NAME, self.engine, "engine")[0])
        return found

    def progress(self) -> list[dict[str, Any]]:
        """Of each contract and cascade detector: liquidations seen of those wanted before any can be large (both at most the window), and since when
        its threshold is known (ns, None = not yet). Other kinds of detectors have no such count."""
        parts, identity = unpack(SNAPSHOT_NAME, self.engine, "engine"), self.identity
        contracts = [f"{i['venue']}:{i['symbol']}" if i.get("venue") else str(i["symbol"]) for i in identity["instruments"]]
        out = []
        for k, stated in enumerate(identity["detectors"]):
            for n, contract in enumerate(contracts if stated["kind"] == "cascade" else ()):
                part = parts[DETECTORS + 2 + k * len(contracts) + n]  # behind what the set itself keeps
                values = lc.RollingQuantile(stated["quantile"], stated["window_events"])
                values.restore(unpack(part[: part.index(b"\n") + 1], part, "cascade")[1])
                out.append(
                    {
                        "contract": contract,
                        "detector": stated["name"],
                        "seen": min(values.count, stated["warmup"]),
                        "wanted": stated["warmup"],
                        "known_ns": self.head.get("known_ns", {}).get(contract, {}).get(stated["name"]),
                    }
                )
        return out

    def fit(self, policies: Any, engine: lc.Engine, where: str = "learnt state") -> None:
        """DataError, with the first thing that differs, unless `engine` and its policies are configured as those that it was taken of."""
        try:
            ours = json.loads(unpack(SNAPSHOT_NAME, engine.snapshot(), "engine")[0])
            theirs = self.identity
        except ValueError as why:
            raise _damaged(where, str(why)) from None
        found = _difference(_compared(theirs, self.head["policies"]), _compared(ours, policies))
        if found:
            raise DataError(
                where,
                f"its configuration differs from that of this run: {found}",
                "the configuration of this run",
                "The run learns from recordings of earlier runs, or begins cold",
            )

    def apply(self, engine: lc.Engine, where: str = "learnt state") -> None:
        """Into an engine of the same configuration that has seen nothing; DataError, and nothing changed, where it is of another one or damaged."""
        try:
            own = unpack(SNAPSHOT_NAME, engine.snapshot(), "engine")
            parts = unpack(SNAPSHOT_NAME, self.engine, "engine")
            if len(parts) != len(own):
                raise ValueError("from other detectors or instruments")
            merged = [own[n] if n in OWN else part for n, part in enumerate(parts)]
            merged[CLOCK] = parts[CLOCK][:NOW_BYTES] + own[CLOCK][NOW_BYTES:]
            engine.restore(pack(SNAPSHOT_NAME, merged))
        except ValueError as why:
            raise _damaged(where, str(why)) from None

    def ask_again(self, engine: lc.Engine) -> None:
        """After trade_restore(), which drops all pending decisions: policies that answered Later are asked again. Nothing else waits in a state
        that has been closed (warm.Warmer)."""
        parts = unpack(SNAPSHOT_NAME, engine.snapshot(), "engine")
        parts[ANSWERS] = unpack(SNAPSHOT_NAME, self.engine, "engine")[ANSWERS]
        engine.restore(pack(SNAPSHOT_NAME, parts))


def take(engine: lc.Engine, venues: Venues, head: Mapping[str, Any]) -> Learnt:
    """The learnt state of a running engine. RuntimeError while its requests have not been taken."""
    return Learnt({"version": lc.__version__, "abi": lc.abi_version(), **head}, engine.snapshot(), dict(venues))


def decode(raw: bytes, where: str) -> Learnt:
    """DataError unless it is what encode() gave, of this version of liqcore."""
    try:
        head, venues, engine = unpack(NAME, raw, "learnt")
        found = Learnt(
            json.loads(head), zlib.decompress(engine), {name: (int(last), bytes.fromhex(text)) for name, (last, text) in json.loads(venues).items()}
        )
        unpack(SNAPSHOT_NAME, found.engine, "engine")
        stated = found.head["abi"], int(found.head["since_ns"]), found.until_ns, found.head["policies"], found.head["run"]
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as why:
        raise _damaged(where, str(why)) from None
    if not reads_abi(stated[0]):
        raise DataError(
            where,
            f"of another version of liqcore (struct version {stated[0]!r})",
            f"struct version {lc.abi_version()}",
            "The run learns from recordings of earlier runs, or begins cold",
        )
    return found


def load(path: Path) -> Learnt | None:
    """None where there is no file; DataError where it cannot be read or is damaged."""
    try:
        raw = content(path)
    except FileNotFoundError:
        return None
    except OSError as why:
        raise DataError(str(path), f"cannot be read: {why.strerror or why}", "the file of a run") from None
    return decode(raw, str(path))


def save(path: Path, raw: bytes) -> None:
    """Whole or not at all, and on the disk. OSError where it cannot be written."""
    private.folder(path.parent)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")  # two runs of one name may write it at once: the later one stays
    with private.opened(draft, "wb") as out:
        out.write(raw)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)


def learnt_file(out: str | Path, name: str) -> Path:
    """Where a configuration keeps what it learns: [run] out / learnt / name.bin."""
    return Path(out) / "learnt" / f"{name}.bin"


def _damaged(where: str, why: str) -> DataError:
    return DataError(
        where,
        f"incomplete, or of another version of liqcore: {why}",
        "the file of a run of this version",
        "The run learns from recordings of earlier runs, or begins cold",
    )


def _compared(identity: Mapping[str, Any], policies: Any) -> dict[str, Any]:
    """What must be the same: everything but patience, which is about the network, and what the venue allows, which changes by the day."""
    instruments = {f"{i.get('venue')}:{i['symbol']}": {key: i.get(key) for key in INSTRUMENT} for i in identity["instruments"]}
    detectors = {one["name"]: one for one in identity["detectors"]}
    rest = {key: value for key, value in identity.items() if key not in ("patience", "instruments", "detectors")}
    # the names in order first: what a detector is called is its place
    return {
        "contracts": list(instruments),
        "detectors": list(detectors),
        "instrument": instruments,
        "detector": detectors,
        **rest,
        "policies": policies,
    }


def _difference(theirs: Any, ours: Any, path: str = "") -> str:
    """The first thing that differs, "" where nothing does."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in [*theirs, *(key for key in ours if key not in theirs)]:
            if found := _difference(theirs.get(key), ours.get(key), f"{path}.{key}" if path else str(key)):
                return found
        return ""
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours) and any(isinstance(one, dict) for one in theirs):
        return next((found for n, (a, b) in enumerate(zip(theirs, ours, strict=True)) if (found := _difference(a, b, f"{path}[{n}]"))), "")
    return "" if theirs == ours else f"{path} was {_shown(theirs)}, is {_shown(ours)}"


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else text[:97] + "..."
