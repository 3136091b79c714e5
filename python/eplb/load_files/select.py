"""Selects the loads among the named arrays of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError, Parameter
from eplb.inputs.names import unknown
from eplb.load_files.placement_map import beside
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
    if not isinstance(values, dict):
        if key is not None:
            raise LoadError(
                f"it has one unnamed table, not {key!r}", hint=["leave out ", Parameter("key")]
            )
        return DecodedLoads(values)
    if not values:
        raise LoadError("it has no table")
    known = [name for name in (*KEYS, *SLOT_KEYS) if name in values]
    beside_map = known or key in values
    if what := what_it_is(values, besides=SGLANG_MAP if beside_map else frozenset()):
        raise LoadError(f"this is {what}, not a load table; are the arguments swapped?")
    if key is not None:
        if key in values:
            return _named(values, key)
        raise unknown("key", key, map(str, values), kind=LoadError)
    if rows := _layers(values):
        return DecodedLoads(list(rows.values()), tuple(rows))
    if len(values) == 1:
        return _named(values, next(iter(values)))
    if len(known) != 1:
        raise LoadError(
            f"it has several tables: {_names(values)}", hint=["choose one with ", Parameter("key")]
        )
    return _named(values, known[0])


def _named(values: dict[Any, Any], name: Any) -> DecodedLoads:
    """The value of a name, if it can be a table."""
    value = values[name]
    if value is None or isinstance(value, (int, float, str)):
        raise LoadError(f"expected a table of loads; {_names({name: 0})} is {short(value)}")
    axes = ("slots",) if name in SLOT_KEYS else ("experts",) if name == "logical_count" else None
    return DecodedLoads(value, axes=axes, phy2log=beside(values))


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
