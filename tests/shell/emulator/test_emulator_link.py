"""Distance to the emulated venue."""

from liqshell.emulator.api.network_link import RETRANSMIT_S, Link

MS = 1_000_000


def wall(seconds: float) -> int:
    return int(seconds * 1e9)


def test_no_distance_is_no_delay() -> None:
    assert [Link(0.0, 0.0, wall, "x").due(now) for now in (5, 7)] == [5, 7]


def test_what_was_lost_comes_later_and_holds_back_what_follows() -> None:
    link = Link(0.05, 0.01, wall, "seed")
    sent = [k * 10 * MS for k in range(2_000)]
    due = [link.due(now) for now in sent]
    waits = [d - s for d, s in zip(due, sent, strict=True)]
    assert due == sorted(due) and min(waits) == 50 * MS and max(waits) >= wall(RETRANSMIT_S + 0.05)
    held = sum(wait > 50 * MS for wait in waits)
    loose = Link(0.05, 0.01, wall, "seed", ordered=False)
    alone = sum(loose.due(now) - now > 50 * MS for now in sent)
    assert 5 <= alone <= 50 and held > 5 * alone  # a lost message holds some twenty others back
    assert [Link(0.05, 0.01, wall, "seed").due(0) for _ in range(2)] == [due[0]] * 2
