"""Backstops: positions that the venue's own vault took over, or that were closed against winners, at a price that was set.
They cross no book, so they are no part of a cascade: the shell keeps such rows, and no engine takes them.

They have the fields of a LIQUIDATION: side of the position that was closed, price, qty, aux_price = notional. The number of the kind lies outside
liqcore.Kind: the validation of an engine refuses it.
"""

BACKSTOP = 65
NAME = "backstops"  # as a store has them
