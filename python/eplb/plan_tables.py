"""The tables of a plan: its sizes, its placement, what it costs; read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from eplb import _core
from eplb.clusters import Cluster
from eplb.errors import EplbError
from eplb.inputs.names import unknown
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from eplb.storage.made_from import MadeFrom

    IntTable = npt.NDArray[np.int64]
    FloatTable = npt.NDArray[np.float64]


class PlanTables:
    """A placement of L experts in P slots on G GPUs, and its certificate if its loads are known.

    :class:`eplb.Plan` adds how a plan is imported, written and printed.
    """

    def __init__(
        self,
        placement: _core.Placement,
        *,
        policy: str | None = None,
        loads: _core.Loads | None = None,
        certificate: _core.Certificate | None = None,
        options: Mapping[str, Any] | None = None,
        made_from: MadeFrom | None = None,
    ) -> None:
        self._placement = placement
        self._policy = policy
        self._loads = loads
        self._certificate = certificate
        self._options = dict(options or {})
        self._made_from = made_from
        self._tables: dict[str, IntTable] = {}

    # -- sizes ------------------------------------------------------------------------------------

    @property
    def num_layers(self) -> int:
        """Number of MoE layers."""
        return self._placement.layers

    @property
    def num_experts(self) -> int:
        """Logical experts per layer, L."""
        return self._placement.topology.num_experts

    @property
    def num_replicas(self) -> int:
        """Physical experts (slots) per layer, P."""
        return self._placement.topology.num_replicas

    @property
    def num_groups(self) -> int:
        """Expert groups, as given."""
        return self._placement.topology.num_groups

    @property
    def num_nodes(self) -> int:
        """Nodes, as given."""
        return self._placement.topology.num_nodes

    @property
    def num_gpus(self) -> int:
        """GPUs of all nodes, G."""
        return self._placement.topology.num_gpus

    @property
    def cluster(self) -> Cluster:
        """The GPUs: their slots, nodes and speeds, and which of them are dead or draining."""
        return Cluster.of(self._placement.topology.cluster)

    @property
    def is_global(self) -> bool:
        """Whether the groups cannot be divided over the nodes, so that groups and nodes are ignored."""
        return self._placement.topology.is_global

    @property
    def policy(self) -> str | None:
        """Name of the policy that made the plan; None for a placement from elsewhere."""
        return self._policy

    @property
    def options(self) -> dict[str, Any]:
        """The options of the policy that made the plan, by name."""
        return dict(self._options)

    @property
    def made_from(self) -> MadeFrom | None:
        """How many windows the plan was made from, and the digest of their history, if it was one.

        None for a placement from elsewhere.
        """
        return self._made_from

    # -- placement --------------------------------------------------------------------------------

    @property
    def placement(self) -> _core.Placement:
        """The tables in the core's type."""
        return self._placement

    @property
    def phy2log(self) -> IntTable:
        """Logical expert in each slot, ``[layers, P]``; -1 is an empty slot."""
        return self._table("phy2log")

    @property
    def rank(self) -> IntTable:
        """Which replica of its expert each slot holds, from 0, ``[layers, P]``; -1 if it is empty."""
        return self._table("rank")

    @property
    def logcnt(self) -> IntTable:
        """Replicas of each expert, ``[layers, L]``."""
        return self._table("logcnt")

    def log2phy(self, width: Literal["max", "static"] = "max") -> IntTable:
        """Slots of each expert by rank, ``[layers, L, X]``, padded with -1.

        X is the largest count of the plan (``"max"``, as DeepSeek has it) or P - L + 1
        (``"static"``, which does not depend on the loads).

        Raises:
            EplbError: another width. TopologyError: there is not enough memory.
        """
        return read_only(self._placement.log2phy(static_width(width)))

    def _table(self, name: str) -> IntTable:
        """A table of the placement, copied once."""
        if name not in self._tables:
            self._tables[name] = read_only(getattr(self._placement, name)())
        return self._tables[name]

    @property
    def duplicates(self) -> IntTable:
        """Slots with an expert that is already on the same GPU, ``[layers]``."""
        return read_only(np.array(self._placement.duplicates(), dtype=np.int64))

    def digest(self) -> str:
        r"""16 hex digits that ranks of a cluster can compare. Only sizes and phy2log count.

        The first 8 bytes of SHA-256 over ``b"eplb plan 1\n"``, then layers, P, G, groups, nodes and
        phy2log, row after row, as little-endian 32-bit integers. If GPUs are not equal or not all live,
        node, slots, speed and state (0 live, 1 draining, 2 dead) of each follow.
        """
        return self._placement.digest()

    # -- certificate ------------------------------------------------------------------------------

    @property
    def certified(self) -> bool:
        """Whether the loads of the plan are known."""
        return self._certificate is not None or self._loads is not None

    @property
    def certificate(self) -> _core.Certificate:
        """The certificate in integers, as in the plan file.

        Raises:
            EplbError: the loads of the plan are not known.
        """
        if self._certificate is None:
            if self._loads is None:
                raise EplbError(
                    "the loads of this plan are not known, because it was made from phy2log",
                    hint=["use eplb.evaluate(plan, load)"],
                )
            self._certificate = _core.certify(self._placement, self._loads)
        return self._certificate

    @property
    def loaded_layers(self) -> IntTable:
        """Rows with load, ascending; figures over all layers leave the others out."""
        return np.flatnonzero(np.array(self.certificate.max_load, dtype=np.uint64))

    @property
    def gpu_load(self) -> FloatTable:
        """Load of each GPU, correctly rounded, ``[layers, G]``."""
        return read_only(self.certificate.gpu_load_in_units())

    @property
    def relative_load(self) -> FloatTable:
        """How long each GPU works, 1 if load were divided perfectly, ``[layers, G]``.

        That is its load by the mean; if GPUs are not equal, its load by its speed, by all loads by all
        speeds. A layer without load has zeros.
        """
        load, cluster = self.certificate.gpu_load_in_units(), self.cluster
        mean = load.sum(axis=1, keepdims=True) / cluster.total_speed
        return read_only(load / cluster.gpu_speed / np.where(mean > 0, mean, 1))

    @property
    def balancedness(self) -> FloatTable:
        """Mean GPU load / largest GPU load, ``[layers]``; 1 is perfect, also for a layer without load.

        If GPUs are not equal, it is all loads / all speeds / largest GPU load by its speed.
        """
        return read_only(self.certificate.balancedness())

    @property
    def expert_share(self) -> FloatTable:
        """Load of each expert as a share of its layer's, ``[layers, L]``; 0 in layers without load.

        Raises:
            EplbError: the loads themselves are not known, as for a plan from a file.
        """
        if self._loads is None:
            raise EplbError(
                "the loads of this plan are not known", hint=["use eplb.evaluate(plan, load)"]
            )
        loads = self._loads.values().astype(np.float64)
        total = np.maximum(loads.sum(axis=1, keepdims=True), 1)
        return read_only(loads / total)

    @property
    def lower_bound(self) -> FloatTable:
        """The least that the busiest GPU of any plan of these sizes carries, ``[layers]``.

        If GPUs differ in speed, it is load by speed.
        """
        return read_only(self.certificate.lower_bound_in_units())

    @property
    def bound(self) -> list[str]:
        """The reason of the lower bound of each layer, for example ``"mean"`` for the mean load.

        ``docs/minimax.md`` lists the kinds, and ``print(plan)`` has them in words.
        """
        return self.certificate.bound

    @property
    def bound_without_groups(self) -> FloatTable:
        """The lower bound if groups did not have to stay together, ``[layers]``: what they cost."""
        return read_only(self.certificate.bound_without_groups_in_units())

    @property
    def beaten_by_duplicates(self) -> npt.NDArray[np.bool_]:
        """Layers in which a published policy with duplicates has a lower largest GPU load, ``[layers]``.

        Only plans by ``"minimax"`` know it.
        """
        return read_only(np.array(self.certificate.beaten_by_duplicates, dtype=np.bool_))

    @property
    def gap(self) -> FloatTable:
        """Largest GPU load / lower bound - 1, ``[layers]``."""
        return read_only(self.certificate.gap())

    def trivial(self, engine: str | None = None) -> Self:
        """The default placement of engines, without balancing: slot p holds expert p modulo L.

        It has the sizes of this plan, without groups, and its loads if they are known. Where GPUs are not
        equal, slots of GPUs that are not in use stay empty and are not counted.

        Args:
            engine: one of ``eplb.engines.ENGINE_OF``, for the placement that it starts with itself.

        Raises:
            EplbError: the engine is unknown.
        """
        cluster = self._placement.topology.cluster
        if cluster.uniform_slots is None:
            sizes = _core.Topology.of_cluster(self.num_experts, 1, cluster)
            row = _default_row(self.num_experts, self.cluster)
        else:
            sizes = _core.Topology(self.num_experts, self.num_replicas, 1, 1, self.num_gpus)
            row = start_of(engine)(self.num_experts, self.num_replicas, self.num_gpus)
        table = np.tile(np.array(row, dtype=np.int64), (self.num_layers, 1))
        return type(self)(_core.Placement.from_phy2log(sizes, table), loads=self._loads)


def _default_row(experts: int, cluster: Cluster) -> list[int]:
    """Experts in turn in the slots of the GPUs in use."""
    held = np.full(cluster.num_slots, -1)
    slots = np.flatnonzero(cluster.used[cluster.gpu_of_slot])
    held[slots] = np.arange(len(slots)) % experts
    return held.tolist()


def start_of(engine: str | None) -> Callable[[int, int, int], list[int]]:
    """The placement of a layer that an engine starts with, by experts, slots and GPUs.

    Raises:
        EplbError: the engine is unknown.
    """
    from eplb.engines.start_placement import by_slot

    if engine is None:
        return by_slot
    from eplb.engines.all_engines import ENGINE_OF

    if engine not in ENGINE_OF:
        raise unknown("engine", engine, ENGINE_OF)
    return ENGINE_OF[engine].start


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself, write-protected."""
    array.setflags(write=False)
    return array


def static_width(width: str) -> bool:
    """Whether a width of log2phy is the static one.

    Raises:
        EplbError: it is neither ``"max"`` nor ``"static"``.
    """
    if not isinstance(width, str) or width not in ("max", "static"):
        raise EplbError(f"the width of log2phy is 'max' or 'static', got {short(width)}")
    return width == "static"
