"""How a venue describes its frames: shapes with typed holes, which `liqcore.codec.decode.Decoder` compiles.

    Shape(Kind.TRADE, {
        "topic": topic("publicTrade."), "type": literal("snapshot"), "ts": integer(),
        "data": rows({"T": millis("ts_event"), "s": symbol(), "S": side({"Buy": 1, "Sell": -1}), "v": decimal("qty"), "p": decimal("price"),
                      "i": text(), "seq": optional(integer("id"))})})

Slots are the number fields of an event: ts_event, price, qty, aux_price, aux_qty, id. A venue without topics has a literal at the beginning that
states the kind of frame. The symbol may have any position:

    Shape(Kind.TRADE, {"e": literal("aggTrade"), "E": integer(), "a": integer("id"), "s": symbol(), "p": decimal("price")})
"""

LAYOUTS = 32
(TOPIC, SYMBOL, LITERAL, MODE, SIDE, DECIMAL, MILLIS, INTEGER, TEXT, FLAG, RECORD, ROWS, LEVEL, TEXTS, LIST, CLAIM) = range(1, 17)  # as in decode.pyx
NOWHERE = 7
TICKER = 4  # Kind
SIGNED, MAY_BE_EMPTY, QUOTED = 1, 2, 4
TS, TS_FALLBACK, PRICE, QTY, AUX_PRICE, AUX_QTY, ID = range(7)

_SLOTS = {"ts_event": TS, "ts_fallback": TS_FALLBACK, "price": PRICE, "qty": QTY, "aux_price": AUX_PRICE, "aux_qty": AUX_QTY, "id": ID}


class Field:
    """What the value of one key must be. Made by the functions below, not directly."""

    def __init__(self, kind, slot=None, texts=(), inner=None, flags=0, required=True):
        self.kind, self.texts, self.inner, self.flags, self.required = kind, tuple(texts), inner, flags, required
        self.slots = tuple(self._slot(s) for s in (slot if isinstance(slot, tuple) else (slot,)))

    @property
    def is_rows(self) -> bool:
        return self.kind == ROWS

    @staticmethod
    def _slot(name):
        if name is None:
            return NOWHERE
        if name not in _SLOTS:
            raise ValueError(f"slot {name!r}: expected one of {', '.join(_SLOTS)}")
        return _SLOTS[name]


def topic(prefix: str) -> Field:
    """Text `prefix` + symbol. A shape has at most one, at the top level."""
    return Field(TOPIC, texts=((f'"{prefix}', 0),))


def symbol() -> Field:
    """Text: the symbol. All symbols of a frame must agree. If a frame has none outside of its rows, each row may have another."""
    return Field(SYMBOL)


def literal(text: str) -> Field:
    return Field(LITERAL, texts=((f'"{text}"', 0),))


def number(value: int) -> Field:
    """This JSON integer and no other."""
    return Field(LITERAL, texts=((str(value), 0),))


def false() -> Field:
    """This JSON value; true is handed back."""
    return Field(LITERAL, texts=(("false", 0),))


def mode(texts: dict) -> Field:
    """One of these texts; value True = the carried values of the instrument start anew (a snapshot), False = they go on (a delta)."""
    return Field(MODE, texts=tuple((f'"{text}"', int(fresh)) for text, fresh in texts.items()))


def side(texts: dict) -> Field:
    """One of exactly two texts (at most 6 characters) and the Side each means: for liquidations the side of the position closed by force."""
    if len(texts) != 2 or any(len(t) > 6 for t in texts):
        raise ValueError(f"side: expected two texts of at most 6 characters, got {texts!r}")
    return Field(SIDE, texts=tuple((f'"{text}"', int(value)) for text, value in texts.items()))


