"""Momentum follows more than $5M of one side: what it does after a long and after a short flush. Its opposite: test_policies_cascade_fade.py."""

import pytest

from liqcore import LONG, SHORT, Reason
from liqcore.event import Role
from stage import BOTH, PRICE, Stage

MILLION = 1e6
#: the score is the percentile of the 90 s volume alone, so that it is known by heart: 10 for the largest burst so far
SIZE_ONLY = (
    "[policy.parameters]\nweight_speed = 0\nweight_fuel = 0\nweight_stretch = 0\nweight_size = 1\n"
    "feature_speed = 'liquidations.liq_rate@15s:rank'\nfeature_fuel_below = 'liquidations.liq_volume@90s'\n"
    "feature_fuel_above = 'liquidations.liq_volume@90s'\ncluster_use = 'ignore'\n"
)
HOUR, BEGIN = 3600, 3900


def momentum(side, extra="", funding=0.0005):
    """65 minutes of small liquidations on both sides behind it; the crowd is on the side that will be flushed."""
    s = Stage("momentum", SIZE_ONLY + extra, funding=funding * side)
    for minute in range(65):
        s.forced(LONG if minute % 2 else SHORT, 1000.0 + minute)
        s.wait(60, every=5)
    return s


def burst(stage, side, count=4, usd=1.5 * MILLION, gap=1.0, **options):
    """`count` liquidations of one side, `gap` seconds apart, the first now."""
    for k in range(count):
        stage.forced(side, usd)
        stage.wait(gap if k < count - 1 else 0.0, **options)


# ---- momentum ----


@BOTH
def test_momentum_follows(side):
    """After longs were flushed for more than $5M in 90 s it SELLS, after shorts it BUYS: at market, 5 s after the first large print, others having
    followed; 0.1 x score / 10 x volume / $10M base units; stop 0.8 %, target 2 %."""
    s = momentum(side)
    burst(s, side)  # 6M in 3 s: ACTIVE with the fourth
    s.wait(7)
    ((at, way, terms),) = s.asked
    assert way == -side, "longs flushed -> sell; shorts flushed -> buy"
    assert at == BEGIN + 5.0, "5 s after the first large event"
    assert (terms["stop_loss"], terms["take_profit"]) == (0.008, 0.02), "1 : 2.5 at the tightest stop"
    assert terms["notional"] == pytest.approx(0.06 * PRICE), "0.1 x 10 / 10 x 6M / 10M"
    assert terms["confidence"] >= 9 and s.risk == [Reason.OK]
    assert s.held == pytest.approx(-side * 0.06)
    entry = s.entry
    assert s.order(Role.ROLE_STOP) == pytest.approx(entry * (1 + side * 0.008), abs=0.1) and s.order(Role.ROLE_TARGET) == pytest.approx(
        entry * (1 - side * 0.02), abs=0.1
    )
    s.wait(200)
    ((why, way, *_, held),) = s.trades
    assert (why, way) == (Reason.END_PHASE, -side), "out when the rolling volume has fallen by 60 % from its peak"
    assert held == pytest.approx(87.0, abs=0.5), "the third of four prints leaves the 90 s window at 3992"


@BOTH
def test_c23_momentum_mirrors_exactly(side):
    """The guide handles longs only; here what it does after a short flush is the mirror, number by number."""
    ours, other = momentum(side), momentum(-side)
    for stage, flushed in ((ours, side), (other, -side)):
        burst(stage, flushed)
        stage.wait(10)
    ((at, way, terms),) = ours.asked
    ((at_2, way_2, terms_2),) = other.asked
    assert (at, way, terms) == (at_2, -way_2, terms_2)


@BOTH
def test_momentum_wants_more_than_5m_of_one_side(side):
    s = momentum(side)
    burst(s, side, count=5, usd=1.0 * MILLION)
    assert not [said for said in s.said if said[1] == "ACTIVE" and said[0] == "momentum"], "exactly $5M is not more"
    burst(s, -side, count=3, usd=1.5 * MILLION)
    s.wait(20)
    assert s.asked == [], "4.5M of the other side do not add up with it"


@BOTH
def test_momentum_passes_over_prints_below_50_000(side):
    s = momentum(side)
    burst(s, side, count=150, usd=49_999.0, gap=0.05)  # 7.5M in small ones
    s.wait(20)
    assert s.asked == [] and not [said for said in s.said if said[0] == "momentum"], "no trigger"


