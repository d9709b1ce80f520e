"""RSS 2.0, RSS 1.0 and Atom, read by expat alone. A document type declaration is refused before it is processed, so no entity is expanded and no
external resource is opened."""

from __future__ import annotations

from xml.parsers import expat

DEPTH_MAX = 32
TEXT_MAX = 20_000
ENTRIES_MAX = 1_000
_BEGINS = (["rss", "channel"], ["rdf", "channel"], ["feed"])  # paths that only a feed has: a page to log in or an error is XML, too
_FIELDS = {
    "title": "title",
    "link": "link",
    "description": "description",
    "summary": "description",
    "content": "description",
    "pubdate": "date",
    "published": "date",
    "updated": "date",
    "date": "date",
}


class _Reader:
    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.is_feed = False
        self._path: list[str] = []
        self._row: dict[str, str] | None = None
        self._at = 0
        self._field = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition("}")[2].lower()
        self._path.append(local)
        self.is_feed = self.is_feed or self._path in _BEGINS
        if len(self._path) > DEPTH_MAX or len(self.rows) >= ENTRIES_MAX:
            raise ValueError("nested too deeply, or too many entries")
        if local in ("item", "entry") and self._row is None:
            self._row, self._at = {}, len(self._path)
        elif self._row is not None and len(self._path) == self._at + 1:
            field = _FIELDS.get(local, "")
            if field == "link" and attributes.get("rel", "alternate") == "alternate" and attributes.get("href"):
                self._row.setdefault("link", attributes["href"][:TEXT_MAX])
            self._field = "" if field in self._row else field

    def text(self, data: str) -> None:
        if self._row is not None and self._field and len(self._path) > self._at:
            self._row[self._field] = (self._row.get(self._field, "") + data)[:TEXT_MAX]

    def end(self, _: str) -> None:
        if self._row is not None and len(self._path) == self._at + 1:
            self._field = ""
        elif self._row is not None and len(self._path) == self._at:
            self.rows.append({name: value.strip() for name, value in self._row.items()})
            self._row = None
        self._path.pop()


def _refused(*_: object) -> int:
    raise ValueError("a document type declaration")


def entries(body: bytes) -> list[dict[str, str]]:
    """The entries of a feed: title, link, description, date, each if it is present. ValueError for what is no XML or no feed, declares a document
    type, nests more than 32 deep or has more than 1,000 entries. An empty feed has no entries; what is no feed says nothing about any."""
    reader, parser = _Reader(), expat.ParserCreate(namespace_separator="}")
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ExternalEntityRefHandler = _refused
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = reader.start, reader.end, reader.text
    try:
        parser.Parse(body, True)
    except expat.ExpatError as why:
        raise ValueError(f"no XML: {why}") from None
    if not reader.is_feed:
        raise ValueError("XML, but no feed: neither rss nor RDF with a channel, nor an Atom feed")
    return reader.rows
