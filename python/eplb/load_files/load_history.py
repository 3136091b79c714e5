"""Load histories: JSON ``{"load_history": [{"logical_expert_load": [[...], ...]}, ...]}``."""

from __future__ import annotations

from typing import Any

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError


def is_history(values: Any) -> bool:
    """Whether the content of a file is a load history."""
    return isinstance(values, dict) and "load_history" in values


def read(values: Any) -> DecodedLoads:
    """The windows of a load history.

    Raises:
        LoadError: it is not one.
    """
    if not isinstance(values, dict) or "load_history" not in values:
        raise LoadError("it is not a load history: it has no key 'load_history'")
    history = values["load_history"]
    if not isinstance(history, list) or not history:
        raise LoadError("'load_history' must be a list with at least one window")
    for window, entry in enumerate(history):
        if not isinstance(entry, dict) or not isinstance(entry.get("logical_expert_load"), list):
            raise LoadError(f"window {window}: it has no table 'logical_expert_load'")
    return DecodedLoads([entry["logical_expert_load"] for entry in history])
