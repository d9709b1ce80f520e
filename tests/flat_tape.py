"""A tape for tests, made the plain way from events: the columns that a sweep reads."""

import numpy as np
from liqcore.event import EVENT_DTYPE, Kind


class FlatTape:
    """trades(n), quotes(n), rare, place, start, end, instruments, as liqcore.Tape has them. The events must be such as the door lets in."""

    def __init__(self, instruments, events):
        self.instruments = tuple(instruments)
        self.start, self.end = int(events["ts_recv"][0]), int(events["ts_recv"][-1])
        trade, quote = events["kind"] == Kind.TRADE, events["kind"] == Kind.BBO
        self.strips = []
        places = np.zeros((len(events), 2), np.int64)
        for n, i in enumerate(self.instruments):
            mine = events["instrument"] == n
            t, q = events[mine & trade], events[mine & quote]
            seen_t, seen_q = np.cumsum(mine & trade) - (mine & trade), np.cumsum(mine & quote) - (mine & quote)
            places[mine] = np.stack([seen_t, seen_q], axis=1)[mine]
            ticks = lambda p, i=i: np.array([i.ticks(x) for x in p], np.int32)  # noqa: E731
            lots = lambda x, i=i: np.array([i.lots(v + 1e-12) for v in x], np.int32)  # noqa: E731
            self.strips.append(({"ts": t["ts_recv"].copy(), "price": ticks(t["price"]), "lots": lots(t["qty"]), "side": t["side"].copy()},
                                {"ts": q["ts_recv"].copy(), "bid": ticks(q["price"]), "ask": ticks(q["aux_price"]), "trades_before": seen_t[mine & quote]}))
        dense = trade | quote
        self.rare = events[~dense].astype(EVENT_DTYPE)
        self.place = np.zeros(len(self.rare), [("trades_before", "i8"), ("quotes_before", "i8")])
        self.place["trades_before"], self.place["quotes_before"] = places[~dense].T

    def trades(self, n):
        return self.strips[n][0]

    def quotes(self, n):
        return self.strips[n][1]
