"""Synthetic loads as skewed as real models' were measured to be; the same sample everywhere."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eplb.chance import (
    MOST_TRIALS,
    Integers,
    Words,
    binomial,
    normal,
    power_of_two,
    word,
)
from eplb.errors import EplbError, TopologyError
from eplb.inputs.sizes import whole_number
from eplb.text import short


@dataclass(frozen=True)
class Preset:
    """A model's shape and how skewed its loads are: its name is its key in ``PRESETS``."""

    #: MoE layers; dense ones are none.
    layers: int
    #: Routed logical experts of a layer.
    experts: int
    #: Experts per token.
    top_k: int
    #: Standard deviation of the log load over the experts of a layer, outliers aside.
    spread: float
    #: In a line: the traffic.
    description: str
    #: Where the figures come from: what is measured, what is assumed.
    source: str
    #: Fewest and most outliers of a layer.
    outliers: tuple[int, int] = (0, 0)


#: How many times the mean of its layer an outlier carries: from, to (measured on DeepSeek-V3/R1).
OUTLIER_MULTIPLES = (4, 13)

#: The models by name.
PRESETS: dict[str, Preset] = {
    "deepseek-v3": Preset(
        58,
        256,
        8,
        0.66,
        "DeepSeek-V3 and R1: skewed, with 1 to 3 outliers a layer",
        "spread and outliers measured on GPQA",
        outliers=(1, 3),
    ),
    "deepseek-v3-single-domain": Preset(
        58,
        256,
        8,
        0.9,
        "DeepSeek-V3's shape under traffic of a single domain",
        "spread assumed: the middle of 0.6 to 1.2, measured on traffic of single domains",
    ),
    "deepseek-v4-flash": Preset(
        40,
        256,
        6,
        1.3,
        "DeepSeek-V4-Flash, decoding a few requests: extreme",
        "spread measured on 1,684 tokens: of 1.2 to 1.6, what gives the 8 largest loads; "
        "layers 3 to 42, as recorded",
    ),
    "deepseek-v2-lite": Preset(
        26,
        64,
        6,
        0.51,
        "DeepSeek-V2-Lite on four tasks",
        "spread measured on 33,279 tokens",
    ),
    "deepseek-moe-16b": Preset(
        27,
        64,
        6,
        0.16,
        "DeepSeek-MoE-16B on general text: well balanced",
        "spread measured on 2.8 million tokens",
    ),
    "olmoe-1b-7b": Preset(
        16,
        64,
        8,
        0.51,
        "OLMoE-1B-7B on instructions",
        "spread measured on 88,098 tokens",
    ),
    "qwen3-235b-a22b": Preset(
        94,
        128,
        8,
        0.46,
        "Qwen3-235B-A22B under mixed traffic",
        "spread assumed: that of GLM-5.2 under mixed traffic",
    ),
}

