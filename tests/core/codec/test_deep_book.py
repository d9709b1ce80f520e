"""The quote that a deeper book makes: what cannot be is refused before it changes the book."""

import json

import pytest

from liqshell.formats.deep_book import DeepBook

MS = 1_722_816_000_000


def frame(kind="snapshot", u=7, bid=("5", "1"), ask=("6", "1")) -> bytes:
    data = {"s": "X", "b": [list(bid)], "a": [list(ask)], "u": u, "seq": 1}
    return json.dumps({"topic": "orderbook.500.X", "type": kind, "ts": MS, "data": data, "cts": MS}).encode()


def test_a_snapshot_and_the_delta_after_it():
    book = DeepBook()
    first = book.event(frame(), MS * 1_000_000, 0)
    assert first[2:7] == (5.0, 1.0, 6.0, 1.0, 7)
    later = book.event(frame("delta", 8, bid=("5.5", "2")), MS * 1_000_000, 0)
    assert later[2:7] == (5.5, 2.0, 6.0, 1.0, 8) and not book.lost


@pytest.mark.parametrize("wrong", [{"u": 10**19}, {"u": -1}, {"u": 2**62}, {"bid": ("1e999", "1")}, {"ask": ("6", "1e999")}, {"bid": ("0", "1")}])
def test_numbers_that_cannot_be_are_no_book(wrong):
    book = DeepBook()
    with pytest.raises(ValueError, match="no book"):
        book.event(frame(**wrong), MS * 1_000_000, 0)
    assert not book.known and book.event(frame(), MS * 1_000_000, 0) is not None
