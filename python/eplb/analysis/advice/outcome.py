"""What was tried, and which points to take, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb.analysis.advice.knees import Knee
    from eplb.analysis.advice.points import Point
    from eplb.analysis.replay.settings import Setting
    from eplb.errors import Note


@dataclass(frozen=True)
class Outcome:
    """Points on a trace, and the knee of each number of GPUs."""

    num_layers: int
    num_experts: int
    num_groups: int
    num_nodes: int
    windows: int
    #: Windows before the first plan, and from one update to the next.
    warmup: int
    every: int
    setting: Setting
    expert_bytes: int | None
    #: What a further slot of each GPU must bring, in mean balancedness.
    per_slot: float
    #: By numbers of GPUs as they were given, then by redundant slots. Only those with all windows.
    points: tuple[Point, ...]
    knees: tuple[Knee, ...]
    #: Sizes that are impossible, a line each.
    left_out: tuple[Note, ...]
    #: Whether all points are there.
    finished: bool
    #: Points, in words, that are missing because the processes that ran them were lost, and why.
    lost: dict[str, str]
