"""vLLM: a policy in the place of its default one.

vLLM looks up its policy by the name ``default``, calls it on every rank with the loads of all ranks,
and moves weights to where the answered map says.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.plugins import tables
from eplb.plugins.call import Call
from eplb.plugins.interface import UnknownInterfaceError, check_parameters
from eplb.plugins.rebalancer import Ranks, Rebalancer
from eplb.plugins.tensors import table_of

if TYPE_CHECKING:
    from eplb.plan_tables import IntTable
    from eplb.plugins.settings import Settings

#: The logger is below vLLM's, so that it has vLLM's format and level.
LOG = logging.getLogger("vllm.eplb")
#: The release whose code was read and run.
KNOWN_RELEASE = "0.33"
_PARAMETERS = (
    "weight",
    "num_replicas",
    "num_groups",
    "num_nodes",
    "num_ranks",
    "old_global_expert_indices",
)


def install(settings: Settings) -> str:
    """Puts the policy in place; returns what to log.

    Raises:
        UnknownInterfaceError: vLLM asks its policies in another way.
    """
    from vllm.distributed import parallel_state
    from vllm.distributed.eplb import policy

    policies: Any = getattr(policy, "EPLB_POLICIES", None)
    if not isinstance(policies, dict) or "default" not in policies:
        raise UnknownInterfaceError("it has no policy 'default'")
    own = policies["default"]
    if getattr(own, "is_of_eplb", False):
        return ""
    check_parameters("get_eplb_group", getattr(parallel_state, "get_eplb_group", None), ())
    check_parameters("rebalance_experts", getattr(own, "rebalance_experts", None), _PARAMETERS)
    policies["default"] = policy_over(own, Rebalancer("vllm", settings, LOG))
    return "vLLM's expert load balancer, if it is on, plans with eplb"


def policy_over(own: Any, rebalancer: Rebalancer) -> type[Any]:
    """A policy that asks ``rebalancer``, which may ask the policy ``own``."""

    class EplbPolicy(own):  # type: ignore[misc]
        """The policy of eplb."""

        is_of_eplb = True

        @classmethod
        def rebalance_experts(
            cls,
            weight: Any,
            num_replicas: int,
            num_groups: int,
            num_nodes: int,
            num_ranks: int,
            old_global_expert_indices: Any = None,
        ) -> Any:
            """The map, int64 ``[layers, num_replicas]``. Never raises."""
            import torch

            old = old_global_expert_indices

            def ask_own() -> IntTable:
                asked = weight, num_replicas, num_groups, num_nodes, num_ranks, old
                return table_of(own.rebalance_experts(*asked))

            def as_tensor(phy2log: IntTable) -> Any:
                return torch.from_numpy(np.array(phy2log, dtype=np.int64))

            def ask() -> Any:
                call = Call(
                    load=table_of(weight),
                    previous=None if old is None else table_of(old),
                    num_slots=int(num_replicas),
                    num_gpus=int(num_ranks),
                    num_nodes=int(num_nodes),
                    num_groups=int(num_groups or 1),
                )
                return rebalancer.answer_as(
                    lambda answer: as_tensor(answer.phy2log), call, _ranks, ask_own
                )

            def last_resort() -> Any:
                layers, experts = weight.shape
                no_dead = np.zeros(num_replicas, dtype=bool)
                return as_tensor(tables.default_map(layers, experts, num_replicas, no_dead))

            return rebalancer.first_that_works(ask, lambda: as_tensor(ask_own()), last_resort)

    return EplbPolicy


def _ranks() -> Ranks:
    """The ranks of the group that is for expert load balancing.

    All of them ask their policy at the same time: they have just summed their loads.
    """
    from vllm.distributed.parallel_state import get_eplb_group

    group = get_eplb_group().cpu_group
    return Ranks(group.rank(), group.size(), group)
