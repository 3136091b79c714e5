"""Selects the loads among the named arrays of a file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError, Parameter, Part
from eplb.inputs.names import unknown
from eplb.load_files.nested_layers import nested_layers
from eplb.load_files.placement_map import beside
from eplb.load_files.records import record_table, records_of, window_tables
from eplb.load_files.text_loads import text_loads
from eplb.storage.csv_text import TextTable
from eplb.storage.other_files import SGLANG_MAP, what_it_is
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Usual names of the loads in a file with several arrays.
KEYS = ("counts", "load", "logical_count")
#: Names of loads of slots, as engines count them.
SLOT_KEYS = (
    "window_expert_load",
    "expert_load_window",
    "expert_load_pass",
    "global_physical_count",
    "physical_count",
)

# What is not a table.
_PLAIN = (int, float, str, type(None))


def select(
    values: Any,
    key: str | None,
    *,
    experts: int | None = None,
    trust: bool = False,
    keys: Collection[str | None] = (),
) -> DecodedLoads:
    """The loads among named arrays; ``values`` itself if it has no names.

    A JSON object whose keys are numbers of layers is a table.

    Args:
        values: the content of the file.
        key: the name; by default the only one, or the one among ``KEYS`` and ``SLOT_KEYS``.
        experts: logical experts per layer, if they were given.
        trust: whether to take all columns of a text table as loads.
        keys: all names that are read, one after another.

    Raises:
        LoadError: the name is unknown, or it is not clear which one.
    """
    if isinstance(values, TextTable):
        return text_loads(values, key, experts=experts, trust=trust, keys=keys)
    if (records := records_of(values)) is not None and not (trust and isinstance(values, dict)):
        return text_loads(*record_table(records, key), experts=experts, keys=keys)
    if not isinstance(values, dict):
        if key is None and (windows := window_tables(values)) is not None:
            return DecodedLoads(windows[0], notes=tuple(windows[1]))
        return _unnamed(values, key)
    if not values:
        raise LoadError("it has no table")
    known = [name for name in (*KEYS, *SLOT_KEYS) if name in values]
    beside_map = known or key in values
    if what := what_it_is(values, besides=SGLANG_MAP if beside_map else frozenset()):
        raise LoadError(f"this is {what}, not a load table; are the arguments swapped?")
    if key is not None:
        if key in values:
            return _named(values, key, experts)
        raise unknown("key", key, map(str, values), kind=LoadError)
    if (rows := _rows(values, experts)) is not None:
        return rows
    if len(values) == 1:
        return _named(values, next(iter(values)), experts)
    if len(known) != 1:
        raise _several(values)
    return _named(values, known[0], experts)


def _unnamed(values: Any, key: str | None) -> DecodedLoads:
    if key is not None:
        raise LoadError(
            f"it has one unnamed table, not {key!r}", hint=["leave out ", Parameter("key")]
        )
    return DecodedLoads(values)


def _several(values: dict[Any, Any]) -> LoadError:
    """The error for several names, of which none is usual."""
    tables = {name: value for name, value in values.items() if not isinstance(value, _PLAIN)}
    if not tables:
        return LoadError(f"expected a table of loads; it has only {_names(values)}")
    if len(tables) == 1:
        hint: list[Part] = ["if it is the loads, give ", Parameter("key", str(*tables))]
        return LoadError(f"it has a table with the name {_names(tables)}", hint=hint)
    if {"columns", "data"} <= tables.keys() or {"schema", "data"} <= tables.keys():
        return LoadError(
            "it is a table of pandas in parts", hint=['write it with to_json(orient="records")']
        )
    return LoadError(
        f"it has several tables: {_names(tables)}",
        hint=["choose one with ", Parameter("key"), "; several keys are windows, oldest first"],
    )


def _named(values: dict[Any, Any], name: Any, experts: int | None) -> DecodedLoads:
    """The value of a name, if it can be a table."""
    value = values[name]
    if isinstance(value, _PLAIN):
        raise LoadError(f"expected a table of loads; {_names({name: 0})} is {short(value)}")
    axes = ("slots",) if name in SLOT_KEYS else ("experts",) if name == "logical_count" else None
    experts = None if name in SLOT_KEYS else experts
    if (records := records_of(value)) is not None:
        found = text_loads(*record_table(records, None), experts=experts)
    elif (windows := window_tables(value)) is not None:
        found = DecodedLoads(windows[0], notes=tuple(windows[1]))
    else:
        found = (_rows(value, experts) if isinstance(value, dict) else None) or DecodedLoads(value)
    return replace(found, axes=axes or found.axes, phy2log=beside(values))


def _rows(values: dict[Any, Any], experts: int | None) -> DecodedLoads | None:
    """The loads in an object with a name for each layer; None if it is not one."""
    if rows := _layers(values):
        return DecodedLoads(list(rows.values()), tuple(rows))
    if (table := nested_layers(values)) is None:
        return None
    found = text_loads(table, experts=experts)
    others = {name: value for name, value in values.items() if isinstance(value, _PLAIN)}
    notes = (f"left out: {_names(others)}",) if others else ()
    return replace(found, notes=(*found.notes, *notes))


def _layers(values: dict[Any, Any]) -> dict[int, Any]:
    """The rows by layer, ascending, if the names are numbers of layers; otherwise nothing."""
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
    return ", ".join(names) + (", ..." if len(values) > len(names) else "")
