"""Reads loads: decodes a file or a dump, selects the table, checks every number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.engines.all_engines import DUMPS
from eplb.engines.ascend import moe_load
from eplb.engines.engine import FileDump, FolderDump
from eplb.errors import EplbError, LoadError, LoadTypeError, Note, Parameter
from eplb.inputs.names import unknown
from eplb.load_files import folders, load_history, window_records
from eplb.load_files.arranging import Given, file_loads
from eplb.load_files.axes import axes_of
from eplb.load_files.file_loads import FileLoads, together
from eplb.load_files.folders import expanded
from eplb.load_files.oddities import notes_on_windows
from eplb.load_files.placement_map import read_map
from eplb.load_files.select import select
from eplb.load_files.stated import Stated
from eplb.load_files.traces import trace_loads
from eplb.load_files.weights import weighted_sum, whole_weights
from eplb.storage.decode import bytes_of, values_of
from eplb.storage.record_file import is_record
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from eplb.engines.engine import DecodedLoads

_FILES: dict[str, FileDump] = {
    **{name: dump for name, dump in DUMPS.items() if isinstance(dump, FileDump)},
    "load-history": FileDump(load_history.is_history, load_history.read),
}
_FOLDERS: dict[str, FolderDump] = {
    window_records.NAME: FolderDump(
        window_records.CONTENT, window_records.is_folder, window_records.read_folder
    ),
    **{name: dump for name, dump in DUMPS.items() if isinstance(dump, FolderDump)},
}

#: Writers of loads: any program (a plain table), or an engine.
WRITERS = ("table", *_FILES, *_FOLDERS)


def read_loads(
    source: str | PathLike[str],
    *,
    key: str | Sequence[str] | None = None,
    written_by: str | None = None,
    axes: str | Sequence[str] | None = None,
    num_layers: int | None = None,
    num_experts: int | None = None,
    config: str | PathLike[str] | None = None,
    placement: str | PathLike[str] | None = None,
    weights: Sequence[float] | None = None,
    trust: bool = False,
) -> FileLoads:
    """Reads loads from a file or directory, or from standard input if ``source`` is ``"-"``.

    Untrusted files are safe to read.

    Args:
        source: ``.npy``, ``.npz``, ``.pt`` (needs torch), ``.json`` (lists of lists), ``.csv`` (a row
            per layer, or a row per layer and expert), or a dump of an engine: one of ``WRITERS``.
            One row ``[experts]`` is one layer.
        key: which array of an ``.npz``, which entry of a JSON object or a ``.pt`` dict, which column
            of a ``.csv`` with a row per layer and expert, ``decode`` or ``prefill`` for MindIE. By
            default the only one, or the one with a usual name such as ``counts`` or ``load``.
            Several keys are windows, in this order.
        written_by: one of ``WRITERS``; by default it is recognised.
        axes: names of the axes, such as ``"layers,ranks,slots"``: windows, layers, ranks (summed, or
            their slots put side by side), experts or slots. By default
            ``"windows,layers,experts"``, or ``"layers,experts"``.
        num_layers: refuse loads of another number of layers.
        num_experts: refuse loads of another number of experts.
        config: the model's config.json: refuse loads of another shape than it says.
        placement: the placement under which slots were counted, in any format that eplb writes:
            the loads of slots are summed to loads of experts.
        weights: of several keys: their loads are summed with these weights. In
            :func:`read_windows` with one key, those of the sources.
        trust: accept the numbers as loads, even if they look like numbers of experts or layers.

    Raises:
        LoadError: it has no valid loads; the message says what is wrong where.
        EplbError, TypeError: an argument is invalid.
        OSError: it cannot be read.
    """
    return read_windows(
        [source],
        key=key,
        written_by=written_by,
        axes=axes,
        num_layers=num_layers,
        num_experts=num_experts,
        config=config,
        placement=placement,
        weights=weights,
        trust=trust,
    )


def read_windows(
    sources: Sequence[str | PathLike[str]],
    *,
    key: str | Sequence[str] | None = None,
    written_by: str | None = None,
    axes: str | Sequence[str] | None = None,
    num_layers: int | None = None,
    num_experts: int | None = None,
    config: str | PathLike[str] | None = None,
    placement: str | PathLike[str] | None = None,
    weights: Sequence[float] | None = None,
    trust: bool = False,
) -> FileLoads:
    """Reads several files or directories, oldest first, each with one window or several.

    Arguments are those of :func:`read_loads`, for each.

    Raises:
        LoadError: as :func:`read_loads`; or a source is for another model than the first.
        EplbError, TypeError: an argument is invalid. OSError: a source cannot be read.
    """
    given = _given(written_by, axes, num_layers, num_experts, config, placement, trust=trust)
    read = _windows(_files_of(sources, written_by), key, written_by, weights, given)
    return replace(read, notes=(*read.notes, *notes_on_windows(read.windows)))


def read_trace(
    sources: Sequence[str | PathLike[str]],
    *,
    key: str | Sequence[str] | None = None,
    written_by: str | None = None,
    axes: str | Sequence[str] | None = None,
    num_layers: int | None = None,
    num_experts: int | None = None,
    config: str | PathLike[str] | None = None,
    placement: str | PathLike[str] | None = None,
    weights: Sequence[float] | None = None,
    trust: bool = False,
) -> FileLoads:
    """Reads a trace, which may be larger than memory: as :func:`read_windows`, but windows when asked for.

    ``windows`` of the result reads a window whenever it is asked for it. So a file must stay as it is
    as long as that is used. What is larger than ``eplb.limits.MAX_TRACE_BYTES`` is never in memory as a
    whole if it is ``.npy`` with three axes, JSON lines with a window on each, or a record of a plug-in; nor
    are several files. Passes that a dump sums to one window, as TensorRT-LLM's iterations, are windows
    here.

    Raises:
        LoadError, EplbError, TypeError, OSError: as :func:`read_windows`; of a window, when it is read.
    """
    given = _given(written_by, axes, num_layers, num_experts, config, placement, trust=trust)
    files, keys = _files_of(sources, written_by), _keys(key)
    if weights is not None or len(keys) > 1:
        read = _windows(files, key, written_by, weights, given)
    else:
        given = replace(given, keys=tuple(keys))
        read = trace_loads(
            files,
            keys[0],
            written_by,
            given,
            lambda source: _read(source, keys[0], written_by, given),
        )
    return replace(read, notes=(*read.notes, *notes_on_windows(read.windows)))


def _given(
    written_by: str | None,
    axes: str | Sequence[str] | None,
    num_layers: int | None,
    num_experts: int | None,
    config: str | PathLike[str] | None,
    placement: str | PathLike[str] | None,
    *,
    trust: bool,
) -> Given:
    """What the user said, checked."""
    if written_by is not None and written_by not in WRITERS:
        raise unknown("written_by", written_by, WRITERS, kind=LoadError)
    return Given(
        axes=None if axes is None else axes_of(axes),
        stated=Stated.of(num_layers, num_experts, config),
        placement=None if placement is None else read_map(placement),
        trust=trust,
    )


def _files_of(
    sources: Sequence[str | PathLike[str]], written_by: str | None
) -> list[str | PathLike[str]]:
    """The sources, with the files of a folder in the place of it if it is no dump."""
    return expanded(sources, lambda folder: written_by in _FOLDERS or _is_dump(folder))


def _is_dump(folder: Path) -> bool:
    """Whether a directory is a dump, or one that is refused: whoever reads it says why."""
    try:
        return any(dump.recognises(folder) for dump in _FOLDERS.values())
    except EplbError:
        return True


def _windows(
    sources: Sequence[str | PathLike[str]],
    key: str | Sequence[str] | None,
    written_by: str | None,
    weights: Sequence[float] | None,
    given: Given,
) -> FileLoads:
    """The windows of several sources."""
    keys = _keys(key)
    factors = None if weights is None else _weights(weights, sources, keys)
    given = replace(given, keys=tuple(keys))
    by_source = [[_read(source, each, written_by, given) for each in keys] for source in sources]
    names = [str(source) for source in sources]
    if len(keys) == 1:
        parts = [part for (part,) in by_source]
        return together(parts, names) if factors is None else weighted_sum(parts, names, factors)
    of_keys = [str(each) for each in keys]
    if factors is not None:
        summed = [weighted_sum(parts, of_keys, factors) for parts in by_source]
        return together(summed, names)
    order = Note(
        f"windows in this order: {', '.join(of_keys)}; ", Parameter("weights"), " sums them instead"
    )
    several = together([together(parts, of_keys) for parts in by_source], names)
    return replace(several, notes=(*several.notes, order))


def _keys(key: str | Sequence[str] | None) -> list[str | None]:
    if key is None or isinstance(key, str):
        return [key]
    for each in key:
        if list(key).count(each) > 1:
            raise EplbError("the ", Parameter("key"), f" {short(each)} is given twice")
    return [*key] or [None]


def _weights(
    weights: Sequence[float], sources: Sequence[Any], keys: Sequence[str | None]
) -> list[int]:
    """A whole weight for each key, or if there is one key, for each source."""
    if isinstance(weights, (str, bytes)) or not hasattr(weights, "__len__"):
        raise EplbError(
            Parameter("weights"),
            f" is {short(weights)}; expected a list of numbers, such as [3, 1]",
        )
    count_of, what = (len(keys), "key") if len(keys) > 1 else (len(sources), "file")
    if len(weights) != count_of or count_of == 1:
        raise EplbError(
            Parameter("weights"),
            f" has {count(len(weights), 'number')} for {count(count_of, what)}; expected one for "
            "each of several",
        )
    return whole_weights(weights)


def _read(
    source: str | PathLike[str], key: str | None, written_by: str | None, given: Given
) -> FileLoads:
    """The loads under one key of one source."""
    name = "standard input" if source == "-" else str(source)
    try:
        if source != "-" and Path(source).is_dir():
            decoded = _folder(Path(source), key, written_by)
        else:
            decoded = _file(source, key, written_by, given)
        return file_loads(decoded, given)
    except EplbError as error:
        raise error.within(name, kind=LoadError) from error
    except LoadTypeError as error:
        raise LoadError(f"{name}: {error}") from error


def _folder(folder: Path, key: str | None, written_by: str | None) -> DecodedLoads:
    for name, dump in _FOLDERS.items():
        if written_by == name or (written_by is None and dump.recognises(folder)):
            return dump.read(folder, key)
    if written_by is not None:
        raise LoadError(f"this is a directory, but {written_by} is a file")
    contents = " or ".join([*(dump.content for dump in _FOLDERS.values()), folders.CONTENT])
    raise LoadError(f"this is a directory without {contents}", hint=["give a file instead"])


def _file(
    source: str | PathLike[str], key: str | None, written_by: str | None, given: Given
) -> DecodedLoads:
    content = None
    if written_by in (None, window_records.NAME):
        content = bytes_of(source)
        if written_by is not None or is_record(content):
            return window_records.read(content, key)
    if written_by in _FOLDERS:
        raise LoadError(f"this is a file, but {written_by} writes a directory")
    if key is not None and written_by in _FILES:
        raise LoadError(f"{written_by} has only one table", hint=["leave out ", Parameter("key")])
    content = bytes_of(source) if content is None else content
    values = values_of(content, Path(source).suffix.lower())
    if key is None:
        for name, dump in _FILES.items():
            if written_by == name or (written_by is None and dump.recognises(values)):
                return dump.read(values)
    if key is None and moe_load.is_file(Path(source).name):
        return moe_load.decoded(values)
    return select(values, key, experts=given.stated.num_experts, trust=given.trust, keys=given.keys)
