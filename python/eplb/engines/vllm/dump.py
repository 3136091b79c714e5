"""Records of patched vLLMs: loads of slots, with the placement of that moment beside them.

JSON lines, or a JSON list, of objects with ``window_expert_load`` (or a name that vLLM itself has),
``[layers, slots]`` or ``[windows, layers, slots]``, and ``physical_to_logical_map``.
"""

from __future__ import annotations

from typing import Any

from eplb.engines.engine import DecodedLoads
from eplb.errors import LoadError
from eplb.text import count

#: Names of the loads of slots.
LOADS = ("window_expert_load", "expert_load_window", "expert_load_pass")
_MAP = "physical_to_logical_map"


def is_dump(values: Any) -> bool:
    """Whether the content of a file is such a list."""
    return isinstance(values, list) and bool(values) and _loads_key(values[0]) is not None


def read(values: Any) -> DecodedLoads:
    """The windows of all records.

    Raises:
        LoadError: they are not records of one model.
    """
    records = values if isinstance(values, list) else [values]
    tables: list[Any] = []
    maps: list[Any] = []
    for index, record in enumerate(records):
        key = _loads_key(record)
        if key is None:
            raise LoadError(f"record {index} has none of {', '.join(LOADS)}")
        windows = _windows(record[key])
        tables += windows
        maps += [record.get(_MAP)] * len(windows)
    known = [phy2log for phy2log in maps if phy2log is not None]
    if known and len(known) < len(maps):
        raise LoadError(f"some of its records have no {_MAP!r}")
    return DecodedLoads(
        tables,
        axes=("windows", "layers", "slots"),
        phy2log=known or None,
        notes=(f"{count(len(tables), 'window')} of {count(len(records), 'record')}",),
    )


def _loads_key(record: Any) -> str | None:
    if not isinstance(record, dict):
        return None
    return next((key for key in LOADS if key in record), None)


def _windows(table: Any) -> list[Any]:
    """The tables ``[layers, slots]`` of a record."""
    if not isinstance(table, list) or not table or not isinstance(table[0], list) or not table[0]:
        raise LoadError("its loads are not a table [layers, slots]")
    return table if isinstance(table[0][0], list) else [table]
