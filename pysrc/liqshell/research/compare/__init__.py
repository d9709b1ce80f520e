"""Presets side by side on the same data and the same events, each with its controls: which of them is profitable, and whether any is.

compared = run_compare(load("data.toml"))        # a folder: compare.html, compare.json, compare.csv, events.csv, one report per preset
"""

from liqshell.research.compare.run import Compared, run_compare

__all__ = ["Compared", "run_compare"]
