"""The checks of the facts, each with a verdict, a sentence, and an action. A pure function, so that every verdict can be tested."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

from liqshell.config.load import Config
from liqshell.config.timetable import ends
from liqshell.doctor.facts import Facts, offset
from liqshell.doctor.limits_text import contradictions, dead_man, describe_limits, exposure, money
from liqshell.errors import ConfigError, LiqshellError
from liqshell.fields import SCALE
from liqshell.gateway.ownership import mode_fault
from liqshell.live.start import Effect, Finding, decide, effect_of, sentence
from liqshell.recording.streams import when
from liqshell.state.prefix import is_ours
from liqshell.venues.bybit.orders import parse_order_link_id

OK, WARN, FAIL = "ok", "warn", "fail"
BEFORE = ("config.live", "state")  # findings of a start that need no venue
ASIDE = (*BEFORE, "venue", "transport", "symbols")  # and those that have lines of their own here
DISK_MIN = 500 << 20
CLOCK_WARN_MS, CLOCK_FAIL_MS = 250.0, 1000.0
RTT_WARN_MS, RTT_FAIL_MS = 50.0, 1000.0
EXPIRY_WARN_DAYS = 14
CALENDAR_WARN_DAYS = 30
NTP = "Synchronise the clock with NTP (chrony or systemd-timesyncd; `timedatectl` shows its state)"


@dataclass(frozen=True, slots=True)
class Check:
    """id: stable, for programs. verdict: ok, warn, fail. text: what was found, with what was expected. action: what to do, "" where nothing."""

    id: str
    verdict: str
    text: str
    action: str = ""


def examine(config: Config, facts: Facts, *, live: bool = True) -> list[Check]:
    """All checks in order. live: whether it is to be safe for real orders; on paper what concerns the account only warns."""
    if facts.offline:
        return [
            Check("venue", OK, "--offline: clock, contracts, fees and account are not checked"),
            *_disk(facts),
            *_made(facts),
            *_limits(config, facts),
            *_calendar(config, facts),
        ]
    way, begins = list(_way(config, facts)), decide(config, facts)
    state = [_check(finding) for finding in begins if finding.id in BEFORE]
    if not live:
        way, state = way if config.feed.own_account else [_softer(c) for c in way], [_softer(c) for c in state]
    out = [*way, *_clock(facts), *_disk(facts), *state, *_kept(facts), *_made(facts)]
    out += _markets(config, facts)
    if facts.samples:
        out += _symbols(config, facts, live)
        account = list(_account(config, facts, [finding for finding in begins if finding.id not in ASIDE])) if facts.unsafe is None else []
        out += account if live else map(_softer, account)
    return [*out, *_judge(config, facts), *_limits(config, facts), *_calendar(config, facts)]


def _check(finding: Finding) -> Check:
    """A finding that decides a start, as a line of the doctor."""
    stops, reads = finding.effect in (Effect.WAIT, Effect.END), finding.effect in (Effect.READ_ONLY, Effect.HALTED) or finding.warn
    text = f"{finding.symbol}: {finding.text}" if finding.symbol else finding.text
    return Check(finding.id, FAIL if stops else WARN if reads else OK, text, finding.action)


def would(config: Config, facts: Facts) -> tuple[Effect, str]:
    """The outcome of a live start at this time, and a sentence about it; the start uses the same code."""
    findings = decide(config, facts)
    return effect_of(findings), sentence(findings)


def _softer(check: Check) -> Check:
    """On paper, findings about the account do not prevent a start."""
    return Check(check.id, WARN, check.text, check.action) if check.verdict == FAIL else check


def config_hash(config: Config) -> str:
    """Of everything that a configuration says, defaults included: equal configurations have equal hashes, however they are written."""
    return hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode()).hexdigest()


def _way(config: Config, facts: Facts) -> Iterator[Check]:
    where = f"{facts.rest} ({config.feed.environment}{', an emulated ' + facts.emulator + ' market' if facts.emulator else ''})"
    if facts.unsafe is not None:
        why = facts.unsafe
        yield Check("transport", FAIL, f"{why.where}: {why.found}; expected {why.expected}. The account is not checked", why.action)
    if not facts.samples:
        action = "Correct [feed] environment, rest and ws, or the network"
        if not config.feed.own_account:
            action = "Look at the account at the venue; docs/live.md lists what is not checked there"
        yield Check("venue", FAIL, f"{where}: {facts.missing.get('samples', 'no answer')}", action)
        return
    yield Check("venue", OK, f"{where} answers")
    if facts.unsafe is None and config.feed.rest and not facts.emulator:
        yield Check(
            "transport",
            WARN,
            f"[feed] rest is set, so requests signed with your key go to {facts.rest}",
            "Remove rest and ws unless that is intended",
        )


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
        yield Check("clock", WARN, text + "; the network is too slow for a measurement", "Measure again on a faster network")
    else:
        yield Check("clock", OK, text)
    trips = sorted(sample.wall_ns / 1e6 for sample in facts.samples)
    middle, high = trips[len(trips) // 2], trips[min(len(trips) - 1, math.ceil(0.9 * len(trips)))]
    text = f"round trip {middle:.1f} ms (median), {high:.1f} (90 %), {trips[-1]:.1f} (largest) of {len(trips)}"
    if middle > RTT_FAIL_MS:
        yield Check(
            "latency", FAIL, text + f"; above {RTT_FAIL_MS:.0f} ms an order cannot reach the venue within one second", "Run closer to the venue"
        )
    elif middle > RTT_WARN_MS:
        yield Check("latency", WARN, text + f"; the documented system needs a network below {RTT_WARN_MS:.0f} ms", "Run closer to the venue")
    else:
        yield Check("latency", OK, text)


def _disk(facts: Facts) -> Iterator[Check]:
    for disk in facts.disks:
        text = f"{disk.path}: {disk.free / (1 << 20):,.0f} MiB free"
        if not disk.writable:
            yield Check("disk", FAIL, f"{disk.path}: cannot be written", "Change [run] out, or the folder's rights")
        elif disk.free < DISK_MIN:
            yield Check("disk", FAIL, text + f"; below {DISK_MIN >> 20} MiB entries are blocked", "Free some space")
        elif disk.free < 10 * DISK_MIN:
            yield Check("disk", WARN, text + "; a recording of a busy day may need more", "Free some space")
        else:
            yield Check("disk", OK, text)


def _judge(config: Config, facts: Facts) -> Iterator[Check]:
    """The fixed question and its outcome."""
    if isinstance(facts.trial, ConfigError):
        yield Check(
            "judge", FAIL, f"{facts.trial.where}: {facts.trial.found}; expected {facts.trial.expected}", "Without a judge there are no entries"
        )
    elif facts.trial is not None:
        answer, asked = facts.trial.answer, f"{config.judge.kind} {config.judge.model}".strip()
        text = f"{asked}: {answer.status} after {facts.trial.ms:.0f} ms, {answer.cost:.6f} US dollars a question"
        if answer.status not in ("ok", "vetoed_by_matrix"):
            yield Check("judge", FAIL, text, "`liqcore judge try` shows the complete question and answer")
        elif facts.trial.strict is False:
            yield Check(
                "judge", WARN, text + "; the server rejects the schema, so it is asked for a JSON object", "Use a server that supports json_schema"
            )
        elif facts.trial.ms > 1e3 * config.judge.timeout_s / 2:
            yield Check("judge", WARN, text + f"; more than half of judge.timeout_s ({config.judge.timeout_s:g} s)", "Use a faster model")
        else:
            yield Check("judge", OK, text)


def _calendar(config: Config, facts: Facts) -> Iterator[Check]:
    """Calendars that end soon protect from nothing afterwards."""
    for name, last_ns in ends(config.blackout):
        days = (last_ns - facts.now_ns) / 86_400e9
        if days < CALENDAR_WARN_DAYS:
            yield Check("calendar", WARN, f"{name}: its last event is {f'in {days:.0f} days' if days > 0 else 'over'}", "Add the next dates")


def _made(facts: Facts) -> Iterator[Check]:
    for text in facts.hidden:
        yield Check("construct", WARN, text, "Give the entry point another name, or uninstall its package")
    for made in facts.made:
        if made.fault is None:
            yield Check("construct", OK, f"{made.what}: policies, detectors, features and venue can be made: {made.text}")
        else:
            why = made.fault
            for one in getattr(why, "problems", ()) or (why,):
                yield Check("construct", FAIL, f"{made.what} cannot be made: " + str(LiqshellError(one.where, one.found, one.expected)), one.action)


def _kept(facts: Facts) -> Iterator[Check]:
    kept = facts.kept
    if kept is None:
        return
    if kept.fault:
        yield Check("learnt", WARN, f"{kept.fault}: the file is not used", "A start learns from recordings of earlier runs, or begins cold")
    elif kept.learnt is None:
        yield Check("learnt", OK, f"{kept.path}: no learnt state; a start learns from recordings of earlier runs, or begins cold")
    else:
        head, rows = kept.learnt.head, kept.learnt.progress()
        known = [
            f"{row['contract'].rpartition(':')[2]} {row['seen']}/{row['wanted']}" + (f" since {when(row['known_ns'])}" if row["known_ns"] else "")
            for row in rows
        ]
        holes = f" with {len(head['holes'])} interruptions" if head["holes"] else ""
        age_h = (facts.now_ns - kept.learnt.until_ns) / 3.6e12
        yield Check(
            "learnt",
            OK,
            f"{kept.path}: learnt from {when(head['since_ns'])}{holes}, ends {age_h:,.1f} h ago"
            + (f"; liquidations seen of those needed: {', '.join(known)}" if known else ""),
        )


def _markets(config: Config, facts: Facts) -> Iterator[Check]:
    """Whole markets: how many contracts a start takes in. Their sizes are not looked at one by one."""
    for feed in config.all_feeds():
        if feed.whole and feed.venue in facts.markets:
            yield Check("symbols", OK, f"{feed.venue}: {facts.markets[feed.venue]}")
        elif feed.whole:
            yield Check("symbols", FAIL, f"{feed.venue}: {facts.missing.get(f'markets.{feed.venue}', 'not asked')}", "Correct [feed], or try again")


def _symbols(config: Config, facts: Facts, live: bool) -> Iterator[Check]:
    if not config.feed.symbols:
        yield Check("symbols", FAIL, "[feed] symbols is empty", "Name the contracts to trade")
    equity = facts.wallet.equity if facts.wallet and live else config.paper.equity
    limits = config.limits
    bounds = (
        ("order_notional_max", limits.order_notional_max),
        ("exposure_max", limits.exposure_max),
        ("leverage_max", limits.leverage_max * equity),
    )
    for symbol in config.feed.named:
        instrument, price = facts.instruments.get(symbol), facts.prices.get(symbol)
        if instrument is None:
            yield Check("symbols", FAIL, f"{symbol}: {facts.missing.get(f'instruments.{symbol}', 'unknown')}", "Remove it from [feed] symbols")
            continue
        least, most = instrument.qty(instrument.min_lots), instrument.qty(instrument.max_lots)
        text = (
            f"{symbol}: trades; tick {instrument.tick_size}, lot {instrument.lot_size}, from {least:g} to {most:g}, "
            f"at least {instrument.min_notional:g} of notional"
        )
        if price is None:
            yield Check("symbols", WARN, f"{text}; no price: {facts.missing.get(f'prices.{symbol}', 'not asked')}", "Try again")
            continue
        values = config.policy_for(symbol)
        size = values.equity_share * equity if values.equity_share else values.notional
        lots = math.floor(size / price / float(instrument.lot_size) + 1e-9)
        qty = instrument.qty(lots)
        if lots < max(1, instrument.min_lots) or qty * price < instrument.min_notional:
            yield Check(
                "symbols",
                FAIL,
                f"{text}; a trade of {money(size)} is {qty:g} at {price:g}: too small to be placed",
                f"Raise the notional above {money(max(least * price, instrument.min_notional))}",
            )
        elif instrument.max_lots and lots > instrument.max_lots:
            yield Check("symbols", FAIL, f"{text}; a trade of {money(size)} is {qty:g} at {price:g}: above the largest order", "Lower the notional")
        elif over := next((f"{name} ({money(bound)})" for name, bound in bounds if qty * price > bound), ""):
            yield Check(
                "symbols",
                FAIL,
                f"{text}; a trade of {money(size)} is {qty:g} at {price:g}: above [limits] {over}, so every entry is refused",
                "Lower the notional, or raise the limit",
            )
        else:
            yield Check("symbols", OK, f"{text}; a trade of {money(size)} is {qty:g} at {price:g}")


def _account(config: Config, facts: Facts, findings: list[Finding]) -> Iterator[Check]:
    yield from (_check(finding) for finding in findings if finding.id.startswith("keys"))
    if not facts.with_keys:
        return
    yield from _rights(facts)
    yield from (_check(finding) for finding in findings if not finding.id.startswith("keys"))
    yield from _fees(config, facts)
    yield from _leverage(config, facts)
    yield from _foreign(facts)
    verdict = WARN if facts.dead_man is None or "DERIVATIVES" in facts.dead_man else OK
    yield Check(
        "dead_man", verdict, dead_man(facts.dead_man), "" if verdict == OK else "Leave it off, or test its effect on stops with a small position"
    )


def _rights(facts: Facts) -> Iterator[Check]:
    """Findings about the key's rights that a start does not check."""
    key = facts.key
    if key is None:
        return
    if key.may_transfer:
        yield Check("keys.transfer", WARN, f"the key may also move money between accounts ({', '.join(key.may_transfer)})", "Remove that right")
    if not key.ips:
        yield Check(
            "keys.address", WARN, "the key works from any address", "Bind it to this machine's address, so that a stolen key is useless elsewhere"
        )
    else:
        yield Check("keys.address", OK, f"the key is bound to {len(key.ips)} address{'es' if len(key.ips) > 1 else ''}")
    if key.expires:
        left = f"the key expires on {key.expires[:10]}, in {key.days_left} days"
        expired = key.days_left <= 0
        verdict = FAIL if expired else WARN if key.days_left < EXPIRY_WARN_DAYS else OK
        yield Check("keys.expiry", verdict, left, "" if verdict == OK else "Renew it at the venue, or bind it to an address: such keys do not expire")


