"""Samples again, in plain Python integers: what ``eplb.sampling`` must give without numpy.

One layer of one window at a time; the halves of the experts share assignments by recursion.
"""

from __future__ import annotations

from fractions import Fraction
from math import factorial, isqrt

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15
COMMON, DOMAIN, WINDOW, OUTLIERS, COUNTS = range(5)
LN_2 = Fraction("0.69314718055994530941723212145817656807550")
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
) -> list[int]:
    seed = word(seed, 0)
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

    leaves = 1
    while leaves < experts:
        leaves *= 2
    padding = [0] * (leaves - experts)
    key = word(seed, COUNTS, window, layer)
    weights = capped(weights, top_k) + padding
    return share(tokens * top_k, weights, [tokens] * experts + padding, key)[:experts]
