"""GPUs' memory while weights are copied: what a list of transfers does, step by step.

Written from the rules that an engine relies on. Every rule is an assertion.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: A GPU and a position on it.
Cell = tuple[int, int]
#: The expert of each cell that has one.
Map = dict[Cell, int]

#: What a cell holds while it is overwritten.
TORN = -7


@dataclass(frozen=True)
class Transfer:
    layer: int
    step: int
    expert: int
    source: Cell | None
    destination: Cell
    overwrites: int | None
    buffered: bool


@dataclass(frozen=True)
class Placements:
    """Two placements, `[layers][slots]`, with the slots of each GPU, and the GPUs that died between."""

    before: list[list[int]]
    before_slots: Sequence[int]
    after: list[list[int]]
    after_slots: Sequence[int]
    dead: frozenset[int] = frozenset()

    @classmethod
    def of_equal_gpus(
        cls, before: list[list[int]], before_per_gpu: int, after: list[list[int]], per_gpu: int
    ) -> Placements:
        before_gpus, gpus = len(before[0]) // before_per_gpu, len(after[0]) // per_gpu
        return cls(before, [before_per_gpu] * before_gpus, after, [per_gpu] * gpus)

    def maps(self, layer: int) -> tuple[Map, Map]:
        """What GPUs hold: the dead have lost it."""
        before = as_map(self.before[layer], self.before_slots)
        lives = {cell: expert for cell, expert in before.items() if cell[0] not in self.dead}
        return lives, as_map(self.after[layer], self.after_slots)


def cells_of(slots: Sequence[int]) -> list[Cell]:
    """The cell of each slot."""
    return [(gpu, position) for gpu, many in enumerate(slots) for position in range(many)]


def as_map(row: Sequence[int], slots: Sequence[int]) -> Map:
    held = zip(cells_of(slots), row, strict=True)
    return {cell: expert for cell, expert in held if expert >= 0}


def read(table: Any, placements: Placements) -> list[Transfer]:
    """The rows of the core's table."""
    pairs = zip_longest(placements.before_slots, placements.after_slots, fillvalue=0)
    sources, destinations = (
        cells_of([max(pair) for pair in pairs]),
        cells_of(placements.after_slots),
    )
    transfers = []
    for layer, step, expert, source_gpu, source, gpu, slot, over, buffered in table.tolist():
        destination = destinations[slot]
        assert destination[0] == gpu
        assert (source == -1) == (source_gpu == -1)
        assert source == -1 or sources[source][0] == source_gpu
        assert buffered in {0, 1}
        transfers.append(
            Transfer(
                layer,
                step,
                expert,
                None if source == -1 else sources[source],
                destination,
                None if over == -1 else over,
                buffered == 1,
            )
        )
    return transfers


def pending(before: Map, after: Map) -> dict[Cell, int]:
    """Cells that get an expert which they do not hold: the net copies."""
    return {cell: expert for cell, expert in after.items() if before.get(cell) != expert}


def next_map(now: Map, arrivals: dict[Cell, int], after: Map) -> Map:
    """What is served after a step: no GPU keeps an old copy of what arrives on it."""
    gone = {
        cell
        for cell, expert in now.items()
        for (gpu, _), arrived in arrivals.items()
        if cell[0] == gpu and expert == arrived and after.get(cell) != expert
    }
    stay = {cell: expert for cell, expert in now.items() if cell not in gone | set(arrivals)}
    return stay | arrivals


def counts(now: Map) -> Counter[tuple[int, int]]:
    """How often each GPU has each expert."""
    return Counter((gpu, expert) for (gpu, _), expert in now.items())


def is_valid(now: Map, before: Map, after: Map) -> bool:
    """Whether every expert is served, and no GPU has one too often."""
    most = counts(before) | counts(after)
    return set(before.values()) <= set(now.values()) and counts(now) <= most


def can_overwrite(cell: Cell, now: Map, written: Iterable[Cell]) -> bool:
    """Whether a cell is empty, or its expert has a copy that the step does not overwrite."""
    busy = {cell, *written}
    held = now.get(cell)
    return held is None or any(e == held and c not in busy for c, e in now.items())


def execute(placements: Placements, transfers: list[Transfer], seed: int) -> None:
    """Runs a list on all layers, the transfers of a step in any order."""
    layers = len(placements.before)
    order = [(t.layer, t.step, t.destination) for t in transfers]
    assert order == sorted(order)
    random = Random(seed)
    for layer in range(layers):
        before, after = placements.maps(layer)
        mine = [t for t in transfers if t.layer == layer]
        assert {t.destination: t.expert for t in mine} == pending(before, after)
        assert len(mine) == len(pending(before, after))
        run_layer(before, after, mine, random)
    assert all(0 <= t.layer < layers for t in transfers)


