"""Files in the place of others: what an object in a file is, by its keys."""

from __future__ import annotations

from typing import Any

#: The keys of a placement of SGLang, which records of loads may have too.
SGLANG_MAP = frozenset({"physical_to_logical_map"})

_KNOWN = {
    frozenset({"phy2log", "logcnt"}): "a plan",
    frozenset({"format", "decay", "layers"}): "a history",
    frozenset({"format", "columns", "rows"}): "a list of transfers",
    frozenset({"plan", "phy2log"}): "a plan",
    SGLANG_MAP: "a placement of SGLang",
    frozenset({"moe_layer_count", "layer_list"}): "a placement of vllm-ascend",
    frozenset({"num_hidden_layers"}): "a model's config.json",
    frozenset({"num_experts", "num_experts_per_token"}): "a part of TensorRT-LLM's statistics",
}
_LOADS = ("counts", "load", "logical_count", "load_history")


def what_it_is(values: Any, *, besides: frozenset[str] = frozenset()) -> str | None:
    """What an object is, in words; None if that is not known.

    Args:
        values: the content of a file.
        besides: keys that say nothing here.
    """
    if not isinstance(values, dict):
        return None
    found = (what for keys, what in _KNOWN.items() if keys != besides and keys <= values.keys())
    return next(found, None)


def what_else(values: Any) -> str | None:
    """The same for an object that is not loads either, if it has some under a usual name."""
    loads = isinstance(values, dict) and any(key in values for key in _LOADS)
    return what_it_is(values) or ("a load table" if loads else None)
