"""The real loads under loads/, and topologies to plan each of them for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from histogram import histogram
from paths import LOADS

if TYPE_CHECKING:
    import numpy.typing as npt

FOLDER = LOADS

#: File (less .npz) -> at least two topologies for its loads.
TOPOLOGIES: dict[str, list[dict[str, Any]]] = {
    "deepseek-moe-16b_minipile_counts": [
        {"num_gpus": 8, "num_replicas": 72},
        {"num_gpus": 16, "num_replicas": 80, "num_groups": 8, "num_nodes": 2},
    ],
    "deepseek-v2-lite_esft_seq_counts": [
        {"num_gpus": 8, "num_replicas": 72},
        {"num_gpus": 8, "num_replicas": 80, "num_groups": 8, "num_nodes": 4},
    ],
    "deepseek-v4-flash_reap-loop_token_top6_ids_L3-42": [
        {"num_gpus": 32, "num_replicas": 288},
        {"num_gpus": 64, "num_replicas": 320, "num_groups": 16, "num_nodes": 8},
    ],
    "gpt-oss-20b_expertfingerprinting_category_counts": [
        {"num_gpus": 8, "num_replicas": 40},
        {"num_gpus": 4, "num_replicas": 36, "num_groups": 3, "num_nodes": 2},  # the fallback
    ],
    "gpt-oss-20b_expertfingerprinting_dataset_counts": [
        {"num_gpus": 8, "num_replicas": 40},
        {"num_gpus": 32, "num_replicas": 32},
    ],
    "olmoe-1b-7b-qlora-adapted_experts4bit_1024ex_counts": [
        {"num_gpus": 8, "num_replicas": 64, "num_groups": 16, "num_nodes": 2},
        {"num_gpus": 1, "num_replicas": 65},
    ],
    "olmoe-1b-7b_experts4bit_alpaca-like_1024ex_counts": [
        {"num_gpus": 8, "num_replicas": 80},
        {"num_gpus": 80, "num_replicas": 80},
    ],
}


def windows(name: str) -> npt.NDArray[Any]:
    """What the file holds as counts ``[windows, layers, experts]``."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        if "ids" in file:
            counts: npt.NDArray[Any] = histogram(file["ids"], num_experts=256)
            return counts[np.newaxis]
        counts = file["counts"]
    return counts if counts.ndim == 3 else counts[np.newaxis]


def total(name: str) -> npt.NDArray[np.int64]:
    """All windows together, ``[layers, experts]``."""
    summed: npt.NDArray[np.int64] = windows(name).sum(axis=0, dtype=np.int64)
    return summed
