"""What follows from the facts: checks, each with a verdict, a sentence, and what to do. A pure function, so that every verdict is testable."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from liqshell.config import Config
from liqshell.doctor.facts import Facts, is_secure, offset
from liqshell.doctor.words import contradictions, dead_man, exposure, limits_in_words, money
from liqshell.state.prefix import is_ours
from liqshell.toml import SCALE
from liqshell.venues.bybit_orders import parse_order_link_id

OK, WARN, FAIL = "ok", "warn", "fail"
DISK_MIN = 500 << 20
CLOCK_WARN_MS, CLOCK_FAIL_MS = 250.0, 1000.0
RTT_WARN_MS, RTT_FAIL_MS = 50.0, 1000.0
EXPIRY_WARN_DAYS = 14
NTP = "Let NTP keep the clock (chrony or systemd-timesyncd; `timedatectl` says whether it does)"


@dataclass(frozen=True, slots=True)
class Check:
    """id: stable, for programs. verdict: ok, warn, fail. text: what was found, with what was expected. action: what to do, "" where nothing."""

    id: str
    verdict: str
    text: str
    action: str = ""


def examine(config: Config, facts: Facts, *, live: bool = True, now_s: float | None = None) -> list[Check]:
    """All checks in order. live: whether it is to be safe for real orders; on paper what concerns the account only warns."""
    way, state = list(_way(config, facts)), list(_state(facts))
    if not live:
        way, state = way if config.feed.venue == "bybit" else [_softer(c) for c in way], [_softer(c) for c in state]
    out = [*way, *_clock(facts), *_disk(facts), *state]
    if facts.samples:
        out += _symbols(config, facts, live)
        account = list(_account(config, facts)) if is_secure(facts.rest) else []
        out += account if live else map(_softer, account)
    out += _limits(config, facts)
    return out


def _softer(check: Check) -> Check:
    """On paper nothing of the account stands in the way."""
    return Check(check.id, WARN, check.text, check.action) if check.verdict == FAIL else check


def config_hash(config: Config) -> str:
    """Of everything that a configuration says, defaults included: equal configurations have equal hashes, however they are written."""
    return hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode()).hexdigest()


def _way(config: Config, facts: Facts) -> Iterator[Check]:
    where = f"{facts.rest} ({config.feed.environment}{', an emulated ' + facts.emulator + ' market' if facts.emulator else ''})"
    if not facts.samples:
        action = "Correct [feed] environment, rest and ws, or the network"
        if config.feed.venue != "bybit":
            action = "Look at the account at the venue; docs/live.md says what is not checked there"
        yield Check("venue", FAIL, f"{where}: {facts.missing.get('samples', 'no answer')}", action)
        return
    yield Check("venue", OK, f"{where} answers")
    if not is_secure(facts.rest):
        yield Check("transport", FAIL, f"{facts.rest} is not encrypted: nothing was signed for it, the account was not looked at",
                    "Use an https address")
    elif config.feed.rest and not facts.emulator:
        yield Check("transport", WARN, f"[feed] rest is set: requests signed with your key go to {facts.rest}",
                    "Leave rest and ws out unless you mean it")


def _clock(facts: Facts) -> Iterator[Check]:
    if not facts.samples:
        return
    ahead_ns, error_ns = offset(facts.samples)
    ahead, error = ahead_ns / 1e6 / facts.speed, error_ns / 1e6 / facts.speed
    way = "behind" if ahead > 0 else "ahead of"
    text = f"this machine is {abs(ahead):.1f} ms {way} the venue (at most {error:.1f} ms off; {len(facts.samples)} samples)"
    # what is certain: the offset less the uncertainty of its measurement
    sure = max(0.0, abs(ahead) - error)
    if sure > CLOCK_FAIL_MS:
        yield Check("clock", FAIL, text + f"; above {CLOCK_FAIL_MS:.0f} ms the venue refuses orders or liqcore takes no entries", NTP)
    elif sure > CLOCK_WARN_MS:
        yield Check("clock", WARN, text + f"; expected at most {CLOCK_WARN_MS:.0f} ms", NTP)
    elif error > CLOCK_FAIL_MS:
        yield Check("clock", WARN, text + "; the line is too slow to tell", "Measure again on a quieter line")
    else:
        yield Check("clock", OK, text)
    trips = sorted(sample.wall_ns / 1e6 for sample in facts.samples)
    middle, high = trips[len(trips) // 2], trips[min(len(trips) - 1, math.ceil(0.9 * len(trips)))]
    text = f"round trip {middle:.1f} ms (median), {high:.1f} (90 %), {trips[-1]:.1f} (largest) of {len(trips)}"
    if middle > RTT_FAIL_MS:
        yield Check("latency", FAIL, text + f"; above {RTT_FAIL_MS:.0f} ms an order cannot reach the venue within its second",
                    "Run nearer to the venue")
    elif middle > RTT_WARN_MS:
        yield Check("latency", WARN, text + f"; the written system asks for a network below {RTT_WARN_MS:.0f} ms", "Run nearer to the venue")
    else:
        yield Check("latency", OK, text)


def _disk(facts: Facts) -> Iterator[Check]:
    for disk in facts.disks:
        text = f"{disk.path}: {disk.free / (1 << 20):,.0f} MiB free"
        if not disk.writable:
            yield Check("disk", FAIL, f"{disk.path}: cannot be written to", "Change [run] out, or the folder's rights")
        elif disk.free < DISK_MIN:
            yield Check("disk", FAIL, text + f"; below {DISK_MIN >> 20} MiB no entries are taken", "Make room")
        elif disk.free < 10 * DISK_MIN:
            yield Check("disk", WARN, text + "; a recording of a busy day may need more", "Make room")
        else:
            yield Check("disk", OK, text)


def _state(facts: Facts) -> Iterator[Check]:
    state = facts.state
    if state is None:
        return
    if not state.exists:
        yield Check("state", OK, f"{state.path}: none yet; the first live start makes it")
        return
    if state.fault:
        yield Check("state", FAIL, f"{state.path}: {state.fault}", "Look at the account at the venue, then move the file aside")
    if state.killed:
        yield Check("state", FAIL, f"{state.path}: the kill switch is on ({state.killed})",
                    "Look at the account at the venue, then lift it: liqcore kill --lift")
    if state.running:
        yield Check("state", WARN, f"{state.path}: a live process runs ({state.running}); a second one will not start",
                    "Stop it first, or leave it alone")
    if state.halted:
        yield Check("state", WARN, f"{state.path}: halted by {state.halted}; it stays so over a restart", "Find out why before anyone resumes it")
    if not (state.fault or state.killed or state.running or state.halted):
        yield Check("state", OK, f"{state.path}: whole; {len(state.believed)} open positions known")


def _symbols(config: Config, facts: Facts, live: bool) -> Iterator[Check]:
    if not config.feed.symbols:
        yield Check("symbols", FAIL, "[feed] symbols is empty", "Name the contracts to trade")
    equity = facts.wallet.equity if facts.wallet and live else config.paper.equity
    limits = config.limits
    bounds = (("order_notional_max", limits.order_notional_max), ("exposure_max", limits.exposure_max),
              ("leverage_max", limits.leverage_max * equity))
    for symbol in config.feed.symbols:
        instrument, price = facts.instruments.get(symbol), facts.prices.get(symbol)
        if instrument is None:
            yield Check("symbols", FAIL, f"{symbol}: {facts.missing.get(f'instruments.{symbol}', 'unknown')}", "Remove it from [feed] symbols")
            continue
        least, most = instrument.qty(instrument.min_lots), instrument.qty(instrument.max_lots)
        text = (f"{symbol}: trades; tick {instrument.tick_size}, lot {instrument.lot_size}, from {least:g} to {most:g}, "
                f"at least {instrument.min_notional:g} of notional")
        if price is None:
            yield Check("symbols", WARN, f"{text}; no price: {facts.missing.get(f'prices.{symbol}', 'not asked')}", "Try again")
            continue
        values = config.policy_for(symbol)
        size = values.equity_share * equity if values.equity_share else values.notional
        lots = math.floor(size / price / float(instrument.lot_size) + 1e-9)
        qty = instrument.qty(lots)
        if lots < max(1, instrument.min_lots) or qty * price < instrument.min_notional:
            yield Check("symbols", FAIL, f"{text}; a trade of {money(size)} is {qty:g} at {price:g}: too small, it would never be placed",
                        f"Raise the notional above {money(max(least * price, instrument.min_notional))}")
        elif instrument.max_lots and lots > instrument.max_lots:
            yield Check("symbols", FAIL, f"{text}; a trade of {money(size)} is {qty:g} at {price:g}: above the largest order", "Lower the notional")
        elif over := next((f"{name} ({money(bound)})" for name, bound in bounds if qty * price > bound), ""):
            yield Check("symbols", FAIL, f"{text}; a trade of {money(size)} is {qty:g} at {price:g}: above [limits] {over}, each would be refused",
                        "Lower the notional, or raise the limit")
        else:
            yield Check("symbols", OK, f"{text}; a trade of {money(size)} is {qty:g} at {price:g}")


def _account(config: Config, facts: Facts) -> Iterator[Check]:
    if not facts.with_keys:
        yield Check("keys", FAIL, "no API key: the account was not looked at",
                    "Set LIQCORE_API_KEY and LIQCORE_API_SECRET, or use the keyring; on paper none is needed")
        return
    yield from _rights(facts)
    yield from _state_of_account(config, facts)
    yield from _fees(config, facts)
    yield from _modes(config, facts)
    yield from _foreign(config, facts)
    verdict = WARN if facts.dead_man is None or "DERIVATIVES" in facts.dead_man else OK
    yield Check("dead_man", verdict, dead_man(facts.dead_man),
                "" if verdict == OK else "Leave it off, or find out on a small position what it does to stops")


def _rights(facts: Facts) -> Iterator[Check]:
    key = facts.key
    if key is None:
        yield Check("keys", FAIL, f"the key was not accepted: {facts.missing.get('key', 'no answer')}",
                    "Is it a key of this environment, whole, not expired, and may this address use it?")
        return
    if key.may_withdraw:
        yield Check("keys.withdraw", FAIL, "the key may withdraw money; no program that trades needs that",
                    "Make a key without it, and delete this one")
    else:
        yield Check("keys.withdraw", OK, "the key may not withdraw")
    if not key.may_trade:
        why = "it is read-only" if key.read_only else "it lacks orders and positions of contracts"
        yield Check("keys.trade", FAIL, f"the key may not trade: {why}",
                    "Give it 'Orders' and 'Positions' of contracts (unified trading), nothing else")
    else:
        yield Check("keys.trade", OK, "the key may trade contracts")
    if key.may_transfer:
        yield Check("keys.transfer", WARN, f"the key may also move money between accounts ({', '.join(key.may_transfer)})", "Take that right away")
    if not key.ips:
        yield Check("keys.address", WARN, "the key works from any address",
                    "Bind it to this machine's address: a stolen key is then of no use elsewhere")
    else:
        yield Check("keys.address", OK, f"the key is bound to {len(key.ips)} address{'es' if len(key.ips) > 1 else ''}")
    if key.expires:
        left = f"the key expires on {key.expires[:10]}, in {key.days_left} days"
        expired = key.days_left <= 0
        verdict = FAIL if expired else WARN if key.days_left < EXPIRY_WARN_DAYS else OK
        yield Check("keys.expiry", verdict, left, "" if verdict == OK else "Renew it at the venue, or bind it to an address: such keys do not expire")


def _state_of_account(config: Config, facts: Facts) -> Iterator[Check]:
    account = facts.account
    if account is None:
        yield Check("account", FAIL, f"account info: {facts.missing.get('account', 'no answer')}", "Try again")
    elif account.unified == 1 or not account.margin and facts.key is not None and not facts.key.unified:
        yield Check("account", FAIL, "a classic account; liqcore trades unified ones", "Upgrade it at the venue")
    else:
        word = {"REGULAR_MARGIN": "cross margin", "ISOLATED_MARGIN": "isolated margin", "PORTFOLIO_MARGIN": "portfolio margin"}.get(account.margin,
                                                                                                                                   account.margin)
        odd = account.margin not in ("REGULAR_MARGIN", "ISOLATED_MARGIN")
        yield Check("account", WARN if odd else OK, f"unified account, {word}" + ("; liqcore was not made for it" if odd else ""),
                    "Use cross or isolated margin" if odd else "")
    if facts.wallet is None:
        yield Check("wallet", FAIL, f"wallet: {facts.missing.get('wallet', 'no answer')}", "Try again")
        return
    wallet = facts.wallet
    text = f"equity {money(wallet.equity)}, available {money(wallet.available)}"
    if wallet.equity <= 0.0 or wallet.available <= 0.0:
        yield Check("wallet", FAIL, text + ": nothing to trade with", "Deposit, or use another account")
    else:
        yield Check("wallet", OK, text)


def _fees(config: Config, facts: Facts) -> Iterator[Check]:
    maker, taker = config.paper.maker_fee / SCALE, config.paper.taker_fee / SCALE
    for symbol in config.feed.symbols:
        found = facts.fees.get(symbol)
        if found is None:
            yield Check("fees", WARN, f"{symbol}: fee rates: {facts.missing.get(f'fees.{symbol}', 'none given')} (demo trading has none)",
                        "Compare the fees of the first trades with [paper] maker_fee and taker_fee")
            continue
        values = config.policy_for(symbol)
        text = f"{symbol}: maker {found.maker:.4%}, taker {found.taker:.4%}; configured {maker:.4%} and {taker:.4%}"
        entry = found.maker if values.entry == "post_only" else found.taker
        target = values.take_profit / SCALE
        if target and entry + found.maker >= target:
            yield Check("fees", FAIL, f"{text}; a take-profit of {target:.4%} does not even pay the fees",
                        "Widen take_profit, or get a better fee tier")
        elif found.maker > maker + 1e-12 or found.taker > taker + 1e-12:
            yield Check("fees", WARN, text + ": backtests with this configuration are too rosy",
                        "Set [paper] maker_fee and taker_fee to what is charged")
        else:
            yield Check("fees", OK, text)


def _modes(config: Config, facts: Facts) -> Iterator[Check]:
    for symbol in config.feed.symbols:
        rows = facts.modes.get(symbol)
        if not rows:
            yield Check("mode", FAIL, f"{symbol}: position mode: {facts.missing.get(f'modes.{symbol}', 'the venue gave no row')}", "Try again")
            continue
        if any(row.index for row in rows):
            yield Check("mode", FAIL,
                        f"{symbol}: hedge mode. liqcore sends one-way orders (positionIdx 0), each would be refused; it changes no mode by itself",
                        "Switch the contract to one-way mode at the venue while it is flat")
            continue
        leverage, values = config.live.leverage or rows[0].leverage, config.policy_for(symbol)
        text = f"{symbol}: one-way mode, leverage {rows[0].leverage:g}"
        if config.live.leverage and config.live.leverage != rows[0].leverage:
            text += f" (a live start sets {leverage:g})"
        isolated = facts.account is not None and facts.account.margin == "ISOLATED_MARGIN"
        # where the venue would close by force, as a share of the entry price; maintenance margin as configured
        room = 1.0 / leverage - config.paper.maintenance_margin / SCALE if leverage else 1.0
        if isolated and leverage and room <= values.stop_loss / SCALE:
            yield Check("leverage", FAIL, f"{text}: liquidation ({room:.2%} away) comes before the stop ({values.stop_loss / SCALE:.2%})",
                        "Lower the leverage")
        elif leverage > config.limits.leverage_max:
            yield Check("leverage", WARN,
                        f"{text}; [limits] leverage_max is {config.limits.leverage_max:g}. Exposure is held below that all the same",
                        "Lower the leverage at the venue")
        elif leverage and facts.wallet and config.limits.positions_max and _margin(config, facts, leverage) > facts.wallet.available:
            yield Check("leverage", WARN, f"{text}: full positions need {money(_margin(config, facts, leverage))} of margin, "
                        f"{money(facts.wallet.available)} is available", "Raise the leverage up to leverage_max, or lower the notional")
        else:
            yield Check("leverage", OK, text)


def _margin(config: Config, facts: Facts, leverage: float) -> float:
    equity = facts.wallet.equity if facts.wallet else config.paper.equity
    return exposure(config, equity, 0.0, 0.0).open / leverage


def _foreign(config: Config, facts: Facts) -> Iterator[Check]:
    if facts.positions is None:
        yield Check("positions", FAIL, f"positions: {facts.missing.get('positions', 'no answer')}", "Try again")
    else:
        held = [p for p in facts.positions if p.side]
        believed = facts.state.believed if facts.state else {}
        for p in held:
            naked = "" if p.stop_loss or p.trailing else ", and has no stop"
            text = f"{p.symbol}: {'long' if p.side > 0 else 'short'} {p.qty:g} at {p.entry:g}{naked}"
            if abs(believed.get(p.symbol, 0.0) - p.side * p.qty) <= 1e-9 * p.qty and not naked:
                yield Check("positions", OK, f"{text}: as the state folder has it; a live start goes on with it")
            elif p.symbol in config.feed.symbols:
                yield Check("positions", WARN,
                            f"{text}. A live start adopts it where its state folder knows it; else it stays read-only and raises an alarm",
                            "Close it, or start with the state folder of the run that opened it")
            else:
                yield Check("positions", WARN, f"{text}. Not a contract of this configuration: left alone, but it uses the same margin",
                            "Give liqcore its own sub-account")
        if not held:
            yield Check("positions", OK, "no positions")
    if facts.orders is None:
        yield Check("orders", FAIL, f"open orders: {facts.missing.get('orders', 'no answer')}", "Try again")
        return
    runs: dict[str, int] = {}
    for order in facts.orders:
        own = parse_order_link_id(order.link_id)
        who = f"of another liqcore, run {own[0]!r}" if own else "of another program or a person"
        if own and facts.state is not None and is_ours(own[0], facts.state.name):
            who = "ours"
        if order.stop_kind and not order.link_id:
            who = "the stop of a position"
        runs[f"{order.symbol}: {who}"] = runs.get(f"{order.symbol}: {who}", 0) + 1
    for what, count in sorted(runs.items()):
        verdict = OK if what.endswith(": ours") else WARN
        yield Check("orders", verdict, f"{count} open order{'s' if count > 1 else ''}, {what}",
                    "A live start keeps what its state folder knows and touches nothing else")
    if not runs:
        yield Check("orders", OK, "no open orders")


def _limits(config: Config, facts: Facts) -> Iterator[Check]:
    equity = facts.wallet.equity if facts.wallet else config.paper.equity
    fees = list(facts.fees.values())
    maker = max([config.paper.maker_fee / SCALE, *(fee.maker for fee in fees)])
    taker = max([config.paper.taker_fee / SCALE, *(fee.taker for fee in fees)])
    source = "of the wallet" if facts.wallet else "of [paper]"
    yield Check("limits", OK, "\n".join([f"With the equity {source}, {money(equity)}:", *limits_in_words(config, equity, maker, taker)]))
    for found in contradictions(config.limits):
        yield Check("limits.written", WARN, f"{found}, the limit of the written system", "Know why, or lower it")
    worst = exposure(config, equity, maker, taker)
    if worst.day > equity * 0.1:
        yield Check("limits.worst", WARN, f"a planned day can lose {money(worst.day)}, more than a tenth of the equity", "Trade smaller")
    yield Check("config", OK, f"configuration {config_hash(config)[:16]}")
