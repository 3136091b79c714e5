"""Columns of labels in text tables: numbers of layers and experts, windows of time."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

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
_IN_WORDS = re.compile(
    r"([^0-9]*?)([+-]?[0-9]{1,20}(?:[.][0-9]{0,20})?(?:[eE][+-]?[0-9]{1,3})?)([^0-9]*)", re.ASCII
)
_DATE = re.compile(
    r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})"
    r"(?:[T ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:[.][0-9]{1,9})?))?)?"
    r" ?(Z|UTC|[+-][0-9]{2}:?[0-9]{2})?",
    re.ASCII,
)


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


def window_labels(
    table: TextTable, columns: Columns, layers: Numbers | None, experts: int = 1
) -> Numbers | None:
    """The window of each row, from 0, the oldest first; None if no column says it.

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
    windows = kinds_of(table, index)
    if "window" in columns.labels:
        return windows
    if not columns.loads or layers is None or not windows.any():  # times of tokens, or one time
        return None
    kinds, rows = np.unique(layers, return_inverse=True)
    pairs = len(np.unique(windows * len(kinds) + rows))
    full = 2 * pairs >= (int(windows.max()) + 1) * len(kinds)
    return windows if full and len(rows) >= experts * pairs else None


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
    names = [*names]
    times = _times(names)
    if times is None:
        return names
    return [names[at] for at in sorted(range(len(names)), key=times.__getitem__)]


def span_of(table: TextTable, index: int, windows: Numbers) -> str:
    """The first and the last window by their names in a column, for a note."""
    cells = table.column(index)
    first, last = (short(cells[int((windows == at).argmax())]) for at in (0, windows.max()))
    order = "" if _times([*dict.fromkeys(cells)]) else ", in the order of the file"
    return f"from {first} to {last}{order}"


def _times(names: list[str]) -> list[Any] | None:
    """What names of times are sorted by; None if it is not certain.

    Dates with the year first, and numbers with the same words around them: ``2026-11-28 9:00``,
    ``step_10``, ``60s``.
    """
    dates = [_DATE.fullmatch(name.strip()) for name in names]
    try:
        found = [_instant(date) for date in dates if date is not None]
    except ValueError:  # no such day or hour
        return None
    zones = {date[7] is None for date in dates if date is not None}
    if len(found) == len(names):
        return found if len(zones) == 1 else None
    numbers = [_IN_WORDS.fullmatch(name.strip()) for name in names]
    kinds = {(number[1], number[3]) for number in numbers if number is not None}
    if None in numbers or len(kinds) > 1:
        return None
    # A hyphen after a word is no sign.
    return [Fraction(n[2].lstrip("+-") if n[1] else n[2]) for n in numbers if n is not None]


def _instant(date: re.Match[str]) -> tuple[datetime, Fraction]:
    """A date to the minute of UTC, and seconds; a date without a zone stays as it is."""
    year, month, day, hour, minute = (int(date[at] or 0) for at in range(1, 6))
    zone = (date[7] or "").replace(":", "")
    away = timedelta()
    if zone[:1] in ("+", "-"):
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
    instant = datetime(year, month, day, hour, minute)  # noqa: DTZ001
    return instant + (away if zone.startswith("-") else -away), Fraction(date[6] or 0)


def left_out(columns: Columns, windows: Numbers | None) -> list[int]:
    """The columns that say nothing of the loads: tokens, and times that are not windows, too."""
    names = ["token", "time"] + ["local"] * (columns.row != "local")
    unused = [columns.labels[name] for name in names if name in columns.labels]
    if windows is not None and columns.time is not None:
        unused.remove(columns.time)
    return sorted({*columns.others, *unused})
