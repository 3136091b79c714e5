"""The one runner of all implementations of the published policies: specification, core, torch.

They were written apart. Whatever an oracle says (golden vectors, or the specification), every one of
them is asked in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import eplb
import specification as spec
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    #: phy2log, rank and logcnt, `[layers]` rows.
    Tables = tuple[list[list[int]], list[list[int]], list[list[int]]]
    Loads = npt.NDArray[Any]

Policy = Literal["deepseek", "adaptive"]
POLICIES: tuple[Policy, Policy] = ("deepseek", "adaptive")
TABLES = ("phy2log", "rank", "logcnt")


def specification(loads: Loads, sizes: dict[str, Any], policy: Policy) -> Tables:
    """The executable specification."""
    return spec.plan(loads.tolist(), **sizes, policy=policy)


def core(loads: Loads, sizes: dict[str, Any], policy: Policy) -> Tables:
    """The Rust core."""
    plan = eplb.plan(loads, **sizes, policy=policy)
    return plan.phy2log.tolist(), plan.rank.tolist(), plan.logcnt.tolist()


def batched(loads: Loads, sizes: dict[str, Any], policy: Policy) -> Tables:
    """The batched torch path, on the CPU."""
    in_order = [sizes[name] for name in ("num_replicas", "num_groups", "num_nodes", "num_gpus")]
    phy2log, log2phy, logcnt = eplb.rebalance_experts_batched(
        torch.from_numpy(loads), *in_order, policy=policy
    )
    slots = torch.arange(phy2log.shape[1]).unsqueeze(1)
    own = log2phy.gather(1, phy2log.unsqueeze(2).expand(-1, -1, log2phy.shape[2]))
    # Each slot is said to be one replica of its expert, and nothing else is said.
    assert ((own == slots).sum(dim=2) == 1).all()
    assert int((log2phy >= 0).sum()) == phy2log.numel()
    return phy2log.tolist(), (own == slots).int().argmax(dim=2).tolist(), logcnt.tolist()


IMPLEMENTATIONS: dict[str, Callable[[Loads, dict[str, Any], Policy], Tables]] = {
    "specification": specification,
    "core": core,
    "torch": batched,
}


def disagreement(
    who: str, expected: Tables, loads: Loads, sizes: dict[str, Any], policy: Policy
) -> str:
    """Where an implementation differs from what is expected, first of all; nothing if nowhere."""
    tables = IMPLEMENTATIONS[who](loads, sizes, policy)
    for name, ours, wanted in zip(TABLES, tables, expected, strict=True):
        for row, mine, right in zip(loads.tolist(), ours, wanted, strict=True):
            if mine != right:
                return f"{who}, {policy}: {name} of {row} with {sizes}: {mine}, not {right}"
    return ""
