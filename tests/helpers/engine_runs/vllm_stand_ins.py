"""What vLLM's expert load balancer imports of vLLM, as far as it is used on a CPU.

Each stand-in is enough because of what the balancer does with it; nothing here decides which expert
goes where, or moves a weight.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import torch.distributed as dist
from engine_runs.wheel_modules import serve, stand_in

if TYPE_CHECKING:
    from pathlib import Path

#: Run as released: the load balancer as a whole, and the loader of plug-ins.
RELEASED = ["vllm.distributed.eplb", "vllm.plugins"]


class GroupCoordinator:
    """Ranks that work together. The balancer asks only for these groups and their sizes."""

    def __init__(self, ranks: list[int]) -> None:
        self.ranks = ranks
        self.device_group: Any = dist.new_group(ranks, backend="gloo")
        self.cpu_group: Any = dist.new_group(ranks, backend="gloo")

    @property
    def world_size(self) -> int:
        return len(self.ranks)


class StatelessGroupCoordinator(GroupCoordinator):
    """A group that ranks may leave; the balancer only asks it who shares a node."""

    @property
    def tcp_store_group(self) -> Any:
        return SimpleNamespace(world_size=self.world_size)


class Logger(logging.LoggerAdapter[logging.Logger]):
    """vLLM's logger, which can also say something once: here, each time."""

    def info_once(self, message: str, *values: Any, **_: Any) -> None:
        self.info(message, *values)

    def warning_once(self, message: str, *values: Any, **_: Any) -> None:
        self.warning(message, *values)


class Groups:
    """The groups in force."""

    ep: GroupCoordinator
    eplb: GroupCoordinator


def put_in_place(wheel: Path) -> None:
    """Lets vLLM's load balancer be imported in this process."""

    class Nothing:
        """A type that is only named."""

    stand_in("vllm", __version__=wheel.name.split("-")[1])
    # vLLM's own plug-ins want all of vLLM.
    stand_in("vllm.envs", VLLM_PLUGINS=["eplb"])
    stand_in("vllm.config", ModelConfig=Nothing, ParallelConfig=Nothing)
    stand_in("vllm.config.utils", compute_hash_cached=lambda config: config.compute_hash())
    stand_in("vllm.config.parallel", EPLBPolicyOption=Literal["default"])
    stand_in(
        "vllm.distributed.parallel_state",
        GroupCoordinator=GroupCoordinator,
        get_ep_group=lambda: Groups.ep,
        get_eplb_group=lambda: Groups.eplb,
        get_pp_group=lambda: None,  # of nixl alone
        get_node_count=lambda: 1,
        in_the_same_node_as=lambda group, rank: [True] * (group.world_size + 0 * rank),
        is_local_first_rank=lambda: dist.get_rank() == 0,
    )
    stand_in(
        "vllm.distributed.stateless_coordinator",
        StatelessGroupCoordinator=StatelessGroupCoordinator,
    )
    stand_in("vllm.distributed.utils", StatelessProcessGroup=Nothing, is_weak_contiguous=bool)
    # Communicators of NVIDIA GPUs: named, but torch_gloo is asked for.
    stand_in("vllm.distributed.nixl_utils", NixlWrapper=None)
    stand_in("vllm.distributed.device_communicators.pynccl", PyNcclCommunicator=Nothing)
    stand_in("vllm.distributed.device_communicators.pynccl_wrapper", ncclDataTypeEnum=Nothing)
    stand_in("vllm.logger", init_logger=lambda name: Logger(logging.getLogger(name), {}))
    stand_in("vllm.model_executor.models.interfaces", MixtureOfExperts=Nothing)
    platform = SimpleNamespace(is_rocm=lambda: False, is_cuda_alike=lambda: False)
    stand_in("vllm.platforms", current_platform=platform)
    stand_in("vllm.utils.gpu_sync_debug", gpu_sync_allowed=Allowed)
    stand_in("vllm.utils.torch_utils", PIN_MEMORY=False)
    serve(wheel, RELEASED)


class Allowed:
    """There is no device to wait for."""

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, *_: object) -> None:
        """Nothing to do."""
