"""The view page of a run: whole or not at all, right to the bit, and nothing that the run would notice."""

import asyncio
import json
import math
import os
import subprocess
import sys
import threading
import time

import pytest

import liqcore as lc
from api_rig import asked, bits
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.errors import DataError
from liqshell.live import Session
from liqshell.run import replay, view_page
from liqshell.run.view_page import VIEW, ViewWriter
from markets import market, paper

NAMES = ("liquidations.liq_volume@1m", "price.last", "flow.spread_bps", "funding.funding_avg@5m")
ABOUT = {"mode": "paper", "name": "x", "started_ns": 1}


def configuration(emulator):
    return loads(
        f'[run]\nname = "seen"\n[feed]\nrest = "{emulator.rest}"\nws = "{emulator.ws}"\nsymbols = ["ETHUSDT", "SOLUSDT"]\n'
        f"[features]\nnames = {json.dumps(NAMES)}\n[detector]\nrefresh_s = 0\nwarmup = 30\n"
        "[limits]\ndata_age_max_s = 12.0\nevent_age_max_s = 12.0\n"
    )


class Reader(threading.Thread):
    """Reads the page of a run, as often as it can or with a pause between."""

    def __init__(self, folder, pause_s=0.0):
        super().__init__(daemon=True)
        self.folder, self.pause_s, self.seen, self.over = folder, pause_s, [], threading.Event()

    def run(self):
        while not self.over.wait(self.pause_s):
            found = view_page.read(self.folder) if (self.folder / VIEW).exists() else None
            if found is not None and (not self.seen or found.number != self.seen[-1].number):
                self.seen.append(found)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A run on paper over sockets, two readers, and what they read."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    readers = [Reader(folder, 0.01) for _ in range(2)]

    async def main():
        async with await serve(Config(seed=6, speed=60.0, lead_s=0.3)) as emulator:
            session = Session(configuration(emulator), folder, emulator.clock, {"synthetic": True})
            return await session.run(emulator.feed.start_ns + 8 * 60 * lc.SECOND)

    for reader in readers:
        reader.start()
    manifest = asyncio.run(main())
    for reader in readers:
        reader.over.set()
        reader.join()
    return folder, manifest, readers


@pytest.mark.slow
def test_readers_change_nothing(watched):
    """The replay of the recording, which nobody watches, gives the same audit."""
    folder, manifest, readers = watched
    assert replay.prove(folder).identical and manifest["audit_records"] > 0
    assert all(len(reader.seen) > 20 for reader in readers)
    assert not (folder / VIEW).exists(), "an ended run says in run.json how it ended"
    assert view_page.read(folder) is None


def test_features_of_the_page_are_those_of_history(watched, tmp_path):
    folder, manifest, readers = watched
    seen = {one.ts: one for reader in readers for one in reader.seen}
    views = [seen[ts] for ts in sorted(seen)]
    assert all(a.number < b.number for a, b in zip(views, views[1:], strict=False))
    with asked(folder, tmp_path / "state") as api:
        rows = [{"contract": contract, "at": one.ts} for one in views for contract in one.head["contracts"]]
        columns = api.history(features=list(NAMES), rows=rows).json["columns"]
    assert list(views[0].head["features"]) == list(NAMES)
    known = 0
    for n, value in enumerate(x for one in views for x in one.features):
        for k, name in enumerate(NAMES):
            assert bits(float(value[k])) == bits(columns[name][n]), (name, rows[n])
            known += not math.isnan(value[k])
    assert known > 3 * len(views)
    last = [column for column, name in zip(range(4), NAMES, strict=True) if name == "price.last"][0]
    assert all(one.rows["last"][n] == one.features[n, last] for one in views for n in range(2) if not math.isnan(one.features[n, last]))


def test_the_page_says_what_run_it_is(watched):
    folder, manifest, readers = watched
    one = readers[0].seen[-1]
    assert (one.head["pid"], one.head["mode"], one.head["started_ns"]) == (os.getpid(), "paper", manifest["started_ns"])
    assert one.running and one.head["contracts"] == ["bybit:ETHUSDT", "bybit:SOLUSDT"]
    assert one.status["frames"] > 0 and one.status["feeds"]["bybit"]["up"] is True
    phases = {int(p) for reader in readers for seen in reader.seen for p in seen.rows["phase"]}
    assert len(phases) > 1, "no cascade was seen on the page"


def test_a_copy_is_never_torn(tmp_path):
    """A writer without a pause beside two readers: every row of a copy has the same number."""
    engine = paper().engine
    writer = ViewWriter(tmp_path, engine, ABOUT, lambda: {"number": count})
    readers, until, count = [Reader(tmp_path) for _ in range(2)], time.monotonic() + 60.0, 0
    for reader in readers:
        reader.start()
    start = engine.now
    while time.monotonic() < until and (count <= 10_000 or sum(len(reader.seen) for reader in readers) <= 50):
        count += 1
        writer._rows["last"] = count
        engine.on_trade(start + count, start + count, 0, lc.LONG, 2000.0 + count % 7, 1.0)
        engine.on_trade(start + count, start + count, 1, lc.LONG, 2000.0 + count % 7, 1.0)
        writer.publish(start + count + 1)
        if count % 50 == 0:
            time.sleep(0.001)
    for reader in readers:
        reader.over.set()
        reader.join()
    writer.close()
    seen = [one for reader in readers for one in reader.seen]
    assert len(seen) > 50 and count > 10_000
    for one in seen:
        assert one.rows["last"].tolist() == [2000.0 + (one.ts - start) % 7] * 2 and one.number == 2 * (one.ts - start)


