"""A block trade (`BT` of Bybit's publicTrade) was agreed on off the book. Whatever reads frames takes its price for none."""

import orjson
import pytest
from test_paper import Floor, both

import liqcore as lc
from liqcore.audit import AuditKind
from liqshell import formats
from liqshell.emulator.market.recording_feed import TapeFeed
from liqshell.recording import reader as recording
from liqshell.recording.recorder import Recorder
from liqshell.run.recorded_events import Collector, VenueReplay
from liqshell.run.sink import PaperSink
from liqshell.run.venue_source import Source

TS = 1_786_310_819_681_000_000
REAL, BLOCK = False, True
SPEC = {"venue": "bybit", "first": 0, "count": 1, "gap_ns": 60 * lc.SECOND, "watched": False}


def frame(*trades, ts_ms: int = TS // 1_000_000, symbol: str = "ETHUSDT") -> bytes:
    """publicTrade of these (price, taker bought, block)."""
    return orjson.dumps(
        {
            "topic": f"publicTrade.{symbol}",
            "type": "snapshot",
            "ts": ts_ms,
            "data": [
                {
                    "T": ts_ms,
                    "s": symbol,
                    "S": "Buy" if bought else "Sell",
                    "v": "5",
                    "p": f"{price:.2f}",
                    "L": "PlusTick",
                    "i": f"x{n}",
                    "BT": block,
                    "RPI": False,
                    "seq": n + 1,
                }
                for n, (price, bought, block) in enumerate(trades)
            ],
        }
    )


class Wired(Floor):
    """Paper trading whose trades come as Bybit's frames."""

    def __init__(self, side, **more):
        super().__init__(side, **more)
        self.source = Source(
            SPEC,
            ["ETHUSDT"],
            PaperSink(self.paper, 60 * lc.SECOND),
            True,
        )
        self.liquidate()  # the second is a large one
        self.wait(1.0)

    def sent(self, *prices, block):
        """Prices as for a long, in one frame; the takers are of the side that fills our entry."""
        self.now += 1
        self.source.frame(frame(*((self.price(price), self.side < 0, block) for price in prices)), self.now)
        self.wait(1.0)
        self.records += list(self.paper.engine.audit.drain())


@both
def test_a_block_trade_fills_no_paper_order(side):
    floor = Wired(side)  # an entry rests at 2496.25, as for a long
    before = floor.paper.engine.events
    assert floor.paper.engine.orders()[0]["status"] == "live"
    floor.sent(2400.0, 2300.0, block=BLOCK)
    assert not floor.fills() and floor.paper.engine.events == before
    assert floor.source.counters["dropped rows: trade off the market"] == 2 and floor.source.unread["other: trade off the market"] == 1
    floor.sent(2496.24, block=REAL)  # the same at the market does
    assert [fill[:2] for fill in floor.fills()] == [(1, 2496.25)]


@both
def test_a_block_trade_triggers_no_stop_and_reaches_no_target(side):
    floor = Wired(side)
    floor.sent(2496.24, block=REAL)
    floor.wait(1.0)
    floor.sent(2300.0, 2700.0, block=BLOCK)
    floor.wait(5.0)
    assert len(floor.fills()) == 1 and not floor.trades
    floor.sent(2489.0, block=REAL)  # beyond the stop
    floor.wait(30.0)
    floor.sent(2489.0, block=REAL)
    assert len(floor.trades) == 1 and floor.kinds(AuditKind.AUDIT_TRADE)[0]["reason"] == lc.Reason.END_STOP


@pytest.fixture
def recorded(tmp_path):
    with Recorder(tmp_path / "frames") as recorder:
        for n in range(20):
            ts = TS + n * lc.SECOND
            recorder.append(ts, frame((2500.0 + n, True, REAL), (3000.0, False, BLOCK), (2500.5 + n, False, REAL), ts_ms=ts // 1_000_000))
        recorder.append(ts + 1, frame((3000.0, True, BLOCK), ts_ms=ts // 1_000_000))
    return tmp_path / "frames"


def test_recordings_leave_block_trades_out_and_count_them(recorded):
    reading = formats.read(recorded)
    prices = [float(price) for _, _, events in reading for price in events["price"]]
    assert len(prices) == 40 and max(prices) < 2600.0
    assert reading.counts["row not used: trade off the market"] == 21
    into = Collector()
    replay = VenueReplay(Source(SPEC, ["ETHUSDT"], None, True), into)
    for record in recording.read(recorded):
        replay.take(record.frame, record.ts_recv, False)
    assert into.count == 40 and into.rows["price"][:40].max() < 2600.0


def test_the_emulator_matches_no_order_with_a_recorded_block_trade(recorded):
    """It is sent, as it was received; the venue's own orders and last price know nothing of it."""
    feed, rows = TapeFeed([recorded]), []
    feed.taps.append(rows.extend)
    feed.wanted = {"publicTrade.ETHUSDT"}
    sent = feed.until(TS + 100 * lc.SECOND)
    assert len(sent) == 21 and sum(b'"BT":true' in one.payload for one in sent) == 21
    assert len(rows) == 40 and max(row[1] for row in rows) < 260_000
