"""The state image: what was saved is what comes back, whatever happened to the process or the file in between."""

import errno
import os
import random
import shutil
import signal
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import liqcore as lc
from desk import CANCELLED, ETH, LONG, NEW, REJECTED, SHORT, T0, Desk, S, both
from liqshell.errors import DataError
from liqshell.state.image import Image
from liqshell.state.image_file import checksum, inspect

pytestmark = pytest.mark.core

SOL = lc.Instrument("SOLUSDT", venue="bybit", tick_size="0.001", lot_size="0.1")
BTC = lc.Instrument("BTCUSDT", venue="bybit", tick_size="0.1", lot_size="0.001")
PAGE = 4096
RUN = "fadekz1a2b3c4"


def beliefs(engine: lc.Engine) -> bytes:
    """Everything of an engine that an image keeps, bit for bit."""
    return engine.trade_snapshot()


def restored(folder, instruments=(ETH,)) -> lc.Engine:
    image = Image(folder / "image.bin", instruments, "other", 0)
    engine = lc.Engine(instruments, equity=1.0)
    image.restore(engine)
    image.close()
    return engine


def stages(side: int):
    """A trade at every stage of its life, with the name of the stage."""
    desk = Desk(side)
    yield "flat", desk
    (entry,) = desk.liquidate()
    yield "sent", desk
    desk.order(entry.id, NEW)
    yield "resting", desk
    desk.fill(entry.id, entry.price, entry.qty / 2)
    yield "partly filled", desk
    desk.order(entry.stop_id, NEW)
    yield "protected", desk
    desk.fill(entry.id, entry.price, entry.qty / 2)
    yield "filled", desk
    desk.engine.on_control(desk.now, lc.Control.CONTROL_HALT)
    yield "halted", desk
    desk.wait(1801.0)
    yield "leaving", desk


@both
def test_every_stage_of_a_trade_comes_back_bit_for_bit_and_goes_on_the_same(tmp_path, side):
    seen = set()
    for name, desk in stages(side):
        folder = tmp_path / name
        image = Image(folder / "image.bin", [ETH], RUN, T0)
        image.save(desk.engine, 0)
        image.close()
        engine = restored(folder)
        assert beliefs(engine) == beliefs(desk.engine), name
        assert engine.bracket(0) == desk.engine.bracket(0)
        seen.add(desk.state)
        if name == "leaving":  # both close in the same way
            close = desk.requests[-1]
            for one in (engine, desk.engine):
                one.on_fill(desk.now + 1, desk.now + 1, close.id, 2400.0, close.qty, 1.0, 999)
            assert beliefs(engine) == beliefs(desk.engine)
            assert engine.account.position(0)["qty"] == 0.0
    assert len(seen) >= 4


@both
def test_an_image_describes_its_trades_in_exact_text(tmp_path, side):
    desk = Desk(side)
    entry = desk.enter()
    image = Image(tmp_path / "image.bin", [ETH], RUN, T0)
    image.save(desk.engine)
    (trade,) = inspect(tmp_path / "image.bin")["trades"]
    assert (trade["symbol"], trade["state"], trade["side"]) == ("ETHUSDT", "holding", side)
    assert float(trade["position"]) == pytest.approx(entry.qty) and float(trade["net"]) == pytest.approx(side * entry.qty)
    assert float(trade["stop_price"]) == pytest.approx(entry.stop)
    assert trade["stop_loss"] == 0.0025
    orders = {order["role"]: order for order in trade["orders"]}
    assert orders["entry"]["id"] == entry.id and orders["entry"]["status"] == "ended" and orders["stop"]["status"] == "live"
    assert orders["entry"]["price"] == ETH.price_text(ETH.ticks(entry.price)) and orders["target"]["status"] == "sent"


def test_a_new_image_is_fresh_and_keeps_its_prefix(tmp_path):
    image = Image(tmp_path / "image.bin", [ETH, SOL], RUN, 123)
    assert image.restore(lc.Engine([ETH, SOL])) == {
        "fresh": True,
        "run": RUN,
        "now_ns": 0,
        "open": [],
        "restored": [],
        "kept": [],
        "halted": lc.Reason.OK,
        "torn": [],
    }
    image.close()
    image = Image(tmp_path / "image.bin", [ETH, SOL], "other", 456)
    assert (image.run, image.created_ns) == (RUN, 123)
    assert oct(image.path.stat().st_mode & 0o777) == "0o600"
    with pytest.raises(ValueError, match="other instruments"):
        image.save(lc.Engine([ETH]))
    image.close()
    with pytest.raises(ValueError, match="closed"):
        image.save(lc.Engine([ETH, SOL]))


