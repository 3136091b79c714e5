"""Data frames of pandas and the like: what their columns must not be, and their nullable numbers."""

from __future__ import annotations

from typing import Any

from eplb.errors import LoadError

# Names of columns of labels, without case and without what is neither letter nor digit. pandas gives
# the first three to an index that became a column.
_LABELS = (
    *("index", "level0", "unnamed0"),
    *("layer", "layerid", "layeridx", "layerindex"),
    *("expert", "expertid", "expertidx", "expertindex"),
)

_HINT = (
    "make it the index with load.set_index(...); a row for each layer and expert becomes a table by "
    "load.pivot_table(index=..., columns=..., values=..., aggfunc='sum', fill_value=0)"
)


def is_frame(load: Any) -> bool:
    """Whether loads are a data frame: a table with named columns."""
    return hasattr(load, "columns") and hasattr(load, "to_numpy")


def refuse_labels(frame: Any) -> None:
    """Refuses a frame with a column of labels, which would be planned as an expert.

    Raises:
        LoadError
    """
    for name in list(frame.columns):
        if not isinstance(name, str):
            continue
        plain = "".join(character for character in name.lower() if character.isalnum())
        if plain in _LABELS:
            raise LoadError(
                f"its column {name[:40]!r} is no expert; expected a row for each layer and a column "
                "for each expert",
                hint=[_HINT],
            )