#: Shares of the variance of a log load, in percent: common to all domains of traffic, a domain's,
#: a window's. Log loads of two domains correlate at 0.30, of two windows of one domain at 0.97,
#: however far apart: so do OLMoE's, first and last examples as much as neighbours.
_SHARES = (30, 67, 3)
_ROOTS = [math.isqrt(share * 2**32 // 100) for share in _SHARES]  # in 16 binary places
_COMMON, _DOMAIN, _WINDOW, _OUTLIERS, _COUNTS = range(5)  # what random words are for

_LOG2_E = 1549082005  # 1 / ln(2), in 30 binary places
_MOST_EXPERTS = 2**14
_MOST_LOADS = 2**26
_MOST_SPREAD = 4


def sample(
    model: str = "deepseek-v3",
    *,
    seed: int = 0,
    layers: int | None = None,
    experts: int | None = None,
    top_k: int | None = None,
    tokens: int = 100_000,
    spread: float | None = None,
    outliers: int | None = None,
    windows: int | None = None,
    domains: int = 1,
) -> Integers:
    """Random loads like those of a model: ``[layers, experts]``, or with ``windows`` one such each.

    A load is a count of assignments. A layer has ``tokens * top_k`` of them, an expert at most
    ``tokens``. Log loads are normal; outliers, if any, carry 4 to 13 times the mean; counts
    are multinomial on top. All windows have the same number of tokens.

    The answer depends on the arguments alone, not on the machine or the release of numpy. A layer
    is the same whatever the number of layers, and so is a window of the first domain.

    Args:
        model: A name in ``PRESETS``, for the arguments that are None.
        seed: From 0 to 2**64 - 1; each gives another sample.
        layers: MoE layers.
        experts: Logical experts of a layer.
        top_k: Experts per token; by default the model's, but at most a quarter of the experts.
        tokens: Tokens of a window.
        spread: Standard deviation of the log load over the experts of a layer, outliers aside.
        outliers: Outliers of each layer, at most half its experts; by default as many as the
            model has.
        windows: Windows; None for one, without an axis of its own.
        domains: Domains of traffic that follow one another, in equal shares of the windows.

    Raises:
        EplbError: An argument that makes no sample; the message names it and what would do.
        TypeError: One is no number.

    >>> sample("olmoe-1b-7b", layers=2, experts=8, top_k=2, tokens=100).tolist()
    [[30, 23, 11, 35, 35, 26, 7, 33], [16, 15, 15, 52, 34, 20, 27, 21]]
    """
    preset = _preset(model)
    num_experts = whole_number("experts", preset.experts if experts is None else experts)
    usual = min(preset.top_k, max(1, num_experts // 4))  # of few experts the model's would be all
    size = _Size(
        layers=whole_number("layers", preset.layers if layers is None else layers),
        experts=num_experts,
        top_k=whole_number("top_k", usual if top_k is None else top_k),
        tokens=whole_number("tokens", tokens),
        windows=1 if windows is None else whole_number("windows", windows),
        domains=whole_number("domains", domains),
    )
    size.check()
    deviation = preset.spread if spread is None else _checked_spread(spread)
    fewest, most = preset.outliers
    if outliers is not None:
        fewest = most = _from_zero("outliers", outliers, size.experts // 2)
    key = word(np.array([_from_zero("seed", seed, 2**64 - 1)], dtype=np.uint64), 0)

    loads: Integers = np.empty((size.windows, size.layers, size.experts), dtype=np.int64)
    common = _normals(key, _COMMON, 0, size)
    for domain in range(size.domains):
        own = _normals(key, _DOMAIN, domain, size)
        hot = _outliers(_layer_keys(key, _OUTLIERS, domain, size), fewest, most, size)
        for window in range(*size.windows_of(domain)):
            parts = (common, own, _normals(key, _WINDOW, window, size))
            weights = _with_outliers(power_of_two(_log2_loads(parts, deviation)), hot)
            keys = _layer_keys(key, _COUNTS, window, size)
            loads[window] = _counts(_capped(weights, size.top_k), keys, size)
    return loads[0] if windows is None else loads


@dataclass(frozen=True)
class _Size:
    """The sizes of a sample."""

    layers: int
    experts: int
    top_k: int
    tokens: int
    windows: int
    domains: int

    def windows_of(self, domain: int) -> tuple[int, int]:
        """The domain's first window, and the first one after it."""
        return self.windows * domain // self.domains, self.windows * (domain + 1) // self.domains

    def check(self) -> None:
        """Raises TopologyError for sizes that do not go together, or are too large."""
        if self.top_k > self.experts:
            raise TopologyError(
                f"top_k is {self.top_k}, but there are only {self.experts} experts; "
                "a token goes to an expert once at most"
            )
        if self.domains > self.windows:
            raise TopologyError(
                f"domains is {self.domains}; it can be at most windows, {self.windows}"
            )
        if self.experts > _MOST_EXPERTS:
            raise TopologyError(f"experts is {self.experts}; at most {_MOST_EXPERTS} are sampled")
        if self.tokens * self.top_k > MOST_TRIALS:
            raise TopologyError(
                f"tokens is {self.tokens}; at {self.top_k} experts per token at most "
                f"{MOST_TRIALS // self.top_k} are sampled"
            )
        loads = self.windows * self.layers * self.experts
        if loads > _MOST_LOADS:
            raise TopologyError(
                f"{self.windows} windows of {self.layers} layers of {self.experts} experts are "
                f"{loads} loads; at most {_MOST_LOADS} are sampled"
            )


def _preset(model: Any) -> Preset:
    if not isinstance(model, str):
        raise TypeError(f"model must be a name, got {short(model)} ({type(model).__name__})")
    if model not in PRESETS:
        raise EplbError(f"there is no model {short(model)}; there are {', '.join(PRESETS)}")
    return PRESETS[model]


def _checked_spread(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"spread must be a number, got {short(value)} ({type(value).__name__})")
    if not 0 <= value <= _MOST_SPREAD:
        raise EplbError(
            f"spread is {short(value)}; it must be 0 to {_MOST_SPREAD} (real models: 0.1 to 1.6)"
        )
    return float(value)


def _from_zero(name: str, value: Any, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a whole number, got {short(value)} ({kind})")
    if not 0 <= number <= most:
        raise EplbError(f"{name} is {short(number)}; it must be 0 to {most}")
    return number


def _layer_keys(key: Words, purpose: int, index: int, size: _Size) -> Words:
    """A key for each layer, ``[layers, 1]``."""
    numbers = np.arange(size.layers, dtype=np.uint64)
    return word(word(word(key, purpose), index), numbers)[:, np.newaxis]


def _normals(key: Words, purpose: int, index: int, size: _Size) -> Integers:
    """A normal number for each expert, ``[layers, experts]``."""
    keys = _layer_keys(key, purpose, index, size)
    return normal(word(keys, np.arange(size.experts, dtype=np.uint64)))


def _log2_loads(parts: tuple[Integers, Integers, Integers], deviation: float) -> Integers:
    """The logarithms to base 2 of the loads, less those of their medians."""
    root_common, root_domain, root_window = _ROOTS
    common, domain, window = parts
    mixed = (root_common * common + root_domain * domain + root_window * window) >> 16
    scale = int(deviation * 2**16) * _LOG2_E >> 30  # to base 2, in 16 binary places
    return (scale * mixed) >> 16


def _outliers(keys: Words, fewest: int, most: int, size: _Size) -> Integers:
    """How many times the mean of its layer each expert carries, times 256; 0 for no outlier."""
    numbers = np.arange(size.experts, dtype=np.uint64)
    how_many = word(keys, 0) % np.uint64(most - fewest + 1) + np.uint64(fewest)
    lots = word(word(keys, 1), numbers).argsort(axis=-1, kind="stable").argsort(axis=-1)
    chosen = lots < np.minimum(how_many.astype(np.int64), size.experts // 2)
    low, high = (256 * multiple for multiple in OUTLIER_MULTIPLES)
    multiples = word(word(keys, 2), numbers) % np.uint64(high - low + 1) + np.uint64(low)
    return np.where(chosen, multiples, 0).astype(np.int64)


def _with_outliers(weights: Integers, multiples: Integers) -> Integers:
    """The weights, with those of the outliers so many times the mean of all.

    Less where the outliers of a layer would carry more than half of its load.
    """
    others = np.where(multiples > 0, 0, weights).sum(axis=-1, keepdims=True, dtype=np.int64)
    taken = multiples.sum(axis=-1, keepdims=True, dtype=np.int64)
    mean = 256 * weights.shape[-1]
    hot = multiples * others // (mean - np.minimum(taken, mean // 2))
    return np.where(multiples > 0, hot, weights)


def _capped(weights: Integers, top_k: int) -> Integers:
    """The weights, none more than 1/top_k of its layer: a token goes to an expert once at most."""
    full = np.zeros(weights.shape, dtype=np.bool_)
    while True:
        # The full ones take 1/top_k each, the others the rest in proportion.
        rest = np.where(full, 0, weights).sum(axis=-1, keepdims=True, dtype=np.int64)
        cap = rest // (top_k - full.sum(axis=-1, keepdims=True, dtype=np.int64))
        over = weights > cap
        if (over == full).all():
            capped: Integers = np.minimum(weights, cap)
            return capped
        full = over


def _counts(weights: Integers, keys: Words, size: _Size) -> Integers:
    """Multinomial counts by these weights, ``[layers, experts]``, at most ``tokens`` each.

    Halves of the experts share the assignments by a binomial number, then halves of the halves.
    """
    # Sums of weights, and most assignments, of the nodes of a binary tree: leaves first.
    leaves = 1 << (size.experts - 1).bit_length()
    room = np.full((1, size.experts), size.tokens, dtype=np.int64)
    padding = ((0, 0), (0, leaves - size.experts))
    tree = [(np.pad(weights, padding), np.pad(room, padding))]
    while (nodes := tree[-1])[0].shape[1] > 1:
        tree.append((nodes[0][:, 0::2] + nodes[0][:, 1::2], nodes[1][:, 0::2] + nodes[1][:, 1::2]))

    counts = np.full((size.layers, 1), size.tokens * size.top_k, dtype=np.int64)
    while len(tree) > 1:
        whole, _ = tree.pop()
        part, room = tree[-1]
        numbers = np.arange(counts.shape[1], 2 * counts.shape[1], dtype=np.uint64)
        left = binomial(
            counts.ravel(), part[:, 0::2].ravel(), whole.ravel(), word(keys, numbers).ravel()
        ).reshape(counts.shape)
        left = np.clip(left, counts - room[:, 1::2], room[:, 0::2])
        counts = np.stack([left, counts - left], axis=-1).reshape(size.layers, -1)
    return np.ascontiguousarray(counts[:, : size.experts])
