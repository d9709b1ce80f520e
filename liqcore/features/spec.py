"""The names of features: their grammar, their parsed form, and the plan of kernels that a list of them needs.

    [ASSET/]group.name[@window][:transform[(time)]]      liquidations.liq_imbalance@15m:zscore      BTC/liquidations.liq_volume@1s:lag(30s)

A window or time is a number with a unit: 500ms, 30s, 5m, 1h, 1d. `ASSET/` reads another asset's contract (on the same venue if it has one). `lag` and
`change` read the value known exactly that long ago. The other transforms use its history: its values on a grid of times, each as known just before
its moment. `zscore(7d,min=10)` is known from 10 independent samples on instead of 30.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from liqcore.features.table import (
    DAY,
    ENTRIES,
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    Entry,
)

UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND}
WINDOW_MIN_NS, WINDOW_MAX_NS = 10 * MILLISECOND, 30 * DAY
HORIZON_MAX_NS = DAY  # of the horizon of hawkes.*: see hawkes_plan
PERCENT, PERCENT_MIN, PERCENT_MAX = 10_000, 1_000, 200_000  # of price, in parts of a million: 0.1 % to 20 %
TIME_MAX_NS = 90 * DAY
SLOTS = (120, 125)  # slots of a window: the first that gives whole milliseconds, else the last
STEP_NS = MINUTE  # a history is sampled every window, at most every minute
SAMPLES = 1440  # of a history without a stated length
SAMPLES_MAX = 3600
SAMPLES_KNOWN = 30  # least independent samples of a z-score, unless its name states another number; least known samples of a rank
WINDOWS = 48  # windows of a z-score without a stated length, if they are longer than SAMPLES steps
ATR_WINDOWS = 15  # 14 true ranges, and the close before them
ROOM_PER_S, ROOM_MIN, ROOM_MAX = 60, 4000, 120_000  # changes of a value kept for a lag: see room()
TURNS_MAX = 254  # the same of a stream between known and unknown
CANDLES_MAX = 20_000  # candles that a lag may reach back

GROUPS: tuple[str, ...] = tuple(dict.fromkeys(entry.group for entry in ENTRIES.values()))
ALIASES = {"liq_buy_volume": "liq_long_volume", "liq_sell_volume": "liq_short_volume"}  # the research plan's words: "buy" = longs were closed
#: transform: its meaning
TRANSFORMS: dict[str, str] = {
    "zscore": "(value now - mean) / population std of the history; 0 where the history does not vary",
    "mean": "mean of the history",
    "std": "population standard deviation of the history",
    "max": "largest of the history",
    "min": "smallest of the history",
    "rank": "share of the history below the value now, equals counting half: 0..1",
    "n": "number of known samples of the z-score's history; not known while there is none",
    "n_eff": "number of independent samples: samples whose windows do not overlap; without a window, samples that differ from the last counted one",
    "lag": "the value that was known exactly that time ago",
    "change": "value now - value that was known exactly that time ago",
}
LAGS = ("lag", "change")
LEAD = "30s"
#: the written research system's own spellings
STUDY_WINDOWS = {"liq_imbalance": "15m", "liq_correlation": "5m", "liq_btc_lead": "1s"}
_STUDY = re.compile(r"(liq_[a-z_]+?)(?:_(mean|std|max))?(?:_([0-9]+(?:ms|s|m|h|d)))?(?:_(zscore))?")
_NAME = re.compile(
    r"(?:(?P<asset>[A-Za-z0-9]+)/)?(?P<group>\w+)\.(?P<name>\w+)(?:@(?P<window>[^:@]*))?"
    r"(?::(?P<transform>\w+)(?:\((?P<time>[^()]*)\))?)?"
)


class Feature(NamedTuple):
    """One parsed name. window_ns 0 = none; of a map: parts of a million of the price. time_ns: history or lag of the transform. least: stated least
    number of independent samples of a z-score or rank; 0 = not stated."""

    asset: str
    entry: Entry
    window_ns: int
    transform: str
    time_ns: int
    least: int = 0

    @property
    def span_ns(self) -> int:
        """Length of its window; 0 for present values and maps."""
        return 0 if self.entry.group == "map" else self.window_ns

    @property
    def reach_ns(self) -> int:
        """The same including the windows of its inputs: samples closer together are not independent."""
        return self.span_ns * (ATR_WINDOWS if self.entry.name in ("atr", "natr") else 1)

    @property
    def step_ns(self) -> int:
        """Grid of the history; 0 if there is none."""
        return _grid(self)[0]

    @property
    def samples(self) -> int:
        """Moments of the history."""
        return _grid(self)[1]

    @property
    def independent_min(self) -> int:
        """Least number of independent samples; 0 if it does not count them."""
        return self.least or (SAMPLES_KNOWN if self.transform == "zscore" else 0)

    @property
    def independent_max(self) -> int:
        """Largest number of independent samples in its history."""
        step, samples = _grid(self)
        return 1 + (samples - 1) // max(-(-self.reach_ns // step), 1) if samples else 0

    @property
    def never(self) -> str:
        """The reason why it can never be known; "" if it can."""
        if self.independent_max >= self.independent_min:
            return ""
        return (
            f"{self.text} is never known: its history holds at most {self.independent_max} independent samples of {self.independent_min}. Ask "
            f"for a longer one, or for fewer: {self.transform}({duration(self.time_ns)},min={max(self.independent_max, 2)})"
        )

    @property
    def unit(self) -> str:
        """The unit of its value: a z-score has none, a rank is a share."""
        return {"zscore": "standard deviations", "rank": "0..1", "n": "samples", "n_eff": "samples"}.get(self.transform, self.entry.unit)

    @property
    def text(self) -> str:
        """The canonical name."""
        out = f"{self.asset}/" * bool(self.asset) + self.entry.key + (f"@{extent(self)}" if self.window_ns else "")
        if not self.transform:
            return out
        stated = self.transform in LAGS or self.time_ns != _history(self.transform, self.span_ns, self.reach_ns)
        arguments = [duration(self.time_ns)] * stated + [f"min={self.least}"] * bool(self.least)
        return f"{out}:{self.transform}" + f"({','.join(arguments)})" * bool(arguments)


def duration(ns: int) -> str:
    """90000000000 -> '90s': the largest unit that divides it."""
    for unit, size in UNITS.items():
        if ns % size == 0:
            return f"{ns // size}{unit}"
    raise ValueError(f"expected whole milliseconds, got {ns} ns")


def extent(feature: Feature) -> str:
    """The window as it is written: 15m, or 3pct."""
    return f"{feature.window_ns / PERCENT:g}pct" if feature.entry.group == "map" else duration(feature.window_ns)


def nanoseconds(text: str) -> int:
    """'15m' -> ns. ValueError unless it is a number with a unit."""
    found = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h|d)", text)
    if found is None:
        raise ValueError(f"expected a number with a unit such as 500ms, 30s, 5m, 1h or 1d, got {text!r}")
    return int(found[1]) * UNITS[found[2]]


def slots(window_ns: int) -> int:
    """Number of slots of a window: see kernels.pxd."""
    return SLOTS[0] if window_ns % (SLOTS[0] * MILLISECOND) == 0 else SLOTS[1]


def _base_step(window_ns: int) -> int:
    return min(window_ns or STEP_NS, STEP_NS)


def _history(transform: str, window_ns: int, reach_ns: int) -> int:
    """Default time of a transform: for a z-score, long enough to be known."""
    time = SAMPLES * _base_step(window_ns)
    return min(max(time, WINDOWS * reach_ns), TIME_MAX_NS) if transform in ("zscore", "n", "n_eff") else time


def _grid(feature: Feature) -> tuple[int, int]:
    """(step, samples) of a feature's history: at most SAMPLES_MAX samples; a longer history has a larger step."""
    if not feature.transform or feature.transform in LAGS:
        return 0, 0
    base, time = _base_step(feature.span_ns), feature.time_ns
    step = base * -(-time // (SAMPLES_MAX * base))
    return step, max(time // step, 1)


def room(time_ns: int) -> int:
    """Number of changes that a lag keeps: 60 a second, 4000 to 120 000. After more changes its value is unknown."""
    return min(max(ROOM_PER_S * time_ns // SECOND, ROOM_MIN), ROOM_MAX)


def _nearest(word: str, words: Iterable[str]) -> str:
    import difflib  # not at import: the core starts in milliseconds

    words = list(words)
    close = difflib.get_close_matches(word, words, 1, 0.5)
    return (f"; did you mean {close[0]!r}?" if close else "") + f" (there are: {', '.join(words)})"


def _window(entry: Entry, text: str | None) -> int:
    if text is None:
        if entry.window == 0:
            raise ValueError(f"{entry.key} needs a window, such as {entry.key}@{'3pct' if entry.group == 'map' else '1m'}")
        return entry.window or 0
    if entry.window is None:
        raise ValueError(
            f"{entry.key} is the latest value and takes no window; its history is asked for with a transform, such as {entry.key}:change(1h)"
        )
    if entry.group == "map":
        found = re.fullmatch(r"([0-9]{1,2}(?:\.[0-9]{1,2})?)pct", text)
        share = round(float(found[1]) * PERCENT) if found else 0
        if not PERCENT_MIN <= share <= PERCENT_MAX:
            raise ValueError(f"expected a distance from the price such as 3pct, 0.1pct to 20pct, got {text!r}")
        return share
    window = nanoseconds(text)
    longest = HORIZON_MAX_NS if entry.group == "hawkes" else WINDOW_MAX_NS
    if not WINDOW_MIN_NS <= window <= longest:
        raise ValueError(f"window: expected {duration(WINDOW_MIN_NS)} to {duration(longest)}, got {text}")
    return window


def _time(transform: str, text: str, entry: Entry, window_ns: int, reach_ns: int) -> int:
    if transform == "lag" and not text:
        raise ValueError("lag needs a time, such as lag(30s)")
    if not text:
        return (window_ns or STEP_NS) if transform == "change" else _history(transform, window_ns, reach_ns)
    time = nanoseconds(text)
    least = MILLISECOND if transform in LAGS else 2 * _base_step(window_ns)
    most = min(TIME_MAX_NS, CANDLES_MAX * window_ns) if transform in LAGS and entry.source == "candles" else TIME_MAX_NS
    if not least <= time <= most:
        raise ValueError(f"{transform}: expected {duration(least)} to {duration(most)}, got {text}")
    return time


def _time_and_least(transform: str, text: str | None) -> tuple[str, int]:
    """The content of a transform's brackets: '7d,min=10' -> a time, and the least number of independent samples (0 = not stated)."""
    if text is None:
        return "", 0
    time, comma, more = text.partition(",") if not text.startswith("min=") else ("", ",", text)
    if not comma:
        return time, 0
    found = re.fullmatch(r"min=([0-9]{1,4})", more)
    if found is None or not 2 <= int(found[1]) <= SAMPLES_MAX or transform not in ("zscore", "rank"):
        raise ValueError(
            f"expected a time, and of a zscore or rank the least number of independent samples from 2 on, such as zscore(7d,min=10), got {text!r}"
        )
    return time, int(found[1])


def of_study(name: str) -> str:
    """'liq_volume_5s' -> 'liquidations.liq_volume@5s': the written research system's spellings, and short ones ('liq_rate'), in this grammar.

    Rolling means, deviations and maxima ('liq_volume_mean_15m') are of 5-second bars. Other names are returned unchanged.
    """
    found = _STUDY.fullmatch(name)
    if found is None:
        return name
    key, rolling, window, z = found[1], found[2] or "", found[3], found[4] or ""
    key = ALIASES.get(key, key)
    if key != "liq_btc_lead" and f"liquidations.{key}" not in ENTRIES:
        return name
    if rolling:
        return f"liquidations.{key}@5s:{rolling}({window or '5m'})" if not z else name
    return f"liquidations.{key}@{window or STUDY_WINDOWS.get(key, '1m')}" + f":{z}" * bool(z)


def _parse(name: str) -> Feature:
    found = _NAME.fullmatch(of_study(name))
    if found is None:
        raise ValueError("expected [ASSET/]group.name[@window][:transform[(time)]], such as liquidations.liq_imbalance@15m:zscore")
    asset, group, key = (found["asset"] or "").upper(), found["group"], ALIASES.get(found["name"], found["name"])
    if group == "own":
        raise ValueError("a feature of your own is declared first: [features.own] in the configuration, or liqcore.CustomFeature for an Engine")
    if group not in GROUPS:
        raise ValueError(f"no group {group!r}" + _nearest(group, GROUPS))
    lead = (group, key) == ("liquidations", "liq_btc_lead")
    if lead:
        if asset or found["transform"]:
            raise ValueError("liq_btc_lead is BTC/liquidations.liq_volume@1s:lag(30s), and takes neither an asset nor a transform of its own")
        asset, key = "BTC", "liq_volume"
    entry = ENTRIES.get(f"{group}.{key}")
    if entry is None:
        raise ValueError(f"{group} has no {key!r}" + _nearest(key, (e.name for e in ENTRIES.values() if e.group == group)))
    window = _window(entry, "1s" if lead and found["window"] is None else found["window"])
    transform, arguments = ("lag", LEAD) if lead else (found["transform"] or "", found["time"])
    if not transform:
        return Feature(asset, entry, window, "", 0)
    if transform not in TRANSFORMS:
        raise ValueError(f"no transform {transform!r}" + _nearest(transform, TRANSFORMS))
    time, least = _time_and_least(transform, arguments)
    plain = Feature(asset, entry, window, transform, 0, least)
    return plain._replace(time_ns=_time(transform, time, entry, plain.span_ns, plain.reach_ns))


def split_names(text: str) -> list[str]:
    """Split names at commas, but not at commas within brackets, as in zscore(7d,min=10)."""
    return [name.strip() for name in re.split(r",(?![^()]*\))", text) if name.strip()]


@cache
def parse(name: str) -> Feature:
    """The parsed feature; ValueError that names it, states the fault and suggests the nearest."""
    try:
        return _parse(name)
    except ValueError as why:
        raise ValueError(f"feature {name!r}: {why}") from None


def canonical(name: str) -> str:
    """The one spelling of a feature: 'liquidations.liq_buy_volume@60s' -> 'liquidations.liq_long_volume@1m'."""
    return parse(name).text


class Plan(NamedTuple):
    """What a list of features needs. Features that need the same kernel share it. Every list holds plain tuples:

    kernels: (source, window_ns); bases: (name, kernel or -1, window_ns); histories: (base, step_ns, samples, reach_ns);
    readers, one a feature: (asset, base, transform, history or -1, time_ns, least). assets: of each base, those that need it; None = all do.
    lags: (base, time_ns) of values read as known some time ago.
    """

    features: tuple[Feature, ...]
    kernels: tuple[tuple[str, int], ...]
    bases: tuple[tuple[str, int, int], ...]
    histories: tuple[tuple[int, int, int, int], ...]
    readers: tuple[tuple[str, int, str, int, int, int], ...]
    assets: tuple[frozenset[str] | None, ...]
    lags: tuple[tuple[int, int], ...]

    @property
    def kinds(self) -> frozenset[int]:
        """event.Kind of the needed events."""
        return frozenset(kind for name, _, _ in self.bases for kind in ENTRIES[name].kinds)


def plan(names: Iterable[str]) -> Plan:
    """ValueError for a name that is not one."""
    features = tuple(parse(name) for name in names)
    kernels: dict[tuple[str, int], int] = {}
    bases: dict[tuple[str, int, int], int] = {}
    histories: dict[tuple[int, int, int, int], int] = {}
    readers: list[tuple[str, int, str, int, int, int]] = []
    assets: dict[int, set[str]] = {}
    lags: dict[tuple[int, int], None] = {}
    for f in features:
        kernel = -1 if f.entry.source == "state" else kernels.setdefault((f.entry.source, f.window_ns), len(kernels))
        row = (f.entry.key, kernel, f.window_ns)
        base = bases.setdefault(row, len(bases))
        lagged = f.transform in LAGS
        history = histories.setdefault((base, f.step_ns, f.samples, f.reach_ns), len(histories)) if f.transform and not lagged else -1
        readers.append((f.asset, base, f.transform, history, f.time_ns, f.least))
        needed = [base]
        if lagged and f.entry.group == "map":  # it is read around the last price, while open interest is known
            needed += [
                bases.setdefault((key, -1, 0), len(bases)) for key in ("price.last", "oi.oi") if f.entry.source == "pending" or key == "price.last"
            ]
        for n in needed:
            assets.setdefault(n, set()).add(f.asset)
            if lagged:
                lags[n, f.time_ns] = None
    needs = tuple(None if "" in assets[n] or ENTRIES[row[0]].across else frozenset(assets[n]) for row, n in bases.items())
    return Plan(features, tuple(kernels), tuple(bases), tuple(histories), tuple(readers), needs, tuple(lags))
