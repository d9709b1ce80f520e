"""Whether the two judges come to the same verdict on a run."""

from __future__ import annotations

from .books import NS, SHARED, Books
from .truth import Violation

# law of the first judge -> law of the second, and a word of the first's text that says it is that one
PAIRS = (
    ("protected", "naked", "without a stop"),
    ("sent twice", "duplicate", ""),
    ("duplicate", "duplicate", ""),
    ("limits", "exposure", "exposure of"),
    ("limits", "exposure", "positions or entries"),
    ("certain", "killed", "the kill switch is set"),
)


def shared(violation: Violation) -> str:
    """The law that both ask and that this breaks; "" where only the first judge asks it."""
    return next((law for first, law, word in PAIRS if violation.law == first and word in violation.text), "")


def disagreement(violation: Violation | None, second: Books, start_ns: int) -> str:
    """In words; "" = they agree. The run ends where the first judge finds something: what he alone asks may come after, or before."""
    found = [one for one in second.findings if one.law in SHARED]
    strange = [one for one in second.findings if one.law not in SHARED]
    law = shared(violation) if violation is not None else ""
    if law and not any(one.law == law for one in found):
        assert violation is not None
        return f"the first judge finds {violation}, the second nothing of that kind"
    if violation is None and (found or strange):
        one = (found or strange)[0]
        return f"the second judge alone finds {one.law} at {(one.at_ns - start_ns) / NS:.6f} s: {one.text}"
    return ""
