"""Records of eplb's plug-ins: a file, or a folder of them, as windows of loads and as a placement.

A folder may have files of several engines, processes and models. A *series* is a model of an engine.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.errors import EplbError, LoadError
from eplb.inputs.names import unknown
from eplb.storage import record_file
from eplb.storage.record_file import CutLine, utc
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from eplb.storage.record_file import IntTable, Record

#: What ``--from`` and ``--format`` call them.
NAME = "record"
#: What such a folder holds, for messages.
CONTENT = "eplb-*.jsonl (records of eplb's plug-ins)"


def is_folder(folder: Path) -> bool:
    """Whether a directory has record files."""
    return bool(record_file.files_of(folder))


def is_here(path: str | PathLike[str]) -> bool:
    """Whether a path is a record file, or a directory with some.

    Raises:
        OSError: it cannot be read.
    """
    place = Path(path)
    if place.is_dir():
        return is_folder(place)
    return place.is_file() and record_file.begins_as_record(place)


def records_in(path: Path) -> Iterator[tuple[Path, Record | CutLine]]:
    """All records of a file or folder, file by file, and of which file each is.

    Raises:
        LoadError: a file is no record; the message says which one, and where.
        OSError: a file cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as stream:
            for _, record in record_file.read(stream):
                yield path, record
        return
    files = record_file.files_of(path)
    if not files:
        raise LoadError(f"this is a directory without {CONTENT}")
    for file in files:
        try:
            with file.open("rb") as stream:
                for _, record in record_file.read(stream):
                    yield file, record
        except EplbError as error:
            raise error.within(file.name, kind=LoadError) from error
        except FileNotFoundError:
            continue  # the writer made room for a new file


def read(content: bytes, key: str | None = None) -> DecodedLoads:
    """The windows of a file; arguments and errors are those of :func:`read_folder`."""
    found = record_file.read(io.BytesIO(content))
    return _decoded(((None, record) for _, record in found), key)


def read_folder(folder: Path, key: str | None = None) -> DecodedLoads:
    """The windows of one series in all files of a folder, in the order of time.

    Args:
        folder: the directory.
        key: the series, such as ``vllm-0``; by default the one with the most layers.

    Raises:
        LoadError: there is no window, no such series, or a line is no record.
        OSError: a file cannot be read.
    """
    return _decoded(((path.name, record) for path, record in records_in(folder)), key)


class _Timed(Protocol):
    """A window of a series."""

    @property
    def time(self) -> float: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


_Of = TypeVar("_Of", bound=_Timed)


@dataclass(frozen=True)
class _Window:
    """What is kept of a record."""

    time: float
    load: IntTable

    @property
    def shape(self) -> tuple[int, ...]:
        """Layers and experts."""
        return self.load.shape


def _decoded(
    records: Iterator[tuple[str | None, Record | CutLine]], key: str | None
) -> DecodedLoads:
    series: dict[str, list[_Window]] = {}
    notes: list[str] = []
    loads, total = 0, 0
    for name, record in records:
        if isinstance(record, CutLine):
            notes.append(str(record) if name is None else f"{name}: {record}")
            continue
        if key not in (None, record.series):
            series.setdefault(record.series, [])
            continue
        loads, total = loads + record.load.size, total + 1
        if loads > limits.MAX_LOADS or total > limits.MAX_WINDOWS:
            raise LoadError(
                f"it has more than {limits.MAX_LOADS} loads or {limits.MAX_WINDOWS} windows",
                hint=["give some of its files instead"],
            )
        series.setdefault(record.series, []).append(_Window(record.time, record.load))
    alike = _one_series(series, key, notes)
    return DecodedLoads(
        np.stack([window.load for window in alike]),
        axes=("windows", "layers", "experts"),
        notes=tuple(notes),
    )


def _one_series(series: dict[str, list[_Of]], key: str | None, notes: list[str]) -> list[_Of]:
    """The windows of the series to read, in the order of time, all of one shape; adds notes.

    Raises:
        LoadError: there is no window, or no such series.
    """
    name = _chosen({each: _layers(windows) for each, windows in series.items()}, key)
    windows = sorted(series[name], key=lambda window: window.time)
    shape = windows[-1].shape
    alike = [window for window in windows if window.shape == shape]
    if len(series) > 1 and key is None:
        others = ", ".join(sorted({*series} - {name}))
        notes.append(f"{name} is read, which has the most layers; it also has {others}")
    span = f"from {utc(alike[0].time)} to {utc(alike[-1].time)} UTC"
    notes.append(f"{count(len(alike), 'window')} of {name}, {span}")
    if left_out := len(windows) - len(alike):
        notes.append(
            f"{count(left_out, 'older window')} of another shape than the newest one's "
            f"{shape[0]} x {shape[1]} left out"
        )
    return alike


