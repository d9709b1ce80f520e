"""The account side of the emulated venue without sockets: bytes in, bytes out, faults applied. The socket server and simulations in one process share it.

All times are market ns of the caller's clock and must not run backwards. What the venue says comes out of `take(now_ns)` when it is due:

    desk = Desk(exchange, Faults(seed, start_ns, script), times=Times(market_ns, utc_ns, speed))
    key = desk.open_account(10_000.0)
    session = desk.connect("/v5/trade", now_ns)              # None: the connection is refused
    desk.receive(session, b'{"op":"auth",...}', now_ns)      # one websocket text message of the client
    desk.request(7, Request("GET", "/v5/order/realtime", "category=linear", b"", headers), now_ns)
    desk.on_events(rows)                                     # market data (EVENT_DTYPE), before requests of the same time
    for to, what in desk.take(now_ns):                       # to: a Session, or the ticket (here 7) of a request
        ...                                                  # what: bytes = a text message; Response; Ending = the connection ends, without an answer
    desk.next_ns                                             # when to look again, whatever else happens
"""

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import orjson

from .account_faults import MESSAGES, Interference, Plan, Told, operation_of
from .faults import Fault, Faults
from .keys import BAD_PARAMETER, PERMISSION, Key, Refusal, Times, check_rest
from .limits import Limits, Room
from .session import PRIVATE_PATH, TRADE_PATH, PrivateSession, Session, TradeSession
