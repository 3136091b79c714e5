"""Points: what so many redundant slots on so many GPUs reach, and what they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eplb.analysis.replay.cells import Row
    from eplb.analysis.replay.figures import Figures


@dataclass(frozen=True)
class Point:
    """A number of redundant slots on a number of GPUs."""

    num_gpus: int
    #: Redundant slots per layer, of all GPUs.
    redundant: int
    #: Slots per layer, of all GPUs.
    num_replicas: int
    num_layers: int
    #: Bytes of the weights of one expert of one layer, if they are known.
    expert_bytes: int | None
    rows: tuple[Row, ...]
    figures: Figures

    @property
    def slots_per_gpu(self) -> int:
        """Slots of a GPU, per layer."""
        return self.num_replicas // self.num_gpus

    @property
    def gigabytes(self) -> float | None:
        """Expert weights of all layers on each GPU, in 10^9 bytes; None if bytes are not known."""
        return self._gigabytes(self.num_replicas)

    @property
    def redundant_gigabytes(self) -> float | None:
        """What of it the redundant slots take, the mean over GPUs."""
        return self._gigabytes(self.redundant)

    def _gigabytes(self, slots: int) -> float | None:
        if self.expert_bytes is None:
            return None
        return slots * self.num_layers * self.expert_bytes / (self.num_gpus * 10**9)
