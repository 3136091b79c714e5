"""Random integers that are the same on every machine and with every release of numpy.

numpy may change the streams of its generators from release to release, and C libraries differ in
the last bit of exp, log and cos. Here is only integer arithmetic of 64 bits, and the integer parts
of square roots that float64 holds exactly.

The source is SplitMix64: ``word(key, number)`` is random and depends on nothing else, so a word
can be the key of further words. Normals and binomials count the ones among random bits.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Words: TypeAlias = npt.NDArray[np.uint64]
Integers: TypeAlias = npt.NDArray[np.int64]

#: Most trials of :func:`binomial`: an exact integer square root needs trials * 2**20 < 2**52.
MOST_TRIALS = 2**32 - 1

#: Binary places of the numbers that are not whole: normals, and arguments of :func:`power_of_two`.
PLACES = 20

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FEW = 64  # as many fair trials are the bits of one word
_BITS_OF_A_NORMAL = 1024

# ln(2)**k / k!, in 30 binary places: the series of 2**x, to seven digits for x from 0 to 1.
_SERIES = (1073741824, 744261118, 257941248, 59597083, 10327387, 1431680, 165394, 16377, 1419)


def word(key: Words, number: int | Words) -> Words:
    """The word of 64 random bits that has this number (from 0) under this key."""
    # No scalars: numpy warns of them where arrays wrap around.
    place = np.atleast_1d(np.asarray(number, dtype=np.uint64)) + np.uint64(1)
    mixed: Words = key + _GOLDEN * place
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def normal(key: Words) -> Integers:
    """A normal number for each key, of mean 0 and deviation 1, in ``PLACES`` binary places.

    The ones among 1024 random bits, less 512, over their deviation of 16; a uniform number fills
    the steps between. Its distribution function is within 0.0002 of the normal one.
    """
    ones = np.zeros(key.shape, dtype=np.uint64)
    words = _BITS_OF_A_NORMAL // 64
    for number in range(words):
        ones += _ones(word(key, number))
    step = 2 ** (PLACES - 4)
    between = (word(key, words) >> np.uint64(64 - (PLACES - 4))).astype(np.int64) - step // 2
    steps = ones.astype(np.int64) - _BITS_OF_A_NORMAL // 2
    normals: Integers = steps * step + between
    return normals


def binomial(trials: Integers, part: Integers, whole: Integers, key: Words) -> Integers:
    """How many of so many trials (at most ``MOST_TRIALS``) succeed, at the odds part / whole.

    Each trial compares a random number with part / whole, bit by bit until they differ. All the
    trials that are still undecided do so together: :func:`half` of them draw a 0.
    """
    successes = np.zeros_like(trials)
    at: Integers = np.flatnonzero(trials).astype(np.int64)
    undecided, part, whole, key = trials[at], part[at], whole[at], key[at]
    bit = 0
    while at.size:
        part = 2 * part
        one = part >= whole
        part -= np.where(one, whole, 0)
        zeros = half(undecided, word(key, bit))
        successes[at] += np.where(one, zeros, 0)  # their numbers are below part / whole
        undecided = np.where(one, undecided - zeros, zeros)
        left = undecided > 0
        at, undecided, key = at[left], undecided[left], key[left]
        part, whole = part[left], whole[left]
        bit += 1
    return successes


def half(trials: Integers, key: Words) -> Integers:
    """How many of so many fair trials (at least 1) succeed.

    Up to 64 are the bits of a word, which is exact. Of more, a normal number with the mean and
    deviation of the binomial, rounded: its distribution function is within 0.0005 of the exact one.
    """
    few = np.minimum(trials, _FEW)
    successes = _ones(word(key, 0) >> (_FEW - few).astype(np.uint64)).astype(np.int64)
    many = np.flatnonzero(trials > _FEW)
    if many.size:
        n = trials[many]
        root = np.sqrt((n << PLACES).astype(np.float64)).astype(np.int64)  # 10 binary places
        places = PLACES + 11  # those of root and normal, and one more to halve
        noise = root * normal(key[many])
        odd = (n & 1) << (places - 1)
        rounded = n // 2 + ((noise + odd + 2 ** (places - 1)) >> places)
        successes[many] = np.clip(rounded, 0, n)
    return successes


def power_of_two(exponent: Integers) -> Integers:
    """2**exponent, in a unit that makes the largest of the last axis 2**30 to 2**31; at least 1."""
    whole = exponent >> PLACES
    fraction = exponent - (whole << PLACES)
    power: Integers = np.zeros_like(exponent)
    for coefficient in reversed(_SERIES):
        power = ((power * fraction) >> PLACES) + coefficient
    power >>= np.minimum(whole.max(axis=-1, keepdims=True) - whole, 30)
    return power


def _ones(words: Words) -> Words:
    """How many bits of each word are 1."""
    # numpy has bitwise_count from 2.0 on only.
    ones: Words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = np.uint64(0x3333333333333333)
    ones = (ones & fours) + ((ones >> np.uint64(2)) & fours)
    ones = (ones + (ones >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    ones *= np.uint64(0x0101010101010101)
    return ones >> np.uint64(56)
