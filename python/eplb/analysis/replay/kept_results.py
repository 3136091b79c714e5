"""A file of the cells that are done: they are not run again.

The file (.jsonl) has a heading, which says of what the results are, and a line for each cell, written as the
cell ends. A line that was cut short is dropped. When all cells are done, the lines are put in the order of the
cells.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import __version__
from eplb.analysis.replay.cells import Row
from eplb.errors import EplbError
from eplb.plan_tables import read_only
from eplb.storage.atomic import write_whole
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    from eplb.analysis.replay.cells import Cell, Course
    from eplb.analysis.replay.trace import Trace

ENDING = ".jsonl"
_FORMAT = 1
_HINT = "give another file, or delete this one"


def heading_of(what: str, trace: Trace, course: Course, **more: Any) -> dict[str, Any]:
    """Of what the results are: two runs with the same heading have the same rows for the same cell."""
    return {
        "eplb_results": _FORMAT,
        "of": what,
        "eplb": __version__,
        "trace": trace.digest(),
        "windows": len(trace),
        "num_layers": trace.num_layers,
        "num_experts": trace.num_experts,
        "num_groups": course.num_groups,
        "warmup": course.warmup,
        "every": course.every,
        "events": [str(event) for event in course.events],
        **more,
    }


class KeptResults:
    """Cells that are in a file, and those that are added."""

    def __init__(self, path: str | PathLike[str], heading: Mapping[str, Any]) -> None:
        """Reads the file if it is there.

        Raises:
            EplbError: it has other results, or is something else. OSError: it cannot be read or written.
        """
        self._path = checked_ending(path)
        # As JSON gives it back.
        self._heading: dict[str, Any] = json.loads(json.dumps(heading))
        self._lines: dict[str, bytes] = {}
        self._rows: dict[str, list[Row]] = {}
        text = self._path.read_bytes() if self._path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole:
            self._read(whole.splitlines())
        elif text:
            raise self._wrong("it is not a file of results")
        if whole != text or not whole:
            self._rewrite(self._lines)

    def rows_of(self, cell: Cell) -> list[Row] | None:
        """The rows of a cell, if they are in the file."""
        return self._rows.get(_key(cell))

    def add(self, cell: Cell, rows: Iterable[Row]) -> None:
        """Writes a cell that is done. Functions are not kept: they have no name that says what they do.

        Raises:
            OSError: it cannot be written.
        """
        if cell.setting.planner is not None:
            return
        values = {**json.loads(_key(cell)), "rows": [*map(_values, rows)]}
        line = json.dumps(values).encode()
        self._lines[_key(cell)] = line
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def arrange(self, cells: Iterable[Cell]) -> None:
        """Puts these cells first, in this order."""
        first = [key for key in map(_key, cells) if key in self._lines]
        self._rewrite(dict.fromkeys([*first, *self._lines]))

    def _rewrite(self, order: Iterable[str]) -> None:
        lines = [json.dumps(self._heading).encode(), *(self._lines[key] for key in order)]
        write_whole(self._path, b"".join(line + b"\n" for line in lines))

    def _read(self, lines: list[bytes]) -> None:
        heading = _json(lines[0])
        if not isinstance(heading, dict) or "eplb_results" not in heading:
            raise self._wrong("it is not a file of results")
        for name in [*self._heading, *heading]:
            theirs, ours = heading.get(name), self._heading.get(name)
            if theirs != ours:
                raise self._wrong(_difference(name, theirs, ours))
        for number, line in enumerate(lines[1:], 2):
            values = _json(line)
            try:
                rows = self._rows_in(values.pop("rows"))
                key = json.dumps(values)
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                raise self._wrong(f"line {number} is not a result") from None
            self._lines[key], self._rows[key] = line, rows

    def _rows_in(self, values: Any) -> list[Row]:
        """Rows of all windows.

        Raises:
            TypeError, ValueError, KeyError: they are something else.
        """
        first, windows = self._heading["warmup"] + 1, self._heading["windows"]
        rows = [_row(each, self._heading["num_layers"]) for each in values]
        if [row.window for row in rows] != [*range(first, windows)]:
            raise ValueError("the windows are others")
        return rows

    def _wrong(self, what: str) -> EplbError:
        return EplbError(f"{self._path.name}: {what}", hint=[_HINT])


def checked_ending(path: str | PathLike[str]) -> Path:
    """The path, if cells can be kept there.

    Raises:
        EplbError: another ending.
    """
    file = Path(path)
    if file.suffix != ENDING:
        raise EplbError(f"{file.name!r} is not a file name for kept results; expected {ENDING}")
    return file


def _key(cell: Cell) -> str:
    """What tells a cell from the others of a run."""
    setting, cluster = cell.setting, cell.course.cluster
    return json.dumps(
        {
            "setting": setting.name,
            "kind": setting.kind,
            "options": dict(setting.options),
            "num_gpus": cluster.num_gpus,
            "num_replicas": cluster.num_slots,
        }
    )


def _json(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _values(row: Row) -> dict[str, Any]:
    """A row for JSON; floats come back as they are."""
    return {
        "window": row.window,
        "balancedness": [None if value != value else value for value in row.balancedness.tolist()],  # noqa: PLR0124
        "copies": row.copies,
        "slots": row.slots,
        "updated": row.updated,
        "seconds": row.seconds,
    }


def _row(values: Any, layers: int) -> Row:
    """The row of such values.

    Raises:
        TypeError, ValueError, KeyError: they are something else.
    """
    cells = [np.nan if value is None else value for value in values["balancedness"]]
    if len(cells) != layers or any(isinstance(value, (bool, str)) for value in cells):
        raise ValueError("the layers are others")
    whole = [values["window"], values["copies"], values["slots"]]
    if any(type(value) is not int or value < 0 for value in whole) or whole[2] == 0:
        raise ValueError("not whole numbers")
    if type(values["updated"]) is not bool or type(values["seconds"]) is not float:
        raise TypeError("other types")
    table = read_only(np.array(cells, np.float64))
    if np.isinf(table).any() or (table < 0).any():
        raise ValueError("not balancedness")
    return Row(whole[0], table, whole[1], whole[2], values["updated"], values["seconds"])


def _difference(name: str, theirs: Any, ours: Any) -> str:
    """How a heading differs, in words."""
    if name == "trace":
        return "its results are of another trace"
    if name == "of":
        return f"its results are those of {theirs}, not of {ours}"
    if name == "cluster":
        return "its results are for other GPUs or slots"
    return f"its results are for {name} {short(theirs)}, not {short(ours)}"
