"""Orders through ccxt, at venues for which we have no account adapter: an optional extra, imported by nobody unless `[live] via = "ccxt"` says so.

    exchange     what is asked of ccxt, one operation a method, and what its errors mean
    port         its answers in the gateway's words
    link         the account's stream, made of polls
    account      a LiveAccount over these three

What it cannot do is refused, not imitated: there is no stop that travels with an entry. Who accepts a watched one (accept_watched_stop = true) gets a
reduce-only stop order right after the fill, seen to by the gateway like any lost stop: law L7's two seconds, but not its "from the first fill on".
"""
