"""`--cluster`: whoever computes opens the data itself, one contract at a time, and the rows are those of one machine, byte for byte."""

import dataclasses
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import liqcore as lc
from liqcore.event import EVENT_DTYPE
from liqshell.backtest import load_history
from liqshell.backtest.origin import Origin
from liqshell.config.load import load
from liqshell.errors import DataError
from liqshell.store import importer
from liqshell.sweep import cluster
from liqshell.sweep import run as sweeps
from recorded_run import SETTINGS, record_run
from store_files import DAY, HOUR, T0, market, opener, save

GRID = """
[policy]
preset = "fade"
[sweep]
unit = 3
[sweep.policy]
take_profit = [0.0005, 0.0015]
stop_loss = [0.0015, 0.0025]
entry_offset = [0.0002, 0.0005]
[sweep.detector]
quantile = [0.5, 0.8]
"""


def feed(*marks: tuple[int, lc.FeedState]) -> np.ndarray:
    rows = np.zeros(len(marks), EVENT_DTYPE)
    rows["ts_recv"] = rows["ts_event"] = [ts for ts, _ in marks]
    rows["kind"], rows["code"] = int(lc.Kind.FEED), [int(state) for _, state in marks]
    return rows


def contracts(seed: int) -> dict[str, np.ndarray]:
    """Three days of a contract; one that begins a day later and is silent for hours; one with liquidations alone; one of another venue; marks of the
    first venue."""
    first, late, other = (market(30_000, seed=seed + n, span=3 * DAY) for n in range(3))
    late = late[(late["ts_recv"] > T0 + DAY + HOUR) & ~((late["ts_recv"] > T0 + 2 * DAY) & (late["ts_recv"] < T0 + 2 * DAY + 3 * HOUR))]
    quiet = first[first["kind"] == int(lc.Kind.LIQUIDATION)]
    marks = feed((T0 + 30 * HOUR, lc.FeedState.FEED_DOWN), (T0 + 31 * HOUR, lc.FeedState.FEED_UP), (T0 + 50 * HOUR, lc.FeedState.FEED_GAP))
    return {"bybit~AAAUSDT": first, "bybit~BBBUSDT": late, "bybit~QQQUSDT": quiet, "binance_um~CCCUSDT": other, "bybit~_all": marks}


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clustered")
    importer.run(folder / "store", [save(folder / "a.npz", contracts(1))], opener)
    file = folder / "grid.toml"
    file.write_text(f'[run]\nout = "{folder / "runs"}"\n{SETTINGS}[data]\nstore = "store"\n{GRID}')
    return file


def prepared(config):
    """What `run_sweep` hands to a cluster."""
    history, cells = load_history(config), sweeps.grid_of(config)
    plan, first = sweeps.plan_of(config, history, cells)
    if plan["by"] == sweeps.BACKTEST:
        return history, sweeps.walks_of(config, history, cells), sweeps.units_of(1, 1, len(cells), 1)
    deciders = len(plan["deciders"])
    work = sweeps.make_work(config, history, plan, cells, list(range(deciders)), lambda what, done: None, first)
    return history, work, sweeps.units_of(deciders, len(history.instruments), len(plan["policies"]), config.sweep.unit)


def check_tasks(config, processors):
    """Every unit is computed once, each as it is with all contracts in one process; the contracts that trade."""
    history, work, units = prepared(config)
    origin, left, traded = Origin.of(config, history), {unit.number: unit for unit in units}, set()
    for contract, own, tasks in cluster.tasks_of(work, units, processors):
        for task in tasks:
            for unit, rows in zip(task, cluster.compute(origin, contract, own, task, lc.__version__), strict=True):
                assert rows.tobytes() == work.compute(left.pop(unit.number), threads=1).tobytes()
                traded |= {history.instruments[n].symbol for n in [contract] if n is not None and rows["trades"].any()}
    assert not left
    return traded


@pytest.mark.parametrize("processors", [1, 3, 20])
@pytest.mark.parametrize(
    "changed", [[], ["data.symbols=['CCCUSDT', 'BBBUSDT']"], ["data.start='2026-02-09T20:00:00Z'", "data.end='2026-02-11T19:00:00Z'"]]
)
def test_contracts_that_are_opened_one_by_one_give_the_rows_of_all_together(configured, changed, processors):
    assert check_tasks(load(configured, changed), processors) & {"AAAUSDT", "BBBUSDT"}


