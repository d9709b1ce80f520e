"""Trend: follows anomalies that candles confirm. What it does after a long and after a short flush, with every number of its rows."""

import base64
import json

import numpy as np
import pytest

from liqcore import LONG, SECOND, SHORT, AuditKind, FeedState, Reason
from liqcore.audit import view
from liqcore.event import Judgment, Kind, Role
from liqshell.judge.asked import question_of
from liqshell.judge.validation import judged
from liqshell.news.items import Item
from liqshell.run.pipeline import make_paper
from liqshell.state.learnt import take
from stage import BOTH, PRICE, START, Stage

HOUR, SEGMENT = 3600, 300


def learnt(extra=""):
    """An hour behind it, and the segment before, which it came into: twelve segments of 40,000 and 60,000 in turn, mixed sides: mean 50,000, standard deviation 10,000."""
    s = Stage("trend", extra)
    s.forced(LONG, 1e6)
    s.wait(300, every=5)
    for k in range(12):
        usd = 20_000.0 if k % 2 else 30_000.0
        s.forced(LONG, usd)
        s.wait(150, every=5)
        s.forced(SHORT, usd)
        s.wait(150, every=5)
    return s


def segment(stage, side, z=10.0, purity=1.0, drift=0.0):
    """One segment whose volume has the z-score `z`, a share `purity` of it of one side; price drifts by `drift` within it."""
    usd = 50_000.0 + 10_000.0 * z
    stage.forced(side, usd * purity, price=PRICE)
    if purity < 1.0:
        stage.forced(-side, usd * (1.0 - purity), price=PRICE)
    start = stage.price
    for k in range(60):
        stage.wait(5, price=round(start * (1 + drift * (k + 1) / 60), 1), every=1)


@BOTH
def test_trend_follows(side):
    """After a segment in which longs were flushed far above the usual it SELLS, after shorts it BUYS, if candles go that way: at market, 100 x 5 quote
    currency at the price of the depth, both stops at once, no target."""
    s = learnt()
    segment(s, side, z=10.0, drift=-0.005 * side)
    s.wait(5)
    ((at, way, terms),) = s.asked
    assert way == -side, "longs liquidated -> short, shorts liquidated -> long"
    assert at == HOUR + 2 * SEGMENT, "at the end of the segment"
    assert (terms["stop_loss"], terms["take_profit"], terms["notional"], terms["confidence"]) == (0.03, 0.0, 500.0, 2), (
        "strong, aligned, no news: medium"
    )
    assert terms["reference"] == pytest.approx(s.price - 0.1 if way == SHORT else s.price + 0.1, abs=0.15), "refPrice from the depth"
    assert s.risk == [Reason.OK]
    lots = int(500.0 / terms["reference"] * 1000) / 1000
    assert s.held == pytest.approx(way * lots), "floored to the step"


@BOTH
@pytest.mark.parametrize(
    ("z", "purity", "drift", "enters"),
    [
        (10.0, 1.0, 0.005, True),  # S/yes/no: enter medium
        (10.0, 1.0, -0.005, False),  # S/no/no: opposed candles
        (10.0, 1.0, 0.0, False),  # no trend at all
        (4.5, 1.0, 0.005, False),  # M/yes/no: medium needs news
        (10.0, 0.85, 0.005, False),  # not pure enough for strong: M/yes/no
        (10.0, 0.92, 0.005, True),
        (10.0, 0.7, 0.005, False),  # 75 % at least: no anomaly
        (2.5, 1.0, 0.005, False),  # below z_min: no anomaly
    ],
)
def test_trend_decision_matrix_without_a_judge(side, z, purity, drift, enters):
    """With the news column 'no': only strong and aligned is entered, with medium confidence."""
    s = learnt()
    segment(s, side, z, purity, -side * drift)
    s.wait(5)
    assert [(way, terms["confidence"]) for _, way, terms in s.asked] == ([(-side, 2)] if enters else [])
    anomaly = [said for said in s.said if said[1] == "ACTIVE"]
    assert bool(anomaly) is (purity > 0.75 and z >= 3.0)
    if anomaly and not enters:
        ((name, value, threshold),) = s.unmet
        assert name == ("candles' move our way above" if drift < 0.001 else "z without news above" if z <= 5.0 else "purity without news above")
        assert value <= threshold


