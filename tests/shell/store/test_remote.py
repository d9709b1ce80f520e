"""A store at an address is the store that was published there, whoever reads it, and whenever a publication was stopped."""

import dataclasses
import hashlib
import json
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor

import pytest

from liqshell import store
from liqshell.backtest import load_history
from liqshell.backtest.origin import Origin
from liqshell.backtest.trial_log import TrialLog
from liqshell.cli import main
from liqshell.config.load import load
from liqshell.errors import ConfigError, DataError
from liqshell.input_file import address_of
from liqshell.research.feature_rows import open_data
from liqshell.service.sources import StoreSource
from liqshell.store import importer, remote
from recorded_run import SETTINGS
from store_files import DAY, T0, market, opener, partitions, save


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing is here that was fetched before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "liqcore"


@pytest.fixture(params=["file", "s3"])
def address(request, tmp_path, monkeypatch):
    """A place for a store: a folder, and S3 as moto plays it on this machine."""
    if request.param == "file":
        yield f"file://{tmp_path}/there/store"
        return
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    for name, value in (("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "two"), ("AWS_EC2_METADATA_DISABLED", "true")):
        monkeypatch.setenv(name, value)
    local = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    local.start()
    try:
        host, port = local.get_host_and_port()
        where = f"?endpoint_override={host}:{port}&scheme=http&region=us-east-1&allow_bucket_creation=true"
        yield f"s3://bucket-{tmp_path.name.replace('_', '-')}/a/store{where}"
    finally:
        local.stop()


def filled(root, days=3, seed=0, contracts=("bybit~AAAUSDT", "bybit~B/USDT")):
    files = {name: market(4000, seed=seed + n, span=days * DAY) for n, name in enumerate(contracts)}
    importer.run(root, [save(root.with_name(f"{root.name}-{seed}.npz"), files)], opener)
    return root


def fetched(cache):
    return sorted(path.stem for path in (cache / "partitions").rglob("*.parquet"))


def test_the_store_at_an_address_is_the_one_that_was_published(tmp_path, address, cache, monkeypatch):
    mine = filled(tmp_path / "mine")
    sent, size = remote.publish(mine, address)
    assert sent == len(partitions(mine)) and size == sum(path.stat().st_size for path in mine.rglob("*.parquet"))
    there, here = store.open(address), store.open(mine)
    for symbols, start, end in (((), None, None), (("B/USDT",), T0 + DAY, T0 + 2 * DAY)):
        selection = there.select(symbols, start, end)
        assert selection.stamp() == here.select(symbols, start, end).stamp()
        assert there.tape_of(selection).events().tobytes() == here.tape(symbols, start, end).events().tobytes()
    assert fetched(cache) == sorted(partitions(mine).values())
    monkeypatch.setattr(remote.Remote, "partition", lambda self, key, content: pytest.fail("read again"))
    assert store.open(address).tape().events().tobytes() == here.tape().events().tobytes()


def test_only_what_is_read_is_fetched_and_no_partition_twice(tmp_path, address, cache):
    mine = filled(tmp_path / "mine")
    remote.publish(mine, address)
    store.open(address).tape("B/USDT", T0 + DAY, T0 + 2 * DAY)
    wanted = {key: name for key, name in partitions(mine).items() if key[1] == "B/USDT" and key[3] in ("2026-02-09", "2026-02-10")}
    assert fetched(cache) == sorted(wanted.values()), "the day, and the one before it, whose last hour the door sees first"
    before = {path: path.stat().st_mtime_ns for path in (cache / "partitions").rglob("*.parquet")}
    store.open(address).tape()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_processes_that_open_it_at_once_have_the_same(tmp_path):
    """As workers on one machine do: none reads what another has half written."""
    mine, address = filled(tmp_path / "mine", days=1), f"file://{tmp_path}/there"
    remote.publish(mine, address)
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_digest, [address] * 8))
    assert set(found) == {_digest(str(mine))}


def _digest(where):
    return hashlib.sha256(store.open(where).tape().events().tobytes()).hexdigest()


def test_what_is_new_is_sent_and_seen_and_nothing_else(tmp_path, address):
    mine = filled(tmp_path / "mine")
    remote.publish(mine, address)
    opened = store.open(address)
    importer.run(mine, [save(tmp_path / "more.npz", {"bybit~AAAUSDT": market(50, seed=9, start=T0 + 3 * DAY)})], opener)
    sent, _ = remote.publish(mine, address)
    assert sent == sum(key[3] == "2026-02-12" for key in partitions(mine)) > 0
    assert remote.publish(mine, address) == (0, 0)
    assert opened.contract("AAAUSDT").days()[-1] == "2026-02-11" and store.open(address).contract("AAAUSDT").days()[-1] == "2026-02-12"
    assert store.open(address).tape(missing="gap").events().tobytes() == store.open(mine).tape(missing="gap").events().tobytes()


