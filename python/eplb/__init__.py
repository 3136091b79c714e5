"""Exact, deterministic expert-parallelism load balancing for Mixture-of-Experts serving.

>>> import eplb
>>> plan = eplb.plan([[90, 10, 10, 10], [25, 25, 60, 10]], num_gpus=2, num_replicas=6)
>>> plan.phy2log.tolist()
[[0, 2, 1, 0, 3, 1], [2, 0, 3, 2, 1, 3]]
"""

from eplb._core import __version__
from eplb.batched import rebalance_experts_batched
from eplb.drop_in import rebalance_experts
from eplb.errors import (
    EplbError,
    LoadError,
    LoadTypeError,
    PlanFileError,
    TopologyError,
    VerificationError,
)
from eplb.planner import POLICIES, evaluate, plan, verify
from eplb.plans import Plan, load_plan

__all__ = [
    "POLICIES",
    "EplbError",
    "LoadError",
    "LoadTypeError",
    "Plan",
    "PlanFileError",
    "TopologyError",
    "VerificationError",
    "__version__",
    "evaluate",
    "load_plan",
    "plan",
    "rebalance_experts",
    "rebalance_experts_batched",
    "verify",
]
