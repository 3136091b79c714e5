"""Placements as others write them: recognised without a format, with what engines' scripts add."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import eplb
import pytest
from eplb import PlanFileError
from eplb.engines import FORMATS, load_engine_file, placement_format_of

needs_yaml = pytest.mark.skipif(
    importlib.util.find_spec("yaml") is None, reason="PyYAML is not installed"
)
ROWS = [[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 2]]
PLAN = eplb.Plan.from_phy2log(ROWS, num_gpus=2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wrote(values: Any, name: str = "a.json") -> str:
    Path(name).write_text(values if isinstance(values, str) else json.dumps(values))
    return name


@pytest.mark.parametrize("name", ["plan", *FORMATS])
def test_what_eplb_writes_is_recognised(name: str) -> None:
    for ending in (".json", ".npz") if name == "plan" else FORMATS[name].endings:
        PLAN.save(f"a{ending}", name, layers=[1, 3])
        lists = name == "rtp-llm"  # a row for every hidden layer, of which there are 4
        assert placement_format_of(f"a{ending}", [1, 3] if lists else None) == name


def test_lists_are_of_moe_layers_unless_the_model_has_others() -> None:
    assert placement_format_of(wrote(ROWS)) == "vllm"
    assert placement_format_of(wrote(ROWS), [3, 4]) == "vllm"
    assert placement_format_of(wrote([*ROWS, *ROWS]), [2, 3]) == "rtp-llm"


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("a.json", {}, "it is an empty object; expected a plan file, or a placement of sglang, "),
        (
            "a.json",
            {"loads": 1},
            r"it is an object with the keys \['loads'\]; expected .*; are the arguments swapped",
        ),
        (
            "a.json",
            3,
            "it is 3; expected a plan file, or a placement of sglang, vllm-ascend, rtp-llm, vllm",
        ),
        ("a.json", "{", "not valid JSON"),
    ],
)
def test_other_files_are_not(name: str, values: Any, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        placement_format_of(wrote(values, name))


def test_a_file_of_another_ending_is_read_as_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement_format_of("missing.npy") == placement_format_of("/dev/fd/63") == "plan"
    monkeypatch.setattr("eplb.limits.MAX_TEXT_BYTES", 5)
    assert placement_format_of(wrote(ROWS)) == "plan"


@needs_yaml
def test_tensorrt_llm_s_own_scripts_say_the_number_of_ranks() -> None:
    text = "num_slots: 6\nep_size: 2\ninitial_global_assignments:\n"
    text += "".join(f"  {layer}: {row}\n" for layer, row in zip((3, 4), ROWS, strict=True))
    file = load_engine_file(wrote(text, "a.yaml"), "trtllm")
    assert (file.num_gpus, file.layers, file.phy2log) == (2, (3, 4), ROWS)
    with pytest.raises(PlanFileError, match="the file is for 2 devices, not for num_gpus=3"):
        load_engine_file("a.yaml", "trtllm", num_gpus=3)
    with pytest.raises(PlanFileError, match="ep_size is 0; expected a whole number from 1"):
        load_engine_file(wrote(text.replace("ep_size: 2", "ep_size: 0"), "a.yaml"), "trtllm")


def models(**maps: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "mapping_type": "physical_to_logical_by_model",
        "model_maps": {name: {"physical_to_logical_map": rows} for name, rows in maps.items()},
    }


def test_the_map_of_the_model_not_of_its_drafter() -> None:
    path = wrote(models(DraftModel=ROWS[:1], TheModel=ROWS))
    assert placement_format_of(path) == "vllm"
    file = load_engine_file(path, "vllm", num_gpus=2)
    assert file.phy2log == ROWS
    assert file.notes == ("'DraftModel' (1 layer) is left out: this is 'TheModel'",)
    assert load_engine_file(wrote(models(M=ROWS)), "vllm", num_gpus=2).notes == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (models(A=ROWS, B=ROWS), "'A' and 'B' have 2 layers each; expected fewer for multi-token"),
        ({"model_maps": {}}, "model_maps must have a map for each model, found an empty object"),
        ({"model_maps": {"A": []}}, "'A' must be an object with keys, found an empty list"),
        ({"model_maps": {"A": {"map": 1}}}, "'A' lacks physical_to_logical_map"),
        (models(A=[]), "'A': physical_to_logical_map must be a list, found an empty list"),
        (models(A=[[0, 1], [0]]), "layer 1 has 1 slot, but layer 0 has 2"),
    ],
)
def test_maps_of_models_that_are_none(values: Any, message: str) -> None:
    with pytest.raises(PlanFileError, match=message):
        load_engine_file(wrote(values), "vllm", num_gpus=2)


# Two GPUs, 4 experts, and a shared one behind those of each GPU.
SHARED = [[0, 1, 2, 4, 3, 0, 1, 4], [3, 2, 1, 4, 0, 3, 2, 4]]


def test_shared_experts_at_the_end_of_every_gpu_are_left_out() -> None:
    file = load_engine_file(wrote(SHARED), "vllm", num_gpus=2, num_experts=4)
    assert file.phy2log == ROWS
    assert file.notes == ("1 shared expert that every GPU holds behind the others left out",)
    two = [[0, 1, 4, 5, 2, 3, 4, 5]]
    assert load_engine_file(wrote(two), "vllm", num_gpus=2, num_experts=4).phy2log == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,  # none
        [[0, 1, 2, 4, 3, 0, 1, 5]],  # others on each GPU
        [[0, 1, 4, 2, 3, 0, 1, 4]],  # not at the end
        [[0, 1, 2, 4, 3, 4, 1, 4]],  # twice
        [*SHARED[:1], [3, 2, 1, 4, 0, 3, 2, 1]],  # not in every layer
        [[4, 4]],  # nothing else
    ],
)
def test_other_experts_stay(rows: list[list[int]]) -> None:
    file = load_engine_file(wrote(rows), "vllm", num_gpus=2, num_experts=4)
    assert (file.phy2log, file.notes) == (rows, ())


def test_a_map_of_vllm_ascend_with_the_shared_expert() -> None:
    layers = [
        {
            "layer_id": layer,
            "device_count": 2,
            "device_list": [
                {"device_id": 0, "device_expert": row[:4]},
                {"device_id": 1, "device_expert": row[4:]},
            ],
        }
        for layer, row in enumerate(SHARED)
    ]
    path = wrote({"moe_layer_count": 2, "layer_list": layers})
    plan, _ = eplb.Plan.from_engine_file(path, placement_format_of(path), num_experts=4)
    assert plan.digest() == PLAN.digest()
