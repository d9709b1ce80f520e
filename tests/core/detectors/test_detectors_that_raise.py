"""A detector in Python that raises: the others see the event, what they say is done, entries halt, and whoever called hears whose it is."""

import numpy as np
import pytest

import liqcore as lc
from liqcore.detectors.custom import CustomDetector, PhaseChange

pytestmark = pytest.mark.core
T0, S = 1_750_000_000 * lc.SECOND, lc.SECOND


class Healthy(CustomDetector):
    """ACTIVE at the second liquidation, EXHAUSTED at the fourth."""

    def start(self):
        self.seen = 0

    def on_event(self, event):
        self.seen += 1
        phase = {2: lc.Phase.ACTIVE, 4: lc.Phase.EXHAUSTED}.get(self.seen)
        return None if phase is None else PhaseChange(phase, event.side)


class Faulty(Healthy):
    at, what = 4, ZeroDivisionError("mine")

    def on_event(self, event):
        self.seen += 1
        if self.seen == self.at:
            raise self.what


class DeafToGaps(Healthy):
    def on_gap(self, until):
        raise KeyError("gap")


class Enter(lc.Policy):
    def __init__(self, side):
        self.side = side

    def on_signal(self, signal, market):
        if signal.phase == lc.Phase.ACTIVE:
            return lc.Bracket(self.side, entry="market", stop_loss="0.05", notional=1000, exit_phase=lc.Phase.EXHAUSTED)
        return None


def paper(detectors, side):
    instrument = lc.Instrument("X", tick_size="0.1", lot_size="0.001")
    engine = lc.Engine([instrument], detectors=detectors, policy=Enter(side))
    return lc.Paper(engine, lc.SimVenue([instrument], fills="touch"))


def run(one):
    """Quotes and trades in turns, a liquidation each second; what was raised, and the audit."""
    raised = []
    for k in range(80):
        event = np.zeros(1, lc.EVENT_DTYPE)
        event["ts_event"] = event["ts_recv"] = T0 + k * S // 10
        event["kind"], event["price"], event["aux_price"], event["qty"], event["aux_qty"] = lc.Kind.BBO, 100.0, 100.1, 5.0, 5.0
        if k % 2:
            event["kind"], event["side"], event["price"], event["aux_price"], event["aux_qty"] = lc.Kind.TRADE, 1, 100.1, 0.0, 0.0
        if k % 10 == 9:
            event["kind"], event["side"], event["price"], event["aux_price"], event["aux_qty"] = lc.Kind.LIQUIDATION, 1, 100.0, 0.0, 0.0
        try:
            one.run(event)
        except (ZeroDivisionError, RuntimeError) as why:
            raised.append(why)
    one.advance(T0 + 20 * S)
    return raised, one.engine.audit.drain()


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("order", [(Healthy, Faulty), (Faulty, Healthy)])
def test_what_the_others_say_is_done(order, side):
    _, whole = run(paper([lc.make_detector(Healthy, "healthy")], side))
    raised, audit = run(paper([lc.make_detector(each, each.__name__.lower()) for each in order], side))
    signals, expected = (a[a["kind"] == lc.AuditKind.AUDIT_SIGNAL][["ts", "phase"]].tolist() for a in (audit, whole))
    assert signals == expected and len(signals) == 2
    trades, alone = (a[a["kind"] == lc.AuditKind.AUDIT_TRADE] for a in (audit, whole))
    assert len(trades) == len(alone) == 1 and trades["ts"] == alone["ts"] and trades["x"][0, 5] == alone["x"][0, 5]  # out by phase, as without it
    assert [str(why) for why in raised] == ["mine"] and raised[0].liqcore_owner == "detector faulty (Faulty), on_event"
    assert (audit["kind"] == lc.AuditKind.AUDIT_ALARM).sum() == 1


