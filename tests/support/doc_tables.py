"""The tables of docs/ that are made from the program. `python tests/support/doc_tables.py` writes them; test_docs.py compares."""

import dataclasses
import re
import sys
from pathlib import Path

import liqcore as lc
from liqcore import audit as audit_fields
from liqcore.event import FillFlag, OrderType, PoolFlag, RequestFlag, SignalFlag, Statement, Stream
from liqshell.config import load as config
from liqshell.config import study_sections as study
from liqshell.fields import SCALE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FRACTIONS = "a fraction"
ALARMS = {
    "ALARM_UNPROTECTED": "no stop confirmed within 1 s of a fill, or the stop was rejected: the position is closed at market",
    "ALARM_UNKNOWN": "a request without an answer for 5 s: its outcome is unknown, it counts as exposure",
    "ALARM_STUCK": "an exit could not be placed in 5 attempts; the market close is repeated with growing pauses",
    "ALARM_OVERFILL": "more was sold than bought: the venue's position is not ours",
    "ALARM_FOREIGN": "a report for an order that is not ours",
    "ALARM_SIDE": "liquidation prices lie on the wrong side of the mark, or of the fill: the sides may be inverted",
    "ALARM_EXECUTIONS": "more executions of one bracket than can be remembered",
    "ALARM_LATE": "a fill of a bracket that had ended: the position that it opened is closed",
    "ALARM_POLICY": "a policy or a detector of yours raised: entries are halted",
    "ALARM_LIQUIDATED": "the venue closes, or has closed, the position by force; the rest is closed at market",
    "ALARM_OUTSIDE": "another party reduced the position: a person, another program, or the venue's deleveraging; the trade is ended",
    "ALARM_WAITING": "a policy postpones a signal without end, or more postponed signals and intents wait than there is room for: the newest is given up",
    "ALARM_FILLS": "of the resting entries of 30 days, at least 20, fewer than `fill_rate_min` were filled: entries are made smaller (`fill_rate_size`)",
}


BITS = {"flags": "FillFlag bits", "streams": "Stream bits, 0 = all"}


def audit() -> str:
    """Every kind of record: what `phase` holds, and its own fields."""
    lines = ["| kind | `phase` holds | fields |", "|---|---|---|"]
    for kind, (phase, names) in sorted(lc.AUDIT_FIELDS.items()):
        lines.append(
            f"| `{kind.name}` = {kind.value} | {phase} | {', '.join(f'`{name}`' + (f' ({BITS[name]})' if name in BITS else '') for name in names)} |"
        )
    for which, reasons, dtype in (
        ("AUDIT_POLICY", audit_fields.DECLINED, audit_fields.DECLINED_DTYPE),
        ("AUDIT_RISK", audit_fields.GAVE_WAY, audit_fields.GAVE_WAY_DTYPE),
    ):
        names = [name for name in dtype.names if name not in lc.AUDIT_DTYPE.names]
        lines.append(
            f"| `{which}` of {', '.join(lc.Reason(reason).name for reason in sorted(reasons))} | Phase | {', '.join(f'`{name}`' for name in names)} |"
        )
    return "\n".join(lines)


def enums() -> str:
    """The numbers that stand in records and events."""
    lines = ["| enum | members |", "|---|---|"]
    for found in (
        lc.Side,
        lc.Kind,
        lc.Phase,
        lc.Completeness,
        lc.FeedState,
        lc.Control,
        lc.Gate,
        lc.Limit,
        lc.OrderStatus,
        lc.FillReason,
        FillFlag,
        lc.Role,
        OrderType,
        Stream,
        Statement,
        PoolFlag,
        RequestFlag,
        SignalFlag,
        lc.BracketState,
        lc.Judgment,
        lc.Reason,
    ):
        lines.append(f"| `{found.__name__}` | {', '.join(f'{name} {int(value)}' for name, value in found.__members__.items())} |")
    return "\n".join(lines)


def alarms() -> str:
    lines = ["| alarm | meaning |", "|---|---|"]
    return "\n".join(lines + [f"| `{alarm.name}` = {alarm.value} | {ALARMS[alarm.name]} |" for alarm in lc.Alarm])


