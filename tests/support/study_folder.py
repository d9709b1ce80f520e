"""The folder that a backtest leaves, made small: real runs of the engine over seeded events, real controls, delays and a walk."""

import json
from pathlib import Path

import numpy as np

import liqcore as lc
import markets
from liqshell.backtest.history import by_stream
from liqshell.recording import streams
from liqshell.report import study

DAY_NS = 86_400 * lc.SECOND
SETTINGS = [{"take_profit": tp, "stop_loss": sl} for tp in (0.001, 0.0015, 0.0025) for sl in (0.0015, 0.0025, 0.004)]


class Chosen(markets.Fade):
    """The plain fade whose side a control may turn."""

    def __init__(self, turn=None, **options):
        super().__init__(**options)
        self.turn = turn

    def on_signal(self, signal, market):
        found = super().on_signal(signal, market)
        side = signal.side if self.turn is None or found is None else self.turn(signal.side)
        return found if found is None or side == signal.side else lc.Bracket(side, **self.bracket)


def events(seed: int, days: float, count: int, size: int) -> np.ndarray:
    """Seeded events stretched to a number of days from midnight UTC, with one hole of a tenth of the time told by the feed. Quotes are as wide as
    prices move between two events, so that trades do not contradict them."""
    e = markets.market(seed, count, size)
    quote = e["kind"] == lc.Kind.BBO
    e["aux_price"][quote] = np.round(e["price"][quote] * 1.0004, 2) + 0.01
    e["price"][quote] = np.round(e["price"][quote] * 0.9996, 2) - 0.01
    begin = markets.START // DAY_NS * DAY_NS
    stretch = days * DAY_NS / (e["ts_recv"][-1] - e["ts_recv"][0])
    lag = e["ts_recv"] - e["ts_event"]
    e["ts_recv"] = begin + ((e["ts_recv"] - e["ts_recv"][0]) * stretch).astype(np.int64)
    e["ts_event"] = e["ts_recv"] - lag
    hole = (e["ts_recv"] > begin + 0.4 * days * DAY_NS) & (e["ts_recv"] < begin + 0.5 * days * DAY_NS)
    marks = np.zeros(2, lc.EVENT_DTYPE)
    marks["kind"], marks["instrument"] = lc.Kind.FEED, markets.ALL_INSTRUMENTS
    marks["ts_recv"] = marks["ts_event"] = begin + int(0.4 * days * DAY_NS), begin + int(0.5 * days * DAY_NS)
    marks["code"] = lc.FeedState.FEED_DOWN, lc.FeedState.FEED_UP
    e = np.concatenate([e[~hole], marks])
    return e[np.argsort(e["ts_recv"], kind="stable")]


def traded(e: np.ndarray, size: int, turn=None, latency_s: float = 0.05, **options) -> np.ndarray:
    """The audit stream of one run."""
    paper = markets.paper(
        Chosen(turn, **{"entry_ttl_s": 900, "max_hold_s": 1800} | options),
        size=size,
        risk={"data_age_max_s": 3600.0},
        quote_age_s=3600.0,
        order_latency_s=latency_s,
        maker_fee=0.0002,
        taker_fee=0.00055,
    )
    if len(e):
        paper.run(e)
    return paper.engine.audit.drain()


def _measured(audit: np.ndarray, size: int) -> dict:
    return {"outcome": study.outcome_of(audit, [1.0] * size), "trades": study.trades_of(audit, [1.0] * size)}


def _walk(e: np.ndarray, size: int, start: int, end: int, folds: int) -> dict:
    out, step = [], (end - start) // (folds + 2)
    for k in range(folds):
        train, test = (start + k * step, start + (k + 2) * step), (start + (k + 2) * step, start + (k + 3) * step)
        seen, unseen = ([_measured(traded(e[(e["ts_recv"] >= a) & (e["ts_recv"] < b)], size, **s), size) for s in SETTINGS] for a, b in (train, test))
        nets = [m["outcome"]["net"] for m in seen]
        best = int(np.argmax(nets))
        later = [m["outcome"]["net"] for m in unseen]
        out.append(
            {
                "train": train,
                "test": test,
                "settings": len(SETTINGS),
                "chosen": SETTINGS[best],
                "train_value": nets[best],
                "test_value": later[best],
                "train_outcome": seen[best]["outcome"],
                "test_outcome": unseen[best]["outcome"],
                "test_trades": unseen[best]["trades"],
                "test_rank": float(np.mean(np.array(later) < later[best])),
            }
        )
    return {"objective": "net", "scheme": "rolling", "embargo_s": 0.0, "folds": out}


