"""One rank of SGLang's expert load balancer, stepped as SGLang's model runner steps it.

Modes: ``plain``; ``first`` begins with a map planned from loads, as ``--init-expert-location`` with
counts does; ``elastic`` loses the last rank at a window.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from engine_runs import faults, sglang_stand_ins, toy_model
from engine_runs.sglang_stand_ins import RECORDER, Model

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from engine_runs.case import Case, Told

#: Dense layers before the first layer with experts: their rows of loads are zero.
DENSE = 1
#: The window, from 0, before which the last rank dies.
DEATH = 3


def run(case: Case, rank: int, wheel: Path, told: Told) -> None:
    """All windows of a case."""
    (windows,) = case.traffic
    layers, experts = DENSE + windows.shape[2], windows.shape[3]
    elastic = case.mode == "elastic"
    counts = {"logical_count": with_dense(windows[0]).tolist()}
    sglang_stand_ins.put_in_place(
        wheel,
        rank=rank,
        ranks=case.ranks,
        redundant=case.slots - experts,
        elastic_ep_backend="mooncake" if elastic else None,
        eplb_algorithm="elasticity_aware" if elastic else "auto",
        init_expert_location=json.dumps(counts) if case.mode == "first" else "trivial",
    )
    Model.shape = layers, experts
    wrong = case.faults_of(rank)
    faults.before_plugin(wrong)
    manager = started(rank, case.slots // case.ranks, layers)
    tell(told, rank, "at the start")
    for window, load in enumerate(windows):
        faults.at_window(wrong, window)
        if elastic and window == DEATH:
            if rank == case.ranks - 1:
                return
            bury(case.ranks - 1)
        lose(faults.hole_in(wrong, maps()[DENSE:]))
        made = faults.load_of(wrong, with_dense(load))
        kind = torch.int32 if made.dtype.kind == "i" else torch.float32
        RECORDER.logical_count = torch.from_numpy(made).to(kind)
        manager.on_forward_pass_end()
        tell(told, rank, f"window {window}")


def started(rank: int, local_slots: int, layers: int) -> Any:
    """The balancer, in the order of SGLang's model runner: plug-ins, map, weights, manager."""
    from sglang.srt.plugins import load_plugins

    load_plugins()
    from sglang.srt.elastic_ep.elastic_ep import ElasticEPStateManager
    from sglang.srt.eplb.eplb_manager import EPLBManager
    from sglang.srt.eplb.expert_location import (
        compute_initial_expert_location_metadata,
        set_global_expert_location_metadata,
    )
    from sglang.srt.eplb.expert_location_updater import ExpertLocationUpdater

    ElasticEPStateManager.init(None)
    config: Any = SimpleNamespace(hf_config=None)
    set_global_expert_location_metadata(compute_initial_expert_location_metadata(config, rank))
    weights = {layer: toy_model.tensors(local_slots) for layer in range(DENSE, layers)}
    Model.routed_experts_weights_of_layer = weights
    toy_model.fill(weights.values(), torch.from_numpy(maps()[DENSE:]), rank)
    updater = ExpertLocationUpdater()
    manager = EPLBManager(
        model_config=config,
        get_model=lambda: Model,
        get_expert_location_updater=lambda: updater,
        get_expert_backup_client=lambda: None,
        get_weight_updater=lambda: SimpleNamespace(
            update_weights_from_disk=lambda *_, weight_name_filter: reload(weight_name_filter, rank)
        ),
    )
    manager.on_forward_pass_end()  # the pass before the first window ends
    return manager


def with_dense(load: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Loads ``[requests, layers, experts]`` with dense layers before."""
    return np.pad(load, ((0, 0), (DENSE, 0), (0, 0)))


def metadata() -> Any:
    """The map in force, as SGLang keeps it."""
    from sglang.srt.eplb.expert_location import get_global_expert_location_metadata

    return get_global_expert_location_metadata()


def maps() -> npt.NDArray[np.int64]:
    """The map in force, dense layers too."""
    table: npt.NDArray[np.int64] = metadata().physical_to_logical_map_cpu.numpy()
    return table.astype(np.int64, copy=True)


def bury(rank: int) -> None:
    """Tells this rank that another one is dead, as SGLang's watcher does."""
    from sglang.srt.elastic_ep.elastic_ep import ElasticEPStateManager

    state = ElasticEPStateManager.instance()
    assert state.active_ranks is not None
    state.active_ranks[rank] = 0
    state.snapshot_active_to_last()
    state.sync_active_to_cpu()


def lose(hole: tuple[int, int] | None) -> None:
    """Empties a slot of the map in force."""
    if hole is not None:
        layer, slot = hole
        metadata().physical_to_logical_map[layer + DENSE, slot] = -1
        metadata().physical_to_logical_map_cpu[layer + DENSE, slot] = -1


def reload(missing: dict[int, list[int]], rank: int) -> None:
    """Reads the weights of experts whose last copy is gone."""
    for layer, experts in missing.items():
        weights = Model.routed_experts_weights_of_layer[layer]
        local = len(weights[0])
        for slot, expert in enumerate(maps()[layer, rank * local : (rank + 1) * local]):
            if expert in experts:
                for tensor in weights:
                    toy_model.write(tensor, slot, layer - DENSE, int(expert))


def tell(told: Told, rank: int, when: str) -> None:
    """Remembers the map, and weights that are elsewhere; dead slots count as empty."""
    from sglang.srt.elastic_ep.elastic_ep import ElasticEPStateManager

    table, state = maps()[DENSE:], ElasticEPStateManager.instance()
    if state is not None and state.active_ranks_cpu is not None:
        by_rank = table.reshape(len(table), len(state.active_ranks_cpu), -1)
        by_rank[:, state.active_ranks_cpu.numpy() == 0] = -1
    if not told.maps:
        told.maps.append([])
    told.maps[0].append(table)
    weights = Model.routed_experts_weights_of_layer.values()
    for line in toy_model.misplaced(weights, torch.from_numpy(table), rank):
        told.misplaced.append(f"{when}: {line}")