@dataclass(frozen=True)
class _InFile:
    """A window in a file."""

    file: Path
    place: record_file.Place

    @property
    def time(self) -> float:
        """When it ended."""
        return self.place.time

    @property
    def shape(self) -> tuple[int, ...]:
        """Layers and experts."""
        return self.place.shape


@dataclass(frozen=True)
class RecordedWindows:
    """The windows of one series, which are read one by one."""

    windows: list[_InFile]
    notes: tuple[str, ...]

    def load(self, at: int) -> IntTable:
        """The loads of a window, ``[layers, experts]``.

        Raises:
            LoadError: they are invalid. OSError: the file cannot be read.
        """
        found = self.windows[at]
        with found.file.open("rb") as stream:
            stream.seek(found.place.start)
            return record_file.load_of(stream.read(found.place.bytes))


def recorded_windows(path: Path, key: str | None = None) -> RecordedWindows:
    """Where the windows are that :func:`read` or :func:`read_folder` reads: arguments and errors are theirs.

    A window takes 300 bytes of memory, and any number of them are found.
    """
    series: dict[str, list[_InFile]] = {}
    notes: list[str] = []
    files = record_file.files_of(path) if path.is_dir() else [path]
    for file in files:
        try:
            with file.open("rb") as stream:
                for place in record_file.places(stream):
                    if isinstance(place, CutLine):
                        notes.append(f"{file.name}: {place}" if path.is_dir() else str(place))
                        continue
                    of_series = series.setdefault(place.series, [])
                    if key in (None, place.series):
                        of_series.append(_InFile(file, place))
        except EplbError as error:
            raise error.within(file.name if path.is_dir() else "", kind=LoadError) from error
        except FileNotFoundError:
            continue  # the writer made room for a new file
    alike = _one_series(series, key, notes)
    return RecordedWindows(alike, tuple(notes))


def _layers(windows: Sequence[_Timed]) -> int:
    """Layers of the newest window."""
    return max(windows, key=lambda window: window.time).shape[0] if windows else 0


def _chosen(layers: dict[str, int], key: str | None) -> str:
    """The series to read, of those with so many layers."""
    if not layers:
        raise LoadError("it has no whole window")
    if key is not None and key not in layers:
        raise unknown("key", key, sorted(layers), kind=LoadError)
    return key or min(layers, key=lambda name: (-layers[name], name))


@dataclass(frozen=True)
class RecordedPlacement:
    """The map that was answered last."""

    series: str
    phy2log: IntTable
    num_gpus: int
    num_nodes: int
    num_groups: int
    dead_gpus: tuple[int, ...]
    when: str


def newest_placement(path: str | PathLike[str], num_experts: int) -> RecordedPlacement:
    """The newest answer in a file or folder, for a model with so many experts.

    If there are several such models, it is the one with the most layers.

    Raises:
        LoadError: there is none, or a line is no record. OSError: a file cannot be read.
    """
    newest: dict[str, Record] = {}
    others: set[int] = set()
    try:
        for _, record in records_in(Path(path)):
            if isinstance(record, CutLine):
                continue
            if record.load.shape[1] != num_experts:
                others.add(record.load.shape[1])
            elif record.series not in newest or record.time >= newest[record.series].time:
                newest[record.series] = record
        if not newest and others:
            found = " and ".join(map(str, sorted(others)))
            raise LoadError(f"it has windows of {found} experts, but the loads have {num_experts}")
        name = _chosen({name: len(record.load) for name, record in newest.items()}, None)
    except EplbError as error:
        raise error.within(str(path), kind=LoadError) from error
    record = newest[name]
    return RecordedPlacement(
        name,
        record.phy2log,
        record.num_gpus,
        record.num_nodes,
        record.num_groups,
        record.dead_gpus,
        record.when,
    )