def _fees(config: Config, facts: Facts) -> Iterator[Check]:
    maker, taker = config.paper.maker_fee / SCALE, config.paper.taker_fee / SCALE
    for symbol in config.feed.named:
        found = facts.fees.get(symbol)
        if found is None:
            yield Check(
                "fees",
                WARN,
                f"{symbol}: fee rates: {facts.missing.get(f'fees.{symbol}', 'none given')} (demo trading has none)",
                "Compare the fees of the first trades with [paper] maker_fee and taker_fee",
            )
            continue
        values = config.policy_for(symbol)
        text = f"{symbol}: maker {found.maker:.4%}, taker {found.taker:.4%}; configured {maker:.4%} and {taker:.4%}"
        entry = found.maker if values.entry == "post_only" else found.taker
        target = values.take_profit / SCALE
        if target and entry + found.maker >= target:
            yield Check("fees", FAIL, f"{text}; a take-profit of {target:.4%} does not cover the fees", "Widen take_profit, or get a better fee tier")
        elif found.maker > maker + 1e-12 or found.taker > taker + 1e-12:
            yield Check(
                "fees",
                WARN,
                text + ": backtests with this configuration are too optimistic",
                "Set [paper] maker_fee and taker_fee to the account's rates",
            )
        else:
            yield Check("fees", OK, text)


