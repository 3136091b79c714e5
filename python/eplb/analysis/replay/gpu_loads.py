"""What a placement gives each GPU to do under other loads than those that it was planned for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb.clusters import Cluster
    from eplb.plan_tables import FloatTable, IntTable


def gpu_load(
    phy2log: IntTable, logcnt: IntTable, cluster: Cluster, loads: FloatTable
) -> FloatTable:
    """Load of each GPU in each layer, ``[layers, GPUs]``. Replicas of an expert share its load equally.

    O(layers * slots).
    """
    layers, gpus = len(phy2log), cluster.num_gpus
    shares = np.take_along_axis(loads / logcnt, np.maximum(phy2log, 0), axis=1)
    shares *= phy2log >= 0
    places = cluster.gpu_of_slot + gpus * np.arange(layers)[:, np.newaxis]
    sums = np.bincount(places.ravel(), shares.ravel(), minlength=layers * gpus)
    load: FloatTable = sums.astype(np.float64, copy=False).reshape(layers, gpus)
    return load
