"""The words of the report for every code of the audit stream."""

from liqcore import Alarm, Control, FeedState, FillReason, Gate, Reason, Role, Side

#: short name for tables, and what it means
REASONS: dict[int, tuple[str, str]] = {
    Reason.OK: ("none", "no reason was given"),
    Reason.BAD_INSTRUMENT: ("unknown instrument", "an event for an instrument the run did not trade"),
    Reason.BAD_KIND: ("unknown kind", "an event of a kind the engine does not know"),
    Reason.BAD_SIDE: ("bad side", "neither long nor short"),
    Reason.BAD_PRICE: ("bad price", "not a number, infinite, zero or negative"),
    Reason.BAD_QTY: ("bad quantity", "not a number, infinite, zero or negative"),
    Reason.BAD_TIME: ("time went back", "its time of receipt is before that of the previous event"),
    Reason.BAD_BAND: ("implausible price", "too far from the last good price, and no other price confirms it"),
    Reason.BAD_BOOK: ("crossed book", "the best bid is at or above the best ask"),
    Reason.BAD_CODE: ("unknown code", "a report with a status the engine does not know"),
    Reason.NO_TRADE: ("policy gave no reason", "the policy wanted no trade and named no condition"),
    Reason.PHASE: ("wrong phase", "the policy does not act in this phase"),
    Reason.BRACKET_OPEN: ("already in a trade", "one open bracket per instrument"),
    Reason.COOLDOWN: ("cooldown", "too soon after the last trade of the instrument"),
    Reason.UNCERTAIN: ("feed was uncertain", "after a gap, entries wait until the detector has seen a whole window"),
    Reason.STALE_EVENT: ("event too old", "the liquidation behind the signal was received too late"),
    Reason.NO_PRICE: ("no price", "no trade price was known for the order"),
    Reason.BAD_BRACKET: ("contradictory bracket", "the numbers of the policy's bracket contradict one another"),
    Reason.NETTED: ("netted", "an opposite intent on the same instrument at the same moment cancelled it"),
    Reason.ASK_LATER: ("asked later", "the policy postponed its answer"),
    Reason.POLICY_LEAVE: ("policy leaves", "the policy asked to close its position or to withdraw its entry"),
    Reason.WEAKER: ("weaker", "its confidence was not above that of the open trade"),
    Reason.JUDGING: ("being judged", "waited for the judge's verdict"),
    Reason.VETOED: ("vetoed", "the judge refused the entry"),
    Reason.UNJUDGED: ("unjudged", "the judge gave no verdict in time"),
    Reason.REPLACING: ("replacing", "waited for the close of the weaker trade"),
    Reason.HALTED: ("halted", "entries were stopped by the kill switch or an operator"),
    Reason.RISK_QTY: ("below venue minimum", "the rounded size is below the venue's minimum"),
    Reason.RISK_NOTIONAL: ("order too large", "the order is above the notional limit of one order"),
    Reason.RISK_EXPOSURE: ("exposure limit", "positions and open entries together are above the limit"),
    Reason.RISK_POSITIONS: ("too many open brackets", "the limit on simultaneous brackets was reached"),
    Reason.RISK_RATE: ("order rate", "entries per minute"),
    Reason.RISK_PER_SIGNAL: ("orders per signal", "the limit on requests of one signal was reached"),
    Reason.RISK_DAILY_LOSS: ("daily loss limit", "no entries until the next UTC day"),
    Reason.RISK_WEEKLY_LOSS: ("weekly loss limit", "no entries until an operator resumes"),
    Reason.RISK_STALE_DATA: ("stale market data", "the last trade or quote of the instrument was too old"),
    Reason.RISK_COLLAR: ("price collar", "the entry was too far from the market"),
    Reason.RISK_LEVERAGE: ("leverage limit", "exposure is above the allowed multiple of equity"),
    Reason.END_TTL: ("entry expired", "not filled within its time to live, so cancelled"),
    Reason.END_TARGET: ("target", "take-profit filled"),
    Reason.END_STOP: ("stop", "stop-loss filled"),
    Reason.END_MAX_HOLD: ("max hold", "the longest holding time was reached, closed at market"),
    Reason.END_PHASE: ("cascade phase", "the cascade reached the exit phase"),
    Reason.END_POST_ONLY: ("would have crossed", "the venue refused the post-only entry"),
    Reason.END_CONTROL: ("operator", "kill switch or flatten"),
    Reason.END_UNPROTECTED: ("no stop", "the stop was rejected or missing: closed at market"),
    Reason.END_REPLACED: ("replaced", "a signal with higher confidence replaced it"),
    Reason.END_VENUE: ("venue", "the venue cancelled or rejected it"),
    Reason.END_REDUCE_ONLY: ("nothing to reduce", "the position was already gone"),
    Reason.END_LIQUIDATED: ("liquidated", "the venue liquidated the position: its margin was used up"),
    Reason.END_POLICY: ("policy", "the policy asked to close the position"),
    Reason.END_OUTSIDE: ("outside", "closed by another party: a person, another program, or the venue's auto-deleveraging"),
    Reason.NOT_READY: ("not ready", "a gate was closed: the connection to the venue was not healthy, or the timetable allowed no entries"),
    Reason.RISK_GUARD: ("guard", "the guard refused the request before it was sent"),
    Reason.STOP_PASSED: ("stop passed", "the price passed the stop before the entry was sent"),
    Reason.QUOTE_ENDED: ("quote had ended", "the best bid and ask were too old, cut off or contradicted by a trade"),
}

