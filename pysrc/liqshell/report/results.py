"""The result of the trades: from gross to net, win rate against break-even, per trade and per day, exits, entries, open positions."""

import math
from collections import Counter
from typing import Any

import numpy as np

from liqcore import Reason, Role
from liqcore.event import FillFlag
from liqshell.report.coverage import DAY_NS, HOUR_NS, share, whole_days
from liqshell.report.labels import ROLES, meaning, position, reason
from liqshell.report.run import Run
from liqshell.report.statistics import (
    FEW,
    break_even,
    break_even_planned,
    daily_sharpe,
    day_bootstrap,
    drawdown,
    expected_shortfall,
    mean_test,
    spaced_mean,
    spread,
)
from liqshell.report.stories import ORDER_MARKET, Ledger
from liqshell.report.study import Study

FUNDING_NS = 8 * HOUR_NS


def total(values: np.ndarray) -> float:
    """The sum, rounded once."""
    return math.fsum(values.tolist())


def is_maker(fills: np.ndarray) -> np.ndarray:
    out: np.ndarray = fills["flags"] & FillFlag.FILL_MAKER != 0
    return out


def notionals(run: Run, ledger: Ledger, fills: np.ndarray) -> np.ndarray:
    """Of fills, in quote currency."""
    multipliers = np.array([i.multiplier for i in run.instruments], float)
    out: np.ndarray = fills["price"] * fills["qty"] * multipliers[ledger.bracket_rows["instrument"][fills["bracket"]]]
    return out


def money(run: Run, ledger: Ledger) -> dict[str, Any]:
    """The waterfall of the closed trades, and what belongs to positions still open. gross_decided - slippage - fees - funding = net."""
    trades, fills = ledger.trade_rows, ledger.trade_fills
    gross, fees, slip, funding, notional, net = (total(trades[name]) for name in ("gross", "fees", "slippage", "funding", "entry_notional", "net"))
    maker = total(fills["fee"][is_maker(fills)])
    equity = equity_of(run, ledger)
    fall = fallen(run, ledger, equity)
    return {
        "gross_decided": gross + slip,
        "slippage": slip,
        "gross": gross,
        "fees": fees,
        "fees_maker": maker,
        "fees_taker": fees - maker,
        "fees_by_leg": fees_by_leg(run, ledger),
        "funding": funding,
        "funding_modelled": funding_modelled(run, ledger),
        "funding_open": ledger.funding - funding,
        "held_across_funding": crossed_funding(ledger),
        "net": net,
        "notional": notional,
        "equity_start": equity,
        "net_on_notional_bps": net / notional * 1e4 if notional else None,
        "net_on_account": net / equity if equity and len(trades) else None,
        "max_drawdown_on_account": fall["share"] if fall else None,
        "drawdown": fall,
        "shortfall_bps": expected_shortfall(trades["bps"].tolist()),
    }


