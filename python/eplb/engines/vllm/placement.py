"""Placements for vLLM: JSON lists of slots as an open proposal has them, or a map for each model.

No released vLLM loads either. A fork keeps the maps of a model and of its drafter (multi-token
prediction) in one file, by their classes; the map with the most layers is the model's.
"""

from __future__ import annotations

from typing import Any

from eplb.engines.engine import DecodedPlacement, PlacementRows
from eplb.engines.json_values import filled_list, json_bytes, json_values, kind_of, object_with
from eplb.errors import PlanFileError
from eplb.text import count, short

_MODELS, _MAP = "model_maps", "physical_to_logical_map"


def write(rows: PlacementRows, _ending: str) -> bytes:
    """The bytes of the file."""
    rows.notes.append("no released vLLM loads a placement: this is the layout of an open proposal")
    return json_bytes(rows.table)


def recognises(values: Any) -> bool:
    """Whether the content of a file is a list of layers, or has maps by model."""
    return isinstance(values, list) or (isinstance(values, dict) and _MODELS in values)


def read(content: bytes, _ending: str) -> DecodedPlacement:
    """The placement in the file.

    Raises:
        PlanFileError: it is not JSON, or it is not clear which map is the model's.
    """
    values = json_values(content)
    if isinstance(values, dict) and _MODELS in values:
        return _of_the_model(values[_MODELS])
    return DecodedPlacement(values)


def _of_the_model(models: Any) -> DecodedPlacement:
    if not isinstance(models, dict) or not models:
        raise PlanFileError(f"{_MODELS} must have a map for each model, found {kind_of(models)}")
    maps = {
        name: filled_list(f"{short(name)}: {_MAP}", object_with(short(name), model, (_MAP,))[_MAP])
        for name, model in models.items()
    }
    model, *others = sorted(maps, key=lambda name: len(maps[name]), reverse=True)
    if others and len(maps[others[0]]) == len(maps[model]):
        raise PlanFileError(
            f"{short(model)} and {short(others[0])} have {count(len(maps[model]), 'layer')} each; "
            "expected fewer for multi-token prediction than for the model"
        )
    left_out = [
        f"{short(name)} ({count(len(maps[name]), 'layer')}) is left out: this is {short(model)}"
        for name in others
    ]
    return DecodedPlacement(maps[model], notes=tuple(left_out))
