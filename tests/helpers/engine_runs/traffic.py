"""Windows of loads as each rank of an engine counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from over_time.sequences import Random, counts

if TYPE_CHECKING:
    import numpy.typing as npt

    Table = npt.NDArray[np.int64]

#: Requests of a window.
REQUESTS = 4


def v2_lite(windows: int) -> Table:
    """Windows of the V2-Lite file, shuffled, ``[windows, requests, layers, experts]``."""
    records: Table = counts("deepseek-v2-lite_esft_seq_counts")
    records = records[Random(1).order(len(records))][: windows * REQUESTS]
    return records.reshape(windows, REQUESTS, *records.shape[1:])


def of_rank(load: Table, rank: int, ranks: int) -> Table:
    """The tokens of a window that one rank routes."""
    share: Table = load // ranks + (rank < load % ranks)
    return share


def of_slots(load: Table, phy2log: npt.NDArray[Any]) -> Table:
    """The tokens of each slot, ``[layers, slots]``: replicas share equally; slots of -1 get none."""
    result = np.zeros(phy2log.shape, dtype=np.int64)
    for row, experts, slots in zip(load, phy2log, result, strict=True):
        for expert in np.unique(experts[experts >= 0]):
            where = np.flatnonzero(experts == expert)
            slots[where] = row[expert] // len(where) + (
                np.arange(len(where)) < row[expert] % len(where)
            )
    return result
