"""All ranks answer a plan, or none does.

Engines let every rank plan for itself. If one rank answers another map than the others, weights are
lost or all ranks wait for ever. So ranks compare what they are about to answer, through the key-value
store of their process group. It is not a collective: a rank that never comes costs a time limit, as
long as the store answers. The first decision in the store holds for every rank, also for one that comes
late, or that lost the store for a while.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

#: What ranks decide. Any other decision is a sentence for the log.
GO = "go"


@dataclass(frozen=True)
class Proposal:
    """What a rank is about to do."""

    #: Version and options, which never change, by their names.
    setup: dict[str, Any]
    #: Digest of the loads and the map in force.
    inputs: str
    #: Digest of the answer and what the next one depends on.
    answer: str
    #: The file that switches this rank off; empty if none does.
    off: str


@dataclass(frozen=True)
class Decision:
    """What all ranks do."""

    #: ``go``; ``off``; ``differ``: the map in force stays; ``setup`` or ``missing``: never again.
    kind: str
    reason: str = ""


class Agreement:
    """Compares the proposals of the ranks of one process group, window by window."""

    def __init__(self, store: Any, size: int, timeout: float) -> None:
        self._store, self._size, self._timeout = store, size, timeout
        self._windows = 0

    def decide(self, mine: Proposal) -> Decision:
        """What all ranks do. Ranks must call it equally often. Never raises."""
        if self._size == 1:
            return Decision("off", f"switched off by {mine.off}") if mine.off else Decision(GO)
        key = f"eplb/{self._windows}/"
        self._windows += 1
        lost: Exception | None = None
        try:
            self._propose(key, mine)
        except Exception as error:  # noqa: BLE001 - the others may have decided all the same
            lost = error
        decision = self._decision(key, lost)
        with suppress(Exception):  # whoever leaves last; not every store can
            if self._store.add(key + "left", 1) == self._size:
                for name in ("first", "problem", "ranks", "decision", "left"):
                    self._store.delete_key(key + name)
        return decision

    def _propose(self, key: str, mine: Proposal) -> None:
        """States this rank's problem, then counts it; the last one decides."""
        problem = _problem(self._first(key + "first", json.dumps(asdict(mine))), mine)
        if problem.kind != GO:
            self._first(key + "problem", json.dumps(asdict(problem)))
        if self._store.add(key + "ranks", 1) == self._size:
            found = self._value(key + "problem") or json.dumps(asdict(Decision(GO)))
            self._first(key + "decision", found)

    def _decision(self, key: str, lost: Exception | None) -> Decision:
        """What was decided; if it takes too long, that ranks are missing."""
        end, pause = time.monotonic() + self._timeout, 0.0005
        while time.monotonic() < end:
            try:
                if (found := self._value(key + "decision")) is not None:
                    return Decision(**json.loads(found))
            except Exception as error:  # noqa: BLE001
                lost = error
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
        try:
            return Decision(**json.loads(self._first(key + "decision", self._missing(key))))
        except Exception as error:  # noqa: BLE001
            return Decision("missing", f"ranks could not be compared: {lost or error}")

    def _missing(self, key: str) -> str:
        came = self._store.add(key + "ranks", 0)
        reason = (
            f"{came} of {self._size} ranks answered within {self._timeout:g} s: switch the plug-in on "
            "everywhere, and restart"
        )
        return json.dumps(asdict(Decision("missing", reason)))

    def _first(self, key: str, value: str) -> str:
        """What the first rank wrote here: ``value`` if it is this one."""
        return _text(self._store.compare_set(key, "", value))

    def _value(self, key: str) -> str | None:
        return _text(self._store.get(key)) if self._store.check([key]) else None


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _problem(stated: str, mine: Proposal) -> Decision:
    """What stands against a plan, as this rank sees it, beside the proposal that was stated first."""
    try:
        first = Proposal(**json.loads(stated))
    except (ValueError, TypeError):  # of a version that says other things
        first = Proposal({"EPLB": "of another version"}, "", "", "")
    if mine.setup != first.setup:
        return Decision("setup", _differences(first.setup, mine.setup))
    if mine.off or first.off:
        return Decision("off", f"switched off by {mine.off or first.off}")
    if mine.inputs != first.inputs:
        return Decision("differ", "ranks have other loads or other maps")
    if mine.answer != first.answer:
        return Decision("differ", "ranks have other plans, or one of them failed")
    return Decision(GO)


def _differences(first: dict[str, Any], mine: dict[str, Any]) -> str:
    """What ranks have set otherwise, as variables."""
    names = [name for name in {**first, **mine} if first.get(name) != mine.get(name)]
    said = [
        f"{'eplb' if name == 'EPLB' else f'EPLB_{name.upper()}'} is {first.get(name)} and {mine.get(name)}"
        for name in names
    ]
    return f"ranks have other versions or options: {', '.join(said)}; make them alike, and restart"
