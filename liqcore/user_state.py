"""The state of an object of a user's class: its attributes, also those of __slots__."""

from contextlib import suppress
from types import MemberDescriptorType
from typing import Any


def attributes(of: object) -> dict[str, Any]:
    """All attributes that are set, by name."""
    found = dict(vars(of))
    for name, slot in _slots(type(of)).items():
        with suppress(AttributeError):  # it is not set
            found[name] = slot.__get__(of)
    return found


def set_attributes(of: object, named: dict[str, Any]) -> None:
    """Set attributes directly, without a __setattr__ or property of the class."""
    slots = _slots(type(of))
    for name, value in named.items():
        if name in slots:
            slots[name].__set__(of, value)
        else:
            vars(of)[name] = value


def _slots(kind: type) -> dict[str, MemberDescriptorType]:
    """Of all its bases; those of a class before those of its own bases."""
    return {name: one for base in reversed(kind.__mro__) for name, one in vars(base).items() if isinstance(one, MemberDescriptorType)}


__all__ = ["attributes", "set_attributes"]
