from typing import Any

from typing_extensions import disjoint_base

from liqcore.policy import Policy

SNAPSHOT_NAME: bytes
POLICIES_MAX: int

@disjoint_base
class Decisions:
    @property
    def policies(self) -> tuple[Policy, ...]: ...
    def questions(self) -> list[dict[str, Any]]: ...
