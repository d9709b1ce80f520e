"""Admission to a live run: the facts of a start are queried and checked, queried again while they may change, and positions of others are adopted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import liqcore as lc
from liqshell.config.load import Config
from liqshell.errors import ConfigError, VenueError
from liqshell.fields import SCALE
from liqshell.gateway.context import FADES, QUICK_S, ROUND_TRIPS
from liqshell.gateway.ownership import Ownership, ownership
from liqshell.live import start as deciding
from liqshell.live.adoption import Adoption, book, stop_of
from liqshell.live.opening import Account
from liqshell.live.patience import Patience
from liqshell.live.rest import Rest
from liqshell.live.start import AccountFacts, Effect, Finding, ask_account, effect_of, refusal
from liqshell.run.pipeline import LiveStart
from liqshell.state.folder import read_state
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.bybit.rest_responses import interpret_reply, parse_positions
from liqshell.venues.effects import Call, Level, Notice
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Position

MODES_MAX = 10  # contracts whose position mode is asked for here; the gateway asks all
ASK_S = (1.0, 1.5, 2.0, 3.0)  # for an answer, from try to try: a lost one is missed soon, a slow venue is waited for
SETTLED_MS = 2_000  # a position that was changed a shorter time ago is not booked yet (gateway.reconcile.EPOCH_SLACK_MS, and some)
_log = logging.getLogger("liqshell.live")


class Admission:
    """Of one start; the state folder is open and ours. rest: signed calls. now(): market time, ns. stopping(): True when the start is to end.

    enter() -> take_over() -> (the run begins) -> answered(). pending: what enter() has left to be answered. adopted: contracts whose position was
    taken over; notices: what the run has to say of that.
    """

    def __init__(
        self,
        config: Config,
        instruments: Sequence[lc.Instrument],
        rest: Rest,
        patience: Patience,
        now: Callable[[], int],
        stopping: Callable[[], bool],
    ):
        self.config, self.instruments, self.rest, self.patience, self.now = config, tuple(instruments), rest, patience, now
        self.facts = AccountFacts(state=replace(read_state(config, deep=False), running=""))  # the lock is ours
        self.pending: list[Finding] = []
        self.halting: list[Finding] = []  # what lets nothing enter until a person resumes
        self.adopted: list[str] = []
        self.notices: list[Notice] = []
        self._stopping = stopping
        self._calls = 0
        self._slow_s = 0.0  # what an answer takes, of late (gateway.context has the same rule)

    async def enter(self) -> Account | None:
        """What decides a start is asked, and asked again while it may change. None: the start continues, but our trades are open and are supervised
        in the meantime. VenueError where it cannot change, or patience is used up."""
        patience, tries = self.patience, 0
        while True:
            findings = await self.decide(1 if self._is_held() else len(ASK_S))
            worst = effect_of(findings)
            for finding in findings:
                if finding.effect in (Effect.READ_ONLY, Effect.HALTED):
                    _log.warning("start: %s%s", f"{finding.symbol}: " if finding.symbol else "", finding.text)
            self.halting = [finding for finding in findings if finding.effect == Effect.HALTED and finding.symbol]
            waits = worst == Effect.WAIT and patience.left_s > 0.0 and not self._stopping()
            if worst in (Effect.WAIT, Effect.END) and not waits:
                raise refusal(self.config.feed.rest_url, findings, patience.seconds if worst == Effect.WAIT else 0.0)
            if not waits:
                return self._account()
            patience.report_progress("; ".join(finding.text for finding in findings if finding.effect == worst))
            if self._is_held():
                self.pending = findings
                return self._account()
            await patience.pause(tries)
            tries += 1

    def _is_held(self) -> bool:
        """Whether trades of ours are open: they are not left alone while the venue thinks."""
        return self.facts.state is not None and bool(self.facts.state.believed or self.facts.state.entering)

    async def decide(self, tries: int = len(ASK_S)) -> list[Finding]:
        """Ask what is still to be asked, each question as often as `tries`, and judge."""
        named = self.config.feed.named
        if len(named) > MODES_MAX:
            self.facts.modes = None
        await ask_account(self.facts, self._ask, named, tries)
        return deciding.decide(self.config, self.facts)

    async def _ask(self, request: Request, number: int = len(ASK_S) - 1) -> tuple[int, bytes, str]:
        self._calls += 1
        began = time.monotonic()
        quick_s = max(QUICK_S, ROUND_TRIPS * self._slow_s) * 1.6**number
        timeout_s = min(ASK_S[number], quick_s) if self._slow_s and request.method == "GET" else ASK_S[number]
        answer = await self.rest.call(Call(self._calls, request.method, request.path, request.query, request.body, timeout_s, request.weight))
        if answer.status:
            self._slow_s = max(time.monotonic() - began, FADES * self._slow_s)
        return answer.status, answer.body, answer.why

    async def body(self, number: int, request: Request) -> bytes:
        """One more question at the start: the body of its answer. Asked again at once where there is none; then VenueError."""
        status, body, why = await self._ask(request, 0)
        for number in range(1, len(ASK_S)):
            if interpret_reply(status, body, Asked.QUERY).outcome not in (Outcome.LATER, Outcome.UNKNOWN):
                break
            await asyncio.sleep(deciding.TRY_PAUSE_S * 2**number)
            status, body, why = await self._ask(request, number)
        if status != 200:
            raise VenueError(
                self.config.feed.rest_url, f"no answer to {request.path} ({why or f'HTTP {status}'})", "an answer", code=status, passing=True
            )
        return body

    def _account(self) -> Account | None:
        """The data of the account, once it is complete."""
        key, wallet = self.facts.key, self.facts.wallet
        return Account(wallet.equity, wallet.available, ", ".join(key.ips), key.expires, key.unified) if key and wallet else None

    def waits_for(self) -> str:
        """The open questions in words; "" = none."""
        return "; ".join(finding.text for finding in self.pending if finding.effect == Effect.WAIT)

    async def answered(self) -> None:
        """Until what was pending is answered. VenueError where it ends the start after all."""
        tries = 0
        while self.pending:
            await self.patience.pause(tries)
            tries += 1
            findings = await self.decide()
            worst = effect_of(findings)
            if worst == Effect.END or (worst == Effect.WAIT and not self.patience.left_s):
                raise refusal(self.config.feed.rest_url, findings, self.patience.seconds if worst == Effect.WAIT else 0.0)
            self.pending = findings if worst == Effect.WAIT else []
            if self.pending:
                self.patience.report_progress(self.waits_for())

    # ---- positions of others that are to become ours ----

    async def take_over(self, adoptions: Sequence[Adoption], begun: LiveStart, engine: lc.Engine) -> LiveStart:
        """The start with these positions booked as trades of ours. One of which that cannot be done stays somebody else's: read-only, with an alarm.
        engine: with the trades that are open. ConfigError for a contract that is not traded here."""
        for adoption in adoptions:
            if adoption.symbol not in self.config.feed.symbols:
                raise ConfigError(f"--adopt {adoption.symbol}", "not one of [feed] symbols", ", ".join(self.config.feed.symbols))
        for adoption in adoptions:
            try:
                begun = await self._book(adoption, begun, engine)
            except (VenueError, ValueError) as why:
                self.notices.append(
                    Notice(Level.ALARM, "adopt", f"its position is not adopted: {why}; the contract stays read-only", adoption.symbol)
                )
        return begun

    async def _book(self, adoption: Adoption, begun: LiveStart, engine: lc.Engine) -> LiveStart:
        place = self.config.feed.symbols.index(adoption.symbol)  # (the contracts of the venue that is traded stand first)
        unit, policy = self.instruments[place], self.config.policy_for(adoption.symbol)
        found = await self._position(adoption.symbol)
        belief = engine.account.position(place)["qty"]
        ours = 1 if belief > 0 else -1
        if not found.side or ownership(found.side * unit.lots(found.qty), ours * unit.lots(abs(belief)), ours) != Ownership.FOREIGN:
            raise ValueError("it has no position that is not ours")
        if int(engine.bracket(place)["state"]):
            raise ValueError("our own trade is open on it; start again when it has ended")
        if adoption.stop is not None and found.stop_loss > 0.0 and (found.stop_loss - adoption.stop) * found.side > 0.0:
            _log.warning("--adopt %s: moves its stop from %g to %g, further away", adoption.symbol, found.stop_loss, adoption.stop)
        price = unit.price_text(stop_of(adoption, found, Decimal(policy.stop_loss) / SCALE, unit))
        status, body, why = await self._ask(bybit_rest.trading_stop(adoption.symbol, stop_loss=price))
        verdict = interpret_reply(status, body, Asked.STOP)
        now_held = await self._position(adoption.symbol)  # whatever was said: what counts is what rests
        if now_held.stop_loss <= 0.0 or unit.ticks(now_held.stop_loss) != unit.ticks(float(price)):
            raise VenueError(adoption.symbol, f"its stop at {price} is not at the venue: {why or f'{verdict.code} {verdict.message}'}")
        while self.now() // 1_000_000 < now_held.updated_ms + SETTLED_MS and self.patience.left_s:
            await asyncio.sleep(0.1)
        again = await self._position(adoption.symbol)
        if (again.side, again.qty) != (found.side, found.qty):
            raise ValueError("another party changes it at this moment; start again")
        now = max(self.now(), begun.resumed_ns)
        before = begun.restored or engine.trade_snapshot()
        restored = book(before, self.instruments, place, again, unit.ticks(float(price)), policy.bracket_arguments(), now)
        self.adopted.append(adoption.symbol)
        self.notices.append(
            Notice(
                Level.WARNING,
                "adopted",
                f"adopted: {'long' if again.side > 0 else 'short'} {again.qty:g}, booked at {again.mark:g}, stop at {price}",
                adoption.symbol,
            )
        )
        return replace(begun, restored=restored, resumed_ns=now)

    async def _position(self, symbol: str) -> Position:
        """A contract's position, now; asked again while it may be answered."""

        async def ask() -> Position:
            status, body, why = await self._ask(bybit_rest.positions(symbol))
            found = parse_positions(body)
            if status != 200 or not found.ok:
                raise VenueError(symbol, f"its position cannot be read: {why or found.reason or f'HTTP {status}'}", passing=True)
            row = next((one for one in found.value or () if one.symbol == symbol and one.index == 0), None)
            if row is None:
                raise VenueError(symbol, "the venue gave no row of its position")
            return row

        return await self.patience.ask(ask)
