"""What a report is made of, from a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.analysis.replay.figures import window_means
from eplb.analysis.replay.text import cells_of, headings_of
from eplb.analysis.report.facts import Facts, SettingFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eplb.analysis.replay.outcome import Outcome
    from eplb.analysis.replay.result import Result
    from eplb.analysis.replay.snapshots import Snapshot


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
        [(event.window, str(event).partition(": ")[2]) for event in replay.course.events],
    )


def _setting(result: Result, most: int) -> SettingFacts:
    return SettingFacts(
        result.setting.name,
        result.setting.usable,
        result.setting.kind == "trivial",
        [row.window for row in result.rows],
        result.balancedness,
        _worst(result, most),
    )


def _worst(result: Result, most: int) -> Sequence[Mapping[str, Any]]:
    """The snapshots of the worst windows, worst first; more may have been kept on the way."""
    means = window_means(result.rows)
    kept = [(row.window, row.snapshot) for row in result.rows if row.snapshot is not None]
    worst = sorted(kept, key=lambda one: (means[one[0]], one[0]))[:most]
    return [_plain(window, snapshot) for window, snapshot in worst]


def _plain(window: int, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "window": window,
        "layers": snapshot.layers.tolist(),
        "before": snapshot.before.tolist(),
        "after": snapshot.after.tolist(),
        "moved": [
            [(one.expert, one.share, [*one.gpus_before], [*one.gpus_after]) for one in layer]
            for layer in snapshot.moved
        ],
        "num_moved": [*snapshot.num_moved],
    }
