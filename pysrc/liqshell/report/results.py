"""What the trades came to: the way from gross to net, win rate against break-even, per trade and per day, exits, entries, what was left open."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from liqcore import Reason, Role

from liqshell.report.coverage import DAY_NS, HOUR_NS, share, whole_days
from liqshell.report.stories import ORDER_MARKET, Bracket, Ledger, Trade
from liqshell.report.run import Run
from liqshell.report.statistics import (FEW, break_even, break_even_planned, daily_sharpe, day_bootstrap, drawdown,
                                        expected_shortfall, mean_test, spaced_mean, spread)
from liqshell.report.study import Study
from liqshell.report.text import iso
from liqshell.report.labels import ROLES, meaning, position, reason

FUNDING_NS = 8 * HOUR_NS


def money(run: Run, ledger: Ledger) -> dict[str, Any]:
    """The waterfall of the closed trades, and what belongs to positions still open. gross_decided - slippage - fees - funding = net."""
    trades = [b.closed for b in ledger.trades if b.closed]
    gross, fees = math.fsum(t.gross for t in trades), math.fsum(t.fees for t in trades)
    slip, funding = math.fsum(t.slippage for t in trades), math.fsum(t.funding for t in trades)
    notional = math.fsum(t.entry_notional for t in trades)
    maker = math.fsum(f.fee for b in ledger.trades for f in b.fills if f.maker)
    net = math.fsum(t.net for t in trades)
    equity = equity_of(run, ledger)
    fall = fallen(run, ledger, equity)
    return {"gross_decided": gross + slip, "slippage": slip, "gross": gross, "fees": fees, "fees_maker": maker, "fees_taker": fees - maker,
            "fees_by_leg": fees_by_leg(run, ledger), "funding": funding, "funding_modelled": funding_modelled(run, ledger),
            "funding_open": ledger.funding - funding, "held_across_funding": sum(crosses_funding(b) for b in ledger.trades), "net": net,
            "notional": notional, "equity_start": equity, "net_on_notional_bps": net / notional * 1e4 if notional else None,
            "net_on_account": net / equity if equity and trades else None, "max_drawdown_on_account": fall["share"] if fall else None,
            "drawdown": fall, "shortfall_bps": expected_shortfall([t.bps for t in trades])}


def fees_by_leg(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Fees of the closed trades by what the order was for and by role: every leg is charged."""
    legs: dict[tuple[int, bool], list[tuple[float, float]]] = {}
    for b in ledger.trades:
        multiplier = run.instruments[b.instrument].multiplier
        for f in b.fills:
            legs.setdefault((f.role, f.maker), []).append((f.fee, f.price * f.qty * multiplier))
    rows = []
    for (role, maker), found in sorted(legs.items()):
        fees, notional = math.fsum(fee for fee, _ in found), math.fsum(n for _, n in found)
        rows.append({"leg": ROLES.get(role, str(role)), "role": "maker" if maker else "taker", "fills": len(found), "notional": notional,
                     "fees": fees,
                     "bps": fees / notional * 1e4 if notional else None})
    return rows


def funding_modelled(run: Run, ledger: Ledger) -> bool:
    """Whether the venue charged funding: it says so in the settings, or did it."""
    value = venue_settings(run).get("funding_interval_s")
    return bool(ledger.funding) or isinstance(value, int | float) and value > 0


def venue_settings(run: Run) -> dict[str, Any]:
    """The arguments of the simulated venue, {} where run.json does not tell, and of a run whose orders went to an account."""
    if by_account(run):
        return {}
    for table in (run.table("settings"), run.table("config"), run.meta):
        found = table.get("paper")
        if isinstance(found, dict):
            return found
    return {}


def by_account(run: Run) -> bool:
    """Whether the orders went to an account at a venue, and nothing was simulated here."""
    return bool(run.table("settings").get("venue", "simulated") != "simulated")


def equity_of(run: Run, ledger: Ledger) -> float | None:
    """Starting equity: as configured, else as risk saw it at its first verdict. Of an account: as risk saw it, else as the run began with."""
    if by_account(run):
        return ledger.equity_start or run.table("settings").get("equity") or None
    config = run.table("config")
    for table in (run.meta, config, config.get("paper"), config.get("account")):
        if isinstance(table, dict):
            value = table.get("equity")
            if isinstance(value, int | float) and value > 0:
                return float(value)
    return ledger.equity_start or None


