"""Instruments: exact conversion between text, doubles, ticks and lots."""

import re

from liqcore.argument cimport describe, real, several, whole32, string

from liqcore.event import Completeness

cdef object _DECIMAL = re.compile(r"\d{1,12}(\.\d{1,12})?$")


cdef tuple _decimal(str name, object text):
    """'0.050' -> (mantissa 50, decimals 3); raises ValueError unless it is a plain positive decimal."""
    text = str(text)
    if not _DECIMAL.match(text):
        raise ValueError(f"{name}: expected a positive decimal number as text such as '0.01', got {text!r}")
    whole, _, fraction = text.partition(".")
    mantissa = int(whole + fraction)
    if mantissa == 0:
        raise ValueError(f"{name}: expected a positive number, got {text!r}")
    if mantissa > 2 ** 17 and len(fraction) > 0:
        raise ValueError(f"{name}: {text!r} has too many significant digits for exact tick arithmetic")
    return mantissa, len(fraction)


cdef double _amount(str name, object value) except? -1.0:
    """A number, or text of one."""
    if not isinstance(value, str):
        return real(value, name)
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name}: expected a number, got {value!r}") from None


cdef str _text(int64_t count, int64_t mantissa, int decimals):
    """count * mantissa / 10**decimals as exact text with all decimals of the step, the form that venues accept."""
    cdef object value = int(count) * int(mantissa)
    if decimals == 0:
        return str(value)
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


cdef object _ASSET = re.compile(r"(?:10{3,6}(?=[A-Z])|k(?=[A-Z]{3}))?([A-Z0-9]+?)(?:[-_/]?(?:USDT|USDC|USD|PERP)(?:$|[-_:/].*$|[A-Z]?\d+$)|$)")


def asset_of(str symbol) -> str:
    """Base asset from a contract's name: BTC of BTCUSDT, BTC-USDT-SWAP and BTCUSD_PERP; PEPE of 1000PEPEUSDT and kPEPE."""
    found = _ASSET.match(symbol)
    return found[1] if found else symbol


cdef tuple instruments_of(object given, bint named):
    """The Instruments of an argument `instruments`. named: names are accepted, too, each as an Instrument of that symbol, and one without a list."""
    if named and isinstance(given, (str, Instrument)):
        given = (given,)
    out = several(given, "instruments")
    for i in out:
        if not isinstance(i, Instrument) and not (named and isinstance(i, str)):
            raise TypeError(f"instruments: expected {'names or ' if named else ''}liqcore.Instrument objects, got {i!r} ({type(i).__name__})")
    return tuple([i if isinstance(i, Instrument) else Instrument(i) for i in out])


