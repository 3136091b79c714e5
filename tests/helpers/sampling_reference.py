"""Synthetic loads again, a layer at a time: what ``eplb.sampling`` must draw, number for number.

Samples are in plain integers; the halves of the experts share assignments by recursion. Families
are in decimals of 20 digits, whose logarithms, powers and roots are correctly rounded.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from math import cos, factorial, isqrt, tau
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15
COMMON, DOMAIN, WINDOW, OUTLIERS, COUNTS, MIX = range(6)
LN_2 = Fraction("0.69314718055994530941723212145817656807550")
DIGITS = Context(prec=20)
SERIES = [round(LN_2**k * 2**30 / factorial(k)) for k in range(9)]


def word(key: int, *numbers: int) -> int:
    """The word with the last number, under the key with the one before, and so on."""
    for number in numbers:
        key = (key + GOLDEN * (number + 1)) % WORD
        key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 % WORD
        key = (key ^ key >> 27) * 0x94D049BB133111EB % WORD
        key ^= key >> 31
    return key


def normal(key: int) -> int:
    """In 20 binary places."""
    ones = sum(word(key, number).bit_count() for number in range(16))
    return (ones - 512) * 2**16 + (word(key, 16) >> 48) - 2**15


def half(trials: int, key: int) -> int:
    if trials <= 64:
        return (word(key, 0) >> (64 - trials)).bit_count()
    noise = Fraction(isqrt(trials * 2**20) * normal(key), 2**31)
    rounded = (Fraction(trials, 2) + noise + Fraction(1, 2)).__floor__()
    return min(max(rounded, 0), trials)


def binomial(trials: int, odds: Fraction, key: int) -> int:
    successes = bit = 0
    while trials:
        odds *= 2
        one = odds >= 1
        odds -= one
        zeros = half(trials, word(key, bit))
        if one:
            successes += zeros
            trials -= zeros
        else:
            trials = zeros
        bit += 1
    return successes


def powers_of_two(exponents: list[int]) -> list[int]:
    top = max(exponent >> 20 for exponent in exponents)
    powers = []
    for exponent in exponents:
        power = 0
        for coefficient in reversed(SERIES):
            power = power * (exponent % 2**20) // 2**20 + coefficient
        powers.append(power >> min(top - (exponent >> 20), 30))
    return powers


def multiples(key: int, experts: int, fewest: int, most: int) -> list[int]:
    """Of the mean, times 256; 0 for no outlier."""
    how_many = min(fewest + word(key, 0) % (most - fewest + 1), experts // 2)
    hot = sorted(range(experts), key=lambda expert: word(key, 1, expert))[:how_many]
    return [
        4 * 256 + word(key, 2, expert) % (9 * 256 + 1) if expert in hot else 0
        for expert in range(experts)
    ]


def capped(weights: list[int], top_k: int) -> list[int]:
    """The largest is lowered to its share as long as there is one above it."""
    cap = sum(weights) // top_k
    full: set[int] = set()
    while over := {i for i, weight in enumerate(weights) if weight > cap and i not in full}:
        full |= over
        rest = sum(weight for i, weight in enumerate(weights) if i not in full)
        cap = rest // (top_k - len(full))
    return [min(weight, cap) for weight in weights]


def share(count: int, weights: list[int], room: list[int], key: int, node: int = 1) -> list[int]:
    if len(weights) == 1:
        return [count]
    middle = len(weights) // 2
    left = sum(weights[:middle])
    whole = sum(weights)
    got = binomial(count, Fraction(left, whole) if whole else Fraction(1), word(key, node))
    got = min(max(got, count - sum(room[middle:])), sum(room[:middle]))
    return [
        *share(got, weights[:middle], room[:middle], key, 2 * node),
        *share(count - got, weights[middle:], room[middle:], key, 2 * node + 1),
    ]


def layer_loads(
    seed: int,
    layer: int,
    *,
    experts: int,
    top_k: int,
    tokens: int,
    spread: float,
    outliers: tuple[int, int],
    window: int = 0,
    domain: int = 0,
    mix: list[int] | None = None,
) -> list[int]:
    """Of a domain, or of a mix: the share of each domain times 2**20."""
    seed = word(seed, 0)

    def of(domain: int) -> list[int]:
        return domain_weights(seed, layer, experts, top_k, spread, outliers, window, domain)

    if mix is None:
        weights = of(domain)
    else:
        weights = [0] * experts
        for number, part in enumerate(mix):
            own = of(number)
            weights = [
                sum_ + part * (weight * 2**40 // sum(own))
                for sum_, weight in zip(weights, own, strict=True)
            ]
    leaves = 1
    while leaves < experts:
        leaves *= 2
    padding = [0] * (leaves - experts)
    key = word(seed, COUNTS, window, layer)
    return share(tokens * top_k, weights + padding, [tokens] * experts + padding, key)[:experts]


def domain_weights(
    seed: int,
    layer: int,
    experts: int,
    top_k: int,
    spread: float,
    outliers: tuple[int, int],
    window: int,
    domain: int,
) -> list[int]:
    parts = [(30, COMMON, 0), (67, DOMAIN, domain), (3, WINDOW, window)]
    scale = int(spread * 2**16) * round(2**30 / LN_2) >> 30
    exponents = []
    for expert in range(experts):
        mixed = sum(
            isqrt(percent * 2**32 // 100) * normal(word(seed, purpose, index, layer, expert))
            for percent, purpose, index in parts
        )
        exponents.append(scale * (mixed >> 16) >> 16)
    weights = powers_of_two(exponents)

    hot = multiples(word(seed, OUTLIERS, domain, layer), experts, *outliers)
    others = sum(weight for weight, multiple in zip(weights, hot, strict=True) if not multiple)
    mean = 256 * experts
    weights = [
        multiple * others // (mean - min(sum(hot), mean // 2)) if multiple else weight
        for weight, multiple in zip(weights, hot, strict=True)
    ]
    return capped(weights, top_k)


def mixes(drift: str, seed: int, windows: int, domains: int) -> list[list[int]]:
    """The share of each domain in each window, times 2**20."""
    key = word(seed, 0, MIX)
    if drift == "blocks":
        return [
            [2**20 * (window // 6 % domains == domain) for domain in range(domains)]
            for window in range(windows)
        ]
    if drift == "walk":
        logs = [normal(word(key, 0, domain)) for domain in range(domains)]
        found = []
        for window in range(windows):
            steps = [normal(word(key, window + 1, domain)) for domain in range(domains)]
            logs = [(98 * log + 30 * step) // 100 for log, step in zip(logs, steps, strict=True)]
            powers = powers_of_two([log * round(2**30 / LN_2) >> 30 for log in logs])
            found.append([power * 2**20 // sum(powers) for power in powers])
        return found
    drawn = [
        _of_sum(
            dirichlet(Batches(word(key, window)), domains, "0.2" if drift == "redraw" else "0.5")
        )
        for window in range(windows if drift == "redraw" else 2)
    ]
    if drift == "redraw":
        return drawn
    night, day = drawn
    light = [round(2**15 * (1 - cos(tau * window / 24))) for window in range(windows)]
    return [
        [(n * (2**16 - part) + d * part) // 2**16 for n, d in zip(night, day, strict=True)]
        for part in light
    ]


def _of_sum(amounts: list[Decimal]) -> list[int]:
    return [int(amount * 2**20 / sum(amounts)) for amount in amounts]


class Batches:
    """Batches of random numbers, each under a key of its own."""

    def __init__(self, key: int) -> None:
        self._key = key

    def words(self, count: int) -> list[int]:
        """So many words of 64 bits."""
        words = [word(self._key, number) for number in range(count)]
        self._key = word(self._key, 2**32)
        return words

    def uniforms(self, count: int) -> list[Decimal]:
        """Between 0 and 1, neither of them."""
        return [Decimal(2 * (random >> 12) + 1) / 2**53 for random in self.words(count)]

    def normals(self, count: int) -> list[Decimal]:
        """Of mean 0 and deviation 1."""
        return [Decimal(normal(key)) / 2**20 for key in self.words(count)]


def log_normal(batches: Batches, experts: int, sigma: str) -> list[Decimal]:
    return [DIGITS.exp(Decimal(sigma) * number) for number in batches.normals(experts)]


def zipf(batches: Batches, experts: int, exponent: str) -> list[Decimal]:
    """``rank**-exponent`` with 10 % of log noise, in random order."""
    words = batches.words(experts)
    order = sorted(range(experts), key=words.__getitem__)
    logs = (-Decimal(exponent) * DIGITS.ln(Decimal(rank + 1)) for rank in order)
    noise = batches.normals(experts)
    return [DIGITS.exp(log + number / 10) for log, number in zip(logs, noise, strict=True)]


def dirichlet(batches: Batches, experts: int, alpha: str) -> list[Decimal]:
    """Gamma numbers: an exponential number, and for alpha < 1 times a Beta(alpha, 1 - alpha)."""
    exponentials = [-DIGITS.ln(uniform) for uniform in batches.uniforms(experts)]
    if Decimal(alpha) == 1:
        return exponentials
    betas = betas_of(batches, Decimal(alpha))
    return [number * next(betas) for number in exponentials]


def betas_of(batches: Batches, alpha: Decimal) -> Iterator[Decimal]:
    """Beta(alpha, 1 - alpha) numbers, by Jöhnk's method."""
    while True:
        uniforms = iter(batches.uniforms(128))
        for u, v in zip(uniforms, uniforms, strict=True):
            x = DIGITS.exp(DIGITS.ln(u) / alpha)
            y = DIGITS.exp(DIGITS.ln(v) / (1 - alpha))
            if 0 < x + y <= 1:
                yield x / (x + y)


