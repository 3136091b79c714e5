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
from eplb.summary import count

from .arrays import check_loads
from .content import content_of, text_of
from .csv_text import csv_table
from .found import Found

CONFIG = "model_gen_config.json"
STAGES = ("decode", "prefill")

_RANK = re.compile(r"(decode|prefill)_([0-9]{1,6})\.csv", re.ASCII)
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
    files = _files(stages[name], name)
    config = _config(stages[name] / CONFIG)
    if config is None:
        table = np.concatenate(_tables(files), axis=1)
        if len(table) > _MOST_LAYERS:
            raise LoadError(
                f"its files have {len(table)} rows, and no {CONFIG} says of how many layers"
            )
        return Found(table, notes=(f"{name}: {count(len(files), 'rank')} beside each other",))
    return _matrices(stages[name], name, files[config.shared_ranks :], config)


def _stages(folder: Path) -> dict[str, Path]:
    """Where the files of each stage are."""
    return {
        stage: place
        for stage in STAGES
        for place in (folder / stage, folder)
        if place.is_dir() and (place / f"{stage}_0.csv").is_file()
    }


def _files(folder: Path, stage: str) -> list[Path]:
    """The files of a stage by rank, 0, 1, 2, ..."""
    ranks = {
        int(name[2]): path
        for path in folder.iterdir()
        if (name := _RANK.fullmatch(path.name)) and name[1] == stage
    }
    for rank in range(len(ranks)):
        if rank not in ranks:
            raise LoadError(f"it lacks {stage}_{rank}.csv, but has files of {len(ranks)} ranks")
    return [ranks[rank] for rank in range(len(ranks))]


def _tables(files: list[Path]) -> list[npt.NDArray[Any]]:
    """The table of each rank, cut to the rows that all have: ranks are stopped one by one."""
    tables = []
    for path in files:
        try:
            tables.append(csv_table(text_of(content_of(path)), trust=True))
        except LoadError as error:
            raise LoadError(f"{path.name}: {error}") from error
    rows = min(map(len, tables))
    return [table[:rows] for table in tables]


def _matrices(folder: Path, stage: str, files: list[Path], config: _Config) -> Found:
    if not files:
        raise LoadError(f"all of its ranks hold shared experts, by {CONFIG}")
    slots = np.concatenate(_tables(files), axis=1)
    matrices = len(slots) // config.num_layers
    if matrices == 0:
        raise LoadError(
            f"its files have {len(slots)} rows, {CONFIG} says {config.num_layers} layers"
        )
    slots = slots[: matrices * config.num_layers].reshape(matrices, config.num_layers, -1)
    check_loads(slots)
    loads = _experts(folder, slots, config)
    what = f"{stage}: {count(matrices, 'matrix', 'matrices')} of {count(len(files), 'rank')}"
    if (loads[1:] < loads[:-1]).any():  # no counters: each matrix stands for itself
        return Found(loads, notes=(what,))
    return Found(loads[-1], notes=(f"{what}; the counters run on: the last one is taken",))


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
    most = max(config.num_experts, int(phy2log.max()) + 1)
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
