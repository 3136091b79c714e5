"""Text tables: a row per layer, a column per expert."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.errors import LoadError, Parameter
from eplb.inputs.loads import MAX_LOAD
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
# Rows that numpy reads exactly, so that it may read them at once.
_PLAIN_INTEGERS = re.compile(r"[0-9]{1,19}(?:,[0-9]{1,19})*", re.ASCII)
_PLAIN_FLOATS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,30})?(?:,[0-9]{1,15}(?:\.[0-9]{1,30})?)*")
# A row of this many numbers 0, 1, 2, ... is labels rather than loads.
_LABELS = 4


def csv_table(text: str, *, trust: bool = False) -> npt.NDArray[Any]:
    """A table of numbers, uint64 or float64; a first line without numbers is a header.

    Separators are commas, semicolons, tabs or spaces; lines that start with ``#`` are comments.

    Args:
        text: the file.
        trust: accept a row or column that only counts 0, 1, 2, ... as loads.

    Raises:
        LoadError: it is not a table of numbers; the message names the line and column.
    """
    lines: list[int] = []
    rows: list[npt.NDArray[Any]] = []
    cells = 0
    header_seen = False
    for line, row in _csv_lines(text):
        separator = next((mark for mark in ",;\t" if mark in row), None)  # None: any space
        if len(row.split(separator, limits.MAX_COLUMNS)) > limits.MAX_COLUMNS:
            raise LoadError(f"line {line} has more than {limits.MAX_COLUMNS} columns")
        if not rows and not header_seen:
            first = [cell.strip() for cell in row.split(separator)]
            if not trust:
                _refuse_index_column(line, first[0])
            # Quoted numbers, as of a spreadsheet, are no header: they are refused below.
            if not any(_looks_like_number(cell.strip("\"'")) for cell in first):
                header_seen = True
                continue
        rows.append(_numbers(line, row, separator))
        lines.append(line)
        cells += len(rows[-1])
        if len(rows[-1]) != len(rows[0]):
            raise LoadError(
                f"line {line} has {count(len(rows[-1]), 'column')}, but line {lines[0]} has {len(rows[0])}"
            )
        if len(rows) > limits.MAX_ROWS or cells > limits.MAX_LOADS:
            raise LoadError(
                f"line {line}: at most {limits.MAX_ROWS} rows and {limits.MAX_LOADS} loads are read"
            )
    if not rows:
        raise LoadError("it has no row of numbers")
    if not trust:
        column = np.array([row[0] for row in rows])
        _refuse_labels(f"line {lines[0]}", "header", rows[0], _LABELS)
        _refuse_labels("column 1", "numbers of layers", column, 2 if header_seen else _LABELS)
    if len({row.dtype for row in rows}) > 1:
        for line, numbers in zip(lines, rows, strict=True):
            _refuse_inexact(line, numbers.tolist())
    return np.stack(rows)


def _csv_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank or comments, numbered from 1."""
    for line, row in enumerate(io.StringIO(text, newline=None), 1):
        stripped = row.strip()
        if stripped and not stripped.startswith("#"):
            yield line, row.strip(" \r\n")


def _numbers(line: int, row: str, separator: str | None) -> npt.NDArray[Any]:
    """The numbers of a row: uint64 if all are whole, else float64."""
    if _PLAIN_INTEGERS.fullmatch(row):
        return np.fromstring(row, np.uint64, sep=",")
    if _PLAIN_FLOATS.fullmatch(row):
        return np.fromstring(row, np.float64, sep=",")
    parts = row.split(separator)
    values = [_number(line, column, cell.strip()) for column, cell in enumerate(parts, 1)]
    whole = all(isinstance(value, int) for value in values)
    if not whole:
        _refuse_inexact(line, values)
    return np.array(values, np.uint64 if whole else np.float64)


def _looks_like_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(line: int, column: int, cell: str) -> int | float:
    place = f"line {line}, column {column}"
    value: int | float
    if _INTEGER.fullmatch(cell) and len(cell) < 40:
        value = int(cell)
    elif _FLOAT.fullmatch(cell):
        value = float(cell)
    else:
        shown = repr(cell[:40]) if cell else "nothing"
        raise LoadError(f"{place}: expected a finite number, found {shown}")
    if value < 0 or value == math.inf:
        raise LoadError(
            f"{place}: the load is {cell[:40]}; expected a finite number that is not negative"
        )
    if isinstance(value, int) and value > MAX_LOAD:
        raise LoadError(f"{place}: the load is {cell}; expected an integer from 0 to 2**64 - 1")
    return value


def _refuse_inexact(line: int, values: Sequence[int | float]) -> None:
    """Refuses integers that float64 cannot hold exactly."""
    for column, value in enumerate(values, 1):
        if isinstance(value, int) and int(float(value)) != value:
            raise LoadError(
                f"line {line}, column {column}: the load is {value}; among floats, an integer "
                "must be exact as a float64"
            )


def _refuse_index_column(line: int, cell: str) -> None:
    """Refuses a header with a column of layers, which pandas leaves unnamed."""
    if cell.lower() in ("", "layer", "layers", "layer_id", "index"):
        raise LoadError(
            f"line {line} starts with {cell!r}; is column 1 the numbers of layers?",
            hint=["delete the column, or with pandas use to_csv(index=False, header=False)"],
        )


def _refuse_labels(where: str, what: str, cells: npt.NDArray[Any], least: int) -> None:
    """Refuses cells that only count: as loads they would silently give a wrong plan."""
    if len(cells) >= least and cells[0] < cells[-1] and (cells[1:] - cells[:-1] == 1).all():
        raise LoadError(
            f"{where} only counts {cells[0]}, {cells[1]}, ...; is it the {what}?",
            hint=["delete it, or give ", Parameter("trust", "True"), " if these are loads"],
        )
