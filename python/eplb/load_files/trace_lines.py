"""JSON lines with a window on each, read one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.errors import EplbError, LoadError
from eplb.inputs.loads import as_array
from eplb.load_files.records import records_of, window_tables
from eplb.storage.json_text import parse_json

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_ENDINGS = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Lines:
    """Where the windows of a file are, oldest first."""

    path: Path
    #: Number, start and bytes of the line of each window.
    places: list[tuple[int, int, int]]
    #: Of a window.
    shape: tuple[int, ...]
    #: Under which name the table of a line is; None if it is the line.
    key: str | None
    notes: tuple[str, ...]

    @property
    def length(self) -> int:
        """How many windows there are."""
        return len(self.places)

    def table(self, at: int) -> npt.NDArray[Any]:
        """The table of a window.

        Raises:
            LoadError: it is invalid. OSError: the file cannot be read.
        """
        number, start, size = self.places[at]
        with self.path.open("rb") as stream:
            stream.seek(start)
            value = parse_json(stream.read(size))
        table = as_array(value if self.key is None else value[self.key])[0]
        if table.shape != self.shape:
            raise LoadError(
                f"line {number} has shape {list(table.shape)}, but the first one {list(self.shape)}"
            )
        return table


def lines_of(path: Path) -> Lines | None:
    """The windows of a file of JSON lines; None if it is another file, or no line is a window.

    A line is a table ``[layers, experts]``, or an object with one, and may be with a time: the order is
    then that of :func:`eplb.load_files.read_windows`. Each line is parsed once, and forgotten.

    Raises:
        LoadError: a line is invalid. OSError: the file cannot be read.
    """
    if path.suffix.lower() not in _ENDINGS:
        return None
    places: list[tuple[int, int, int]] = []
    others: list[dict[str, Any]] = []
    key: str | None = None
    shape: tuple[int, ...] = ()
    start = number = 0
    with path.open("rb") as stream:
        while line := stream.readline(limits.MAX_TEXT_BYTES + 1):
            number += 1
            if len(line) > limits.MAX_TEXT_BYTES:
                raise LoadError(f"line {number} has more than {limits.MAX_TEXT_BYTES} bytes")
            if line.strip():
                try:
                    value = parse_json(line)
                except EplbError as error:
                    raise error.within(f"line {number}", kind=LoadError) from error
                if not places:
                    if (found := _table_in(value)) is None:
                        return None
                    key, shape = found
                if isinstance(value, dict):
                    # As the line, but with its number as the table.
                    stub = value.get(key) if key is not None else None
                    value[key or ""] = [[len(places)]] if isinstance(stub, list) else stub
                    others.append(value)
                elif key is not None:
                    raise LoadError(f"line {number} is no object, but the first one is")
                places.append((number, start, len(line)))
            start += len(line)
    if not others:
        return Lines(path, places, shape, key, ())
    if len(others) != len(places):
        raise LoadError("some of its lines are objects and some are not")
    tables = window_tables(others)
    if tables is None:
        return None
    order, notes = tables
    return Lines(path, [places[at] for ((at,),) in order], shape, key, tuple(notes))


def _table_in(value: Any) -> tuple[str | None, tuple[int, ...]] | None:
    """The name of the table in the first line, and its shape; None if it has no table, or several."""
    key = None
    if isinstance(value, dict):
        if records_of([value]) is not None or (found := window_tables([value])) is None:
            return None
        (key,) = [name for name, table in value.items() if table is found[0][0]]
        value = value[key]
    if not isinstance(value, list) or not value or not isinstance(value[0], list):
        return None
    table = as_array(value)[0]
    return (key, table.shape) if table.ndim == 2 and np.size(table) else None
