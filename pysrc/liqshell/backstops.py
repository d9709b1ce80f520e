"""Backstops: positions that the venue's own vault took over, or that were closed against winners, at a set price. They do not trade in the book, so
they are no part of a cascade: the shell stores such rows, and no engine receives them.

They have the fields of a LIQUIDATION: side of the position that was closed, price, qty, aux_price = notional. The number of the kind lies outside
liqcore.Kind: the validation of an engine refuses it.
"""

BACKSTOP = 65
NAME = "backstops"  # as a store has them
