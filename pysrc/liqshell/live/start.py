"""The decision whether a start may trade: one function, called by `liqcore live --live` and by `liqcore doctor` on the same answers.

    facts = AccountFacts(...); await ask_account(facts, ask, symbols)     # the questions
    findings = decide(config, said)                             # the decision: a pure function

What can change by itself (an overloaded venue, a lost answer, a name that does not resolve, a clock) makes a start wait; what cannot (a bad key,
missing rights, hedge mode, a killed state folder) ends it; a position that we did not open closes its contract, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from typing import Any, TypeVar

from liqcore.instrument import Instrument
from liqshell.config.load import Config
from liqshell.errors import ConfigError, VenueError
from liqshell.gateway.ownership import Ownership, mode_fault, ownership
from liqshell.live.judging import refuse_unanswered
from liqshell.live.opening import refuse_unsafe
from liqshell.rest import paged, walk_async
from liqshell.state.folder import StateFolder
from liqshell.state.prefix import is_ours
from liqshell.venues.bybit import rest_requests as bybit_rest
from liqshell.venues.bybit import rest_responses as answers
from liqshell.venues.bybit.orders import parse_order_link_id
from liqshell.venues.bybit.rest_requests import Request
from liqshell.venues.bybit.rest_responses import AccountInfo, KeyInfo, Parsed
from liqshell.venues.outcome import Asked, Outcome
from liqshell.venues.reports import Position, Wallet

T = TypeVar("T")
Ask = Callable[[Request, int], Awaitable[tuple[int, bytes, str]]]  # and the number of the try -> HTTP status (0 = no answer), body, why not
AT_ONCE = 4  # questions that are out together
TRY_PAUSE_S = 0.05  # twice that before the second try, four times before the third
LASTING = (Outcome.FATAL, Outcome.REJECTED)  # asked again, the venue says the same
NAMES_MAX = 20  # contracts with a position that the state folder does not know, of which orders are asked for
PATIENCE_S = 300.0  # of a start with what can change, unless --start-patience says otherwise
CLASSIC = 1  # status of an account that is no unified one


class Effect(IntEnum):
    """Of a finding on a live start."""

    GO = 0
    READ_ONLY = 1  # its contract is not traded, everything else is
    HALTED = 2  # no entry until the operator resumes; our open trades continue
    WAIT = 3  # queried again, for as long as --start-patience allows; our open trades are supervised meanwhile
    END = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """id: stable, for programs. text: what was found. action: what to do. symbol: that it concerns, "" = all. warn: the start continues, and the
    operator should read it. code: the venue's, 0 = none."""

    id: str
    effect: Effect
    text: str
    action: str = ""
    symbol: str = ""
    warn: bool = False
    code: int = 0


@dataclass(slots=True)
class AccountFacts:
    """The facts from the account and the state folder. None, or a contract that is not in `modes`: not answered; then `missing` has the reason under
    the field's name, and `lasting` the name too where asking again will not help. codes: the venue's, beside a reason."""

    with_keys: bool = True
    key: KeyInfo | None = None
    account: AccountInfo | None = None
    wallet: Wallet | None = None
    positions: tuple[Position, ...] | None = None
    modes: dict[str, tuple[Position, ...]] | None = field(default_factory=dict)  # rows of one symbol, flat ones included; None = not asked
    state: StateFolder | None = None
    unsafe: ConfigError | None = None  # why nothing signed may leave for [feed]'s addresses
    missing: dict[str, str] = field(default_factory=dict)
    lasting: set[str] = field(default_factory=set)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)  # ids of orders and executions of what is held and the folder does not know
    clocks: set[str] = field(default_factory=set)  # names of `missing` for which our time stamp was refused
    codes: dict[str, int] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)  # of the venue's list, where it was looked at without a start
    closed: dict[str, str] = field(default_factory=dict)  # connections that could not be opened, and why, where they were tried without a start


# ---- the questions


