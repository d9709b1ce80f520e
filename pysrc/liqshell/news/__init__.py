"""What strangers write about an asset, from the moment at which we received it: sources, one protocol, and the wall against hostile text."""
