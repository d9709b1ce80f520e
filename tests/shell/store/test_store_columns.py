"""What an import of a table leaves in the store, against a plain reading of docs/formats.md: whatever the size of a block and of the buffer."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqshell import store
from liqshell.formats import delimited
from liqshell.store import importer, spill

T0_MS = 1_722_902_395_000  # 2024-08-05 23:59:55: a file goes over midnight
LATENCY_NS = 50_000_000
WINDOW_MS = 10_000
ROWS_MIN = 20  # from which on a file of which more than half is refused is no data

# 30 to 90: no price or size is so far from others that it is refused for that
texts = st.integers(0, 3).flatmap(lambda d: st.integers(3 * 10 ** (d + 1), 9 * 10 ** (d + 1)).map(lambda units: f"{Decimal(units).scaleb(-d):f}"))
row = st.fixed_dictionaries(
    {
        "id": st.integers(0, 60),
        "price": st.one_of(texts, texts, texts, st.sampled_from(["0", "-5", "nan", ""])),
        "qty": st.one_of(texts, texts, texts, st.sampled_from(["0.000", "-1"])),
        "step": st.sampled_from([0, 0, 1, 40, 3_000, -1, -9_000]),
        "maker": st.sampled_from(["true", "false", "True", "FALSE", "true", "false", "maybe", ""]),
    }
)


def oracle(rows):
    """(rows that stay: ts_event, side, price, qty, id), or None where the file is refused; and the lines that are refused."""
    kept, seen, refused, latest = [], set(), [], 0
    for line, one in enumerate(rows, 1):
        side = {"true": -1, "false": 1}.get(one["maker"].lower(), 0)
        bad = [one[name] in ("", "nan") or Decimal(one[name]) <= 0 for name in ("price", "qty")]
        if any(bad) or not side or one["id"] and one["id"] in seen:
            refused.append(line)
            continue
        seen.add(one["id"])
        if latest - one["ms"] > WINDOW_MS:
            return None, refused
        latest = max(latest, one["ms"])
        kept.append((one["ms"] * 1_000_000, side, Decimal(one["price"]), Decimal(one["qty"]), one["id"]))
    if not kept or len(refused) > len(rows) / 2 and len(rows) >= ROWS_MIN:
        return None, refused
    return sorted(kept, key=lambda event: event[0]), refused


def stored(root):
    at = store.open(root)
    found = [event for contract in at.contracts for events in contract.rows("trades") for event in events]
    at.close()
    assert all(int(event["ts_recv"]) == int(event["ts_event"]) + LATENCY_NS for event in found)
    # a double is the decimal of the file where its shortest text is
    return [(int(e["ts_event"]), int(e["side"]), Decimal(repr(float(e["price"]))), Decimal(repr(float(e["qty"]))), int(e["id"])) for e in found]


@given(st.lists(row, min_size=1, max_size=60), st.sampled_from([64, 400, 1 << 20]), st.sampled_from([1, 500, 1 << 20]))
def test_a_table_in_the_store_is_what_the_page_says(tmp_path_factory, rows, block, buffer):
    folder = tmp_path_factory.mktemp("columns")
    ms = T0_MS
    for n, one in enumerate(rows):
        ms += max(one["step"], 0)
        one["ms"] = ms + min(one["step"], 0) if n else ms
    file = folder / "BTCUSDT-aggTrades-2024-08-05.csv"
    file.write_text(
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
        + "".join(f"{o['id']},{o['price']},{o['qty']},1,1,{o['ms']},{o['maker']}\n" for o in rows)
    )
    wanted, refused = oracle(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "BLOCK_BYTES", block)
        patch.setattr(spill, "BUFFER_BYTES", buffer)
        patch.setattr(importer, "BUFFER_BYTES", buffer)
        outcome = store.fill(folder / "s", [file])
    if wanted is None:
        assert list(outcome.broken) == [str(file)] and not outcome.imported
        return
    assert not outcome.broken and stored(folder / "s") == wanted
    source = outcome.imported[0]
    assert source.rows == len(wanted) and sum(count for reason, count in source.counts.items() if not reason.startswith(("kept", "sorted"))) == len(
        refused
    )
    named = [note.split(f"{file}:")[1].split(":")[0] for note in source.notes if f"{file}:" in note]
    assert not refused or int(named[0]) - 1 in refused  # below the header


@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=12), min_size=1, max_size=8), st.sampled_from([1, 300, 1 << 20]))
def test_rows_come_out_of_a_spill_in_the_order_of_time_and_then_as_they_came(tmp_path_factory, pieces, buffer):
    from liqcore.event import EVENT_DTYPE, Kind

    at = spill.Spill(tmp_path_factory.mktemp("spill") / "one", buffer)
    day = T0_MS * 1_000_000
    came, number = [], 0
    for times in pieces:
        events = np.zeros(len(times), EVENT_DTYPE)
        events["kind"], events["side"], events["price"], events["qty"] = Kind.TRADE, 1, 7.0, 1.0
        events["ts_event"] = events["ts_recv"] = day + np.array(times)
        events["id"] = number + np.arange(len(times))
        number += len(times)
        came += [(ts, n) for ts, n in zip(events["ts_recv"].tolist(), events["id"].tolist(), strict=True)]
        at.add("v", "S", events)
        events[:] = 0  # rows stay their reader's, who writes the next ones over them
    (key,) = at.parts
    cursor, out = at.cursor(key), []
    while cursor.next is not None:
        out.append(cursor.take(cursor.next + 7).rows())
    rows = np.concatenate(out)
    assert list(zip(rows["ts_recv"].tolist(), rows["id"].tolist(), strict=True)) == sorted(came, key=lambda row: row[0])
    assert (rows["price"] == 7.0).all() and (rows["kind"] == Kind.TRADE).all() and not rows["flags"].any()


@pytest.mark.parametrize("block", [64, 1 << 20])
def test_a_refused_row_is_named_by_its_line_whichever_block_it_is_in(tmp_path, monkeypatch, block):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    file = tmp_path / "BTCUSDT-aggTrades-2024-08-05.csv"
    lines = [f"{n + 1},{0 if n == 17 else 10},1,1,1,{T0_MS + n},true" for n in range(30)]
    file.write_text("\n".join(lines) + "\n")
    assert f"{file}:18: price not above 0" in " ".join(store.fill(tmp_path / "s", [file]).imported[0].notes)
    file.write_text("\n".join([*lines[:20], "21,10,1,1,1,then,true", *lines[20:]]) + "\n")
    outcome = store.fill(tmp_path / "t", [file])
    assert f"{file}:21: time: 'then'; expected a whole number" in outcome.broken[str(file)] and not outcome.imported
