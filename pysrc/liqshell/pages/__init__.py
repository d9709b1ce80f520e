"""HTML pages, made by Jinja2 of the templates beside this file: one layout, one style sheet, and the elements that pages are built of.

Whatever is not Markup is escaped where it meets a template. A name that a template does not get is an error.

    table_of_nets = table(("symbol", ">net"), [("BTCUSDT", signed(12.5, "$12.50"))])
    document("Nets", section("Trades", table_of_nets, anchor="trades"), verdict="One trade gained.")
"""

from collections.abc import Callable, Iterable
from functools import partial
from importlib.resources import files
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_KINDS = {">": Markup(' class="n"'), "|": Markup(' class="t"'), "~": Markup(' class="w"')}


def _file(name: str) -> Markup:
    return Markup(files(__name__).joinpath(name).read_text("utf-8"))


_PAGES = Environment(loader=PackageLoader(__name__, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_PAGES.globals.update(pairs=partial(zip, strict=True), file=_file)
_PAGES.filters.update(count="{:,}".format, kind=lambda column: _KINDS.get(column[:1], ""), name=lambda column: column.lstrip(">|~"))
_PAGES.globals.update(vars(_PAGES.get_template("elements.html").module))


def _macro(name: str) -> Callable[..., Markup]:
    return cast(Callable[..., Markup], _PAGES.globals[name])


# the macros of elements.html, where their arguments are
badges, bar, below, bold, code, empty, figure, folded = map(_macro, ["badges", "bar", "below", "bold", "code", "empty", "figure", "folded"])
heat, key, lines, link, maps, muted, notice, paragraphs = map(_macro, ["heat", "key", "lines", "link", "maps", "muted", "notice", "paragraphs"])
part, section, signed, slim, span, sub, table, two = map(_macro, ["part", "section", "signed", "slim", "span", "sub", "table", "two"])


def script(*names: str) -> Markup:
    """The scripts of this folder, one after the other, in a scope of their own."""
    return Markup('(() => {\n"use strict";\n') + Markup().join(map(_file, names)) + Markup("})();")


def data_badge(synthetic: bool, seeds: Iterable[object]) -> tuple[str, str]:
    """The badge of the data: its kind and text. seeds: of the generators that made it, as far as the data say them."""
    shown = ", ".join(map(str, seeds))
    return ("synthetic", "SYNTHETIC MARKET" + (f", seed {shown}" if shown else "")) if synthetic else ("", "real market")


def document(
    title: str,
    body: Markup,
    template: str = "layout.html",
    *,
    span: str = "",
    marks: Iterable[tuple[str, str]] = (),
    notices: Iterable[tuple[str, str]] = (),
    verdict: str = "",
    tiles: Iterable[tuple[str, str, str]] = (),
    foot: str = "",
    script: str = "",
    **values: Any,
) -> str:
    """A whole page. span: a line below the title. marks: badges, (kind, text). notices: (label, text). tiles: (name, value, note). values: of the
    template, where it is not the layout alone."""
    return _PAGES.get_template(template).render(
        title=title, body=body, span=span, marks=marks, notices=notices, verdict=verdict, tiles=tiles, foot=foot, script=script, **values
    )
