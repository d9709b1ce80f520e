"""Every format: what it is recognised by."""