def manifest(instruments: list[dict], start: int, end: int, seed: int) -> dict:
    """What run.json says."""
    venue = {
        "fills": "through",
        "taker": "next",
        "maker_fee": 0.0002,
        "taker_fee": 0.00055,
        "order_latency_s": 0.05,
        "ack_latency_s": 0.05,
        "funding_interval_s": 0,
        "leverage": 0.0,
    }
    return {
        "version": lc.__version__,
        "abi": lc.abi_version(),
        "mode": "backtest",
        "synthetic": True,
        "speed": 1.0,
        "venue": "bybit",
        "name": "fade on seeded events",
        "preset": "fade",
        "evidence": "contradicted: the published results do not survive checking",
        "instruments": instruments,
        "started_ns": start,
        "ended_ns": end,
        "seed": seed,
        "config_hash": "0f" * 32,
        "data_hash": "ab" * 32,
        "settings": {"paper": venue, "equity": 10_000.0, "cascade": {"warmup": 10, "quantile": 0.6, "window_events": 50}},
        "equity": 10_000.0,
    }


def parts_of(e: np.ndarray, size: int, instruments: list[dict], start: int, end: int, days: float) -> list[dict]:
    """What the study says of the data of each contract."""
    tape = lc.Tape.of(markets.instruments(size), e)
    held = streams.of_tape(tape, start, end, quote_age_ns=3600 * lc.SECOND)
    return [
        {
            **by_stream(i["symbol"], held[n]),
            "symbol": i["symbol"],
            "source": "seeded events",
            "completeness": ("FULL", "CENSORED", "FULL")[n],
            "covered_hours": 24 * days * 0.9,
            "trades": int(((e["instrument"] == n) & (e["kind"] == lc.Kind.TRADE)).sum()),
            "quotes": len(tape.quotes(n)["ts"]),
            "liquidations": int(((e["instrument"] == n) & (e["kind"] == lc.Kind.LIQUIDATION)).sum()),
            "gaps": [[start + round(0.4 * days * DAY_NS), start + round(0.5 * days * DAY_NS)]],
            "receipt": ("recorded", "modelled", "recorded")[n],
            "receipt_model": ("", "venue's time + 250 ms", "")[n],
            "refused": {"BAD_TIME": 2},
        }
        for n, i in enumerate(instruments)
    ]


def make_backtest(
    folder: Path,
    *,
    days: float = 12.0,
    count: int = 60_000,
    size: int = 3,
    seed: int = 3,
    draws: int = 15,
    folds: int = 3,
    with_study: bool = True,
    **options,
) -> Path:
    """run.json, audit.bin, study.json and trials.npy."""
    folder.mkdir(parents=True)
    e = events(seed, days, count, size)
    start = int(markets.START // DAY_NS * DAY_NS)
    end = start + round(days * DAY_NS)
    audit = traded(e, size, **options)
    (folder / "audit.bin").write_bytes(audit.tobytes())
    instruments = [{**i.as_dict(), "completeness": 1} for i in markets.instruments(size)]
    (folder / "run.json").write_text(json.dumps(manifest(instruments, start, end, seed)))
    if not with_study:
        return folder
    rng = np.random.default_rng(seed)
    matrix = np.zeros((round(days), len(SETTINGS)))
    for k, s in enumerate(SETTINGS):
        found = study.trades_of(traded(e, size, **s), [1.0] * size)
        np.add.at(matrix[:, k], (np.array(found["closed_ns"]) - start) // DAY_NS, found["net"])
    np.save(folder / "trials.npy", matrix)
    controls = [
        {
            "kind": "random_side",
            "seed": seed,
            "draws": [_measured(traded(e, size, lambda side: int(rng.choice([-1, 1])), **options), size)["outcome"] for _ in range(draws)],
        },
        {"kind": "inverted_side", "seed": None, "draws": [_measured(traded(e, size, lambda side: -side, **options), size)["outcome"]]},
    ]
    out = {
        "version": study.VERSION,
        "delays": [{"delay_s": d, **_measured(traded(e, size, latency_s=d, **options), size)} for d in (0.05, 0.25, 1.0, 5.0, 15.0, 60.0)],
        "controls": controls,
        "forward": _walk(e, size, start, end, folds),
        "trials": {"n": len(SETTINGS), "source": "sweep of this folder", "matrix": "trials.npy"},
        "data": {"fingerprint": "ab" * 32, "store": "store", "parts": parts_of(e, size, instruments, start, end, days)},
        "half_spread": [
            {
                "symbol": i["symbol"],
                "source": "quotes",
                "share": None,
                "bps": 4.1,
                "n": 100,
                "told": "half of the mean spread of the last 16 quotes at that moment",
                "warning": "",
            }
            for i in instruments
        ],
        "timing_s": {"load": 0.4, "run": 1.25, "controls": 8.0},
        "problems": ["random_time was left out: the test does not make it"],
    }
    (folder / "study.json").write_text(json.dumps(out))
    return folder
