"""The JSON Schema of a configuration file, for editors, made from the dataclasses of the reader.

It refuses what the reader refuses of types, ranges, words and unknown keys. Rules about several fields are checked by the reader only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from liqcore._version import __version__
from liqshell.config.load import Config, presets
from liqshell.fields import written

DRAFT = "http://json-schema.org/draft-07/schema#"  # what editors of TOML understand


def schema() -> dict[str, Any]:
    """The schema as JSON values."""
    return {"$schema": DRAFT, "title": f"liqcore {__version__} configuration", **_section(Config)}


def _section(section: type) -> dict[str, Any]:
    fields = {f.name: f for f in dataclasses.fields(section) if f.init and f.metadata}
    return {"type": "object", "additionalProperties": False, "properties": {name: _field(name, one) for name, one in fields.items()}}


def _field(name: str, one: dataclasses.Field[Any]) -> dict[str, Any]:
    about = one.metadata
    if "pattern" in about:
        inner = about["section"]
        shape = _section(inner) if isinstance(inner, type) else dict(inner.metadata["rule"].schema)
        return {
            "type": "object",
            "description": f"tables named by {about['expected']}",
            "patternProperties": {f"^({about['pattern']})$": shape},
            "additionalProperties": False,
        }
    if "section" in about:
        return _section(about["section"])
    rule = about["rule"]
    schema = dict(rule.schema) | {"description": rule.expected}
    if name == "preset":
        schema["enum"] = [*presets()]
    usual = written(one)
    return schema if usual is None or isinstance(usual, Mapping) else schema | {"default": usual}
