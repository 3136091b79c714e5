"""Records of JSON, ``[{"layer": 0, "expert": 3, "count": 12}, ...]``, as a text table."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from eplb.errors import LoadError, Parameter
from eplb.load_files.column_names import number_of, role_of
from eplb.load_files.times import in_time
from eplb.storage.csv_text import TextTable
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Record = dict[str, Any]

# What a record is of; a table has names for one of these.
_LABELS = ("layer", "expert", "slot", "local")


def records_of(values: Any) -> list[Any] | None:
    """The records in a list of them, or in an object with a list for each column; None if neither."""
    if isinstance(values, list):
        first = values[0] if values else None
        labelled = isinstance(first, dict) and (_is_labelled(first, _LABELS) or _is_wide(first))
        return values if labelled else None
    if not isinstance(values, dict) or len(values) < 2 or not _is_labelled(values, _LABELS[1:]):
        return None
    columns = [_column(value) for value in values.values()]
    if None in columns or len({len(column or ()) for column in columns}) > 1:
        return None
    rows = zip(*(column or () for column in columns), strict=True)
    return [dict(zip(values, row, strict=True)) for row in rows] or None


def _is_labelled(names: Iterable[Any], labels: Sequence[str]) -> bool:
    return any(role_of(str(name)) in labels for name in names)


def _is_wide(record: Record) -> bool:
    """Whether a record is a row of loads by the numbers of experts, as pandas writes a wide table."""
    units = {found and found[0] for found in map(number_of, map(str, record))}
    return len(record) > 1 and units <= {"number", "expert"}


def window_tables(values: Any) -> tuple[list[Any], list[str]] | None:
    """The tables in a list of objects with one each, the oldest first, and notes; None if it is none.

    As ``[{"time": 0, "loads": [[7, 3], [1, 2]]}, ...]``.

    Raises:
        LoadError: the objects have different keys.
    """
    first = values[0] if isinstance(values, list) and values else None
    if not isinstance(first, dict) or len(tables := _tables(first)) != 1:
        return None
    for at, record in enumerate(values):
        _check(record, first, at)
        if _tables(record) != tables:
            raise LoadError(f"record {at} has no table {tables[0][:40]!r}, but record 0 has")
    found = [record[tables[0]] for record in values]
    times = next((key for key in first if role_of(key) in ("window", "time")), None)
    keys = None
    if times is not None:
        names = [str(record[times]) for record in values]
        keys = in_time(names)
    if keys is None:
        return found, [f"{count(len(found), 'window')} by records, in the order of the file"]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    both = f"from {short(values[order[0]][times])} to {short(values[order[-1]][times])}"
    return [found[at] for at in order], [f"{count(len(found), 'window')} by {times!r}, {both}"]


def _tables(record: Any) -> list[str]:
    """The names of lists of lists."""
    return [
        str(name)
        for name, value in record.items()
        if isinstance(value, list) and value and isinstance(value[0], list)
    ]


def _column(value: Any) -> list[Any] | None:
    """The cells of a column: a list, an array, or an object as pandas writes it."""
    if isinstance(value, dict):
        value = list(value.values())
    elif not isinstance(value, list) and getattr(value, "ndim", 0) == 1:
        value = value.tolist()
    if not isinstance(value, list) or any(isinstance(cell, (list, dict)) for cell in value):
        return None
    return value


def record_table(
    records: Sequence[Any], key: str | None, what: str = "record"
) -> tuple[TextTable, str | None]:
    """Records as lines of a table, and the key of a column in it.

    A list in each record, as ``{"layer": 0, "counts": [7, 3, ...]}``, is a column for each expert.

    Raises:
        LoadError: a record has other keys than the first, or it is not clear which list has loads.
    """
    first = records[0]
    names = [name for name in first if not isinstance(first[name], list)]
    wide = _list_of_loads(first, names, key)
    header = tuple(map(str, names))
    if wide is not None:
        unit = "slot" if "physical" in wide or "slot" in wide else "expert"
        header += tuple(f"{unit}_{number}" for number in range(len(first[wide])))
        key = None
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="")
    rows = []
    for at, record in enumerate(records):
        _check(record, first, at)
        cells = [_cell(record[name]) for name in names]
        if wide is not None:
            cells += _loads(record[wide], len(first[wide]), at, wide)
        stream.seek(0)
        stream.truncate()
        writer.writerow(cells)
        rows.append((at, stream.getvalue()))
    return TextTable(header, rows, len(header), what), key


def _list_of_loads(first: Record, names: Sequence[str], key: str | None) -> str | None:
    """The name of the lists with the loads; None if the records have no lists."""
    lists = [name for name in first if name not in names]
    if key in lists:
        return key
    if not lists or key is not None:
        return None
    usual = [name for name in lists if role_of(name) == "load" or "physical" in name] or lists
    if len(usual) > 1:
        shown = ", ".join(repr(name[:40]) for name in usual[:8])
        raise LoadError(
            f"several lists of its records may be the loads: {shown}",
            hint=["choose one with ", Parameter("key")],
        )
    return usual[0]


def _check(record: Any, first: Record, at: int) -> None:
    if not isinstance(record, dict):
        raise LoadError(f"record {at} is {short(record)}; expected an object as record 0")
    if record.keys() == first.keys():
        return
    missing = next((name for name in first if name not in record), None)
    if missing is not None:
        raise LoadError(f"record {at} has no {missing[:40]!r}, but record 0 has")
    more = next(name for name in record if name not in first)
    raise LoadError(f"record {at} has {more[:40]!r}, but record 0 has not")


def _cell(value: Any) -> Any:
    """A value as csv writes it: numbers as they are, texts in quotes."""
    if value is None:
        return ""
    return (
        value if type(value) in (int, float) else value if isinstance(value, str) else short(value)
    )


def _loads(values: Any, width: int, at: int, name: str) -> list[Any]:
    if not isinstance(values, list) or len(values) != width:
        found = count(len(values), "load") if isinstance(values, list) else short(values)
        raise LoadError(
            f"record {at}, {name[:40]!r}: expected {count(width, 'load')} as in record 0, found {found}"
        )
    return [_cell(value) for value in values]