def run_layer(before: Map, after: Map, transfers: list[Transfer], random: Random) -> None:
    memory, now = dict(before), dict(before)
    steps = sorted({t.step for t in transfers})
    assert steps == list(range(len(steps)))
    left = pending(before, after)
    for step in steps:
        batch = [t for t in transfers if t.step == step]
        check_independence(batch, now)
        check_eagerness(batch, now, left)
        serving = {c: e for c, e in now.items() if c not in direct_cells(batch)}
        assert set(serving.values()) == set(now.values())
        copy(memory, batch, serving, random)
        now = next_map(now, {t.destination: t.expert for t in batch}, after)
        assert all(memory[cell] == expert for cell, expert in now.items())
        assert is_valid(now, before, after)
        for t in batch:
            del left[t.destination]
    assert not left
    # What `after` does not have is dropped here.
    assert {cell: expert for cell, expert in now.items() if cell in after} == after
    assert all(memory[cell] == expert for cell, expert in after.items())


def direct_cells(batch: list[Transfer]) -> set[Cell]:
    return {t.destination for t in batch if not t.buffered}


def check_independence(batch: list[Transfer], now: Map) -> None:
    written = {t.destination for t in batch}
    assert len(written) == len(batch)
    for t in batch:
        assert t.overwrites == now.get(t.destination)
        assert t.source not in direct_cells(batch)
        if t.source is None:
            assert t.expert not in now.values()
        else:
            assert now[t.source] == t.expert
        if not t.buffered:
            assert can_overwrite(t.destination, now, written)


def check_eagerness(batch: list[Transfer], now: Map, left: dict[Cell, int]) -> None:
    """What can do without a buffer has none and is first. Buffers are for cycles of last copies."""
    later = set(left) - {t.destination for t in batch}
    direct = direct_cells(batch)
    assert not any(can_overwrite(cell, now, direct) for cell in later)
    if len(direct) == len(batch):
        return
    assert not direct
    source_of = {t.destination: t.source for t in batch}
    assert set(source_of) == set(source_of.values())
    held = Counter(now.values())
    assert all(held[now[t.destination]] == 1 for t in batch)
    # A GPU has two buffers at most if one cycle goes through it twice.
    cycle_of: dict[Cell, int] = {}
    for index, start in enumerate(source_of):
        at: Cell | None = start
        while at is not None and at not in cycle_of:
            cycle_of[at] = index
            at = source_of[at]
    gpus = {(cell[0], cycle) for cell, cycle in cycle_of.items()}
    assert len(gpus) == len({gpu for gpu, _ in gpus})


def copy(memory: Map, batch: list[Transfer], serving: Map, random: Random) -> None:
    """Copies begin and end in any order; what is served must be whole all the time."""
    buffers: dict[Cell, int] = {}

    def begin(t: Transfer) -> None:
        assert t.source is None or memory[t.source] == t.expert
        if not t.buffered:
            memory[t.destination] = TORN

    def end(t: Transfer) -> None:
        weights = t.expert if t.source is None else memory[t.source]
        assert weights == t.expert
        (buffers if t.buffered else memory)[t.destination] = weights

    events: list[tuple[float, int, Callable[[Transfer], None], Transfer]] = []
    for index, t in enumerate(batch):
        first, second = sorted((random.random(), random.random()))
        events += [(first, 2 * index, begin, t), (second, 2 * index + 1, end, t)]
    for _, _, event, t in sorted(events, key=lambda event: event[:2]):
        event(t)
        assert all(memory[cell] == expert for cell, expert in serving.items())
    memory.update(buffers)


def check_sources(
    placements: Placements, transfers: list[Transfer], node_of: dict[int, int]
) -> None:
    """Sources are near, and take turns over all layers."""
    sent: Counter[int] = Counter()
    for layer in range(len(placements.before)):
        before, after = placements.maps(layer)
        now = before
        mine = [t for t in transfers if t.layer == layer]
        for step in sorted({t.step for t in mine}):
            batch = [t for t in mine if t.step == step]
            for t in batch:
                readable = [
                    c for c, e in now.items() if e == t.expert and c not in direct_cells(batch)
                ]
                gpu = t.destination[0]

                def cost(cell: Cell, gpu: int = gpu) -> tuple[int, int, Cell]:
                    near = 1 if node_of.get(cell[0], -1) == node_of[gpu] else 2
                    return 0 if cell[0] == gpu else near, sent[cell[0]], cell

                assert t.source == min(readable, key=cost, default=None)
                if t.source is not None and t.source[0] != gpu:
                    sent[t.source[0]] += 1
            now = next_map(now, {t.destination: t.expert for t in batch}, after)


def forced_buffers(before: Map, after: Map) -> int:
    """How many cells no order can write without a buffer.

    They hold the only copies of experts that each have one place to go to, which is such a cell.
    """
    changes = pending(before, after)
    copies, places = Counter(before.values()), Counter(changes.values())
    forced = {
        cell
        for cell in changes
        if cell in before and copies[before[cell]] == 1 and places[before[cell]] == 1
    }
    while True:
        experts = {before[cell] for cell in forced}
        fewer = {cell for cell in forced if changes[cell] in experts}
        if fewer == forced:
            return len(forced)
        forced = fewer
