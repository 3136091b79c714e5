"""Columns of labels in text tables: numbers of layers and experts, windows of time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eplb.errors import LoadError
from eplb.load_files.times import in_time
from eplb.storage.csv_text import looks_like_number
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eplb.load_files.columns import Columns
    from eplb.storage.csv_text import TextTable

    Numbers = npt.NDArray[np.int64]

_NUMBER = re.compile(r"[0-9]+", re.ASCII)


def numbers_of(table: TextTable, index: int, what: str) -> Numbers:
    """A column of numbers of layers, experts, slots or ranks, maybe in words: ``layers.3.mlp``.

    Raises:
        LoadError: a cell has no number or several, or two different cells have one number.
    """
    first = table.first[index]
    if not looks_like_number(first) and any(character.isalpha() for character in first):
        return _in_words(table, index, what)
    numbers = table.numbers([index])[:, 0]
    wrong = (numbers % 1 != 0) | (numbers >= 2**31)
    if wrong.any():
        at = int(wrong.argmax())
        raise _not_a_number(table, index, what, at, str(numbers[at]))
    return numbers.astype(np.int64)


def _in_words(table: TextTable, index: int, what: str) -> Numbers:
    known: dict[str, int] = {}
    by_number: dict[int, str] = {}
    numbers = []
    for at, cell in enumerate(table.column(index)):
        if cell not in known:
            found = _NUMBER.findall(cell)
            if len(found) != 1 or len(found[0]) > 9:
                raise _not_a_number(table, index, what, at, short(cell))
            number = int(found[0])
            if (other := by_number.setdefault(number, cell)) != cell:
                raise LoadError(
                    f"{table.place(at)}, column {index + 1}: {short(cell)} and "
                    f"{short(other)} have the same number; expected one name for each {what}",
                    hint=["keep the rows of one of them, or write numbers instead"],
                )
            known[cell] = number
        numbers.append(known[cell])
    return np.array(numbers, np.int64)


def _not_a_number(table: TextTable, index: int, what: str, at: int, found: str) -> LoadError:
    return LoadError(
        f"{table.place(at)}, column {index + 1}: expected the number of a {what}, found {found}",
        hint=["write the number alone, such as 3"],
    )


@dataclass(frozen=True)
class Windows:
    """The windows of rows."""

    #: Of each row, from 0, the oldest first.
    numbers: Numbers
    #: Names of the oldest and the newest.
    first: str
    last: str
    #: Whether the names say which is older; otherwise they are in the order of the file.
    certain: bool

    def notes(self, columns: Columns) -> list[str]:
        """A note on windows by times, or that the order is that of the file if names do not tell."""
        index = columns.labels.get("window", columns.time)
        column = columns.shown([] if index is None else [index])
        if self.certain:
            both = f"from {self.first} to {self.last}"
            return [] if columns.time is None else [f"windows by column {column}, {both}"]
        both = f"from {short(self.first)} to {short(self.last)}"
        why = f"column {column} does not say for certain which is the newest, but numbers would"
        return [f"windows in the order of the file, {both}: {why}"]


def window_labels(
    table: TextTable, columns: Columns, layers: Numbers | None, experts: int = 1
) -> Windows | None:
    """The window of each row; None if no column says it.

    A column of times is one of windows if these have all layers, as each token goes through all. A
    few may lack some, as the last one that a recorder began.

    Args:
        table: the lines of the file.
        columns: what they are.
        layers: the layer of each row.
        experts: rows that a layer has in a window at least, on average: else times are those of rows.
    """
    index = columns.labels.get("window", columns.time)
    if index is None:
        return None
    found = _oldest_first(table, index)
    if "window" in columns.labels:
        return found
    windows = found.numbers
    if not columns.loads or layers is None or not windows.any():  # times of tokens, or one time
        return None
    kinds, rows = np.unique(layers, return_inverse=True)
    pairs = len(np.unique(windows * len(kinds) + rows))
    full = 2 * pairs >= (int(windows.max()) + 1) * len(kinds)
    return found if full and len(rows) >= experts * pairs else None


def kinds_of(table: TextTable, index: int) -> Numbers:
    """Equal numbers from 0 for equal cells of a column."""
    if (numbers := table.integers(index)) is not None:
        return np.unique(numbers, return_inverse=True)[1]
    return _by_first_rows(table.column(index))[1]


def _by_first_rows(cells: Sequence[str]) -> tuple[list[str], Numbers]:
    """The different cells in the order of their first rows, and which each is."""
    names = list(dict.fromkeys(cells))
    number = {name: at for at, name in enumerate(names)}
    return names, np.array([number[cell] for cell in cells], np.int64)


def _oldest_first(table: TextTable, index: int) -> Windows:
    """The windows that a column names."""
    if (numbers := table.integers(index)) is not None:
        different, windows = np.unique(numbers, return_inverse=True)
        return Windows(windows, str(different[0]), str(different[-1]), certain=True)
    names, rows = _by_first_rows(table.column(index))
    keys = in_time(names)
    if keys is None:
        return Windows(rows, names[0], names[-1], certain=len(names) == 1)
    place = {key: at for at, key in enumerate(sorted(set(keys)))}
    order = np.array([place[key] for key in keys], np.int64)
    first, last = names[int(order.argmin())], names[int(order.argmax())]
    return Windows(order[rows], first, last, certain=True)


def left_out(columns: Columns, windows: object) -> list[int]:
    """The columns that say nothing of the loads: tokens, and times that are not windows, too."""
    names = ["token", "time"] + ["local"] * (columns.row != "local")
    unused = [columns.labels[name] for name in names if name in columns.labels]
    if windows is not None and columns.time is not None:
        unused.remove(columns.time)
    return sorted({*columns.others, *unused})
