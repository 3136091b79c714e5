"""From a file or directory to loads: who wrote it, what it holds, then checks of every number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.errors import EplbError, LoadError, LoadTypeError

from . import load_history, sglang
from .arrays import check_loads, load_array, sum_note, sum_of_windows
from .content import content_of, values_of
from .doubts import refuse_expert_ids
from .entries import entry

if TYPE_CHECKING:
    from os import PathLike

    import numpy.typing as npt

    from .found import Found

#: Who may have written the loads: anyone (a plain table), or an engine.
WRITERS = ("table", "sglang", "trtllm", "load-history", "mindie")


@dataclass(frozen=True)
class FileLoads:
    """Loads of a file or directory."""

    #: ``[layers, experts]``: int64, uint64, float32 or float64, finite and not negative.
    table: npt.NDArray[Any]
    #: What was done to them on the way, a line each.
    notes: tuple[str, ...] = ()
    #: Hidden layer of each row, ascending; None where the file does not say.
    layers: tuple[int, ...] | None = None


def read_loads(
    source: str | PathLike[str],
    *,
    key: str | None = None,
    written_by: str | None = None,
    trust: bool = False,
) -> FileLoads:
    """Reads loads from a file or directory, or from standard input where ``source`` is ``"-"``.

    Args:
        source: ``.npy``, ``.npz``, ``.pt`` (needs torch), ``.json`` (lists of lists), ``.csv``
            (a row per layer), or what an engine dumped: SGLang's recorder (``.pt``), TensorRT-LLM's
            statistics (a directory; needs safetensors), a load history (``.json``), MindIE's
            hotspots (a directory).
        key: which array of an ``.npz``, which entry of a JSON object or a ``.pt`` dict, ``decode``
            or ``prefill`` of MindIE's. By default the only one, or the one that is named
            ``counts``, ``load`` or ``logical_count``.
        written_by: one of ``WRITERS``; by default recognised.
        trust: takes the numbers as loads, even where they look like numbers of experts or layers.

    Raises:
        LoadError: it holds no loads; the message names the file and what is wrong where.
        OSError: it cannot be read.
    """
    if written_by is not None and written_by not in WRITERS:
        raise LoadError(f"nobody known writes {written_by!r}; there are {', '.join(WRITERS)}")
    name = "standard input" if source == "-" else str(source)
    try:
        if source != "-" and Path(source).is_dir():
            found = _directory(Path(source), key, written_by)
        else:
            found = _file(source, key, written_by, trust=trust)
        array = load_array(found.values)
        check_loads(array)
        if not trust:
            refuse_expert_ids(array)
        notes = found.notes
        if array.ndim == 3:
            notes += (sum_note(array),)
            array = sum_of_windows(array)
        return FileLoads(array, notes, found.layers)
    except EplbError as error:
        place = (error.layer, error.slot, error.expert)
        raise LoadError(f"{name}: {error}", *place) from error
    except LoadTypeError as error:
        raise LoadError(f"{name}: {error}") from error


def _directory(folder: Path, key: str | None, written_by: str | None) -> Found:
    from . import mindie, trtllm  # few have directories, and these bring engine_files along

    if written_by == "mindie" or (written_by is None and mindie.is_dump(folder)):
        return mindie.read(folder, key)
    if written_by == "trtllm" or (written_by is None and trtllm.is_dump(folder)):
        if key is not None:
            raise LoadError(f"it holds one table without a name, and none named {key!r}")
        return trtllm.read(folder)
    if written_by is not None:
        raise LoadError(f"it is a directory, and {written_by} is a file")
    raise LoadError(
        f"it is a directory without {trtllm.META} (TensorRT-LLM's statistics) and without "
        "decode_0.csv or prefill_0.csv (MindIE's hotspots): name a file"
    )


def _file(
    source: str | PathLike[str], key: str | None, written_by: str | None, *, trust: bool
) -> Found:
    if written_by in ("mindie", "trtllm"):
        raise LoadError(f"it is a file, and {written_by} writes a directory: name that")
    if key is not None and written_by in ("sglang", "load-history"):
        raise LoadError(f"a key is for a file of several tables, and {written_by} writes one")
    values = values_of(content_of(source), Path(source).suffix.lower(), trust=trust)
    if key is None:
        if written_by == "sglang" or (written_by is None and sglang.is_dump(values)):
            return sglang.read(values)
        if written_by == "load-history" or (written_by is None and load_history.is_history(values)):
            return load_history.read(values)
    return entry(values, key)
