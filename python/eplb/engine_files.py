"""Placement files of inference engines: what they load, written from a plan and read back.

The inner map is ``phy2log [layers, P]``: slot p is on GPU ``p // (P // G)``. Engines differ in which
layers they want. A *hidden layer* is one of the model's, counted from 0, dense ones too; a *MoE layer*
is one with experts, and a plan has a row for each of those.
"""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from eplb import tensors
from eplb.errors import EplbError, PlanFileError
from eplb.npy_files import MAX_BYTES
from eplb.plan_files import parse_json, save_plan, write_whole
from eplb.plans import Plan
from eplb.sizes import whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

#: A placement file of text holds at most so many bytes, and one of YAML, which is read slowly.
MAX_TEXT_BYTES = 2**27
MAX_YAML_BYTES = 2**22
#: A placement has at most so many slots, over all layers.
MAX_CELLS = 2**26
#: A model has at most so many hidden layers.
MAX_HIDDEN_LAYERS = 2**14

_MAP = "physical_to_logical_map"
_SLOTS, _ASSIGNMENTS, _UPDATES = (
    "num_slots",
    "initial_global_assignments",
    "layer_updates_per_iter",
)


@dataclass(frozen=True)
class EngineFile:
    """What a placement file holds."""

    plan: Plan
    #: Hidden layer of each row of the plan; None where the file only counts its MoE layers.
    layers: tuple[int, ...] | None


@dataclass(frozen=True)
class ModelLayers:
    """The layers of a model."""

    #: Which hidden layers are MoE layers, ascending.
    moe: tuple[int, ...]
    #: Hidden layers in all.
    num_hidden_layers: int


@dataclass(frozen=True)
class Format:
    """A format: its name is its key in ``FORMATS``."""

    #: What the name of a file may end in.
    endings: tuple[str, ...]
    #: What it is for, in one line.
    description: str
    #: What the rows of a file stand for: all hidden layers in order, hidden layers that the file
    #: names, or the MoE layers in order.
    rows: Literal["hidden", "named", "moe"]
    #: Makes and takes a file's bytes, given its ending; for this module.
    write: Callable[[_Rows, str], bytes] = field(repr=False)
    read: Callable[[bytes, str], _Found] = field(repr=False)


@dataclass(frozen=True)
class _Rows:
    """What is to be written: a row of slots for each layer, all of them alike in length."""

    plan: Plan
    #: ``[rows, P]``, plain ints.
    table: list[list[int]]
    #: Hidden layer of each row; None where nobody said.
    layers: list[int] | None
    notes: list[str]


@dataclass(frozen=True)
class _Found:
    """What was read: rows of whatever the file has in their places, not yet looked at."""

    rows: Any
    #: Hidden layer of each row, where the file names them.
    layers: list[int] | None = None
    num_gpus: int | None = None


# -- Writing --------------------------------------------------------------------------------------


def save_for_engine(
    plan: Plan,
    path: str | PathLike[str],
    format: str,  # noqa: A002
    *,
    layers: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
) -> list[str]:
    """Writes a plan as an engine loads it, whole or not at all.

    Args:
        plan: what to write.
        path: the file; its ending must be one of the format's.
        format: one of ``FORMATS``.
        layers: hidden layer of each layer of the plan, ascending; by default 0, 1, 2, ... A plan of
            all hidden layers (as made from statistics of SGLang) may be given fewer: where the
            engine wants MoE layers, it gets these.
        num_hidden_layers: hidden layers of the model, for engines whose file covers dense layers
            too: those get the trivial placement. By default the last of ``layers`` is the last.

    Returns notes, a line each: what was done, and what the engine needs beside the file.

    Raises:
        PlanFileError: the engine could not use it; the message says what would do.
        OSError: the file cannot be written.
    """
    kind = _format(format)
    target = Path(path)
    ending = _ending(target, format, kind)
    total = None if num_hidden_layers is None else _hidden_layers(num_hidden_layers)
    named = None if layers is None else _ascending(layers)
    if format == "plan":
        save_plan(plan, target)
        left_out = layers is not None or num_hidden_layers is not None
        return ["a plan file names no hidden layers: they are left out"] if left_out else []
    rows = _rows_to_write(plan, format, named, total)
    write_whole(target, kind.write(rows, ending))
    return rows.notes


