"""Runs over HTTP: the recording of a run is followed while it is written, and what was said live is what history says of that time, for ever."""

import asyncio
import csv
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from api_rig import asked, bits, served
from liqshell import cli, formats, store
from liqshell.recording import journal
from liqshell.recording.packing import ZSTD_MAGIC, frame_files
from liqshell.research.feature_rows import iso
from liqshell.run import recorded_events
from liqshell.service.scratch import Scratch
from liqshell.service.sources import Library, RunSource
from recorded_run import record_run
from recorder_lines import member, unpacked

NAMES = (
    "liquidations.liq_imbalance@1m:zscore(20m,min=4)",
    "flow.ofi@1m",
    "funding.funding_avg@5m",
    "price.last",
    "flow.spread_bps",
    "liquidations.liq_volume@5m:lag(30s)",
    "SOL/flow.volume@10s:change(1m)",
    "hawkes.intensity_long",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """On paper over the change of an hour, with an interruption of 20 s, in members as small as those of a live run."""
    folder = record_run(tmp_path_factory.mktemp("recorded") / "run", hours=1.2, cut_s=20.0)
    for file in frame_files(folder / journal.FRAMES):
        lines = unpacked(file).splitlines(keepends=True)
        file.write_bytes(b"".join(member(b"".join(lines[n : n + 200])) for n in range(0, len(lines), 200)))
    return folder


def grown(run, folder, rng):
    """The recording of a run as it grows: yields after each piece, of any number of bytes."""
    (folder / journal.FRAMES).mkdir(parents=True)
    shutil.copy(run / journal.MANIFEST, folder)
    shutil.copy(run / journal.AUDIT, folder)
    files = frame_files(run / journal.FRAMES)
    assert len(files) == 2
    for file in files:
        data = file.read_bytes()
        with (folder / journal.FRAMES / file.name).open("wb", buffering=0) as out:
            at = 0
            while at < len(data):
                step = rng.randrange(1, max(len(data) // 12, 2))
                out.write(data[at : at + step])
                at += step
                yield


@pytest.fixture(scope="module")
def live(run, tmp_path_factory):
    """What a server said while the recording was replayed: (contract, as of) -> the answer; and the server."""
    folder, said = tmp_path_factory.mktemp("growing"), {}
    steps = grown(run, folder / "run", random.Random(8))
    next(steps)
    with asked(folder, tmp_path_factory.mktemp("state"), features=NAMES) as api:
        for _ in steps:
            for contract in ("bybit:SOLUSDT", "bybit:DOGEUSDT"):
                api.library.refresh()
                answer = api.ask("GET", "/v1/features/live", f"contract={contract}&features={','.join(NAMES)}")
                assert answer.status in (200, 503), answer.body
                if answer.status == 200:
                    said[contract, answer.json["as_of_ns"]] = answer.json
        yield api, said


def test_live_is_history_is_the_command(run, live, capsys):
    """live(T) == historical(as_of=T) == `liqcore features`, every bit, and the same hash of the data."""
    api, said = live
    assert len({ts for _, ts in said}) > 20
    rows = [{"contract": contract, "at": ts} for contract, ts in said]
    answer = api.history(features=list(NAMES), rows=rows)
    assert answer.status == 200, answer.body
    columns = answer.json["columns"]
    end = max(ts for _, ts in said)  # its end mark: after its last event, where the command knows nothing
    moments = ",".join(str(ts) for _, ts in said if ts < end)
    assert cli.main(["features", str(run), "-f", ",".join(NAMES), "--at", moments]) == 0
    printed = {(row["contract"], int(row["ts"])): row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))}
    known = 0
    for n, (place, one) in enumerate(said.items()):
        for name in NAMES:
            value, text = one["features"][name]["value"], printed[place][name] if place[1] < end else ""
            known += value is not None
            assert bits(value) == bits(columns[name][n]) and (place[1] == end or bits(value) == bits(float(text) if text else None)), (name, place)
    assert known > len(said) * 4
    for contract, ts in random.Random(1).sample(list(said), 8):
        past = api.history(features=list(NAMES), contract=contract, at=[ts]).json
        assert past["data_hash"] == said[contract, ts]["data_hash"] and past["received_through_ns"] == said[contract, ts]["received_through_ns"]


def test_what_is_followed_is_what_the_engine_stepped(run, live):
    """The events of the server are those that the sink of the run handed to its engine."""
    api, _ = live
    events = recorded_events.read_events(run).events
    kinds = events["kind"]
    events = events[(kinds <= int(lc.Kind.TICKER)) | (kinds == int(lc.Kind.FEED)) | (kinds >= int(lc.Kind.DELEVERAGE))]
    parts = api.library.get().data.parts
    assert len(parts) >= 1 and np.concatenate([np.asarray(part) for part in parts]).tobytes() == events.tobytes()


def test_signals_are_those_of_the_audit(run, live):
    api, _ = live
    records = journal.load_audit(run)
    records = records[records["kind"] == int(lc.AuditKind.AUDIT_SIGNAL)]
    assert len(records) > 2
    found, since = [], ""
    while True:  # page by page
        page = api.ask("GET", "/v1/signals", f"limit=2{since}").json
        found += page["signals"]
        if not page["more"]:
            break
        since = f"&since={page['next_since']}"
    assert {one["ts"] for one in found} == set(records["ts"].tolist())
    assert {one["phase"] for one in found} <= {phase.name for phase in lc.Phase} and all(one["detector"] == "cascade" for one in found)
    one = found[0]
    assert (one["ts"], one["z"], one["liquidated"]) == (int(records["ts"][0]), float(records["x"][0, 3]), lc.Side(int(records["side"][0])).name)


@pytest.mark.parametrize("path", ["/v1/signals", "/v1/view"])
def test_a_venue_alone_names_no_contract(live, path):
    """It was passed over: all contracts of all venues came back."""
    assert live[0].ask("GET", path, "venue=okx").status == live[0].ask("GET", path, "venue=okx&asset=SOL").status == 404
    answer = live[0].ask("GET", path, "venue=bybit")
    assert answer.status == 409 and answer.json["type"].endswith("/ambiguous") and len(answer.json["there"]) == 2


def test_a_run_of_another_name_is_none(live):
    api, _ = live
    assert api.ask("GET", "/v1/features/live", f"asset=SOL&features={NAMES[3]}&run=run").status == 200
    answer = api.ask("GET", "/v1/features/live", f"asset=SOL&features={NAMES[3]}&run=../../etc")
    assert answer.status == 404 and answer.json["there"] == ["run"]


def events_of(text: str) -> list[tuple[str, int, dict]]:
    """Whole events of a stream."""
    out = []
    for block in text.split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            out.append((lines["event"], int(lines["id"]), json.loads(lines["data"])))
    return out


def read_stream(address: str, token: str, query: str, count: int, last: int | None = None) -> list[tuple[str, int, dict]]:
    request = urllib.request.Request(
        f"{address}/v1/features/stream?{query}", headers={"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": str(last)} if last else {})
    )
    text = ""
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        while len(found := events_of(text)) < count:
            text += answer.read1(1 << 16).decode()
    return found[:count]


