"""vllm-ascend's ``expert_map_path`` and MindIE's: JSON of devices, MoE layers in order."""

from __future__ import annotations

from typing import Any

from eplb.engines.engine import DecodedPlacement, PlacementRows
from eplb.engines.json_values import filled_list, json_bytes, json_values, object_with, same
from eplb.errors import Parameter, PlanFileError
from eplb.text import count


def write(rows: PlacementRows, _ending: str) -> bytes:
    """The bytes of the file.

    Raises:
        PlanFileError: a device holds an expert twice.
    """
    per_gpu = rows.num_replicas // rows.num_gpus
    layer_list = []
    for layer, row in enumerate(rows.table):
        devices = [row[first : first + per_gpu] for first in range(0, len(row), per_gpu)]
        hidden = rows.layers.place(layer) if rows.layers else ""
        refuse_duplicates(layer, hidden, devices)
        layer_list.append(
            {
                "layer_id": layer,
                "device_count": len(devices),
                "device_list": [
                    {"device_id": device, "device_expert": experts}
                    for device, experts in enumerate(devices)
                ],
            }
        )
    rows.notes.append(
        "vllm-ascend takes it as eplb_config.expert_map_path, on "
        f"{count(rows.num_gpus, 'device')}; "
        f"layer_id 0 to {len(layer_list) - 1} count only the MoE layers"
    )
    return json_bytes({"moe_layer_count": len(layer_list), "layer_list": layer_list})


def refuse_duplicates(layer: int, hidden: str, devices: list[list[int]]) -> None:
    """Refuses duplicates, which vllm-ascend would load and misroute."""
    for device, experts in enumerate(devices):
        seen: dict[int, int] = {}
        for place, expert in enumerate(experts):
            if expert in seen:
                slots = [device * len(experts) + at for at in (seen[expert], place)]
                raise PlanFileError(
                    f"layer {layer}{hidden}: device {device} holds expert {expert} twice (slots "
                    f"{slots[0]} and {slots[1]}), and vllm-ascend would silently misroute its tokens",
                    hint=[
                        "use ",
                        Parameter("policy", "minimax"),
                        ", which never places an expert twice on a GPU",
                    ],
                    layer=layer,
                    slot=slots[1],
                    expert=expert,
                )
            seen[expert] = place


def recognises(values: Any) -> bool:
    """Whether the content of a file lists devices by layer."""
    return isinstance(values, dict) and "layer_list" in values


def read(content: bytes, _ending: str) -> DecodedPlacement:
    """The placement in the file.

    Raises:
        PlanFileError: it is not such a file.
    """
    values = object_with("the file", json_values(content), ("moe_layer_count", "layer_list"))
    layers = filled_list("layer_list", values["layer_list"])
    same("moe_layer_count", values["moe_layer_count"], len(layers))
    rows = []
    num_gpus = 0
    for place, layer in enumerate(layers):
        what = f"layer {place}"
        layer = object_with(what, layer, ("layer_id", "device_count", "device_list"))  # noqa: PLW2901
        same(f"{what}: layer_id", layer["layer_id"], place)
        devices = filled_list(f"{what}: device_list", layer["device_list"])
        same(f"{what}: device_count", layer["device_count"], len(devices))
        num_gpus = num_gpus or len(devices)
        if len(devices) != num_gpus:
            raise PlanFileError(
                f"{what} has {count(len(devices), 'device')}, but layer 0 has {num_gpus}"
            )
        rows.append(_devices_row(place, devices))
    return DecodedPlacement(rows, num_gpus=num_gpus)


def _devices_row(layer: int, devices: list[Any]) -> list[Any]:
    """The slots of a layer, device after device."""
    held: list[list[Any]] = []
    for place, device in enumerate(devices):
        what = f"layer {layer}, device {place}"
        values = object_with(what, device, ("device_id", "device_expert"))
        same(f"{what}: device_id", values["device_id"], place)
        held.append(filled_list(f"{what}: device_expert", values["device_expert"]))
        if len(held[-1]) != len(held[0]):
            raise PlanFileError(
                f"{what} has {count(len(held[-1]), 'expert')}, but device 0 has {len(held[0])}"
            )
        if any(type(expert) is not int for expert in held[-1]):
            raise PlanFileError(f"{what}: device_expert must hold only numbers of experts")
    refuse_duplicates(layer, "", held)
    return [expert for experts in held for expert in experts]
