"""The cluster of an update: the one before, with other sizes and changes of its GPUs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.clusters import Cluster, check_alone
from eplb.errors import Parameter, TopologyError
from eplb.inputs.sizes import topology, whole_number
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Changes:
    """What happens to single GPUs; see :meth:`eplb.Cluster.changed`."""

    dead_gpus: Iterable[int] = ()
    drain_gpus: Iterable[int] = ()
    live_gpus: Iterable[int] = ()
    added_gpus: int | Iterable[int] = 0
    gpu_slots: Iterable[int] | None = None
    gpu_speed: Iterable[int] | None = None

    def given(self) -> dict[str, Any]:
        """Those that were given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if not _is_nothing(value)}


def _is_nothing(value: Any) -> bool:
    if value is None:
        return True
    if np.ndim(value) == 0 and isinstance(value, (int, np.integer)):
        return not isinstance(value, bool) and int(value) == 0
    return hasattr(value, "__len__") and len(value) == 0


def new_topology(
    before: Cluster,
    changes: Changes,
    *,
    cluster: Cluster | None,
    num_experts: int,
    num_gpus: int | None,
    num_replicas: int | None,
    num_groups: int,
    num_nodes: int | None,
) -> _core.Topology:
    """The sizes of the new plan.

    Raises:
        TopologyError, TypeError: they do not go together.
    """
    given = changes.given()
    for name, value, other in (
        ("num_replicas", num_replicas, "gpu_slots"),
        ("num_gpus", num_gpus, "added_gpus"),
    ):
        if value is not None and other in given:
            raise TopologyError("give ", Parameter(name), " or ", Parameter(other), ", not both")
    if cluster is not None:
        check_alone(
            cluster, num_gpus=num_gpus, num_replicas=num_replicas, num_nodes=num_nodes, **given
        )
        after = cluster
    elif before.is_uniform and not _nodes_matter(before, num_groups, num_gpus, num_nodes):
        equal = _equal_gpus(before, num_experts, num_gpus, num_replicas, num_groups, num_nodes)
        if not given:
            return equal
        after = Cluster.of(equal.cluster).changed(**given)
    else:
        after = _resized(before, num_experts, num_gpus, num_replicas, num_nodes).changed(**given)
    groups = whole_number("num_groups", num_groups)
    try:
        return _core.Topology.of_cluster(num_experts, groups, after.core)
    except TopologyError as error:
        raise _with_enough_slots(error, after, num_experts, groups) from None


def _with_enough_slots(
    error: TopologyError, cluster: Cluster, num_experts: int, groups: int
) -> TopologyError:
    """The error with a number of slots that would do, if there is one and slots are what is missing."""
    used, slots = int(cluster.used.sum()), cluster.gpu_slots
    if used == 0 or (slots != slots[0]).any():
        return error
    each = -(-num_experts // used)
    enough = cluster.changed(gpu_slots=[each] * cluster.num_gpus)
    try:
        _core.Topology.of_cluster(num_experts, groups, enough.core)
    except TopologyError:
        return error
    hint = Parameter("num_replicas", str(enough.num_slots))
    return TopologyError(*error.parts, hint=["try ", hint, f", {each} on each GPU"])


def _nodes_matter(cluster: Cluster, num_groups: Any, num_gpus: Any, num_nodes: Any) -> bool:
    """Whether groups stay on nodes that keep their GPUs, and have or get different numbers of them."""
    groups, nodes = whole_number("num_groups", num_groups), cluster.num_nodes
    if nodes == 1 or groups % nodes:
        return False
    resized = num_nodes is None and num_gpus not in (None, cluster.num_gpus)
    return resized or cluster.num_gpus % nodes > 0


def _equal_gpus(
    before: Cluster,
    num_experts: int,
    num_gpus: int | None,
    num_replicas: int | None,
    num_groups: int,
    num_nodes: int | None,
) -> _core.Topology:
    """The sizes of equal GPUs: by default, each has as many slots as before, or as experts need."""
    gpus = before.num_gpus if num_gpus is None else whole_number("num_gpus", num_gpus)
    if num_replicas is None:
        num_replicas = gpus * max(int(before.gpu_slots[0]), -(-num_experts // gpus))
    return topology(
        num_experts=num_experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=before.num_nodes if num_nodes is None else num_nodes,
        num_gpus=gpus,
    )


def _resized(
    before: Cluster,
    num_experts: int,
    num_gpus: int | None,
    num_replicas: int | None,
    num_nodes: int | None,
) -> Cluster:
    """A cluster of unequal GPUs with another number of GPUs, or of slots."""
    if num_nodes is not None and whole_number("num_nodes", num_nodes) != before.num_nodes:
        raise TopologyError(
            Parameter("num_nodes", short(num_nodes)),
            f" is not that of the placement in force, {before.num_nodes}, whose GPUs are not all equal",
            hint=["for other nodes, plan without the placement in force"],
        )
    after = before
    if num_gpus is not None:
        gpus = whole_number("num_gpus", num_gpus)
        less = gpus < before.num_gpus
        after = (
            before.first_gpus(gpus) if less else before.changed(added_gpus=gpus - before.num_gpus)
        )
    if num_replicas is None:
        fewest = -(-num_experts // after.num_gpus)
        if not before.is_uniform or after.used_slots >= num_experts:
            return after
        return after.changed(gpu_slots=[max(fewest, int(after.gpu_slots[0]))] * after.num_gpus)
    slots, each = whole_number("num_replicas", num_replicas), {*after.gpu_slots.tolist()}
    if slots == after.num_slots:
        return after
    if len(each) > 1:
        raise TopologyError(
            Parameter("num_replicas", str(slots)),
            " does not say which GPUs have how many slots: before, they had "
            f"{min(each)} to {max(each)}",
            hint=["give ", Parameter("gpu_slots")],
        )
    if slots % after.num_gpus:
        raise TopologyError(
            Parameter("num_replicas", str(slots)),
            " is not divisible by ",
            Parameter("num_gpus", str(after.num_gpus)),
            ", of which dead and drained ones are a part",
        )
    return after.changed(gpu_slots=[slots // after.num_gpus] * after.num_gpus)
