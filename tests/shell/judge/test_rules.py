"""The judge that is plain code: which way a title is read."""

import pytest

from liqshell.judge.rules import event_of, grade
from liqshell.news.items import SEARCH, Item


def item(title: str, host: str = "a.com") -> Item:
    return Item(10**18, SEARCH, host, title)


@pytest.mark.parametrize(
    "title, way",
    [
        ("Binance lists BTC pair", 1),
        ("FOO ETF approved", 1),
        ("FOO ETF approval nears", 1),
        ("FOO partnership with BigBank", 1),
        ("FOO integrates with Bar", 1),
        ("FOO hacked for $100M", -1),
        ("Exchange will delist FOO", -1),
        ("China bans FOO", -1),
        ("FOO outage spreads", -1),
        ("FOO unlocks $50M", -1),
        ("FOO exploiter moves funds", -1),
        ("Bridge drained", -1),
        ("SEC charges FOO", -1),
        ("FOO token unlock tomorrow", -1),
        ("FOO ETF approval delayed", 0),
        ("FOO partnership cancelled", 0),
        ("FOO outage resolved", 0),
        ("FOO ban lifted", 0),
        ("Withdrawals restored after outage", 0),
        ("FOO ETF rejected", 0),
        ("FOO denies hack", 0),
        ("FOO lawsuit charges overturned", 0),
        ("Hackathon of FOO begins", 0),
        ("Partnerless chain", 0),
        ("Breachless year", 0),
        ("FOO hackathons grow", 0),
    ],
)
def test_words_are_whole_and_what_undoes_them_counts(title, way):
    assert event_of(item(title))[1] == way


def test_what_is_undone_neither_supports_nor_contradicts():
    undone = [item("FOO ETF approval delayed", "a.com"), item("FOO partnership cancelled", "b.com"), item("FOO outage resolved", "c.com")]
    assert grade("LONG", undone) == grade("SHORT", undone) == ("none", "none", [])
    assert grade("LONG", [*undone, item("FOO hacked")]) == ("contradicts", "hack", [4])
