"""liqshell.client against a server on loopback: frames of pandas and polars keep their order, index and columns; errors say what the server said."""

import socket
import threading
from datetime import UTC, datetime
from importlib.util import find_spec

import pytest

from api_rig import DAY, HOUR, NAMES, T0, Oracle, bits, fill, market, served
from liqshell import client
from liqshell.client import ApiError, Client
from liqshell.errors import ConfigError

NAMES = NAMES[:4]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    return fill(folder / "store", market(folder / "0", 0), market(folder / "1", 1))


@pytest.fixture(scope="module")
def server(store, tmp_path_factory):
    with served(store, tmp_path_factory.mktemp("state")) as one:
        yield one


@pytest.fixture(scope="module")
def api(server):
    return Client(*server)


TIMES = [T0 + DAY + 3 * HOUR, T0 + 5 * HOUR + 7, T0 + 5 * HOUR + 7, T0 - HOUR]
ASSETS = ["BTC", "ETH", "ETH", "BTC"]


@pytest.fixture(scope="module")
def expected(store):
    oracle = Oracle(store, NAMES)
    known = oracle.at(TIMES[:3])
    place = {i.asset: n for n, i in enumerate(oracle.instruments)}
    return {
        name: [bits(known[ts][place[asset], k]) if ts in known else b"null" for ts, asset in zip(TIMES, ASSETS, strict=True)]
        for k, name in enumerate(NAMES)
    }


def test_a_list_of_rows(api, expected):
    found = api.historical([{"asset": asset, "at": ts, "mine": n} for n, (ts, asset) in enumerate(zip(TIMES, ASSETS, strict=True))], NAMES)
    assert [row["mine"] for row in found] == [0, 1, 2, 3] and {name: [bits(row[name]) for row in found] for name in NAMES} == expected


def test_a_frame_of_pandas(api, expected):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"mine": list("abcd"), "at": pd.to_datetime(TIMES, utc=True), "asset": ASSETS}, index=[7, 7, 2, 0])
    found = api.historical(frame, NAMES, label=("price.last", "1h"))
    assert (
        list(found.columns) == ["mine", "at", "asset", *NAMES, "label"]
        and list(found.index) == [7, 7, 2, 0]
        and list(frame.columns) == ["mine", "at", "asset"]
    )
    assert {name: [bits(x) for x in found[name]] for name in NAMES} == expected and list(found["label"].notna()) == [True, True, True, False]
    naive = frame.assign(at=frame["at"].dt.tz_localize(None))
    assert api.historical(naive, NAMES)[NAMES[3]].equals(found[NAMES[3]])


