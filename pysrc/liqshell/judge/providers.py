"""How a model is asked and how it answers: chat completions of OpenAI and of servers that speak like it, messages of Anthropic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import orjson

from liqshell.judge.prompt import SCHEMA, SCHEMA_NAME, SYSTEM
from liqshell.judge.validation import Invalid

ANTHROPIC_VERSION = "2026-10-21"
COUNT_MAX = 10**9


class Said(NamedTuple):
    """text of an answer; usage: tokens "input" (cached ones among them), "cached", "output"; empty if the answer lacks them."""

    text: str
    usage: Mapping[str, int]


class Refused(Invalid):
    """The model refuses."""


class Cut(Invalid):
    """The answer ends in the middle."""


class Provider(Protocol):
    """target: path below the base address. body: what is posted. strict: whether the schema is asked for, or only a JSON object."""

    base: str
    target: str

    def headers(self, token: str) -> dict[str, str]: ...

    def body(self, user: str, strict: bool) -> dict[str, Any]: ...

    def read(self, answer: Any) -> Said: ...


def _count(found: Any, *path: str) -> int | None:
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if type(found) is int and 0 <= found <= COUNT_MAX else None


def _usage(read: int | None, cached: int | None, written: int | None) -> dict[str, int]:
    """A missing value is unknown, not zero: then the reserved amount stays counted."""
    return {"input": read, "cached": cached or 0, "output": written} if read and written is not None else {}


class OpenAI:
    """POST /chat/completions below the base address."""

    base, target = "https://api.openai.com/v1", "/chat/completions"

    def __init__(self, model: str, max_tokens: int, effort: str | None):
        self._model, self._max_tokens, self._effort = model, max_tokens, effort

    def headers(self, token: str) -> dict[str, str]:
        return {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def body(self, user: str, strict: bool) -> dict[str, Any]:
        form: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": SCHEMA_NAME, "schema": SCHEMA, "strict": True}}
        out: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": user}],
            "response_format": form if strict else {"type": "json_object"},
            "max_completion_tokens": self._max_tokens,
            "store": False,
        }
        return out | ({"reasoning_effort": self._effort} if self._effort else {})

    def read(self, answer: Any) -> Said:
        usage = _usage(
            _count(answer, "usage", "prompt_tokens"),
            _count(answer, "usage", "prompt_tokens_details", "cached_tokens"),
            _count(answer, "usage", "completion_tokens"),
        )
        try:
            choice = answer["choices"][0]
            message, reason = choice["message"], choice.get("finish_reason")
            text, refusal = message.get("content"), message.get("refusal")
        except (KeyError, IndexError, TypeError, AttributeError):
            raise Invalid("an answer of unexpected form") from None
        if refusal or reason == "content_filter":
            raise Refused("the model refuses")
        if reason == "length":
            raise Cut("the answer is incomplete")
        if reason != "stop" or not isinstance(text, str):
            raise Invalid("an answer without text")
        return Said(text, usage)


class Anthropic:
    """POST /v1/messages below the base address."""

    base, target = "https://api.anthropic.com", "/v1/messages"

    def __init__(self, model: str, max_tokens: int, effort: str | None):
        self._model, self._max_tokens, self._effort = model, max_tokens, effort

    def headers(self, token: str) -> dict[str, str]:
        return {"Content-Type": "application/json", "anthropic-version": ANTHROPIC_VERSION} | ({"x-api-key": token} if token else {})

    def body(self, user: str, strict: bool) -> dict[str, Any]:
        output: dict[str, Any] = {"format": {"type": "json_schema", "schema": SCHEMA}} if strict else {}
        if self._effort in ("low", "medium", "high"):
            output["effort"] = self._effort
        return {
            "model": self._model,
            "max_tokens": self._max_tokens,
            "system": SYSTEM,
            "messages": [{"role": "user", "content": user}],
            **({"output_config": output} if output else {}),
        }

    def read(self, answer: Any) -> Said:
        cached, fresh = _count(answer, "usage", "cache_read_input_tokens") or 0, _count(answer, "usage", "input_tokens")
        usage = _usage(None if fresh is None else fresh + cached, cached, _count(answer, "usage", "output_tokens"))
        try:
            reason = answer["stop_reason"]
            texts = [part["text"] for part in answer["content"] if part["type"] == "text"]
        except (KeyError, TypeError):
            raise Invalid("an answer of unexpected form") from None
        if reason == "refusal":
            raise Refused("the model refuses")
        if reason == "max_tokens":
            raise Cut("the answer is incomplete")
        if reason != "end_turn" or len(texts) != 1 or not isinstance(texts[0], str):
            raise Invalid("an answer without text")
        return Said(texts[0], usage)


def provider_of(kind: str, model: str, max_tokens: int, effort: str | None) -> Provider:
    """kind: "openai" or "anthropic"."""
    return (Anthropic if kind == "anthropic" else OpenAI)(model, max_tokens, effort)


def wire(body: Mapping[str, Any]) -> bytes:
    """A body as it is posted: the same bytes for the same content."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
