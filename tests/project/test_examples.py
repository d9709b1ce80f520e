"""Every example runs: those in README.md and those in examples/."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import liqcore as lc

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))


@pytest.mark.parametrize("name", ["embed", "policy", "refused"])
def test_readme_example_runs_as_printed(name):
    code = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": _path()}, timeout=60)
    assert done.returncode == 0, done.stderr
    if name == "refused":
        assert done.stdout == (
            "TRADE refused, BAD_TIME: ts_recv = 1700000000000 looks like milliseconds; expected nanoseconds UTC: multiply by 1,000,000\n"
        )
    if name == "embed":
        assert "BUILDING LONG" in done.stdout and "ACTIVE LONG" in done.stdout


def _path() -> str:
    return os.pathsep.join([str(ROOT), str(ROOT / "pysrc"), os.environ.get("PYTHONPATH", "")])


def test_the_closed_loop_enters_is_filled_and_leaves_with_a_profit():
    import closed_loop

    net = closed_loop.main()
    assert 0.0 < net < 3.0


def test_asyncio_bot_trades_what_the_engine_says():
    """The bot's own JSON reading of a loopback venue finds cascades and wants post-only orders with a stop, on the right side."""
    from bot import Bot

    from liqshell.emulator.server import Config, serve

    async def run(speed):
        async with await serve(Config(seed=1, speed=speed, hours=3.0, symbols=("ETHUSDT", "SOLUSDT", "DOGEUSDT"))) as emulator:
            bot = Bot(["ETHUSDT", "SOLUSDT", "DOGEUSDT"], emulator.clock.now_ns)
            task = asyncio.create_task(bot.run(emulator.ws))
            for _ in range(int(3.0 * 3600 / speed / 0.05)):
                await asyncio.sleep(0.05)
                if bot.requests or task.done():
                    break
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return bot

    # on a busy machine what comes at ten minutes a second is too old to be traded: then slower
    bot = next(bot for speed in (600.0, 120.0, 30.0) if (bot := asyncio.run(run(speed))).requests or speed == 30.0)
    entry = bot.requests[0]
    active = [s for s in bot.signals if s.phase == lc.Phase.ACTIVE][0]
    assert entry.post_only and entry.stop is not None and entry.side == active.side
    assert (entry.price - entry.stop) * entry.side > 0


@pytest.mark.slow
def test_cython_bot_is_built_out_of_tree_and_answers_in_c(tmp_path):
    pytest.importorskip("Cython")
    for name in ("fast_bot.pyx", "setup.py"):
        (tmp_path / name).write_bytes((EXAMPLES / "bot_cython" / name).read_bytes())
    environment = os.environ | {"PYTHONPATH": _path()}
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=300
    )
    assert built.returncode == 0, built.stderr[-2000:]
    code = (
        "import liqcore as lc, fast_bot\n"
        "eth = lc.Instrument('ETHUSDT', tick_size='0.01', lot_size='0.01')\n"
        "engine = lc.Engine([eth], policy=fast_bot.FastFade(), risk=lc.Risk(data_age_max_s=1e6))\n"
        "ts = 10**18\n"
        "engine.on_trade(ts, ts, 0, 1, 2500.0, 1.0)\n"
        "print(fast_bot.feed(engine, ts + 1, 300))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": environment["PYTHONPATH"] + os.pathsep + str(tmp_path)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1


def test_ccxt_loop_sees_the_liquidations_of_a_loopback_venue():
    ccxt = pytest.importorskip("ccxt.pro", reason="ccxt is not installed (pip install ccxt)")
    import ccxt_loop

    from liqshell.emulator.server import Config, serve

    async def run(seconds, speed):
        async with await serve(Config(seed=1, speed=speed, hours=2.0)) as emulator:
            try:
                return await ccxt_loop.main(seconds, emulator.rest, emulator.ws)
            except ccxt.NetworkError:  # on a busy machine an answer takes longer than the client waits: a slower market leaves it room
                return 0

    assert any(asyncio.run(run(*how)) > 0 for how in ((4.0, 600.0), (30.0, 120.0), (90.0, 30.0)))


def test_a_rehearsed_bot_does_not_send_an_order_twice(monkeypatch):
    pytest.importorskip("pybit", reason="pybit is not installed (pip install pybit)")
    monkeypatch.setenv("PYTHONPATH", _path())
    import rehearse_pybit

    done = rehearse_pybit.main()
    assert done["there"] == [True, False, True] and done["held"] == 0.02
    assert done["story"] == ["first: nobody knows", "first: it is there", "second: nobody knows", "second: it is not there", "third: acknowledged"]


def test_nautilus_actor_hears_a_cascade():
    pytest.importorskip("nautilus_trader", reason="nautilus_trader is not installed (pip install nautilus_trader)")
    from nautilus_actor import CascadeActor, CascadeActorConfig, LiquidationEvent
    from nautilus_trader.backtest.engine import BacktestEngine
    from nautilus_trader.model.data import CustomData, DataType
    from nautilus_trader.model.identifiers import ClientId

    rng = np.random.default_rng(3)
    engine = BacktestEngine()
    actor = CascadeActor(CascadeActorConfig(symbols=("ETHUSDT",), warmup=50))
    engine.add_actor(actor)
    kind = DataType(LiquidationEvent)
    start = 1_700_000_000_000_000_000
    data = [
        CustomData(kind, LiquidationEvent("ETHUSDT", lc.LONG, 2500.0, float(q), start + n * lc.SECOND, start + n * lc.SECOND))
        for n, q in enumerate(rng.lognormal(0, 1, 500))
    ]
    engine.add_data(data, ClientId("LIQ"))
    engine.run()
    engine.dispose()
    assert any(s.phase == lc.Phase.ACTIVE for s in actor.signals)
