"""Dumps of SGLang's expert distribution recorder, as ``torch.save`` wrote them.

In mode ``stat``: ``logical_count [windows, hidden layers, experts]``, dense layers as rows of zeros.
In the modes ``per_pass`` and ``per_token``: ``records``, which are no counts of experts.
"""

from __future__ import annotations

from typing import Any

from eplb.errors import LoadError

from .found import Found


def is_dump(values: Any) -> bool:
    """Whether a file of named values is a recorder's."""
    return isinstance(values, dict) and (_is_stat(values) or _is_detail(values))


def read(values: Any) -> Found:
    """The counts of a dump."""
    if not isinstance(values, dict) or not is_dump(values):
        raise LoadError(
            "it is no dump of SGLang's recorder: it has no 'logical_count' beside 'rank'"
        )
    if _is_detail(values):
        raise LoadError(
            "it records single passes or tokens, not counts: record with "
            "--expert-distribution-recorder-mode stat"
        )
    return Found(values["logical_count"])


def _is_stat(values: dict[Any, Any]) -> bool:
    return "logical_count" in values and (
        "rank" in values or "average_utilization_rate_over_window" in values
    )


def _is_detail(values: dict[Any, Any]) -> bool:
    return {"records", "last_physical_to_logical_map"} <= values.keys()
