"""python -m benches run | report | check"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from benches import build, report, rivals, streams

GROUPS = ("kernels", "decode", "venues", "encode", "reaction", "start", "counts", "wire", "backtest", "sweeps", "growth")


def machine() -> dict:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")), cpu)
    compiler = subprocess.run([build.compiler(), "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": compiler,
    }


def versions() -> dict[str, str]:
    out = {}
    for package in ("cython", "picows", "uvloop"):
        out[package] = importlib.metadata.version(package)
    return dict(sorted({**out, **rivals.versions()}.items()))


def commit() -> str:
    """The checked-out commit; '+' where the tree differs from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        status = _git("status", "--porcelain", "--", "liqcore", "pysrc", "benches")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if status else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, cwd=build.ROOT).stdout.strip()


def run(groups: list[str], quick: bool, publish: bool) -> int:
    started = time.time()
    result = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "seed": streams.SEED,
        "quick": quick,
        "machine": {**machine(), "load_before": os.getloadavg()[0]},
        "versions": versions(),
        "cases": [],
    }
    for group in groups:
        before = time.time()
        result["cases"] += importlib.import_module(f"benches.{group}").run(quick)
        print(f"{group}: {time.time() - before:.1f} s", file=sys.stderr, flush=True)
    result["machine"]["load_after"] = os.getloadavg()[0]
    report.RESULTS.mkdir(exist_ok=True)
    if publish and groups != list(GROUPS):
        result = joined(report.load(report.PUBLISHED), result, groups)
    path = report.PUBLISHED if publish else report.RESULTS / f"{result['started'].replace(':', '')}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(report.terminal(result))
    print(f"{path} written after {time.time() - started:.0f} s")
    return 0


def joined(published: dict, fresh: dict, groups: list[str]) -> dict:
    """The published result with the cases of some groups measured anew. Each group keeps the stamp of its own run: ratios are taken inside a group only."""
    if published["machine"]["cpu"] != fresh["machine"]["cpu"]:
        raise SystemExit(f"benches: the published result is of {published['machine']['cpu']}, this is {fresh['machine']['cpu']}; publish all groups")
    ids = {case["id"] for case in fresh["cases"]}
    stamp = {
        "started": fresh["started"],
        "commit": fresh["commit"],
        "load_before": fresh["machine"]["load_before"],
        "load_after": fresh["machine"]["load_after"],
    }
    return published | {
        "cases": [case for case in published["cases"] if case["id"] not in ids] + fresh["cases"],
        "versions": published["versions"] | fresh["versions"],
        "later": published.get("later", {}) | dict.fromkeys(groups, stamp),
    }


def show(path: Path | None) -> int:
    """Print the figures of a result; the documentation page is made from the published one only."""
    path = path or (report.PUBLISHED if report.PUBLISHED.exists() else report.latest())
    result = report.load(path)
    print(report.terminal(result))
    if path.resolve() == report.PUBLISHED.resolve():
        report.PAGE.parent.mkdir(exist_ok=True)
        report.PAGE.write_text(report.page(result))
        print(f"{report.PAGE} written")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benches", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="measure ours and the rivals, interleaved; results as JSON")
    runs.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; all when none is named")
    runs.add_argument("--quick", action="store_true", help="a smoke run of less than a minute; its numbers are rough")
    runs.add_argument("--publish", action="store_true", help="write results/published.json, of which the documentation page is made")
    reports = commands.add_parser("report", help="each figure beside its floor; regenerates docs/benchmarks.md")
    reports.add_argument("result", nargs="?", type=Path, help="a result file; else the published one, else the newest")
    checks = commands.add_parser("check", help="instruction counts against budgets.json, by callgrind")
    checks.add_argument("--update", action="store_true", help="record what is measured as the new budgets of this compiler")
    options = parser.parse_args(arguments)
    if options.command == "report":
        return show(options.result)
    if options.command == "check":
        from benches import check

        return check.run(options.update)
    unknown = [g for g in options.groups if g not in GROUPS]
    if unknown:
        parser.error(f"no group called {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    if options.publish and options.quick:
        parser.error("--publish takes a full run, of all groups or of those that are to be replaced")
    return run(options.groups or list(GROUPS), options.quick, options.publish)


if __name__ == "__main__":
    sys.exit(main())
