"""Detectors, features and venues of the user's: named in a configuration, hashed into a run, the same live, in replay and in a backtest."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest

import liqcore as lc
from liqshell import plugins
from liqshell.backtest import load_history
from liqshell.config.load import load
from liqshell.config.policy_loader import make_policy
from liqshell.ending import outcome_of
from liqshell.errors import ConfigError
from liqshell.recording.journal import Journal
from liqshell.recording.recorder import END, META, Recorder
from liqshell.report.run import load_run as open_run
from liqshell.run.backtest_parity import prove_as_backtest
from liqshell.run.pipeline import Pipeline, make_paper, settings
from liqshell.run.replay import prove
from liqshell.venues.adapters import OWN_VENUES, adapter_of
from recorded_run import mark, record_run

ROOT = Path(__file__).parents[3]
OWN = ROOT / "examples" / "own"
S = lc.SECOND
T0 = 1_700_000_000 * S
BYBIT = ["feed.venue=bybit", 'feed.symbols=["SOLUSDT", "DOGEUSDT"]']


@pytest.fixture
def own(tmp_path):
    """The examples in a folder that a test may change."""
    return Path(shutil.copytree(OWN, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture(autouse=True)
def _venues():
    yield
    for name in list(OWN_VENUES):
        del OWN_VENUES[name]


def streak(length=3, **more):
    sys.path.insert(0, str(OWN))
    try:
        from streak import Streak
    finally:
        sys.path.remove(str(OWN))
    return lc.make_detector(Streak, "streak", length=length, **more)


def push(stream, *rows):
    return [s for second, side, notional in rows for s in stream.push(T0 + second * S, side, notional, 10.0)]


# ---- the detector alone ----


def test_a_row_of_one_side_is_active_and_ends_with_the_other_side_or_with_time():
    stream = lc.Standalone(streak())
    assert push(stream, (0, lc.LONG, 5.0), (1, lc.LONG, 6.0)) == []
    (active,) = push(stream, (2, lc.LONG, 7.0))
    assert (active.phase, active.side, active.count, active.long_notional, active.short_notional) == (lc.Phase.ACTIVE, lc.LONG, 3, 18.0, 0.0)
    assert (active.ts, active.ts_start, active.sequence, active.price) == (T0 + 2 * S, T0 + 2 * S, 1, 10.0)
    (ended,) = push(stream, (3, lc.SHORT, 1.0))
    assert (ended.phase, ended.side, ended.sequence) == (lc.Phase.EXHAUSTED, lc.LONG, 1)
    (active,) = push(stream, (4, lc.SHORT, 1.0), (5, lc.SHORT, 1.0))
    assert active.sequence == 2
    assert stream.next_deadline == T0 + 125 * S
    (ended,) = stream.advance(T0 + 200 * S)
    assert (ended.phase, ended.ts) == (lc.Phase.EXHAUSTED, T0 + 125 * S) and stream.next_deadline is None
    assert [one.count for one in push(stream, *((n, lc.LONG, 1.0) for n in (300, 301, 302, 421)))] == [3]
    (ended,) = push(stream, (541, lc.LONG, 1.0))  # a deadline at the time of an event comes first
    assert (ended.phase, ended.ts, ended.count) == (lc.Phase.EXHAUSTED, T0 + 541 * S, 4)


def test_a_snapshot_in_the_middle_of_a_row_goes_on_as_if_nothing_had_happened():
    whole, first, second = (lc.Standalone(streak()) for _ in range(3))
    rows = [(n, lc.LONG if n % 7 else lc.SHORT, float(n + 1)) for n in range(40)]
    expected = push(whole, *rows)
    assert len(expected) > 4
    said = push(first, *rows[:18])
    second.restore(first.snapshot())
    assert said + push(second, *rows[18:]) == expected
    assert second.snapshot() == whole.snapshot()
    other = lc.Standalone(streak(length=4))
    with pytest.raises(ValueError, match="of other settings"):
        other.restore(first.snapshot())


class Counts(lc.CustomDetector):
    """Every third liquidation is ACTIVE. What it counts is in attributes; those of a class with __slots__ are there."""

    PARAMETERS = (lc.Parameter("every", 3, 1, 9, "liquidations", "so many"),)

    def start(self):
        self.seen, self.__hidden = 0, 0

    def on_event(self, event):
        self.seen += 1
        self.__hidden += self.seen
        return lc.PhaseChange(lc.Phase.ACTIVE, 1, z=float(self.__hidden)) if self.seen % self.parameters["every"] == 0 else None


@pytest.mark.parametrize(
    "bases",
    [
        (type("Slots", (), {"__slots__": ("seen", "_Counts__hidden")}),),
        (type("More", (type("Fewer", (), {"__slots__": ("_Counts__hidden",)}),), {"__slots__": "seen"}),),
    ],
)
def test_state_in_slots_is_kept_like_other_attributes(bases):
    slotted = type("Slotted", (Counts, *bases), {"__slots__": ("never_set",)})
    assert "seen" not in vars(slotted({"every": 3}, lc.Instrument("X")))
    plain, first, second = (lc.Standalone(lc.make_detector(kind, "counts")) for kind in (Counts, slotted, slotted))
    expected = push(plain, *((n, lc.LONG, 1.0) for n in range(12)))
    said = push(first, *((n, lc.LONG, 1.0) for n in range(5)))
    second.restore(first.snapshot())
    assert said + push(second, *((n, lc.LONG, 1.0) for n in range(5, 12))) == expected and [one.z for one in expected] == [6.0, 21.0, 45.0, 78.0]


def test_slots_are_checked_like_other_attributes_and_settings_do_not_change():
    keeps = type("Keeps", (Counts,), {"__slots__": ("recent",), "start": lambda self: setattr(self, "recent", {1})})
    with pytest.raises(TypeError, match=r"Keeps\.recent: a set with this content cannot be kept"):
        lc.Engine(["X"], detectors=[lc.make_detector(keeps, "keeps")])

    class Changes(Counts):
        def on_event(self, event):
            self.parameters["every"] += 1

    with pytest.raises(TypeError, match="does not support item assignment") as why:
        lc.Standalone(lc.make_detector(Changes, "changes")).push(T0, lc.LONG, 1.0, 10.0)
    assert why.value.liqcore_source == f"{__file__}:{Changes.on_event.__code__.co_firstlineno + 1}, on_event"

    class Others(Counts):
        """Settings under another name are no state; settings of its own are."""

        def start(self):
            super().start()
            self.same, self.parameters = self.parameters, dict(self.parameters)

        def on_event(self, event):
            self.parameters["every"] += 1
            return lc.PhaseChange(lc.Phase.ACTIVE, 1, z=float(self.parameters["every"]))

    with pytest.raises(TypeError, match=r"Others\.same: a mappingproxy"):
        lc.Engine(["X"], detectors=[lc.make_detector(Others, "others")])
    del Others.start
    Others.start = lambda self: setattr(self, "parameters", dict(self.parameters))
    first, second = (lc.Standalone(lc.make_detector(Others, "others")) for _ in range(2))
    assert [one.z for one in push(first, (0, lc.LONG, 1.0), (1, lc.LONG, 1.0))] == [4.0, 5.0]
    second.restore(first.snapshot())
    assert [one.z for one in push(second, (2, lc.LONG, 1.0))] == [6.0]


def test_parameters_are_checked_like_those_of_any_detector():
    with pytest.raises(ValueError, match="no parameter is called 'lenght'"):
        streak(lenght=3)
    with pytest.raises(ValueError, match="length: expected a whole number 2 to 1000"):
        streak(length=1)
    with pytest.raises(TypeError, match=r"derives from liqcore\.CustomDetector"):
        lc.make_detector(dict, "x")


class Raises(lc.CustomDetector):
    PARAMETERS = (lc.Parameter("how", 0, 0, 9, "", "which way it goes wrong"),)

    def start(self):
        self.kept = object() if self.parameters["how"] == 6 else 0

    def on_event(self, event):
        how = self.parameters["how"]
        if how == 0:
            raise ZeroDivisionError("mine")
        return {1: "ACTIVE", 2: [lc.PhaseChange(2, 1)] * 5, 3: lc.PhaseChange(0, 1), 4: lc.PhaseChange(2, 1, z=float("nan"))}.get(how)

    def deadline(self):
        return 5 if self.parameters["how"] == 5 else None


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        (0, ZeroDivisionError, "mine"),
        (1, TypeError, "a PhaseChange or at most 4"),
        (2, TypeError, "at most 4"),
        (3, ValueError, "a phase but IDLE"),
        (4, ValueError, "finite"),
        (5, ValueError, r"deadline\(\): expected None or a time after"),
    ],
)
def test_what_goes_wrong_in_the_class_reaches_the_caller_and_halts_entries(how, kind, text):
    engine = lc.Engine(["X"], detectors=[lc.make_detector(Raises, "raises", how=how)])
    with pytest.raises(kind, match=text):
        engine.on_liquidation(T0, T0, 0, lc.LONG, 10.0, 1.0)
    assert engine.risk.halted
    kinds = [lc.AuditKind(k).name for k in engine.audit.drain()["kind"]]
    assert "AUDIT_ALARM" in kinds
    with pytest.raises(kind, match=text):
        lc.Standalone(lc.make_detector(Raises, "raises", how=how)).push(T0, lc.LONG, 10.0, 1.0)


def test_state_that_cannot_be_kept_is_said_at_the_start():
    with pytest.raises(TypeError, match=r"Raises\.kept: a object with this content cannot be kept"):
        lc.Engine(["X"], detectors=[lc.make_detector(Raises, "raises", how=6)])


# ---- the feature alone ----


def test_a_feature_of_ones_own_is_its_function_of_the_features_it_needs():
    @lc.needs("liquidations.liq_volume@1m", "flow.volume@1m")
    def share(liquidated, traded):
        return liquidated / traded if traded > 0.0 else None

    name = lc.CustomFeature("own.share", share)
    features = lc.Features([name, "liquidations.liq_count@1m"], [lc.Instrument("X", completeness=lc.Completeness.COMPLETENESS_FULL)])
    events = np.zeros(3, lc.EVENT_DTYPE)
    events["ts_event"] = events["ts_recv"] = T0 + np.array([0, 70, 71]) * S
    events["kind"] = [lc.Kind.TRADE, lc.Kind.TRADE, lc.Kind.LIQUIDATION]
    events["side"], events["price"], events["qty"] = 1, 10.0, [1.0, 4.0, 1.0]
    features.push(events[:1])
    assert np.isnan(features.read("own.share"))  # the minute is not known yet
    features.push(events[1:])
    volume, traded = features.read("liquidations.liq_volume@1m"), features.read("flow.volume@1m")
    assert (volume, traded) == (10.0, 40.0) and features.read("own.share") == 0.25
    assert features.names[:2] == ("own.share", "liquidations.liq_count@1m")


def test_a_feature_that_raises_or_is_none():
    @lc.needs("liquidations.liq_count@1m")
    def wrong(count):
        return 1 / 0

    engine = lc.Engine(["X"], features=[lc.CustomFeature("own.wrong", wrong)])
    engine.on_liquidation(T0, T0, 0, lc.LONG, 10.0, 1.0)
    with pytest.raises(ZeroDivisionError):
        engine.feature("own.wrong", 0)
    for name, function, text in (
        ("wrong", wrong, "a name such as own"),
        ("own.x", lambda: 1, "marked with at least one feature"),
        ("own.x", lc.needs("liquidations.no")(lambda x: 1), "no 'no'"),
    ):
        with pytest.raises(ValueError, match=text):
            lc.CustomFeature(name, function)
    with pytest.raises(ValueError, match="declared first"):
        lc.Engine(["X"], features=["own.share"])


@pytest.mark.parametrize("answer", [math.inf, -math.inf, np.float64("inf"), "1.5", b"2", 1j, 10**400, [1.0], iter(())])
def test_an_answer_of_a_feature_that_is_no_finite_number_is_refused_by_name(answer):
    @lc.needs("liquidations.liq_count@1m")
    def odd(count):
        return answer

    engine = lc.Engine(["X"], features=[lc.CustomFeature("own.odd", odd)])
    engine.on_liquidation(T0, T0, 0, lc.LONG, 10.0, 1.0)
    with pytest.raises(ValueError, match=r"feature own\.odd: expected a finite number, nan or None, got "):
        engine.feature("own.odd", 0)


def test_two_features_of_one_name_are_refused_by_name():
    @lc.needs("liquidations.liq_count@1m")
    def first(count):
        return count

    @lc.needs("liquidations.liq_volume@1m")
    def second(volume):
        return volume

    class Counted:
        needs = ("liquidations.liq_count@1m",)

        def __call__(self, count):
            return count

    a, b = lc.CustomFeature("own.a", first), lc.CustomFeature("own.a", second)
    for features in ([a, b], [b, "flow.volume@1m", a]):
        for make in (lambda names: lc.Features(names, [lc.Instrument("X")]), lambda names: lc.Engine(["X"], features=names)):
            with pytest.raises(ValueError, match=r"feature own\.a: two different functions have this name: .*(first|second) and .*(second|first)"):
                make(features)
    policy = against(features=(b,))
    with pytest.raises(ValueError, match=r"feature own\.a: two different functions"):
        lc.Engine(["X"], None, policy, features=[a])
    lc.Engine(["X"], None, against(features=(a, "own.a")), features=[a, lc.CustomFeature("own.a", first)])  # one function, said three times
    lc.Engine(["X"], features=[lc.CustomFeature("own.c", Counted), lc.CustomFeature("own.c", Counted)])


def against(**more):
    """A policy that wants nothing, with these attributes."""
    return type("Silent", (lc.Policy,), {"on_signal": lambda self, signal, market: None, **more})()


# ---- in a run ----


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A paper run of the example's detector, feature and policy over a generated market."""
    folder = tmp_path_factory.mktemp("own")
    own = Path(shutil.copytree(OWN, folder / "own", ignore=shutil.ignore_patterns("__pycache__")))
    config = load(own / "own.toml", [*BYBIT, "detectors.streak.window_s=600"])
    return record_run(folder / "run", hours=2.0, config=config, cut_s=60.0), own


