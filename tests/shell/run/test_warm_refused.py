"""What was learnt and does not fit is refused by name, and never used; the run then learns from its recordings, or begins cold, and says so."""

import numpy as np
import pytest

import liqcore as lc
import warm_rig
from liqshell.config.load import load
from liqshell.config.sections import WarmConfig
from liqshell.errors import DataError
from liqshell.recording import journal
from liqshell.run.pipeline import GATEWAY, Pipeline, settings
from liqshell.run.warm_up import policies_of
from liqshell.state import learnt
from liqshell.state.learnt import learnt_file
from warm_rig import differing, hour, image_of, keeper_of, run, session, through  # noqa: F401


def test_a_damaged_image_is_never_used(run):
    """Every byte flipped somewhere, and every kind of cut: DataError that names the file."""
    config, _, _ = run
    raw, rng = learnt_file(load(config).run.out, "warm").read_bytes(), np.random.default_rng(5)
    assert learnt.decode(raw, "x").encode() == raw
    places = {*range(80), *range(len(raw) - 80, len(raw)), *rng.integers(0, len(raw), 400).tolist()}
    for place in places:
        wrong = bytearray(raw)
        wrong[place] ^= int(rng.integers(1, 256))
        with pytest.raises(DataError, match="some/where.bin"):
            learnt.decode(bytes(wrong), "some/where.bin")
    for length in {0, 1, 16, 17, 24, len(raw) - 1, len(raw) - 8, *rng.integers(0, len(raw), 200).tolist()}:
        with pytest.raises(DataError, match="some/where.bin"):
            learnt.decode(raw[:length], "some/where.bin")
    for junk in (b"", b"\0" * 100, rng.bytes(5000), raw + b"x", b"liqcore-learnt-0\n" + raw[17:]):
        with pytest.raises(DataError, match="some/where.bin"):
            learnt.decode(junk, "some/where.bin")


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "a folder"])
def test_a_run_with_a_damaged_image_learns_from_the_recordings(hour, run, harm, tmp_path, caplog):
    config, folder, half = run
    instruments, frames = hour
    path = learnt_file(tmp_path / "runs", "warm")
    raw = path.read_bytes()
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    else:
        path.write_bytes({"flip": raw[:999] + bytes([raw[999] ^ 16]) + raw[1000:], "cut": raw[:-100], "empty": b""}[harm])
    keeper = session(config, tmp_path / "runs" / "two", frames[half:], instruments)
    assert any(str(path) in why for why in keeper.begun.refused) and str(path) in caplog.text
    assert keeper.begun.origin == [str(folder)] and list(path.parent.glob("warm.bin.refused-*")), keeper.begun
    told = journal.load_manifest(tmp_path / "runs" / "two")["warm"]
    assert told["began"] == "warm" and told["refused"] == keeper.begun.refused and told["from"] == [str(folder)]
    whole = through(config, instruments, [folder, tmp_path / "runs" / "two"], stop=False)
    assert differing(image_of(config).engine, whole.engine.snapshot()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, named",
    [
        ("warmup = 61", "detector.cascade.warmup was 60, is 61"),
        ('[detectors.rate]\nkind = "rate"\nsigma = 4.0', "detector.rate.sigma was 3.0, is 4.0"),
        ("[engine]\nquote_age_s = 9", "quote_age_ns was 10000000000, is 9000000000"),
        ("# another comment", "rule_sha256 was"),
        ("# another detector", "code_sha256.detector sums was"),
        ("drop", "features was"),
        ("tick", "instrument.bybit:SOLUSDT.tick_size was"),
    ],
)
def test_another_configuration_is_refused_by_name_and_learns_anew(hour, run, change, named, tmp_path):
    """Nothing of the old state is used; the recordings give what a run of the new configuration would have learnt of them."""
    config, folder, half = run
    instruments, frames = hour
    text = config.read_text()
    if change.startswith("warmup"):
        config.write_text(text.replace("warmup = 60", change))
    elif change.startswith("[detectors"):
        config.write_text(text.replace('[detectors.rate]\nkind = "rate"', change))
    elif change.startswith("#"):
        name, code = ("sums.py", warm_rig.DETECTOR) if "detector" in change else ("memory.py", warm_rig.POLICY)
        (tmp_path / name).write_text(code + change + "\n")
    elif change == "drop":
        config.write_text(text.replace('"price.last", ', ""))
    elif change == "tick":
        instruments = tuple(lc.Instrument(**{**i.as_dict(), "tick_size": "0.00001"}) for i in instruments)
    else:
        config.write_text(text + "\n" + change + "\n")
    keeper = session(config, tmp_path / "runs" / "two", frames[half:], instruments)
    assert any(named in why and "warm.bin" in why for why in keeper.begun.refused), keeper.begun.refused
    assert keeper.begun.origin == [str(folder)]
    whole = through(config, instruments, [folder, tmp_path / "runs" / "two"], stop=False)
    assert differing(image_of(config).engine, whole.engine.snapshot()) == []


def test_what_the_venue_allows_and_how_long_the_network_may_take_are_not_the_configuration(hour, run):
    config, _, _ = run
    instruments, _ = hour
    other = tuple(lc.Instrument(**{**i.as_dict(), "max_qty": 77.0}) for i in instruments)
    values = settings(load(config), other) | {"patience": 60.0}
    image_of(config).fit(policies_of(values), Pipeline(values | {"venue": GATEWAY, "restored": "", "resumed_ns": 0}, trust=True).engine)


@pytest.mark.parametrize("age_h, began", [(0.4, "warm"), (0.6, "cold"), (-0.1, "cold")])
def test_too_old_and_not_yet_true_are_refused(hour, run, age_h, began):
    config, folder, _ = run
    instruments, frames = hour
    until = image_of(config).until_ns
    keeper = keeper_of(load(config), warm=WarmConfig(age_max_h=0.5))
    begun = keeper.open(settings(load(config), instruments), until + round(age_h * 3.6e12), folder.parent / "new")
    assert (began == "warm") == (begun.learnt is not None)
    if began == "cold":
        said = "ends 0.6 h ago; expected at most [warm] age_max_h = 0.5" if age_h > 0 else "ends 360.0 s in the future"
        assert said in begun.refused[0] and "warm.bin" in begun.refused[0]
    keeper.end(None)


def test_cold_is_cold_and_keeps_the_image_aside(hour, run, tmp_path):
    config, _, half = run
    instruments, frames = hour
    keeper = session(config, tmp_path / "runs" / "two", frames[half : half + 2000], instruments, cold=True)
    assert keeper.begun.learnt is None and "configured to begin cold" in keeper.begun.refused[0]
    (aside,) = learnt_file(tmp_path / "runs", "warm").parent.glob("warm.bin.refused-*")
    assert learnt.load(aside) is not None and image_of(config).head["since_ns"] >= frames[half][0] - 2 * warm_rig.MS


def test_a_policy_that_raises_in_the_warm_up_costs_the_warm_up(hour, run, tmp_path):
    config, folder, half = run
    instruments, frames = hour
    (tmp_path / "memory.py").write_text(warm_rig.POLICY.replace("self.seen += 1", "raise OSError('no such model')"))
    keeper = keeper_of(load(config))
    begun = keeper.open(settings(load(config), instruments), frames[half][0], tmp_path / "runs" / "two")
    assert begun.learnt is None and any("OSError while learning from it: no such model" in why for why in begun.refused), begun.refused
    keeper.end(None)