def _rows_to_write(plan: Plan, name: str, layers: list[int] | None, total: int | None) -> _Rows:
    """The rows in the order and number in which the engine wants them."""
    covers = FORMATS[name].rows
    notes: list[str] = []
    table = plan.phy2log.tolist()
    if layers is None and total == plan.num_layers:
        layers = list(range(total))
    if layers is not None and len(layers) != plan.num_layers:
        if total != plan.num_layers:
            raise PlanFileError(
                f"{len(layers)} layers are named for a plan of {plan.num_layers}: name the hidden "
                "layer of each"
            )
        _refuse_beyond(layers, total)
        if covers == "hidden":
            layers = list(range(total))
        else:
            notes.append(f"{_counted(_others(layers, total))} of the plan left out: no MoE layers")
            table = [table[layer] for layer in layers]
    if covers == "named" and layers is None:
        raise PlanFileError(
            f"{name} names hidden layers, and which of them are the plan's {plan.num_layers} is not "
            "said: give layers, or the model's config.json"
        )
    if covers == "hidden":
        table = _filled(plan, table, layers, total, notes)
    return _Rows(plan, table, layers, notes)


def _refuse_beyond(layers: list[int], total: int) -> None:
    if layers[-1] >= total:
        raise PlanFileError(f"layer {layers[-1]} is not one of the {total} hidden layers")


def _filled(
    plan: Plan,
    table: list[list[int]],
    layers: list[int] | None,
    total: int | None,
    notes: list[str],
) -> list[list[int]]:
    """A row for each hidden layer: the plan's, and the trivial placement for those without one."""
    if layers is None:
        if total is not None:
            raise PlanFileError(
                f"the plan has {plan.num_layers} layers, the model {total} hidden ones, and which "
                "are the plan's is not said: give layers, or the model's config.json"
            )
        notes.append(
            f"{_counted(range(plan.num_layers))} are the plan's, as no others were named: "
            "dense layers count too"
        )
        return table
    if total is None:
        total = layers[-1] + 1
        notes.append(f"layer {layers[-1]} is taken to be the last hidden layer")
    _refuse_beyond(layers, total)
    trivial = [slot % plan.num_experts for slot in range(plan.num_replicas)]
    rows = dict(zip(layers, table, strict=True))
    if dense := _others(layers, total):
        holds = "holds" if len(dense) == 1 else "hold"
        notes.append(f"{_counted(dense)} {holds} the trivial placement: no MoE layers of the plan")
    return [rows.get(layer, trivial) for layer in range(total)]


def _others(layers: list[int], total: int) -> list[int]:
    return sorted(set(range(total)) - set(layers))


