"""REST answers of the emulated venue about an account: orders, executions, positions, money, permissions."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from liqshell.emulator.exchange.accounts import Account, Closing, Holding, listed
from liqshell.emulator.exchange.order_books import REALTIME_ENDED
from liqshell.emulator.exchange.orders import OPEN, Order, number, status_at
from liqshell.emulator.exchange.parameters import Fields, Listing, text, whole
from liqshell.emulator.exchange.positions import Positions
from liqshell.emulator.exchange.refusals import bad
from liqshell.emulator.exchange.settings import Settings

LOG_TYPES = {"Trade": "TRADE", "BustTrade": "LIQUIDATION", "AdlTrade": "ADL", "Funding": "SETTLEMENT"}
WEEK_MS = 7 * 86_400_000
Row = dict[str, Any]
MISSING = "Missing some parameters that must be filled in, symbol or settleCoin or baseCoin"


def _linear(fields: Fields) -> bool:
    """False: another category, which is always empty here."""
    category = text(fields, "category")
    if category not in ("linear", "inverse", "spot", "option"):
        raise bad("Illegal category")
    return category == "linear"


def _page(fields: Fields, found: Iterable[tuple[int, Row]], default: int, most: int) -> Row:
    """Newest first, `limit` at a time; the cursor is the number of the last one on the page before."""
    limit, cursor = whole(fields, "limit", default), text(fields, "cursor").removeprefix("page_")
    if not 1 <= limit <= most or cursor and not (cursor.isascii() and cursor.isdigit()):
        raise bad("params error: " + ("limit" if not 1 <= limit <= most else "cursor") + " invalid")
    rows: list[Row] = []
    last, more = 0, ""
    for serial, row in found:
        if cursor and serial >= int(cursor):
            continue
        if len(rows) == limit:
            more = f"page_{last}"
            break
        rows.append(row)
        last = serial
    return {"category": text(fields, "category"), "nextPageCursor": more, "list": rows}


def _window(fields: Fields, now_ms: int) -> tuple[int, int]:
    """startTime and endTime, at most seven days apart."""
    start, end = whole(fields, "startTime", -1), whole(fields, "endTime", -1)
    if start < 0:
        start = (end if end >= 0 else now_ms) - WEEK_MS
    if end < 0:
        end = start + WEEK_MS
    if not 0 <= end - start <= WEEK_MS:
        raise bad("The time range between startTime and endTime cannot exceed 7 days")
    return start, end


def _symbol(fields: Fields) -> str:
    return text(fields, "symbol").removesuffix("-LINEAR")  # some clients leave their own suffix in


def _closed(group: list[tuple[Row, Closing]]) -> Row:
    """The quantity closed by the executions of one order."""
    first, last = group[0][0], group[-1][0]
    size, profit = sum(part.qty for _, part in group), sum(part.profit for _, part in group)
    opened, closed = sum(part.open_fee for _, part in group), sum(part.close_fee for _, part in group)
    out = sum(float(row["execPrice"]) * part.qty for row, part in group)
    entry = out + profit * (1 if last["side"] == "Buy" else -1)  # a buyer closes a short: profit = entry - exit
    return {
        "symbol": last["symbol"],
        "orderId": last["orderId"],
        "side": last["side"],
        "qty": last["orderQty"],
        "orderPrice": last["orderPrice"],
        "orderType": last["orderType"],
        "execType": last["execType"],
        "closedSize": number(size),
        "cumEntryValue": number(entry),
        "avgEntryPrice": number(entry / size),
        "cumExitValue": number(out),
        "avgExitPrice": number(out / size),
        "closedPnl": number(profit - opened - closed),
        "openFee": number(opened),
        "closeFee": number(closed),
        "fillCount": str(len(group)),
        "leverage": number(group[-1][1].leverage),
        "createdTime": first["execTime"],
        "updatedTime": last["execTime"],
    }


def _entry(row: Row, balance: float, size: float) -> Row:
    """An execution as the account's log writes it: what it changed, and what there was after it."""
    kind, fee = LOG_TYPES[row["execType"]], float(row["execFee"])
    funding = -fee if kind == "SETTLEMENT" else 0.0
    paid = 0.0 if kind == "SETTLEMENT" else fee
    flow = float(row["execPnl"])
    return {
        "id": f"{row['symbol']}_{row['seq']}",
        "symbol": row["symbol"],
        "category": "linear",
        "side": row["side"],
        "transactionTime": row["execTime"],
        "type": kind,
        "transSubType": "",
        "qty": row["execQty"],
        "size": number(size),
        "currency": "USDT",
        "tradePrice": row["execPrice"],
        "funding": number(funding) if kind == "SETTLEMENT" else "",
        "fee": number(paid),
        "cashFlow": number(flow),
        "change": number(flow + funding - paid),
        "cashBalance": number(balance),
        "feeRate": row["feeRate"],
        "bonusChange": "",
        "tradeId": row["execId"],
        "orderId": row["orderId"],
        "orderLinkId": row["orderLinkId"],
        "extraFees": "",
    }