@BOTH
def test_c07_direction_purity_is_strict(side):
    s = learnt()
    segment(s, side, purity=0.75)
    assert not [said for said in s.said if said[1] == "ACTIVE"], "longRatio > 75 %"


@BOTH
def test_c08_both_stops_at_once_and_the_tighter_one_holds(side):
    """Trailing 2 % from the best price and fallback 3 % from the entry; the stop in force is the tighter and never loosens."""
    way = -side
    s = learnt()
    segment(s, side, drift=-0.005 * side)
    s.wait(2)
    entry = s.entry
    assert s.order(Role.ROLE_STOP) == pytest.approx(entry * (1 - 0.02 * way), rel=1e-4), "at the start the trail is the tighter one: 2 % < 3 %"
    stops = []
    for move in (0.01, 0.03, 0.02, 0.05, 0.045):
        s.wait(3, price=round(entry * (1 + way * move), 1))
        stops.append(s.order(Role.ROLE_STOP))
    assert all(way * (b - a) >= 0 for a, b in zip(stops, stops[1:], strict=False)), "never looser"
    best = round(entry * (1 + way * 0.05), 1)
    assert stops[-1] == pytest.approx(best * (1 - way * 0.02), rel=1e-4), "max(trail, fall) for a long, min for a short"
    s.wait(3, price=round(best * (1 - way * 0.021), 1))
    ((why, sold, _, out, _),) = s.trades
    assert (why, sold) == (Reason.END_STOP, way) and way * (out / entry - 1) > 0.025, "the trail locked a profit in"


@BOTH
def test_trend_trail_of_profit(side):
    """The article's text says 'pullback from peak PROFIT': with trail_basis = 'profit' and 0.5, half of the best profit is kept."""
    way = -side
    s = learnt("trail = 0.5\ntrail_basis = 'profit'\n")
    segment(s, side, drift=-0.005 * side)
    s.wait(2)
    entry = s.entry
    assert s.order(Role.ROLE_STOP) == pytest.approx(entry * (1 - 0.03 * way), rel=1e-4), "no profit yet: the fallback"
    s.wait(3, price=round(entry * (1 + way * 0.10), 1))
    assert s.order(Role.ROLE_STOP) == pytest.approx(entry * (1 + way * 0.05), rel=1e-3)


#: The article's decision matrix, its five rows and what its third step says of news that contradict: intensity, candles aligned, news, decision, confidence
MATRIX = [
    ("strong", True, "supports", "enter", "high"),
    ("strong", True, "none", "enter", "medium"),
    ("strong", False, "supports", "hold", "low"),
    ("medium", True, "supports", "enter", "medium"),
    ("medium", True, "none", "don't enter", "low"),
    ("strong", False, "none", "don't enter", "low"),
    ("strong", True, "contradicts", "don't enter", "low"),
    ("strong", False, "contradicts", "don't enter", "low"),
    ("medium", True, "contradicts", "don't enter", "low"),
]
ITEMS = tuple(Item(1, "brave", host, "a story") for host in ("one.example.com", "other.org"))
RANK = {"low": 1, "medium": 2, "high": 3}


def graded(question, news, action, confidence):
    """A model's answer, as validation and the stated outcomes leave it."""
    said = {
        "symbol": "BTCUSDT",
        "direction": question.direction,
        "action": action,
        "confidence": confidence,
        "news": news,
        "news_event": "none",
        "liq_note": "",
        "trend_note": "",
        "news_note": "",
        "action_reason": "",
        "evidence": [] if news == "none" else [1, 2],
    }
    return judged(said, question, ITEMS)


