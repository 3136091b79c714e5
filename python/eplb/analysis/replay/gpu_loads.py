"""What a placement gives each GPU to do under other loads than those that it was planned for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eplb.plan_tables import FloatTable
    from eplb.plans import Plan


def gpu_load(plan: Plan, loads: FloatTable) -> FloatTable:
    """Load of each GPU in each layer, ``[layers, GPUs]``. Replicas of an expert share its load equally.

    O(layers * slots).
    """
    phy2log, cluster = plan.phy2log, plan.cluster
    layers, gpus = len(phy2log), cluster.num_gpus
    shares = np.take_along_axis(loads / plan.logcnt, np.maximum(phy2log, 0), axis=1)
    shares *= phy2log >= 0
    places = cluster.gpu_of_slot + gpus * np.arange(layers)[:, np.newaxis]
    sums: FloatTable = np.bincount(places.ravel(), shares.ravel(), minlength=layers * gpus)
    return sums.reshape(layers, gpus)
