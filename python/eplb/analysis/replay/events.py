"""What happens to GPUs in the middle of a trace: failures, drains, returns, additions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.cluster_changes import Changes
from eplb.clusters import DEAD, LIVE
from eplb.errors import EplbError, Parameter
from eplb.inputs.sizes import whole_number
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eplb.clusters import Cluster

_NAMES = {"dead": "dead_gpus", "drain": "drain_gpus", "live": "live_gpus"}
_EXAMPLES = "40:dead=5, 50:drain=8,9, 60:live=5 or 70:add=2"
_CHANGES = frozenset(each.name for each in fields(Changes))
#: An event adds at most this many GPUs.
MOST_ADDED = 4096


@dataclass(frozen=True)
class Event:
    """A change of the GPUs, before a window is served. Every setting plans anew for that window."""

    window: int
    #: Arguments of :func:`eplb.replan`.
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = ", ".join(f"{name}={value}" for name, value in self.changes.items())
        return f"window {self.window}: {words}"

    def on(self, cluster: Cluster) -> Cluster:
        """The GPUs after it.

        Raises:
            EplbError, TypeError: it cannot happen to these.
        """
        after, states = cluster.changed(**self.changes), cluster.states
        for name, wrong, why in (
            ("live_gpus", LIVE, "is in use, so it cannot come back"),
            ("dead_gpus", DEAD, "is lost already"),
        ):
            for gpu in self.changes.get(name, ()):
                if gpu < len(states) and states[gpu] == wrong:
                    raise EplbError(Parameter(name, short([gpu])), f": GPU {gpu} {why}")
        return after

    @property
    def emptied(self) -> frozenset[int]:
        """GPUs that have lost what they held: those that die, and those that come back."""
        names = ("dead_gpus", "live_gpus")
        return frozenset(gpu for name in names for gpu in self.changes.get(name, ()))


def after(cluster: Cluster, events: Iterable[Event]) -> tuple[Cluster, frozenset[int]]:
    """The GPUs after events, one after the other, and those of them that have lost what they held.

    Raises:
        EplbError, TypeError: one cannot happen; the error names its window.
    """
    emptied: frozenset[int] = frozenset()
    for event in events:
        place = f"event at window {event.window}"
        try:
            cluster = event.on(cluster)
        except EplbError as error:
            raise error.within(place) from error
        except TypeError as error:
            raise TypeError(f"{place}: {error}") from error
        emptied |= event.emptied
    return cluster, emptied


def events_of(given: Any) -> tuple[Event, ...]:
    """Events, of texts such as ``"40:dead=5"`` or pairs of a window and arguments of ``replan``.

    Raises:
        EplbError, TypeError: one is not understood.
    """
    if given is None:
        return ()
    if isinstance(given, (str, Event)) or _is_pair(given):
        given = [given]
    try:
        listed: Sequence[Any] = [*given]
    except TypeError:
        raise TypeError(
            f"events must be a list, got {short(given)}; expected for example ['40:dead=5']"
        ) from None
    return tuple(sorted(map(_event, listed), key=lambda event: event.window))


def _is_pair(given: Any) -> bool:
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], Mapping)


def _event(given: Any) -> Event:
    if isinstance(given, str):
        return _of_text(given)
    try:
        window, changes = (given.window, given.changes) if isinstance(given, Event) else given
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
    kept = {name: _plain(f"event {short(given)}: {name}", value) for name, value in changes.items()}
    return _checked(Event(whole_number("window of an event", window, EplbError, least=0), kept))


def _plain(name: str, value: Any) -> Any:
    """A number, or a list of numbers: an iterator gives them once, but every setting asks."""
    if value is None or (np.ndim(value) == 0 and not hasattr(value, "__iter__")):
        return None if value is None else whole_number(name, value, EplbError, least=0)
    return [whole_number(name, each, EplbError, least=0) for each in value]


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
    return _checked(Event(int(found[1]), {"added_gpus": numbers[0]}))


def _checked(event: Event) -> Event:
    """Refuses more GPUs than there ever are: a few letters must not fill the memory."""
    added = event.changes.get("added_gpus") or 0
    number = len(added) if isinstance(added, list) else added
    if number > MOST_ADDED:
        raise EplbError(
            f"event at window {event.window}: {number} GPUs are added; expected at most {MOST_ADDED}"
        )
    return event