def test_the_guard_keeps_what_it_is_given(tmp_path):
    image = Image(tmp_path / "image.bin", [ETH], RUN, 0)
    assert image.guard == b""
    for data in (b"first", b"", b"x" * 262144, b"last"):
        image.save_guard(data)
        assert image.guard == data
    with pytest.raises(ValueError, match="at most 262144"):
        image.save_guard(b"x" * 262145)
    image.close()
    assert Image(tmp_path / "image.bin", [ETH], RUN, 0).guard == b"last"


def test_the_snapshot_of_as_many_contracts_as_can_be_configured_fits_the_state_image(tmp_path):
    many = [lc.Instrument(f"1000000SYMBOL{n}USDT", venue="bybit") for n in range(1024)]
    image = Image(tmp_path / "image.bin", many[:1], "fade00000001", 0)
    image.save_guard(lc.Guard(many).snapshot())
    assert image.guard == lc.Guard(many).snapshot()


# ---- killed processes ----


def write_until_killed(folder, progress) -> None:
    """Fills of one lot each, saved one by one; `progress` counts the saves that have returned."""
    desk = Desk(LONG, notional=50_000.0)
    (entry,) = desk.liquidate()
    image = Image(folder / "image.bin", [ETH], RUN, 0)
    image.save(desk.engine)
    engine, now = desk.engine, desk.now
    for k in range(1, 1_000_000):
        now += 1
        engine.on_fill(now, now, entry.id, entry.price, 0.001, 0.0, k, True)
        engine.drain()
        image.save(engine, 0)
        progress[0:8] = struct.pack("=q", k)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork beside other threads: this child only counts
@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_the_last_save_or_the_one_in_hand(tmp_path):
    import mmap

    rng, most = random.Random(4), 0
    for _ in range(100):
        shutil.rmtree(tmp_path / "s", ignore_errors=True)
        progress = mmap.mmap(-1, 8)
        child = os.fork()
        if child == 0:
            try:
                write_until_killed(tmp_path / "s", progress)
            finally:
                os._exit(1)
        until = time.monotonic() + 120.0
        while progress[0:8] == bytes(8) and time.monotonic() < until:
            time.sleep(0.0002)
        time.sleep(rng.uniform(0.0, 0.004))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        done = struct.unpack("=q", progress[0:8])[0]
        engine = restored(tmp_path / "s")
        bracket = engine.bracket(0)
        lots = round(bracket["held"] / 0.001)
        assert done > 0 and lots in (done, done + 1)
        most = max(most, done)
        # bracket and account are of the same moment, and every execution is remembered: reported again, it is not counted again
        assert round(engine.account.position(0)["qty"] / 0.001) == lots
        now = T0 + 3600 * S
        entry = inspect(tmp_path / "s" / "image.bin")["trades"][0]["orders"][0]["id"]
        for execution in range(max(1, lots - 250), lots + 1):
            engine.on_fill(now, now, entry, 2500.0, 0.001, 0.0, execution, True)
        assert round(engine.bracket(0)["held"] / 0.001) == lots
    assert most > 20


# ---- torn and changed files ----


@pytest.fixture(scope="module")
def writes(tmp_path_factory):
    """The file after each of a few saves of a trade's life (ETH long beside a flat SOL), and what was believed then."""
    folder = tmp_path_factory.mktemp("writes")
    out = []
    for side in (LONG, SHORT):
        image = Image(folder / f"image{side}.bin", [ETH], RUN, 0)
        for _, desk in stages(side):
            image.save(desk.engine, 0)
            out.append((image.path.read_bytes(), beliefs(desk.engine), side))
        image.close()
    return out


def come_back(folder, data: bytes) -> bytes:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "image.bin").write_bytes(data)
    return beliefs(restored(folder))


