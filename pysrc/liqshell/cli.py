"""The `liqcore` command. Each command is one file under commands/ and is imported only when it is called.

Exit status: 0 done, 1 done with a negative result, 2 wrong usage or input, 70 a fault of ours, 130 interrupted (ending.py).
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from keyword import iskeyword

from liqcore._version import __version__
from liqshell import ending
from liqshell.errors import ConfigError

# name -> what the overview says. The function liqshell/commands/NAME.py:NAME has the full text and the options (new_config for new-config;
# NAME_ where Python has taken the name). Where the file is absent, so is the command.
COMMANDS = {
    "demo": "The whole live path on a loopback market: no keys, no internet; ends with a report.",
    "detect": "Signals of recordings or event tables, as JSON lines.",
    "agree": "Which detectors see the same cascades: rates, agreement matrix, what a throttled feed costs them.",
    "features": "Features of recorded data at given times, each as it was known then.",
    "import": "Recordings and vendor files into a store, with a report of what is in it.",
    "data": "What a store has: coverage, gaps, refused rows. `data get` fetches a venue's archive.",
    "live": "Run a configuration: paper trading on a live feed.",
    "tape": "The liquidations of several venues as they come, without account.",
    "bet": "Bet on the hourly binary where the reversal of a run fires: on paper, or with --live.",
    "kill": "Stop trading now, with or without the live process.",
    "backtest": "Run a configuration on recorded data: one run, one report.",
    "sweep": "Every setting of a grid on recorded data: table, stability pictures; resumable.",
    "compare": "Presets side by side on the same data and events, each with its controls.",
    "forward": "Walk forward: choose parameters on one span, judge them on the next.",
    "record": "Record a venue's public feed.",
    "replay": "Run a recording again and prove that it decides the same.",
    "emulate": "A Bybit-compatible venue on loopback.",
    "new-config": "Write a commented configuration for a venue, contracts and a preset, and look at it with `doctor`.",
    "doctor": "Is it safe to start? Clock, key, contracts, fees, account, disk, limits.",
    "judge": "Ask the configured judge one question: request, answer, verdict, milliseconds, cost.",
    "gate": "Whether paper runs, and then live ones, are good enough to go on: measured against what was required.",
    "verify": "The grade \"verified\" for presets that earned their costs on your own recording.",
    "columns": "What the columns of a table mean: a map for `import`, and ten rows decoded by it.",
    "hourly": "Whether the hourly bet clears its hurdle: hit rate against all hours and the ask, Brier against the book.",
    "maps": "How good the estimated liquidation map is: its levels against later liquidations.",
    "presets": "The policies that ship, their numbers and how good their evidence is.",
    "show": "The story of a run, or of any minute of it, in sentences.",
    "serve": "Features over HTTP, point in time: from a store, or from runs while they are written.",
    "runs": "Every run, sweep and comparison under a folder: list, search, compare, delete.",
    "version": "Versions of liqcore and of what it runs on.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. `--debug` anywhere among the arguments shows tracebacks."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    plain = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:plain]
    arguments = [a for n, a in enumerate(arguments) if a != "--debug" or n > plain]
    if argv is None:
        ending.open_missing_streams()
        if not debug:
            ending.quiet_hooks(arguments)
    try:
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        ending.print_error("liqcore: interrupted")
        return ending.INTERRUPTED
    except SystemExit as why:
        if not isinstance(why.__context__, BrokenPipeError):      # else rich has met a reader that has gone
            raise
        return ending.DONE
    except Exception as why:
        gone = isinstance(why, BrokenPipeError) and ending.reader_gone()
        status = ending.DONE if gone else ending.end(why, arguments, debug)
        if isinstance(why, OSError):
            ending.abandon_stdout()              # the reader (head, less) has what it wanted, or a disk is full
        return status


def _run(arguments: list[str]) -> int:
    from cyclopts import App, CycloptsError      # 0.2 s: not for those who import this module

    app = App(name="liqcore", version=__version__, help_format="plaintext", result_action="return_value",
              help="Detect and trade crypto liquidation cascades. `liqcore COMMAND --help` shows a command's options; `--debug` with any of "
                   "them shows tracebacks.",
              suppress_keyboard_interrupt=False, exit_on_error=False, print_error=False)
    for name, help_text in COMMANDS.items():
        module = module_of(name)
        if find_spec(f"liqshell.commands.{module}") is not None:
            app.command(f"liqshell.commands.{module}:{module}", name=name, help=help_text)
    try:
        status = app(arguments)
    except CycloptsError as why:
        raise ConfigError("", " ".join(str(why).split())) from None
    return status if isinstance(status, int) else ending.DONE


def module_of(command: str) -> str:
    """The file and the function of a command."""
    return command.replace("-", "_") + "_" * iskeyword(command)


if __name__ == "__main__":
    sys.exit(main())
