"""A run of a venue of the user's, recorded over real sockets, and every command that reads recordings. Oracle: the list of what the venue sent."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import orjson
import pytest
from aiohttp import web

import liqcore as lc
from liqshell import store
from liqshell.errors import ConfigError, DataError
from liqshell.recording.feeds import use_venues
from liqshell.service.sources import Library
from liqshell.venues.adapters import OWN_VENUES, UnknownVenue, adapter_of

ROOT = Path(__file__).parents[3]
PATH = os.pathsep.join([str(ROOT), str(ROOT / "pysrc")])
MEANT = {"sell": "LONG", "buy": "SHORT"}  # the venue's word is the side of the forced order
SYMBOL = "BTC-PERP"
CONFIG = """[venues]
myv = "myv/adapter.py:ADAPTER"
[feed]
venue = "myv"
symbols = ["BTC-PERP"]
rest = "http://127.0.0.1:{port}"
ws = "ws://127.0.0.1:{port}"
[policy]
preset = "fade"
[warm]
keep = false
"""


class Venue:
    """The template's protocol on a port of this machine: one script of trades, quotes, marks and liquidations, 25 longs and then 15 shorts.
    `forced`: (side, price, qty) of the liquidations that it has sent."""

    def __init__(self):
        self.forced: list[tuple[str, float, float]] = []
        self.done, self.port = threading.Event(), 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _serve(self) -> None:
        self._loop, self._ended, self._told = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.Task[None]]()
        app = web.Application()
        app.add_routes([web.get("/v1/contracts", self._contracts), web.get("/v1/public", self._public)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._ended.wait()
        for task in self._told:
            task.cancel()
        await asyncio.gather(*self._told, return_exceptions=True)
        await runner.cleanup()

    async def _contracts(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"contracts": [{"symbol": SYMBOL, "status": "trading", "tick": "0.5", "lot": "0.001", "min": "0.001", "base": "BTC", "quote": "USDT"}]}
        )

    async def _public(self, request: web.Request) -> web.WebSocketResponse:
        socket, asked = web.WebSocketResponse(), 0
        await socket.prepare(request)
        async for message in socket:
            told = orjson.loads(message.data)
            if told["op"] == "ping":
                await socket.send_json({"op": "pong"})
            else:
                await socket.send_json({"op": "subscribed", "name": told["name"]})
                asked += 1
            if asked == 4 and not self._told:
                self._told.add(asyncio.create_task(self._script(socket)))
        return socket

    async def _script(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionError):
            for n in range(160):
                side = "sell" if n < 100 else "buy"
                await self._send(socket, "trades", id=n, side=side, price=str(1000 + n % 5), qty="1")
                await self._send(socket, "quotes", bid="1000", bid_qty="2", ask="1000.5", ask_qty="3")
                if n % 10 == 0:
                    await self._send(socket, "marks", mark="1000.5", index="1000", funding="0.0001", oi=str(900 + n))
                if n % 4 == 3:
                    price, qty = 995 + n % 7, (1 + n % 5) / 4
                    self.forced.append((MEANT[side], float(price), qty))
                    await self._send(socket, "liquidations", side=side, price=str(price), qty=str(qty))
                await asyncio.sleep(0.02)
            self.done.set()
            while True:
                await self._send(socket, "marks", mark="1000", index="1000", funding="0.0001", oi="900")
                await asyncio.sleep(0.5)

    async def _send(self, socket: web.WebSocketResponse, channel: str, **values) -> None:
        await socket.send_str(json.dumps({"channel": channel, "symbol": SYMBOL, "ts": time.time_ns() // 1_000_000, **values}, separators=(",", ":")))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)


def run(*arguments, cwd, timeout=120):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "liqshell", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"PYTHONPATH": PATH, "LIQCORE_LOG_DIR": str(cwd / "log")},
        check=False,
    )
    assert done.returncode != 70 and "a fault of liqcore" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """(folder with myv/ and run/, the liquidations that the venue sent)."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copytree(ROOT / "pysrc/liqshell/venues/_template", folder / "myv", ignore=shutil.ignore_patterns("__pycache__"))
    contracts = folder / "myv" / "instruments.py"
    contracts.write_text(contracts.read_text().replace('VENUE = "template"', 'VENUE = "myv"'))
    venue = Venue()
    (folder / "live.toml").write_text(CONFIG.format(port=venue.port))
    live = subprocess.Popen(
        [sys.executable, "-P", "-m", "liqshell", "live", "live.toml", "--out", "run"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": PATH},
    )
    try:
        assert venue.done.wait(120)
        time.sleep(1.0)
    finally:
        live.terminate()
        out, _ = live.communicate(timeout=60)
        venue.close()
    assert live.returncode in (0, 130, 143), out
    assert [side for side, _, _ in venue.forced] == ["LONG"] * 25 + ["SHORT"] * 15
    return folder, venue.forced


@pytest.fixture(autouse=True)
def _venues():
    yield
    OWN_VENUES.clear()


NAMED = "--adapter", "myv=myv/adapter.py:ADAPTER"
COMMANDS = {
    "features": ("features", "run", "-f", "liquidations.liq_count@1s", "--every", "1s"),
    "maps": ("maps", "run", "--every-s", "1", "--warmup-s", "0", "--at", "reported", "--split", "even", "--draws", "100"),
    "maps of frames": ("maps", "run/frames"),
    "detect": ("detect", "run", "-d", "dollar,min_usd=0,trigger_usd=5000,window_s=60"),
    "agree": ("agree", "run", "--json"),
    "show --why": ("show", "run", "--why", "--json"),
    "serve": ("serve", "run", "--no-auth", "--port", "0"),
    "hourly": ("hourly", "run"),
    "replay": ("replay", "run", "--as", "backtest"),
    "backtest": ("backtest", "plain.toml"),
    "compare": ("compare", "plain.toml"),
}


def plain(folder):
    (folder / "plain.toml").write_text('[policy]\npreset = "fade"\n[data]\nfiles = ["run"]\n')


@pytest.mark.parametrize("command", COMMANDS)
def test_without_its_code_a_command_says_what_to_add(recorded, command):
    folder, _ = recorded
    plain(folder)
    status, out, err = run(*COMMANDS[command], cwd=folder)
    assert (status, out) == (2, "")
    assert f"{folder}/myv/adapter.py:ADAPTER" in err and "your consent to run that code on this machine" in err
    assert "--trust-policy" in err
    assert f"--adapter myv={folder}/myv/adapter.py:ADAPTER" in err and "venues.myv: " in err and re.search("run(/frames)?: venues", err)


def test_code_that_has_gone_or_has_changed_is_named_with_its_digest(recorded, tmp_path):
    folder, _ = recorded
    settings = json.loads((folder / "run/run.json").read_text())["settings"]
    (feed,) = settings["feeds"]
    moved = settings | {"feeds": [feed | {"adapter": str(tmp_path / "gone.py:ADAPTER")}]}
    with pytest.raises(ConfigError, match=rf"RUN: venues\.myv: .*gone\.py:ADAPTER, which is not there.*SHA-256 {feed['sha256']}.*--adapter myv=FILE"):
        use_venues(moved, "RUN")
    changed = settings | {"feeds": [feed | {"sha256": "0" * 64}]}
    with pytest.raises(ConfigError, match=rf"has changed since the run; expected SHA-256 0{{64}}, found {feed['sha256']}.*--adapter myv=FILE"):
        use_venues(changed, "RUN")
    package = settings | {"feeds": [feed | {"adapter": "theirs"}]}
    with pytest.raises(ConfigError, match="theirs, an entry point that no installed package offers"):
        use_venues(package, "RUN")
    for wrong in ([feed | {"sha256": 5}], [feed | {"adapter": "x\x1b[2J.py:A"}], [7], {"a": 1}):
        with pytest.raises(DataError, match="RUN: feeds"):
            use_venues(settings | {"feeds": wrong}, "RUN")
    assert not OWN_VENUES
    with pytest.raises(UnknownVenue, match="run.json: venue: expected one of bybit, .*got 'nowhere'. .*--adapter nowhere=FILE.py:ADAPTER"):
        adapter_of("nowhere", "run.json")


def assert_scored(status, out, err):
    """Scores, or that windows of these few seconds have nothing to score: that depends on where a second began. The data were read either way."""
    assert status in (0, 1) and SYMBOL in out or status == 2 and "no window has predictions and liquidations within reach" in err, err


def test_an_installed_package_needs_no_option(recorded, tmp_path, monkeypatch):
    folder, _ = recorded
    info = tmp_path / "site" / "theirpack-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirpack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[liqcore.venues]\ntheirs = theirpack.adapter:ADAPTER\n")
    shutil.copytree(folder / "myv", tmp_path / "site" / "theirpack")
    monkeypatch.syspath_prepend(tmp_path / "site")
    settings = json.loads((folder / "run/run.json").read_text())["settings"]
    (feed,) = settings["feeds"]
    use_venues(settings | {"feeds": [feed | {"adapter": "theirs"}]}, "RUN")
    assert OWN_VENUES["myv"].code == "theirs" and adapter_of("myv").venue == "myv"


