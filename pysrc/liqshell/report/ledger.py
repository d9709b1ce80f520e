"""From audit records to the ledger: cascades, and brackets with their orders, fills and trades. It contains only values of the stream, no estimates.

The stream is read by columns: of each kind the needed fields, never record by record. The order of records is that of their positions in the stream;
`latest` finds the last row of the same object before a position.
"""

from collections import Counter
from typing import Any

import numpy as np

from liqcore import AUDIT_DTYPE, AuditKind, Control, FeedState, OrderStatus, Phase, Reason, Role
from liqcore.audit import DECLINED_DTYPE, GAVE_WAY, VIEWS, rows
from liqcore.event import Stream
from liqshell.report.run import Run
from liqshell.report.stories import (
    BRACKET_DTYPE,
    CASCADE_DTYPE,
    FILL_DTYPE,
    LARGE_DTYPE,
    ORDER_DTYPE,
    ORDER_MARKET,
    PHASE_DTYPE,
    STEP_DTYPE,
    TRADE_DTYPE,
    VERDICT_DTYPE,
    Ledger,
)
from liqshell.report.unmet import REASONS, aside_names

ACTION_CREATE = 1
BRACKET_FLAT = 0
#: a policy is asked at every phase; that it wants nothing is news only while the cascade is ACTIVE
UNASKED = (int(Reason.NO_TRADE), int(Reason.PHASE), int(Reason.ASK_LATER), int(Reason.POLICY_LEAVE))
ENDED = (OrderStatus.ORDER_CANCELLED, OrderStatus.ORDER_REJECTED, OrderStatus.ORDER_DONE)
Row = Any  # a record as liqcore.audit.rows() gives it: its fields are those of its kind
Array = np.ndarray


class _Kind:
    """Records of one kind: their places in the stream, and their fields as columns."""

    def __init__(self, audit: Array, at: Array, dtype: np.dtype[Any]):
        self.audit, self.at, self.dtype = audit, at, dtype

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, name: str) -> Array:
        found: Array = self.audit.view(self.dtype)[name][self.at]
        return found

    def where(self, which: Array) -> "_Kind":
        return _Kind(self.audit, self.at[which], self.dtype)


def latest(keys: Array, at: Array, of_keys: Array, of_at: Array) -> Array:
    """For each key and place the index of the last of (of_keys, of_at) that has this key and a smaller place; -1 where there is none."""
    out = np.full(len(keys), -1)
    if not len(of_keys) or not len(keys):
        return out
    span = int(max(at.max(), of_at.max())) + 1
    order = np.lexsort((of_at, of_keys))
    k = np.searchsorted(of_keys[order] * span + of_at[order], keys * span + at) - 1
    good = (k >= 0) & (of_keys[order[k]] == keys)
    out[good] = order[k[good]]
    return out


def firsts(keys: Array) -> Array:
    """The index of the first of each key."""
    found: Array = np.unique(keys, return_index=True)[1]
    return found


def before(keys: Array, at: Array, of_keys: Array, of_at: Array) -> Array:
    """How many of (of_keys, of_at) have a smaller key, or this key and a smaller place: it rises where one lies between two places of a key."""
    if not len(of_keys) or not len(keys):
        return np.zeros(len(keys), np.int64)
    span = int(max(at.max(), of_at.max())) + 1
    found: Array = np.searchsorted(np.sort(of_keys * span + of_at), keys * span + at)
    return found


def next_of(keys: Array, at: Array, of_keys: Array, of_at: Array) -> Array:
    """For each key and place the index of the first of (of_keys, of_at) with this key and a larger place; -1 where there is none."""
    top = int(max(at.max(initial=0), of_at.max(initial=0))) + 1
    return latest(keys, top - at, of_keys, top - of_at)


