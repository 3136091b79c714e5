"""Expert weights that say whose they are, so that each move can be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Shape of an expert's tensor and its type: engines move weights and their scales together.
TENSORS: list[tuple[tuple[int, ...], torch.dtype]] = [
    ((3, 4), torch.float32),
    ((5,), torch.int8),
    ((), torch.float64),
]


def tensors(local_slots: int) -> list[torch.Tensor]:
    """A layer's tensors on one rank, of nobody: ``[local_slots, ...]`` each."""
    return [torch.full((local_slots, *shape), -1, dtype=kind) for shape, kind in TENSORS]


def write(tensor: torch.Tensor, slot: int, layer: int, expert: int, base: int = 0) -> None:
    """Lets a slot hold an expert."""
    tensor[slot] = value(tensor.dtype, layer, expert, base)


def value(kind: torch.dtype, layer: int, expert: int, base: int) -> int:
    """What all numbers of an expert are: 100 * layer + expert, as far as the type can hold it."""
    number = base + 100 * layer + expert
    return number % 251 - 125 if kind == torch.int8 else number


def fill(layers: Any, phy2log: torch.Tensor, rank: int, base: int = 0) -> None:
    """Puts on a rank what the map says, where the map has an expert."""
    for layer, (weights, row) in enumerate(zip(layers, phy2log.tolist(), strict=True)):
        local = len(weights[0])
        for slot, expert in enumerate(row[rank * local : (rank + 1) * local]):
            if expert >= 0:
                for tensor in weights:
                    write(tensor, slot, layer, expert, base)


def misplaced(layers: Any, phy2log: torch.Tensor, rank: int, base: int = 0) -> Iterator[str]:
    """A line for each weight that is not where the map says, in the order of layers and slots."""
    for layer, (weights, row) in enumerate(zip(layers, phy2log.tolist(), strict=True)):
        local = len(weights[0])
        for slot, expert in enumerate(row[rank * local : (rank + 1) * local]):
            for number, tensor in enumerate(weights):
                wanted = value(tensor.dtype, layer, expert, base)
                if expert >= 0 and not bool((tensor[slot] == wanted).all()):
                    yield (
                        f"rank {rank}, layer {layer}, slot {slot}, tensor {number}: expert {expert} "
                        f"should be {wanted}, it is {tensor[slot].flatten()[0].item()}"
                    )
