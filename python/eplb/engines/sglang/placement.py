"""SGLang's ``--init-expert-location``: one key, a row of slots for every hidden layer."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

from eplb import limits
from eplb.engines.engine import DecodedPlacement, PlacementRows
from eplb.engines.json_values import (
    json_bytes,
    json_values,
    object_with,
    refuse_other_keys,
    torch_module,
)
from eplb.errors import PlanFileError
from eplb.inputs import tensors

_MAP = "physical_to_logical_map"


def write(rows: PlacementRows, ending: str) -> bytes:
    """The bytes of the file."""
    redundant = rows.num_replicas - rows.num_experts
    also = f"--ep-size {rows.num_gpus}"
    if redundant:
        also += f" --ep-num-redundant-experts {redundant}"
    rows.notes.append(f"SGLang takes it as --init-expert-location, and also needs {also}")
    if ending == ".json":
        return json_bytes({_MAP: rows.table})
    torch = torch_module("to write a .pt file")
    stream = io.BytesIO()
    torch.save({_MAP: torch.tensor(rows.table, dtype=torch.int64)}, stream)
    return stream.getvalue()


def recognises(values: Any) -> bool:
    """Whether the content of a file has the map, or the loads that SGLang takes in its place."""
    return isinstance(values, dict) and (_MAP in values or "logical_count" in values)


def read(content: bytes, ending: str) -> DecodedPlacement:
    """The placement in the file.

    Raises:
        PlanFileError: it is not such a file.
    """
    values = json_values(content) if ending == ".json" else _pt_values(content)
    if isinstance(values, dict) and _MAP not in values and "logical_count" in values:
        raise PlanFileError(
            "this is a load table (logical_count), not a placement; are the arguments swapped?"
        )
    values = object_with("the file", values, (_MAP,))
    refuse_other_keys("SGLang", values, (_MAP,))
    return DecodedPlacement(_listed(values[_MAP]))


def _listed(rows: Any) -> Any:
    """A tensor as lists."""
    if not tensors.is_tensor(rows):
        return rows
    try:
        cells, shape = rows.numel(), list(rows.shape)
        if cells > limits.MAX_PLACEMENT_SLOTS:
            raise PlanFileError(
                f"it holds {cells} slots; at most {limits.MAX_PLACEMENT_SLOTS} are read"
            )
        if len(shape) != 2 or rows.is_floating_point() or rows.is_complex():
            raise PlanFileError(
                f"expected a table [layers, slots] of integers, found {rows.dtype} of {shape}"
            )
        return tensors.tensor_array(rows)[0].tolist()
    except (TypeError, RuntimeError) as error:  # sparse, nested, on no device
        raise PlanFileError("expected a plain tensor [layers, slots] of integers") from error


def _pt_values(content: bytes) -> Any:
    """The values in a .pt file: tensors and plain values; no other pickle is loaded."""
    torch = torch_module("to read a .pt file")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            total = sum(member.file_size for member in archive.infolist())
        if total <= limits.MAX_FILE_BYTES:
            with warnings.catch_warnings(action="ignore"):
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # for strange bytes decoders can raise anything
        raise PlanFileError(
            "it is not a .pt file of tensors and plain values, as torch.save writes them"
        ) from error
    raise PlanFileError(f"its tensors hold {total} bytes; at most {limits.MAX_FILE_BYTES} are read")
