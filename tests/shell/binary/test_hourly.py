"""Whether the bet clears its hurdle: the figures, their size on markets without an edge, their power on planted ones, and what is said of what is
not known."""

import csv
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc
from binary_frames import HOUR, NOON, NS, UP, book, events, kline, klines, market
from liqshell import cli
from liqshell.binary.desk import SPOT, VENUE
from liqshell.binary.run import BINARY
from liqshell.errors import DataError
from liqshell.policies.hourly import fee_per_share
from liqshell.recording.packing import SUFFIX, frame_files, pieces
from liqshell.recording.recorder import END, META, REST, WS, Recorder
from liqshell.research.feature_walk import Data
from liqshell.research.hourly import (
    BELOW,
    CLEARS,
    OPEN,
    UNKNOWN,
    Fire,
    Watch,
    bets_to_show,
    evaluate,
    read_books,
    read_candles,
    report,
    text_of,
    traded_hours,
    unseen,
    with_probability,
)

MS = 1_000_000


def season(n: int, edge: float, seed: int, side: int = 1) -> dict:
    """n hours with asks between 0.2 and 0.8; a bet wins with probability cost + edge, so edge 0 is a fair game after fees."""
    rng = np.random.default_rng(seed)
    fires, candles = [], {}
    for k in range(n):
        ask = round(float(rng.uniform(0.2, 0.8)), 2)
        won = rng.random() < ask + fee_per_share(ask, 0.07) + edge
        candles[NOON + k * HOUR] = (100.0, 101.0 if won == (side > 0) else 99.0)
        fires.append(Fire(NOON + k * HOUR + 600 * NS, side, min(1.0, ask + 0.05), ask, ask - 0.01))
    return evaluate(fires, candles)


def test_figures_by_hand():
    candles = {NOON + k * HOUR: (100.0, 100.0 if k % 2 else 99.0) for k in range(10)}  # five ties, which are up
    fires = [
        Fire(NOON + 60 * NS, 1, 0.5, 0.40, 0.39),
        Fire(NOON + 120 * NS, 1, 0.9, 0.1, 0.1),
        Fire(NOON + HOUR, 1, 0.6, 0.50, 0.48),
        Fire(NOON + 3 * HOUR + 5, 1),
        Fire(NOON + 4 * HOUR, -1, 0.3, 0.3, 0.29),
        Fire(NOON + 99 * HOUR),
    ]
    found = evaluate(fires, candles)
    h, a, b = found["hit_rate"], found["against_ask"], found["brier"]
    assert (found["fires"], found["hours_with_fire"], found["unsettled"], h["n"], h["hits"]) == (6, 5, 1, 4, 3), "the first fire of an hour counts"
    assert h["low"] == pytest.approx(0.3006, abs=1e-4) and h["high"] == pytest.approx(0.9544, abs=1e-4)
    costs = [0.40 + 0.07 * 0.24, 0.50 + 0.07 * 0.25, 0.30 + 0.07 * 0.21]
    assert (a["n"], a["hits"]) == (3, 2) and a["hurdle"] == pytest.approx(sum(costs) / 3) and a["value"] == pytest.approx((2 - sum(costs)) / 3)
    assert b["n"] == 3 and b["ours"] == pytest.approx((0.25 + 0.16 + 0.49) / 3) and b["book"] == pytest.approx((0.39**2 + 0.52**2 + 0.71**2) / 3)
    assert found["all_hours"] == {"n": 10, "share": 0.5} and found["verdict"] == OPEN
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("side", [1, -1])
def test_size_an_idea_without_an_edge_clears_in_at_most_one_of_forty(side):
    cleared = sum(season(200, 0.0, seed, side)["verdict"] == CLEARS for seed in range(600))
    assert cleared <= 25, f"{cleared} of 600: expected at most 15, binomially up to 25"