def _default(rule: dataclasses.Field, preset: object) -> str:
    value = rule.default if rule.default is not dataclasses.MISSING else None
    if value is None:
        value = getattr(preset, rule.name, None)
        if value is None:
            return ""
    if value in ("", ()) or value == 0 and rule.metadata["rule"].expected.startswith("a date"):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(f'{item:g}' for item in value)}]`"
    if rule.metadata["rule"].expected.startswith(FRACTIONS):
        value = value / SCALE
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


def _section(title: str, section: type, preset: object = None) -> list[str]:
    lines = [f"### {title}", "", "| key | default | accepts |", "|---|---|---|"]
    for rule in dataclasses.fields(section):
        if "rule" in rule.metadata:
            lines.append(f"| `{rule.name}` | {_default(rule, preset)} | {rule.metadata['rule'].expected} |")
    return [*lines, ""]


def configuration() -> str:
    """Every key of a configuration file, from the rules that read it."""
    fade = config.presets()["fade"]
    sections = (
        ("[run]", config.RunConfig, None),
        ("[feed], and without venue [feeds.NAME] for a further venue", config.FeedConfig, None),
        ("[engine]", config.EngineConfig, None),
        ("[detectors.cascade], for short [detector] (defaults: preset `fade`)", config.DetectorConfig, config.loads("").detector_values()),
        ("[features]", config.FeaturesConfig, None),
        ("[policy], and but for rule [policy.symbols.NAME] for one contract (defaults: preset `fade`)", config.PolicyConfig, fade.policy),
        ("[limits]", config.LimitsConfig, None),
        ("[hours]", config.HoursConfig, None),
        ("[blackout]", config.BlackoutConfig, None),
        ("[judge]", config.JudgeConfig, None),
        ("[news]", config.NewsConfig, None),
        ("[paper]", config.PaperConfig, None),
        ("[record]", config.RecordConfig, None),
        ("[warm]", config.WarmConfig, None),
        ("[live]", config.LiveConfig, None),
    )
    return "\n".join(line for title, section, preset in sections for line in _section(title, section, preset)).rstrip()


def studies() -> str:
    """The same for what only a study of history reads."""
    sections = (
        ("[data]", study.DataConfig),
        ("[backtest]", study.BacktestConfig),
        ("[sweep]", study.SweepConfig),
        ("[forward]", study.ForwardConfig),
    )
    lines = [line for title, section in sections for line in _section(title, section)]
    for title, section in (("policy", study.PolicyGrid), ("detector", study.DetectorGrid), ("hours", study.HoursGrid)):
        lines += [
            f"### [sweep.{title}]",
            "",
            f"Values to try of {', '.join(f'`{f.name}`' for f in dataclasses.fields(section))}: a list, or `{{from, to, step}}` "
            f"with both ends; each value as in [{title}].",
            "",
        ]
    for title, where in (("parameters", "policy.parameters"), ("detectors.NAME", "detectors.NAME")):
        lines += [f"### [sweep.{title}]", "", f"Values to try of what [{where}] may say, in the same form.", ""]
    return "\n".join(lines).rstrip()


def faults() -> str:
    """What the emulator can do to its clients."""
    from liqshell.emulator.api.faults import ACCOUNT, CONNECTION, PRIVATE, PUBLIC, REQUEST

    groups = (("connections", CONNECTION), ("public frames", PUBLIC), ("requests", REQUEST), ("private frames", PRIVATE), ("the account", ACCOUNT))
    return "\n".join(
        [
            "| on | kind | what happens |",
            "|---|---|---|",
            *(f"| {name} | `{kind}` | {what} |" for name, kinds in groups for kind, what in kinds.items()),
        ]
    )


CLIENT_CODES = {
    "404": "no such path here",
    "-5000": "no such path here",
    "50404": "no such path here",
    "10001": "a parameter that the venue's page calls mandatory is not sent",
    "-4120": "refused as on the venue: conditional orders have a path of their own",
}


def clients() -> str:
    """Which calls of client libraries work, as test_client_calls.py has found."""
    import json

    lines = ["| client | calls that work | calls that do not |", "|---|---|---|"]
    for client, found in json.loads((ROOT / "tests" / "foreign_clients" / "calls.json").read_text()).items():
        good = [name for name, why in found["calls"].items() if not why]
        bad: dict[str, list[str]] = {}
        for name, why in found["calls"].items():
            if why:
                bad.setdefault(f"{CLIENT_CODES.get(why, 'fails')} ({why})", []).append(name)
        told = "; ".join(f"{', '.join(names)}: {why}" for why, names in bad.items())
        lines.append(f"| {client} {found['version']} | {len(good)}: {', '.join(good)} | {told} |")
    return "\n".join(lines)


OUTCOMES = {
    "ACCEPTED": "the venue has received it; only the private stream confirms that it was booked",
    "REJECTED": "not done; the same request would be refused again",
    "REPRICE": "not done: the price is outside the allowed range at this time",
    "UNKNOWN": "may have been done: it counts as exposure, and the venue is asked by our order id; it is never sent again blindly. So is every code not listed",
    "DONE": "the wanted state exists already",
    "GONE": "the order no longer exists: its end is queried",
    "LANDED": "a duplicate id: the first attempt was received; the order is queried",
    "LATER": "not done, because of the rate limit or a temporary state; it is sent again later if it is still wanted",
    "CLOCK": "not done: our time stamp was outside the window; the clock is measured, and nothing is sent again automatically",
    "HALT_SYMBOL": "not done: the contract takes no such orders at this time",
    "FATAL": "nothing will be done: key, rights, address or account; no entries until a person has looked",
}


def codes() -> str:
    """Result codes of orders, by what follows from them."""
    from liqshell.venues.bybit.error_codes import CODES, outcome
    from liqshell.venues.outcome import Asked, Outcome

    lines = ["| outcome | meaning and action | result codes (of a new order, unless said otherwise) |", "|---|---|---|"]
    for found in Outcome:
        own = [str(code) for code in sorted(CODES) if outcome(code, Asked.CREATE) == found]
        others = [
            (asked, [str(code) for code in sorted(CODES) if outcome(code, asked) == found != outcome(code, Asked.CREATE)])
            for asked in (Asked.AMEND, Asked.CANCEL)
        ]
        told = [", ".join(own), *(f"{asked.name.lower()}: {', '.join(more)}" for asked, more in others if more)]
        lines.append(f"| {found.name} | {OUTCOMES[found.name]} | {'; '.join(part for part in told if part)} |")
    return "\n".join(lines)


def features() -> str:
    """Every feature, from the table that the grammar reads."""
    from liqcore.event import Kind
    from liqcore.features.spec import ENTRIES, duration

    lines = ["| name | window | unit | meaning | made of |", "|---|---|---|---|---|"]
    for entry in ENTRIES.values():
        window = (
            ""
            if entry.window is None
            else f"`@…`, default {duration(entry.window)}"
            if entry.window
            else "`@…pct`"
            if entry.group == "map"
            else "`@…`"
        )
        kinds = ", ".join(Kind(kind).name for kind in entry.kinds)
        lines.append(f"| `{entry.key}` | {window} | {entry.unit} | {entry.meaning} | {kinds} |")
    return "\n".join(lines)


def transforms() -> str:
    from liqcore.features.spec import TRANSFORMS

    return "\n".join(["| transform | says |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in TRANSFORMS.items())])


def detectors() -> str:
    """Every kind of detector and what it can be told."""
    from liqcore.detectors.registry import KINDS, meaning, parameters

    lines = []
    for kind in KINDS:
        lines += [
            f"### {kind}",
            "",
            meaning(kind)[0].upper() + meaning(kind)[1:] + ".",
            "",
            "| parameter | default | accepts | meaning |",
            "|---|---|---|---|",
        ]
        for p in parameters(kind):
            default = p.default if isinstance(p.default, str) else f"{p.default:,}" if isinstance(p.default, int) else f"{p.default:,.10g}"
            lines.append(f"| `{p.name}` | {default} | {p.accepts} | {p.meaning} |")
        lines.append("")
    return "\n".join(lines).rstrip()


LABELLED = {"hours": 6.0, "seed": 1, "symbols": ("BTCUSDT", "SOLUSDT", "DOGEUSDT"), "scale": 30.0}


def quality() -> str:
    """Precision and recall on the generator's labelled cascades; SYNTHETIC."""
    from liqshell.research.detector_agreement import parse
    from liqshell.research.detector_quality import quality_report

    report = quality_report(specs=[one | ({"percentile": 0.0} if one["kind"] == "hawkes" else {}) for one in parse([])], **LABELLED)

    def share(found: dict) -> str:
        return "–" if found["share"] is None else f"{found['share']:.2f} ({found['low']:.2f}–{found['high']:.2f})"

    lines = [
        f"{report['hours']:g} hours of {', '.join(LABELLED['symbols'])}, seed {report['seed']}, scale {LABELLED['scale']:g}: {report['cascades']} cascades.",
        "",
        "| detector | feed | episodes | recall | precision | delay, median s |",
        "|---|---|---|---|---|---|",
    ]
    for full, few in zip(report["full"], report["throttled"], strict=True):
        lines += [
            f"| {row['detector']} | {view} | {row['episodes']} | {share(row['recall'])} | {share(row['precision'])} | "
            f"{'–' if row['delay_s'] is None else format(row['delay_s'], '.1f')} |"
            for view, row in (("full", full), ("throttled", few))
        ]
    return "\n".join(lines)


def preset(name: str) -> str:
    """Every number of a preset, as `liqcore presets NAME` prints them."""
    from liqshell.commands.presets import _literal, _sections

    lines = ["| section | key | value |", "|---|---|---|"]
    return "\n".join(
        lines
        + [
            f"| `[{title}]` | `{key}` | {_literal(value)} |"
            for title, values in _sections(config.presets()[name]).items()
            for key, value in values.items()
        ]
    )


TABLES = {
    "preset": preset,
    "features": features,
    "transforms": transforms,
    "codes": codes,
    "detectors": detectors,
    "quality": quality,
    "audit": audit,
    "enums": enums,
    "alarms": alarms,
    "configuration": configuration,
    "studies": studies,
    "faults": faults,
    "clients": clients,
}


def filled(text: str) -> str:
    """The page with its tables made anew."""

    def fill(match: re.Match[str]) -> str:
        name, _, of = match[1].partition(" ")
        return f"<!-- table: {match[1]} -->\n{TABLES[name](*filter(None, [of]))}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+(?: [\w-]+)?) -->\n.*?<!-- end -->", fill, text, flags=re.S)


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(filled(page.read_text()))
    sys.exit(0)
