"""Columns of labels in text tables: numbers of layers and experts, windows of time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from eplb.errors import LoadError
from eplb.storage.csv_text import looks_like_number
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from eplb.load_files.columns import Columns
    from eplb.storage.csv_text import TextTable

    Numbers = npt.NDArray[np.int64]

_NUMBER = re.compile(r"[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?[0-9]{1,20}([.][0-9]{0,20})?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+Z?)?", re.ASCII)


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


def window_labels(table: TextTable, columns: Columns, layers: Numbers | None) -> Numbers | None:
    """The window of each row, from 0, the oldest first; None if no column says it.

    A column of times is one of windows if these have all layers, as each token goes through all. A
    few may lack some, as the last one that a recorder began.
    """
    index = columns.labels.get("window", columns.time)
    if index is None:
        return None
    windows = kinds_of(table, index)
    if "window" in columns.labels:
        return windows
    if not columns.loads or layers is None or not windows.any():  # times of tokens, or one time
        return None
    kinds, rows = np.unique(layers, return_inverse=True)
    pairs = len(np.unique(windows * len(kinds) + rows))
    return windows if 2 * pairs >= (int(windows.max()) + 1) * len(kinds) else None


def kinds_of(table: TextTable, index: int) -> Numbers:
    """Equal numbers from 0 for equal cells of a column, the oldest first."""
    if (numbers := table.integers(index)) is not None:
        return np.unique(numbers, return_inverse=True)[1]
    cells = table.column(index)
    names = _oldest_first(dict.fromkeys(cells))
    number = {name: at for at, name in enumerate(names)}
    return np.array([number[cell] for cell in cells], np.int64)


def _oldest_first(names: Iterable[str]) -> list[str]:
    """Numbers and dates in order; other names in the order of their first rows."""
    ordered = [*names]
    if all(_FLOAT.fullmatch(name) for name in ordered):
        return sorted(ordered, key=float)
    return sorted(ordered) if all(_DATE.fullmatch(name) for name in ordered) else ordered


def left_out(columns: Columns, windows: Numbers | None) -> list[int]:
    """The columns that say nothing of the loads: tokens, and times that are not windows, too."""
    names = ["token", "time"] + ["local"] * (columns.row != "local")
    unused = [columns.labels[name] for name in names if name in columns.labels]
    if windows is not None and columns.time is not None:
        unused.remove(columns.time)
    return sorted({*columns.others, *unused})