@pytest.mark.parametrize("side", [1, -1])
def test_power_a_planted_edge_is_found_and_a_planted_loss_too(side):
    assert sum(season(300, 0.10, seed, side)["verdict"] == CLEARS for seed in range(100)) >= 85
    assert sum(season(300, -0.10, seed, side)["verdict"] == BELOW for seed in range(100)) >= 85
    assert all("does not clear its hurdle" in season(300, -0.15, seed, side)["sentence"] for seed in range(20))


@pytest.mark.parametrize("side", [1, -1])
def test_size_where_the_bets_of_one_day_win_and_lose_together(side):
    """A fair game after fees whose hours share a third of their luck with their day: 8 bets a day, 25 days."""
    rng, cleared = np.random.default_rng(8), 0
    for _ in range(300):
        fires, candles = [], {}
        for day in range(25):
            luck = rng.normal()
            for k in range(8):
                hour, ask = NOON + (24 * day + k) * HOUR, round(float(rng.uniform(0.3, 0.7)), 2)
                drawn = 0.5 * math.erfc(-(math.sqrt(0.3) * luck + math.sqrt(0.7) * rng.normal()) / math.sqrt(2))
                candles[hour] = (100.0, 101.0 if (drawn < ask + fee_per_share(ask, 0.07)) == (side > 0) else 99.0)
                fires.append(Fire(hour + 600 * NS, side, 0.6, ask, ask))
        cleared += evaluate(fires, candles)["verdict"] == CLEARS
    assert cleared <= 15, f"{cleared} of 300: expected about 8; Wilson's interval alone says it of 27"


def test_bets_of_too_few_days_do_not_clear():
    fires = [Fire(NOON + k * HOUR, 1, 0.9, 0.1, 0.1) for k in range(40)]
    found = evaluate(fires, {NOON + k * HOUR: (1.0, 2.0) for k in range(40)})
    assert found["verdict"] == OPEN and "bets of 3 days" in found["sentence"] and "too few" in found["sentence"]


@pytest.mark.parametrize(
    ("share", "hurdle"), [(0.6, 0.5175), (0.7, 0.6), (0.55, 0.5), (0.52, 0.51), (0.9, 0.89), (1.0, 0.95), (1.0, 0.2), (0.2, 0.1)]
)
def test_the_number_of_bets_that_would_show_it_is_the_first_that_does(share, hurdle):
    """By trying every number with Wilson's formula as it is printed (1927): the first at which the interval clears the hurdle, and 30 at least."""

    def low(n: int) -> float:
        z2 = 1.959963984540054**2
        return (share + z2 / (2 * n) - math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n)))) / (1 + z2 / n)

    assert bets_to_show(share, hurdle) == next(n for n in range(30, 100_000) if low(n) > hurdle)


def test_the_sentence_says_how_many():
    fires = [Fire(NOON + k * HOUR, 1, 0.9, 0.5, 0.5) for k in range(30)]
    found = evaluate(fires, {NOON + k * HOUR: (1.0, 2.0 if k % 5 < 3 else 0.5) for k in range(30)})
    assert found["verdict"] == OPEN and f"about {bets_to_show(0.6, 0.5175)} bets would show it" in found["sentence"]


def test_few_bets_never_clear():
    fires = [Fire(NOON + k * HOUR, 1, 0.9, 0.1, 0.1) for k in range(29)]
    found = evaluate(fires, {NOON + k * HOUR: (1.0, 2.0) for k in range(29)})
    assert found["against_ask"]["low"] > found["against_ask"]["hurdle"] and found["verdict"] == OPEN


def test_without_asks_the_hurdle_is_not_known_and_that_is_said():
    fires = [Fire(NOON + k * HOUR, 1, 0.5) for k in range(40)]
    candles = {NOON + k * HOUR: (1.0, 2.0 if k % 2 else 0.5) for k in range(60)}
    found = evaluate(fires, candles, settled_on="hours of the contract's own trades")
    assert found["verdict"] == UNKNOWN and "not known" in found["sentence"] and len(found["not_known"]) == 4
    worse = evaluate(fires, {k: (1.0, 0.5) if k < NOON + 40 * HOUR else (1.0, 2.0) for k in candles})
    assert worse["verdict"] == BELOW and "below that of all hours" in worse["sentence"]
    assert "never fired" in evaluate([], candles)["sentence"] and "no fire is in an hour" in evaluate(fires, {})["sentence"]


