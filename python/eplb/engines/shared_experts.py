"""Placements with shared experts: every GPU holds them behind the experts that tokens are routed to."""

from __future__ import annotations


def shared_experts(table: list[list[int]], num_gpus: int, num_experts: int) -> int:
    """How many experts beyond ``num_experts`` every GPU has at its end, in every layer; 0 if not so."""
    each = len(table[0]) // num_gpus
    shared = sum(expert >= num_experts for expert in table[0][:each])
    if not 0 < shared < each:
        return 0
    tail = [*range(num_experts, num_experts + shared)]
    for row in table:
        for first in range(0, len(row), each):
            held = row[first : first + each]
            if held[-shared:] != tail or max(held[:-shared]) >= num_experts:
                return 0
    return shared


def without_last(table: list[list[int]], num_gpus: int, number: int) -> list[list[int]]:
    """The same placement without the last ``number`` slots of every GPU."""
    each = len(table[0]) // num_gpus
    return [
        [
            expert
            for first in range(0, len(row), each)
            for expert in row[first : first + each - number]
        ]
        for row in table
    ]
