"""A small two-sided market of Hyperliquid whose truth is known, written as a node writes its fills: both legs of every trade, one of each user.

Written from the venue's facts, not from the reader. `Ledger.truth` holds what the market knows of itself: who was the taker, who was closed by force,
and by what. Numbers are Decimals, as the venue's are texts.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

START = datetime(2025, 10, 10, 21, 16, tzinfo=UTC)
VAULT = "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14"
PRICES = {"BTC": Decimal(112000), "kPEPE": Decimal("0.0089"), "xyz:MU": Decimal("182.5"), "DOGE": Decimal("0.2431")}
STEPS = {
    "BTC": (Decimal(1), Decimal("0.00001")),
    "kPEPE": (Decimal("0.000001"), Decimal(1)),
    "xyz:MU": (Decimal("0.01"), Decimal("0.001")),
    "DOGE": (Decimal("0.00001"), Decimal(1)),
}
SPOT = ("@107", "PURR/USDC")


@dataclass
class Truth:
    """trades: (coin, +1 bought | -1 sold by the taker, px, sz, tid, ms). The others: (block, user, coin, +1 long | -1 short) -> [qty, notional]."""

    trades: list[tuple[str, int, Decimal, Decimal, int, int]] = field(default_factory=list)
    liquidations: dict[tuple[int, str, str, int], list[Decimal]] = field(default_factory=dict)
    backstops: dict[tuple[int, str, str, int], list[Decimal]] = field(default_factory=dict)
    deleveragings: dict[tuple[int, str, str, int], list[Decimal]] = field(default_factory=dict)
    spot_fills: int = 0


@dataclass
class Block:
    number: int
    time: datetime
    received: datetime
    events: list[list] = field(default_factory=list)

    @property
    def ms(self) -> int:
        return round(self.time.timestamp() * 1000)

    def line(self) -> str:
        return json.dumps(
            {"local_time": nanoseconds(self.received), "block_time": nanoseconds(self.time), "block_number": self.number, "events": self.events},
            separators=(",", ":"),
        )


def nanoseconds(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "789"


class Ledger:
    """Blocks of a market with trades, liquidations over the book, backstops, deleveraging and spot fills. Same seed, same bytes."""

    def __init__(self, seed: int = 0, start: datetime = START):
        self.rng = random.Random(seed)
        self.truth = Truth()
        self.blocks: list[Block] = []
        self._now, self._number, self._tid, self._oid = start, round(start.timestamp() * 10), 0, 100_000_000_000
        self._positions: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._price = dict(PRICES)
        self._users = ["0x" + f"{self.rng.getrandbits(160):040x}" for _ in range(12)]

    def run(self, blocks: int) -> Ledger:
        for _ in range(blocks):
            self._now += timedelta(milliseconds=self.rng.randint(60, 400))
            self._number += self.rng.randint(1, 3)
            block = Block(self._number, self._now, self._now + timedelta(milliseconds=self.rng.randint(20, 250)))
            for _ in range(self.rng.randint(1, 6)):
                self.rng.choices((self.trade, self.liquidation, self.backstop, self.deleveraging, self.spot), (60, 15, 6, 6, 13))[0](block)
            self.blocks.append(block)
        return self

    # ---- what can happen

    def trade(self, block: Block) -> None:
        coin, taker = self._coin(), self._user()
        side, left = self.rng.choice((1, -1)), self.rng.randint(1, 3)
        for maker in self._others(taker, left):
            self._fill(block, coin, taker, maker, side)

    def liquidation(self, block: Block) -> None:
        """One order of the engine over the book; sometimes for several users under one oid and hash."""
        coin, oid, hash_ = self._coin(), self._next_oid(), self._hash()
        for user in self.rng.sample(self._users, self.rng.choice((1, 1, 1, 2))):
            side = self._position(coin, user)
            for maker in self._others(user, self.rng.randint(1, 4)):
                if not self._positions[coin, user]:
                    break
                px, sz = self._fill(block, coin, user, maker, -side, method="market", oid=oid, hash_=hash_)
                self._book(self.truth.liquidations, block, user, coin, side, px, sz)

    def backstop(self, block: Block) -> None:
        coin, user = self._coin(), self._user()
        side = self._position(coin, user)
        px, sz = self._fill(block, coin, user, VAULT, -side, method="backstop", whole=True)
        self._book(self.truth.backstops, block, user, coin, side, px, sz)

    def deleveraging(self, block: Block) -> None:
        """A loser is closed against a winner of the other side."""
        coin, (loser, winner) = self._coin(), self.rng.sample(self._users, 2)
        side = self._position(coin, loser)
        self._position(coin, winner, -side)
        px, sz = self._fill(block, coin, loser, winner, -side, method="backstop", deleveraged=True)
        self._book(self.truth.backstops, block, loser, coin, side, px, sz)
        self._book(self.truth.deleveragings, block, winner, coin, -side, px, sz)

    def spot(self, block: Block) -> None:
        coin, tid = self.rng.choice(SPOT), self._next_tid()
        for user, side, crossed in ((self._user(), "B", True), (self._user(), "A", False)):
            block.events.append(
                [
                    user,
                    self._leg(
                        block,
                        coin,
                        Decimal("24.5"),
                        Decimal("3.2"),
                        side,
                        Decimal(0),
                        {"B": "Buy", "A": "Sell"}[side],
                        crossed,
                        tid,
                        self._next_oid(),
                        self._hash(),
                    ),
                ]
            )
            self.truth.spot_fills += 1

    # ---- how it is written

    def _fill(
        self,
        block: Block,
        coin: str,
        taker: str,
        maker: str,
        side: int,
        method: str = "",
        whole: bool = False,
        deleveraged: bool = False,
        oid: int = 0,
        hash_: str = "",
    ) -> tuple[Decimal, Decimal]:
        """One trade: both positions change, two legs are written, in either order. method: the taker is closed by force."""
        tick, lot = STEPS[coin]
        self._price[coin] = max(self._price[coin] + side * tick * self.rng.randint(0, 3), tick * 50)
        px, held = self._price[coin], abs(self._positions[coin, taker])
        sz = lot * self.rng.randint(1, 5000)
        if method:
            sz = held if whole else min(held, sz)
        tid, off = self._next_tid(), method == "backstop"
        legs = []
        for user, way in ((taker, side), (maker, -side)):
            before = self._positions[coin, user]
            mine = user == taker
            self._positions[coin, user] += way * sz
            dir_ = direction(before, way, sz)
            if method and mine:
                dir_ = self.rng.choice((dir_, f"Liquidated {self.rng.choice(('Cross', 'Isolated'))} {'Long' if before > 0 else 'Short'}"))
            if deleveraged and not mine:
                dir_ = "Auto-Deleveraging"
            leg = self._leg(block, coin, px, sz, "B" if way > 0 else "A", before, dir_, mine, tid, oid or self._next_oid(), hash_ or self._hash())
            if method:
                leg["liquidation"] = {"liquidatedUser": taker, "markPx": str(px), "method": method}
            legs.append([user, leg])
        self.rng.shuffle(legs)
        block.events += legs
        if not off:
            self.truth.trades.append((coin, side, px, sz, tid, block.ms))
        return px, sz

    def _leg(
        self, block: Block, coin: str, px: Decimal, sz: Decimal, side: str, before: Decimal, dir_: str, crossed: bool, tid: int, oid: int, hash_: str
    ) -> dict:
        out = {
            "coin": coin,
            "px": str(px),
            "sz": str(sz),
            "side": side,
            "time": block.ms,
            "startPosition": str(before),
            "dir": dir_,
            "closedPnl": "0.0",
            "hash": hash_,
            "oid": oid,
            "crossed": crossed,
            "fee": "-0.001",
            "tid": tid,
            "feeToken": "USDC",
            "twapId": None,
        }
        if self.rng.random() < 0.3:
            out["cloid"] = "0x" + f"{self.rng.getrandbits(128):032x}"
        if self.rng.random() < 0.1:
            out |= {"builder": self._user(), "builderFee": "0.01"}
        return out

    def _position(self, coin: str, user: str, side: int = 0) -> int:
        """A position of the user to be closed, of that side where one is asked for; made by a trade that everybody sees where there is none."""
        held = self._positions[coin, user]
        if held and side in (0, 1 if held > 0 else -1):
            return 1 if held > 0 else -1
        self._positions[coin, user] = STEPS[coin][1] * self.rng.randint(10, 9000) * (side or self.rng.choice((1, -1)))
        return 1 if self._positions[coin, user] > 0 else -1

    @staticmethod
    def _book(kind: dict, block: Block, user: str, coin: str, side: int, px: Decimal, sz: Decimal) -> None:
        sums = kind.setdefault((block.number, user, coin, side), [Decimal(0), Decimal(0)])
        sums[0] += sz
        sums[1] += px * sz

    def _coin(self) -> str:
        return self.rng.choice(list(PRICES))

    def _user(self) -> str:
        return self.rng.choice(self._users)

    def _others(self, user: str, count: int) -> list[str]:
        return self.rng.sample([other for other in self._users if other != user], count)

    def _next_tid(self) -> int:
        self._tid += 1
        return self._tid * 1_103_515_245 % (1 << 50)  # no order in them, and no two alike

    def _next_oid(self) -> int:
        self._oid += 1
        return self._oid

    def _hash(self) -> str:
        return "0x" + ("0" * 64 if self.rng.random() < 0.279 else f"{self.rng.getrandbits(256):064x}")


def direction(before: Decimal, way: int, sz: Decimal) -> str:
    """What the venue calls a fill of a position of this size."""
    after = before + way * sz
    if before * after < 0:
        return "Long > Short" if before > 0 else "Short > Long"
    if abs(after) > abs(before):
        return "Open Long" if after > 0 else "Open Short"
    return "Close Long" if before > 0 else "Close Short"


def by_block(ledger: Ledger) -> bytes:
    return "".join(block.line() + "\n" for block in ledger.blocks).encode()


def by_fill(ledger: Ledger) -> bytes:
    """The generation before: one [user, fill] a line."""
    return "".join(json.dumps(leg, separators=(",", ":")) + "\n" for block in ledger.blocks for leg in block.events).encode()


def write(path: Path, data: bytes) -> Path:
    """Packed as one LZ4 frame where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".lz4":
        with pa.output_stream(str(path), compression="lz4") as stream:
            stream.write(data)
    else:
        path.write_bytes(data)
    return path
