"""Traces: windows of files that may be larger than memory, read when they are asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.errors import EplbError, LoadError, LoadTypeError
from eplb.inputs.windows import Windows
from eplb.load_files import window_records
from eplb.load_files.arranging import file_loads
from eplb.load_files.file_loads import FileLoads, refuse_other_model
from eplb.load_files.oddities import refuse_other_axes
from eplb.load_files.trace_lines import lines_of
from eplb.load_files.window_records import recorded_windows
from eplb.storage.npy import open_npy
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    import numpy.typing as npt

    from eplb.load_files.arranging import Given

    Source = str | PathLike[str]

# Notes on a file that is read window by window are of so many of its windows.
_LOOKED_AT = 8


def trace_loads(
    sources: Sequence[Source],
    key: str | None,
    written_by: str | None,
    given: Given,
    read: Callable[[Source], FileLoads],
) -> FileLoads:
    """The windows of all sources, in this order, read when they are asked for.

    Args:
        sources: files and directories, or ``"-"``.
        key: of each.
        written_by: the format of each.
        given: what the user said.
        read: reads a source as a whole.

    Raises:
        LoadError: a source has no windows, or is for another model than the first.
        OSError: a source cannot be read.
    """
    kept = _Kept()
    parts: list[_Part] = []
    notes: dict[str, None] = {}
    first = None
    for source in sources:
        part, found = _opened(source, key, written_by, given) or _whole(source, read, kept)
        if first is None:
            first = found
        refuse_other_model(found, str(source), first, str(sources[0]))
        parts.append(part)
        notes.update(dict.fromkeys(found.notes))
    if first is None:
        raise LoadError("there is no file to read")
    return replace(first, windows=_Trace(parts), notes=tuple(notes), passes=None)


def is_large(sources: Sequence[Source]) -> bool:
    """Whether files and directories have more bytes than are read as a whole.

    Raises:
        OSError: one cannot be read.
    """
    sizes = [_bytes_of(Path(source)) for source in sources if source != "-"]
    return sum(sizes) > limits.MAX_FILE_BYTES


class _Trace(Windows):
    """The windows of several parts."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self.parts = parts
        self.ends = [*accumulate(part.length for part in parts)]

    def __len__(self) -> int:
        return self.ends[-1]

    def window(self, at: int) -> npt.NDArray[Any]:
        """The window with this number, of all parts.

        Raises:
            LoadError: it is invalid. OSError: it cannot be read.
        """
        part = bisect_right(self.ends, at)
        return self.parts[part].window(at - (self.ends[part] - self.parts[part].length))


@dataclass(frozen=True)
class _Part:
    """The windows of a source."""

    length: int
    window: Callable[[int], npt.NDArray[Any]]


# --- files that are read window by window ---


def _opened(
    source: Source, key: str | None, written_by: str | None, given: Given
) -> tuple[_Part, FileLoads] | None:
    """A large file or folder whose windows can be read one by one; None if it is none."""
    path = Path(source)
    if source == "-" or _bytes_of(path) <= limits.MAX_TRACE_BYTES:
        return None
    try:
        decoded, notes = _tables_of(path, key, written_by, given) or (None, ())
        if decoded is None:
            return None
    except EplbError as error:
        raise error.within(str(source), kind=LoadError) from error
    windows = _OneByOne(str(source), decoded, given)
    return _Part(decoded.length, windows.window), windows.head(notes)


def _bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return path.stat().st_size


@dataclass(frozen=True)
class _Tables:
    """Tables as a file has them."""

    length: int
    table: Callable[[int], Any]
    #: The axes of one.
    axes: tuple[str, ...]


def _tables_of(
    path: Path, key: str | None, written_by: str | None, given: Given
) -> tuple[_Tables, tuple[str, ...]] | None:
    """The tables of a file, and notes; None if they cannot be read one by one."""
    if written_by in (None, window_records.NAME) and window_records.is_here(path):
        recorded = recorded_windows(path, key)
        axes = ("layers", "experts")
        return _Tables(len(recorded.windows), recorded.load, axes), recorded.notes
    if path.is_dir() or key is not None or written_by not in (None, "table"):
        return None
    if (npy := open_npy(path)) is not None:
        if (axes_of_one := _axes_of_one(npy.shape, given)) is None:
            return None
        doubts = _doubts(npy.shape, given)
        return _Tables(npy.shape[0], npy.table, axes_of_one), tuple(doubts)
    if (lines := lines_of(path)) is not None:
        if (axes_of_one := _axes_of_one((lines.length, *lines.shape), given)) is None:
            return None
        return _Tables(lines.length, lines.table, axes_of_one), lines.notes
    return None


