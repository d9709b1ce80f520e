"""Who may ask `liqcore serve`: keys and scopes, hosts, quotas, addresses; and what is refused says why (RFC 9457), without any secret."""

import asyncio
import http.client
import json
import re
import shutil
import socket
import stat
import subprocess
import sys
import time

import pytest

from api_rig import NAMES, asked, fill, market, served
from liqshell import cli, log
from liqshell.errors import ConfigError, DataError
from liqshell.service import api as api_module
from liqshell.service import keys, openapi, web
from liqshell.service import stream as stream_module
from liqshell.service.problems import KINDS, QUOTA, without_paths
from liqshell.service.quota import Bucket
from liqshell.service.server import Options, listening, serve

LIVE, PAST = "/v1/features/live", "/v1/features/historical"
ASK = f"asset=BTC&features={NAMES[3]}"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guard")
    return fill(folder / "store", market(folder / "0", 0, 400))


@pytest.fixture
def small(tmp_path):
    return fill(tmp_path / "small", market(tmp_path / "0", 0))


@pytest.fixture(scope="module")
def api(store, tmp_path_factory):
    with asked(store, tmp_path_factory.mktemp("state")) as one:
        yield one


def scoped_routes(api):
    return [(method, path.replace("*", "0" * 16), route.scope) for (method, path), route in api.site.routes.items() if route.scope]


def test_no_key_gets_in_and_no_scope_is_not_another(api):
    assert len(scoped_routes(api)) >= 8
    only = {scope: keys.new(api.state, (scope,), "now") for scope in keys.SCOPES}
    for method, path, scope in scoped_routes(api):
        for token in (None, "x", "lq_live_", api.token[:-1], api.token + "x", "lq_live_00000000_" + "a" * 43, "Bearer " + api.token):
            answer = api.ask(method, path, key=token)
            assert (
                answer.status == 401
                and answer.headers["www-authenticate"] == "Bearer"
                and answer.headers["content-type"] == "application/problem+json"
            )
        assert api.ask(method, path, f"key={api.token}&access_token={api.token}", key=None).status == 401
        for other, token in only.items():
            answer = api.ask(method, path, key=token)
            assert (answer.status == 403) == (other != scope), (path, other)
            if other != scope:
                assert answer.json["needed"] == scope
    assert (
        api.ask("GET", LIVE, ASK).status == 200
        and api.ask("GET", LIVE, ASK, headers={"authorization": f"bearer {api.token}"}, key=None).status == 200
    )


def test_a_key_is_kept_as_its_hash_and_can_be_revoked(store, tmp_path, capsys):
    state = tmp_path / "state"
    assert cli.main(["serve", "key", "new", "--scope", "features:read,history:read", "--note", "a bot", "--state", str(state)]) == 0
    token = capsys.readouterr().out.strip()
    assert re.fullmatch(r"lq_live_[0-9a-f]{8}_[\w-]{43}", token)
    text = (state / keys.FILE).read_text()
    assert token not in text and token.rpartition("_")[2] not in text and stat.S_IMODE((state / keys.FILE).stat().st_mode) == 0o600
    assert cli.main(["serve", "key", "list", "--state", str(state)]) == 0
    listed = capsys.readouterr().out
    assert listed.split()[:2] == [token.split("_")[2], "features:read,history:read"] and "a bot" in listed
    with asked(store, state) as api:
        assert api.ask("GET", LIVE, ASK, key=token).status == 200 and api.ask("GET", "/v1/signals", key=token).status == 403
        assert cli.main(["serve", "key", "revoke", token.split("_")[2], "--state", str(state)]) == 0
        assert api.ask("GET", LIVE, ASK, key=token).status == 401
    assert cli.main(["serve", "key", "new", "--scope", "orders:write", "--state", str(state)]) == 2
    assert "features:read, history:read, signals:read" in capsys.readouterr().err
    (state / keys.FILE).write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        keys.read(state)


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8710", True),
        ("localhost:1", True),
        ("LOCALHOST", True),
        ("[::1]:8710", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1:8710@evil.example", False),
        ("", False),
        ("::1", False),
        ("127.0.0.1:8710.evil", False),
        (None, False),
        ("127.0.0.2", False),
        ("api.example", False),
    ],
)
def test_a_name_bound_to_our_address_is_refused(api, host, good):
    answer = api.ask("GET", LIVE, ASK, headers={"host": host})
    assert (answer.status == 200) == good and (good or answer.json["type"].endswith("/bad-host"))


