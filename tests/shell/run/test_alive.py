"""A stream of liquidations is alive by its own rate: how soon a stop is found, how seldom one is found that is none, and what ends a suspicion."""

import copy
from collections import defaultdict
from datetime import datetime
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

import campaigns
import liqcore as lc
from alive_bins import generated, judge, of_capture, silenced
from captures import DATA, needs_data, rows_of, streams
from liqcore.event import FeedState, Kind, Phase, SignalFlag
from liqshell.run.sink import PULSE_DTYPE, PaperSink, VenueSink
from liqshell.run.stream_silence import BIN_NS, EVENTS_MIN, IMPROBABLE, PAUSE, Alive, Change
from markets import LIQUIDATION, market, paper

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
CONTRACTS = [("bybit", symbol, symbol[:-4]) for symbol in SYMBOLS]
HOUR = 360  # bins
T0 = 172_000_000  # a bin of 2024
LEARN_H, ALL_H = 8, 10


@cache
def bins():
    return list(generated(3, ALL_H))


@cache
def _learnt():
    alive = Alive(CONTRACTS)
    assert judge(alive, bins()[: LEARN_H * HOUR]) == [], "a false alarm"
    return alive


def learnt():
    """A judge that has seen the first hours."""
    return copy.deepcopy(_learnt())


class Found(NamedTuple):
    """How long a stop lasted: bins of the clock; minutes in which a liquidation happened, whether it arrived or not, which only an emulator knows;
    minutes in which the judge itself gave a liquidation an even chance: the active market of docs/uncertainty.md."""

    bins: int
    happened: int
    active: int
    change: Change


def until_found(alive, part, contracts):
    """Found, when a stream of these contracts is suspect; None where it is not."""
    stream = alive.count if len(contracts) == alive.count else contracts[0]
    happened, expected = set(), defaultdict(float)
    for k, ((start, rows), (_, heard)) in enumerate(zip(part, silenced(part, contracts), strict=True)):
        minute, before = start // (6 * BIN_NS), alive.total[stream]
        if rows["liquidations"][list(contracts)].any():
            happened.add(minute)
        changes = alive.push(start, heard)
        if k:
            expected[minute] += alive.total[stream] - before
        for change in changes:
            if change.suspect and set(contracts) <= set(change.contracts):
                return Found(k + 1, len(happened), sum(e >= np.log(2.0) for e in expected.values()), change)
    return None


def told(chances, prints, seed):
    """Bins of one contract that trades at one price, and whose liquidations come with these chances: a market of which everything is known."""
    draw = np.random.default_rng(seed).random(len(chances))
    for k, (chance, trades) in enumerate(zip(chances, prints, strict=True)):
        rows = np.zeros(1, PULSE_DTYPE)
        rows["high"] = rows["low"] = rows["last"] = 100.0
        rows["trades"], rows["liquidations"] = trades, draw[k] < chance
        rows["ts_liquidation"] = (T0 + k) * BIN_NS if draw[k] < chance else 0
        yield (T0 + k) * BIN_NS, rows


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_chance_of_a_bin_is_learnt(seed):
    """One event in 200 calm bins and one in 4 busy ones: a silence of busy bins is worth -log(3/4) a bin, one of calm bins next to nothing."""
    busy = np.random.default_rng(1000 + seed).random(6000) < 0.2
    alive = Alive([("bybit", "BTCUSDT", "BTC")])
    judge(alive, told(np.where(busy, 0.25, 0.005), np.where(busy, 60, 10), seed))
    for prints, each in ((60, -np.log(0.75)), (10, -np.log(0.995))):
        one = copy.deepcopy(alive)
        one.cut([0], 0, False)
        judge(one, silenced(((start + 6000 * BIN_NS, rows) for start, rows in told([0.0] * 30, [prints] * 30, seed)), (0,)))
        assert one.total[0] == pytest.approx(30 * each, rel=0.35, abs=0.5) and one.evidence[0] < one.total[0]


