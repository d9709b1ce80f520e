from typing import Any

import numpy as np

PLACE_DTYPE: np.dtype[np.void]
TRADE_COLUMNS: dict[str, np.dtype[Any]]
QUOTE_COLUMNS: dict[str, np.dtype[Any]]
