"""Market data on disk: Parquet partitions, a catalogue that knows where they came from, and tapes out of them at the speed of memory.

    from liqshell import store
    tape = store.open("data").tape(["BTCUSDT", "ETHUSDT"], "2026-02-09", "2026-02-17")      # liqcore.Tape, columns mapped from disk

Nothing on the trading path imports this package, nor pyarrow.
"""

from liqshell.formats.unpack import arrow

arrow("liqshell.store")         # the remedy, rather than an ImportError from somewhere below

from liqshell.store.load import Selection, Store, open  # noqa: E402

__all__ = ["Selection", "Store", "open"]