@pytest.mark.parametrize("first", [1, 2])
def test_it_enters_nothing_at_that_event(first):
    """ACTIVE of the healthy one at the event where the other raises: it is in the audit, the policy was asked, and risk refuses."""
    faulty = type("Faulty2", (Faulty,), {"at": 2})
    pair = [lc.make_detector(Healthy, "healthy"), lc.make_detector(faulty, "faulty")]
    raised, audit = run(paper(pair if first == 1 else pair[::-1], 1))
    assert len(raised) == 1 and not (audit["kind"] == lc.AuditKind.AUDIT_TRADE).any() and not (audit["kind"] == lc.AuditKind.AUDIT_REQUEST).any()
    assert (audit["kind"] == lc.AuditKind.AUDIT_SIGNAL).sum() == 2 and (audit["kind"] == lc.AuditKind.AUDIT_POLICY).any()


def test_an_exit_is_an_error():
    with_exit = type("Leaves", (Faulty,), {"what": SystemExit(3)})
    raised, _ = run(paper([lc.make_detector(with_exit, "leaves")], 1))
    assert [type(why) for why in raised] == [RuntimeError] and "exit (3)" in str(raised[0])
    assert raised[0].liqcore_source == f"{__file__}:{Faulty.on_event.__code__.co_firstlineno + 3}, on_event"


def test_so_is_what_is_no_exception_but_for_an_interrupt():
    odd = type("Odd", (BaseException,), {})("words")
    raised, _ = run(paper([lc.make_detector(type("Ends", (Faulty,), {"what": odd}), "ends")], 1))
    assert [str(why) for why in raised] == ["it raised Odd: words (no Exception)"] and raised[0].__cause__ is odd
    with pytest.raises(KeyboardInterrupt):
        run(paper([lc.make_detector(type("Stops", (Faulty,), {"what": KeyboardInterrupt()}), "stops")], 1))


def test_a_gap_that_raises_is_heard_at_once():
    engine = lc.Engine(["X"], detectors=[lc.make_detector(DeafToGaps, "deaf")])
    engine.on_feed(T0, T0, lc.FeedState.FEED_GAP, "X")
    assert engine.next_deadline is not None and engine.next_deadline <= T0
    with pytest.raises(KeyError, match="gap") as why:
        engine.advance(T0 + 1)
    assert why.value.liqcore_owner == "detector deaf (DeafToGaps), on_gap" and engine.risk.halted


@pytest.mark.parametrize(
    "answer",
    [
        "PhaseChange(lc.Phase.ACTIVE, 1, count=10 ** 12)",
        "PhaseChange(lc.Phase.ACTIVE, 1, count=-5)",
        "PhaseChange(lc.Phase.ACTIVE, 1, score=99.0)",
        "PhaseChange(lc.Phase.ACTIVE, 1, z=float('nan'))",
        "True",
    ],
)
def test_what_is_no_answer_names_the_detector(answer):
    made = type("Odd", (Healthy,), {"on_event": lambda self, event: eval(answer)})
    engine = lc.Engine(["X"], detectors=[lc.make_detector(made, "odd")])
    with pytest.raises((ValueError, TypeError), match="detector odd: expected") as why:
        engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    assert why.value.liqcore_owner.startswith("detector odd")


@pytest.mark.parametrize("value, told", [("'5'", "'5' (str)"), ("None", "None (NoneType)"), ("True", "True (bool)"), ("[1.0]", "[1.0] (list)")])
@pytest.mark.parametrize("field", ["count", "long_notional", "short_notional", "threshold", "z", "score", "rolling"])
def test_a_field_of_a_wrong_type_is_named(field, value, told):
    made = type("Odd", (Healthy,), {"on_event": lambda self, event: PhaseChange(lc.Phase.ACTIVE, 1, **{field: eval(value)})})
    engine = lc.Engine(["X"], detectors=[lc.make_detector(made, "odd")])
    with pytest.raises(TypeError) as why:
        engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    assert str(why.value) == f"{field}: expected a {'whole ' if field == 'count' else ''}number, got {told}"


