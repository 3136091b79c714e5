"""The plan: where the copies of every expert are, what that costs, how far it is from the best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eplb import tensors
from eplb.errors import EplbError, VerificationError
from eplb.shown import count, short, type_name
from eplb.sizes import topology

from . import _core

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy.typing as npt

    IntTable = npt.NDArray[np.int64]
    FloatTable = npt.NDArray[np.float64]


class Plan:
    """Where the copies of every expert of every layer are. Made by :func:`eplb.plan` and others.

    L logical experts have P copies in as many slots of G GPUs; slot p is on GPU ``p // (P // G)``.
    Tables are read-only int64 arrays. A plan that knows the loads it is for (all but those
    of :meth:`from_phy2log`) carries a certificate: the GPU loads, and a lower bound that no plan
    of these sizes could beat. Loads are in the unit of the input.
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
        """MoE layers."""
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
        """Expert groups, as asked for."""
        return self._placement.topology.num_groups

    @property
    def num_nodes(self) -> int:
        """Nodes, as asked for."""
        return self._placement.topology.num_nodes

    @property
    def num_gpus(self) -> int:
        """GPUs of all nodes, G."""
        return self._placement.topology.num_gpus

    @property
    def fallback(self) -> bool:
        """Whether the groups do not divide by the nodes, so that the plan is global."""
        return self._placement.topology.is_global

    @property
    def policy(self) -> str | None:
        """Name of the policy that made the plan; None for a placement from elsewhere."""
        return self._policy

    # -- placement --------------------------------------------------------------------------------

    @property
    def phy2log(self) -> IntTable:
        """Logical expert in each slot, ``[layers, P]``."""
        return self._table("phy2log")

    @property
    def rank(self) -> IntTable:
        """Which copy of its expert each slot holds, 0 .. copies - 1, ``[layers, P]``."""
        return self._table("rank")

    @property
    def logcnt(self) -> IntTable:
        """Copies of each expert, ``[layers, L]``."""
        return self._table("logcnt")

    def log2phy(self, width: Literal["max", "static"] = "max") -> IntTable:
        """Slots of each expert by rank, ``[layers, L, X]``, padded with -1.

        X is the largest count of the plan (``"max"``, DeepSeek's) or P - L + 1 (``"static"``,
        which does not depend on the loads).
        """
        return _read_only(self._placement.log2phy(static_width(width)))

    def _table(self, name: str) -> IntTable:
        """A table of the placement, copied out of it once."""
        if name not in self._tables:
            self._tables[name] = _read_only(getattr(self._placement, name)())
        return self._tables[name]

    @property
    def duplicates(self) -> IntTable:
        """Slots that hold an expert which their GPU holds already, ``[layers]``."""
        return _read_only(np.array(self._placement.duplicates(), dtype=np.int64))

    def digest(self) -> str:
        r"""16 hex digits that depend on sizes and phy2log only: what ranks of a cluster compare.

        The first 8 bytes of SHA-256 over ``b"eplb plan 1\n"``, then layers, P, G, groups, nodes and
        phy2log, row after row, as little-endian 32-bit integers.
        """
        return self._placement.digest()

    # -- certificate ------------------------------------------------------------------------------

    @property
    def certified(self) -> bool:
        """Whether the plan knows the loads it is for."""
        return self._certificate is not None or self._loads is not None

    @property
    def certificate(self) -> _core.Certificate:
        """The certificate in integers, as the plan file has it.

        Raises:
            EplbError: the plan has none.
        """
        if self._certificate is None:
            if self._loads is None:
                raise EplbError(
                    "this plan knows no loads, as it was made from phy2log alone; "
                    "use eplb.evaluate(plan, load)"
                )
            self._certificate = _core.certify(self._placement, self._loads)
        return self._certificate

    @property
    def gpu_load(self) -> FloatTable:
        """Load of each GPU, correctly rounded, ``[layers, G]``."""
        return _read_only(self.certificate.gpu_load_in_units())

    @property
    def balancedness(self) -> FloatTable:
        """Mean GPU load / largest GPU load, ``[layers]``; 1 is perfect, and what no load has."""
        return _read_only(self.certificate.balancedness())

    @property
    def lower_bound(self) -> FloatTable:
        """What the busiest GPU of any plan of these sizes carries at least, ``[layers]``."""
        return _read_only(self.certificate.lower_bound_in_units())

    @property
    def bound(self) -> list[str]:
        """Why, per layer.

        ``"mean"`` load, ``"adams"`` optimal shares, ``"node"`` of groups, ``"packing"`` of experts
        where no slot is spare, or ``"counting"`` of copies too heavy to share a GPU.
        """
        return self.certificate.bound

    @property
    def bound_without_groups(self) -> FloatTable:
        """The lower bound if groups did not have to stay together, ``[layers]``: what they cost."""
        return _read_only(self.certificate.bound_without_groups_in_units())

    @property
    def beaten_by_duplicates(self) -> npt.NDArray[np.bool_]:
        """Layers, ``[layers]``, that duplicates would serve better.

        Those of a plan of `minimax` where a published policy reaches a lower largest GPU load, but by two copies of an expert on one GPU.
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

        The copies of an expert are ranked by slot. The experts are 0 .. the largest that occurs.

        Raises:
            VerificationError: no table of integers, or an expert is negative or has no slot.
            TopologyError: the sizes do not go together.
            LoadTypeError: a tensor that holds no values.
        """
        table = integer_table("phy2log", phy2log)
        num_experts = max(int(table.max()) + 1, 1)
        if num_experts > table.shape[1]:
            layer, slot = (int(at) for at in np.unravel_index(table.argmax(), table.shape))
            raise VerificationError(
                f"layer {layer}, slot {slot}: expert {num_experts - 1} is there, but every expert from "
                f"0 needs a slot: in {table.shape[1]} slots the last can be {table.shape[1] - 1}",
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

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain Python values, for JSON; :meth:`from_dict` takes it back."""
        from eplb.plan_files import plan_to_dict

        return plan_to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        """The plan that :meth:`to_dict` gave. What it says is checked by :func:`eplb.verify`.

        Raises:
            PlanFileError: a key is missing, unknown or of the wrong type, shape or range.
            VerificationError: the tables make no plan.
        """
        from eplb.plan_files import plan_from_dict

        return plan_from_dict(values)

    def save(
        self,
        path: str | PathLike[str],
        format: str = "plan",  # noqa: A002
        *,
        layers: Sequence[int] | None = None,
        num_hidden_layers: int | None = None,
        config: str | PathLike[str] | None = None,
    ) -> list[str]:
        """Writes the plan to ``path``, whole or not at all: a plan file, or the file of an engine.

        Args:
            path: where to. A plan file is ``.json`` or ``.npz``.
            format: ``"plan"``, which :func:`eplb.load_plan` reads back, or ``"sglang"``,
                ``"trtllm"``, ``"vllm-ascend"``, ``"rtp-llm"``, ``"vllm"``.
            layers: for engines, the hidden layer of each layer of the plan, ascending.
            num_hidden_layers: for engines, how many hidden layers the model has.
            config: the model's config.json, which tells both ``layers`` and ``num_hidden_layers``.

        Returns notes, a line each: what was done, and what the engine needs beside the file.

        Raises:
            PlanFileError: another ending, or the engine could not use the plan.
            OSError: the file cannot be written.
        """
        from eplb.engine_files import save_for_engine

        return save_for_engine(
            self, path, format, layers=layers, num_hidden_layers=num_hidden_layers, config=config
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan.from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        """Whether both place alike, by the same policy, and are certified for the same loads."""
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
    """Reads a plan file, ``.json`` or ``.npz``. What it says is checked by :func:`eplb.verify`.

    Files of strangers are safe to read: no pickle is, and at most 1 GiB.

    Raises:
        PlanFileError: it holds no plan; VerificationError: it holds tables that make none.
        OSError: the file cannot be read.
    """
    from eplb.plan_files import read_plan

    return read_plan(path)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array


def static_width(width: str) -> bool:
    """Whether a width of log2phy is the static one."""
    if not isinstance(width, str) or width not in ("max", "static"):
        raise EplbError(f"the width of log2phy is 'max' or 'static', got {short(width)}")
    return width == "static"


def integer_table(name: str, values: Any) -> IntTable:
    """``values``, ``[layers, n]``, as a contiguous int64 array."""
    if tensors.is_tensor(values):
        values, bits_of = tensors.tensor_array(values)
        if bits_of:
            raise VerificationError(f"{name} must hold integers, got {bits_of}")
    try:
        array = np.asarray(values)
    except Exception as error:  # whatever a stranger's __array__ raises
        raise VerificationError(f"{name} is no table [layers, slots]: {error}") from error
    if array.ndim != 2 or array.size == 0:
        raise VerificationError(
            f"{name} has shape {array.shape}; a table [layers, slots] is needed"
        )
    if array.dtype.kind not in "iu":
        raise VerificationError(f"{name} must hold integers, got {type_name(array.dtype)}")
    if array.dtype == np.uint64 and int(array.max()) >= 2**63:
        raise VerificationError(f"{name} holds {int(array.max())}, which is no expert")
    return np.require(array, np.int64, ["C", "ALIGNED"])
