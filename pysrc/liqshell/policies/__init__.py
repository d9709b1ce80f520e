"""The policies that ship: one file each, 30 to 80 readable lines. RULES maps the `rule` of a preset to its class."""

from liqshell.policies.fade import Fade
from liqshell.policies.ruled import Ruled

RULES: dict[str, type[Ruled]] = {"fade": Fade}
