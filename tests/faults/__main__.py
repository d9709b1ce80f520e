"""python -m tests.faults: see the package."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import script as scripts
from .campaign import campaign, commit
from .selfcheck import of_scripts, reached
from .shrink import shrink
from .world import run


def _script(arguments: argparse.Namespace) -> scripts.Script:
    if arguments.script:
        text = sys.stdin.read() if arguments.script == "-" else Path(arguments.script).read_text()
        return scripts.Script.of_json(text)
    return scripts.draw(arguments.seed, arguments.hours)


def _run(arguments: argparse.Namespace) -> int:
    first, _, last = arguments.seeds.partition(":")
    seeds = range(int(first), int(last) if last else int(first) + 1)
    summary = campaign(
        seeds,
        arguments.hours,
        workers=arguments.workers,
        seconds_max=arguments.seconds,
        violations_max=arguments.violations,
        progress=True,
        only=tuple(filter(None, arguments.only.split(","))),
    )
    text = summary.to_json()
    if arguments.json:
        Path(arguments.json).write_text(text + "\n")
    else:
        print(text)
    blind = [] if arguments.only else summary.blind() + (of_scripts() if summary.second else [])
    if summary.second:
        print("\n".join(reached(summary)), file=sys.stderr)
    for problem in blind:
        print(f"the campaign did not look: {problem}", file=sys.stderr)
    return 1 if summary.violations or blind else 0


def _reproduce(arguments: argparse.Namespace) -> int:
    outcome = run(_script(arguments), keep=max(arguments.lines, 50), lines=arguments.lines)
    print("\n".join(outcome.tail))
    print(
        f"seed={outcome.seed} commit={commit()} digest={outcome.digest} hours={outcome.hours:.3f} cpu={outcome.cpu_s:.2f}s "
        f"violation={outcome.violation}"
    )
    return 1 if outcome.violation else 0


def _shrink(arguments: argparse.Namespace) -> int:
    script = _script(arguments)
    first = run(script)
    if first.violation is None:
        print(f"seed={script.seed} commit={commit()}: nothing is broken")
        return 0
    law = first.violation.law

    def fails(candidate: scripts.Script) -> float | None:
        found = run(candidate).violation
        return found.at_s if found is not None and found.law == law else None

    small, tries = shrink(script, fails, arguments.tries)
    path = Path(arguments.out or f"shrunk-{script.seed}.json")
    path.write_text(small.to_json() + "\n")
    outcome = run(small)
    print("\n".join(outcome.tail))
    print(
        f"{len(script.faults)} faults and {len(script.kills)} kills -> {len(small.faults)} and {len(small.kills)}, "
        f"{script.hours:g} h -> {small.hours:g} h, "
        f"in {tries} runs: {outcome.violation}"
    )
    for event in [*small.faults, *small.kills]:
        print("  ", event)
    print(f"python -m tests.faults reproduce {script.seed} --script {path}")
    return 1


def _mutants(arguments: argparse.Namespace) -> int:
    from .mutants import judge

    return judge(arguments.names, arguments.seconds)


def _generator(arguments: argparse.Namespace) -> int:
    from .generator import judge

    return judge(arguments.names)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Deterministic fault simulation.")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run", help="a campaign")
    one.add_argument("--seeds", default="0:100", help="first:last (last not included), or one")
    one.add_argument("--hours", type=float, default=10.0, help="simulated hours of each seed")
    one.add_argument("--workers", type=int, default=1)
    one.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    one.add_argument("--violations", type=int, default=20, help="stop after so many")
    one.add_argument("--only", default="", help="kinds of faults, such as queries,names_lost,kill (then nothing is said about what was not reached)")
    one.add_argument("--json", default="", help="write the summary to this file")
    one.set_defaults(do=_run)
    for name, do in (("reproduce", _reproduce), ("shrink", _shrink)):
        one = commands.add_parser(name)
        one.add_argument("seed", type=int)
        one.add_argument("--hours", type=float, default=10.0, help="as in the campaign: another length is another run")
        one.add_argument("--script", default="", help="a script instead of the seed's own ('-' = standard input)")
        one.add_argument("--lines", type=int, default=50, help="of the trace")
        one.add_argument("--tries", type=int, default=200)
        one.add_argument("--out", default="")
        one.set_defaults(do=do)
    one = commands.add_parser("mutants", help="plant classic bugs one by one; each must be found")
    one.add_argument("names", nargs="*")
    one.add_argument("--seconds", type=float, default=60.0, help="for each")
    one.set_defaults(do=_mutants)
    one = commands.add_parser("generator", help="plant bugs of the campaign itself; its own check must find each")
    one.add_argument("names", nargs="*")
    one.set_defaults(do=_generator)
    arguments = parser.parse_args()
    return int(arguments.do(arguments))


if __name__ == "__main__":
    sys.exit(main())
