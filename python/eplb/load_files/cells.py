"""Text tables as cells, each with the numbers of its layer and expert: whatever its rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError, Note, Parameter
from eplb.inputs.known_models import is_usual
from eplb.load_files.column_names import role_of
from eplb.load_files.labels import kinds_of, left_out, numbers_of, window_labels
from eplb.load_files.long_table import table_of_cells
from eplb.load_files.own_numbers import refuse_own_numbers
from eplb.text import count, ranges

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from eplb.load_files.column_names import Numbered
    from eplb.load_files.columns import Columns
    from eplb.load_files.labels import Windows
    from eplb.storage.csv_text import TextTable

    Numbers = npt.NDArray[np.int64]

# What a load may be of, the first that is known.
_UNITS = ("expert", "slot", "local")
# A row of a layer and time alone is no window.
_LEAST_EXPERTS = 2
# With fewer layers, an expert may be absent from all by chance.
_PLAIN_LAYERS = 4


def cell_loads(
    table: TextTable, columns: Columns, experts: int | None, keys: Collection[str | None] = ()
) -> DecodedLoads:
    """The loads in a table whose rows or columns are not the layers and experts in order.

    Args:
        table: the lines of the file.
        columns: what they are.
        experts: logical experts per layer, if they were given: the table may lack the last.
        keys: columns that are read by another key.

    Raises:
        LoadError: it is not clear what a row is, or a number is invalid.
    """
    loads = np.ones((len(table.rows), 1), np.uint64)  # each row is one token
    if columns.loads:
        loads = table.numbers(columns.loads)
    labels, windows = _labels(table, columns, loads.shape[1], experts)
    unit = next(name for name in _UNITS if name in labels)
    slots, of, summed = "", unit, []
    if unit == "local":
        slots, of, unit = _number_slots(labels, columns), "rank, local expert", "slot"
    elif "rank" in labels and unit == "slot":
        ranks = count(int(labels["rank"].max()) + 1, "rank")
        slots = f"summed over {ranks}: if each rank numbers its own, write local for slot"
    elif "rank" in labels:
        layers = len(np.unique(labels["layer"])) if "layer" in labels else 1
        ranks_of = int(labels["rank"].max()) + 1
        refuse_own_numbers(layers, int(labels[unit].max()) + 1, ranks_of, experts)
        summed = [f"summed over {count(ranks_of, 'rank')}"]
    again = _again(labels, unit) if columns.loads else None
    if again is not None:
        lines = [table.rows[cell // loads.shape[1]][0] for cell in again]
        both = f"{table.what}s {lines[0]} and {lines[1]} are both for "
        _refuse_again(columns, labels, unit, both, again[0])
        summed.append(f"{both}one {_what(labels, unit)}; such rows are summed")
    values, named = table_of_cells(
        loads.ravel(),
        experts=labels[unit],
        layers=labels.get("layer"),
        windows=labels.get("window"),
        width=experts if unit == "expert" else None,
    )
    notes = [_rows_read(table, columns, labels, of) + shape_read(values), *summed]
    if (group := columns.numbered) is not None and _unit_of(group) == "expert":
        missing = sorted({*range(values.shape[-1])} - {*group.numbers})
        if _is_from_one(group, experts):
            notes.append("the columns number experts from 1: the first is expert 0 here")
        elif missing:
            notes.append(f"no column for expert {ranges(missing)}: no load")
    elif experts is None and unit == "expert":
        notes += doubt_last(values.shape[-1], labels[unit], labels.get("layer"))
    if windows is not None:
        notes += windows.notes(columns)
    others = left_out(columns, labels.get("window"))
    if others := [index for index in others if columns.names[index] not in keys]:
        notes.append(f"columns left out: {columns.shown(others)}")
    return DecodedLoads(values, named, tuple(notes), axes=(f"{unit}s",), slots=slots)


def _labels(
    table: TextTable, columns: Columns, width: int, experts: int | None
) -> tuple[dict[str, Numbers], Windows | None]:
    """What each load is of: its layer, its expert or slot, its window and rank, if they are known.

    The second value is what a column says of windows.

    Args:
        table: the lines of the file.
        columns: what they are.
        width: loads in a row.
        experts: logical experts per layer, if they were given.
    """
    labels: dict[str, Numbers] = {}
    local = bool(columns.of("local"))
    for name, index in columns.labels.items():
        if name in ("layer", columns.row) or (name == "rank" and local):
            labels[name] = numbers_of(table, index, name)
        elif name == "rank":
            labels[name] = kinds_of(table, index)
    layers = labels.get("layer")
    least = 1 if columns.numbered is not None else _LEAST_EXPERTS
    if (windows := window_labels(table, columns, layers, least)) is not None:
        labels["window"] = windows.numbers
    labels = {name: np.repeat(each, width) for name, each in labels.items()}
    if (group := columns.numbered) is not None:
        unit, numbers = _unit_of(group), np.array(group.numbers, np.int64)
        if unit == "expert" and _is_from_one(group, experts):
            numbers -= 1
        if unit == "window":  # the oldest first, without gaps
            numbers = np.unique(numbers, return_inverse=True)[1]
        labels[unit] = np.tile(numbers, len(table.rows))
    if not columns.labels:  # a row for each layer, or for each expert
        rows = "expert" if "layer" in labels else "layer"
        labels[rows] = np.repeat(np.arange(len(table.rows)), width)
    return labels, windows


def _is_from_one(group: Numbered, experts: int | None) -> bool:
    """Whether columns number all experts from 1."""
    return group.from_one and experts in (None, len(group.numbers))


def _unit_of(group: Numbered) -> str:
    """What columns number; experts if nothing is said."""
    known = group.unit in (*_UNITS, "layer", "rank", "window")
    return str(group.unit) if known else "expert"


def _number_slots(labels: dict[str, Numbers], columns: Columns) -> str:
    """Adds the number of each slot, by its rank and its number there; returns what they are."""
    if "rank" not in labels:
        name = columns.shown(columns.of("local")[:1])
        raise LoadError(
            f"{name} numbers the experts of each rank, but no column is the rank",
            hint=["name it rank; if these are the experts of all ranks, name that column expert"],
        )
    width = int(labels["local"].max()) + 1
    ranks = int(labels["rank"].max()) + 1
    if width * ranks > limits.MAX_EXPERTS:
        raise LoadError(f"it has {ranks} x {width} slots; at most {limits.MAX_EXPERTS} are read")
    labels["slot"] = labels["rank"] * width + labels["local"]
    return f"{count(width, 'local expert')} of each of {count(ranks, 'rank')}"


def _again(labels: dict[str, Numbers], unit: str) -> tuple[int, int] | None:
    """The first load that is for the same cell and rank as one before it, and that one."""
    codes = np.zeros(len(labels[unit]), np.int64)
    largest = 1
    for name in ("window", "rank", "layer", unit):
        if name in labels:
            width = int(labels[name].max()) + 1
            if largest * width >= 2**63:
                codes = np.unique(codes, return_inverse=True)[1]
                largest = len(codes)
            codes = codes * width + labels[name]
            largest *= width
    order = np.argsort(codes, kind="stable")
    same = order[1:][codes[order[1:]] == codes[order[:-1]]]
    if not same.size:
        return None
    at = int(same.min())
    return int((codes == codes[at]).argmax()), at


def _refuse_again(
    columns: Columns, labels: dict[str, Numbers], unit: str, both: str, cell: int
) -> None:
    """Refuses several loads of one expert if it is not certain that their sum is its load."""
    if "local" in labels:
        where = ", ".join(
            f"{name} {labels[name][cell]}" for name in ("layer", "rank", "local") if name in labels
        )
        raise LoadError(
            both + where.replace("local", "local expert"),
            hint=[
                "add a column window if they differ in time; ranks of all nodes need own numbers"
            ],
        )
    if "layer" not in labels:
        raise LoadError(
            f"{both}{unit} {labels[unit][cell]}, and no column is the layer",
            hint=["name it layer; or add a column window or rank if they differ in that"],
        )
    if "rank" not in labels and role_of(columns.names[columns.loads[0]]) == "either":
        name = columns.shown(columns.loads)
        raise LoadError(
            f"{both}layer {labels['layer'][cell]}, {unit} {labels[unit][cell]}; is {name} a token, or a "
            "count of tokens?",
            hint=["name it token_id (its rows are counted) or tokens (they are summed)"],
        )


def _what(labels: dict[str, Numbers], unit: str) -> str:
    return f"layer and {unit}" if "layer" in labels else unit


def _rows_read(table: TextTable, columns: Columns, labels: dict[str, Numbers], unit: str) -> str:
    """What the rows are, for a note."""
    rows = count(len(table.rows), "row" if table.what == "line" else table.what)
    if not columns.loads:
        return f"{rows} of one token each, counted"
    if (group := columns.numbered) is not None:
        of = _unit_of(group).replace("local", "local expert")
        return f"{rows} with a column for each {of}"
    layer = "layer, " if "layer" in labels else ""
    return f"{rows} of {layer}{unit} and load"


def shape_read(values: npt.NDArray[Any]) -> str:
    """The table that long rows became, for a note."""
    shape = " x ".join(map(str, values.shape))
    empty = values.size - int(np.count_nonzero(values))
    has = "has" if empty == 1 else "have"
    return f", read as a table {shape}" + (f"; {empty} of its cells {has} no load" if empty else "")


def doubt_last(width: int, experts: Numbers, layers: Numbers | None) -> list[str]:
    """A note if the last experts may be absent from all layers, because they had no load.

    Args:
        width: experts per layer.
        experts: the expert of each row.
        layers: the layer of each row; None for one layer.
    """
    if is_usual(width):
        return []
    names, rows = np.unique(
        np.zeros_like(experts) if layers is None else layers, return_inverse=True
    )
    pairs = np.unique(rows * width + experts)
    fewest = int(
        np.bincount(pairs % width, minlength=width).min()
    )  # layers with a row of an expert
    if fewest == len(names) or (len(names) >= _PLAIN_LAYERS and 2 * fewest >= len(names)):
        return []
    last = f"the last expert with a row is {width - 1}; if there are more, say so: "
    return [Note(last, Parameter("num_experts"))]
