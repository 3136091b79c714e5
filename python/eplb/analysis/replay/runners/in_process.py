"""Cells in this process, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb.analysis.replay.runners.steps import Judged

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from eplb.analysis.replay.cells import Cell
    from eplb.analysis.replay.runners.steps import Step


class InProcess:
    """The simple runner."""

    def steps(self, cells: Mapping[int, Cell]) -> Generator[Step, None, None]:
        """Runs the cells in the order of their numbers."""
        for number in sorted(cells):
            for row in cells[number].rows():
                yield Judged(number, (row,))
