"""What a report is made of, from a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.analysis.replay.figures import window_means
from eplb.analysis.replay.text import cells_of, headings_of
from eplb.analysis.report.facts import Facts, SettingFacts, SnapshotFacts
from eplb.text import count, ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eplb.analysis.replay.events import Event
    from eplb.analysis.replay.outcome import Outcome
    from eplb.analysis.replay.result import Result
    from eplb.analysis.replay.snapshots import Snapshot


_HAPPENS = {"dead_gpus": "lost", "drain_gpus": "drained", "live_gpus": "back"}


def facts_of(replay: Outcome, values: Mapping[str, Any], title: str) -> Facts:
    """The facts; ``values`` are what ``--json`` has."""
    limits = replay.course.snapshots
    most = 0 if limits is None else limits.windows
    return Facts(
        title,
        values,
        headings_of(replay),
        [cells_of(replay, result) for result in replay.results],
        [_setting(result, most) for result in replay.results],
        [(event.window, _happens(event)) for event in replay.course.events],
    )


def _happens(event: Event) -> str:
    """A change of GPUs in words, for people who do not know the arguments of ``replan``."""
    words = []
    for name, what in _HAPPENS.items():
        if gpus := [*np.atleast_1d(event.changes.get(name, [])).tolist()]:
            words.append(f"GPU {ranges(gpus)} {what}")
    added = event.changes.get("added_gpus", 0)
    if number := len(added) if hasattr(added, "__len__") else int(added):
        words.append(f"{count(number, 'GPU')} added")
    return ", ".join(words) or str(event).partition(": ")[2]


def _setting(result: Result, most: int) -> SettingFacts:
    return SettingFacts(
        result.setting.name,
        result.setting.kind,
        [row.window for row in result.rows],
        result.balancedness,
        _worst(result, most),
    )


def _worst(result: Result, most: int) -> Sequence[SnapshotFacts]:
    """The snapshots of the worst windows, worst first; more may have been kept on the way."""
    means = window_means(result.rows)
    kept = [(row.window, row.snapshot) for row in result.rows if row.snapshot is not None]
    worst = sorted(kept, key=lambda one: (means[one[0]], one[0]))[:most]
    return [_plain(window, snapshot) for window, snapshot in worst]


def _plain(window: int, snapshot: Snapshot) -> SnapshotFacts:
    before, after = snapshot.relative_loads()
    moved = [snapshot.moved(row) for row in range(len(snapshot.layers))]
    return SnapshotFacts(window, snapshot.layers.tolist(), before, after, moved)
