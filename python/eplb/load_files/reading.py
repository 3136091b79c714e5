"""Reads loads: decodes a file or a dump, selects the table, checks every number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.engines.all_engines import DUMPS
from eplb.engines.engine import FileDump, FolderDump
from eplb.errors import EplbError, LoadError, LoadTypeError, Parameter
from eplb.inputs.names import unknown
from eplb.load_files import load_history
from eplb.load_files.arrays import as_layers, check_loads, load_array, sum_note, sum_of_windows
from eplb.load_files.plausibility import refuse_expert_ids
from eplb.load_files.select import select
from eplb.storage.decode import bytes_of, values_of

if TYPE_CHECKING:
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
    """Loads from a file or directory."""

    #: ``[layers, experts]``: int64, uint64, float32 or float64, finite and not negative.
    table: npt.NDArray[Any]
    #: What was done to them, a line each.
    notes: tuple[str, ...] = ()
    #: Hidden layer of each row, ascending; None if the file does not say.
    layers: tuple[int, ...] | None = None


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
        notes = decoded.notes + row
        if array.ndim == 3:
            notes += (sum_note(array),)
            array = sum_of_windows(array)
        return FileLoads(array, notes, decoded.layers)
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
