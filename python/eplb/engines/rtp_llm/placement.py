"""RTP-LLM's ``phy2log_path``: JSON lists of slots, a row for every hidden layer."""

from __future__ import annotations

from typing import Any

from eplb.engines.engine import DecodedPlacement, PlacementRows
from eplb.engines.json_values import json_bytes, json_values
from eplb.errors import Parameter, PlanFileError
from eplb.text import count


def write(rows: PlacementRows, _ending: str) -> bytes:
    """The bytes of the file.

    Raises:
        PlanFileError: there are more redundant slots than experts.
    """
    redundant = rows.num_replicas - rows.num_experts
    if redundant > rows.num_experts:
        most = Parameter("num_replicas", str(2 * rows.num_experts))
        raise PlanFileError(
            f"the plan has {count(redundant, 'redundant slot')} for {count(rows.num_experts, 'expert')}; RTP-LLM takes "
            "at most as many redundant slots as experts",
            hint=["plan with at most ", most],
        )
    rows.notes.append(
        f"RTP-LLM takes it as --phy2log_path, and also needs --redundant_expert {redundant}"
    )
    return json_bytes(rows.table)


def read(content: bytes, _ending: str) -> DecodedPlacement:
    """The placement in the file.

    Raises:
        PlanFileError: it is not JSON, or has more redundant slots than experts.
    """
    rows = json_values(content)
    experts = {cell for cell in rows[0] if type(cell) is int} if _has_row(rows) else set()
    if experts and len(rows[0]) > 2 * len(experts):
        raise PlanFileError(
            f"it has {count(len(rows[0]), 'slot')} for {count(len(experts), 'expert')}; RTP-LLM takes at most as many "
            "redundant slots as experts"
        )
    return DecodedPlacement(rows)


def _has_row(rows: Any) -> bool:
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], list)