def test_numbers_of_numpy_are_taken_and_others_are_told_the_rule():
    class Timed(Healthy):
        def start(self):
            self.at, self.as_ = None, np.int64

        def on_event(self, event):
            self.at = event.ts + 10

        def on_timer(self, now):
            self.at = None
            return PhaseChange(np.int8(lc.Phase.ACTIVE), np.int8(-1), count=np.int32(3), z=np.float32(1.5), score=2)

        def deadline(self):
            return self.at and self.of(self.at)

        def snapshot(self):
            return b""

        def restore(self, data):
            pass

    stream = lc.Standalone(lc.make_detector(type("Whole", (Timed,), {"of": np.int64}), "timed"))
    stream.push(T0, 1, 100.0, 1.0)
    (signal,) = stream.advance(T0 + 10)
    assert (signal.ts, signal.side, signal.count, signal.z, signal.score) == (T0 + 10, -1, 3, 1.5, 2.0)
    for of, wrong in (
        (float, r"detector timed, deadline\(\): expected a whole number, got 1.75e\+18 \(float\)"),
        (lambda at: True, r"detector timed, deadline\(\): expected a whole number, got True"),
        (lambda at: 2**63 - 1, rf"deadline\(\): expected None or a time after {T0} and before {2**62} ns UTC, got {2**63 - 1}"),
        (lambda at: np.int64(T0), rf"deadline\(\): expected None or a time after {T0} and before"),
    ):
        with pytest.raises((TypeError, ValueError), match=wrong):
            lc.Standalone(lc.make_detector(type("Odd", (Timed,), {"of": staticmethod(of)}), "timed")).push(T0, 1, 100.0, 1.0)


@pytest.mark.parametrize(
    "attributes, wrong",
    [
        ({"KINDS": ("LIQUIDATION",)}, r"Table, KINDS: expected some of LIQUIDATION, TRADE, BBO and TICKER, got \('LIQUIDATION',\)"),
        ({"KINDS": lc.Kind.TRADE}, "Table, KINDS: expected some of LIQUIDATION, TRADE, BBO and TICKER, got <Kind.TRADE"),
        ({"PARAMETERS": (lc.Parameter("a", 1.0, 0.0, 9.0, "", ""),) * 2}, "Table, PARAMETERS: expected each name once.*got 'a'"),
        ({"PARAMETERS": (lc.Parameter("kind", 1.0, 0.0, 9.0, "", ""),)}, "Table, PARAMETERS: expected each name once, and not kind.*got 'kind'"),
        ({"PARAMETERS": (("a", 1.0),)}, r"Table, PARAMETERS: expected rows of liqcore.Parameter, got \('a', 1.0\)"),
        ({"PARAMETERS": lc.Parameter("a", 1.0, 0.0, 9.0, "", "")}, "Table, PARAMETERS: expected rows of liqcore.Parameter, got 'a'"),
        ({"PARAMETERS": 5}, "Table, PARAMETERS: expected rows of liqcore.Parameter, got 5"),
    ],
)
def test_tables_of_a_class_that_cannot_be_are_refused_by_name(attributes, wrong):
    with pytest.raises(ValueError, match=wrong):
        lc.make_detector(type("Table", (Healthy,), attributes), "table")


def test_a_feature_that_raises_is_not_the_policys():
    @lc.needs("price.last")
    def share(last):
        raise OverflowError("feat")

    class Asks(lc.Policy):
        features = ("own.share",)

        def on_signal(self, signal, market):
            market.feature("own.share")

    engine = lc.Engine(["X"], detectors=[lc.make_detector(Healthy, "healthy")], features=[lc.CustomFeature("own.share", share)], policy=Asks())
    engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    with pytest.raises(OverflowError) as why:
        engine.on_liquidation(T0 + 1, T0 + 1, "X", 1, 100.0, 1.0)
    assert why.value.liqcore_owner == "feature own.share, its function"


@pytest.mark.parametrize("state", ["set()", "{1, 2}", "[{'a'}]", "float('nan')", "nested"])
def test_a_state_that_cannot_be_kept_is_refused_before_the_run(state):
    """A set comes back in another order, so that a restart could decide otherwise."""
    nested = []
    for _ in range(300):
        nested = [nested]
    made = type("Keeps", (Healthy,), {"start": lambda self: setattr(self, "recent", nested if state == "nested" else eval(state))})
    with pytest.raises(TypeError, match=r"Keeps\.recent: a .* cannot be kept"):
        lc.Engine(["X"], detectors=[lc.make_detector(made, "keeps")])