def test_a_page_of_another_site_is_refused_and_a_named_host_is_served(store, tmp_path):
    with asked(store, tmp_path / "state", hosts=["Api.example"]) as api:
        assert api.ask("GET", LIVE, ASK, headers={"host": "api.example"}).status == 200
        assert api.ask("GET", LIVE, ASK, headers={"origin": "https://api.example"}).status == 200
        for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
            assert api.ask("GET", LIVE, ASK, headers={"origin": origin}).status == 403


def test_quotas_are_told_and_kept(store, tmp_path):
    with asked(store, tmp_path / "state", live_limit=3, history_limit=5) as api:
        clock = [100.0]
        api.site.clock = lambda: clock[0]
        for left in (2, 1, 0):
            answer = api.ask("GET", LIVE, ASK)
            assert answer.status == 200 and answer.headers["ratelimit-policy"] == '"live";q=3;w=60' and f"r={left};" in answer.headers["ratelimit"]
        refused = api.ask("GET", LIVE, ASK)
        assert refused.status == 429 and refused.json["type"] == QUOTA and refused.json["violated-policies"] == ["live"]
        assert refused.headers["retry-after"] == "20" and refused.headers["ratelimit"] == '"live";r=0;t=20'
        assert api.ask("GET", LIVE, ASK, key=keys.new(api.state, ("features:read",), "now")).status == 200  # each key has its own
        assert api.ask("GET", "/v1/health").status == 200
        clock[0] += 20.0
        assert api.ask("GET", LIVE, ASK).status == 200 and api.ask("GET", LIVE, ASK).status == 429
        large = {"features": list(NAMES), "asset": "BTC", "every": "20s"}  # 4,300 rows of 7: three requests' worth
        assert [api.history(**large).status for _ in range(3)] == [200, 429, 429]


