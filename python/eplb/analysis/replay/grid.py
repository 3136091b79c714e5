"""Cells of one trace, and the rows that are there so far."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from eplb.analysis.replay.runners.steps import Again, Judged

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from eplb.analysis.replay.cells import Cell, Row
    from eplb.analysis.replay.kept_results import KeptResults
    from eplb.analysis.replay.runners.steps import Runner


class Grid:
    """A run of cells: which of them are done does not depend on who runs them."""

    def __init__(
        self, cells: Sequence[Cell], runner: Runner, kept: KeptResults | None = None
    ) -> None:
        self.cells = cells
        self.runner = runner
        #: The file of cells that are done, if there is one.
        self.kept = kept
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
        missing = dict(enumerate(self.cells))
        if self.kept is not None:
            for number, cell in enumerate(self.cells):
                if (rows := self.kept.rows_of(cell)) is not None:
                    del missing[number]
                    yield from self._judged(Judged(number, tuple(rows)))
        with closing(self.runner.steps(missing)) as steps:
            for step in steps:
                if isinstance(step, Judged):
                    yield from self._judged(step)
                    continue
                self.rows[step.cell].clear()
                if not isinstance(step, Again):
                    self.lost[step.cell] = step.why
        if self.kept is not None:
            self.kept.arrange(self.cells)

    def _judged(self, step: Judged) -> Iterator[int]:
        """Keeps rows, and writes a cell that is whole to the file."""
        for row in step.rows:
            row.balancedness.setflags(write=False)  # a row from another process forgot it
        self.rows[step.cell] += step.rows
        cell = self.cells[step.cell]
        if self.kept is not None and self.is_whole(step.cell) and self.kept.rows_of(cell) is None:
            self.kept.add(cell, self.rows[step.cell])
        for _ in step.rows:
            yield step.cell
