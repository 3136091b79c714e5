"""Placements that engines start with, before anything is balanced."""

from __future__ import annotations


def by_slot(num_experts: int, num_slots: int, _num_gpus: int) -> list[int]:
    """The expert in each slot of a layer: slot p holds expert p modulo L."""
    return [slot % num_experts for slot in range(num_slots)]


def by_rank(num_experts: int, num_slots: int, num_gpus: int) -> list[int]:
    """The same as TensorRT-LLM starts: each rank holds its part of the experts and those after it."""
    each = num_slots // num_gpus
    return [
        (rank * num_experts // num_gpus + slot) % num_experts
        for rank in range(num_gpus)
        for slot in range(each)
    ]