def _leverage(config: Config, facts: Facts) -> Iterator[Check]:
    for symbol in config.feed.named:
        rows = (facts.modes or {}).get(symbol)
        if not rows or mode_fault(rows):
            continue
        leverage, values = config.live.leverage or rows[0].leverage, config.policy_for(symbol)
        text = f"{symbol}: one-way mode, leverage {rows[0].leverage:g}"
        if config.live.leverage and config.live.leverage != rows[0].leverage:
            text += f" (a live start sets {leverage:g})"
        isolated = facts.account is not None and facts.account.margin == "ISOLATED_MARGIN"
        # where the venue would close by force, as a share of the entry price; maintenance margin as configured
        room = 1.0 / leverage - config.paper.maintenance_margin / SCALE if leverage else 1.0
        if isolated and leverage and room <= values.stop_loss / SCALE:
            yield Check(
                "leverage",
                FAIL,
                f"{text}: the liquidation price ({room:.2%} away) is nearer than the stop ({values.stop_loss / SCALE:.2%})",
                "Lower the leverage",
            )
        elif leverage > config.limits.leverage_max:
            yield Check(
                "leverage",
                WARN,
                f"{text}; [limits] leverage_max is {config.limits.leverage_max:g}. Exposure stays below that in any case",
                "Lower the leverage at the venue",
            )
        elif leverage and facts.wallet and config.limits.positions_max and _margin(config, facts, leverage) > facts.wallet.available:
            yield Check(
                "leverage",
                WARN,
                f"{text}: full positions need {money(_margin(config, facts, leverage))} of margin, {money(facts.wallet.available)} is available",
                "Raise the leverage up to leverage_max, or lower the notional",
            )
        else:
            yield Check("leverage", OK, text)


