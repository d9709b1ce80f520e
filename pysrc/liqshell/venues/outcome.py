"""The purpose and the outcome of a request, in words independent of a venue."""

from enum import IntEnum

from liqcore.event import Action


class Asked(IntEnum):
    """The purpose of a request. The first three have the numbers of liqcore's Action."""

    CREATE = int(Action.ACTION_CREATE)
    AMEND = int(Action.ACTION_AMEND)
    CANCEL = int(Action.ACTION_CANCEL)
    STOP = 4  # stop, take-profit or trailing of a position (trading-stop)
    SETTING = 5  # leverage, position mode
    QUERY = 6
    AUTH = 7  # of a websocket


class Outcome(IntEnum):
    """The state of a request, and the action that follows."""

    ACCEPTED = 1  # taken; that it was booked is said by the private stream
    REJECTED = 2  # definitely not done, and the same request would be refused again
    REPRICE = 3  # definitely not done: the price is outside what the venue allows now
    UNKNOWN = 4  # may have been done: counts as exposure until the venue is asked; never sent again blindly
    DONE = 5  # what was wanted is so already
    GONE = 6  # there is no such order any more (or never was): ask how it ended
    LANDED = 7  # a duplicate id: the first attempt did land; ask
    LATER = 8  # definitely not done, because of the pace or the moment: wait
    CLOCK = 9  # definitely not done: our time stamp was outside the window. Measure the clock; never re-send by itself
    HALT_SYMBOL = 10  # definitely not done: this contract takes no such orders now
    FATAL = 11  # definitely not done, nor will anything be: key, rights, address, account