def events_of(path):
    """(side, price, qty) of the liquidations of a store."""
    opened = store.open(path)
    tape = opened.tape_of(opened.select(missing="gap"))
    opened.close()
    rare = tape.rare[tape.rare["kind"] == int(lc.Kind.LIQUIDATION)]
    return [(lc.Side(int(row["side"])).name, float(row["price"]), float(row["qty"])) for row in rare]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_store_keeps_what_was_sent_and_opens_without_the_venue(recorded, tmp_path, jobs):
    folder, forced = recorded
    status, _, err = run("import", "run", "--store", tmp_path / "none", "--quiet", cwd=folder)
    assert status == 1 and f"--adapter myv={folder}/myv/adapter.py:ADAPTER" in err
    status, out, err = run("import", "run", "--store", tmp_path / "store", "--jobs", jobs, "--quiet", *NAMED, cwd=folder)
    assert status == 0, err
    shutil.copytree(tmp_path / "store", tmp_path / "elsewhere" / "store")  # where there is no myv/
    assert events_of(tmp_path / "elsewhere" / "store") == forced
    where = tmp_path / "elsewhere"
    for arguments in (
        ("features", "store", "-f", "liquidations.liq_count@1s", "--every", "1s"),
        ("detect", "store"),
        ("agree", "store", "--json"),
        ("data", "store"),
    ):
        status, out, err = run(*arguments, cwd=where)
        assert status == 0 and (arguments[0] == "detect" or "myv" in out), (arguments, err)
    assert_scored(*run("maps", "store", *COMMANDS["maps"][2:], cwd=where))


