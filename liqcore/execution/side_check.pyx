"""The side check: see side_check.pxd."""

from libc.math cimport fabs

from liqcore.audit cimport AUDIT_ALARM
from liqcore.event cimport OK, audit_t
from liqcore.execution.order_state cimport ALARM_SIDE

cdef double AGREE_MIN = 0.9   # below: alarm. Real feeds stay above, except for stale marks in seconds of extreme moves
cdef double INVERTED = 0.5    # below: the sides are inverted, and every trade would be wrong: halt
# Measured (ETHUSDT, 2026-04): Binance's fills and part of OKX's bkPx lie within 3.4 bps of mark, on either side; bankruptcy prices 35-51 bps away
cdef double NEAR = 1e-3


cdef bint side_inverted(side_check_t* check, const event_t* e, double mark, AuditRing audit) noexcept nogil:
    """Count one liquidation; at the end of a sample raise the alarm if too few agree. True = trading must stop."""
    cdef bint inverted = False
    cdef bint stated = e.aux_qty > 0.0
    cdef double fair = e.price if stated else mark
    cdef double bad = e.aux_qty if stated else e.price
    cdef audit_t* a
    if fair <= 0.0 or fabs(fair - bad) <= NEAR * fair:
        return False
    check.sample += 1
    check.agree += (fair > bad) == (e.side > 0)
    if check.sample < SIDES_SAMPLE:
        return False
    if check.agree < AGREE_MIN * check.sample:
        a = audit.put(e.ts_recv, AUDIT_ALARM, OK, ALARM_SIDE, e.instrument, e.side, e.ts_event)
        a.of.alarm.value = <double> check.agree / check.sample
        a.of.alarm.limit = AGREE_MIN
        a.of.alarm.sample = check.sample
        inverted = check.agree < INVERTED * check.sample
    check.sample = check.agree = 0
    return inverted
