"""Load histories: JSON ``{"load_history": [{"logical_expert_load": [[...], ...]}, ...]}``."""

from __future__ import annotations

from typing import Any

from eplb.errors import LoadError

from .found import Found


def is_history(values: Any) -> bool:
    """Whether a file of named values is a history."""
    return isinstance(values, dict) and "load_history" in values


def read(values: Any) -> Found:
    """The windows of a history."""
    if not isinstance(values, dict) or "load_history" not in values:
        raise LoadError("it is no load history: it has no key 'load_history'")
    history = values["load_history"]
    if not isinstance(history, list) or not history:
        raise LoadError("'load_history' must be a list of windows, with one at least")
    for window, entry in enumerate(history):
        if not isinstance(entry, dict) or not isinstance(entry.get("logical_expert_load"), list):
            raise LoadError(f"window {window}: it has no table 'logical_expert_load'")
    return Found([entry["logical_expert_load"] for entry in history])
