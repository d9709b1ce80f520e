"""The self-excitation detector in plain Python, on the plain kernel (oracle/hawkes.py)."""

from oracle import hawkes
from oracle.said import NS, Said, added

OWN = ("times", "back", "percentile", "estimate", "horizon_s", "large_share", "floor_usd", "check_s")


def shared_kernel(instruments, **parameters):
    return hawkes.Hawkes(instruments, **{k: v for k, v in parameters.items() if k not in OWN})


class Lane:
    def __init__(self, side):
        self.side, self.active, self.check, self.first, self.sequence, self.prints = side, False, 0, 0, 0, []


class ExcitedOracle:
    """Takes all parameters of the kind, as Detector.as_dict() has them. Instruments that excite each other share a kernel (shared_kernel)."""

    def __init__(self, kernel=None, instrument=0, **parameters):
        self.p, self.n = parameters, instrument
        self.kernel = kernel or shared_kernel(1, **parameters)
        self.lanes = {side: Lane(side) for side in (1, -1)}
        self.check_ns, self.price, self.until, self.sequence = round(parameters["check_s"] * NS), 0.0, 0, 0

    def statistic(self, ts, side):
        return hawkes.expected(self.kernel, ts, side, self.p["horizon_s"], self.n) / (self.kernel.rate(ts, side, self.n) * self.p["horizon_s"])

    def say(self, lane, ts, phase, value):
        lane.active = phase == "ACTIVE"
        notional = added(lane.prints)
        rolling = hawkes.expected(self.kernel, ts, lane.side, self.p["horizon_s"], self.n) * self.kernel.own[self.n].size_mean
        return Said(
            ts,
            lane.first,
            phase,
            lane.side,
            len(lane.prints),
            notional if lane.side > 0 else 0.0,
            notional if lane.side < 0 else 0.0,
            self.p["times"],
            value,
            self.price,
            rolling,
            lane.sequence,
            ts < self.until,
        )

    def advance(self, ts):
        out = []
        while (due := min((lane.check for lane in self.lanes.values() if lane.active), default=None)) is not None and due <= ts:
            for lane in self.lanes.values():
                if lane.active and lane.check <= due:
                    lane.check = due + self.check_ns
                    value = self.statistic(due, lane.side)
                    if value < self.p["back"]:
                        out.append(self.say(lane, due, "EXHAUSTED", value))
        return out

    def push(self, ts, side, notional, price=0.0):
        out, lane = self.advance(ts), self.lanes[side]
        self.price = price
        self.kernel.push(ts, side, notional, self.n)
        lane.check, value = ts + self.check_ns, self.statistic(ts, side)
        if lane.active:
            lane.prints.append(notional)
            return out + ([self.say(lane, ts, "EXHAUSTED", value)] if value < self.p["back"] else [])
        known = not self.p["percentile"] or self.kernel.percentile(self.p["estimate"], self.n) >= self.p["percentile"]
        if notional >= self.p["floor_usd"] and value >= self.p["times"] and known:
            self.sequence += 1
            lane.first, lane.sequence, lane.prints = ts, self.sequence, [notional]
            out.append(self.say(lane, ts, "ACTIVE", value))
        return out
