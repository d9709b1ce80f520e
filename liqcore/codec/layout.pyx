"""Predicted layouts: a frame laid out like an earlier one is read by comparing its fixed text and parsing only its holes.

A layout is learnt from the holes (marks) that the general scanner of liqcore.codec.decode found, and accepts a subset of its frames. The layout
contains the row twice: once behind the text before the array, and once behind a comma.
"""

from libc.string cimport memcpy, memset


cdef inline int32_t find(const tables_t* t, const scan_name_t* name) noexcept nogil:
    cdef uint64_t at = scan_hash(name) & t.index_mask
    cdef int32_t number
    while True:
        number = t.index[at]
        if number < 0 or scan_name_same(name, <const scan_name_t*> (t.names + 32 * number)):
            return number
        at = (at + 1) & t.index_mask


cdef int32_t lookup(const tables_t* t, const uint64_t* name) noexcept nogil:
    """Number of the symbol whose 32 zero-padded bytes are `name`, -1 if it is not ours."""
    return find(t, <const scan_name_t*> name)


cdef int add_step(layout_t* layout, const char* src, int first, int stop, uint8_t hole, uint8_t slot, int hole_size) noexcept nogil:
    """Fixed text src[first:stop] and then a hole; long text takes several steps. Returns 0 if the layout is full."""
    cdef step_t* step
    cdef int size
    while True:
        if layout.count >= STEPS_MAX:
            return 0
        step = &layout.steps[layout.count]
        layout.count += 1
        size = stop - first if stop - first < 32 else 32
        memset(step, 0, sizeof(step_t))
        memcpy(step.text.text, src + first, size)
        step.text.size = <uint8_t> size
        step.text.mask = <uint32_t> ((<uint64_t> 1 << size) - 1)
        step.word = scan_load8(step.text.text)
        step.word_mask = ~<uint64_t> 0 if size >= 8 else (<uint64_t> 1 << (8 * size)) - 1
        first += size
        if first == stop:
            step.hole = COUNTED if hole == INTEGER and slot == NOWHERE else hole
            step.slot = slot
            step.guess = <uint8_t> hole_size if hole_size < 256 else 0
            return 1
        step.hole = NOTHING


cdef int add_rows(layout_t* layout, const mark_t* marks, int first, int stop, int entry, const char* src) noexcept nogil:
    """The steps of one row: the holes marks[first:stop], and then ROW_END. Its text begins at offset `entry`. Returns 0 if there is no room."""
    cdef int i, at = entry
    for i in range(first, stop):
        if not add_step(layout, src, at, marks[i].offset, marks[i].hole, marks[i].slot, marks[i].size):
            return 0
        at = marks[i].offset + marks[i].size
    return 1


cdef void learn(layout_t* layout, const mark_t* marks, int count, int resume, int32_t shape, const char* src, int n) noexcept nogil:
    """Make the layout of the frame just read the predicted one: the text between its holes is fixed. resume: offset behind the array of rows."""
    cdef int i, at = 0, has_time = 0, row_begin = -1, row_end = -1
    cdef uint8_t slot
    layout.shape = -1
    layout.count = 0
    layout.row_first = 0
    layout.row_tail = 0
    for i in range(count):
        if marks[i].hole == MILLIS and marks[i].slot == TS:
            has_time = 1
        elif marks[i].hole == ROW_BEGIN:
            row_begin = i
        elif marks[i].hole == ROW_END:
            row_end = i
    for i in range(count):
        if i == row_begin:
            continue
        slot = marks[i].slot
        if marks[i].hole == MILLIS and slot == TS_FALLBACK:
            slot = NOWHERE if has_time else TS
        if not add_step(layout, src, at, marks[i].offset, marks[i].hole, slot, marks[i].size):
            return
        at = marks[i].offset + marks[i].size
        if i == row_end:
            at = resume
            layout.row_tail = layout.count
    if not add_step(layout, src, at, n, FINISH, NOWHERE, 0):
        return
    if row_begin >= 0:
        layout.row_first = layout.count
        if row_end < 0 or not add_rows(layout, marks, row_begin + 1, row_end + 1, marks[row_begin].offset, src):
            return
    layout.shape = shape


cdef inline const char* read_value(const step_t* step, const char* p, slot_t* slots) noexcept nogil:
    """Read a number into its slot (times in ns), or skip it. Returns the position behind it, NULL if it is no number."""
    cdef uint32_t size
    if step.hole == DECIMAL:
        size = scan_decimal(p, &slots[step.slot].d)
        return p + size if size != 0 else NULL
    if step.hole == FLAG:
        size = flag_size(p)
        return p + size if size != 0 else NULL
    size = scan_integer_size(p) if step.hole == COUNTED else scan_integer(p, &slots[step.slot].i)
    if size == 0 or (step.hole == MILLIS and slots[step.slot].i > MILLIS_MAX):
        return NULL
    if step.hole == MILLIS:
        slots[step.slot].i *= 1000000
    return p + scan_guess(size, step.guess)   # times have 13 digits


