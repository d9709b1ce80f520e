"""Orders through ccxt, at venues for which we have no account adapter: an optional extra, imported only with `[live] via = "ccxt"`.

    port                  its answers in the gateway's words
    mapping               rows, errors and states of ccxt in ours
    live.ccxt_client      what is asked of ccxt, one operation a method, and what its errors mean
    live.ccxt_poller      the account's stream, made of polls
    live.ccxt_account     a LiveAccount over these

What it cannot do is refused, not imitated: there is no stop that travels with an entry. Who accepts a watched one (accept_watched_stop = true) gets a
reduce-only stop order right after the fill, seen to by the gateway like any lost stop: two seconds without a stop at most, but not a stop
from the first fill on.
"""