def _margin(config: Config, facts: Facts, leverage: float) -> float:
    equity = facts.wallet.equity if facts.wallet else config.paper.equity
    return exposure(config, equity, 0.0, 0.0).open / leverage


def _foreign(facts: Facts) -> Iterator[Check]:
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
        yield Check(
            "orders",
            verdict,
            f"{count} open order{'s' if count > 1 else ''}, {what}",
            "A live start keeps what its state folder knows and touches nothing else",
        )
    if not runs:
        yield Check("orders", OK, "no open orders")


def _limits(config: Config, facts: Facts) -> Iterator[Check]:
    equity = facts.wallet.equity if facts.wallet else config.paper.equity
    fees = list(facts.fees.values())
    maker = max([config.paper.maker_fee / SCALE, *(fee.maker for fee in fees)])
    taker = max([config.paper.taker_fee / SCALE, *(fee.taker for fee in fees)])
    source = "of the wallet" if facts.wallet else "of [paper]"
    yield Check("limits", OK, "\n".join([f"With the equity {source}, {money(equity)}:", *describe_limits(config, equity, maker, taker)]))
    for found in contradictions(config.limits):
        yield Check("limits.written", WARN, f"{found}, the limit of the documented system", "Lower it, or make sure that it is intended")
    worst = exposure(config, equity, maker, taker)
    if worst.day > equity * 0.1:
        yield Check("limits.worst", WARN, f"the worst planned day loses {money(worst.day)}, more than a tenth of the equity", "Trade smaller")
    yield Check("config", OK, f"configuration {config_hash(config)[:16]}")
