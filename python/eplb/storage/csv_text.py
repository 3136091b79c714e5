"""Text tables: lines of cells, maybe with a header; cells of numbers."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.errors import LoadError, Part
from eplb.inputs.loads import MAX_LOAD
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}([,.'_ \u00a0\u2009\u202f][0-9]{3})+([.,][0-9]+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
# Text that numpy reads exactly, so that it may read it at once.
_PLAIN_INTEGERS = re.compile(r"[0-9]{1,19}(?:,[0-9]{1,19})*", re.ASCII)
_PLAIN_FLOATS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,30})?(?:,[0-9]{1,15}(?:\.[0-9]{1,30})?)*")
# Names of rows below a table, as spreadsheets and pandas.DataFrame.describe write them.
_FIGURES = frozenset(
    {"total", "totals", "sum", "all", "count", "mean", "average", "avg", "std", "min", "max"}
    | {"median", "25%", "50%", "75%"}
)
_QUOTED = re.compile(r'"[^"]*"')


@dataclass(frozen=True)
class TextTable:
    """Lines of equally many cells, at least one."""

    #: The cells of the header; None if the first line has numbers.
    header: tuple[str, ...] | None
    #: Number of the line in the file, and its text.
    rows: list[tuple[int, str]]
    #: Cells of each row.
    width: int
    #: What is numbered, for messages: a record of JSON is written as a line too.
    what: str = "line"

    def place(self, row: int) -> str:
        """Where a row is, for messages."""
        return f"{self.what} {self.rows[row][0]}"

    def _cells(self, line: int, row: str) -> list[str]:
        return _cells(f"{self.what} {line}", row)

    @cached_property
    def _integers(self) -> npt.NDArray[np.uint64] | None:
        """All numbers, read at once, if they are plain integers with commas between."""
        if len(self.rows) * self.width > limits.MAX_LOADS:
            raise LoadError(f"it has more than {limits.MAX_LOADS} cells")
        text = ",".join(row for _, row in self.rows)
        if not _PLAIN_INTEGERS.fullmatch(text):
            return None
        return np.fromstring(text, np.uint64, sep=",").reshape(-1, self.width)

    @cached_property
    def first(self) -> list[str]:
        """The cells of the first row, as text."""
        return self._cells(*self.rows[0])

    def integers(self, index: int) -> npt.NDArray[np.uint64] | None:
        """A column of a table of plain integers, which is fast; None if others are in the table."""
        return None if self._integers is None else self._integers[:, index]

    def column(self, index: int) -> list[str]:
        """The cells of a column, as text."""
        return [self._cells(line, row)[index] for line, row in self.rows]

    def numbers(self, columns: Sequence[int] | None = None) -> npt.NDArray[Any]:
        """The numbers in all columns or some, ``[rows, columns]``: uint64, or float64.

        Raises:
            LoadError: a cell is not a number; the message names line and column.
        """
        if self._integers is not None:
            return self._integers if columns is None else self._integers[:, list(columns)]
        what = self.what
        if columns is None:
            rows = [_numbers(f"{what} {line}", row) for line, row in self.rows]
        else:
            rows = [_chosen_numbers(f"{what} {line}", row, columns) for line, row in self.rows]
        if len({row.dtype for row in rows}) > 1:
            for (line, _), numbers in zip(self.rows, rows, strict=True):
                _refuse_inexact(f"{what} {line}", numbers.tolist())
        return np.stack(rows)


def text_table(text: str, *, labelled: bool = True) -> TextTable:
    """The table in a text: a first line without numbers is a header.

    Separators are commas, semicolons, tabs or spaces; lines that start with ``#`` are comments;
    cells may be in double quotes.

    Args:
        text: the file.
        labelled: whether a first line that begins with a name, or with nothing, as pandas writes
            it, is a header even if numbers follow.

    Raises:
        LoadError: it has no row of numbers, or rows of different lengths.
    """
    header: tuple[str, ...] | None = None
    rows: list[tuple[int, str]] = []
    width = 0
    for line, row in _lines(text):
        if row.count(_separator(row) or " ") >= limits.MAX_COLUMNS:
            raise LoadError(f"line {line} has more than {limits.MAX_COLUMNS} columns")
        if not rows and header is None:
            cells = _cells(f"line {line}", row)
            if _is_header(cells, labelled=labelled):
                header = tuple(cells)
                continue
        found = _width(f"line {line}", row)
        width = width or found
        if found != width:
            raise LoadError(
                f"line {line} has {count(found, 'column')}, but line {rows[0][0]} has {width}"
            )
        rows.append((line, row))
        if len(rows) > limits.MAX_ROWS:
            raise LoadError(f"line {line}: at most {limits.MAX_ROWS} rows are read")
    if not rows:
        raise LoadError("it has no row of numbers")
    return TextTable(header, rows, width)


def _is_header(cells: list[str], *, labelled: bool) -> bool:
    first, *others = (looks_like_number(cell) for cell in cells)
    if not first and labelled and _is_name(cells[0]):
        return True
    return not first and not any(others)


def _is_name(cell: str) -> bool:
    """Whether the first cell of a line can be the name of a column of labels."""
    return not cell or any(character.isalpha() for character in cell)


def looks_like_number(cell: str) -> bool:
    """Whether a cell is a number for anybody: spreadsheets write separators too."""
    if _THOUSANDS.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank or comments, numbered from 1."""
    for line, row in enumerate(io.StringIO(text, newline=None), 1):
        stripped = row.strip()
        if stripped and not stripped.startswith("#"):
            yield line, row.strip(" \r\n")