def test_a_state_that_cannot_be_kept_any_more_names_the_detector():
    made = type("Later", (Healthy,), {"on_event": lambda self, event: setattr(self, "recent", {1})})
    engine = lc.Engine(["X"], detectors=[lc.make_detector(made, "later")])
    engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    with pytest.raises(TypeError, match="recent: a set with this content cannot be kept") as why:
        engine.snapshot()
    assert why.value.liqcore_owner == "detector later (Later), snapshot"
    assert why.value.liqcore_source == f"{__file__}:{made.on_event.__code__.co_firstlineno}, detector later (Later), snapshot"


def test_two_that_raise_at_one_event_are_heard_at_once_and_both_see_the_next_one():
    seen = {"a": [], "b": []}

    def make(name):
        def on_event(self, event):
            seen[name].append(event.ts)
            if len(seen[name]) == 2:
                raise ArithmeticError(name)

        return type(name.upper(), (CustomDetector,), {"on_event": on_event})

    engine = lc.Engine(["X"], detectors=[lc.make_detector(make(name), name) for name in "ab"])
    engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    with pytest.raises(ArithmeticError, match=r"^a\b") as why:
        engine.on_liquidation(T0 + 1, T0 + 1, "X", 1, 100.0, 1.0)
    assert why.value.__notes__ == ["detector b (B), on_event raised at the same event: ArithmeticError: b"]
    engine.on_liquidation(T0 + 2, T0 + 2, "X", 1, 100.0, 1.0)
    assert seen == {"a": [T0, T0 + 1, T0 + 2], "b": [T0, T0 + 1, T0 + 2]}


class Closed(Exception):
    """It takes no attribute."""

    def __setattr__(self, name, value):
        raise AttributeError(name)


SAME = ArithmeticError("same")


@pytest.mark.parametrize(
    "first, second, raised, notes",
    [
        (
            ArithmeticError("a"),
            KeyboardInterrupt("stop"),
            KeyboardInterrupt,
            ["detector a (A), on_event raised at the same event: ArithmeticError: a"],
        ),
        (ArithmeticError("a"), Closed("b"), ArithmeticError, ["a detector raised at the same event: Closed: b"]),
        (SAME, SAME, ArithmeticError, []),
    ],
)
def test_an_interrupt_is_never_a_note_and_no_exception_is_lost(first, second, raised, notes):
    def make(name, why):
        def on_event(self, event):
            raise why

        return lc.make_detector(type(name.upper(), (CustomDetector,), {"on_event": on_event}), name)

    engine = lc.Engine(["X"], detectors=[make("a", first), make("b", second)])
    with pytest.raises(raised) as why:
        engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    assert getattr(why.value, "__notes__", []) == notes


def test_a_gap_of_several_contracts_is_told_once_and_calls_no_timer():
    timers = []
    deaf = type("Deaf", (DeafToGaps,), {"on_timer": lambda self, now: timers.append(now)})
    engine = lc.Engine(["X", "Y"], detectors=[lc.make_detector(deaf, "deaf")])
    engine.on_feed(T0, T0, lc.FeedState.FEED_GAP)
    with pytest.raises(KeyError, match="gap"):
        engine.advance(T0 + 1)
    engine.advance(T0 + 60 * S)
    assert timers == []


@pytest.mark.parametrize("method, arguments", [("start", ""), ("restore", ", data"), ("deadline", "")])
def test_what_raises_before_the_first_event_is_the_detectors(method, arguments):
    scope = {}
    exec(f"def {method}(self{arguments}):\n    raise ArithmeticError('mine')", scope)
    made = type("Early", (Healthy,), {method: scope[method]})
    with pytest.raises(ArithmeticError, match="mine") as why:
        lc.Engine(["X"], detectors=[lc.make_detector(made, "early")])
    assert why.value.liqcore_owner == f"detector early (Early), {method if method != 'restore' else 'start'}"


