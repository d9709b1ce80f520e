"""The settings of the gateway. Durations are in time of the machine and the network; `patience` multiplies them all for a rehearsal faster than real
time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from liqcore.fees import MAKER_FEE, TAKER_FEE

NS = 1_000_000_000
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """run: prefix of our client order ids. name: of the state folder, which all its prefixes are made of, also those of images that were lost.

    recv_window_ms: as stamped on requests. margin_s: how much longer than the receive window a request may surface at the venue.
    answer_s: a request without a reply for so long is unknown. confirm_s: accepted, but not seen in the private stream for so long: ask.
    verify_s: a position whose stop is not confirmed for so long: ask for it. alarm_s: an unknown order not resolved by then is an alarm.
    period_s: of reconciliation; held_period_s: the same while a position is held; blind_period_s: while there is no private stream.
    overlap_s: executions are asked for from so long before the last reconciled moment. recheck_s, absent_s: between two readings (two askings for an
    order that is not there) that must agree. stale_s: answers may be so far behind in a storm. entry_age_s: an entry not sent by then is refused.
    call_timeout_s: for an answer; first_timeout_s: for that to a question that may be asked again at once, the first two times, then ever longer.
    again_s: first pause before a question that failed is asked again.
    maker_fee, taker_fee: shares of the value, for executions whose fee the venue does not say.
    leverage: per symbol or for all (""), set at the start; none or 0 = left as it is. rescue_stop: distance, as a share of the
    mark price, of a stop for one of our positions whose bracket is lost. watch_clock: False where market time is not wall time (a rehearsal).
    seed: of the jitter of back-offs.
    """

    run: str
    name: str = ""
    recv_window_ms: int = 5000
    margin_s: float = 2.0
    patience: float = 1.0
    answer_s: float = 2.0
    confirm_s: float = 2.0
    verify_s: float = 0.2
    alarm_s: float = 30.0
    period_s: float = 30.0
    held_period_s: float = 5.0
    blind_period_s: float = 5.0
    recheck_s: float = 1.0
    absent_s: float = 0.5
    stale_s: float = 15.0
    overlap_s: float = 60.0
    entry_age_s: float = 1.0
    call_timeout_s: float = 5.0
    first_timeout_s: float = 1.0
    again_s: float = 0.25
    ping_s: float = 20.0
    handshake_s: float = 10.0
    clock_period_s: float = 60.0
    clock_warn_ms: float = 250.0
    clock_max_ms: float = 1000.0
    watch_clock: bool = True
    instruments_period_s: float = 600.0
    special_treatment: bool = False  # contracts that the venue watches over may be entered
    leverage: Mapping[str, float] = field(default_factory=dict)
    rescue_stop: float = 0.005
    maker_fee: float = MAKER_FEE
    taker_fee: float = TAKER_FEE
    order_rate: float = 10.0  # REST order requests a second that the account may make
    query_rate: float = 40.0
    stop_rate: float = 10.0
    seed: int = 0

    def again_ns(self, tries: int, longest_s: float = 5.0) -> int:
        """Pause before a question that has failed so many times is asked again."""
        return self.ns(min(longest_s, self.again_s * 1.6 ** min(tries, 16)))

    def timeout_s(self, tries: int) -> float:
        """For the answer to a question that has failed so many times."""
        return min(self.first_timeout_s * 1.6 ** min(max(0, tries - 1), 16), self.call_timeout_s)

    def ns(self, seconds: float) -> int:
        """A duration in ns, stretched by the patience."""
        return int(seconds * self.patience * NS)
