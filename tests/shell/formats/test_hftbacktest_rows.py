"""hftbacktest's rows by columns: against a plain reading of one row after the other, in blocks of every size."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import liqcore as lc
from format_files import HFT
from liqshell import formats, store
from liqshell.formats import hftbacktest
from store_files import partitions

T0 = 1_722_816_000_000_000_000
LOCAL, EXCHANGE, BUY, SELL = 1 << 30, 1 << 31, 1 << 29, 1 << 28
REPEAT_NS = 3_000_000_000
DEPTH, TRADE, CLEAR, SNAPSHOT, BBO, TICKER_BID, TICKER_ASK = 1, 2, 3, 4, 5, 103, 104


def plainly(rows: np.ndarray) -> list[tuple]:
    """(ts_event, ts_recv, kind, side, price, qty, other price, other qty), from a dict a side and nothing else."""
    out: list[tuple] = []
    books: list[dict[float, float]] = [{}, {}]
    ticker, told, said, tickers = [0.0] * 4, (), (), False
    mine = [row for row in rows.tolist() if row[0] & LOCAL]
    for n, (flags, exch, local, price, qty, *_) in enumerate(mine):
        kind, side = flags & 255, 1 if flags & BUY else -1 if flags & SELL else 0
        later = [row for row in mine[n + 1 :] if row[2] == local]
        if kind == TRADE:
            out.append((exch, local, int(lc.Kind.TRADE), side, price, qty, 0.0, 0.0))
        elif kind in (TICKER_BID, TICKER_ASK):
            tickers = True
            half = 0 if kind == TICKER_BID else 2
            ticker[half : half + 2] = price, qty
            same = [row[0] & 255 for row in later if row[0] & 255 in (TICKER_BID, TICKER_ASK)]
            if same and not (kind == TICKER_ASK and same[0] == TICKER_BID):
                continue
            quote = (*ticker, local // REPEAT_NS)
            if ticker[0] > 0 and ticker[2] > 0 and quote != said:
                said = quote
                out.append((exch, local, int(lc.Kind.BBO), 0, *ticker))
        elif kind in (DEPTH, CLEAR, SNAPSHOT, BBO) and not tickers:
            book = books[0 if side > 0 else 1]
            if kind == CLEAR:
                for one in books if side == 0 else [book]:
                    gone = [level for level in one if side == 0 or price <= 0 or (level >= price if side > 0 else level <= price)]
                    for level in gone:
                        del one[level]
            elif side and price > 0:
                if kind == BBO:
                    book.clear()
                book[price] = qty
                if not qty > 0:
                    del book[price]
            if any(row[0] & 255 in (DEPTH, CLEAR, SNAPSHOT, BBO) for row in later):
                continue
            bids, asks = books
            if bids and asks and max(bids) < min(asks):
                best = max(bids), bids[max(bids)], min(asks), asks[min(asks)]
                if (*best, local // REPEAT_NS) != told:
                    told = (*best, local // REPEAT_NS)
                    out.append((exch, local, int(lc.Kind.BBO), 0, *best))
    return out


@st.composite
def arrays(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, kinds = (
        draw(st.integers(1, 120)),
        draw(st.sampled_from([[TRADE], [DEPTH, TRADE], [DEPTH, TRADE, CLEAR, SNAPSHOT, BBO, 10], [DEPTH, TRADE, TICKER_BID, TICKER_ASK]])),
    )
    rows = np.zeros(count, HFT)
    kind, buy = rng.choice(kinds, count), rng.random(count) < 0.5
    buy = np.where(kind == TICKER_BID, True, np.where(kind == TICKER_ASK, False, buy))
    neutral = (kind == CLEAR) & (rng.random(count) < 0.3)
    rows["ev"] = kind | np.where(rng.random(count) < 0.9, LOCAL, 0) | EXCHANGE | np.where(neutral, 0, np.where(buy, BUY, SELL))
    rows["local_ts"] = T0 + np.cumsum(rng.choice([0, 0, 0, 1_000_000, 2_000_000_000], count))
    rows["exch_ts"] = rows["local_ts"] - 5_000_000
    # bids below 100, asks above: a quote that the door refuses is another test's affair
    rows["px"] = np.where(buy, 100 - rng.integers(1, 6, count), 100 + rng.integers(1, 6, count)) / 1.0
    rows["qty"] = np.where((kind == TRADE) | (kind > 100) | (rng.random(count) < 0.7), rng.integers(1, 50, count) / 10, 0.0)
    return rows


@settings(max_examples=300, deadline=None)
@given(arrays(), st.sampled_from([11, 50, 1 << 18]))
def test_columns_say_what_the_rows_say(tmp_path_factory, rows, block):
    path = tmp_path_factory.mktemp("hft") / "btcusdt_20240805.npz"
    np.savez(path, data=rows)
    before, hftbacktest.BLOCK_ROWS = hftbacktest.BLOCK_ROWS, block
    try:
        with formats.read(path) as reading:
            found = [
                tuple(row)
                for _, _, events in reading
                for row in events[["ts_event", "ts_recv", "kind", "side", "price", "qty", "aux_price", "aux_qty"]].tolist()
            ]
    finally:
        hftbacktest.BLOCK_ROWS = before
    assert found == plainly(rows)


def test_the_store_is_the_same_in_blocks_of_every_size(tmp_path, monkeypatch):
    rng = np.random.default_rng(5)
    rows = np.zeros(20_000, HFT)
    buy, trade = rng.random(20_000) < 0.5, rng.random(20_000) < 0.4
    rows["ev"] = np.where(trade, TRADE, DEPTH) | LOCAL | EXCHANGE | np.where(buy, BUY, SELL)
    rows["local_ts"] = T0 + np.cumsum(rng.choice([0, 0, 1_000_000, 90_000_000], 20_000))
    rows["exch_ts"] = rows["local_ts"] - 5_000_000
    rows["px"] = 60_000 + np.where(buy, -1, 1) * rng.integers(1, 8, 20_000) / 10
    rows["qty"] = np.where(trade | (rng.random(20_000) < 0.7), rng.integers(1, 5000, 20_000) / 1000, 0.0)
    np.savez_compressed(tmp_path / "btcusdt_20240805.npz", data=rows)
    found = []
    for block in (1 << 18, 997, 31):
        monkeypatch.setattr(hftbacktest, "BLOCK_ROWS", block)
        outcome = store.fill(tmp_path / str(block), [tmp_path / "btcusdt_20240805.npz"])
        assert not outcome.broken and {key.kind for key in outcome.written} == {"trades", "quotes"}
        found.append(partitions(tmp_path / str(block)))
    assert found[0] == found[1] == found[2]
