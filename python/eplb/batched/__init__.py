"""DeepSeek's interface on the device of the loads, all layers in lockstep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eplb.errors import LoadError, LoadTypeError, Parameter, Part, TopologyError
from eplb.inputs import tensors
from eplb.inputs.loads import canonical_loads
from eplb.inputs.names import unknown
from eplb.inputs.sizes import topology

if TYPE_CHECKING:
    import torch

#: Names of the published policies.
POLICIES = ("deepseek", "adaptive")
#: Most replicas of one expert: up to here float64 quotients order like the fractions.
MAX_REPLICAS = 1024
#: Entries of log2phy, as in the core.
MAX_ENTRIES = 2**28


def rebalance_experts_batched(
    weight: torch.Tensor,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    *,
    policy: str = "deepseek",
    check: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Plans as :func:`eplb.rebalance_experts` does, bit for bit, on the device of ``weight``.

    It never waits for the device, copies nothing to or from it, and no shape depends on the loads:
    a CUDA graph can capture it, after one call to warm up. The loads are decoded from their bits,
    so a device that flushes subnormals to zero changes nothing.

    Args:
        weight: ``[layers, L]`` loads; a tensor of any int or float dtype that
            :func:`eplb.plan` takes.
        num_replicas: slots per layer, P; a multiple of ``num_gpus``, at most L + 1023.
        num_groups: groups of experts.
        num_nodes: nodes; if ``num_groups % num_nodes != 0``, groups and nodes are ignored.
        num_gpus: GPUs, G; a multiple of ``num_nodes``.
        policy: ``"deepseek"`` or ``"adaptive"``.
        check: wait for the device, and raise if a load is NaN, infinite or negative. Otherwise
            such a load counts as 0: the plan is valid, and equal to the plan for ``weight`` with
            zeros in these places.

    Returns:
        ``phy2log [layers, P]``, ``log2phy [layers, L, P - L + 1]`` by rank and padded with -1, and
        ``logcnt [layers, L]``: int64 tensors on the device of ``weight``.

    Raises:
        TopologyError: as :func:`eplb.plan`; or P - L + 1 > 1,024.
        LoadError: not a table ``[layers, experts]``; with ``check``, an invalid load.
        LoadTypeError: not a tensor, or not of real numbers.
        EplbError: an unknown policy.

    It launches about 6 P + 5 (P - L) kernels one after another, for the P and L of a node; each runs
    over all layers and nodes. On a CPU :func:`eplb.rebalance_experts` is much faster.
    """
    weight = _checked(weight)
    layers, num_experts = weight.shape
    sizes = topology(
        num_experts=num_experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_gpus=num_gpus,
    )
    if not isinstance(policy, str) or policy not in POLICIES:
        raise unknown("policy", policy, POLICIES, where=" for the batched path")
    _check_width(layers, num_experts, sizes.num_replicas, sizes.num_gpus)
    if check:
        canonical_loads(weight)

    from eplb.batched.canonical import canonical_rows
    from eplb.batched.layers import plan_rows

    groups, nodes = (1, 1) if sizes.is_global else (sizes.num_groups, sizes.num_nodes)
    return plan_rows(
        canonical_rows(weight), sizes.num_replicas, groups, nodes, sizes.num_gpus, policy
    )


def _checked(weight: torch.Tensor) -> torch.Tensor:
    """``weight`` as a plain table ``[layers, experts]`` without gradient."""
    if not tensors.is_tensor(weight):
        raise LoadTypeError(
            f"the batched path takes a torch tensor, got {type(weight).__name__}; "
            "eplb.rebalance_experts takes anything that numpy can read"
        )
    from eplb.batched.canonical import is_supported

    if str(weight.layout) != "torch.strided" or weight.is_quantized or weight.is_nested:
        raise LoadTypeError(
            f"loads must be in a plain tensor, got {weight.layout} {weight.dtype}; "
            "call .to_dense() or .dequantize() first"
        )
    if weight.device.type == "meta":
        raise LoadTypeError("the loads are on the meta device, which holds no values")
    if not is_supported(weight.dtype):
        dtype = str(weight.dtype).removeprefix("torch.")
        raise LoadTypeError(
            f"expected integers or floats as loads, got {dtype}; convert them first"
        )
    if weight.ndim != 2 or weight.numel() == 0:
        hint = {1: "; for one layer, pass load[None]", 3: "; for windows, pass load.sum(dim=0)"}
        raise LoadError(
            f"the loads have shape {tuple(weight.shape)}; "
            f"expected a table [layers, experts] with at least one of each{hint.get(weight.ndim, '')}"
        )
    return weight.detach().resolve_neg()


def _check_width(layers: int, num_experts: int, num_replicas: int, num_gpus: int) -> None:
    """Refuses sizes for which float64 quotients are not exact, or log2phy is too large."""
    width = num_replicas - num_experts + 1
    if width > MAX_REPLICAS:
        most = (num_experts + MAX_REPLICAS - 1) // num_gpus * num_gpus
        hint: list[Part] = ["use eplb.rebalance_experts"]
        if most >= num_experts:
            hint = ["use ", Parameter("num_replicas", str(most)), " or less, or rebalance_experts"]
        raise TopologyError(
            Parameter("num_replicas", str(num_replicas)),
            f" allows {width} replicas of an expert; the batched path supports at most {MAX_REPLICAS}",
            hint=hint,
        )
    if layers * num_experts * width > MAX_ENTRIES:
        raise TopologyError(
            f"log2phy of {layers} layers x {num_experts} experts x {width} replicas would have "
            f"more than {MAX_ENTRIES} entries",
            hint=["plan fewer layers at a time"],
        )
