"""How many bytes the weights of one expert are, by the model's ``config.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.engines.json_values import kind_of, one_of_equal, whole_number_under
from eplb.engines.model_config import config_of
from eplb.errors import Parameter, Part, PlanFileError
from eplb.text import short

if TYPE_CHECKING:
    from os import PathLike

# Bytes of a number.
_DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
# No model is so wide.
_MOST = 2**20
_GIVE: list[Part] = ["give ", Parameter("expert_bytes"), " instead"]


def expert_bytes_of(config_path: str | PathLike[str]) -> int:
    """Bytes of the weights of one expert of one layer, scales included.

    That is three matrices of ``hidden_size`` times ``moe_intermediate_size`` (``intermediate_size``
    in models without dense layers), in the ``dtype`` of the model, or quantised as fp8 or mxfp4.

    Raises:
        PlanFileError: the file does not say, or names a quantisation that is not known here.
        OSError: it cannot be read.
    """
    with config_of(config_path) as config:
        width = "moe_intermediate_size"
        if width not in config:
            width = "intermediate_size"
        hidden = whole_number_under("hidden_size", config, least=1, most=_MOST)
        of_expert = dict(config)
        if width in config:
            of_expert[width] = one_of_equal(width, config[width], _GIVE)
        inner = whole_number_under(width, of_expert, least=1, most=_MOST)
        # A gate, an up and a down projection.
        shapes = [(inner, hidden), (inner, hidden), (hidden, inner)]
        return sum(_matrix_bytes(config, rows, columns) for rows, columns in shapes)


def _matrix_bytes(config: dict[str, Any], rows: int, columns: int) -> int:
    quantised = config.get("quantization_config")
    if quantised is None:
        return rows * columns * _number_bytes(config)
    if not isinstance(quantised, dict):
        raise PlanFileError(
            f"its quantization_config is {kind_of(quantised)}; expected an object", hint=_GIVE
        )
    method = quantised.get("quant_method")
    if method == "mxfp4":
        # Blocks of 32 in a row: half a byte each, and a scale of one byte.
        return rows * -(-columns // 32) * 17
    if method == "fp8":
        return rows * columns + _scale_bytes(quantised.get("weight_block_size"), rows, columns)
    raise PlanFileError(
        f"its quant_method is {kind_of(method)}; expected fp8 or mxfp4, or no quantization_config",
        hint=_GIVE,
    )


def _scale_bytes(block: Any, rows: int, columns: int) -> int:
    """A float32 for each block, or for the whole matrix."""
    if block is None:
        return 4
    if (
        not isinstance(block, list)
        or len(block) != 2
        or any(type(size) is not int or size < 1 for size in block)
    ):
        raise PlanFileError(f"weight_block_size is {short(block)}; expected two sizes", hint=_GIVE)
    return 4 * -(-rows // int(block[0])) * -(-columns // int(block[1]))


def _number_bytes(config: dict[str, Any]) -> int:
    dtype = config.get("dtype", config.get("torch_dtype"))
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise PlanFileError(
            f"its dtype is {kind_of(dtype)}; expected {', '.join(_DTYPES)}", hint=_GIVE
        )
    return _DTYPES[dtype]
