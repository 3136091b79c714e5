"""JSON objects with a name for each layer: ``{"layer_0": [...]}``, ``{"0": {"0": 7, "1": 3}}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.errors import LoadError
from eplb.load_files.column_names import number_of
from eplb.load_files.records import record_table
from eplb.text import count, short

if TYPE_CHECKING:
    from eplb.storage.csv_text import TextTable


def nested_layers(values: dict[Any, Any]) -> TextTable | None:
    """The loads in an object of objects or lists as a long table; None if it is not one.

    Names outside are numbered layers or experts, those inside the others. Values that are neither
    object nor list are left out.

    Raises:
        LoadError: a value inside is not a load, or lists have different lengths.
    """
    outside = {
        str(name): value.tolist() if getattr(value, "ndim", 0) == 1 else value
        for name, value in values.items()
        if isinstance(value, (dict, list)) or getattr(value, "ndim", 0) == 1
    }
    unit, other = "layer", "expert"
    outer = _numbers(outside, ("layer", "l", "number"))
    if not outer:
        unit, other = other, unit
        outer = _numbers(outside, ("expert",))
    if not outer:
        return None
    records = []
    first, *_ = outside
    for name, number in outer.items():
        value = outside[name]
        if isinstance(value, list):
            inner = {str(at): at for at in range(len(value))}
            _check_width(name, value, first, outside[first])
        else:
            inner = _numbers(value, (other, "number"))
        loads = value if isinstance(value, list) else [*value.values()]
        if not inner or any(isinstance(load, (dict, list)) for load in loads):
            return None
        for (within, at), load in zip(inner.items(), loads, strict=True):
            _check_load(load, f"{name[:40]!r}, {other} {within[:40]}")
            records.append({unit: number, other: at, "count": load})
    return record_table(records, None, "value")[0]


def _numbers(names: Any, units: tuple[str, ...]) -> dict[str, int]:
    """The number in each name, if all number one of these units, each another; otherwise nothing."""
    found = {str(name): number_of(str(name)) for name in names}
    numbers = {name: each[1] for name, each in found.items() if each and each[0] in units}
    complete = len(numbers) == len(found) == len({*numbers.values()})
    return numbers if complete else {}


def _check_width(name: str, row: list[Any], first: str, wanted: Any) -> None:
    if isinstance(wanted, list) and len(row) != len(wanted):
        raise LoadError(
            f"{name[:40]!r} has {count(len(row), 'load')}, but {first[:40]!r} has {len(wanted)}"
        )


def _check_load(load: Any, place: str) -> None:
    if type(load) not in (int, float) or not 0 <= load < float("inf"):
        raise LoadError(
            f"{place}: the load is {short(load)}; expected a finite number that is not negative"
        )
