"""Whether a stream of liquidations is alive, judged by its own rate (docs/uncertainty.md, Liquidations that stop).

    alive = Alive([("bybit", "BTCUSDT", "BTC"), ("bybit", "ETHUSDT", "ETH")])
    for change in alive.push(start_ns, rows):            # one bin of BIN_NS: rows of PULSE_DTYPE, one a contract
        change.suspect, change.contracts, change.since

A stream is the liquidations of one contract, or those of all contracts of a venue together. Each bin in which trades came is an opportunity: an event
comes in it with a chance that depends on what the market does in it and on how long the stream has been silent. The log odds of that chance are a
weighted sum of what describes the bin (columns ONE to YOUNG); the weights are learnt for each stream by itself (logistic regression, one step of
Newton's method an episode). The product of (1 - chance) over the bins of a silence is the probability of that silence (chain rule), however much
liquidations cluster, because each chance is that of a bin after a silence. Three things keep it from being taken for too small:

- the evidence of a silence is taken lower by CAUTION standard errors, which grow with the dispersion of the stream's own episodes; that of a venue is
  the lesser of its own and of what its contracts say together;
- a silence teaches only when it has ended, and one that was suspect only up to where it became so;
- the model grades itself: the evidence of silences that did end has a tail, and all evidence counts less by its length, and by MARGIN at least.

The state is a function of the bins in their order, and all of it stands in plain arrays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BIN_NS = 10_000_000_000
IMPROBABLE = 1e-6  # of a silence: from there on the stream is suspect
FINE, COARSE = 90, 16  # bins whose extremes are kept one by one (15 minutes), and how many blocks of FINE bins beside them
PASTS = (0, 4, COARSE)  # blocks that a price has to pass to be new: none beside the fine bins, an hour, four hours
EVENTS_MIN, BINS_MIN = 30, 360  # bins with an event, and bins altogether, before a stream is judged
HALF_LIFE = 3 * 8640  # bins after which what was learnt counts half: 3 days
PAUSE = 30  # bins without a trade of a whole venue after which its silences begin anew: 5 minutes, an outage
EPISODE = 90  # bins at least that are one observation of the dispersion
SILENT = 6  # bins of silence up to which it is young
# columns: NEW is two for each of PASTS, whether the price is new and how far it went; VENUE begins those that only a venue has
ONE, NEW, RANGE, TRADES, BEFORE, LOAD, OTHERS, OTHER_VENUES, AGE, YOUNG, WIDTH = 0, 1, 7, 8, 9, 10, 11, 12, 13, 14, 15
MOST = 4.0  # of how far, range and trades: logarithms of multiples of what is usual
USUAL = -4.0  # log odds of an event before anything is known
DOUBT = (0.1, 1.0)  # precision (1 / variance) of this guess, and of the guess that a column says nothing
CAUTION = 1.0  # standard error by which evidence is taken lower
DISPERSION = (20.0, 10.0)  # what scores of episodes vary by, and what they should: assumed before there are any
CHANCE_MAX = 0.95  # of one bin, as moves of several contracts have one cause
HEAVY = 2.0  # evidence from which on a silence belongs to the tail
TAIL = (10.0, 12.5)  # silences in the tail, and their excesses together, that are assumed before there are any
MARGIN = 1.1  # by which all evidence counts less at least: a busy stream has 10,000 silences a week, of which none may be suspect
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """A stream has become suspect, or speaks again. contracts: the places of those concerned; whole: they are all of the venue. since: receipt of
    the last event before the silence, or when the connection came up, ns. at: end of the bin, ns. chance: probability of the silence."""

    stream: int
    venue: str
    contracts: tuple[int, ...]
    whole: bool
    suspect: bool
    since: int
    at: int
    chance: float


class Alive:
    """contracts: (venue, symbol, asset) each, in the order of the rows that push() is given. The asset joins contracts of several venues."""

    def __init__(self, contracts: Sequence[tuple[str, str, str]]):
        n = self.count = len(contracts)
        self.venues = tuple(dict.fromkeys(venue for venue, _, _ in contracts))
        assets = list(dict.fromkeys(asset for _, _, asset in contracts))
        self.venue = np.array([self.venues.index(venue) for venue, _, _ in contracts], np.int64)
        self.asset = np.array([assets.index(asset) for _, _, asset in contracts], np.int64)
        self.streams = n + len(self.venues)  # contracts, then venues
        self.eligible = np.append(np.ones(n, bool), np.bincount(self.venue, minlength=len(self.venues)) > 1)
        self.high, self.low = np.full((FINE, n), -np.inf), np.full((FINE, n), np.inf)
        self.high_block, self.low_block = np.full((COARSE, n), -np.inf), np.full((COARSE, n), np.inf)
        self.at = np.zeros(2, np.int64)  # places of the next bin and of the next block in these
        self.reached = np.zeros(1, np.int64)  # begin of the last bin, ns
        self.still = np.zeros(len(self.venues))  # bins since a trade
        self.watched = np.zeros(n)  # bins since the first trade, or the first after an outage
        self.last, self.heard, self.range, self.trades = (np.zeros(n) for _ in range(4))  # bins with trades; what is usual in one
        self.before = np.zeros(n)  # how far the price of the last bin was new
        self.weights = np.zeros((self.streams, WIDTH))
        self.weights[:, ONE] = USUAL
        self.prior = np.diag(np.where(np.arange(WIDTH) == ONE, *DOUBT))
        self.known = np.tile(self.prior, (self.streams, 1, 1))  # precision of the weights
        self.cover = np.tile(np.linalg.inv(self.prior), (self.streams, 1, 1))  # its inverse
        self.pull, self.gain = np.zeros_like(self.weights), np.zeros_like(self.known)  # what the present episode says of weights and precision
        self.now, self.seen = np.zeros((self.streams, 2)), np.zeros((self.streams, 2))  # bins, and those with an event: of it, and of those before
        self.dispersion = np.tile(np.array(DISPERSION), (self.streams, 1))
        self.tail = np.tile(np.array(TAIL), (self.streams, 1))
        self.silent = np.full(self.streams, float(SILENT))  # bins; a connection that has come up is as silent as any
        self.longest = np.full(self.streams, float(SILENT))  # silence that has ended: nothing is known of longer ones
        self.total, self.slope = np.zeros(self.streams), np.zeros_like(self.weights)  # -log(1 - chance) summed over the silence; by the weights
        self.parts = np.append(np.full(n, np.inf), np.zeros(len(self.venues)))  # of a venue: the same by its contracts, summed
        self.evidence = np.zeros(self.streams)  # -log of the probability of the silence
        self.since = np.zeros(self.streams, np.int64)
        self.suspect = np.zeros(self.streams, bool)
        self.down = np.zeros(n, bool)

    # ---- connections ----

    def cut(self, contracts: Collection[int], ts: int, down: bool) -> list[int]:
        """The liquidations of these contracts were interrupted, or come again (down False): their silences end unjudged. Returns the streams that
        were suspect and are so no more. ts: ns."""
        places = np.array(sorted(contracts), np.int64)
        self.down[places] = down
        mine = self.down if down else ~self.down
        whole = [self.count + v for v in range(len(self.venues)) if v in self.venue[places] and mine[self.venue == v].all()]
        streams = np.array([*places, *whole], np.int64)
        was = self.suspect[streams]
        self._learn(streams[~was])
        self._forget(streams[was])
        self._begin(streams, SILENT)
        self.since[streams] = ts
        return [int(i) for i in streams[was]]

    # ---- bins ----

    def push(self, start_ns: int, rows: NDArray[np.void]) -> list[Change]:
        """One bin of all contracts, from start_ns on; a contract without trades says nothing. Which streams have become suspect, or speak again."""
        n, v = self.count, self.venue
        self._pause(start_ns, rows["trades"] > 0)
        live, event = np.zeros(self.streams, bool), np.zeros(self.streams, bool)
        live[:n] = (rows["trades"] > 0) & ~self.down & (self.watched > 0.0)
        event[:n] = (rows["liquidations"] > 0) & ~self.down
        live[n:] = np.bincount(v, live[:n], len(self.venues)) > 0
        event[n:] = np.bincount(v, event[:n], len(self.venues)) > 0
        since = np.where(event[:n], rows["ts_liquidation"], 0)
        x = self._columns(rows, live, event)
        chance = 1.0 / (1.0 + np.exp(-np.clip((x * self.weights).sum(axis=1), -30.0, 30.0)))
        self._weigh(live & ~self.held, event, x, chance)
        out = self._resumed(event, since, start_ns + BIN_NS)
        return out + self._doubt(start_ns + BIN_NS)

    @property
    def held(self) -> Flags:
        """Streams that are suspect, and those of a venue that is so as a whole."""
        return np.append(self.suspect[: self.count] | self.suspect[self.count :][self.venue], self.suspect[self.count :])

    def chances(self) -> Floats:
        """Of each stream's present silence."""
        return np.asarray(np.exp(-self.evidence / np.maximum(MARGIN, self.tail[:, 1] / self.tail[:, 0])))

    def _pause(self, start_ns: int, traded: Flags) -> None:
        """Prices and liquidations during an outage are unknown: silences that are not suspect begin anew."""
        some = np.bincount(self.venue, traded, len(self.venues)) > 0
        if self.reached[0]:
            self.still += max(0, (start_ns - int(self.reached[0])) // BIN_NS - 1)
        self.reached[0] = start_ns
        back = np.flatnonzero(some & (self.still >= PAUSE))
        self.still = np.where(some, 0.0, self.still + 1.0)
        if len(back):
            mine = np.append(np.isin(self.venue, back), np.isin(np.arange(len(self.venues)), back))
            self.watched[mine[: self.count]] = 0.0
            streams = np.flatnonzero(mine & ~self.held)
            self._learn(streams)
            self._begin(streams, SILENT)
            self.since[streams] = start_ns

    def _columns(self, rows: NDArray[np.void], live: Flags, event: Flags) -> Floats:
        """The inputs of the bin, for each stream. Of a venue: the most of any of its contracts, and what these let expect together."""
        n, v = self.count, self.venue
        x = np.zeros((self.streams, WIDTH))
        x[:, ONE] = 1.0
        self._market(rows, x[:n])
        some = event[:n]
        same = np.zeros((len(self.venues), int(self.asset.max()) + 1), bool)
        same[v[some], self.asset[some]] = True
        x[:n, OTHERS] = np.log1p(some.sum() - some)
        x[:n, OTHER_VENUES] = same.sum(axis=0)[self.asset] > same[v, self.asset]
        x[n:, OTHERS] = np.log1p(some.sum() - np.bincount(v, some, len(self.venues)))
        market = slice(ONE, LOAD)
        np.maximum.at(x[n:, market], v[live[:n]], x[:n, market][live[:n]])
        expected = np.where(live[:n], np.log1p(np.exp(np.minimum((x[:n, market] * self.weights[:n, market]).sum(axis=1), 30.0))), 0.0)
        x[n:, LOAD] = np.log(np.bincount(v, expected, len(self.venues)) + 1e-4) - USUAL
        x[:, AGE] = np.log1p(np.minimum(self.silent, self.longest))
        x[:, YOUNG] = self.silent < SILENT
        return x

    def _market(self, rows: NDArray[np.void], x: Floats) -> None:
        """How far prices went beyond those before, how far they ranged, and how many trades there were, each in multiples of what is usual."""
        known = self.last > 0.0
        traded = rows["trades"] > 0
        high, low = np.where(traded, rows["high"], self.last), np.where(traded, rows["low"], self.last)
        unit = np.where(high > 0.0, high, 1.0)
        span = (np.where(known, np.maximum(high, self.last), high) - np.where(known, np.minimum(low, self.last), low)) / unit
        span[self.watched == 0.0] = 0.0
        self.heard += traded
        share = traded / np.clip(self.heard, 1.0, HALF_LIFE)
        self.range += (span - self.range) * share
        self.trades += (rows["trades"] - self.trades) * share
        usual = np.maximum(self.range, 1e-12)
        top, bottom = self.high.max(axis=0), self.low.min(axis=0)
        for k, blocks in enumerate(PASTS):
            if blocks:
                places = (self.at[1] - 1 - np.arange(blocks)) % COARSE
                top, bottom = np.maximum(top, self.high_block[places].max(axis=0)), np.minimum(bottom, self.low_block[places].min(axis=0))
            beyond = np.maximum(high - top, bottom - low) / unit
            new = np.isfinite(beyond) & (beyond > 0.0) & (self.watched >= FINE * max(1, blocks))
            x[:, NEW + 2 * k] = new
            x[:, NEW + 2 * k + 1] = np.where(new, _times(np.where(new, beyond, 0.0), usual), 0.0)
        x[:, RANGE], x[:, BEFORE] = _times(span, usual), self.before
        x[:, TRADES] = _times(rows["trades"].astype(np.float64), np.maximum(self.trades, 1e-9))
        self.before = x[:, NEW + 1].copy()
        self.high[self.at[0]], self.low[self.at[0]] = np.where(traded, high, -np.inf), np.where(traded, low, np.inf)
        self.at[0] = (self.at[0] + 1) % FINE
        if not self.at[0]:
            self.high_block[self.at[1]], self.low_block[self.at[1]] = self.high.max(axis=0), self.low.min(axis=0)
            self.at[1] = (self.at[1] + 1) % COARSE
        self.last = np.where(traded, rows["last"], self.last)
        self.watched += (self.last > 0.0) & (traded | (self.watched > 0.0))

    def _weigh(self, open_: Flags, event: Flags, x: Floats, chance: Floats) -> None:
        """The bin as evidence, and as something to be learnt. open_: streams for which it is an opportunity."""
        n = self.count
        ready = self.eligible & (self.seen[:, 1] >= EVENTS_MIN) & (self.seen[:, 0] >= BINS_MIN)
        weight = np.where(event, np.maximum(chance, 0.25), chance) * (1.0 - chance)  # an unexpected event changes no weight much
        self.pull += np.where(open_, event - chance, 0.0)[:, None] * x
        self.gain += np.where(open_, weight, 0.0)[:, None, None] * (x[:, :, None] * x[:, None, :])
        self.now += np.stack([open_, open_ & event], axis=1)
        self.silent += open_
        quiet = open_ & ready & ~event
        each = np.where(open_, -np.log1p(-np.minimum(chance, CHANCE_MAX)), 0.0)
        self.total += np.where(quiet, each, 0.0)
        self.parts[n:] += np.where(quiet[n:], np.bincount(self.venue, each[:n], len(self.venues)), 0.0)
        self.slope += np.where(quiet, chance, 0.0)[:, None] * x
        spread = np.maximum(1.0, self.dispersion[:, 0] / self.dispersion[:, 1])
        error = np.sqrt(spread * np.einsum("si,sij,sj->s", self.slope, self.cover, self.slope))
        least = np.minimum(self.total - CAUTION * error, self.parts)
        self.evidence = np.where(quiet, np.maximum(self.evidence, least), self.evidence)

    def _resumed(self, event: Flags, since: Ints, at: int) -> list[Change]:
        """Silences that have ended."""
        n, ended = self.count, np.flatnonzero(event)
        if not len(ended):
            return []
        chance = self.chances()
        out = [self._change(int(i), False, at, float(chance[i])) for i in ended if self.suspect[i]]
        for i in (change.stream for change in out if change.whole):  # one cause: its contracts begin anew
            mine = np.flatnonzero((self.venue == i - n) & ~event[:n])
            self._begin(mine, SILENT)
            self._forget(mine)
            self.since[mine] = at
        self.longest[ended] = np.maximum(self.longest[ended], self.silent[ended])
        heavy = ended[self.evidence[ended] > HEAVY]
        self.tail[heavy] += np.stack([np.ones(len(heavy)), self.evidence[heavy] - HEAVY], axis=1)
        self._learn(ended[self.now[ended, 0] >= EPISODE])
        self._begin(ended, 0)
        self.since[:n] = np.maximum(self.since[:n], since)
        np.maximum.at(self.since, n + self.venue, since)
        return out

    def _doubt(self, at: int) -> list[Change]:
        """Silences that have become improbable."""
        chance = self.chances()
        new = np.flatnonzero(~self.suspect & (chance < IMPROBABLE))
        self.suspect[new] = True
        return [self._change(int(i), True, at, float(chance[i])) for i in new[::-1]]  # of a venue first

    def _change(self, stream: int, suspect: bool, at: int, chance: float) -> Change:
        whole = stream >= self.count
        mine = np.flatnonzero(self.venue == stream - self.count) if whole else np.array([stream])
        name = self.venues[stream - self.count if whole else int(self.venue[stream])]
        return Change(stream, name, tuple(int(k) for k in mine), whole, suspect, int(self.since[stream]), at, chance)

    def _learn(self, streams: Ints) -> None:
        """Applies the values learnt from the episodes of these streams."""
        fade = 0.5 ** (self.now[streams, 0] / HALF_LIFE)
        pull, gain = self.pull[streams], self.gain[streams]
        known = self.prior + (self.known[streams] - self.prior) * fade[:, None, None] + gain
        cover = np.linalg.inv(known)
        step = np.einsum("sij,sj->si", cover, pull)
        varied = np.stack([(step * pull).sum(axis=1), np.einsum("sij,sij->s", cover, gain)], axis=1)
        self.known[streams], self.cover[streams] = known, cover
        self.weights[streams] += step
        self.seen[streams] = self.seen[streams] * fade[:, None] + self.now[streams]
        self.dispersion[streams] = DISPERSION + (self.dispersion[streams] - DISPERSION) * fade[:, None] + varied
        self.tail[streams] = TAIL + (self.tail[streams] - TAIL) * fade[:, None]
        self._forget(streams)

    def _forget(self, streams: Ints) -> None:
        """The present episode begins anew."""
        for part in (self.pull, self.gain, self.now):
            part[streams] = 0.0

    def _begin(self, streams: Ints, silent: int) -> None:
        """A new silence."""
        for part in (self.total, self.slope, self.evidence):
            part[streams] = 0.0
        self.parts[streams] = np.where(streams < self.count, np.inf, 0.0)
        self.suspect[streams] = False
        self.silent[streams] = silent


def _times(value: Floats, usual: Floats) -> Floats:
    """The logarithm of 1 + how many times the usual a value is."""
    return np.asarray(np.minimum(np.log1p(value / usual), MOST))
