"""The growing folder of a Hyperliquid node as a live feed: what is written enters once, in order, and a folder that rests is noticed."""

import asyncio
import json
from collections import Counter
from datetime import timedelta

import numpy as np
import pytest
from aiohttp import web

import liqcore as lc
from hyperliquid_ledger import START, Ledger, by_block, by_fill
from liqshell.config.load import loads
from liqshell.errors import ConfigError
from liqshell.live import Session
from liqshell.live.node import LEGS_MAX, NodeTail
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.run import replay
from liqshell.run.recorded_events import read_events
from liqshell.venues.frames import FRAME_BYTES_MAX
from liqshell.venues.hyperliquid.decoder import PublicDecoder

COINS = ("BTC", "DOGE", "kPEPE", "xyz:MU")
UP, DOWN = int(lc.FeedState.FEED_UP), int(lc.FeedState.FEED_DOWN)


def hour_file(root, hour, day="20251010", name="node_fills_by_block"):
    path = root / name / "hourly" / day / str(hour)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def append(path, data):
    with path.open("ab") as stream:
        stream.write(data)


def liquidations(frames, coins=COINS):
    """(coin, side, qty, notional) of what the venue's decoder makes of the frames, and what it left out."""
    decoder, out, dropped = PublicDecoder(coins), Counter(), Counter()
    for frame in frames:
        assert len(frame) <= FRAME_BYTES_MAX
        found = decoder.read(frame, 5)
        assert found.kind == 1 and {e[8] for e in found.events} <= {int(lc.Kind.LIQUIDATION), int(lc.Kind.DELEVERAGE)} and len(found.events) <= 4096
        dropped += found.dropped
        out.update((coins[e[7]], e[9], round(e[3], 9), round(e[4], 9)) for e in found.events if e[8] == lc.Kind.LIQUIDATION)
    return out, dropped


def told(ledger):
    return Counter((coin, side, round(float(qty), 9), round(float(n), 9)) for (_, _, coin, side), (qty, n) in ledger.truth.liquidations.items())


@pytest.fixture
def tails():
    """Makes tails that are closed at the end."""
    made = []

    def make(folder, coins=COINS):
        made.append(NodeTail(folder, coins))
        return made[-1]

    yield make
    for tail in made:
        tail.close()


