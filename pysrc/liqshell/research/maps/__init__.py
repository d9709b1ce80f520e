"""How good the estimated liquidation map is: its levels against the liquidations that came afterwards, and against maps that know nothing."""
