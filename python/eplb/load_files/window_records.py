"""Records of eplb's plug-ins: a file, or a folder of them, as windows of loads and as a placement.

A folder may have files of several engines, processes and models. A *series* is a model of an engine.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.errors import EplbError, LoadError
from eplb.inputs.names import unknown
from eplb.storage import record_file
from eplb.storage.record_file import CutLine, utc
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Iterator
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


@dataclass(frozen=True)
class _Window:
    """What is kept of a record."""

    time: float
    load: IntTable


def _decoded(
    records: Iterator[tuple[str | None, Record | CutLine]], key: str | None
) -> DecodedLoads:
    series: dict[str, list[_Window]] = {}
    notes, loads, total = [], 0, 0
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
    name = _chosen({each: _layers(windows) for each, windows in series.items()}, key)
    windows = sorted(series[name], key=lambda window: window.time)
    shape = windows[-1].load.shape
    alike = [window for window in windows if window.load.shape == shape]
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
    return DecodedLoads(
        np.stack([window.load for window in alike]),
        axes=("windows", "layers", "experts"),
        notes=tuple(notes),
    )


def _layers(windows: list[_Window]) -> int:
    """Layers of the newest window."""
    return len(max(windows, key=lambda window: window.time).load) if windows else 0


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
