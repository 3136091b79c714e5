"""A placement as an open proposal to vLLM has it: JSON lists of slots, MoE layers in order."""

from __future__ import annotations

from eplb.engines.engine import DecodedPlacement, PlacementRows
from eplb.engines.json_values import json_bytes, json_values


def write(rows: PlacementRows, _ending: str) -> bytes:
    """The bytes of the file."""
    rows.notes.append("no released vLLM loads a placement: this is the layout of an open proposal")
    return json_bytes(rows.table)


def read(content: bytes, _ending: str) -> DecodedPlacement:
    """The placement in the file.

    Raises:
        PlanFileError: it is not JSON.
    """
    return DecodedPlacement(json_values(content))