def fees_by_leg(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Fees of the closed trades by what the order was for and by role: every leg is charged."""
    fills, rows = ledger.trade_fills, []
    legs = fills["role"].astype(np.int64) * 2 + is_maker(fills)
    for leg in np.unique(legs).tolist():
        found, (role, maker) = fills[legs == leg], divmod(leg, 2)
        fees, notional = total(found["fee"]), total(notionals(run, ledger, found))
        rows.append(
            {
                "leg": ROLES.get(role, str(role)),
                "role": "maker" if maker else "taker",
                "fills": len(found),
                "notional": notional,
                "fees": fees,
                "bps": fees / notional * 1e4 if notional else None,
            }
        )
    return rows


def funding_modelled(run: Run, ledger: Ledger) -> bool:
    """Whether the venue charged funding: it says so in the settings, or did it."""
    value = venue_settings(run).get("funding_interval_s")
    return bool(ledger.funding) or isinstance(value, int | float) and value > 0


def venue_settings(run: Run) -> dict[str, Any]:
    """The arguments of the simulated venue; {} if run.json does not state them, and for a run whose orders went to an account."""
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


def crossed_funding(ledger: Ledger) -> int:
    """Trades that were held at 00:00, 08:00 or 16:00 UTC, when most perpetuals charge funding."""
    return int((ledger.of_trades("flat") // FUNDING_NS > ledger.of_trades("entered") // FUNDING_NS).sum())


def fallen(run: Run, ledger: Ledger, equity: float | None) -> dict[str, Any] | None:
    """The largest drawdown of the account on closed trades."""
    if not equity:
        return None
    account = np.cumsum(np.append(equity, ledger.trade_rows["net"])).tolist()
    return drawdown(list(zip([run.started_ns, *ledger.of_trades("flat").tolist(), run.ended_ns], [*account, account[-1]], strict=True)))


def marked(study: Study) -> dict[str, Any] | None:
    """The largest drawdown with open positions at mark, as far as the samples of a backtest see it; None without them."""
    equity = study.get("equity")
    return drawdown(list(zip(equity["ts"], equity["marked"], strict=True))) if equity and equity["ts"] else None


def fee_rates(ledger: Ledger, run: Run) -> dict[str, float | None]:
    """The fees charged per leg and role, as a share of the fill's notional."""
    out: dict[str, float | None] = {}
    fills, maker = ledger.fill_rows, is_maker(ledger.fill_rows)
    for name, which in (("maker", maker), ("taker", ~maker)):
        notional = total(notionals(run, ledger, fills[which]))
        out[name] = total(fills["fee"][which]) / notional if notional else None
    return out


def winning(run: Run, ledger: Ledger) -> dict[str, Any]:
    """Win rate against what is needed to break even: from the realised averages, and from the bracket's own distances and fees."""
    nets = ledger.trade_rows["net"].tolist()
    wins, losses = [v for v in nets if v > 0], [-v for v in nets if v <= 0]
    mean_win = math.fsum(wins) / len(wins) if wins else None
    mean_loss = math.fsum(losses) / len(losses) if losses else None
    realised = break_even(mean_win, mean_loss) if mean_win and mean_loss else None
    planned = None
    meant = np.flatnonzero((ledger.bracket_rows["take_profit"] > 0) & (ledger.bracket_rows["stop_loss"] > 0))[:1]
    spec = ledger.bracket(int(meant[0])) if len(meant) else None
    rates = fee_rates(ledger, run)
    if spec is not None:
        charged = venue_settings(run)
        maker, taker = (rates[k] if rates[k] is not None else charged.get(f"{k}_fee") for k in ("maker", "taker"))
        entry = maker if spec.entry_limit else taker
        if maker is not None and taker is not None and entry is not None:
            planned = break_even_planned(spec.take_profit, spec.stop_loss, entry, maker, taker)
    return {
        **share(len(wins), len(nets)),
        "mean_win": mean_win,
        "mean_loss": mean_loss,
        "break_even_realised": realised,
        "break_even_planned": planned,
        "fee_maker": rates["maker"],
        "fee_taker": rates["taker"],
    }


def per_trade(ledger: Ledger) -> dict[str, Any]:
    """Net return per trade on its notional, in bps. The Sharpe here is per trade and is never annualised.

    low, high, t: trades of one stretch of time may hang together (spaced_mean): clusters of cluster_s seconds, null where they are too few.
    independent: the same as if each trade were one observation, which trades of one cascade are not. bootstrap: whole days drawn anew.
    """
    some = ledger.trade_rows["entry_notional"] > 0
    values, at = ledger.trade_rows["bps"][some].tolist(), ledger.of_trades("flat")[some]
    plain, spaced = mean_test(values), spaced_mean(values, at, longest(ledger.trade_rows["hold_s"][some]))
    mean, sd = plain["mean"], plain["sd"]
    return {
        **{key: spaced[key] for key in ("n", "mean", "t", "low", "high", "clusters")},
        "cluster_s": (spaced["cluster_ns"] or 0) / 1e9,
        "sd": sd,
        "sharpe_per_trade": mean / sd if mean is not None and sd else None,
        "independent": {key: plain[key] for key in ("t", "low", "high")},
        "bootstrap": day_bootstrap(values, at // DAY_NS),
        "few": len(values) < FEW,
    }


def longest(hold_s: np.ndarray) -> int:
    """ns that the longest of the trades was held."""
    return round(float(hold_s.max(initial=0.0)) * 1e9)


def daily_returns(run: Run, ledger: Ledger) -> tuple[list[float], int]:
    """Returns on the account of the whole days of 24 h from the start that the data covered, and how many days it did not cover."""
    days, equity = whole_days(run, ledger), equity_of(run, ledger)
    if not equity:
        return [], 0
    of = (ledger.of_trades("flat") - run.started_ns) // DAY_NS
    inside = (of >= 0) & (of < len(days))
    nets = np.bincount(of[inside], ledger.trade_rows["net"][inside], len(days))
    returns = []
    for net, (_, covered) in zip(nets.tolist(), days, strict=True):
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
    rows = []
    for code, _ in sorted(Counter(ledger.trade_rows["reason"].tolist()).items(), key=lambda item: (-item[1], item[0])):
        trades = ledger.trade_rows[ledger.trade_rows["reason"] == code]
        rows.append(
            {
                "reason": reason(code),
                "meaning": meaning(code),
                "n": len(trades),
                "wins": int((trades["net"] > 0).sum()),
                **{name: total(trades[name]) for name in ("gross", "fees", "slippage", "funding", "net")},
                "share": share(len(trades), len(ledger.trade_rows)),
                "hold_s": spread(trades["hold_s"].tolist())["p50"],
                "hold_max_s": float(trades["hold_s"].max()),
            }
        )
    return rows


def _months(ledger: Ledger) -> list[dict[str, Any]]:
    """Of the resting entries that ended in a month (UTC): how many were filled at all."""
    entry = ledger.order_rows[ledger.order_rows["role"] == Role.ROLE_ENTRY]
    first = entry[np.unique(entry["bracket"], return_index=True)[1]]
    found = ledger.bracket_rows[first["bracket"][first["type"] != ORDER_MARKET]]
    found = found[found["flat"] != 0]
    days, day = np.unique(found["flat"] // DAY_NS, return_inverse=True)
    months, of = np.unique(days.astype("M8[D]").astype("M8[M]"), return_inverse=True)
    filled, ended = np.bincount(of[day], found["entries"] > 0, len(months)), np.bincount(of[day], minlength=len(months))
    return [{"month": str(month), "filled": share(int(k), int(n))} for month, k, n in zip(months, filled, ended, strict=True)]


def entries(ledger: Ledger) -> dict[str, Any]:
    """The outcomes of the entry orders."""
    brackets, orders, fills = ledger.bracket_rows, ledger.order_rows, ledger.fill_rows
    filled, over, entry = brackets["fills"] > 0, brackets["flat"] != 0, fills["role"] == Role.ROLE_ENTRY
    entered = np.bincount(fills["bracket"][entry], fills["qty"][entry], len(brackets))
    partial = filled & over & (entered < brackets["qty"] * (1 - 1e-9))
    ended = Counter(brackets["end"][over & ~filled].tolist())
    waits = (brackets["filled"] - brackets["opened"])[filled] / 1e9
    rejects = orders["rejected"] & (orders["reason"] == Reason.END_POST_ONLY) & (orders["role"] == Role.ROLE_ENTRY)
    return {
        "placed": len(brackets),
        "filled": share(int(filled.sum()), len(brackets)),
        "partial": int(partial.sum()),
        "working": int((~over & ~filled).sum()),
        "post_only_rejects": int(rejects.sum()),
        "wait_s": spread(waits.tolist()),
        "months": _months(ledger),
        "unfilled": [{"reason": reason(code), "meaning": meaning(code), "n": n} for code, n in ended.most_common()],
    }


def left_open(run: Run, ledger: Ledger) -> list[dict[str, Any]]:
    """Positions and entries still alive at the end."""
    rows = []
    for k in np.flatnonzero(ledger.bracket_rows["flat"] == 0).tolist():
        b = ledger.bracket(k)
        stop, order = b.first(Role.ROLE_STOP), b.first(Role.ROLE_ENTRY)
        mark = ledger.marks.get(b.instrument, (0, 0.0))[1]
        entry, multiplier = b.entry_price, run.instruments[b.instrument].multiplier
        rows.append(
            {
                "symbol": run.symbols[b.instrument],
                "side": position(b.side),
                "what": "position" if b.position else "entry order",
                "qty": abs(b.position) or b.qty,
                "entry": entry or (order.price if order else 0.0),
                "last": mark,
                "unrealised": (mark - entry) * b.position * multiplier if b.position and mark else 0.0,
                "fees": math.fsum(f.fee for f in b.fills),
                "funding": b.funding,
                "age_s": (run.ended_ns - b.opened) / 1e9,
                "stop": stop.price if stop and not stop.ended else None,
            }
        )
    return rows