class Restless(CustomDetector):
    """Asks for a timer `step` ns after each one."""

    PARAMETERS = (lc.Parameter("step", 1, 1, 1_000_000_000_000, "ns", "between two timers"),)

    def start(self):
        self.at, self.calls = None, 0

    def on_event(self, event):
        self.at = event.ts + self.parameters["step"]

    def on_timer(self, now):
        self.calls += 1
        self.at = now + self.parameters["step"]

    def deadline(self):
        return self.at


@pytest.mark.parametrize("step, after_s, raises", [(1, 1, True), (900, 1, True), (1_000_000, 200, False), (900_000, 1000, True), (5_000, 0.4, False)])
def test_deadlines_that_never_let_time_pass_are_an_error(step, after_s, raises):
    """100,000 calls between two events, and one more a millisecond: a ns or 900 ns apart end at once, 1 ms apart never, 0.9 ms apart after 15 minutes."""
    engine = lc.Engine(["X"], detectors=[lc.make_detector(Restless, "restless", step=step)])
    engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    if not raises:
        for k in (1, 2):  # an event begins a new count
            engine.on_liquidation(T0 + round(k * after_s * S), T0 + round(k * after_s * S), "X", 1, 100.0, 1.0)
        return
    with pytest.raises(
        ValueError, match=r"detector restless, deadline\(\): on_timer was called \d+ times within \d+ ns after the latest event"
    ) as why:
        engine.advance(T0 + round(after_s * S))
    assert why.value.liqcore_owner == "detector restless (Restless), on_timer" and engine.risk.halted
    assert why.value.liqcore_source.startswith(__file__)


async def later(self, event):
    return None


@pytest.mark.parametrize(
    "methods, wrong",
    [
        ({}, r"on_event\(event\) is missing$"),
        ({"on_events": lambda self, event: None}, r"on_event\(event\) is missing; on_events is never called"),
        ({"on_event": lambda self: None}, r"on_event is defined with the arguments \(self\), expected \(self, event\) \(.*\.py:\d+\)"),
        ({"on_event": 5}, "on_event is a value of type int, expected a function"),
        ({"on_event": later}, "on_event is an async function, expected a plain"),
        ({"on_event": lambda self, event: None, "on_gap": lambda self: None}, r"on_gap is defined .*\(self\), expected \(self, until\)"),
        ({"on_event": lambda self, event: None, "__init__": lambda self: None}, r"__init__ is defined .*expected \(self, parameters, instrument\)"),
    ],
)
def test_methods_that_cannot_be_called_are_refused_before_the_run(methods, wrong):
    with pytest.raises(TypeError, match=wrong):
        lc.make_detector(type("Unfit", (CustomDetector,), methods), "unfit")


@pytest.mark.parametrize(
    "methods",
    [
        {"on_event": staticmethod(lambda event: None)},
        {"on_event": classmethod(lambda cls, event: None)},
        {"on_event": lambda self, event, more=1, **rest: None},
        {"on_event": lambda *all_: None},
        {"on_event": lambda self, trade: None, "on_gap": lambda self, until=0: None},
    ],
)
def test_methods_that_can_be_called_are_taken(methods):
    engine = lc.Engine(["X"], detectors=[lc.make_detector(type("Fit", (CustomDetector,), methods), "fit")])
    engine.on_liquidation(T0, T0, "X", 1, 100.0, 1.0)
    engine.on_feed(T0 + 1, T0 + 1, lc.FeedState.FEED_GAP, "X")


@pytest.mark.parametrize("function", [lambda: 1.0, lambda one: 1.0, lambda a, b, c: 1.0])
def test_a_feature_with_other_arguments_than_it_needs_is_refused(function):
    with pytest.raises(TypeError, match=r"feature own\.share: the function is defined .*expected \(price_last, flow_volume_1m\)"):
        lc.CustomFeature("own.share", lc.needs("price.last", "flow.volume@1m")(function))
