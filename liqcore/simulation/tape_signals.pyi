from typing_extensions import disjoint_base

from liqcore.detectors.cascade import CascadeConfig
from liqcore.instrument import Instrument

@disjoint_base
class TapeDetector:
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def config(self) -> CascadeConfig: ...
    def __init__(
        self, instruments: tuple[Instrument, ...], config: CascadeConfig | None = None, band: float = 10.0, event_age_max_s: float = 2.0
    ) -> None: ...