def _counted(layers: Iterable[int]) -> str:
    """Layers in words: ``layers 0, 1, 2, 7 to 60``."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and runs[-1][-1] == layer - 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 3 else ", ".join(map(str, run)) for run in runs]
    one = len(runs) == 1 and len(runs[0]) == 1
    return ("layer " if one else "layers ") + ", ".join(parts)


def _json(values: Any) -> bytes:
    return (json.dumps(values) + "\n").encode()


def _sglang_content(rows: _Rows, ending: str) -> bytes:
    spares = rows.plan.num_replicas - rows.plan.num_experts
    also = f"--ep-size {rows.plan.num_gpus}"
    if spares:
        also += f" --ep-num-redundant-experts {spares}"
    rows.notes.append(f"SGLang takes it as --init-expert-location, and also needs {also}")
    if ending == ".json":
        return _json({_MAP: rows.table})
    torch = _torch("to write a .pt file")
    stream = io.BytesIO()
    torch.save({_MAP: torch.tensor(rows.table, dtype=torch.int64)}, stream)
    return stream.getvalue()


def _trtllm_content(rows: _Rows, _ending: str) -> bytes:
    layers = rows.layers or []
    rows.notes.append(
        "TensorRT-LLM takes it as moe_config.load_balancer, with "
        f"moe_expert_parallel_size {rows.plan.num_gpus}; it must name every MoE layer: here "
        f"{_counted(layers)} (a layer of multi-token prediction counts on from the last hidden one)"
    )
    lines = [
        f"{_SLOTS}: {rows.plan.num_replicas}",
        f"{_ASSIGNMENTS}:",
        *(f"  {layer}: {row}" for layer, row in zip(layers, rows.table, strict=True)),
        f"{_UPDATES}: 0",
    ]
    return ("\n".join(lines) + "\n").encode()


def _ascend_content(rows: _Rows, _ending: str) -> bytes:
    per_gpu = rows.plan.num_replicas // rows.plan.num_gpus
    layer_list = []
    for layer, row in enumerate(rows.table):
        devices = [row[first : first + per_gpu] for first in range(0, len(row), per_gpu)]
        _refuse_duplicates(layer, devices)
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
        f"vllm-ascend takes it as eplb_config.expert_map_path, on {rows.plan.num_gpus} devices; "
        f"layer_id 0 to {len(layer_list) - 1} count the MoE layers alone"
    )
    return _json({"moe_layer_count": len(layer_list), "layer_list": layer_list})


def _refuse_duplicates(layer: int, devices: list[list[int]]) -> None:
    for device, experts in enumerate(devices):
        seen: dict[int, int] = {}
        for place, expert in enumerate(experts):
            if expert in seen:
                slots = [device * len(experts) + at for at in (seen[expert], place)]
                raise PlanFileError(
                    f"layer {layer}: device {device} holds expert {expert} twice (slots {slots[0]} "
                    f"and {slots[1]}), and vllm-ascend would send its tokens to a wrong expert "
                    "without a word; plan with fewer spare slots, or by a policy that shows no "
                    "duplicates",
                    layer,
                    slots[1],
                    expert,
                )
            seen[expert] = place


def _rtp_content(rows: _Rows, _ending: str) -> bytes:
    plan = rows.plan
    spares = plan.num_replicas - plan.num_experts
    if spares > plan.num_experts:
        raise PlanFileError(
            f"RTP-LLM takes at most as many spare slots as experts: the plan has {spares} for "
            f"{plan.num_experts} experts; plan with at most {2 * plan.num_experts} slots"
        )
    rows.notes.append(
        f"RTP-LLM takes it as --phy2log_path, and also needs --redundant_expert {spares}"
    )
    return _json(rows.table)


def _vllm_content(rows: _Rows, _ending: str) -> bytes:
    rows.notes.append("no released vLLM loads a placement: this is the layout of an open proposal")
    return _json(rows.table)


# -- Reading --------------------------------------------------------------------------------------


def load_engine_file(
    path: str | PathLike[str],
    format: str,  # noqa: A002
    *,
    num_gpus: int | None = None,
    num_groups: int = 1,
    num_nodes: int = 1,
    layers: Sequence[int] | None = None,
) -> EngineFile:
    """Reads the placement that an engine loads. Files of strangers are safe to read.

    Args:
        path: the file; its ending must be one of the format's.
        format: one of ``FORMATS``, but for ``plan``: see :func:`eplb.load_plan`.
        num_gpus: GPUs of all nodes; not needed for ``vllm-ascend``, which names its devices.
        num_groups: as for :meth:`eplb.Plan.from_phy2log`.
        num_nodes: as for :meth:`eplb.Plan.from_phy2log`.
        layers: which hidden layers to read, ascending; by default all that are there.

    Raises:
        PlanFileError: it holds no placement of these sizes; the message says what is wrong where.
        TopologyError, TypeError: the sizes are none. OSError: the file cannot be read.
    """
    kind = _format(format)
    if format == "plan":
        raise PlanFileError("a plan file says its own sizes: read it with eplb.load_plan")
    sizes = {
        "num_groups": whole_number("num_groups", num_groups),
        "num_nodes": whole_number("num_nodes", num_nodes),
    }
    gpus = None if num_gpus is None else whole_number("num_gpus", num_gpus)
    wanted = None if layers is None else _ascending(layers)
    source = Path(path)
    ending = _ending(source, format, kind)
    with source.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    labels: list[int] | None = None
    try:
        found = kind.read(content, ending)
        table = _table(found)
        labels = list(range(len(table))) if kind.rows == "hidden" else found.layers
        if wanted is not None:
            table, labels = _selected(table, labels, wanted)
        plan = Plan.from_phy2log(table, num_gpus=_gpus(gpus, found), **sizes)
    except EplbError as error:
        where = _hidden_place(error.layer, labels)
        place = (error.layer, error.slot, error.expert)
        raise PlanFileError(f"{source}: {error}{where}", *place) from error
    return EngineFile(plan, None if labels is None else tuple(labels))


def _hidden_place(layer: int | None, labels: list[int] | None) -> str:
    """Which hidden layer an error about a row of the plan is about, where that is another number."""
    if layer is None or labels is None or labels[layer : layer + 1] in ([], [layer]):
        return ""
    return f" (hidden layer {labels[layer]})"


def _gpus(num_gpus: int | None, found: _Found) -> int:
    gpus = num_gpus or found.num_gpus
    if gpus is None:
        raise PlanFileError("it does not say for how many GPUs it is: give num_gpus")
    if found.num_gpus not in (None, gpus):
        raise PlanFileError(f"it is for {found.num_gpus} devices, not for num_gpus={gpus}")
    return gpus


def _selected(
    table: list[list[int]], labels: list[int] | None, wanted: list[int]
) -> tuple[list[list[int]], list[int]]:
    """The rows of the hidden layers that are wanted."""
    if labels is None:
        raise PlanFileError(
            "it names no hidden layers, so that none can be chosen: leave out layers"
        )
    rows = dict(zip(labels, table, strict=True))
    if missing := [layer for layer in wanted if layer not in rows]:
        raise PlanFileError(f"it lacks {_counted(missing)}; it has {_counted(labels)}")
    return [rows[layer] for layer in wanted], wanted


def _table(found: _Found) -> list[list[int]]:
    """The rows, once they are lists of so many experts' numbers, all alike in length."""
    rows = found.rows
    if not isinstance(rows, list) or not rows:
        raise PlanFileError(f"a list of layers is needed, it holds {_kind(rows)}")
    if len(rows) > MAX_HIDDEN_LAYERS:
        raise PlanFileError(f"it holds {len(rows)} layers; at most {MAX_HIDDEN_LAYERS} are read")
    labels = found.layers or list(range(len(rows)))
    for layer, row in zip(labels, rows, strict=True):
        if not isinstance(row, list) or not row:
            raise PlanFileError(f"layer {layer}: a list of slots is needed, it is {_kind(row)}")
        if len(row) != len(rows[0]):
            raise PlanFileError(
                f"layer {layer} has {len(row)} slots, layer {labels[0]} has {len(rows[0])}"
            )
    if len(rows) * len(rows[0]) > MAX_CELLS:
        raise PlanFileError(f"it holds more than {MAX_CELLS} slots")
    for layer, row in zip(labels, rows, strict=True):
        for slot, expert in enumerate(row):
            if type(expert) is not int or not 0 <= expert < 2**31:
                raise PlanFileError(
                    f"layer {layer}, slot {slot}: {_kind(expert)} is there; the number of an expert is "
                    "needed, from 0"
                )
    return rows


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return short(value)