def parts(believed: bytes) -> list[bytes]:
    from liqcore.snapshot import unpack

    return unpack(believed[: believed.index(b"\n") + 1], believed, "trade")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_write_torn_in_any_order_is_the_write_before_or_itself(tmp_path, writes, data):
    """Words of one save reach the file in any order and any number of them: each record is then as before or as after, never a mixture."""
    n = data.draw(st.integers(1, len(writes) - 1).filter(lambda n: writes[n][2] == writes[n - 1][2]))
    (before, old, _), (after, new, _) = writes[n - 1], writes[n]
    changed = [k for k in range(0, len(before), 8) if before[k : k + 8] != after[k : k + 8]]
    kept = data.draw(st.sets(st.sampled_from(changed)) | st.integers(0, len(changed)).map(lambda m: set(changed[:m])))
    torn = bytearray(before)
    for k in kept:
        torn[k : k + 8] = after[k : k + 8]
    for mine, was, now in zip(parts(come_back(tmp_path / "t", bytes(torn))), parts(old), parts(new), strict=True):
        assert mine in (was, now)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_refused_or_harmless(tmp_path, writes, data):
    n = data.draw(st.integers(1, len(writes) - 1).filter(lambda n: writes[n][2] == writes[n - 1][2]))
    whole = bytearray(writes[n][0])
    used = [k for k, byte in enumerate(whole) if byte] if data.draw(st.booleans()) else range(len(whole))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from(used))
        match data.draw(st.sampled_from(["flip", "zero", "copy", "cut"])):
            case "flip":
                whole[at] ^= 1 << data.draw(st.integers(0, 7))
            case "zero":
                whole[at : at + 512] = bytes(len(whole[at : at + 512]))
            case "copy":  # a page at the place of another
                page, other = at // PAGE * PAGE, data.draw(st.integers(0, len(whole) // PAGE - 1)) * PAGE
                whole[page : page + PAGE] = whole[other : other + PAGE]
            case "cut":
                del whole[at:]
                break
    folder = tmp_path / "d"
    try:
        found = come_back(folder, bytes(whole))
    except DataError as why:
        assert "image.bin" in str(why)
        files = [path.name for path in folder.iterdir()]
        assert files == ["image.bin"] and "version" in str(why) or len(files) == 1 and files[0].startswith("image.bin.damaged-")
        with pytest.raises(DataError):  # and it stays refused
            restored(folder)
    else:
        for mine, was, now in zip(parts(found), parts(writes[n - 1][1]), parts(writes[n][1]), strict=True):
            assert mine in (was, now)


def test_one_flipped_bit_never_passes_the_checksum():
    data = bytes(random.Random(1).randbytes(8 * 37))
    good = checksum(data, 7)
    assert good != checksum(data, 8)
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        assert checksum(bytes(changed), 7) != good


