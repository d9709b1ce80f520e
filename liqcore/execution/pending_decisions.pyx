"""The table of pending decisions: see pending_decisions.pxd. Plain data of a fixed size, so that a snapshot is a copy."""

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF
cdef int64_t MICROSECOND = 1000


cdef class PendingDecisions:
    """count: instruments."""

    def __cinit__(self, int count):
        cdef int n
        self.count = count
        self.capacity = 64 + 4 * count
        self.each = <waiting_t*> calloc(self.capacity, sizeof(waiting_t))
        self.next_due = <int64_t*> calloc(count, sizeof(int64_t))
        if self.each == NULL or self.next_due == NULL:
            raise MemoryError(f"no memory for what waits of {count} instruments")
        for n in range(count):
            self.next_due[n] = NEVER

    def __dealloc__(self):
        free(self.each)
        free(self.next_due)

    cdef waiting_t* add(self, int what, const intent_t* w, int64_t due, int64_t now) noexcept nogil:
        """Add a decision. NULL if there is no room."""
        cdef waiting_t* x = &self.each[self.size]
        if self.size == self.capacity:
            return NULL
        self.size += 1
        memset(x, 0, sizeof(waiting_t))
        x.w = w[0]
        x.due = due
        x.since = now
        x.what = what
        if what == WAIT_VERDICT:
            # numbers follow the time, so that no number is used again after a restart; microseconds fit into a double
            self.tally.last = max(self.tally.last + 1, now // MICROSECOND)
            self.tally.asked += 1
            x.number = x.batch = self.tally.last
        self.next_due[w.s.instrument] = min(self.next_due[w.s.instrument], due)
        return x

    cdef void remove(self, int k) noexcept nogil:
        cdef int32_t n = self.each[k].w.s.instrument
        self.size -= 1
        memmove(&self.each[k], &self.each[k + 1], (self.size - k) * sizeof(waiting_t))
        self.schedule(n)

    cdef void schedule(self, int32_t n) noexcept nogil:
        cdef int k
        self.next_due[n] = NEVER
        for k in range(self.size):
            if self.each[k].w.s.instrument == n:
                self.next_due[n] = min(self.next_due[n], self.each[k].due)

    cdef int find(self, int what, int32_t n, int policy) noexcept nogil:
        """The first of a kind and instrument, and of a policy unless that is -1; -1 = none."""
        cdef int k
        if self.next_due[n] == NEVER:
            return -1
        for k in range(self.size):
            if self.each[k].what == what and self.each[k].w.s.instrument == n and (policy < 0 or self.each[k].w.policy == policy):
                return k
        return -1

    cdef int find_due(self, int32_t n, int64_t now) noexcept nogil:
        cdef int k
        for k in range(self.size):
            if self.each[k].w.s.instrument == n and self.each[k].due <= now:
                return k
        return -1

    cdef int find_question(self, int64_t number) noexcept nogil:
        cdef int k
        for k in range(self.size):
            if self.each[k].what == WAIT_VERDICT and self.each[k].number == number:
                return k
        return -1

    cdef bint confirmed(self) noexcept nogil:
        """Whether something confirmed waits for its batch."""
        cdef int k
        for k in range(self.size):
            if self.each[k].what == WAIT_BATCH:
                return True
        return False

    cdef int next_confirmed(self) noexcept nogil:
        """The next confirmed intent whose batch has no open question, or whose time is over: highest confidence first, then the lowest instrument,
        then the oldest; -1 = none."""
        cdef int k, j, best = -1
        cdef const waiting_t* x
        cdef const waiting_t* other
        for k in range(self.size):
            x = &self.each[k]
            if x.what != WAIT_BATCH:
                continue
            for j in range(self.size if x.due < NEVER else 0):
                if self.each[j].what == WAIT_VERDICT and self.each[j].batch == x.batch:
                    break
            else:
                other = &self.each[max(best, 0)]
                if best < 0 or x.w.b.confidence > other.w.b.confidence or (
                        x.w.b.confidence == other.w.b.confidence and x.w.s.instrument < other.w.s.instrument):
                    best = k
        return best

    cdef void mark(self, int32_t n, uint8_t flag) noexcept nogil:
        """Set a flag on the signals of an instrument's pending decisions."""
        cdef int k
        for k in range(self.size):
            if self.each[k].w.s.instrument == n:
                self.each[k].w.s.flags |= flag

    cdef void forget(self) noexcept nogil:
        cdef int n
        self.size = 0
        for n in range(self.count):
            self.next_due[n] = NEVER

    cdef bytes save(self):
        return (<char*> &self.tally)[:sizeof(tally_t)] + (<char*> self.each)[:self.size * sizeof(waiting_t)]

    cdef int load(self, bytes data, int policies, bint batches) except -1:
        """Load the bytes of save(); ValueError, and no change, unless they have as many instruments and only known policies. batches False: bytes of
        a version without batches, in which each question is by itself."""
        cdef Py_ssize_t stride = sizeof(waiting_t) - (0 if batches else sizeof(int64_t))
        cdef Py_ssize_t size = len(data) - <Py_ssize_t> sizeof(tally_t)
        cdef const char* saved = <const char*> data + sizeof(tally_t)
        cdef waiting_t x
        cdef int k
        if size < 0 or size % stride or size // stride > self.capacity:
            raise ValueError("engine snapshot: what waits is not of this version of liqcore")
        for k in range(size // stride):
            memcpy(&x, saved + k * stride, stride)
            if not 0 <= x.w.policy < policies or not 0 <= x.w.s.instrument < self.count:
                raise ValueError(f"engine snapshot: policy {x.w.policy} waits for its moment, this engine has {policies} of them")
        self.forget()
        memcpy(&self.tally, <const char*> data, sizeof(tally_t))
        self.size = size // stride
        for k in range(self.size):
            memcpy(&self.each[k], saved + k * stride, stride)
            if not batches:
                self.each[k].batch = self.each[k].number
        for k in range(self.count):
            self.schedule(k)
        return 0
