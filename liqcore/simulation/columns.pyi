from collections.abc import Iterable
from typing import Any

import numpy as np

PLACE_DTYPE: np.dtype[np.void]
TRADE_COLUMNS: dict[str, np.dtype[Any]]
QUOTE_COLUMNS: dict[str, np.dtype[Any]]

def merge_rare(runs: Iterable[tuple[np.ndarray, np.ndarray, int | None, int, int]], rare: np.ndarray, place: np.ndarray) -> None: ...
