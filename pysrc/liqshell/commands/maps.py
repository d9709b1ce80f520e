"""`liqcore maps`: the estimated liquidation map against the liquidations that came afterwards."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from liqcore.kernels.estimated_map import TIERS, PendingConfig
from liqshell import fitted
from liqshell.errors import ConfigError, DataError, check_output
from liqshell.fitted import Table
from liqshell.report.text import NONE
from liqshell.research.maps.load import Market, load
from liqshell.research.maps.score import pooled, score_of
from liqshell.research.maps.windows import Setting, windows_of

PRIOR = ",".join(f"{leverage:g}:{share:g}" for leverage, share in TIERS)


def maps(
    data: Path,
    /,
    *,
    symbols: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    interest: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    instruments: Path | None = None,
    every_s: float = 900.0,
    range_pct: float = 5.0,
    bin_bps: float = 10.0,
    at: Literal["last", "reported"] = "last",
    warmup_s: float = 3600.0,
    tiers: str = PRIOR,
    maintenance: float = 0.005,
    split: Literal["flow", "even"] = "flow",
    half_life_s: float = 259_200.0,
    by: Literal["events", "notional"] = "events",
    draws: int = 2000,
    seed: int = 1,
    json_: Annotated[Path | None, Parameter(name="--json")] = None,
) -> int:
    """Score the ESTIMATED map of pending liquidations: predicted bins against later liquidations, and against null maps.

    DATA is a store, a recording, or an event table of liquidations. It must have open interest and prices, or --interest names files that do. Exit
    status 1 if the map does not beat both nulls, or the data are too few.

    Parameters
    ----------
    symbols
        Contracts; default: all.
    interest
        SYMBOL=FILE: open interest of a contract from a CSV file with the columns ts_ms (or t), oi, and mark (or oi_usd).
    instruments
        TOML file of contracts as `liqcore import` takes it: the multiplier of raw OKX frames, which count in contracts.
    every_s
        Time between maps; each is scored on the liquidations until the next.
    range_pct
        Largest distance from the price.
    bin_bps
        Width of a bin.
    at
        Where a liquidation lies: at the last price known at its receipt (if less than a minute old), or at its reported price.
    warmup_s
        Age of a map before it is scored.
    tiers
        The prior: LEVERAGE:SHARE of new open interest, separated by commas.
    maintenance
        Maintenance margin rate.
    split
        New open interest into longs and shorts: by taker flow, or even.
    half_life_s
        Half-life of an untouched level; 0 = it stays.
    by
        Liquidations of a window have equal weight, or weight by notional.
    draws
        Random maps for each null.
    seed
        Of the draws.
    json_
        Write the scores to this file too.
    """
    _check(draws, every_s, range_pct, bin_bps, warmup_s)
    setting = Setting(every_s, range_pct, bin_bps, at, warmup_s)
    markets = _markets(data, symbols, interest, instruments, json_)
    report = _score(data, markets, _config(tiers, maintenance, split, half_life_s), setting, by, draws, seed)
    if json_ is not None:
        json_.write_text(json.dumps(report, indent=1) + "\n")
    show(report)
    return 0 if _beats_both(report["scores"]["all"]) else 1


def _check(draws: int, every_s: float, range_pct: float, bin_bps: float, warmup_s: float) -> None:
    if not 100 <= draws <= 1_000_000 or not 1.0 <= every_s <= 1e6 or not 0.1 <= range_pct <= 50.0 or not 1.0 <= bin_bps <= 1000.0 or warmup_s < 0:
        raise ConfigError(
            "maps",
            f"draws {draws}, every-s {every_s}, range-pct {range_pct}, bin-bps {bin_bps}, warmup-s {warmup_s}",
            "100 to 1e6 draws, 1 to 1e6 s, 0.1 to 50 %, 1 to 1000 bps, and no negative time",
        )


def _beats_both(score: dict[str, Any]) -> bool:
    return score["judged"] and all(null["beaten"] for null in score["null"].values())


def _markets(data: Path, symbols: tuple[str, ...], interest: tuple[str, ...], instruments: Path | None, out: Path | None) -> list[Market]:
    """Reads the markets; notes about them go to stderr."""
    check_output("--json", out)
    markets = load(data, symbols, interest, instruments)
    for note in dict.fromkeys(note for market in markets for note in market.notes):
        print(note, file=sys.stderr)
    return markets


def _score(data: Path, markets: list[Market], config: PendingConfig, setting: Setting, by: str, draws: int, seed: int) -> dict[str, Any]:
    """Prints and writes the scores."""
    windows = {market.name: found for market in markets if (found := windows_of(market, config, setting))}
    if not windows:
        raise DataError(
            str(data),
            "no window has predictions and liquidations within reach of the price",
            "liquidations, prices and open interest at the same time",
            "Open interest may come from a file: --interest SYMBOL=FILE",
        )
    options: dict[str, Any] = {"by": by, "draws": draws, "seed": seed}
    scores = {name: score_of(found, **options) for name, found in windows.items()} | {"all": pooled(windows, **options)}
    return {
        "data": data.name,
        "map": "ESTIMATED",
        "synthetic": any(market.synthetic for market in markets),
        "by": by,
        "draws": draws,
        "seed": seed,
        "setting": vars(setting),
        "pending": config.as_dict(),
        "completeness": {market.name: market.completeness for market in markets},
        "scores": {name: score.as_dict() for name, score in scores.items()},
    }


def _config(tiers: str, maintenance: float, split: Literal["flow", "even"], half_life_s: float) -> PendingConfig:
    try:
        pairs = [(float(leverage), float(share)) for leverage, _, share in (part.partition(":") for part in tiers.split(","))]
    except ValueError:
        raise ConfigError("--tiers", f"{tiers!r}", f"LEVERAGE:SHARE,… such as {PRIOR}") from None
    try:
        return PendingConfig(tiers=pairs, maintenance=maintenance, split=split, half_life_s=half_life_s)
    except ValueError as why:
        raise ConfigError("maps", str(why)) from why


def _spread(mean: float, interval: list[float] | None) -> str:
    return f"{mean:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")


def show(report: dict[str, Any]) -> None:
    """The report as tables and a verdict."""
    console = fitted.console()
    title = "ESTIMATED map against later liquidations" + (" (SYNTHETIC market)" if report["synthetic"] else "")
    table = Table(
        "contract",
        "feed",
        "windows",
        "moments",
        "liquidations",
        "score (0.5 = no better than chance)",
        "shuffled prices",
        "p",
        "other moment",
        "p",
        title=title,
    )
    for name, s in report["scores"].items():
        nulls = [
            cell
            for null in s["null"].values()
            for cell in (_spread(null["mean"], null["interval"]), NONE if null["p"] is None else f"{null['p']:.4f}")
        ]
        table.add_row(
            name,
            report["completeness"].get(name, ""),
            str(s["windows"]),
            str(s["moments"]),
            str(s["liquidations"]),
            _spread(s["score"], s["interval"]),
            *nulls,
        )
    console.print(table)
    ranks = Table(
        "fifth of predicted rank",
        "bins",
        "with a liquidation",
        "share of liquidations",
        "share by chance",
        title="bins reached by the price" + ("" if report["scores"]["all"]["judged"] else ": too few moments for a conclusion"),
    )
    for row in report["scores"]["all"]["ranks"]:
        ranks.add_row(
            f"{row['rank']:.0f}{' (largest)' if row['rank'] == 1 else ''}",
            f"{row['bins']:.0f}",
            f"{row['hit_rate']:.3f}",
            f"{row['share']:.3f}",
            f"{row['share_by_chance']:.3f}",
        )
    console.print(ranks)
    for name, s in report["scores"].items():
        console.print(f"{name}: {s['verdict']}", highlight=False)
