"""A loopback venue that speaks the Bybit V5 protocol, fed by a generated market (labelled SYNTHETIC) or a recording; with faults."""
