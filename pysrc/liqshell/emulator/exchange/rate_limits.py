"""Rate limits of the emulated venue: requests of an account to an endpoint in a rolling second, and requests of an address in five seconds."""

from collections import deque
from dataclasses import dataclass

NS = 1_000_000_000
# requests a second of an account without a VIP level; an order of a batch is one unit of the batch's own bucket
PER_SECOND = {
    "/v5/order/create": 10,
    "/v5/order/amend": 10,
    "/v5/order/cancel": 10,
    "/v5/order/cancel-all": 10,
    "/v5/order/create-batch": 10,
    "/v5/order/amend-batch": 10,
    "/v5/order/cancel-batch": 10,
    "/v5/order/realtime": 50,
    "/v5/order/history": 50,
    "/v5/execution/list": 50,
    "/v5/position/list": 50,
    "/v5/position/closed-pnl": 50,
    "/v5/position/trading-stop": 10,
    "/v5/position/set-leverage": 10,
    "/v5/position/switch-mode": 10,
    "/v5/account/wallet-balance": 50,
    "/v5/account/info": 50,
    "/v5/account/fee-rate": 5,
    "/v5/account/transaction-log": 50,
    "/v5/user/query-api": 10,
    "/v5/asset/coin/query-info": 5,
}
OTHERS_PER_SECOND = 50


@dataclass(frozen=True, slots=True)
class Room:
    """The rest of a limit after a request. granted: units of this request that were let through. reset_ns: when the next unit is free."""

    limit: int
    left: int
    granted: int
    reset_ns: int


class Rolling:
    """At most `limit` units in any window; what is refused does not count."""

    def __init__(self, limit: int, window_ns: int = NS) -> None:
        self.limit, self.window_ns = limit, window_ns
        self._at: deque[int] = deque()

    def take(self, now_ns: int, units: int = 1) -> Room:
        """Take units, or as many as there are."""
        at = self._at
        while at and at[0] <= now_ns - self.window_ns:
            at.popleft()
        granted = max(0, min(units, self.limit - len(at)))
        at.extend([now_ns] * granted)
        left = self.limit - len(at)
        return Room(self.limit, left, granted, now_ns if left else at[0] + self.window_ns)


class Limits:
    """The limits of every account and address. factor: of a VIP level, or of a test that should not feel them."""

    def __init__(self, factor: float = 1.0, ip_requests: int = 600, ip_window_ns: int = 5 * NS, socket_per_s: int = 3_000) -> None:
        self.factor, self.ip_requests, self.ip_window_ns, self.socket_per_s = factor, ip_requests, ip_window_ns, socket_per_s
        self._accounts: dict[tuple[int, str], Rolling] = {}
        self._ips: dict[str, Rolling] = {}
        self._sockets: dict[str, Rolling] = {}

    def endpoint(self, uid: int, path: str, now_ns: int, units: int = 1) -> Room:
        """A request of an account."""
        bucket = self._accounts.get((uid, path))
        if bucket is None:
            limit = max(1, int(PER_SECOND.get(path, OTHERS_PER_SECOND) * self.factor))
            bucket = self._accounts[uid, path] = Rolling(limit)
        return bucket.take(now_ns, units)

    def ip(self, ip: str, now_ns: int) -> bool:
        """Whether a REST request from that address is let in."""
        if ip not in self._ips:
            self._ips[ip] = Rolling(self.ip_requests, self.ip_window_ns)
        return self._ips[ip].take(now_ns).granted > 0

    def socket(self, ip: str, now_ns: int) -> bool:
        """Whether an order request from that address is let in (10403 otherwise)."""
        if ip not in self._sockets:
            self._sockets[ip] = Rolling(self.socket_per_s)
        return self._sockets[ip].take(now_ns).granted > 0
