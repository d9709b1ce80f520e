"""Column maps: whose side a column states, and what `liqcore columns` makes of it. A forced order takes: a forced sell closes a long (venues.md 0.1), and
where the buyer was the maker the taker sold."""

import tomllib

import pytest

import liqcore as lc
from format_files import T0, events, write
from liqshell import formats
from liqshell.cli import main
from liqshell.errors import ConfigError, DataError
from liqshell.formats import column_map

LONG, SHORT = int(lc.Side.LONG), int(lc.Side.SHORT)
MS = T0 // 10**6


def sides(folder, kind: str, of: str, word: str, words: dict | None = None) -> list[int]:
    entry = {"column": "sd", "of": of} | ({"words": words} if words else {})
    table = column_map.made(
        {
            "kind": kind,
            "time": {"column": "t", "unit": "ms"},
            "side": entry,
            "price": "p",
            "size": "q",
            "symbol": {"value": "BTCUSDT"},
            "venue": {"value": "binance_um"},
        },
        "map",
    )
    path = write(folder / "x.csv", "t,sd,p,q", *(f"{MS + n},{word},100,1" for n in range(3)))
    return sorted(set(events(path, columns=table)["side"].tolist()))


@pytest.mark.parametrize(
    ("of", "word", "side"),
    [
        ("taker", "sell", LONG),
        ("taker", "BUY", SHORT),
        ("taker", "a", LONG),
        ("taker", "-1", LONG),
        ("taker", "1", SHORT),
        ("order", "sell", LONG),
        ("order", "buy", SHORT),
        ("maker", "true", LONG),
        ("maker", "False", SHORT),
        ("maker", "1", LONG),
        ("maker", "0", SHORT),
        ("maker", "buy", LONG),
        ("maker", "sell", SHORT),
        ("position", "long", LONG),
        ("position", "SHORT", SHORT),
        ("position", "buy", LONG),
        ("position", "true", LONG),
        ("position", "false", SHORT),
        ("position", "0", SHORT),
    ],
)
def test_whose_side_a_liquidation_states(tmp_path, of, word, side):
    assert sides(tmp_path, "liquidation", of, word) == [side]


@pytest.mark.parametrize(
    ("of", "word", "side"),
    [("taker", "buy", LONG), ("taker", "sell", SHORT), ("maker", "true", SHORT), ("maker", "0", LONG), ("maker", "buy", SHORT)],
)
def test_a_trade_has_the_side_of_its_taker(tmp_path, of, word, side):
    assert sides(tmp_path, "trade", of, word) == [side]


@pytest.mark.parametrize("of", ["order", "position"])
def test_a_trade_has_no_side_of_a_forced_order_or_a_position(of, tmp_path, capsys):
    text = f'kind = "trade"\ntime = {{column = "t", unit = "ms"}}\nside = {{column = "sd", of = "{of}"}}\nprice = "p"\nsize = "q"\n'
    with pytest.raises(ConfigError, match=f'side: of: {of}, which is for liquidations.*of = "taker", or of = "maker"'):
        column_map.made(tomllib.loads(text), "map")
    path = write(tmp_path / "x.csv", "t,sd,p,q", f"{MS},buy,1,1")
    (tmp_path / "map.toml").write_text(text)
    assert main(["columns", str(path), "--columns", str(tmp_path / "map.toml")]) == 2
    assert 'kind = "liquidation"' in capsys.readouterr().err


# ---- what is proposed


ROWS = [("sell", "LONG", "true"), ("buy", "SHORT", "false")]  # the forced order, the position, whether the buyer was the maker


def proposed(capsys, path, *more: str) -> tuple[int, str, dict]:
    status = main(["columns", str(path), *more])
    out = capsys.readouterr().out
    return status, out, tomllib.loads(out)