def test_a_frame_of_polars_in_several_requests(api, expected, monkeypatch):
    pl = pytest.importorskip("polars")
    monkeypatch.setattr(client, "ROWS_MAX", 3)
    at = [datetime.fromtimestamp(ts // 10**9, UTC) for ts in TIMES]
    frame = pl.DataFrame(
        {"contract": [f"bybit:{asset}USDT" for asset in ASSETS], "at": pl.Series(TIMES).cast(pl.Datetime("ns", "UTC")), "x": [1, 2, 3, 4]}
    )
    found = api.historical(frame, ",".join(NAMES))
    assert found.columns == ["contract", "at", "x", *NAMES] and {name: [bits(x) for x in found[name]] for name in NAMES} == expected
    coarse = api.historical(pl.DataFrame({"asset": ASSETS, "at": at}), ["price.last"])
    assert bits(coarse["price.last"][0]) == expected["price.last"][0]


def test_live_parse_and_errors(api, server):
    assert api.live(NAMES, asset="ETH")["contract"] == "bybit:ETHUSDT" and api.parse("liq_rate") == ["liquidations.liq_rate@1m"]
    with pytest.raises(ApiError, match="did you mean") as why:
        api.parse("liquidations.liq_imbalence@15m")
    assert why.value.status == 422 and why.value.problem["hint"] == "liq_imbalance"
    with pytest.raises(ApiError, match="A key is needed"):
        Client(server[0]).live("liq_rate", asset="BTC")
    with pytest.raises(ConfigError, match="columns"):
        api.historical(pytest.importorskip("pandas").DataFrame({"when": [1]}), NAMES)


def test_a_key_leaves_this_machine_encrypted_only():
    with pytest.raises(ConfigError, match="unencrypted"):
        Client("http://api.example:8710", "lq_live_x")
    Client("https://api.example", "lq_live_x")
    Client("http://[::1]:8710", "lq_live_x")
    with pytest.raises(ConfigError, match="no address"):
        Client("api.example", "x")


def test_a_date_is_its_midnight_and_nothing_is_overwritten(server):
    pl = pytest.importorskip("polars")
    api, day = Client(*server), datetime.fromtimestamp((T0 + DAY) / 1e9, UTC).date()
    frame = pl.DataFrame({"at": [day], "asset": ["BTC"]})
    assert api.historical(frame, ["price.last"])["price.last"].to_list() == [
        row["price.last"] for row in api.historical([{"at": T0 + DAY, "asset": "BTC"}], ["price.last"])
    ]
    for rows in (
        frame.with_columns(pl.lit(1.0).alias("price.last")),
        frame.to_pandas().assign(**{"price.last": 1.0}) if find_spec("pandas") else None,
        [{"at": T0 + DAY, "asset": "BTC", "price.last": 1.0}],
    ):
        if rows is not None:
            with pytest.raises(ConfigError, match="price.last"):
                api.historical(rows, ["price.last"])
    with pytest.raises(ConfigError, match="label"):
        api.historical([{"at": T0 + DAY, "asset": "BTC", "label": 1}], ["price.last"], label=("price.last", "1h"))
    with pytest.raises(ConfigError, match=r"rows\[0\].at: date 2"):
        api.historical([{"at": day, "asset": "BTC"}], ["price.last"])


def test_it_waits_where_the_quota_is_used_up(store, tmp_path):
    with served(store, tmp_path / "state", live_limit=60) as (address, token):
        api = Client(address, token)
        for _ in range(62):
            assert api.live("price.last", asset="BTC")["asset"] == "BTC"
        hasty = Client(address, token, patience_s=0)
        with pytest.raises(ApiError, match="Quota exceeded"):
            for _ in range(62):
                hasty.live("price.last", asset="BTC")


def test_a_stream_is_taken_up_again(server, store):
    api, first = Client(*server), T0 + DAY
    seen = []
    for one in api.stream(["price.last"], asset="BTC", every="1h", last=first):
        seen.append(one["as_of_ns"])
        if len(seen) == 3:
            break
    assert seen == [first + k * HOUR for k in (1, 2, 3)]


def test_over_tls_with_an_authority_of_ones_own(store, tmp_path):
    """A certificate of another authority is not taken."""
    authority = pytest.importorskip("trustme").CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    for n, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(tmp_path / "cert.pem"), append=n > 0)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with served(store, tmp_path / "state", cert=tmp_path / "cert.pem", key=tmp_path / "key.pem") as (address, token):
        url = address.replace("http://", "https://")
        assert Client(url, token, ca=str(tmp_path / "ca.pem")).live("price.last", asset="BTC")["asset"] == "BTC"
        with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
            Client(url, token).live("price.last", asset="BTC")


def test_a_server_that_is_not_there():
    with pytest.raises(ApiError, match="no answer") as why:
        Client("http://127.0.0.1:9").live("price.last", asset="BTC")
    assert why.value.status == 0


HEAD = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"", 0),
        (b"no HTTP\r\n\r\n", 0),
        (HEAD % (200, 99) + b'{"as_of":', 200),
        (HEAD % (200, 3) + b"abc", 200),
        (HEAD % (200, 2) + b"[]", 200),
        (HEAD % (503, 99) + b"<html>", 503),
        (HEAD % (503, 2) + b"[]", 503),
    ],
)
def test_a_server_that_dies_in_an_answer(said, status):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(2):
                with server.accept()[0] as one:
                    one.recv(1 << 16)
                    one.sendall(said)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        api = Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout_s=5.0)
        for ask in (lambda: api.live(["price.last"], "BTC"), lambda: api.historical([{"asset": "BTC", "at": T0}], ["price.last"])):
            with pytest.raises(ApiError) as why:
                ask()
            assert why.value.status == status
        thread.join(5.0)
