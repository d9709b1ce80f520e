"""The words of the report: every code of the audit stream as a person would say it."""

from liqcore import Alarm, Control, FeedState, FillReason, Gate, Reason, Role, Side

#: short name for tables, and what it means
REASONS: dict[int, tuple[str, str]] = {
    Reason.OK: ("none", "no reason was given"),
    Reason.BAD_INSTRUMENT: ("unknown instrument", "an event for an instrument the run did not trade"),
    Reason.BAD_KIND: ("unknown kind", "an event of a kind the engine does not know"),
    Reason.BAD_SIDE: ("bad side", "neither long nor short"),
    Reason.BAD_PRICE: ("bad price", "not a number, infinite, zero or negative"),
    Reason.BAD_QTY: ("bad quantity", "not a number, infinite, zero or negative"),
    Reason.BAD_TIME: ("time went back", "received before the event that came in front of it"),
    Reason.BAD_BAND: ("implausible price", "too far from the last good price, and alone"),
    Reason.BAD_BOOK: ("crossed book", "best bid at or above best ask"),
    Reason.BAD_CODE: ("unknown code", "a report with a status the engine does not know"),
    Reason.NO_TRADE: ("policy gave no reason", "the policy saw the signal, wanted nothing and named no condition"),
    Reason.PHASE: ("wrong phase", "the policy does not act in this phase"),
    Reason.BRACKET_OPEN: ("already in a trade", "one open bracket per instrument"),
    Reason.COOLDOWN: ("cooldown", "too soon after the last trade of the instrument"),
    Reason.UNCERTAIN: ("feed was uncertain", "after a gap nothing is entered until the detector has seen a whole window"),
    Reason.STALE_EVENT: ("event too old", "the liquidation behind the signal reached us too late"),
    Reason.NO_PRICE: ("no price", "no trade had been seen to place an order at"),
    Reason.BAD_BRACKET: ("contradictory bracket", "the policy asked for something that makes no sense"),
    Reason.NETTED: ("netted", "an opposite wish of the same moment on the same instrument cancelled it"),
    Reason.ASK_LATER: ("asked later", "the policy put its answer off"),
    Reason.POLICY_LEAVE: ("policy leaves", "the policy wanted its position closed, or took back what it waited to open"),
    Reason.WEAKER: ("weaker", "not more confident than the trade that was open"),
    Reason.JUDGING: ("being judged", "waited for an outside verdict"),
    Reason.VETOED: ("vetoed", "the outside judge said no"),
    Reason.UNJUDGED: ("unjudged", "no outside verdict came in time"),
    Reason.REPLACING: ("replacing", "waited until the weaker trade was closed"),
    Reason.HALTED: ("halted", "the kill switch or an operator had stopped entries"),
    Reason.RISK_QTY: ("below venue minimum", "the size rounds to less than the venue accepts"),
    Reason.RISK_NOTIONAL: ("order too large", "one order above its notional limit"),
    Reason.RISK_EXPOSURE: ("exposure limit", "all positions and open entries together"),
    Reason.RISK_POSITIONS: ("too many open brackets", "the limit on simultaneous instruments"),
    Reason.RISK_RATE: ("order rate", "entries per minute"),
    Reason.RISK_PER_SIGNAL: ("orders per signal", "more requests than one signal may cause"),
    Reason.RISK_DAILY_LOSS: ("daily loss limit", "latched until the next UTC day"),
    Reason.RISK_WEEKLY_LOSS: ("weekly loss limit", "latched until an operator resumes"),
    Reason.RISK_STALE_DATA: ("stale market data", "no fresh trade or quote of the instrument"),
    Reason.RISK_COLLAR: ("price collar", "the entry was too far from the market"),
    Reason.RISK_LEVERAGE: ("leverage limit", "exposure against equity"),
    Reason.END_TTL: ("entry expired", "not filled within its time to live, cancelled"),
    Reason.END_TARGET: ("target", "take-profit filled"),
    Reason.END_STOP: ("stop", "stop-loss filled"),
    Reason.END_MAX_HOLD: ("max hold", "held for the longest time allowed, closed at market"),
    Reason.END_PHASE: ("cascade phase", "the cascade reached the phase in which to leave"),
    Reason.END_POST_ONLY: ("would have crossed", "post-only entry refused by the venue"),
    Reason.END_CONTROL: ("operator", "kill switch or flatten"),
    Reason.END_UNPROTECTED: ("no stop", "the stop was rejected or missing: closed at market"),
    Reason.END_REPLACED: ("replaced", "a better signal took its place"),
    Reason.END_VENUE: ("venue", "cancelled or rejected by the venue"),
    Reason.END_REDUCE_ONLY: ("nothing to reduce", "the position was already gone"),
    Reason.END_LIQUIDATED: ("liquidated", "the venue closed the position by force: its margin was used up"),
    Reason.END_POLICY: ("policy", "the policy wanted to leave"),
    Reason.END_OUTSIDE: ("outside", "somebody else closed it: a person, another program, or the venue's deleveraging"),
    Reason.NOT_READY: ("not ready", "a gate was closed: the venue could not be trusted with an entry, or the timetable forbade one"),
    Reason.RISK_GUARD: ("guard", "refused in the last hop before the wire"),
    Reason.STOP_PASSED: ("stop passed", "the market stood beyond the stop of the entry before it could be sent"),
    Reason.QUOTE_ENDED: ("quote had ended", "the best bid and ask were too old, cut off or contradicted by a trade: nothing to enter against"),
}

