"""The placement under which an engine counted slots: any placement file, recognised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.engines.all_engines import FORMATS
from eplb.errors import EplbError, LoadError, PlanFileError
from eplb.load_files.slots import SlotMap, slot_map
from eplb.storage import plan_file
from eplb.storage.decode import bytes_of, values_of
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

#: Names of a placement in the files of engines.
MAP_KEYS = ("physical_to_logical_map", "last_physical_to_logical_map", "phy2log")

_SWAPPED = "is this a load table, and are the arguments swapped?"


def read_map(path: str | PathLike[str]) -> SlotMap:
    """The placement in a plan file, an engine's placement file, or a table ``[layers, slots]``.

    Raises:
        LoadError: it has none. OSError: it cannot be read.
    """
    source = Path(path)
    content = bytes_of(source)
    try:
        return _map(content, source)
    except EplbError as error:
        raise error.within(str(path), kind=LoadError) from error


def _map(content: bytes, source: Path) -> SlotMap:
    name = str(source)
    if source.suffix in FORMATS["trtllm"].endings:
        return _decoded(content, source, "trtllm")
    values = values_of(content, source.suffix.lower())
    if isinstance(values, dict):
        if values.get("format") == plan_file.FORMAT or "plan" in values:
            placement = plan_file.read(source).placement
            return slot_map(placement.phy2log(), name)
        if "layer_list" in values:
            return _decoded(content, source, "vllm-ascend")
        for key in MAP_KEYS:
            if key in values:
                return slot_map(values[key], name)
        raise LoadError(
            "this is not a placement; expected a plan file, a placement file of an engine, or a "
            "table of expert numbers [layers, slots]"
        )
    return slot_map(values, name)


def _decoded(content: bytes, source: Path, format_name: str) -> SlotMap:
    decoded = FORMATS[format_name].read(content, source.suffix)
    found = slot_map(decoded.rows, str(source))
    return found if decoded.layers is None else replace(found, layers=tuple(decoded.layers))


def is_table(path: str | PathLike[str]) -> bool:
    """Whether a file of arrays is neither a plan nor a placement of SGLang."""
    source = Path(path)
    if source.suffix.lower() not in (".npy", ".npz", ".pt", ".csv"):
        return False
    try:
        values = values_of(bytes_of(source), source.suffix.lower())
    except LoadError:
        return False  # the reader of plans, or of SGLang's file, says what is wrong
    return not (
        isinstance(values, dict) and ("plan" in values or FORMATS["sglang"].recognises(values))
    )


def read_table(path: str | PathLike[str], hidden: Sequence[int] | None) -> list[list[int]]:
    """A placement ``[layers, slots]`` in a file that :func:`read_map` reads, as plain ints.

    Args:
        path: the file.
        hidden: the hidden layers to read, if they are known; by default all that are there.

    Raises:
        PlanFileError: it has none. OSError: it cannot be read.
    """
    try:
        found = read_map(path)
    except LoadError as error:
        raise PlanFileError(*error.parts, hint=error.hint or [_SWAPPED]) from error
    if found.phy2log.ndim != 2:
        raise PlanFileError(
            f"{path}: it has {count(len(found.phy2log), 'window')}, but a placement is [layers, slots]",
            hint=[_SWAPPED],
        )
    rows = len(hidden or ())
    if hidden is not None and rows != found.num_layers > max(hidden):
        found = replace(found, phy2log=found.for_rows(rows, hidden))
    table: list[list[int]] = found.phy2log.tolist()
    return table


def beside(values: Any) -> Any:
    """The placement in a dict of named tables; None if it has none."""
    if not isinstance(values, dict):
        return None
    return next((values[key] for key in MAP_KEYS if key in values), None)


def is_identity(phy2log: Any) -> bool:
    """Whether each slot has the expert of its number."""
    table = np.asarray(phy2log)
    return bool((table == np.arange(table.shape[-1])).all())
