"""Files of market data in the layouts of their publishers, written by the tests, and what is read back from them."""

import gzip
import random
import zipfile
from pathlib import Path

import numpy as np

import liqcore as lc
from liqshell import formats

T0 = 1_722_816_000_000_000_000  # 2024-08-05 00:00 UTC
MS = 1_000_000
TARDIS_PRINTS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
TARDIS_QUOTES = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
TARDIS_L2 = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TARDIS_TICKER = (
    "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price"
)
AGG = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
BOOK_TICKER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
SNAPSHOT = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,accumulated_fill_quantity"
BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
HFT = np.dtype(
    [("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"), ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")],
    align=True,
)
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28


def write(path: Path, *lines: str) -> Path:
    """Text, packed as the name says."""
    data = ("\n".join(lines) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".gz"):
        path.write_bytes(gzip.compress(data, 1))
    elif path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.name.removesuffix(".zip") + ".csv", data)
    else:
        path.write_bytes(data)
    return path


def events(path: Path, reading: list | None = None, **options) -> np.ndarray:
    """Everything in a file, in order of (ts_recv, contract); reading: takes the Reading."""
    with formats.read(path, formats.Options(**options)) as found:
        parts = [part for _, _, part in found]
    if reading is not None:
        reading.append(found)
    out = np.concatenate(parts) if parts else np.zeros(0, lc.EVENT_DTYPE)
    return out[np.argsort(out["ts_recv"], kind="stable")]


def tuples(found: np.ndarray) -> list[tuple]:
    """(kind, ts_event, ts_recv, side, price, qty, aux_price, aux_qty) of each event."""
    return [
        (
            lc.Kind(int(e["kind"])),
            int(e["ts_event"]),
            int(e["ts_recv"]),
            int(e["side"]),
            float(e["price"]),
            float(e["qty"]),
            float(e["aux_price"]),
            float(e["aux_qty"]),
        )
        for e in found
    ]


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Cut, bytes overwritten, pieces doubled, put in and taken out: one to three times."""
    found = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(found) + 1)
        how = draw.randrange(5)
        if how == 0:
            del found[at:]
        elif how == 1:
            found[at : at + 1] = bytes([draw.randrange(256)])
        elif how == 2:
            found[at:at] = found[at // 2 : at // 2 + draw.randrange(60)]
        elif how == 3:
            found[at:at] = draw.choice(
                [b"\n", b",", b'"', b"\0", b"\r", b"-", b"9" * 25, b"\xff\xfe", b"\n\n\n", b"e400", b"nan", b"{", b"]", b"null", b" <-> "]
            )
        else:
            del found[at : at + draw.randrange(1, 30)]
    return bytes(found)


def hft(path: Path, rows: list[tuple]) -> Path:
    """rows: (kind and flags, exch_ts, local_ts, price, qty)."""
    data = np.zeros(len(rows), HFT)
    for n, row in enumerate(rows):
        data[n] = (*row, 0, 0, 0.0)
    np.savez_compressed(path, data=data)
    return path