def test_a_bucket_refills_evenly():
    bucket = Bucket("x", 60)
    assert all(bucket.take(1, 0.0)[0] for _ in range(60)) and not bucket.take(1, 0.5)[0] and bucket.take(1, 1.0)[0] and not bucket.take(1, 1.0)[0]
    assert bucket.take(10_000, 3600.0)[0] and not bucket.take(1, 3600.0)[0]  # more than it ever holds: from a full one


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "headers", "status", "kind"),
    [
        ("GET", "/v1/nothing", "", None, {}, 404, "not-found"),
        ("DELETE", LIVE, "", None, {}, 405, "no-method"),
        ("GET", PAST, "", None, {}, 405, "no-method"),
        ("GET", LIVE, "features=liq_imbalence@15m&asset=BTC", None, {}, 422, "unknown-feature"),
        ("GET", LIVE, "asset=BTC", None, {}, 422, "bad-value"),
        ("GET", LIVE, "features=liq_rate", None, {}, 409, "ambiguous"),
        ("GET", LIVE, "features=liq_rate&asset=DOGE", None, {}, 404, "unknown-asset"),
        ("GET", LIVE, "features=SOL/price.last&asset=BTC", None, {}, 404, "unknown-asset"),
        ("GET", LIVE, ASK + "&asset=ETH", None, {}, 400, "bad-request"),
        ("GET", LIVE, ASK + "&assett=ETH", None, {}, 422, "bad-value"),
        ("GET", LIVE, ASK + "&run=x", None, {}, 404, "unknown-run"),
        ("GET", LIVE, "features=%ff", None, {}, 400, "bad-request"),
        ("GET", LIVE, "features=own.share&asset=BTC", None, {}, 422, "unknown-feature"),
        ("GET", LIVE, "features=price.last@7m&asset=BTC", None, {}, 404, "no-such-form"),
        ("GET", LIVE, "features=flow.ofi@5m:lag&asset=BTC", None, {}, 404, "no-such-form"),
        ("GET", "/v1/signals", "", None, {}, 404, "not-found"),
        ("GET", "/v1/view", "", None, {}, 404, "unknown-run"),
        ("GET", "/v1/signals", "limit=0", None, {}, 422, "bad-value"),
        ("POST", PAST, "", b"\x1f\x8b", {"content-type": "application/json", "content-encoding": "gzip"}, 415, "packed"),
        ("POST", PAST, "", {"features": ["liq_rate"], "asset": "BTC", "at": ["1970-01-01"]}, {}, 422, "bad-time"),
        ("POST", PAST, "", b"{}", {}, 415, "no-json"),
        ("POST", PAST, "", b"{", {"content-type": "application/json"}, 400, "bad-request"),
        ("POST", PAST, "", b"[]", {"content-type": "application/json; charset=utf-8"}, 422, "bad-value"),
        (
            "POST",
            PAST,
            "",
            b'{"features": ["liq_rate"], "asset": "BTC", "asset": "ETH", "at": [1]}',
            {"content-type": "application/json"},
            400,
            "bad-request",
        ),
        ("POST", "/v1/jobs", "", b'{"features": [], "features": []}', {"content-type": "application/json"}, 400, "bad-request"),
        ("POST", PAST, "", {"features": ["liq_rate"], "asset": "BTC", "at": ["yesterday"]}, {}, 422, "bad-time"),
        ("POST", PAST, "", {"features": ["liq_rate"], "asset": "BTC", "at": [True]}, {}, 422, "bad-time"),
        ("POST", PAST, "", {"features": ["liq_rate"], "asset": "BTC", "at": [1], "every": "1m"}, {}, 422, "bad-value"),
        ("POST", PAST, "", {"features": ["liq_rate"], "rows": [{"asset": "BTC"}]}, {}, 422, "bad-value"),
        ("POST", PAST, "", {"features": ["liq_rate"], "asset": "BTC", "at": []}, {"accept": "image/png"}, 406, "not-acceptable"),
        ("POST", PAST, "", {"features": ["liq_rate"], "asset": "BTC", "at": [1_770_600_000] * 100_001}, {}, 413, "too-large"),
        ("POST", PAST, "", b"[" + b" " * (17 << 20), {"content-type": "application/json"}, 413, "too-large"),
        ("GET", "/v1/features/stream", ASK + "&every=0s", None, {}, 422, "bad-value"),
        ("GET", "/v1/features/stream", ASK, None, {"last-event-id": "x"}, 422, "bad-value"),
    ],
)
def test_what_is_wrong_is_said_as_rfc_9457_has_it(api, method, path, query, body, headers, status, kind):
    answer = api.ask(method, path, query, body, headers | {"x-request-id": "mine-1"})
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer.body
    found = answer.json
    assert found["type"].endswith("/" + kind) and found["status"] == KINDS[kind][0] == status and found["title"] and found["detail"]
    assert found["instance"] == path and found["request_id"] == answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"features": ["liq_rate"], "at": [1], "asset": "BTC", "asset": "BTC"}', "asset"),
        ('{"rows": [{"at": 1, "asset": "BTC"}, {"at": 1, "at": 2}]}', "at"),
        ('{"label": {"feature": "a", "after": "1h", "f\\u0065ature": "b"}}', "feature"),
        ('{"x": 1, "a": {"": [{"": 1, "": 2}]}}', ""),
        ('{"' + "k" * 300 + '": 1, "' + "k" * 300 + '": 2}', "k" * 40),
    ],
)
def test_a_key_that_stands_twice_is_named(api, body, name):
    """One of the two would be passed over, and nobody says which."""
    answer = api.ask("POST", PAST, "", body.encode(), {"content-type": "application/json"})
    assert (answer.status, answer.json["type"].rpartition("/")[2], answer.json["name"]) == (400, "bad-request", name) and "twice" in answer.json[
        "detail"
    ]


@pytest.mark.parametrize("depth", [100, 900, 1020, 5000, 1_000_000])
def test_a_deeply_nested_body_is_the_fault_of_who_sends_it(api, depth):
    answer = api.ask("POST", PAST, "", b'{"a":' * depth + b"1" + b"}" * depth, {"content-type": "application/json"})
    assert answer.status in (400, 422) and answer.json["type"].rpartition("/")[2] in ("bad-request", "bad-value")


