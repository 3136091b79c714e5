"""What a run moved, and how balanced the window after each update was."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from over_time.judge import balancedness

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt
    from engine_runs.case import Case, Told

    Table = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """Of all windows of a run, models together."""

    #: Slots that got an expert which their rank did not hold before.
    copies: int
    #: The same as a share of all slots, in percent.
    share: float
    #: Mean over windows and layers of mean rank load / largest, on the window after an update, percent.
    next_window: float

    def cells(self) -> list[str]:
        """For a table."""
        return [f"{self.copies:,}", f"{self.share:.1f} %", f"{self.next_window:.2f} %"]


def measured(case: Case, told: Told) -> Measured:
    """Of the maps of one rank; all ranks have the same."""
    copies, slots, cells = 0, 0, []
    for maps, traffic in zip(told.maps, case.traffic, strict=True):
        for old, new in itertools.pairwise(maps):
            copies += moved(old, new, case.ranks)
            slots += new.size
        for new, window in zip(maps[1:], traffic[1:], strict=False):
            cells.append(balancedness(new, window.sum(axis=0), case.ranks))
    return Measured(copies, 100 * copies / slots, 100 * float(np.concatenate(cells).mean()))


def moved(old: Table, new: Table, ranks: int) -> int:
    """Slots whose expert was not on their rank."""
    layers = len(old)
    before, after = old.reshape(layers, ranks, -1), new.reshape(layers, ranks, -1)
    arrived = (after[..., :, None] != before[..., None, :]).all(axis=-1)
    return int(np.count_nonzero(arrived & (after >= 0)))


def problems(told: list[Told], experts: int) -> Iterator[str]:
    """What is wrong after a run: raised, misplaced, other maps on other ranks, an expert nowhere."""
    for each in told:
        if each.error:
            yield f"rank {each.rank} raised: {each.error}"
        yield from each.misplaced[:3]
        for model, maps in enumerate(each.maps):
            # A rank that leaves tells less.
            of_first = told[0].maps[model][each.came :]
            for window, (mine, first) in enumerate(zip(maps, of_first, strict=False), each.came):
                if not np.array_equal(mine, first):
                    yield f"rank {each.rank}, model {model}: another map after window {window}"
                yield from missing(mine, experts, f"rank {each.rank}, window {window}")


def missing(phy2log: Any, experts: int, where: str) -> Iterator[str]:
    """A line for each layer that lacks an expert."""
    for layer, row in enumerate(phy2log):
        lost = sorted(set(range(experts)) - set(row.tolist()))
        if lost:
            yield f"{where}, layer {layer}: no slot has expert {lost[0]}"
