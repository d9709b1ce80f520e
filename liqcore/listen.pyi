from typing import Any

from typing_extensions import disjoint_base

from liqcore.detect import CascadeConfig
from liqcore.instrument import Instrument

@disjoint_base
class Listener:
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def config(self) -> CascadeConfig: ...
    def __init__(self, instruments: tuple[Instrument, ...], config: CascadeConfig | None = None, band: float = 10.0) -> None: ...
