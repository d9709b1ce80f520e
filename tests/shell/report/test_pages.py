"""The elements and the layout of HTML pages: what is not Markup is escaped, what is missing is an error, and a page loads nothing."""

import pytest
from jinja2 import UndefinedError

from liqshell import pages
from report_page import Page

HOSTILE = '"><img src=x onerror=1>&<b>'


def test_every_element_escapes_what_it_is_given():
    made = [
        getattr(pages, name)(HOSTILE)
        for name in ("bar", "bold", "code", "empty", "folded", "muted", "part", "section", "slim", "span", "sub")
        if name not in ("folded", "part", "section")
    ]
    made += [getattr(pages, name)(HOSTILE, HOSTILE) for name in ("below", "folded", "link", "notice", "part", "section", "two")]
    made += [
        pages.lines([HOSTILE]),
        pages.paragraphs([HOSTILE]),
        pages.badges([(HOSTILE, HOSTILE)]),
        pages.key([(HOSTILE, HOSTILE)]),
        pages.signed(-1.0, HOSTILE),
        pages.span(HOSTILE, HOSTILE, HOSTILE),
        pages.section(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        pages.table([HOSTILE], [[HOSTILE]], stack=True),
        pages.maps([HOSTILE]),
        pages.heat(HOSTILE, (), ""),
    ]
    for one in made:
        page = Page(one)
        assert not page.stack and "img" not in page.tags and "onerror" not in [name for _, name, _ in page.attributes], one


def test_markup_goes_through_and_a_page_loads_nothing():
    body = pages.section("A", pages.table(("a", ">b", "~c"), [("1", pages.signed(-2.0, "2"), "x"), ("sum", "3", "")], foot=1))
    text = pages.document(
        HOSTILE,
        body,
        span=HOSTILE,
        marks=[("", HOSTILE)],
        notices=[(HOSTILE, HOSTILE)],
        verdict=HOSTILE,
        tiles=[(HOSTILE, HOSTILE, HOSTILE)],
        foot=HOSTILE,
    )
    page = Page(text)
    assert not page.stack and "img" not in page.tags and "script" not in page.tags
    assert ("span", "class", "neg") in page.attributes and ("tr", "class", "sum") in page.attributes and ("td", "class", "n") in page.attributes
    assert not [value for _, name, value in page.attributes if name in ("src", "href")]
    policy = next(value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'") and "script-src" not in policy
    assert "script-src 'unsafe-inline'" in pages.document("t", body, script=pages.script("chart.js")) and page.text.count(HOSTILE) == 10


def test_a_row_of_another_length_and_a_value_that_is_missing_are_errors():
    with pytest.raises(ValueError, match="zip"):
        pages.table(("a", "b"), [("1",)])
    with pytest.raises(UndefinedError, match="'s' is undefined"):
        pages.document("t", pages.sub("x"), "report.html")
