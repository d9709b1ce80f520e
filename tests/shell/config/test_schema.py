"""The JSON Schema of a configuration against its reader; and `liqcore new-config`, whose files both take."""

import dataclasses
import json
import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

import store_files
from liqshell import cli
from liqshell.config.load import Config, loads, presets
from liqshell.config.schema import schema
from liqshell.config.template import text_of
from liqshell.errors import ConfigError
from liqshell.fields import decode
from liqshell.store import importer

ROOT = Path(__file__).parents[3]
SCHEMA = schema()
KINDS = {"number": (int, float), "integer": int, "string": str, "boolean": bool, "array": list, "object": dict}
KEYWORDS = {
    "type",
    "enum",
    "const",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "minItems",
    "maxItems",
    "minLength",
    "uniqueItems",
    "items",
    "properties",
    "required",
    "patternProperties",
    "additionalProperties",
    "anyOf",
    "description",
    "default",
    "title",
    "$schema",
}


def is_a(value, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and not (isinstance(value, bool) and kind != "boolean")


def valid(value, rule) -> bool:
    """Draft 7, as far as we use it; a keyword that is not known here is an error."""
    assert set(rule) <= KEYWORDS, set(rule) - KEYWORDS
    kinds = rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    checks = [
        not kinds or any(is_a(value, kind) for kind in kinds),
        "enum" not in rule or value in rule["enum"],
        "const" not in rule or value == rule["const"],
        "anyOf" not in rule or any(valid(value, one) for one in rule["anyOf"]),
    ]
    if is_a(value, "number"):
        checks += [
            value >= rule.get("minimum", value),
            value <= rule.get("maximum", value),
            "exclusiveMinimum" not in rule or value > rule["exclusiveMinimum"],
        ]
    if is_a(value, "string"):
        checks += ["pattern" not in rule or bool(re.search(rule["pattern"], value)), len(value) >= rule.get("minLength", 0)]
    if is_a(value, "array"):
        checks += [
            rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)),
            all(valid(v, rule.get("items", {})) for v in value),
            not rule.get("uniqueItems") or len(set(map(repr, value))) == len(value),
        ]
    if is_a(value, "object"):
        checks.append(all(name in value for name in rule.get("required", ())))
        for key, inner in value.items():
            named = [rule["properties"][key]] if key in rule.get("properties", {}) else []
            named += [one for pattern, one in rule.get("patternProperties", {}).items() if re.search(pattern, key)]
            other = rule.get("additionalProperties", {})
            checks += [valid(inner, one) for one in named] or [other is not False and valid(inner, other)]
    return all(checks)


def seen(text: str):
    """A file as an editor sees it: TOML's dates are strings."""
    return json.loads(json.dumps(tomllib.loads(text), default=str))


def fields(section=Config, path=()):
    """(path, rule) of every key of every section."""
    for one in dataclasses.fields(section):
        about = one.metadata
        if not about or not one.init:
            continue
        name = "ETHUSDT" if "policy" in path else "bybit" if one.name == "feeds" else "mine"
        here = (*path, one.name, *([name] if "pattern" in about else []))
        inner = about.get("section")
        if isinstance(inner, type):
            yield from fields(inner, here)
        else:
            yield here, (inner.metadata if inner is not None else about)["rule"]


