"""DeepSeek's interface, with DeepSeek's answer by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from eplb.errors import LoadError
from eplb.inputs.tensors import from_array
from eplb.inputs.windows import has_windows
from eplb.plan_tables import static_width
from eplb.planning import plan

if TYPE_CHECKING:
    import torch


def rebalance_experts(
    weight: Any,
    num_replicas: int,
    num_groups: int,
    num_nodes: int,
    num_gpus: int,
    *,
    policy: str = "deepseek",
    effort: str = "default",
    target_gap: float | None = None,
    log2phy_width: Literal["max", "static"] = "max",
    threads: int = 1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Plans as DeepSeek's EPLB does, in exact arithmetic with a stated tie rule.

    Args:
        weight: ``[layers, L]`` loads; a tensor of any int or float dtype on any device, or
            anything that :func:`eplb.plan` takes.
        num_replicas: slots per layer, P; a multiple of ``num_gpus``.
        num_groups: groups of experts.
        num_nodes: nodes; if ``num_groups % num_nodes != 0``, groups and nodes are ignored.
        num_gpus: GPUs, G; a multiple of ``num_nodes``.
        policy: a name in ``eplb.POLICIES``.
        effort: how long ``"minimax"`` searches.
        target_gap: ``"minimax"`` stops searching a layer when its gap falls below this.
        log2phy_width: ``"max"``, the largest count, or ``"static"``, P - L + 1.
        threads: threads to plan with. No answer depends on it.

    Returns:
        ``phy2log [layers, P]``, ``log2phy [layers, L, X]`` padded with -1, and
        ``logcnt [layers, L]``: int64 tensors on the CPU.

    Raises:
        The exceptions of :func:`eplb.plan`; ImportError if torch is not installed.

    Source: DeepSeek's EPLB (github.com/deepseek-ai/EPLB); none of its code is used.
    """
    is_static = static_width(log2phy_width)
    if has_windows(weight):
        raise LoadError(
            "the weight has three axes; expected [layers, experts]",
            hint=["sum the windows, or use eplb.plan or eplb.replan"],
        )
    made = plan(
        weight,
        num_gpus=num_gpus,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        policy=policy,
        effort=effort,
        target_gap=target_gap,
        threads=threads,
    )
    placement = made.placement
    return (
        from_array(placement.phy2log()),
        from_array(placement.log2phy(is_static)),
        from_array(placement.logcnt()),
    )
