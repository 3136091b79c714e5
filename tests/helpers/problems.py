"""Problems by kind: loads of each kind that matters, sizes of each kind that go together.

A problem is drawn from a seed, whole batches of rows at a time, so that very many can be compared.
Where a test draws cell by cell instead, as in `test_differential.py`, Hypothesis shrinks better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Rows = npt.NDArray[Any]
    Shape = tuple[int, int]
    Sizes = dict[str, Any]


def _one_hot(random: np.random.Generator, shape: Shape) -> Rows:
    rows = np.zeros(shape, np.int64)
    rows[np.arange(shape[0]), random.integers(0, shape[1], shape[0])] = random.integers(1, 2**40)
    return rows


def _zeros(random: np.random.Generator, shape: Shape) -> Rows:
    """Rows of zeros, and rows that nearly are."""
    return random.integers(1, 9, shape) * (random.random(shape) < random.random((shape[0], 1)) / 2)


def _any_float(random: np.random.Generator, shape: Shape) -> Rows:
    return random.integers(0, 0x7FF0 << 48, shape).view(np.float64)


#: Kind of loads -> [layers, experts] of them.
LOADS: dict[str, Callable[[np.random.Generator, Shape], Rows]] = {
    "ties": lambda random, shape: random.integers(0, 4, shape),
    "zeros": _zeros,
    "one-hot": _one_hot,
    "equal": lambda random, shape: np.repeat(random.integers(0, 2**40, (shape[0], 1)), shape[1], 1),
    "powers of two": lambda random, shape: 2 ** random.integers(0, 60, shape),
    "around 2^24": lambda random, shape: 2**24 + random.integers(-2, 3, shape),
    "around 2^40": lambda random, shape: 2**40 + random.integers(-2, 3, shape),
    "subnormals": lambda random, shape: random.integers(0, 2**52, shape).view(np.float64),
    "float32": lambda random, shape: (
        random.integers(0, 0x7F80_0000, shape).astype(np.int32).view(np.float32)
    ),
    "any float": _any_float,
    "any integer": lambda random, shape: random.integers(0, 2**64, shape, np.uint64),
    "counts": lambda random, shape: random.lognormal(6, 1.2, shape).astype(np.int64),
}


def _sizes(
    draw: st.DrawFn,
    *,
    nodes: int = 1,
    groups: int = 1,
    experts: int | None = None,
    gpus: int | None = None,
    more: int | None = None,
    fallback: bool = False,
) -> tuple[int, Sizes]:
    """Sizes that go together; ``more`` slots on each GPU than must be."""
    per_group = draw(st.integers(1, 5))
    experts = groups * per_group if experts is None else experts
    gpus = nodes * draw(st.integers(1, 4)) if gpus is None else gpus
    more = draw(st.sampled_from([0, 1, 1, 2, 4])) if more is None else more
    return experts, {
        "num_replicas": (-(-experts // gpus) + more) * gpus,
        "num_groups": groups,
        "num_nodes": nodes + (groups if fallback else 0),
        "num_gpus": gpus,
    }


def _no_spares(draw: st.DrawFn) -> tuple[int, Sizes]:
    gpus = draw(st.integers(1, 5))
    return _sizes(draw, gpus=gpus, experts=gpus * draw(st.integers(1, 4)), more=0)


def _one_slot(draw: st.DrawFn) -> tuple[int, Sizes]:
    experts = draw(st.integers(1, 9))
    return _sizes(draw, experts=experts, gpus=experts + draw(st.integers(0, 6)), more=0)


def _hierarchical(draw: st.DrawFn) -> tuple[int, Sizes]:
    nodes = draw(st.integers(2, 3))
    return _sizes(draw, nodes=nodes, groups=nodes * draw(st.integers(1, 3)))


#: Kind of sizes -> experts, and the other sizes by name.
SIZES: dict[str, Callable[[st.DrawFn], tuple[int, Sizes]]] = {
    "P == L": _no_spares,
    "one slot per GPU": _one_slot,
    "one GPU": lambda draw: _sizes(draw, gpus=1, groups=draw(st.integers(1, 3))),
    "one expert": lambda draw: _sizes(draw, experts=1),
    "hierarchical": _hierarchical,
    "groups on one node": lambda draw: _sizes(draw, groups=draw(st.integers(2, 5))),
    "is_global": lambda draw: _sizes(draw, groups=draw(st.integers(2, 5)), fallback=True),
    "global": lambda draw: _sizes(draw, experts=draw(st.integers(1, 14))),
    "many copies": lambda draw: _sizes(draw, more=draw(st.integers(5, 20))),
}


@st.composite
def batches(
    draw: st.DrawFn, loads: str | None = None, sizes: str | None = None, most_rows: int = 8
) -> tuple[Rows, Sizes]:
    """Up to so many rows of loads of a kind, and sizes of a kind; where none is said, of any."""
    sizes = sizes or draw(st.sampled_from(list(SIZES)))
    loads = loads or draw(st.sampled_from(list(LOADS)))
    experts, named = SIZES[sizes](draw)
    layers = draw(st.integers(1, most_rows))
    random = np.random.default_rng(draw(st.integers(0, 2**64 - 1)))
    return LOADS[loads](random, (layers, experts)), named


#: Whether this is `make verify`.
DEEP = settings().max_examples > 1000


def at_most(most: int) -> settings:
    """As many examples as the profile has, but no more than this: for slow ones."""
    return settings(max_examples=min(most, settings().max_examples))


def examples(of_fast: int) -> settings:
    """So many examples in the fast profile, and in proportion in others."""
    return settings(max_examples=max(1, of_fast * settings().max_examples // 300))