def _text_values(content: bytes) -> Any:
    """Strict JSON of a limited size."""
    if len(content) > MAX_TEXT_BYTES:
        raise PlanFileError(f"it holds more than {MAX_TEXT_BYTES} bytes of text")
    return parse_json(content)


def _object(what: str, values: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """``values`` if it is an object that has these keys."""
    if not isinstance(values, dict):
        raise PlanFileError(f"{what} must be an object with keys, it is {_kind(values)}")
    if missing := [key for key in keys if key not in values]:
        raise PlanFileError(f"{what} lacks {', '.join(missing)}")
    return values


def _refuse_other_keys(engine: str, values: dict[Any, Any], keys: tuple[str, ...]) -> None:
    if others := [short(key) for key in values if key not in keys]:
        raise PlanFileError(
            f"{engine} takes no key {', '.join(others[:8])} beside {', '.join(keys)}"
        )


def _sglang_found(content: bytes, ending: str) -> _Found:
    values = _text_values(content) if ending == ".json" else _pt_values(content)
    if isinstance(values, dict) and _MAP not in values and "logical_count" in values:
        raise PlanFileError(
            "it holds loads (logical_count) and no placement: SGLang plans from them"
        )
    values = _object("the file", values, (_MAP,))
    _refuse_other_keys("SGLang", values, (_MAP,))
    return _Found(_listed(values[_MAP]))


def _listed(rows: Any) -> Any:
    """A tensor as lists."""
    if not tensors.is_tensor(rows):
        return rows
    try:
        cells, shape = rows.numel(), list(rows.shape)
        if cells > MAX_CELLS:
            raise PlanFileError(f"it holds {cells} slots; at most {MAX_CELLS} are read")
        if len(shape) != 2 or rows.is_floating_point() or rows.is_complex():
            raise PlanFileError(
                f"a table [layers, slots] of integers is needed, it is {rows.dtype} of {shape}"
            )
        return tensors.tensor_array(rows)[0].tolist()
    except (TypeError, RuntimeError) as error:  # sparse, nested, of no device
        raise PlanFileError("a plain tensor [layers, slots] of integers is needed") from error


def _pt_values(content: bytes) -> Any:
    """What is in a .pt file: tensors and plain values, nothing that a pickle could do beside."""
    torch = _torch("to read a .pt file")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total <= MAX_BYTES:
            with warnings.catch_warnings(action="ignore"):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # decoders raise whatever strange bytes lead them to
        raise PlanFileError(
            "it is no .pt file of tensors and plain values, as torch.save writes them"
        ) from error
    raise PlanFileError(f"its tensors hold {total} bytes; at most {MAX_BYTES} are read")


def _trtllm_found(content: bytes, _ending: str) -> _Found:
    values = _object("the file", _yaml_values(content), (_SLOTS, _ASSIGNMENTS))
    _refuse_other_keys("TensorRT-LLM", values, (_SLOTS, _ASSIGNMENTS, _UPDATES))
    if type(values.get(_UPDATES, 0)) is not int:
        raise PlanFileError(f"{_UPDATES} must be a whole number, it is {_kind(values[_UPDATES])}")
    assignments = values[_ASSIGNMENTS]
    if not isinstance(assignments, dict) or not assignments:
        raise PlanFileError(
            f"{_ASSIGNMENTS} must have a list of slots for each layer, it is {_kind(assignments)}"
        )
    for layer, row in assignments.items():
        if type(layer) is not int or not 0 <= layer < MAX_HIDDEN_LAYERS:
            raise PlanFileError(f"{_ASSIGNMENTS}: {short(layer)} is no number of a hidden layer")
        if not isinstance(row, list) or len(row) != values[_SLOTS]:
            length = f"has {len(row)} slots" if isinstance(row, list) else f"is {_kind(row)}"
            raise PlanFileError(f"layer {layer} {length}, {_SLOTS} is {_kind(values[_SLOTS])}")
    layers = sorted(assignments)
    return _Found([assignments[layer] for layer in layers], layers)


_YAML_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
# The file, its assignments, a row: nothing lies deeper.
_YAML_DEPTH = 3


def _yaml_values(content: bytes) -> Any:
    """Mappings, lists, numbers and names of a YAML file; no tags, anchors or aliases.

    PyYAML only splits the text into its parts. No constructor of its is called, and what the text
    could make of itself (an alias can stand for billions of cells) is refused on sight.
    """
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise PlanFileError("PyYAML is needed to read it: pip install pyyaml") from error
    if len(content) > MAX_YAML_BYTES:
        raise PlanFileError(f"it holds more than {MAX_YAML_BYTES} bytes of YAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = yaml.parse(content, Loader=loader)
        kinds = [next(events), next(events)]
        if not isinstance(kinds[1], yaml.DocumentStartEvent):
            raise PlanFileError("it is empty")
        values = _yaml_node(yaml, next(events), events, _YAML_DEPTH)
        next(events)
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise PlanFileError("it holds more than one document")
    except PlanFileError:
        raise
    except Exception as error:  # the parser raises what strange bytes lead it to
        reason = " ".join(str(error).split())[:200]
        raise PlanFileError(f"no YAML that can be read: {reason}") from error
    return values


def _yaml_node(yaml: Any, event: Any, events: Iterator[Any], depth: int) -> Any:
    """The value that begins with an event, ``depth`` levels of lists and mappings at most."""
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise PlanFileError(f"line {line}: anchors and aliases are not read")
    if event.tag is not None:
        raise PlanFileError(f"line {line}: tags are not read")
    if isinstance(event, yaml.ScalarEvent):
        plain = event.style in {None, ""}
        return int(event.value) if plain and _YAML_NUMBER.fullmatch(event.value) else event.value
    if depth == 0:
        raise PlanFileError(f"line {line}: it is nested too deeply")
    if isinstance(event, yaml.SequenceStartEvent):
        ends = yaml.SequenceEndEvent
        return [_yaml_node(yaml, item, events, depth - 1) for item in _until(events, ends)]
    mapping: dict[Any, Any] = {}
    for item in _until(events, yaml.MappingEndEvent):
        if not isinstance(item, yaml.ScalarEvent):
            raise PlanFileError(f"line {item.start_mark.line + 1}: a key is no name or number")
        key = _yaml_node(yaml, item, events, 0)
        if key in mapping:
            raise PlanFileError(
                f"line {item.start_mark.line + 1}: the key {short(key)} is there twice"
            )
        mapping[key] = _yaml_node(yaml, next(events), events, depth - 1)
    return mapping


def _until(events: Iterator[Any], end: type) -> Iterator[Any]:
    while not isinstance(event := next(events), end):
        yield event


def _ascend_found(content: bytes, _ending: str) -> _Found:
    values = _object("the file", _text_values(content), ("moe_layer_count", "layer_list"))
    layers = _list("layer_list", values["layer_list"])
    _same("moe_layer_count", values["moe_layer_count"], len(layers))
    rows = []
    num_gpus = 0
    for place, layer in enumerate(layers):
        what = f"layer {place}"
        layer = _object(what, layer, ("layer_id", "device_count", "device_list"))  # noqa: PLW2901
        _same(f"{what}: layer_id", layer["layer_id"], place)
        devices = _list(f"{what}: device_list", layer["device_list"])
        _same(f"{what}: device_count", layer["device_count"], len(devices))
        num_gpus = num_gpus or len(devices)
        if len(devices) != num_gpus:
            raise PlanFileError(f"{what} has {len(devices)} devices, layer 0 has {num_gpus}")
        rows.append(_devices_row(place, devices))
    return _Found(rows, num_gpus=num_gpus)


def _devices_row(layer: int, devices: list[Any]) -> list[Any]:
    """The slots of a layer, device after device."""
    held: list[list[Any]] = []
    for place, device in enumerate(devices):
        what = f"layer {layer}, device {place}"
        values = _object(what, device, ("device_id", "device_expert"))
        _same(f"{what}: device_id", values["device_id"], place)
        held.append(_list(f"{what}: device_expert", values["device_expert"]))
        if len(held[-1]) != len(held[0]):
            raise PlanFileError(f"{what} has {len(held[-1])} experts, device 0 has {len(held[0])}")
        if any(type(expert) is not int for expert in held[-1]):
            raise PlanFileError(f"{what}: device_expert must hold the numbers of experts alone")
    _refuse_duplicates(layer, held)
    return [expert for experts in held for expert in experts]


def _list(what: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise PlanFileError(f"{what} must be a list, it is {_kind(values)}")
    return values


def _same(what: str, said: Any, found: int) -> None:
    if type(said) is not int or said != found:
        raise PlanFileError(f"{what} is {_kind(said)}; by its place or length it is {found}")


def _lists_found(content: bytes, _ending: str) -> _Found:
    return _Found(_text_values(content))


def _rtp_found(content: bytes, _ending: str) -> _Found:
    rows = _text_values(content)
    experts = {cell for cell in rows[0] if type(cell) is int} if _has_row(rows) else set()
    if experts and len(rows[0]) > 2 * len(experts):
        raise PlanFileError(
            f"RTP-LLM takes at most as many spare slots as experts: it has {len(rows[0])} slots for "
            f"{len(experts)} experts"
        )
    return _Found(rows)


def _has_row(rows: Any) -> bool:
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], list)


# -- The layers of a model ------------------------------------------------------------------------

# Models all of whose hidden layers are MoE layers, by model_type.
_ALL_MOE = ("gpt_oss", "granitemoe", "mixtral", "minimax_m2", "olmoe", "phimoe")


def moe_layers_of(config_path: str | PathLike[str]) -> ModelLayers:
    """Which hidden layers are MoE layers, from the ``config.json`` of a model on Hugging Face.

    Known are the kinds of DeepSeek (``first_k_dense_replace``, ``moe_layer_freq``), of Qwen
    (``decoder_sparse_step``, ``mlp_only_layers``), and Mixtral, gpt-oss, OLMoE and others that have
    experts in every layer. Layers of multi-token prediction are not counted.

    Raises:
        PlanFileError: it does not tell; OSError: the file cannot be read.
    """
    path = Path(config_path)
    with path.open("rb") as stream:
        content = stream.read(MAX_YAML_BYTES + 1)
    try:
        if len(content) > MAX_YAML_BYTES:
            raise PlanFileError(f"it holds more than {MAX_YAML_BYTES} bytes")
        return _model_layers(parse_json(content))
    except PlanFileError as error:
        raise PlanFileError(f"{path}: {error}") from error


def _model_layers(values: Any) -> ModelLayers:
    config = _object("the configuration", values, ())
    if "num_hidden_layers" not in config and isinstance(config.get("text_config"), dict):
        config = config["text_config"]  # of a model that also sees or hears
    total = _setting(config, "num_hidden_layers", least=1)
    if config.get("first_k_dense_replace") is not None:
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
            f"which layers of model_type {short(config.get('model_type'))} are MoE layers it does not "
            "tell in a way that is known here (first_k_dense_replace, decoder_sparse_step, or one of "
            f"{', '.join(_ALL_MOE)}): name the layers"
        )
    counts = [config[key] for key in ("n_routed_experts", "num_experts") if key in config]
    if not moe or not all(counts):
        raise PlanFileError("none of its layers is a MoE layer")
    return ModelLayers(tuple(moe), total)