def page(tmp_path):
    engine = paper().engine
    writer = ViewWriter(tmp_path, engine, ABOUT, dict)
    writer.publish(engine.now + 10)
    return engine, writer


def test_moments_that_are_not_over_are_not_published(tmp_path):
    """Events of the engine's very last ns may follow: nothing is said of it yet."""
    engine = paper().engine
    writer = ViewWriter(tmp_path, engine, ABOUT, dict)
    engine.run(market(1, 50))
    writer.publish(engine.now)
    assert view_page.read(tmp_path) is None
    writer.publish(engine.now + 1)
    assert view_page.read(tmp_path).ts == engine.now


@pytest.mark.parametrize("at", [0, 9, 20, -16_500, -100])
def test_a_damaged_page_is_refused_by_name(tmp_path, at):
    page(tmp_path)
    data = bytearray((tmp_path / VIEW).read_bytes())
    data[at] ^= 0x5A
    (tmp_path / VIEW).write_bytes(data)
    try:
        found = view_page.read(tmp_path)
    except DataError as why:
        assert str(tmp_path / VIEW) in str(why)
    else:
        assert found.number == 2 and at == -100, "only what is behind the text is not read"


@pytest.mark.parametrize("size", [0, 3, 12, 40, 200])
def test_a_short_page_is_refused_by_name(tmp_path, size):
    page(tmp_path)
    (tmp_path / VIEW).write_bytes((tmp_path / VIEW).read_bytes()[:size])
    with pytest.raises(DataError, match="view"):
        view_page.read(tmp_path)


def test_a_long_status_is_left_out(tmp_path):
    engine = paper().engine
    writer = ViewWriter(tmp_path, engine, ABOUT, lambda: {"x": "y" * 20_000})
    writer.publish(engine.now + 5)
    assert "left_out" in view_page.read(tmp_path).status


def test_a_full_disk_is_no_reason_to_stop(tmp_path, caplog):
    """The page is left out, the run goes on."""
    engine = paper().engine
    writer = ViewWriter(tmp_path / "not there", engine, ABOUT, dict)
    writer.publish(engine.now + 5)
    writer.close()
    assert "continues without it" in caplog.text


def test_a_killed_process_is_told_from_one_that_is_silent(tmp_path):
    code = (
        "import sys, time, pathlib; from liqshell.run.view_page import ViewWriter; import liqcore as lc\n"
        "engine = lc.Engine([lc.Instrument('ETHUSDT', tick_size='0.01', lot_size='0.001', min_qty='0.001')])\n"
        "writer = ViewWriter(pathlib.Path(sys.argv[1]), engine, {'mode': 'paper'}, dict)\n"
        "writer.publish(1000); print('there', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"there\n"
    one = view_page.read(tmp_path)
    assert one.running and one.alive and one.head["pid"] == child.pid
    one._beat -= 4_000_000_000
    assert one.running and not one.alive
    child.kill()
    child.communicate()
    assert not view_page.read(tmp_path).running


def test_it_is_served(watched, tmp_path):
    """The page of a run that goes on, over HTTP; without one, 404 with the reason."""
    folder, _, _ = watched
    with asked(folder, tmp_path / "state") as api:
        gone = api.ask("GET", "/v1/view")
        assert gone.status == 404 and "ended" in gone.json["detail"]
        assert "process" not in api.ask("GET", "/v1/health").json
        engine = lc.Engine(
            [lc.Instrument(s, tick_size="0.01", lot_size="0.001", min_qty="0.001", venue="bybit") for s in ("ETHUSDT", "SOLUSDT")], features=NAMES[:2]
        )
        writer = ViewWriter(folder, engine, ABOUT, lambda: {"frames": 3})
        try:
            engine.on_trade(900, 1000, "ETHUSDT", lc.LONG, 2000.0, 1.0)
            writer.publish(1001)
            whole = api.ask("GET", "/v1/view").json
            assert (whole["as_of_ns"], whole["process"]["state"], whole["status"]) == (1000, "alive", {"frames": 3})
            first, second = whole["contracts"]
            assert (first["last"], first["ts_trade"], first["phase"], first["state"], first["threshold"]) == (2000.0, 1000, "idle", "flat", None)
            assert first["features"]["price.last"] == 2000.0
            assert second["last"] == 0.0 and second["ts_trade"] is None and second["features"]["price.last"] is None
            one = api.ask("GET", "/v1/view", "asset=SOL").json["contracts"]
            assert one == [second]
            assert api.ask("GET", "/v1/health").json["process"]["state"] == "alive"
            assert api.ask("GET", "/v1/view", "contract=NONE").status == 404
        finally:
            writer.close()
