"""The market of the emulated venue: generated or recorded, as frames of each venue."""

from liqshell.emulator.market.agents import BLOCK_NS, Cascade, Market, Parameters

__all__ = ["BLOCK_NS", "Cascade", "Market", "Parameters"]