def test_features(recorded):
    folder, forced = recorded
    status, out, err = run(*COMMANDS["features"], *NAMED, cwd=folder)
    counts = [line.rpartition(",")[2] for line in out.splitlines()[1:]]
    first, last = (next(n for n in numbers if counts[n] and float(counts[n])) for numbers in (range(len(counts)), range(len(counts) - 1, -1, -1)))
    counted = sum(float(count) for count in counts[first : last + 1])
    assert status == 0 and len(forced) - 13 <= counted <= len(forced), (counts, err)  # less those of the first second, which is not known whole
    status, out, err = run("features", "run", "-f", "liquidations.liq_imbalance@1s", "--every", "1s", *NAMED, cwd=folder)
    sides = [float(cell) for line in out.splitlines()[1:] if (cell := line.rpartition(",")[2])]
    whole = [side for side in sides if abs(side) == 1.0]
    assert whole[0] == -1.0 and whole[-1] == 1.0  # longs first, then shorts: (short - long) / total


def test_maps(recorded):
    folder, _ = recorded
    assert_scored(*run(*COMMANDS["maps"], *NAMED, cwd=folder))


def test_detect(recorded):
    folder, forced = recorded
    for path in ("run", next((folder / "run/frames").glob("*.jsonl*"))):
        status, out, err = run("detect", path, *COMMANDS["detect"][2:], *NAMED, cwd=folder)
        active = [json.loads(line) for line in out.splitlines() if json.loads(line)["phase"] == "ACTIVE"]
        assert status == 0 and active[0]["side"] == "long" and active[0]["venue"] == "myv", err
        taken, longs = 0, 0.0
        while longs < 5000.0:
            longs += forced[taken][1] * forced[taken][2]
            taken += 1
        assert active[0]["long_notional"] == pytest.approx(longs) and active[0]["count"] == taken and active[0]["short_notional"] == 0.0


