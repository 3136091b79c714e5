"""What a replay found out, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eplb.analysis.replay.cells import Course
    from eplb.analysis.replay.figures import TimeModel
    from eplb.analysis.replay.recommendation import Recommendation
    from eplb.analysis.replay.result import Result
    from eplb.errors import Note


@dataclass(frozen=True)
class Outcome:
    """What was replayed, what each setting reached, and what is recommended."""

    num_layers: int
    num_experts: int
    num_replicas: int
    num_gpus: int
    windows: int
    course: Course
    #: In the order of the settings. After an interruption, some have fewer windows, or are missing.
    results: tuple[Result, ...]
    recommendation: Recommendation
    expert_bytes: int | None
    time_model: TimeModel | None
    #: Whether all windows of all settings were judged.
    finished: bool
    #: Settings without windows because the processes that ran them were lost, and why.
    lost: Mapping[str, str]
    #: Which settings were left out because they are impossible, and why.
    notes: tuple[Note, ...]
    #: The budget of the recommendation.
    most_copies: float
