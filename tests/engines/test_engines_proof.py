"""The engines' own released code loads what is written for them, and has the plan's map.

It runs where ``EPLB_ENGINE_WHEELS`` names a folder of wheels, and is skipped where it is not set; a
wheel that is not in the folder fails it. They are fetched, about 400 MB, by

    pip download --no-deps --only-binary :all: -d wheels \\
        sglang==0.5.23 vllm==0.33.0 vllm-ascend==0.23.0

Nothing is installed: one module of each is read out of its wheel and run by itself, with stand-ins
for what it imports of the engine. TensorRT-LLM has no wheel on the Python Package Index, only a
source distribution that fetches one from elsewhere; and no released vLLM reads a placement file: there
the map of the file goes through the function that makes vLLM's tables of any map.
"""

from __future__ import annotations

import json
import sys
import zipfile
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import torch
from engine_wheels import RELEASES
from engine_wheels import wheel as engine_wheel
from eplb.engines import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOAD = np.random.default_rng(5).lognormal(0, 1, (4, 16))
GPUS, SPARES = 4, 8
PLAN = eplb.plan(LOAD, num_gpus=GPUS, num_replicas=16 + SPARES)
# Without an expert twice on a device: each row is the trivial one, rotated.
ROTATED = eplb.Plan.from_phy2log(
    [[(slot + layer) % 16 for slot in range(24)] for layer in (0, 3, 7, 12)], num_gpus=GPUS
)
LAYERS, HIDDEN = [1, 2, 4, 5], 7
TRIVIAL = [slot % 16 for slot in range(24)]


