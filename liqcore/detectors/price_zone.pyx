"""The zone detector: see price_zone.pxd."""

from libc.math cimport INFINITY
from libc.stdint cimport INT64_MIN

from liqcore.detectors.detector cimport PART_PLAIN
from liqcore.kernels.realised_map cimport (density_above, density_below, density_free, density_init, density_load, density_push, density_save,
                                           density_zone, zone_t)
from liqcore.detectors.episode cimport episode_begin, episode_reset, episode_see, episode_emit
from liqcore.event cimport *

from liqcore.detectors.parameters import Parameter

SNAPSHOT_NAME = b"liqcore-zone-1\n"
PARAMETERS = (
    Parameter("step", 0.0, 0.0, 1e9, "quote currency", "width of a price cell (the document: 100); 0 = bin_bps"),
    Parameter("bin_bps", 10.0, 0.1, 1000.0, "bps", "width of a price cell if step is 0"),
    Parameter("cells", 2048, 128, 65_536, "a power of two", "number of cells of the map"),
    Parameter("half_life_s", 604_800.0, 0.0, 1e9, "s", "half-life of liquidated notional in the map; 0 = no decay"),
    Parameter("quantile", 0.9, 1e-9, 1 - 1e-9, "", "a cell is hot if its notional is at or above this quantile of the cells that are not empty"),
    Parameter("floor_usd", 0.0, 0.0, 1e15, "quote currency", "least notional of a hot cell"),
    Parameter("refresh_s", 60.0, 0.0, 1e8, "s", "time between two computations of the hot cells"),
    Parameter("occupied_min", 20, 1, 65_536, "cells", "least number of cells that are not empty before there are zones"),
    Parameter("zone_usd", 0.0, 0.0, 1e15, "quote currency", "least notional of a zone"),
    Parameter("sides", "matching", 0, 0, "", "matching: a falling price reaches zones of liquidated longs only, a rising price zones of shorts; "
              "any: all zones",
              ("matching", "any")),
    Parameter("away_s", 300.0, 0.0, 1e8, "s", "least time of the price outside all zones before ACTIVE (ours)"),
    Parameter("leave_bps", 50.0, 0.0, 5000.0, "bps", "distance beyond the zone's edge at which the price has left it (the document: 0.5 %)"),
    Parameter("cascade_share", 0.5, 0.0, 1e6, "of the zone's notional", "liquidations of the side since ACTIVE that count as a cascade "
              "through the zone (the share is ours)"),
    Parameter("stay_s", 3600.0, 1e-3, 1e8, "s", "longest episode (ours)"),
)
cdef int64_t NEVER = 0x7FFFFFFFFFFFFFFF


