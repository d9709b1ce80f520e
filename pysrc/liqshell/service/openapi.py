"""The API described in OpenAPI 3.1, and as a page."""

from __future__ import annotations

from functools import cache
from typing import Any

from markupsafe import Markup

import liqcore as lc
from liqshell.service.problems import KINDS
from liqshell.service.questions import DURATION as DURATIONS
from liqshell.service.questions import FEATURE as NAME
from liqshell.service.questions import JOB_ROWS_MAX, NAMES_MAX, ROWS_MAX

Schema = dict[str, Any]
NAMES = "liquidations.liq_imbalance@15m:zscore,flow.ofi@5m:zscore,funding.funding_avg@1h"
STRING: Schema = {"type": "string"}
TEXT: Schema = {"type": "string", "minLength": 1, "maxLength": 200}
TEXT_OR_NULL: Schema = {**TEXT, "type": ["string", "null"]}  # null = not given
FEATURE: Schema = {"type": "string", "pattern": f"^({NAME})$", "minLength": 1, "maxLength": 200, "examples": ["price.last"]}
_DAY = (
    "(19(7[1-9]|[89][0-9])|20[0-9]{2}|21(0[0-9]|1[0-5]))-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))|(19(72|76|8[048]|9[26])|20([02468][048]|[13579][26])|210[48]|2112)-02-29"
)
_CLOCK = "([01][0-9]|2[0-3]):[0-5][0-9]"
_SPAN = {digits: (10 ** (digits - 1), 46 * 10 ** (digits - 2)) for digits in (10, 13, 16, 19)}  # s, ms, us and ns: from, to
_DIGITS = "|".join(f"([1-3][0-9]{{{digits - 1}}}|4[0-5][0-9]{{{digits - 2}}})" for digits in _SPAN)
TIME_TEXT: Schema = {
    "type": "string",
    "pattern": f"^({_DAY})([T ]{_CLOCK}(:[0-5][0-9]([.][0-9]{{1,9}})?)?(Z|[+-]{_CLOCK})?)?$|^({_DIGITS})$",
    "description": "ISO 8601, UTC without a zone; or a number as below",
    "examples": ["2026-03-04T15:00:00Z"],
}
TIME: Schema = {
    "anyOf": [TIME_TEXT, *({"type": "integer", "minimum": low, "maximum": high - 1} for low, high in _SPAN.values())],
    "description": "ISO 8601, or a number since 1970: seconds (10 digits), ms (13), us (16) or ns (19)",
}
DURATION: Schema = {"type": "string", "pattern": DURATIONS, "examples": ["1m"]}
NUMBER: Schema = {"type": ["number", "null"]}
OBJECT: Schema = {"type": "object"}
REASONS = {
    "warming": "too few data were received so far",
    "gap": "the feed was interrupted within the window of the value",
    "no_data": "no data of the value's source were received; of liquidations: none was, and it is not known whether the venue publishes all of them",
    "not_varying": "a correlation with a constant",
    "outside": "outside the data",
}


def _object(required: str = "", **properties: Schema | list[str] | str) -> Schema:
    """required: names. properties: a schema, the words of an enumeration, or a type."""
    schemas = {name: one if isinstance(one, dict) else {"enum" if isinstance(one, list) else "type": one} for name, one in properties.items()}
    return {"type": "object", "properties": schemas} | ({"required": required.split()} if required else {})


