"""`liqcore new-config`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from liqshell.errors import ConfigError, check_output
from liqshell.name_lists import Names


def new_config(
    file: Path,
    /,
    *,
    venue: str | None = None,
    symbols: Names = (),
    preset: Annotated[str, Parameter(name=("--preset", "--policy"))] = "fade",
    environment: str = "mainnet",
    store: Path | None = None,
    offline: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Write a commented configuration and the schema with which editors check it, then check it with `liqcore doctor`. Exit status: that of the
    doctor.

    Parameters
    ----------
    file
        New file, such as fade.toml. The schema is written beside it as liqcore.schema.json.
    venue
        bybit, binance, okx or hyperliquid. Default: that of the store, bybit without one.
    symbols
        Contracts to trade, such as ETHUSDT SOLUSDT; default: those of the store.
    preset
        The preset: see `liqcore presets`.
    environment
        mainnet, testnet or demo.
    store
        A store made by `liqcore import`, for `liqcore backtest`, `sweep` and `forward`.
    offline
        The doctor contacts no venue.
    """
    from liqshell.commands.doctor import doctor
    from liqshell.config.load import loads, presets
    from liqshell.config.schema import schema
    from liqshell.config.template import SCHEMA_FILE, text_of

    if file.exists():
        raise ConfigError(str(file), "the file exists", "a new file", "Choose another name, or remove the file")
    check_output("new-config", file)
    if preset not in presets():
        raise ConfigError(f"--preset {preset}", "no preset of this name", f"one of {', '.join(presets())}", "`liqcore presets` prints them")
    if store is not None and not (venue and symbols):
        venue, symbols = _contracts(store, venue, symbols)
    venue = venue or "bybit"
    if not symbols:
        raise ConfigError("--symbols", "none", "contracts of the venue such as ETHUSDT, or --store with contracts")
    name = re.sub(r"[^A-Za-z0-9._-]|^[._-]+", "", file.stem)[:64]
    text = text_of(name, venue, symbols, presets()[preset], os.path.relpath(store, file.parent) if store is not None else "", environment)
    loads(text, str(file))
    beside = file.parent / SCHEMA_FILE
    file.write_text(text, encoding="utf-8")
    beside.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")
    print(f"{file}: preset {preset}, {', '.join(symbols)} at {venue}. {beside.name}: for your editor.")
    return doctor(file, offline=offline)


def _contracts(store: Path, venue: str | None, symbols: Names) -> tuple[str, Names]:
    """The venue and the contracts of a store, where they are not given."""
    from liqshell import store as stores
    from liqshell.config.sections import venue_named

    opened = stores.open(store)
    try:
        held = [(one.venue, one.symbol) for one in opened.contracts if not symbols or one.symbol in symbols]
    finally:
        opened.close()
    venues = sorted({of for of, _ in held})
    if venue is None and len(venues) > 1:
        raise ConfigError(
            "--venue", f"no venue, and {store} holds contracts of {', '.join(venues)}", "one of them", "A configuration trades one venue"
        )
    venue = venue or (venues[0] if venues else "bybit")
    found = tuple(symbol for of, symbol in held if of == venue_named(venue))
    if not found and not symbols:
        raise ConfigError(
            "--store",
            f"{store} holds no contracts of {venue}",
            f"contracts of {', '.join(venues) or 'a venue'}",
            f"Add --venue {venues[0]}" if venues else "`liqcore import FILES --store DIR` fills a store",
        )
    return venue, symbols or found