def table(path, header: str, cell) -> None:
    return write(path, header, *(cell(n, ROWS[n % 2]) for n in range(20)))


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("is_long", lambda row: "true" if row[1] == "LONG" else "false"),
        ("is_long", lambda row: "1" if row[1] == "LONG" else "0"),
        ("is_short", lambda row: "false" if row[1] == "LONG" else "true"),
        ("position_side", lambda row: row[1]),
        ("pos_side", lambda row: "Buy" if row[1] == "LONG" else "Sell"),
        ("posSide", lambda row: row[1].lower()),
        ("is_buyer_maker", lambda row: row[2]),
        ("taker_side", lambda row: row[0]),
        ("maker_side", lambda row: "buy" if row[0] == "sell" else "sell"),
    ],
)
def test_what_is_proposed_with_exit_0_reads_the_truth(tmp_path, capsys, column, cell):
    """Of each name the map as printed, through import's reader: longs and shorts as they were."""
    path = table(tmp_path / "liquidations.csv", f"timestamp,symbol,{column},price,quantity", lambda n, row: f"{MS + n},BTCUSDT,{cell(row)},100,1")
    status, out, said = proposed(capsys, path, "--venue", "binance_um")
    assert status == 0, out
    assert said["kind"] == "liquidation" and said["side"]["column"] == column
    assert events(path, columns=column_map.made(said, "out"))["side"].tolist() == [LONG, SHORT] * 10


@pytest.mark.parametrize(
    ("name", "column", "cell"),
    [("liquidations.csv", "side", lambda row: row[0].upper()), ("liquidations.csv", "is_buy", lambda row: "true" if row[0] == "buy" else "false")],
)
def test_a_side_that_may_be_the_orders_or_the_positions_is_asked_for(tmp_path, capsys, name, column, cell):
    """Bybit's Buy is a long that was closed, Binance's BUY a short: the table does not tell."""
    path = table(tmp_path / name, f"timestamp,symbol,{column},price,quantity", lambda n, row: f"{MS + n},BTCUSDT,{cell(row)},100,1")
    status, out, said = proposed(capsys, path, "--venue", "binance_um")
    assert status == 1 and f"# to be decided: {column}: taken as the side of the forced ORDER" in out and 'of = "position"' in out
    assert events(path, columns=column_map.made(said, "out"))["side"].tolist() == [LONG, SHORT] * 10


def test_the_position_stands_above_the_order_and_the_other_column_is_listed(tmp_path, capsys):
    path = table(
        tmp_path / "liquidations.csv",
        "timestamp,symbol,side,position_side,price,quantity",
        lambda n, row: f"{MS + n},BTCUSDT,{row[0]},{row[1]},100,1",
    )
    status, out, said = proposed(capsys, path, "--venue", "okx")
    assert status == 0 and said["side"] == {"column": "position_side", "of": "position"} and "# not used: side, such as sell, buy, sell" in out


def test_in_one_way_mode_the_order_is_all_there_is(tmp_path, capsys):
    path = table(
        tmp_path / "liquidations.csv",
        "ts,instId,side,posSide,bkPx,sz",
        lambda n, row: f"{MS + n},BTC-USDT-SWAP,{row[0]},{'net' if n % 3 else row[1].lower()},100,1",
    )
    status, out, said = proposed(capsys, path, "--venue", "okx")
    assert status == 1 and said["side"] == {"column": "side", "of": "order"} and "# not used: posSide" in out


def test_rows_of_which_nobody_says_what_they_are_are_asked_for(tmp_path, capsys):
    def rows(n, row):
        return f"{MS + n},BTCUSDT,{row[0]},{row[1]},100,1"

    path = table(tmp_path / "both.csv", "timestamp,symbol,side,position_side,price,quantity", rows)
    status, out, said = proposed(capsys, path, "--venue", "okx")
    assert (
        status == 1 and said["kind"] == "liquidation" and "# to be decided: kind: taken as liquidations because position_side is of positions" in out
    )
    path = table(tmp_path / "mine.csv", "timestamp,symbol,side,price,quantity", lambda n, row: f"{MS + n},BTCUSDT,{row[0]},100,1")
    status, out, said = proposed(capsys, path, "--venue", "okx")
    assert status == 1 and said["kind"] == "trade" and "# to be decided: kind: trades or liquidations?" in out
    path = path.rename(tmp_path / "trades.csv")
    assert proposed(capsys, path, "--venue", "okx")[0] == 0


def test_the_two_lines_of_the_documentation_work_or_say_what_is_to_be_added(tmp_path, capsys):
    """liqcore columns FILE > map.toml; liqcore import --columns map.toml FILE."""
    path = table(tmp_path / "trades.csv", "timestamp,symbol,side,price,quantity", lambda n, row: f"{MS + n},BTCUSDT,{row[0]},100,1")
    status, out, said = proposed(capsys, path)
    assert status == 1 and '# to be added: venue: no column says it: venue = {value = "..."}' in out and "venue" not in said
    status, out, said = proposed(capsys, path, "--venue", "okx")
    assert status == 0 and said["venue"] == {"value": "okx"}
    (tmp_path / "map.toml").write_text(out)
    assert main(["import", str(path), "--columns", str(tmp_path / "map.toml"), "--store", str(tmp_path / "s"), "--quiet"]) == 0
    capsys.readouterr()
    assert (tmp_path / "s" / "okx" / "BTCUSDT" / "trades").is_dir()
    bare = table(tmp_path / "trades_bare.csv", "timestamp,side,price,quantity", lambda n, row: f"{MS + n},{row[0]},100,1")
    status, out, said = proposed(capsys, bare, "--venue", "okx", "--symbol", "X")
    assert status == 0 and (said["symbol"], said["venue"]) == ({"value": "X"}, {"value": "okx"})


