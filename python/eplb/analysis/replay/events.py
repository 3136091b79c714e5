"""What happens to GPUs in the middle of a trace: failures, drains, returns, additions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from eplb.cluster_changes import Changes
from eplb.errors import EplbError
from eplb.inputs.sizes import whole_number
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAMES = {"dead": "dead_gpus", "drain": "drain_gpus", "live": "live_gpus"}
_EXAMPLES = "40:dead=5, 50:drain=8,9, 60:live=5 or 70:add=2"
_CHANGES = frozenset(each.name for each in fields(Changes))


@dataclass(frozen=True)
class Event:
    """A change of the GPUs, before a window is served. Every setting plans anew for that window."""

    window: int
    #: Arguments of :func:`eplb.replan`.
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = ", ".join(f"{name}={value}" for name, value in self.changes.items())
        return f"window {self.window}: {words}"


def events_of(given: Iterable[Any]) -> tuple[Event, ...]:
    """Events, of texts such as ``"40:dead=5"`` or pairs of a window and arguments of ``replan``.

    Raises:
        EplbError, TypeError: one is not understood.
    """
    if isinstance(given, (str, Event)):
        given = [given]
    return tuple(sorted(map(_event, given), key=lambda event: event.window))


def _event(given: Any) -> Event:
    if isinstance(given, Event):
        return given
    if isinstance(given, str):
        return _of_text(given)
    try:
        window, changes = given
        changes = dict(changes)
    except (TypeError, ValueError):
        raise EplbError(
            f"{short(given)} is not an event; expected for example '40:dead=5' or "
            "(40, {'dead_gpus': [5]})"
        ) from None
    unknown = sorted(map(str, changes.keys() - _CHANGES))
    if unknown:
        raise EplbError(
            f"event {short(given)}: {unknown[0]} is unknown; expected one of "
            f"{', '.join(sorted(_CHANGES))}"
        )
    # An iterator gives its numbers once, but every setting asks.
    kept = {
        name: [*value] if hasattr(value, "__next__") else value for name, value in changes.items()
    }
    return Event(whole_number("event", window, EplbError), kept)


def _of_text(text: str) -> Event:
    found = re.fullmatch(
        r"\s*(\d{1,9})\s*:\s*(\w+)\s*=\s*(\d{1,7}(?:\s*,\s*\d{1,7})*)\s*", text, re.ASCII
    )
    if found is None or found[2] not in {*_NAMES, "add"}:
        raise EplbError(f"{short(text)} is not an event; expected for example {_EXAMPLES}")
    numbers = [int(number) for number in found[3].split(",")]
    if found[2] != "add":
        return Event(int(found[1]), {_NAMES[found[2]]: numbers})
    if len(numbers) > 1:
        raise EplbError(f"event {short(text)}: expected one number of GPUs to add")
    return Event(int(found[1]), {"added_gpus": numbers[0]})
