"""What happens to a listing while a run goes on: rename, post-only, delisting, split, special treatment. Entries close, feeds are subscribed anew."""

import asyncio
import json

import pytest
from test_markets import emulated, places

import liqcore as lc
from gateway_rig import SYMBOL, Rig, listing
from liqcore.event import Control
from liqshell.config.load import loads
from liqshell.config.sections import FeedConfig
from liqshell.emulator.server import serve
from liqshell.live import Session
from liqshell.live.instruments import ListWatch
from liqshell.live.venue_clock import venue_clock
from liqshell.recording import journal
from liqshell.venues.adapters import adapter_of

# ---- pages as the venues write them (venues.md 3 and part 7), of three contracts each


def bybit(changes):
    rows = [
        {
            "symbol": f"{coin}USDT",
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": coin,
            "quoteCoin": "USDT",
            "priceFilter": {"tickSize": "0.01"},
            "lotSizeFilter": {"qtyStep": "0.01", "minOrderQty": "0.01", "maxOrderQty": "1000", "maxMktOrderQty": "500", "minNotionalValue": "5"},
        }
        for coin in ("BTC", "ETH", "SOL")
    ]
    return {"retCode": 0, "retMsg": "OK", "result": {"category": "linear", "list": changed(rows, "symbol", changes), "nextPageCursor": ""}}


def binance(changes):
    rows = [
        {
            "symbol": f"{coin}USDT",
            "contractType": "PERPETUAL",
            "status": "TRADING",
            "baseAsset": coin,
            "quoteAsset": "USDT",
            "marginAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "stepSize": "0.01", "minQty": "0.01", "maxQty": "1000"},
                {"filterType": "MIN_NOTIONAL", "notional": "5"},
            ],
        }
        for coin in ("BTC", "ETH", "SOL")
    ]
    return {"symbols": changed(rows, "symbol", changes)}


def okx(changes):
    rows = [
        {
            "instId": f"{coin}-USDT-SWAP",
            "instType": "SWAP",
            "instIdCode": 100 + n,
            "state": "live",
            "ctType": "linear",
            "ctVal": "0.1",
            "ctMult": "1",
            "ctValCcy": coin,
            "settleCcy": "USDT",
            "tickSz": "0.1",
            "lotSz": "1",
            "minSz": "1",
            "maxLmtSz": "10000",
            "maxMktSz": "1000",
        }
        for n, coin in enumerate(("BTC", "ETH", "SOL"))
    ]
    return {"code": "0", "msg": "", "data": changed(rows, "instId", changes)}


def hyperliquid(changes):
    return {"universe": changed([{"name": coin, "szDecimals": 3, "maxLeverage": 20} for coin in ("BTC", "ETH", "SOL")], "name", changes)}


def changed(rows, key, changes):
    """changes: name -> other fields, None = the row is gone."""
    return [row | changes.get(row[key], {}) for row in rows if changes.get(row[key], {}) is not None]


PAGES = {"bybit": bybit, "binance_um": binance, "okx": okx, "hyperliquid": hyperliquid}


def page(venue, changes=None):
    return adapter_of(venue).parse_instruments(json.dumps(PAGES[venue](changes or {})).encode(), "")


def watched(venue, **feed):
    """A watch over the contracts that a configuration names, with what it told."""
    told, first = [], page(venue)
    names = tuple(one.symbol for one in first.instruments)
    watch = ListWatch(
        FeedConfig(venue=venue, symbols=names, **feed), None, 1.0, asyncio.Event(), names, lambda *found: told.append(found), first.instruments
    )
    watch.look(first)
    assert told == [] and len(names) == 3
    return watch, told, names


@pytest.mark.parametrize(
    ("venue", "state", "word"),
    [
        ("bybit", {"status": "Delivering"}, "Delivering"),
        ("bybit", {"status": "Closed"}, "Closed"),
        ("binance_um", {"status": "SETTLING"}, "SETTLING"),
        ("okx", {"state": "post_only"}, "post_only"),
        ("okx", {"state": "rebase"}, "rebase"),
        ("okx", {"state": "suspend"}, "suspend"),
        ("hyperliquid", {"isDelisted": True}, "delisted"),
        ("bybit", None, ""),
        ("binance_um", None, ""),
        ("okx", None, ""),
        ("hyperliquid", None, ""),
    ],
)
def test_what_may_not_be_entered_is_said_with_the_venues_word_and_comes_back(venue, state, word):
    watch, told, names = watched(venue)
    watch.look(page(venue, {names[1]: state}))
    ((gone, back, _),) = told
    assert list(gone) == [names[1]] and back == [] and (f"{word!r}" in gone[names[1]] if word else gone[names[1]] == "it does not trade any more")
    watch.look(page(venue, {names[1]: state}))
    assert len(told) == 1, "it is told once"
    watch.look(page(venue))
    assert told[1][:2] == ({}, [names[1]]) and watch.gone == {}


