"""The shell around liqcore: all I/O. Most users import `liqshell.stream`; the command `liqcore` runs the rest."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liqshell.live.tape import stream as stream


def __getattr__(name: str) -> Any:
    """Loads `stream` on first use, so that an import of a part of this package does not load sockets."""
    if name == "stream":
        from liqshell.live.tape import stream

        return stream
    raise AttributeError(f"module 'liqshell' has no attribute {name!r}")
