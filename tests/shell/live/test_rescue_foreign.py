"""Rescue and `liqcore kill` beside positions that are not ours: nothing is placed on them or closed of them. Ours get what they always got."""

import os
import signal
import time

import pytest
from test_rescue import ETH, LOST, RUN, act, image_of, link, rest_entry
from test_watchdog import gone, live

import liqcore as lc
from desk import LONG, Desk, both
from liqshell.live import watchdog
from liqshell.live.whose import KILL
from liqshell.state.control import Control
from liqshell.state.image import IMAGE, Image
from liqshell.state.sheet import Sheet
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit.orders import order_link_id
from loopback_venue import LoopbackVenue, ok, refusal

SOL = lc.Instrument("SOLUSDT", venue="bybit", tick_size="0.01", lot_size="0.1")
EXECUTIONS = "/v5/execution/list"


@pytest.fixture
def venue():
    with LoopbackVenue() as venue:
        yield venue


@pytest.fixture
def folder(tmp_path, venue):
    Sheet(venue.url, "testnet", "fade", ("ETHUSDT",)).save(tmp_path)
    return tmp_path


def trade(venue, side, qty, name="by-hand", symbol="ETHUSDT", price=2000.0, n=0):
    venue.ask(bybit_rest.create(symbol, name, side, qty))
    venue.market(n, price)


def flat_image(folder, instrument=ETH):
    image = Image(folder / IMAGE, [instrument], RUN, 0)
    image.save(Desk(LONG, instrument, price=2000.0).engine)
    image.close()


def held(venue, folder, side):
    """Ours, as the image has it; returns (entry, quantity)."""
    entry = image_of(folder, side, "held")
    trade(venue, side, f"{entry.qty:g}", order_link_id(RUN, entry.id))
    return entry, entry.qty


def changed(venue):
    """What was asked for that can change a position or its stop."""
    return [path for _, method, path, _ in venue.requests if method == "POST" and path != "/v5/order/cancel"]


def word(side):
    return "long" if side > 0 else "short"


# ---- the image is whole ----


@both
@pytest.mark.parametrize("passed", [False, True])
@pytest.mark.parametrize("image", ["flat", "resting", "over", "of another contract"])
def test_a_position_that_no_bracket_holds_is_left_alone(venue, folder, side, passed, image):
    if image == "resting":  # an entry of ours that has not filled: cancelled, and explains nothing
        rest_entry(venue, side, order_link_id(RUN, image_of(folder, side).id))
    elif image == "over":  # a bracket that was closed before the other position began
        entry, qty = held(venue, folder, side)
        trade(venue, -side, f"{qty:g}", order_link_id(RUN, entry.id + 2))
    else:
        flat_image(folder, ETH if image == "flat" else SOL)
    trade(venue, side, "0.8")
    if passed:
        venue.market(0, 2000.0 - side * 15.0)  # beyond the sheet's distance: the venue would refuse a stop
    result = act(folder)
    assert result.clean and not changed(venue) and not result.protected
    assert venue.position() == (side * 0.8, 0.0) and result.left == [f"position ETHUSDT {word(side)} 0.8"]


@both
def test_a_foreign_position_with_a_stop_of_its_owner_is_listed_as_not_ours(venue, folder, side):
    flat_image(folder)
    venue.ask(bybit_rest.create("ETHUSDT", "by-hand", side, "0.8", stop_loss=f"{2000 - side * 50:.2f}"))
    venue.market(0, 2000.0)
    result = act(folder)
    assert result.clean and not changed(venue) and result.left == [f"position ETHUSDT {word(side)} 0.8"] and not result.protected


@both
def test_an_entry_of_ours_that_is_newer_than_the_image_is_protected(venue, folder, side):
    flat_image(folder)
    trade(venue, side, "0.5", link(1, 900))
    assert act(folder).placed and venue.position()[1] > 0.0
    venue.ask(bybit_rest.trading_stop("ETHUSDT", stop_loss="0"))
    venue.market(0, 2000.0 - side * 15.0)
    assert act(folder).closed and venue.position()[0] == 0.0


@both
@pytest.mark.parametrize("lag", [False, True])
def test_an_entry_that_was_out_and_has_filled_is_ours_though_the_executions_are_late(venue, folder, side, lag):
    entry = image_of(folder, side, "sent")
    trade(venue, side, f"{entry.qty:g}", order_link_id(RUN, entry.id))
    if lag:
        venue.fault = lambda _, path: ok(list=[], nextPageCursor="") if path == EXECUTIONS else None
    result = act(folder)
    assert result.clean and result.placed and venue.position()[1] > 0.0