def test_a_key_may_stand_in_two_objects(api):
    assert api.history(features=["price.last"], rows=[{"asset": "BTC", "at": 1_772_499_600}] * 3).status == 200


def test_a_hint_names_the_nearest_and_an_odd_request_id_is_replaced(api):
    answer = api.ask("GET", LIVE, "asset=BTC&features=liquidations.liq_imbalence@15m", headers={"x-request-id": "a b\r\nc"})
    assert answer.json["hint"] == "liq_imbalance" and re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"label": {"feature": "price.last", "after": "999999999d"}}, "bad-value"),
        ({"contract": "bybit:ETHUSDT"}, "unknown-asset"),
    ],
)
def test_what_contradicts_itself_or_has_no_end_is_refused(api, more, kind):
    answer = api.history(**{"features": ["price.last"], "asset": "BTC", "at": [1772499600]} | more)
    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (KINDS[kind][0], kind)


def test_an_empty_question_has_an_empty_answer(api):
    found = api.history(features=["price.last"], rows=[])
    assert found.status == 200 and found.json["rows"] == 0 and found.json["columns"] == {"at": [], "contract": [], "price.last": []}


def test_addresses_of_the_network_need_tls_or_a_proxy(store, tmp_path):
    for options, said in (
        (Options(bind="0.0.0.0"), "in plain text"),
        (Options(bind="::", cert=tmp_path / "c"), "in plain text"),
        (Options(bind="192.0.2.1", proxy=True), "--host-name"),
        (Options(auth=False, proxy=True, hosts=["x"]), "--no-auth"),
        (Options(bind="192.0.2.1", auth=False, proxy=True, hosts=["x"]), "--no-auth"),
        (Options(cert=tmp_path / "c"), "both"),
        (Options(cert=tmp_path / "c", key=tmp_path / "k"), "no such file"),
        (Options(port=70_000), "no port"),
        (Options(), "no key, so"),
    ):
        with pytest.raises(ConfigError, match=said):
            serve(store, tmp_path / "state", options)
    Options(bind="192.0.2.1", proxy=True, hosts=["api.example"]).check()
    Options(bind="::1", auth=False).check()


def test_without_the_extra_it_says_what_to_install(store, tmp_path):
    program = "import sys; sys.modules['uvicorn'] = None; from liqshell import cli; sys.exit(cli.main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", str(store), "--no-auth", "--state", str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "pip install 'liqcore[api]'" in done.stderr


def test_the_description_is_of_what_there_is(api):
    document = api.ask("GET", "/v1/openapi.json", key=None).json
    described = {
        (method.upper(), path.replace("{id}", "*")) for path, methods in document["paths"].items() for method in methods if method != "parameters"
    }
    assert described == {place for place in api.site.routes if place[1] != "/docs"} and document["openapi"] == "3.1.0"
    validate = pytest.importorskip("openapi_spec_validator").validate
    validate(document)
    page = api.ask("GET", "/docs", key=None)
    assert page.status == 200 and "script" not in page.body.decode() and all(path in page.body.decode() for path in document["paths"])
    assert "http" not in re.sub(r"</?html[^>]*>|<h1>.*?</h1>", "", page.body.decode().replace("HTTP", "").replace("http-equiv", ""))
    assert openapi.document()["info"]["version"]


def test_answers_are_as_described(api):
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    paths = api.ask("GET", "/v1/openapi.json").json["paths"]

    def schema(path, method="get", status="200"):
        return validator(paths[path][method]["responses"][status]["content"]["application/json"]["schema"])

    schema(LIVE).validate(api.ask("GET", LIVE, f"asset=BTC&features={','.join(NAMES)}").json)
    schema(PAST, "post").validate(api.history(features=list(NAMES), asset="BTC", every="2h").json)
    schema("/v1/features").validate(api.ask("GET", "/v1/features").json)
    validator(openapi.document()["components"]["schemas"]["Problem"]).validate(api.ask("GET", LIVE).json)
    listing = api.ask("GET", "/v1/features").json["features"]
    assert {"name": "flow.ofi", "window": "required", "made_of": ["BBO"]}.items() <= next(f for f in listing if f["name"] == "flow.ofi").items()
    parsed = api.ask("GET", "/v1/features/parse", "names=liq_btc_lead,flow.ofi@300s:zscore(2d,min%3D10)").json["names"]
    assert [one["name"] for one in parsed] == ["BTC/liquidations.liq_volume@1s:lag(30s)", "flow.ofi@5m:zscore(2d,min=10)"]