def crosses_funding(b: Bracket) -> bool:
    """Held at 00:00, 08:00 or 16:00 UTC, when most perpetuals charge funding."""
    opened = b.entry_fills[0].ts if b.entry_fills else b.opened
    return b.flat // FUNDING_NS > opened // FUNDING_NS


def fallen(run: Run, ledger: Ledger, equity: float | None) -> dict[str, Any] | None:
    """The largest drawdown of the account on closed trades."""
    if not equity:
        return None
    total, points = equity, [(run.started_ns, equity)]
    for b in ledger.trades:
        total += b.closed.net if b.closed else 0.0
        points.append((b.flat, total))
    return drawdown([*points, (run.ended_ns, total)])


def marked(study: Study) -> dict[str, Any] | None:
    """The largest drawdown with open positions at mark, as far as the samples of a backtest see it; None without them."""
    equity = study.get("equity")
    return drawdown(list(zip(equity["ts"], equity["marked"], strict=True))) if equity and equity["ts"] else None


def fee_rates(ledger: Ledger, run: Run) -> dict[str, float | None]:
    """What was charged per leg and role, as a share of the fill's notional."""
    out: dict[str, float | None] = {}
    for name, is_maker in (("maker", True), ("taker", False)):
        legs = [(f.fee, f.price * f.qty * run.instruments[b.instrument].multiplier) for b in ledger.brackets for f in b.fills
                if f.maker is is_maker]
        total = math.fsum(n for _, n in legs)
        out[name] = math.fsum(fee for fee, _ in legs) / total if total else None
    return out


def winning(run: Run, ledger: Ledger) -> dict[str, Any]:
    """Win rate against what is needed to break even: from the realised averages, and from the bracket's own distances and fees."""
    nets = [b.closed.net for b in ledger.trades if b.closed]
    wins, losses = [v for v in nets if v > 0], [-v for v in nets if v <= 0]
    mean_win = math.fsum(wins) / len(wins) if wins else None
    mean_loss = math.fsum(losses) / len(losses) if losses else None
    realised = break_even(mean_win, mean_loss) if mean_win and mean_loss else None
    planned = None
    spec = next((b for b in ledger.brackets if b.take_profit > 0 and b.stop_loss > 0), None)
    rates = fee_rates(ledger, run)
    if spec is not None:
        charged = venue_settings(run)
        maker, taker = (rates[k] if rates[k] is not None else charged.get(f"{k}_fee") for k in ("maker", "taker"))
        entry = maker if spec.entry_limit else taker
        if maker is not None and taker is not None and entry is not None:
            planned = break_even_planned(spec.take_profit, spec.stop_loss, entry, maker, taker)
    return {**share(len(wins), len(nets)), "mean_win": mean_win, "mean_loss": mean_loss, "break_even_realised": realised,
            "break_even_planned": planned, "fee_maker": rates["maker"], "fee_taker": rates["taker"]}


