"""Recognises placement files, as dumps of loads are: by their ending, or by what a JSON file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb import limits
from eplb.engines.all_engines import FORMATS
from eplb.engines.json_values import json_values, kind_of
from eplb.errors import EplbError, PlanFileError
from eplb.storage.other_files import what_else
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike


def placement_format_of(path: str | PathLike[str], layers: Sequence[int] | None = None) -> str:
    """The name of a file's format, one of ``FORMAT_NAMES``.

    A file is taken for a plan unless its ending, or what a JSON file holds, is that of an engine. Lists
    of layers have two formats: all hidden layers (``rtp-llm``) or MoE layers (``vllm``).

    Args:
        path: the file.
        layers: the MoE layers, if they are known; another number of rows is one of all hidden layers.

    Raises:
        PlanFileError: a JSON file is no placement that is known here. OSError: it cannot be read.
    """
    source = Path(path)
    able = [name for name, kind in FORMATS.items() if source.suffix in kind.endings]
    if source.suffix != ".json":
        return able[0] if able else "plan"
    with source.open("rb") as stream:
        content = stream.read(limits.MAX_TEXT_BYTES + 1)
    if len(content) > limits.MAX_TEXT_BYTES:
        return "plan"  # no engine's file is so large
    try:
        return _format_of(json_values(content), able, layers)
    except EplbError as error:
        raise error.within(str(source), kind=PlanFileError) from error


def _format_of(values: Any, able: list[str], layers: Sequence[int] | None) -> str:
    if isinstance(values, dict) and ("format" in values or "phy2log" in values):
        return "plan"
    found = [name for name in able if FORMATS[name].recognises(values)]
    if not found and (what := what_else(values)):
        raise PlanFileError(f"this is {what}, not a placement; are the arguments swapped?")
    if not found:
        keys = f" with the keys {short([*values])}" if isinstance(values, dict) and values else ""
        raise PlanFileError(
            f"it is {kind_of(values)}{keys}; expected a plan file, or a placement of "
            f"{', '.join(able)}",
            hint=["are the arguments swapped?"],
        )
    of_all = isinstance(values, list) and layers is not None and len(values) != len(layers)
    wanted = "hidden" if of_all else "moe"
    return next((name for name in found if FORMATS[name].rows == wanted), found[0])
