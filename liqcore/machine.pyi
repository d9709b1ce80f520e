from collections.abc import Iterable, Sequence

from typing_extensions import disjoint_base

from liqcore.account import Account
from liqcore.audit import AuditRing
from liqcore.detect import CascadeConfig
from liqcore.detector import Detector
from liqcore.feature import Features
from liqcore.instrument import Instrument
from liqcore.intake import Intake
from liqcore.policy import Policy
from liqcore.risk import Risk

@disjoint_base
class Machine(Intake):
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def config(self) -> CascadeConfig | None: ...
    @property
    def features(self) -> Features: ...
    @property
    def risk(self) -> Risk: ...
    @property
    def account(self) -> Account: ...
    @property
    def patience(self) -> float: ...
    @property
    def audit(self) -> AuditRing: ...
    def __init__(self, instruments: str | Instrument | Iterable[str | Instrument], config: CascadeConfig | None = None,
                 policy: Policy | Sequence[Policy] | None = None, risk: Risk | None = None, *,
                 detectors: Iterable[Detector] | None = None, features: Iterable[str] = (), equity: float = 10_000.0, audit_capacity: int = 65536,
                 band: float = 10.0, patience: float = 1.0, quote_age_s: float = ...) -> None: ...
