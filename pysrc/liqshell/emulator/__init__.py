"""A loopback venue that speaks the Bybit V5 protocol, fed by a generated market (labelled SYNTHETIC) or by a recording; faults on demand."""
