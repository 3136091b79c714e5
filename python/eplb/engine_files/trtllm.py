"""TensorRT-LLM's ``moe_config.load_balancer``: YAML of three keys that names hidden layers."""

from __future__ import annotations

from eplb.errors import PlanFileError
from eplb.shown import short

from .checks import kind_of, object_with, refuse_other_keys
from .format import MAX_HIDDEN_LAYERS, Found, Rows
from .hidden_layers import counted
from .yaml_text import yaml_values

_SLOTS, _ASSIGNMENTS, _UPDATES = (
    "num_slots",
    "initial_global_assignments",
    "layer_updates_per_iter",
)


def write(rows: Rows, _ending: str) -> bytes:
    """The file's bytes."""
    layers = rows.layers or []
    rows.notes.append(
        "TensorRT-LLM takes it as moe_config.load_balancer, with "
        f"moe_expert_parallel_size {rows.plan.num_gpus}; it must name every MoE layer: here "
        f"{counted(layers)} (a layer of multi-token prediction counts on from the last hidden one)"
    )
    lines = [
        f"{_SLOTS}: {rows.plan.num_replicas}",
        f"{_ASSIGNMENTS}:",
        *(f"  {layer}: {row}" for layer, row in zip(layers, rows.table, strict=True)),
        f"{_UPDATES}: 0",
    ]
    return ("\n".join(lines) + "\n").encode()


def read(content: bytes, _ending: str) -> Found:
    """What the file holds."""
    values = object_with("the file", yaml_values(content), (_SLOTS, _ASSIGNMENTS))
    refuse_other_keys("TensorRT-LLM", values, (_SLOTS, _ASSIGNMENTS, _UPDATES))
    if type(values.get(_UPDATES, 0)) is not int:
        raise PlanFileError(f"{_UPDATES} must be a whole number, it is {kind_of(values[_UPDATES])}")
    assignments = values[_ASSIGNMENTS]
    if not isinstance(assignments, dict) or not assignments:
        raise PlanFileError(
            f"{_ASSIGNMENTS} must have a list of slots for each layer, it is {kind_of(assignments)}"
        )
    for layer, row in assignments.items():
        if type(layer) is not int or not 0 <= layer < MAX_HIDDEN_LAYERS:
            raise PlanFileError(f"{_ASSIGNMENTS}: {short(layer)} is no number of a hidden layer")
        if not isinstance(row, list) or len(row) != values[_SLOTS]:
            length = f"has {len(row)} slots" if isinstance(row, list) else f"is {kind_of(row)}"
            raise PlanFileError(f"layer {layer} {length}, {_SLOTS} is {kind_of(values[_SLOTS])}")
    layers = sorted(assignments)
    return Found([assignments[layer] for layer in layers], layers)
