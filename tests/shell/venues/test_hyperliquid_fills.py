"""Fills of a Hyperliquid node: each rule by hand, and whole markets whose truth is known (hyperliquid_ledger.py)."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import campaigns
import liqcore as lc
from hyperliquid_ledger import SPOT, VAULT, Ledger, by_block, by_fill, write
from liqshell import formats
from liqshell.backstops import BACKSTOP
from liqshell.errors import DataError

TRADE, LIQUIDATION, LONG, SHORT = int(lc.Kind.TRADE), int(lc.Kind.LIQUIDATION), 1, -1
APART = formats.Options(backstops=True)
LIQ, MAKER = "0xaaaa000000000000000000000000000000000001", "0xbbbb000000000000000000000000000000000002"
MS = 1_784_124_000_045
RECEIVED = 1_784_124_000_123_456_789  # 2026-07-15T14:00:00.123456789


def fill(side, dir_, crossed, tid=1, coin="BTC", px="64142.0", sz="0.5", method=None, user=LIQ, **more):
    out = {
        "coin": coin,
        "px": px,
        "sz": sz,
        "side": side,
        "time": MS,
        "startPosition": "-5.11888",
        "dir": dir_,
        "closedPnl": "0.0",
        "hash": "0x00",
        "oid": 518865150801,
        "crossed": crossed,
        "fee": "-0.001",
        "tid": tid,
        "cloid": "0x01",
        "feeToken": "USDC",
        "twapId": None,
    }
    if method:
        out["liquidation"] = {"liquidatedUser": user, "markPx": "64159.0", "method": method}
    return out | more


def block(*legs, number=1234567890, received="2026-07-15T14:00:00.123456789"):
    return json.dumps(
        {"local_time": received, "block_time": "2026-07-15T14:00:00.045678901", "block_number": number, "events": [list(leg) for leg in legs]}
    )


def read(tmp_path, *lines, options=APART, name="14", ends="\n"):
    """(all events as one array with the coin in place of the instrument's number, the reading)."""
    path = write(tmp_path / name, ("\n".join(lines) + ends).encode() if isinstance(lines[0], str) else lines[0])
    return take(path, options)


def take(path, options=APART):
    with formats.read(path, options) as reading:
        parts = [(symbol, events.copy()) for _, symbol, events in reading]
    return parts, reading


def rows(parts):
    """(kind, coin, side, price, qty, stated notional)."""
    return [
        (int(e["kind"]), coin, int(e["side"]), float(e["price"]), float(e["qty"]), float(e["aux_price"])) for coin, events in parts for e in events
    ]


# ---- the rules, one by one


def test_a_trade_is_the_leg_that_crossed_and_its_side_is_the_takers(tmp_path):
    parts, reading = read(tmp_path, block((LIQ, fill("A", "Open Short", True)), (MAKER, fill("B", "Open Long", False))))
    assert rows(parts) == [(TRADE, "BTC", SHORT, 64142.0, 0.5, 0.0)]
    e = parts[0][1][0]
    assert (e["ts_event"], e["ts_recv"], e["id"]) == (MS * 1_000_000, RECEIVED, 1)
    assert reading.received == "recorded" and reading.rules["hyperliquid", "BTC"]["completeness"] == "FULL" and not reading.counts


@pytest.mark.parametrize(
    ("side", "dir_", "other", "liquidated"),
    [
        ("A", "Close Long", "B", LONG),
        ("A", "Long > Short", "B", LONG),
        ("A", "Liquidated Cross Long", "B", LONG),
        ("A", "Liquidated Isolated Long", "B", LONG),
        ("B", "Close Short", "A", SHORT),
        ("B", "Short > Long", "A", SHORT),
        ("B", "Liquidated Cross Short", "A", SHORT),
        ("B", "Liquidated Isolated Short", "A", SHORT),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_the_liquidated_leg_tells_the_side_wherever_it_stands(tmp_path, side, dir_, other, liquidated, first):
    legs = [
        (LIQ, fill(side, dir_, True, method="market")),
        (MAKER, fill(other, "Open Long" if other == "B" else "Open Short", False, method="market")),
    ]
    parts, reading = read(tmp_path, block(*(legs if first else legs[::-1])))
    assert rows(parts) == [(TRADE, "BTC", -liquidated, 64142.0, 0.5, 0.0), (LIQUIDATION, "BTC", liquidated, 64142.0, 0.5, 32071.0)]
    assert not reading.counts


@pytest.mark.parametrize(("side", "liquidated"), [("A", SHORT), ("B", LONG)])
def test_of_the_counterpartys_leg_alone_the_side_is_the_opposite(tmp_path, side, liquidated):
    parts, reading = read(tmp_path, block((MAKER, fill(side, "Open Long", False, method="market"))))
    assert rows(parts) == [(LIQUIDATION, "BTC", liquidated, 64142.0, 0.5, 32071.0)]
    assert reading.counts == {"liquidation without its own leg: side from the counterparty's": 1}


def test_a_dir_that_contradicts_its_side_is_refused_and_named(tmp_path):
    good = block((LIQ, fill("A", "Open Short", True, tid=9)), number=1)
    parts, reading = read(tmp_path, good, block((LIQ, fill("B", "Close Long", True, method="market"))))
    assert [row[0] for row in rows(parts)] == [TRADE, TRADE]
    assert reading.counts["sides contradict"] == 1 and "14:2: sides contradict: dir 'Close Long' and side 'B'" in reading.shown[0]


def test_users_are_the_same_whatever_the_case_of_their_address(tmp_path):
    parts, _ = read(tmp_path, block((LIQ.upper().replace("0X", "0x"), fill("A", "Close Long", True, method="market"))))
    assert rows(parts)[1][:3] == (LIQUIDATION, "BTC", LONG)


def test_one_liquidation_against_many_makers_is_one_and_two_users_under_one_oid_are_two(tmp_path):
    legs = []
    for tid, (user, px, sz) in enumerate([(LIQ, "100", "1"), (LIQ, "90", "3"), (MAKER, "80", "2")]):
        legs += [
            (user, fill("A", "Close Long", True, tid, px=px, sz=sz, method="market", user=user)),
            (VAULT, fill("B", "Open Long", False, tid, px=px, sz=sz, method="market", user=user)),
        ]
    parts, _ = read(tmp_path, block(*legs))
    found = rows(parts)
    assert [row[3:5] for row in found if row[0] == TRADE] == [(100.0, 1.0), (90.0, 3.0), (80.0, 2.0)]
    assert [row for row in found if row[0] == LIQUIDATION] == [
        (LIQUIDATION, "BTC", LONG, 92.5, 4.0, 370.0),
        (LIQUIDATION, "BTC", LONG, 80.0, 2.0, 160.0),
    ]


def test_a_backstop_is_no_trade_and_no_liquidation(tmp_path):
    lines = [block((LIQ, fill("A", "Liquidated Isolated Long", True, method="backstop")), (VAULT, fill("B", "Open Long", False, method="backstop")))]
    parts, reading = read(tmp_path, *lines)
    assert rows(parts) == [(BACKSTOP, "BTC", LONG, 64142.0, 0.5, 32071.0)]
    assert reading.counts == {"no trade: off the book (backstop or deleveraging)": 1, "kept apart: backstops": 1}
    parts, reading = read(tmp_path, *lines, block((LIQ, fill("A", "Open Short", True)), number=2), options=None, name="15")
    assert [row[0] for row in rows(parts)] == [TRADE] and reading.counts["kept apart: backstops"] == 1


@pytest.mark.parametrize("method", ["backstop", "market", None])
@pytest.mark.parametrize("crossed", [True, False])
def test_a_trade_that_deleverages_a_winner_is_no_cascade_whichever_leg_says_what(tmp_path, method, crossed):
    loser, winner = fill("A", "Close Long", crossed, method=method), fill("B", "Auto-Deleveraging", not crossed, method=method)
    parts, _ = read(tmp_path, block((LIQ, loser), (MAKER, winner)))
    expected = [(int(lc.Kind.DELEVERAGE), "BTC", SHORT, 64142.0, 0.5, 32071.0)] + [(BACKSTOP, "BTC", LONG, 64142.0, 0.5, 32071.0)] * (
        method is not None
    )
    assert rows(parts) == expected


def test_a_deleveraging_that_stands_on_both_legs_counts_once(tmp_path):
    parts, reading = read(tmp_path, block((LIQ, fill("A", "Auto-Deleveraging", True)), (MAKER, fill("B", "Auto-Deleveraging", False))))
    assert (
        rows(parts) == [(int(lc.Kind.DELEVERAGE), "BTC", LONG, 64142.0, 0.5, 32071.0)]
        and reading.counts["deleveraging on both legs: counted once"] == 1
    )


def test_both_legs_that_say_crossed_a_block_again_and_a_leg_again_count_once(tmp_path):
    one = block((LIQ, fill("A", "Open Short", True)), (MAKER, fill("B", "Open Long", True)))
    parts, reading = read(tmp_path, one, one, block((LIQ, fill("A", "Open Short", True, 7)), (LIQ, fill("A", "Open Short", True, 7)), number=3))
    assert rows(parts) == [(TRADE, "BTC", SHORT, 64142.0, 0.5, 0.0)] * 2
    assert reading.counts == {"the same trade again": 2, "a block again: its fills are counted once": 1}


def test_the_same_number_of_a_trade_in_two_coins_is_two_trades(tmp_path):
    parts, _ = read(tmp_path, block((LIQ, fill("A", "Open Short", True)), (LIQ, fill("B", "Open Long", True, coin="ETH"))))
    assert [row[:3] for row in rows(parts)] == [(TRADE, "BTC", SHORT), (TRADE, "ETH", LONG)]


def test_coins_of_builders_are_contracts_and_spot_is_left_out_and_counted(tmp_path):
    parts, reading = read(
        tmp_path,
        block(
            (LIQ, fill("B", "Open Long", True, coin="xyz:MU")),
            *((LIQ, fill("B", "Buy", True, coin=c)) for c in SPOT),
            (LIQ, fill("B", "Buy", True, coin="no coin!")),
        ),
    )
    assert [row[1] for row in rows(parts)] == ["xyz:MU"] and reading.contracts == [("hyperliquid", "xyz:MU")]
    assert reading.counts == {"fills of spot: no perpetuals": 2, "fills of coins whose names are no perpetual's": 1}


def test_what_is_no_fill_of_the_book_by_its_name_is_no_trade(tmp_path):
    parts, reading = read(tmp_path, block(*((LIQ, fill("B", dir_, True, tid)) for tid, dir_ in enumerate(["Settlement", "Open Long"]))))
    assert len(rows(parts)) == 1 and reading.counts == {"no trade: dir 'Settlement'": 1}


def test_a_method_that_is_not_known_and_a_liquidation_of_nobody_are_counted_not_guessed(tmp_path):
    legs = (LIQ, fill("A", "Close Long", True, 1, method="auction")), (LIQ, fill("A", "Close Long", True, 2, method="market", user=None))
    parts, reading = read(tmp_path, block(*legs))
    assert [row[0] for row in rows(parts)] == [TRADE, TRADE]
    assert reading.counts == {
        "liquidation by a method that is not known, 'auction': not counted as one": 1,
        "liquidation that names no user: not counted as one": 1,
    }


def test_additions_cost_nothing_and_are_named(tmp_path):
    line = json.loads(block((LIQ, fill("A", "Open Short", True, newKey={"a": [1]}))))
    parts, reading = read(tmp_path, json.dumps(line | {"extra": [1, 2]}))
    assert len(rows(parts)) == 1 and reading.notes == ["fills have a key 'newKey' that is not read"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("px", "nan"),
        ("px", "-1"),
        ("px", None),
        ("sz", "0"),
        ("sz", []),
        ("side", "C"),
        ("side", 1),
        ("time", "x"),
        ("time", -1),
        ("time", True),
        ("tid", 1.5),
        ("tid", None),
        ("crossed", "true"),
        ("coin", 5),
        ("coin", []),
        ("dir", 5),
        ("dir", None),
        ("liquidation", "yes"),
        ("liquidation", {"liquidatedUser": 5, "method": "market"}),
        ("liquidation", {"liquidatedUser": LIQ}),
    ],
)
def test_a_bad_leg_costs_a_leg(tmp_path, key, value):
    good = [(MAKER, fill("B", "Open Long", True, tid)) for tid in (5, 6)]
    parts, reading = read(tmp_path, block(good[0], (LIQ, fill("A", "Close Long", True) | {key: value}), good[1]))
    assert [int(e["id"]) for _, events in parts for e in events] == [5, 6]
    assert sum(reading.counts.values()) == 1


def test_lines_that_are_no_fills_are_refused_by_their_line(tmp_path):
    good = [block((LIQ, fill("A", "Open Short", True)), number=n) for n in range(5)]
    parts, reading = read(
        tmp_path, good[0], "{broken", "[]", "5", *good[1:], block((LIQ, fill("A", "Open Short", True)), received="yesterday", number=99)
    )
    assert len(rows(parts)) == 5
    assert (
        reading.counts == {"no JSON": 1, "no fills": 2, "local_time": 1}
        and "14:2: no JSON" in reading.shown[0]
        and "14:9: local_time" in reading.shown[3]
    )


@pytest.mark.parametrize("by", [by_block, by_fill])
def test_the_last_line_of_a_growing_file_is_waited_for(tmp_path, by):
    data = by(Ledger(1).run(20))
    cut = data[:-40]
    parts, reading = take(write(tmp_path / "21", cut))
    assert reading.counts["the last line is not finished"] == 1 and not reading.findings.refused
    whole = cut[: cut.rindex(b"\n") + 1]
    assert rows(parts) == rows(take(write(tmp_path / "22", whole))[0])
    assert not take(write(tmp_path / "23", data[:-1]))[1].counts["the last line is not finished"]  # it lacks its newline only


# ---- whole markets


def told(truth, kinds):
    """What the market knows of itself, in the order-free form of `found`."""
    out = Counter({(TRADE, coin, side, float(px), float(sz), tid, ms): 1 for coin, side, px, sz, tid, ms in truth.trades})
    for kind, forced in kinds:
        for (_, _, coin, side), (qty, notional) in forced.items():
            out[kind, coin, side, round(float(qty), 9), round(float(notional), 9)] += 1
    return out


def found(parts):
    out = Counter()
    for coin, events in parts:
        for e in events:
            kind = int(e["kind"])
            out[
                (TRADE, coin, int(e["side"]), float(e["price"]), float(e["qty"]), int(e["id"]), int(e["ts_event"]) // 1_000_000)
                if kind == TRADE
                else (kind, coin, int(e["side"]), round(float(e["qty"]), 9), round(float(e["aux_price"]), 9))
            ] += 1
            assert kind == TRADE or e["price"] == pytest.approx(e["aux_price"] / e["qty"], rel=1e-12)
    return out


@pytest.mark.parametrize("by", [by_block, by_fill])
@pytest.mark.parametrize("name", ["21.lz4", "21"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_truth_of_a_two_sided_market_is_found(tmp_path, by, name, seed):
    ledger = Ledger(seed).run(400)
    truth = ledger.truth
    path = write(tmp_path / "node_fills" / "hourly" / "20251010" / name, by(ledger))
    assert formats.sniff(path) == "hyperliquid_fills" and formats.files_of(tmp_path) == [path]
    parts, reading = take(path)
    assert found(parts) == told(
        truth, [(LIQUIDATION, truth.liquidations), (BACKSTOP, truth.backstops), (int(lc.Kind.DELEVERAGE), truth.deleveragings)]
    )
    assert min(len(truth.liquidations), len(truth.backstops), len(truth.deleveragings), truth.spot_fills) > 20
    assert reading.counts["fills of spot: no perpetuals"] == truth.spot_fills and not reading.findings.refused
    times = {block.ms * 1_000_000: block.received for block in ledger.blocks}
    for _, events in parts:
        for e in events:
            recv = times[int(e["ts_event"])]
            assert e["ts_recv"] == (e["ts_event"] + 50_000_000 if by is by_fill else round(recv.timestamp() * 1e6) * 1000 + 789)
    assert found(take(path, formats.Options())[0]) == told(truth, [(LIQUIDATION, truth.liquidations), (int(lc.Kind.DELEVERAGE), truth.deleveragings)])


def test_the_second_in_which_a_market_breaks(tmp_path):
    """As of 2025-10-10 21:16:04.831874: 11,279 liquidations and 11,279 deleveragings in one block, of 10 MB."""
    legs = []
    for n in range(11_279):
        user, winner = f"0x{n:040x}", f"0x{n + (1 << 80):040x}"
        legs += [
            [user, fill("A", "Close Long", True, n, sz="0.001", method="backstop", user=user)],
            [winner, fill("B", "Auto-Deleveraging", False, n, sz="0.001", method="backstop", user=user)],
        ]
    line = block(*legs)
    assert len(line) > 5_000_000
    parts, _ = read(tmp_path, block((LIQ, fill("A", "Open Short", True)), number=1), line, name="21.lz4")
    assert Counter(row[0] for row in rows(parts)) == {TRADE: 1, int(lc.Kind.DELEVERAGE): 11_279, BACKSTOP: 11_279}
    assert sum(row[5] for row in rows(parts) if row[0] == lc.Kind.DELEVERAGE) == pytest.approx(11_279 * 64.142)


def test_both_generations_of_one_market_differ_in_receipt_only(tmp_path):
    ledger = Ledger(5).run(200)
    a, b = (take(write(tmp_path / name, by(ledger)))[0] for name, by in (("1", by_block), ("2", by_fill)))
    assert found(a) == found(b)


def test_an_archive_that_is_cut_is_named(tmp_path):
    path = write(tmp_path / "21.lz4", by_block(Ledger(1).run(2000)))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"21\.lz4: "):
        take(path)


def test_two_frames_in_one_file_are_read_as_one(tmp_path):
    lines = by_block(Ledger(1).run(60)).splitlines(keepends=True)
    parts = [write(tmp_path / f"{n}.lz4", b"".join(some)).read_bytes() for n, some in enumerate((lines[:25], lines[25:]))]
    (tmp_path / "3.lz4").write_bytes(b"".join(parts))
    assert rows(take(tmp_path / "3.lz4")[0]) == rows(take(write(tmp_path / "4", b"".join(lines)))[0])


@pytest.mark.parametrize("hour", ["10:00:00", "18:00:00"])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_time_that_is_wrong_costs_its_line(tmp_path, hour, at):
    times = [f"2026-07-15T14:00:0{n}.5" for n in range(5)]
    if at == 4 and hour == "18:00:00" or at == 0 and hour == "10:00:00":
        pytest.skip("nothing contradicts it: the market may have rested")
    times[at] = f"2026-07-15T{hour}.5"
    parts, reading = read(tmp_path, *(block((LIQ, fill("A", "Open Short", True, n)), number=n, received=t) for n, t in enumerate(times)))
    assert [int(e["id"]) for _, events in parts for e in events] == [n for n in range(5) if n != at]
    assert reading.counts == {"a time far from those before and after it": 1} and f"14:{at + 1}: a time far" in reading.shown[0]


# ---- damage

MARKET = Ledger(9).run(35)  # less than the 10 s by which a line may come late, because lines are damaged in no order


def damaged(rng, line):
    """A line as bad disks, bad senders and a new version of the node make it."""
    way = rng.randrange(6)
    if way == 0:
        at = rng.randrange(len(line))
        return line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
    if way == 1:
        return line[: rng.randrange(len(line))]
    if way == 2:
        a, b = sorted((rng.randrange(len(line)), rng.randrange(len(line))))
        return line[:a] + line[b:]
    try:
        found = json.loads(line)
    except ValueError:
        return line
    odd = rng.choice([None, True, -1, 0, 1e400, "", "x", "NaN", "1e999", [], {}, [[]], 1 << 70, "9" * 400, "\ud800", {"a": 1}])
    places = list(_places(found))
    where, key = rng.choice(places)
    if way == 3:
        where[key] = odd
    elif way == 4 and isinstance(where, dict):
        del where[key]
    else:
        where[key] = [where[key], odd]
    return json.dumps(found).encode()


def _places(found):
    for key, value in found.items() if isinstance(found, dict) else enumerate(found):
        yield found, key
        if isinstance(value, dict | list):
            yield from _places(value)


def shake(tmp_path, seed, count):
    """Damaged lines behind good ones, few enough that the file is still one of this format; returns how many were used. Two times in a row that are
    wrong alike look like a jump of the clock: then the file is refused, with the line."""
    rng = random.Random(seed)
    done = jumps = 0
    for by in (by_block, by_fill):
        good = by(MARKET).splitlines()
        expected = found(take(write(tmp_path / "good", b"\n".join(good) + b"\n"))[0])
        for _ in range(count // (2 * 20)):
            bad = [damaged(rng, rng.choice(good)).replace(b"\n", b" ") for _ in range(20)]
            done += 20
            # another market, so that nothing of it can be taken for a part of the good one
            bad = [line.replace(b'"coin":"', b'"coin":"zz:').replace(b'"coin": "', b'"coin": "zz:') for line in bad]
            path = write(tmp_path / "bad", b"\n".join([*good, *bad]) + b"\n")
            try:
                parts, _ = take(path)
            except DataError as why:
                assert "the time goes back by" in str(why) and f"{path}:" in str(why), f"seed={seed}: {why}"
                jumps += 1
                continue
            mine = [(coin, events) for coin, events in parts if coin in ("BTC", "DOGE", "kPEPE", "xyz:MU")]
            missing = expected - found(mine)
            assert not missing, f"seed={seed}: {missing}"
            for _, events in parts:
                assert np.isfinite(events["price"]).all() and (events["price"] > 0).all() and (events["qty"] > 0).all()
                assert np.isin(events["side"], (1, -1)).all() and (np.diff(events["ts_recv"]) >= 0).all()
    assert jumps <= 2, f"seed={seed}"
    return done


def test_damage_costs_what_is_damaged_and_nothing_else(tmp_path):
    assert shake(tmp_path, 3, 4000) == 4000


@settings(max_examples=60)
@given(st.binary(max_size=400))
def test_rubbish_after_a_good_line_is_no_error(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("x") / "1", by_block(MARKET) + data)
    assert len(take(path)[0]) > 0


@pytest.mark.campaign
def test_campaign(tmp_path):
    """Damaged lines for as long as is given."""
    seed, lines = campaigns.seed(), 0
    for _ in campaigns.cases(20.0, gate=25):
        lines += shake(tmp_path, seed + lines, 4000)
    print(f"campaign: seed={seed} damaged lines={lines}")


def test_rows_are_handed_on_before_the_file_has_been_read(tmp_path):
    lines, fills = [], 0
    for n in range(1500):
        legs = [(LIQ, fill("A", "Open Short", True, n * 200 + k)) for k in range(200)]
        lines.append(block(*legs, number=n, received=f"2026-07-15T14:{n // 60:02}:{n % 60:02}.5"))
        fills += len(legs)
    with formats.read(write(tmp_path / "21.lz4", ("\n".join(lines) + "\n").encode())) as reading:
        first = next(iter(reading))
        assert len(first[2]) and reading.findings.rows < 0.6 * fills
