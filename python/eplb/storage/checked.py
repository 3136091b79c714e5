"""Values from untrusted files, checked for their type, shape and range."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eplb.errors import PlanFileError
from eplb.inputs.names import nearest
from eplb.text import short, type_name


def check_keys(what: str, values: Any, keys: set[str]) -> None:
    """Refuses what is not a dict with exactly these keys.

    Raises:
        PlanFileError
    """
    if not isinstance(values, dict):
        raise PlanFileError(f"{what} must be an object with keys, got {type(values).__name__}")
    if missing := sorted(keys - values.keys()):
        near = nearest(missing[0], (key for key in values if key not in keys))
        hint = [] if near is None else [f"is its key {near!r} a misspelt {missing[0]}?"]
        raise PlanFileError(f"{what} lacks {', '.join(missing)}", hint=hint)
    if unknown := sorted(map(_key, values.keys() - keys)):
        raise PlanFileError(f"{what} has unknown keys: {', '.join(unknown)[:200]}")


def _key(key: Any) -> str:
    return key if isinstance(key, str) else short(key)


def check_format(values: dict[str, Any], name: str, versions: tuple[int, ...]) -> int:
    """The version in a file of this format, which says both.

    Raises:
        PlanFileError: it is another format, or a version that is not one of these.
    """
    said, version = values["format"], values["version"]
    # Look at the types first: an array is not simply equal or unequal.
    plain = type(said) is str and type(version) is int
    if plain and said == name and version in versions:
        return int(version)
    expected = " or ".join(map(str, versions))
    raise PlanFileError(
        f"unknown format {short(said)} version {short(version)}; "
        f"expected {name!r} version {expected}"
    )


def size_of(values: dict[str, Any], name: str) -> int:
    """The positive whole number ``values[name]``.

    Raises:
        PlanFileError: it is not one.
    """
    size = values[name]
    if type(size) is not int or size < 1:
        raise PlanFileError(f"{name} must be a positive whole number, got {short(size)}")
    if size > 2**62:
        raise PlanFileError(f"{name}={short(size)} is too large; expected at most 2**62")
    return size


def integers_of(
    values: dict[str, Any], name: str, shape: tuple[int, ...], dtype: type[np.integer[Any]]
) -> npt.NDArray[Any]:
    """The table ``values[name]``, if it has this shape and holds integers of this range.

    Raises:
        PlanFileError: it is not such a table.
    """
    table = values[name]
    wanted = f"{name} must be integers of shape {list(shape)}"
    range_ = np.iinfo(dtype)
    if isinstance(table, np.ndarray):
        if table.dtype.kind not in "iu":
            raise PlanFileError(f"{wanted}, got {type_name(table.dtype)}")
        if table.size and (int(table.min()) < range_.min or int(table.max()) > range_.max):
            raise PlanFileError(f"{wanted} that fit {range_.dtype.name}")
    else:
        rows = table if len(shape) == 2 else [table]
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise PlanFileError(f"{wanted}, got {type(table).__name__}")
        if any(set(map(type, row)) - {int} for row in rows):
            raise PlanFileError(f"{wanted}; some of its cells are not integers")
        if len({len(row) for row in rows}) > 1:
            raise PlanFileError(f"{wanted}; its rows differ in length")
        if any(row and (min(row) < range_.min or max(row) > range_.max) for row in rows):
            raise PlanFileError(f"{wanted} that fit {range_.dtype.name}")
        table = np.array(table, dtype=dtype)
    if table.shape != shape:
        raise PlanFileError(f"{wanted}, got {list(table.shape)}")
    return np.ascontiguousarray(table, dtype=dtype)
