"""The plan: where the replicas of every expert are, what that costs, how far it is from the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eplb import _core
from eplb.errors import EplbError, VerificationError
from eplb.inputs import tensors
from eplb.inputs.sizes import topology
from eplb.text import count, short, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy.typing as npt

    from eplb.engines.layers import HiddenLayers
    from eplb.engines.rows import PlacedLayers, Target
    from eplb.storage.plan_file import PlanContent

    IntTable = npt.NDArray[np.int64]
    FloatTable = npt.NDArray[np.float64]


class Plan:
    """Where the replicas of every expert of every layer are. :func:`eplb.plan` makes it.

    L logical experts have P replicas in as many slots on G GPUs; slot p is on GPU ``p // (P // G)``.
    Tables are read-only int64 arrays; ``torch.tensor(plan.phy2log)`` copies one to a tensor. A plan
    whose loads are known (all but those of :meth:`from_phy2log`) has a certificate: the GPU loads,
    and a lower bound that no plan of these sizes can beat. Loads are in the unit of the input.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        placement: _core.Placement,
        *,
        policy: str | None = None,
        loads: _core.Loads | None = None,
        certificate: _core.Certificate | None = None,
    ) -> None:
        self._placement = placement
        self._policy = policy
        self._loads = loads
        self._certificate = certificate
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
    def is_global(self) -> bool:
        """Whether the groups cannot be divided over the nodes, so that both were ignored."""
        return self._placement.topology.is_global

    @property
    def policy(self) -> str | None:
        """Name of the policy that made the plan; None for a placement from elsewhere."""
        return self._policy

    # -- placement --------------------------------------------------------------------------------

    @property
    def placement(self) -> _core.Placement:
        """The tables in the core's type."""
        return self._placement

    @property
    def phy2log(self) -> IntTable:
        """Logical expert in each slot, ``[layers, P]``."""
        return self._table("phy2log")

    @property
    def rank(self) -> IntTable:
        """Which replica of its expert each slot holds, from 0, ``[layers, P]``."""
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
        return _read_only(self._placement.log2phy(static_width(width)))

    def _table(self, name: str) -> IntTable:
        """A table of the placement, copied once."""
        if name not in self._tables:
            self._tables[name] = _read_only(getattr(self._placement, name)())
        return self._tables[name]

    @property
    def duplicates(self) -> IntTable:
        """Slots with an expert that is already on the same GPU, ``[layers]``."""
        return _read_only(np.array(self._placement.duplicates(), dtype=np.int64))

    def digest(self) -> str:
        r"""16 hex digits that ranks of a cluster can compare. Only sizes and phy2log count.

        The first 8 bytes of SHA-256 over ``b"eplb plan 1\n"``, then layers, P, G, groups, nodes and
        phy2log, row after row, as little-endian 32-bit integers.
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
        return _read_only(self.certificate.gpu_load_in_units())

    @property
    def balancedness(self) -> FloatTable:
        """Mean GPU load / largest GPU load, ``[layers]``; 1 is perfect, also for a layer without load."""
        return _read_only(self.certificate.balancedness())

    @property
    def lower_bound(self) -> FloatTable:
        """The least that the busiest GPU of any plan of these sizes carries, ``[layers]``."""
        return _read_only(self.certificate.lower_bound_in_units())

    @property
    def bound(self) -> list[str]:
        """The reason of the lower bound of each layer.

        ``"mean"`` load, ``"adams"`` (optimal shares), ``"node"`` (packing of groups), ``"packing"``
        of experts without redundant slots, or ``"counting"`` of replicas too heavy to share a GPU.
        """
        return self.certificate.bound

    @property
    def bound_without_groups(self) -> FloatTable:
        """The lower bound if groups did not have to stay together, ``[layers]``: what they cost."""
        return _read_only(self.certificate.bound_without_groups_in_units())

    @property
    def beaten_by_duplicates(self) -> npt.NDArray[np.bool_]:
        """Layers in which a published policy with duplicates has a lower largest GPU load, ``[layers]``.

        Only plans by ``"minimax"`` know it.
        """
        return _read_only(np.array(self.certificate.beaten_by_duplicates, dtype=np.bool_))

    @property
    def gap(self) -> FloatTable:
        """Largest GPU load / lower bound - 1, ``[layers]``."""
        return _read_only(self.certificate.gap())

    # -- to and from ------------------------------------------------------------------------------

    @classmethod
    def from_phy2log(
        cls, phy2log: Any, *, num_gpus: int, num_groups: int = 1, num_nodes: int = 1
    ) -> Plan:
        """The plan of a placement ``[layers, P]`` that an engine already has.

        The replicas of an expert are ranked by slot. The experts are 0 to the largest that occurs.

        Raises:
            VerificationError: not a table of integers, or an expert is negative or has no slot.
            TopologyError: the sizes do not go together.
            LoadTypeError: a tensor without values.
        """
        table = integer_table("phy2log", phy2log)
        num_experts = max(int(table.max()) + 1, 1)
        if num_experts > table.shape[1]:
            layer, slot = (int(at) for at in np.unravel_index(table.argmax(), table.shape))
            raise VerificationError(
                f"layer {layer}, slot {slot}: expert {num_experts - 1} needs more slots than there are; "
                f"expected 0 to {table.shape[1] - 1}, because every expert from 0 needs a slot",
                layer=layer,
                slot=slot,
                expert=num_experts - 1,
            )
        sizes = topology(
            num_experts=num_experts,
            num_replicas=table.shape[1],
            num_groups=num_groups,
            num_nodes=num_nodes,
            num_gpus=num_gpus,
        )
        return cls(_core.Placement.from_phy2log(sizes, table))

    def trivial(self) -> Plan:
        """The default placement of engines, without balancing: slot p holds expert p modulo L.

        It has the sizes of this plan, without groups, and its loads if they are known.
        """
        row = np.arange(self.num_replicas, dtype=np.int64) % self.num_experts
        table = np.tile(row, (self.num_layers, 1))
        placement = Plan.from_phy2log(table, num_gpus=self.num_gpus).placement
        return Plan(placement, loads=self._loads)

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
    ) -> tuple[Plan, HiddenLayers | None]:
        """Reads the placement file of an engine. Untrusted files are safe to read.

        Args:
            path: the file; its ending must be one of the format's.
            format: one of ``eplb.engines.FORMATS``.
            num_gpus: GPUs of all nodes; not needed for ``vllm-ascend``, which names its devices.
            num_groups: groups, as for :func:`eplb.plan`.
            num_nodes: nodes, as for :func:`eplb.plan`.
            layers: which hidden layers to read, ascending; by default all that are there.

        Returns:
            The plan, and the hidden layer of each of its rows, if the file names them.

        Raises:
            PlanFileError: it is not a placement of these sizes; the message says what is wrong.
            TopologyError, TypeError: a size is invalid. OSError: the file cannot be read.
        """
        from eplb.engines.reading import load_engine_file
        from eplb.errors import PlanFileError
        from eplb.inputs.sizes import whole_number

        groups, nodes = whole_number("num_groups", num_groups), whole_number("num_nodes", num_nodes)
        file = load_engine_file(path, format, num_gpus=num_gpus, layers=layers)
        try:
            plan = cls.from_phy2log(
                file.phy2log, num_gpus=file.num_gpus, num_groups=groups, num_nodes=nodes
            )
        except EplbError as error:
            hidden = "" if file.layers is None else file.layers.place(error.layer)
            raise error.within(str(path), kind=PlanFileError, also=hidden) from error
        return plan, file.layers

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

        content = from_dict(values)
        return cls(content.placement, policy=content.policy, certificate=content.certificate)

    def _content(self) -> PlanContent:
        from eplb.storage.plan_file import PlanContent

        certificate = self.certificate if self.certified else None
        return PlanContent(self._placement, self._policy, certificate)

    def save(
        self,
        path: str | PathLike[str],
        format: str = "plan",  # noqa: A002
        *,
        layers: Sequence[int] | None = None,
        num_hidden_layers: int | None = None,
        config: str | PathLike[str] | None = None,
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
            config: the model's config.json, which has ``layers`` and ``num_hidden_layers``.

        Returns:
            Notes, a line each: what was done, and what the engine also needs.

        Raises:
            PlanFileError: another ending, or the engine could not use the plan.
            OSError: a file cannot be written or read.
        """
        from eplb.engines.rows import target

        where = target(
            path, format, layers=layers, num_hidden_layers=num_hidden_layers, config=config
        )
        return self.write(where)

    def write(self, where: Target) -> list[str]:
        """Writes the plan to a target that has been checked; see :meth:`save`."""
        from eplb.storage.atomic import write_whole
        from eplb.storage.plan_file import encode

        if where.format == "plan":
            write_whole(where.path, encode(self._content(), where.path.name))
            names_layers = where.layers is not None or where.num_hidden_layers is not None
            return ["a plan file has no hidden layers: they are left out"] if names_layers else []
        content, notes = where.encode(self._placed())
        write_whole(where.path, content)
        return notes

    def _placed(self) -> PlacedLayers:
        from eplb.engines.rows import PlacedLayers

        loaded = tuple(self.loaded_layers.tolist()) if self.certified else None
        return PlacedLayers(self.phy2log.tolist(), self.num_experts, self.num_gpus, loaded)

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

    content = read(Path(path))
    return Plan(content.placement, policy=content.policy, certificate=content.certificate)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
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