def test_a_stream_goes_on_where_it_was(run, tmp_path):
    """Each event is what history says of its time; a client that comes back misses none and gets none twice; one that is too far behind is told."""
    names = f"{NAMES[3]},{NAMES[1]}"
    with served(run, tmp_path / "state") as (address, token):

        def ask(body):
            request = urllib.request.Request(
                f"{address}/v1/features/historical",
                json.dumps(body).encode(),
                {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)

        query = f"contract=SOLUSDT&features={names}&every=30s"
        newest = read_stream(address, token, query, 1)[0]
        first = newest[1] - 20 * 30 * lc.SECOND
        a = read_stream(address, token, query, 7, first)
        b = read_stream(address, token, query, 13, a[-1][1])
        assert [ident for _, ident, _ in a + b] == [first + k * 30 * lc.SECOND for k in range(1, 21)] and b[-1] == newest
        past = ask({"features": names.split(","), "asset": "SOL", "at": [ident for _, ident, _ in a + b]})
        for n, (_, _, one) in enumerate(a + b):
            assert all(bits(one["features"][name]["value"]) == bits(past["columns"][name][n]) for name in names.split(","))
        kind, ident, said = read_stream(address, token, "asset=SOL&features=price.last&every=1s", 1, first - 1200 * lc.SECOND)[0]
        assert kind == "dropped" and said["n"] > 0 and said["through_ns"] == ident


def test_a_stream_follows_the_recording(run, tmp_path):
    steps = grown(run, tmp_path / "runs" / "run", random.Random(2))
    for _ in range(5):
        next(steps)
    with asked(tmp_path / "runs", tmp_path / "state") as api:
        from liqshell.service.stream import stream

        dataset = api.library.get()
        contract = dataset.data.instruments[0].key
        pieces = stream(lambda: dataset, api.library.saved, {"price.last": "price.last"}, contract, 30 * lc.SECOND, dataset.data.start, lambda: True)

        async def grow():
            for _ in steps:
                await asyncio.to_thread(api.library.refresh)

        async def through():
            text, growing = "", asyncio.create_task(grow())
            while not growing.done() or events_of(text)[-1][1] < dataset.complete - 30 * lc.SECOND:
                text += (await asyncio.wait_for(anext(pieces), 20)).decode()
            await pieces.aclose()
            return events_of(text)

        found = api.loop.run_until_complete(through())
        assert [b[1] - a[1] for a, b in zip(found, found[1:], strict=False)] == [30 * lc.SECOND] * (len(found) - 1) and len(found) > 40


def test_an_ended_run_is_complete_to_its_end(run, tmp_path):
    with asked(run, tmp_path / "state") as api:
        live = api.ask("GET", "/v1/features/live", "asset=DOGE&features=price.last").json
        assert live["as_of"] == iso(int(journal.load_manifest(run)["ended_ns"])) and live["run"] == "run" and live["synthetic"] is True


def test_a_folder_of_runs_serves_the_newest_and_passes_over_what_is_none(run, tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    shutil.copytree(run, runs / "b")
    shutil.copytree(run, runs / "a")
    manifest = json.loads((runs / "a" / journal.MANIFEST).read_text())
    (runs / "a" / journal.MANIFEST).write_text(json.dumps(manifest | {"started_ns": manifest["started_ns"] + 1}))
    (runs / "broken" / journal.FRAMES).mkdir(parents=True)
    (runs / "broken" / journal.MANIFEST).write_text("{")
    with asked(runs, tmp_path / "state") as api:
        assert api.ask("GET", "/v1/features/live", "asset=SOL&features=price.last").json["run"] == "a"
        assert api.ask("GET", "/v1/features/live", "asset=SOL&features=price.last&run=b").json["run"] == "b"
        assert api.history(features=["price.last"], asset="SOL", at=[], run="broken").status == 404
    monkeypatch.chdir(runs / "b")
    with asked(Path("."), tmp_path / "other") as api:
        assert api.ask("GET", "/v1/health", key=None).json["run"] == "b"


def followed(api, condition):
    """Whether it comes true while the server goes on, within a minute."""
    return any(condition() or api.loop.run_until_complete(asyncio.sleep(0.25)) for _ in range(240))


def test_a_run_that_is_deleted_or_replaced_does_not_stop_the_others(run, tmp_path):
    runs, ask = tmp_path / "runs", ("GET", "/v1/features/live", "asset=SOL&features=price.last")
    shutil.copytree(run, runs / "old")
    steps = grown(run, runs / "new", random.Random(9))
    for _ in range(4):
        next(steps)
    manifest = json.loads((run / journal.MANIFEST).read_text())
    (runs / "new" / journal.MANIFEST).write_text(json.dumps(manifest | {"started_ns": manifest["started_ns"] + 2}))
    with asked(runs, tmp_path / "state") as api:
        old, new = api.ask(*ask[:2], ask[2] + "&run=old"), api.ask(*ask)
        assert (old.json["run"], new.json["run"]) == ("old", "new")
        shutil.rmtree(runs / "old")
        for _ in steps:
            pass
        assert followed(api, lambda: api.ask(*ask[:2], ask[2] + "&run=old").status == 404 and api.ask(*ask).json["as_of_ns"] > new.json["as_of_ns"])
        assert api.ask("GET", "/v1/health").status == 200
        shutil.rmtree(runs / "new")
        shutil.copytree(run, runs / "new")  # another run of the same name
        assert followed(api, lambda: (again := api.ask(*ask)).status == 200 and again.json["data_hash"] != new.json["data_hash"])
        assert api.library.opened("new").data.end >= int(manifest["ended_ns"])
        frames = frame_files(runs / "new" / journal.FRAMES)
        assert len(frames) == 2


def torn(run, folder, how) -> Path:
    """A copy of the run with damage in its first file: in the middle, at the cut end, a member lost, a bad line, or an hour that is gone."""
    shutil.copytree(run, folder)
    file = frame_files(folder / journal.FRAMES)[0]
    data = bytearray(file.read_bytes())
    starts = [at for at in range(len(data)) if data.startswith(ZSTD_MAGIC, at)]
    middle = starts[len(starts) // 2]
    if how == "a byte":
        data[middle + 60] ^= 4
    elif how == "bytes":
        data[middle + 40 : middle + 2040] = bytes(2000)
    elif how == "cut":
        del data[middle + 30 :]
    elif how == "a hole":
        del data[middle + 30 : starts[len(starts) // 2 + 3]]
    elif how == "a line":
        lines = unpacked(file).splitlines(keepends=True)
        lines[len(lines) // 2] = lines[len(lines) // 2][:50] + b"\n"
        data = b"".join(member(b"".join(lines[n : n + 200])) for n in range(0, len(lines), 200))
    file.write_bytes(data)
    return folder


@pytest.mark.parametrize("how", ["a byte", "bytes", "cut", "a hole", "a line"])
def test_a_torn_recording_is_the_same_to_the_server_the_command_and_the_store(run, tmp_path, capsys, how):
    """It answers for all that can be read; within the tear every value is unknown; and everybody says the same bits."""
    folder = torn(run, tmp_path / "torn", how)
    with formats.read(folder) as reading:
        events = np.concatenate(list(reading.ordered()))
    marks = events[events["kind"] == int(lc.Kind.FEED)]
    whole = recorded_events.read_events(run).events
    known = {tuple(mark) for mark in whole[whole["kind"] == int(lc.Kind.FEED)].tolist()}
    down, up = (
        next(int(mark["ts_recv"]) for mark in marks if mark["code"] == int(code) and tuple(mark.tolist()) not in known)
        for code in (lc.FeedState.FEED_DOWN, lc.FeedState.FEED_UP)
    )
    assert down < up and not ((events["ts_recv"] > down) & (events["ts_recv"] < up)).any()
    lost = whole[(whole["ts_recv"] > down) & (whole["ts_recv"] < up)]
    assert len(lost) > 0
    first, last = int(events["ts_recv"][0]), int(events["ts_recv"][-1])
    draw = random.Random(3)
    times = sorted({draw.randrange(first, last) for _ in range(60)} | {down, down + 1, (down + up) // 2, up - 1, up})
    store.fill(tmp_path / "store", formats.files_of(folder))
    printed = []
    for path in (folder, tmp_path / "store"):
        assert cli.main(["features", str(path), "-f", ",".join(NAMES), "--at", ",".join(map(str, times))]) == 0
        printed.append({(row["contract"], int(row["ts"])): row for row in csv.DictReader(io.StringIO(capsys.readouterr().out))})
    with asked(tmp_path / "torn", tmp_path / "state") as api:
        answer = api.history(features=list(NAMES), rows=[{"contract": contract, "at": ts} for contract, ts in printed[0]])
        assert answer.status == 200, answer.body
        columns = answer.json["columns"]
        served_events = np.concatenate([np.asarray(part) for part in api.library.get().data.parts])
    for n, place in enumerate(printed[0]):
        for name in NAMES:
            one, two = (float(rows[place][name]) if rows[place][name] else None for rows in printed)
            assert bits(columns[name][n]) == bits(one) == bits(two), (name, place, down, up)
            assert not down <= place[1] < up or one is None or ":" in name, (name, place)  # a lag looks at what was known
    read = recorded_events.read_events(folder).events
    assert served_events.tobytes() == read[np.isin(read["kind"], np.unique(served_events["kind"]))].tobytes()


@pytest.mark.parametrize("how", ["a byte", "bytes", "cut", "a hole"])
def test_a_torn_recording_is_followed_as_it_is_read_whole(run, tmp_path, how):
    """Whatever piece of it has been written when it is looked at."""
    folder = torn(run, tmp_path / "torn", how)
    steps = grown(folder, tmp_path / "grows" / "run", random.Random(5))
    next(steps)
    source = None
    for _ in steps:
        if source is None:
            source = RunSource(tmp_path / "grows" / "run", tmp_path / "spill", journal.load_manifest(folder))
        source.refresh()
    source.refresh()
    found = np.concatenate([np.asarray(part) for part in source.dataset.data.parts])
    source.close()
    read = recorded_events.read_events(folder).events
    assert found.tobytes() == read[np.isin(read["kind"], np.unique(found["kind"]))].tobytes()


def test_the_newest_run_is_the_one_that_began_last_whatever_time_its_market_has(tmp_path):
    """A demo has a market time of its own, years before or after that of a live run."""
    began = {"demo": (1_900_000_000 * lc.SECOND, 1000), "live": (1_700_000_000 * lc.SECOND, 2000), "before": (1500, None), "later demo": (1, 3000)}
    for name, (market, wall) in began.items():
        (tmp_path / name / journal.FRAMES).mkdir(parents=True)
        (tmp_path / name / journal.MANIFEST).write_text(json.dumps({"started_ns": market} | ({"wall_started_ns": wall} if wall else {})))
    library = Library(tmp_path, tmp_path / "state")
    assert list(library.runs()) == ["demo", "before", "live", "later demo"]
    library.close()


def test_a_start_removes_what_dead_servers_left_and_nothing_of_live_ones(tmp_path):
    live, dead = Scratch(tmp_path), Scratch(tmp_path)
    (live.folder / "1.npy").write_text("x")
    dead._held.close()  # as the end of its process does, SIGKILL included
    (tmp_path / "events" / "events-a").mkdir(parents=True)  # of earlier versions
    (tmp_path / "jobs-b").mkdir()
    (tmp_path / "keys.json").write_text("{}")
    third = Scratch(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {live.folder.name, third.folder.name, "keys.json"}
    assert (live.folder / "1.npy").read_text() == "x"
    live.close()
    third.close()
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_leaves_nothing(run, tmp_path, how):
    pytest.importorskip("uvicorn")
    # a shell that runs the tests in the background ignores SIGINT, and so would its children
    program = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); runpy.run_module('liqshell', run_name='__main__')"
    command = [sys.executable, "-c", program, "serve", str(run), "--port", "0", "--no-auth", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        address = server.stdout.readline().strip()
        with urllib.request.urlopen(f"{address}/v1/features/live?contract=bybit:SOLUSDT&features=price.last") as answer:
            assert answer.status == 200
        assert len(list(tmp_path.glob("scratch-*/events-*/*.npy"))) == 1
        server.send_signal(how)
        assert server.wait(60) == 128 + how
    assert not list(tmp_path.glob("scratch-*"))