@pytest.mark.parametrize(("by", "name"), [(by_block, "node_fills_by_block"), (by_fill, "node_fills")])
def test_every_liquidation_enters_once_however_the_writes_fall(tmp_path, tails, by, name):
    old, ledger = Ledger(1).run(50), Ledger(2, START + timedelta(hours=1)).run(200)
    append(hour_file(tmp_path, 9, name=name), by(old)[:-30])  # a line that is being written when we come
    tail = tails(tmp_path)
    assert tail.read() == [] and tail.lines == 0
    append(hour_file(tmp_path, 9, name=name), by(old)[-30:])
    tail.read()
    assert tail.lines == 1, "the line that was whole only now"
    rng, frames = np.random.default_rng(3), []
    for hour, blocks in ((9, ledger.blocks[:90]), (10, ledger.blocks[90:])):
        if by is by_block:  # cut anywhere
            data = "".join(block.line() + "\n" for block in blocks).encode()
            cuts = [0, *sorted(rng.integers(0, len(data), 60).tolist()), len(data)]
            writes = [data[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
        else:  # a node writes what is of one block at once
            writes = ["".join(json.dumps(leg) + "\n" for leg in block.events).encode() for block in blocks]
        for data in writes:
            append(hour_file(tmp_path, hour, name=name), data)
            frames += tail.read() + tail.read()
    found, dropped = liquidations(frames)
    assert found == told(ledger) and tail.unread == 0
    assert dropped == {"backstops": len(ledger.truth.backstops)}


def test_only_contracts_of_the_run_and_a_block_that_comes_again_is_left_out(tmp_path, tails):
    ledger = Ledger(4).run(100)
    hour_file(tmp_path, 9).touch()
    tail = tails(tmp_path / "node_fills_by_block", ("BTC",))
    append(hour_file(tmp_path, 9), by_block(ledger) * 2 + b"{broken " + b'"liquidation"\n' + b'[1,"liquidation",3]\n')
    found, _ = liquidations(tail.read(), ("BTC",))
    assert found == Counter({key: n for key, n in told(ledger).items() if key[0] == "BTC"}) and tail.unread == 2


def test_a_file_that_was_begun_anew_is_read_from_its_start(tmp_path, tails):
    file = hour_file(tmp_path, 9)
    append(file, by_block(Ledger(1).run(100)))
    tail = tails(tmp_path)
    ledger = Ledger(2).run(20)
    file.write_bytes(by_block(ledger))
    assert liquidations(tail.read())[0] == told(ledger)


def test_the_block_in_which_a_market_breaks_goes_through_in_frames_that_fit(tmp_path, tails):
    legs = []
    for n in range(6000):
        user = f"0x{n // 3:040x}"
        leg = {
            "coin": "BTC",
            "px": "100",
            "sz": "0.5",
            "side": "A",
            "time": 1_760_130_000_000,
            "dir": "Close Long",
            "crossed": True,
            "tid": n,
            "hash": "0x" + "1" * 64,
            "liquidation": {"liquidatedUser": user, "markPx": "100", "method": "market"},
        }
        legs += [[user, leg], ["0xmaker", leg | {"side": "B", "dir": "Open Long", "crossed": False}]]
    hour_file(tmp_path, 9).touch()
    tail = tails(tmp_path)
    append(hour_file(tmp_path, 9), json.dumps({"local_time": "2025-10-10T21:00:00.5", "block_number": 1, "events": legs}).encode() + b"\n")
    frames = [frame for _ in range(8) for frame in tail.read()]
    found, _ = liquidations(frames)
    assert len(frames) > 12_000 / LEGS_MAX - 1 and found == {("BTC", 1, 1.5, 150.0): 2000}


def test_a_folder_that_is_none_is_refused_and_another_venue_has_no_node(tmp_path):
    with pytest.raises(ConfigError, match="no such folder.*--write-fills"):
        NodeTail(tmp_path / "x", COINS)
    with pytest.raises(ConfigError, match=r"feed\.node: set for bybit"):
        loads('[feed]\nsymbols = ["ETHUSDT"]\nnode = "data"\n')


class Venue:
    """Hyperliquid's side of the wire, as far as a feed needs it: meta, subscriptions, and a quote of each contract every 0.1 s."""

    def __init__(self):
        app = web.Application()
        app.router.add_post("/info", self.info)
        app.router.add_get("/ws", self.socket)
        self.runner = web.AppRunner(app)

    async def start(self):
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"

    async def info(self, request):
        return web.json_response(
            {"universe": [{"name": name, "szDecimals": 5 if name == "BTC" else 0, "maxLeverage": 20} for name in ("BTC", "DOGE")]}
        )

    async def socket(self, request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        coins = set()

        async def quotes():
            for n in range(100_000):
                for coin in sorted(coins):
                    px = 112_000 if coin == "BTC" else 0.2431
                    await ws.send_json(
                        {
                            "channel": "bbo",
                            "data": {
                                "coin": coin,
                                "time": 1_760_130_000_000 + n * 100,
                                "bbo": [{"px": f"{px:.5f}", "sz": "1.0", "n": 1}, {"px": f"{px * 1.0001:.5f}", "sz": "1.0", "n": 1}],
                            },
                        }
                    )
                await asyncio.sleep(0.1)

        task = asyncio.create_task(quotes())
        async for message in ws:
            said = json.loads(message.data)
            if said["method"] == "ping":
                await ws.send_json({"channel": "pong"})
                continue
            coins.add(said["subscription"]["coin"])
            await ws.send_json({"channel": "subscriptionResponse", "data": said})
        task.cancel()
        return ws


def test_a_live_run_has_the_nodes_liquidations_and_replays(tmp_path):
    """The node writes, rests for longer than stale_after_s, and writes again."""
    parts = [Ledger(seed, START + timedelta(minutes=seed)).run(60) for seed in (1, 2)]
    folder = tmp_path / "hl"
    hour_file(folder, 21).touch()

    async def main():
        venue = Venue()
        at = await venue.start()
        config = loads(
            f'[run]\nname = "node"\n[feed]\nvenue = "hyperliquid"\nrest = "http://{at}"\nws = "ws://{at}"\nsymbols = ["BTC", "DOGE"]\n'
            f"node = {json.dumps(str(folder))}\nstale_after_s = 1.0\n[detector]\nwarmup = 5\nrefresh_s = 0\nquantile = 0.5\n"
        )
        session = Session(config, tmp_path / "run", trade=False)
        running = asyncio.create_task(session.run())
        async with asyncio.timeout(240):
            while not (session._feeds and session._feeds[0].streams[0].up):
                await asyncio.sleep(0.02)
            for n, ledger in enumerate(parts):
                append(hour_file(folder, 21 + n), by_block(ledger))
                while not session.up:
                    await asyncio.sleep(0.02)
                while n == 0 and session.up:  # the node rests
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            session.stop()
            manifest = await running
        await venue.runner.cleanup()
        return manifest

    manifest = asyncio.run(main())
    health = manifest["counters"]["venues"]["hyperliquid"]
    assert health["completeness"] == "FULL" and health["node"]["lines"] == 120 and health["node"]["unread"] == 0
    assert {i["completeness"] for i in manifest["instruments"]} == {int(lc.Completeness.COMPLETENESS_FULL)}
    wanted = Counter({key: n for ledger in parts for key, n in told(ledger).items() if key[0] in ("BTC", "DOGE")})
    found = read_events(tmp_path / "run")
    forced = found.events[found.events["kind"] == int(lc.Kind.LIQUIDATION)]
    assert (
        Counter((("BTC", "DOGE")[e["instrument"]], int(e["side"]), round(float(e["qty"]), 9), round(float(e["aux_price"]), 9)) for e in forced)
        == wanted
    )
    audit = journal.load_audit(tmp_path / "run")
    marks = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_FEED)) & (audit["x"][:, 2] == 1)]
    states = [int(r["phase"]) for r in marks if int(r["instrument"]) in (-1, 0)]
    assert states[:4] == [DOWN, UP, DOWN, UP]
    verdict = replay.prove(tmp_path / "run")
    assert verdict.identical and verdict.records == len(audit), verdict
    sources = Counter(record.source for record in recording.read(tmp_path / "run" / "frames") if b'"node_fills"' in record.frame)
    assert set(sources) == {"rest"}