@BOTH
def test_momentum_is_too_late_15_s_after_the_first_print(side):
    s = momentum(side)
    burst(s, side, count=4, gap=5.5)  # ACTIVE 16.5 s after the first
    s.wait(30)
    assert ("momentum", "ACTIVE", side) in [said[:3] for said in s.said] and s.asked == [], "5 to 15 s"
    s = momentum(side)
    burst(s, side, count=4, gap=4.5)  # ACTIVE at 13.5 s: at once
    s.wait(30)
    assert [at for at, *_ in s.asked] == [BEGIN + 13.5]
    s = momentum(side, "entry_from = 'trigger'\n")
    burst(s, side, count=4, gap=5.5)
    burst(s, side, count=8, gap=1.0, usd=60_000.0)
    assert [at for at, *_ in s.asked] == [BEGIN + 16.5 + 5.0], "the other reading: from the $5M"


@BOTH
def test_momentum_waits_for_followers(side):
    """A single print of $6M is one liquidation, not a cascade; one that is followed within 15 s is."""
    s = momentum(side)
    s.forced(side, 6 * MILLION)
    s.wait(30)
    assert s.asked == [], "nobody followed"
    s = momentum(side)
    s.forced(side, 6 * MILLION)
    s.wait(8.2)
    s.forced(side, 60_000.0)
    s.wait(0.1)
    s.forced(side, 60_000.0)
    s.wait(10)
    assert [at for at, *_ in s.asked] == [BEGIN + 9.0], "looked again every second: the two at 8.2 s are seen at 9 s"


@BOTH
def test_momentum_filters(side):
    """Several liquidations; funding elevated on the crowd's side; the score must be 7."""
    few = momentum(side)
    few.wait(100)
    few.forced(side, 5.5 * MILLION)
    few.wait(2)
    few.forced(side, 60_000.0)
    few.wait(20)
    assert few.asked == [], "two within 90 s are not several"
    for funding in (0.0001, 0.0, -0.0005):
        calm = momentum(side, funding=funding)
        burst(calm, side)
        calm.wait(20)
        assert calm.asked == [], "the crowd does not pay for its side"
    weak = momentum(side)
    for _ in range(3):
        burst(weak, side)  # an episode after another: the later is no longer the largest
        weak.wait(600)
    assert [t["confidence"] >= 7 for _, _, t in weak.asked] == [True] * len(weak.asked)


@BOTH
def test_momentum_leaves_after_10_minutes_without_a_significant_move(side):
    """Liquidations go on so that volume does not fall; price stands still -> out at the first bar after 600 s; moved by 0.3 % -> stays."""
    for move, leaves in ((1.0, True), (1.0 - 0.004 * side, False)):
        s = momentum(side)
        burst(s, side)
        s.wait(7)
        assert s.risk == [Reason.OK]
        s.tick(PRICE * move)
        for _ in range(34):  # as much again every 20 s
            s.forced(side, 1.6 * MILLION)
            s.wait(20)
        if leaves:
            assert s.left == [BEGIN + 660.0], "the first minute that ends 600 s after 3905"
            ((why, way, *_),) = s.trades
            assert (why, way) == (Reason.END_POLICY, -side)
        else:
            assert s.left == [] and s.trades == []


@BOTH
def test_momentum_is_stopped_and_takes_its_target(side):
    for move, why in ((1 + 0.009 * side, Reason.END_STOP), (1 - 0.021 * side, Reason.END_TARGET)):
        s = momentum(side)
        burst(s, side)
        s.wait(7)
        s.wait(5, price=round(PRICE * move, 1))
        assert [(t[0], t[1]) for t in s.trades] == [(why, -side)]


@BOTH
def test_momentum_never_adds_and_counts_its_day(side):
    """So many a day and market; while one is open, another signal adds nothing; after midnight UTC it counts anew."""
    s = momentum(side, "trades_per_day = 2\nquiet_s = 86400\nscore_min = 0\n")
    for k in range(4):
        burst(s, side)
        s.wait(8)
        if k == 0:
            burst(s, side, usd=3 * MILLION)
            s.wait(8)
            assert len(s.records(7)) >= 1 and abs(s.held) == pytest.approx(0.06), "nothing was added"
        s.wait(700, every=2)
    assert len(s.asked) == 2
    s.until(12 * HOUR + 1, every=20)
    burst(s, side)
    s.wait(8)
    assert len(s.asked) == 3


