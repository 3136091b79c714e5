"""The search without a screen: every move around a busy GPU is evaluated exactly, in every step.

The oracle of quality. It takes the history and the first plan of the core, and from there decides
everything itself: the arithmetic, the price, the limits and the end are those of the specification,
in whole arrays of integers. All GPUs are in one zone, and every expert has a slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from eplb import _core
from over_time import specification as spec
from over_time.judge import topology

if TYPE_CHECKING:
    import numpy.typing as npt
    from over_time.judge import Slots
    from over_time.sequences import Counts, Sequence

    Numbers = npt.NDArray[np.uint64]
    Indices = npt.NDArray[np.int64]

#: Loads are below this, or a move is not possible.
LIMIT = 2**20
#: GPUs around which a move is looked for.
BUSIEST = 2
#: What an update may cost by default: millionths of the norm, shares of the slots.
PRICE, MOST, MOST_AFTER_SHIFT = 10_000, 0.2, 0.6


def potentials(loads: Numbers) -> Numbers:
    """The sum of powers over the last axis."""
    second = loads * loads >> 16
    fourth = second * second >> 16
    sums: Numbers = (fourth * fourth >> 16).sum(axis=-1)
    return sums


class State:
    """Slots of equal GPUs, and their loads. An empty slot holds the expert after the last."""

    def __init__(self, cells: list[list[int]], slots: list[int], gpus: int) -> None:
        self.experts, self.gpus, self.per_gpu = len(cells), gpus, len(slots) // gpus
        self.slots = np.array([self.experts if e == spec.EMPTY else e for e in slots])
        shift = spec.shift_of_shares(cells, self.replicas().tolist())
        whole = np.array([*cells, [0] * len(cells[0])], dtype=np.uint64)
        while True:
            self.whole = whole >> shift
            self.refresh()
            if self.load.max() < 2**18 and sum(self.potential.tolist()) < 2**47:
                break
            shift += 1

    def replicas(self) -> Indices:
        return np.bincount(self.slots, minlength=self.experts + 1)[: self.experts]

    def share(self, change: int) -> Numbers:
        """The load of each replica if every expert had so many more, ``[experts + 1, rows]``."""
        count = np.maximum(1, np.append(self.replicas() + change, 1)).astype(np.uint64)
        reciprocal = (2**32 + count - 1) // count
        shares: Numbers = self.whole * reciprocal[:, None] >> 32
        return shares

    def refresh(self) -> None:
        """All that follows from the slots."""
        table = self.slots.reshape(self.gpus, -1)
        self.shares = self.share(0)
        self.load: Numbers = self.shares[table].sum(axis=1)
        self.potential = potentials(self.load)
        self.holds = np.zeros((self.gpus, self.experts + 1), dtype=bool)
        np.put_along_axis(self.holds, table, values=True, axis=1)
        self.holds[:, self.experts] = False

    def gpu(self, slots: Indices) -> Indices:
        return slots // self.per_gpu

    def can_give(self) -> npt.NDArray[np.bool_]:
        """Whether each slot can lose its expert."""
        counts = np.append(self.replicas(), 2)
        given: npt.NDArray[np.bool_] = counts[self.slots] > 1
        return given

    def swaps(self, busy: int) -> tuple[Indices, Indices]:
        """All pairs of a slot of the busy GPU and one elsewhere that can exchange their experts."""
        every = np.arange(len(self.slots))
        here = every[self.gpu(every) == busy]
        a, b = (pairs.ravel() for pairs in np.meshgrid(here, every, indexing="ij"))
        mine, theirs = self.slots[a], self.slots[b]
        twice = self.holds[busy, theirs] | self.holds[self.gpu(b), mine]
        both_empty = (mine == self.experts) & (theirs == self.experts)
        possible = (self.gpu(b) != busy) & ~twice & ~both_empty
        return a[possible], b[possible]

    def gains_of_swaps(self, a: Indices, b: Indices) -> Indices:
        """By how much each swap lowers the potentials; 0 if it does not, or is not possible."""
        mine, theirs = self.shares[self.slots[a]], self.shares[self.slots[b]]
        loads = np.stack([self.load[self.gpu(a)], self.load[self.gpu(b)]], axis=1)
        loads[:, 0] += theirs
        loads[:, 0] -= mine
        loads[:, 1] += mine
        loads[:, 1] -= theirs
        before = self.potential[self.gpu(a)] + self.potential[self.gpu(b)]
        return gains(before, loads)

    def reassignments(self, busy: int) -> tuple[Indices, Indices]:
        """All slots with new experts: on the busy GPU any, elsewhere those of the busy GPU."""
        slots = np.flatnonzero(self.can_give())
        slot, expert = (
            pairs.ravel() for pairs in np.meshgrid(slots, range(self.experts), indexing="ij")
        )
        around = (self.gpu(slot) == busy) | self.holds[busy, expert]
        possible = around & ~self.holds[self.gpu(slot), expert]
        return slot[possible], expert[possible]

    def gains_of_reassignments(self, slot: Indices, expert: Indices) -> Indices:
        old, gpu, each = self.slots[slot], self.gpu(slot), np.arange(len(slot))
        fewer, more = self.share(-1), self.share(1)
        # Differences below 0 wrap, and wrap back in the loads.
        change = np.stack([fewer[old] - self.shares[old], more[expert] - self.shares[expert]])
        held = np.stack([self.holds.T[old], self.holds.T[expert]])
        loads = self.load + (change[:, :, None] * held[:, :, :, None]).sum(axis=0)
        loads[each, gpu] = self.load[gpu] - self.shares[old] + more[expert]
        return gains(self.potential.sum(), loads)

    def moves(self, busy: int) -> Moves:
        """All moves around a GPU: swaps first, then by index."""
        a, b = self.swaps(busy)
        slot, expert = self.reassignments(busy)
        parts = (
            (a, b, self.gains_of_swaps(a, b), (self.slots[[a, b]] != self.experts).sum(axis=0)),
            (slot, expert, self.gains_of_reassignments(slot, expert), np.ones_like(slot)),
        )
        return Moves(len(a), *(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def apply(self, move: spec.Move) -> None:
        if move.reassign:
            self.slots[move.a] = move.b
        else:
            self.slots[[move.a, move.b]] = self.slots[[move.b, move.a]]
        self.refresh()

    def list(self) -> list[int]:
        return [spec.EMPTY if e == self.experts else e for e in self.slots.tolist()]


def gains(before: Numbers, loads: Numbers) -> Indices:
    """Of moves to these loads, ``[moves, gpus, rows]``."""
    fits: npt.NDArray[np.bool_] = np.all(loads < LIMIT, axis=(1, 2))
    after = potentials(np.where(fits[:, None, None], loads, 0)).sum(axis=1)
    return np.where(fits & (after < before), before - after, 0).astype(np.int64)


@dataclass(frozen=True)
class Moves:
    """So many swaps, then reassignments: two indices, what each gains, and its weight copies."""

    swaps: int
    a: Indices
    b: Indices
    gain: Indices
    copies: Indices

    def move(self, index: int) -> spec.Move:
        return spec.Move(index >= self.swaps, int(self.a[index]), int(self.b[index]))

    def best(self, left: int) -> tuple[spec.Move, int, int] | None:
        """The first of those with the largest gain per copy, its gain and its copies."""
        worth = np.where(self.copies <= left, self.gain * 2 // self.copies, 0)
        if not worth.any():
            return None
        index = int(worth.argmax())
        return self.move(index), int(self.gain[index]), int(self.copies[index])


def search(state: State, copies: int, price: int) -> None:
    """Improves a state; ``price`` in millionths of the norm for all slots."""
    idle: set[int] = set()
    while copies > 0:
        potential = state.potential.tolist()
        found = None
        for busy in sorted(range(state.gpus), key=lambda gpu: (-potential[gpu], gpu))[:BUSIEST]:
            if busy in idle:
                continue
            found = state.moves(busy).best(copies)
            if found:
                _, gain, cost = found
                if gain * 10**6 * len(state.slots) >= 8 * price * cost * sum(potential):
                    break
            found = None
            idle.add(busy)
        if not found:
            return
        idle.clear()
        copies -= cost
        state.apply(found[0])


class ExactSearch:
    """The planner from a history whose updates are found by the exact search."""

    def __init__(self, sequence: Sequence) -> None:
        layers, experts = sequence.windows.shape[1:]
        self.history = _core.LoadHistory(layers, experts, 16, 64225)
        self.topology, self.gpus = topology(sequence), sequence.num_gpus

    def observe(self, window: Counts) -> None:
        self.history.observe(_core.Loads(np.ascontiguousarray(window)), 1)

    def __call__(self, previous: Slots | None) -> Slots:
        if previous is None:
            return _core.replan(self.history, self.topology).phy2log()
        rows, decay, _, layers, _, _ = self.history.state()
        return np.array(
            [
                self.update(spec.History(rows, decay, *layer), slots.tolist())
                for layer, slots in zip(layers, previous, strict=True)
            ]
        )

    def update(self, history: spec.History, slots: list[int]) -> list[int]:
        state = State(spec.wholes(history, self.gpus), slots, self.gpus)
        most = MOST_AFTER_SHIFT if history.shifted else MOST
        search(state, round(most * len(slots)), PRICE)
        return state.list()
