"""Loads from text tables: a row per layer, or a row per layer and expert (a long table)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError, Parameter
from eplb.load_files.cells import cell_loads
from eplb.load_files.columns import Columns, columns_of
from eplb.load_files.labels import kinds_of, left_out, numbers_of, window_labels
from eplb.load_files.long_table import table_of_rows
from eplb.load_files.own_numbers import refuse_own_numbers

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
        columns = columns_of(table, key)
    if key is not None and (columns is None or not columns.is_long):
        raise LoadError(
            f"it has one unnamed table, not {key!r}", hint=["leave out ", Parameter("key")]
        )
    if columns is not None:
        _refuse_other_rows(columns)
        if not columns.is_wide:
            return cell_loads(table, columns, experts, keys)
        if columns.labels:
            return _wide(table, columns, experts)
    numbers = table.numbers(None if columns is None or not columns.others else columns.loads)
    if not trust:
        least = _LABELS if table.header is None else 2
        refuse_labels(table.place(0), "header", numbers[0])
        refuse_labels("column 1", "numbers of layers", numbers[:, 0], least)
    notes = () if columns is None else _others(columns, None)
    return DecodedLoads(numbers, notes=tuple(notes), text=True)


def _refuse_other_rows(columns: Columns) -> None:
    """Refuses rows of several loads that are not of a layer, but of a token, or of what is not known."""
    labels, group = columns.labels, columns.numbered
    if columns.is_long or not labels:
        return
    if not columns.loads:
        raise LoadError("it has no column of loads")
    if "token" in labels:
        name = columns.shown([labels["token"]])
        raise LoadError(
            f"it has a row for each token (column {name}); expected counts of tokens",
            hint=[
                "write a row for each expert of a token, token_id,layer,expert: these are counted"
            ],
        )
    if "layer" not in labels:
        name = columns.shown([*labels.values()][:1])
        of_layers = group is not None and group.unit == "layer"
        what = "expert" if of_layers else "layer"
        raise LoadError(f"it has a column {name}, but none of {what}s", hint=[f"name it {what}"])


def refuse_labels(where: str, what: str, cells: npt.NDArray[Any], least: int = _LABELS) -> None:
    """Refuses cells that only count: as loads they would silently give a wrong plan."""
    if len(cells) >= least and cells[0] < cells[-1] and (cells[1:] - cells[:-1] == 1).all():
        raise LoadError(
            f"{where} only counts {cells[0]}, {cells[1]}, ...; is it the {what}?",
            hint=["delete it, or give ", Parameter("trust", "True"), " if these are loads"],
        )


def _wide(table: TextTable, columns: Columns, experts: int | None) -> DecodedLoads:
    """A row per layer, a column per expert, and columns that say what a row is."""
    layers = numbers_of(table, columns.labels["layer"], "layer")
    found = window_labels(table, columns, layers)
    windows = None if found is None else found.numbers
    if (rank := columns.labels.get("rank")) is None:
        _refuse_twice(table, layers, windows)
    else:
        ranks = int(kinds_of(table, rank).max()) + 1
        refuse_own_numbers(len(np.unique(layers)), len(columns.loads), ranks, experts)
    values, named = table_of_rows(table.numbers(columns.loads), layers=layers, windows=windows)
    others = _others(columns, windows)
    labels = [index for index in columns.labels.values() if index not in left_out(columns, windows)]
    if found is not None:
        others = [*found.notes(columns), *others]
    what = "columns" if len(labels) > 1 else "column"
    row = "row" if table.what == "line" else table.what
    note = f"not loads, but what each {row} is: {what} {columns.shown(labels)}"
    return DecodedLoads(values, named, (note, *others), labelled=True)


def _others(columns: Columns, windows: npt.NDArray[Any] | None) -> list[str]:
    """A note on columns that are left out."""
    others = left_out(columns, windows)
    return [f"columns left out: {columns.shown(others)}"] if others else []


def _refuse_twice(
    table: TextTable, layers: npt.NDArray[Any], windows: npt.NDArray[Any] | None
) -> None:
    """Refuses two rows for one layer of one window."""
    times = np.zeros_like(layers) if windows is None else windows
    seen: dict[tuple[int, int], int] = {}
    for (line, _), *row in zip(table.rows, times.tolist(), layers.tolist(), strict=True):
        if (first := seen.setdefault((row[0], row[1]), line)) != line:
            raise LoadError(
                f"{table.what}s {first} and {line} are both for layer {row[1]}",
                hint=["add a column window (rows of one are a table), or rank (rows are summed)"],
            )