@BOTH
@pytest.mark.parametrize("bold", [False, True], ids=["as the matrix", "always enter, high"])
@pytest.mark.parametrize(("intensity", "aligned", "news", "action", "confidence"), MATRIX)
def test_every_row_of_the_decision_matrix(side, intensity, aligned, news, action, confidence, bold):
    """From the anomaly to the position, with a judge that grades the news: whatever action it names, no more than the row comes of it."""
    s = learnt("judge_s = 30\n")
    segment(s, side, 10.0 if intensity == "strong" else 4.5, drift=-0.005 * side * (1 if aligned else -1))
    s.wait(1)
    (asked,) = s.engine.questions()
    question = question_of(asked, s.engine.instruments[0])
    told = json.loads(question.content)
    assert (told["anomaly"], told["candles_aligned"], question.direction) == (intensity, aligned, "SHORT" if side == LONG else "LONG")
    verdict = graded(question, news, *(("enter", "high") if bold else (action, confidence)))
    left = verdict.outcome
    assert (left.action, left.confidence) == (action, RANK[confidence] if action == "enter" else 0)
    code = {"enter": Judgment.JUDGE_CONFIRM, "hold": Judgment.JUDGE_HOLD, "don't enter": Judgment.JUDGE_VETO}[left.action]
    s.push(Kind.VERDICT, instrument=-1, id=question.number, code=code, aux_qty=left.confidence)
    s.wait(5)
    words = view(np.array(s.records(AuditKind.AUDIT_JUDGE)), AuditKind.AUDIT_JUDGE)
    assert words[-1]["phase"] == code and words[-1]["reason"] == (Reason.OK if action == "enter" else Reason.VETOED)
    if action == "enter":
        assert s.held * -side > 0.0 and words[-1]["confidence"] == RANK[confidence]
    else:
        assert s.held == 0.0 and s.risk == []


