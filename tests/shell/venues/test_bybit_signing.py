"""Signing: as an independent computation and as pybit do it; and no form of the keys shows them."""

import copy
import hashlib
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqshell import log
from liqshell.errors import ConfigError
from liqshell.live.keys import find_keys, load_keys
from liqshell.transport import Endpoint
from liqshell.venues.bybit import signing as bybit_signing
from liqshell.venues.bybit.signing import Keys

ENDPOINT = Endpoint("http://127.0.0.1:1")
KEY, SECRET = "Zk3xCanaryKey09aQp", "cAnArYsEcReT0123456789abcdefABCDEF77"


def by_hand(secret: str, text: str) -> str:
    """HMAC of RFC 2104 written out, so that nothing of it is shared with what is tested."""
    block = secret.encode()
    block = (hashlib.sha256(block).digest() if len(block) > 64 else block).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + text.encode()).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


@pytest.mark.parametrize(
    ("now_ms", "payload", "window", "expected"),
    [
        # our own vectors, made with openssl dgst -sha256 -hmac: the venue publishes texts, but no secrets
        (1658384314791, "category=option&symbol=BTC-29JUL22-25000-C", 5000, "d3307cdb576bb9fa5b2b7ab52ffa16da18c51a61e1accc4417e1cdea10cf1e1c"),
        (1658385579423, '{"category": "option"}', 5000, "250e5a09ff77afa6d0d0270cd8f7cc99a6e3ecd1d01f6c398a5a78c5d90dc461"),
    ],
)
def test_vectors_of_rest(now_ms, payload, window, expected):
    headers = bybit_signing.rest_headers(Keys(KEY, SECRET), ENDPOINT, now_ms, payload, window)
    assert headers["X-BAPI-SIGN"] == expected == by_hand(SECRET, f"{now_ms}{KEY}{window}{payload}")
    assert headers["X-BAPI-TIMESTAMP"] == str(now_ms) and headers["X-BAPI-RECV-WINDOW"] == str(window) and headers["X-BAPI-API-KEY"] == KEY


@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=128),
    payload=st.text(max_size=200),
    now_ms=st.integers(0, 2**53),
    window=st.integers(1, 60_000),
)
@settings(max_examples=100)
def test_any_signature_is_the_one_computed_by_hand(secret, payload, now_ms, window):
    payload = payload.encode("utf-8", "replace").decode()
    if secret.startswith("-----BEGIN"):
        return
    sign = bybit_signing.rest_headers(Keys(KEY, secret), ENDPOINT, now_ms, payload, window)["X-BAPI-SIGN"]
    assert sign == by_hand(secret, f"{now_ms}{KEY}{window}{payload}")


def test_signatures_are_pybits():
    pybit = pytest.importorskip("pybit._http_manager", reason="pybit is not installed")
    generate = pybit.generate_signature if hasattr(pybit, "generate_signature") else pybit._http_manager.generate_signature
    keys = Keys(KEY, SECRET)
    body = json.dumps({"category": "linear", "symbol": "ETHUSDT", "qty": "0.1"})
    assert bybit_signing.rest_headers(keys, ENDPOINT, 1700000000123, body)["X-BAPI-SIGN"] == generate(False, SECRET, f"1700000000123{KEY}5000{body}")
    args = json.loads(bybit_signing.private_auth_frame(keys, ENDPOINT, 1700000000123))["args"]
    assert args == [KEY, 1700000010123, generate(False, SECRET, "GET/realtime1700000010123")]


def test_each_socket_gets_its_own_spelling():
    keys = Keys(KEY, SECRET)
    private = json.loads(bybit_signing.private_auth_frame(keys, ENDPOINT, 5, "r1", 1000))
    trade = json.loads(bybit_signing.trade_auth_frame(keys, ENDPOINT, 5, "r1", 1000))
    assert private == {"req_id": "r1", "op": "auth", "args": [KEY, 1005, by_hand(SECRET, "GET/realtime1005")]}
    assert trade == {"reqId": "r1", "op": "auth", "args": private["args"]}


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda k: f"{k}",
        lambda k: f"{k!r:>40}",
        lambda k: f"{k} {k!r}",
        lambda k: str([k]),
        lambda k: str({"k": k}),
        lambda k: str(dir(k)),
        lambda k: str(Keys.__init__.__doc__),
    ],
)
def test_no_way_of_printing_shows_them(show):
    assert KEY not in show(Keys(KEY, SECRET)) and SECRET not in show(Keys(KEY, SECRET))


@pytest.mark.parametrize("copy_of", [pickle.dumps, copy.copy, copy.deepcopy, lambda k: pickle.dumps(k, 0), vars])
def test_they_are_not_taken_along(copy_of):
    with pytest.raises(TypeError):
        copy_of(Keys(KEY, SECRET))


def shown_locals(error: BaseException) -> str:
    """A traceback with the local variables of every frame of ours, as debuggers and error reporters print it."""
    frames = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
    return "".join(line for line in frames.format() if "test_bybit_signing.py" not in line)