def _separator(row: str) -> str | None:
    """What separates the cells of a row; None is any space."""
    bare = _QUOTED.sub("", row) if '"' in row else row
    return next((mark for mark in ";,\t" if mark in bare), None)


def _cells(place: str, row: str) -> list[str]:
    """The cells of a row, without quotes and spaces around them."""
    separator = _separator(row)
    if '"' not in row:
        return [cell.strip() for cell in row.split(separator)]
    reader = csv.reader([row], delimiter=separator or " ", skipinitialspace=True, strict=True)
    try:
        return [cell.strip() for cell in next(reader)]
    except csv.Error as error:
        raise LoadError(f"{place}: its quotes do not match ({error})") from error


def _width(place: str, row: str) -> int:
    """How many cells a row has."""
    separator = _separator(row)
    plain = separator is not None and '"' not in row
    return row.count(separator) + 1 if plain and separator else len(_cells(place, row))


def _numbers(place: str, row: str) -> npt.NDArray[Any]:
    """The numbers of a row: uint64 if all are whole, else float64."""
    if _PLAIN_INTEGERS.fullmatch(row):
        return np.fromstring(row, np.uint64, sep=",")
    if _PLAIN_FLOATS.fullmatch(row):
        return np.fromstring(row, np.float64, sep=",")
    return _parsed(place, list(enumerate(_cells(place, row), 1)))


def _chosen_numbers(place: str, row: str, columns: Sequence[int]) -> npt.NDArray[Any]:
    cells = _cells(place, row)
    return _parsed(place, [(column + 1, cells[column]) for column in columns])


def _parsed(place: str, cells: list[tuple[int, str]]) -> npt.NDArray[Any]:
    values = [_number(place, column, cell) for column, cell in cells]
    whole = all(isinstance(value, int) for value in values)
    if not whole:
        _refuse_inexact(place, values)
    return np.array(values, np.uint64 if whole else np.float64)


def _number(place: str, column: int, cell: str) -> int | float:
    place = f"{place}, column {column}"
    value: int | float
    if _INTEGER.fullmatch(cell) and len(cell) < 40:
        value = int(cell)
    elif _FLOAT.fullmatch(cell):
        value = float(cell)
    else:
        shown = repr(cell[:40]) if cell else "nothing"
        raise LoadError(f"{place}: expected a finite number, found {shown}", hint=_plain(cell))
    if value < 0 or value == math.inf:
        raise LoadError(
            f"{place}: the load is {cell[:40]}; expected a finite number that is not negative"
        )
    if isinstance(value, int) and value > MAX_LOAD:
        raise LoadError(f"{place}: the load is {cell}; expected an integer from 0 to 2**64 - 1")
    return value


def _plain(cell: str) -> list[Part]:
    """How to write a number that a spreadsheet wrote."""
    if _THOUSANDS.fullmatch(cell):
        return ["write numbers without thousands separators, such as 1234567"]
    if _DECIMAL_COMMA.fullmatch(cell):
        return ["write decimals with a point, such as 1.5"]
    if cell.strip().lower() in _FIGURES:
        return ["delete the rows of figures, such as total or mean: these are no layers"]
    return []


def _refuse_inexact(place: str, values: Sequence[int | float]) -> None:
    """Refuses integers that float64 cannot hold exactly."""
    for column, value in enumerate(values, 1):
        if isinstance(value, int) and int(float(value)) != value:
            raise LoadError(
                f"{place}, column {column}: the load is {value}; among floats, an integer "
                "must be exact as a float64"
            )
