"""The default fees of a simulation: those of Bybit's linear perpetuals without a discount (VIP 0), as shares of notional.

A live fill carries the venue's own fee.
"""

MAKER_FEE = 0.0002
TAKER_FEE = 0.00055