def test_a_canary_secret_is_nowhere(store, tmp_path, caplog, capfd):
    """The key of a request, also a broken one, and secrets of the process: in no answer, file or log."""
    canary = "CANARY-secret-8e1f"
    log.protect(canary)
    with asked(store, tmp_path / "state") as api:
        answers = [
            api.ask(method, path, f"features={canary}", headers={"authorization": f"Bearer {api.token}{canary}", "cookie": canary}, key=None)
            for method, path, _ in scoped_routes(api)
        ]
        answers += [api.ask("GET", LIVE, ASK), api.ask("GET", "/v1/health", key=None), api.history(features=["price.last"], asset="BTC", every="6h")]
        for answer in answers:
            assert canary.encode() not in answer.body and api.token.encode() not in answer.body and canary not in str(answer.headers)
        for path in (tmp_path / "state").rglob("*"):
            assert not path.is_file() or api.token.encode() not in path.read_bytes() and canary.encode() not in path.read_bytes()
        out, err = capfd.readouterr()
        assert canary not in out + err + caplog.text and api.token not in out + err + caplog.text
        assert json.loads((api.state / keys.FILE).read_text())


def test_a_long_body_is_answered_on_a_socket(tmp_path):
    """A client that sends 30 MB in one piece reads why it was refused, and its connection serves the next request."""
    store = fill(tmp_path / "store", market(tmp_path / "0", 0))
    with served(store, tmp_path / "state") as (address, token):
        line = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
        head = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        line.request("POST", PAST, b"[" + b" " * (30 << 20), head)
        answer = line.getresponse()
        assert answer.status == 413 and b"too-large" in answer.read()
        line.request("GET", "/v1/health")
        answer = line.getresponse()
        assert answer.status == 200 and answer.read()
        line.close()


@pytest.mark.parametrize(
    "query",
    [
        "features=price.last&asset=BTC&strict=2",
        "features=price.last&asset=BTC&strict=yes",
        "features=flow.ofi@%D9%A5m&asset=BTC",
        "features=flow.ofi@5m:zscore(2h,min=%D9%A5)&asset=BTC",
    ],
)
def test_values_that_are_none(api, query):
    answer = api.ask("GET", "/v1/features/live", query)
    assert answer.status == 422, answer.body


def on_a_socket(address: str, sent: bytes, buffer: int = 0) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    line = socket.socket()
    if buffer:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    line.settimeout(30)
    line.connect((host, int(port)))
    line.sendall(sent)
    return line


def ended(line: socket.socket) -> bool:
    """What is there is read, until the server ends the connection."""
    try:
        while line.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    line.close()
    return True


def waits_for(what) -> bool:
    until = time.monotonic() + 30
    while not what() and time.monotonic() < until:
        time.sleep(0.02)
    return what()


def raw_answer(address: str, sent: bytes) -> tuple[int, dict, dict]:
    """What a socket is answered, until the server ends the connection."""
    line = on_a_socket(address, sent)
    found = http.client.HTTPResponse(line)
    found.begin()
    body = found.read()
    line.close()
    return found.status, {name.lower(): value for name, value in found.getheaders()}, json.loads(body)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET /v1/features/live?features=" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", "65535"),
        (b"GET /v1/features/live?features=" + b"a" * 3_000_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", "65535"),
        (b"GET  HTTP/1.1\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x00\xa5\x01", "HTTP"),
        (b"GET /v1/health HTTP/1.1\r\nhost 127.0.0.1\r\n\r\n", "HTTP"),
    ],
)
def test_what_cannot_be_read_as_a_request_is_said_like_everything_else(small, sent, said):
    with served(small, small.parent / "state") as (address, _):
        status, headers, found = raw_answer(address, sent)
    assert (status, headers["content-type"], headers["connection"]) == (400, "application/problem+json", "close")
    assert found["type"].endswith("/bad-request") and found["status"] == 400 and said in found["detail"]
    assert found["request_id"] == headers["x-request-id"] and headers["x-content-type-options"] == "nosniff"


