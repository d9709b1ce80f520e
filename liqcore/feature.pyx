"""Features: see feature.pxd."""

from libc.math cimport NAN


cdef class Features:
    """The features of some names for all instruments of one Engine.

    names: such as 'liquidations.liq_imbalance@15m:zscore'. ValueError for a name that is not known.
    """

    def __init__(self, names=()):
        for name in names:
            raise ValueError(f"feature {name!r}: no feature of this name")
        self.names = tuple(names)

    cdef int open_c(self, tuple instruments) except -1:
        """Allocate for these liqcore.Instruments."""
        return 0

    cdef void push_c(self, const event_t* e, double notional, const market_t* m) noexcept nogil:
        """One accepted event of a kind in `wants`; notional: of a liquidation, else 0."""

    cdef double read_c(self, int feature, int32_t instrument, int64_t now) noexcept nogil:
        """The feature (index into names) of an instrument at `now`; nan while it is not known."""
        return NAN

    cdef void gap_c(self, int32_t instrument, int64_t now) noexcept nogil:
        """Data of this instrument is missing up to now."""

    cdef bytes save_c(self):
        return b""

    cdef int load_c(self, bytes data) except -1:
        return 0
