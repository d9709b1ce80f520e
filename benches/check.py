"""The gate: instructions per event by callgrind against budgets.json. Wall-clock on a shared machine cannot gate anything; these counts
repeat."""

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benches import build, counted

BUDGETS = Path(__file__).parent / "budgets.json"
TOLERANCE = 0.02
TIMEOUT_S = 300


def compiler_key() -> str:
    """Budgets hold for one compiler and machine kind: another gcc makes other code."""
    version = subprocess.run([build.compiler(), "-dumpversion"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{platform.machine()} gcc-{version.split('.')[0]}"


def counts() -> dict[str, float]:
    """Instructions per item of every loop, now."""
    build.probe()  # compiled here, not under valgrind
    build.probe("probe_detectors")
    build.probe("probe_venue")
    build.probe("excitation")
    with tempfile.TemporaryDirectory() as folder:
        # the hash seed decides how long dictionary chains are, so it is fixed; AVX-512 does not exist under valgrind, so its paths are not
        # counted
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out", sys.executable, "-m", "benches.counted"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=build.ROOT,
            env={**build.environment(), "PYTHONHASHSEED": "0"},
        )
        if done.returncode:
            raise RuntimeError(f"benches check: the program under callgrind failed:\n{done.stderr[-3000:]}")
        totals: dict[str, int] = {}
        for path in Path(folder).iterdir():
            text = path.read_text()
            trigger = re.search(r"^desc: Trigger: Client Request: (.+)$", text, re.M)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
            if trigger and total:
                totals[trigger.group(1).strip()] = int(total.group(1))
    out = {}
    for label in counted.loops():
        short, long = (totals[f"{label} {n}"] for n in (counted.SHORT, counted.LONG))
        out[label] = (long - short) / (counted.LONG - counted.SHORT)
    return out


def compare(measured: dict[str, float], budgets: dict[str, float]) -> list[tuple[str, float, float | None, str]]:
    """(label, measured, budget, verdict) for every loop and every budget; 'ok' within the tolerance."""
    rows = []
    for label in sorted(measured.keys() | budgets.keys()):
        now, budget = measured.get(label), budgets.get(label)
        if now is None:
            rows.append((label, float("nan"), budget, "MISSING: a budget without a loop"))
        elif budget is None:
            rows.append((label, now, None, "NO BUDGET: record it with `check --update`"))
        elif now > budget * (1 + TOLERANCE):
            rows.append((label, now, budget, "REGRESSION"))
        elif now < budget * (1 - TOLERANCE):
            rows.append((label, now, budget, "better: record it with `check --update`"))
        else:
            rows.append((label, now, budget, "ok"))
    return rows


def run(update: bool) -> int:
    """Print the table; 0 = within budget (or skipped, saying why), 1 = a regression or a loop without budget."""
    if not shutil.which("valgrind"):
        print("benches check: skipped, valgrind is not installed (apt-get install valgrind)")
        return 0
    if not build.probe().CAN_COUNT:
        print("benches check: skipped, the header valgrind/callgrind.h was not there when the probe was built")
        return 0
    held = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    key = compiler_key()
    measured = counts()
    if update:
        held[key] = {label: round(x, 2) for label, x in measured.items()}
        BUDGETS.write_text(json.dumps(held, indent=2, sort_keys=True) + "\n")
        print(f"benches check: budgets of {key} recorded in {BUDGETS.name}")
    if key not in held:
        print(f"benches check: skipped, no budgets for {key} (there are some for {', '.join(held) or 'nothing'}); `check --update` records them")
        for label, x in measured.items():
            print(f"  {label:20} {x:9.1f} instructions/event")
        return 0
    rows = compare(measured, held[key])
    print(f"instructions per event, {key}, tolerance {TOLERANCE:.0%}")
    print(f"  {'loop':18} {'measured':>9} {'budget':>9} {'change':>8}")
    for label, now, budget, verdict in rows:
        change = f"{now / budget - 1:+.1%}" if budget else ""
        print(f"  {label:18} {now:9.1f} {budget if budget is not None else float('nan'):9.1f} {change:>8}  {verdict}")
    return int(any(verdict.startswith(("REGRESSION", "NO BUDGET", "MISSING")) for *_, verdict in rows))
