"""`liqcore emulate`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from liqshell.errors import ConfigError


def emulate(
    *,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    speed: Annotated[float, Parameter(validator=Number(gt=0, lt=1e6))] = 1.0,
    from_: Annotated[tuple[Path, ...], Parameter(name="--from", consume_multiple=True, negative=())] = (),
    symbols: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative=())] = (),
    hours: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    host: str = "127.0.0.1",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 0,
    wait: Annotated[bool, Parameter(negative=())] = False,
    lead_s: Annotated[float, Parameter(validator=Number(gte=0, lte=3600))] = 0.0,
    parent: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """A venue on loopback that speaks Bybit's V5 public websocket and market REST.

    Prints one JSON line when it is ready, {"rest": "http://...", "ws": "ws://...", ...}; the paths below are the real venue's. Runs until
    Ctrl-C, SIGTERM, or the end of the market. Without --from the market is generated and labelled SYNTHETIC.

    Parameters
    ----------
    seed
        Of the generated market: the same seed gives the same frames.
    speed
        Market seconds in a second.
    from_
        Recordings to send instead of a generated market.
    symbols
        Contracts to offer; the emulator's own choice where none is named.
    hours
        Stop after so much market time.
    host
        Loopback address to listen on.
    port
        0 = any free one.
    wait
        Market time stands still until somebody has subscribed.
    lead_s
        Seconds between being ready and the first frame: time to connect without missing any.
    parent
        End when this process, which started us, is gone.
    """
    from liqshell.emulator.server import SYMBOLS, run

    for path in from_:
        if not path.exists():
            raise ConfigError(f"--from {path}", "no such file or folder", "a recording")
    try:
        return run(seed, speed, from_, host, port, None, symbols or SYMBOLS, hours, wait_for_client=wait, lead_s=lead_s, parent=parent)
    except ValueError as why:
        raise ConfigError("emulate", str(why)) from why
    except OSError as why:
        raise ConfigError(f"emulate {host}:{port}", f"cannot listen: {why.strerror or why}", "a free port on a loopback address") from why