def test_the_book_that_knows_already_is_seen_by_brier():
    """The mid is the true probability, ours is noise around it: the difference is above zero. And the other way round."""
    rng = np.random.default_rng(3)
    for ours_known in (False, True):
        fires, candles = [], {}
        for k in range(800):
            p, noise = rng.uniform(0.2, 0.8), rng.uniform(-0.2, 0.2)
            candles[NOON + k * HOUR] = (1.0, 2.0 if rng.random() < p else 0.5)
            fires.append(Fire(NOON + k * HOUR, 1, p if ours_known else p + noise, 0.5, p + noise if ours_known else p))
        b = evaluate(fires, candles)["brier"]
        assert (b["high"] < 0.0) if ours_known else (b["low"] > 0.0)


def test_watches_measure_the_time_until_half_the_gap_is_closed():
    for side in (1, -1):
        one = Watch(NOON, side, "exhausted")
        for second, mid in ((0, 0.40), (5, 0.41), (12, 0.46), (20, 0.5)):
            one.look(NOON + second * NS, 0.5, mid if side > 0 else 1.0 - mid, 0.01)
        assert one.gap == pytest.approx(0.10) and one.seconds == 12.0
    priced, never = Watch(NOON, 1, "exhausted"), Watch(NOON, 1, "exhausted")
    priced.look(NOON + NS, 0.5, 0.495, 0.01)
    never.look(NOON + NS, 0.5, 0.4, 0.01)
    never.look(NOON + HOUR, 0.5, 0.5, 0.01)
    r = evaluate([], {}, [one, priced, never])["repricing"]
    assert (r["n"], r["at_once"], r["later"], r["never"], r["median_s"]) == (3, 1, 1, 1, 12.0)


def test_a_book_that_is_known_long_after_the_end_of_a_flush_was_not_priced_at_once():
    late = Watch(NOON, 1, "exhausted")
    late.look(NOON + NS, 0.5, None, 0.01)
    late.look(NOON + 600 * NS, 0.5, 0.5, 0.01)
    r = evaluate([], {}, [late])["repricing"]
    assert (r["n"], r["at_once"], r["never"]) == (0, 0, 0)


@pytest.mark.parametrize("side", [1, -1])
def test_what_the_venue_paid_counts_where_the_candle_says_otherwise(side):
    fires = [Fire(NOON + k * HOUR, side, 0.5, 0.5, 0.5) for k in range(4)]
    candles = {NOON + k * HOUR: (100.0, 101.0 if side > 0 else 99.0) for k in range(3)}
    paid = {NOON: side < 0, NOON + HOUR: side > 0, NOON + 3 * HOUR: side > 0}
    found = evaluate(fires, candles, paid=paid)
    assert (found["hit_rate"]["n"], found["hit_rate"]["hits"], found["unsettled"], found["venue_differs"]) == (4, 3, 0, 1)
    assert "in 1 hours; its payment counts" in text_of(found) and "settlement" not in text_of(evaluate(fires, candles))


def test_the_shift_is_of_the_market_that_settles():
    """Prices of the perpetual stand 0.1 % above spot: the open behind the distance is theirs, who won is the spot candle's."""
    fires = [Fire(NOON + k * HOUR + 1800 * NS, 1, 0.5, price=100.1, open=100.1, volatility=0.005) for k in range(100)]
    candles = {NOON + k * HOUR: (100.0, 100.05 if k % 2 else 99.95) for k in range(100)}
    shift = evaluate(fires, candles)["shift"]
    assert shift["hours"] == 100 and shift["deviations"] == pytest.approx(0.0, abs=1e-9)