@both
def test_more_than_ours_gets_the_stop_of_ours(venue, folder, side):
    entry, qty = held(venue, folder, side)
    trade(venue, side, "0.3")
    result = act(folder)
    assert result.clean and result.placed and not result.closed
    assert venue.position() == (pytest.approx(side * (qty + 0.3)), pytest.approx(entry.stop))


@both
@pytest.mark.parametrize("more", ["0.3", "same", "2"])
@pytest.mark.parametrize("answer", ["", "lost"])
def test_of_more_than_ours_only_ours_is_closed_however_often_it_is_tried(venue, folder, side, more, answer):
    _, qty = held(venue, folder, side)
    more = f"{qty:g}" if more == "same" else more
    trade(venue, side, more)
    venue.market(0, 2000.0 - side * 100.0)
    seen = []

    def lose(_, path):
        seen.append(path)
        return "lose" if path == "/v5/order/create" and seen.count(path) <= 4 * bool(answer) else None

    venue.fault = lose
    for _ in range(3):
        result = act(folder)
        assert result.clean and venue.position() == (pytest.approx(side * float(more)), 0.0)
        assert result.left == [f"position ETHUSDT {word(side)} {float(more):g}"]
    assert len([path for path in changed(venue) if "trading-stop" in path]) == 1  # of the first, while it was ours in part
    assert seen.count("/v5/order/create") == (1 if not answer else seen.count("/v5/order/create"))


@both
def test_what_is_held_on_the_other_side_of_our_bracket_is_not_ours(venue, folder, side):
    _, qty = held(venue, folder, side)
    trade(venue, -side, f"{qty + 0.4:g}")
    result = act(folder)
    assert result.clean and not changed(venue) and venue.position() == (pytest.approx(-side * 0.4), 0.0)


@both
def test_an_adopted_position_is_ours_without_any_id_of_ours(venue, folder, side):
    """Its bracket is in the image; no order of the venue's has its numbers."""
    entry = image_of(folder, side, "held")
    trade(venue, side, f"{entry.qty:g}")
    result = act(folder)
    assert result.clean and result.placed and venue.position()[1] == pytest.approx(entry.stop)
    venue.ask(bybit_rest.trading_stop("ETHUSDT", stop_loss="0"))
    trade(venue, side, "0.3", "more-by-hand")
    venue.market(0, 2000.0 - side * 100.0)
    assert act(folder).closed and venue.position() == (pytest.approx(side * 0.3), 0.0)


@both
@pytest.mark.parametrize("ours", [False, True])
def test_where_the_executions_cannot_be_read_the_image_decides(venue, folder, side, ours):
    if ours:
        held(venue, folder, side)
    else:
        flat_image(folder)
    trade(venue, side, "0.3")
    venue.fault = lambda _, path: refusal(10016) if path == EXECUTIONS else None
    result = act(folder)
    assert bool(venue.position()[1]) == ours == bool(result.placed) and not result.closed
    assert ours or ("cannot be read" in result.remains[0] and not changed(venue))


@both
@pytest.mark.parametrize("ours", ["all", "part", "entering", "image lost"])
def test_our_own_naked_position_does_not_wait_for_executions_that_are_not_answered(venue, folder, side, ours):
    if ours == "entering":
        entry = image_of(folder, side, "sent")
        trade(venue, side, f"{entry.qty:g}", order_link_id(RUN, entry.id))
    else:
        held(venue, folder, side)
    if ours == "part":
        trade(venue, side, "0.3")
    if ours == "image lost":
        (folder / IMAGE).unlink()
    venue.fault = lambda _, path: time.sleep(2.5) if path == EXECUTIONS else None
    assert act(folder).placed
    first = min(when for when, _, path, _ in venue.requests)
    placed = min(when for when, _, path, _ in venue.requests if "trading-stop" in path)
    assert placed - first < 2.0
    assert venue.position()[1] > 0.0


# ---- the image is lost or damaged ----


def damage(folder, how):
    if how == "damaged":
        image_of(folder, LONG)
        data = bytearray((folder / IMAGE).read_bytes())
        data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
        (folder / IMAGE).write_bytes(data)
    elif how == "aside":
        flat_image(folder)
        (folder / f"{IMAGE}.damaged-20260101-000000").write_bytes((folder / IMAGE).read_bytes())


@both
@pytest.mark.parametrize("image", ["lost", "damaged", "aside"])
@pytest.mark.parametrize("passed", [False, True])
def test_without_an_image_a_position_without_our_ids_gets_a_stop_and_is_never_closed(venue, folder, side, image, passed):
    damage(folder, image)
    trade(venue, side, "0.5")
    if passed:
        venue.market(0, 2000.0 - side * 15.0)
    said = []
    result = act(folder, log_line=said.append)
    assert not result.closed and venue.position()[0] == side * 0.5 and bool(venue.position()[1]) == (not passed)
    assert any("owner unknown" in line for line in result.lines()) and any("owner unknown" in line for line in said)
    assert result.clean == (not passed)


