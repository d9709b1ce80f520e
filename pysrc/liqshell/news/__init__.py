"""News about an asset with its time of receipt: sources, one protocol, and the protection against hostile text."""