def test_momentum_target_keeps_its_ratio_if_told_so():
    """1 : 2.5 holds at a stop of 0.8 % only; target = 'ratio' keeps it."""
    s = momentum(LONG, "target = 'ratio'\nstop_min = 0.01\n")
    burst(s, LONG)
    s.wait(7)
    assert (s.asked[0][2]["stop_loss"], s.asked[0][2]["take_profit"]) == (0.01, 0.025)


def lived(side, extra="", funding=0.0005):
    """Two hours of small liquidations with everything of the preset: funding grows on the crowd's side, open interest grows."""
    s = Stage("momentum", extra, funding=funding * side)
    for minute in range(120):
        s.forced(LONG if minute % 2 else SHORT, 1000.0 + minute)
        s.funding, s.interest = side * (0.0001 + 0.000004 * minute), 100_000.0 + 50.0 * minute
        s.wait(60, every=5, price=round(PRICE * (1 + 0.0004 * ((minute % 10) - 5)), 1))
    s.wait(1, price=PRICE)
    return s


@BOTH
def test_momentum_with_the_features_of_its_preset(side):
    """Nothing overridden: excitation, percentile of volume, estimated map and funding make the score, the burst is worth 7 or more. What is estimated to be
    pending ahead is fuel and no obstacle, however much it is."""
    s = lived(side)
    burst(s, side)
    s.wait(10)
    assert [way for _, way, _ in s.asked] == [-side]
    assert all(7 <= terms["confidence"] <= 10 and terms["stop_loss"] == 0.008 for _, _, terms in s.asked)


@BOTH
@pytest.mark.parametrize(("use", "trades"), [("obstacle", False), ("ignore", True)])
def test_an_obstacle_is_where_the_other_side_was_liquidated(side, use, trades):
    """ "No large support cluster between price and the next 3 %": $2M of the other side were liquidated 2 % ahead an hour before. Of the burning side
    there, or behind price, they are no obstacle."""
    for where, whom, stops in ((1 - 0.02 * side, -side, True), (1 - 0.02 * side, side, False), (1 + 0.02 * side, -side, False)):
        s = lived(side, f"[policy.parameters]\ncluster_use = '{use}'\nscore_min = 0\n")
        s.tick(round(PRICE * where, 1))
        for _ in range(4):
            s.forced(whom, 500_000.0)
            s.wait(1)
        s.wait(1, price=PRICE)
        s.wait(200, every=5)
        burst(s, side)
        s.wait(20)
        assert bool(s.asked) == (trades or not stops)
        if not s.asked:
            (name, rank, threshold), *_ = s.unmet
            assert name == "obstacle ahead below" and rank >= threshold == 0.9


@BOTH
@pytest.mark.parametrize(("choice", "size"), [("refuse", 0.0), ("half", 0.03), ("ignore", 0.06)])
def test_funding_that_is_not_known_is_a_declared_choice(side, choice, size):
    s = momentum(side, f"funding_unknown = '{choice}'\nfeature_funding = 'liquidations.liq_imbalance@5m:zscore(7d)'\n")  # known after days
    burst(s, side)
    s.wait(20)
    assert [terms["notional"] for *_, terms in s.asked] == ([pytest.approx(size * PRICE)] if size else [])
    if not size:
        ((name, value, threshold),) = s.unmet
        assert (name, threshold) == ("crowd's funding above", 0.00015) and value != value


@BOTH
def test_the_neutral_funding_rate_is_clearly_below_the_threshold(side):
    """The venues' neutral rate is 0.0001 per eight hours: neither it nor a mean of it that is off in the last digit is elevated."""
    s = momentum(side, funding=0.000100001)
    burst(s, side)
    s.wait(20)
    ((name, value, threshold),) = s.unmet
    assert s.asked == [] and name == "crowd's funding above" and value < 0.7 * threshold


@BOTH
def test_momentum_says_which_condition_was_not_met(side):
    """In the order of the rule: too late, nobody followed, too few, score."""
    late = momentum(side)
    burst(late, side, count=4, gap=5.5)
    late.wait(5)
    assert late.unmet == [("s since the first, at most", 16.5, 15.0)]
    alone = momentum(side)
    alone.wait(100)
    alone.forced(side, 6 * MILLION)
    alone.wait(30)
    assert alone.unmet == [("followers' volume above", 0.0, 0.0)]
    weak = momentum(side, "score_min = 10\nsize = 0.05\n")
    burst(weak, side)
    weak.wait(700)
    burst(weak, side, usd=1.4 * MILLION)
    weak.wait(20)
    assert [name for name, *_ in weak.unmet][-1:] == ["score at least"] and weak.unmet[-1][1] < weak.unmet[-1][2] == 10.0