cdef class Zone(Detector):
    """Realised-liquidation zones. Zone(name="zone", **parameters); the parameters are the rows of price_zone.PARAMETERS.

    Signal: side = see price_zone.pxd: a trade along it is the bounce; long and short notional = liquidated in the zone; threshold = least notional of
    a hot cell; z of ACTIVE = notional of the zone over the threshold of its cells, of EXHAUSTED 1 bounced, -1 gone through, 0 neither; rolling =
    liquidated of the side since ACTIVE; count = cells of the zone. A liquidation counts at the last trade price (at its own price if no trade is
    known).
    """

    def __init__(self, str name="zone", **parameters):
        cdef zone_state_t d
        p = self.set_parameters("zone", name, PARAMETERS, parameters)
        try:
            self.cells = DensityConfig(step=p["step"], bin_bps=p["bin_bps"], cells=p["cells"], half_life_s=p["half_life_s"], quantile=p["quantile"],
                                       floor=p["floor_usd"], refresh_s=p["refresh_s"], occupied_min=p["occupied_min"])
        except ValueError as why:
            raise ValueError(f"detector zone, {why}") from None
        self.wants = 1 << <int> LIQUIDATION | 1 << <int> TRADE
        self.g = zone_config_t(leave=1.0 + p["leave_bps"] / 1e4, cascade_share=p["cascade_share"], zone_usd=p["zone_usd"],
                               away_ns=round(p["away_s"] * 1e9), stay_ns=round(p["stay_s"] * 1e9), any_side=p["sides"] == "any")
        self.set_state(SNAPSHOT_NAME, sizeof(d), more=1)
        self.add_part(PART_PLAIN, &d, &d.standing, sizeof(d.standing))

    def __dealloc__(self):
        cdef int n
        for n in range(self.count if self.states != NULL else 0):
            density_free(&(<zone_state_t*> self.states + n).density)

    cdef int begin_c(self, int32_t n, object instrument, uint8_t flags) except -1:
        cdef standing_t* s = &(<zone_state_t*> self.states + n).standing
        density_init(&(<zone_state_t*> self.states + n).density, &self.cells.c)
        episode_reset(&s.e, n, flags)
        s.ts_inside = INT64_MIN
        return 0

    cdef int leave(self, int32_t n, int64_t now, double verdict, uint8_t flags, signal_t* out) noexcept nogil:
        """End the episode."""
        cdef standing_t* s = &(<zone_state_t*> self.states + n).standing
        episode_emit(&s.e, now, EXHAUSTED, flags, verdict, s.through, out)
        s.e.phase = IDLE
        s.version = 0                                # the next trade looks up the zones around the price
        s.ts_inside = now
        return 1

    cdef int look(self, int32_t n, int64_t now, double price, uint8_t flags, signal_t* out) noexcept nogil:
        """A trade while idle that may matter: test whether the price is in a zone and has just entered it."""
        cdef standing_t* s = &(<zone_state_t*> self.states + n).standing
        cdef density_t* d = &(<zone_state_t*> self.states + n).density
        cdef zone_t z, near
        cdef int8_t side
        cdef bint away = s.ts_inside == INT64_MIN or now - s.ts_inside >= self.g.away_ns
        s.version = d.version
        s.inside = density_zone(d, price, &z)
        if not s.inside:
            s.free_low = near.high if density_below(d, price, &near) else 0.0
            s.free_high = near.low if density_above(d, price, &near) else INFINITY
            return 0
        s.free_low, s.free_high = z.low, z.high
        s.ts_inside = now
        if not away or not (s.previous >= z.high or 0.0 < s.previous < z.low):
            return 0                                 # the price was never outside, or not for long enough: it does not return to the zone
        side = LONG if s.previous >= z.high else SHORT
        if z.long_notional + z.short_notional < self.g.zone_usd or (
                not self.g.any_side and (z.long_notional > z.short_notional if side < 0 else z.short_notional > z.long_notional)):
            return 0
        episode_begin(&s.e, now, side, s.e.sequence + 1)
        s.e.long_notional, s.e.short_notional, s.e.threshold = z.long_notional, z.short_notional, d.threshold
        s.e.count = <int32_t> (z.last - z.first + 1)
        s.low, s.high, s.held, s.through = z.low, z.high, z.long_notional + z.short_notional, 0.0
        return episode_emit(&s.e, now, ACTIVE, flags, s.held / (d.threshold * s.e.count), 0.0, out)

    cdef int push_c(self, const event_t* e, double notional, const market_t* m, uint8_t flags, signal_t* out) noexcept nogil:
        cdef int32_t n = e.instrument
        cdef standing_t* s = &(<zone_state_t*> self.states + n).standing
        cdef int emitted = 0
        if e.kind == LIQUIDATION:
            episode_see(&s.e, e, m, flags)
            density_push(&(<zone_state_t*> self.states + n).density, &self.cells.c, e.ts_recv, e.side, s.e.price, notional)
            if s.e.phase == ACTIVE and e.side == s.e.side:
                s.through += notional
                if s.through >= self.g.cascade_share * s.held:
                    return self.leave(n, e.ts_recv, -1.0, flags, out)
            return 0
        s.e.price = e.price
        if s.e.phase == ACTIVE:
            if e.price > s.high * self.g.leave:
                emitted = self.leave(n, e.ts_recv, 1.0 if s.e.side > 0 else -1.0, flags, out)
            elif e.price < s.low / self.g.leave:
                emitted = self.leave(n, e.ts_recv, -1.0 if s.e.side > 0 else 1.0, flags, out)
        elif s.version != (<zone_state_t*> self.states + n).density.version or e.price < s.free_low or e.price >= s.free_high:
            emitted = self.look(n, e.ts_recv, e.price, flags, out)
        elif s.inside:
            s.ts_inside = e.ts_recv
        s.previous = e.price
        return emitted

    cdef int timer_c(self, int32_t n, int64_t now, signal_t* out) noexcept nogil:
        if self.deadline_c(n) <= now:
            return self.leave(n, now, 0.0, 0, out)
        return 0

    cdef int64_t deadline_c(self, int32_t n) noexcept nogil:
        cdef standing_t* s = &(<zone_state_t*> self.states + n).standing
        return s.e.ts_first + self.g.stay_ns if s.e.phase == ACTIVE else NEVER

    cdef void uncertain_c(self, int32_t n, int64_t until) noexcept nogil:
        cdef standing_t* s = &(<zone_state_t*> self.states + n).standing
        s.e.phase = IDLE
        s.e.uncertain_until = until
        s.previous = 0.0                             # the side from which the price came is not known
        s.version = 0

    cdef list save_parts(self, int32_t n):
        return [*Detector.save_parts(self, n), density_save(&(<zone_state_t*> self.states + n).density)]

    cdef int load_more(self, int32_t n, list parts) except -1:
        density_load(&(<zone_state_t*> self.states + n).density, parts[0])
        (<zone_state_t*> self.states + n).standing.e.instrument = n
        return 0
