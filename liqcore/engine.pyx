"""The engine: see engine.pxd. What a caller from Python sees of it; the event path is in machine.pyx."""

from libc.string cimport memcpy

from liqcore.detect cimport CascadeDetector
from liqcore.event cimport *
from liqcore.instrument cimport qty_of
from liqcore.machine cimport clock_t
from liqcore.request cimport Request
from liqcore.sides cimport side_check_t
from liqcore.slot cimport slot_orders, slot_position, slot_restart, slot_t
from liqcore.trades cimport trade_identity, trade_pack, trade_unpack
from liqcore.waiting cimport tally_t

from liqcore import event as schema
from liqcore import slot as life
from liqcore.event import as_events
from liqcore.snapshot import pack, unpack

SNAPSHOT_NAME = b"liqcore-engine-4\n"
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Engine(Machine):
    """Recognises cascades in a stream of events and answers them with brackets.

    instruments: names or liqcore.Instrument; the index of each is what events carry; a symbol may be there once a venue. config: CascadeConfig, short
    for detectors=[CascadeDetector(config)], which is the default. detectors: Detector objects with different names. policy: a liqcore.Policy, several
    of them, or None for detection only. features: names that may be read with feature(), beside those that the policies declare.
    risk: liqcore.Risk. equity: starting capital. audit_capacity: records kept until drained (a power of two).
    band: a price more than this factor away from the last good one is refused. patience (1 to 1000): stretches the limits that measure the
    machine and the network, not the market (a stop's confirmation, an answer, back-offs), for rehearsals faster than real time; law L7 holds at 1.
    quote_age_s: a best bid and ask holds for so long at most (market.pxd says what else ends it).

    Feed it with on_liquidation(...), on_trade(...), ... (each returns the signals it caused), or run(array). Take the order requests with
    drain(), and bring the venue's answers back with on_order and on_fill. Time is data: nothing happens between calls.
    """

    cdef tuple take(self):
        """The signals of this call."""
        cdef int n
        if self.said_count == 0:
            return ()
        out = tuple([Signal.of(&self.said[n]) for n in range(self.said_count)])
        self.said_count = 0
        return out

    cdef tuple enter(self, int64_t ts_event, int64_t ts_recv, int instrument, uint8_t kind, int side, double price, double qty,
                     double aux_price, double aux_qty, int64_t id, uint8_t flags, uint8_t code):
        cdef event_t e
        e.ts_event = ts_event
        e.ts_recv = ts_recv
        e.price = price
        e.qty = qty
        e.aux_price = aux_price
        e.aux_qty = aux_qty
        e.id = id
        e.instrument = instrument
        e.kind = kind
        e.side = side if -128 <= side <= 127 else 0
        e.flags = flags
        e.code = code
        self.step_c(&e)
        return self.take()

    def run(self, events) -> list:
        """Feed an array of EVENT_DTYPE in order and return all signals."""
        cdef Py_ssize_t n, count
        cdef int k
        cdef size_t address
        cdef const event_t* e
        events = as_events(events)
        address = events.ctypes.data
        e = <const event_t*> address
        count = len(events)
        out = []
        for n in range(count):
            self.step_c(&e[n])
            if self.said_count:
                for k in range(self.said_count):
                    out.append(Signal.of(&self.said[k]))
                self.said_count = 0
        return out

    def drain(self) -> list:
        """Order requests decided since the last call, oldest first, as liqcore.Request objects for the embedder to send."""
        cdef request_t* r = self.next_request()
        out = []
        while r != NULL:
            out.append(Request.of(r, self.instruments[r.instrument]))
            r = self.next_request()
        return out

    @property
    def now(self):
        """Engine time, ns: the latest ts_recv or deadline."""
        return self.clock.now if self.clock.now > -NEVER else 0

    @property
    def next_deadline(self):
        """When advance() should be called next if nothing arrives before, ns; None = nothing is waiting."""
        cdef int64_t t = self.wake()
        return None if t == NEVER else t

    @property
    def events(self):
        """Accepted so far."""
        return self.clock.events

    @property
    def refused(self) -> dict:
        """What the door refused, by Reason."""
        return {schema.Reason(n): self.clock.refused[n] for n in range(32) if self.clock.refused[n]}

    def threshold(self, instrument, detector=1) -> float:
        """What a cascade detector (by name or number) will compare the instrument's next liquidation with; nan during warm-up."""
        d = self.bank.detectors[self.bank.place(detector)]
        if not isinstance(d, CascadeDetector):
            raise TypeError(f"detector {d.name!r}: only cascades have a threshold that is known ahead")
        return d.threshold(self._known(instrument))

    def phase(self, instrument, detector=1):
        """Phase of the instrument, by one detector (its name, or its number): of a cascade the one it is in, of others the last one said."""
        return schema.Phase(self.bank.phase(self.bank.place(detector), self._known(instrument)))

    def feature(self, str name, instrument) -> float:
        """A feature as known now, nan = not known yet; KeyError for one that neither the engine nor a policy declared."""
        if name not in self.known_features:
            raise KeyError(f"feature {name!r}: expected one of {', '.join(self.known_features) or 'none: no features are declared'}")
        return self.features.read_c(self.known_features[name][0], self._known(instrument), self.clock.now)

    def questions(self) -> list:
        """What waits for an outside verdict, oldest first, as dicts: id, ts (asked, ns), deadline (ns), instrument (index), symbol, side, confidence,
        notional, policy (place), detector (name), signal. Answer with on_verdict(ts, id, Judgment.JUDGE_CONFIRM) before the deadline."""
        return self.answers.questions()

    @property
    def verdicts(self) -> dict:
        """Questions and what became of them: asked, confirmed, vetoed, unjudged (no verdict in time), and verdicts ignored."""
        cdef tally_t* t = &self.answers.waiting.tally
        return {"asked": t.asked, "confirmed": t.confirmed, "vetoed": t.vetoed, "unjudged": t.unjudged, "ignored": t.ignored}

    @property
    def detectors(self) -> tuple:
        """Number k of a signal (signal.detector) is detectors[k - 1]."""
        return self.bank.detectors

    @property
    def policies(self) -> tuple:
        return self.answers.policies

    @property
    def policy(self):
        """The policy, the first of several, or None."""
        return self.answers.policies[0] if self.answers.policies else None

    def bracket(self, instrument) -> dict:
        """The instrument's bracket: state, side, quantity held (base units), cooldown_until (ns)."""
        cdef slot_t* s = &self.slot[self._known(instrument)]
        return {"state": life.BracketState(s.state), "side": s.spec.side, "held": qty_of(&self.inst[s.instrument], slot_position(s)),
                "sequence": s.sequence, "cooldown_until": s.cooldown_until, "end": schema.Reason(s.end)}

    def orders(self, instrument=None) -> list:
        """What is believed of each order of each open bracket, as dicts: id, role, instrument (index), symbol, side, status ('sent', 'live',
        'ended'), asked ('', 'amend', 'cancel': the request on its way), unknown, price (limit, or trigger of the stop; 0 = market), stop_price
        (attached to the entry), qty, filled, executed (base units), attempt, ts_asked (ns)."""
        which = range(self.count) if instrument is None else [self._known(instrument)]
        return [order for n in which for order in slot_orders(&self.slot[<int> n], &self.inst[<int> n], self.instruments[n].symbol)]

    def gates(self, instrument) -> tuple:
        """The Gates that are closed for the instrument, lowest first; empty = entries are allowed as far as gates go."""
        cdef int32_t closed = self.market[self._known(instrument)].gates
        return tuple([gate for gate in schema.Gate if closed & (1 << <int> gate)])

    cdef int _known(self, object instrument) except -1:
        cdef int n = self._index(instrument)
        if not 0 <= n < self.count:
            raise KeyError(f"instrument {instrument!r}: expected one of {', '.join(self.index)}")
        return n

    # ---- snapshot ----

    def _identity(self) -> bytes:
        """What a snapshot must have been taken with."""
        import json                     # not at import: the core starts in milliseconds

        return json.dumps({"abi": LIQCORE_ABI, "instruments": [i.as_dict() for i in self.instruments],
                           "detectors": [d.as_dict() for d in self.bank.detectors], "features": self.features.names, "band": self.band,
                           "patience": self.patience, "quote_age_ns": self.quote_age_ns}, sort_keys=True).encode()

    def snapshot(self) -> bytes:
        """Everything that decides what comes next (the audit ring's content and undrained requests are not part of it)."""
        cdef int64_t seq = self.audit.next_seq
        if self.out.head != self.out.tail:
            raise RuntimeError("snapshot: drain() the pending requests first, they would be lost")
        parts = [self._identity(), (<char*> &self.clock)[:sizeof(clock_t)], seq.to_bytes(8, "little"),
                 (<char*> self.market)[:self.count * sizeof(market_t)], (<char*> self.slot)[:self.count * sizeof(slot_t)],
                 (<char*> self.side_checks)[:self.venues * sizeof(side_check_t)], self.account.snapshot(), self.risk.snapshot(),
                 self.features.save_c(), self.answers.save()]
        return pack(SNAPSHOT_NAME, parts + self.bank.save())

    def restore(self, bytes data):
        """Continue where snapshot() was taken. ValueError (and nothing changed) for other instruments, settings or versions, or damage."""
        cdef int n
        cdef list parts = unpack(SNAPSHOT_NAME, data, "engine")
        sizes = [sizeof(clock_t), 8, self.count * sizeof(market_t), self.count * sizeof(slot_t), self.venues * sizeof(side_check_t)]
        if parts and parts[0] != self._identity():
            raise ValueError("engine snapshot: taken with other instruments or settings; make the Engine with the same ones: "
                             + parts[0].decode(errors="replace"))
        if len(parts) < 10 or [len(part) for part in parts[1:6]] != sizes:
            raise ValueError("engine snapshot: not one of this version of liqcore")
        # settings and checksum fit: what can still fail is a policy's own memory, which comes first
        self.answers.load(parts[9])
        self.bank.load(parts[10:])
        self.features.load_c(parts[8])
        self.want()
        self.account.restore(parts[6])
        self.risk.restore(parts[7])
        memcpy(&self.clock, <const char*> <bytes> parts[1], sizeof(clock_t))
        self.audit.next_seq = self.audit.read_seq = int.from_bytes(parts[2], "little")
        memcpy(self.market, <const char*> <bytes> parts[3], self.count * sizeof(market_t))
        memcpy(self.slot, <const char*> <bytes> parts[4], self.count * sizeof(slot_t))
        memcpy(self.side_checks, <const char*> <bytes> parts[5], self.venues * sizeof(side_check_t))
        self.out.head = self.out.tail = 0
        self.said_count = 0
        for n in range(self.count):
            self.reschedule(n)

    def trade_identity(self) -> bytes:
        """What trades are counted in: the first part of a trade_snapshot(), and the head of a state image."""
        return trade_identity(self.instruments)

    def trade_snapshot(self) -> bytes:
        """What must survive the process: brackets and their orders, account, risk's latch, the time. Not the market, not the detectors: those are
        learnt anew. Its parts are said in trades.pyx."""
        return trade_pack(self.instruments, self.clock.now, self.clock.halt_heeded, self.slot, self.account, self.risk)

    def trade_restore(self, bytes data):
        """Take up the trades where trade_snapshot(), or a state image, left them; resume() must follow. Instruments may have been added at the end.
        ValueError (and nothing changed) for others, another version, or damage."""
        cdef int n
        self.clock.now, self.clock.halt_heeded = trade_unpack(data, self.instruments, self.slot, self.account, self.risk)
        self.answers.waiting.forget()
        self.out.head = self.out.tail = 0
        for n in range(self.count):
            self.reschedule(n)

    def resume(self, int64_t now, double grace_s=2.0):
        """Call it after trade_restore(), before anything else: the world went on until `now`. Every request without an answer is of unknown outcome
        (see orders()), and nothing is sent about a trade for `grace_s` seconds (times patience), in which the venue is to be asked. Time to live and
        max hold are not forgotten: what is overdue then happens."""
        cdef int n
        if now < self.clock.now or not 0 <= now < TIME_MAX or not 0.0 <= grace_s <= 3600.0:
            raise ValueError(f"resume: expected a time from {self.clock.now} on and a grace of 0 to 3600 s, got {now} and {grace_s!r}")
        self.clock.now = now
        for n in range(self.count):
            slot_restart(&self.slot[n], <int64_t> (grace_s * self.patience * 1e9), now, self.out)
            self.reschedule(n)