@BOTH
def test_momentum_sees_the_second_cascade_though_large_prints_never_cease(side):
    """A print of $60,000 every minute keeps neither the first cascade's peak nor its phase."""
    s = momentum(side, "score_min = 0\n")
    for count in (8, 4):
        burst(s, side, count=count)
        for _ in range(15):
            s.wait(60)
            s.forced(side, 60_000.0)
        s.wait(91)  # the 5 to 15 s count from the first large print: none within 90 s before the next cascade
    assert [way for _, way, _ in s.asked] == [-side, -side]


@BOTH
def test_momentum_counts_its_ten_minutes_from_the_trade_that_is_open(side):
    """A cascade of the other side, whose entry would be refused, does not begin them anew, and is no trade of the day."""
    s = momentum(side, "funding_min = -1\nscore_min = 0\n")
    burst(s, side)
    s.wait(7)
    assert len(s.asked) == 1
    for k in range(34):  # as much again every 20 s: it does not slow down
        s.forced(side, 1.6 * MILLION)
        if k == 15:
            burst(s, -side, gap=0.5)
            s.wait(18.5)
        else:
            s.wait(20)
    assert len(s.asked) == 1 and s.left == [BEGIN + 660.0]


@BOTH
def test_momentum_without_a_price_asks_nothing(side):
    """Liquidations may be heard before the first trade; a size in quote currency needs a price. It once raised, which halts all entries."""
    s = momentum(side)
    s.wait(60)
    (policy,) = s.engine.policies
    decide, seen = policy.on_signal, []

    def blind(signal, market):
        class Blind:
            last = 0.0

            def __getattr__(self, name):
                return getattr(market, name)

        seen.append(answer := decide(signal, Blind()))
        return answer

    policy.on_signal = blind
    burst(s, side)
    s.wait(20)
    assert len(seen) >= 3 and s.asked == []


def test_momentum_never_asks_for_a_target_that_no_bracket_has():
    s = momentum(LONG, "target = 'ratio'\nratio = 100\n")
    burst(s, LONG)
    s.wait(7)
    assert s.asked[0][2]["take_profit"] == 0.5


# ---- both ----


@pytest.mark.parametrize("preset", ["cascade-fade", "momentum"])
def test_a_snapshot_in_the_middle_changes_nothing(preset):
    """What a policy remembers goes with the engine: from a snapshot in the middle of a trade, it leaves as it would have."""

    def whole(at):
        s = momentum(LONG) if preset == "momentum" else Stage(preset)
        s.wait(60)
        burst(s, LONG)
        s.wait(3 if preset == "momentum" else 100)  # momentum waits to be asked again; cascade-fade is in
        if at:
            taken, now = s.paper.snapshot(), s.now
            s = Stage(preset, SIZE_ONLY if preset == "momentum" else "")
            s.paper.restore(taken)
            s.now, s.funding, s.said, s.story = now, 0.0005 if preset == "momentum" else 0.0, [], []
        s.wait(800, price=PRICE * 1.0005)
        return s

    plain, resumed = whole(False), whole(True)
    assert plain.trades and resumed.trades == plain.trades and resumed.left == plain.left
    assert plain.engine.policies[0].snapshot() == resumed.engine.policies[0].snapshot()


def test_c01_the_same_trigger_is_followed_and_faded():
    """Momentum and cascade-fade see the same $5M; they want opposite sides, and a report can show both on the same events."""
    for side in (LONG, SHORT):
        follow, against = momentum(side), Stage("cascade-fade")
        against.wait(BEGIN, every=60)
        for s in (follow, against):
            burst(s, side)
            s.wait(100)
        assert [said[:3] for said in follow.said if said[0] == "momentum" and said[1] == "ACTIVE"] == [("momentum", "ACTIVE", side)]
        assert [said[3] for said in follow.said if said[:2] == ("momentum", "ACTIVE")] == [
            said[3] for said in against.said if said[:2] == ("cascade-fade", "ACTIVE")
        ], "the same moment"
        assert (follow.asked[0][1], against.asked[0][1]) == (-side, side)
