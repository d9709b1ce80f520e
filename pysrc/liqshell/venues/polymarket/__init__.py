"""Polymarket's up-or-down markets: what a market is, its books and trades, its order messages and signatures. Pure functions, no sockets.

It is not one of the venues of `adapters`: a share pays 1 or 0 at the end of its hour, so it has no liquidations, no positions with a stop, and a new
pair of tokens every hour. What drives it is liqshell.binary.
"""
