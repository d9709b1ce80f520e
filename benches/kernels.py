"""Rolling quantile and z-score: one Python call a value, whole arrays, and inside C. Figures, row 1-6."""

import numpy as np

from benches import ours, rivals, streams
from benches.build import probe
from benches.timing import Case, Contestant, measure, per_item

Q = 0.95
BATCH = 1_000_000


def run(quick: bool) -> list[dict]:
    repeats, target_ms = (3, 1.0) if quick else (40, 3.0)
    n = BATCH // 20 if quick else BATCH
    cases = [quantile_push(100), quantile_push(1000), zscore_push(288)]
    out = [measure(case, repeats, target_ms) for case in cases]
    for window in (100, 1000) if quick else (100, 1000, 10_000, 100_000):
        out.append(measure(quantile_batch(window, n), 2 if quick else 5, target_ms))
    out.append(measure(zscore_batch(288, n), 2 if quick else 7, target_ms))
    out.append(zscore_error(288))
    out += [measure(case, repeats, target_ms) for case in inside_c()]
    out.append(decisions(1000, n))
    return out


def contenders(role: str, *arguments) -> tuple[list[tuple[str, object, str]], dict[str, str]]:
    """(name, what the role's factory returned, note) for ours and all rivals."""
    present, absent = rivals.roles(role)
    mine = [("ours", getattr(ours, role)(*arguments), ours.NOTES.get(role, ""))]
    return mine + [(name, getattr(m, role)(*arguments), rivals.note(m, role)) for name, m in present.items()], absent


def quantile_push(window: int) -> Case:
    """Every contestant is shown the same values first and must then agree with NumPy: the order statistics around the quantile bound the
    answer."""
    values = streams.notional(1 << 16).tolist()
    entries, absent = contenders("quantile_push", window, Q)
    for name, push, _ in entries:
        for x in values[: window + 50]:
            got = push(x)
        check_quantile(name, got, np.sort(values[50 : window + 50]))
    entries.append(("empty call", lambda x: None, "floor of the harness"))
    title = f"Streaming P95 of the last {window}: one Python call a value, quantile wanted after every push"
    return Case(
        f"quantile.push.{window}", title, "push", [Contestant(name, per_item(push, values), note=note) for name, push, note in entries], absent
    )


def check_quantile(name: str, got: float, ordered: np.ndarray) -> None:
    k = int((len(ordered) - 1) * Q)
    if not ordered[k] * (1 - 1e-9) <= got <= ordered[k + 1] * (1 + 1e-9):
        raise AssertionError(f"{name}: quantile {got!r} lies outside the order statistics {ordered[k]!r} .. {ordered[k + 1]!r}")


def quantile_batch(window: int, n: int) -> Case:
    x = streams.notional(n)
    entries, absent = contenders("quantile_batch", window, Q)
    contestants = []
    for name, batch, note in entries:
        if name == "numpy_deque" and window > 100:
            absent = {**absent, name: f"sliding_window_view + quantile takes minutes at {window}"}
            continue
        small = batch(x[: window + 500])
        if name != "bottleneck":  # has the median only
            check_quantile(name, float(small[-1]), np.sort(x[500 : window + 500]))
        contestants.append(Contestant(name, lambda _, batch=batch: lambda: batch(x), items=n, note=note))
    contestants.append(Contestant("ours_approximate", lambda _: lambda: ours.quantile_approximate(x, window, Q), items=n, note="within 0.4 %"))
    return Case(f"quantile.batch.{window}", f"Batch P95 of the last {window} over {n:,} values", "value", contestants, absent)


def zscore_push(window: int) -> Case:
    values = streams.notional(1 << 16).tolist()
    entries, absent = contenders("zscore_push", window)
    held = np.array(values[50 : window + 50])
    for name, push, _ in entries:
        for x in values[: window + 50]:
            got = push(x)
        if abs(got - (held[-1] - held.mean()) / held.std()) > 2e-3 * max(1.0, abs(got)):
            raise AssertionError(f"{name}: z {got!r}, expected about {(held[-1] - held.mean()) / held.std()!r}")
    return Case(
        f"zscore.push.{window}",
        f"Streaming z-score against the last {window} values, one Python call a value",
        "push",
        [Contestant(name, per_item(push, values), note=note) for name, push, note in entries],
        absent,
    )


