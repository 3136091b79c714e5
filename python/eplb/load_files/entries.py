"""Which of the named arrays of a file are the loads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.errors import LoadError
from eplb.shown import short

from .found import Found

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Names under which loads are looked for in a file of several arrays.
KEYS = ("counts", "load", "logical_count")

# Files by keys that no loads have.
_OTHERS = {
    frozenset({"phy2log", "logcnt"}): "a plan",
    frozenset({"plan", "phy2log"}): "a plan",
    frozenset({"physical_to_logical_map"}): "a placement of SGLang",
    frozenset({"moe_layer_count", "layer_list"}): "a placement of vllm-ascend",
    frozenset({"num_hidden_layers"}): "a model's config.json",
    frozenset({"num_experts", "num_experts_per_token"}): "a part of TensorRT-LLM's statistics",
}


def entry(values: Any, key: str | None) -> Found:
    """The loads among named arrays, or layers; ``values`` itself where it has no names.

    An object of JSON whose keys are the numbers of layers is a table.

    Args:
        values: what the file holds.
        key: the name that is wanted; by default the only one, or the one of ``KEYS``.

    Raises:
        LoadError: there is none of this name, or it is not clear which.
    """
    if not isinstance(values, dict):
        if key is not None:
            raise LoadError(f"it holds one table without a name, and none named {key!r}")
        return Found(values)
    for names, what in _OTHERS.items():
        if names <= values.keys():
            raise LoadError(f"it is {what}, and no loads: is it in the place of another file?")
    if key is not None:
        if key in values:
            return _named(values, key)
        raise LoadError(f"it holds no {key!r}; it holds {_names(values)}")
    if rows := _layers(values):
        return Found(list(rows.values()), tuple(rows))
    if len(values) == 1:
        return _named(values, next(iter(values)))
    known = [name for name in KEYS if name in values]
    if len(known) != 1:
        raise LoadError(
            f"which are the loads? It holds {_names(values)}: name one as the key (--key)"
        )
    return _named(values, known[0])


def _named(values: dict[Any, Any], name: Any) -> Found:
    """The value of a name, if it may be a table."""
    value = values[name]
    if value is None or isinstance(value, (int, float, str)):
        raise LoadError(f"a table of loads is needed; {_names({name: 0})} is {short(value)}")
    return Found(value)


def _layers(values: dict[Any, Any]) -> dict[int, Any]:
    """The rows by layer, ascending, where the names are numbers of layers; else nothing."""
    rows: dict[int, Any] = {}
    for name, row in values.items():
        number = str(name)
        plain = number.isascii() and number.isdigit() and len(number) < 10
        if not plain or not isinstance(row, list) or any(isinstance(cell, list) for cell in row):
            return {}
        rows[int(number)] = row
    return dict(sorted(rows.items())) if len(rows) == len(values) else {}


def _names(values: Mapping[Any, Any]) -> str:
    names = [repr(str(name)[:40]) for name in list(values)[:8]]
    return ", ".join(names) + (", ..." if len(values) > len(names) else "") if names else "nothing"
