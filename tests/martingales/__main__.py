"""python -m tests.martingales: see the package."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from martingales.campaign import campaign
from martingales.verdicts import as_json, problems, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.martingales", description="Is an edge claimed where there is none?")
    parser.add_argument("--markets", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", help="a file for every verdict")
    told = parser.parse_args()

    def tell(seed: int, seconds: float) -> None:
        print(f"market {seed}: {seconds:.0f} s", file=sys.stderr, flush=True)

    verdicts = campaign(range(told.first, told.first + told.markets), told.workers, tell=tell)
    if told.json:
        Path(told.json).write_text(json.dumps(as_json(verdicts)) + "\n")
    print(table(verdicts))
    wrong = problems(verdicts)
    print("\n".join(["", *wrong]) if wrong else "\nNo edge is claimed where there is none, and the planted one is found.")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