def claim(texts: dict) -> Field:
    """One of three texts: a second word on the side of the row, which must not contradict its side. The third has no side (0)."""
    values = list(texts.values())
    if len(texts) != 3 or 0 in values[:2] or values[2] or any(len(t) > 6 for t in texts):
        raise ValueError(f"claim: expected two texts for sides and then one for none, of at most 6 characters, got {texts!r}")
    return Field(CLAIM, texts=tuple((f'"{text}"', int(value)) for text, value in texts.items()))


def side_flag(true: int, false: int) -> Field:
    """A boolean, and the Side each value means."""
    return Field(SIDE, texts=(("true", int(true)), ("false", int(false))))


def decimal(slot: str | None = None, *, signed: bool = False, may_be_empty: bool = False) -> Field:
    """A plain decimal number as text ("0.0449"), stored in a slot or only checked."""
    return Field(DECIMAL, slot, flags=(SIGNED if signed else 0) | (MAY_BE_EMPTY if may_be_empty else 0))


def millis(slot: str, *, quoted: bool = False) -> Field:
    """A JSON integer (quoted: the same as text): milliseconds since 1970 UTC. Slots: ts_event, or ts_fallback, which is used if ts_event is
    absent."""
    return Field(MILLIS, slot, flags=QUOTED if quoted else 0)


def integer(slot: str | None = None, *, quoted: bool = False) -> Field:
    return Field(INTEGER, slot, flags=QUOTED if quoted else 0)


def text() -> Field:
    """Any plain ASCII text without escapes, skipped."""
    return Field(TEXT)


def flag() -> Field:
    return Field(FLAG)


def record(keys: dict) -> Field:
    """An object inside."""
    return Field(RECORD, inner=dict(keys))


def rows(keys: dict) -> Field:
    """An array of objects, one event each, in their order."""
    return Field(ROWS, inner=dict(keys))


def texts() -> Field:
    """An array of plain texts, skipped."""
    return Field(TEXTS)


def only(keys: dict) -> Field:
    """An array of exactly one object, which is not a row: its keys belong to the frame."""
    return Field(LIST, inner=(dict(keys),), flags=1)


def pair(first: dict, second: dict) -> Field:
    """An array of exactly two objects, each with its own keys."""
    return Field(LIST, inner=(dict(first), dict(second)), flags=2)


def level(price: str, qty: str, *, more: int = 0) -> Field:
    """One book level: [["price","qty"]], with this number of texts behind them."""
    return Field(LEVEL, (price, qty), flags=more)


def optional(field: Field) -> Field:
    """The key may be absent; its slot is then 0 (or the carried value)."""
    return Field(field.kind, tuple({v: k for k, v in _SLOTS.items()}.get(s) for s in field.slots), field.texts, field.inner, field.flags, False)


class Shape:
    """One kind of frame. kind: the event Kind it becomes. keys: {key: Field} of the frame's object, usual order first.

    fixed_side: side of the events of a frame without side. Tickers: the event's flags are the Streams that are not stated, and a frame that states
    nothing gives no event. carry: the stream has changes only. Absent keys keep the last value of the same instrument, which then counts as stated; a
    frame with a smaller id than an earlier one goes to the general parser. untimed: the venue gives no time; the event has that of receipt.
    """

    def __init__(self, kind: int, keys: dict, *, fixed_side: int = 0, carry: bool = False, untimed: bool = False):
        if (untimed or carry) and int(kind) != TICKER:
            raise ValueError("shape: untimed and carry are for tickers")
        self.kind, self.keys, self.fixed_side, self.carry, self.untimed = int(kind), dict(keys), fixed_side, carry, untimed

    @property
    def has_rows(self) -> bool:
        return any(map(_has_rows, self.keys.values()))

    @property
    def rows_name_symbols(self) -> bool:
        """Whether only the rows have the symbol."""
        return self.has_rows and not any(map(_names_symbol, self.keys.values()))

    @property
    def opening(self) -> str:
        """The beginning of a frame of this shape with its keys in their usual order."""
        text, keys = "{", list(self.keys.items())
        while keys:
            name, field = keys.pop(0)
            text += f'"{name}":'
            if field.kind == RECORD:
                text, keys = text + "{", list(field.inner.items())
            elif field.kind == TOPIC:
                return text + field.texts[0][0]
            elif field.kind == LITERAL:
                text += field.texts[0][0] + ","
                if len(text) >= 16:
                    return text
            else:
                break
        return text


