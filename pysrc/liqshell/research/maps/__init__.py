"""Quality of the estimated liquidation map: its levels against the later liquidations, and against maps without information."""
