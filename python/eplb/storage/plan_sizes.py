"""The sizes in a plan file, and its cluster."""

from __future__ import annotations

from typing import Any

import numpy as np

from eplb import _core
from eplb.clusters import DEAD, DRAINING, LIVE
from eplb.errors import EplbError, PlanFileError
from eplb.inputs.sizes import topology
from eplb.storage.checked import check_keys, integers_of, size_of
from eplb.text import short

SIZES = ("num_experts", "num_replicas", "num_groups", "num_nodes", "num_gpus")
_COLUMNS = ("gpu_node", "gpu_slots", "gpu_speed")


def topology_of(values: dict[str, Any]) -> _core.Topology:
    """The sizes. Those of a cluster are there twice, and must agree.

    Raises:
        PlanFileError
    """
    said, cluster = {name: size_of(values, name) for name in SIZES}, values.get("cluster")
    try:
        if cluster is None:
            return topology(**said)
        check_keys("the cluster", cluster, {*_COLUMNS, "gpu_state"})
        sizes = _core.Topology.of_cluster(
            said["num_experts"], said["num_groups"], _cluster(cluster, said["num_gpus"])
        )
    except EplbError as error:
        raise error.within("the plan's sizes", kind=PlanFileError) from error
    for name, size in said.items():
        if getattr(sizes, name) != size:
            raise PlanFileError(
                f"{name} is {short(size)}, but {getattr(sizes, name)} by the cluster"
            )
    return sizes


def _cluster(values: dict[str, Any], gpus: int) -> _core.Cluster:
    """The cluster of so many GPUs."""
    nodes, slots, speeds = (
        integers_of(values, name, (gpus,), np.uint32).tolist() for name in _COLUMNS
    )
    states = values["gpu_state"]
    known = isinstance(states, list) and len(states) == gpus
    if not known or any(state not in (LIVE, DRAINING, DEAD) for state in states):
        raise PlanFileError(f"gpu_state must be {gpus} of {LIVE}, {DRAINING}, {DEAD}")
    return _core.Cluster(nodes, slots, speeds, states)
