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

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.engines.json_values import whole_number_under
from eplb.engines.ranks import RANK, json_object, named_in_errors, rank_files, token_counts
from eplb.errors import LoadError
from eplb.storage.decode import bytes_of, decoded
from eplb.text import count

if TYPE_CHECKING:
    from pathlib import Path

META = "meta_info.json"

_RANK = re.compile(rf"rank{RANK}\.safetensors", re.ASCII)
_CELL = re.compile(r"(0|[1-9][0-9]{0,11})_(0|[1-9][0-9]{0,5})", re.ASCII)


def is_dump(folder: Path) -> bool:
    """Whether a directory is one of these."""
    return (folder / META).is_file()


def read(folder: Path, key: str | None = None) -> DecodedLoads:
    """The counts of all ranks and iterations, summed, a row for each layer that was recorded.

    Raises:
        LoadError: it has no counts, or its files do not go together.
        OSError: a file cannot be read.
    """
    if key is not None:
        raise LoadError(f"it has one unnamed table, not {key!r}")
    experts = _num_experts(folder / META)
    files = rank_files(folder, _RANK)
    if not files:
        raise LoadError("it has a meta_info.json but no rank0.safetensors")
    cells: dict[tuple[int, int], list[npt.NDArray[Any]]] = {}
    total = 0
    for path in files:
        for name, counts in _arrays(path).items():
            cell = _CELL.fullmatch(name)
            if cell is None:
                raise LoadError(
                    f"{path.name}: {name[:40]!r} is not an iteration and a layer, such as 12_3"
                )
            if counts.shape != (experts,):
                raise LoadError(
                    f"{path.name}: {name} has shape {list(counts.shape)}, but {META} says "
                    f"{count(experts, 'expert')}"
                )
            total += experts
            if total > limits.MAX_LOADS:
                raise LoadError(f"it holds more than {limits.MAX_LOADS} loads")
            cells.setdefault((int(cell[1]), int(cell[2])), []).append(
                token_counts(f"{path.name}: {name}", counts)
            )
    if not cells:
        raise LoadError("its files have no counts")
    iterations = sorted({iteration for iteration, _ in cells})
    layers = tuple(sorted({layer for _, layer in cells}))
    table = np.zeros((len(layers), experts), dtype=np.uint64)
    # A file may have one layer of each of very many iterations, which would be mostly zeros.
    few = len(iterations) * table.size <= limits.MAX_LOADS
    passes = np.zeros((len(iterations), *table.shape), dtype=np.uint64) if few else None
    row_of = {layer: row for row, layer in enumerate(layers)}
    pass_of = {iteration: number for number, iteration in enumerate(iterations)}
    for (iteration, layer), of_ranks in cells.items():
        tokens = np.sum(of_ranks, axis=0, dtype=np.uint64)
        table[row_of[layer]] += tokens
        if passes is not None:
            passes[pass_of[iteration], row_of[layer]] = tokens
    note = f"{count(len(iterations), 'iteration')} of {count(len(files), 'rank')} summed"
    return DecodedLoads(table, layers, (note,), passes=passes)


def _num_experts(path: Path) -> int:
    with named_in_errors(path):
        return whole_number_under(
            "num_experts", json_object(path), least=1, most=limits.MAX_EXPERTS
        )


def _arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        from safetensors.numpy import load
    except ImportError as error:
        raise LoadError(
            "safetensors is needed to read it", hint=["pip install safetensors"]
        ) from error
    arrays: dict[str, npt.NDArray[Any]] = decoded(path.name, load, bytes_of(path))
    return arrays
