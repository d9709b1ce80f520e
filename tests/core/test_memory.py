"""Policies' memory returns after a restart (issue 14, section 2): also that of a user's own policy which says nothing of snapshots."""

import ast
import logging
import re

import pytest

import warm_rig
from liqshell.config.policy_loader import make_policy
from warm_rig import differing, image_of, market, session, through, write_config

BEHIND = warm_rig.POLICY[warm_rig.POLICY.index("    def snapshot") :]
# the policy of warm_rig, without snapshot() and restore(), and with what JSON does not have
PLAIN = (
    warm_rig.POLICY.replace(BEHIND, "")
    .replace('key = f"{signal.instrument} {int(signal.side)}"', "key = (signal.instrument, int(signal.side))")
    .replace(
        "self.seen, self.later, self.sums, self.default = 0, 0, {}, default",
        "self.seen, self.later, self.sums, self.default, self.phases = 0, 0, {}, default, set()",
    )
    .replace("        self.seen += 1\n", "        self.seen += 1\n        self.phases.add(int(signal.phase))\n")
)


def write_policy(folder, body):
    (folder / "mine.py").write_text(
        "import liqcore as lc\nfrom collections import deque\n\n\nclass Mine(lc.Policy):\n"
        "    def on_signal(self, signal, market):\n        return None\n" + body
    )
    return f"{folder / 'mine.py'}:Mine"


def made(rule):
    return make_policy(rule, {"": {"notional": 100.0}})


def test_a_restart_takes_up_what_a_users_policy_remembers(tmp_path):
    """Two pieces are one piece, to the bit; and the second piece would have gone another way without the memory."""
    assert "snapshot" not in PLAIN and "restore" not in PLAIN
    config = write_config(tmp_path)
    (tmp_path / "memory.py").write_text(PLAIN)
    instruments, frames = market(2.0)
    half = len(frames) // 2
    folders = [tmp_path / "runs" / name for name in ("one", "two")]
    session(config, folders[0], frames[:half], instruments)
    first = image_of(config)
    keeper = session(config, folders[1], frames[half:], instruments)
    assert keeper.begun.refused == [] and keeper.begun.learnt is not None
    whole, found = through(config, instruments, folders, stop=False), image_of(config)
    assert differing(found.engine, whole.engine.snapshot()) == []
    policy = whole.engine.policy
    known = ast.literal_eval(policy.snapshot().decode())
    assert (
        known["seen"] == policy.seen > 20
        and known["sums"] == policy.sums
        and known["phases"] == policy.phases
        and set(known) <= {"seen", "later", "sums", "phases"}
    ), "what it was made with is not kept"
    before = re.search(rb"'seen': (\d+)", first.engine)
    assert before and 0 < int(before[1]) < policy.seen


@pytest.mark.parametrize("value", ["7", "-0.1", "'text'", "None", "True", "[1, (2.5, None)]", "{1: 'a', (2, 3): {4}}", "b'x'", "10 ** 30"])
def test_plain_values_come_back_as_they_were(tmp_path, value):
    rule = write_policy(tmp_path, f"    def remember(self):\n        self.what = {value}\n")
    one, two = made(rule), made(rule)
    assert one.snapshot() == b"" and type(one).__name__ == "Mine"
    one.remember()
    two.restore(one.snapshot())
    assert two.what == one.what and type(two.what) is type(one.what) and two.snapshot() == one.snapshot()
    two.restore(b"")


def test_slots_of_a_policy_come_back_too(tmp_path):
    rule = write_policy(tmp_path, "    __slots__ = ('what', '__own')\n    def remember(self):\n        self.what, self.__own, self.other = 7, 8, 9\n")
    one, two = made(rule), made(rule)
    one.remember()
    two.restore(one.snapshot())
    assert (two.what, two._Mine__own, two.other) == (7, 8, 9)


def test_what_is_not_plain_is_said_once_by_name(tmp_path, caplog):
    one = made(write_policy(tmp_path, "    def remember(self):\n        self.last, self.count = deque([1, 2]), 3\n"))
    one.remember()
    with caplog.at_level(logging.WARNING, "liqshell.policy"):
        assert one.snapshot() == one.snapshot() == b"{'count': 3}"
    assert [record.getMessage() for record in caplog.records] == [
        "Mine.last is a deque: its content is lost at a restart. Use plain values, or define snapshot() and restore() in the policy"
    ]


@pytest.mark.parametrize("data", [b"[1]", b"{", b"\xff", b"{'a': open('x')}", b"__import__('os').getpid()"])
def test_what_is_no_memory_is_refused_and_never_run(tmp_path, data):
    one = made(write_policy(tmp_path, "    pass\n"))
    with pytest.raises(ValueError, match="Mine: not its own snapshot"):
        one.restore(data)
    assert one.snapshot() == b""


def test_a_policy_with_its_own_snapshot_is_left_alone(tmp_path):
    rule = write_policy(tmp_path, "    def snapshot(self):\n        return b'mine'\n    def restore(self, data):\n        self.got = data\n")
    one = made(rule)
    one.other = 5
    assert one.snapshot() == b"mine"
    one.restore(b"mine")
    assert one.got == b"mine"
