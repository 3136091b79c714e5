"""What is run, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Table = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """A run of an engine's load balancer on several ranks."""

    engine: str
    #: How the engine works; see ``vllm_rank`` and ``sglang_rank``.
    mode: str
    #: ``[models, windows, requests, layers, experts]``.
    traffic: Any
    slots: int
    #: Whether the ranks' plug-in is on.
    plugin: bool = True
    ranks: int = 4
    #: Of all ranks.
    environment: dict[str, str] = field(default_factory=dict)
    #: Of one rank.
    environment_of: dict[int, dict[str, str]] = field(default_factory=dict)
    #: Rank -> names of what goes wrong there; see ``faults``. -1 for every rank.
    faults: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def faults_of(self, rank: int) -> tuple[str, ...]:
        """What goes wrong on a rank."""
        return self.faults.get(-1, ()) + self.faults.get(rank, ())


@dataclass
class Told:
    """What a rank tells in the end."""

    rank: int
    #: For each model: the map before the first window and after each, ``[layers, slots]``.
    maps: list[list[Table]] = field(default_factory=list)
    #: How many of these the rank does not have, as it was not there yet.
    came: int = 0
    #: Weights that were not where the map says, after a window.
    misplaced: list[str] = field(default_factory=list)
    log: str = ""
    #: The traceback of what came out of the engine.
    error: str = ""
