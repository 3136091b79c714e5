"""The plan: its tables, and how it is imported, written and printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.clusters import check_alone, topology_of
from eplb.errors import EplbError, Parameter, TopologyError, VerificationError
from eplb.inputs import tensors
from eplb.inputs.sizes import check_slots, whole_number
from eplb.plan_tables import PlanTables
from eplb.text import count, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from eplb.clusters import Cluster
    from eplb.engines.hidden_layers import HiddenLayers
    from eplb.engines.reading import EngineFile
    from eplb.engines.rows import PlacedLayers
    from eplb.engines.target import Target
    from eplb.plan_tables import IntTable
    from eplb.splits import Split
    from eplb.storage.plan_file import PlanContent


class Plan(PlanTables):
    """Where the replicas of every expert of every layer are. :func:`eplb.plan` makes it.

    L logical experts have P replicas in as many slots on G GPUs. Slot p is on GPU ``p // (P // G)``, or
    on ``cluster.gpu_of_slot[p]`` if GPUs have different numbers of slots.
    Tables are read-only int64 arrays; ``torch.tensor(plan.phy2log)`` copies one to a tensor. A plan
    whose loads are known (all but those of :meth:`from_phy2log`) has a certificate: the GPU loads,
    and a lower bound that no plan of these sizes can beat. Loads are in the unit of the input.
    """

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_phy2log(
        cls,
        phy2log: Any,
        *,
        num_gpus: int | None = None,
        num_groups: int = 1,
        num_nodes: int | None = None,
        cluster: Cluster | None = None,
    ) -> Plan:
        """The plan of a placement ``[layers, P]`` that an engine already has; -1 is an empty slot.

        The replicas of an expert are ranked by slot. The experts are 0 to the largest that occurs.

        Args:
            phy2log: the expert in each slot.
            num_gpus: GPUs of all nodes. Needed unless ``cluster`` is given.
            num_groups: groups, as for :func:`eplb.plan`.
            num_nodes: nodes, by default 1.
            cluster: the GPUs, if they are not equal, or not all in use.

        Raises:
            VerificationError: not a table of integers, an expert is below -1 or has no slot, or a
                GPU that is not in use holds one.
            TopologyError: the sizes do not go together.
            LoadTypeError: a tensor without values.
        """
        table = integer_table("phy2log", phy2log)
        num_experts = max(int(table.max()) + 1, 1)
        if num_experts > table.shape[1]:
            raise _without_slot(table)
        if cluster is None and num_gpus is not None:
            check_slots(table.shape[1], whole_number("num_gpus", num_gpus))
        sizes = topology_of(
            num_experts=num_experts,
            num_replicas=table.shape[1] if cluster is None else None,
            num_groups=num_groups,
            num_nodes=num_nodes,
            num_gpus=num_gpus,
            cluster=cluster,
        )
        if table.shape[1] != sizes.num_replicas:
            raise TopologyError(
                f"its layers have {count(table.shape[1], 'slot')}, but the cluster has "
                f"{sizes.num_replicas}"
            )
        return cls(_core.Placement.from_phy2log(sizes, table))

    @classmethod
    def from_engine_file(
        cls,
        path: str | PathLike[str],
        format: str,  # noqa: A002
        *,
        num_gpus: int | None = None,
        num_groups: int = 1,
        num_nodes: int = 1,
        layers: Sequence[int] | None = None,
        num_experts: int | None = None,
    ) -> tuple[Plan, HiddenLayers | None]:
        """Reads the placement file of an engine. Untrusted files are safe to read.

        Args:
            path: the file; its ending must be one of the format's.
            format: one of ``eplb.engines.FORMATS``.
            num_gpus: GPUs of all nodes; not needed for ``vllm-ascend``, which names its devices.
            num_groups: groups, as for :func:`eplb.plan`.
            num_nodes: nodes, as for :func:`eplb.plan`.
            layers: which hidden layers to read, ascending; by default all that are there.
            num_experts: logical experts per layer, without shared ones; these are then left out.

        Returns:
            The plan, and the hidden layer of each of its rows, if the file names them.

        Raises:
            PlanFileError: it is not a placement of these sizes; the message says what is wrong.
            TopologyError, TypeError: a size is invalid. OSError: the file cannot be read.
        """
        from eplb.engines.reading import load_engine_file

        groups, nodes = whole_number("num_groups", num_groups), whole_number("num_nodes", num_nodes)
        file = load_engine_file(
            path, format, num_gpus=num_gpus, layers=layers, num_experts=num_experts
        )
        return plan_of_engine_file(path, file, groups, nodes), file.layers

    def split(self, load: Any, *, threads: int = 1) -> Split:
        """The shares of replicas with which the busiest GPU carries least: for routers that weight them.

        Engines share the tokens of an expert equally among its replicas; SGLang's mode ``lp`` and LPLB
        draw a replica by probabilities. These are the best ones under ``load``, exactly. The plan is
        as it was. Of all best shares they are near to equal ones: an expert that need not be split in
        another way keeps equal shares.

        Args:
            load: ``[layers, experts]``, as for :func:`eplb.plan`; need not be what the plan was made
                for. Of several windows ``[windows, layers, experts]`` the sum counts, as one table of
                shares serves them all; of a :class:`eplb.LoadHistory` the newest window.
            threads: threads to split with. No answer depends on it.

        Raises:
            LoadError, LoadTypeError: the loads are invalid, or have another shape than the plan's.
            EplbError, TypeError: ``threads`` is not a positive whole number.

        A layer of 256 experts in 288 slots takes tens of microseconds. The GIL is released.
        """
        from eplb.splits import split_of

        return split_of(self, load, threads)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain Python values, for JSON; :meth:`from_dict` takes it back."""
        from eplb.storage.plan_file import to_dict

        return to_dict(self._content())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """The plan of a dict that :meth:`to_dict` made. :func:`eplb.verify` checks its claims.

        Raises:
            PlanFileError: a key is missing, unknown, or of the wrong type, shape or range.
            VerificationError: the tables are not a valid placement.
        """
        from eplb.storage.plan_file import from_dict

        return plan_of(from_dict(values))

    def _content(self) -> PlanContent:
        from eplb.storage.plan_file import PlanContent

        certificate = self.certificate if self.certified else None
        return PlanContent(
            self._placement, self._policy, certificate, self._options, self._made_from
        )

    def save(
        self,
        path: str | PathLike[str],
        format: str = "plan",  # noqa: A002
        *,
        layers: Sequence[int] | None = None,
        num_hidden_layers: int | None = None,
        config: str | PathLike[str] | None = None,
        extra_layers: Sequence[int] | None = None,
    ) -> list[str]:
        """Writes the plan to ``path``, as a whole or not at all.

        Args:
            path: the file; its ending must be one of the format's.
            format: ``"plan"``, a plan file (.json or .npz) that :func:`eplb.load_plan` reads, or
                the file of an engine: ``"sglang"``, ``"trtllm"``, ``"vllm-ascend"``, ``"rtp-llm"``,
                ``"vllm"``.
            layers: for engines, the hidden layer of each row, ascending; by default 0, 1, 2, ... A
                plan of all hidden layers (from SGLang's statistics) may be given fewer: an engine
                that wants MoE layers gets these; an engine that wants all gets the default
                placement for the others.
            num_hidden_layers: for engines whose file has dense layers too, the number of hidden
                layers; dense layers get the default placement. By default the last of ``layers`` is
                the last one.
            config: the model's config.json, which has ``layers`` and ``num_hidden_layers``, and for
                ``"trtllm"`` those of ``extra_layers``.
            extra_layers: for ``"trtllm"``, further MoE layers, which the plan does not have: those of
                multi-token prediction. They get the placement that the engine starts with.

        Returns:
            Notes, a line each: what was done, and what the engine also needs.

        Raises:
            PlanFileError: another ending, or the engine could not use the plan.
            OSError: a file cannot be written or read.
        """
        from eplb.engines.target import target

        where = target(
            path,
            format,
            layers=layers,
            num_hidden_layers=num_hidden_layers,
            config=config,
            extra_layers=extra_layers,
        )
        return self.write(where.for_loads(self.num_layers, None))

    def write(self, where: Target) -> list[str]:
        """Writes the plan to a target that has been checked; see :meth:`save`.

        Nothing is written if the target has no path, but the engine's demands are checked.
        """
        from eplb.storage.atomic import write_whole
        from eplb.storage.plan_file import encode

        if where.format == "plan":
            if where.path is None:
                return []
            write_whole(where.path, encode(self._content(), where.path.name))
            names_layers = where.layers is not None or where.num_hidden_layers is not None
            return ["a plan file has no hidden layers: they are left out"] if names_layers else []
        content, rows = where.encode(self._placed())
        if where.path is None:
            return rows.notes
        notes = [*rows.notes, *self._other_digest(rows.table)]
        write_whole(where.path, content)
        return notes

    def _other_digest(self, written: list[list[int]]) -> list[str]:
        """The digest of what an engine's file holds, if these are other rows than the plan's."""
        if written == self.phy2log.tolist():
            return []
        table, topology = np.array(written), self._placement.topology
        try:
            placed = Plan(_core.Placement.from_phy2log(topology, table))
        except VerificationError:  # an engine's start placement does not keep groups on nodes
            placed = Plan.from_phy2log(table, num_gpus=self.num_gpus)
        layers, planned = count(len(written), "layer"), count(self.num_layers, "layer")
        return [
            f"the file has {layers}, digest {placed.digest()}, the plan {planned}, {self.digest()}"
        ]

    def _placed(self) -> PlacedLayers:
        from eplb.engines.rows import PlacedLayers
        from eplb.errors import PlanFileError

        cluster = self.cluster
        if not cluster.used.all():
            raise PlanFileError(
                f"the file of an engine is for GPUs that are all in use, but the cluster has "
                f"{cluster.describe()}",
                hint=["number the GPUs in use anew: ", Parameter("without_unused_gpus()")],
            )
        if len({*cluster.gpu_slots.tolist()}) > 1:
            raise PlanFileError(
                f"the file of an engine is for GPUs with equally many slots, but the cluster has "
                f"{cluster.describe()}"
            )
        if (self.phy2log < 0).any():
            layer, slot = (int(at) for at in np.argwhere(self.phy2log < 0)[0])
            raise PlanFileError(
                f"layer {layer}, slot {slot} is empty; the file of an engine needs an expert in every "
                "slot",
                layer=layer,
                slot=slot,
            )
        loaded = tuple(self.loaded_layers.tolist()) if self.certified else None
        # The default placement of other layers keeps groups on nodes only if these are equal.
        equal = self._placement.topology.has_equal_gpus
        nodes = self.num_nodes if equal and not self.is_global else 1
        return PlacedLayers(self.phy2log.tolist(), self.num_experts, self.num_gpus, nodes, loaded)

    def on_cluster(self, cluster: Cluster) -> Plan:
        """The same placement on other GPUs with the same slots; what GPUs out of use held is lost.

        The loads of the new plan are not known.

        Raises:
            TopologyError, TypeError: the GPUs have other slots, or groups and nodes do not go together.
            VerificationError: an expert was on GPUs out of use only.
        """
        check_alone(cluster)
        if cluster.gpu_slots.tolist() != self.cluster.gpu_slots.tolist():
            raise TopologyError(
                f"the cluster has {cluster.describe()}, but the plan is for {self.cluster.describe()}; "
                "expected the same slots"
            )
        table, unused = self.phy2log.copy(), ~cluster.used[cluster.gpu_of_slot]
        table[:, unused] = -1
        lost = [
            {*before.tolist()} - {*after.tolist()}
            for before, after in zip(self.phy2log, table, strict=True)
        ]
        if any(lost):
            layer = next(layer for layer, experts in enumerate(lost) if experts)
            raise VerificationError(
                f"{count(sum(map(len, lost)), 'expert')} of all layers are only on GPUs that are not in "
                f"use, first expert {min(lost[layer])} of layer {layer}",
                hint=["an update gives each of them a slot: eplb replan, eplb.replan"],
                layer=layer,
                expert=min(lost[layer]),
            )
        topology = _core.Topology.of_cluster(self.num_experts, self.num_groups, cluster.core)
        return Plan(_core.Placement.from_phy2log(topology, table), policy=self._policy)

    def without_unused_gpus(self) -> Plan:
        """The same placement on the GPUs in use alone, numbered anew, for an engine that starts on them.

        GPUs that are dead, drained or without slots, which hold nothing, leave phy2log. The certificate
        stays, without them; if the other speeds have a common divisor, it is made anew, or lost if the
        loads themselves are not known.

        Raises:
            TopologyError: groups and nodes do not go together without these GPUs.
        """
        used = self.cluster.used
        if used.all():
            return self
        slots, core = used[self.cluster.gpu_of_slot], self._placement
        topology = topology_of(
            num_experts=self.num_experts,
            num_gpus=None,
            num_replicas=None,
            num_groups=self.num_groups,
            num_nodes=None,
            cluster=self.cluster.without_unused(),
        )
        phy2log, rank = (
            np.ascontiguousarray(table[:, slots]) for table in (core.phy2log(), core.rank())
        )
        return Plan(
            _core.Placement(topology, phy2log, rank, core.logcnt()),
            policy=self._policy,
            loads=self._loads,
            certificate=_of_used_gpus(self, topology.cluster.total_speed),
            options=self._options,
            made_from=self._made_from,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan.from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        """Whether placement, policy and certificate are equal."""
        if not isinstance(other, Plan):
            return NotImplemented
        same = (
            self._placement == other._placement
            and self._policy == other._policy
            and self.certified == other.certified
        )
        return same and (not self.certified or self.certificate == other.certificate)

    def __repr__(self) -> str:
        return (
            f"<eplb.Plan {self.digest()}: {count(self.num_layers, 'layer')}, "
            f"{count(self.num_experts, 'expert')} in {count(self.num_replicas, 'slot')} on "
            f"{count(self.num_gpus, 'GPU')}, policy {self.policy}>"
        )

    def __str__(self) -> str:
        from eplb.summary import summary

        return summary(self)


def _without_slot(table: IntTable) -> VerificationError:
    """The error for a table with a larger expert than it has slots: layer 0 lacks some expert."""
    held = set(table[0].tolist())
    missing = next(expert for expert in range(len(held) + 1) if expert not in held)
    layer, slot = (int(at) for at in np.unravel_index(table.argmax(), table.shape))
    return VerificationError(
        f"layer 0, expert {missing}: the expert has no slot; expected at least one slot for each "
        f"expert from 0 to the largest, {int(table.max())} in layer {layer}, slot {slot}",
        hint=["is this a load table, and are the arguments swapped?"],
        layer=0,
        expert=missing,
    )


def load_plan(path: str | PathLike[str]) -> Plan:
    """Reads a plan file, ``.json`` or ``.npz``. :func:`eplb.verify` checks its claims.

    Untrusted files are safe to read: no pickle is loaded, and at most 1 GiB is read.

    Raises:
        PlanFileError: it is not a plan file.
        VerificationError: its tables are not a valid placement.
        OSError: it cannot be read.
    """
    from pathlib import Path

    from eplb.storage.plan_file import read

    return plan_of(read(Path(path)))


def plan_of(content: PlanContent) -> Plan:
    """The plan of a plan file."""
    return Plan(
        content.placement,
        policy=content.policy,
        certificate=content.certificate,
        options=content.options,
        made_from=content.made_from,
    )


def plan_of_engine_file(
    path: str | PathLike[str], file: EngineFile, num_groups: int = 1, num_nodes: int = 1
) -> Plan:
    """The plan of an engine's file that has been read from ``path``.

    Raises:
        PlanFileError: it is not a placement of these sizes.
    """
    from eplb.errors import PlanFileError

    try:
        return Plan.from_phy2log(
            file.phy2log, num_gpus=file.num_gpus, num_groups=num_groups, num_nodes=num_nodes
        )
    except EplbError as error:
        hidden = "" if file.layers is None else file.layers.place(error.layer)
        raise error.within(str(path), kind=PlanFileError, also=hidden) from error


def _of_used_gpus(plan: Plan, total_speed: int) -> _core.Certificate | None:
    """The certificate without the GPUs that are not in use, which have no load.

    None if speeds have a common divisor without these GPUs: times are in another unit then.
    """
    if not plan.certified or total_speed != plan.cluster.total_speed:
        return None
    certificate, cluster = plan.certificate, plan.cluster
    return _core.Certificate(
        np.ascontiguousarray(certificate.gpu_load()[:, cluster.used]),
        np.array(certificate.max_load, dtype=np.uint64),
        np.array(certificate.lower_bound, dtype=np.uint64),
        certificate.bound,
        np.array(certificate.bound_without_groups, dtype=np.uint64),
        certificate.beaten_by_duplicates,
        certificate.exponents,
        certificate.loads_sha256,
        cluster.total_speed,
    )


def certified_for(plan: Plan, loads: _core.Loads) -> Plan:
    """The same plan with the certificate for other loads; see :func:`eplb.evaluate`."""
    return Plan(
        plan.placement,
        policy=plan.policy,
        loads=loads,
        certificate=_core.certify(plan.placement, loads),
        options=plan.options,
    )


def integer_table(name: str, values: Any) -> IntTable:
    """``values``, ``[layers, n]``, as a contiguous int64 array.

    Raises:
        VerificationError: they are not such a table.
    """
    if tensors.is_tensor(values):
        values, bits_of = tensors.tensor_array(values)
        if bits_of:
            raise VerificationError(f"{name} must hold integers, got {bits_of}")
    try:
        array = np.asarray(values)
    except Exception as error:  # __array__ of any class can raise anything
        raise VerificationError(f"{name} is not a table [layers, slots]: {error}") from error
    if array.ndim != 2 or array.size == 0:
        raise VerificationError(f"{name} has shape {array.shape}; expected [layers, slots]")
    if array.dtype.kind not in "iu":
        raise VerificationError(f"{name} must hold integers, got {type_name(array.dtype)}")
    if array.dtype == np.uint64 and int(array.max()) >= 2**63:
        raise VerificationError(f"{name} holds {int(array.max())}, which is not an expert")
    return np.require(array, np.int64, ["C", "ALIGNED"])