def test_agree(recorded):
    folder, forced = recorded
    status, out, err = run(*COMMANDS["agree"], *NAMED, cwd=folder)
    (venue,) = json.loads(out)["venues"]
    assert (status, venue["venue"], venue["liquidations"]) == (0, "myv", len(forced)), err


def test_show_tells_of_every_liquidation(recorded):
    folder, forced = recorded
    status, out, err = run(*COMMANDS["show --why"], *NAMED, cwd=folder)
    assert status == 0, err
    told = re.findall(r"A (long|short) of \$?[\d,.kM]+ is liquidated at ([\d.]+)", out)
    assert [(side.upper(), float(at.rstrip("."))) for side, at in told] == [(side, price) for side, price, _ in forced]


def test_the_report_of_the_run_draws_its_prices(recorded):
    folder, _ = recorded
    drawing = json.loads((folder / "run/report.json").read_text())["drawing"]
    assert drawing == {"trades": 160, "problem": ""}


def test_replay_backtest_and_compare(recorded):
    folder, _ = recorded
    plain(folder)
    for more in ((), ("--as", "backtest")):
        status, out, err = run("replay", "run", "--trust-policy", *more, cwd=folder)
        assert status == 0 and out.startswith("identical: "), out + err
    for command in ("backtest", "compare"):
        assert run(*COMMANDS[command], *NAMED, cwd=folder)[0] in (0, 1)


def test_replay_finds_code_that_has_moved_and_takes_no_other(recorded, tmp_path):
    folder, _ = recorded
    shutil.copytree(folder / "run", tmp_path / "run")
    shutil.copytree(folder / "myv", tmp_path / "there")
    there = tmp_path / "there" / "adapter.py"
    (folder / "myv").rename(folder / "away")
    try:
        status, _, err = run("replay", "run", "--trust-policy", cwd=tmp_path)
        assert status == 2 and "adapter.py cannot be read" in err
        named = "--adapter=myv=there/adapter.py:ADAPTER"
        status, out, err = run("replay", "run", "--trust-policy", named, cwd=tmp_path)
        assert status == 0 and out.startswith("identical: "), out + err
        there.write_text(there.read_text() + "# changed\n")
        assert run("replay", "run", "--trust-policy", named, cwd=tmp_path)[0] == 2
        status, out, err = run("agree", "run", "--json", named, cwd=tmp_path)  # the user names it: it is used, and said
        assert status == 0 and json.loads(out)["venues"][0]["liquidations"] == 40
        assert err.count("is not the code that recorded it") == 1
    finally:
        (folder / "away").rename(folder / "myv")


def test_what_is_served_of_it(recorded, tmp_path, monkeypatch):
    folder, forced = recorded
    monkeypatch.chdir(folder)
    with pytest.raises(ConfigError, match="--adapter myv="):
        Library(folder / "run", tmp_path / "state")
    from liqshell.recording.feeds import use_named

    use_named("myv=myv/adapter.py:ADAPTER")
    library = Library(folder / "run", tmp_path / "state")
    try:
        rows = np.concatenate([np.array(part) for part in library.get().data.parts])
        rows = rows[rows["kind"] == int(lc.Kind.LIQUIDATION)]
        assert [(lc.Side(int(row["side"])).name, row["price"], row["qty"]) for row in rows] == forced
    finally:
        library.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "myv",
        "My=adapter.py:A",
        "myv=",
        "=adapter.py:A",
        "bybit=myv/adapter.py:ADAPTER",
        "other=myv/adapter.py:ADAPTER",
        "myv=gone.py:A",
        "myv=myv/adapter.py:GONE",
    ],
)
def test_an_option_that_names_no_adapter(recorded, text):
    folder, _ = recorded
    status, out, err = run("agree", "run", "--adapter", text, cwd=folder)
    assert (status, out) == (2, "") and err.startswith("liqcore: "), err