@pytest.mark.slow
def test_a_venue_that_stops_is_found_within_fifteen_minutes_of_active_market():
    """By either meaning of active. The gap begins at the last one that arrived."""
    part = bins()[LEARN_H * HOUR :]
    last = max(int(rows["ts_liquidation"].max()) for _, rows in bins()[: LEARN_H * HOUR])
    _, happened, active, change = until_found(learnt(), part, range(5))
    assert happened <= 15 and active <= 15 and change.whole and change.suspect and change.contracts == (0, 1, 2, 3, 4) and change.chance < IMPROBABLE
    assert change.since == last < change.at


@pytest.mark.slow
def test_nothing_is_judged_before_enough_is_learnt():
    """A stream of which few events are known, or none, is never suspect, however long it is silent."""
    assert judge(Alive(CONTRACTS), silenced(bins(), range(5))) == []
    alive, part = Alive(CONTRACTS[:1]), [(start, rows[:1]) for start, rows in bins()]
    begun = list(np.cumsum([int(rows["liquidations"][0] > 0) for _, rows in part])).index(EVENTS_MIN - 1)
    assert judge(alive, part[: begun + 1]) == [] and judge(alive, silenced(part[begun + 1 :] * 3, (0,))) == []


@pytest.mark.slow
def test_the_first_event_ends_the_suspicion_and_what_was_lost_teaches_nothing():
    alive, part = learnt(), bins()[LEARN_H * HOUR :]
    until, _, _, change = until_found(alive, part, range(5))
    after, known = part[until : until + HOUR // 2], alive.now.sum()
    assert judge(alive, silenced(after, range(5))) == [] and alive.suspect[5], "one alarm a silence"
    assert alive.now.sum() == known, "a suspect stream learns nothing"
    start, rows = next((s, r) for s, r in part[until + HOUR // 2 :] if r["liquidations"].any())
    [end] = alive.push(start, rows)
    assert not end.suspect and end.whole and end.since == change.since and end.at == start + BIN_NS
    assert not alive.suspect.any() and not alive.evidence.any()
    assert judge(alive, [one for one in part if one[0] > start][: HOUR // 2]) == []


def test_one_contract_that_stops_is_found_too():
    """Beside others that go on. It takes longer: one contract has fewer opportunities."""
    found = until_found(learnt(), bins()[LEARN_H * HOUR :], (2,))
    assert found is not None and not found.change.whole and found.change.contracts == (2,)
    assert found.happened <= 40 and found.active <= 15, found


def test_a_connection_that_comes_up_begins_a_new_silence():
    """What was silent before it says nothing, and while it is down nothing is judged."""
    alive, part = learnt(), bins()[LEARN_H * HOUR :]
    until, _, _, change = until_found(copy.deepcopy(alive), part, range(5))
    judge(alive, silenced(part[: until - 1], range(5)))
    assert alive.evidence[5] > 5.0 and not alive.suspect.any()
    now = part[until][0]
    assert alive.cut(range(5), now, True) == [] and not alive.evidence.any()
    assert judge(alive, silenced(part[until:] * 3, range(5))) == [] and not alive.evidence.any()
    alive.cut(range(5), now, False)
    assert judge(alive, silenced(part[until : until + 3], range(5))) == []
    assert (alive.since == now).all()


def test_a_suspect_stream_whose_connection_is_opened_anew_is_none():
    alive, part = learnt(), bins()[LEARN_H * HOUR :]
    until, _, _, _ = until_found(alive, part, range(5))
    assert alive.cut((0, 1), part[until][0], True) == [] and alive.suspect[5], "a part of the venue"
    assert alive.cut((2, 3, 4), part[until][0], True) == [5] and not alive.suspect.any()


def test_without_trades_there_is_no_opportunity():
    """A market that is closed, or a venue that is silent as a whole, is no silence of its liquidations."""
    alive, still = learnt(), np.zeros(5, PULSE_DTYPE)
    alive.push(bins()[LEARN_H * HOUR][0], bins()[LEARN_H * HOUR][1])
    before = alive.evidence.copy()
    assert judge(alive, ((bins()[-1][0] + k * BIN_NS, still) for k in range(2000))) == [] and (alive.evidence == before).all()


@pytest.mark.parametrize("still", [False, True], ids=["no bins", "bins without trades"])
def test_an_outage_is_no_evidence(still):
    """Three hours of which nothing is known, or in which nothing traded: what was silent before them, and where prices are after them, says nothing.
    The silence begins with the first bin after them, which itself is none; the price has to be watched before it can be new again."""
    alive, part = learnt(), bins()[LEARN_H * HOUR :]
    begun = 0
    while alive.evidence[5] < 1.0:
        alive.push(*part[begun])
        begun += 1
    out, back = part[begun : begun + 3 * HOUR // 2], part[begun + 3 * HOUR // 2 :]
    back = [(start, rows) for start, rows in silenced(back, range(5))][: HOUR // 3]
    for name in ("high", "low", "last"):  # the market has fallen by a tenth meanwhile
        for _, rows in back:
            rows[name] *= 0.9
    told = copy.deepcopy(alive)  # a judge that a person has told of the outage
    told.cut(range(5), out[0][0], True)
    told.cut(range(5), back[0][0], False)
    judge(told, back[:60])
    if still:
        judge(alive, ((start, np.zeros(5, PULSE_DTYPE)) for start, _ in out))
    alive.push(*back[0])
    assert not alive.evidence.any() and (alive.since == back[0][0]).all() and not alive.silent[5] > 6
    judge(alive, back[1:60])
    assert 0.0 < alive.evidence[5] <= told.evidence[5] and (alive.watched < HOUR).all()


def test_a_pause_shorter_than_an_outage_changes_nothing():
    alive, part = learnt(), bins()[LEARN_H * HOUR :]
    judge(alive, silenced(part[:40], range(5)))
    before = alive.evidence.copy()
    alive.push(part[40 + PAUSE // 2][0], silenced(part[40:41], range(5)).__next__()[1])
    assert before[5] > 0.0 and (alive.evidence >= before).all()


def test_the_state_is_its_arrays():
    """A judge that is given the arrays of another goes on as that one would, bit for bit."""
    alive, other = learnt(), Alive(CONTRACTS)
    state = [name for name, value in vars(alive).items() if isinstance(value, np.ndarray)]
    for name in state:
        getattr(other, name)[...] = getattr(alive, name)
    part = list(silenced(bins()[LEARN_H * HOUR :], range(5)))
    assert judge(alive, part) == judge(other, part) != []
    assert all(getattr(alive, name).tobytes() == getattr(other, name).tobytes() for name in state)


def test_bins_are_those_of_the_events():
    """What the venue's sink hands out, against the events themselves; each bin is told before the frame that ends it goes anywhere."""
    events = market(5, 4000)
    engine = paper()
    told, seen = [], []
    sink = VenueSink(PaperSink(engine, 10**15), 10**15)
    sink.watch(BIN_NS, lambda start, rows: (told.append((start, rows)), seen.append(sink.events)))
    cuts = np.cumsum(np.random.default_rng(1).integers(1, 9, 2000))
    for part in np.split(events, cuts[cuts < len(events)]):
        sink.rows(part)
    place = events["ts_recv"] // BIN_NS
    first = np.array([part["ts_recv"][0] for part in np.split(events, cuts[cuts < len(events)])]) // BIN_NS
    assert [start // BIN_NS for start, _ in told] == np.unique(first).tolist()[:-1]
    owner = np.repeat(first, np.diff(np.concatenate([[0], cuts[cuts < len(events)], [len(events)]])))  # a frame lies in the bin of its first row
    for (start, rows), before in zip(told, seen, strict=True):
        here = events[owner == start // BIN_NS]
        assert before == (owner <= start // BIN_NS).sum()
        for n in range(2):
            trades = here[(here["instrument"] == n) & (here["kind"] == Kind.TRADE)]
            forced = here[(here["instrument"] == n) & (here["kind"] == Kind.LIQUIDATION)]
            price = trades["price"]
            want = (price.max(), price.min(), price[-1]) if len(trades) else (0.0, 0.0, 0.0)
            assert tuple(rows[n].tolist()) == (*want, int(forced["ts_recv"].max()) if len(forced) else 0, len(trades), len(forced))
    assert len(place) == len(events) and len(told) > 100
    with pytest.raises(ValueError, match="once"):
        sink.watch(BIN_NS, print)


def test_the_engine_enters_nothing_on_a_suspect_stream():
    """The same market with and without the mark: signals of the suspect contract are uncertain and nothing is asked for on it; the other contract is
    as it was. With the first liquidation and the mark that follows it, entries come again after a detector's window."""
    events = market(2, 6000)
    lost, back = events["ts_recv"][2000], events["ts_recv"][4000]

    def play(marked):
        one = paper()
        sink = VenueSink(PaperSink(one, 10**15), 10**15)
        asked = []
        for k in range(len(events)):
            if marked and k == 2000:
                sink.feed(FeedState.FEED_DOWN, lost - 600 * lc.SECOND, lost, [(0, LIQUIDATION)])
            if marked and k == 4000:
                sink.feed(FeedState.FEED_UP, back, back, [(0, LIQUIDATION)])
            sink.rows(events[k : k + 1])
        asked = one.engine.audit.drain()
        return one, asked[asked["kind"] == int(lc.AuditKind.AUDIT_REQUEST)], one.engine.policy.seen

    _, asked, seen = play(True)
    _, free, _ = play(False)

    def entries(rows, n, since, until):
        create = (rows["phase"] == 1) & (rows["x"][:, 7] == int(lc.Role.ROLE_ENTRY))
        return int((create & (rows["instrument"] == n) & (rows["ts"] >= since) & (rows["ts"] < until)).sum())

    window = 20 * lc.SECOND  # of markets.EAGER
    end = int(events["ts_recv"][-1])
    assert entries(free, 0, lost, back + window) > 3 and entries(asked, 0, lost, back + window) == 0
    assert entries(asked, 0, 0, lost) == entries(free, 0, 0, lost) > 0 and entries(asked, 0, back + window, end) > 0
    assert entries(asked, 1, lost, back) > 0
    mine = [s for s, _ in seen if s.instrument == 0 and lost <= s.ts < back and s.phase == Phase.ACTIVE]
    assert mine and all(s.flags & SignalFlag.SIGNAL_UNCERTAIN for s in mine)


# ---- how often a silence is called suspect that is none ----


def captured():
    """Captures by name: contracts, and the receipt of their liquidations (ns). Venues are kept apart; contracts with few events are left out."""
    out = defaultdict(dict)
    for one in streams():
        folder = one.name.split("/")[0]
        if len(one.ts) >= 2 * EVENTS_MIN:
            out[folder + (" okx" if one.symbol.endswith("-SWAP") else "")][one.symbol] = np.sort(one.ts)
    for name, time, zone, some in (
        ("liq-binance-bursts-2023-01/liqs.csv.gz", "time", "", lambda row: True),
        (
            "liq-binance-1m-agg-2024-12/market_data.csv.gz",
            "timestamp",
            "+00:00",
            lambda row: row["liq_long_count"] != "0" or row["liq_short_count"] != "0",
        ),
    ):
        found = defaultdict(list)
        for row in rows_of(DATA / name):
            if some(row):
                found[row["s" if "s" in row else "symbol"]].append(int(datetime.fromisoformat(row[time] + zone).timestamp() * 1e9))
        out[name.split("/")[0]] = {symbol: np.sort(ts) for symbol, ts in found.items() if len(ts) >= 2 * EVENTS_MIN}
    return out


def false_alarms(times):
    """(suspicions, days of contracts that were judged, the smallest chance that a silence had) of a capture."""
    alive, off, worst, alarms = Alive([("venue", symbol, symbol) for symbol in times]), set(), 1.0, []
    for start, rows, left_out in of_capture(list(times.values())):
        out = set(left_out)
        if len(out) == len(times):  # the recorder was off until now
            alive.cut(range(len(times)), start, True)
            alive.cut(range(len(times)), start, False)
            out = set()
        for places, down in ((out - off, True), (off - out, False)):
            if places:
                alive.cut(places, start, down)
        off = out
        alarms += [change for change in alive.push(start, rows) if change.suspect]
        worst = min(worst, float(alive.chances().min()))
    ready = alive.seen[: len(times), 1] >= EVENTS_MIN
    return alarms, float(alive.seen[: len(times), 0][ready].sum()) * BIN_NS / 8.64e13, worst


@needs_data
@pytest.mark.slow
def test_no_capture_of_real_liquidations_has_a_suspect_silence():
    """More than 100 days of contracts, of which only the times of liquidations are known. The whole set of 37 contracts over 12 days is among them."""
    days = 0.0
    for name, times in sorted(captured().items()):
        alarms, judged, worst = false_alarms(times)
        print(f"{name}: {len(times)} contracts, {judged:.1f} contract days, smallest chance of a silence {worst:.1e}")
        assert alarms == [], name
        assert worst > 100 * IMPROBABLE, name
        days += judged
    assert days > 60


def size_and_power(seed, hours):
    """Suspicions of a generated market, and how long a stop of the whole venue lasts before it is found, at 12 places of its second half."""
    alive, alarms, worst, found = Alive(CONTRACTS), [], 1.0, []
    kept, cuts = [], {int(hours * HOUR * (0.5 + 0.04 * k)) for k in range(12)}
    snapshots = {}
    for k, (start, rows) in enumerate(generated(seed, hours)):
        if k in cuts:
            snapshots[k] = copy.deepcopy(alive)
        if k >= min(cuts):
            kept.append((start, rows))
        alarms += [change for change in alive.push(start, rows) if change.suspect]
        worst = min(worst, float(alive.chances().min()))
    for k, one in sorted(snapshots.items()):
        found.append(until_found(one, kept[k - min(cuts) :], range(5)))
    return alarms, worst, found


def summary(found):
    return f"minutes {[round(f.bins / 6) for f in found]}, with a liquidation {[f.happened for f in found]}, active {[f.active for f in found]}"


@pytest.mark.slow
def test_a_day_of_the_generator():
    alarms, worst, found = size_and_power(11, 26)
    print(f"smallest chance of a silence {worst:.1e}; found after {summary(found)}")
    assert alarms == [] and max(f.active for f in found) <= 15 and max(f.happened for f in found) <= 20


@pytest.mark.campaign
def test_thirty_days_of_the_generator():
    """LIQCORE_CAMPAIGN_SECONDS=3600 for six seeds; fewer than 600 for as many hours of one: no false alarm, and a stop is found within 15
    active minutes at each place; of minutes in which a liquidation happened, within 15 at most places. A venue that has become quieter takes the longest."""
    seconds = int(campaigns.seconds(600.0))
    for seed in range(20, 20 + max(1, seconds // 600)):
        alarms, worst, found = size_and_power(seed, 720 if seconds >= 600 else max(26, seconds * 720 // 600))
        print(f"seed {seed}: {len(alarms)} alarms, smallest chance {worst:.1e}; {summary(found)}")
        assert alarms == [], f"seed={seed}"
        assert max(f.active for f in found) <= 15 and sum(f.happened <= 15 for f in found) > 6, f"seed={seed}"
