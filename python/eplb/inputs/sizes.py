"""Sizes and other numbers, checked before the core sees them."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from eplb import _core
from eplb.errors import EplbError, Parameter, TopologyError
from eplb.text import count, short

#: More threads than this are not started.
MAX_THREADS = 1024


def thread_count(threads: Any) -> int:
    """How many threads to start if a user asks for ``threads``.

    Raises:
        EplbError: fewer than 1, or a float; TypeError: it is not a number.
    """
    return min(whole_number("threads", threads, EplbError), MAX_THREADS)


def whole_number(
    name: str, value: Any, error: type[EplbError] = TopologyError, *, least: int = 1
) -> int:
    """``value`` as an int from ``least`` to 2**62.

    Raises:
        error: it is out of range or a float; TypeError: it is not a number.
    """
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value}")
    try:
        number = operator.index(value)
    except TypeError:
        if isinstance(value, float):
            raise error(Parameter(name), f" must be a whole number, got {value!r}") from None
        kind = type(value).__name__
        raise TypeError(f"{name} must be a whole number, got {short(value)} ({kind})") from None
    if number < least:
        raise error(Parameter(name, short(number)), f" is too small; expected at least {least}")
    if number > 2**62:
        raise error(Parameter(name, short(number)), " is too large; expected at most 2**62")
    return number


def real_number(name: str, value: Any) -> float:
    """``value`` as a float; a number beyond all floats is infinite.

    Raises:
        TypeError: it is not a real number.
    """
    number: Any = value
    plain = isinstance(number, (int, float, np.integer, np.floating))
    if isinstance(number, bool) or not plain:
        raise TypeError(f"{name} must be a number, got {short(value)} ({type(value).__name__})")
    try:
        return float(number)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_slots(slots: int, num_gpus: int) -> None:
    """Refuses a number of GPUs over which a table's slots cannot be divided.

    Raises:
        TopologyError: the hint names the nearest numbers of GPUs that can be.
    """
    if slots % num_gpus == 0:
        return
    small = [size for size in range(1, math.isqrt(slots) + 1) if slots % size == 0]
    sizes = sorted({*small, *(slots // size for size in small)})
    near = [max(size for size in sizes if size < num_gpus)]
    near += [size for size in sizes if size > num_gpus][:1]
    first, *others = (Parameter("num_gpus", str(size)) for size in near)
    raise TopologyError(
        f"its layers have {count(slots, 'slot')}, which cannot be divided over ",
        Parameter("num_gpus", short(num_gpus)),
        hint=["try ", first, *(part for other in others for part in (" or ", other))],
    )


def topology(
    *, num_experts: Any, num_replicas: Any, num_groups: Any, num_nodes: Any, num_gpus: Any
) -> _core.Topology:
    """The sizes, if they go together.

    ``num_replicas=None`` means the fewest slots that hold all experts and fill all GPUs.

    Raises:
        TopologyError: they do not go together; the hint names the nearest sizes that do.
        TypeError: a size is not a number.
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
