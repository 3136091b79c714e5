"""Cells of one trace, and the rows that are there so far."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from eplb.analysis.replay.runners.steps import Again, Judged

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from eplb.analysis.replay.cells import Cell, Row
    from eplb.analysis.replay.runners.steps import Runner, Step


class Grid:
    """A run of cells: which of them are done does not depend on who runs them."""

    def __init__(self, cells: Sequence[Cell], runner: Runner) -> None:
        self.cells = cells
        self.runner = runner
        #: Rows of each cell.
        self.rows: list[list[Row]] = [[] for _ in cells]
        #: Why a cell has no rows, if the processes that ran it were lost.
        self.lost: dict[int, str] = {}

    @property
    def num_steps(self) -> int:
        """Rows of all cells."""
        return sum(cell.num_rows for cell in self.cells)

    @property
    def done(self) -> int:
        """Rows that are there."""
        return sum(map(len, self.rows))

    def is_whole(self, number: int) -> bool:
        """Whether a cell has all rows."""
        return len(self.rows[number]) == self.cells[number].num_rows

    def steps(self) -> Generator[int, None, None]:
        """Runs all cells; yields the number of a cell for each row, which is kept by then.

        Raises:
            EplbError, TypeError: as :meth:`Cell.rows`.
        """
        with closing(self.runner.steps(dict(enumerate(self.cells)))) as steps:
            for step in steps:
                self._keep(step)
                for _ in step.rows if isinstance(step, Judged) else ():
                    yield step.cell

    def _keep(self, step: Step) -> None:
        if isinstance(step, Judged):
            for row in step.rows:
                row.balancedness.setflags(write=False)  # a row from another process forgot it
            self.rows[step.cell] += step.rows
            return
        self.rows[step.cell].clear()
        if not isinstance(step, Again):
            self.lost[step.cell] = step.why
