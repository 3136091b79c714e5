"""One rank of vLLM's expert load balancer, stepped as vLLM's model runner steps it.

Modes: ``sync``, ``async``; ``batched`` is async with batched migrations.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from engine_runs import faults, toy_model, traffic, vllm_stand_ins
from engine_runs.vllm_stand_ins import GroupCoordinator, Groups

if TYPE_CHECKING:
    from pathlib import Path

    from engine_runs.case import Case, Told

#: Forward passes from one rearrangement to the next.
INTERVAL = 4
#: What a forward pass takes, in which the thread of async mode copies.
PASS_SECONDS = 0.002
#: What all numbers of the second model's experts have added.
BASE = 50_000


class Model:
    """A mixture of experts, as far as the balancer asks."""

    def __init__(self, layers: int, experts: int, slots: int, ranks: int, base: int) -> None:
        self.num_moe_layers, self.num_expert_groups = layers, 1
        self.num_routed_experts = self.num_logical_experts = experts
        self.num_physical_experts, self.num_redundant_experts = slots, slots - experts
        self.num_local_physical_experts = slots // ranks
        self.moe_layers: list[Any] = []
        self.base = base
        self.expert_weights = [toy_model.tensors(slots // ranks) for _ in range(layers)]

    def set_eplb_state(self, *tables: torch.Tensor) -> None:
        """The router's tables: no token is routed here."""


def config_of(name: str) -> Any:
    """A model's config: its name and its hash are asked for."""
    return SimpleNamespace(model=name, compute_hash=lambda: name)


def parallel_config(**eplb: Any) -> Any:
    """The fields that the balancer reads, with vLLM's defaults but for the interval."""
    config = {
        "window_size": 1,
        "step_interval": INTERVAL,
        "use_async": False,
        "policy": "default",
        "communicator": "torch_gloo",
        "log_balancedness_interval": 1,
        "migration_batching_enabled": False,
    }
    return SimpleNamespace(
        eplb_config=SimpleNamespace(**config | eplb), enable_elastic_ep=False, num_ubatches=0
    )


def new_state(config: Any) -> Any:
    """The balancer. Its thread asks which device it works on: there is one."""
    from vllm.distributed.eplb.eplb_state import EplbState

    state = EplbState(config, torch.device("cpu"))
    state.device_index = 0
    return state


def load_plugins(wrong: tuple[str, ...]) -> None:
    """As vLLM does, in each process."""
    from vllm.distributed.eplb.policy import EPLB_POLICIES
    from vllm.plugins import load_general_plugins

    load_general_plugins()
    faults.in_policy(wrong, EPLB_POLICIES)


def run(case: Case, rank: int, wheel: Path, told: Told) -> None:
    """All windows of a case."""
    vllm_stand_ins.put_in_place(wheel)
    Groups.ep = GroupCoordinator(list(range(case.ranks)))
    Groups.eplb = GroupCoordinator(list(range(case.ranks)))
    wrong = case.faults_of(rank)
    faults.before_plugin(wrong)
    load_plugins(wrong)
    batched = case.mode == "batched"
    state = new_state(
        parallel_config(
            use_async=batched or case.mode == "async", migration_batching_enabled=batched
        )
    )
    _, windows, _, layers, experts = case.traffic.shape
    for number in range(len(case.traffic)):
        model = Model(layers, experts, case.slots, case.ranks, number * BASE)
        state.add_model(model, config_of(f"model {number}"))
    models = list(state.model_states.values())
    for model in models:
        start = model.physical_to_logical_map
        toy_model.fill(model.model.expert_weights, start, rank, model.model.base)
        told.maps.append([start.numpy().copy()])
    state.step(is_profile=True)
    state.start_async_loop()
    for window in range(windows):
        faults.at_window(wrong, window)
        for model in models:
            lose(model, faults.hole_in(wrong, model.physical_to_logical_map.numpy()))
        step_until_rearranged(state, case.traffic[:, window].sum(axis=1), rank, case.ranks, wrong)
        tell(told, models, rank, window)


def lose(model: Any, hole: tuple[int, int] | None) -> None:
    """Empties a slot of the map in force."""
    if hole is not None:
        model.physical_to_logical_map[hole] = -1


def step_until_rearranged(
    state: Any, loads: Any, rank: int, ranks: int, wrong: tuple[str, ...] = ()
) -> None:
    """Forward passes until the balancer has rearranged after a window, and all layers are in force."""
    models = list(state.model_states.values())
    passes = []
    for model, load in zip(models, loads, strict=True):
        counts = traffic.of_rank(load, rank, ranks)
        slots = traffic.of_slots(counts, model.physical_to_logical_map.numpy())
        passes.append(torch.from_numpy(faults.load_of(wrong, slots)))
    while True:
        for model, counts_of_pass in zip(models, passes, strict=True):
            model.expert_load_pass.copy_(counts_of_pass)
        state.step()
        if state.expert_rearrangement_step == 0:
            break
    while any(model.rebalanced for model in models):
        time.sleep(PASS_SECONDS)
        # As if the interval were longer than what this machine takes for all layers.
        state.expert_rearrangement_step = 0
        state.step()


def tell(told: Told, models: list[Any], rank: int, window: int) -> None:
    """Remembers the maps, and weights that are elsewhere."""
    for number, model in enumerate(models):
        table = model.physical_to_logical_map
        told.maps[number].append(table.numpy().astype(np.int64, copy=True))
        for line in toy_model.misplaced(model.model.expert_weights, table, rank, model.model.base):
            told.misplaced.append(f"window {window}, model {number}: {line}")
