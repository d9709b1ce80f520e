"""The built-in policies, one short file each. RULES maps the `rule` of a preset to its class."""

from liqshell.policies.breakout import Breakout
from liqshell.policies.cascade_fade import CascadeFade
from liqshell.policies.fade import Fade
from liqshell.policies.imbalance import Imbalance
from liqshell.policies.momentum import Momentum
from liqshell.policies.reversal import Reversal
from liqshell.policies.ruled import Ruled
from liqshell.policies.trend import Trend
from liqshell.policies.zone import Zone

RULES: dict[str, type[Ruled]] = {
    "fade": Fade,
    "reversal": Reversal,
    "trend": Trend,
    "momentum": Momentum,
    "cascade_fade": CascadeFade,
    "imbalance": Imbalance,
    "zone": Zone,
    "breakout": Breakout,
}
