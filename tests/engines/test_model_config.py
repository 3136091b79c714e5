"""A model's config.json: MoE layers, experts, groups and layers of multi-token prediction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from eplb import PlanFileError
from eplb.engines import moe_layers_of

if TYPE_CHECKING:
    from pathlib import Path

    from eplb.engines import ModelLayers


def model_of(folder: Path, **config: Any) -> ModelLayers:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return moe_layers_of(path)


def layers_of(folder: Path, **config: Any) -> tuple[list[int], int]:
    model = model_of(folder, **config)
    return list(model.moe), model.num_hidden_layers


DEEPSEEK: Any = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "first_k_dense_replace": 3,
    "moe_layer_freq": 1,
    "n_routed_experts": 256,
    "num_nextn_predict_layers": 1,
}
QWEN: Any = {"model_type": "qwen3_moe", "num_hidden_layers": 6, "num_experts": 128}


def test_moe_layers(tmp_path: Path) -> None:
    assert layers_of(tmp_path, **DEEPSEEK) == (list(range(3, 61)), 61)
    assert layers_of(tmp_path, **DEEPSEEK | {"moe_layer_freq": 20}) == ([20, 40, 60], 61)
    without = {key: value for key, value in DEEPSEEK.items() if key != "moe_layer_freq"}
    assert layers_of(tmp_path, **without)[0][0] == 3
    assert layers_of(tmp_path, **QWEN, decoder_sparse_step=1) == (list(range(6)), 6)
    assert layers_of(tmp_path, **QWEN) == (list(range(6)), 6)
    assert layers_of(tmp_path, **QWEN, mlp_only_layers=[0]) == ([1, 2, 3, 4, 5], 6)
    assert layers_of(tmp_path, **QWEN, decoder_sparse_step=2) == ([1, 3, 5], 6)
    dense = {"decoder_sparse_step": 1, "mlp_only_layers": [0, 5]}
    assert layers_of(tmp_path, **QWEN, **dense) == ([1, 2, 3, 4], 6)
    for kind in ("mixtral", "gpt_oss", "olmoe"):
        assert layers_of(tmp_path, model_type=kind, num_hidden_layers=3) == ([0, 1, 2], 3)
    assert layers_of(tmp_path, model_type="kimi_k25", text_config=DEEPSEEK)[1] == 61
    flags = {"num_hidden_layers": 4, "moe_layer_freq": [0, 1, 1, 0]}
    assert layers_of(tmp_path, **flags) == ([1, 2], 4)
    assert layers_of(tmp_path, num_hidden_layers=2, moe_layer_freq=[False, True]) == ([1], 2)
    for first in (None, 0, 1):  # no MoE layer is before it, so both settings are true
        assert layers_of(tmp_path, **flags, first_k_dense_replace=first) == ([1, 2], 4)


def test_the_outer_level_of_a_configuration_comes_first(tmp_path: Path) -> None:
    inner = DEEPSEEK | {"num_hidden_layers": 5}
    assert layers_of(tmp_path, **DEEPSEEK, text_config=inner) == (list(range(3, 61)), 61)


# The settings of each family, and the MoE layers of a model with 8 hidden layers.
FAMILIES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "EXAONE": ({"mlp_layer_types": ["dense"] * 6 + ["sparse"] * 2, "num_experts": 128}, [6, 7]),
    "names before a number": (
        {"mlp_layer_types": ["dense"] * 6 + ["sparse"] * 2, "first_k_dense_replace": 1},
        [6, 7],
    ),
    "hashes": ({"mlp_layer_types": ["hash_moe"] * 3 + ["moe"] * 5}, [*range(8)]),
    "Llama 4 Maverick": (
        {"text_config": {"num_hidden_layers": 8, "interleave_moe_layer_step": 2}},
        [1, 3, 5, 7],
    ),
    "Llama 4 with a list": ({"moe_layers": [1, 5], "interleave_moe_layer_step": 2}, [1, 5]),
    "Step": ({"moe_layers_enum": "3,4, 5,6", "moe_num_experts": 288}, [3, 4, 5, 6]),
    "Step as a list": ({"moe_layers_enum": [4, 3]}, [3, 4]),
    "ERNIE": ({"moe_layer_start_index": 1, "moe_num_experts": 64}, [1, 2, 3, 4, 5, 6, 7]),
    "ERNIE, to an end": ({"moe_layer_start_index": 1, "moe_layer_end_index": 5}, [1, 2, 3, 4, 5]),
    "ERNIE, to the end": ({"moe_layer_start_index": 5, "moe_layer_end_index": -1}, [5, 6, 7]),
    "ERNIE, in steps": ({"moe_layer_start_index": 3, "moe_layer_interval": 2}, [3, 5, 7]),
    "Nemotron-H": ({"hybrid_override_pattern": "MEM*EME-", "n_routed_experts": 128}, [1, 4, 6]),
    "Pangu": ({"num_dense_layers": 3, "num_routed_experts": 256}, [3, 4, 5, 6, 7]),
    "Trinity": ({"model_type": "afmoe", "num_dense_layers": 6, "num_experts": 128}, [6, 7]),
    "DeepSeek-V4": ({"num_hash_layers": 3, "n_routed_experts": 256}, [*range(8)]),
    "DeepSeek-V4, by name": ({"model_type": "deepseek_v4"}, [*range(8)]),
    "Qwen3.5": (
        {"text_config": {"model_type": "qwen3_5_moe_text", "num_hidden_layers": 8}},
        [*range(8)],
    ),
    "Qwen3-Next": ({"model_type": "qwen3_next", "num_experts": 512}, [*range(8)]),
    "InternVL": ({"llm_config": {"model_type": "qwen3_moe", "num_hidden_layers": 8}}, [*range(8)]),
    "Qwen3-Omni": (
        {
            "thinker_config": {
                "text_config": {"model_type": "qwen3_omni_moe_text", "num_hidden_layers": 8}
            }
        },
        [*range(8)],
    ),
    "Hunyuan": ({"model_type": "hunyuan_v1_moe", "num_experts": 64}, [*range(8)]),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(family: str, tmp_path: Path) -> None:
    config, layers = FAMILIES[family]
    nested = any(name.endswith("_config") for name in config)
    assert layers_of(tmp_path, **({} if nested else {"num_hidden_layers": 8}), **config) == (
        layers,
        8,
    )


@pytest.mark.parametrize(
    "name",
    [
        "n_routed_experts",
        "num_experts",
        "num_local_experts",
        "moe_num_experts",
        "num_routed_experts",
    ],
)
def test_experts_of_a_model(name: str, tmp_path: Path) -> None:
    model = model_of(tmp_path, model_type="mixtral", num_hidden_layers=3, **{name: 8})
    assert model.num_experts == 8
    assert model_of(tmp_path, model_type="mixtral", num_hidden_layers=3).num_experts is None


def test_lists_of_equal_numbers_are_one_number(tmp_path: Path) -> None:
    """ERNIE has an entry for experts of text and one for those of images, Hunyuan one for each layer."""
    ernie: Any = {
        "num_hidden_layers": 28,
        "moe_num_experts": [64, 64],
        "moe_layer_start_index": [1, 1],
        "moe_layer_end_index": [29, 28],
        "moe_layer_interval": 1,
    }
    model = model_of(tmp_path, **ernie)
    assert (list(model.moe), model.num_experts) == ([*range(1, 28)], 64)
    model = model_of(tmp_path, **ernie | {"moe_layer_end_index": [-1, -1]})
    assert list(model.moe) == [*range(1, 28)]
    hunyuan: Any = {"model_type": "hunyuan_v1_moe", "num_hidden_layers": 4}
    assert model_of(tmp_path, **hunyuan, num_experts=[16] * 4).num_experts == 16
    for config, words in (
        (
            ernie | {"moe_num_experts": [64, 32]},
            "moe_num_experts has 64 and 32; expected one number",
        ),
        (
            ernie | {"moe_layer_start_index": [1, 3]},
            "start_index has 1 and 3; .*; give layers instead",
        ),
        (
            ernie | {"moe_layer_end_index": [12, 28]},
            "end_index has 12 and 28; .*; give layers instead",
        ),
        (hunyuan | {"num_experts": [16, 16, 8, 16]}, "has 16 and 8; .* for all of its 4 entries"),
        (hunyuan | {"num_experts": []}, "num_experts is an empty list; expected a whole number"),
        (hunyuan | {"num_experts": [1.5]}, "num_experts is a list; expected a whole number"),
    ):
        with pytest.raises(PlanFileError, match=words):
            model_of(tmp_path, **config)


def test_groups_of_a_model(tmp_path: Path) -> None:
    for settings, groups in (
        ({"n_group": 8}, 8),
        ({"num_expert_group": 4}, 4),
        ({"n_group": None}, 1),
        ({"n_group": 1}, 1),
        ({}, 1),
    ):
        assert model_of(tmp_path, **DEEPSEEK, **settings).num_groups == groups


def test_layers_of_multi_token_prediction_follow_the_hidden_layers(tmp_path: Path) -> None:
    assert model_of(tmp_path, **DEEPSEEK).mtp == (61,)
    for number, layers in ((0, ()), (None, ()), (2, (61, 62))):
        model = model_of(tmp_path, **DEEPSEEK | {"num_nextn_predict_layers": number})
        assert model.mtp == layers
        assert model.moe[-1] == 60
    assert model_of(tmp_path, **QWEN).mtp == ()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "it has no 'num_hidden_layers'; expected a whole number from 1 to 16384"),
        (QWEN | {"num_hidden_layers": None}, "num_hidden_layers is null; "),
        (QWEN | {"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000; "),
        (QWEN | {"num_hidden_layers": True}, "num_hidden_layers is true; "),
        (
            {"model_type": "llama", "num_hidden_layers": 3},
            "it does not say which layers of model_type 'llama'",
        ),
        (
            {"model_type": [], "num_hidden_layers": 3},
            "it does not say which layers of model_type []",
        ),
        (DEEPSEEK | {"first_k_dense_replace": -1}, "first_k_dense_replace is -1; "),
        (
            DEEPSEEK | {"moe_layer_freq": [0, 1]},
            "moe_layer_freq has 2 flags, but num_hidden_layers is 61",
        ),
        (
            DEEPSEEK | {"moe_layer_freq": [0, 0, *[1] * 59]},
            "moe_layer_freq has 1 for layer 2, but first_k_dense_replace is 3",
        ),
        (
            DEEPSEEK | {"moe_layer_freq": [1] * 61, "first_k_dense_replace": "3"},
            "first_k_dense_replace is '3'; ",
        ),
        (DEEPSEEK | {"moe_layer_freq": 0}, "moe_layer_freq is 0; "),
        (DEEPSEEK | {"moe_layer_freq": None}, "moe_layer_freq is null; "),
        (DEEPSEEK | {"n_routed_experts": None}, "n_routed_experts is null; expected a whole"),
        (
            DEEPSEEK | {"n_routed_experts": 0},
            "n_routed_experts is 0; expected a whole number from 1",
        ),
        (DEEPSEEK | {"num_experts": None}, "num_experts is null; expected a whole number from 1"),
        (
            DEEPSEEK | {"num_local_experts": -1},
            "num_local_experts is -1; expected a whole number from 1 to 16384",
        ),
        (DEEPSEEK | {"n_routed_experts": "256"}, "n_routed_experts is '256'; "),
        (
            {"num_hidden_layers": 3, "moe_layer_freq": [1]},
            "moe_layer_freq has 1 flag, but num_hidden_layers is 3",
        ),
        (
            {"num_hidden_layers": 2, "moe_layer_freq": [1, 2]},
            "moe_layer_freq: layer 1 has 2; expected 0 or 1",
        ),
        (
            {"num_hidden_layers": 1, "moe_layer_freq": [None]},
            "moe_layer_freq: layer 0 has null; expected 0 or 1",
        ),
        (
            {"num_hidden_layers": 1, "moe_layer_freq": [1.0]},
            "moe_layer_freq: layer 0 has 1.0; expected 0 or 1",
        ),
        (DEEPSEEK | {"first_k_dense_replace": 61}, "num_hidden_layers is 61, but none of them is"),
        (
            {"num_hidden_layers": 3, "mlp_layer_types": ["dense", "sparse"]},
            "mlp_layer_types has 2 names, but num_hidden_layers is 3",
        ),
        (
            {"num_hidden_layers": 2, "mlp_layer_types": ["dense", "linear"]},
            "mlp_layer_types: layer 1 is 'linear'; expected dense, sparse, moe, hash_moe",
        ),
        (
            {"num_hidden_layers": 2, "mlp_layer_types": 2},
            "mlp_layer_types is 2; expected a name for each hidden layer",
        ),
        (
            {"num_hidden_layers": 2, "hybrid_override_pattern": "MEM"},
            "hybrid_override_pattern has 3 letters, but num_hidden_layers is 2",
        ),
        (
            {"num_hidden_layers": 2, "hybrid_override_pattern": "MM"},
            "num_hidden_layers is 2, but none of them is a MoE layer",
        ),
        (
            {"num_hidden_layers": 2, "moe_layers": [1, 2]},
            "moe_layers has layer 2, but num_hidden_layers is 2",
        ),
        ({"num_hidden_layers": 2, "moe_layers": 1}, "moe_layers must be a list of layers, found 1"),
        (
            {"num_hidden_layers": 2, "moe_layers_enum": "1;2"},
            "moe_layers_enum must be a list of layers, found '1;2'",
        ),
        (
            {"num_hidden_layers": 2, "moe_layers_enum": "1," + "9" * 5000},
            "moe_layers_enum must be a list of layers, found ",
        ),
        (
            {"num_hidden_layers": 2, "moe_layer_start_index": [1, "1"]},
            "moe_layer_start_index is a list; expected a whole number",
        ),
        (
            {"num_hidden_layers": 2, "interleave_moe_layer_step": 0},
            "num_hidden_layers is 2, but none of them is a MoE layer",
        ),
        (
            DEEPSEEK | {"num_experts": 64},
            "it has n_routed_experts 256 and num_experts 64; expected one number",
        ),
        (DEEPSEEK | {"n_group": "8"}, "n_group is '8'; expected a whole number from 1"),
        (
            DEEPSEEK | {"num_nextn_predict_layers": 10**9},
            "num_nextn_predict_layers is 1000000000; expected a whole number from 0 to 16323",
        ),
        (QWEN | {"decoder_sparse_step": 0}, "decoder_sparse_step is 0; "),
        (QWEN | {"decoder_sparse_step": 1, "mlp_only_layers": 3}, "mlp_only_layers must be a list"),
    ],
)
def test_configurations_that_do_not_tell(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(PlanFileError) as caught:
        layers_of(tmp_path, **config)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: {message}")


def test_strange_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    for content, message in ((b"[1]", "must be an object"), (b"[" * 10**6, "nested too deeply")):
        path.write_bytes(content)
        with pytest.raises(PlanFileError, match=message):
            moe_layers_of(path)
    monkeypatch.setattr("eplb.limits.MAX_CONFIG_BYTES", 10)
    with pytest.raises(PlanFileError, match="more than 10 bytes"):
        moe_layers_of(path)
    with pytest.raises(FileNotFoundError):
        moe_layers_of(tmp_path / "missing.json")
