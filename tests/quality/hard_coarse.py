"""Windows of few tokens: how even ``minimax`` makes them, beside what it did when it searched longest.

The loads of GPUs are a few tokens each, so the bound of the certificate is seldom reached, and a search
that goes on until it is takes most of its time for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import eplb
import numpy as np
from hard_hot import Case
from hard_loads import of_few_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYERS, EXPERTS = 58, 256
TOKENS = (32, 64, 128, 256, 512)
#: How much less the mean balancedness may be than it was.
ALLOWED = 0.001

#: Slots, GPUs, groups, nodes -> the mean balancedness for each number of tokens, of the version before
#: searches ended when they had not gained: commit 29eaa1a.
BEFORE: dict[tuple[int, int, int, int], list[float]] = {
    (288, 32, 1, 1): [0.99354, 0.99779, 0.99828, 0.99912, 0.99962],
    (320, 64, 1, 1): [0.97505, 0.98654, 0.99138, 0.99606, 0.99769],
    (360, 72, 1, 1): [0.96409, 0.97188, 0.98417, 0.99753, 0.99803],
    (360, 40, 1, 1): [0.98587, 0.99308, 0.99701, 0.99804, 0.99904],
    (320, 40, 1, 1): [0.98462, 0.98462, 0.99258, 0.99569, 0.99902],
    (288, 16, 1, 1): [0.99627, 0.99864, 0.99906, 0.9997, 0.99976],
    (288, 48, 1, 1): [0.95632, 0.9697, 0.98323, 0.99225, 0.9951],
    (384, 96, 1, 1): [0.89718, 0.9697, 0.97761, 0.99225, 0.99303],
    (288, 32, 8, 4): [0.91282, 0.93896, 0.94113, 0.94575, 0.94655],
}


class CoarseRow(NamedTuple):
    """Windows of some size in some shape."""

    shape: str
    tokens: int
    deepseek: float
    before: float
    now: float


def coarse_row(sizes: tuple[int, int, int, int], tokens: int) -> CoarseRow:
    """Mean balancedness of all layers."""
    case = Case("few tokens", (EXPERTS, *sizes))
    loads = of_few_tokens(np.random.default_rng(0), LAYERS, EXPERTS, tokens)

    def balancedness(policy: str) -> float:
        plan = eplb.plan(loads, policy=policy, **case.sizes())
        return float(plan.balancedness.mean())

    return CoarseRow(
        shape=case.name(),
        tokens=tokens,
        deepseek=balancedness("deepseek"),
        before=BEFORE[sizes][TOKENS.index(tokens)],
        now=balancedness("minimax"),
    )


def coarse_rows() -> Iterator[CoarseRow]:
    """All shapes, all sizes of windows."""
    return (coarse_row(sizes, tokens) for sizes in BEFORE for tokens in TOKENS)


def coarse_misses(rows: list[CoarseRow]) -> list[str]:
    """Where balancedness is less than it may be."""
    return [
        f"{row.tokens} tokens at {row.shape}: {row.now:.4f}, {row.before:.4f} before"
        for row in rows
        if row.now < row.before - ALLOWED
    ]