@BOTH
def test_a_judge_is_shown_five_candles(side):
    """The last five complete minutes of UTC time, the oldest first, each made here from the trades."""
    s = learnt("judge_s = 30\n")
    trades, push = [(s.now, s.price)], s.push

    def heard(kind, **fields):
        if kind == Kind.TRADE:
            trades.append((s.now, fields["price"]))
        push(kind, **fields)

    s.push = heard
    segment(s, side, 10.0, drift=-0.005 * side)
    s.wait(1)
    (asked,) = s.engine.questions()
    minute = 60 * SECOND
    newest = asked["ts"] // minute
    wanted = []
    for k in range(newest - 5, newest):
        prices = [price for ts, price in trades if ts // minute == k]
        wanted.append([prices[0], max(prices), min(prices), prices[-1]])
    told = json.loads(question_of(asked, s.engine.instruments[0]).content)
    assert told["candles_1m"] == wanted and len({tuple(row) for row in wanted}) == 5
    moved = [row[3] - row[0] for row in wanted]
    assert all(x * side < 0 for x in moved), "the price has drifted against the liquidated side"


def test_nobody_is_shown_candles_where_nobody_is_asked():
    """A trend without a judge computes nothing for one."""
    assert len(learnt().engine.features.names) < len(learnt("judge_s = 30\n").engine.features.names)


@BOTH
@pytest.mark.parametrize("drift", [-0.005, 0.0])
def test_medium_without_candles_asks_nobody(side, drift):
    """No news makes an entry of it: nothing is paid for an answer."""
    s = learnt("judge_s = 30\n")
    segment(s, side, 4.5, drift=drift * -side)
    s.wait(1)
    assert s.engine.questions() == [] and s.asked == []


@BOTH
def test_what_may_only_be_held_is_entered_on_nobodys_word(side):
    """S/no/yes: hold. A judge, or a program of the user's, that confirms all the same enters nothing."""
    s = learnt("judge_s = 30\n")
    segment(s, side, 10.0, drift=0.005 * side)
    s.wait(1)
    (asked,) = s.engine.questions()
    s.push(Kind.VERDICT, instrument=-1, id=asked["id"], code=Judgment.JUDGE_CONFIRM)
    s.wait(5)
    assert s.held == 0.0 and s.risk == [] and s.engine.verdicts["vetoed"] == 1


@BOTH
def test_entries_below_the_confidence_threshold_are_not_stated(side):
    """With confidence_min = high only strong, aligned, supported is entered."""
    s = learnt("judge_s = 30\n[policy.parameters]\nconfidence_min = 'high'\n")
    segment(s, side, 10.0, drift=-0.005 * side)
    s.wait(1)
    (asked,) = s.engine.questions()
    assert asked["outcomes"] == {"supports": ("enter", 3), "none": ("don't enter", 0), "contradicts": ("don't enter", 0)}


@BOTH
def test_trend_asks_its_judge(side):
    """With judge_s: the 'news' column is 'yes' if the judge confirms: strong -> high, medium -> medium; no word, or a veto: no entry."""
    for z, confidence in ((10.0, 3), (4.5, 2)):
        for verdict in (Judgment.JUDGE_CONFIRM, Judgment.JUDGE_VETO, None):
            s = learnt("judge_s = 30\n")
            segment(s, side, z, drift=-0.005 * side)
            s.wait(1)
            (question,) = s.engine.questions()
            if verdict is not None:
                s.push(Kind.VERDICT, instrument=-1, id=question["id"], code=verdict)
            s.wait(40)
            assert [(way, terms["confidence"]) for _, way, terms in s.asked] == [(-side, confidence)]
            assert (s.held != 0.0) is (verdict == Judgment.JUDGE_CONFIRM)


@BOTH
def test_trend_that_was_judged_is_sized_by_the_price_of_the_verdict(side):
    """RefPrice is the present one: 500 at 50,500 are 0.009, at 49,500 they are 0.010; at the price of the question it was the other way round."""
    s = learnt("judge_s = 30\n")
    segment(s, side, drift=-0.005 * side)
    s.wait(1)
    (question,) = s.engine.questions()
    s.wait(5, price=PRICE * (1 + 0.01 * side))
    s.push(Kind.VERDICT, instrument=-1, id=question["id"], code=Judgment.JUDGE_CONFIRM)
    s.wait(2)
    assert s.held == pytest.approx(-side * (0.009 if side == LONG else 0.010))


@BOTH
def test_trend_replaces_a_weaker_bracket_and_skips_an_equal_one(side):
    """Same token open: a higher confidence closes it first, then opens; otherwise it is skipped."""
    s = learnt("judge_s = 30\n")
    for z, held in ((4.5, 1), (10.0, 2), (12.0, 2)):  # medium, then high, then high again
        s.wait(-(s.now // SECOND) % SEGMENT, every=5)
        segment(s, side, z, drift=-0.005 * side)
        s.wait(1)
        for question in s.engine.questions():
            s.push(Kind.VERDICT, instrument=-1, id=question["id"], code=Judgment.JUDGE_CONFIRM)
        s.wait(60)
        segment(s, side, 0.0, purity=0.5)  # back to normal
        assert len([r for r in s.risk if r == Reason.OK]) == held
    assert [t[0] for t in s.trades] == [Reason.END_REPLACED]


@BOTH
def test_what_a_person_agreed_to_is_the_ceiling(side):
    """[policy] notional, which a live start shows, bounds the rule's own size; equity_share replaces it."""
    for extra, notional in (("notional = 300\n", 300.0), ("equity_share = 0.1\n", 0.0), ("notional = 9000\n", 500.0)):
        s = learnt(extra)
        segment(s, side, z=10.0, drift=-0.005 * side)
        s.wait(2)
        assert s.asked[0][2]["notional"] == notional and s.held != 0.0


def test_trend_has_s1s_cap_of_five_positions():
    assert Stage("trend", limits=False).values["limits"]["positions_max"] == 5


@BOTH
def test_trend_needs_its_baseline(side):
    """Before the baseline is there, nothing is an anomaly."""
    s = Stage("trend")
    for _ in range(4):
        segment(s, side, drift=-0.005 * side)
    assert s.asked == [] and not [said for said in s.said if said[1] == "ACTIVE"]
    assert s.price < PRICE if side == LONG else s.price > PRICE


@BOTH
def test_the_baseline_outlives_the_run(side):
    """The first run collects its baseline and says nothing before it is there; a later one begins with what was kept, and asks in its first
    segment what the first run asks in its fourteenth."""
    first = learnt("judge_s = 30\n")
    assert [said for said in first.said if said[1] == "ACTIVE"] == []
    kept = take(
        first.engine,
        {},
        {
            "since_ns": START,
            "until_ns": first.engine.now,
            "holes": [],
            "known_ns": {},
            "run": "",
            "mark": 0,
            "ended": True,
            "policies": first.values["policies"],
        },
    ).encode()
    later, cold = Stage("trend", "judge_s = 30\n"), Stage("trend", "judge_s = 30\n")
    later.values = later.values | {"learnt": base64.b64encode(kept).decode()}
    later.paper = make_paper(later.values)
    later.engine = later.paper.engine
    at = first.now + SECOND
    for stage in (first, later, cold):
        stage.now = at
        stage.push(Kind.FEED, instrument=-1, code=FeedState.FEED_UP)
        segment(stage, side, 10.0, drift=-0.005 * side)
        stage.wait(1)
    (same,) = first.engine.questions()
    (asked,) = later.engine.questions()
    assert asked["signal"].z == pytest.approx(same["signal"].z) and asked["content"]["anomaly"] == "strong"
    assert cold.engine.questions() == [] and [said for said in cold.said if said[1] == "ACTIVE"] == [], "it collects"
