"""A run that trades and fails by a defect of its own, or cannot begin: it says so, and leaves the account to the watchdog."""

import asyncio
import logging
import threading

import numpy as np
import pytest

import liqcore as lc
from liqcore.event import REQUEST_DTYPE
from liqshell.config.load import loads
from liqshell.emulator.server import Config, serve
from liqshell.errors import VenueError
from liqshell.live import account as live_account
from liqshell.live.channel import Link
from liqshell.live.start import AccountFacts, Effect, ask_account, decide, refusal
from liqshell.recording import journal
from liqshell.state.control import Control, Life
from liqshell.state.store import Store
from liqshell.venues.effects import Channel
from live_rig import live, trade


def test_a_defect_in_the_gateway_is_no_good_end(tmp_path, caplog):
    """It was swallowed: the run ended "flat" with success, and told the watchdog that all was well."""

    class Defect(Exception):
        pass

    async def during(session):
        await session.account.ready.wait()

        def planted(*_):
            raise Defect("planted")

        session.account.gateway.on_frame = planted
        session.account._on_frame(Channel.PRIVATE, b"{}")  # as a socket hands it on
        await asyncio.sleep(60.0)

    with caplog.at_level(logging.ERROR, "liqshell.live"), pytest.raises(Defect, match="planted"):
        live(tmp_path / "run", 30, during=during)
    state = tmp_path / "state" / "test"
    assert any("fault of liqcore (Defect)" in record.message for record in caplog.records)
    control = Control(state)
    assert control.life != Life.NONE, "the watchdog was told goodbye"
    control.close()
    store = Store(state)
    assert store.rows("runs", last=1)[0]["ended"] == "failed"
    assert any(row["kind"] == "failed" for row in store.rows("notices", last=50))
    store.close()


def test_a_start_that_cannot_reconcile_says_what_it_waits_for(tmp_path, monkeypatch):
    connect = Link.connect
    monkeypatch.setattr(Link, "connect", lambda self: connect(self) if self.channel == Channel.ORDERS else None)
    with pytest.raises(VenueError, match=r"cannot be reconciled: not within 1.5 s \(.*") as refused:
        live(tmp_path / "run", 5, start_patience_s=1.5)
    assert "not known yet" in str(refused.value) or "connection" in str(refused.value), refused.value


def test_a_run_that_cannot_begin_leaves_nothing_open(tmp_path, monkeypatch):
    """The recorder's thread lived on, and run.json did not say how it ended."""

    def bind(self, *_):
        raise ValueError("planted")

    monkeypatch.setattr(live_account.LiveAccount, "bind", bind)
    with pytest.raises(ValueError, match="planted"):
        live(tmp_path / "run", 5)
    assert not [thread for thread in threading.enumerate() if thread.name == "liqcore-record"]
    assert journal.load_manifest(tmp_path / "run")["ended"] == "could not begin"


def test_a_run_that_is_stopped_before_it_has_reconciled_does_not_say_flat(tmp_path, monkeypatch):
    connect = Link.connect
    monkeypatch.setattr(Link, "connect", lambda self: connect(self) if self.channel == Channel.ORDERS else None)

    async def during(session):
        await asyncio.sleep(1.5)
        session.stop()

    live(tmp_path / "run", 30, during=during)
    store = Store(tmp_path / "state" / "test")
    assert store.rows("runs", last=1)[0]["ended"].startswith("before the account was reconciled")
    store.close()


@pytest.mark.parametrize(
    ("code", "said", "effect"),
    [
        (10002, "our clock differs from the venue's", Effect.WAIT),
        (10016, "does not tell the rights", Effect.WAIT),
        (10006, "does not tell the rights", Effect.WAIT),
        (10003, "the venue does not accept the key", Effect.END),
        (10004, "the venue does not accept the key", Effect.END),
        (10010, "the venue does not accept the key", Effect.END),
    ],
)
def test_what_the_venue_answers_about_the_key_ends_a_start_or_makes_it_wait(code, said, effect):
    """A clock that is off was reported as a bad key, and an overloaded venue ended the start."""

    async def ask(request, number):
        return 200, b'{"retCode":%d,"retMsg":"no","result":{}}' % code, ""

    found = AccountFacts()
    asyncio.run(ask_account(found, ask, ["ETHUSDT"]))
    key = next(one for one in decide(loads("[feed]\nsymbols = ['ETHUSDT']"), found) if one.id == "keys")
    assert said in key.text and key.effect == effect and key.code == code and ("NTP" in key.action) == (code == 10002)
    assert refusal("x", [key]).code == code


def test_resume_lifts_what_the_last_hop_has_latched(tmp_path):
    """Nothing did: where only the guard had latched, entries stayed refused for the life of the state folder, --resume or not."""
    found = []

    async def broken(session):  # a request that only a broken engine can make
        await session.account.ready.wait()
        row = np.zeros((), REQUEST_DTYPE)
        row["id"], row["action"], row["qty"], row["side"], row["ts"] = (1 << 12) | 1, 1, 5, 1, session.account.now()
        assert session.account.guard.check(row.tobytes(), session.account.now(), 2000.0) == (lc.Verdict.REFUSE, lc.Reason.RISK_GUARD)
        await asyncio.sleep(60.0)

    async def looking(session):
        await session.account.ready.wait()
        found.append((session.account.guard.latched, session.account.counters["halted"]))
        await asyncio.sleep(60.0)

    async def main():
        async with await serve(Config(seed=1, speed=60.0, lead_s=0.3)) as emulator:
            for n, (during, resume) in enumerate([(broken, False), (looking, False), (looking, True)]):
                await trade(emulator, tmp_path / f"run{n}", tmp_path, 1.5, during=during, resume=resume)

    asyncio.run(main())
    assert found == [(lc.Reason.RISK_GUARD, 1), (lc.Reason.OK, 0)]
