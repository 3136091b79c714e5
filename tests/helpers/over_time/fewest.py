"""The fewest buffers, and then the fewest steps, of any list of transfers. All are tried."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from over_time.memory import can_overwrite, is_valid, next_map, pending

if TYPE_CHECKING:
    from over_time.memory import Cell, Map

LATER, DIRECT, BUFFERED = range(3)


def fewest(before: Map, after: Map) -> tuple[int, int]:
    """Buffered transfers and steps. Time O(5^n) for n changed cells."""
    changes = pending(before, after)
    cells = tuple(changes)
    # The best way to each set of written cells. Steps only add cells: smaller sets come first.
    best = {frozenset[int](): (0, 0)}
    everything = range(len(cells))
    for done in sorted(subsets(len(cells)), key=len):
        if done not in best:
            continue
        now = next_map(before, {cells[index]: changes[cells[index]] for index in done}, after)
        left = [index for index in everything if index not in done]
        for choice in product((LATER, DIRECT, BUFFERED), repeat=len(left)):
            written = [cells[i] for i, how in zip(left, choice, strict=True) if how != LATER]
            direct = [cells[i] for i, how in zip(left, choice, strict=True) if how == DIRECT]
            if written and is_step(now, direct, written, changes, before, after):
                buffers, steps = best[done]
                cost = (buffers + len(written) - len(direct), steps + 1)
                end = done | {i for i, how in zip(left, choice, strict=True) if how != LATER}
                best[end] = min(best.get(end, cost), cost)
    return best[frozenset(everything)]


def subsets(size: int) -> list[frozenset[int]]:
    return [
        frozenset(index for index in range(size) if bits >> index & 1) for bits in range(1 << size)
    ]


def is_step(
    now: Map,
    direct: list[Cell],
    written: list[Cell],
    changes: dict[Cell, int],
    before: Map,
    after: Map,
) -> bool:
    """Whether these cells can be written in one step."""
    for cell in written:
        arrives = changes[cell]
        copies = {other for other, expert in now.items() if expert == arrives}
        if copies and copies <= set(direct):
            return False
    if not all(can_overwrite(cell, now, written) for cell in direct):
        return False
    return is_valid(next_map(now, {cell: changes[cell] for cell in written}, after), before, after)
