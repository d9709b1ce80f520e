"""`liqcore hourly`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import ConfigError, check_output
from liqshell.name_lists import Names


def hourly(
    data: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    /,
    *,
    binary: Annotated[tuple[Path, ...], Parameter(consume_multiple=True, negative=())] = (),
    candles: Path | None = None,
    symbols: Names = (),
    asset: str = "BTC",
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
    html: Path | None = None,
) -> int:
    """Test the hourly bet: the hit rate at signals of `reversal` beside that of all hours and beside the ask, the Brier score beside the book's, and
    the
    delay of the book's prices.

    DATA is market data of the perpetual (a store, recordings, event files); the rule is evaluated on it at every minute. Without DATA the signals
    that were
    recorded with the books are used. Missing data are listed. Exit status 1 if the hit rate is not above the hurdle.

    Parameters
    ----------
    data
        A store, recordings or event files with liquidations, trades and funding.
    binary
        Folders of `liqcore record --binary` and `liqcore bet`: asks, mids, resolutions, spot candles.
    candles
        CSV of one-hour spot klines (open time, open, high, low, close): what the hours settled at.
    symbols
        Contracts of the data, separated by commas; default: all.
    asset
        The coin of the bet.
    json_
        FILE for everything as JSON.
    html
        FILE for a page.
    """
    from liqshell.research import hourly as research

    if not data and not binary:
        raise ConfigError("hourly", "no data", "DATA, or --binary FOLDER of a binary recording")
    for option, path in (("--json", json_), ("--html", html)):
        check_output(option, path)
    found = research.report(data, binary, candles, asset, symbols)
    if json_ is not None:
        json_.write_text(json.dumps(found, indent=1) + "\n")
    if html is not None:
        html.write_text(research.page(found))
    for note in found["notes"]:
        print(f"note: {note}")
    print(research.text_of(found))
    return 0 if found["verdict"] == research.CLEARS else 1
