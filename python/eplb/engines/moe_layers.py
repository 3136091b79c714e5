"""Which hidden layers are MoE layers, by the settings of a ``config.json``.

Each family of models says it in its own way. Explicit lists come first, as in the models' own code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from eplb import limits
from eplb.engines.json_values import kind_of, one_of_equal, whole_number_under
from eplb.errors import Parameter, Part, PlanFileError
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Rule = Callable[[str, dict[str, Any], int], Collection[int]]

# Values of model_type for models with experts in every hidden layer.
_ALL_MOE = (
    "deepseek_v4",
    "flex_olmo",
    "gpt_oss",
    "granitemoe",
    "granitemoehybrid",
    "hunyuan_v1_moe",
    "minimax_m2",
    "mixtral",
    "olmoe",
    "phimoe",
)
# Qwen's models with experts, for example qwen3_moe, qwen3_next and qwen3_5_moe_text.
_QWEN = re.compile(r"qwen\w*_(moe|next)(_text)?", re.ASCII)
# Names of layers in mlp_layer_types; hash_moe is a MoE layer whose experts a hash chooses.
_NAMES = {"dense": False, "sparse": True, "moe": True, "hash_moe": True}
# Numbers of layers as text; Python refuses to read thousands of digits.
_ENUM = re.compile(r" *[0-9]{1,9}(, *[0-9]{1,9})* *", re.ASCII)
_END = "moe_layer_end_index"
_GIVE_LAYERS: list[Part] = ["give ", Parameter("layers"), " instead"]


def moe_layers(config: dict[str, Any], total: int) -> list[int]:
    """The MoE layers among ``total`` hidden layers, ascending; at least one.

    Raises:
        PlanFileError: the settings do not say, or contradict each other.
    """
    rule = next((key for key in _RULES if _has(config, key)), None)
    if rule is not None:
        layers = sorted(_RULES[rule](rule, config, total))
    elif config.get("model_type") in _ALL_MOE:
        layers = list(range(total))
    else:
        raise PlanFileError(
            f"it does not say which layers of model_type {short(config.get('model_type'))} are MoE "
            "layers; expected first_k_dense_replace, decoder_sparse_step, mlp_layer_types or another "
            "setting of a known family",
            hint=_GIVE_LAYERS,
        )
    if not layers:
        raise PlanFileError(f"num_hidden_layers is {total}, but none of them is a MoE layer")
    return layers


def _has(config: dict[str, Any], key: str) -> bool:
    if key == "moe_layer_freq":  # a number of it belongs to first_k_dense_replace
        return isinstance(config.get(key), list)
    if key == "decoder_sparse_step" and _QWEN.fullmatch(str(config.get("model_type"))):
        return True
    return config.get(key) is not None


def _setting(config: dict[str, Any], name: str, default: int | None = None, least: int = 0) -> int:
    value = {name: one_of_equal(name, config[name], _GIVE_LAYERS)} if name in config else {}
    return whole_number_under(
        name, value, least=least, most=limits.MAX_HIDDEN_LAYERS, default=default
    )


def _one_each(key: str, config: dict[str, Any], total: int, what: str) -> list[Any] | str:
    """A value for each hidden layer."""
    values = config[key]
    if not isinstance(values, (list, str)):
        raise PlanFileError(f"{key} is {kind_of(values)}; expected a {what} for each hidden layer")
    if len(values) != total:
        raise PlanFileError(
            f"{key} has {count(len(values), what)}, but num_hidden_layers is {total}"
        )
    return values


def _by_names(key: str, config: dict[str, Any], total: int) -> list[int]:
    names = _one_each(key, config, total, "name")
    for layer, name in enumerate(names):
        if not isinstance(name, str) or name not in _NAMES:
            raise PlanFileError(
                f"{key}: layer {layer} is {kind_of(name)}; expected {', '.join(_NAMES)}",
                hint=_GIVE_LAYERS,
            )
    return [layer for layer, name in enumerate(names) if _NAMES[name]]


def _by_numbers(key: str, config: dict[str, Any], total: int) -> set[int]:
    """A list of layers, or text such as ``"3,4,5"``."""
    numbers = config[key]
    if isinstance(numbers, str) and _ENUM.fullmatch(numbers):
        numbers = [int(part) for part in numbers.split(",")]
    return _layers_in(key, numbers, total)


def _layers_in(key: str, layers: Any, total: int) -> set[int]:
    if not isinstance(layers, list) or any(type(layer) is not int for layer in layers):
        raise PlanFileError(f"{key} must be a list of layers, found {short(layers)}")
    if beyond := [layer for layer in layers if not 0 <= layer < total]:
        raise PlanFileError(f"{key} has layer {short(beyond[0])}, but num_hidden_layers is {total}")
    return set(layers)


def _by_flags(key: str, config: dict[str, Any], total: int) -> list[int]:
    """The layers whose flag is 1; those before ``first_k_dense_replace`` must have 0."""
    flags = _one_each(key, config, total, "flag")
    for layer, flag in enumerate(flags):
        if type(flag) not in (int, bool) or flag not in (0, 1):
            raise PlanFileError(f"{key}: layer {layer} has {kind_of(flag)}; expected 0 or 1")
    moe = [layer for layer, flag in enumerate(flags) if flag]
    dense = 0
    if config.get("first_k_dense_replace") is not None:
        dense = _setting(config, "first_k_dense_replace")
    if moe and moe[0] < dense:
        raise PlanFileError(
            f"{key} has 1 for layer {moe[0]}, but first_k_dense_replace is {dense}: by "
            f"that, the first MoE layer is {dense} or a later one",
            hint=_GIVE_LAYERS,
        )
    return moe


def _by_pattern(key: str, config: dict[str, Any], total: int) -> list[int]:
    """A letter for each hidden layer: E is a MoE layer."""
    return [
        layer for layer, kind in enumerate(_one_each(key, config, total, "letter")) if kind == "E"
    ]


def _by_range(key: str, config: dict[str, Any], total: int) -> list[int]:
    first, last = _setting(config, key), total - 1
    end = config.get(_END)
    # A list has the last layer of text experts and that of image experts, and both may be beyond.
    if isinstance(end, list) and all(type(each) is int and each >= last for each in end):
        end = last
    if one_of_equal(_END, end, _GIVE_LAYERS) not in (None, -1):
        last = min(last, _setting({_END: end}, _END))
    step = _setting(config, "moe_layer_interval", 1, least=1)
    return [layer for layer in range(first, last + 1) if (layer + 1) % step == 0]


def _every(key: str, config: dict[str, Any], total: int) -> list[int]:
    """The last of every few layers; of none, if their number is 0."""
    step = _setting(config, key)
    return [layer for layer in range(total) if step and (layer + 1) % step == 0]


def _after_dense(key: str, config: dict[str, Any], total: int) -> list[int]:
    step = _setting(config, "moe_layer_freq", 1, least=1)
    return [layer for layer in range(_setting(config, key), total) if layer % step == 0]


def _qwen(key: str, config: dict[str, Any], total: int) -> list[int]:
    step = _setting(config, key, 1, least=1)
    dense = _layers_in("mlp_only_layers", config.get("mlp_only_layers") or [], total)
    return [layer for layer in range(total) if (layer + 1) % step == 0 and layer not in dense]


def _all(key: str, config: dict[str, Any], total: int) -> range:
    _setting(config, key)
    return range(total)


# The first one that a config.json has decides.
_RULES: dict[str, Rule] = {
    "mlp_layer_types": _by_names,  # EXAONE, GLM-5, Laguna
    "moe_layers": _by_numbers,  # Llama 4
    "moe_layers_enum": _by_numbers,  # Step
    "moe_layer_freq": _by_flags,  # MiMo
    "hybrid_override_pattern": _by_pattern,  # Nemotron-H
    "moe_layer_start_index": _by_range,  # ERNIE
    "interleave_moe_layer_step": _every,  # Llama 4
    "first_k_dense_replace": _after_dense,  # DeepSeek, GLM, Kimi, Ling
    "num_dense_layers": _after_dense,  # Pangu, Trinity, LFM2
    "num_hash_layers": _all,  # DeepSeek-V4: a hash chooses the experts of the first layers
    "decoder_sparse_step": _qwen,
}