def test_a_run_is_the_same_in_replay_and_as_a_backtest(recorded):
    folder, _ = recorded
    run = open_run(folder)
    signals = run.of_kind(lc.AuditKind.AUDIT_SIGNAL)
    assert len(signals) > 20 and len(run.of_kind(lc.AuditKind.AUDIT_BRACKET)) > 0
    assert prove(folder, trust=True).identical
    found = prove_as_backtest(folder, trust=True)
    assert found.identical, found.difference


def test_a_replay_asks_for_consent_and_refuses_another_file(recorded):
    folder, own = recorded
    with pytest.raises(ConfigError, match=r"Python code in .*against\.py:Against, .*streak\.py:Streak, .*shares\.py:forced_share"):
        prove(folder)
    for name in ("streak.py", "shares.py"):
        before = (own / name).read_text()
        (own / name).write_text(before + "\n# changed\n")
        with pytest.raises(ConfigError, match="this file has changed since the run"):
            prove(folder, trust=True)
        (own / name).write_text(before)
    told = open_run(folder).table("settings")["detectors"]
    assert [one["kind"].rpartition("/")[2] for one in told] == ["streak.py:Streak"] and len(told[0]["sha256"]) == 64


def test_a_restart_of_the_engine_goes_on(own):
    values = settings(load(own / "own.toml", BYBIT), [lc.Instrument("SOLUSDT"), lc.Instrument("DOGEUSDT")])
    events = np.zeros(60, lc.EVENT_DTYPE)
    events["ts_event"] = events["ts_recv"] = T0 + np.arange(60) * S
    events["kind"], events["price"], events["qty"] = lc.Kind.LIQUIDATION, 10.0, 100.0
    events["side"], events["instrument"] = np.where(np.arange(60) % 11, 1, -1), np.arange(60) % 2
    whole, first, second = (make_paper(values, trust=True).engine for _ in range(3))
    expected = whole.run(events)
    said = first.run(events[:25])
    second.restore(first.snapshot())
    assert [*said, *second.run(events[25:])] == list(expected) and len(expected) > 5


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("own.toml", "length = 4", "lenght = 4", r"own\.toml:13: detectors\.streak\.lenght: unknown key\. Did you mean 'length'\?"),
        ("own.toml", "length = 4", "length = 1", r"own\.toml:13: detectors\.streak\.length: found 1; expected a whole number 2 to 1000"),
        (
            "own.toml",
            "py:Streak",
            "py:Strike",
            r"own\.toml:12: detectors\.streak\.kind: .*streak\.py:Strike: no detector of this name; expected one of",
        ),
        ("own.toml", "streak.py", "gone.py", r"own\.toml:12: detectors\.streak\.kind: .*gone\.py cannot be read"),
        ("streak.py", "import liqcore as lc", "import liqcoree", r"streak\.py: cannot be run: ModuleNotFoundError: .*\(line 3\)"),
        ("streak.py", "self.notional = 0.0", "self.notional = 1 / 0", r"Streak cannot be started: ZeroDivisionError.*\(line 14\)"),
        (
            "streak.py",
            "def on_event(self, event",
            "def on_events(self, event",
            r"detectors\.streak.*on_event\(event\) is missing; on_events is never called",
        ),
        (
            "streak.py",
            "def on_event(self, event",
            "def on_event(self, market, event",
            r"detectors\.streak.*expected \(self, event\) \(.*streak\.py:\d+\)",
        ),
        (
            "streak.py",
            "def deadline(self)",
            "def deadline(self, now)",
            r"detectors\.streak.*deadline is defined with the arguments \(self, now.*expected \(self\)",
        ),
        (
            "shares.py",
            "def forced_share(liquidated, traded)",
            "def forced_share(liquidated)",
            r"features\.own\.forced_share.*one number for each feature that it needs",
        ),
        ("own.toml", "py:forced_share", "py:share", r"own\.toml:16: features\.own\.forced_share: .*no feature of this name; expected one of"),
        ("own.toml", "py:ADAPTER", "py:CLIENT", r"own\.toml:5: venues\.mirror: .*no venue of this name"),
        ("own.toml", 'mirror = "', 'lighter = "', r"own\.toml:5: venues\.lighter: .* names its venue 'mirror'"),
    ],
)
def test_what_is_wrong_is_said_by_file_and_line(own, file, before, after, told):
    text = (own / file).read_text()
    assert before in text
    (own / file).write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError) as why:
        load(own / "own.toml", [] if "venues" in told else BYBIT)
    assert re.search(told, str(why.value)), str(why.value)


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("def on_signal(self, signal): return None", r"mine\.py:Mine: on_signal is defined .*\(self, signal\), expected \(self, signal, market\)"),
        ("def on_signals(self, signal, market): return None", r"on_signal\(signal, market\) is missing; on_signals is never called"),
        ("async def on_signal(self, signal, market): return None", "on_signal is an async function"),
        ("detectors = ()", r"mine\.py:Mine: on_signal\(signal, market\) is missing;"),
        ("def on_signal(self, signal, market): return None\n    def restore(self): pass", r"restore is defined .*expected \(self, data\)"),
    ],
)
def test_a_policy_that_cannot_be_called_is_refused_before_the_run(tmp_path, method, told):
    (tmp_path / "mine.py").write_text(f"import liqcore as lc\n\nclass Mine(lc.Policy):\n    {method}\n")
    (tmp_path / "c.toml").write_text('[policy]\nrule = "mine.py:Mine"\n')
    with pytest.raises(ConfigError) as why:
        make_paper(settings(load(tmp_path / "c.toml"), [lc.Instrument("X")]), trust=True)
    assert re.search(told, str(why.value)), str(why.value)