def _axes_of_one(shape: tuple[int, ...], given: Given) -> tuple[str, ...] | None:
    """The axes of one of several tables; None if the first axis is no time."""
    if given.axes is not None:
        return given.axes[1:] if len(given.axes) == 3 and given.axes[0] == "windows" else None
    if given.placement is None:
        return "layers", "experts"
    alike = given.placement.phy2log.ndim == 2 and given.placement.slots == shape[-1]
    return ("layers", "slots") if alike else None


def _doubts(shape: tuple[int, ...], given: Given) -> list[str]:
    """Notes on the axes, as of an array that is read as a whole."""
    sure = given.trust or given.axes is not None or given.stated or given.placement is not None
    return [] if sure else refuse_other_axes(shape)


class _OneByOne:
    """Windows of the tables of a file."""

    def __init__(self, name: str, tables: _Tables, given: Given) -> None:
        self.name, self.tables, self.given = name, tables, replace(given, axes=None)
        # Doubts are of several windows: one may have few loads.
        self.given_of_one = replace(self.given, trust=True)

    def window(self, at: int) -> npt.NDArray[Any]:
        """The window with this number, ``[layers, experts]``.

        Raises:
            LoadError: it is invalid. OSError: it cannot be read.
        """
        try:
            return self._loads(self._table(at), self.tables.axes, self.given_of_one).windows[0]
        except EplbError as error:
            raise error.within(f"{self.name}: window {at}", kind=LoadError) from error
        except (LoadTypeError, ValueError) as error:
            raise LoadError(f"{self.name}: window {at}: {error}") from error

    def head(self, notes: Sequence[str]) -> FileLoads:
        """What there is to say of the file, by a few windows of it."""
        some = sorted({*np.linspace(0, self.tables.length - 1, _LOOKED_AT).astype(int).tolist()})
        for at in some:
            self.window(at)
        tables = np.stack([self._table(at) for at in some])
        try:
            loads = self._loads(tables, ("windows", *self.tables.axes), self.given)
        except EplbError as error:
            raise error.within(self.name, kind=LoadError) from error
        size = (
            f"{count(self.tables.length, 'window')} read one by one; {len(some)} of them looked at"
        )
        return replace(loads, notes=(*notes, *loads.notes, size))

    def _table(self, at: int) -> npt.NDArray[Any]:
        return np.asarray(self.tables.table(at))

    def _loads(self, table: npt.NDArray[Any], axes: tuple[str, ...], given: Given) -> FileLoads:
        return file_loads(DecodedLoads(table, axes=axes), given)


# --- files that are read as a whole ---


class _Kept:
    """The windows of files that were used last."""

    def __init__(self) -> None:
        self.files: OrderedDict[str, Sequence[npt.NDArray[Any]]] = OrderedDict()

    def windows(self, name: str, read: Callable[[], FileLoads]) -> Sequence[npt.NDArray[Any]]:
        """Those of a file, which is read unless it was kept."""
        if name not in self.files:
            self.put(name, _windows(read()))
        self.files.move_to_end(name)
        return self.files[name]

    def put(self, name: str, windows: Sequence[npt.NDArray[Any]]) -> None:
        """Keeps the windows of a file; forgets others if they are too many."""
        self.files[name] = windows
        while len(self.files) > 1 and self._bytes() > limits.MAX_KEPT_BYTES:
            self.files.popitem(last=False)

    def _bytes(self) -> int:
        return sum(window.nbytes for windows in self.files.values() for window in windows)


def _whole(
    source: Source, read: Callable[[Source], FileLoads], kept: _Kept
) -> tuple[_Part, FileLoads]:
    """A file that is read as a whole, again if it was forgotten; standard input is kept."""
    found, name = read(source), str(source)
    windows = _windows(found)
    notes = found.notes
    if len(windows) > len(found.windows):
        notes = (*notes, f"{len(windows)} passes, each a window")
    head = replace(found, windows=windows[:1], notes=notes)
    if source == "-":
        return _Part(len(windows), windows.__getitem__), head
    length = len(windows)
    kept.put(name, windows)

    def window(at: int) -> npt.NDArray[Any]:
        again = kept.windows(name, lambda: read(source))
        if len(again) != length:
            raise LoadError(f"{name}: it has {count(len(again), 'window')} now, and had {length}")
        return again[at]

    return _Part(length, window), head


def _windows(found: FileLoads) -> Sequence[npt.NDArray[Any]]:
    """The windows; or the passes, if they were summed to one."""
    return found.recorded if len(found.windows) == 1 else found.windows
