"""What readers and writers of engines share: JSON, checks of objects and lists, torch."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any

from eplb import limits
from eplb.errors import PlanFileError
from eplb.inputs.names import nearest
from eplb.storage.json_text import parse_json
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eplb.errors import Part


def json_bytes(values: Any) -> bytes:
    """A file of one line."""
    return (json.dumps(values) + "\n").encode()


def json_values(content: bytes) -> Any:
    """Strict JSON of a limited size."""
    if len(content) > limits.MAX_TEXT_BYTES:
        raise PlanFileError(f"it holds more than {limits.MAX_TEXT_BYTES} bytes of text")
    return parse_json(content)


def kind_of(value: Any) -> str:
    """A value from a file, in a word or two, as JSON spells it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return short(value)


def object_with(what: str, values: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """``values`` if it is an object that has these keys."""
    if not isinstance(values, dict):
        raise PlanFileError(f"{what} must be an object with keys, found {kind_of(values)}")
    if missing := [key for key in keys if key not in values]:
        near = nearest(missing[0], (key for key in values if key not in keys))
        hint = [] if near is None else [f"is its key {near!r} a misspelt {missing[0]}?"]
        raise PlanFileError(f"{what} lacks {', '.join(missing)}", hint=hint)
    return values


def filled_list(what: str, values: Any) -> list[Any]:
    """``values`` if it is a list that is not empty."""
    if not isinstance(values, list) or not values:
        raise PlanFileError(f"{what} must be a list, found {kind_of(values)}")
    return values


def whole_number_under(
    name: str, values: dict[str, Any], *, least: int, most: int, default: int | None = None
) -> int:
    """The whole number under a key of an object; ``default`` is for an object without the key."""
    if name not in values and default is None:
        raise PlanFileError(f"it has no {name!r}; expected a whole number from {least} to {most}")
    value = values.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise PlanFileError(
            f"{name} is {kind_of(value)}; expected a whole number from {least} to {most}"
        )
    return value


def one_of_equal(name: str, value: Any, hint: Iterable[Part] = ()) -> Any:
    """The one value of a list of equal numbers, as of each layer or kind of expert; others as they are.

    Raises:
        PlanFileError: the numbers differ.
    """
    if not isinstance(value, list) or not value or any(type(each) is not int for each in value):
        return value
    if other := [each for each in value if each != value[0]]:
        raise PlanFileError(
            f"{name} has {short(value[0])} and {short(other[0])}; expected one number for all of "
            f"its {len(value)} entries",
            hint=hint,
        )
    return value[0]


def same(what: str, said: Any, found: int) -> None:
    """Refuses a number in a file that contradicts the rest of it."""
    if type(said) is not int or said != found:
        raise PlanFileError(f"{what} is {kind_of(said)}, but by its place or length it is {found}")


def refuse_other_keys(engine: str, values: dict[Any, Any], keys: tuple[str, ...]) -> None:
    """Refuses keys that the engine does not accept."""
    if others := [short(key) for key in values if key not in keys]:
        raise PlanFileError(
            f"{engine} accepts no key {', '.join(others[:8])}; expected only {', '.join(keys)}"
        )


def torch_module(what_for: str) -> Any:
    """Torch, imported when it is needed."""
    try:
        return import_module("torch")
    except ImportError as error:
        raise PlanFileError(f"torch is needed {what_for}", hint=["pip install torch"]) from error
