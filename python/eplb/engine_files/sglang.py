"""SGLang's ``--init-expert-location``: one key, a row of slots for every hidden layer."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

from eplb import tensors
from eplb.errors import PlanFileError
from eplb.npy_files import MAX_BYTES

from .checks import json_content, json_values, object_with, refuse_other_keys, torch_module
from .format import MAX_CELLS, Found, Rows

_MAP = "physical_to_logical_map"


def write(rows: Rows, ending: str) -> bytes:
    """The file's bytes."""
    spares = rows.plan.num_replicas - rows.plan.num_experts
    also = f"--ep-size {rows.plan.num_gpus}"
    if spares:
        also += f" --ep-num-redundant-experts {spares}"
    rows.notes.append(f"SGLang takes it as --init-expert-location, and also needs {also}")
    if ending == ".json":
        return json_content({_MAP: rows.table})
    torch = torch_module("to write a .pt file")
    stream = io.BytesIO()
    torch.save({_MAP: torch.tensor(rows.table, dtype=torch.int64)}, stream)
    return stream.getvalue()


def read(content: bytes, ending: str) -> Found:
    """What the file holds."""
    values = json_values(content) if ending == ".json" else _pt_values(content)
    if isinstance(values, dict) and _MAP not in values and "logical_count" in values:
        raise PlanFileError(
            "it holds loads (logical_count) and no placement: SGLang plans from them"
        )
    values = object_with("the file", values, (_MAP,))
    refuse_other_keys("SGLang", values, (_MAP,))
    return Found(_listed(values[_MAP]))


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
    torch = torch_module("to read a .pt file")
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
