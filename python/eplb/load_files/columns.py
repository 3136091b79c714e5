"""What the columns of a text table are, by their names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eplb.errors import EplbError, LoadError, Parameter
from eplb.inputs.names import unknown
from eplb.load_files.column_names import LABELS, Numbered, number_of, numbered, role_of
from eplb.storage.csv_text import looks_like_number
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eplb.storage.csv_text import TextTable

# What a row may be a load of.
_ROWS = ("expert", "slot", "local")
# What columns may be loads of, beside rows of layers.
_WIDE = ("expert", "slot", "local", "layer", "number")


@dataclass(frozen=True)
class Columns:
    """Which column says what."""

    #: Names of all columns.
    names: tuple[str, ...]
    #: Columns of labels, by what they number: layer, expert, slot, local, rank, window, time, token.
    labels: dict[str, int]
    #: Columns with loads; none if each row is one token.
    loads: tuple[int, ...]
    #: The same columns, if their names number what they are loads of.
    numbered: Numbered | None = None

    @property
    def row(self) -> str | None:
        """What a row is a load of, beside its layer: expert, slot or local."""
        return next((name for name in _ROWS if name in self.labels), None)

    @property
    def is_long(self) -> bool:
        """Whether a row is of one expert or slot."""
        return self.row is not None

    @property
    def is_wide(self) -> bool:
        """Whether a row is of one layer, and the columns with loads are the experts in order."""
        if self.is_long:
            return False
        group = self.numbered
        return group is None or (group.unit not in ("slot", "local", "layer") and group.in_order)

    def of(self, unit: str) -> list[int]:
        """The columns that number experts, slots or local experts."""
        label = [self.labels[unit]] if self.row == unit else []
        same = self.numbered is not None and self.numbered.unit == unit
        return [*label, *(self.loads if same else ())]

    @property
    def time(self) -> int | None:
        """The column of times, if nothing else says the windows."""
        of_group = self.numbered is not None and self.numbered.unit == "window"
        return None if of_group or "window" in self.labels else self.labels.get("time")

    @property
    def others(self) -> tuple[int, ...]:
        """Columns that are left out."""
        known = {*self.labels.values(), *self.loads}
        return tuple(index for index in range(len(self.names)) if index not in known)

    def shown(self, columns: Iterable[int]) -> str:
        """The names of columns, for messages."""
        names = [self.names[index][:40] for index in columns]
        shown = [repr(name) if name else "without a name" for name in names[:8]]
        return ", ".join(shown + ["..."] * (len(names) > len(shown)))


def columns_of(table: TextTable, key: str | None) -> Columns | None:
    """What the header of a table says of its columns; None if it is a title.

    Args:
        table: with a header. An empty first cell is the numbers of layers, as pandas writes them.
        key: the column with the loads of a long table; by default the one with a usual name.

    Raises:
        LoadError: it is not clear what the columns are.
    """
    header, width = table.header or (), table.width
    if len(header) == width - 1 and width > 2:
        raise LoadError(
            f"its header has {count(len(header), 'column')}, but its rows have {width}; "
            "is column 1 the numbers of layers?",
            hint=["name it layer"],
        )
    if len(header) != width:
        return None
    labels = _labels(table, header)
    if "layer" not in labels and (index := _layer_in_words(table, labels)) is not None:
        labels["layer"] = index
    if any(name in labels for name in _ROWS):
        return _long(table, labels, key)
    return _wide(table, labels)


def _labels(table: TextTable, header: tuple[str, ...]) -> dict[str, int]:
    """The columns of labels by their role."""
    found: dict[str, int] = {}
    for index, name in enumerate(header):
        role = role_of(name)
        if role not in LABELS:
            continue
        first = found.setdefault(role, index)
        if first == index or role == "token":
            continue
        if role == "time":  # of a date and a time, the finer one
            found[role] = max(first, index, key=lambda each: len({*table.column(each)}))
        else:
            raise LoadError(
                f"columns {first + 1} and {index + 1} both seem to be the {role}: "
                f"{header[first]!r} and {name!r}",
                hint=["delete one"],
            )
    return found


def _layer_in_words(table: TextTable, labels: dict[str, int]) -> int | None:
    """The column of names of layers, or the only one of texts such as ``model.layers.3.mlp``."""
    header = table.header or ()
    free = [index for index in range(table.width) if index not in labels.values()]
    for index in free:
        if role_of(header[index]) == "layername":
            return index
    found = [index for index in free if "layer" in table.first[index].lower()]
    if len(found) != 1:
        return None
    name = header[found[0]]
    if number_of(name) is not None:
        raise LoadError(
            f"line 1 has {name[:40]!r}; are these loads, not a header?",
            hint=["write a header before it, such as layer,0,1,2"],
        )
    return found[0]


def _free(table: TextTable, labels: dict[str, int]) -> list[int]:
    """Columns of numbers that are not labels."""
    names = table.header or ()
    return [
        index
        for index, cell in enumerate(table.first)
        if index not in labels.values()
        and names[index]
        and (looks_like_number(cell) or role_of(names[index]) == "load")
    ]


def _long(table: TextTable, labels: dict[str, int], key: str | None) -> Columns:
    """A row for each expert or slot of a layer, or for each token."""
    header = table.header or ()
    if header[0] == "" and "layer" not in labels and not _counts_rows(table.column(0)):
        labels["layer"] = 0
    free = _free(table, labels)
    if key is not None:
        names = {header[index]: index for index in free}
        if key not in names:
            raise _unknown_key(table, key, names)
        return Columns(header, labels, (names[key],))
    roles = {index: role_of(header[index]) for index in free}
    usual = [index for index in free if roles[index] == "load"]
    maybe = [index for index in free if roles[index] == "either"]
    if not usual and ("token" in labels or (maybe and "gate" in roles.values())):
        return Columns(header, labels, ())
    candidates = usual or maybe or free
    if not candidates:
        raise LoadError(
            "it has no column of loads; expected for example layer,expert,count",
            hint=["if each row is one token, add a column token_id: the rows are counted"],
        )
    for group in numbered(header, free):
        unit = "layer" if group.unit in ("number", "l") else group.unit
        if unit not in ("layer", "rank", "window") or unit in labels:
            continue
        if group.columns[0] in candidates or _is_total(table, candidates[0], group.columns):
            return Columns(header, labels, group.columns, group._replace(unit=unit))
    if len(candidates) == 1:
        return Columns(header, labels, (candidates[0],))
    shown = Columns(header, labels, ()).shown(candidates)
    raise LoadError(
        f"several of its columns may be the loads: {shown}",
        hint=["choose one with ", Parameter("key")],
    )


def _is_total(table: TextTable, column: int, others: Sequence[int]) -> bool:
    """Whether a column is the sum of others in each row."""
    rows = table.numbers([column, *others]).tolist()
    return all(math.isclose(row[0], math.fsum(row[1:]), rel_tol=1e-9) for row in rows)


def _counts_rows(cells: Sequence[str]) -> bool:
    """Whether cells only number the rows, as pandas does."""
    return any(list(cells) == [str(n + first) for n in range(len(cells))] for first in (0, 1))


def _unknown_key(table: TextTable, key: str, names: Iterable[str]) -> EplbError:
    """The error for a key that is not a column of numbers; it may be in a column of text."""
    for index, cell in enumerate(table.first):
        if not looks_like_number(cell) and key in table.column(index):
            name = (table.header or ())[index]
            return LoadError(
                f"{key[:40]!r} is not a column, but in column {name[:40]!r}",
                hint=[
                    "keep only its rows, in a file of their own, and leave out ",
                    Parameter("key"),
                ],
            )
    return unknown("key", key, names, kind=LoadError)


def _wide(table: TextTable, labels: dict[str, int]) -> Columns:
    """A row for each layer, a column for each expert or slot; or the other way round."""
    header = table.header or ()
    if header[0] == "":
        _check_index(header)
    first = 0 if header[0] == "" and "layer" not in labels else None
    free = [index for index in range(len(header)) if index not in (*labels.values(), first)]
    group = _loads_group(header, labels, free)
    if first is not None:
        labels["expert" if group is not None and group.unit == "layer" else "layer"] = first
    if group is not None:
        return Columns(header, labels, group.columns, group)
    counts = [index for index in free if role_of(header[index]) == "load" and len(free) > 1]
    if counts and labels and header[counts[0]].lower() != "total":
        shown = Columns(header, labels, ())
        others = shown.shown(index for index in free if index not in counts)
        raise LoadError(
            f"its column {shown.shown(counts[:1])} seems to have the loads, but which has the experts"
            f"{f': {others}' if others else ''}?",
            hint=["name it expert"],
        )
    loads = [index for index in free if role_of(header[index]) not in ("load", "figure")]
    return Columns(header, labels, tuple(loads if len(loads) > 1 else free))


def _loads_group(
    header: tuple[str, ...], labels: dict[str, int], free: Sequence[int]
) -> Numbered | None:
    """The columns that are numbered, and by that experts, slots or layers.

    Raises:
        LoadError: there are several such groups, or they are of something else.
    """
    groups = numbered(header, free)
    known = [
        group
        for group in groups
        if group.unit in _WIDE and not (group.unit == "layer" and "layer" in labels)
    ] or [group for group in groups if group.unit in (None, "l") and group.in_order]
    if len(known) > 1:
        names = Columns(header, labels, ())
        shown = " or ".join(names.shown(group.columns[:2]) + ", ..." for group in known[:4])
        raise LoadError(
            f"several groups of its columns may be the loads: {shown}",
            hint=["delete the columns of all but one"],
        )
    if known:
        return known[0]
    for group in groups:
        if group.unit in ("rank", "window"):
            raise LoadError(
                f"its columns {header[group.columns[0]][:40]!r}, ... number a {group.unit}; expected "
                "a column for each expert, or rows of layer, expert and load",
            )
    return None


def _check_index(header: tuple[str, ...]) -> None:
    """Refuses a first column without a name if the others are numbers, but not of experts."""
    numbers = [name for name in header[1:] if name.isdigit()]
    if numbers != [str(number) for number in range(len(numbers))]:
        raise LoadError(
            "line 1 starts with an empty cell; is column 1 the numbers of layers?",
            hint=["name it layer, or with pandas use to_csv(index=False, header=False)"],
        )
