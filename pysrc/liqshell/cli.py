"""The `liqcore` command. Each command is one file under commands/ and is imported only when it is called.

Exit status: 0 done, 1 done with a negative result, 2 wrong usage or input, 70 a fault of ours, 130 interrupted.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from keyword import iskeyword

from liqcore._version import __version__
from liqshell.errors import LiqshellError

# name -> what the overview says. The function liqshell/commands/NAME.py:NAME has the full text and the options (NAME_ where Python has taken the
# name). Where the file is absent, so is the command.
COMMANDS = {
    "demo": "The whole live path on a loopback market: no keys, no internet; ends with a report.",
    "detect": "Signals of recordings or event tables, as JSON lines.",
    "agree": "Which detectors see the same cascades: rates, agreement matrix, what a throttled feed costs them.",
    "features": "Features of recorded data at given times, each as it was known then.",
    "import": "Recordings and vendor files into a store, with a report of what is in it.",
    "data": "What a store has: coverage, gaps, refused rows.",
    "live": "Run a configuration: paper trading on a live feed.",
    "kill": "Stop trading now, with or without the live process.",
    "backtest": "Run a configuration on recorded data: one run, one report.",
    "sweep": "Every setting of a grid on recorded data: table, stability pictures; resumable.",
    "compare": "Presets side by side on the same data and events, each with its controls.",
    "forward": "Walk forward: choose parameters on one span, judge them on the next.",
    "record": "Record a venue's public feed.",
    "replay": "Run a recording again and prove that it decides the same.",
    "emulate": "A Bybit-compatible venue on loopback.",
    "doctor": "Is it safe to start? Clock, key, contracts, fees, account, disk, limits.",
    "gate": "Whether paper runs, and then live ones, are good enough to go on: measured against what was required.",
    "maps": "How good the estimated liquidation map is: its levels against later liquidations.",
    "presets": "The policies that ship, their numbers and how good their evidence is.",
    "version": "Versions of liqcore and of what it runs on.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    from cyclopts import App, CycloptsError      # 0.2 s: not for those who import this module

    app = App(name="liqcore", version=__version__, help_format="plaintext", result_action="return_value",
              help="Detect and trade crypto liquidation cascades. `liqcore COMMAND --help` shows a command's options.",
              suppress_keyboard_interrupt=False, exit_on_error=False, print_error=True)
    for name, help_text in COMMANDS.items():
        module = module_of(name)
        if find_spec(f"liqshell.commands.{module}") is not None:
            app.command(f"liqshell.commands.{module}:{module}", name=name, help=help_text)
    try:
        status = app(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except CycloptsError:
        return 2                                 # the message has been printed
    except LiqshellError as why:
        _say(f"liqcore: {why}")
        return why.exit_code
    except BrokenPipeError:
        # the reader (head, less) has what it wanted; the interpreter must not complain again when it flushes at exit
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _say("liqcore: interrupted")
        return 130
    return status if isinstance(status, int) else 0


def module_of(command: str) -> str:
    """The file and the function of a command."""
    return command + "_" * iskeyword(command)


def _say(text: str) -> None:
    from liqshell.log import redact

    with contextlib.suppress(BrokenPipeError):
        print(redact(text), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
