"""The hourly binary: recorded, bet on (on paper, or at the venue), settled by each market's own rule, and judged.

book        the book of one token, and what a taker pays in it
desk        markets, books, candles, fires and bets: frames in, decisions out; no sockets, no clock
run         the desk on real sockets, with its recording; replay: the same from the recording
account     orders at the venue
evaluation  whether the idea clears its hurdle
"""