FILLS: dict[int, str] = {FillReason.FILL_CROSS: "crossed the spread", FillReason.FILL_THROUGH: "traded through", FillReason.FILL_TOUCH: "touched",
         FillReason.FILL_QUEUE: "queue consumed", FillReason.FILL_STOP: "stop triggered", FillReason.FILL_TIMEOUT: "closed at market: held too long",
         FillReason.FILL_LIQUIDATED: "closed by force by the venue", FillReason.FILL_CLOSE: "closed at market"}

ALARMS: dict[int, str] = {Alarm.ALARM_UNPROTECTED: "no stop confirmed after a fill", Alarm.ALARM_UNKNOWN: "a request without an answer",
          Alarm.ALARM_STUCK: "attempts to place an exit used up", Alarm.ALARM_OVERFILL: "more sold than bought",
          Alarm.ALARM_FOREIGN: "report for an order that is not ours", Alarm.ALARM_SIDE: "liquidation prices on the wrong side of the mark or fill",
          Alarm.ALARM_EXECUTIONS: "more executions than can be remembered",
          Alarm.ALARM_POLICY: "the policy, or a detector in Python, raised an error: entries were halted",
          Alarm.ALARM_LATE: "a fill of a bracket that was believed to be over",
          Alarm.ALARM_LIQUIDATED: "the venue liquidated the position",
          Alarm.ALARM_OUTSIDE: "somebody else reduced the position",
          Alarm.ALARM_WAITING: "a policy put off without end, or too much waited",
          Alarm.ALARM_FILLS: "too few of the entries of 30 days were filled: entries are smaller from now on"}

FEEDS: dict[int, str] = {FeedState.FEED_UP: "up", FeedState.FEED_DOWN: "down", FeedState.FEED_GAP: "gap"}
CONTROLS: dict[int, str] = {Control.CONTROL_HALT: "halted", Control.CONTROL_RESUME: "resumed", Control.CONTROL_FLATTEN: "flattened",
                            Control.CONTROL_PAUSE: "paused", Control.CONTROL_READY: "ready",
                            Control.CONTROL_LOWER: "limit lowered"}
#: why entries were held back, as it stands after "entries held back:"
GATES: dict[int, str] = {Gate.GATE_START: "the account was not reconciled since the start", Gate.GATE_PRIVATE: "no private stream",
                         Gate.GATE_ORDERS: "no connection for orders", Gate.GATE_RECONCILE: "the venue could not be asked, or said otherwise",
                         Gate.GATE_UNKNOWN: "an order of unknown outcome", Gate.GATE_CLOCK: "the clock was off",
                         Gate.GATE_RATE: "the venue refused for now",
                         Gate.GATE_DISK: "too little disk", Gate.GATE_STALL: "the process stood still",
                         Gate.GATE_SYMBOL: "the contract did not trade", Gate.GATE_MARKET: "crossed or stale market",
                         Gate.GATE_LATE: "trades came late", Gate.GATE_HOURS: "not an hour of [hours]",
                         Gate.GATE_BLACKOUT: "a window of [blackout]"}
ENDS = "the run was ending"


#: what decided the price of a fill of the simulated venue (FillFlag), as it stands in a table and in a sentence
RULES: dict[str, tuple[str, str]] = {
    "maker": ("resting order", "at the price of an order that rested"),
    "quote": ("live quote", "against a quote that held"),
    "print": ("next print", "no quote held: at the first later trade of an aggressor of the order's own side"),
    "moved": ("moved print", "no quote held and no such trade came in time: at the last trade, moved by the spread against the order")}

#: what an order was for
ROLES: dict[int, str] = {Role.ROLE_ENTRY: "entry", Role.ROLE_STOP: "stop", Role.ROLE_TARGET: "target", Role.ROLE_CLOSE: "close",
                         Role.ROLE_LIQUIDATION: "liquidation", Role.ROLE_OUTSIDE: "somebody else"}


def reason(code: int) -> str:
    return REASONS[code][0] if code in REASONS else f"reason {code}"


def gate(code: int, control: int, opened: bool) -> str:
    """Why entries were held back. opened: whether the gate of the start was open before: what closes it then is the end of the run."""
    return ENDS if opened and code == Gate.GATE_START and control == Control.CONTROL_PAUSE else GATES.get(code, f"gate {code}")


def meaning(code: int) -> str:
    return REASONS[code][1] if code in REASONS else ""


def liquidated(side: int) -> str:
    """Never 'Buy' or 'Sell': venues disagree on whose side that is."""
    return {int(Side.LONG): "longs liquidated", int(Side.SHORT): "shorts liquidated"}.get(int(side), "side unknown")


def position(side: int) -> str:
    return "long" if side > 0 else "short"