cdef class Instrument:
    """One contract of one venue. All but the symbol is given by name.

    tick_size, lot_size: text as the venue gives it ('0.01'); kept exactly.
    multiplier: base units of one quantity unit (OKX ctVal x ctMult; 1 on Bybit linear and Binance USD-M).
    min_qty, max_qty: limits of one order in quantity units; min_notional in quote currency.
    completeness: of the venue's public liquidation feed (FULL, CENSORED or UNKNOWN).
    asset: the base asset under one name on all venues ('BTC', 'PEPE'), by which features find the contracts of other venues; '' = taken from the
    symbol.
    `key` is 'venue:symbol', the name that is unique where several venues are in one engine.
    """

    def __init__(self, symbol, *, venue="", tick_size="0.01", lot_size="0.001", multiplier=1.0, min_qty=None,
                 max_qty=None, min_notional=0.0, completeness=Completeness.COMPLETENESS_UNKNOWN, asset=""):
        cdef double unit = real(multiplier, "multiplier"), least = real(min_notional, "min_notional")
        if not string(symbol, "symbol"):
            raise ValueError("symbol: expected a name such as 'ETHUSDT', got an empty string")
        if not (0.0 < unit < 1e12):
            raise ValueError(f"multiplier: expected a positive finite number, got {multiplier!r}")
        if not (0.0 <= least < 1e12):
            raise ValueError(f"min_notional: expected a number >= 0, got {min_notional!r}")
        self.symbol = symbol
        self.venue = string(venue, "venue")
        self.tick_size = str(tick_size)
        self.lot_size = str(lot_size)
        self.c.tick_mantissa, self.c.tick_decimals = _decimal("tick_size", tick_size)
        self.c.lot_mantissa, self.c.lot_decimals = _decimal("lot_size", lot_size)
        self.c.tick_power = 10.0 ** self.c.tick_decimals
        self.c.lot_power = 10.0 ** self.c.lot_decimals
        self.c.tick = self.c.tick_mantissa / self.c.tick_power
        self.c.lot = self.c.lot_mantissa / self.c.lot_power
        self.c.multiplier = unit
        self.c.notional_min = least
        self.c.lots_min = 1 if min_qty is None else max(1, lots_of(&self.c, _amount("min_qty", min_qty)))
        self.c.lots_max = TICKS_MAX - 1 if max_qty is None else lots_floor(&self.c, _amount("max_qty", max_qty))
        if self.c.lots_max < self.c.lots_min:
            raise ValueError(f"max_qty: expected at least min_qty ({min_qty}) and below {<int64_t> TICKS_MAX} lots, got {max_qty}")
        self.c.completeness = Completeness(whole32(completeness, "completeness"))
        self.asset = string(asset, "asset") or asset_of(symbol)

    @property
    def key(self):
        """'venue:symbol', or the symbol alone if no venue is given: the unique name in an engine."""
        return f"{self.venue}:{self.symbol}" if self.venue else self.symbol

    @property
    def multiplier(self):
        """Base units of one quantity unit."""
        return self.c.multiplier

    @property
    def min_notional(self):
        """Smallest notional of one order, quote currency; 0 = no such limit."""
        return self.c.notional_min

    @property
    def min_lots(self):
        """Smallest quantity of one order, lots."""
        return self.c.lots_min

    @property
    def max_lots(self):
        """Largest quantity of one order, lots."""
        return self.c.lots_max

    @property
    def completeness(self):
        """Completeness of the venue's public liquidation feed."""
        return Completeness(self.c.completeness)

    def ticks(self, double price) -> int:
        """Nearest tick count of a price; ValueError if it is not a valid price."""
        cdef int64_t t = ticks_of(&self.c, price)
        if t < 0:
            raise ValueError(f"{self.symbol}: not a price: {price!r}")
        return t

    def lots(self, double qty) -> int:
        """Largest lot count not above a quantity."""
        cdef int64_t l = lots_floor(&self.c, qty)
        if l < 0:
            raise ValueError(f"{self.symbol}: not a quantity: {qty!r}")
        return l

    def price(self, int64_t ticks) -> float:
        """Price of a tick count, quote currency."""
        return price_of(&self.c, ticks)

    def qty(self, int64_t lots) -> float:
        """Quantity of a lot count, the venue's quantity units."""
        return qty_of(&self.c, lots)

    def price_text(self, int64_t ticks) -> str:
        """Exact decimal text of a tick count, as it goes to the venue."""
        return _text(ticks, self.c.tick_mantissa, self.c.tick_decimals)

    def qty_text(self, int64_t lots) -> str:
        """Exact decimal text of a lot count, as it goes to the venue."""
        return _text(lots, self.c.lot_mantissa, self.c.lot_decimals)

    def as_dict(self) -> dict:
        """Everything that recreates it: Instrument(**i.as_dict())."""
        return {"symbol": self.symbol, "venue": self.venue, "tick_size": self.tick_size, "lot_size": self.lot_size,
                "multiplier": self.c.multiplier, "min_qty": qty_of(&self.c, self.c.lots_min),
                "max_qty": None if self.c.lots_max == TICKS_MAX - 1 else qty_of(&self.c, self.c.lots_max),
                "min_notional": self.c.notional_min, "completeness": int(self.c.completeness), "asset": self.asset}

    def __eq__(self, other):
        return isinstance(other, Instrument) and self.as_dict() == other.as_dict()

    def __hash__(self):
        return hash((self.venue, self.symbol, self.tick_size, self.lot_size))

    def __repr__(self):
        return f"Instrument({self.symbol!r}, venue={self.venue!r}, tick_size={self.tick_size!r}, lot_size={self.lot_size!r})"


describe(Instrument, {"symbol": "The venue's name of the contract.", "venue": "Name of the venue, '' = not given.",
                      "tick_size": "Smallest step of a price, quote currency, as the venue's text.",
                      "lot_size": "Smallest step of a quantity, the venue's quantity units, as the venue's text.",
                      "asset": "The base asset under one name on all venues, such as 'BTC'."})