def test_a_long_recording_settles_all_of_its_hours(tmp_path):
    """The desk keeps the candles of some days; the evaluation keeps all of them."""
    with Recorder(tmp_path / "frames", exchange="polymarket") as out:
        out.mark(NOON, META, {"binary": 1, "settings": {}, "state": None})
        for k in range(0, 200, 4):
            out.append(NOON + k * HOUR + NS, klines(NOON + (k - 8) * HOUR, [(100.0, 100.0 + k + n) for n in range(-8, 1)]), SPOT, REST)
        out.mark(NOON + 200 * HOUR, END, {})
    found = read_books(tmp_path).candles
    assert sorted(found) == [NOON + k * HOUR for k in range(-8, 196)]


def test_two_recordings_of_the_same_time_count_once(tmp_path):
    both = [recording(tmp_path / "a"), recording(tmp_path / "b")]
    one, two = (report([], books, None, "BTC", []) for books in (both[:1], both))
    assert one["fires"] == two["fires"] == 1 and one["repricing"] == two["repricing"] and two["repricing"]["n"] == 1


def test_an_hour_whose_boundary_lies_in_a_gap_has_no_open_and_no_close():
    """Trades each 20 s but for gaps: over the turn to the third hour, and in the middle of the first, which does no harm."""
    whole = lc.Instrument("BTCUSDT", venue="bybit")
    skip = [(NOON + 1000 * NS, NOON + 2000 * NS), (NOON + 2 * HOUR - 300 * NS, NOON + 2 * HOUR + 90 * NS)]
    times = [t for t in range(NOON, NOON + 4 * HOUR, 20 * NS) if not any(a <= t < b for a, b in skip)]
    rows = np.zeros(len(times), lc.EVENT_DTYPE)
    rows["kind"], rows["ts_recv"], rows["ts_event"], rows["price"], rows["qty"] = int(lc.Kind.TRADE), times, times, 100.0 + np.arange(len(times)), 1.0
    data = Data((whole,), [rows[:100], rows[100:]], NOON, NOON + 4 * HOUR)
    found = traded_hours(data)
    assert sorted(found) == [NOON, NOON + 3 * HOUR] and found[NOON][0] == 100.0


def recording(folder: Path) -> Path:
    """Half an hour of a book: a flush ends at +10 s, the book reprices at +20 s, the rule fires at +12 s; the hour ends up."""
    t = NOON + 1800 * NS
    with Recorder(folder / "frames", exchange="polymarket") as out:
        out.mark(t - 10 * NS, META, {"binary": 1, "settings": {}, "state": None})
        out.append(t - 9 * NS, events(market()), VENUE, REST)
        out.append(
            t - 8 * NS, klines(NOON - 24 * HOUR, [(64_000, 64_000 * (1.005 if n % 2 else 0.995)) for n in range(24)] + [(64_000, 64_000)]), SPOT, REST
        )
        for ms in range(0, 40_000, 500):
            now = t + ms * MS
            mid = 40 if ms < 20_000 else 49
            out.append(now, kline(NOON, 64_000, 64_000, now), SPOT, WS)
            out.append(now, book(UP, [(f"0.{mid - 1}", 100)], [(f"0.{mid + 1}", 100)], now), VENUE, WS)
            if ms in (10_000, 12_000):
                out.mark(now + MS, BINARY, {"fire": {"side": 0, "exhausted": 1} if ms == 10_000 else {"side": 1}})
        out.append(NOON + HOUR + NS, klines(NOON, [(64_000, 64_100), (1, 1)]), SPOT, REST)
        out.mark(NOON + HOUR + 2 * NS, END, {})
    return folder