def _inside(field: Field) -> list[Field]:
    """The fields of an object, or of the objects of a list; not those of rows."""
    return [one for keys in (field.inner if field.kind == LIST else (field.inner,) if field.kind == RECORD else ()) for one in keys.values()]


def _has_rows(field: Field) -> bool:
    return field.is_rows or any(map(_has_rows, _inside(field)))


def _names_symbol(field: Field) -> bool:
    """Outside of rows."""
    return field.kind in (SYMBOL, TOPIC) or any(map(_names_symbol, _inside(field)))


def flatten(shapes):
    """Shapes as lists (keys, nodes, texts, roots) for the C tables, breadth first so that the keys of one object are neighbours."""
    keys: list[tuple] = []
    nodes: list[tuple[int, int, int]] = []
    texts: list[tuple] = []
    roots: list[int] = []
    for shape in shapes:
        queue, has_rows = [(shape.keys, False)], False
        inside = 0
        roots.append(len(nodes))
        offset = len(nodes)
        while queue:
            inner, in_row = queue.pop(0)
            nodes.append((len(keys), len(inner), sum(1 << i for i, f in enumerate(inner.values()) if f.required)))
            if not 0 < len(inner) <= 64:
                raise ValueError(f"shape: expected 1 to 64 keys in an object, got {len(inner)}")
            for name, field in inner.items():
                node = field.slots[1] if field.kind == LEVEL else -1
                if field.kind in (RECORD, ROWS, LIST):
                    node, objects = offset + 1 + inside, field.inner if field.kind == LIST else (field.inner,)
                    inside += len(objects)
                    queue.extend((one, in_row or field.kind == ROWS) for one in objects)
                    has_rows = has_rows or field.kind == ROWS
                keys.append((f'"{name}":', field.kind, field.slots[0], field.flags, node, len(texts), len(field.texts), in_row))
                texts.extend(field.texts)
        own = list(keys[nodes[offset][0] :])
        if has_rows and any(k[2] != NOWHERE and not k[7] for k in own):
            raise ValueError("shape with rows: only the keys of its rows may be stored")
        if sum(k[1] == TOPIC for k in own) > 1 or not any(k[1] in (TOPIC, SYMBOL) for k in own) or sum(k[1] == ROWS for k in own) > 1:
            raise ValueError("shape: expected a topic or a symbol, at most one topic, and at most one array of rows")
        if has_rows and shape.carry:
            raise ValueError("shape: rows cannot carry values")
    if len(texts) > 255:
        raise ValueError(f"shapes: at most 255 fixed texts, got {len(texts)}")
    return keys, nodes, texts, roots


def spread(openings):
    """Offset of eight bytes that differ between the beginnings of the frames, and an odd multiplier whose product has different top five bits for
    each."""
    for at in range(8, 25):
        words = {opening[at : at + 8] for opening in openings}
        if len(words) == len(openings) and all(len(w) == 8 for w in words):
            break
    else:
        raise ValueError(f"shapes: nothing tells frames apart that begin with {', '.join(map(str, openings))}")
    numbers = {int.from_bytes(w, "little") for w in words}
    for k in range(1, 100_000):
        multiplier = (0x9E3779B97F4A7C15 * (2 * k + 1)) % 2**64
        if len({(n * multiplier) % 2**64 >> 59 for n in numbers}) == len(numbers):
            return at, multiplier
    raise ValueError(f"shapes: no way to tell {len(numbers)} kinds of frame apart, the limit is {LAYOUTS}")
