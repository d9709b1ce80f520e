"""The wire: push -> order over loopback, and floods. A C server (native/wire_server.c) pushes and holds the stopwatch; C clients are the
limit."""

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benches import build, rivals, streams
from benches.timing import spread

FRAMES = 4096  # as many as the server takes: event time goes on through a whole round
TIMEOUT_S = 300  # of one trial; more than any one wait of the server, which says what it waited for
GAP_US = 200
NICE = -5  # a little ahead of whatever else runs; where that is not allowed, nothing changes


@dataclass(frozen=True)
class Peer:
    """One client. `client` is 'c_spin', 'c_block', 'c_count', or what client.py knows; share: of the usual number of frames (slow ones take
    fewer)."""

    name: str
    client: str
    loop: str = "uvloop"
    mode: str = "block"
    share: float = 1.0


REACTION = (
    Peer("C busy-poll", "c_spin"),
    Peer("ours, uvloop, spin", "ours", mode="spin"),
    Peer("composite on picows (Python listener), uvloop, spin", "composite", mode="spin"),
    Peer("orjson on websockets, uvloop, spin", "orjson_stack", mode="spin"),
    Peer("ours live (engine, limits, state, recording), uvloop, spin", "ours_live", mode="spin"),
    Peer("C blocking", "c_block"),
    Peer("ours, uvloop", "ours"),
    Peer("ours live (engine, limits, state, recording), uvloop", "ours_live"),
    Peer("ours, asyncio", "ours", loop="asyncio"),
    Peer("composite on picows (Python listener), uvloop", "composite"),
    Peer("orjson on websockets, uvloop", "orjson_stack"),
    Peer("orjson on websockets, asyncio", "orjson_stack", loop="asyncio"),
    Peer("naive: websockets + json + numpy + pybit REST", "naive", loop="asyncio", share=0.2),
)

FLOOD = (
    Peer("C loop", "c_count"),
    Peer("ours, counting only", "ours_count"),
    Peer("ours, scan + kernels", "ours_flood"),
    Peer("picows Python listener", "composite", share=0.3),
    Peer("aiohttp", "aiohttp", share=0.1),
    Peer("websockets, uvloop", "orjson_stack", share=0.05),
    Peer("websockets, asyncio", "orjson_stack", loop="asyncio", share=0.05),
)


class WireError(RuntimeError):
    """A client or the server failed; the text has what it printed."""


def cpus() -> tuple[int, int]:
    """(server, client): different CPUs where there are two, else unpinned."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[1], usable[0]) if len(usable) > 1 else (-1, -1)


def trial(peer: Peer, mode: str, frames: Path, count: int, server: Path, client: Path) -> dict:
    """One server and one client, once. Returns the server's result line."""
    server_cpu, client_cpu = cpus()
    arguments = [mode, str(server_cpu), str(frames), str(count)] + ([str(max(50, count // 10)), str(GAP_US)] if mode == "react" else [])
    with subprocess.Popen([str(server), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_nice) as market:
        port = json.loads(market.stdout.readline())["port"]
        if peer.client.startswith("c_"):
            command = [str(client), peer.client[2:], str(client_cpu), str(port), str(count)]
        else:
            command = [
                sys.executable,
                "-m",
                "benches.client",
                peer.client,
                str(port),
                str(count if mode == "flood" else 0),
                peer.loop,
                peer.mode,
                str(client_cpu),
            ]
        with subprocess.Popen(
            command, cwd=build.ROOT, env=build.environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, preexec_fn=_nice
        ) as bot:
            try:
                out, err = _wait(peer, market, bot)
                _, complaint = bot.communicate(timeout=60)
            except subprocess.TimeoutExpired as e:
                raise WireError(f"{peer.name}: no result within {TIMEOUT_S} s") from e
            finally:
                bot.kill()
                market.kill()
    if market.returncode or not out:
        raise WireError(f"{peer.name}: {err.strip()} {complaint.strip()[-800:]}")
    return json.loads(out)


def _wait(peer: Peer, market: subprocess.Popen, bot: subprocess.Popen) -> tuple[str, str]:
    """What the server printed. A client that dies early ends the trial at once, with its own words."""
    end, ended = time.monotonic() + TIMEOUT_S, False
    while time.monotonic() < end:
        try:
            return market.communicate(timeout=5.0 if ended else 0.25)
        except subprocess.TimeoutExpired:
            if bot.poll() or ended:
                raise WireError(f"{peer.name}: the client ended with status {bot.returncode}: {bot.stderr.read().strip()[-800:]}") from None
            ended = bot.returncode == 0  # as at the end of a trial: the server may be about to print its result
    raise subprocess.TimeoutExpired(peer.name, TIMEOUT_S)


def _nice() -> None:
    with contextlib.suppress(OSError):
        os.nice(NICE)


def interleaved(peers: tuple[Peer, ...], mode: str, key: str, count: int, rounds: int) -> tuple[dict, dict]:
    """All peers in turn, `rounds` times. Returns contestants (every percentile of every round kept) and who was skipped, and why."""
    present, absent = rivals.load()
    server, client = build.program("wire_server"), build.program("wire_client")
    frames = build.CACHE / "frames.jsonl"
    frames.write_bytes(b"\n".join(streams.LiquidationStream().take(FRAMES)) + b"\n")
    results: dict[str, list[dict]] = {}
    skipped: dict[str, str] = {}
    for _ in range(rounds):
        for peer in peers:
            if peer.name in skipped:
                continue
            if not peer.client.startswith(("c_", "ours")) and peer.client not in present:
                skipped[peer.name] = absent.get(peer.client, "no such rival")
                continue
            try:
                results.setdefault(peer.name, []).append(trial(peer, mode, frames, max(50, int(count * peer.share)), server, client))
            except WireError as e:
                skipped[peer.name] = str(e)
                results.pop(peer.name, None)
    return {
        name: {**spread([r[key] for r in rows]), "rounds": rows, "items": rows[0]["count"], "note": ""} for name, rows in results.items()
    }, skipped


def run(quick: bool) -> list[dict]:
    out = []
    for case, title, peers, mode, key, unit, count in (
        (
            "wire.reaction",
            f"Loopback: push of an allLiquidation frame to the order at the server; p50 of each round, {GAP_US} us between frames",
            REACTION,
            "react",
            "p50_us",
            "us",
            300 if quick else 1500,
        ),
        (
            "wire.flood",
            "Loopback flood: allLiquidation x1 frames consumed per second",
            FLOOD,
            "flood",
            "frames_per_s",
            "frames/s",
            200_000 if quick else 1_500_000,
        ),
    ):
        contestants, skipped = interleaved(peers, mode, key, count, 1 if quick else 3)
        out.append({"id": case, "title": title, "unit": unit, "skipped": skipped, "contestants": contestants})
    return out