def _setting(config: dict[str, Any], name: str, default: int | None = None, least: int = 0) -> int:
    value = config.get(name, default)
    if type(value) is not int or not least <= value <= MAX_HIDDEN_LAYERS:
        raise PlanFileError(
            f"{name} is {_kind(value)}; a whole number from {least} to {MAX_HIDDEN_LAYERS} is needed"
        )
    return value


def _dense_layers(config: dict[str, Any]) -> set[int]:
    layers = config.get("mlp_only_layers") or []
    if not isinstance(layers, list) or any(type(layer) is not int for layer in layers):
        raise PlanFileError(f"mlp_only_layers must be a list of layers, it is {short(layers)}")
    return set(layers)


# -- Arguments ------------------------------------------------------------------------------------


def _format(name: Any) -> Format:
    if not isinstance(name, str) or name not in FORMATS:
        raise PlanFileError(
            f"there is no format {short(name)}; the formats are {', '.join(FORMATS)}"
        )
    return FORMATS[name]


def _ending(path: Path, name: str, kind: Format) -> str:
    if path.suffix not in kind.endings:
        raise PlanFileError(
            f"{path.name!r} does not end in {' or '.join(kind.endings)}, as a file of {name} must"
        )
    return path.suffix


def _hidden_layers(number: Any) -> int:
    total = whole_number("num_hidden_layers", number, PlanFileError)
    if total > MAX_HIDDEN_LAYERS:
        raise PlanFileError(f"num_hidden_layers={total} is too large: at most {MAX_HIDDEN_LAYERS}")
    return total