def test_a_publication_that_was_stopped_is_never_half_seen(tmp_path, address, monkeypatch):
    """Stopped before each of its files in turn: readers have the old store, or an error that says which partition is being changed."""
    mine = filled(tmp_path / "mine", days=1, contracts=("bybit~AAAUSDT",))
    remote.publish(mine, address)
    old = store.open(mine).tape().events().tobytes()
    more = save(tmp_path / "more.npz", {"bybit~AAAUSDT": market(50, seed=9), "bybit~CCCUSDT": market(50, seed=8)})
    importer.run(mine, [more], opener, overlap=True)
    new = store.open(mine).tape("AAAUSDT").events().tobytes()
    send, seen = remote.Remote.send, set()
    for most in range(20):
        left = [most]

        def stopped(self, path, name, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            send(self, path, name)

        monkeypatch.setattr(remote.Remote, "send", stopped)
        ended = False
        try:
            remote.publish(mine, address)
            ended = True
        except KeyboardInterrupt:
            assert not list((mine / ".staging").glob("publish*"))
        shutil.rmtree(remote.cache(), ignore_errors=True)
        try:
            found = store.open(address).tape("AAAUSDT").events().tobytes()
            assert found == (new if ended else old)
            seen.add("new" if ended else "old")
        except DataError as why:
            assert not ended and "AAAUSDT" in str(why) and "publish again" in str(why)
            seen.add("refused")
        if ended:
            break
    assert ended and seen == {"old", "refused", "new"}


def test_a_place_with_more_than_the_store_is_not_overwritten(tmp_path, address):
    remote.publish(filled(tmp_path / "mine"), address)
    with pytest.raises(ConfigError, match="partitions that .*other has not, such as bybit/AAAUSDT/"):
        remote.publish(filled(tmp_path / "other", contracts=("bybit~CCCUSDT",)), address)
    assert store.open(address).tape().events().tobytes() == store.open(tmp_path / "mine").tape().events().tobytes()


def test_a_damaged_partition_is_named_and_not_kept(tmp_path, cache):
    mine = filled(tmp_path / "mine", days=1)
    remote.publish(mine, f"file://{tmp_path}/there")
    victim = tmp_path / "there" / "bybit" / "AAAUSDT" / "trades" / "2026-02-09.parquet"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="cannot be read as a partition"):
        store.open(f"file://{tmp_path}/there").tape("AAAUSDT")
    victim.write_bytes(whole)
    assert len(store.open(f"file://{tmp_path}/there").tape("AAAUSDT"))
    assert not [path for path in (cache / "partitions").rglob("*") if path.is_file() and path.suffix != ".parquet"]


def test_commands_and_studies_take_an_address(tmp_path, address, capsys):
    mine = filled(tmp_path / "mine")
    assert main(["data", "put", str(mine), address, "--quiet"]) == 0
    assert "sent 24 partitions" in capsys.readouterr().out
    reports = []
    for where in (str(mine), address):
        assert main(["data", where, "--json", "--verify"]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["contracts"] == reports[1]["contracts"] and reports[1]["faults"] == []
    (tmp_path / "a.toml").write_text(f"{SETTINGS}[data]\nstore = '{address}'\n")
    (tmp_path / "b.toml").write_text(f"{SETTINGS}[data]\nstore = 'mine'\n")
    there, here = load_history(load(tmp_path / "a.toml")), load_history(load(tmp_path / "b.toml"))
    assert there.fingerprint == here.fingerprint and there.source == "store" and there.tape.events().tobytes() == here.tape.events().tobytes()
    assert not any(map(address_of, TrialLog.of(load(tmp_path / "a.toml")).notes)), "no folder is made that is called s3:"
    origin = Origin.of(load(tmp_path / "a.toml"), there)
    shutil.rmtree(remote.cache())  # as on another machine
    assert origin.open(1).events().tobytes() == dataclasses.replace(origin, store=str(mine)).open(1).events().tobytes()
    found, expected = open_data([address]), open_data([mine])
    assert (found.start, found.end, found.instruments) == (expected.start, expected.end, expected.instruments)


def test_it_can_be_served(tmp_path):
    from liqshell.service.sources import Checkpoints

    remote.publish(filled(tmp_path / "mine"), f"file://{tmp_path}/there")
    roots = tmp_path / "mine", remote.local(f"file:/{tmp_path}/there")
    of = [StoreSource(root, Checkpoints(tmp_path / f"state{n}")) for n, root in enumerate(roots)]
    assert of[0].dataset.prefixes == of[1].dataset.prefixes and of[0].dataset.data.instruments == of[1].dataset.data.instruments


def test_addresses_that_cannot_be_used_say_why(tmp_path, capsys):
    for bad, text in (
        (f"file://{tmp_path}/nothing", "nothing/catalogue.sqlite: is not there"),
        ("s3://key:secret@bucket/x", "credentials in it"),
        ("abfs://a/b?account_key=:secret", "credentials in it"),
        ("nope://x/y", "Unrecognized filesystem"),
    ):
        with pytest.raises((ConfigError, DataError), match=text) as why:
            store.open(bad)
        assert ":secret" not in str(why.value)
    assert main(["import", str(tmp_path), "--store", "s3://bucket/x", "--quiet"]) != 0
    assert not (tmp_path / "s3:").exists()
    (tmp_path / "empty").mkdir()
    assert main(["data", "put", str(tmp_path / "empty"), "not-an-address"]) == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://b/x", "s3://b/x"),
        ("s3:/b/x", "s3://b/x"),
        ("file:///a/b", "file:///a/b"),
        ("file:/a/b", "file:///a/b"),
        ("data", ""),
        ("/a/b", ""),
        ("a:b", ""),
        ("C:/x", ""),
        ("./s3:/b", ""),
    ],
)
def test_an_address_is_known_by_its_beginning(text, address):
    assert address_of(text) == address
    assert address_of(address_of(text)) == address