def test_a_url_just_within_the_limit_is_read(small):
    with served(small, small.parent / "state", auth=False) as (address, _):
        status, headers, _ = raw_answer(
            address, b"GET /v1/health?" + b"a" * (65_535 - 15) + b" HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        )
    assert status in (400, 422) and "request-id" in str(headers)


def test_too_many_connections_are_told_so(small, monkeypatch):
    connection = pytest.importorskip("liqshell.service.connection")
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 3)
    ask = b"GET /v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
    with served(small, small.parent / "state", auth=False) as (address, _):
        assert raw_answer(address, ask)[0] == 200
        held = [on_a_socket(address, b"GET") for _ in range(2)]
        assert waits_for(lambda: raw_answer(address, ask)[0] == 503)
        status, headers, found = raw_answer(address, ask)
        assert (status, headers["content-type"]) == (503, "application/problem+json") and found["type"].endswith("/not-ready")
        assert "connections" in found["detail"] and found["request_id"] == headers["x-request-id"] and int(headers["retry-after"]) > 0
        for line in held:
            line.close()
        assert waits_for(lambda: raw_answer(address, ask)[0] == 200)


def test_every_operation_says_that_it_may_not_be_ready(api):
    """Damaged keys, a run that is gone and the limit of connections meet all of them."""
    for methods in openapi.document()["paths"].values():
        for about in (one for method, one in methods.items() if method != "parameters"):
            assert "application/problem+json" in about["responses"]["503"]["content"], about["summary"]
    health = openapi.document()["paths"]["/v1/health"]["get"]["responses"]["503"]["content"]
    assert health.keys() == {"application/json", "application/problem+json"}


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: ",
        b"POST /v1/features/historical HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    ],
)
def test_a_request_that_never_ends_does_not_hold_its_connection(small, monkeypatch, sent):
    connection = pytest.importorskip("liqshell.service.connection")
    monkeypatch.setattr(connection, "REQUEST_S", 0.3)
    with served(small, small.parent / "state", auth=False) as (address, _):
        assert ended(on_a_socket(address, sent))
        slow = on_a_socket(address, b"GET /v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        assert slow.recv(12) == b"HTTP/1.1 200"
        slow.close()


def test_where_it_cannot_listen_it_says_so_in_words(small, tmp_path, capfd):
    """Another process has the port; an address that is not of this machine; and a key that is missing is missing in this folder."""
    state = tmp_path / "my state"
    assert cli.main(["serve", str(small), "--state", str(state)]) == 2 and "--scope features:read,history:read --state '" in capfd.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}.*cannot listen there.*[Aa]ddress.*--port"):
            listening(Options(port=port))
    with pytest.raises(ConfigError, match="192.0.2.1:0.*cannot listen there"):
        listening(Options("192.0.2.1", 0))


def test_a_stream_ends_with_its_client(small, monkeypatch):
    """One that left, and one that takes nothing: neither leaves anything that goes on to make events."""
    connection = pytest.importorskip("liqshell.service.connection")
    monkeypatch.setattr(connection, "TAKE_S", 0.3)
    working, real, endless = [], api_module.stream, []

    async def watched(*args):
        working.append(1)
        try:
            async for piece in real(*args):
                yield piece
                while endless:
                    yield b":" + b"x" * 65536 + b"\n\n"
        finally:
            working.pop()

    monkeypatch.setattr(api_module, "stream", watched)
    monkeypatch.setattr(stream_module, "PING_S", 0.1)
    ask = f"GET /v1/features/stream?asset=BTC&features={NAMES[3]} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    with served(small, small.parent / "state", auth=False) as (address, _):
        lines = [on_a_socket(address, ask) for _ in range(5)]
        for line in lines:
            assert b"200" in line.recv(100)
        assert waits_for(lambda: len(working) == 5)
        for line in lines:
            line.close()
        assert waits_for(lambda: not working)
        endless.append(1)
        stays = on_a_socket(address, ask, buffer=4096)
        assert waits_for(lambda: len(working) == 1) and waits_for(lambda: not working)
        assert ended(stays)


