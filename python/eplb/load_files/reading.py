"""Reads loads: decodes a file or a dump, selects the table, checks every number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.engines.all_engines import DUMPS
from eplb.engines.engine import FileDump, FolderDump
from eplb.errors import EplbError, LoadError, LoadTypeError, Parameter
from eplb.inputs.names import unknown
from eplb.inputs.sizes import whole_number
from eplb.inputs.windows import merged, summed
from eplb.load_files import load_history
from eplb.load_files.arrays import as_layers, check_loads, load_array
from eplb.load_files.plausibility import refuse_expert_ids
from eplb.load_files.select import select
from eplb.storage.decode import bytes_of, values_of
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy.typing as npt

    from eplb.engines.engine import DecodedLoads

_FILES: dict[str, FileDump] = {
    **{name: dump for name, dump in DUMPS.items() if isinstance(dump, FileDump)},
    "load-history": FileDump(load_history.is_history, load_history.read),
}
_FOLDERS: dict[str, FolderDump] = {
    name: dump for name, dump in DUMPS.items() if isinstance(dump, FolderDump)
}

#: Writers of loads: any program (a plain table), or an engine.
WRITERS = ("table", *_FILES, *_FOLDERS)


@dataclass(frozen=True)
class FileLoads:
    """Loads from a file or directory, or several."""

    #: Windows ``[layers, experts]``, oldest first: int64, uint64, float32 or float64, finite and not
    #: negative.
    windows: tuple[npt.NDArray[Any], ...]
    #: What was done to them, a line each.
    notes: tuple[str, ...] = ()
    #: Hidden layer of each row, ascending; None if the file does not say.
    layers: tuple[int, ...] | None = None

    @property
    def loads(self) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
        """What :func:`eplb.plan` takes: the only window, or a list of windows."""
        return self.windows[0] if len(self.windows) == 1 else [*self.windows]

    @property
    def table(self) -> npt.NDArray[Any]:
        """The sum of all windows, ``[layers, experts]``: exact, or the nearest float64.

        Raises:
            LoadError: a sum is too large.
        """
        table: npt.NDArray[Any] = summed(self.loads)
        return table

    def merged(self, count: int) -> FileLoads:
        """The same loads in at most ``count`` windows of about equal load.

        Raises:
            EplbError, TypeError: ``count`` is not a positive whole number. LoadError: a sum is too
                large, or some windows have integers and some have floats.
        """
        number = whole_number("windows", count, EplbError)
        if len({window.dtype.kind in "iu" for window in self.windows}) > 1:
            raise LoadError("some windows have integers and some have floats")
        return replace(self, windows=tuple(merged(self.windows, number)))

    @property
    def experts(self) -> int:
        """Experts per layer."""
        return int(self.windows[0].shape[1])


def read_loads(
    source: str | PathLike[str],
    *,
    key: str | None = None,
    written_by: str | None = None,
    trust: bool = False,
) -> FileLoads:
    """Reads loads from a file or directory, or from standard input if ``source`` is ``"-"``.

    Untrusted files are safe to read.

    Args:
        source: ``.npy``, ``.npz``, ``.pt`` (needs torch), ``.json`` (lists of lists), ``.csv``
            (a row per layer), or a dump of an engine: SGLang's recorder (``.pt``), TensorRT-LLM's
            statistics (a directory; needs safetensors), MindIE's hotspots (a directory), a load
            history (``.json``). One row ``[experts]`` is one layer.
        key: which array of an ``.npz``, which entry of a JSON object or a ``.pt`` dict, ``decode``
            or ``prefill`` for MindIE. By default the only one, or the one named ``counts``,
            ``load`` or ``logical_count``.
        written_by: one of ``WRITERS``; by default it is recognised.
        trust: accept the numbers as loads, even if they look like numbers of experts or layers.

    Raises:
        LoadError: it has no valid loads; the message says what is wrong where.
        OSError: it cannot be read.
    """
    if written_by is not None and written_by not in WRITERS:
        raise unknown("written_by", written_by, WRITERS, kind=LoadError)
    name = "standard input" if source == "-" else str(source)
    try:
        if source != "-" and Path(source).is_dir():
            decoded = _folder(Path(source), key, written_by)
        else:
            decoded = _file(source, key, written_by, trust=trust)
        array, row = as_layers(load_array(decoded.values))
        check_loads(array)
        if not trust:
            refuse_expert_ids(array)
        windows = tuple(array) if array.ndim == 3 else (array,)
        return FileLoads(windows, decoded.notes + row, decoded.layers)
    except EplbError as error:
        raise error.within(name, kind=LoadError) from error
    except LoadTypeError as error:
        raise LoadError(f"{name}: {error}") from error


def read_windows(
    sources: Sequence[str | PathLike[str]],
    *,
    key: str | None = None,
    written_by: str | None = None,
    trust: bool = False,
) -> FileLoads:
    """Reads several files or directories, oldest first, each with one window or several.

    Arguments are those of :func:`read_loads`, for each.

    Raises:
        LoadError: as :func:`read_loads`; or a source is for another model than the first.
        OSError: one cannot be read.
    """
    first, *others = [
        read_loads(source, key=key, written_by=written_by, trust=trust) for source in sources
    ]
    windows, notes = first.windows, first.notes
    for source, read in zip(sources[1:], others, strict=True):
        shape, wanted = read.windows[0].shape, windows[0].shape
        if (shape, read.layers) != (wanted, first.layers):
            other = f"{count(shape[0], 'layer')} x {count(shape[1], 'expert')}"
            raise LoadError(
                f"{source}: it has {other}, but {sources[0]} has {wanted[0]} x {wanted[1]}"
                if shape != wanted
                else f"{source}: it has other hidden layers than {sources[0]}"
            )
        windows += read.windows
        notes += tuple(note for note in read.notes if note not in notes)
    return FileLoads(windows, notes, first.layers)


def _folder(folder: Path, key: str | None, written_by: str | None) -> DecodedLoads:
    for name, dump in _FOLDERS.items():
        if written_by == name or (written_by is None and dump.recognises(folder)):
            return dump.read(folder, key)
    if written_by is not None:
        raise LoadError(f"this is a directory, but {written_by} is a file")
    contents = " or ".join(dump.content for dump in _FOLDERS.values())
    raise LoadError(f"this is a directory without {contents}", hint=["give a file instead"])


def _file(
    source: str | PathLike[str], key: str | None, written_by: str | None, *, trust: bool
) -> DecodedLoads:
    if written_by in _FOLDERS:
        raise LoadError(f"this is a file, but {written_by} writes a directory")
    if key is not None and written_by in _FILES:
        raise LoadError(f"{written_by} has only one table", hint=["leave out ", Parameter("key")])
    values = values_of(bytes_of(source), Path(source).suffix.lower(), trust=trust)
    if key is None:
        for name, dump in _FILES.items():
            if written_by == name or (written_by is None and dump.recognises(values)):
                return dump.read(values)
    return select(values, key)
