"""The market that the venue shows: generated or recorded, and written as frames of each venue."""

from liqshell.emulator.market.agents import BLOCK_NS, Cascade, Market, Parameters

__all__ = ["BLOCK_NS", "Cascade", "Market", "Parameters"]
