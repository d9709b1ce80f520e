"""Logging: a secret never reaches the stream, by whatever door it comes in."""

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqshell import log

CANARY = "cAnArY-\"7\\f3a'9é-secret"


@pytest.fixture(autouse=True)
def forget():
    yield
    log._secrets.clear()
    log._known = None
    logger = logging.getLogger("liqshell")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    logger.propagate = True


def emitted(as_json: bool, act) -> str:
    stream = io.StringIO()
    log.setup("debug", as_json=as_json, stream=stream)
    act(logging.getLogger("liqshell.test"))
    return stream.getvalue()


def everywhere(logger: logging.Logger) -> None:
    """The canary through each door of the logging module."""
    logger.info("plain %s", CANARY)
    logger.info(f"formatted {CANARY}")
    logger.info("repr %r", {"inner": [CANARY]})
    logger.info("extra", extra={"header": CANARY, "nested": {"deep": [CANARY, (CANARY,)], CANARY: 1}, "raw": CANARY.encode()})
    try:
        try:
            raise ValueError(f"bad key {CANARY}")
        except ValueError as why:
            raise RuntimeError(CANARY) from why
    except RuntimeError:
        logger.exception("it broke")
    logger.info("stack", stack_info=True)
    logger.warning("json %s", json.dumps({"key": CANARY}))


@pytest.mark.parametrize("as_json", [False, True])
def test_protected_values_never_appear(as_json):
    log.protect(CANARY)
    out = emitted(as_json, everywhere)
    assert "it broke" in out
    for form in (CANARY, json.dumps(CANARY)[1:-1], repr(CANARY)[1:-1], json.dumps(json.dumps(CANARY))[2:-2], "7\\f3a", "f3a'9"):
        assert form not in out


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "api_key=QX77sekret",
        "apiKey: QX77sekret",
        "Authorization: Bearer QX77sekret",
        '{"api_secret": "QX77sekret"}',
        "X-BAPI-SIGN=QX77sekret",
        "https://me:QX77sekret@host/path",
        "{'password': 'QX77sekret'}",
        "signature=QX77sekret&x=1",
        "?token=QX77sekret",
        "my_secret_key = QX77sekret",
        "bearer QX77sekret",
    ],
)
def test_what_is_named_like_a_credential_is_masked(as_json, text):
    out = emitted(as_json, lambda logger: logger.info("request %s", text))
    assert "QX77sekret" not in out
    assert log.MASK in out


@pytest.mark.parametrize("name", ["api_key", "secret", "password", "access_token", "authorization", "bybitApiSecret"])
def test_extra_fields_named_like_a_credential_are_masked_whole(name):
    for value in ("QX77sekret", ["QX77sekret"], 772277):
        out = emitted(True, lambda logger, value=value: logger.info("x", extra={name: value}))
        assert "QX77sekret" not in out and "772277" not in out


def test_ordinary_text_passes():
    text = "ETHUSDT design: 3 signals, monkey=1, side: long, keys a, b; ratio 0.5 at 12:30:01"
    assert log.redact(text) == text


def test_json_lines_are_json_and_one_line():
    out = emitted(True, lambda logger: logger.info("two\nlines", extra={"count": 3, "odd": float("inf"), "thing": object()}))
    assert out.count("\n") == 1
    record = json.loads(out)
    assert record["message"] == "two\nlines" and record["count"] == 3 and record["level"] == "info" and record["ts"].endswith("Z")


def test_a_newline_cannot_forge_a_second_record():
    out = emitted(False, lambda logger: logger.info("frame %s", "x\n12:00:00.000 error   risk: halted\r"))
    assert out.count("\n") == 1


def test_setup_replaces_and_refuses():
    first, second = io.StringIO(), io.StringIO()
    log.setup(stream=first)
    log.setup(stream=second)
    logging.getLogger("liqshell.test").info("once")
    assert first.getvalue() == "" and "once" in second.getvalue()
    with pytest.raises(ValueError, match="log level: found 'loud'"):
        log.setup("loud")
    with pytest.raises(ValueError, match="cannot be recognised"):
        log.protect("abc")


@given(st.text(min_size=6, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_any_secret_is_masked_in_any_surroundings(secret, before, after):
    log._secrets.clear()
    log.protect(secret)
    assert secret not in log.redact(before + secret + after).replace(log.MASK, "\0") or secret in before + log.MASK + after
