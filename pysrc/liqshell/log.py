"""Logging through the standard library: one line a record, for people or as JSON, and no secret in either.

`setup()` once per process; everywhere else `logging.getLogger("liqshell.<module>")`. Values that are known to be secret are
registered with `protect()`; besides, whatever looks like a credential by its name (api_key=..., Authorization: ..., signature=...)
is masked. Masking is done on the finished text of the record, tracebacks included, so that it does not matter by which way a
secret came in.
"""

import json
import logging
import re
import sys
import time
from typing import IO

MASK = "[redacted]"
_SECRET_MIN = 6  # shorter values would mask ordinary words
_NAMES = r"(?:[a-z0-9_.-]*(?:api[-_]?key|secret(?:[-_]?key)?|password|passwd|passphrase|token|signature)|x-bapi-sign|sign)"
_PAIR = re.compile(rf"""(?ix) (["']? (?<![a-z0-9_.-]) {_NAMES} ["']? \s* [:=] \s*)
                        (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^\s,;&"'}}\])]+ )""")
_HEADER = re.compile(r"(?i)(\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic|token)\s+)?[^\s,;\"'}]+")
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)[a-z0-9+/=._~-]{6,}")
_USERINFO = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@")
_secrets: set[str] = set()
_known: re.Pattern[str] | None = None
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def protect(*values: str) -> None:
    """Never print these values, whole, in any later log record, nor as they appear inside JSON strings or Python reprs."""
    global _known
    for value in values:
        if len(value) < _SECRET_MIN:
            raise ValueError(f"a secret of {len(value)} characters cannot be recognised in text; expected at least {_SECRET_MIN}")
        _secrets.update((value, json.dumps(value)[1:-1], repr(value)[1:-1]))
    _known = re.compile("|".join(map(re.escape, sorted(_secrets, key=len, reverse=True)))) if _secrets else None


def holds_secret(text: str) -> bool:
    """True if the text contains a registered secret."""
    return _known is not None and _known.search(text) is not None


def redact(text: str) -> str:
    """The text with registered secrets and everything that is named like a credential replaced by a mask."""
    if _known is not None:
        text = _known.sub(MASK, text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _PAIR.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    return _USERINFO.sub(rf"\1{MASK}@", text)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _PLAIN}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts (ISO 8601, UTC), level, logger, message, then whatever was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        out: dict[str, object] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in _extras(record).items():
            # redacted by name here, because a whole value may be a container whose text shows the name far from the value
            out[key] = redact_value(key, value)
        if record.exc_info:
            out["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            out["stack"] = record.stack_info
        return json.dumps(
            {key: redact_value(key, value) for key, value in out.items()}, default=lambda o: redact(str(o)), ensure_ascii=False, allow_nan=True
        )


class HumanFormatter(logging.Formatter):
    """`12:00:00.123 warning feed: message key=value`, times UTC; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}"
        text = f"{clock} {record.levelname.lower():<8}{record.name.removeprefix('liqshell.')}: {record.getMessage()}"
        text += "".join(f" {key}={redact_value(key, value)}" for key, value in _extras(record).items())
        # one record, one line: a newline in a frame or a symbol must not forge a second record
        text = text.replace("\r", "\\r").replace("\n", "\\n")
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        if record.stack_info:
            text += "\n" + record.stack_info
        return redact(text)


_NAME = re.compile(rf"(?i){_NAMES}|(?:proxy[-_])?authorization")


def redact_value(name: str, value: object) -> object:
    """A value as it may be shown under this name: strings and containers masked inside, all of it where the name says credential."""
    if _NAME.fullmatch(name):
        return MASK
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return redact(bytes(value).decode("utf-8", "replace"))
    if isinstance(value, dict):
        return {redact(str(key)): redact_value(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value("", inner) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


def setup(level: str = "info", *, as_json: bool = False, stream: IO[str] | None = None) -> logging.Handler:
    """Send the records of `liqshell` to a stream (stderr unless told otherwise), replacing an earlier setup. Returns the handler."""
    names = logging.getLevelNamesMapping()
    if level.upper() not in names:
        raise ValueError(f"log level: found {level!r}, expected one of debug, info, warning, error, critical")
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else HumanFormatter())
    root = logging.getLogger("liqshell")
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(names[level.upper()])
    root.propagate = False
    return handler
