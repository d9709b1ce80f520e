"""Instructions per event, by callgrind: the machine-independent face of the kernels. Figures, row 15; check.py gates on the same
numbers."""

import shutil

from benches import build, check, counted


def run(quick: bool) -> list[dict]:
    what = {label: text for label, (_, text) in counted.loops().items()}
    reason = "" if shutil.which("valgrind") else "valgrind is not installed"
    reason = reason or ("" if build.probe().CAN_COUNT else "the probe was built without valgrind/callgrind.h")
    if reason:
        return [_case(label, text, {"ours": reason}, {}) for label, text in what.items()]
    return [
        _case(label, what[label], {}, {"ours": {"min": n, "median": n, "max": n, "samples": 1, "items": counted.LONG - counted.SHORT, "note": ""}})
        for label, n in check.counts().items()
    ]


def _case(label: str, text: str, skipped: dict, contestants: dict) -> dict:
    return {"id": f"count.{label}", "title": f"Instructions: {text}", "unit": "instructions", "skipped": skipped, "contestants": contestants}