def test_another_version_is_refused_and_left_where_it_is(tmp_path, writes, monkeypatch):
    whole = bytearray(writes[3][0])
    (tmp_path / "image.bin").write_bytes(whole)
    struct.pack_into("=q", whole, 16, 999)  # abi; the head's own checksum must fit
    magic = int.from_bytes(whole[:8], "little")
    size = 8 * 6 + 32
    struct.pack_into("=Q", whole, size, checksum(bytes(whole[:size]), magic))
    (tmp_path / "image.bin").write_bytes(whole)
    with pytest.raises(DataError, match="ABI 999.*Finish open trades with the version that wrote it"):
        restored(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["image.bin"]


def test_a_full_disk_is_found_at_the_start(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match="No space left on device; expected .*room for"):
        Image(tmp_path / "image.bin", [ETH], RUN, 0)
    assert not list(tmp_path.iterdir())


# ---- other instruments ----


def saved(folder, instruments, side=LONG, open_=True):
    """An image in which ETH, at its place, has an open trade (or had one)."""
    desk = Desk(side)
    if open_:
        desk.enter()
    else:
        desk.liquidate()
        desk.order(desk.requests[0].id, REJECTED, 1)
    assert desk.engine.instruments == (ETH,)
    image = Image(folder / "image.bin", [ETH], RUN, 7)
    image.save(desk.engine)
    image.close()
    return desk


@both
def test_one_more_symbol_restores_the_others(tmp_path, side):
    desk = saved(tmp_path, [ETH], side)
    image = Image(tmp_path / "image.bin", [ETH, SOL, BTC], "other", 0)
    engine = lc.Engine([ETH, SOL, BTC])
    found = image.restore(engine)
    assert found["open"] == ["ETHUSDT"] and found["restored"] == ["ETHUSDT"] and image.run == RUN
    assert engine.bracket(0) == desk.engine.bracket(0) and engine.bracket(1)["state"] == lc.BracketState.BRACKET_FLAT
    # and back again: what is no longer configured is kept
    image.save(engine)
    image.close()
    image = Image(tmp_path / "image.bin", [ETH, BTC], "other", 0)
    engine = lc.Engine([ETH, BTC])
    assert image.restore(engine)["kept"] == ["SOLUSDT"]
    assert engine.bracket(0) == desk.engine.bracket(0)


def earned(folder, side):
    """An image in which ETH has had a trade that cost something; the equity after it."""
    desk = Desk(side)
    entry = desk.enter()
    desk.fill(entry.stop_id, entry.stop, entry.qty, fee=1.0)
    desk.order(next(r.id for r in desk.requests if r.role == lc.Role.ROLE_TARGET), CANCELLED, 1)
    assert desk.state == lc.BracketState.BRACKET_FLAT and desk.engine.account.equity < 99_999.0
    image = Image(folder / "image.bin", [ETH], RUN, 7)
    image.save(desk.engine)
    image.close()
    return desk.engine.account.equity


@both
def test_what_a_contract_earned_stays_in_the_equity_once_also_when_it_is_taken_out(tmp_path, side):
    equity = earned(tmp_path, side)
    for instruments in ([SOL], [SOL], [SOL], [SOL, BTC], [SOL, ETH], [SOL, ETH], [SOL]):
        image, engine = Image(tmp_path / "image.bin", instruments, "other", 0), lc.Engine(instruments)
        image.restore(engine)
        assert engine.account.equity == pytest.approx(equity, abs=1e-9)
        image.save(engine)
        image.close()


@both
@pytest.mark.parametrize("equity", [500.0, 1_000_000.0])
def test_money_that_came_or_went_between_two_runs_counts(tmp_path, side, equity):
    """Limits are shares of the equity: of what is there, not of what was there. What was lost today stays the same share."""
    before = earned(tmp_path, side)
    image, engine = Image(tmp_path / "image.bin", [ETH], "other", 0), lc.Engine([ETH])
    image.restore(engine, equity)
    account = engine.account
    assert account.equity == pytest.approx(equity) and account.day_start_equity == pytest.approx(100_000.0 * equity / before)
    assert account.week_start_equity == pytest.approx(100_000.0 * equity / before)
    with pytest.raises(ValueError, match="equity: expected"):
        image.restore(lc.Engine([ETH]), 0.0)


@both
def test_an_open_trade_keeps_the_equity_that_was_believed(tmp_path, side):
    """What happened to it meanwhile is still to be reported: it would count twice."""
    desk = saved(tmp_path, [ETH], side)
    engine = lc.Engine([ETH])
    Image(tmp_path / "image.bin", [ETH], "other", 0).restore(engine, 123.0)
    assert engine.account.equity == desk.engine.account.equity


@pytest.mark.parametrize(
    ("instruments", "why"),
    [
        ([SOL], "open trade and is not configured"),
        ([SOL, ETH], "as number 0 of .* is now number 1"),
        ([lc.Instrument("ETHUSDT", tick_size="0.05", lot_size="0.001")], "the venue has since changed its tick"),
    ],
)
def test_an_open_trade_that_cannot_be_carried_over_refuses_the_start_and_changes_nothing(tmp_path, instruments, why):
    saved(tmp_path, [ETH])
    before = (tmp_path / "image.bin").read_bytes()
    with pytest.raises(DataError, match=why):
        Image(tmp_path / "image.bin", instruments, "other", 0)
    assert (tmp_path / "image.bin").read_bytes() == before


def test_an_order_id_is_never_used_twice_whatever_the_order_of_the_symbols(tmp_path):
    used = saved(tmp_path, [ETH], open_=False).requests[0].id
    assert inspect(tmp_path / "image.bin")["trades"][0]["state"] == "flat"
    image = Image(tmp_path / "image.bin", [SOL, ETH], "other", 0)
    engine = lc.Engine([SOL, ETH])
    image.restore(engine)
    sequence = used >> 12 & 0xFFFFFFF
    assert sequence >= 1
    image.save(engine)
    assert all(trade["sequence"] >= sequence for trade in inspect(image.path)["trades"])
