"""The parts of engines that plug-ins touch, without the engines: for tests of single calls.

``make test-engines`` has the released engines themselves.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from enum import Enum, auto
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


class OwnPolicy:
    """Stands for vLLM's default policy: each slot gets the expert of its number, from behind."""

    calls = 0

    @classmethod
    def rebalance_experts(
        cls,
        weight: Any,
        num_replicas: int,
        num_groups: int,
        num_nodes: int,
        num_ranks: int,
        old_global_expert_indices: Any = None,
    ) -> torch.Tensor:
        """A valid map that eplb would not answer."""
        del num_groups, num_nodes, num_ranks, old_global_expert_indices
        OwnPolicy.calls += 1
        layers, experts = weight.shape
        row: torch.Tensor = (num_replicas - 1 - torch.arange(num_replicas)) % experts
        return row.repeat(layers, 1)


class Algorithm(Enum):
    """SGLang's names of algorithms."""

    deepseek = auto()
    deepseek_hierarchical = auto()
    elasticity_aware = auto()


def own_planner(
    tokens_per_expert: torch.Tensor,
    num_physical_experts: int,
    num_local_physical_experts: int,
    num_groups: int | None,
    num_nodes: int,
    algorithm: Algorithm,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stands for SGLang's planner."""
    del num_local_physical_experts, num_groups, num_nodes, algorithm
    _, layers, experts = tokens_per_expert.shape
    row = (num_physical_experts - 1 - torch.arange(num_physical_experts)) % experts
    nothing = torch.full((layers, experts, 1), -1)
    return row.repeat(layers, 1), nothing, torch.ones(layers, experts)


class HookType(Enum):
    """SGLang's kinds of hooks."""

    AROUND = "around"


class HookRegistry:
    """SGLang's registry: here it only remembers."""

    _hooks: ClassVar[dict[str, list[Any]]] = {}

    @classmethod
    def register(cls, target: str, hook: Any, hook_type: HookType) -> None:
        """Remembers a hook."""
        cls._hooks.setdefault(target, []).append((hook_type, hook, None))


class ElasticEPStateManager:
    """Which ranks of SGLang live."""

    state: Any = None

    @classmethod
    def instance(cls) -> Any:
        """The state, if ranks may die."""
        return cls.state


class Location:
    """Where SGLang keeps the map in force."""

    metadata: Any = None

    @classmethod
    def put(cls, phy2log: Any) -> None:
        """Puts a map in force."""
        cls.metadata = SimpleNamespace(physical_to_logical_map_cpu=torch.as_tensor(phy2log))


@contextmanager
def engines() -> Iterator[None]:
    """Both engines can be imported, as far as plug-ins do."""
    modules: dict[str, dict[str, Any]] = {
        "vllm.distributed.eplb.policy": {"EPLB_POLICIES": {"default": OwnPolicy}},
        "vllm.distributed.parallel_state": {"get_eplb_group": _one_rank},
        "sglang.srt.eplb.eplb_algorithms": {"rebalance_experts": own_planner},
        "sglang.srt.plugins.hook_registry": {"HookRegistry": HookRegistry, "HookType": HookType},
        "sglang.srt.elastic_ep.elastic_ep": {"ElasticEPStateManager": ElasticEPStateManager},
        "sglang.srt.eplb.expert_location": {
            "get_global_expert_location_metadata": lambda: Location.metadata
        },
    }
    before = dict(sys.modules)
    for name, contents in modules.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            above = ".".join(parts[:end])
            sys.modules.setdefault(above, ModuleType(above))
            if end > 1:
                setattr(sys.modules[".".join(parts[: end - 1])], parts[end - 1], sys.modules[above])
        vars(sys.modules[name]).update(contents)
    HookRegistry._hooks = {}
    Location.metadata = ElasticEPStateManager.state = None
    OwnPolicy.calls = 0
    try:
        yield
    finally:
        for name in set(sys.modules) - set(before):
            if name.partition(".")[0] in {"vllm", "sglang"}:
                del sys.modules[name]


def _one_rank() -> Any:
    group = SimpleNamespace(rank=lambda: 0, size=lambda: 1, get_group_store=lambda: None)
    return SimpleNamespace(cpu_group=group)
