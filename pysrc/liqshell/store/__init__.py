"""Market data on disk: Parquet partitions, a catalogue with their sources, and tapes made from them at the speed of memory.

    from liqshell import store
    store.fill("data", files)                       # or `liqcore import FILES… --store data`
    tape = store.open("data").tape(["BTCUSDT", "ETHUSDT"], "2026-02-09", "2026-02-17")      # liqcore.Tape

Nothing on the trading path imports this package, nor pyarrow.
"""

from liqshell.store.importer import Outcome, fill
from liqshell.store.load import Selection, Store, open

__all__ = ["Outcome", "Selection", "Store", "fill", "open"]
