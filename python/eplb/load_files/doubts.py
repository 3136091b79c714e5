"""Tables that are numbers of experts rather than loads: planned for, they would spoil the plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from eplb.errors import LoadError

# Tokens go to at most so many experts, of at most so many.
_MOST_TOP_K = 16
_MOST_EXPERTS = 1024
# Rows of top-k ids that are there before chance is ruled out.
_LEAST_TOKENS = 256
# Slots of a layer before a placement is recognised.
_LEAST_SLOTS = 8

_ANYWAY = "if they are loads, give --trust-loads (trust=True)"


def refuse_expert_ids(array: npt.NDArray[Any]) -> None:
    """Refuses what looks like a placement, or like the experts that tokens were routed to.

    - A placement ``[layers, P]``: each row holds every number from 0 to some last, most of them once.
    - Ids ``[..., tokens, top_k]``: many short rows of small numbers, none twice in a row.

    Args:
        array: ``[layers, experts]`` or ``[windows, layers, experts]``, not negative.

    Raises:
        LoadError: it looks like one of these.
    """
    if array.dtype.kind not in "iu" and (array != np.floor(array)).any():
        return
    rows = np.sort(array.reshape(-1, array.shape[-1]), axis=1)
    if _is_placement(rows):
        raise LoadError(
            f"each row holds every number from 0 to {rows[0, -1]}: is it a placement (numbers of "
            f"experts by slot)? Loads are needed, [layers, experts]; {_ANYWAY}"
        )
    if _is_ids(rows):
        raise LoadError(
            f"no number is twice in any of its {len(rows)} rows of {rows.shape[1]}, and none is "
            f"above {rows[:, -1].max()}: are they the experts that each token goes to? Counts of "
            f"tokens are needed, [layers, experts]; {_ANYWAY}"
        )


def _is_placement(rows: npt.NDArray[Any]) -> bool:
    """Whether sorted rows run from 0 to one last number without a gap."""
    slots = rows.shape[1]
    last = rows[:, -1]
    if slots < _LEAST_SLOTS or (rows[:, 0] != 0).any() or (last != last[0]).any():
        return False
    steps = rows[:, 1:] - rows[:, :-1]
    return bool((steps <= 1).all()) and 2 * (int(last[0]) + 1) >= slots


def _is_ids(rows: npt.NDArray[Any]) -> bool:
    """Whether sorted rows are many, short, of small numbers, and without a number twice."""
    top_k = rows.shape[1]
    if not 1 < top_k <= _MOST_TOP_K or len(rows) < _LEAST_TOKENS:
        return False
    return bool(rows.max() < _MOST_EXPERTS) and bool((rows[:, 1:] != rows[:, :-1]).all())
