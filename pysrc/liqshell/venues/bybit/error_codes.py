"""The meaning of Bybit's result codes and HTTP statuses: one table, and the two functions that read it.

A code gives the outcome of ONE request. One rule stands above the table: an unlisted code is UNKNOWN, never a reject, because an order that was
wrongly taken for refused would not be watched. A question (QUERY) changes nothing, so where an order would be UNKNOWN it is LATER.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from liqshell.venues.outcome import Asked, Outcome


@dataclass(frozen=True, slots=True)
class Code:
    """A row of the table: what the venue means, what follows from it, and for which requests something else does."""

    meaning: str
    outcome: Outcome
    but: Mapping[Asked, Outcome] = field(default_factory=dict)


_A, _R, _P, _U, _D = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.REPRICE, Outcome.UNKNOWN, Outcome.DONE
_G, _L, _W, _C, _H, _F = Outcome.GONE, Outcome.LANDED, Outcome.LATER, Outcome.CLOCK, Outcome.HALT_SYMBOL, Outcome.FATAL
# an order that is not there: of an order to be created it says nothing that we could rely on
_MISSING = {Asked.CREATE: _U, Asked.STOP: _U, Asked.SETTING: _U}

CODES: Mapping[int, Code] = {
    0: Code("ok", _A, {Asked.SETTING: _D, Asked.QUERY: _D, Asked.AUTH: _D}),
    # the request as such
    10000: Code("server timeout", _U),
    10001: Code("bad parameter, or the position index does not match the position mode", _R),
    10002: Code("time stamp outside the receive window (our clock, or a venue that is slow)", _C),
    10003: Code("API key not valid, or too many sessions", _F),
    10004: Code("bad signature", _F),
    10005: Code("the key may not do this", _F),
    10006: Code("too many requests for this account", _W),
    10007: Code("user not authenticated", _F),
    10008: Code("user banned", _F),
    10009: Code("IP address banned", _F),
    10010: Code("the key is bound to other IP addresses", _F),
    10014: Code("duplicate request", _U),
    10016: Code("internal error, or the service restarts", _U),
    10017: Code("no such path", _F),
    10018: Code("too many requests from this IP address", _W),
    10019: Code("the service restarts: what was sent before is still processed; open a new connection", _U),
    10020: Code("not a unified account", _F),
    10024: Code("compliance rules forbid it", _F),
    10027: Code("trading is banned for this account", _F),
    10028: Code("for unified accounts only", _F),
    10029: Code("the contract is not on the key's list", _F),
    10403: Code("too many requests from this IP address on the order socket", _W),
    10404: Code("no such operation or category on the order socket", _F),
    10429: Code("system protection", _U),
    429: Code("overloaded", _U),
    20001: Code("already authenticated", _U, {Asked.AUTH: _D}),
    20003: Code("too many requests in this session", _W),
    20006: Code("duplicate request id", _U),
    33004: Code("the API key has expired", _F),
    # order not there any more
    110001: Code("order does not exist", _G, _MISSING),
    110008: Code("order already completed or cancelled", _G, _MISSING),
    110010: Code("order already cancelled", _G, _MISSING),
    # price
    110003: Code("price outside what is allowed", _P),
    110120: Code("price outside the limits", _P),
    110121: Code("price outside the limits", _P),
    30208: Code("price above the highest allowed", _P),
    30209: Code("price below the lowest allowed", _P),
    # money
    110004: Code("wallet balance insufficient", _R),
    110006: Code("margin insufficient", _R),
    110007: Code("available balance insufficient", _R),
    110012: Code("available balance insufficient", _R),
    110044: Code("available margin insufficient", _R),
    110045: Code("wallet balance insufficient", _R),
    110011: Code("would lead to liquidation at once", _R),
    110040: Code("would lead to liquidation at once", _R),
    110016: Code("above the risk limit", _R),
    110021: Code("above the limit of open interest", _R),
    110022: Code("quantity limited: an order may not grow", _R),
    # too many
    110009: Code("too many conditional orders", _R),
    110020: Code("too many active orders", _R),
    110061: Code("too many partial take-profits and stops", _R),
    # idempotent
    110017: Code("reduce-only: nothing left to reduce", _U, {Asked.CREATE: _D, Asked.AMEND: _G}),
    110034: Code("no net position: nothing to reduce", _U, {Asked.CREATE: _D}),
    110072: Code("duplicate orderLinkId: the first attempt was received", _L, {Asked.AMEND: _U, Asked.CANCEL: _U}),
    110030: Code("duplicate order id: the first attempt was received", _L, {Asked.AMEND: _U, Asked.CANCEL: _U}),
    110025: Code("position mode not modified", _D),
    110026: Code("margin mode not modified", _D),
    110027: Code("margin not modified", _D),
    110043: Code("leverage not modified", _D),
    34040: Code("not modified", _D),
    110013: Code("leverage above what the risk limit allows", _R),
    110036: Code("leverage cannot change in this margin mode", _R),
    110038: Code("leverage cannot change in portfolio margin", _R),
    110024: Code("position mode cannot change: there is a position", _R),
    110028: Code("position mode cannot change: there are open orders", _R),
    # the contract
    110023: Code("this contract can only be closed", _H),
    110042: Code("before delivery: only reductions", _H),
    110063: Code("settlement in progress", _H),
    110066: Code("no trading at this time", _H),
    110074: Code("contract not live", _H),
    30228: Code("contract is being delisted", _H),
    110079: Code("order still being processed: try later", _W, {Asked.CREATE: _U}),
    # triggers and sizes
    110057: Code("a conditional order with attached stops", _R),
    110058: Code("position too small for this stop", _R),
    110059: Code("stops of a partly executed order cannot change", _R),
    110064: Code("quantity not above what was executed", _R),
    110092: Code("trigger price below the market for a rise", _R),
    110093: Code("trigger price above the market for a fall", _R),
    110094: Code("notional below the minimum", _R),
    110108: Code("slippage tolerance out of range", _R),
    110109: Code("slippage tolerance out of range", _R),
    110118: Code("no market price", _R),
    # the spot twins: not ours, listed so that a log can name them
    170131: Code("balance insufficient (spot)", _R),
    170140: Code("notional below the minimum (spot)", _R),
    170141: Code("duplicate orderLinkId (spot)", _L),
    170213: Code("order does not exist (spot)", _G, _MISSING),
    170218: Code("post-only order would take (spot)", _R),
    170810: Code("too many orders (spot)", _R),
}

HTTP: Mapping[int, Code] = {
    400: Code("malformed request", _U),
    401: Code("keys missing or not accepted", _F),
    403: Code("too many requests from this IP address (wait ten minutes), or a forbidden region", _W),
    404: Code("no such path", _F),
    429: Code("system protection", _U),
}


def _of(row: Code, asked: Asked) -> Outcome:
    outcome = row.but.get(asked, row.outcome)
    return Outcome.LATER if asked == Asked.QUERY and outcome == Outcome.UNKNOWN else outcome


_UNLISTED = Code("not listed", _U)


def outcome(code: int, asked: Asked) -> Outcome:
    """The outcome of a request that the venue answered with this result code."""
    return _of(CODES.get(code, _UNLISTED), asked)


def meaning(code: int) -> str:
    """The venue's meaning of a code, in a few words; "not listed" if unknown."""
    return CODES.get(code, _UNLISTED).meaning


def http_outcome(status: int, asked: Asked) -> Outcome:
    """The outcome of a request by its HTTP status alone; 0 = no answer. A 2xx says nothing here: its result code does, and where the
    body has none the outcome is not known."""
    return _of(HTTP.get(status, _UNLISTED), asked)