@pytest.mark.parametrize("by", ["kernel", "backtest"])
def test_recordings_of_runs_are_opened_again(tmp_path, by):
    record_run(tmp_path / "market", hours=2, seed=12, cut_s=200)
    (tmp_path / "grid.toml").write_text(f'[run]\nout = "runs"\n{SETTINGS}[data]\nfiles = ["market"]\nend = "2026-03-04T14:30:00Z"\n{GRID}')
    config = load(tmp_path / "grid.toml", [f"sweep.by={by}"] + ["sweep.policy.take_profit=[0.001]"] * (by == "backtest"))
    traded = check_tasks(config, 2)
    assert by == "backtest" or len(traded) == 2


def test_whole_backtests_open_all_contracts(configured):
    check_tasks(load(configured, ["sweep.by=backtest", "sweep.policy.take_profit=[0.0005]", "sweep.policy.stop_loss=[0.0015]"]), 2)


def test_files_of_others_are_opened_in_the_store_that_they_were_imported_into(tmp_path):
    events = contracts(1)["bybit~AAAUSDT"]
    table = pa.table({name: events[name] for name in ("ts_event", "ts_recv", "kind", "side", "price", "qty", "aux_price", "aux_qty", "id")})
    pq.write_table(table.replace_schema_metadata({"liqcore.venue": "bybit", "liqcore.symbol": "AAAUSDT"}), tmp_path / "a.parquet")
    (tmp_path / "grid.toml").write_text(f'[run]\nout = "{tmp_path / "runs"}"\n{SETTINGS}[data]\nfiles = ["a.parquet"]\n{GRID}')
    assert check_tasks(load(tmp_path / "grid.toml"), 2) == {"AAAUSDT"}


def test_a_worker_without_the_data_or_with_other_data_is_refused_by_name(configured, tmp_path, monkeypatch):
    config = load(configured, [])
    history, work, units = prepared(config)
    origin = Origin.of(config, history)
    monkeypatch.setattr(cluster.socket, "gethostname", lambda: "node-7")
    (contract, own, tasks), *_ = cluster.tasks_of(work, units, 1)

    def asked(origin, version=lc.__version__):
        found = cluster.compute(origin, contract, own, tasks[0], version)
        assert isinstance(found, DataError)
        return str(found)

    away = asked(dataclasses.replace(origin, store=str(tmp_path / "not-here")))
    assert away.startswith("worker node-7: ") and "not-here: no such folder" in away and "shared file system or a copy" in away
    shutil.copytree(origin.store, tmp_path / "copy")
    copied = dataclasses.replace(origin, store=str(tmp_path / "copy"))
    assert not isinstance(cluster.compute(copied, contract, own, tasks[0], lc.__version__), DataError)
    (tmp_path / "copy").rename(tmp_path / "other")
    importer.run(tmp_path / "other", [save(tmp_path / "b.npz", {"bybit~AAAUSDT": market(10, seed=9, start=T0 + DAY)})], opener, overlap=True)
    assert "other: holds other data" in asked(dataclasses.replace(origin, store=str(tmp_path / "other")))
    assert "version" in asked(origin, version="0.0.0")


@pytest.mark.slow
@pytest.mark.parametrize("by", ["kernel", "backtest"])
def test_a_cluster_leaves_the_same_files(configured, tmp_path, by):
    """The parts and the table, byte for byte."""
    pytest.importorskip("ray", reason="Ray is not installed")
    config = load(configured, [f"sweep.by={by}"] + ["sweep.policy.take_profit=[0.0005]"] * (by == "backtest"))
    here, there = sweeps.run_sweep(config, tmp_path / "here"), sweeps.run_sweep(config, tmp_path / "there", address="")
    files = sorted(path.relative_to(here.folder) for path in here.folder.rglob("*") if path.is_file())
    assert here.computed == there.computed == sum(path.suffix == ".npy" for path in files) > 0
    for file in files:
        assert (here.folder / file).read_bytes() == (there.folder / file).read_bytes(), file


@pytest.mark.slow
def test_a_sweep_whose_workers_lack_the_store_says_so(configured, tmp_path, monkeypatch):
    """Its workers look for the store where it is not, as on another machine."""
    pytest.importorskip("ray", reason="Ray is not installed")
    of = Origin.of
    monkeypatch.setattr(Origin, "of", lambda config, history: dataclasses.replace(of(config, history), store=str(tmp_path / "only-here")))
    with pytest.raises(DataError, match=r"worker .*only-here: no such folder.* leave out --cluster"):
        sweeps.run_sweep(load(configured), tmp_path / "out", address="")