def _array(of: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": of, **more}


VALUE = _object(
    "value unit",
    value=NUMBER,
    unit="string",
    asked="string",
    completeness=["full", "censored", "unknown"],
    n="integer",
    n_eff="integer",
    unknown=list(REASONS),
    until="string",
)
HEAD: dict[str, list[str] | str] = {
    "engine": "string",
    "synthetic": "boolean",
    "receive_time": ["recorded", "modelled", "mixed", "unknown"],
    "run": "string",
}
LIVE = _object(
    "as_of as_of_ns received_through_ns age_ms asset contract data_hash engine synthetic receive_time features",
    as_of="string",
    as_of_ns="integer",
    received_through_ns="integer",
    age_ms="number",
    asset="string",
    contract="string",
    data_hash="string",
    **HEAD,
    features={"type": "object", "additionalProperties": VALUE},
)
ROW = {**_object("at", asset=TEXT_OR_NULL, contract=TEXT_OR_NULL, venue=TEXT_OR_NULL, at=TIME), "additionalProperties": False}


def _question(rows_max: int) -> Schema:
    label = {**_object("feature after", feature=FEATURE, after=DURATION), "type": ["object", "null"], "additionalProperties": False}
    common: dict[str, Schema | list[str] | str] = {
        "features": _array(FEATURE, minItems=1, maxItems=NAMES_MAX),
        "run": "string",
        "label": label,
        "on_outside": ["null", "error"],
    }
    one = {"asset": TEXT_OR_NULL, "contract": TEXT_OR_NULL, "venue": TEXT_OR_NULL}
    forms = (
        _object("features rows", rows=_array(ROW, maxItems=rows_max), **common),
        _object("features at", at=_array(TIME, maxItems=rows_max), **one, **common),
        _object("features every", every=DURATION, start=TIME, end=TIME, **one, **common),
    )
    return {"oneOf": [{**form, "additionalProperties": False} for form in forms]}


HISTORY = _object(
    "rows columns unknown samples features data_hash received_through_ns",
    rows="integer",
    columns={"type": "object", "additionalProperties": _array({"type": ["number", "string", "null"]})},
    unknown="object",
    samples="object",
    features="object",
    asked="object",
    label="object",
    received_through_ns="integer",
    data_hash="string",
    **HEAD,
)
JOB = _object(
    "id state rows rows_done type",
    id="string",
    state=["waiting", "running", "done", "failed"],
    rows="integer",
    rows_done="integer",
    type="string",
    why="string",
    result="string",
)
SIGNAL = _object(
    "ts time contract detector phase liquidated",
    ts="integer",
    time="string",
    contract="string",
    detector="string",
    phase=[phase.name for phase in lc.Phase],
    liquidated=[side.name for side in lc.Side],
    count="integer",
    completeness="string",
    **dict.fromkeys(("long_notional", "short_notional", "threshold", "z", "score", "price", "rolling"), NUMBER),
)
WHO = (
    ("asset", TEXT, "Base coin, such as BTC: its first contract"),
    ("contract", TEXT, "Symbol, or venue:symbol"),
    ("venue", TEXT, "Of the asset"),
    ("run", STRING, "A run by name; the newest by default"),
)
FEATURES = (
    "features",
    {"type": "string", "pattern": f"^({NAME})(,({NAME})){{0,{NAMES_MAX - 1}}}$", "examples": [NAMES]},
    f"Names, separated by commas, such as {NAMES}",
)


def _operation(
    summary: str,
    scope: str,
    answer: dict[str, Schema],
    parameters: tuple[tuple[str, Schema, str], ...] = (),
    errors: tuple[int, ...] = (),
    status: str = "200",
    required: tuple[str, ...] = (),
    body: Schema | None = None,
) -> Schema:
    # keys that cannot be read, data that are gone, too many connections: every operation may meet them
    kinds = {400: "bad-request", 503: "not-ready", **({401: "no-key", 403: "no-scope", 429: "quota-exceeded"} if scope else {403: "cross-site"})}
    titles = {code: KINDS[kind][1] for code, kind in kinds.items()}
    titles |= {code: "; ".join(title for of, title in KINDS.values() if of == code) for code in errors}
    out: Schema = {
        "summary": summary,
        "responses": {status: {"description": "Done", "content": {kind: {"schema": one} for kind, one in answer.items()}}},
    }
    for code in sorted(titles):
        out["responses"][str(code)] = {
            "description": titles[code],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    if parameters:
        out["parameters"] = [
            {"name": name, "in": "header" if name[0].isupper() else "query", "required": name in required, "schema": schema, "description": text}
            for name, schema, text in parameters
        ]
    out["security"] = [{"key": []}] if scope else []
    if scope:
        out["description"] = f"Scope {scope}."
    if body is not None:
        out["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return out


JSON, EVENTS = "application/json", "text/event-stream"
BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}
FORMS = {
    JSON: HISTORY,
    "application/x-ndjson": STRING,
    "text/csv": STRING,
    "application/vnd.apache.arrow.stream": BINARY,
    "application/vnd.apache.parquet": BINARY,
}
LAST = ("Last-Event-ID", {"type": "string", "pattern": "^[0-9]{0,19}$"}, "Continues after this event")
POSTED = (404, 406, 409, 413, 415, 422)


def _now() -> dict[str, Schema]:
    read = "features:read"
    return {
        "/v1/features": {"get": _operation("Every feature", read, {JSON: OBJECT}, errors=(422,))},
        "/v1/features/parse": {
            "get": _operation(
                "Full names, or what is wrong with them", read, {JSON: OBJECT}, (("names", FEATURES[1], "Names"),), (404, 422), required=("names",)
            )
        },
        "/v1/features/live": {
            "get": _operation(
                "The newest values of one contract",
                read,
                {JSON: LIVE},
                (FEATURES, *WHO, ("strict", {"enum": ["0", "1"]}, "1: an error if a value is not known")),
                (404, 409, 422),
                required=("features",),
            )
        },
        "/v1/features/stream": {
            "get": _operation(
                "The same as server-sent events: features, dropped",
                read,
                {EVENTS: STRING},
                (FEATURES, *WHO, ("every", DURATION, "Market time between two events, at least 1s; default 1m"), LAST),
                (404, 409, 422),
                required=("features",),
            )
        },
    }


def _past() -> dict[str, Schema]:
    read = "history:read"
    ident = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"}}
    begun = _operation("The same for up to 10,000,000 rows", read, {JSON: JOB}, errors=POSTED, status="202", body=_question(JOB_ROWS_MAX))
    begun["responses"]["202"]["links"] = {
        name: {"operationRef": "#/paths/~1v1~1jobs~1{id}/get", "parameters": {"id": "$response.body#/id", **more}}
        for name, more in (("progress", {}), ("result", {"result": "1"}))
    }
    return {
        "/v1/features/historical": {
            "post": _operation("Values at past times, each from the data known then", read, FORMS, errors=POSTED, body=_question(ROWS_MAX))
        },
        "/v1/jobs": {"post": begun},
        "/v1/jobs/{id}": {
            "get": _operation(
                "The progress of a job, or its result",
                read,
                {**FORMS, JSON: {"anyOf": [JOB, HISTORY]}},
                (("result", {"enum": ["1"]}, "Its result"),),
                (404, 409, 422),
            ),
            "parameters": [ident],
        },
    }


def _beside() -> dict[str, Schema]:
    signals = _object("signals more next_since", signals=_array(SIGNAL), more="boolean", next_since="integer", **HEAD)
    since = ("since", {"anyOf": [TIME_TEXT, {"const": "0"}]}, "Only later ones; next_since of the previous answer")
    limit = ("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}, "1000")
    health = _operation("Whether the data served are readable", "", {JSON: OBJECT}, errors=(422,))
    health["responses"]["503"]["content"][JSON] = {"schema": OBJECT}
    return {
        "/v1/signals": {"get": _operation("Signals of a run", "signals:read", {JSON: signals}, (since, *WHO, limit), (404, 409, 422))},
        "/v1/view": {"get": _operation("The present state of a live run, ten times a second", "runs:read", {JSON: OBJECT}, WHO, (404, 409, 422))},
        "/v1/health": {"get": health},
        "/v1/openapi.json": {"get": _operation("This", "", {JSON: OBJECT}, errors=(422,))},
    }


@cache
def document() -> Schema:
    """OpenAPI 3.1."""
    problem = _object(
        "type title status detail instance request_id",
        status="integer",
        **dict.fromkeys(("type", "title", "detail", "instance", "request_id", "hint"), "string"),
    )
    about = {
        "title": "liqcore",
        "version": lc.__version__,
        "description": "Point-in-time features of liquidation data: a value uses only the data received by its time.",
    }
    return {
        "openapi": "3.1.0",
        "info": about,
        "paths": _now() | _past() | _beside(),
        "components": {"schemas": {"Problem": problem}, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


@cache
def page() -> str:
    """The same for people."""
    from liqshell.pages import document as rendered

    operations = [
        (f"{method.upper()} {path}", {"description": "No key.", "parameters": (), **about})
        for path, methods in document()["paths"].items()
        for method, about in methods.items()
        if method != "parameters"
    ]
    return rendered(
        "liqcore: features over HTTP",
        Markup(),
        "openapi.html",
        operations=operations,
        reasons=REASONS,
        question=dict.fromkeys(name for form in _question(ROWS_MAX)["oneOf"] for name in form["properties"]),
    )
