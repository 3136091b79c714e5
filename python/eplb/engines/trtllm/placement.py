"""TensorRT-LLM's ``moe_config.load_balancer``: YAML of three keys that names hidden layers."""

from __future__ import annotations

from eplb import limits
from eplb.engines.engine import DecodedPlacement, PlacementRows
from eplb.engines.hidden_layers import in_words
from eplb.engines.json_values import (
    kind_of,
    object_with,
    refuse_other_keys,
    whole_number_under,
)
from eplb.engines.trtllm.yaml_text import yaml_values
from eplb.errors import PlanFileError
from eplb.text import count, short

_SLOTS, _ASSIGNMENTS, _UPDATES = (
    "num_slots",
    "initial_global_assignments",
    "layer_updates_per_iter",
)
# Written by the engine's own scripts, which remove it before the engine reads the file.
_RANKS = "ep_size"


def write(rows: PlacementRows, _ending: str) -> bytes:
    """The bytes of the file."""
    layers = rows.layers or ()
    rows.notes.append(
        "TensorRT-LLM takes it as moe_config.load_balancer, with "
        f"moe_expert_parallel_size {rows.num_gpus}; it must name every MoE layer: this "
        f"file names {in_words(layers)} (layers of multi-token prediction follow the hidden layers)"
    )
    lines = [
        f"{_SLOTS}: {rows.num_replicas}",
        f"{_ASSIGNMENTS}:",
        *(f"  {layer}: {row}" for layer, row in zip(layers, rows.table, strict=True)),
        f"{_UPDATES}: 0",
    ]
    return ("\n".join(lines) + "\n").encode()


def read(content: bytes, _ending: str) -> DecodedPlacement:
    """The placement in the file.

    Raises:
        PlanFileError: it is not such a file.
    """
    values = object_with("the file", yaml_values(content), (_SLOTS, _ASSIGNMENTS))
    refuse_other_keys("TensorRT-LLM", values, (_SLOTS, _ASSIGNMENTS, _UPDATES, _RANKS))
    num_gpus = None
    if _RANKS in values:
        num_gpus = whole_number_under(_RANKS, values, least=1, most=limits.MAX_PLACEMENT_SLOTS)
    if type(values.get(_UPDATES, 0)) is not int:
        raise PlanFileError(f"{_UPDATES} must be a whole number, found {kind_of(values[_UPDATES])}")
    assignments = values[_ASSIGNMENTS]
    if not isinstance(assignments, dict) or not assignments:
        raise PlanFileError(
            f"{_ASSIGNMENTS} must have a list of slots for each layer, found {kind_of(assignments)}"
        )
    for layer, row in assignments.items():
        if type(layer) is not int or not 0 <= layer < limits.MAX_HIDDEN_LAYERS:
            raise PlanFileError(
                f"{_ASSIGNMENTS}: {short(layer)} is not the number of a hidden layer"
            )
        if not isinstance(row, list) or len(row) != values[_SLOTS]:
            length = (
                f"has {count(len(row), 'slot')}" if isinstance(row, list) else f"is {kind_of(row)}"
            )
            raise PlanFileError(
                f"layer {layer} {length}, but {_SLOTS} is {kind_of(values[_SLOTS])}"
            )
    layers = sorted(assignments)
    return DecodedPlacement([assignments[layer] for layer in layers], layers, num_gpus)