INIT = "import liqcore as lc\n\n\nclass Mine(lc.Policy):\n    def __init__(self{}):\n        self.got = {}\n\n    def on_signal(self, signal, market):\n        return None\n"


def test_a_policy_receives_its_parameters_by_symbol_or_is_refused(tmp_path):
    """[policy.parameters] is the third argument; a class that has none would never see them."""
    brackets, parameters = {"A": {"notional": 1.0}, "B": {"notional": 2.0}}, {"A": {"alpha": 3}, "B": {"alpha": 4}}

    def made(text, **more):
        (tmp_path / "mine.py").write_text(text)
        return make_policy(f"{tmp_path / 'mine.py'}:Mine", brackets, **more)

    three = INIT.format(", default, brackets, parameters", "(default, brackets, parameters)")
    assert made(three, parameters=parameters).got == (brackets["A"], brackets, parameters)
    two = INIT.format(", default, brackets", "(default, brackets)")
    assert made(two).got == made(two, parameters={"A": {}, "B": {}}).got == (brackets["A"], brackets)
    with pytest.raises(ConfigError, match=r"takes 3 positional arguments but 4 were given.*made as \(default, brackets, parameters\)"):
        made(two, parameters=parameters)
    with pytest.raises(ConfigError, match=r"policy.parameters: .*mine.py:Mine has no __init__ that receives them"):
        made(INIT[: INIT.index("    def __init__")] + INIT[INIT.index("    def on_signal") :], parameters=parameters)


