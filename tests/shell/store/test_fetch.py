"""`liqcore data get`: the hours of an archive are fetched by one path from a folder, over HTTP and from S3, gone on with where they were cut, and imported."""

import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hyperliquid_ledger import Ledger, by_block, by_fill, write
from liqshell.cli import main
from liqshell.errors import ConfigError, DataError
from liqshell.store import fetch
from liqshell.store.load import Store


@pytest.fixture
def fsspec():
    return pytest.importorskip("fsspec", reason="the extra s3 is not installed")


def archive(root, days=("20251010",), hours=("9", "21"), blocks=150):
    """Folders and names as the venue has them; returns how many liquidations it holds."""
    count = 0
    for d, day in enumerate(days):
        for h, hour in enumerate(hours):
            ledger = Ledger(100 * d + h, start=Ledger().run(1).blocks[0].time.replace(day=int(day[6:]), hour=int(hour), minute=1)).run(blocks)
            write(root / "node_fills_by_block" / "hourly" / day / f"{hour}.lz4", by_block(ledger))
            count += len(ledger.truth.liquidations)
    return count


def liquidations(store):
    return sum(int((c.day_strip(day).rare["kind"] == 1).sum()) for c in Store(store).contracts for day in c.days())


class Server:
    """Files of a folder over HTTP with ranges; `fails_after` bytes it hangs up."""

    def __init__(self, root: Path):
        self.root, self.sent, self.fails_after, self.ranges, self.lock = root, 0, 1 << 60, True, threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(False)

            def do_GET(self):
                self.answer(True)

            def answer(self, body):
                path = outer.root / self.path.lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                data = path.read_bytes()
                asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")) if outer.ranges else None
                part = data[int(asked[1]) : int(asked[2]) + 1] if asked else data
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                if body:
                    with outer.lock:  # counted before it is sent: the client may be done before this thread goes on
                        left = outer.fails_after - outer.sent
                        outer.sent += len(part) if len(part) <= left else 0
                    self.wfile.write(part[: max(0, left)])
                    if len(part) > left:
                        self.connection.close()

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path / "s3")
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.mark.parametrize("over", ["folder", "http"])
def test_days_are_fetched_and_imported_once(tmp_path, fsspec, server, capsys, over):
    wanted = archive(tmp_path / "s3", ("20251010", "20251011"))
    source = server.url if over == "http" else str(tmp_path / "s3")
    command = ["data", "get", "hyperliquid", "--days", "2025-10-10..2025-10-11", "--store", str(tmp_path / "store"), "--source", source, "--quiet"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "4 files" in said.out and "of which 0.0 MB are here" in said.out and "imported 4 files" in said.out
    assert "not in the archive: 44 hours: 2025-10-10 00h" in said.err
    assert liquidations(tmp_path / "store") == wanted
    sent = server.sent
    assert main(command) == 0
    assert "imported 0 files" in capsys.readouterr().out and server.sent == sent and liquidations(tmp_path / "store") == wanted


def test_a_fetch_that_was_cut_goes_on_where_it_was(tmp_path, fsspec, server, monkeypatch):
    archive(tmp_path / "s3", blocks=400)
    monkeypatch.setattr(fetch, "PIECE_BYTES", 4096)
    files = sorted((tmp_path / "s3").rglob("*.lz4"))
    total = sum(f.stat().st_size for f in files)
    server.fails_after = total * 2 // 3
    days = fetch.days_of("2025-10-10")
    with pytest.raises(DataError, match="Run the same command again"):
        fetch.plan("hyperliquid", days, tmp_path / "here", server.url).fetch()
    server.fails_after, before = 1 << 60, server.sent
    again = fetch.plan("hyperliquid", days, tmp_path / "here", server.url)
    assert again.bytes == total and again.bytes_there == before > 0
    shares = []
    there = again.fetch(lambda name, done: shares.append(done))
    assert server.sent == total, "every byte was sent once"
    assert [f.read_bytes() for f in sorted(there)] == [f.read_bytes() for f in files] and not list((tmp_path / "here").rglob("*.part"))
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_a_file_that_has_grown_is_fetched_anew(tmp_path, fsspec, server):
    archive(tmp_path / "s3", hours=("21",))
    days = fetch.days_of("2025-10-10")
    [file] = fetch.plan("hyperliquid", days, tmp_path / "here", server.url).fetch()
    archive(tmp_path / "s3", hours=("21",), blocks=300)
    grown = (tmp_path / "s3").joinpath("node_fills_by_block/hourly/20251010/21.lz4")
    assert file.stat().st_size < grown.stat().st_size
    assert fetch.plan("hyperliquid", days, tmp_path / "here", server.url).fetch()[0].read_bytes() == grown.read_bytes()


def test_a_server_that_does_not_give_parts_is_named(tmp_path, fsspec, server, monkeypatch):
    archive(tmp_path / "s3", hours=("21",))
    monkeypatch.setattr(fetch, "PIECE_BYTES", 1000)
    server.ranges = False
    with pytest.raises(DataError, match=r"21\.lz4: .*(bytes|parts of files)"):
        fetch.plan("hyperliquid", fetch.days_of("2025-10-10"), tmp_path / "here", server.url).fetch()


def test_the_day_on_which_the_archive_changed_has_each_hour_once(tmp_path, fsspec):
    for name, by, hours in (("node_fills", by_fill, "5 6"), ("node_fills_by_block", by_block, "6 7")):
        for hour in hours.split():
            write(tmp_path / "s3" / name / "hourly" / "20250727" / f"{hour}.lz4", by(Ledger(1).run(3)))
    plan = fetch.plan("hyperliquid", fetch.days_of("2025-07-27"), tmp_path / "here", str(tmp_path / "s3"))
    assert [str(file.relative_to(tmp_path / "here")) for _, _, file in plan.files] == [
        "node_fills/hourly/20250727/5.lz4",
        "node_fills_by_block/hourly/20250727/6.lz4",
        "node_fills_by_block/hourly/20250727/7.lz4",
    ]


def test_only_listing_fetches_nothing(tmp_path, fsspec, capsys):
    archive(tmp_path / "s3")
    assert (
        main(["data", "get", "hyperliquid", "--days", "2025-10-10", "--store", str(tmp_path / "store"), "--source", str(tmp_path / "s3"), "--list"])
        == 0
    )
    assert "2 files" in capsys.readouterr().out and sorted(p.name for p in tmp_path.iterdir()) == ["s3"]


@pytest.mark.parametrize(
    ("days", "found"),
    [
        ("yesterday", "YYYY-MM-DD"),
        ("2025-10-32", "YYYY-MM-DD"),
        ("2025-10-12..2025-10-10", "YYYY-MM-DD"),
        ("2025-05-24", "2025-05-25 or later"),
        ("1000-01-01..2026-01-01", "YYYY-MM-DD"),
    ],
)
def test_days_that_are_none_are_refused(tmp_path, capsys, days, found):
    assert main(["data", "get", "hyperliquid", "--days", days, "--store", str(tmp_path / "x")]) == 2
    assert found in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_venue_without_an_archive_and_a_source_without_the_day(tmp_path, fsspec):
    days = fetch.days_of("2025-10-10")
    with pytest.raises(ConfigError, match="'bybit'; expected one of hyperliquid"):
        fetch.plan("bybit", days, tmp_path)
    with pytest.raises(DataError, match="no file of 2025-10-10"):
        fetch.plan("hyperliquid", days, tmp_path, str(tmp_path))
    with pytest.raises(ConfigError, match="--source"):
        fetch.plan("hyperliquid", days, tmp_path, "nonsense://x")


def test_what_is_not_installed_is_named_with_the_way_to_install_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert main(["data", "get", "hyperliquid", "--days", "2025-10-10", "--store", str(tmp_path / "x")]) == 2
    assert "pip install 'liqcore[s3]'" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")  # of the test server and of what it builds on
def test_from_s3_by_the_users_own_credentials(tmp_path, fsspec, monkeypatch, capsys):
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import boto3

    for name, value in (("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "two"), ("AWS_DEFAULT_REGION", "ap-northeast-1")):
        monkeypatch.setenv(name, value)
    local = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    local.start()
    try:
        host, port = local.get_host_and_port()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        client = boto3.client("s3")
        client.create_bucket(Bucket="hl-mainnet-node-data", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})
        wanted = archive(tmp_path / "s3")
        for file in (tmp_path / "s3").rglob("*.lz4"):
            client.upload_file(str(file), "hl-mainnet-node-data", str(file.relative_to(tmp_path / "s3")))
        monkeypatch.setattr(fetch, "PIECE_BYTES", 10_000)
        assert main(["data", "get", "hyperliquid", "--days", "2025-10-10", "--store", str(tmp_path / "store"), "--quiet"]) == 0
        assert "your AWS account pays" in capsys.readouterr().out and liquidations(tmp_path / "store") == wanted
    finally:
        local.stop()


def test_the_report_of_a_fetched_store_is_that_of_an_import(tmp_path, fsspec, capsys):
    archive(tmp_path / "s3")
    assert (
        main(["data", "get", "hyperliquid", "--days", "2025-10-10", "--store", str(tmp_path / "a"), "--source", str(tmp_path / "s3"), "--quiet"]) == 0
    )
    assert main(["import", str(tmp_path / "s3"), "--store", str(tmp_path / "b"), "--quiet"]) == 0
    capsys.readouterr()
    found = []
    for name in "ab":
        assert main(["data", str(tmp_path / name), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        found.append([{k: v for k, v in c.items() if k != "before"} for c in report["contracts"]])
    assert found[0] == found[1]
