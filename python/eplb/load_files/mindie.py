"""Hotspots of experts as MindIE collects them: a directory, a CSV file per rank.

``decode_{rank}.csv`` or ``prefill_{rank}.csv``, in the directory itself or in its folders ``decode``
and ``prefill``, has a column for each slot of the rank, and a row for each MoE layer. Where
``model_gen_config.json`` lies beside them, such matrices follow each other, of counters that run on;
it says how many layers there are, how many ranks in front hold shared experts alone, and which map
of experts was in use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eplb.engine_files import load_engine_file
from eplb.errors import LoadError
from eplb.plan_files import parse_json
from eplb.shown import count

from . import found
from .content import content_of, text_of
from .csv_text import csv_table
from .found import Found
from .ranks import RANK, rank_files, token_counts

CONFIG = "model_gen_config.json"
STAGES = ("decode", "prefill")

# No model has more: rows beyond are matrices, and how many layers each has is not said.
_MOST_LAYERS = 256


@dataclass(frozen=True)
class _Config:
    num_layers: int
    num_experts: int
    #: Ranks in front that hold shared experts alone.
    shared_ranks: int
    #: Name of the file that maps slots to experts; None where slots are experts.
    expert_map: str | None


def is_dump(folder: Path) -> bool:
    """Whether a directory is one of these."""
    return bool(_stages(folder))


def read(folder: Path, stage: str | None = None) -> Found:
    """The counts of one stage.

    Args:
        folder: the directory.
        stage: ``"decode"`` or ``"prefill"``; by default the one that is there.

    Raises:
        LoadError: it holds none, or files that do not go together.
        OSError: one cannot be read.
    """
    stages = _stages(folder)
    if not stages:
        raise LoadError("it holds no decode_0.csv and no prefill_0.csv")
    if stage is not None and stage not in stages:
        raise LoadError(f"it holds no {stage!r}; it holds {' and '.join(stages)}")
    if stage is None and len(stages) > 1:
        raise LoadError(f"it holds {' and '.join(stages)}: name one as the key (--key)")
    name = stage or next(iter(stages))
    files = rank_files(stages[name], re.compile(rf"{name}_{RANK}\.csv", re.ASCII))
    config = _config(stages[name] / CONFIG)
    if config is None:
        return _layers(files, name)
    return _matrices(stages[name], files[config.shared_ranks :], name, config)


def _stages(folder: Path) -> dict[str, Path]:
    """Where the files of each stage are."""
    stages: dict[str, Path] = {}
    for stage in STAGES:
        places = [place for place in (folder / stage, folder) if _rank_0(place, stage).is_file()]
        if len(places) > 1:
            raise LoadError(f"it has {stage}_0.csv, and so has its folder {stage}: name that one")
        if places:
            stages[stage] = places[0]
    return stages


def _rank_0(folder: Path, stage: str) -> Path:
    return folder / f"{stage}_0.csv"


def _tables(files: list[Path]) -> list[npt.NDArray[np.uint64]]:
    """The table of each rank."""
    tables: list[npt.NDArray[np.uint64]] = []
    for path in files:
        try:
            table = csv_table(text_of(content_of(path)), trust=True)
        except LoadError as error:
            raise LoadError(f"{path.name}: {error}") from error
        tables.append(token_counts(path.name, table))
        if sum(table.size for table in tables) > found.MAX_CELLS:
            raise LoadError(f"its files hold more than {found.MAX_CELLS} loads")
    return tables


def _layers(files: list[Path], stage: str) -> Found:
    """One matrix: the rows are the layers."""
    tables = _tables(files)
    for path, table in zip(files, tables, strict=True):
        if len(table) != len(tables[0]):
            raise LoadError(
                f"{path.name} has {len(table)} rows, {files[0].name} {len(tables[0])}: rows are "
                f"layers, where no {CONFIG} says how many of them there are"
            )
    if len(tables[0]) > _MOST_LAYERS:
        raise LoadError(
            f"its files have {len(tables[0])} rows, and no {CONFIG} says of how many layers"
        )
    notes = (f"{stage}: {count(len(files), 'rank')} beside each other",)
    return Found(np.concatenate(tables, axis=1), notes=notes)


def _matrices(folder: Path, files: list[Path], stage: str, config: _Config) -> Found:
    """Matrices of counters that run on, and start again where the engine did."""
    if not files:
        raise LoadError(f"all of its ranks hold shared experts, by {CONFIG}")
    tables = _tables(files)
    # Ranks are stopped one by one, in whatever row.
    matrices = min(map(len, tables)) // config.num_layers
    rows = matrices * config.num_layers
    if matrices == 0:
        shortest = min(map(len, tables))
        raise LoadError(f"its files have {shortest} rows, {CONFIG} says {config.num_layers} layers")
    slots = np.concatenate([table[:rows] for table in tables], axis=1)
    slots = slots.reshape(matrices, config.num_layers, -1)
    # What any counter falls after ends a run. Where matrices are no counters, each is a run.
    falls = (slots[1:] < slots[:-1]).any(axis=(1, 2))
    ends = np.flatnonzero(np.append(falls, True))
    notes = [f"{stage}: {count(matrices, 'matrix', 'matrices')} of {count(len(files), 'rank')}"]
    if len(ends) < matrices:
        notes.append(
            f"its counters run on: the last of each run is taken, {count(len(ends), 'run')}"
        )
    if cut := max(map(len, tables)) - rows:
        notes.append(f"{count(cut, 'row')} of an unfinished matrix left out")
    loads = _experts(folder, slots[ends], config)
    return Found(loads[0] if len(loads) == 1 else loads, notes=tuple(notes))


def _experts(folder: Path, slots: npt.NDArray[Any], config: _Config) -> npt.NDArray[Any]:
    """Loads of experts from loads of slots ``[matrices, layers, slots]``."""
    matrices, layers, width = slots.shape
    if config.expert_map is None:
        if width != config.num_experts:
            raise LoadError(
                f"its files have {width} columns, {CONFIG} says {config.num_experts} experts"
            )
        return slots
    path = folder / config.expert_map
    if not path.is_file():
        raise LoadError(f"{CONFIG} names the map of experts {path.name!r}: put it beside the files")
    phy2log = load_engine_file(path, "vllm-ascend").plan.phy2log
    if phy2log.shape != (layers, width):
        raise LoadError(
            f"{path.name} is for {list(phy2log.shape)} layers and slots, the files have "
            f"{[layers, width]}"
        )
    # Shared experts among the routed ones come after them, and are left out.
    most = int(phy2log.max()) + 1
    if most < config.num_experts:
        raise LoadError(f"{path.name} has {most} experts, {CONFIG} says {config.num_experts}")
    loads = np.zeros((matrices, layers, most), slots.dtype)
    for matrix in range(matrices):
        np.add.at(loads[matrix], (np.arange(layers)[:, None], phy2log), slots[matrix])
    return loads[:, :, : config.num_experts]


def _config(path: Path) -> _Config | None:
    if not path.is_file():
        return None
    values = parse_json(text_of(content_of(path)).encode())
    if not isinstance(values, dict):
        raise LoadError(f"{CONFIG} must be an object with keys")
    name = values.get("eplb_expert_map_file")
    if name is not None and not isinstance(name, str):
        raise LoadError(f"{CONFIG}: 'eplb_expert_map_file' must be a path")
    return _Config(
        _number(values, "num_moe_layers", 1),
        _number(values, "num_of_experts", 1),
        max(0, _number(values, "num_dangling_shared_experts", -1, default=0)),
        # A path of another machine: only its last part is looked for, and only here.
        None if name is None else Path(name.replace("\\", "/")).name,
    )


def _number(values: dict[str, Any], name: str, least: int, default: int | None = None) -> int:
    value = values.get(name, default)
    if type(value) is not int or not least <= value <= 2**20:
        raise LoadError(f"{CONFIG}: {name!r} must be a whole number from {least}")
    return value
