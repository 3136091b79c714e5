"""Loads that planners find hard, from fixed streams: few tokens, hot experts, nearly even ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Loads = npt.NDArray[np.int64]

#: Of nearly even loads.
UNIT = 1_000_000
#: Experts that each of the few tokens goes to.
EXPERTS_PER_TOKEN = 8


def whole(load: npt.NDArray[np.float64], total: int) -> Loads:
    """As whole numbers that sum to about so many."""
    tokens: Loads = np.rint(load / load.sum() * total).astype(np.int64)
    return tokens


def hot(random: np.random.Generator, experts: int, layer: int) -> Loads:
    """One to four experts with 10 to 35 % of the load each, the others lognormal: `[experts]`."""
    shares = random.uniform(0.10, 0.35, 1 + layer % 4)
    while shares.sum() >= 0.97:
        shares = random.uniform(0.10, 0.35, len(shares))
    others = random.lognormal(0, 1, experts - len(shares))
    others *= (1 - shares.sum()) / others.sum()
    load: npt.NDArray[np.float64] = random.permutation(np.concatenate([shares, others]))
    return whole(load, 10**6)


def nearly_even(random: np.random.Generator, layers: int, experts: int, spread: float) -> Loads:
    """Lognormal loads with such a standard deviation of their logarithms: `[layers, experts]`."""
    logs = random.normal(0, spread, (layers, experts))
    loads: Loads = np.rint(UNIT * np.exp(logs)).astype(np.int64)
    return loads


def of_few_tokens(random: np.random.Generator, layers: int, experts: int, tokens: int) -> Loads:
    """Windows of so many tokens, each of which goes to eight experts of a layer: `[layers, experts]`.
    How popular the experts of a layer are is lognormal.
    """
    loads = np.zeros((layers, experts), np.int64)
    for load in loads:
        popularity = np.exp(random.normal(size=experts))
        popularity /= popularity.sum()
        # The largest of such sums are a draw without replacement.
        drawn = random.gumbel(size=(tokens, experts)) + np.log(popularity)
        chosen = np.argpartition(-drawn, EXPERTS_PER_TOKEN, axis=1)[:, :EXPERTS_PER_TOKEN]
        np.add.at(load, chosen.ravel(), 1)
    return loads
