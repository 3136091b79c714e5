"""Dumps of SGLang's expert distribution recorder, as ``torch.save`` wrote them.

Mode ``stat`` has ``logical_count [windows, hidden layers, experts]``, dense layers as rows of zeros.
The modes ``per_pass`` and ``per_token`` have ``records``, which are not counts of experts.
"""

from __future__ import annotations

from typing import Any

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError


def is_dump(values: Any) -> bool:
    """Whether the content of a file is a dump of the recorder."""
    return isinstance(values, dict) and (_is_stat(values) or _is_detail(values))


def read(values: Any) -> DecodedLoads:
    """The counts in a dump.

    Raises:
        LoadError: it is not a dump of mode ``stat``.
    """
    if not isinstance(values, dict) or not is_dump(values):
        raise LoadError(
            "it is not a dump of SGLang's recorder: it has no 'logical_count' with 'rank'"
        )
    if _is_detail(values):
        raise LoadError(
            "it has records of single passes or tokens, not counts",
            hint=["record with --expert-distribution-recorder-mode stat"],
        )
    return DecodedLoads(values["logical_count"])


def _is_stat(values: dict[Any, Any]) -> bool:
    return "logical_count" in values and (
        "rank" in values or "average_utilization_rate_over_window" in values
    )


def _is_detail(values: dict[Any, Any]) -> bool:
    return {"records", "last_physical_to_logical_map"} <= values.keys()
