"""Sequences of windows from the committed real loads: as recorded, shuffled, or composed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]

LOADS = Path(__file__).parents[2] / "loads"
MASK = 2**64 - 1


@dataclass(frozen=True)
class Sequence:
    """Windows ``[windows, layers, experts]``, and the slots and GPUs to plan them for."""

    windows: Counts
    num_replicas: int
    num_gpus: int


class Random:
    """SplitMix64: the same numbers on every machine."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        mixed = self.state
        mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & MASK
        return mixed ^ mixed >> 31

    def below(self, end: int) -> int:
        return self.next() % end

    def unit(self) -> float:
        return (self.next() >> 11) / 2**53

    def normal(self) -> float:
        radius = math.sqrt(-2 * math.log(max(self.unit(), 1e-300)))
        return radius * math.cos(math.tau * self.unit())

    def poisson(self, mean: float) -> int:
        if mean > 50:
            return max(0, round(mean + math.sqrt(mean) * self.normal()))
        limit, product, count = math.exp(-mean), self.unit(), 0
        while product > limit:
            product *= self.unit()
            count += 1
        return count

    def order(self, count: int) -> list[int]:
        order = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order


def counts(name: str) -> Counts:
    """The counts of a file, ``[records, layers, experts]``."""
    with np.load(LOADS / f"{name}.npz", allow_pickle=False) as file:
        loads: npt.NDArray[Any] = file["counts"]
    return loads.astype(np.int64)


def gpt_oss(seed: int | None) -> Sequence:
    """Categories until a layer has 40,000 assignments, in the order of the file or shuffled."""
    records = counts("gpt-oss-20b_expertfingerprinting_category_counts")
    if seed is not None:
        records = records[Random(seed).order(len(records))]
    windows = [*_filled(records, 40_000)][: 160 if seed is None else 100]
    return Sequence(np.array(windows), num_replicas=40, num_gpus=8)


def _filled(records: Counts, tokens: int) -> Iterator[Counts]:
    window = np.zeros_like(records[0])
    for record in records:
        window = window + record
        if window[0].sum() >= tokens:
            yield window
            window = np.zeros_like(window)


def v2_lite(seed: int | None) -> Sequence:
    """Four requests a window, in the order of the file or shuffled."""
    records = counts("deepseek-v2-lite_esft_seq_counts")
    if seed is not None:
        records = records[Random(seed).order(len(records))]
    return Sequence(_sums(records, 4), num_replicas=80, num_gpus=8)


def olmoe(batch: int) -> Sequence:
    """So many requests a window."""
    records = counts("olmoe-1b-7b_experts4bit_alpaca-like_1024ex_counts")
    return Sequence(_sums(records, batch), num_replicas=80, num_gpus=8)


def _sums(records: Counts, size: int) -> Counts:
    whole = records[: len(records) // size * size]
    sums: Counts = whole.reshape(-1, size, *records.shape[1:]).sum(axis=1)
    return sums


def gpt_oss_blocks(length: int, seed: int = 1, windows: int = 48) -> Sequence:
    """Windows drawn from one domain of gpt-oss after another, so many windows each."""
    domains = counts("gpt-oss-20b_expertfingerprinting_dataset_counts").astype(float)
    shares = domains / domains.sum(axis=2, keepdims=True)
    random = Random(seed)
    order = random.order(len(domains))
    drawn = []
    for window in range(windows):
        domain = shares[order[window // length % len(order)]]
        tokens = 50_000 * 10 ** random.unit()
        drawn.append([[random.poisson(share * tokens * 8) for share in row] for row in domain])
    return Sequence(np.array(drawn), num_replicas=40, num_gpus=8)


#: First record of each of the four tasks of the V2-Lite file, and one past the last.
TASKS = [0, 127, 160, 173, 213]


def v2_lite_blocks(length: int, seed: int = 1, windows: int = 48) -> Sequence:
    """Windows of eight requests, drawn from one task after another, so many windows each."""
    records = counts("deepseek-v2-lite_esft_seq_counts")
    random = Random(seed)
    order = random.order(len(TASKS) - 1)
    drawn = []
    for window in range(windows):
        task = order[window // length % len(order)]
        first, size = TASKS[task], TASKS[task + 1] - TASKS[task]
        drawn.append(records[[first + random.below(size) for _ in range(8)]].sum(axis=0))
    return Sequence(np.array(drawn), num_replicas=80, num_gpus=8)