class RestReads:
    """GET requests with a signature. stale_ns: the answers come from the account's state so long ago; 0 = now."""

    def __init__(self, listing: Listing, settings: Settings, positions: Positions) -> None:
        self.listing, self.settings, self.positions = listing, settings, positions
        self.stale_ns = 0

    def _seen(self, now_ns: int) -> int:
        """Until when the answers know what has happened."""
        return now_ns - self.stale_ns

    # ---- orders ----

    def _matches(self, fields: Fields) -> Callable[[Order], bool]:
        symbol, base, settle_coin, kind = _symbol(fields), text(fields, "baseCoin"), text(fields, "settleCoin"), text(fields, "orderFilter")
        if symbol and symbol not in self.listing.index:
            raise bad("params error: symbol invalid " + symbol)

        def matches(order: Order) -> bool:
            c = order.contract
            return (
                (not symbol or c.symbol == symbol)
                and (not base or c.base == base)
                and settle_coin in ("", "USDT")
                and (not kind or (kind == "Order") == (not order.kind))
            )

        return matches

    @staticmethod
    def _one(account: Account, fields: Fields) -> Order | None:
        order_id, link = text(fields, "orderId"), text(fields, "orderLinkId")
        return account.orders.get(order_id) if order_id else account.links.get(link)

    def realtime(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/order/realtime: open orders, or the last 500 that have ended, or one by its id in any state."""
        if not _linear(fields):
            return _page(fields, (), 20, 50)
        seen, matches = self._seen(now_ns), self._matches(fields)
        if text(fields, "orderId") or text(fields, "orderLinkId"):
            order = self._one(account, fields)
            row = status_at(order.versions, seen) if order is not None and matches(order) else None
            return _page(fields, [(order.serial, row)] if order is not None and row else [], 20, 50)
        if not (_symbol(fields) or text(fields, "baseCoin") or text(fields, "settleCoin")):
            raise bad(MISSING)
        ended = whole(fields, "openOnly", 0) != 0
        recent = list(account.ended)[-REALTIME_ENDED:]
        candidates = sorted(chain(account.open.values(), recent if ended or self.stale_ns else ()), key=lambda o: -o.serial)
        rows = (
            (o.serial, row)
            for o in candidates
            if matches(o) and (row := status_at(o.versions, seen)) is not None and (row["orderStatus"] in OPEN) != ended
        )
        return _page(fields, rows, 20, 50)

    def history(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/order/history: orders that have ended."""
        if not _linear(fields):
            return _page(fields, (), 20, 50)
        seen, matches = self._seen(now_ns), self._matches(fields)
        asked, status = bool(text(fields, "orderId") or text(fields, "orderLinkId")), text(fields, "orderStatus")
        one = self._one(account, fields) if asked else None
        start, end = _window(fields, now_ns // 1_000_000)
        found = sorted(account.ended, key=lambda o: -o.serial) if not asked else [one] if one is not None else []
        rows = (
            (o.serial, row)
            for o in found
            if matches(o)
            and (asked or start <= o.created_ms <= end)
            and (row := status_at(o.versions, seen)) is not None
            and row["orderStatus"] not in OPEN
            and status in ("", row["orderStatus"])
        )
        return _page(fields, rows, 20, 50)

    def executions(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/execution/list."""
        if not _linear(fields):
            return _page(fields, (), 50, 100)
        seen = self._seen(now_ns)
        start, end = _window(fields, now_ns // 1_000_000)
        wanted = {"symbol": _symbol(fields)} | {key: text(fields, key) for key in ("orderId", "orderLinkId", "execType")}
        rows = (
            (row["seq"], row)
            for ts, row in reversed(account.executions)
            if ts <= seen and start <= ts // 1_000_000 <= end and all(value in ("", row[key]) for key, value in wanted.items())
        )
        return _page(fields, rows, 50, 100)

    def closed_profit(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/position/closed-pnl: what each order that closed something has earned, less the fees of opening and closing that part."""
        if not _linear(fields):
            return _page(fields, (), 50, 100)
        seen = self._seen(now_ns)
        start, end = _window(fields, now_ns // 1_000_000)
        by_order: dict[str, list[tuple[Row, Closing]]] = {}
        for ts, row, closing in account.closings:
            if ts <= seen and start <= ts // 1_000_000 <= end and _symbol(fields) in ("", row["symbol"]):
                by_order.setdefault(row["orderId"], []).append((row, closing))
        rows = sorted(((group[-1][0]["seq"], _closed(group)) for group in by_order.values()), key=lambda pair: -pair[0])
        return _page(fields, rows, 50, 100)

    def transactions(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/account/transaction-log: every change of the balance."""
        seen = self._seen(now_ns)
        start, end = _window(fields, now_ns // 1_000_000)
        base, kind = text(fields, "baseCoin"), text(fields, "type")
        ours = text(fields, "currency") in ("", "USDT") and (not text(fields, "category") or _linear(fields))
        rows = (
            (row["seq"], _entry(row, balance, size))
            for ts, row, balance, size in reversed(account.log if ours else ())
            if ts <= seen
            and start <= ts // 1_000_000 <= end
            and kind in ("", LOG_TYPES[row["execType"]])
            and base in ("", self.listing.contracts[self.listing.index[row["symbol"]]].base)
        )
        page = _page(fields, rows, 20, 50)
        del page["category"]
        return page

    # ---- positions and money ----

    def position_list(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/position/list: by symbol also the flat ones, by settleCoin only what is held."""
        if not _linear(fields):
            return _page(fields, (), 20, 200)
        symbol = _symbol(fields)
        if symbol and symbol not in self.listing.index:
            raise bad("params error: symbol invalid " + symbol)
        if not symbol and not text(fields, "settleCoin"):
            raise bad(MISSING)
        wanted: list[Holding] = []
        if symbol:
            n = self.listing.index[symbol]
            wanted = [self.positions.holding(account, n, idx) for idx in ((1, 2) if n in account.hedge else (0,))]
        elif text(fields, "settleCoin") == "USDT":
            wanted = list(account.holdings.values())
        rows = [(1_000_000 - h.n * 3 - h.idx, row) for h in wanted if (row := self._position(h, now_ns)) is not None]
        rows.sort(key=lambda pair: -pair[0])
        return _page(fields, ((serial, row) for serial, row in rows if symbol or row["size"] != "0"), 20, 200)

    def _position(self, h: Holding, now_ns: int) -> Row | None:
        row = status_at(h.versions, self._seen(now_ns)) if self.stale_ns else self.positions.position_row(h)
        if row is None:  # nothing had been said of it then: flat
            empty = Holding(h.account, h.n, h.contract, h.idx, h.leverage)
            row = self.positions.position_row(empty)
        return listed(row)

    def wallet(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/account/wallet-balance."""
        if text(fields, "accountType") not in ("UNIFIED", ""):
            raise bad("accountType only support UNIFIED.")
        row = status_at(account.wallets, self._seen(now_ns)) if self.stale_ns else None
        return {"list": [row or self.positions.wallet_row(account)]}

    def fee_rates(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/account/fee-rate."""
        rates = {"takerFeeRate": number(self.settings.taker_fee), "makerFeeRate": number(self.settings.maker_fee), "baseCoin": ""}
        symbol = _symbol(fields)
        if symbol and symbol not in self.listing.index:
            raise bad("params error: symbol invalid " + symbol)
        names = [symbol] if symbol else self.listing.index if _linear(fields) else []
        return {"category": text(fields, "category"), "list": [{"symbol": name, **rates} for name in names]}

    # ---- the account itself ----

    def info(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/account/info."""
        return {
            "unifiedMarginStatus": 5,
            "marginMode": "REGULAR_MARGIN",
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "dcpStatus": "OFF",
            "timeWindow": 0,
            "smpGroup": 0,
            "updatedTime": str(now_ns // 1_000_000),
        }

    def coins(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/asset/coin/query-info."""
        network = {
            "chain": "ETH",
            "chainType": "Ethereum (ERC20)",
            "confirmation": "6",
            "withdrawFee": "3",
            "depositMin": "0",
            "withdrawMin": "3",
            "minAccuracy": "6",
            "chainDeposit": "1",
            "chainWithdraw": "1",
            "withdrawPercentageFee": "0",
            "contractAddress": "",
            "safeConfirmNumber": "6",
        }
        coins = ["USDT", *(c.base for c in self.listing.contracts)]
        asked = text(fields, "coin")
        return {"rows": [{"name": coin, "coin": coin, "remainAmount": "10000000", "chains": [network]} for coin in coins if asked in ("", coin)]}

    def collateral(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/account/collateral-info: USDT is the collateral, and nothing is lent."""
        asked = text(fields, "currency")
        row = {
            "availableToBorrow": "0",
            "freeBorrowingAmount": "",
            "freeBorrowAmount": "0",
            "maxBorrowingAmount": "0",
            "hourlyBorrowRate": "0",
            "borrowUsageRate": "0",
            "collateralSwitch": True,
            "borrowAmount": "0",
            "borrowable": False,
            "currency": "USDT",
            "otherBorrowAmount": "0",
            "marginCollateral": True,
            "freeBorrowingLimit": "0",
            "collateralRatio": "1",
        }
        return {"list": [row] if asked in ("", "USDT") else []}

    def greeks(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/asset/coin-greeks: of options, always empty here."""
        asked = text(fields, "baseCoin")
        return {
            "list": [
                {"baseCoin": c.base, "totalDelta": "0", "totalGamma": "0", "totalVega": "0", "totalTheta": "0"}
                for c in self.listing.contracts
                if asked in ("", c.base)
            ]
        }

    def no_switch(self, account: Account, fields: Fields, now_ns: int) -> Row:
        """GET /v5/account/query-dcp-info: a retail account has no dead-man switch."""
        return {"dcpInfos": []}