def module_of(wheel: str, path: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of a wheel, run by itself: what it imports must have stand-ins."""
    found = engine_wheel(wheel)
    with zipfile.ZipFile(found) as archive:
        source = archive.read(path)
    module = ModuleType(path.removesuffix(".py").replace("/", "."))
    module.__package__ = module.__name__.rpartition(".")[0]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source, f"{found.name}/{path}", "exec"), module.__dict__)  # noqa: S102
    return module


def stand_in(name: str, monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Lets ``import name`` find these values, and each package above it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = ModuleType(".".join(parts[:end]))
        if module.__name__ not in sys.modules or end == len(parts):
            monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(sys.modules[name]).update(values)


@pytest.mark.parametrize("name", RELEASES)
def test_control_a_wheel_that_is_not_there_fails(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPLB_ENGINE_WHEELS", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=f"no wheel of {RELEASES[name]}: fill it by"):
        engine_wheel(name)
    monkeypatch.delenv("EPLB_ENGINE_WHEELS")
    with pytest.raises(pytest.skip.Exception):
        engine_wheel(name)


# --- SGLang ---------------------------------------------------------------------------------------


@pytest.fixture
def sglang(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """SGLang's module of expert locations; ``.moe`` are the server's arguments."""
    moe = SimpleNamespace(
        init_expert_location="trivial",
        ep_num_redundant_experts=SPARES,
        ep_dispatch_algorithm="static",
        ep_join_mode=None,
        moe_a2a_backend="deepep",
    )
    parallel = SimpleNamespace(ep_size=GPUS, nnodes=1, elastic_ep_initial_size=None)
    model = SimpleNamespace(num_layers=HIDDEN, num_logical_experts=16, num_groups=None)
    architecture = SimpleNamespace(get_model_config_for_expert_location=lambda _config: model)
    stand_in(
        "sglang.srt.runtime_context",
        monkeypatch,
        get_device=lambda: SimpleNamespace(device="cpu"),
        get_exec=lambda: SimpleNamespace(moe=moe),
        get_parallel=lambda: parallel,
        get_resources=SimpleNamespace,
    )
    stand_in(
        "sglang.srt.elastic_ep.elastic_ep",
        monkeypatch,
        elastic_expanded_world_enabled=lambda: False,
    )
    stand_in(
        "sglang.srt.model_loader",
        monkeypatch,
        get_model_architecture=lambda _config: (architecture, None),
    )
    module = module_of("sglang", "sglang/srt/eplb/expert_location.py", monkeypatch)
    return SimpleNamespace(module=module, moe=moe)


def started(sglang: SimpleNamespace, source: str, rank: int) -> Any:
    """What SGLang makes of --init-expert-location on a rank."""
    sglang.moe.init_expert_location = source
    config = SimpleNamespace(hf_config=None)
    return sglang.module.compute_initial_expert_location_metadata(config, moe_ep_rank=rank)


def hidden_rows(plan: eplb.Plan) -> list[list[int]]:
    rows = [TRIVIAL] * HIDDEN
    for layer, row in zip(LAYERS, plan.phy2log.tolist(), strict=True):
        rows[layer] = row
    return rows


@pytest.mark.parametrize("ending", [".json", ".pt"])
@pytest.mark.parametrize("plan", [PLAN, ROTATED], ids=["plan", "rotated"])
def test_sglang(plan: eplb.Plan, ending: str, sglang: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / f"placement{ending}"
    notes = plan.save(path, "sglang", layers=LAYERS, num_hidden_layers=HIDDEN)
    assert notes[-1].endswith(f"--ep-size {GPUS} --ep-num-redundant-experts {SPARES}")
    for rank in range(GPUS):
        met = started(sglang, str(path), rank)
        assert met.physical_to_logical_map_cpu.tolist() == hidden_rows(plan)
        assert (met.num_layers, met.num_physical_experts) == (HIDDEN, 16 + SPARES)
        assert (met.num_logical_experts, met.num_local_physical_experts) == (16, 6)
        for layer, row in enumerate(hidden_rows(plan)):
            sent = met.logical_to_rank_dispatch_physical_map[layer].tolist()
            assert [row[slot] for slot in sent] == list(range(16))


def test_sglang_s_traps_are_there(sglang: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'version'"):
        started(sglang, '{"physical_to_logical_map": [[0, 1]], "version": 1}', 0)
    # No look at the width: 16 slots pass where the arguments ask for 24.
    narrow = {"physical_to_logical_map": [list(range(16))]}
    assert started(sglang, json.dumps(narrow), 0).num_physical_experts == 16


# --- vLLM -----------------------------------------------------------------------------------------


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """vLLM's module that keeps the maps of experts."""
    names = {
        "config": ("ModelConfig", "ParallelConfig"),
        "config.utils": ("compute_hash_cached",),
        "distributed.parallel_state": (
            "GroupCoordinator",
            "get_ep_group",
            "get_eplb_group",
            "get_node_count",
            "in_the_same_node_as",
        ),
        "distributed.stateless_coordinator": ("StatelessGroupCoordinator",),
        "distributed.utils": ("StatelessProcessGroup",),
        "model_executor.models.interfaces": ("MixtureOfExperts",),
        "platforms": ("current_platform",),
        "utils.gpu_sync_debug": ("gpu_sync_allowed",),
        "utils.torch_utils": ("PIN_MEMORY",),
        "distributed.eplb.async_worker": ("start_async_worker",),
        "distributed.eplb.eplb_communicator": ("EplbCommunicator", "create_eplb_communicator"),
        "distributed.eplb.eplb_utils": ("CpuGpuEvent",),
        "distributed.eplb.policy": ("EPLB_POLICIES", "AbstractEplbPolicy", "DefaultEplbPolicy"),
        "distributed.eplb.rebalance_execute": (
            "AsyncEplbLayerResult",
            "move_from_buffer",
            "rearrange_expert_weights_inplace",
        ),
    }
    for module, values in names.items():
        stand_in(f"vllm.{module}", monkeypatch, **dict.fromkeys(values, SimpleNamespace))
    stand_in("vllm.logger", monkeypatch, init_logger=lambda _name: None)
    return module_of("vllm", "vllm/distributed/eplb/eplb_state.py", monkeypatch)


def test_vllm(vllm: Any, tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    for plan in (PLAN, ROTATED):
        plan.save(path, "vllm")
        maps = torch.tensor(json.loads(path.read_text()))
        log2phy, logcnt = vllm.compute_logical_maps(maps, plan.num_experts)
        of_map = eplb.Plan.from_phy2log(maps, num_gpus=GPUS)  # vLLM ranks copies by slot, too
        assert log2phy.tolist() == of_map.log2phy().tolist()
        assert logcnt.tolist() == plan.logcnt.tolist()


def test_vllm_s_balancedness(vllm: Any) -> None:
    average, largest = vllm._compute_eplb_load_stats(torch.tensor(PLAN.gpu_load))
    assert METRICS["vllm"].of(PLAN.gpu_load) == pytest.approx(float(average / largest), rel=1e-12)


# --- vllm-ascend ----------------------------------------------------------------------------------


@pytest.fixture
def ascend(monkeypatch: pytest.MonkeyPatch) -> Any:
    """vllm-ascend's module that loads placements; it moves tensors to devices that are not here."""
    silent = SimpleNamespace(warning=lambda *_: None, info=lambda *_: None)
    stand_in("vllm.logger", monkeypatch, logger=silent)
    stand_in(
        "vllm.model_executor.layers.fused_moe.expert_map_manager",
        monkeypatch,
        determine_expert_map=None,
    )
    monkeypatch.setattr(torch.Tensor, "npu", lambda tensor: tensor, raising=False)
    return module_of("vllm_ascend", "vllm_ascend/eplb/core/eplb_utils.py", monkeypatch)


def routed(ascend: Any, path: Path, layer: int, rank: int) -> tuple[Any, list[int], int]:
    """Of a layer, on a rank: its map of each rank, the slot for each expert, spare slots."""
    settings = SimpleNamespace(
        expert_map_path=str(path), dynamic_eplb=False, num_redundant_experts=0
    )
    moe = SimpleNamespace(num_experts=16, ep_size=GPUS, ep_rank=rank)
    maps, local, slots, spares = ascend.init_eplb_config(settings, layer, moe)
    assert local.tolist() == maps[rank].tolist()
    return maps, slots.tolist(), spares


def misrouted(ascend: Any, path: Path, phy2log: Sequence[Sequence[int]]) -> int:
    """How many experts have their tokens sent to a slot of another one."""
    wrong = 0
    for layer, row in enumerate(phy2log):
        for rank in range(GPUS):
            slots = routed(ascend, path, layer, rank)[1]
            wrong += sum(row[slot] != expert for expert, slot in enumerate(slots))
    return wrong


def test_vllm_ascend(ascend: Any, tmp_path: Path) -> None:
    path = tmp_path / "placement.json"
    ROTATED.save(path, "vllm-ascend", layers=LAYERS, num_hidden_layers=HIDDEN)
    rows = ROTATED.phy2log.tolist()
    for layer, row in enumerate(rows):
        maps, _, spares = routed(ascend, path, layer, 0)
        assert spares == SPARES
        for rank in range(GPUS):
            held = {row[rank * 6 + place]: place for place in range(6)}
            assert maps[rank].tolist() == [held.get(expert, -1) for expert in range(16)]
    assert misrouted(ascend, path, rows) == 0


def test_vllm_ascend_s_trap_is_there(
    ascend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expert twice on a device, were it not refused, would send tokens to wrong experts."""
    rows = ROTATED.phy2log.tolist()
    rows[0][0] = rows[0][5]  # expert 5 twice on device 0; expert 0 still is on device 2
    twice = eplb.Plan.from_phy2log(rows, num_gpus=GPUS)
    path = tmp_path / "placement.json"
    with pytest.raises(eplb.PlanFileError, match="device 0 holds expert 5 twice"):
        twice.save(path, "vllm-ascend")
    monkeypatch.setattr("eplb.engines.ascend.refuse_duplicates", lambda *_: None)
    twice.save(path, "vllm-ascend")
    assert misrouted(ascend, path, rows) > 0