def zscore_batch(window: int, n: int) -> Case:
    x = streams.notional(n)
    entries, absent = contenders("zscore_batch", window)
    return Case(
        f"zscore.batch.{window}",
        f"Batch rolling mean and std over {window}, {n:,} values",
        "value",
        [Contestant(name, lambda _, batch=batch: lambda: batch(x), items=n, note=note) for name, batch, note in entries],
        absent,
    )


def zscore_error(window: int) -> dict:
    """Relative error of the std after one 1e9 print has come and gone, against a two-pass computation in extended precision."""
    x = np.random.default_rng(streams.SEED).lognormal(0.0, 1.0, 20_000)
    x[5_000] = 1e9
    entries, absent = contenders("zscore_batch", window)
    out = {}
    for name, batch, note in entries:
        std = np.asarray(batch(x)[1], dtype=np.float64)
        if len(std) != len(x):
            raise AssertionError(f"{name}: {len(std)} results for {len(x)} values")
        errors = []
        for i in range(5_000 + window, len(x), 61):
            w = x[i - window + 1 : i + 1].astype(np.longdouble)
            true = np.sqrt(((w - w.mean()) ** 2).mean())
            true_sample = true * np.sqrt(np.longdouble(window) / (window - 1)) if "sample" in note else true
            error = abs(np.longdouble(std[i]) / true_sample - 1)
            errors.append(float(error) if np.isfinite(std[i]) else float("inf"))
        out[name] = {"min": max(errors), "median": max(errors), "max": max(errors), "samples": len(errors), "items": len(x), "note": note}
    title = "Relative error of the rolling std after a 1e9 spike has left the window (worst of the sampled windows)"
    return {"id": "zscore.error", "title": title, "unit": "relative error", "skipped": absent, "contestants": out}


def inside_c() -> list[Case]:
    """No Python in the loop: what a kernel costs to those who cimport it."""
    p = probe()
    cases = []
    for window in (100, 1000, 10_000):
        streams_here = ("calm", "bursts", "drift", "monotone") if window == 1000 else ("calm",)
        contestants = []
        for kind in streams_here:
            loop = p.QuantileLoop(streams.stress(kind, 1 << 17), Q, window)
            contestants.append(Contestant(kind, lambda n, loop=loop: lambda: loop.decide(n)))
        cases.append(Case(f"quantile.decide.{window}", f"Exact 'x >= P95 of the last {window}?' and push, inside C", "event", contestants))
        loop = p.QuantileLoop(streams.stress("calm", 1 << 17), Q, window)
        title = f"Push and exact value of P95 of the last {window} after every push, inside C"
        cases.append(Case(f"quantile.exact.{window}", title, "push", [Contestant("calm", lambda n, loop=loop: lambda: loop.push(n))]))
    many = p.ManyQuantiles(streams.notional(1 << 17), streams.zipf_symbols(1 << 17, 500), 500, Q, 1000)
    title = f"500 symbols, Zipf: decision and push, window 1000, {many.bytes_fixed} B + {many.bytes_event} B/event a symbol"
    cases.append(Case("quantile.symbols.500", title, "event", [Contestant("ours", lambda n: lambda: many.decide(n))]))
    return cases


def decisions(window: int, n: int) -> dict:
    """How many of the exact decisions differ from a sort of the window: none may."""
    wrong = {}
    for kind in ("calm", "bursts", "drift", "monotone", "ties", "spikes"):
        x = streams.stress(kind, n)
        got = probe().QuantileLoop(x, Q, window).decisions(n)
        want = ours.decisions_by_sorting(x, Q, window, n)
        wrong[kind] = int((got != want).sum())
    title = f"Exact decisions that differ from a sort, of {n:,} on each stream (window {window})"
    return {
        "id": "quantile.wrong",
        "title": title,
        "unit": "wrong",
        "skipped": {},
        "contestants": {k: {"min": v, "median": v, "max": v, "samples": 1, "items": n, "note": ""} for k, v in wrong.items()},
    }
