"""Options of commands that take names: after spaces, after commas, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token


def names_of(_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    """The names of all values of an option."""
    return tuple(name.strip() for token in tokens for name in token.value.split(",") if name.strip())


Names = Annotated[tuple[str, ...], Parameter(converter=names_of, consume_multiple=True, negative=())]
