"""The GPUs that a plan is for: unequal, slower, draining and dead ones too."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.errors import Parameter, TopologyError
from eplb.inputs.sizes import topology, whole_number
from eplb.text import count, ranges, short

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

#: States of a GPU.
LIVE, DRAINING, DEAD = "live", "draining", "dead"
# No more are made from a number of slots or GPUs, before the core has said so.
_MOST = 2**20


class Cluster:
    """The GPUs of a plan, in order: how many slots each has, on which node, how fast, whether in use.

    The slots of a GPU follow those of the GPU before it, also if it is dead or draining, so that no
    number of a slot changes when a GPU dies. A dead GPU is lost, with all that it held. A draining
    one gets nothing, but what it holds can be copied from it. Clusters do not change: :meth:`changed`
    makes another one.

    Args:
        gpu_slots: slots of each GPU, ``[G]``.
        gpu_node: node of each GPU, ``[G]``: from 0, and ascending; a node may have no GPU. By default
            all are on one node.
        gpu_speed: how fast each GPU is beside the others, ``[G]``: whole numbers from 1 to 65536.
            The load of a GPU counts divided by its speed, so only ratios count. By default all are
            equal.
        dead_gpus: numbers of the GPUs that are dead.
        drain_gpus: numbers of the GPUs that are to be empty.

    Raises:
        TopologyError, TypeError: no GPU, or a number that is not one of these.
    """

    __slots__ = ("_core",)

    def __init__(
        self,
        gpu_slots: Iterable[int],
        *,
        gpu_node: Iterable[int] | None = None,
        gpu_speed: Iterable[int] | None = None,
        dead_gpus: Iterable[int] = (),
        drain_gpus: Iterable[int] = (),
    ) -> None:
        slots = _numbers("gpu_slots", gpu_slots)
        gpus = len(slots)
        states = _with_states([LIVE] * gpus, dead_gpus=dead_gpus, drain_gpus=drain_gpus)
        nodes = [0] * gpus if gpu_node is None else _each("gpu_node", gpu_node, gpus)
        self._core = _core.Cluster(nodes, slots, _speeds(gpu_speed, gpus), states)

    @classmethod
    def uniform(cls, num_gpus: int, slots_per_gpu: int, num_nodes: int = 1) -> Cluster:
        """Equal GPUs, all of them live, in order on the nodes.

        If GPUs cannot be divided evenly over the nodes, the first nodes have one more.

        Raises:
            TopologyError, TypeError: a number is not a positive whole number.
        """
        gpus, slots = whole_number("num_gpus", num_gpus), whole_number("gpu_slots", slots_per_gpu)
        return cls.of(_core.Cluster.uniform(gpus, slots, whole_number("num_nodes", num_nodes)))

    @classmethod
    def even(cls, num_gpus: int, num_slots: int, num_nodes: int = 1) -> Cluster:
        """So many slots, as evenly as possible: the first GPUs have one more than the others.

        256 slots on 6 GPUs are 43, 43, 43, 43, 42 and 42.

        Raises:
            TopologyError, TypeError: a number is not a positive whole number.
        """
        gpus, slots = whole_number("num_gpus", num_gpus), whole_number("num_replicas", num_slots)
        equal = cls.uniform(gpus, max(slots // gpus, 1), num_nodes)  # which checks the numbers
        each = np.full(gpus, slots // gpus)
        each[: slots % gpus] += 1
        return cls(each.tolist(), gpu_node=equal.gpu_node.tolist())

    @classmethod
    def of(cls, core: _core.Cluster) -> Cluster:
        """The cluster in the type of :mod:`eplb`, for one in the core's type."""
        cluster = cls.__new__(cls)
        cluster._core = core  # noqa: SLF001
        return cluster

    @property
    def core(self) -> _core.Cluster:
        """The cluster in the core's type."""
        return self._core

    @property
    def num_gpus(self) -> int:
        """GPUs of all nodes, G; dead and draining ones too."""
        return len(self._core.slots)

    @property
    def num_nodes(self) -> int:
        """Nodes."""
        return self._core.num_nodes

    @property
    def num_slots(self) -> int:
        """Slots of all GPUs, P; those of dead and draining ones too."""
        return int(self.gpu_slots.sum())

    @property
    def used_slots(self) -> int:
        """Slots of the GPUs in use: the most replicas that a layer can have."""
        return int(self.gpu_slots[self.used].sum())

    @property
    def gpu_slots(self) -> Numbers:
        """Slots of each GPU, ``[G]``."""
        return _read_only(self._core.slots)

    @property
    def gpu_node(self) -> Numbers:
        """Node of each GPU, ``[G]``."""
        return _read_only(self._core.nodes)

    @property
    def gpu_speed(self) -> Numbers:
        """Speed of each GPU, ``[G]``, without a common divisor."""
        return _read_only(self._core.speeds)

    @property
    def first_slot(self) -> Numbers:
        """The first slot of each GPU, and the number of slots, ``[G + 1]``."""
        return _read_only([0, *np.cumsum(self._core.slots).tolist()])

    @property
    def gpu_of_slot(self) -> Numbers:
        """The GPU of each slot, ``[P]``."""
        return _read_only(np.repeat(np.arange(self.num_gpus), self._core.slots))

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Whether each GPU is in use, ``[G]``: it is live and has slots."""
        used = np.array(self._core.used, dtype=np.bool_)
        used.setflags(write=False)
        return used

    @property
    def states(self) -> list[str]:
        """``"live"``, ``"draining"`` or ``"dead"`` for each GPU."""
        return self._core.states

    @property
    def dead_gpus(self) -> list[int]:
        """The GPUs that are dead."""
        return self._in_state(DEAD)

    @property
    def drain_gpus(self) -> list[int]:
        """The GPUs that are to be empty."""
        return self._in_state(DRAINING)

    def _in_state(self, state: str) -> list[int]:
        return [gpu for gpu, its in enumerate(self.states) if its == state]

    @property
    def num_used_nodes(self) -> int:
        """Nodes with GPUs in use."""
        return len({*self.gpu_node[self.used].tolist()})

    @property
    def total_speed(self) -> int:
        """The speeds of the GPUs in use together: their number, if they are equal."""
        return self._core.total_speed

    @property
    def is_uniform(self) -> bool:
        """Whether all GPUs are live and equal, and nodes have equally many of them, or nearly."""
        return self._core.uniform_slots is not None

    def changed(
        self,
        *,
        dead_gpus: Iterable[int] = (),
        drain_gpus: Iterable[int] = (),
        live_gpus: Iterable[int] = (),
        added_gpus: int | Iterable[int] = 0,
        gpu_slots: Iterable[int] | None = None,
        gpu_speed: Iterable[int] | None = None,
    ) -> Cluster:
        """The cluster after these changes.

        Args:
            dead_gpus: GPUs that are dead now.
            drain_gpus: GPUs that are to be empty now; those of them that are dead stay dead.
            live_gpus: GPUs that are back, empty.
            added_gpus: how many GPUs come after the last one, each with as many slots as the GPU
                that has most; or their slots. They fill the last node until it has as many GPUs as
                the first, then further nodes; if there is one node, they are on it. They are as fast
                as GPU 0.
            gpu_slots: how many slots each GPU has now, added ones too.
            gpu_speed: how fast each GPU is now, added ones too.

        Raises:
            TopologyError, TypeError: as for :class:`Cluster`.
        """
        slots, nodes, speeds = self._core.slots, self._core.nodes, self._core.speeds
        added = _added(added_gpus, max(slots))
        in_node, in_last = nodes.count(nodes[0]), nodes.count(nodes[-1])
        for _ in added:
            full = nodes[-1] > nodes[0] and in_last >= in_node
            nodes.append(nodes[-1] + full)
            in_last = 1 if full else in_last + 1
        slots, speeds = [*slots, *added], [*speeds, *(speeds[0] for _ in added)]
        states = _with_states(
            [*self.states, *(LIVE for _ in added)],
            dead_gpus=dead_gpus,
            drain_gpus=drain_gpus,
            live_gpus=live_gpus,
        )
        if gpu_slots is not None:
            slots = _each("gpu_slots", gpu_slots, len(slots))
        if gpu_speed is not None:
            speeds = _speeds(gpu_speed, len(slots))
        return Cluster.of(_core.Cluster(nodes, slots, speeds, states))

    def first_gpus(self, num_gpus: int) -> Cluster:
        """The cluster without the GPUs after so many.

        Raises:
            TopologyError, TypeError: there are not so many.
        """
        core, num_gpus = self._core, whole_number("num_gpus", num_gpus)
        if num_gpus > self.num_gpus:
            gpus = Parameter("num_gpus", short(num_gpus))
            raise TopologyError(gpus, f" is more than the {self.num_gpus} GPUs of the cluster")
        nodes, slots, speeds = (
            column[:num_gpus] for column in (core.nodes, core.slots, core.speeds)
        )
        return Cluster.of(_core.Cluster(nodes, slots, speeds, core.states[:num_gpus]))

    def without_unused(self) -> Cluster:
        """The GPUs in use alone, numbered anew; nodes without any are left out.

        Raises:
            TopologyError: no GPU is in use.
        """
        used, core = np.flatnonzero(self.used), self._core
        _, nodes = np.unique(self.gpu_node[used], return_inverse=True)
        slots, speeds = self.gpu_slots[used].tolist(), self.gpu_speed[used].tolist()
        states = [core.states[gpu] for gpu in used.tolist()]
        return Cluster.of(_core.Cluster(nodes.tolist(), slots, speeds, states))

    def to_dict(self) -> dict[str, list[Any]]:
        """The cluster as plain Python values, for JSON: a list of each for all GPUs."""
        core = self._core
        return {
            "gpu_node": core.nodes,
            "gpu_slots": core.slots,
            "gpu_speed": core.speeds,
            "gpu_state": core.states,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        core = self._core
        return _restored, (core.nodes, core.slots, core.speeds, core.states)

    def __eq__(self, other: object) -> bool:
        """Whether all GPUs are equal."""
        return self._core == other._core if isinstance(other, Cluster) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._core)

    def __repr__(self) -> str:
        return f"<eplb.Cluster: {self.describe()}>"

    __str__ = __repr__

    def describe(self) -> str:
        """Its GPUs in words: ``32 GPUs with 9 slots, 1 dead (5), 8 draining (8 to 15)``."""
        slots = sorted({*self._core.slots}, reverse=True)
        each = f"{slots[0]}" if len(slots) == 1 else f"{slots[-1]} to {slots[0]}"
        parts = [f"{count(self.num_gpus, 'GPU')} with {each} {'slot' if each == '1' else 'slots'}"]
        for state, gpus in ((DEAD, self.dead_gpus), (DRAINING, self.drain_gpus)):
            if gpus:
                parts.append(f"{len(gpus)} {state} ({ranges(gpus)})")
        speeds = self.gpu_speed
        if (speeds != speeds[0]).any():
            parts.append(f"speeds {speeds.min()} to {speeds.max()}")
        return ", ".join(parts)


def topology_of(
    *,
    num_experts: int,
    num_gpus: int | None,
    num_replicas: int | None,
    num_groups: int,
    num_nodes: int | None,
    cluster: Cluster | None,
) -> _core.Topology:
    """The sizes, from a cluster or from numbers of equal GPUs.

    Raises:
        TopologyError: they do not go together, or both are given, or none.
        TypeError: a size is not a number, or the cluster is something else.
    """
    if cluster is None:
        if num_gpus is None:
            raise TopologyError("give ", Parameter("num_gpus"), " or ", Parameter("cluster"))
        return topology(
            num_experts=num_experts,
            num_replicas=num_replicas,
            num_groups=num_groups,
            num_nodes=1 if num_nodes is None else num_nodes,
            num_gpus=num_gpus,
        )
    check_alone(cluster, num_gpus=num_gpus, num_replicas=num_replicas, num_nodes=num_nodes)
    groups = whole_number("num_groups", num_groups)
    return _core.Topology.of_cluster(num_experts, groups, cluster.core)


def check_alone(cluster: Any, **sizes: Any) -> None:
    """Refuses what is not a cluster, and sizes beside one, which has them itself.

    Raises:
        TopologyError, TypeError
    """
    if not isinstance(cluster, Cluster):
        raise TypeError(f"cluster must be an eplb.Cluster, got {type(cluster).__name__}")
    for name, value in sizes.items():
        if value is not None:
            raise TopologyError(
                Parameter(name, short(value)),
                " beside a cluster, which contains its own sizes",
                hint=["leave out ", Parameter(name)],
            )


def _restored(nodes: list[int], slots: list[int], speeds: list[int], states: list[str]) -> Cluster:
    """A cluster from a pickle."""
    return Cluster.of(_core.Cluster(nodes, slots, speeds, states))


def _numbers(name: str, values: Any, *, least: int = 0) -> list[int]:
    """Whole numbers, each from ``least`` to 2**20."""
    try:
        given = [*islice(values, _MOST + 1)]
    except TypeError:
        raise TypeError(f"{name} must be a list of numbers, got {short(values)}") from None
    if len(given) > _MOST:
        raise TopologyError(Parameter(name), f" has more than {_MOST} numbers")
    numbers = [whole_number(name, value, least=least) for value in given]
    for gpu, number in enumerate(numbers):
        if number > _MOST:
            raise TopologyError(
                Parameter(name), f" holds {number} at place {gpu}; expected at most {_MOST}"
            )
    return numbers


def _each(name: str, values: Any, gpus: int, *, least: int = 0) -> list[int]:
    """A whole number for each GPU."""
    numbers = _numbers(name, values, least=least)
    if len(numbers) != gpus:
        raise TopologyError(
            Parameter(name),
            f" has {count(len(numbers), 'value')} for {count(gpus, 'GPU')}",
            hint=[
                "give ",
                Parameter("num_gpus", str(len(numbers))),
                " too, if their number changes",
            ]
            if name == "gpu_slots"
            else [],
        )
    return numbers


def _speeds(values: Any, gpus: int) -> list[int]:
    if values is None:
        return [1] * gpus
    try:
        return _each("gpu_speed", values, gpus, least=1)
    except TopologyError as error:
        if any(isinstance(value, (float, np.floating)) for value in values):
            hint = "only ratios count: give for example 100 and 87 for 1 and 0.87"
            raise TopologyError(*error.parts, hint=[hint]) from None
        raise


def _added(added: Any, most_slots: int) -> list[int]:
    """The slots of GPUs that are added."""
    if hasattr(added, "__iter__") and getattr(added, "ndim", 1) > 0:
        return _numbers("added_gpus", added)
    number = whole_number("added_gpus", added, least=0)
    if number > _MOST:
        raise TopologyError(
            Parameter("added_gpus", str(number)), f" is too large; expected at most {_MOST}"
        )
    return [most_slots] * number


def _with_states(
    states: list[str], *, dead_gpus: Any, drain_gpus: Any, live_gpus: Any = ()
) -> list[str]:
    """The states with those of these GPUs changed; the dead stay dead if they are drained."""
    live = _gpus("live_gpus", live_gpus, len(states))
    drained, dead = (
        _gpus("drain_gpus", drain_gpus, len(states)),
        _gpus("dead_gpus", dead_gpus, len(states)),
    )
    if both := live & (drained | dead):
        name = "dead_gpus" if both & dead else "drain_gpus"
        raise TopologyError(
            f"GPU {min(both)} is in ", Parameter("live_gpus"), " and in ", Parameter(name)
        )
    changed = [*states]
    for gpu in live:
        changed[gpu] = LIVE
    for gpu in drained:
        changed[gpu] = DEAD if states[gpu] == DEAD else DRAINING
    for gpu in dead:
        changed[gpu] = DEAD
    return changed


def gpu_numbers(name: str, values: Any) -> list[int]:
    """Numbers of GPUs, which may be too large for a cluster.

    Raises:
        TopologyError, TypeError: they are not a list of whole numbers.
    """
    if isinstance(values, (int, np.integer)) and not isinstance(values, bool):
        raise TypeError(f"{name} must be a list of GPUs, got {values}; give [{values}]")
    return _numbers(name, values)


def _gpus(name: str, values: Any, gpus: int) -> set[int]:
    """Numbers of GPUs of a cluster."""
    numbers = {*gpu_numbers(name, values)}
    for number in numbers:
        if number >= gpus:
            last = gpus - 1
            raise TopologyError(
                Parameter(name), f" names GPU {number}; expected 0 to {last}, the last GPU"
            )
    return numbers


def _read_only(values: Any) -> Numbers:
    array = np.array(values, dtype=np.int64)
    array.setflags(write=False)
    return array