def put(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


FIELDS = [*fields()]
VALUES = [True, 0, 1, -5, 2.5, 1e30, "", "x", "post_only", [], [1], ["a"], [True], [0.1, 0.2], {}, {"a": 1}, {"from": 1, "to": 2}, [[1]], "a\0b"]


def test_there_are_fields():
    assert len(FIELDS) > 120 and {path[0] for path, _ in FIELDS} == {f.name for f in dataclasses.fields(Config)}


@pytest.mark.parametrize(("path", "rule"), FIELDS, ids=lambda v: ".".join(v) if isinstance(v, tuple) else "")
def test_the_schema_refuses_and_takes_what_the_reader_does(path, rule):
    for value in VALUES:
        if rule.schema == {"type": "string"} and isinstance(value, str):
            continue  # a date in text: the reader knows the calendar
        problems: list[ConfigError] = []
        decode(Config, json.loads(json.dumps(put(path, value)), parse_float=Decimal), "f", "", problems)
        if path[-1] == "preset" and not problems:
            continue  # the reader looks names up later, the schema at once
        assert valid(put(path, value), SCHEMA) == (not problems), (value, list(map(str, problems)))


@pytest.mark.parametrize("path", sorted({path[:-1] for path, _ in FIELDS if path[-2:-1] != ("parameters",)}), ids=".".join)
def test_unknown_keys_are_refused_by_both(path):
    if path in {("detectors",), ("sweep", "detectors")}:  # tables of the user's names
        return
    problems: list[ConfigError] = []
    decode(Config, put((*path, "nosuchkey!"), 1), "f", "", problems)
    assert problems and not valid(put((*path, "nosuchkey!"), 1), SCHEMA)


def test_an_unknown_preset_is_refused_by_both():
    assert not valid({"policy": {"preset": "fad"}}, SCHEMA)
    with pytest.raises(ConfigError):
        loads("[policy]\npreset = 'fad'")


@pytest.mark.parametrize("name", [*presets()])
def test_every_preset_is_a_valid_configuration(name):
    raw = seen((ROOT / "pysrc" / "liqshell" / "policies" / f"{name}.toml").read_text())
    assert valid({key: raw[key] for key in ("policy", "detector", "detectors", "limits") if key in raw}, SCHEMA)
    for store in ("", "STORE"):
        text = text_of("first", "bybit", ["ETHUSDT"], presets()[name], store)
        assert valid(seen(text), SCHEMA) and loads(text).preset_of().name == name
        # every commented key can be taken into use as it stands, and says what holds without it
        whole = re.sub(r"^# (\[|[a-z_]+ = )", r"\1", text, flags=re.M).replace("start = 2026-03-04", "").replace("end = 2026-03-05", "")
        assert valid(seen(whole), SCHEMA)
        left, right = loads(text), loads(whole)
        assert left.limits == right.limits and left.detector_values() == right.detector_values() and left.paper == right.paper
        assert left.policy_for("ETHUSDT") == right.policy_for("ETHUSDT") and left.parameters_for("ETHUSDT") == right.parameters_for("ETHUSDT")
        assert left.detectors_for(["ETHUSDT"]) == right.detectors_for(["ETHUSDT"])


def configurations():
    yield from (pytest.param(path.read_text(), id=path.name) for path in (ROOT / "examples").glob("*.toml"))
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for n, match in enumerate(re.finditer(r"^```toml\n(.*?)^```$", page.read_text(), re.S | re.M)):
            yield pytest.param(match[1], id=f"{page.name}:{n}")


@pytest.mark.parametrize("text", [*configurations()])
def test_every_example_is_valid(text):
    assert valid(seen(text), SCHEMA)


def test_new_config_writes_both_files_and_asks_the_doctor(tmp_path, capsys):
    file = tmp_path / "a b.toml"
    assert cli.main(["new-config", str(file), "--symbols", "ETHUSDT", "SOLUSDT", "--preset", "trend", "--offline"]) == 0
    out = capsys.readouterr().out
    assert "construct" in out and "All checks passed" in out or "It may start" in out
    assert loads(file.read_text()).feed.symbols == ("ETHUSDT", "SOLUSDT") and loads(file.read_text()).run.name == "ab"
    assert json.loads((tmp_path / "liqcore.schema.json").read_text()) == SCHEMA and file.read_text().startswith("#:schema ./liqcore.schema.json\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--symbols", "ETHUSDT", "--preset", "fad"], "no preset of this name"),
        ([], "--symbols: none"),
        (["--symbols", "eth usdt"], "feed.symbols: found ['eth usdt']"),
        (["--symbols", "ETHUSDT", "--venue", "ftx"], "feed.venue: found 'ftx'"),
        (["--store", "absent"], "absent: no such folder"),
    ],
)
def test_new_config_refuses_and_leaves_nothing(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new-config", "new.toml", *arguments, "--offline"]) == 2
    assert says in capsys.readouterr().err and not list(tmp_path.iterdir())
    (tmp_path / "there.toml").write_text("kept")
    assert cli.main(["new-config", "there.toml", "--symbols", "ETHUSDT", "--offline"]) == 2 and (tmp_path / "there.toml").read_text() == "kept"


@pytest.mark.parametrize(
    ("held", "arguments", "venue", "symbols"),
    [
        ("okx~BTC-USDT-SWAP okx~SOL-USDT-SWAP", [], "okx", ("BTC-USDT-SWAP", "SOL-USDT-SWAP")),
        ("binance_um~BTCUSDT bybit~ETHUSDT", ["--venue", "binance"], "binance_um", ("BTCUSDT",)),
        ("binance_um~BTCUSDT bybit~ETHUSDT", ["--symbols", "BTCUSDT"], "binance_um", ("BTCUSDT",)),
        ("okx~BTC-USDT-SWAP", ["--symbols", "ETHUSDT"], "bybit", ("ETHUSDT",)),
        ("binance_um~BTCUSDT bybit~ETHUSDT", [], "", "--venue: no venue, and STORE holds contracts of binance_um, bybit"),
        ("okx~BTC-USDT-SWAP", ["--venue", "bybit"], "", "STORE holds no contracts of bybit; expected contracts of okx. Add --venue okx"),
    ],
)
def test_new_config_takes_venue_and_contracts_from_the_store(tmp_path, monkeypatch, capsys, held, arguments, venue, symbols):
    monkeypatch.chdir(tmp_path)
    rows = store_files.market(50)
    file = store_files.save(tmp_path / "rows.npz", dict.fromkeys(held.split(), rows))
    assert not importer.run(tmp_path / "STORE", [file], store_files.opener).broken
    left = cli.main(["new-config", "new.toml", "--store", "STORE", *arguments, "--offline"])
    if not venue:
        assert left == 2 and symbols in capsys.readouterr().err and not (tmp_path / "new.toml").exists()
        return
    feed = loads((tmp_path / "new.toml").read_text()).feed
    assert (feed.venue, feed.symbols) == (venue, symbols)


def test_dates_are_strings_to_an_editor():
    assert valid(seen("[data]\nstart = 2026-03-04\nend = '2026-03-05'"), SCHEMA) and not valid(seen("[data]\nstart = 5"), SCHEMA)