def per_trade(ledger: Ledger) -> dict[str, Any]:
    """Net return per trade on its notional, in bps. The Sharpe here is per trade and is never annualised.

    low, high, t: trades of one stretch of time may hang together (spaced_mean): clusters of cluster_s seconds, null where they are too few.
    independent: the same as if each trade were one observation, which trades of one cascade are not. bootstrap: whole days drawn anew.
    """
    found = [(b.closed, b.flat) for b in ledger.trades if b.closed and b.closed.entry_notional > 0]
    values, at = [t.bps for t, _ in found], [ts for _, ts in found]
    plain, spaced = mean_test(values), spaced_mean(values, at, longest(t for t, _ in found))
    mean, sd = plain["mean"], plain["sd"]
    return {**{key: spaced[key] for key in ("n", "mean", "t", "low", "high", "clusters")}, "cluster_s": (spaced["cluster_ns"] or 0) / 1e9, "sd": sd,
            "sharpe_per_trade": mean / sd if mean is not None and sd else None, "independent": {key: plain[key] for key in ("t", "low", "high")},
            "bootstrap": day_bootstrap(values, [ts // DAY_NS for ts in at]), "few": len(values) < FEW}


def longest(trades: Iterable[Trade]) -> int:
    """ns that the longest of the trades was held."""
    return round(max((t.hold_s for t in trades), default=0.0) * 1e9)


def daily_returns(run: Run, ledger: Ledger) -> tuple[list[float], int]:
    """Returns on the account of the whole days of 24 h from the start that the data covered, and how many days it did not cover."""
    days, equity = whole_days(run, ledger), equity_of(run, ledger)
    if not equity:
        return [], 0
    nets = [0.0] * len(days)
    for b in ledger.trades:
        day = (b.flat - run.started_ns) // DAY_NS
        if b.closed and 0 <= day < len(days):
            nets[day] += b.closed.net
    returns = []
    for net, (_, covered) in zip(nets, days, strict=True):
        if covered and equity > 0:
            returns.append(net / equity)
        equity += net
    return returns, len(days) - len(returns)


def daily(run: Run, ledger: Ledger) -> dict[str, Any]:
    """Sharpe ratio of daily returns on the account, None below two whole days; days without data are no days."""
    returns, without = daily_returns(run, ledger)
    return daily_sharpe(returns) | {"days_without_data": without}


def exits(ledger: Ledger) -> list[dict[str, Any]]:
    """One row an exit reason."""
    groups: dict[int, list[Bracket]] = {}
    for b in ledger.trades:
        groups.setdefault(b.closed.reason if b.closed else 0, []).append(b)
    rows = []
    for code, found in sorted(groups.items(), key=lambda item: -len(item[1])):
        trades = [b.closed for b in found if b.closed]
        rows.append({"reason": reason(code), "meaning": meaning(code), "n": len(trades), "wins": sum(t.net > 0 for t in trades),
                     "gross": math.fsum(t.gross for t in trades), "fees": math.fsum(t.fees for t in trades),
                     "slippage": math.fsum(t.slippage for t in trades), "funding": math.fsum(t.funding for t in trades),
                     "net": math.fsum(t.net for t in trades), "share": share(len(trades), len(ledger.trades)),
                     "hold_s": spread([t.hold_s for t in trades])["p50"], "hold_max_s": max(t.hold_s for t in trades)})
    return rows


def _months(ledger: Ledger) -> list[dict[str, Any]]:
    """Of the resting entries that ended in a month (UTC): how many were filled at all."""
    found: dict[str, list[bool]] = {}
    for b in ledger.brackets:
        entry = b.first(Role.ROLE_ENTRY)
        if b.flat and entry is not None and entry.type != ORDER_MARKET:
            found.setdefault(iso(b.flat)[:7], []).append(bool(b.entry_fills))
    return [{"month": month, "filled": share(sum(ends), len(ends))} for month, ends in sorted(found.items())]


def entries(ledger: Ledger) -> dict[str, Any]:
    """What became of the entry orders."""
    placed = len(ledger.brackets)
    filled = [b for b in ledger.brackets if b.fills]
    partial = [b for b in filled if b.flat and sum(f.qty for f in b.entry_fills) < b.qty * (1 - 1e-9)]
    ended = Counter(b.end for b in ledger.brackets if b.flat and not b.fills)
    waits = [(b.fills[0].ts - b.opened) / 1e9 for b in filled]
    rejects = sum(o.rejected and o.reason == Reason.END_POST_ONLY for b in ledger.brackets for o in b.orders.values()
                  if o.role == Role.ROLE_ENTRY)
    return {"placed": placed, "filled": share(len(filled), placed), "partial": len(partial),
            "working": sum(not b.flat and not b.fills for b in ledger.brackets),
            "post_only_rejects": rejects, "wait_s": spread(waits), "months": _months(ledger),
            "unfilled": [{"reason": reason(code), "meaning": meaning(code), "n": n} for code, n in ended.most_common()]}


def left_open(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Positions and entries still alive at the end."""
    rows = []
    for b in ledger.brackets:
        if b.flat:
            continue
        stop, order = b.first(Role.ROLE_STOP), b.first(Role.ROLE_ENTRY)
        mark = ledger.marks.get(b.instrument, (0, 0.0))[1]
        entry, multiplier = b.entry_price, run.instruments[b.instrument].multiplier
        rows.append({"symbol": run.symbols[b.instrument], "side": position(b.side), "what": "position" if b.position else "entry order",
                     "qty": abs(b.position) or b.qty, "entry": entry or (order.price if order else 0.0), "last": mark,
                     "unrealised": (mark - entry) * b.position * multiplier if b.position and mark else 0.0,
                     "fees": math.fsum(f.fee for f in b.fills), "funding": b.funding, "age_s": (run.ended_ns - b.opened) / 1e9,
                     "stop": stop.price if stop and not stop.ended else None})
    return rows
