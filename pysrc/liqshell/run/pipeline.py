"""Frames -> events -> engine -> venue: the same object live, on paper and in replay. The venue is the simulated one or the gateway's.

`settings()` turns a configuration into the plain values that decide everything; they go into the recording, so a recording alone can be run again.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import liqcore as lc
from liqcore.event import reads_abi
from liqshell.config.components import CASCADE, make_detector, make_feature, own_detectors, own_features, recorded_detectors, with_digest
from liqshell.config.load import Config
from liqshell.config.policy_loader import make_policy
from liqshell.config.sections import PaperConfig
from liqshell.config.timetable import make_timetable, timetable_settings
from liqshell.errors import ConfigError, DataError
from liqshell.fields import SCALE
from liqshell.input_file import regular
from liqshell.plugins import digest_of, is_file
from liqshell.policies import RULES, Ruled
from liqshell.policies.ruled import EXPLAINS
from liqshell.recording.feeds import recorded_feeds, use_venues
from liqshell.recording.marks import Concern, concerns_of
from liqshell.run.sink import LiveSink, PaperSink
from liqshell.run.venue_source import feeds_of, source_named, sources_of
from liqshell.state.learnt import Learnt, decode

AUDIT_CAPACITY = 1 << 18
LATENCY_QUANTILES = 1000
SIMULATED, GATEWAY = "simulated", "gateway"  # settings["venue"]


@dataclass(frozen=True)
class LiveStart:
    """With what a live run begins. equity: of the account, quote currency. patience: factor on limits that measure the network, see lc.Engine.
    restored: lc.Engine.trade_snapshot() of the run before, b"" where there was none: a restart is a long disconnection, and goes on at resumed_ns."""

    equity: float
    patience: float = 1.0
    restored: bytes = b""
    resumed_ns: int = 0


def settings(
    config: Config,
    instruments: Sequence[lc.Instrument],
    speed: float = 1.0,
    trade: bool = True,
    live: LiveStart | None = None,
    measured: Sequence[float | None] = (),
) -> dict[str, Any]:
    """Everything that decides what the engine does, as JSON values. A market that runs faster than the wall multiplies our own delays, so what
    counts as silence, and as an old quote, grows with it. trade: False = signals only. live: the venue is the gateway's. measured: see
    venue_arguments."""
    symbols = list(dict.fromkeys(i.symbol for i in instruments))
    policies = {symbol: config.policy_for(symbol) for symbol in symbols}
    paper = config.paper
    feeds = feeds_of(
        instruments, speed, {one.venue for n, one in enumerate(config.all_feeds()) if not one.trade or n and live}, config.limits.data_age_max_s
    )
    return {
        "version": lc.__version__,
        "abi": lc.abi_version(),
        "instruments": [i.as_dict() for i in instruments],
        **wires(config, symbols, trade),
        "brackets": {
            symbol: {
                key: str(v) if key in ("entry_offset", "take_profit", "stop_loss", "trail", "trail_from") else v
                for key, v in values.bracket_arguments().items()
            }
            for symbol, values in policies.items()
        },
        "limits": config.limits.risk_arguments(),
        **({"timetable": closed} if (closed := timetable_settings(config.hours, config.blackout, instruments)) else {}),
        "quote_age_s": max(config.engine.quote_age_s, 0.1 * speed),
        "gap_ns": feeds[0]["gap_ns"],
        "feeds": feeds,
        **(
            {"venue": SIMULATED, "equity": paper.equity, "paper": venue_arguments(paper, measured)}
            if live is None
            else {
                "venue": GATEWAY,
                "equity": live.equity,
                "patience": live.patience,
                "restored": base64.b64encode(live.restored).decode(),
                "resumed_ns": live.resumed_ns,
            }
        ),
    }


def hash_of(values: Mapping[str, Any]) -> str:
    """Fingerprint of what decides what the engine does; what a run began with (equity, trades taken up, what was learnt) is no part of it."""
    began = {"learnt", *(("equity", "restored", "resumed_ns") if "restored" in values else ())}
    decides = {key: value for key, value in values.items() if key not in began}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def wires(config: Config, symbols: Sequence[str], trade: bool = True) -> dict[str, Any]:
    """The settings that decide which policies run and what they receive, as JSON values.

    cascade: arguments of the cascade detector, or None without a listener; detectors: those of the others, in the order after it; features:
    names beside what the policies themselves ask for; policies: rule, symbols and parameters by symbol, one entry a rule; rule: of all, as a label.
    """
    rules: dict[str, list[str]] = {}
    for symbol in symbols if trade else ():
        rules.setdefault(config.rule_for(symbol), []).append(symbol)
    others = [with_digest({"name": name, **spec}) for name, spec in config.detectors_for(symbols).items()]
    wants_cascade = any(is_file(rule) or CASCADE in RULES[rule].detectors for rule in rules)
    configured = any(value is not None for value in vars(config.detector).values())
    label = "+".join(rules) if trade else None
    return {
        "cascade": config.cascade_arguments() if wants_cascade or configured or not others else None,
        "detectors": others,
        "features": list(config.features.names),
        **({"own_features": own_features(config.features.own)} if config.features.own else {}),
        "policies": [
            {"rule": rule, "symbols": mine, "parameters": {symbol: config.parameters_for(symbol) for symbol in mine}} for rule, mine in rules.items()
        ],
        "declines": EXPLAINS,
        "rule": label,
        **({"rule_sha256": digest_of(label)} if label and is_file(label) else {}),
    }


def venue_arguments(paper: PaperConfig, measured: Sequence[float | None] = ()) -> dict[str, Any]:
    """Keyword arguments of liqcore.SimVenue as JSON values; `latency`, where it is there, is that of liqcore.Latency. measured: the half-spread of
    each contract as its data show it, where none is configured; None = that of its last quotes."""
    spread = paper.half_spread / SCALE if paper.half_spread is not None else list(measured) if any(measured) else None
    out: dict[str, Any] = {
        "fills": paper.fills,
        "taker": paper.taker,
        "hidden": paper.hidden,
        "maker_fee": paper.maker_fee / SCALE,
        "taker_fee": paper.taker_fee / SCALE,
        "order_latency_s": paper.order_latency_ms / 1e3,
        "ack_latency_s": paper.ack_latency_ms / 1e3,
        "funding_interval_s": paper.funding_interval_s,
        "leverage": paper.leverage,
        "maintenance_margin": paper.maintenance_margin / SCALE,
        "half_spread": spread,
        "print_wait_s": paper.print_wait_s,
    }
    if paper.latency == "empirical":
        out["latency"] = {
            "order_s": out["order_latency_s"],
            "ack_s": out["ack_latency_s"],
            "seed": paper.latency_seed,
            **_latency_samples(paper.latency_samples),
        }
    return out


def _latency_samples(file: str) -> dict[str, list[float]]:
    """The distribution in a file of measured latencies as quantiles: few enough to go into every recording, so that it can be run again alone."""
    try:
        with open(regular(file, "a CSV file of latencies"), newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
    except OSError as why:
        raise DataError(file, f"cannot be read: {why.strerror or why}", "a CSV file of latencies") from None
    header = [name.strip() for name in rows[0]] if rows else []
    found: dict[str, list[float]] = {}
    for name in ("order_ms", "ack_ms"):
        at = header.index(name) if name in header else len(header)
        values = [_seconds(row[at], f"{file}:{n}: {name}") for n, row in enumerate(rows[1:], 2) if at < len(row) and row[at].strip()]
        if values:
            shares = (np.arange(LATENCY_QUANTILES) + 0.5) / LATENCY_QUANTILES
            few = values if len(values) <= LATENCY_QUANTILES else np.quantile(values, shares)
            found[name.replace("_ms", "_samples")] = np.round(few, 6).tolist()
    if not found:
        raise DataError(file, f"no latency under {', '.join(header) or 'no header'}", "the columns order_ms and ack_ms, or one of them")
    return found


def _seconds(text: str, where: str) -> float:
    """A latency in milliseconds."""
    try:
        value = float(text) / 1e3
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 3600.0:
        raise DataError(where, f"found {text!r}", "milliseconds from 0 to 3,600,000")
    return value


def make_engine(values: dict[str, Any], wrap: Callable[[lc.Policy], lc.Policy] | None = None, *, trust: bool = False) -> lc.Engine:
    """The engine of a run from its settings: live, in replay and in a backtest made by this function alone.

    wrap: what to put around the policy (a control's other side). trust: whether a policy in a file that the settings name may be run; where the
    settings come from a recording, a person must say so.
    """
    values = _whole(values)
    instruments = tuple(lc.Instrument(**fields) for fields in values["instruments"])
    rule = values["rule"]
    own = [spec["adapter"] for spec in recorded_feeds(values) if "adapter" in spec]
    own += [rule] * bool(rule and is_file(rule)) + own_detectors(values["detectors"]) + [spec["code"] for spec in values.get("own_features", ())]
    if own and not trust:
        raise ConfigError(
            "policy",
            f"the decisions of this run come from the Python code in {', '.join(own)}",
            "your consent to run that code on this machine",
            "Read the file; then add --trust-policy",
        )
    use_venues(values, "settings", trust=trust)
    policies = make_policies(values)
    detectors = recorded_detectors(values)
    known = [spec["name"] for spec in detectors]
    for policy in policies:
        for name in getattr(policy, "detectors", ()):
            if name not in known:
                raise ConfigError(
                    f"[detectors.{name}]",
                    f"{type(policy).__name__} needs it, and it is not configured",
                    f"one of {', '.join(known)}",
                    "Add it to the configuration or to the preset",
                )
    computed = [make_feature(**spec) for spec in values.get("own_features", ())]
    features = list(dict.fromkeys([*computed, *values["features"], *(name for policy in policies for name in getattr(policy, "features", ()))]))
    wrapped = [wrap(policy) for policy in policies] if wrap is not None else policies
    try:
        engine = lc.Engine(
            instruments,
            None,
            wrapped[0] if len(wrapped) == 1 else wrapped or None,
            lc.Risk(**values["limits"]),
            equity=values["equity"],
            audit_capacity=AUDIT_CAPACITY,
            patience=values.get("patience", 1.0),
            features=features,
            quote_age_s=values["quote_age_s"],
            timetable=make_timetable(values.get("timetable", {})),
            detectors=[make_detector(**spec) for spec in detectors],
        )
    except ValueError as why:  # what only the contracts of a run can show: a feature that looks at one that is not there
        raise ConfigError("engine", str(why)) from why
    if (found := learnt_of(values)) is not None:
        found.apply(engine, "settings: learnt")
    return engine


def learnt_of(values: dict[str, Any]) -> Learnt | None:
    """What the run began with (settings["learnt"]); None where it began cold."""
    return decode(base64.b64decode(values["learnt"]), "settings: learnt") if values.get("learnt") else None


def _whole(values: dict[str, Any]) -> dict[str, Any]:
    """Settings of an old recording (one detector, one rule, no age of quotes) in the present form."""
    symbols = list(values["brackets"])
    policies = [{"rule": values["rule"], "symbols": symbols, "parameters": {symbol: {} for symbol in symbols}}] if values["rule"] else []
    return {"detectors": [], "features": [], "policies": policies, "quote_age_s": 10.0} | values


def make_policies(values: dict[str, Any]) -> list[lc.Policy]:
    """The policies of a run from its settings, one a rule; those of a user's file are run."""
    found = [
        make_policy(
            spec["rule"],
            {symbol: values["brackets"][symbol] for symbol in spec["symbols"]},
            values.get("rule_sha256"),
            spec["parameters"],
            only=spec["symbols"] if len(values["policies"]) > 1 else (),
        )
        for spec in values["policies"]
    ]
    for policy in found:
        if isinstance(policy, Ruled):
            policy.explains = int(values.get("declines", 0))  # a recording from before conditions were written down has none to compare with
    return found


def make_paper(values: dict[str, Any], wrap: Callable[[lc.Policy], lc.Policy] | None = None, *, trust: bool = False) -> lc.Paper:
    """Engine and simulated venue from the settings of a run; wrap, trust: see make_engine."""
    if values.get("venue", SIMULATED) != SIMULATED:
        raise DataError(
            "settings",
            "this run traded at a real venue",
            "a run of the simulated venue (paper)",
            "The venue's answers are part of the run: use `liqcore replay` without --as. Paper runs (`liqcore demo --paper`, `liqcore "
            "live` without --live) allow --as",
        )
    engine = make_engine(values, wrap, trust=trust)
    venue = dict(values["paper"])
    if "latency" in venue:
        venue["latency"] = lc.Latency(**venue["latency"])
    return lc.Paper(engine, lc.SimVenue(engine.instruments, **venue))


class Pipeline:
    """One engine with its venue and its decoder.

    `frame` is for replay; live, the listener calls `sink` directly and `other` for the rest. trust: see make_engine. Of a live run, the driver sets
    `sink.dispatch`; without it, what the engine asks for is forgotten (replay), and the venue's answers enter by `report` alike.
    """

    def __init__(self, values: dict[str, Any], on_signals: Callable[[tuple[lc.Signal, ...]], None] | None = None, *, trust: bool = False):
        if not reads_abi(values.get("abi")):
            raise DataError(
                "recording",
                f"made with struct version {values.get('abi')!r}",
                f"version {lc.abi_version()} of this liqcore",
                "Replay it with the version that recorded it: " + str(values.get("version")),
            )
        self.values = values
        self.on_signals = on_signals
        self.paper: lc.Paper | None = None
        self.sink: LiveSink | PaperSink
        if values.get("venue", SIMULATED) == GATEWAY:
            self.engine = make_engine(values, trust=trust)
            self.engine.audit.touch()
            if values["restored"]:
                self.engine.trade_restore(base64.b64decode(values["restored"]))
                if (found := learnt_of(values)) is not None:
                    found.ask_again(self.engine)
                self.engine.resume(values["resumed_ns"])
            self.sink = LiveSink(self.engine, values["gap_ns"], on_signals)
        else:
            self.paper = make_paper(values, trust=trust)
            self.engine = self.paper.engine
            self.sink = PaperSink(self.paper, values["gap_ns"], on_signals)
        self.instruments = self.engine.instruments
        self.sources = sources_of(values, self.sink)

    @property
    def counters(self) -> Counter[str]:
        """What the general parser was given, over all venues."""
        return sum((source.counters for source in self.sources.values()), Counter())

    def feed(self, state: lc.FeedState, ts_event: int, ts_recv: int, venue: str = "", concerns: Sequence[Concern] | None = None) -> None:
        """A venue's feed came up, went down or is known to have a gap; '' = the only one. ts_event: last good data, ns. concerns: the contracts and
        streams that it is about, None = all of the venue."""
        source_named(self.sources, venue, "feed").feed(state, ts_event, ts_recv, concerns)

    def mark(self, mark: dict[str, Any], ts_recv: int) -> None:
        """The same from a recording."""
        source = source_named(self.sources, mark.get("venue", ""), "feed")
        source.feed(lc.FeedState(mark["state"]), mark["ts_event"], ts_recv, concerns_of(mark, source.instruments, source.symbols, source.first))

    def frame(self, raw: bytes, ts_recv: int, venue: str = "", polled: bool = False) -> None:
        """Any frame, as the listener would treat it; polled: it is the answer to a REST request."""
        source_named(self.sources, venue, "recording").frame(raw, ts_recv, polled)

    def report(self, event: tuple[Any, ...] | bytes) -> bytes:
        """One event of the venue's or the operator's of a live run, or a judge's of any run: an EVENT_DTYPE row as a tuple or as its bytes. Returns
        the bytes of what was stepped, for the recording."""
        try:
            row = np.frombuffer(event, lc.EVENT_DTYPE) if isinstance(event, bytes) else np.array([event], lc.EVENT_DTYPE)
            if not isinstance(self.sink, LiveSink) and not foretold(row):
                raise DataError("recording", "a venue's report in a run of the simulated venue", "reports in live runs only")
            return self.sink.report(row)
        except ValueError as why:
            raise DataError("report", str(why), "one event row") from None

    def advance(self, ts: int) -> None:
        """Let time pass: deadlines, timers and the simulated venue's answers up to ts (ns)."""
        self.sink.advance(ts)

    @property
    def next_deadline(self) -> int | None:
        """When advance() should be called next if nothing arrives before, ns."""
        return self.sink.next_deadline

    def drain_audit(self) -> np.ndarray:
        """New audit records."""
        return drain_audit(self.engine)


def foretold(row: np.ndarray) -> bool:
    """Whether an event that came by no feed may enter a run of the simulated venue, too: a judge's word, or that a contract trades no more, or
    again."""
    gate = row["kind"][0] == int(lc.Kind.CONTROL) and row["flags"][0] == int(lc.Gate.GATE_SYMBOL)
    return bool(row["kind"][0] == int(lc.Kind.VERDICT) or gate)


def drain_audit(engine: lc.Engine) -> np.ndarray:
    """New audit records. Draining too late would lose some, which would end every promise of replay: that is an error, not a statistic."""
    if engine.audit.lost:
        raise DataError(
            "audit ring",
            f"{engine.audit.lost} records were overwritten before they were saved",
            "none",
            "This is a fault of liqcore; report it with the recording",
        )
    return engine.audit.drain()