def test_the_venues_time_beside_that_of_receipt(tmp_path, capsys):
    """Received 300 ms later, in ns; the venue's time in ms."""
    path = table(
        tmp_path / "liq.csv",
        "received_at,exchange_ts,symbol,side,price,qty",
        lambda n, row: f"{(MS + n + 300) * 10**6},{MS + n},BTCUSDT,{row[1]},100,1",
    )
    status, out, said = proposed(capsys, path, "--venue", "okx")
    assert status == 0 and said["recv"] == {"column": "received_at", "unit": "ns"} and said["time"] == {"column": "exchange_ts", "unit": "ms"}
    found = events(path, columns=column_map.made(said, "out"))
    assert (found["ts_recv"] - found["ts_event"]).tolist() == [300 * 10**6] * 20
    path = table(
        tmp_path / "liq2.csv",
        "received_at,matched_ts,symbol,side,price,qty",
        lambda n, row: f"{(MS + n + 300) * 10**6},{MS + n},BTCUSDT,{row[1]},100,1",
    )
    assert proposed(capsys, path, "--venue", "okx")[2]["time"] == {"column": "matched_ts", "unit": "ms"}


def test_times_of_two_units_and_times_before_2009_are_said_and_refused(tmp_path, capsys):
    def rows(n, row):
        return f"{MS + 1000 * n if n < 12 else MS // 1000 + n},BTCUSDT,{row[1]},100,1"

    path = table(tmp_path / "liq.csv", "timestamp,symbol,side,price,qty", rows)
    status, out, said = proposed_lines(capsys, path)
    assert status == 2 and "timestamp: 8 of 20 rows are not in ms but in s" in out and "liq.csv:14" in out
    early = table(
        tmp_path / "liq_old.csv",
        "timestamp,symbol,side,price,qty",
        lambda n, row: f"{'1999-12-31T00:00:00' if n < 4 else '2024-08-05T00:00:00'}.{n:02d}Z,BTCUSDT,{row[1]},100,1",
    )
    status, out, said = proposed(capsys, early, "--venue", "okx")
    assert status == 1 and "# to be decided: timestamp: 4 of the first 20 rows, such as 1999-12-31T00:00:00.00Z, are not from 2009 to 2100" in out


def proposed_lines(capsys, path) -> tuple[int, str, str]:
    status = main(["columns", str(path), "--venue", "okx"])
    told = capsys.readouterr()
    assert "# to be decided: timestamp: most rows are in ms, 8 of the first 20 in s, such as" in told.out
    return status, told.err, told.out


@pytest.mark.parametrize(
    ("encoding", "says"),
    [("utf-16", "text in UTF-16 (its byte order mark is UTF-16LE)"), ("latin-1", "text that is not UTF-8 (its first line has 0xf6, in Latin-1 'ö')")],
)
def test_another_encoding_is_named_with_what_to_do(tmp_path, capsys, encoding, says):
    (tmp_path / "x.csv").write_bytes(f"timestamp,symbol,side,price,größe\n{MS},BTCUSDT,buy,1,1\n".encode(encoding))
    (tmp_path / "map.toml").write_text(
        'kind = "trade"\ntime = {column = "timestamp", unit = "ms"}\nside = {column = "side", of = "taker"}\nprice = "price"\n'
        'size = "price"\nsymbol = "symbol"\nvenue = {value = "okx"}\n'
    )
    for arguments in (["columns", str(tmp_path / "x.csv")], ["columns", str(tmp_path / "x.csv"), "--columns", str(tmp_path / "map.toml")]):
        assert main(arguments) == 2
        told = capsys.readouterr().err
        assert says in told and "x.csv" in told and "iconv -f" in told
    with pytest.raises(DataError, match="iconv -f"):
        formats.sniff(tmp_path / "x.csv")
