"""SGLang: a hook around its planner.

SGLang asks its planner on every rank, with the loads of the forward passes since the last update. The
map in force and the ranks that are alive it keeps elsewhere, and the hook looks there.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.plugins import tables
from eplb.plugins.call import Call
from eplb.plugins.interface import UnknownInterfaceError, check_parameters
from eplb.plugins.rebalancer import Ranks, Rebalancer
from eplb.plugins.tensors import table_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.plan_tables import IntTable
    from eplb.plugins.answers import Answer
    from eplb.plugins.settings import Settings

LOG = logging.getLogger("eplb")
#: The release whose code was read and run.
KNOWN_RELEASE = "0.5.23"
_ALGORITHMS = "sglang.srt.eplb.eplb_algorithms"
_TARGET = f"{_ALGORITHMS}.rebalance_experts"
_PARAMETERS = (
    "tokens_per_expert",
    "num_physical_experts",
    "num_local_physical_experts",
    "num_groups",
    "num_nodes",
    "algorithm",
)


def install(settings: Settings) -> str:
    """Registers the hook; returns what to log.

    Raises:
        UnknownInterfaceError: SGLang asks its planner in another way.
    """
    from sglang.srt.eplb import eplb_algorithms
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    planner = getattr(eplb_algorithms, "rebalance_experts", None)
    hooks = getattr(HookRegistry, "_hooks", {}).get(_TARGET, ())
    if any(getattr(hook[1], "is_of_eplb", False) for hook in hooks):
        return ""
    check_parameters("rebalance_experts", planner, _PARAMETERS)
    rebalancer = Rebalancer("sglang", settings, LOG)
    HookRegistry.register(_TARGET, hook_over(rebalancer), HookType.AROUND)
    return "SGLang's expert load balancer, if it is on, plans with eplb"


def hook_over(rebalancer: Rebalancer) -> Callable[..., Any]:
    """The hook that asks ``rebalancer``, which may ask the original."""

    def hook(original: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """The maps phy2log, log2phy and the numbers of replicas, as tensors.

        Raises only what the original raises, if eplb cannot answer.
        """
        import torch

        native: list[Any] = []

        def ask_own() -> IntTable:
            native[:] = [original(*args, **keywords)]
            return table_of(native[0][0])

        def ask() -> Any:
            call = _call(dict(zip(_PARAMETERS, args, strict=False)) | keywords)

            def as_maps(answer: Answer) -> Any:
                if answer.decided == "own planner":
                    return native[0]
                # Too few slots: what then comes is SGLang's to say.
                if not answer.is_plan and call.lacks(answer.phy2log):
                    return original(*args, **keywords)
                counts = tables.replicas(answer.phy2log, call.load.shape[1])
                log2phy = tables.log2phy_of(answer.phy2log, counts)
                # SGLang wants an expert in dead slots too; no token is sent there.
                made = np.maximum(answer.phy2log, 0), log2phy, counts
                return tuple(torch.from_numpy(table) for table in made)

            return rebalancer.answer_as(as_maps, call, _ranks, ask_own)

        return rebalancer.first_that_works(ask, lambda: original(*args, **keywords))

    hook.is_of_eplb = True  # type: ignore[attr-defined]
    return hook


def _call(given: dict[str, Any]) -> Call:
    tokens = given["tokens_per_expert"]
    per_gpu, slots = int(given["num_local_physical_experts"]), int(given["num_physical_experts"])
    gpus = slots // per_gpu
    groups = given["num_groups"] if "hierarchical" in given["algorithm"].name else None
    dead, elastic = _dead_gpus(gpus)
    load = table_of(tokens.sum(dim=0))
    return Call(
        load=load,
        previous=_previous(dead, per_gpu, load.shape, elastic=elastic),
        num_slots=slots,
        num_gpus=gpus,
        num_nodes=int(given["num_nodes"]),
        num_groups=int(groups or 1),
        dead_gpus=dead,
    )


def _dead_gpus(gpus: int) -> tuple[tuple[int, ...], bool]:
    """The ranks that are dead, and whether ranks can die and come back at all."""
    state = _elastic_state()
    if state is None or state.active_ranks is None:
        return (), False
    active = table_of(state.active_ranks)[:gpus]
    return tuple(np.flatnonzero(active == 0).tolist()), True


def _previous(
    dead: tuple[int, ...], per_gpu: int, shape: tuple[int, ...], *, elastic: bool
) -> IntTable | None:
    """The map in force; slots of dead ranks are empty, and of ranks that have just come back."""
    metadata = _location()
    if metadata is None:
        return None
    table = np.array(table_of(metadata.physical_to_logical_map_cpu))
    if table.ndim != 2 or len(table) != shape[0] or table.shape[1] % per_gpu:
        return None
    gpus = table.shape[1] // per_gpu
    by_gpu = table.reshape(len(table), gpus, per_gpu)
    by_gpu[:, [gpu for gpu in dead if gpu < gpus]] = -1
    if elastic and per_gpu > 1:
        # SGLang puts expert 0 in all slots of a dead rank. One that is alive and has it there is back:
        # it remembers nothing, and nor may the others.
        by_gpu[:, (by_gpu == 0).all(axis=(0, 2))] = -1
    return table


def _ranks() -> Ranks:
    """All ranks: they have just summed their loads."""
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized():
        return Ranks(0, 1)
    # At start not all processes may ask. If ranks may die or come, some never ask again.
    compare = _location() is not None and _elastic_state() is None
    return Ranks(dist.get_rank(), dist.get_world_size(), dist.group.WORLD if compare else None)


def _location() -> Any:
    """Where SGLang says which map is in force; None at start.

    Raises:
        UnknownInterfaceError: this SGLang keeps it elsewhere.
    """
    module: Any = sys.modules.get("sglang.srt.eplb.expert_location")
    if not hasattr(module, "get_global_expert_location_metadata"):
        raise UnknownInterfaceError("expert_location has no get_global_expert_location_metadata")
    return module.get_global_expert_location_metadata()


def _elastic_state() -> Any:
    """What SGLang knows of ranks that die, come back or are added; None if they cannot."""
    module: Any = sys.modules.get("sglang.srt.elastic_ep.elastic_ep")
    return None if module is None else module.ElasticEPStateManager.instance()