FILLS: dict[int, str] = {
    FillReason.FILL_CROSS: "crossed the spread",
    FillReason.FILL_THROUGH: "traded through",
    FillReason.FILL_TOUCH: "touched",
    FillReason.FILL_QUEUE: "queue consumed",
    FillReason.FILL_STOP: "stop triggered",
    FillReason.FILL_TIMEOUT: "closed at market: held too long",
    FillReason.FILL_LIQUIDATED: "liquidated by the venue",
    FillReason.FILL_CLOSE: "closed at market",
}

ALARMS: dict[int, str] = {
    Alarm.ALARM_UNPROTECTED: "no stop confirmed after a fill",
    Alarm.ALARM_UNKNOWN: "the venue did not answer a request",
    Alarm.ALARM_STUCK: "every attempt to place an exit failed",
    Alarm.ALARM_OVERFILL: "more was sold than bought",
    Alarm.ALARM_FOREIGN: "report for an order that is not ours",
    Alarm.ALARM_SIDE: "liquidation prices are on the wrong side of the mark price or the fill",
    Alarm.ALARM_EXECUTIONS: "too many executions to remember all of them",
    Alarm.ALARM_POLICY: "the policy or a Python detector raised an error: entries are halted",
    Alarm.ALARM_LATE: "a fill arrived for a bracket that had ended",
    Alarm.ALARM_LIQUIDATED: "the venue liquidated the position",
    Alarm.ALARM_OUTSIDE: "another party reduced the position",
    Alarm.ALARM_WAITING: "a policy postponed its answer too often, or too many answers wait",
    Alarm.ALARM_FILLS: "too few entries of the last 30 days were filled: entries are smaller from now on",
}

FEEDS: dict[int, str] = {FeedState.FEED_UP: "up", FeedState.FEED_DOWN: "down", FeedState.FEED_GAP: "gap"}
CONTROLS: dict[int, str] = {
    Control.CONTROL_HALT: "halted",
    Control.CONTROL_RESUME: "resumed",
    Control.CONTROL_FLATTEN: "flattened",
    Control.CONTROL_PAUSE: "paused",
    Control.CONTROL_READY: "ready",
    Control.CONTROL_LOWER: "limit lowered",
}
LOWERED = CONTROLS[Control.CONTROL_LOWER]
#: why entries are blocked, as it stands after "entries blocked:"
GATES: dict[int, str] = {
    Gate.GATE_START: "the account is not reconciled yet",
    Gate.GATE_PRIVATE: "no private stream",
    Gate.GATE_ORDERS: "no connection for orders",
    Gate.GATE_RECONCILE: "the venue did not answer, or its answer differs from our state",
    Gate.GATE_UNKNOWN: "the outcome of an order is unknown",
    Gate.GATE_CLOCK: "our clock differs from the venue's",
    Gate.GATE_RATE: "the venue refuses requests for a while",
    Gate.GATE_DISK: "too little free disk space",
    Gate.GATE_STALL: "the process did not run for a while",
    Gate.GATE_SYMBOL: "the contract does not trade",
    Gate.GATE_MARKET: "crossed or stale market",
    Gate.GATE_LATE: "trades arrive late",
    Gate.GATE_HOURS: "outside the hours of [hours]",
    Gate.GATE_BLACKOUT: "inside a window of [blackout]",
}
ENDS = "the run ends"


#: what decided the price of a fill of the simulated venue (FillFlag), as it stands in a table and in a sentence
RULES: dict[str, tuple[str, str]] = {
    "maker": ("resting order", "at the price of the resting order"),
    "quote": ("live quote", "against a live quote"),
    "print": ("next print", "no live quote: at the first later trade whose aggressor is on the order's side"),
    "moved": ("moved print", "no live quote and no such trade in time: at the last trade, moved by the spread against the order"),
}

#: what an order was for
ROLES: dict[int, str] = {
    Role.ROLE_ENTRY: "entry",
    Role.ROLE_STOP: "stop",
    Role.ROLE_TARGET: "target",
    Role.ROLE_CLOSE: "close",
    Role.ROLE_LIQUIDATION: "liquidation",
    Role.ROLE_OUTSIDE: "another party",
}


def reason(code: int) -> str:
    return REASONS[code][0] if code in REASONS else f"reason {code}"


#: refusals by limits of the account, which the sweep's kernel does not have
OF_ACCOUNT = tuple(
    reason(code)
    for code in (
        Reason.HALTED,
        Reason.RISK_EXPOSURE,
        Reason.RISK_POSITIONS,
        Reason.RISK_RATE,
        Reason.RISK_DAILY_LOSS,
        Reason.RISK_WEEKLY_LOSS,
        Reason.RISK_LEVERAGE,
    )
)


def gate(code: int, control: int, opened: bool) -> str:
    """Why entries are blocked. opened: whether the gate of the start was open before: what closes it then is the end of the run."""
    return ENDS if opened and code == Gate.GATE_START and control == Control.CONTROL_PAUSE else GATES.get(code, f"gate {code}")


def meaning(code: int) -> str:
    return REASONS[code][1] if code in REASONS else ""


def liquidated(side: int) -> str:
    """Never 'Buy' or 'Sell': venues disagree on whose side that is."""
    return {int(Side.LONG): "longs liquidated", int(Side.SHORT): "shorts liquidated"}.get(int(side), "side unknown")


def position(side: int) -> str:
    return "long" if side > 0 else "short"