@pytest.mark.parametrize(
    ("key", "secret"),
    [(KEY, SECRET + " \u00e9"), (KEY + "\n", SECRET), (KEY, ""), (KEY, "-----BEGIN RSA PRIVATE KEY-----" + SECRET), ("", SECRET), (KEY, 3)],
)
def test_refused_keys_are_not_in_the_traceback(key, secret):
    try:
        Keys(key, secret)
    except ValueError as why:
        text = shown_locals(why)
    assert "Keys" in text or "API" in text
    inner = text.split("signing.py", 1)[1]
    assert KEY not in inner and SECRET not in inner


def test_a_failure_while_signing_shows_nothing():
    keys = Keys(KEY, SECRET)
    try:
        bybit_signing.rest_headers(keys, ENDPOINT, 1, None)  # type: ignore[arg-type]
    except TypeError as why:
        text = shown_locals(why)
    assert SECRET not in text and "Keys([redacted])" in text


@pytest.fixture
def clean_log():
    yield
    log._secrets.clear()
    log._known = None


class Vault:
    def __init__(self, **found):
        self.found = found

    def get_password(self, service, name):
        assert service == "liqcore"
        if "boom" in self.found:
            raise RuntimeError(f"locked: {SECRET}")
        return self.found.get(name)


class Quiet(Vault):
    """A keyring that does not show what it has, as real ones do not."""

    def __repr__(self):
        return "Quiet()"


@pytest.mark.parametrize(
    ("environ", "vault", "signature_of"),
    [
        ({"LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": SECRET}, {}, SECRET),
        ({"LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": f" {SECRET}\n"}, {}, SECRET),
        ({"LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": "other-secret", "LIQCORE_API_KEY_DEMO": KEY, "LIQCORE_API_SECRET_DEMO": SECRET}, {}, SECRET),
        ({"LIQCORE_API_KEY_MAINNET": KEY, "LIQCORE_API_SECRET_MAINNET": "other-secret"}, {"api_key": KEY, "api_secret": SECRET}, SECRET),
        ({}, {"api_key": KEY, "api_secret": "other-secret", "api_key-demo": KEY, "api_secret-demo": SECRET}, SECRET),
    ],
)
def test_where_keys_come_from(environ, vault, signature_of, clean_log):
    keys = load_keys("demo", environ, Vault(**vault))
    assert keys.key == KEY and keys.sign(b"x", ENDPOINT) == by_hand(signature_of, "x")
    assert log.redact(f"see {KEY} and {SECRET}") == f"see {log.MASK} and {log.MASK}"


@pytest.mark.parametrize(
    ("environ", "vault"),
    [
        ({}, {}),
        ({"LIQCORE_API_KEY": KEY}, {}),
        ({"LIQCORE_API_SECRET": SECRET}, {}),
        ({"LIQCORE_API_KEY": "abc", "LIQCORE_API_SECRET": SECRET}, {}),
        ({}, {"boom": "1"}),
        ({}, {"api_secret": SECRET}),
        ({"LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": "two words " + SECRET}, {}),
    ],
)
def test_missing_half_or_broken_keys_say_where_and_not_what(environ, vault, clean_log):
    stream = io.StringIO()
    handler = log.setup(stream=stream)
    try:
        load_keys("demo", environ, Vault(**vault))
    except ConfigError as why:
        text = str(why)
    finally:
        logging.getLogger("liqshell").removeHandler(handler)
    assert "LIQCORE_API" in text or "keyring" in text
    assert not [secret for secret in (KEY, SECRET) if secret in text + stream.getvalue()]


@pytest.mark.parametrize(("key", "secret"), [(KEY, f"two words {SECRET}"), (KEY, ""), ("", SECRET), (KEY, f"-----BEGIN{SECRET}")])
@pytest.mark.parametrize("vault", [False, True], ids=["environment", "keyring"])
def test_no_frame_on_the_way_of_an_error_holds_them(monkeypatch, clean_log, key, secret, vault):
    """As error reporters see it that send the local variables of every frame."""
    for name in ("LIQCORE_API_KEY", "LIQCORE_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    if vault:
        keyring: Any = Quiet(api_key=key, api_secret=secret)
    else:
        keyring = Vault()
        monkeypatch.setenv("LIQCORE_API_KEY", key)
        monkeypatch.setenv("LIQCORE_API_SECRET", secret)
    with pytest.raises(ConfigError) as caught:
        load_keys("demo", keyring=keyring)
    error: BaseException | None = caught.value
    shown = ""
    while error is not None:
        frames = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
        shown += "".join(line for line in frames.format() if "test_bybit_signing.py" not in line)
        error = error.__cause__ or error.__context__
    assert "find_keys" in shown and "load_keys" in shown
    assert KEY not in shown and SECRET not in shown


def test_no_keys_at_all_is_none():
    assert find_keys("testnet", {}, Vault()) is None


def test_without_the_keyring_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert find_keys("testnet", {}) is None


def test_a_process_that_knows_a_secret_leaves_no_core_dump():
    """A crash would have written the whole memory, keys included, beside the run."""
    resource = pytest.importorskip("resource")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2); "
        "from liqshell.live.keys import load_keys; load_keys('demo', {'LIQCORE_API_KEY': 'k' * 20, 'LIQCORE_API_SECRET': 's' * 30}); "
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core dumps are forbidden here already")
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ | {"PYTHONPATH": f"{root}:{root / 'pysrc'}"}
    )
    assert done.stdout == "0\n", done.stderr
