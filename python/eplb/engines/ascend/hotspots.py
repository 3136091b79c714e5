"""Expert hotspots as MindIE collects them: a directory, a CSV file per rank.

``decode_{rank}.csv`` or ``prefill_{rank}.csv``, in the directory itself or in its folders ``decode``
and ``prefill``, has a column for each slot of the rank, and a row for each MoE layer. If
``model_gen_config.json`` lies beside them, such matrices follow each other, of cumulative counters.
It says how many layers there are, how many of the first ranks hold only shared experts, and which
expert map was in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.engines.ascend import placement
from eplb.engines.engine import DecodedLoads
from eplb.engines.json_values import kind_of, whole_number_under
from eplb.engines.ranks import RANK, json_object, named_in_errors, rank_files, token_counts
from eplb.engines.slots import loads_of_experts
from eplb.errors import EplbError, LoadError, Parameter
from eplb.inputs.names import unknown
from eplb.storage.csv_text import text_table
from eplb.storage.decode import bytes_of, text_of
from eplb.text import count

CONFIG = "model_gen_config.json"
STAGES = ("decode", "prefill")

# No model has more MoE layers: a file with more rows has several matrices.
_MOST_LAYERS = 256


@dataclass(frozen=True)
class _Config:
    num_layers: int
    num_experts: int
    #: How many of the first ranks hold only shared experts.
    shared_ranks: int
    #: Name of the file that maps slots to experts; None if slots are experts.
    expert_map: str | None


def is_dump(folder: Path) -> bool:
    """Whether a directory is one of these."""
    return bool(_stages(folder))


def read(folder: Path, stage: str | None = None) -> DecodedLoads:
    """The counts of one stage.

    Args:
        folder: the directory.
        stage: ``"decode"`` or ``"prefill"``; by default the only one.

    Raises:
        LoadError: it has no counts, or its files do not go together.
        OSError: a file cannot be read.
    """
    stages = _stages(folder)
    if not stages:
        raise LoadError("it has neither decode_0.csv nor prefill_0.csv")
    if stage is not None and stage not in stages:
        raise unknown("key", stage, stages, kind=LoadError)
    if stage is None and len(stages) > 1:
        raise LoadError(
            f"it has {' and '.join(stages)}", hint=["choose one with ", Parameter("key")]
        )
    name = stage or next(iter(stages))
    files = rank_files(stages[name], re.compile(rf"{name}_{RANK}\.csv", re.ASCII))
    config = _config(stages[name] / CONFIG)
    if config is None:
        return _layers(files, name)
    return _matrices(stages[name], files[config.shared_ranks :], name, config)


def _stages(folder: Path) -> dict[str, Path]:
    """The folder of each stage."""
    stages: dict[str, Path] = {}
    for stage in STAGES:
        places = [place for place in (folder / stage, folder) if _rank_0(place, stage).is_file()]
        if len(places) > 1:
            raise LoadError(
                f"both it and its folder {stage} have {stage}_0.csv; give that folder instead"
            )
        if places:
            stages[stage] = places[0]
    return stages


def _rank_0(folder: Path, stage: str) -> Path:
    return folder / f"{stage}_0.csv"


def _tables(files: list[Path]) -> list[npt.NDArray[np.uint64]]:
    """The table of each rank."""
    tables: list[npt.NDArray[np.uint64]] = []
    total = 0
    for path in files:
        with named_in_errors(path):
            table = text_table(text_of(bytes_of(path)), labelled=False).numbers()
        tables.append(token_counts(path.name, table))
        total += tables[-1].size
        if total > limits.MAX_LOADS:
            raise LoadError(f"its files have more than {limits.MAX_LOADS} loads")
    return tables


def _layers(files: list[Path], stage: str) -> DecodedLoads:
    """One matrix, whose rows are the layers."""
    tables = _tables(files)
    for path, table in zip(files, tables, strict=True):
        if len(table) != len(tables[0]):
            raise LoadError(
                f"{path.name} has {count(len(table), 'row')}, but {files[0].name} has "
                f"{len(tables[0])}; without {CONFIG} rows are layers"
            )
    if len(tables[0]) > _MOST_LAYERS:
        raise LoadError(
            f"its files have {len(tables[0])} rows, and no {CONFIG} says how many layers there are"
        )
    notes = (f"{stage}: {count(len(files), 'rank')} side by side",)
    return DecodedLoads(np.concatenate(tables, axis=1), notes=notes)


def _matrices(folder: Path, files: list[Path], stage: str, config: _Config) -> DecodedLoads:
    """Matrices of cumulative counters, which start at 0 again when the engine restarts."""
    if not files:
        raise LoadError(f"{CONFIG} says that all of its ranks hold shared experts")
    tables = _tables(files)
    # Ranks stop one by one, at any row.
    matrices = min(map(len, tables)) // config.num_layers
    rows = matrices * config.num_layers
    if matrices == 0:
        shortest = min(map(len, tables))
        raise LoadError(
            f"its files have {count(shortest, 'row')}, but {CONFIG} says "
            f"{count(config.num_layers, 'layer')}"
        )
    slots = np.concatenate([table[:rows] for table in tables], axis=1)
    slots = slots.reshape(matrices, config.num_layers, -1)
    # A run ends before any counter falls. If the matrices are not cumulative, each is a run.
    falls = (slots[1:] < slots[:-1]).any(axis=(1, 2))
    ends = np.flatnonzero(np.append(falls, True))
    notes = [f"{stage}: {count(matrices, 'matrix', 'matrices')} of {count(len(files), 'rank')}"]
    if len(ends) < matrices:
        notes.append(
            f"cumulative counters: the last matrix of each of {count(len(ends), 'run')} is used"
        )
    if cut := max(map(len, tables)) - rows:
        notes.append(f"{count(cut, 'row')} of an unfinished matrix left out")
    loads = _experts(folder, slots[ends], config)
    return DecodedLoads(loads[0] if len(loads) == 1 else loads, notes=tuple(notes))


def _experts(folder: Path, slots: npt.NDArray[Any], config: _Config) -> npt.NDArray[Any]:
    """Loads of experts from loads of slots ``[matrices, layers, slots]``."""
    _, layers, width = slots.shape
    if config.expert_map is None:
        if width != config.num_experts:
            raise LoadError(
                f"its files have {count(width, 'column')}, but {CONFIG} says "
                f"{count(config.num_experts, 'expert')}"
            )
        return slots
    path = folder / config.expert_map
    if not path.is_file():
        raise LoadError(
            f"{CONFIG} names the expert map {path.name!r}, which is not beside the files"
        )
    phy2log = _phy2log(path)
    if phy2log.shape != (layers, width):
        raise LoadError(
            f"{path.name} is for {list(phy2log.shape)} layers and slots, but the files have "
            f"{[layers, width]}"
        )
    # Shared experts follow the routed ones, and are left out.
    most = int(phy2log.max()) + 1
    if most < config.num_experts:
        raise LoadError(
            f"{path.name} has {count(most, 'expert')}, but {CONFIG} says {config.num_experts}"
        )
    return loads_of_experts(slots, phy2log, most)[:, :, : config.num_experts]


def _phy2log(path: Path) -> npt.NDArray[np.int64]:
    """The expert map ``[layers, slots]``."""
    try:
        rows = placement.read(bytes_of(path), path.suffix).rows
        return np.array(rows, dtype=np.int64)
    except (EplbError, ValueError, OverflowError) as error:
        raise LoadError(f"{path.name}: {error}") from error


def _config(path: Path) -> _Config | None:
    if not path.is_file():
        return None
    with named_in_errors(path):
        values = json_object(path)
        layers, experts, shared = (
            whole_number_under(name, values, least=least, most=most, default=default)
            for name, least, most, default in (
                ("num_moe_layers", 1, limits.MAX_HIDDEN_LAYERS, None),
                ("num_of_experts", 1, limits.MAX_EXPERTS, None),
                ("num_dangling_shared_experts", -1, limits.MAX_EXPERTS, 0),
            )
        )
        name = values.get("eplb_expert_map_file")
        if name is not None and not isinstance(name, str):
            raise LoadError(f"eplb_expert_map_file is {kind_of(name)}; expected a path")
    # MindIE writes -1 for none. The path is one on another machine: only its last part counts.
    file = None if name is None else Path(name.replace("\\", "/")).name
    return _Config(layers, experts, max(0, shared), file)