def _ascending(layers: Sequence[int]) -> list[int]:
    """Hidden layers as plain ints, each larger than the one before."""
    try:
        array = np.asarray(layers)
    except ValueError:
        array = np.empty(0)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise PlanFileError(f"layers must be whole numbers in a list, got {short(layers)}")
    numbers: list[int] = array.tolist()
    for before, layer in pairwise(numbers):
        if layer <= before:
            raise PlanFileError(f"layers must ascend: {layer} comes after {before}")
    if numbers[0] < 0 or numbers[-1] >= MAX_HIDDEN_LAYERS:
        raise PlanFileError(
            f"layers are from 0 to {MAX_HIDDEN_LAYERS - 1}, got {numbers[0]} to {numbers[-1]}"
        )
    return numbers


def _torch(what_for: str) -> Any:
    try:
        return import_module("torch")
    except ImportError as error:
        raise PlanFileError(f"torch is needed {what_for}: pip install 'eplb[torch]'") from error


def _elsewhere(*_: object) -> Any:
    raise NotImplementedError  # plan files are written and read by plan_files


#: The formats by name.
FORMATS: dict[str, Format] = {
    "plan": Format(
        (".json", ".npz"),
        "eplb's own: the plan with its certificate, for eplb verify",
        "moe",
        _elsewhere,
        _elsewhere,
    ),
    "sglang": Format(
        (".json", ".pt"),
        "SGLang's --init-expert-location; a row for every hidden layer",
        "hidden",
        _sglang_content,
        _sglang_found,
    ),
    "trtllm": Format(
        (".yaml", ".yml"),
        "TensorRT-LLM's moe_config.load_balancer; names its hidden layers",
        "named",
        _trtllm_content,
        _trtllm_found,
    ),
    "vllm-ascend": Format(
        (".json",),
        "vllm-ascend's expert_map_path, also MindIE's; MoE layers in order",
        "moe",
        _ascend_content,
        _ascend_found,
    ),
    "rtp-llm": Format(
        (".json",),
        "RTP-LLM's phy2log_path; a row for every hidden layer",
        "hidden",
        _rtp_content,
        _rtp_found,
    ),
    "vllm": Format(
        (".json",),
        "lists of an open proposal to vLLM; MoE layers in order",
        "moe",
        _vllm_content,
        _lists_found,
    ),
}
