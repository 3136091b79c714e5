"""Sizes: whole positive numbers, checked before the core sees them."""

from __future__ import annotations

import operator
from typing import Any

from eplb.errors import EplbError, TopologyError
from eplb.shown import short

from . import _core


def whole_number(name: str, value: Any, error: type[EplbError] = TopologyError) -> int:
    """``value`` as an int from 1 to 2**62, or an error that names it."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value}")
    try:
        number = operator.index(value)
    except TypeError:
        if isinstance(value, float):
            raise error(f"{name} must be a whole number, got {value!r}") from None
        kind = type(value).__name__
        raise TypeError(f"{name} must be a whole number, got {short(value)} ({kind})") from None
    if number < 1:
        raise error(f"{name} is {short(number)}; it must be at least 1")
    if number > 2**62:
        raise error(f"{name}={short(number)} is too large for any plan")
    return number


def topology(
    *, num_experts: Any, num_replicas: Any, num_groups: Any, num_nodes: Any, num_gpus: Any
) -> _core.Topology:
    """The sizes, once they go together.

    ``num_replicas=None`` stands for no more slots than fill the last GPU.

    Raises:
        TopologyError: they do not; the message names the nearest that do.
        TypeError: one is no number.
    """
    num_experts = whole_number("num_experts", num_experts)
    num_gpus = whole_number("num_gpus", num_gpus)
    if num_replicas is None:
        num_replicas = -(-num_experts // num_gpus) * num_gpus
    return _core.Topology(
        num_experts,
        whole_number("num_replicas", num_replicas),
        whole_number("num_groups", num_groups),
        whole_number("num_nodes", num_nodes),
        num_gpus,
    )