class _Reader:
    """Fills a ledger, one part of it after the other: each method needs those above it."""

    def __init__(self, run: Run):
        self.run, self.ledger = run, Ledger(audit=run.audit)
        self.kinds = run.kinds
        self.count = len(run.instruments)
        self.answers: list[tuple[Array, Array, Array, Array]] = []  # place, cascade or -1, ts, reason
        self.marks: list[tuple[Array, Array, Array, Array]] = []  # place, instrument, ts, price

    def of(self, kind: int) -> _Kind:
        return _Kind(self.run.audit, np.flatnonzero(self.kinds == kind), VIEWS[AuditKind(kind)])

    def read(self) -> Ledger:
        refused = np.bincount(self.of(AuditKind.AUDIT_REFUSED)["reason"])
        self.ledger.refused_events.update({code: int(refused[code]) for code in np.flatnonzero(refused).tolist()})
        self.incidents()
        self.larges()
        self.cascades()
        self.policies()
        self.brackets()
        self.fills()
        self.orders()
        self.states()
        self.trades()
        self.verdicts()
        for _place, n, ts, price in self.last_marks():
            self.ledger.marks[n] = (ts, price)
        return self.ledger

    # ---- what has few records ----

    def incidents(self) -> None:
        ledger = self.ledger
        few = np.isin(self.kinds, (AuditKind.AUDIT_FEED, AuditKind.AUDIT_LIMIT, AuditKind.AUDIT_ALARM))
        for r in rows(self.run.audit[few]):
            if r.kind == AuditKind.AUDIT_FEED:
                ledger.feed.append((r.ts, r.instrument, r.phase, r.gap_s, int(r.streams)))
            elif r.kind == AuditKind.AUDIT_ALARM:
                ledger.alarms.append((r.ts, r.instrument, r.phase, r.value, r.limit))
            elif r.phase in (Control.CONTROL_PAUSE, Control.CONTROL_READY):
                ledger.gates.append((r.ts, r.instrument, r.phase, int(r.gate)))
            else:
                ledger.limits.append((r.ts, r.phase, r.reason, r.value, r.limit))

    def cuts(self) -> tuple[Array, Array, Array]:
        """Where the feed of liquidations of an instrument was interrupted: instruments, places and times."""
        feed = self.of(AuditKind.AUDIT_FEED)
        streams = feed["streams"].astype(np.int64)
        feed = feed.where((feed["phase"] != FeedState.FEED_UP) & ((streams == 0) | (streams & Stream.STREAM_LIQUIDATION != 0)))
        every = feed["instrument"] == -1
        times = np.where(every, self.count, 1)
        each = np.concatenate([np.arange(k) for k in times.tolist()] or [np.zeros(0, int)])
        n = np.where(np.repeat(every, times), each, np.repeat(feed["instrument"], times))
        return n.astype(np.int64), np.repeat(feed.at, times), np.repeat(feed["ts"], times)

    # ---- cascades ----

    def larges(self) -> None:
        """The large liquidations by instrument, and the chains of them: the detector counts from 1 again."""
        found = self.of(AuditKind.AUDIT_LARGE)
        n = found["instrument"]
        order = np.argsort(n, kind="stable")
        found, n = found.where(order), n[order]
        larges = np.empty(len(found), LARGE_DTYPE)
        for name, field in (("ts", "ts"), ("ts_event", "id"), ("side", "side"), ("price", "price"), ("notional", "notional")):
            larges[name] = found[field]
        starts = np.flatnonzero((found["count"] == 1) | (np.diff(n, prepend=-2) != 0))
        self.chains = n[starts].astype(np.int64), found.at[starts], starts, np.append(starts[1:], len(n))
        self.naming = np.unique(found["detector"])  # detectors that name their large liquidations: the cascade's
        self.ledger.large_rows, self.ledger.larges = larges, len(larges)

    def cascades(self) -> None:
        signals = self.of(AuditKind.AUDIT_SIGNAL)
        signals = signals.where(signals["side"] != 0)  # without one: a bar, a moment at which a policy is asked, and no event of the market
        n, detector = signals["instrument"].astype(np.int64), signals["detector"].astype(np.int64)
        lapsed = self.of(AuditKind.AUDIT_LAPSED)
        self.ledger.lapsed = len(lapsed)
        wide = int(max(detector.max(initial=0), lapsed["detector"].max(initial=0))) + 1
        order = np.argsort(n * wide + detector, kind="stable")
        signals, n, detector = signals.where(order), n[order], detector[order]
        key, at, phase = n * wide + detector, signals.at, signals["phase"]
        lapses = lapsed["instrument"].astype(np.int64) * wide + lapsed["detector"], lapsed.at
        cuts, cut_at, cut_ts = self.cuts()
        new = np.diff(key, prepend=-1) != 0
        new[1:] |= np.diff(signals["id"]) != 0
        new[1:] |= phase[:-1] == Phase.EXHAUSTED
        new |= np.diff(before(n, at, cuts, cut_at), prepend=0) > 0
        active = phase == Phase.ACTIVE
        seen = np.cumsum(active) - active  # a candidate lapses, a cascade that was active does not
        seen -= np.maximum.accumulate(np.where(new, seen, 0))
        new |= (np.diff(before(key, at, *lapses), prepend=0) > 0) & (seen == 0)
        starts = np.flatnonzero(new)
        lasts = np.append(starts[1:], len(at))[: len(starts)] - 1
        table = np.zeros(len(starts), CASCADE_DTYPE)
        table["instrument"], table["detector"], table["start"] = n[starts], detector[starts], signals["id"][starts]
        for name in ("side", "long_notional", "short_notional", "count", "threshold", "z", "score", "price"):
            table[name] = signals[name][lasts]
        which, ts = np.cumsum(new) - 1, signals["ts"]
        at_active = np.flatnonzero(active)[::-1]
        table["active"][which[at_active]] = ts[at_active]
        self.endings(
            table,
            (key[starts], n[starts]),
            (at[starts], at[lasts]),
            np.where(phase[lasts] == Phase.EXHAUSTED, ts[lasts], 0),
            lapses,
            lapsed["ts"],
            (cuts, cut_at),
            cut_ts,
        )
        chain = latest(n[starts], at[starts], *self.chains[:2])
        named = np.isin(detector[starts], self.naming) & (chain >= 0)
        table["first"][named], table["last"][named] = self.chains[2][chain[named]], self.chains[3][chain[named]]
        table["bracket"] = table["unmet"] = table["awaited"] = -1
        rank = np.argsort(at[starts], kind="stable")  # in order of their beginning
        number = np.empty(len(rank), np.int64)
        number[rank] = np.arange(len(rank))
        self.ledger.cascade_rows, self.begins = table[rank], at[starts][rank]
        self.signals = signals, number[which]
        phases = np.empty(len(at), PHASE_DTYPE)
        phases["cascade"], phases["ts"], phases["phase"] = number[which], ts, phase
        self.ledger.phase_rows = phases[np.argsort(phases["cascade"], kind="stable")]
        self.marks.append((at, n, ts, signals["price"]))

    def endings(
        self,
        table: Array,
        keys: tuple[Array, Array],
        places: tuple[Array, Array],
        exhausted: Array,
        lapses: tuple[Array, Array],
        lapse_ts: Array,
        cuts: tuple[Array, Array],
        cut_ts: Array,
    ) -> None:
        """When each cascade was over. places: of its first and last signal; exhausted: the time of the last signal if it was EXHAUSTED. Until the
        next of its detector it may lapse, where it was never active, or its feed be interrupted."""
        (key, n), (begin, last) = keys, places
        same = np.append(key[1:] == key[:-1], False) if len(key) else np.zeros(0, bool)
        limit = np.full(len(key), len(self.kinds))
        limit[:-1][same[:-1]] = begin[1:][same[:-1]]
        cut = next_of(n, last, *cuts)
        cut[cut >= 0] = np.where(cuts[1][cut[cut >= 0]] < limit[cut >= 0], cut[cut >= 0], -1)
        first, final = next_of(key, last, *lapses), latest(key, limit, *lapses)
        void = (table["active"] != 0) | (first < 0)
        void[~void] = lapses[1][first[~void]] > limit[~void]
        table["ended"] = exhausted
        interrupted = (exhausted == 0) & (cut >= 0)
        both = interrupted & ~void
        interrupted[both] = cuts[1][cut[both]] < lapses[1][first[both]]
        table["ended"][interrupted] = cut_ts[cut[interrupted]]
        table["ended"][~void] = lapse_ts[final[~void]]
        table["interrupted"] = interrupted

    def cascade_of(self, found: _Kind) -> Array:
        """The cascade that each answer is about: the last that began with its event, on its instrument."""
        table = self.ledger.cascade_rows
        which = np.unique(np.concatenate([table["start"], found["id"]]), return_inverse=True)[1] * (self.count + 1)
        which += np.concatenate([table["instrument"], found["instrument"]]) + 1
        return latest(which[len(table) :], found.at, which[: len(table)], self.begins)

    # ---- answers ----

    def policies(self) -> None:
        """The answers of policies and risk. Where risk agreed, `granted` keeps the wish until its entry is asked for."""
        found = self.of(AuditKind.AUDIT_POLICY)
        reason, named = found["reason"], np.zeros(len(found), bool)
        may = np.flatnonzero(np.isin(reason, REASONS))
        condition = _Kind(found.audit, found.at[may], DECLINED_DTYPE)["condition"]
        named[may] = condition != b""
        keep = ~np.isin(reason, UNASKED) | (found["phase"] == Phase.ACTIVE) | named
        keep[may[aside_names(condition)]] = False
        found, reason, named = found.where(keep), reason[keep], named[keep]
        cascade, ts = self.cascade_of(found), found["ts"]
        unasked, wanted = np.isin(reason, UNASKED), reason == Reason.OK
        self.answers.append(tuple(column[(unasked & (cascade >= 0)) | ~(unasked | wanted)] for column in (found.at, cascade, ts, reason)))
        named &= unasked & (cascade >= 0)
        codes = np.bincount(reason[named], minlength=256)
        self.ledger.named.update({code: int(codes[code]) for code in np.flatnonzero(codes).tolist()})
        later = named & (reason == Reason.ASK_LATER)
        self.ledger.cascade_rows["awaited"][cascade[later]] = found.at[later]
        self.ledger.cascade_rows["unmet"][cascade[named & ~later][::-1]] = found.at[named & ~later][::-1]
        judged = self.of(AuditKind.AUDIT_JUDGE)
        judged = judged.where(judged["reason"] != Reason.OK)
        self.answers.append((judged.at, self.cascade_of(judged), judged["ts"], judged["reason"]))
        self.risk(found.where(wanted), cascade[wanted])

    def risk(self, wishes: _Kind, wish_cascade: Array) -> None:
        found = self.of(AuditKind.AUDIT_RISK)
        n, reason = found["instrument"].astype(np.int64), found["reason"]
        seen = np.flatnonzero(~np.isin(reason, list(GAVE_WAY)) & (found["equity"] > 0))
        seen = seen[np.sort(firsts(n[seen]))]
        self.ledger.equities = dict(zip(n[seen].tolist(), found["equity"][seen].tolist(), strict=True))
        wish = self.unused((n, found.at), (wishes["instrument"].astype(np.int64), wishes.at))
        cascade = np.where(wish >= 0, np.append(wish_cascade, -1)[wish], self.cascade_of(found))
        self.answers.append((found.at, cascade, found["ts"], reason))
        agreed = reason == Reason.OK
        profit, stop = (np.where(wish >= 0, np.append(wishes[name], 0.0)[wish], 0.0)[agreed] for name in ("take_profit", "stop_loss"))
        self.granted = (n[agreed], found.at[agreed]), cascade[agreed], profit, stop

    @staticmethod
    def unused(users: tuple[Array, Array], of: tuple[Array, Array]) -> Array:
        """For each user (keys, places) the index of the last of `of` before it, -1 where there is none that no user before it has had."""
        found, earlier = latest(*users, *of), latest(*users, *users)
        spent = (found >= 0) & (earlier >= 0)
        spent[spent] = of[1][found[spent]] < users[1][earlier[spent]]
        return np.where(spent, -1, found)

    def verdicts(self) -> None:
        place, cascade, ts, reason = (np.concatenate(columns) for columns in zip(*self.answers, strict=True))
        order = np.argsort(place)
        cascade, ts, reason = cascade[order], ts[order], reason[order]
        against = reason[reason != Reason.OK]
        codes = np.bincount(against, minlength=1)
        self.ledger.refusals = Counter({int(against[k]): int(codes[against[k]]) for k in np.sort(firsts(against))})  # in order of appearance
        known = cascade >= 0
        table = np.empty(int(known.sum()), VERDICT_DTYPE)
        table["cascade"], table["ts"], table["reason"] = cascade[known], ts[known], reason[known]
        self.ledger.verdict_rows = table[np.argsort(table["cascade"], kind="stable")]

    # ---- brackets ----

    def brackets(self) -> None:
        """One for each first request of an entry; it contains the policy's wish and the state of the cascade."""
        asked = self.of(AuditKind.AUDIT_REQUEST)
        entry = asked.where((asked["id"] & 15 == Role.ROLE_ENTRY) & (asked["phase"] == ACTION_CREATE))
        key = self.key_of(entry)
        entry = entry.where(np.sort(firsts(key)))
        self.keys, self.opened_at = self.key_of(entry), entry.at
        self.sorted = np.argsort(self.keys)
        table = np.zeros(len(entry), BRACKET_DTYPE)
        table["instrument"], table["sequence"] = entry["instrument"], entry["id"] >> 12 & 0xFFFFFFF
        table["side"], table["opened"], table["qty"], table["state"] = entry["side"], entry["ts"], entry["qty"], 1
        granted, cascade, profit, stop = self.granted
        wish = self.unused((table["instrument"].astype(np.int64), entry.at), granted)
        had = wish >= 0
        table["cascade"] = -1
        table["cascade"][had], table["take_profit"][had], table["stop_loss"][had] = cascade[wish[had]], profit[wish[had]], stop[wish[had]]
        with_cascade = np.flatnonzero(table["cascade"] >= 0)
        which = table["cascade"][with_cascade]
        signals, of = self.signals
        stood = signals.where(latest(which, entry.at[with_cascade], of, signals.at))
        for name in ("threshold", "score", "z"):
            table[name][with_cascade] = stood[name]
        table["cascade_notional"][with_cascade], table["cascade_side"][with_cascade] = stood["long_notional"] + stood["short_notional"], stood["side"]
        self.ledger.cascade_rows["bracket"][which[::-1]] = with_cascade[::-1]
        self.ledger.bracket_rows = table
        self.requests, which = self.of_brackets(asked)
        told = self.requests["last_price"] > 0
        told_by = self.requests.where(told)
        self.marks.append((told_by.at, told_by["instrument"], told_by["ts"], told_by["last_price"]))
        self.request_bracket = which

    @staticmethod
    def key_of(found: _Kind) -> Array:
        """A bracket by its instrument and its sequence on it."""
        out: Array = (found["instrument"].astype(np.int64) << 28) | (found["id"] >> 12 & 0xFFFFFFF)
        return out

    def of_brackets(self, found: _Kind) -> tuple[_Kind, Array]:
        """The records that belong to a bracket, and to which."""
        if not len(self.keys):
            return found.where(np.zeros(len(found), bool)), np.zeros(0, np.int64)
        key = self.key_of(found)
        which = self.sorted[np.minimum(np.searchsorted(self.keys[self.sorted], key), len(self.keys) - 1)]
        known = (self.keys[which] == key) & (found.at >= self.opened_at[which])
        return found.where(known), which[known]

    def fills(self) -> None:
        found, which = self.of_brackets(self.of(AuditKind.AUDIT_FILL))
        self.filled, self.fill_bracket = found, which
        table = np.empty(len(found), FILL_DTYPE)
        table["bracket"], table["order"], table["reason"] = which, found["id"], found["phase"]
        for name in ("ts", "role", "side", "price", "qty", "fee", "flags"):
            table[name] = found[name]
        self.fill_order = np.argsort(which, kind="stable")
        self.ledger.fill_rows = table[self.fill_order]
        self.marks.append((found.at, found["instrument"], found["ts"], found["price"]))

    # ---- orders ----

    def orders(self) -> None:
        """The life of each order: created by a request, or by the first report of a stop that was attached to an entry."""
        asked, of = self.requests, self.request_bracket
        key = of << 12 | asked["id"] & 0xFFF
        create = asked["phase"] == ACTION_CREATE
        made, made_key = asked.where(create), key[create]
        reports, bracket = self.of_brackets(self.of(AuditKind.AUDIT_ORDER))
        report_key = bracket << 12 | reports["id"] & 0xFFF
        orphan = np.flatnonzero(latest(report_key, reports.at, made_key, made.at) < 0)
        orphan = orphan[firsts(report_key[orphan])]
        attached = reports.where(orphan)
        at, keys = np.concatenate([made.at, attached.at]), np.concatenate([made_key, report_key[orphan]])
        table = np.zeros(len(at), ORDER_DTYPE)
        for name, column in (("id", "id"), ("side", "side"), ("created", "ts"), ("qty", "qty")):
            table[name] = np.concatenate([made[column], attached[column]])
        table["bracket"], table["role"] = keys >> 12, table["id"] & 15
        table["type"][: len(made)], table["last_price"][: len(made)] = made["order_type"], made["last_price"]
        self.placed = keys, at
        mine = latest(report_key, reports.at + 1, keys, at)
        amends = np.flatnonzero(~create & (asked["qty"] > 0))
        amended = latest(key[amends], asked.at[amends], keys, at)
        amends, amended = amends[amended >= 0], amended[amended >= 0]
        quantities = amended, asked.at[amends], asked["qty"][amends]
        end = self.reported(table, reports, mine)
        self.executed(table, end, quantities)
        table["qty"][amended] = quantities[2]
        self.steps(made, reports, mine)
        flat, bracket = self.of_brackets(self.of(AuditKind.AUDIT_BRACKET))
        flat, bracket = flat.where(over := flat["phase"] == BRACKET_FLAT), bracket[over]
        closed = next_of(table["bracket"], at, bracket, flat.at)
        first = (closed >= 0) & (np.append(flat.at, 0)[closed] < end)
        table["ended"][first], table["reason"][first], table["rejected"][first] = flat["ts"][closed[first]], 0, False
        by = np.lexsort((at, keys))
        starts = np.flatnonzero(np.diff(keys[by], prepend=-1) != 0)
        kept = by[np.append(starts[1:], len(by))[: len(starts)] - 1]  # of a number that was used twice the last one, in the place of the first
        kept = kept[np.lexsort((at[by[starts]], table["bracket"][kept]))]
        number = np.full(len(table), -1)
        number[kept] = np.arange(len(kept))
        self.ledger.order_rows = table[kept]
        steps = self.all_steps[number[self.all_steps["order"]] >= 0]
        steps["order"] = number[steps["order"]]
        self.ledger.step_rows = steps[np.argsort(steps["order"], kind="stable")]

    def reported(self, table: Array, reports: _Kind, mine: Array) -> Array:
        """The venue's reports of each order, and where the order ended."""
        phase, ts, far = reports["phase"], reports["ts"], len(self.kinds)
        new = np.flatnonzero(phase == OrderStatus.ORDER_NEW)[::-1]
        acked_at = np.full(len(table), far)
        acked_at[mine[new]], table["acked"][mine[new]] = reports.at[new], ts[new]
        table["ack_ms"][mine[new]] = reports["latency_ms"][new]
        table["ack_ms"][table["role"] == Role.ROLE_STOP] = 0.0
        triggered = phase == OrderStatus.ORDER_TRIGGERED
        table["triggered"][mine[triggered]] = ts[triggered]
        # an amend or a cancel that is refused ends nothing: the order lives on
        ends = np.flatnonzero(np.isin(phase, ENDED) & ~((phase == OrderStatus.ORDER_REJECTED) & (acked_at[mine] < reports.at)))[::-1]
        end = np.full(len(table), far)
        end[mine[ends]], table["ended"][mine[ends]], table["reason"][mine[ends]] = reports.at[ends], ts[ends], reports["reason"][ends]
        table["rejected"][mine[ends]] = phase[ends] == OrderStatus.ORDER_REJECTED
        return end

    def executed(self, table: Array, end: Array, quantities: tuple[Array, Array, Array]) -> None:
        """The filled quantity of each order; the fill that completes it ends it."""
        found, key = self.filled, self.fill_bracket << 12 | self.filled["id"] & 0xFFF
        mine = latest(key, found.at, *self.placed)
        found, mine = found.where(mine >= 0), mine[mine >= 0]
        qty, order = found["qty"], np.argsort(mine, kind="stable")
        table["filled"] = np.bincount(mine, qty, len(table))
        total, grouped = qty[order], mine[order]
        starts = np.flatnonzero(np.diff(grouped, prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        for k in range(1, int(rank.max(initial=0)) + 1):  # in the order of the fills: each sum is rounded as it is when they come one by one
            at = np.flatnonzero(rank == k)
            total[at] += total[at - 1]
        amended = latest(grouped, found.at[order], quantities[0], quantities[1])
        wanted = np.where(amended >= 0, np.append(quantities[2], 0.0)[amended], table["qty"][grouped])
        done = np.flatnonzero((found["role"][order] == Role.ROLE_STOP) | (total >= wanted * (1 - 1e-9)))[::-1]
        at = np.full(len(table), len(self.kinds))
        ts = np.zeros(len(table), np.int64)
        at[grouped[done]], ts[grouped[done]] = found.at[order][done], found["ts"][order][done]
        first = at < end
        end[first], table["ended"][first], table["reason"][first], table["rejected"][first] = at[first], ts[first], 0, False

    def steps(self, made: _Kind, reports: _Kind, mine: Array) -> None:
        """Every price that an order had, by order and time."""
        new = reports["phase"] == OrderStatus.ORDER_NEW
        parts = ((np.arange(len(made)), made), (mine[new], reports.where(new)))
        order, at, ts, price = (np.concatenate(columns) for columns in zip(*((o, k.at, k["ts"], k["price"]) for o, k in parts), strict=True))
        good = price > 0
        order, at, ts, price = order[good], at[good], ts[good], price[good]
        by = np.lexsort((at, order))
        changed = (np.diff(order[by], prepend=-1) != 0) | (np.diff(price[by], prepend=0.0) != 0)
        by = by[changed]
        self.all_steps, self.step_at = np.empty(len(by), STEP_DTYPE), at[by]
        self.all_steps["order"], self.all_steps["ts"], self.all_steps["price"] = order[by], ts[by], price[by]
        self.order_types = np.zeros(len(self.placed[0])), np.zeros(len(self.placed[0]))
        self.order_types[0][: len(made)], self.order_types[1][: len(made)] = made["order_type"].astype(np.int64), made["last_price"]

    # ---- states, and what it came to ----

    def states(self) -> None:
        """How each bracket stood at the end."""
        table = self.ledger.bracket_rows
        found, which = self.of_brackets(self.of(AuditKind.AUDIT_BRACKET))
        table["state"][which], table["end"][which] = found["phase"], found["reason"]
        at, owner = np.concatenate([found.at, self.filled.at]), np.concatenate([which, self.fill_bracket])
        order = np.argsort(at)
        table["position"][owner[order]] = np.concatenate([found["position"], self.filled["position"]])[order]
        for name in ("stop_price", "target_price"):
            told = found[name] != 0.0
            table[name][which[told]] = found[name][told]
        over = found["phase"] == BRACKET_FLAT
        table["flat"][which[over]] = found["ts"][over]
        told = found["stop_price"] != 0.0
        self.stops = which[told], found.at[told], found["stop_price"][told]
        every = self.of(AuditKind.AUDIT_FUNDING)
        self.ledger.paid = every["instrument"], every["paid"]
        paid, which = self.of_brackets(every)
        table["funding"] = np.bincount(which, paid["paid"], len(table))
        fills = self.ledger.fill_rows
        table["fills"] = np.bincount(fills["bracket"], minlength=len(table))
        first = firsts(fills["bracket"])
        table["filled"][fills["bracket"][first]] = fills["ts"][first]
        entries = fills[fills["role"] == Role.ROLE_ENTRY]
        table["entries"] = np.bincount(entries["bracket"], minlength=len(table))
        first = firsts(entries["bracket"])
        table["entered"] = table["opened"]
        table["entered"][entries["bracket"][first]] = entries["ts"][first]

    def trades(self) -> None:
        """The closed round trips, in the order in which they ended."""
        found, which = self.of_brackets(self.of(AuditKind.AUDIT_TRADE))
        last = np.full(len(self.keys), -1)
        last[which] = np.arange(len(which))
        brackets = np.flatnonzero(last >= 0)
        found = found.where(last[brackets])
        rows = self.ledger.bracket_rows
        # the stream of a killed run may end between a trade and the step that says its bracket is over
        rows["flat"][brackets] = np.where(rows["flat"][brackets], rows["flat"][brackets], found["ts"])
        multiplier = np.array([i.multiplier for i in self.run.instruments], float)
        table = np.zeros(len(found), TRADE_DTYPE)
        table["bracket"] = brackets
        for name, column in (
            ("ts", "ts"),
            ("reason", "reason"),
            ("side", "side"),
            ("entry", "entry_price"),
            ("exit", "exit_price"),
            ("qty", "qty"),
            ("gross", "gross"),
            ("fees", "fees"),
            ("hold_s", "hold_s"),
        ):
            table[name] = found[column]
        table["entry_maker"], table["funding"] = found["entry_is_maker"] != 0, rows["funding"][brackets]
        table["entry_notional"] = table["entry"] * table["qty"] * multiplier[found["instrument"]]
        closed = np.full(len(rows), -1)
        closed[brackets] = found.at
        table["slippage"] = self.slippage(closed, multiplier)[brackets]
        table["net"] = table["gross"] - table["fees"] - table["funding"]
        with np.errstate(divide="ignore", invalid="ignore"):
            table["bps"] = np.where(table["entry_notional"] != 0, table["net"] / table["entry_notional"] * 1e4, 0.0)
        table = table[np.lexsort((brackets, rows["instrument"][brackets], rows["flat"][brackets]))]
        rows["trade"] = -1
        rows["trade"][table["bracket"]] = np.arange(len(table))
        self.ledger.trade_rows = table

    def slippage(self, closed: Array, multiplier: Array) -> Array:
        """Quote currency lost (> 0) or won against the price at which a taker order was decided: stops against their trigger, market orders
        against the last trade when they were asked for. Limit orders have none: they fill at their price. closed: place of each bracket's end, -1."""
        found, bracket = self.filled, self.fill_bracket
        counted = found.at < closed[bracket]
        found, bracket = found.where(counted), bracket[counted]
        end, role, price = closed[bracket], found["role"], found["price"]
        order = latest(bracket << 12 | found["id"] & 0xFFF, end, *self.placed)
        step, stop = latest(order, end, self.all_steps["order"], self.step_at), latest(bracket, end, self.stops[0], self.stops[1])
        trigger = np.where(step >= 0, np.append(self.all_steps["price"], 0.0)[step], np.where(stop >= 0, np.append(self.stops[2], 0.0)[stop], 0.0))
        types, last_price = (np.append(column, 0.0)[order] for column in self.order_types)
        meant = np.where(role == Role.ROLE_STOP, trigger, np.where(types == ORDER_MARKET, last_price, 0.0))
        taken = (order >= 0) & (meant > 0)
        with np.errstate(invalid="ignore"):
            cost = (price - meant) * found["side"] * found["qty"] * multiplier[found["instrument"]]
        return np.bincount(bracket[taken], cost[taken], len(closed))

    def last_marks(self) -> list[tuple[int, int, int, float]]:
        """The last market price of each instrument that the stream mentions, in order of place."""
        place, n, ts, price = (np.concatenate(columns) for columns in zip(*self.marks, strict=True))
        order = np.argsort(place)
        last = np.full(self.count, -1)
        last[n[order]] = order
        last = np.sort(last[last >= 0])
        return sorted(zip(place[last].tolist(), n[last].tolist(), ts[last].tolist(), price[last].tolist(), strict=True))


def read_ledger(run: Run) -> Ledger:
    """The cascades, brackets and trades of a run."""
    if run.audit.dtype != AUDIT_DTYPE:
        raise TypeError(f"audit: expected records of AUDIT_DTYPE, found {run.audit.dtype}")
    return _Reader(run).read()
