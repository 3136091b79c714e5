"""JSON lists of slots: RTP-LLM's ``phy2log_path``, and an open proposal to vLLM."""

from __future__ import annotations

from typing import Any

from eplb.errors import PlanFileError

from .checks import json_content, json_values
from .format import Found, Rows


def write_rtp_llm(rows: Rows, _ending: str) -> bytes:
    """The bytes of a file for RTP-LLM."""
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
    return json_content(rows.table)


def read_rtp_llm(content: bytes, _ending: str) -> Found:
    """What a file for RTP-LLM holds."""
    rows = json_values(content)
    experts = {cell for cell in rows[0] if type(cell) is int} if _has_row(rows) else set()
    if experts and len(rows[0]) > 2 * len(experts):
        raise PlanFileError(
            f"RTP-LLM takes at most as many spare slots as experts: it has {len(rows[0])} slots for "
            f"{len(experts)} experts"
        )
    return Found(rows)


def _has_row(rows: Any) -> bool:
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], list)


def write_vllm(rows: Rows, _ending: str) -> bytes:
    """The bytes of a file for vLLM."""
    rows.notes.append("no released vLLM loads a placement: this is the layout of an open proposal")
    return json_content(rows.table)


def read_vllm(content: bytes, _ending: str) -> Found:
    """What a file for vLLM holds."""
    return Found(json_values(content))
