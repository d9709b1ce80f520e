from collections.abc import Sequence
from typing import Any, final

import numpy as np

from liqcore.codec.decode import Decoder

@final
class LineScan:
    at: int
    lines: int
    rows: int
    ts: int
    venue: int
    found: int
    last: np.ndarray[Any, Any]
    def __init__(self, venues: Sequence[tuple[str, Decoder, int]]) -> None: ...
    def run(self, text: bytes, at: int, out: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any], row: int, number: int) -> None: ...
    def frame(self, text: bytes) -> bytes: ...