def test_a_recording_says_the_ask_at_the_fire_and_the_seconds_to_the_repricing(tmp_path):
    found = read_books(recording(tmp_path / "a"))
    (fire,), (watch,) = found.fires, found.watches
    assert (fire.ask, fire.mid, fire.side) == (0.41, 0.40, 1) and fire.probability == pytest.approx(0.5)
    assert watch.of == "exhausted" and watch.gap == pytest.approx(0.1) and watch.seconds == pytest.approx(10.0, abs=0.6)
    assert found.candles[NOON] == (64_000.0, 64_100.0) and len(found.settled) == 1 and found.settled[0]["won"]
    # the same fire given from outside: what the desk knew then, not a moment later
    given = read_books(tmp_path / "a", [(NOON + 1819 * NS, 1), (NOON - HOUR, 1)], [(NOON + 1810 * NS, 1)])
    assert [(one.ts, one.ask) for one in given.fires] == [(NOON + 1819 * NS, 0.41)]


def test_behind_a_damaged_place_nothing_is_known_until_it_is_said_again(tmp_path):
    """A frame is lost between the last book and the fire: the ask is not known, and the output says what is damaged."""
    t, folder = NOON + 1800 * NS, tmp_path / "a"
    with Recorder(folder / "frames", exchange="polymarket") as out:
        out.mark(t - 10 * NS, META, {"binary": 1, "settings": {}, "state": None})
        out.append(t - 9 * NS, events(market()), VENUE, REST)
        out.append(t - 2 * NS, book(UP, [("0.39", 100)], [("0.41", 100)], t), VENUE, WS)
        out.append(t - NS, b"PONG", VENUE, WS)
        out.mark(t, BINARY, {"fire": {"side": 1}})
        out.mark(t + NS, END, {})
    (file,) = frame_files(folder / "frames")
    whole = b"".join(pieces(file)).splitlines(keepends=True)
    assert read_books(folder).fires[0].ask == 0.41 and read_books(folder).damage == []
    file.write_bytes(gzip.compress(b"".join([*whole[:3], b'{"ts": 1, half a line\n', *whole[4:]])))
    found = read_books(folder)
    assert math.isnan(found.fires[0].ask) and len(found.damage) == 1
    file.rename(folder / "frames" / f"2026-10-17_09{SUFFIX}")
    assert any("is missing" in one for one in read_books(folder).damage) and "damaged" in report([], [folder], None, "BTC", [])["notes"][0]


def test_the_command_on_a_recording(tmp_path, capsys):
    folder = recording(tmp_path / "a")
    status = cli.main(["hourly", "--binary", str(folder), "--json", str(tmp_path / "a.json"), "--html", str(tmp_path / "a.html")])
    out = capsys.readouterr().out
    found = json.loads((tmp_path / "a.json").read_text())
    assert status == 1 and out.startswith("This idea does not clear its hurdle") and "1 of 1" not in out.split("\n")[3]
    assert found["hit_rate"]["hits"] == 1 and found["bets"]["settled"] == 1 and found["fired"][0]["ask"] == 0.41
    assert "does not clear its hurdle" in (tmp_path / "a.html").read_text()


def test_the_command_needs_data_and_names_what_is_wrong(tmp_path, capsys):
    assert cli.main(["hourly"]) == 2
    assert "no data" in capsys.readouterr().err
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "2026-01-01_00.jsonl").write_text('{"topic":"x","ts":1,"data":[]}\n')
    assert cli.main(["hourly", "--binary", str(tmp_path)]) == 2
    assert "no binary recording" in capsys.readouterr().err


def test_candles_of_a_file(tmp_path):
    path = tmp_path / "k.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("open_time", "open", "high", "low", "close"), (NOON // MS, 1, 2, 0.5, 1.5), ((NOON + HOUR) // 1000, 1.5, 2, 1, 1)]
        )
    assert read_candles(path) == {NOON: (1.0, 1.5), NOON + HOUR: (1.5, 1.0)}
    for bad in ("1,2", f"{NOON // MS + 1},1,1,1,1", f"{NOON // MS},0,1,1,1"):
        path.write_text(f"{NOON // MS},1,1,1,1\n{bad}\n")
        with pytest.raises(DataError, match="k.csv:2"):
            read_candles(path)
    path.write_text("open_time,open\n")
    with pytest.raises(DataError, match="no candles"):
        read_candles(path)


