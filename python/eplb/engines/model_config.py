"""A model's ``config.json``: which hidden layers are MoE layers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb import limits
from eplb.engines.hidden_layers import HiddenLayers
from eplb.engines.json_values import kind_of, object_with, whole_number_under
from eplb.errors import EplbError, Parameter, Part, PlanFileError
from eplb.storage.json_text import parse_json
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

# Values of model_type for models with experts in every hidden layer.
_ALL_MOE = ("gpt_oss", "granitemoe", "mixtral", "minimax_m2", "olmoe", "phimoe")
# Names of the number of logical experts.
_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts")
# Settings of how weights are stored.
_STORED = ("dtype", "torch_dtype", "quantization_config")
_GIVE_LAYERS: list[Part] = ["give ", Parameter("layers"), " instead"]


@dataclass(frozen=True)
class ModelLayers:
    """The layers of a model."""

    #: Which hidden layers are MoE layers, ascending.
    moe: HiddenLayers
    #: Number of hidden layers.
    num_hidden_layers: int
    #: Logical experts per layer; None if the file does not say.
    num_experts: int | None


def moe_layers_of(config_path: str | PathLike[str]) -> ModelLayers:
    """Which hidden layers are MoE layers, from the ``config.json`` of a model on Hugging Face.

    It knows the settings of DeepSeek (``first_k_dense_replace``, ``moe_layer_freq``, which may
    also be a list with 0 or 1 for each hidden layer), of Qwen
    (``decoder_sparse_step``, ``mlp_only_layers``), and models with experts in every layer, such
    as Mixtral, gpt-oss and OLMoE. Layers of multi-token prediction are not counted.

    Raises:
        PlanFileError: the file does not say. OSError: it cannot be read.
    """
    with config_of(config_path) as config:
        return _model_layers(config)


@contextmanager
def config_of(path: str | PathLike[str]) -> Iterator[dict[str, Any]]:
    """The settings of a language model in its ``config.json``; errors within name the file.

    Raises:
        PlanFileError: it is not an object. OSError: it cannot be read.
    """
    with Path(path).open("rb") as stream:
        content = stream.read(limits.MAX_CONFIG_BYTES + 1)
    try:
        if len(content) > limits.MAX_CONFIG_BYTES:
            raise PlanFileError(f"it holds more than {limits.MAX_CONFIG_BYTES} bytes")
        config = object_with("the configuration", parse_json(content), ())
        if "num_hidden_layers" not in config and isinstance(config.get("text_config"), dict):
            # A multimodal model: how weights are stored is said for all of it.
            stored = {name: config[name] for name in _STORED if name in config}
            config = {**stored, **config["text_config"]}
        yield config
    except EplbError as error:
        raise error.within(str(path)) from error


def _model_layers(config: dict[str, Any]) -> ModelLayers:
    total = _setting(config, "num_hidden_layers", least=1)
    if isinstance(flags := config.get("moe_layer_freq"), list):
        moe = _flagged_layers(config, flags, total)
    elif config.get("first_k_dense_replace") is not None:
        first = _setting(config, "first_k_dense_replace")
        step = _setting(config, "moe_layer_freq", 1, least=1)
        moe = [layer for layer in range(first, total) if layer % step == 0]
    elif config.get("decoder_sparse_step") is not None:
        step = _setting(config, "decoder_sparse_step", least=1)
        dense = _dense_layers(config)
        moe = [layer for layer in range(total) if (layer + 1) % step == 0 and layer not in dense]
    elif config.get("model_type") in _ALL_MOE:
        moe = list(range(total))
    else:
        raise PlanFileError(
            f"it does not say which layers of model_type {short(config.get('model_type'))} are MoE "
            "layers; expected first_k_dense_replace, decoder_sparse_step, or a model_type of "
            f"{', '.join(_ALL_MOE)}",
            hint=_GIVE_LAYERS,
        )
    experts = [
        whole_number_under(name, config, least=1, most=limits.MAX_EXPERTS)
        for name in _EXPERTS
        if name in config
    ]
    if not moe:
        raise PlanFileError(f"num_hidden_layers is {total}, but none of them is a MoE layer")
    return ModelLayers(HiddenLayers(moe), total, experts[0] if experts else None)


def _setting(config: dict[str, Any], name: str, default: int | None = None, least: int = 0) -> int:
    return whole_number_under(
        name, config, least=least, most=limits.MAX_HIDDEN_LAYERS, default=default
    )


def _flagged_layers(config: dict[str, Any], flags: list[Any], total: int) -> list[int]:
    """The layers whose flag is 1; those before ``first_k_dense_replace`` must have 0."""
    if len(flags) != total:
        raise PlanFileError(
            f"moe_layer_freq has {count(len(flags), 'flag')}, but num_hidden_layers is {total}"
        )
    for layer, flag in enumerate(flags):
        if type(flag) not in (int, bool) or flag not in (0, 1):
            raise PlanFileError(
                f"moe_layer_freq: layer {layer} has {kind_of(flag)}; expected 0 or 1"
            )
    moe = [layer for layer, flag in enumerate(flags) if flag]
    dense = 0
    if config.get("first_k_dense_replace") is not None:
        dense = _setting(config, "first_k_dense_replace")
    if moe and moe[0] < dense:
        raise PlanFileError(
            f"moe_layer_freq has 1 for layer {moe[0]}, but first_k_dense_replace is {dense}: by "
            f"that, the first MoE layer is {dense} or a later one",
            hint=_GIVE_LAYERS,
        )
    return moe


def _dense_layers(config: dict[str, Any]) -> set[int]:
    layers = config.get("mlp_only_layers") or []
    if not isinstance(layers, list) or any(type(layer) is not int for layer in layers):
        raise PlanFileError(f"mlp_only_layers must be a list of layers, found {short(layers)}")
    return set(layers)
