"""Loads from text tables: a row per layer, or a row per layer and expert (a long table)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError, Note, Parameter
from eplb.inputs.known_models import is_usual
from eplb.load_files.columns import Columns, columns_of
from eplb.load_files.long_table import table_of_cells, table_of_rows
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from eplb.storage.csv_text import TextTable

# A row of this many numbers 0, 1, 2, ... is labels rather than loads.
_LABELS = 4


def text_loads(
    table: TextTable,
    key: str | None = None,
    *,
    experts: int | None = None,
    trust: bool = False,
    keys: Collection[str | None] = (),
) -> DecodedLoads:
    """The loads in a text table.

    Args:
        table: the lines of the file.
        key: the column with the loads of a long table; by default the one with a usual name.
        experts: logical experts per layer, if they were given: a long table may lack the last.
        trust: whether to take all columns as loads.
        keys: columns that are read as other loads, so that they are not left out.

    Raises:
        LoadError: it is not clear what the columns are.
    """
    columns = None
    if table.header is not None and not trust:
        columns = columns_of(table.header, table.width, key)
    if key is not None and (columns is None or not columns.is_long):
        raise LoadError(
            f"it has one unnamed table, not {key!r}", hint=["leave out ", Parameter("key")]
        )
    if columns is not None and columns.is_long:
        return _long(table, columns, experts, keys)
    if columns is not None and columns.labels:
        return _wide(table, columns)
    numbers = table.numbers()
    if not trust:
        least = _LABELS if table.header is None else 2
        refuse_labels(f"line {table.rows[0][0]}", "header", numbers[0])
        refuse_labels("column 1", "numbers of layers", numbers[:, 0], least)
    return DecodedLoads(numbers, text=True)


def refuse_labels(where: str, what: str, cells: npt.NDArray[Any], least: int = _LABELS) -> None:
    """Refuses cells that only count: as loads they would silently give a wrong plan."""
    if len(cells) >= least and cells[0] < cells[-1] and (cells[1:] - cells[:-1] == 1).all():
        raise LoadError(
            f"{where} only counts {cells[0]}, {cells[1]}, ...; is it the {what}?",
            hint=["delete it, or give ", Parameter("trust", "True"), " if these are loads"],
        )


def _long(
    table: TextTable, columns: Columns, experts: int | None, keys: Collection[str | None]
) -> DecodedLoads:
    """A row per layer and expert."""
    unit = "expert" if "expert" in columns.labels else "slot"
    layers, windows = (_labels(table, columns, name) for name in ("layer", "window"))
    experts_of = _numbered(table, columns.labels[unit], unit)
    values, named = table_of_cells(
        table.numbers(columns.loads)[:, 0],
        experts=experts_of,
        layers=layers,
        windows=windows,
        width=experts if unit == "expert" else None,
    )
    notes = long_notes(len(table.rows), values, experts, unit)
    others = [index for index in columns.others if columns.names[index] not in keys]
    if others:
        left = ", ".join(repr(columns.names[index][:40]) for index in others[:8])
        notes.append(f"columns left out: {left}")
    return DecodedLoads(values, named, tuple(notes), axes=(f"{unit}s",))


def long_notes(
    rows: int, values: npt.NDArray[Any], experts: int | None, unit: str = "expert"
) -> list[str]:
    """How a long table was read.

    Args:
        rows: how many it has.
        values: the table that it became.
        experts: logical experts per layer, if they were given.
        unit: what has loads: an expert or a slot.
    """
    shape = " x ".join(map(str, values.shape))
    empty = values.size - int(np.count_nonzero(values))
    note = f"{count(rows, 'row')} of layer, {unit} and load, read as a table {shape}"
    has = "has" if empty == 1 else "have"
    notes = [f"{note}; {empty} of its cells {has} no load" if empty else note]
    width = values.shape[-1]
    if experts is None and unit == "expert" and not is_usual(width):
        notes.append(
            Note(
                f"the last expert with a row is {width - 1}; if there are more, say so: ",
                Parameter("num_experts"),
            )
        )
    return notes


def _wide(table: TextTable, columns: Columns) -> DecodedLoads:
    """A row per layer, a column per expert, and columns that say what a row is."""
    names = [columns.names[index] for index in columns.labels.values()]
    if not columns.loads:
        raise LoadError("it has no column of loads")
    layers, windows = (_labels(table, columns, name) for name in ("layer", "window"))
    if layers is None:
        raise LoadError(
            f"it has a column {names[0][:40]!r}, but none of layers", hint=["name it layer"]
        )
    if "rank" not in columns.labels:
        _refuse_twice(table, layers, windows)
    values, named = table_of_rows(table.numbers(columns.loads), layers=layers, windows=windows)
    shown = ", ".join(repr(name[:40]) if name else "without a name" for name in names)
    note = f"not loads, but what each row is: {'columns' if len(names) > 1 else 'column'} {shown}"
    return DecodedLoads(values, named, (note,))


def _refuse_twice(
    table: TextTable, layers: npt.NDArray[Any], windows: npt.NDArray[Any] | None
) -> None:
    """Refuses two rows for one layer of one window."""
    times = np.zeros_like(layers) if windows is None else windows
    seen: dict[tuple[int, int], int] = {}
    for (line, _), *row in zip(table.rows, times.tolist(), layers.tolist(), strict=True):
        if (first := seen.setdefault((row[0], row[1]), line)) != line:
            raise LoadError(
                f"lines {first} and {line} are both for layer {row[1]}",
                hint=["add a column window (rows of one are a table), or rank (rows are summed)"],
            )


def _labels(table: TextTable, columns: Columns, name: str) -> npt.NDArray[np.int64] | None:
    """The number of each row's layer or window; None if no column says it."""
    index = columns.labels.get(name)
    if index is None:
        return None
    if name == "layer":
        return _numbered(table, index, name)
    seen: dict[str, int] = {}  # windows in the order of their first rows: these may be times
    return np.array([seen.setdefault(cell, len(seen)) for cell in table.column(index)], np.int64)


def _numbered(table: TextTable, index: int, what: str) -> npt.NDArray[np.int64]:
    """A column of numbers of layers, experts or slots."""
    numbers = table.numbers([index])[:, 0]
    wrong = (numbers % 1 != 0) | (numbers >= 2**31)
    if wrong.any():
        at = int(wrong.argmax())
        raise LoadError(
            f"line {table.rows[at][0]}, column {index + 1}: expected the number of a {what}, found "
            f"{numbers[at]}"
        )
    return numbers.astype(np.int64)
