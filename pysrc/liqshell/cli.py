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
    "demo": "Run the whole live path on a loopback market, without keys or internet, and write a report.",
    "detect": "Print the signals of recordings or event tables as JSON lines.",
    "agree": "Compare detectors: rates, agreement on the same cascades, loss on a throttled feed.",
    "features": "Compute features of recorded data at given times, from the data known at each time.",
    "import": "Import recordings and vendor files into a store, and report its content.",
    "data": "Show a store's coverage, gaps and refused rows. `data get` fetches a venue's archive.",
    "live": "Run a configuration on a live feed: on paper, or with real orders.",
    "tape": "Print the liquidations of several venues as they arrive, without an account.",
    "bet": "Buy the hourly binary when the `reversal` of a run signals: on paper, or with --live.",
    "kill": "Stop trading now, whether or not the live process responds.",
    "backtest": "Run a configuration on recorded data and write a report.",
    "sweep": "Run every setting of a grid on recorded data: table and stability maps; can be resumed.",
    "compare": "Compare presets on the same data and events, each with its controls.",
    "forward": "Walk forward: choose parameters on one span, test them on the next.",
    "record": "Record a venue's public feed.",
    "replay": "Run a recording again and check that every decision is the same.",
    "emulate": "Start a Bybit-compatible venue on loopback.",
    "new-config": "Write a commented configuration for a venue, contracts and a preset, and check it with `doctor`.",
    "doctor": "Check whether it is safe to start: clock, key, contracts, fees, account, disk, limits.",
    "judge": "Ask the configured judge one question: request, answer, verdict, milliseconds, cost.",
    "gate": "Check whether paper runs, and then live runs, meet the requirements for the next step.",
    "verify": 'Grade presets as "verified" that cover their costs on your own recording.',
    "columns": "Propose the meaning of a table's columns: a map for `import`, and ten rows decoded with it.",
    "hourly": "Test the hourly bet: hit rate against all hours and the ask, Brier score against the book.",
    "maps": "Test the estimated liquidation map: its levels against later liquidations.",
    "presets": "List the presets with their numbers and evidence grades.",
    "show": "Tell in sentences what happened in a run, or in any minute of it.",
    "serve": "Serve point-in-time features over HTTP, from a store or from runs in progress.",
    "runs": "List, search, compare and delete the runs, sweeps and comparisons of a folder.",
    "version": "Print the versions of liqcore and its dependencies.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. `--debug` anywhere among the arguments shows tracebacks, and `--adapter NAME=FILE.py:ADAPTER` names
    the adapter of a venue of the user's, whose recordings the command is to read."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    plain = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:plain]
    arguments = [a for n, a in enumerate(arguments) if a != "--debug" or n > plain]
    if argv is None:
        ending.open_missing_streams()
        if not debug:
            ending.quiet_hooks(arguments)
    try:
        status = _run(_with_adapters(arguments))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        ending.print_error("liqcore: interrupted")
        return ending.INTERRUPTED
    except BaseException as why:
        if isinstance(why, SystemExit) and ending.of_user(why) is None:
            if not isinstance(why.__context__, BrokenPipeError):  # else rich has met a reader that has gone
                raise
            return ending.DONE
        gone = isinstance(why, BrokenPipeError) and ending.reader_gone()
        status = ending.DONE if gone else ending.end(why, arguments, debug)
        if isinstance(why, OSError):
            ending.abandon_stdout()  # the reader (head, less) has what it wanted, or a disk is full
        return status


def _with_adapters(arguments: list[str]) -> list[str]:
    """Without `--adapter VALUE` and `--adapter=VALUE` in front of a `--`: these venues are known to the process from here on."""
    out, rest = list[str](), iter(arguments)
    for one in rest:
        if one == "--":
            return [*out, one, *rest]
        option, equals, value = one.partition("=")
        if option != "--adapter":
            out.append(one)
            continue
        from liqshell.recording.feeds import use_named  # NumPy: not for those who name none

        use_named(value if equals else next(rest, ""))
    return out


def _run(arguments: list[str]) -> int:
    from cyclopts import App, CycloptsError  # 0.2 s: not for those who import this module

    app = App(
        name="liqcore",
        version=__version__,
        help_format="plaintext",
        result_action="return_value",
        help="Detect and trade crypto liquidation cascades. `liqcore COMMAND --help` shows a command's options; `--debug` with any of "
        "them shows tracebacks. `--adapter NAME=FILE.py:ADAPTER` with any of them names your adapter of a venue, to read its recordings.",
        suppress_keyboard_interrupt=False,
        exit_on_error=False,
        print_error=False,
    )
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
