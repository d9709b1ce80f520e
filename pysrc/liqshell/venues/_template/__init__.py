"""A venue to copy: adapter.py (addresses, subscriptions), decoder.py (frames to events), instruments.py (contracts), test_template.py.

Copy the folder, change what the venue's documentation says, keep the tests and put real frames of the venue into them. Its files import each other
by `from .decoder import ...`, so that a copy reads and tests itself. Name it in a configuration as `[venues] NAME = "folder/adapter.py:ADAPTER"`,
or offer it as an entry point of the group `liqcore.venues`. The venue here does not exist.
"""