@pytest.mark.parametrize("every", ["1ns", "999ms"])
def test_a_stream_has_no_steps_below_a_second(api, every):
    answer = api.ask("GET", "/v1/features/stream", ASK + f"&every={every}")
    assert answer.status == 422 and answer.json["name"] == "every"


def test_files_of_the_server_that_cannot_be_read_are_its_fault_and_no_path_is_told(store, tmp_path):
    copy = tmp_path / "a folder" / "store"
    shutil.copytree(store, copy)
    with asked(copy, tmp_path / "state") as api:
        assert api.ask("GET", LIVE, ASK).status == 200
        kept = (api.state / keys.FILE).read_text()
        (api.state / keys.FILE).write_text(kept[:40])
        answer = api.ask("GET", LIVE, ASK)
        assert answer.status == 503 and answer.json["detail"].startswith(f"{keys.FILE}: cannot be read") and str(tmp_path) not in answer.body.decode()
        (api.state / keys.FILE).write_text(kept)
        assert api.ask("GET", LIVE, ASK).status == 200
        shutil.rmtree(copy)
        api.loop.run_until_complete(asyncio.sleep(0.6))
        health = api.ask("GET", "/v1/health", key=None)
        assert health.status == 503 and "catalogue.sqlite" in health.json["why"]
        answer = api.history(asset="BTC", features=["price.last"], at=["2026-02-09T01:00:00Z"])
        assert answer.status == 503 and answer.json["type"].endswith("/not-ready")
        assert "a folder" not in (health.body + answer.body).decode()


def test_what_is_said_of_a_file_has_no_folder():
    assert (
        without_paths(DataError("/data/me/store/a.parquet:7", "bad (in '/data/me/b.csv')", "a/b or c"))
        == "a.parquet:7: bad (in 'b.csv'); expected a/b or c"
    )
    assert without_paths(DataError("", "no frames")) == "no frames"
    assert without_paths(FileNotFoundError(2, "No such file", "/x y/z")) == "[Errno 2] No such file: 'z'"


def test_what_is_left_is_said_after_the_cells_are_charged(store, tmp_path):
    with asked(store, tmp_path / "state", history_limit=5) as api:
        api.site.clock = lambda: 100.0
        large = {"features": list(NAMES), "asset": "BTC", "every": "20s"}  # 4,300 rows of 7: four requests' worth in all
        answer = api.history(**large)
        assert answer.status == 200 and answer.headers["ratelimit"] == '"history";r=1;t=48'
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": json.dumps(large).encode()}

        headers = [(b"host", b"localhost"), (b"authorization", b"Bearer " + api.token.encode()), (b"content-type", b"application/json")]
        api.loop.run_until_complete(
            api.site({"type": "http", "method": "POST", "path": PAST, "query_string": b"", "headers": headers}, receive, send)
        )
        names = [name for name, _ in sent[0]["headers"]]
        assert sent[0]["status"] == 429 and names.count(b"ratelimit") == names.count(b"ratelimit-policy") == names.count(b"retry-after") == 1


def test_a_304_has_no_length_and_head_is_among_what_is_possible(api):
    question = {"asset": "BTC", "features": ["price.last"], "at": []}
    again = api.history(**question, headers={"if-none-match": api.history(**question).headers["etag"]})
    assert again.status == 304 and not again.headers.keys() & {"content-length", "content-type"}
    assert api.ask("OPTIONS", LIVE).headers["allow"] == "GET, HEAD" and api.ask("PUT", PAST).headers["allow"] == "POST"


def test_a_kind_that_is_refused_by_name_is_not_sent():
    kinds = ("application/json", "text/csv")
    assert web.accepted("application/json;q=0, */*", kinds) == "text/csv" and web.accepted("*/*;q=0.1, text/csv;q=0", kinds) == "application/json"
