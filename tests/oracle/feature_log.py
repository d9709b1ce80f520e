"""What features are made of, in plain Python: all that was received of each contract, and from when on it is whole.

Times: `entries(n, t, before)` are what came up to t, or strictly before t for a sample of a history.
"""

from bisect import bisect_left, bisect_right

NEVER = 2**63 - 1
LIQUIDATION, TRADE, BBO, TICKER, FEED, DELEVERAGE, VENUE = 1, 2, 3, 4, 6, 12, 13
UP, DOWN, GAP = 1, 2, 3
FORCED, TRADED, QUOTED, MARKED, INDEXED, FUNDED, OPEN, STATED = 1, 2, 4, 8, 16, 32, 64, 128  # what is received of a contract
DELEVERAGED = 256  # comes with FORCED: interrupted as that is, and spoken of by itself


class Log:
    def __init__(self, published):
        """published: of each contract, whether it is known that its venue publishes liquidations."""
        self.start, self.published, count = None, published, len(published)
        self.log = [[] for _ in range(count)]  # rows (ts, kind, fields...); of FEED: (ts, FEED, state, streams)
        self.times = [[] for _ in range(count)]

    def push(self, n, ts, kind, *fields):
        self.start = ts if self.start is None else self.start
        self.log[n].append((ts, kind, *fields))
        self.times[n].append(ts)

    def entries(self, n, t, before):
        return self.log[n][: (bisect_left if before else bisect_right)(self.times[n], t)]

    # ---- from when on what is received is whole ----

    def says(self, row):
        """The streams that a row is of."""
        ts, kind, *f = row
        if kind == TICKER:
            price, index, qty, _, unsaid = f
            return (MARKED * (price > 0) | INDEXED * (index > 0) | OPEN * (qty > 0) | FUNDED) & ~unsaid
        return {LIQUIDATION: FORCED, TRADE: TRADED, BBO: QUOTED, DELEVERAGE: DELEVERAGED, VENUE: STATED}.get(kind, 0)

    def since(self, n, t, before, stream):
        """From when on nothing of a stream is missing. A stream is known from when its feed was said to be up, or to have had its last gap, and else
        from what it said first; but it must have spoken since, except for liquidations that are listened to: of them the first word of any stream is
        enough. They are where they are known to be published; else from the first one on, or the word that their feed is up, by name or where
        nothing had been down."""
        down, told, spoken, listened = False, None, None, stream == FORCED and self.published[n]
        for row in self.entries(n, t, before):
            ts, kind, *f = row
            if stream == FORCED and not listened:
                listened = kind == LIQUIDATION or kind == FEED and f[0] == UP and (f[1] & FORCED > 0 or f[1] == 0 and not down)
                if listened and kind == FEED and told is not None:
                    spoken = ts
            if kind == FEED:
                state, streams = f
                if streams and not streams & (FORCED if stream == DELEVERAGED else stream):
                    continue
                if state == DOWN:
                    down, told, spoken = True, None, None
                elif state == GAP and not down:
                    told, spoken = ts, None
                elif state == UP and (down or told is None and spoken is None):
                    down, told, spoken = False, ts, None
            elif (
                not down
                and spoken is None
                and (listened and self.published[n] and kind in (LIQUIDATION, TRADE, BBO, TICKER) or self.says(row) & stream)
            ):
                spoken = ts
        if listened:
            spoken = told if spoken is None else spoken
        return NEVER if spoken is None else spoken if told is None else told

    def breaks(self, n, t, before, stream):
        """When something of a stream was lost, places in the log."""
        out, down = [], False
        for k, (_, kind, *f) in enumerate(self.entries(n, t, before)):
            if kind == FEED and (f[1] == 0 or f[1] & stream):
                if f[0] != UP or down:
                    out.append(k)
                down = f[0] == DOWN or down and f[0] == GAP
        return out
