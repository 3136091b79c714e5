"""How engines start, and layers of multi-token prediction, which start so too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.engines import ENGINE_OF, ENGINES

if TYPE_CHECKING:
    from pathlib import Path

LOAD = [[1, 2, 3, 9], [4, 3, 2, 1]]
PLAN = eplb.plan(LOAD, num_gpus=2, num_replicas=6)
# As TensorRT-LLM starts: rank 0 from expert 0 on, rank 1 from expert 2 on.
START = [0, 1, 2, 2, 3, 0]


def test_engines_start_with_expert_p_in_slot_p() -> None:
    for engine in ENGINES:
        row = PLAN.trivial(engine.name).phy2log[0].tolist()
        assert row == (START if engine.name == "trtllm" else [0, 1, 2, 3, 0, 1])
    assert PLAN.trivial("vllm-ascend").digest() == PLAN.trivial().digest()
    assert PLAN.trivial("trtllm").balancedness.tolist() != PLAN.trivial().balancedness.tolist()
    with pytest.raises(eplb.EplbError, match="unknown engine 'tensorrt'; expected one of sglang"):
        PLAN.trivial("tensorrt")


@pytest.mark.parametrize(("experts", "slots", "gpus"), [(256, 288, 32), (7, 10, 5), (5, 12, 4)])
def test_every_expert_has_a_slot_at_the_start(experts: int, slots: int, gpus: int) -> None:
    for engine in ENGINES:
        row = engine.start(experts, slots, gpus)
        assert (len(row), {*row}) == (slots, {*range(experts)})


def test_tensorrt_llm_s_formula() -> None:
    row = ENGINE_OF["trtllm"].start(256, 288, 32)
    assert row == [(rank * 256 // 32 + i) % 256 for rank in range(32) for i in range(9)]


def written(folder: Path, **options: Any) -> tuple[list[str], list[str]]:
    notes = PLAN.save(folder / "a.yaml", "trtllm", **options)
    return notes, (folder / "a.yaml").read_text().splitlines()[2:-1]


def test_extra_layers_start_as_the_engine_does(tmp_path: Path) -> None:
    notes, rows = written(tmp_path, layers=[3, 4], extra_layers=[61])
    assert notes[0] == (
        "layer 61 has the start placement of trtllm: not in the plan, but needed for multi-token "
        "prediction"
    )
    assert "this file names layers 3, 4, 61" in notes[1]
    first, second = PLAN.phy2log.tolist()
    assert rows == [f"  3: {first}", f"  4: {second}", f"  61: {START}"]


def test_a_config_names_layers_of_multi_token_prediction(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "num_hidden_layers": 5,
        "first_k_dense_replace": 3,
        "n_routed_experts": 4,
        "num_nextn_predict_layers": 1,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert written(tmp_path, config=path)[1][-1] == f"  5: {START}"
    assert written(tmp_path, config=path, extra_layers=[7])[1][-1] == f"  7: {START}"
    # Engines that want hidden layers or MoE layers in order take no more.
    PLAN.save(tmp_path / "a.json", "sglang", config=path)
    assert len(json.loads((tmp_path / "a.json").read_text())["physical_to_logical_map"]) == 5
    # A plan with the layer of multi-token prediction is written with it, or without.
    more = eplb.plan(np.vstack([LOAD, LOAD[:1]]), num_gpus=2, num_replicas=6)
    more.save(tmp_path / "c.yaml", "trtllm", config=path)
    assert "  5: " in (tmp_path / "c.yaml").read_text()
    notes = more.save(tmp_path / "c.json", "sglang", config=path)
    assert (
        "layer 5 of multi-token prediction left out: sglang has a row for each of the 5" in notes[1]
    )
    assert len(json.loads((tmp_path / "c.json").read_text())["physical_to_logical_map"]) == 5
    # A plan of all hidden layers is cut first.
    whole = eplb.plan(np.vstack([np.zeros((3, 4)), LOAD]), num_gpus=2, num_replicas=6)
    whole.save(tmp_path / "b.yaml", "trtllm", config=path)
    assert (tmp_path / "b.yaml").read_text().splitlines()[2:-1] == written(tmp_path, config=path)[1]
    path.write_text(json.dumps(config | {"num_nextn_predict_layers": 0}))
    assert len(written(tmp_path, config=path)[1]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [3, 4], "extra_layers": [4]}, "layer 4 is planned, so not extra; leave out"),
        ({"layers": [3, 4], "extra_layers": []}, "extra_layers must be a list of whole numbers"),
        ({"layers": [3, 4], "extra_layers": [6, 5]}, "extra_layers must ascend, but 5 comes"),
        ({"layers": [3, 4], "extra_layers": [-1]}, "extra_layers must be from 0 to 16383"),
    ],
)
def test_extra_layers_that_are_none(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(eplb.PlanFileError, match=message):
        PLAN.save(tmp_path / "a.yaml", "trtllm", **options)
    with pytest.raises(
        eplb.PlanFileError, match="extra_layers are written in the format trtllm alone, not in vllm"
    ):
        PLAN.save(tmp_path / "a.json", "vllm", extra_layers=[61])
    assert list(tmp_path.iterdir()) == []
