"""vLLM's expert load balancer while ranks come or go, in the steps of its elastic execution.

Modes: ``up``: the first half of the ranks balances alone, and at a window the others come.
``down``: all balance, and at a window the second half goes. Slots per rank stay as they are, so that
``slots`` of a case are those of all its ranks.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from engine_runs import faults, toy_model, vllm_stand_ins
from engine_runs.vllm_rank import (
    Model,
    config_of,
    load_plugins,
    new_state,
    parallel_config,
    step_until_rearranged,
    tell,
)
from engine_runs.vllm_stand_ins import GroupCoordinator, Groups, StatelessGroupCoordinator

if TYPE_CHECKING:
    from pathlib import Path

    from engine_runs.case import Case, Told

#: The window, from 0, before which ranks come or go.
CHANGE = 3
CONFIG = config_of("toy")


def run(case: Case, rank: int, wheel: Path, told: Told) -> None:
    """All windows of a case."""
    vllm_stand_ins.put_in_place(wheel)
    few, every = groups(case.ranks // 2), groups(case.ranks)
    wrong = case.faults_of(rank)
    faults.before_plugin(wrong)
    load_plugins(wrong)
    told.maps.append([])
    if case.mode == "up":
        grow(case, rank, told, few, every)
    else:
        shrink(case, rank, told, few, every)


def grow(case: Case, rank: int, told: Told, few: Any, every: Any) -> None:
    """Begins with a few ranks; the others come."""
    windows, old_ranks = case.traffic[0], case.ranks // 2
    is_new = rank >= old_ranks
    if not is_new:
        Groups.ep, Groups.eplb = few
        state = begun(case, rank, old_ranks)  # no profile: it waits for all processes
        for window in range(CHANGE):
            balance(state, windows, window, rank, old_ranks, told)
    Groups.ep, Groups.eplb = every
    local = case.slots // case.ranks
    mapping = torch.full((windows.shape[2], case.slots), -1, dtype=torch.int64)
    if not is_new:
        mapping.copy_(only(state).physical_to_logical_map_buffer)
    dist.broadcast(mapping, 0)
    if is_new:
        model = model_of(case, case.ranks)
        state = new_state_from(model, mapping, case)
        told.came = CHANGE + 1
    else:
        resize(state, case.slots, local)
    # As vLLM's commit_scale_up: the loads of the last window, which only old ranks know, again.
    rearrange(state)
    tell(told, [only(state)], rank, CHANGE)
    for window in range(CHANGE, len(windows)):
        balance(state, windows, window, rank, case.ranks, told)


def shrink(case: Case, rank: int, told: Told, few: Any, every: Any) -> None:
    """Begins with all ranks; some go, when what they alone hold is elsewhere."""
    windows, stay = case.traffic[0], case.ranks // 2
    Groups.ep, Groups.eplb = every
    state = begun(case, rank, case.ranks)
    state.step(is_profile=True)
    for window in range(CHANGE):
        balance(state, windows, window, rank, case.ranks, told)
    rearrange(state, {old: old if old < stay else -1 for old in range(case.ranks)})
    if rank >= stay:
        return
    Groups.ep, Groups.eplb = few
    resize(state, case.slots // case.ranks * stay, case.slots // case.ranks)
    tell(told, [only(state)], rank, CHANGE)
    for window in range(CHANGE, len(windows)):
        balance(state, windows, window, rank, stay, told)


def groups(ranks: int) -> tuple[GroupCoordinator, GroupCoordinator]:
    """The groups of the first ranks: of experts, and of their balancer. All processes make them."""
    # gloo's weights go through an ordinary group: vLLM's elastic one asks for NCCL.
    return StatelessGroupCoordinator(list(range(ranks))), GroupCoordinator(list(range(ranks)))


def elastic_config(case: Case) -> Any:
    """As for every run, but ranks may come until there are as many as the case has."""
    return SimpleNamespace(
        **parallel_config().__dict__
        | {
            "enable_elastic_ep": True,
            "elastic_ep_max_dp_size": case.ranks,
            "data_parallel_size": Groups.ep.world_size,
        }
    )


def model_of(case: Case, ranks: int) -> Model:
    """The model on so many ranks."""
    layers, experts = case.traffic.shape[3:]
    return Model(layers, experts, case.slots // case.ranks * ranks, ranks, 0)


def begun(case: Case, rank: int, ranks: int) -> Any:
    """The balancer of a model that is loaded."""
    state, model = new_state(elastic_config(case)), model_of(case, ranks)
    state.add_model(model, CONFIG)
    toy_model.fill(model.expert_weights, only(state).physical_to_logical_map, rank)
    return state


def new_state_from(model: Model, mapping: torch.Tensor, case: Case) -> Any:
    """The balancer of a rank that comes; its weights are nobody's."""
    from vllm.distributed.eplb.eplb_state import EplbState

    device = torch.device("cpu")
    return EplbState.from_mapping(model, CONFIG, device, elastic_config(case), mapping)


def only(state: Any) -> Any:
    """The one model's state."""
    (model,) = state.model_states.values()
    return model


def resize(state: Any, slots: int, local: int) -> None:
    """As vLLM's switch_and_prepare: slots, tables and communicator of the new group."""
    state.reconfigure_physical_expert_slots(CONFIG, slots)
    model = only(state).model
    model.num_physical_experts, model.num_local_physical_experts = slots, local
    model.num_redundant_experts = slots - model.num_logical_experts
    state.update_communicator(CONFIG, state.create_communicator(CONFIG, Groups.eplb))


def rearrange(state: Any, rank_mapping: dict[int, int] | None = None) -> None:
    """As vLLM's _perform_eplb_reshuffle, in sync mode."""
    state.rearrange(rank_mapping=rank_mapping, use_last_expert_load=True)
    state.expert_rearrangement_step = 0


def balance(state: Any, windows: Any, window: int, rank: int, ranks: int, told: Told) -> None:
    """One window."""
    if not told.maps[0]:  # the map at the start
        told.maps[0].append(only(state).physical_to_logical_map.numpy().copy())
    faults.at_window((), window)
    step_until_rearranged(state, windows[window].sum(axis=0)[None], rank, ranks)
    tell(told, [only(state)], rank, window)
