"""What runners tell while cells run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from eplb.analysis.replay.cells import Cell, Row


@dataclass(frozen=True)
class Judged:
    """The next rows of a cell."""

    cell: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Again:
    """A cell starts from its first row again, because the process that ran it was lost."""

    cell: int


@dataclass(frozen=True)
class Lost:
    """A cell has no rows, because the processes that ran it were lost."""

    cell: int
    why: str


Step = Judged | Again | Lost


class Runner(Protocol):
    """Runs cells of one trace."""

    def steps(self, cells: Mapping[int, Cell]) -> Generator[Step, None, None]:
        """Runs the cells, by their numbers. If the generator is closed, everything is stopped.

        Raises:
            EplbError, TypeError: a cell fails: that of the lowest number, whatever the order in which
                cells end.
        """
        ...
