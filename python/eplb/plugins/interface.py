"""Whether an engine is as a plug-in knows it."""

from __future__ import annotations

import inspect
from typing import Any


class UnknownInterfaceError(Exception):
    """An engine asks its planner in a way that is not known."""


def check_parameters(name: str, function: Any, expected: tuple[str, ...]) -> None:
    """Refuses a function with other parameters.

    Raises:
        UnknownInterfaceError
    """
    if not callable(function):
        raise UnknownInterfaceError(f"it has no function {name}")
    found = tuple(inspect.signature(function).parameters)
    if found != expected:
        raise UnknownInterfaceError(
            f"{name} has the parameters {', '.join(found)}; expected {', '.join(expected)}"
        )
