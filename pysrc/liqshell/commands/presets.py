"""`liqcore presets`."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from liqshell.config.load import Preset
from liqshell.config.load import presets as load_presets
from liqshell.config.sections import LimitsConfig
from liqshell.errors import ConfigError
from liqshell.fields import plain, set_values
from liqshell.fitted import width
from liqshell.grades import describe, verified

WIDTH = 100
TITLE_PART = 4  # letters of a title at least, so that a wrong name is not taken for one


def presets(*names: str, runs: Path = Path("runs"), as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """List the presets: the source of each, its exact numbers and its evidence grade.

    claimed: by its author. contradicted: by checks. verified, for single contracts: by `liqcore verify` on your own recording.

    Parameters
    ----------
    names
        Presets to show, or the title of a documented system or a part of it ("liquidation hunting"); default: all.
    runs
        The folder of runs ([run] out) with the verifications.
    as_json
        One JSON object a preset, fractions as numbers.
    """
    known = load_presets()
    found = list(dict.fromkeys(one for name in names for one in named(name, known)))
    held = list(verified(runs).values())
    for name in found or known:
        own = [row for row in held if row["preset"] == name]
        if as_json:
            print(json.dumps(_plain(known[name]) | {"verified": own}))
        else:
            _print(known[name], own)
    return 0


def named(name: str, known: Mapping[str, Preset]) -> list[str]:
    """The presets that a name means: its own, or those of the systems whose title has it as a part."""
    if name in known:
        return [name]
    found = [one for one, preset in known.items() if len(name) >= TITLE_PART and name.casefold() in preset.title.casefold()]
    if not found:
        raise ConfigError(
            "presets",
            f"no preset is called {name!r}",
            f"one of {', '.join(known)}; or the title of a system: " + ", ".join(dict.fromkeys(preset.title for preset in known.values())),
        )
    return found


def _sections(preset: Preset) -> dict[str, dict[str, object]]:
    """All numbers of a preset, by the section of a configuration that can change them."""
    out = {"detector": set_values(preset.detector)}
    out |= {f"detectors.{name}": plain(sentence) for name, sentence in preset.detectors.items()}
    out |= {"policy": set_values(preset.policy), "policy.parameters": plain(preset.policy.parameters or {})}
    return out | {"limits": {name: value for name, value in set_values(preset.limits).items() if value != set_values(LimitsConfig())[name]}}


def _plain(preset: Preset) -> dict[str, object]:
    return {
        "name": preset.name,
        "title": preset.title,
        "page": preset.page,
        "grade": preset.grade,
        "rule": preset.rule,
        "source": preset.source,
        "summary": preset.summary,
        "evidence": preset.evidence.strip(),
        **_sections(preset),
    }


def _literal(value: object) -> str:
    """A number or word as TOML would have it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:.15g}" if isinstance(value, float) else str(value)


def _print(preset: Preset, held: list[dict[str, Any]]) -> None:
    print(f"{preset.name}  [{preset.grade.upper()}]  {preset.title} ({preset.source}): {preset.page}")
    print(textwrap.fill(preset.summary, width(WIDTH), initial_indent="  ", subsequent_indent="  "))
    for title, values in _sections(preset).items():
        if values:
            text = ", ".join(f"{name} {_literal(value)}" for name, value in values.items())
            print(textwrap.fill(text, width(WIDTH), initial_indent=f"  {title}: ", subsequent_indent="    "))
    print(textwrap.fill(preset.evidence.strip(), width(WIDTH), initial_indent="  evidence: ", subsequent_indent="    "))
    for row in held:
        sentence = f"{row['symbol']} at {row['venue'] or 'an unnamed venue'}, with the numbers of that run: {describe(row)}"
        print(textwrap.fill(sentence, width(WIDTH), initial_indent="  VERIFIED ", subsequent_indent="    "))
    print()
