"""A sweep: thousands of settings over the same signals, resumable, on this machine or a cluster. The arithmetic is liqcore.sweep's."""
