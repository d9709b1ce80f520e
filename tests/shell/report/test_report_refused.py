"""The report draws nothing that the engine's door refused: neither its price, nor its notional, nor as the mark of what is open."""

import json

import numpy as np
import pytest

import liqcore as lc
from liqshell.config.load import loads
from liqshell.recording.journal import Journal
from liqshell.recording.recorder import END, FEED, META, Recorder
from liqshell.report import load_run
from liqshell.report.ledger import read_ledger
from liqshell.report.prices import read_paths, tape_paths
from liqshell.run.pipeline import Pipeline, settings

S = lc.SECOND
T0 = 1_772_452_800 * S
ETH = lc.Instrument("ETHUSDT", venue="bybit", tick_size="0.01", lot_size="0.01", max_qty=724)


def trade(ts, price, qty="1"):
    ms = ts // 1_000_000
    return json.dumps(
        {
            "topic": "publicTrade.ETHUSDT",
            "type": "snapshot",
            "ts": ms,
            "data": [{"T": ms, "s": "ETHUSDT", "S": "Buy", "v": qty, "p": price, "L": "PlusTick", "i": f"{ts}", "BT": False, "seq": ms}],
        }
    ).encode()


def liquidation(ts, price, qty):
    ms = ts // 1_000_000
    return json.dumps(
        {"topic": "allLiquidation.ETHUSDT", "type": "snapshot", "ts": ms, "data": [{"T": ms, "s": "ETHUSDT", "S": "Buy", "v": qty, "p": price}]}
    ).encode()


def record(folder, odd):
    """Ten minutes of trades at 2000 and small liquidations; odd: frames in between, by second."""
    values = settings(loads("[detector]\nwarmup = 5\n"), (ETH,))
    pipeline = Pipeline(values, trust=True)
    book = Journal(
        folder,
        {
            "version": lc.__version__,
            "abi": lc.abi_version(),
            "mode": "paper",
            "venue": "bybit",
            "speed": 1.0,
            "settings": values,
            "instruments": values["instruments"],
            "started_ns": T0,
        },
    )
    with Recorder(folder / "frames") as recorder:
        recorder.mark(T0, META, values)
        recorder.mark(T0, FEED, {"state": 1, "ts_event": T0})
        pipeline.feed(lc.FeedState.FEED_UP, T0, T0)
        for n in range(600):
            at = T0 + n * S
            frames = [trade(at, f"{2000 + n % 7 / 100:.2f}")] + ([liquidation(at, "1999.5", "2")] if n % 10 == 0 else []) + odd.get(n, [])
            for k, frame in enumerate(frames):
                recorder.append(at + (k + 1) * 1_000_000, frame)
                pipeline.frame(frame, at + (k + 1) * 1_000_000)
        last = T0 + 600 * S
        pipeline.advance(last)
        recorder.mark(last, END, {})
    book.audit(pipeline.drain_audit())
    book.close(ended_ns=last, wall_ended_ns=0, counters={})
    return load_run(folder), pipeline.engine


@pytest.fixture
def odd():
    """A price thirty times too high, alone and as the last word; a liquidation of ten million; and one that is only large."""
    at = [T0 + n * S for n in range(600)]
    return {
        100: [trade(at[100], "60000.00")],
        200: [liquidation(at[200], "2000", "10000000")],
        300: [liquidation(at[300], "2000", "700")],
        599: [trade(at[599], "60000.00")],
    }


def test_what_the_door_refused_is_not_drawn(tmp_path, odd):
    run, engine = record(tmp_path / "odd", odd)
    assert engine.refused == {lc.Reason.BAD_BAND: 2, lc.Reason.BAD_QTY: 1}
    paths = read_paths(run, read_ledger(run))
    whole = paths.series[0][0]
    assert whole.high.max() == 200_006 and paths.last[0][1] < 2001.0 and paths.trades == 600
    assert whole.longs.sum() == pytest.approx(60 * 2 * 1999.5 + 700 * 2000)


def test_the_same_row_accepted_the_fifth_time_is_drawn_once(tmp_path):
    """Five prices that agree are a new level: the first four were refused, the fifth and what follows is the market."""
    at = T0 + 300 * S
    run, engine = record(tmp_path / "level", {300: [trade(at, "60000.00")] * 5})
    assert engine.refused.get(lc.Reason.BAD_BAND, 0) >= 4
    accepted = int(np.sum(run.of_kind(int(lc.AuditKind.AUDIT_REFUSED))["phase"] == int(lc.Kind.TRADE)))
    paths = read_paths(run, read_ledger(run))
    assert paths.trades == 605 - accepted and paths.series[0][0].high.max() == 6_000_000


def test_a_tape_is_drawn_by_the_same_rule(tmp_path, odd):
    """A tape that still holds the rows (another band made it) draws what the engine of the run took."""
    run, _ = record(tmp_path / "odd", odd)
    clean = read_paths(run, read_ledger(run))

    class Tape:
        def trades(self, n):
            ts = np.array([T0 + k * S + 1_000_000 for k in range(600)] + [T0 + 100 * S + 3_000_000, T0 + 599 * S + 2_000_000], np.int64)
            price = np.array([200_000 + k % 7 for k in range(600)] + [6_000_000, 6_000_000], np.int64)
            order = np.argsort(ts, kind="stable")
            return {"ts": ts[order], "price": price[order]}

        rare = np.zeros(0, lc.EVENT_DTYPE)

    drawn = tape_paths(run, read_ledger(run), Tape())
    assert drawn.series[0][0].high.tolist() == clean.series[0][0].high.tolist() and drawn.last[0][1] == clean.last[0][1] and drawn.trades == 600