def test_candles_that_are_not_of_hours_are_no_candles(tmp_path):
    """A byte-order mark is not a header; ns, s, endless prices and a first row without a close are said."""
    path = tmp_path / "k.csv"
    path.write_text(f"{NOON // MS},1,2,1,1.5\n", encoding="utf-8-sig")
    assert read_candles(path) == {NOON: (1.0, 1.5)}
    for bad in (f"{NOON},1,2,1,1.5", f"{NOON // NS},1,2,1,1.5", f"{NOON // MS},inf,2,1,1.5", f"{NOON // MS},1,2,1,inf", f"{NOON // MS},1,2,1"):
        path.write_text(f"{bad}\n{(NOON + HOUR) // MS},1,2,1,1.5\n")
        with pytest.raises(DataError, match="k.csv:1"):
            read_candles(path)


def test_the_first_fire_of_an_hour_counts_also_where_the_recording_began_behind_it(tmp_path):
    given = [(NOON + 600 * NS, -1), (NOON + 1819 * NS, 1)]
    books = read_books(recording(tmp_path / "a"), given)
    assert unseen(given, [books]) == given[:1]
    found = evaluate([*books.fires, *with_probability([(*given[0], 64_000.0)], {})], books.candles)
    assert found["fires"] == 2 and found["hit_rate"]["n"] == 1 and found["hit_rate"]["hits"] == 0 and found["against_ask"]["n"] == 0


def test_a_market_that_was_refused_is_named_where_its_asks_are_missing(tmp_path):
    with Recorder(tmp_path / "frames", exchange="polymarket") as out:
        out.mark(NOON, META, {"binary": 1, "settings": {}, "state": None})
        out.append(NOON + NS, events(*(market(NOON + n * HOUR, n, description="Another rule.") for n in range(5))), VENUE, REST)
        out.append(NOON + 2 * NS, book(UP, [("0.39", 100)], [("0.41", 100)], NOON), VENUE, WS)
        out.mark(NOON + 3 * NS, BINARY, {"fire": {"side": 1}})
        out.mark(NOON + 4 * NS, END, {})
    notes = report([], [tmp_path], None, "BTC", [])["notes"]
    assert len(notes) == 4 and notes[-1] == "and 2 more" and all("not bet on" in one and "bitcoin-up-or-down" in one for one in notes[:3])


def test_the_shift_that_hours_give_is_the_one_they_were_made_with():
    rng = np.random.default_rng(8)
    fires, candles = [], {}
    for k in range(1500):
        price, sigma = 100.0 * math.exp(rng.normal(-0.002, 0.002)), 0.006
        hour = NOON + k * HOUR
        candles[hour] = (100.0, price * math.exp(sigma * math.sqrt(0.5) * (rng.normal() + 0.4)))
        fires.append(Fire(hour + 1800 * NS, 1, price=price, open=100.0, volatility=sigma))
    shift = evaluate(fires, candles)["shift"]
    assert shift["hours"] == 1500 and shift["calibrated"] and shift["deviations"] == pytest.approx(0.4, abs=0.12)
    assert evaluate(fires[:50], candles)["shift"]["calibrated"] is False and evaluate([Fire(NOON)], candles)["shift"]["hours"] == 0


def test_a_probability_needs_a_day_of_candles():
    candles = {NOON + k * HOUR: (100.0, 100.5 if k % 2 else 99.5) for k in range(-24, 1)}
    (one,) = with_probability([(NOON + 1800 * NS, -1, 100.0)], candles)
    assert one.probability == pytest.approx(0.5) and math.isnan(one.ask)
    assert math.isnan(with_probability([(NOON + 1800 * NS, 1, 100.0)], {NOON: (1.0, 1.0)})[0].probability)