#: Name -> weights of the experts of a layer.
FAMILIES: dict[str, Callable[[Batches, int], list[Decimal]]] = {
    "lognormal 0.5": lambda batches, experts: log_normal(batches, experts, "0.5"),
    "lognormal 1": lambda batches, experts: log_normal(batches, experts, "1"),
    "lognormal 1.5": lambda batches, experts: log_normal(batches, experts, "1.5"),
    "zipf 0.8": lambda batches, experts: zipf(batches, experts, "0.8"),
    "zipf 1.2": lambda batches, experts: zipf(batches, experts, "1.2"),
    "dirichlet 0.3": lambda batches, experts: dirichlet(batches, experts, "0.3"),
    "dirichlet 1": lambda batches, experts: dirichlet(batches, experts, "1"),
}


def family_layer(name: str, layer: int, experts: int, seed: int) -> list[int]:
    """A million tokens, with noise of the deviation of a Poisson number."""
    number = list(FAMILIES).index(name)
    batches = Batches(word(0, (seed * 64 + number) * 2**20 + layer * 2**14 + experts - 1))
    weights = FAMILIES[name](batches, experts)
    scale = 1_000_000 / sum(weights, Decimal(0))
    means = [weight * scale for weight in weights]
    noise = batches.normals(experts)
    return [
        max(0, round(mean + DIGITS.sqrt(mean) * number))
        for mean, number in zip(means, noise, strict=True)
    ]
