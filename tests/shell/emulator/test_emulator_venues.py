"""The emulated Binance and OKX: the same market as Bybit's side, each venue's own throttle, sides, units, roots and refusals."""

import asyncio
import json
from collections import defaultdict

import aiohttp
import pytest

import liqcore as lc
from liqshell.emulator.market import Market, Parameters
from liqshell.emulator.market import binance_frames as binance
from liqshell.emulator.market import okx_frames as okx
from liqshell.emulator.market.contracts import contracts_of
from liqshell.emulator.market.recording_feed import TapeFeed
from liqshell.emulator.market.synthetic_feed import SyntheticFeed
from liqshell.emulator.server import serve
from liqshell.emulator.server.binance_public import ALL_FORCED, binance_board
from liqshell.emulator.server.okx_public import LIQUIDATIONS, okx_board
from liqshell.emulator.server.options import Config
from liqshell.venues.adapters import adapter_of

SYMBOLS = ("BTCUSDT", "SOLUSDT", "DOGEUSDT")
CONTRACTS = contracts_of(SYMBOLS)
NS = 1_000_000_000
BINANCE_STREAMS = {
    f"{s.lower()}@{name}" for s in SYMBOLS for name in ("aggTrade", "trade", "bookTicker", "markPrice@1s", "forceOrder", "depth@100ms")
}
OKX_TOPICS = {f"{channel}:{okx.inst_id(c)}" for c in CONTRACTS for channel in okx.CHANNELS} | {LIQUIDATIONS}


