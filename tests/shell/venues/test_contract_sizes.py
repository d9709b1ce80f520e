"""OKX counts in contracts: whatever reads raw frames of it in dollars needs the contract's size, or says that it has none."""

import json

import pytest

from liqshell.cli import main
from liqshell.research.maps.load import load

NAME, T0 = "BTC-USDT-SWAP", 1_791_565_600_000
COUNT = 130
META = {"instruments": [{"venue": "okx", "symbol": NAME, "tick_size": "0.1", "lot_size": "0.01", "multiplier": 0.01}]}


def line(ts, stream, frame, exchange="okx"):
    return json.dumps({"ts": ts, "exchange": exchange, "source": "ws", "stream": stream, "symbol": NAME, "result": frame}) + "\n"


@pytest.fixture
def raw(tmp_path):
    """One liquidation of 10 contracts at 50,000 a second: 5,000 dollars each."""
    path = tmp_path / "okx.jsonl"
    path.write_text(
        "".join(
            line(
                T0 + 1000 * k + 5,
                "liquidation-orders",
                {
                    "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
                    "data": [
                        {
                            "details": [
                                {"bkLoss": "0", "bkPx": "50000", "ccy": "", "posSide": "long", "side": "sell", "sz": "10", "ts": str(T0 + 1000 * k)}
                            ],
                            "instFamily": "BTC-USDT",
                            "instId": NAME,
                            "instType": "SWAP",
                            "uly": "BTC-USDT",
                        }
                    ],
                },
            )
            for k in range(COUNT)
        )
    )
    return path


@pytest.fixture
def sizes(tmp_path):
    path = tmp_path / "sizes.toml"
    path.write_text(f'["okx:{NAME}"]\ntick_size = "0.1"\nlot_size = "0.01"\nmultiplier = 0.01\n')
    return path


def said(capsys, *arguments):
    status = main([str(part) for part in arguments])
    told = capsys.readouterr()
    assert status in (0, None), told.err
    return told


def test_detect_takes_the_size_of_a_file_or_of_the_run_and_says_where_it_has_none(raw, sizes, capsys):
    told = said(capsys, "detect", raw)
    assert json.loads(told.out.splitlines()[-1])["threshold"] == 500_000.0 and "contracts x price, not dollars" in told.err and NAME in told.err
    told = said(capsys, "detect", raw, "--instruments", sizes)
    assert json.loads(told.out.splitlines()[-1])["threshold"] == 5_000.0 and "contracts" not in told.err
    raw.write_text(line(T0, "liqcore.meta", META, "liqcore") + raw.read_text())
    told = said(capsys, "detect", raw)
    assert json.loads(told.out.splitlines()[-1])["threshold"] == 5_000.0 and "contracts" not in told.err


def test_features_take_the_size_of_a_file(raw, sizes, capsys):
    told = said(capsys, "features", raw, "-f", "liquidations.liq_volume@1m", "--every", "1m", "--instruments", sizes)
    assert float(told.out.splitlines()[-1].rpartition(",")[2]) == 60 * 5_000.0 and "OKX counts in contracts" not in told.err
    assert "OKX counts in contracts" in said(capsys, "features", raw, "-f", "liquidations.liq_volume@1m", "--every", "1m").err


def test_maps_read_raw_frames_with_their_size_and_the_class_of_their_feed(raw, sizes):
    """It had all recordings of a foreign venue for FULL feeds, and a contract for a coin."""
    (market,) = load(raw, (NAME,), instruments=sizes)
    assert (market.name, market.multiplier, market.completeness, market.synthetic, len(market.events)) == (NAME, 0.01, "UNKNOWN", False, COUNT)


@pytest.mark.parametrize(
    "line", ["features {0} -f liquidations.liq_volume@1m --every 1m --out {1}", "agree {0} -d rate --csv {1}", "maps {0} --json {1}"]
)
def test_a_file_that_cannot_be_written_is_named_before_the_work(line, tmp_path, raw, capsys):
    for where, says in ((tmp_path / "nowhere" / "x.csv", "no such folder"), (tmp_path, "")):
        assert main(line.format(raw, where).split()) == 2
        told = capsys.readouterr().err
        assert str(where) in told and says in told and "Traceback" not in told
