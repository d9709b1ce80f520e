from collections.abc import Sequence
from typing import final

import numpy as np
from typing_extensions import Buffer

from liqcore.codec.shape import Shape

@final
class Decoder:
    symbols: tuple[str, ...]
    carried: np.ndarray
    predicted: int
    scanned: int
    unknown: int
    @property
    def unknown_key(self) -> str: ...
    def __init__(
        self, shapes: Sequence[Shape], symbols: Sequence[str], carried: np.ndarray | None = None, *, first: int = 0, envelope: str = ""
    ) -> None: ...
    def decode(self, frame: Buffer, ts_recv: int, out: np.ndarray) -> int: ...
    def forget(self) -> None: ...