def market_of(seconds=1200, seed=1, one_per_second=False):
    """(rows of the market, Binance's frames, OKX's frames) of so many seconds; rows by kind as (ms, symbol, side, ticks, lots)."""
    feed = SyntheticFeed(Market(Parameters(seed=seed, symbols=SYMBOLS, warmup_hours=0.5)))
    rows = defaultdict(list)
    boards = [binance_board(CONTRACTS, set(BINANCE_STREAMS) | {ALL_FORCED}), okx_board(CONTRACTS, set(OKX_TOPICS), one_per_second)]
    feed.taps += [board.take for board in boards]
    feed.taps.append(lambda told: [rows[row[7]].append((row[0] // 1_000_000, row[6], row[8], row[1], row[2])) for row in told])
    frames = [[], []]
    for step in range(seconds * 10):
        now = feed.start_ns + step * NS // 10
        feed.until(now)
        for out, board in zip(frames, boards, strict=True):
            out += [(now // 1_000_000, frame.topic, json.loads(frame.payload)) for frame in board.until(now)]
    return rows, *frames


@pytest.fixture(scope="module")
def told():
    return market_of()


@pytest.mark.slow
def test_binance_shows_the_largest_order_of_a_symbol_and_second(told):
    """At most one a second, the largest by value, after the second is over; a long that is closed is a SELL; the limit lies beyond the fill."""
    rows, frames, _ = told
    truth = defaultdict(list)
    for ms, symbol, side, _, lots in rows[int(lc.Kind.LIQUIDATION)]:
        truth[symbol, ms // 1000].append((ms, side, lots))
    shown = [(sent, one["o"], one) for sent, topic, one in frames if topic.endswith("@forceOrder") and topic != ALL_FORCED]
    assert len(shown) > 20 and {order["S"] for _, order, _ in shown} == {"BUY", "SELL"}
    seen = set()
    for sent, order, whole in shown:
        n, second = SYMBOLS.index(order["s"]), order["T"] // 1000
        assert (n, second) not in seen and sent >= whole["E"] == (second + 1) * 1000 and whole["st"] == 1 and whole["ps"] == order["s"]
        seen.add((n, second))
        lots = max(lots for _, _, lots in truth[n, second])
        mine = next(one for one in truth[n, second] if one[2] == lots)
        assert order["q"] == binance.qty_text(CONTRACTS[n], lots) == order["z"] and order["S"] == ("SELL" if mine[1] == lc.LONG else "BUY")
        if order["S"] == "SELL":
            assert float(order["p"]) < float(order["ap"])
        else:
            assert float(order["p"]) > float(order["ap"])
    complete = {key for key in truth if (key[1] + 1) * 1000 <= frames[-1][0]}
    assert seen == complete  # no second with a liquidation is left out
    assert sum(map(len, truth.values())) > 1.3 * len(seen)  # and most of what a cascade holds is not shown


def test_the_all_market_stream_mixes_coin_m_in(told):
    _, frames, _ = told
    every = [one for _, topic, one in frames if topic == ALL_FORCED]
    kinds = {1: [one for one in every if one["st"] == 1], 2: [one for one in every if one["st"] == 2]}
    single = [one for _, topic, one in frames if topic.endswith("@forceOrder") and topic != ALL_FORCED]
    assert sorted(map(str, kinds[1])) == sorted(map(str, single)) and len(kinds[2]) > 5
    for one in kinds[2]:
        assert one["o"]["s"].endswith("USD_PERP") and one["ps"] == one["o"]["s"].removesuffix("_PERP") and one["o"]["q"].isdigit()
    decoder = adapter_of("binance").decoder(SYMBOLS, 0)  # and whoever reads them as USD-M contracts of ours is wrong: ours does not
    assert all(not decoder.read(json.dumps(one).encode(), 1).events for one in kinds[2])
    assert all(len(decoder.read(json.dumps(one).encode(), 1).events) == 1 for one in kinds[1])


def test_okx_shows_every_row_in_contracts(told):
    """details arrays hold several rows; nothing is lost; sides are order sides; sz x ctVal is the base quantity."""
    rows, _, frames = told
    decoder = adapter_of("okx").decoder([okx.inst_id(c) for c in CONTRACTS], 0)
    found, most = [], 0
    for _, topic, one in frames:
        if topic == LIQUIDATIONS:
            details = one["data"][0]["details"]
            most = max(most, len(details))
            n = [okx.inst_id(c) for c in CONTRACTS].index(one["data"][0]["instId"])
            value = float(okx.contract_value(CONTRACTS[n])[0])
            found += [(int(d["ts"]), n, lc.LONG if d["side"] == "sell" else lc.SHORT, float(d["sz"]) * value, d["posSide"]) for d in details]
            events = decoder.read(json.dumps(one).encode(), 1).events
            assert [(event[7], event[9], event[3]) for event in events] == [(n, 1 if d["side"] == "sell" else -1, float(d["sz"])) for d in details]
    truth = [(ms, n, side, lots / CONTRACTS[n].lot_power) for ms, n, side, _, lots in rows[int(lc.Kind.LIQUIDATION)]]
    truth = [one for one in truth if one[0] < frames[-1][0] - 200]
    found = [one for one in found if one[0] < frames[-1][0] - 200]
    assert most >= 3 and {one[4] for one in found} >= {"net", "long", "short"}
    assert len(found) == len(truth) >= 30
    for mine, theirs in zip(sorted(found), sorted(truth), strict=True):
        unit = float(okx.contract_value(CONTRACTS[theirs[1]])[0]) * 0.01
        assert mine[:3] == theirs[:3] and abs(mine[3] - theirs[3]) <= max(unit, 1e-9)
    for word, side in (("long", lc.LONG), ("short", lc.SHORT)):
        assert all(one[2] == side for one in found if one[4] == word)


def test_okx_as_older_documentation_has_it():
    _, _, frames = market_of(300, one_per_second=True)
    rows = [(one["data"][0]["instId"], int(d["ts"]) // 1000) for _, topic, one in frames if topic == LIQUIDATIONS for d in one["data"][0]["details"]]
    assert len(rows) == len(set(rows)) > 8


def test_prices_are_the_market_plus_a_small_basis(told):
    rows, frames, pushes = told
    last = {}
    for _, symbol, _, ticks, _ in rows[int(lc.Kind.TRADE)]:
        last[symbol] = ticks
    for n, c in enumerate(CONTRACTS):
        theirs = [float(one["p"]) * c.tick_power for _, topic, one in frames if topic == f"{c.symbol.lower()}@aggTrade"][-1]
        okxs = [float(one["data"][0]["px"]) * c.tick_power for _, topic, one in pushes if topic == f"trades:{okx.inst_id(c)}"][-1]
        assert 0 < abs(theirs - last[n]) < 3e-4 * last[n] or c.symbol != "BTCUSDT"
        assert abs(theirs - last[n]) < 3e-4 * last[n] + 1 and abs(okxs - last[n]) < 3e-4 * last[n] + 1
    for _, topic, one in frames:
        if topic.endswith("@bookTicker"):
            assert float(one["b"]) < float(one["a"])
    quantity = sum(lots for _, n, _, _, lots in rows[int(lc.Kind.TRADE)] if n == 0)
    aggregated = [one for _, topic, one in frames if topic == "btcusdt@aggTrade"]
    single = [one for _, topic, one in frames if topic == "btcusdt@trade"]
    assert sum(float(one["q"]) for one in aggregated) == pytest.approx(quantity / CONTRACTS[0].lot_power, rel=0.01)
    assert len(aggregated) < len(single) and all(one["l"] >= one["f"] and one["E"] % 100 == 0 for one in aggregated)
    assert all(one["f"] == before["l"] + 1 for before, one in zip(aggregated, aggregated[1:], strict=False))


def test_depth_updates_follow_one_another(told):
    _, frames, _ = told
    updates = [one for _, topic, one in frames if topic == "solusdt@depth@100ms"]
    assert len(updates) > 100
    for before, one in zip(updates, updates[1:], strict=False):
        assert one["pu"] == before["u"] and one["U"] == before["u"] + 1 <= one["u"]
    book = {"b": {}, "a": {}}
    for one in updates:
        for side in "ba":
            for price, qty in one[side]:
                book[side][price] = qty
                if qty == "0":
                    del book[side][price]
        assert len(book["b"]) == len(book["a"]) == 1 and float(next(iter(book["b"]))) < float(next(iter(book["a"])))


# ---- sockets and REST


async def place(talk, **options):
    config = {"seed": 3, "speed": 30.0, "symbols": SYMBOLS[:2], "parameters": {"warmup_hours": 0.3}, "venues": ("bybit", "binance", "okx")} | options
    async with await serve(Config(**config)) as emulator, aiohttp.ClientSession() as http:
        async with asyncio.timeout(180):
            await talk(emulator, emulator.ready()["venues"], http)


async def hear(ws, seconds=0.0, enough=lambda frame: False):
    """Frames until `enough` of one, or for so long."""
    out = []
    try:
        async with asyncio.timeout(seconds or 15.0):
            async for message in ws:
                out.append(message.data if message.data == "pong" else json.loads(message.data))
                if out[-1] != "pong" and enough(out[-1]):
                    return out
    except TimeoutError:
        assert seconds, "nothing of the kind came"
    return out


def test_binance_roots_and_answers():
    async def talk(emulator, venues, http):
        ws = venues["binance"]["ws"]
        async with (
            http.ws_connect(ws + "/ws") as legacy,
            http.ws_connect(ws + "/market/stream?streams=btcusdt@aggTrade/btcusdt@bookTicker") as market,
        ):
            await legacy.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade", "btcusdt@bookTicker", "nosuch@thing"], "id": 7})
            heard = await hear(legacy, 1.5)
            assert heard[0] == {"result": None, "id": 7}  # whatever was asked for
            assert {one.get("e") for one in heard[1:]} == {"bookTicker"}  # what moved to /market is silent, without a word
            await legacy.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 8})
            listed = (await hear(legacy, enough=lambda one: "result" in one))[-1]
            assert listed == {"result": ["btcusdt@aggTrade", "btcusdt@bookTicker", "nosuch@thing"], "id": 8}
            await legacy.send_json({"method": "NOSUCH", "params": [], "id": 9})
            assert (await hear(legacy, enough=lambda one: "error" in one))[-1]["error"]["code"] == 2
            combined = await hear(market, 1.0)
            assert {one["stream"] for one in combined} == {"btcusdt@aggTrade"} and all(one["data"]["e"] == "aggTrade" for one in combined)
            await legacy.send_json({"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 10})
            await hear(legacy, enough=lambda one: one.get("id") == 10)
            assert not await hear(legacy, 0.4)
            for n in range(12):
                await legacy.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 20 + n})
            answers = await hear(legacy, 5.0)
            assert len(answers) <= 10 and legacy.closed  # more than 10 messages a second are the end of a connection
            assert emulator.status()["venues"]["binance"]["idle_cuts"] == 1

    asyncio.run(place(talk))


def test_okx_answers_each_argument():
    async def talk(emulator, venues, http):
        async with http.ws_connect(venues["okx"]["ws"] + "/ws/v5/public") as ws:
            args = [
                {"channel": "tickers", "instId": "BTC-USDT-SWAP"},
                {"channel": "tickers", "instId": "NO-USDT-SWAP"},
                {"channel": "liquidation-orders", "instType": "SWAP"},
            ]
            await ws.send_json({"id": "77", "op": "subscribe", "args": args})
            await ws.send_str("ping")
            await ws.send_str("{")
            heard = await hear(ws, 1.0)
            said = [one for one in heard if one != "pong" and "event" in one]
            assert [(one["event"], one.get("code"), one.get("id")) for one in said] == [
                ("subscribe", None, "77"),
                ("error", "60018", "77"),
                ("subscribe", None, "77"),
                ("error", "60012", None),
            ]
            assert "pong" in heard and any(one != "pong" and one.get("data") for one in heard)
            emulator.faults.add({"kind": "maintenance", "venue": "okx", "duration_s": 30})
            emulator.wake()
            heard = await hear(ws, 3.0)
            assert heard[-1]["event"] == "notice" and heard[-1]["code"] == "64008" and ws.closed

    asyncio.run(place(talk))


def test_rest_of_both():
    async def talk(emulator, venues, http):
        async def ask(venue, path):
            async with http.get(venues[venue]["rest"] + path) as answer:
                assert answer.headers["X-Liqcore-Market"] == "SYNTHETIC"
                return answer.status, json.loads(await answer.read())

        status, info = await ask("binance", "/fapi/v1/exchangeInfo")
        assert status == 200 and [one["symbol"] for one in info["symbols"]] == list(SYMBOLS[:2])
        page = adapter_of("binance").parse_instruments(json.dumps(info).encode())
        assert [i.symbol for i in page.instruments] == list(SYMBOLS[:2]) and not page.refused
        await asyncio.sleep(0.3)
        status, interest = await ask("binance", "/fapi/v1/openInterest?symbol=BTCUSDT")
        assert status == 200 and float(interest["openInterest"]) > 1e4
        assert (await ask("binance", "/fapi/v1/premiumIndex"))[1][0]["symbol"] == "BTCUSDT"
        assert (await ask("binance", "/fapi/v1/openInterest"))[1]["code"] == -1102
        assert (await ask("binance", "/fapi/v1/depth?symbol=NOSUCH")) == (400, {"code": -1121, "msg": "Invalid symbol."})
        assert (await ask("binance", "/fapi/v1/nosuch"))[0] == 404
        status, found = await ask("okx", "/api/v5/public/instruments?instType=SWAP")
        page = adapter_of("okx").parse_instruments(json.dumps(found).encode())
        assert [(i.symbol, i.multiplier) for i in page.instruments] == [("BTC-USDT-SWAP", 0.01), ("SOL-USDT-SWAP", 1.0)] and not page.refused
        base = float((await ask("okx", "/api/v5/public/open-interest?instType=SWAP&instId=BTC-USDT-SWAP"))[1]["data"][0]["oiCcy"])
        assert base == pytest.approx(float(interest["openInterest"]), rel=0.05)
        assert (await ask("okx", "/api/v5/public/mark-price?instId=NOSUCH"))[1]["code"] == "51001"
        assert (await ask("okx", "/api/v5/nosuch"))[0] == 404
        emulator.faults.add({"kind": "http_error", "code": 502, "channel": "rest", "count": 1, "venue": "binance"})
        emulator.wake()
        await asyncio.sleep(0.05)
        async with http.get(venues["binance"]["rest"] + "/fapi/v1/time") as answer:
            assert answer.status == 502
        assert (await ask("binance", "/fapi/v1/time"))[0] == 200

    asyncio.run(place(talk))


def test_faults_of_one_venue_leave_the_others_alone():
    async def talk(emulator, venues, http):
        async with (
            http.ws_connect(venues["binance"]["ws"] + "/public/ws/btcusdt@bookTicker") as theirs,
            http.ws_connect(venues["okx"]["ws"] + "/ws/v5/public") as okxs,
        ):
            await okxs.send_json({"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": "BTC-USDT-SWAP"}]})
            await hear(okxs, enough=lambda one: "data" in one)
            await hear(theirs, enough=lambda one: "b" in one)
            emulator.faults.add({"kind": "drop", "venue": "binance"})
            emulator.wake()
            await hear(theirs, 2.0)
            assert theirs.closed and len(await hear(okxs, 0.5)) > 3 and not okxs.closed

    asyncio.run(place(talk))


def test_a_recording_is_shown_on_all_venues(tmp_path):
    """A tape of Bybit frames: the other venues are made from its frames."""
    from test_emulator_clients import recording

    path, frames = recording(tmp_path)
    feed = TapeFeed([path])
    contracts = [state.contract for state in feed.states.values()]
    names = {f"{c.symbol.lower()}@{name}" for c in contracts for name in ("trade", "bookTicker", "forceOrder", "markPrice@1s")}
    board = binance_board(contracts, names)
    feed.taps.append(board.take)
    feed.until(feed.start_ns + 60 * NS)
    made = board.until(feed.start_ns + 60 * NS)
    count = sum(len(frame["data"]) for frame in frames if frame["topic"].startswith("publicTrade."))
    assert sum(frame.topic.endswith("@trade") for frame in made) == count > 10
    assert {frame.topic.partition("@")[2] for frame in made} >= {"trade", "bookTicker", "markPrice@1s"}


def test_unknown_venues_are_refused():
    with pytest.raises(ValueError, match="venues are bybit, binance, okx; got kraken"):
        Config(venues=("kraken",))
