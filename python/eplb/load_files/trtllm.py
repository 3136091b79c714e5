"""Expert statistics of TensorRT-LLM: a directory, a file per rank.

``meta_info.json`` has ``num_experts``; ``rank{r}.safetensors`` has an array ``[experts]`` for each
``"{iteration}_{layer}"``, layers by their hidden layer. ``rank{r}_raw.safetensors``, ids of tokens'
experts, are left alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb.errors import LoadError
from eplb.plan_files import parse_json
from eplb.shown import count

from . import found
from .content import content_of, decoded, text_of
from .found import Found
from .ranks import RANK, rank_files, token_counts

if TYPE_CHECKING:
    from pathlib import Path

META = "meta_info.json"

_RANK = re.compile(rf"rank{RANK}\.safetensors", re.ASCII)
_CELL = re.compile(r"(0|[1-9][0-9]{0,11})_(0|[1-9][0-9]{0,5})", re.ASCII)


def is_dump(folder: Path) -> bool:
    """Whether a directory is one of these."""
    return (folder / META).is_file()


def read(folder: Path) -> Found:
    """The counts of all ranks and iterations, summed, a row for each layer that was recorded.

    Raises:
        LoadError: it holds none, or files that do not go together.
        OSError: one cannot be read.
    """
    experts = _num_experts(folder / META)
    files = rank_files(folder, _RANK)
    if not files:
        raise LoadError("it holds no rank0.safetensors beside its meta_info.json")
    windows: dict[int, list[npt.NDArray[Any]]] = {}
    iterations: set[int] = set()
    total = 0
    for path in files:
        for name, counts in _arrays(path).items():
            cell = _CELL.fullmatch(name)
            if cell is None:
                raise LoadError(f"{path.name}: {name[:40]!r} is no iteration and layer, as 12_3 is")
            if counts.shape != (experts,):
                raise LoadError(
                    f"{path.name}: {name} has shape {list(counts.shape)}; {META} says {experts} experts"
                )
            total += experts
            if total > found.MAX_CELLS:
                raise LoadError(f"it holds more than {found.MAX_CELLS} loads")
            iterations.add(int(cell[1]))
            windows.setdefault(int(cell[2]), []).append(
                token_counts(f"{path.name}: {name}", counts)
            )
    if not windows:
        raise LoadError("its files hold no counts")
    layers = tuple(sorted(windows))
    table = np.stack([np.sum(windows[layer], axis=0, dtype=np.uint64) for layer in layers])
    note = f"{count(len(iterations), 'iteration')} of {count(len(files), 'rank')} summed"
    return Found(table, layers, (note,))


def _num_experts(path: Path) -> int:
    meta = parse_json(text_of(content_of(path)).encode())
    experts = meta.get("num_experts") if isinstance(meta, dict) else None
    if type(experts) is not int or not 0 < experts <= found.MAX_CELLS:
        raise LoadError(f"{META}: it has no whole number 'num_experts'")
    return experts


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        from safetensors.numpy import load
    except ImportError as error:
        raise LoadError("safetensors is needed to read it: pip install safetensors") from error
    arrays: dict[str, npt.NDArray[Any]] = decoded(path.name, load, content_of(path))
    return arrays
