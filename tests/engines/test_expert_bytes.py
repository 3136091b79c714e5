"""Bytes of an expert, by the model's config.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from eplb import PlanFileError
from eplb.engines import expert_bytes_of

if TYPE_CHECKING:
    from pathlib import Path

DEEPSEEK_V3 = {
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "torch_dtype": "bfloat16",
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}
MIXTRAL = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "dtype": "bfloat16",
}
GPT_OSS = {
    "num_hidden_layers": 24,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "quantization_config": {"quant_method": "mxfp4"},
}

SMALL = {"num_hidden_layers": 61, "hidden_size": 7168, "moe_intermediate_size": 2048}


def written(folder: Path, config: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return file


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DEEPSEEK_V3, 3 * (7168 * 2048 + 4 * 56 * 16)),
        (MIXTRAL, 3 * 4096 * 14336 * 2),
        (GPT_OSS, 3 * (2880 * 2880 // 2 + 2880 * 90)),
        ({"text_config": MIXTRAL}, 3 * 4096 * 14336 * 2),
        # How weights are stored is said outside of the language model.
        (
            {"text_config": SMALL, "quantization_config": {"quant_method": "fp8"}},
            3 * (7168 * 2048 + 4),
        ),
        ({"text_config": SMALL, "torch_dtype": "float32"}, 3 * 7168 * 2048 * 4),
        # Blocks are of rows and columns: outputs and inputs.
        (
            DEEPSEEK_V3
            | {"quantization_config": {"quant_method": "fp8", "weight_block_size": [1, 100]}},
            3 * 7168 * 2048 + 4 * (2 * 2048 * 72 + 7168 * 21),
        ),
        # Rows are filled up to whole blocks.
        (GPT_OSS | {"hidden_size": 3, "intermediate_size": 33}, 2 * 33 * 17 + 3 * 2 * 17),
        (
            DEEPSEEK_V3 | {"quantization_config": None, "moe_intermediate_size": [4, 4]},
            6 * 4 * 7168,
        ),
        (MIXTRAL | {"dtype": "float32"}, 3 * 4096 * 14336 * 4),
        (MIXTRAL | {"quantization_config": {"quant_method": "fp8"}}, 3 * (4096 * 14336 + 4)),
    ],
)
def test_known_models(config: dict[str, Any], expected: int, tmp_path: Path) -> None:
    assert expert_bytes_of(written(tmp_path, config)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "7168"}, "hidden_size is '7168'; expected a whole number from 1"),
        ({"hidden_size": None}, "hidden_size is null"),
        (
            {"moe_intermediate_size": [1536, 512]},
            "moe_intermediate_size has 1536 and 512; .*; give expert_bytes instead",
        ),
        ({"moe_intermediate_size": 0}, "moe_intermediate_size is 0"),
        ({"quantization_config": {"quant_method": "awq"}}, "quant_method is 'awq'; expected fp8"),
        ({"quantization_config": {}}, "quant_method is null"),
        ({"quantization_config": 4}, "quantization_config is 4; expected an object"),
        ({"quantization_config": "fp8"}, "quantization_config is 'fp8'; expected an object"),
        (
            {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}},
            r"weight_block_size is \[128\]; expected two sizes",
        ),
        ({"quantization_config": None, "torch_dtype": "int3"}, "its dtype is 'int3'; expected"),
        ({"quantization_config": None, "torch_dtype": None}, "its dtype is null; expected"),
    ],
)
def test_what_a_config_does_not_say(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match=message) as caught:
        expert_bytes_of(written(tmp_path, DEEPSEEK_V3 | change))
    assert str(caught.value).startswith(str(tmp_path / "config.json"))


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match="must be an object"):
        expert_bytes_of(written(tmp_path, [1]))
    with pytest.raises(PlanFileError, match="it has no 'hidden_size'"):
        expert_bytes_of(written(tmp_path, {}))
