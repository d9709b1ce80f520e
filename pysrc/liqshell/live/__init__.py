"""The live run: sockets, timers and signals around a pipeline, on a real or emulated venue.

    session      one run from the first subscription to the last line of its journal
    feed         the public feed of one venue      stream     one websocket of it: connect, subscribe, watch, again after every loss
    spin         busy polling, on request
    channel      one websocket of the account      rest     calls to the venue, signed as they are sent
    opening      the state folder and what has to hold before a run may trade
    account      the venue side of a run that trades: gateway, last hop, state, and the effects that the gateway asks for

No await stands between the bytes of a frame and the order that answers them: the compiled listener calls the sink in the read callback, and the sink
the last hop. What follows (recording, audit to disk, the gateway's books, progress) happens afterwards.
"""

from liqshell.live.instruments import fetch_instruments
from liqshell.live.session import Session

__all__ = ["Session", "fetch_instruments"]