# ---- the venue ----


def test_a_venue_of_ones_own_reads_its_frames_live_and_in_replay(own):
    config = load(own / "own.toml")
    assert config.feed.ws_url == "ws://127.0.0.1:8091" and config.feed.venue == "mirror"
    instrument = lc.Instrument("BTC-PERP", venue="mirror", tick_size="0.5", lot_size="0.001")
    values = settings(config, [instrument])
    (told,) = values["feeds"]
    assert told["adapter"].endswith("mirror.py:ADAPTER") and len(told["sha256"]) == 64
    OWN_VENUES.clear()  # another process
    with pytest.raises(ConfigError, match=r"mirror\.py:ADAPTER"):
        Pipeline(values)
    signals: list[lc.Signal] = []
    pipeline = Pipeline(values, signals.extend, trust=True)
    pipeline.feed(lc.FeedState.FEED_UP, T0, T0)
    for n in range(8):
        ms = (T0 // 1_000_000) + n * 1000
        pipeline.frame(
            orjson.dumps({"channel": "liquidations", "symbol": "BTC-PERP", "ts": ms, "side": "sell", "price": "100", "qty": "1"}), T0 + n * S + 1
        )
    assert [(s.phase, s.side) for s in signals] == [(lc.Phase.ACTIVE, lc.LONG)]


@pytest.mark.parametrize(
    "raised, status, says", [("ValueError('mine')", 2, "ValueError: mine"), ("SystemExit(0)", 2, "SystemExit: it called for an")]
)
def test_a_venue_that_raises_is_named_by_file_and_line(own, raised, status, says):
    with open(own / "mirror.py", "a") as file:
        file.write("class Bad(TEMPLATE.decoder):\n    def message(self, *arguments):\n")
        file.write(f"        raise {raised}\nADAPTER = replace(ADAPTER, decoder=Bad)\n")
    values = settings(load(own / "own.toml"), [lc.Instrument("BTC-PERP", venue="mirror", tick_size="0.5", lot_size="0.001")])
    with pytest.raises((ValueError, SystemExit)) as why:
        Pipeline(values, trust=True).frame(b'{"channel": "liquidations"}', T0)
    assert outcome_of(why.value)[0] == status and re.search(rf"mirror\.py:\d+, message: the venue raised {says}", outcome_of(why.value)[1])


def record_mirror(folder, own):
    """A run of the example over frames of its own venue: trades, and liquidations in rows of one side."""
    values = settings(load(own / "own.toml"), [lc.Instrument("BTC-PERP", venue="mirror", tick_size="0.5", lot_size="0.001")])
    pipeline = Pipeline(values, trust=True)
    book = Journal(
        folder,
        {
            "version": lc.__version__,
            "abi": lc.abi_version(),
            "mode": "paper",
            "synthetic": True,
            "venue": "mirror",
            "speed": 1.0,
            "settings": values,
            "instruments": values["instruments"],
            "started_ns": T0,
        },
    )
    with Recorder(folder / "frames") as recorder:
        recorder.mark(T0, META, values)
        mark(recorder, pipeline, lc.FeedState.FEED_UP, T0, T0)
        for n in range(200):
            told = {
                "channel": "trades" if n % 3 else "liquidations",
                "symbol": "BTC-PERP",
                "ts": T0 // 1_000_000 + n * 1000,
                "id": n,
                "side": "sell" if n % 40 else "buy",
                "price": str(100 + n % 7),
                "qty": "1",
            }
            frame, now = orjson.dumps(told), T0 + n * S + 1
            recorder.append(now, frame, "mirror")
            pipeline.frame(frame, now)
        recorder.mark(T0 + 300 * S, END, {})
    pipeline.advance(T0 + 300 * S)
    book.audit(pipeline.drain_audit())
    book.close(ended_ns=T0 + 300 * S, wall_ended_ns=1, counters={})


def test_a_run_of_ones_own_venue_is_proved_as_a_backtest_and_backtested(own, tmp_path):
    record_mirror(tmp_path / "run", own)
    assert len(open_run(tmp_path / "run").of_kind(lc.AuditKind.AUDIT_SIGNAL)) > 2
    OWN_VENUES.clear()  # another process
    with pytest.raises(ConfigError, match=r"Python code in .*mirror\.py:ADAPTER decodes this recording; expected your consent .*--trust-policy"):
        prove_as_backtest(tmp_path / "run")
    assert not OWN_VENUES
    found = prove_as_backtest(tmp_path / "run", trust=True)
    assert found.identical and found.verdict.records > 5, found.difference
    assert prove(tmp_path / "run", trust=True).identical
    OWN_VENUES.clear()
    (tmp_path / "plain.toml").write_text("[data]\nfiles = ['run']\n")
    with pytest.raises(ConfigError, match=r"mirror\.py:ADAPTER.*\[venues\]"):
        load_history(load(tmp_path / "plain.toml"))
    history = load_history(load(own / "own.toml", [f'data.files=["{tmp_path / "run"}"]']))  # which names the venue
    assert len(history.tape.trades(0)["ts"]) == 133
    (own / "mirror.py").write_text((own / "mirror.py").read_text() + "# changed\n")
    with pytest.raises(ConfigError, match="this file has changed since the run"):
        prove_as_backtest(tmp_path / "run", trust=True)


def test_the_template_passes_its_own_tests():
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-q",
            "-n",
            "0",
            "-p",
            "no:cacheprovider",
            str(ROOT / "pysrc/liqshell/venues/_template/test_template.py"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_entry_point_names_a_detector(tmp_path, own, monkeypatch):
    """A package that is installed offers one: its folder and its entry_points.txt are on the path."""
    info = tmp_path / "site" / "mypack-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[liqcore.detectors]\nrow = mypack:Streak\n[liqcore.venues]\nmirror = mymirror:ADAPTER\n")
    shutil.copy(own / "streak.py", tmp_path / "site" / "mypack.py")
    shutil.copy(own / "mirror.py", tmp_path / "site" / "mymirror.py")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (tmp_path / "c.toml").write_text('[detectors.mine]\nkind = "row"\nlength = 5\n')
    values = settings(load(tmp_path / "c.toml"), [lc.Instrument("X")])
    assert values["detectors"][0]["kind"] == "row" and len(values["detectors"][0]["sha256"]) == 64
    made = make_paper(values, trust=True).engine.detectors[-1]
    assert made.as_dict() == {"kind": "row", "name": "mine", "length": 5, "window_s": 120.0}
    assert adapter_of("mirror").venue == "mirror"


def installed(folder, entry_points, monkeypatch, name="mypack"):
    """A package with these entry points: its folder is on the path."""
    info = folder / name / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    monkeypatch.syspath_prepend(folder / name)


def test_an_entry_point_of_a_name_that_ships_is_said_once_and_by_doctor(tmp_path, monkeypatch, capsys, caplog):
    from test_cli import run

    installed(tmp_path, "[liqcore.detectors]\nimbalance = theirs:Mine\nrate = theirs:Mine\n[liqcore.venues]\nbinance = theirs:ADAPTER\n", monkeypatch)
    monkeypatch.setattr(plugins, "_LOOKED", set())
    (tmp_path / "c.toml").write_text('[detectors.mine]\nkind = "imbalance"\n[policy]\npreset = "fade"\n')
    for _ in range(2):
        values = settings(load(tmp_path / "c.toml"), [lc.Instrument("X")])
        assert make_paper(values).engine.detectors[-1].kind == "imbalance"
        adapter_of("binance")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "entry point 'imbalance' (theirs:Mine) of the group liqcore.detectors is not used: liqcore ships a detector of this name",
        "entry point 'binance' (theirs:ADAPTER) of the group liqcore.venues is not used: liqcore ships a venue of this name",
    ]
    status, out, _ = run(capsys, "doctor", tmp_path / "c.toml", "--offline", "--set", f"run.out={tmp_path / 'runs'}", "--json")
    warned = [check["text"] for check in json.loads(out)["checks"] if check["id"] == "construct" and check["verdict"] == "warn"]
    assert status == 0 and [text.split("'")[1] for text in warned] == ["imbalance", "rate", "binance"]


def test_a_name_that_two_packages_offer_is_refused(tmp_path, monkeypatch):
    for name in ("one", "two"):
        installed(tmp_path, f"[liqcore.detectors]\nrow = {name}:Row\n", monkeypatch, name)
    (tmp_path / "c.toml").write_text('[detectors.mine]\nkind = "row"\n')
    with pytest.raises(ConfigError, match=r"several installed packages offer 'row': one:Row, two:Row"):
        load(tmp_path / "c.toml")


def test_the_commands_of_the_example_run_as_they_stand_in_it(tmp_path):
    """From a folder of its own that holds examples/, by a shell."""
    shutil.copytree(OWN, tmp_path / "examples" / "own", ignore=shutil.ignore_patterns("__pycache__"))
    commands = re.findall(r"^#   (liqcore .*)$", (OWN / "own.toml").read_text(), re.M)
    assert [command.split()[1] for command in commands] == ["demo", "backtest"]
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "liqcore"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m liqshell "$@"\n')
    script.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"}
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(next((tmp_path / "runs").glob("own-*/report.json")).read_text())
    assert report["entries"]["placed"] > 0 and report["label"] == "SYNTHETIC"
