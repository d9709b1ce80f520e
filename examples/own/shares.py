"""A feature of one's own: which share of what was traded in the last minute was forced. See own.toml for its name."""

import liqcore as lc


@lc.needs("liquidations.liq_volume@1m", "flow.volume@1m")
def forced_share(liquidated, traded):
    return liquidated / traded if traded > 0.0 else None
