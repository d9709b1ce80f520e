"""Rescue and `liqcore kill`: entries away, stops in force, positions closed where asked, whatever else has happened. The venue is the emulator's own
account model behind HTTP."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import liqcore as lc
from desk import LONG, NEW, SHORT, Desk, both
from liqshell.live.emergency import Rescue
from liqshell.state.control import Control, Kill
from liqshell.state.image import IMAGE, Image
from liqshell.state.sheet import Sheet
from liqshell.state.store import Store
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit.orders import order_link_id
from liqshell.venues.bybit.signing import Keys
from loopback_venue import KEY, SECRET, LoopbackVenue, refusal

ROOT = Path(__file__).parents[3]
ETH = lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.01")
RUN, LOST = "fadekz1a2b3c", "fadeaaaaaaaa"
KEYS = Keys(KEY, SECRET)


@pytest.fixture
def venue():
    with LoopbackVenue() as venue:
        yield venue


@pytest.fixture
def folder(tmp_path, venue):
    Sheet(venue.url, "testnet", "fade", ("ETHUSDT",)).save(tmp_path)
    return tmp_path


def act(folder, **options):
    return Rescue(folder, Sheet.load(folder), KEYS, **options).act()


def link(role: int, sequence: int = 1, run: str = RUN, instrument: int = 0) -> str:
    return order_link_id(run, instrument << 40 | sequence << 12 | role)


def hold(venue, side, stop="", qty="0.5"):
    """A position of 0.5 ETH at about 2000."""
    venue.ask(bybit_rest.create("ETHUSDT", link(1, 900), side, qty, stop_loss=stop))
    venue.market(0, 2000.0)
    assert venue.position()[0] == side * float(qty)


def rest_entry(venue, side, name, stop=True):
    venue.ask(
        bybit_rest.create(
            "ETHUSDT", name, side, "0.10", f"{2000 - side * 20:.2f}", post_only=True, stop_loss=f"{2000 - side * 60:.2f}" if stop else ""
        )
    )


def image_of(folder, side, stage="resting"):
    """An image whose ETH trade rests, or is held."""
    desk = Desk(side, ETH, price=2000.0)
    (entry,) = desk.liquidate()
    if stage != "sent":
        desk.order(entry.id, NEW)
    if stage == "held":
        desk.order(entry.stop_id, NEW)
        desk.fill(entry.id, entry.price, entry.qty)
    image = Image(folder / IMAGE, [ETH], RUN, 0)
    image.save(desk.engine)
    image.close()
    return entry


# ---- rescue ----


@both
def test_entries_go_and_everything_else_stays(venue, folder, side):
    entry = image_of(folder, side)
    hold(venue, side, stop=f"{2000 - side * 100:.2f}")
    ours, lost = order_link_id(RUN, entry.id), link(1, 7, LOST)
    for name in (ours, lost, "somebody-else", "fade-12"):
        rest_entry(venue, side, name)
    venue.ask(bybit_rest.create("ETHUSDT", link(3, 900), -side, "0.50", f"{2000 + side * 30:.2f}", reduce_only=True))
    venue.ask(bybit_rest.create("ETHUSDT", link(2, 900), -side, "0.50", trigger=f"{2000 - side * 50:.2f}", reduce_only=True))
    before = venue.links
    result = act(folder)
    assert before - venue.links == {ours, lost}
    assert result.clean and len(result.cancelled) == 2 and len(result.protected) == 1 and not result.placed and not result.closed
    assert sorted(result.left) == ["ETHUSDT order fade-12", "ETHUSDT order somebody-else"]
    assert venue.position() == (side * 0.5, pytest.approx(2000 - side * 100))


@both
def test_an_entry_known_from_the_image_leaves_before_anything_is_asked(venue, folder, side):
    entry = image_of(folder, side, "sent")
    rest_entry(venue, side, order_link_id(RUN, entry.id))
    assert act(folder).clean
    assert ("POST", "/v5/order/cancel") in [(method, path) for _, method, path, _ in sorted(venue.requests)[:3]]
    assert not venue.links


@both
@pytest.mark.parametrize("fills", [False, True])
def test_an_entry_that_was_on_its_way_when_the_process_died_is_waited_for(venue, tmp_path, side, fills):
    """It left the process and not yet the network: the venue knows nothing of it when it is asked, and books it a moment later."""
    Sheet(venue.url, "testnet", "fade", ("ETHUSDT",), recv_window_ms=1000).save(tmp_path)
    entry = image_of(tmp_path, side, "sent")

    def arrive():
        venue.ask(bybit_rest.create("ETHUSDT", order_link_id(RUN, entry.id), side, "0.10", f"{entry.price:.2f}", post_only=True))
        if fills:
            venue.market(0, entry.price - side)

    late = threading.Timer(0.7, arrive)
    late.start()
    result = act(tmp_path)
    late.join()
    assert result.clean and not venue.links - {"StopLoss"}
    assert len(result.cancelled) == (not fills) and (venue.position()[0], venue.position()[1] > 0.0) == (side * 0.1 * fills, fills)


def test_an_entry_that_has_ended_is_not_waited_for(venue, folder):
    entry = image_of(folder, LONG, "sent")
    rest_entry(venue, LONG, order_link_id(RUN, entry.id))
    venue.ask(bybit_rest.cancel("ETHUSDT", order_link_id(RUN, entry.id)))
    result = act(folder)
    assert result.clean and result.seconds < 3.0


@both
def test_the_stop_of_a_trade_that_is_over_is_not_that_of_another_position(venue, folder, side):
    """It may lie beyond the market of today: the venue would refuse it, and the position would be closed for nothing."""
    desk = Desk(side, ETH, price=2000.0 + side * 200.0)
    entry = desk.enter()
    desk.fill(entry.stop_id, entry.stop, entry.qty)
    image = Image(folder / IMAGE, [ETH], RUN, 0)
    image.save(desk.engine)
    image.close()
    hold(venue, side)
    result = act(folder)
    assert result.clean and result.placed and not result.closed
    assert venue.position() == (side * 0.5, pytest.approx(2000 * (1 - side * 0.005), abs=0.02))


@both
@pytest.mark.parametrize("source", ["image", "sheet"])
def test_a_missing_stop_is_placed(venue, folder, side, source):
    entry = image_of(folder, side, "held") if source == "image" else None
    hold(venue, side)
    assert venue.position()[1] == 0.0
    result = act(folder)
    expected = entry.stop if entry else 2000 * (1 - side * 0.005)
    assert result.clean and len(result.placed) == 1
    assert venue.position() == (side * 0.5, pytest.approx(expected, abs=0.02))


@both
def test_a_stop_that_the_market_has_passed_becomes_a_close(venue, folder, side):
    image_of(folder, side, "held")
    hold(venue, side)
    venue.market(0, 2000.0 - side * 100.0)
    result = act(folder)
    assert result.clean and result.closed and venue.position()[0] == 0.0


@both
def test_without_a_distance_for_stops_the_position_is_closed(venue, tmp_path, side):
    Sheet(venue.url, "testnet", "fade", ("ETHUSDT",), stop_share=0.0).save(tmp_path)
    hold(venue, side)
    result = act(tmp_path)
    assert result.clean and result.closed and venue.position()[0] == 0.0


@both
def test_flatten_closes_positions_and_then_their_targets(venue, folder, side):
    hold(venue, side, stop=f"{2000 - side * 100:.2f}")
    venue.ask(bybit_rest.create("ETHUSDT", link(3, 900), -side, "0.50", f"{2000 + side * 30:.2f}", reduce_only=True))
    rest_entry(venue, side, link(1, 901))
    venue.ask(bybit_rest.create("SOLUSDT", "mine", side, "10"))  # another contract: a person's
    venue.market(1, 89.0)
    result = act(folder, flatten=True)
    assert result.clean and venue.position()[0] == 0.0 and venue.position("SOLUSDT")[0] == side * 10.0
    assert not venue.links and result.left == [f"position SOLUSDT {'long' if side > 0 else 'short'} 10"]


def test_an_entry_that_fills_while_it_is_cancelled_gets_its_stop(venue, folder):
    rest_entry(venue, LONG, link(1, 3), stop=False)
    filled = []

    def fault(method, path):
        if path == "/v5/order/cancel" and not filled:
            filled.append(venue.market(0, 1979.0))

    venue.fault = fault
    result = act(folder)
    assert venue.position()[0] == 0.1 and venue.position()[1] > 0.0 and result.clean and result.placed


@pytest.mark.parametrize(
    "fault",
    [
        "lose",
        "down",
        refusal(10000, "Server Timeout"),
        refusal(10016, "internal"),
        (503, b"<html>", {}),
        refusal(10006, "Too many visits", **{"X-Bapi-Limit-Reset-Timestamp": "1"}),
        refusal(10018, "ip", 403),
        (200, b"{", {}),
    ],
)
@both
def test_lost_answers_and_passing_faults_change_nothing_of_the_end(venue, folder, side, fault):
    """Each path fails twice, in the way given."""
    hold(venue, side)
    rest_entry(venue, side, link(1, 5))
    seen: dict[str, int] = {}

    def fail(method, path):
        seen[path] = seen.get(path, 0) + 1
        return fault if seen[path] <= 2 else None

    venue.fault = fail
    result = act(folder)
    assert result.clean and not venue.links - {"StopLoss"}
    assert venue.position() == (side * 0.5, pytest.approx(2000 * (1 - side * 0.005), abs=0.02))


def test_a_clock_that_is_off_is_measured_once(venue, folder):
    venue.clock_ahead_ms = 20_000
    rest_entry(venue, LONG, link(1, 5))
    assert act(folder).clean and not venue.links


def test_many_entries_stay_below_the_rate(venue, folder):
    for n in range(14):
        rest_entry(venue, LONG, link(1, n + 1))
    result = act(folder)
    times = [when for when, _, path, _ in venue.requests if path == "/v5/order/cancel"]
    assert result.clean and len(result.cancelled) == 14 and not venue.links
    assert max(sum(t <= other < t + 1.0 for other in times) for t in times) <= 17  # a burst of 8, then 8 a second


def test_a_venue_that_cannot_be_reached_is_said_so(folder, venue):
    venue.fault = lambda *_: "down"
    result = act(folder, within_s=2.0)
    assert not result.clean and not result.reached and "did not answer" in result.remains[0]
    assert Rescue(folder, Sheet("http://127.0.0.1:9", "testnet", "fade", ("ETHUSDT",)), KEYS).act().remains


def test_half_a_list_is_not_believed(venue, folder):
    rest_entry(venue, LONG, link(1, 5))
    venue.fault = lambda method, path: refusal(10016) if path == "/v5/position/list" else None
    result = act(folder, within_s=3.0)
    assert not result.clean and "did not answer" in result.remains[0]


def test_a_refused_key_is_final_and_said(venue, folder):
    result = Rescue(folder, Sheet.load(folder), Keys(KEY, SECRET[::-1])).act()
    assert not result.reached and "refuses our key" in result.remains[0] and len(venue.requests) <= 4


def test_a_damaged_image_does_not_stop_a_rescue(venue, folder):
    image_of(folder, LONG)
    data = bytearray((folder / IMAGE).read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (folder / IMAGE).write_bytes(data)
    rest_entry(venue, LONG, link(1, 5))
    assert act(folder).clean and not venue.links
    (folder / IMAGE).write_bytes(b"nothing")
    said = []
    assert act(folder, log_line=said.append).clean and "truncated" in said[0]


# ---- the command ----


def command(*arguments, cwd, stdin="", **environment):
    env = {key: value for key, value in os.environ.items() if not key.startswith("LIQCORE_API")}
    return subprocess.run(
        [sys.executable, "-m", "liqshell", "kill", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=env | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}", "LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": SECRET} | environment,
    )


def within_s(bound):
    """The bound, where LIQCORE_QUIET says that the machine has a core free for us; thirty times as much where nobody knows how busy it is."""
    return bound if os.environ.get("LIQCORE_QUIET") else 30.0 * bound


def canaries(*texts):
    for text in texts:
        assert KEY not in text and SECRET not in text


def no_canary_in(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert KEY.encode() not in data and SECRET.encode() not in data, path


def test_the_command_kills_notes_it_and_stays_until_lifted(venue, folder):
    Store(folder).close()
    rest_entry(venue, LONG, link(1, 5))
    hold(venue, LONG)
    done = command("--state", folder, "--reason", "looks wrong", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed" in done.stdout and "cancelled: ETHUSDT entry" in done.stdout and "stop placed" in done.stdout
    assert "No live run has used" in done.stderr  # from the wrong folder, a relative [run] out leads elsewhere: what was meant goes on
    assert venue.position()[1] > 0.0
    control = Control(folder)
    assert (control.kill, control.reason) == (Kill.KILLED, "looks wrong") and control.killed_at_ns and control.rescued_at_ns
    store = Store(folder)
    unknown, noted = store.rows("kills")  # this folder was used, and has no control page: nobody knows whether it was killed
    assert (
        "damaged: control: missing" in unknown["reason"]
        and (noted["action"], noted["reason"]) == ("kill", "looks wrong")
        and "stop placed" in noted["done"]
    )
    store.close()
    assert command("--state", folder, "--lift", cwd=folder, stdin="yes\n").returncode == 1 and control.kill == Kill.KILLED
    assert command("--state", folder, "--lift", cwd=folder, stdin=f"{folder.name}\n").returncode == 0 and control.kill == Kill.NO
    assert "No live run has used" not in command("--state", folder, cwd=folder).stderr
    canaries(done.stdout, done.stderr)
    no_canary_in(folder)


def test_the_command_works_from_a_configuration_that_never_ran(venue, tmp_path):
    (tmp_path / "my.toml").write_text(
        f'[run]\nname = "fade"\n[feed]\nrest = "{venue.url}"\nws = "ws://127.0.0.1:9"\nsymbols = ["ETHUSDT"]\n[policy]\npreset = "fade"\n'
    )
    rest_entry(venue, SHORT, link(1, 5))
    hold(venue, SHORT)
    done = command("my.toml", "--flatten", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert venue.position()[0] == 0.0 and Control(tmp_path / "runs" / "state" / "fade").kill == Kill.FLATTEN


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["down", "keys", "page", "config"])
def test_whatever_fails_the_switch_is_set_and_no_secret_is_shown(venue, folder, trouble):
    environment = {}
    if trouble == "down":
        Sheet("http://127.0.0.1:9", "testnet", "fade", ("ETHUSDT",)).save(folder)
    elif trouble == "keys":
        environment = {"LIQCORE_API_SECRET": "with a space in " + SECRET}
    elif trouble == "page":
        (folder / "control").write_bytes(b"?" * 4096)
    else:
        (folder / "rescue.json").write_text("{}")
    done = command("--state", folder, cwd=folder, **environment)
    assert done.returncode == (0 if trouble == "page" else 1), done.stdout + done.stderr
    assert "Traceback" not in done.stderr and Control(folder).kill == Kill.KILLED and (folder / "KILL").exists()
    assert ("a part of the kill switch is damaged: control: not a control page" in done.stderr) == (trouble == "page")
    canaries(done.stdout, done.stderr)
    no_canary_in(folder)


def test_a_folder_that_cannot_be_written_keeps_nobody_from_the_venue(venue, tmp_path):
    """Another user's, or a disk that is read-only: it ended in a traceback, with the entries at work."""
    (tmp_path / "runs").write_text("a file where a folder should be")
    (tmp_path / "my.toml").write_text(
        f'[run]\nname = "fade"\n[feed]\nrest = "{venue.url}"\nws = "ws://127.0.0.1:9"\nsymbols = ["ETHUSDT"]\n[policy]\npreset = "fade"\n'
    )
    rest_entry(venue, LONG, link(1, 5))
    done = command("my.toml", cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "THE SWITCH IS NOT SET" in done.stderr, done.stderr
    assert not venue.links and "cancelled: ETHUSDT entry" in done.stdout


def test_the_only_state_folder_is_found_and_two_are_not_guessed(venue, tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / "runs" / "state" / name
        Control(folder).close()
        Sheet(venue.url, "testnet", name, ("ETHUSDT",)).save(folder)
        done = command(cwd=tmp_path)
        assert done.returncode == (0 if name == "one" else 2), done.stderr
    assert "one" in done.stderr and "two" in done.stderr


# ---- beside a process that is stuck ----

STUCK = """
import sys, time
from liqshell.state.control import Control
from liqshell.state.lock import Lock
lock, control = Lock(sys.argv[1]), Control(sys.argv[1])
control.begin("fadekz1a2b3c"); control.running()
print("ready", flush=True)
time.sleep(60)              # the loop is blocked
"""


def test_cancels_are_out_within_a_second_beside_a_stuck_process(venue, folder):
    rest_entry(venue, LONG, link(1, 5))
    stuck = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(folder)], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}"}
    )
    try:
        assert stuck.stdout.readline() == "ready\n"
        control = Control(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "liqshell", "kill", "--state", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'pysrc'}", "LIQCORE_API_KEY": KEY, "LIQCORE_API_SECRET": SECRET},
        )
        until = time.monotonic() + 120.0
        while control.kill == Kill.NO and time.monotonic() < until:
            time.sleep(0.001)
        set_at = time.monotonic() - venue.begun
        assert process.wait(120) == 0
        process.stdout.close()
        cancelled_at = min(when for when, _, path, _ in venue.requests if path == "/v5/order/cancel")
        assert not venue.links
        # the requirement: within a second. Importing what is needed is in it
        assert cancelled_at - set_at < within_s(1.0), f"{cancelled_at - set_at:.2f} s"
    finally:
        stuck.send_signal(signal.SIGKILL)
        stuck.wait()
        stuck.stdout.close()
