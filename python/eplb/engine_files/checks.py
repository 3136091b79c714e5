"""What the engines' readers and writers share: JSON, checks of objects and lists, torch."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from eplb.errors import PlanFileError
from eplb.plan_files import parse_json
from eplb.shown import short

#: A placement file of text holds at most so many bytes.
MAX_TEXT_BYTES = 2**27


def json_content(values: Any) -> bytes:
    """A file of one line."""
    return (json.dumps(values) + "\n").encode()


def json_values(content: bytes) -> Any:
    """Strict JSON of a limited size."""
    if len(content) > MAX_TEXT_BYTES:
        raise PlanFileError(f"it holds more than {MAX_TEXT_BYTES} bytes of text")
    return parse_json(content)


def kind_of(value: Any) -> str:
    """A value of a file, in a word or two."""
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return short(value)


def object_with(what: str, values: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """``values`` if it is an object that has these keys."""
    if not isinstance(values, dict):
        raise PlanFileError(f"{what} must be an object with keys, it is {kind_of(values)}")
    if missing := [key for key in keys if key not in values]:
        raise PlanFileError(f"{what} lacks {', '.join(missing)}")
    return values


def filled_list(what: str, values: Any) -> list[Any]:
    """``values`` if it is a list that holds something."""
    if not isinstance(values, list) or not values:
        raise PlanFileError(f"{what} must be a list, it is {kind_of(values)}")
    return values


def same(what: str, said: Any, found: int) -> None:
    """Refuses a number in a file that contradicts the rest of it."""
    if type(said) is not int or said != found:
        raise PlanFileError(f"{what} is {kind_of(said)}; by its place or length it is {found}")


def refuse_other_keys(engine: str, values: dict[Any, Any], keys: tuple[str, ...]) -> None:
    """Refuses keys that the engine would stumble over."""
    if others := [short(key) for key in values if key not in keys]:
        raise PlanFileError(
            f"{engine} takes no key {', '.join(others[:8])} beside {', '.join(keys)}"
        )


def torch_module(what_for: str) -> Any:
    """Torch, imported only here and now."""
    try:
        return import_module("torch")
    except ImportError as error:
        raise PlanFileError(f"torch is needed {what_for}: pip install torch") from error
