"""What was learnt is kept (issue 14, section 2): a run that is stopped, killed and begun again has learnt, bit for bit, what one that ran through has.

The oracle of "ran through" is one engine over all that was recorded, whose feed was lost at each stop: it knows neither images nor warm-ups.
"""

import base64
import dataclasses
import json
import random
import shutil

import numpy as np
import pytest

import liqcore as lc
import warm_rig
from liqshell.config.load import load
from liqshell.config.sections import WarmConfig
from liqshell.errors import DataError
from liqshell.live.learnt_keeper import Keeper, Material, Warmth
from liqshell.recording import journal
from liqshell.recording import reader as recording
from liqshell.recording.packing import ZSTD_MAGIC, frame_files
from liqshell.recording.recorder import IMAGE, META, Recorder
from liqshell.run import backtest_parity as parity
from liqshell.run import replay
from liqshell.run.pipeline import GATEWAY, Pipeline, settings
from liqshell.run.warm_up import Warmer
from liqshell.state import learnt
from liqshell.state.learnt import learnt_file
from warm_rig import SYMBOLS, cut, differing, hour, image_of, killed, learnt_parts, market, run, session, through, write_config  # noqa: F401

HOURS, SEED = 6.0, 20261122


@pytest.mark.slow
def test_six_hours_in_pieces_are_six_hours_in_one_piece(tmp_path):
    """Random places: ended in good order, killed between an image and the end of its tail, killed before the first image of its run, with a hole."""
    instruments, frames = market(HOURS)
    config, rng, folders, ways = write_config(tmp_path), random.Random(SEED), [], []
    places = [0, *sorted(cut(frames, rng.randrange(len(frames) // 20, len(frames))) for _ in range(6)), len(frames)]
    (tmp_path / "runs").mkdir()
    for k, (low, high) in enumerate(zip(places, places[1:], strict=False)):
        folder = tmp_path / "runs" / f"run{k}"
        way = "end" if high == len(frames) else ("image", "end", "image", "none")[k % 4]
        missed = cut(frames, low + rng.randrange((high - low) // 10)) if k % 3 == 2 else low  # nobody listened for a while
        images = [] if way == "none" else sorted({3, *(rng.randrange(high - missed) for _ in range(2))})
        if way == "end":
            keeper = session(config, folder, frames[missed:high], instruments, images=images)
            assert keeper.begun.refused == [] and (k == 0) == (keeper.begun.learnt is None), keeper.begun
            assert replay.prove(folder, trust=True).identical and parity.prove_as_backtest(folder, trust=True).identical
        else:
            killed(config, folder, frames[missed:high], instruments, images, rng.randrange((high - missed) // 2, high - missed - 1))
            assert replay.prove(folder, trust=True).cut
        folders.append(folder)
        ways.append(way)
    assert {"image", "end", "none"} == set(ways) and all((folder / journal.FRAMES).is_dir() for folder in folders)
    whole, found = through(config, instruments, folders, stop=False), image_of(config)
    assert differing(found.engine, whole.engine.snapshot()) == []
    parts = learnt_parts(found.engine)
    assert (
        len(parts) == 7 + 8 * len(SYMBOLS) and len(parts["features"]) > 300_000 and whole.engine.policy.seen > 100 and whole.engine.policy.later > 20
    )
    assert all(whole.engine.threshold(n) > 0.0 for n in range(len(SYMBOLS)))
    assert len(found.head["holes"]) == len(folders) - 1 and all(a < b for a, b in found.head["holes"])
    assert found.head["since_ns"] == frames[0][0] - 2 * warm_rig.MS


def test_thresholds_are_those_of_a_process_that_never_stopped(hour, run, tmp_path):
    """Where no liquidation was missed, the distribution that is learnt does not know of the stop."""
    config, folder, half = run
    instruments, frames = hour
    session(config, tmp_path / "runs" / "two", frames[half:], instruments)
    never = Pipeline(settings(load(config), instruments), trust=True)
    for ts, raw in frames:
        never.frame(raw, ts)
    engine = Pipeline(settings(load(config), instruments) | {"learnt": base64.b64encode(image_of(config).encode()).decode()}, trust=True).engine
    assert [repr(engine.threshold(n)) for n in range(2)] == [repr(never.engine.threshold(n)) for n in range(2)] and engine.threshold(0) > 0.0
    cold = Pipeline(settings(load(config), instruments), trust=True)
    for ts, raw in frames[half:]:
        cold.frame(raw, ts)
    assert cold.engine.threshold(0) != engine.threshold(0), "the first half decides nothing: the test shows nothing"


def test_the_recording_of_a_warm_run_is_enough_to_run_it_again(hour, run, tmp_path):
    config, folder, half = run
    instruments, frames = hour
    keeper = session(config, tmp_path / "runs" / "two", frames[half:], instruments)
    shutil.rmtree(folder)
    learnt_file(tmp_path / "runs", "warm").unlink()
    moved = shutil.move(tmp_path / "runs" / "two", tmp_path / "elsewhere")
    assert keeper.begun.learnt is not None and replay.prove(moved, trust=True).identical
    first = next(iter(recording.read(moved)))
    values = json.loads(first.frame)
    assert first.stream == META and learnt.decode(base64.b64decode(values["learnt"]), "").until_ns <= frames[half][0]
    cold, _, _, _ = replay.run(_without(moved, tmp_path / "cold", values), trust=True)
    assert cold.engine.threshold(0) != replay.run(moved, trust=True)[0].engine.threshold(0), "what it began with decided nothing"


def _without(folder, to, values):
    """The frames of a run whose settings say that it began cold."""
    with Recorder(to) as recorder:
        for record in recording.read(folder):
            if record.stream.startswith("liqcore."):
                if record.stream != IMAGE:
                    recorder.mark(
                        record.ts_recv,
                        record.stream,
                        {**json.loads(record.frame), "learnt": ""} if record.stream == META else json.loads(record.frame),
                    )
            else:
                recorder.append(record.ts_recv, record.frame, record.exchange, record.source)
    return to


# ---- where the recording ends, and gaps ----


def test_a_recording_that_is_gone_or_has_lost_the_place_is_said_and_is_a_gap(hour, run, tmp_path):
    """The image alone is used: the feed was down from its time on."""
    config, folder, half = run
    instruments, frames = hour
    image = image_of(config)
    image = dataclasses.replace(image, head={**image.head, "ended": False})
    values = settings(load(config), instruments)
    for mark, run_of, said in ((99, image.head["run"], "has no mark 99"), (1, str(tmp_path / "gone"), "no such file or folder")):
        warmer = Warmer(values)
        odd = dataclasses.replace(image, head={**image.head, "mark": mark, "run": run_of})
        warmer.resume(odd, "x")
        warmer.tail(odd)
        found = warmer.close()
        assert said in warmer.notes[0] and found.until_ns == image.until_ns
        ended = through(config, instruments, [folder])
        assert differing(found.engine, ended.engine.snapshot()) == []


def test_damage_inside_a_recording_is_an_outage_and_a_note(hour, run, tmp_path):
    config, folder, half = run
    learnt_file(tmp_path / "runs", "warm").unlink()
    whole = Warmer(settings(load(config), hour[0]))
    whole.run(folder)
    file = frame_files(folder / journal.FRAMES)[0]
    raw = bytearray(file.read_bytes())
    second = raw.index(ZSTD_MAGIC, 1)  # up to the second image; a third one follows
    raw[second + 40 : second + 60] = bytes(20)
    file.write_bytes(raw)
    warmer = Warmer(settings(load(config), hour[0]))
    warmer.run(folder)
    assert whole.notes == [] and any("damaged" in note for note in warmer.notes)
    feeds = []
    for one in (whole, warmer):
        audit = one.pipeline.drain_audit()
        feeds.append(audit[audit["kind"] == int(lc.AuditKind.AUDIT_FEED)])
    states = [feed["phase"].tolist() for feed in feeds]
    assert states[1][-3:] == [lc.FeedState.FEED_DOWN, lc.FeedState.FEED_UP, lc.FeedState.FEED_DOWN] and len(states[1]) == len(states[0]) + 2, states
    down, up = feeds[1]["ts"][-3:-1].tolist()
    assert (up - down) / 1e9 > 1.0


def test_runs_that_overlap_are_refused(hour, run):
    config, folder, _ = run
    warmer = Warmer(settings(load(config), hour[0]))
    warmer.run(folder)
    with pytest.raises(DataError, match="before the end of the learnt state"):
        warmer.run(folder)


# ---- other sources ----


def test_a_store_teaches_what_the_run_taught(hour, run, tmp_path):
    pytest.importorskip("pyarrow")
    from liqshell import formats, store
    from liqshell.warm_up_sources import material_of

    config, folder, half = run
    instruments, frames = hour
    assert not store.fill(tmp_path / "store", formats.files_of(folder)).broken
    names = [f"bybit:{symbol}" for symbol in (*SYMBOLS, "BTCUSDT")]
    keeper = session(config, tmp_path / "runs" / "two", frames[half:], instruments, first=True, materials=[material_of(tmp_path / "store", names)])
    assert keeper.begun.origin == [str(tmp_path / "store")] and any("configured to begin with other data" in why for why in keeper.begun.refused)
    whole = through(config, instruments, [folder, tmp_path / "runs" / "two"], stop=False, ends=False)
    assert differing(image_of(config).engine, whole.engine.snapshot()) == []


def test_another_run_teaches_contracts_in_another_order(hour, run, tmp_path):
    """By name: a run of the same market whose contracts stood in another order."""
    config, folder, half = run
    instruments, frames = hour
    values = settings(load(config), instruments[::-1])
    warmer = Warmer(values)
    Material.of_run(folder).into(warmer)
    straight = Warmer(settings(load(config), instruments))
    straight.run(folder)
    found, asked = warmer.close(), straight.close()
    assert [row["seen"] for row in found.progress()] == [row["seen"] for row in asked.progress()][::-1]
    apart = [learnt.decode(one.encode(), "x") for one in (found, asked)]
    engines = [
        Pipeline({**told, "learnt": base64.b64encode(one.encode()).decode()}, trust=True).engine
        for told, one in zip((values, settings(load(config), instruments)), apart, strict=True)
    ]
    assert repr([engines[0].threshold(symbol) for symbol in SYMBOLS]) == repr([engines[1].threshold(symbol) for symbol in SYMBOLS])
    for name in ("liquidations.liq_volume@90s:rank", "map.realised_below@1pct", "price.open@5m"):
        assert repr([engines[0].feature(name, symbol) for symbol in SYMBOLS]) == repr([engines[1].feature(name, symbol) for symbol in SYMBOLS])


def test_data_of_other_contracts_teach_nothing(hour, run):
    warmer = Warmer(settings(load(run[0]), hour[0]))
    with pytest.raises(DataError, match="bybit:ETHUSDT"):
        warmer.events([np.zeros(3, lc.EVENT_DTYPE)], [lc.Instrument("ETHUSDT", venue="bybit")], "there")


# ---- long and short ----


def test_long_and_short_are_learnt_alike(hour, run, tmp_path):
    """The same data with the sides changed teaches the same, with the sides changed: and a warm start then enters the other side at the same moments."""
    config, _, half = run
    instruments, frames = hour
    source = Pipeline(settings(load(config), instruments), trust=True).sources["bybit"]
    every = np.concatenate([source.events(raw, ts).copy() for ts, raw in frames])
    forced = every[every["kind"] == int(lc.Kind.LIQUIDATION)]
    forced["price"], forced["aux_price"], forced["aux_qty"] = 100.0, 0.0, 0.0
    middle, both = len(forced) // 2, {}
    for side in (1, -1):
        rows = forced.copy()
        rows["side"] *= side
        warmer = Warmer(settings(load(config), instruments))
        warmer.events([rows[:middle]], instruments, "there")
        found = warmer.close()
        values = settings(load(config), instruments) | {"learnt": base64.b64encode(found.encode()).decode()}
        pipeline = Pipeline(values, trust=True)
        pipeline.feed(lc.FeedState.FEED_UP, found.until_ns + 1, found.until_ns + 1, "bybit")
        for row in rows[middle:]:
            ts = int(row["ts_recv"])
            n = int(row["instrument"])
            trade = (ts, ts, 100.0, 1.0, 0.0, 0.0, 0, n, int(lc.Kind.TRADE), side, 0, 0)
            quote = (ts, ts, 99.99, 5.0, 100.01, 5.0, 0, n, int(lc.Kind.BBO), 0, 0, 0)
            pipeline.sources["bybit"].sink.polled(np.array([trade, quote, row.item()], lc.EVENT_DTYPE))
        audit, policy = pipeline.drain_audit(), pipeline.engine.policy
        asked = audit[audit["kind"] == int(lc.AuditKind.AUDIT_RISK)]
        sums = sorted((int(n), int(of) * side, value) for (n, of), value in ((key.split(), value) for key, value in policy.sums.items()))
        both[side] = (
            [(int(row["ts"]), int(row["instrument"]), int(row["reason"]), int(row["side"]) * side) for row in asked],
            sums,
            policy.seen,
            [pipeline.engine.threshold(n) for n in range(2)],
        )
    assert repr(both[1]) == repr(both[-1])
    assert {row[2] for row in both[1][0]} & {int(lc.Reason.OK)} and {row[3] for row in both[1][0]} == {1, -1}, (
        "nothing was asked for on one of the sides"
    )


# ---- at a venue: trades and what was learnt, together ----


def test_a_live_restart_has_its_trades_and_what_it_had_learnt(hour, run):
    """Settings of a run at a venue: who wanted to be asked again is asked, positions are those of the state image, nothing that waited to enter enters."""
    config, folder, half = run
    instruments, frames = hour
    image = image_of(config)
    warmer = Warmer(settings(load(config), instruments))
    warmer.resume(image, "x")
    closed = warmer.close()
    before = Pipeline(settings(load(config), instruments) | {"venue": GATEWAY, "restored": "", "resumed_ns": 0}, trust=True)
    before.engine.on_trade(frames[0][0], frames[0][0], 0, lc.LONG, 150.0, 1.0)
    trades = before.engine.trade_snapshot()
    now = closed.until_ns + 60 * lc.SECOND
    values = settings(load(config), instruments) | {
        "venue": GATEWAY,
        "restored": base64.b64encode(trades).decode(),
        "resumed_ns": now,
        "learnt": base64.b64encode(closed.encode()).decode(),
    }
    pipeline = Pipeline(values, trust=True)
    assert differing(pipeline.engine.snapshot(), closed.engine) == ["now"] and pipeline.engine.now == now and pipeline.engine.events == 0
    asks = pipeline.engine.policy.later
    reference = through(config, instruments, [folder])
    pipeline.advance(now + 7200 * lc.SECOND)
    reference.advance(now + 7200 * lc.SECOND)
    assert pipeline.engine.policy.later == reference.engine.policy.later > asks
    assert pipeline.engine.policy.snapshot() == reference.engine.policy.snapshot()


# ---- what is shown ----


def test_since_when_a_threshold_is_known(hour, run):
    """Since the liquidation that was the last of the warm-up, and not since an image was taken or the run ended; whoever goes on keeps that time."""
    config, folder, half = run
    instruments, frames = hour
    values = settings(load(config), instruments)
    decoder, times = Pipeline(values, trust=True).sources["bybit"], {symbol: [] for symbol in SYMBOLS}
    for ts, raw in frames:
        for event in decoder.events(raw, ts):
            if event["kind"] == int(lc.Kind.LIQUIDATION):
                times[SYMBOLS[event["instrument"]]].append(int(event["ts_recv"]))
    warmer = Warmer(values)
    warmer.run(folder)
    due = {symbol: own[59] for symbol, own in times.items() if len(own) > 59 and own[59] <= warmer.end_ns}
    assert due
    for symbol, at in due.items():
        assert at <= warmer.known[f"bybit:{symbol}"]["cascade"] < at + 10 * lc.SECOND
    again = Warmer(values)
    again.resume(warmer.close(), "the one before")
    assert again.known == warmer.known
    keeper = Keeper(WarmConfig(every_s=1e6), folder.parent / "unused.bin", cold=True)  # no image is due, ever
    pipeline = Pipeline(values, trust=True)
    keeper.bind(values, folder, frames[0][0])
    keeper._due = float("inf")
    for ts, raw in frames:
        pipeline.frame(raw, ts)
        keeper._look_due = 0.0  # as if a quarter of a second had passed
        keeper.turn(pipeline, None, ts)
    keeper.end(pipeline)
    known = {row["contract"]: row["known_ns"] for row in keeper.as_dict()["ended"]}
    assert known == {f"bybit:{symbol}": own[59] if len(own) > 59 else None for symbol, own in times.items()}


@pytest.mark.parametrize("raised", ["RuntimeError('mine')", "TypeError('mine')", "SystemExit(0)"])
def test_a_detector_whose_state_cannot_be_taken_ends_the_run_at_the_next_image(hour, tmp_path, raised):
    """A RuntimeError of the engine means that an image has to wait: one of the user's is none of those."""
    instruments, frames = hour
    config, rule = write_config(tmp_path), tmp_path / "sums.py"
    text = f"{warm_rig.DETECTOR}\n    def snapshot(self):\n        if any(self.sums.values()):\n"
    rule.write_text(f"{text}            raise {raised}\n        return super().snapshot()\n")
    keeper, pipeline = Keeper(WarmConfig(), tmp_path / "image.bin", cold=True), Pipeline(values := settings(load(config), instruments), trust=True)
    keeper.bind(values, tmp_path, frames[0][0])
    for ts, raw in frames:
        pipeline.frame(raw, ts)
    with pytest.raises((RuntimeError, TypeError)) as why:
        keeper.turn(pipeline, None, frames[-1][0])
    keeper.end(None)
    assert (
        why.value.liqcore_source == f"{rule}:{len(text.splitlines()) + 1}, snapshot" and why.value.liqcore_owner == "detector sums (Sums), snapshot"
    )


def test_how_warm_a_run_is(hour, run):
    config, folder, half = run
    instruments, frames = hour
    values = settings(load(config), instruments)
    cold = Pipeline(values, trust=True)
    assert Warmth(cold).line() == "warm 0/2: SOLUSDT 0/60, DOGEUSDT 0/60"
    for ts, raw in frames[:half]:
        cold.frame(raw, ts)
    rows = image_of(config).progress()
    counted = dict.fromkeys(SYMBOLS, 0)
    decoder = Pipeline(values, trust=True).sources["bybit"]
    for ts, raw in frames[:half]:
        for event in decoder.events(raw, ts):
            if event["kind"] == int(lc.Kind.LIQUIDATION):
                counted[SYMBOLS[event["instrument"]]] += 1
    assert {row["contract"]: row["seen"] for row in rows} == {f"bybit:{symbol}": min(60, count) for symbol, count in counted.items()}
    assert all(row["wanted"] == 60 and (row["known_ns"] is not None) == (row["seen"] == 60) for row in rows)
    left = [f"{symbol} {counted[symbol]}/60" for symbol in SYMBOLS if counted[symbol] < 60]
    assert Warmth(cold).line() == f"warm {2 - len(left)}/2" + (": " + ", ".join(left) if left else "")
