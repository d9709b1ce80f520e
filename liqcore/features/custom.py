"""A user's feature: a function of built-in features, under a name `own.NAME`.

@lc.needs("liquidations.liq_volume@1m", "flow.volume@1m")
def forced_share(liquidated, traded):
    return liquidated / traded if traded > 0.0 else None

engine = lc.Engine(["BTCUSDT"], features=[lc.CustomFeature("own.forced_share", forced_share)])
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from liqcore.features.spec import canonical
from liqcore.user_error import call_problem

_NAME = re.compile(r"own\.[a-z][a-z0-9_]{0,39}")
Function = Callable[..., float | None]


def needs(*names: str) -> Callable[[Any], Any]:
    """Decorator: the features whose values the function is called with, in this order."""

    def mark(function: Any) -> Any:
        function.needs = names
        return function

    return mark


class CustomFeature(str):
    """A feature of your own: a name with its function. An Engine and Features take it where they take names.

    name: own.NAME, small letters, digits and '_'. function: a function marked with @liqcore.needs; or a class with `needs` and `__call__`, which is
    made once without arguments. It is called with one float for each name in `needs` (nan = not known) whenever the feature is read, and returns a
    finite number, or None (or nan) for not known. It keeps no state and asks no clock, so that every reading of the same moment gives the same value.
    ValueError or TypeError names the fault of the name or of the function.
    """

    given: Any
    function: Function
    needs: tuple[str, ...]

    def __new__(cls, name: str, function: Any) -> "CustomFeature":
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"feature {name!r}: expected a name such as own.forced_share (own. and at most 40 small letters, digits and '_')")
        asked = getattr(function, "needs", ())
        if not isinstance(asked, tuple) or not asked or not all(isinstance(one, str) for one in asked):
            raise ValueError(f"feature {name}: expected a function that @liqcore.needs(...) has marked with at least one feature, got {function!r}")
        made = function() if isinstance(function, type) else function
        if not callable(made):
            raise TypeError(f"feature {name}: expected a function, or a class with __call__, got {function!r}")
        if wrong := call_problem(made, *(re.sub(r"\W", "_", one) for one in asked)):
            raise TypeError(f"feature {name}: the function {wrong}: one number for each feature that it needs")
        self = str.__new__(cls, name)
        self.given = function
        self.function, self.needs = made, tuple(canonical(one) for one in asked)
        return self


def refuse_two(names: Iterable[object]) -> None:
    """ValueError if two of the user's features have one name, because the first would be used for both."""
    known: dict[str, CustomFeature] = {}
    for name in names:
        if isinstance(name, CustomFeature) and known.setdefault(name, name).given is not name.given:
            raise ValueError(
                f"feature {name}: two different functions have this name: {_said(known[name].given)} and {_said(name.given)}; expected "
                "another name for one of them"
            )


def _said(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"


__all__ = ["CustomFeature", "needs", "refuse_two"]