@pytest.mark.parametrize(
    ("venue", "terms"),
    [
        ("bybit", {"priceFilter": {"tickSize": "0.001"}}),
        ("bybit", {"lotSizeFilter": {"qtyStep": "1", "minOrderQty": "1", "maxOrderQty": "1000"}}),
        ("okx", {"ctVal": "1"}),
        ("okx", {"tickSz": "0.01"}),
        ("hyperliquid", {"szDecimals": 2}),
    ],
)
def test_a_split_closes_the_entries_until_the_next_start(venue, terms):
    watch, told, names = watched(venue)
    watch.look(page(venue, {names[0]: terms}))
    assert list(told[0][0]) == [names[0]] and "its contract terms changed" in told[0][0][names[0]] and "start again" in told[0][0][names[0]]


def test_equal_numbers_in_other_words_are_no_split():
    watch, told, names = watched("bybit")
    watch.look(page("bybit", {names[0]: {"priceFilter": {"tickSize": "0.0100"}}}))
    assert told == []


def test_a_rename_is_known_by_the_number_that_stays():
    watch, told, names = watched("okx")
    watch.look(page("okx", {names[2]: {"instId": "SOLX-USDT-SWAP"}}))
    gone, back, new = told[0]
    assert gone == {names[2]: "its name is SOLX-USDT-SWAP now; configure that name and start again"} and [one.symbol for one in new.instruments] == [
        "SOLX-USDT-SWAP"
    ]


@pytest.mark.parametrize("tags", [["ST"], ["innovation", "ST"], "ST", "innovation, ST"])
def test_special_treatment_closes_the_entries_unless_told(tags):
    watch, told, names = watched("bybit")
    watch.look(page("bybit", {names[1]: {"tags": tags}}))
    assert told[0][0] == {names[1]: "the venue lists it under special treatment (ST)"}
    watch.look(page("bybit"))
    assert told[1][1] == [names[1]]
    watch, told, names = watched("bybit", special_treatment=True)
    watch.look(page("bybit", {names[1]: {"tags": tags}}))
    assert told == []


@pytest.mark.parametrize("tags", [None, "", [], ["STABLE"], "STABLE", 7, {"ST": 1}, [None, 3]])
def test_other_tags_mean_nothing(tags):
    watch, told, names = watched("bybit")
    watch.look(page("bybit", {names[1]: {"tags": tags}}))
    assert told == []


def test_the_setting_is_read():
    assert loads("[feed]\nspecial_treatment = true\n").feed.special_treatment and not loads("").feed.special_treatment


# ---- with an account: the gateway's own look


@pytest.mark.parametrize("told", [False, True])
def test_the_gateway_enters_nothing_under_special_treatment(told):
    rig = Rig(1, settings={"instruments_period_s": 20.0, "special_treatment": told})
    rig.wait(1.0)
    assert not rig.gates()

    def tag(call, answer):
        if "instruments-info" in call.path:
            answer["result"]["list"] = [listing(i) | {"tags": ["ST"], "baseCoin": "ETH", "quoteCoin": "USDT"} for i in rig.instruments]
        return answer

    rig.alter_answer = tag
    rig.wait(25.0)
    assert ("GATE_SYMBOL" in rig.gates()) is not told
    assert told or any("special treatment" in n.text and n.symbol == SYMBOL for n in rig.notices)
    rig.alter_answer = lambda call, answer: answer
    rig.wait(25.0)
    assert not rig.gates()


# ---- a run


def test_a_run_of_named_contracts_follows_the_list_and_subscribes_anew(tmp_path, caplog):
    """Binance's copy loses SOLUSDT and lists it again: the gate of the contract that the file names closes and opens, and its connections are new."""

    async def main():
        async with await serve(emulated()) as emulator:
            rest, ws = places(emulator)["binance"]
            config = loads(
                f'[run]\nname = "test"\n[feed]\nvenue = "binance"\nrest = "{rest}"\nws = "{ws}"\nsymbols = ["BTCUSDT", "SOLUSDT"]\nlist_every_s = 20\n'
                "[limits]\ndata_age_max_s = 20.0\nevent_age_max_s = 20.0\n"
            )
            clock, labels = await venue_clock(rest)
            session, venue = Session(config, tmp_path / "run", clock, labels), emulator.neighbours[0]
            every, loop = venue.contracts, asyncio.get_running_loop()
            loop.call_later(4.0, setattr, venue, "contracts", every[:1])
            loop.call_later(7.0, setattr, venue, "contracts", every)
            manifest = await session.run(emulator.clock.now_ns() + int(12 * 60e9))
            return manifest, [feed.up for feed in session._feeds]

    manifest, _ = asyncio.run(asyncio.wait_for(main(), 120))
    audit = journal.load_audit(tmp_path / "run")
    said = [
        (int(r["instrument"]), int(r["phase"]))
        for r in audit[audit["kind"] == int(lc.AuditKind.AUDIT_LIMIT)]
        if int(r["phase"]) in (int(Control.CONTROL_PAUSE), int(Control.CONTROL_READY)) and r["instrument"] >= 0
    ]  # -1: a machine that stood still
    assert said == [(1, int(Control.CONTROL_PAUSE)), (1, int(Control.CONTROL_READY))]
    assert "SOLUSDT no entries on it: it does not trade any more" in caplog.text
    health = manifest["counters"]["venues"]["binance_um"]
    assert health["not_trading"] == [] and health["reconnects"] >= 1 and any("SOLUSDT subscribed again" in why for why in health["drops"])
