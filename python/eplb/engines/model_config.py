"""A model's ``config.json``: which hidden layers are MoE layers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb import limits
from eplb.engines.hidden_layers import HiddenLayers
from eplb.engines.json_values import object_with, one_of_equal, whole_number_under
from eplb.engines.moe_layers import moe_layers
from eplb.errors import EplbError, PlanFileError
from eplb.storage.json_text import parse_json
from eplb.storage.other_files import what_else

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

# Names of the number of logical experts, and of the number of groups that they are in.
_EXPERTS = (
    "n_routed_experts",
    "num_experts",
    "num_local_experts",
    "moe_num_experts",
    "num_routed_experts",
)
_GROUPS = ("n_group", "num_expert_group")
# The number of layers of multi-token prediction.
_MTP = "num_nextn_predict_layers"
_NAME = re.compile(r"[A-Za-z][\w.-]{0,63}", re.ASCII)
# Where a multimodal model has the settings of its language model.
_NESTED = ("text_config", "llm_config", "language_config", "thinker_config")
# Settings of how weights are stored.
_STORED = ("dtype", "torch_dtype", "quantization_config")


@dataclass(frozen=True)
class ModelLayers:
    """The layers of a model."""

    #: Which hidden layers are MoE layers, ascending.
    moe: HiddenLayers
    #: Number of hidden layers.
    num_hidden_layers: int
    #: Logical experts per layer; None if the file does not say.
    num_experts: int | None
    #: Groups of experts, as for ``num_groups`` of :func:`eplb.plan`; 1 if there are none.
    num_groups: int
    #: Layers of multi-token prediction, which follow the hidden layers.
    mtp: HiddenLayers
    #: Its architecture, or else its model_type; None if the file has no such name.
    name: str | None = None

    def layers_of(self, rows: int) -> HiddenLayers | None:
        """The hidden layer of each of so many rows of loads; None if they are others.

        Rows are MoE layers or all hidden layers, and maybe also those of multi-token prediction.
        """
        of_all = HiddenLayers.all_of(self.num_hidden_layers)
        for layers in (self.moe, of_all):
            for also in (HiddenLayers(), self.mtp):
                if rows == len(layers) + len(also):
                    return HiddenLayers((*layers, *also))
        return None


def moe_layers_of(config_path: str | PathLike[str]) -> ModelLayers:
    """Which hidden layers are MoE layers, from the ``config.json`` of a model on Hugging Face.

    It knows the settings of DeepSeek, Qwen, GLM, Kimi, Llama 4, ERNIE, Step, MiMo, Nemotron-H, Pangu
    and others, and models with experts in every layer, such as Mixtral, gpt-oss and MiniMax-M2.
    Layers of multi-token prediction are not among the hidden layers.

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
        while "num_hidden_layers" not in config and (nested := _nested(config)):
            # A multimodal model: how weights are stored is said for all of it.
            stored = {name: config[name] for name in _STORED if name in config}
            config = {**stored, **nested}
        if "num_hidden_layers" not in config and (what := what_else(config)):
            raise PlanFileError(
                f"this is {what}, not a model's config.json; are the arguments swapped?"
            )
        yield config
    except EplbError as error:
        raise error.within(str(path)) from error


def _nested(config: dict[str, Any]) -> dict[str, Any] | None:
    """The settings of the language model in those of a multimodal one."""
    return next((config[name] for name in _NESTED if isinstance(config.get(name), dict)), None)


def _model_layers(config: dict[str, Any]) -> ModelLayers:
    total = whole_number_under("num_hidden_layers", config, least=1, most=limits.MAX_HIDDEN_LAYERS)
    return ModelLayers(
        HiddenLayers(moe_layers(config, total)),
        total,
        num_experts=_number(config, _EXPERTS),
        num_groups=_number(config, [name for name in _GROUPS if config.get(name)]) or 1,
        mtp=_mtp_layers(config, total),
        name=_name(config),
    )


def _name(config: dict[str, Any]) -> str | None:
    architectures = config.get("architectures")
    names = [*(architectures if isinstance(architectures, list) else []), config.get("model_type")]
    return next((name for name in names if isinstance(name, str) and _NAME.fullmatch(name)), None)


def _number(config: dict[str, Any], names: Iterable[str]) -> int | None:
    """The number that has one of these names, if there is one."""
    found: dict[str, int] = {}
    for name in names:
        if name in config:
            value = {name: one_of_equal(name, config[name])}
            found[name] = whole_number_under(name, value, least=1, most=limits.MAX_EXPERTS)
    if len(set(found.values())) > 1:
        each = " and ".join(f"{name} {number}" for name, number in found.items())
        raise PlanFileError(f"it has {each}; expected one number")
    return next(iter(found.values()), None)


def _mtp_layers(config: dict[str, Any], total: int) -> HiddenLayers:
    if config.get(_MTP) is None:
        return HiddenLayers()
    number = whole_number_under(_MTP, config, least=0, most=limits.MAX_HIDDEN_LAYERS - total)
    return HiddenLayers(range(total, total + number))
