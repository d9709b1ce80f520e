"""`liqcore judge try`."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from liqshell.errors import ConfigError

judge = App(name="judge", help="Ask the configured judge one question: request, answer, verdict, milliseconds, cost.")


@judge.command(name="try")
def try_(
    config: Path,
    /,
    *,
    contract: str = "bybit:BTCUSDT",
    asset: str = "",
    direction: Literal["LONG", "SHORT"] = "SHORT",
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Ask one question: prints the request, the answer, the verdict, the time and the cost. There is no trade. Exit status 1 without a valid
    answer.

    Parameters
    ----------
    config
        TOML file with [judge] and optionally [news].
    contract
        Venue and symbol of the question.
    asset
        Its coin; default: the symbol without USDT.
    direction
        Side of the entry in question.
    set_
        section.key=value, instead of the value in the file. May be given several times.
    json_
        One JSON object.
    """
    from liqshell.clock import Clock
    from liqshell.config.load import load
    from liqshell.judge.trial import fixed_question, try_judge

    loaded = load(config, set_ or [])
    if loaded.judge.kind in (None, "none", "recorded"):
        raise ConfigError(f"{config}: judge.kind", f"found {loaded.judge.kind or 'no [judge]'}", "openai, anthropic, rules or command")
    coin = asset or contract.rpartition(":")[2].removesuffix("USDT")
    trial = asyncio.run(try_judge(loaded.judge, loaded.news, fixed_question(Clock().now_ns(), contract, coin, direction)))
    answer = trial.answer
    if json_:
        print(json.dumps(dataclasses.asdict(answer) | {"ms": trial.ms, "strict": trial.strict}, ensure_ascii=False))
    else:
        print("request", json.dumps(answer.request, ensure_ascii=False, indent=1), sep="\n")
        print("answer", json.dumps(answer.response, ensure_ascii=False, indent=1), sep="\n")
        verdict = f"{answer.action}, confidence {answer.confidence}, news {answer.news_grade}" if answer.action else "no entry"
        print(
            f"verdict: {verdict} ({answer.status}); {trial.ms:.0f} ms, {answer.cost:.6f} US dollars, "
            f"{answer.usage.get('input', 0)} tokens in, {answer.usage.get('output', 0)} out, {len(answer.news)} items of news"
        )
    return 0 if answer.status == "ok" else 1
