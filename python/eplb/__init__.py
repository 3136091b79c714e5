"""Exact, deterministic expert-parallelism load balancing for Mixture-of-Experts serving.

>>> import eplb
>>> plan = eplb.plan([[90, 10, 10, 10], [25, 25, 60, 10]], num_gpus=2, num_replicas=6)
>>> plan.phy2log.tolist()
[[0, 2, 1, 0, 3, 1], [2, 0, 3, 2, 1, 3]]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eplb._core import __version__
from eplb.balancer import Balancer
from eplb.batched import rebalance_experts_batched
from eplb.clusters import Cluster
from eplb.deepseek import rebalance_experts
from eplb.errors import (
    EplbError,
    LoadError,
    LoadTypeError,
    LoadWarning,
    PlanFileError,
    TopologyError,
    VerificationError,
)
from eplb.history import LoadHistory
from eplb.migration import Migration
from eplb.planning import POLICIES, evaluate, plan, verify
from eplb.plans import Plan, load_plan
from eplb.replanning import replan
from eplb.splits import Split
from eplb.transfers import Transfers
from eplb.window_figures import WindowFigures

if TYPE_CHECKING:
    from eplb import engines, load_files, plots, sampling
    from eplb.analysis.advice.advice import Advice
    from eplb.analysis.advice.advising import advise
    from eplb.analysis.comparison import compare
    from eplb.analysis.replay.results import Replay
    from eplb.analysis.replay.running import replay

__all__ = [
    "POLICIES",
    "Advice",
    "Balancer",
    "Cluster",
    "EplbError",
    "LoadError",
    "LoadHistory",
    "LoadTypeError",
    "LoadWarning",
    "Migration",
    "Plan",
    "PlanFileError",
    "Replay",
    "Split",
    "TopologyError",
    "Transfers",
    "VerificationError",
    "WindowFigures",
    "__version__",
    "advise",
    "compare",
    "engines",
    "evaluate",
    "load_files",
    "load_plan",
    "plan",
    "plots",
    "rebalance_experts",
    "rebalance_experts_batched",
    "replan",
    "replay",
    "sampling",
    "verify",
]

# Imported when first used, so that `import eplb` stays quick.
_MODULES = ("engines", "load_files", "plots", "sampling")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"eplb.{name}")
    if name == "advise":
        return import_module("eplb.analysis.advice.advising").advise
    if name == "Advice":
        return import_module("eplb.analysis.advice.advice").Advice
    if name == "compare":
        return import_module("eplb.analysis.comparison").compare
    if name == "replay":
        return import_module("eplb.analysis.replay.running").replay
    if name == "Replay":
        return import_module("eplb.analysis.replay.results").Replay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
