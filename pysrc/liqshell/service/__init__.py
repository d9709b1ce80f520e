"""`liqcore serve`: features over HTTP, point in time, from a store or from the recordings of runs. A separate process that only reads.

A value that is served at a time is what `liqcore features` prints for it and what a live engine knew then, to the last bit: all three are one
liqshell.research.feature_walk.Walk over the same events.
"""
