"""What is wrong with a request, as RFC 9457 says it (application/problem+json)."""

from __future__ import annotations

from typing import Any

BASE = "https://liqcore.dev/problems/"
QUOTA = "https://iana.org/assignments/http-problem-types#quota-exceeded"
#: kind -> (status, title)
KINDS = {
    "bad-request": (400, "Bad request"),
    "bad-host": (400, "Host not served"),
    "no-key": (401, "A key is needed"),
    "no-scope": (403, "The key has no such scope"),
    "cross-site": (403, "Cross-site request"),
    "not-found": (404, "Not found"),
    "unknown-asset": (404, "Unknown asset or contract"),
    "unknown-run": (404, "Unknown run"),
    "no-method": (405, "Method not allowed"),
    "not-acceptable": (406, "Not acceptable"),
    "too-large": (413, "Too large"),
    "no-json": (415, "Not JSON"),
    "unknown-feature": (422, "Unknown feature"),
    "bad-time": (422, "Not a time"),
    "bad-value": (422, "Not what is expected"),
    "outside": (422, "Outside the data"),
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
