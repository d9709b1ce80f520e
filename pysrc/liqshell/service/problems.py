"""The problem of a request in the form of RFC 9457 (application/problem+json)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from liqshell.errors import LiqshellError

BASE = "https://liqcore.dev/problems/"
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
_FOLDERS = re.compile(r"""(?<![\w.])/(?:[^/'"\n]*/)+""")
#: kind -> (status, title). A request that the API's description allows is refused only by what the data are: 404 for what is not there, 409 for what
#: they do not allow now. 4xx else: the description refuses it, too
KINDS = {
    "bad-request": (400, "Bad request"),
    "bad-host": (400, "Host not served"),
    "no-key": (401, "A key is needed"),
    "no-scope": (403, "The key lacks this scope"),
    "cross-site": (403, "Cross-site request"),
    "not-found": (404, "Not found"),
    "unknown-asset": (404, "Unknown asset or contract"),
    "no-such-form": (404, "The feature has no such window or transform"),
    "unknown-run": (404, "Unknown run"),
    "outside": (404, "Outside the data"),
    "no-view": (404, "No view page"),
    "no-method": (405, "Method not allowed"),
    "not-acceptable": (406, "Not acceptable"),
    "ambiguous": (409, "Several contracts fit"),
    "not-known": (409, "Not known now"),
    "not-done": (409, "The job is not done"),
    "too-many-rows": (409, "Too many rows of the data"),
    "too-large": (413, "Too large"),
    "no-json": (415, "Not JSON"),
    "packed": (415, "Encoding not taken"),
    "unknown-feature": (422, "Unknown feature"),
    "bad-time": (422, "Not a time"),
    "bad-value": (422, "Not the expected form"),
    "quota-exceeded": (429, "Quota exceeded"),
    "fault": (500, "A fault of the server"),
    "not-ready": (503, "Not ready"),
}


class Problem(Exception):
    """kind: of KINDS. more: members of the answer beside those of the RFC. headers: of the answer."""

    def __init__(self, kind: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = (), **more: Any):
        super().__init__(detail)
        self.kind, self.detail, self.more, self.headers = kind, detail, more, headers

    @property
    def status(self) -> int:
        return KINDS[self.kind][0]

    def body(self, instance: str, request_id: str) -> dict[str, Any]:
        """The JSON object."""
        status, title = KINDS[self.kind]
        return {
            "type": QUOTA if self.kind == "quota-exceeded" else BASE + self.kind,
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": instance,
            **self.more,
            "request_id": request_id,
        }


def without_paths(why: Exception) -> str:
    """The problem of a server's file, by the file's name without its folder."""
    text = str(why)
    if isinstance(why, LiqshellError) and why.where:
        text = text.replace(why.where, Path(why.where).name, 1)
    return _FOLDERS.sub("", text)
