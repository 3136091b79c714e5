"""How long a call of ``minimax`` takes, whatever the loads: the distribution over all kinds of them.

Times are for the tables, not for tests: other work on a machine slows a call.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import eplb
import hard_loads
import numpy as np
from eplb.sampling import FAMILIES, family
from measures import LAYERS, SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[int], hard_loads.Loads]

#: Calls of which the fastest counts.
CALLS = 5


class TimeRow(NamedTuple):
    """Milliseconds of a call for all layers at the default effort, by kind of loads."""

    shape: str
    ms: dict[str, float]

    def median(self) -> float:
        """Of all kinds."""
        return float(np.median(list(self.ms.values())))

    def slowest(self) -> str:
        """The kind that takes longest."""
        return max(self.ms, key=lambda loads: self.ms[loads])


def kinds() -> dict[str, Make]:
    """Kinds of loads: each makes ``[LAYERS, experts]`` for so many experts."""
    few = {f"{tokens} tokens": partial(few_tokens, tokens) for tokens in (32, 64, 128, 256, 512)}
    even = {f"log sd {spread:g}": partial(even_loads, spread) for spread in (0.0, 0.03, 0.1)}
    ordinary: dict[str, Make] = {name: partial(of_family, name) for name in FAMILIES}
    classes: dict[str, Make] = {"half 100, half 30": two_classes}
    return {**ordinary, **few, "one to four hot": hot_loads, **even, **classes}


def of_family(name: str, experts: int) -> hard_loads.Loads:
    """Ordinary loads."""
    return family(name, LAYERS, experts, seed=1)


def few_tokens(tokens: int, experts: int) -> hard_loads.Loads:
    """A short window."""
    return hard_loads.of_few_tokens(np.random.default_rng(0), LAYERS, experts, tokens)


def even_loads(spread: float, experts: int) -> hard_loads.Loads:
    """Nearly even loads."""
    return hard_loads.nearly_even(np.random.default_rng(0), LAYERS, experts, spread)


def hot_loads(experts: int) -> hard_loads.Loads:
    """A few hot experts."""
    random = np.random.default_rng(0)
    return np.array([hard_loads.hot(random, experts, layer) for layer in range(LAYERS)])


def two_classes(experts: int) -> hard_loads.Loads:
    """Loads of two sizes, nearly."""
    sizes = np.resize(np.array([100, 30]), experts)
    return sizes * even_loads(0.01, experts)


def time_rows() -> Iterator[TimeRow]:
    """A row for each shape."""
    for shape, (experts, options) in SHAPES.items():
        yield TimeRow(shape, {name: ms(make(experts), options) for name, make in kinds().items()})


def ms(loads: hard_loads.Loads, options: dict[str, Any]) -> float:
    """The fastest call."""
    seconds = []
    for _ in range(CALLS):
        start = time.perf_counter()
        eplb.plan(loads, policy="minimax", threads=1, **options)
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds)
