"""The hourly binary: recording, bets (on paper, or at the venue), settlement by each market's own rule, and evaluation.

book        the book of one token, and what a taker pays in it
desk        markets, books, candles, fires and bets: frames in, decisions out; no sockets, no clock
run         the desk on real sockets, with its recording; replay: the same from the recording
account     orders at the venue
evaluation  whether the idea clears its hurdle
"""