@both
@pytest.mark.parametrize("run", [RUN, LOST])
def test_without_an_image_what_our_ids_explain_is_closed_and_no_more(venue, folder, side, run):
    trade(venue, side, "0.4", "long-ago")
    trade(venue, -side, "0.4", "and-over")
    trade(venue, side, "0.5", link(1, 900, run))
    trade(venue, side, "0.3")
    venue.market(0, 2000.0 - side * 15.0)
    for _ in range(2):
        result = act(folder)
        assert result.clean and venue.position() == (pytest.approx(side * 0.3), 0.0) and result.left == [f"position ETHUSDT {word(side)} 0.3"]


@both
def test_without_an_image_a_trade_of_ours_that_was_over_is_no_evidence(venue, folder, side):
    trade(venue, side, "0.5", link(1, 900))
    trade(venue, -side, "0.5", link(3, 900))
    trade(venue, side, "0.5")
    venue.market(0, 2000.0 - side * 15.0)
    result = act(folder)
    assert not result.clean and not result.closed and venue.position() == (side * 0.5, 0.0)


@both
def test_without_an_image_what_is_left_when_ours_was_closed_gets_no_stop(venue, folder, side):
    trade(venue, side, "0.5", link(1, 900))
    trade(venue, side, "0.3")
    venue.market(0, 2000.0 - side * 15.0)
    assert act(folder).closed
    venue.market(0, 2000.0)
    assert not act(folder).placed and venue.position() == (pytest.approx(side * 0.3), 0.0)


# ---- flatten ----


@both
@pytest.mark.parametrize("ours", ["all", "part", "none", "not known"])
def test_flatten_closes_all_and_says_what_of_it_is_not_ours(venue, folder, side, ours):
    if ours in ("all", "part"):
        _, qty = held(venue, folder, side)
    elif ours == "none":
        flat_image(folder)
    if ours != "all":
        trade(venue, side, "0.3")
    result = act(folder, flatten=True)
    assert result.clean and venue.position()[0] == 0.0 and len(result.closed) == 1
    expected = {
        "all": " at market",
        "part": f"at market, of which {qty:g} ours" if ours == "part" else "",
        "none": "at market, not ours",
        "not known": "at market, owner unknown",
    }
    assert result.closed[0].endswith(expected[ours])


def test_flatten_closes_every_position_before_it_asks_whose_one_was(venue, tmp_path):
    Sheet(venue.url, "testnet", "fade", ("ETHUSDT", "SOLUSDT")).save(tmp_path)
    flat_image(tmp_path)
    trade(venue, LONG, "0.3")
    trade(venue, LONG, "10", "sol-by-hand", "SOLUSDT", 89.0, 1)
    venue.fault = lambda _, path: time.sleep(1.5) if path == EXECUTIONS else None
    result = act(tmp_path, flatten=True)
    assert result.clean and sorted(result.closed) == ["ETHUSDT long 0.3 at market, not ours", "SOLUSDT long 10 at market, not ours"]
    paths = [path for _, _, path, _ in sorted(venue.requests)]
    assert paths.index(EXECUTIONS) > len(paths) - 1 - paths[::-1].index("/v5/order/create")


def test_an_id_of_a_close_says_of_which_bracket_and_is_not_too_long(venue, folder):
    entry, qty = held(venue, folder, LONG)
    venue.market(0, 1900.0)
    act(folder)
    links = [row["orderLinkId"] for row in venue.list(EXECUTIONS, symbol="ETHUSDT")]
    (found,) = [name for name in links if name.startswith("liqcore-kill-")]
    assert len(found) <= 36 and int(KILL.fullmatch(found)[2], 16) == entry.id >> 12 & 0xFFFFFFF


# ---- the real watchdog ----


@both
def test_the_watchdog_after_a_kill_leaves_what_no_bracket_holds(venue, folder, side):
    flat_image(folder)
    trade(venue, side, "0.8")
    venue.market(0, 2000.0 - side * 15.0)
    process, pid = live(folder, 60.0, "killed")
    try:
        until = time.monotonic() + 120.0
        while Control(folder).watched_age_s > 1.0 and time.monotonic() < until:
            time.sleep(0.02)
        process.kill()
        assert gone(pid)
        text = (folder / watchdog.LOG).read_text()
        assert "rescue number 1" in text and f"not ours, left alone: position ETHUSDT {word(side)} 0.8" in text and "REMAINS" not in text
        assert venue.position() == (side * 0.8, 0.0) and not changed(venue)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if not gone(pid, 0.0):
            os.kill(pid, signal.SIGKILL)