async def ask_account(facts: AccountFacts, ask: Ask, symbols: Sequence[str], tries: int = 1) -> None:
    """Everything of an account that decides a start, into `facts`, but what has been answered. The modes only of so many contracts as a venue lets
    us ask at once: the gateway asks each of them when it begins, and judges alike. tries: of a question that may be answered yet."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, request: Request, parse: Callable[[bytes], Parsed[T]]) -> Parsed[T]:
        number = 0
        while True:
            async with room:
                status, body, why = await ask(request, number)
            found: Parsed[T] = parse(body) if status in (0, 200) else Parsed(False, reason=f"HTTP {status}")
            if found.ok and status == 200:
                return found
            verdict = answers.interpret_reply(status, body, Asked.QUERY)
            number += 1
            if verdict.outcome not in (Outcome.LATER, Outcome.UNKNOWN) or number >= tries:
                break
            await asyncio.sleep(TRY_PAUSE_S * 2**number)
        facts.missing[name] = why or (f"{verdict.code} {verdict.message}" if verdict.code > 0 else found.reason or verdict.message)
        if verdict.outcome in LASTING:
            facts.lasting.add(name)
        if verdict.outcome == Outcome.CLOCK:
            facts.clocks.add(name)
        facts.codes[name] = max(0, verdict.code) or status * (status != 200)
        return Parsed(False)

    async def first(name: str, request: Request, parse: Callable[[bytes], Parsed[T]]) -> T | None:
        return (await one(name, request, parse)).value

    async def every() -> tuple[Position, ...] | None:
        found = await walk_async(
            paged(lambda cursor: bybit_rest.positions(cursor=cursor)), lambda request: one("positions", request, answers.parse_positions)
        )
        if found.reason:  # (what a page lacked has been said)
            facts.missing["positions"] = found.reason
        return found.value

    async def mode(symbol: str) -> None:
        rows = (await one(f"modes.{symbol}", bybit_rest.positions(symbol), answers.parse_positions)).value
        if rows and facts.modes is not None:
            facts.modes[symbol] = rows
        elif rows is not None:
            facts.missing[f"modes.{symbol}"] = "the venue gave no row"

    async def named(symbol: str) -> None:
        orders = await first(f"names.{symbol}", bybit_rest.open_orders(symbol), answers.parse_orders)
        done = await first(f"names.{symbol}", bybit_rest.executions(symbol=symbol), answers.parse_executions)
        if orders is not None and done is not None:
            facts.names[symbol] = *(row.link_id for row in orders), *(row.link_id for row in done)

    facts.missing = {name: why for name, why in facts.missing.items() if not _asked(name)}
    facts.lasting = {name for name in facts.lasting if not _asked(name)}
    facts.clocks, facts.codes = set(), {}

    async def fill(name: str, work: Awaitable[Any]) -> None:
        setattr(facts, name, await work)

    questions: list[Awaitable[None]] = []
    if facts.key is None:
        questions.append(fill("key", first("key", bybit_rest.key_info(), answers.parse_key_info)))
    if facts.account is None:
        questions.append(fill("account", first("account", bybit_rest.account_info(), answers.parse_account_info)))
    if facts.wallet is None:
        questions.append(fill("wallet", first("wallet", bybit_rest.wallet(), answers.parse_wallet)))
    if facts.positions is None:
        questions.append(fill("positions", every()))
    if facts.modes is not None:
        questions += [mode(symbol) for symbol in symbols if symbol not in facts.modes]
    await asyncio.gather(*questions)
    await asyncio.gather(*(named(symbol) for symbol in _unexplained(facts, symbols)))


def _unexplained(facts: AccountFacts, symbols: Sequence[str]) -> list[str]:
    """Contracts with a position that the state folder does not explain, without an adoption so far."""
    believed: Mapping[str, float] = facts.state.believed if facts.state else {}
    odd = [
        p.symbol
        for p in facts.positions or ()
        if p.qty and abs(believed.get(p.symbol, 0.0) - p.side * p.qty) > 1e-9 * p.qty and (not symbols or p.symbol in symbols)
    ]
    return [symbol for symbol in odd[:NAMES_MAX] if symbol not in facts.names]


def _asked(name: str) -> bool:
    return name in ("key", "account", "wallet", "positions") or name.startswith(("modes.", "names."))


# ---- the decision


def decide(config: Config, facts: AccountFacts) -> list[Finding]:
    """The findings of a live start, in the order of the checks."""
    out = _config(config) + _state(facts) + _trades(config, facts) + _venue(config, facts)
    if not facts.with_keys:
        return [
            *out,
            Finding(
                "keys",
                Effect.END,
                "no API key: the account is not checked",
                "Set LIQCORE_API_KEY and LIQCORE_API_SECRET, or use the keyring; on paper none is needed",
            ),
        ]
    return out + _key(facts) + _money(facts) + _modes(config, facts) + _positions(config, facts) + _connections(facts)


def _connections(facts: AccountFacts) -> list[Finding]:
    return [
        Finding("connections", Effect.WAIT, f"{name} cannot be opened: {why}", "Correct [feed] environment and ws, or the network")
        for name, why in facts.closed.items()
    ]


def effect_of(findings: Sequence[Finding]) -> Effect:
    """Of all together."""
    return max((finding.effect for finding in findings), default=Effect.GO)


def sentence(findings: Sequence[Finding]) -> str:
    """The outcome of a live start at this time, in one sentence."""
    effect = effect_of(findings)
    why = "; ".join(f"{finding.symbol + ': ' if finding.symbol else ''}{finding.text}" for finding in findings if finding.effect == effect)
    if effect == Effect.END:
        return f"A live start now ends: {why}."
    if effect == Effect.WAIT:
        return f"A live start now asks again for up to --start-patience ({PATIENCE_S:g} s by default), then ends: {why}."
    if effect == Effect.HALTED:
        return f"A live start now begins with entries halted until a person resumes: {why}."
    closed = [finding.symbol for finding in findings if finding.effect == Effect.READ_ONLY]
    return f"A live start now begins, with {', '.join(closed)} read-only." if closed else "A live start now begins."


def refusal(where: str, findings: Sequence[Finding], waited_s: float = 0.0) -> VenueError:
    """The finding that ends a start: the first that does, or the first of those that the start waited for."""
    worst = effect_of(findings)
    found = next(finding for finding in findings if finding.effect == worst)
    waited = f" (asked again for {waited_s:.0f} s)" if waited_s else ""
    return VenueError(where, found.text + waited, "", found.action, found.code)


def _missing(facts: AccountFacts, name: str, id: str, text: str, action: str = "", symbol: str = "") -> Finding:
    """A question without a usable answer."""
    why = facts.missing.get(name, "no answer")
    if name in facts.clocks:
        return Finding(
            id, Effect.WAIT, f"our clock differs from the venue's: {why}", "Set this machine's clock (NTP)", symbol, code=facts.codes.get(name, 0)
        )
    lasting = name in facts.lasting
    return Finding(
        id,
        Effect.END if lasting else Effect.WAIT,
        f"{text}: {why}",
        action or "Try again" if lasting else "Try again in a while",
        symbol,
        code=facts.codes.get(name, 0),
    )


def _config(config: Config) -> list[Finding]:
    try:
        refuse_unsafe(config)
        refuse_unanswered(config)
    except ConfigError as why:
        return [Finding("config.live", Effect.END, str(why), why.action or "Change the configuration")]
    return []


def _venue(config: Config, facts: AccountFacts) -> list[Finding]:
    """What was to be learnt of the venue without a key; a start that has come so far has learnt it."""
    rest, found = config.feed.rest_url, []
    if facts.unsafe is not None:
        found.append(Finding("transport", Effect.END, f"{facts.unsafe.where}: {facts.unsafe.found}", facts.unsafe.action or "Use an https address"))
    if "samples" in facts.missing:
        found.append(Finding("venue", Effect.WAIT, f"{rest}: {facts.missing['samples']}", "Correct [feed] environment, rest and ws, or the network"))
    for symbol in config.feed.named:
        name = f"instruments.{symbol}"
        if name in facts.missing:
            found.append(
                Finding("symbols", Effect.END if name in facts.lasting else Effect.WAIT, facts.missing[name], "Remove it from [feed] symbols", symbol)
            )
    return found


def _state(facts: AccountFacts) -> list[Finding]:
    state = facts.state
    if state is None:
        return []
    if not state.exists:
        return [Finding("state", Effect.GO, f"{state.path}: does not exist; the first live start creates it")]
    out = []

    def found(effect: Effect, text: str, action: str) -> None:
        out.append(Finding("state", effect, f"{state.path}: {text}", action, warn=effect != Effect.END))

    if state.fault:
        found(Effect.END, state.fault, "Look at the account at the venue, then move the file aside")
    if state.killed:
        found(Effect.END, f"the kill switch is on ({state.killed})", "Look at the account at the venue, then lift it: liqcore kill --lift")
    if state.running:
        found(Effect.END, f"a live process is running ({state.running}); a second one cannot start", "Stop it first, or let it run")
    if state.halted:
        text = f"halted by {state.halted}, also after a restart: open trades continue, entries are blocked"
        found(Effect.HALTED, text, "Find the cause, then resume: liqcore live ... --resume")
    if state.damaged:
        text = f"damaged parts of the kill switch: {'; '.join(state.damaged)}"
        found(Effect.GO, text, "Find the cause of the damage; the next start repairs the pages")
    if not state.imaged:
        found(Effect.GO, "no state image, so the open trades of earlier runs are not known", "Look at the account at the venue")
    return out or [Finding("state", Effect.GO, f"{state.path}: whole; {len(state.believed)} open positions known")]


def _trades(config: Config, facts: AccountFacts) -> list[Finding]:
    """Open trades of the state image that no engine of this configuration can continue; a start refuses them when it opens the image. Which contracts
    a whole market has is known only then."""
    symbols, out = config.feed.symbols, []
    for trade in facts.state.trades if facts.state and not config.feed.whole else ():
        unit = facts.instruments.get(trade.symbol)
        if trade.symbol not in symbols:
            text = "it has an open trade and is not configured"
            action = "Add it to [feed] symbols until the trade has ended, or close it at the venue and with `liqcore kill --flatten`"
        elif symbols.index(trade.symbol) != trade.number:
            text = f"it has an open trade as number {trade.number} of [feed] symbols, and is now number {symbols.index(trade.symbol)}"
            action = "Order ids contain the number: add new symbols at the end until the trade has ended"
        elif unit is not None and (Decimal(trade.tick), Decimal(trade.lot)) != (Decimal(unit.tick_size), Decimal(unit.lot_size)):
            text = "it has an open trade, and the venue has since changed its tick or lot"
            action = "Close the trade at the venue or with `liqcore kill --flatten`, then move the image out of the folder"
        else:
            continue
        out.append(Finding("state", Effect.END, text, action, trade.symbol))
    return out


def _key(facts: AccountFacts) -> list[Finding]:
    key = facts.key
    if key is None:
        lasting = "key" in facts.lasting
        return [
            _missing(
                facts,
                "key",
                "keys",
                "the venue does not accept the key" if lasting else "the venue does not tell the rights of the key",
                "Is it complete, of this environment and not expired, and may this address use it?",
            )
        ]
    may, trade = Finding("keys.withdraw", Effect.GO, "the key may not withdraw"), Finding("keys.trade", Effect.GO, "the key may trade contracts")
    if key.may_withdraw:
        text = "this key may withdraw money; a trading program does not need that"
        may = Finding("keys.withdraw", Effect.END, text, "Create a key without that right, and delete this one")
    if not key.may_trade:
        why = "it is read-only" if key.read_only else "it has no right to orders and positions of contracts"
        action = "Give it 'Orders' and 'Positions' of contracts (unified trading), nothing else"
        trade = Finding("keys.trade", Effect.END, f"this key may not trade: {why}", action)
    return [may, trade]


def _money(facts: AccountFacts) -> list[Finding]:
    out = []
    account, wallet = facts.account, facts.wallet
    if account is None:
        out.append(_missing(facts, "account", "account", "account info"))
    elif account.unified == CLASSIC or (not account.margin and facts.key is not None and not facts.key.unified):
        out.append(Finding("account", Effect.END, "a classic account; liqcore supports unified accounts", "Upgrade it at the venue"))
    else:
        mode_name = {"REGULAR_MARGIN": "cross margin", "ISOLATED_MARGIN": "isolated margin", "PORTFOLIO_MARGIN": "portfolio margin"}
        odd = account.margin not in ("REGULAR_MARGIN", "ISOLATED_MARGIN")
        out.append(
            Finding(
                "account",
                Effect.GO,
                f"unified account, {mode_name.get(account.margin, account.margin)}" + ("; liqcore does not support it" if odd else ""),
                "Use cross or isolated margin" if odd else "",
                warn=odd,
            )
        )
    if wallet is None:
        return [*out, _missing(facts, "wallet", "wallet", "the wallet cannot be read")]
    text = f"equity {wallet.equity:,.2f}, available {wallet.available:,.2f}"
    if wallet.equity <= 0.0:
        return [*out, Finding("wallet", Effect.END, f"{text}: the account is empty", "Deposit, or use another account")]
    empty = wallet.available <= 0.0
    return [
        *out,
        Finding(
            "wallet",
            Effect.GO,
            text + (": the venue will refuse every entry" if empty else ""),
            "Deposit, or use another account" if empty else "",
            warn=empty,
        ),
    ]


def _modes(config: Config, facts: AccountFacts) -> list[Finding]:
    out = []
    for symbol in config.feed.named if facts.modes is not None else ():
        rows = (facts.modes or {}).get(symbol)
        if not rows:
            out.append(_missing(facts, f"modes.{symbol}", "mode", "position mode", symbol=symbol))
        elif fault := mode_fault(rows):
            out.append(Finding("mode", Effect.END, fault, "Close the position, then switch the contract to one-way mode at the venue", symbol))
    return out


def _positions(config: Config, facts: AccountFacts) -> list[Finding]:
    if facts.positions is None:
        return [_missing(facts, "positions", "positions", "positions")]
    state = facts.state
    believed: Mapping[str, float] = state.believed if state else {}
    entering = state.entering if state else frozenset()
    held = [p for p in facts.positions if p.side and p.qty > 0.0]
    names = {p.symbol for p in held}
    out = [_position(config, facts, p, believed.get(p.symbol, 0.0), p.symbol in entering) for p in held]
    out += [
        Finding(
            "positions",
            Effect.GO,
            f"the state folder has {qty:g}, the venue has no position: a start asks for the executions that closed it",
            "Nothing, or look at the account at the venue",
            symbol,
            warn=True,
        )
        for symbol, qty in believed.items()
        if symbol not in names and qty
    ]
    return out or [Finding("positions", Effect.GO, "no positions")]


def _lost(facts: AccountFacts, symbol: str) -> bool:
    """Whether a state folder of this name, and not the one that is there, has traded the contract."""
    if facts.state is None:
        return False
    runs = {parsed[0] for link in facts.names.get(symbol, ()) if (parsed := parse_order_link_id(link)) is not None}
    return any(run != facts.state.run and is_ours(run, facts.state.name) for run in runs)


def _position(config: Config, facts: AccountFacts, p: Position, belief: float, entering: bool) -> Finding:
    def found(effect: Effect, more: str, action: str = "", warn: bool = True) -> Finding:
        return Finding("positions", effect, text + more, action, p.symbol, warn)

    bare = "" if p.stop_loss or p.trailing else ", and has no stop"
    text = f"{'long' if p.side > 0 else 'short'} {p.qty:g} at {p.entry:g}{bare}"
    venue = p.side * p.qty
    if abs(belief - venue) <= 1e-9 * p.qty:
        return found(
            Effect.GO,
            ", as in the state folder; a live start continues with it" + ("and sets its stop at once" if bare else ""),
            "Nothing, or set its stop at the venue" if bare else "",
            bool(bare),
        )
    if p.symbol not in config.feed.symbols:
        return found(
            Effect.GO, ". The contract is not configured: the position is left alone, but uses the same margin", "Use a sub-account for liqcore alone"
        )
    if ownership(venue, belief, (belief > 0) - (belief < 0)) == Ownership.LESS:
        return found(
            Effect.GO, f", {belief:g} in the state folder: a start asks for the executions that reduced it", "Look at the account at the venue"
        )
    if entering:
        return found(
            Effect.GO,
            f", {belief:g} in the state folder, which has a working entry: a start asks the venue for its result and continues with it",
            "Look at the account at the venue",
        )
    if f"names.{p.symbol}" in facts.missing:
        return _missing(facts, f"names.{p.symbol}", "positions", text + ": who opened it", symbol=p.symbol)
    if _lost(facts, p.symbol):
        return found(
            Effect.HALTED,
            f", {belief:g} in the state folder: the state folder of this name that opened it is lost. No contract has "
            "entries until the positions agree and a person resumes",
            f"Close it, or adopt it: liqcore live ... --live --adopt {p.symbol}",
        )
    return found(
        Effect.READ_ONLY,
        f", {belief:g} in the state folder: liqcore did not open it. Its contract is read-only until the position is "
        "closed or adopted; the others trade",
        f"Close it, or adopt it: liqcore live ... --live --adopt {p.symbol}",
    )