cdef inline const text_t* read_side(const text_t* t, const char* p) noexcept nogil:
    """Which of the two neighbouring texts is here, or NULL. There is no branch between them, because sides alternate at random."""
    cdef uint64_t word = scan_load8(p)
    t += (word ^ scan_load8(t[0].text)) << (64 - 8 * t[0].size) != 0
    return t if (word ^ scan_load8(t.text)) << (64 - 8 * t.size) == 0 else NULL


cdef inline const text_t* read_word(const text_t* t, const char* p, uint8_t hole, int8_t* value) noexcept nogil:
    """Which of the neighbouring texts (two of a side, three of a claim) is here, and its meaning; NULL: none."""
    cdef const text_t* found = read_side(t, p)
    if found == NULL and hole == CLAIM and scan_same(p, t[2].text, t[2].mask):
        found = &t[2]
    if found != NULL:
        value[0] = found.value
    return found


cdef inline const char* skip_text(scan_window_t* window, const char* p) noexcept nogil:
    """The position behind plain text, at its closing quote."""
    cdef uint32_t stops
    while True:
        p = scan_near(window, p)
        stops = scan_stops(p)
        if stops:
            return p + __builtin_ctz(stops)
        p += 16


cdef inline int named(event_t* out, int rows, const shape_t* shape, int32_t instrument) noexcept nogil:
    """The rows, of the contract that the frame may have named behind them."""
    cdef int i
    if not shape.own:
        for i in range(rows):
            out[i].instrument = instrument
    return rows


cdef int predict(const tables_t* d, const layout_t* layout, const char* src, int n, int64_t ts_recv, event_t* out, int capacity) noexcept nogil:
    """Read a frame with the layout of an earlier one: compare its fixed text, parse the holes."""
    cdef scan_window_t window
    cdef slot_t slots[8]
    cdef scan_name_t name
    cdef const shape_t* shape = &d.shapes[layout.shape]
    cdef const step_t* step = &layout.steps[0]
    cdef const text_t* t
    cdef const char* p = scan_open(&window, src, n)
    cdef const char* name_text = NULL
    cdef int32_t instrument = -1
    cdef uint32_t name_size = 0
    cdef int rows = 0
    cdef int8_t side = shape.side, claimed = 0
    memset(slots, 0, sizeof(slots))
    while True:
        p = scan_near(&window, p)
        if (scan_load8(p) ^ step.word) & step.word_mask != 0:
            return REFUSED
        if step.text.size > 8 and not scan_same(p, step.text.text, step.text.mask):
            return REFUSED
        p += step.text.size
        if step.hole == DECIMAL or step.hole == MILLIS or step.hole == INTEGER or step.hole == COUNTED or step.hole == FLAG:
            p = read_value(step, p, slots)
            if p == NULL:
                return REFUSED
        elif step.hole == SYMBOL:
            if not scan_same(p, name_text, <uint32_t> ((<uint64_t> 1 << name_size) - 1)):
                return REFUSED
            p += name_size
        elif step.hole == SIDE or step.hole == CLAIM:
            t = read_word(&d.texts[step.slot], p, step.hole, &side if step.hole == SIDE else &claimed)
            if t == NULL:
                return REFUSED
            p += t.size
        elif step.hole == TEXT:
            p = skip_text(&window, p)
        elif step.hole == LOOKUP:
            name_size = scan_name(p, &name)
            if name_size == 0:
                return REFUSED
            instrument = find(d, &name)
            if instrument < 0:
                return REFUSED
            name_text = d.names + 32 * instrument
            p += name_size
        elif step.hole == ROW_END:
            if rows >= capacity:
                return FULL
            if claimed != 0 and claimed != side:
                return REFUSED
            emit(&out[rows], slots, shape, d.first + instrument, side, ts_recv)
            rows += 1
            if p[0] != 44 and p[0] != 93:
                return REFUSED
            step = &layout.steps[layout.row_first if p[0] == 44 else layout.row_tail]
            p += 1
            continue
        elif step.hole == FINISH:
            break
        step += 1
    if p != window.end:
        return REFUSED
    if shape.rows:
        return named(out, rows, shape, d.first + instrument)
    if capacity < 1:
        return FULL
    emit(out, slots, shape, d.first + instrument, side, ts_recv)
    return 1
