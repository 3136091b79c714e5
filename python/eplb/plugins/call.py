"""What an engine asks of its planner, whichever engine it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.plugins import tables

if TYPE_CHECKING:
    import numpy.typing as npt

    from eplb.plan_tables import IntTable


@dataclass(frozen=True)
class Call:
    """A window of loads and the map in force."""

    #: ``[layers, experts]``, int64: the tokens of all ranks. Other numbers are no loads (``check``).
    load: npt.NDArray[Any]
    #: ``[layers, slots]``, -1 for an empty slot; None if there is no map yet. It may have more or fewer
    #: slots than the new map, if ranks come or go.
    previous: IntTable | None
    num_slots: int
    num_gpus: int
    num_nodes: int = 1
    num_groups: int = 1
    dead_gpus: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """Of the new map."""
        return len(self.load), self.num_slots

    @property
    def slots_per_gpu(self) -> int | None:
        """None if the slots cannot be shared out."""
        if self.num_gpus < 1 or self.num_slots < 1 or self.num_slots % self.num_gpus:
            return None
        return self.num_slots // self.num_gpus

    @property
    def dead(self) -> npt.NDArray[np.bool_]:
        """Which slots are on dead GPUs, ``[slots]``."""
        return tables.slots_of(self.dead_gpus, self.num_slots, self.num_gpus)

    @property
    def groups(self) -> int:
        """Groups that can be kept on nodes; 1 if the numbers do not go together."""
        groups = self.num_groups
        fits = groups > 0 and groups % self.num_nodes == 0 and self.load.shape[1] % groups == 0
        return groups if fits and self.num_gpus % self.num_nodes == 0 else 1

    def lacks(self, phy2log: IntTable) -> str:
        """What makes a map no answer, in words; empty if it is one."""
        return tables.lacks(phy2log, self.load.shape[1], self.shape, self.dead)

    @property
    def is_whole(self) -> bool:
        """Whether the map in force is an answer."""
        return self.previous is not None and not self.lacks(self.previous)

    @property
    def has_counts(self) -> bool:
        """Whether the loads are counts."""
        return self.load.dtype.kind == "i" and int(self.load.min(initial=0)) >= 0

    def check(self) -> None:
        """Refuses sizes and tables that no planner can take.

        Raises:
            ValueError
        """
        if self.load.ndim != 2 or not self.load.size:
            raise ValueError(
                f"the loads have shape {list(self.load.shape)}; expected [layers, experts]"
            )
        if self.num_nodes < 1:
            raise ValueError(f"there are {self.num_nodes} nodes")
        live = int((~self.dead).sum())
        if self.load.dtype.kind != "i":
            raise ValueError(f"the loads are not whole numbers: {_odd(self.load)}")
        if self.load.min() < 0:
            layer, expert = np.argwhere(self.load < 0)[0]
            raise ValueError(
                f"layer {layer}: the load of expert {expert} is {self.load[layer, expert]}, negative"
            )
        if live < self.load.shape[1]:
            raise ValueError(f"{live} slots are too few for {self.load.shape[1]} experts")
        if self.previous is not None:
            if self.previous.ndim != 2 or len(self.previous) != len(self.load):
                raise ValueError(
                    f"the map in force has shape {list(self.previous.shape)}; expected "
                    f"[{len(self.load)}, slots]"
                )
            if self.previous.size and self.previous.max() >= self.load.shape[1]:
                raise ValueError(
                    f"the map in force has expert {self.previous.max()}; expected at most "
                    f"{self.load.shape[1] - 1}"
                )


def _odd(load: npt.NDArray[Any]) -> Any:
    """The first that is not whole, or the type."""
    if load.dtype.kind != "f":
        return load.dtype
    odd = load[~np.isfinite(load) | (np.trunc(np.where(np.isfinite(load), load, 0)) != load)]
    return odd[0] if odd.size else load.max()
