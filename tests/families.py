"""Seven families of synthetic loads, the same on every machine: what quality and speed are told on.

Lognormal, Zipf with log noise, and Dirichlet weights; of these a million tokens with Poisson-like
noise. Random numbers are integers of ``eplb.chance``; logarithms, powers and roots are decimal,
which the standard rounds correctly.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from eplb.chance import PLACES, normal, word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

TOKENS = 1_000_000

_CONTEXT = Context(prec=20)
_ONE = Decimal(1)


class Chance:
    """A stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self._key = word(np.zeros(1, dtype=np.uint64), seed)

    def words(self, count: int) -> list[int]:
        """So many words of 64 bits."""
        words = word(self._key, np.arange(count, dtype=np.uint64))
        self._key = word(self._key, 2**32)
        return [int(random) for random in words]

    def uniforms(self, count: int) -> list[Decimal]:
        """Between 0 and 1, neither of them."""
        return [Decimal(2 * (random >> 12) + 1) / 2**53 for random in self.words(count)]

    def normals(self, count: int) -> list[Decimal]:
        """Of mean 0 and deviation 1."""
        keys = np.array(self.words(count), dtype=np.uint64)
        return [Decimal(int(number)) / 2**PLACES for number in normal(keys)]


def _lognormal(chance: Chance, experts: int, sigma: str) -> list[Decimal]:
    return [_CONTEXT.exp(Decimal(sigma) * number) for number in chance.normals(experts)]


def _zipf(chance: Chance, experts: int, exponent: str) -> list[Decimal]:
    """``rank**-exponent`` with 10 % of log noise, in random order."""
    words = chance.words(experts)
    order = sorted(range(experts), key=words.__getitem__)
    logs = (-Decimal(exponent) * _CONTEXT.ln(Decimal(rank + 1)) for rank in order)
    noise = chance.normals(experts)
    return [_CONTEXT.exp(log + number / 10) for log, number in zip(logs, noise, strict=True)]


def _dirichlet(chance: Chance, experts: int, alpha: str) -> list[Decimal]:
    """Gamma numbers: an exponential number, and for alpha < 1 times a Beta(alpha, 1 - alpha)."""
    exponentials = [-_CONTEXT.ln(uniform) for uniform in chance.uniforms(experts)]
    if Decimal(alpha) == 1:
        return exponentials
    betas = _betas(chance, Decimal(alpha))
    return [number * next(betas) for number in exponentials]


def _betas(chance: Chance, alpha: Decimal) -> Iterator[Decimal]:
    """Joehnk's way to a Beta(alpha, 1 - alpha)."""
    while True:
        uniforms = iter(chance.uniforms(128))
        for u, v in zip(uniforms, uniforms, strict=True):
            x = _CONTEXT.exp(_CONTEXT.ln(u) / alpha)
            y = _CONTEXT.exp(_CONTEXT.ln(v) / (1 - alpha))
            if 0 < x + y <= _ONE:
                yield x / (x + y)


#: Name -> weights of the experts of a layer.
FAMILIES: dict[str, Callable[[Chance, int], list[Decimal]]] = {
    "lognormal 0.5": lambda chance, experts: _lognormal(chance, experts, "0.5"),
    "lognormal 1": lambda chance, experts: _lognormal(chance, experts, "1"),
    "lognormal 1.5": lambda chance, experts: _lognormal(chance, experts, "1.5"),
    "zipf 0.8": lambda chance, experts: _zipf(chance, experts, "0.8"),
    "zipf 1.2": lambda chance, experts: _zipf(chance, experts, "1.2"),
    "dirichlet 0.3": lambda chance, experts: _dirichlet(chance, experts, "0.3"),
    "dirichlet 1": lambda chance, experts: _dirichlet(chance, experts, "1"),
}


@cache
def family(name: str, layers: int, experts: int, seed: int = 1) -> npt.NDArray[np.int64]:
    """Loads of a family: counts of tokens, ``[layers, experts]``, read-only."""
    number = list(FAMILIES).index(name)
    rows = []
    for layer in range(layers):
        chance = Chance((seed * 64 + number) * 2**20 + layer * 2**14 + experts - 1)
        weights = FAMILIES[name](chance, experts)
        scale = TOKENS / sum(weights, Decimal(0))
        means = [weight * scale for weight in weights]
        noise = chance.normals(experts)
        rows.append(
            [
                max(0, round(mean + _CONTEXT.sqrt(mean) * number))
                for mean, number in zip(means, noise, strict=True)
            ]
        )
    loads = np.array(rows, dtype=np.int64)
    loads.setflags(write=False)
    return loads
