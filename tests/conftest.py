"""For every test: an example may take as long as a busy machine needs. Wall-clock is no verdict."""

from hypothesis import settings

settings.register_profile("liqcore", deadline=None, print_blob=True)
settings.load_profile("liqcore")
