"""Half an hour at 60 times real time with faults: memory, heartbeats, queues. Run it with `pytest -m campaign tests/shell/live/test_live_soak.py -s`.

LIQCORE_SOAK_MINUTES (wall, default 30) shortens it.
"""

import json
import os
import time

import numpy as np
import pytest

import campaigns
import liqcore as lc
from liqshell.recording import journal
from liqshell.run import replay
from liqshell.state.control import Control
from live_process import Live, Venue, write_config

SPEED = 60.0
SETTLE_SHARE = 1 / 3  # of the time, in which caches and rings fill
GROWTH_MAX = 0.01
# entries that rest, and entries at market with a stop that is near: many of them wait for the rate budget while the price passes the stop
POLICIES = {"post_only": "entry_offset = 0.0003\n", "market": 'entry = "market"\nentry_offset = 0\nstop_loss = 0.0015\n'}
FAULTS = [
    {"kind": "lose_ack", "operation": "create", "probability": 0.05},
    {"kind": "late_ack", "delay_s": 0.05, "probability": 0.1},
    {"kind": "duplicate_private", "probability": 0.1},
    {"kind": "lose_private", "probability": 0.02},
    {"kind": "duplicate_liquidations", "probability": 0.05},
    {"kind": "execution_first", "delay_s": 0.02},
]


def faults(minutes):
    """The lasting ones, and every ten market minutes something that breaks."""
    out, at = list(FAULTS), 600.0
    while at < minutes * 60.0 * SPEED:
        for kind, more in (
            ("drop", {}),
            ("stall", {"duration_s": 30.0}),
            ("half_open", {"duration_s": 60.0}),
            ("book_restart", {}),
            ("drop", {"channel": "private"}),
            ("http_error", {"code": 503, "count": 3}),
            ("manual_trade", {"share": 0.3}),
            ("drop", {"channel": "trade"}),
            ("rate_limit", {"count": 2}),
        ):
            out.append({"kind": kind, "at_s": at, **more})
            at += 600.0
    return out


@pytest.mark.campaign
@pytest.mark.parametrize("entry", POLICIES)
def test_memory_heartbeats_and_queues_over_half_an_hour(tmp_path, entry):
    bounded = campaigns.seconds(1800.0) / 60.0
    minutes = float(os.environ.get("LIQCORE_SOAK_MINUTES", min(30.0, max(1.0, bounded))))
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(faults(minutes)))
    found = measure(tmp_path, minutes, file, POLICIES[entry])
    print(json.dumps(found))
    if minutes >= 10.0:  # before that a process is still touching what it allocated at its start
        assert found["growth"] < GROWTH_MAX, found
    assert found["missed_heartbeats"] == 0 and found["replay"], found
    assert found["sent"] > minutes and found["reports"] > minutes and found["reconnects"] > 0, found  # it traded, and the faults were there
    assert found["breach"] == "" and found["entries_last_fifth"] > 0, found  # nothing latched; it trades to the end
    assert found["held_back"] == found["calls_waiting"] == 0 and not found["naked"], found


def measure(folder, minutes, file, policy):
    """Samples twice a second; growth = median of the last tenth against the median right after settling."""
    with Venue("--seed", 5, "--speed", SPEED, "--lead-s", 1, "--faults", file) as venue:
        config = write_config(folder, venue, policy=policy)
        with Live(config, venue.keys(), out=folder / "run") as live:
            live.wait_reconciled()
            begun, samples, oldest = time.monotonic(), [], 0.0
            while time.monotonic() - begun < minutes * 60.0:
                assert live.process.poll() is None, live.words()
                control = Control(live.state)
                oldest = max(oldest, (time.monotonic_ns() - control.heartbeat_ns) / 1e9)
                control.close()
                samples.append(live.rss_kib())
                time.sleep(0.5)
            assert live.end(120.0) == 0, live.words()
        truth = venue.truth()
    settled = samples[int(len(samples) * SETTLE_SHARE) :]
    tenth = max(1, len(settled) // 10)
    first, last = sorted(settled[:tenth])[tenth // 2], sorted(settled[-tenth:])[tenth // 2]
    manifest = journal.load_manifest(folder / "run")
    account = manifest["account"]
    audit = np.fromfile(folder / "run" / journal.AUDIT, lc.AUDIT_DTYPE)
    asked = audit[(audit["kind"] == int(lc.AuditKind.AUDIT_REQUEST)) & (audit["x"][:, 7] == int(lc.Role.ROLE_ENTRY))]["ts"]
    late = audit["ts"][-1] - (audit["ts"][-1] - audit["ts"][0]) // 5
    return {
        "minutes": minutes,
        "rss_kib_first": first,
        "rss_kib_last": last,
        "rss_kib_max": max(samples),
        "growth": last / first - 1.0,
        "heartbeat_age_max_s": round(oldest, 3),
        "missed_heartbeats": int(oldest > 2.0),
        "replay": replay.prove(folder / "run").identical,
        "sent": account["sent"],
        "reports": account["reports"],
        "frames": manifest["counters"]["frames"],
        "reconnects": manifest["counters"]["reconnects"],
        "held_back": account["gateway"]["held_back"],
        "calls_waiting": account["gateway"]["calls_waiting"],
        "notices": account["notices"],
        "ended": manifest["ended"],
        "breach": account["breach"],
        "guard": account["guard"],
        "late": manifest["counters"].get("late"),
        "entries": len(asked),
        "entries_last_fifth": int((asked > late).sum()),
        "naked": [key for key, position in truth["positions"].items() if not position["stop_qty"]],
    }
