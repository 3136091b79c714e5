"""Planning over time in plain Python integers: history, objective, search, one layer.

It says what the core computes, number for number, and takes no care of time. Lists are indexed as
``[row][expert]``, ``[gpu][row]``; a slot holds an expert or ``EMPTY``. ``//`` and ``>>`` round down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import chain, combinations
from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = -1

# --- History ---------------------------------------------------------------------------------------

ONE = 65536


@dataclass
class History:
    """Merged rows of one layer, with weights."""

    max_rows: int = 16
    decay: int = 64225
    rows: list[list[int]] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    nearest: list[int] = field(default_factory=list)
    usual: int = 0
    shifted: bool = False

    def observe(self, loads: list[int]) -> None:
        """Learns from the canonical loads of a window."""
        total = sum(loads)
        if total == 0:
            return
        window = [(load << 30) // total for load in loads]
        distances = [distance(row, window) for row in self.rows]
        if distances:
            nearest = min(distances)
            median = sorted(self.nearest)[len(self.nearest) // 2] if self.nearest else nearest
            self.shifted = len(self.rows) > 2 and nearest > 3 * median
            self.usual = max(1, min(nearest, median))
            self.nearest = [*self.nearest, nearest][-12:]
        else:
            self.usual = 1
        self.weights = [weight * self.decay >> 16 for weight in self.weights]
        self.rows.append(window)
        self.weights.append(ONE)
        if len(self.rows) > self.max_rows:
            self.merge()

    def merge(self) -> None:
        """Merges the most similar pair of all rows but the newest two."""
        rows, weights = self.rows, self.weights
        i, j = min(
            combinations(range(len(rows) - 2), 2),
            key=lambda pair: (
                distance(rows[pair[0]], rows[pair[1]]) ** 2
                * min(weights[pair[0]], weights[pair[1]]),
                pair,
            ),
        )
        ratio = (weights[j] << 32) // max(1, weights[i] + weights[j])
        rows[i] = [a + ((b - a) * ratio >> 32) for a, b in zip(rows[i], rows[j], strict=True)]
        weights[i] = min(weights[i] + weights[j], 2**31)
        del rows[j], weights[j]

    def planning_weights(self) -> list[int]:
        """Weights by likeness with the newest window."""
        *older, newest = self.weights
        if len(self.rows) < 3:
            return self.weights
        weights = []
        for row, weight in zip(self.rows, older, strict=False):
            likeness = min(ONE, (self.usual << 16) // max(1, distance(row, self.rows[-1])))
            for _ in range(3 if self.shifted else 1):
                weight = weight * likeness >> 16  # noqa: PLW2901
            weights.append(weight)
        return [*weights, newest]


def distance(row: list[int], other: list[int]) -> int:
    return sum(abs(a - b) for a, b in zip(row, other, strict=True))


# --- Objective -------------------------------------------------------------------------------------


def power(load: int) -> int:
    """``load^8 / 2^112``, for loads below 2^20."""
    second = load * load >> 16
    fourth = second * second >> 16
    return fourth * fourth >> 16


def slope(load: int) -> int:
    second = load * load >> 16
    third, fourth = second * load >> 16, second * second >> 16
    return fourth * third >> 16


def potential(load: list[int]) -> int:
    return sum(map(power, load))


def potential_of_any(load: list[int]) -> int:
    most = 2**20 - 1
    return sum(power(min(x, most)) + (max(0, x - most) << 26) for x in load)


def wholes(history: History, gpus: int) -> list[list[int]]:
    """The load of each expert with one replica, ``[expert][row]``, before the shift."""
    cells = []
    for row, weight in zip(history.rows, history.planning_weights(), strict=True):
        scale = 4 * isqrt(isqrt(isqrt(weight << 96))) * gpus
        cells.append([share * scale >> 30 for share in row])
    return [list(column) for column in zip(*cells, strict=True)]


def share(whole: list[int], replicas: int) -> list[int]:
    reciprocal = -(-(2**32) // max(1, replicas))
    return [load * reciprocal >> 32 for load in whole]


def shift_of_shares(cells: list[list[int]], replicas: list[int]) -> int:
    shift = 0
    for whole, count in zip(cells, replicas, strict=True):
        while max(whole) >> shift >= max(1, count) << 18:
            shift += 1
    while max(map(sum, zip(*cells, strict=True))) >> shift >= 2**32:
        shift += 1
    return shift


# --- State -----------------------------------------------------------------------------------------


class State:
    """Slots of equal GPUs in zones (nodes), and their loads."""

    def __init__(
        self, cells: list[list[int]], slots: list[int], gpus: int, zones: list[int], nodes: int
    ) -> None:
        self.slots, self.gpus, self.zones, self.nodes = list(slots), gpus, zones, nodes
        self.per_gpu = len(slots) // gpus
        self.replicas = [slots.count(expert) for expert in range(len(cells))]
        shift = shift_of_shares(cells, self.replicas)
        while True:
            self.whole = [[load >> shift for load in whole] for whole in cells]
            loads = self.loads()
            if max(map(max, loads)) < 2**18 and sum(map(potential, loads)) < 2**47:
                break
            shift += 1

    def gpu(self, slot: int) -> int:
        return slot // self.per_gpu

    def zone(self, gpu: int) -> int:
        return gpu * self.nodes // self.gpus

    def range(self, gpu: int) -> range:
        return range(gpu * self.per_gpu, (gpu + 1) * self.per_gpu)

    def held(self, gpu: int) -> list[int]:
        return [self.slots[slot] for slot in self.range(gpu) if self.slots[slot] != EMPTY]

    def share(self, expert: int) -> list[int]:
        if expert == EMPTY:
            return [0] * len(self.whole[0])
        return share(self.whole[expert], self.replicas[expert])

    def loads(self) -> list[list[int]]:
        """``[gpu][row]``."""

        def shares(gpu: int) -> list[list[int]]:
            return [self.share(expert) for expert in [EMPTY, *self.held(gpu)]]

        return [
            [sum(column) for column in zip(*shares(gpu), strict=True)] for gpu in range(self.gpus)
        ]

    def total(self) -> int:
        return sum(map(potential, self.loads()))

    def after(self, move: Move) -> State:
        """The state after a move."""
        state = object.__new__(State)
        state.__dict__.update(self.__dict__)
        state.slots, state.replicas = list(self.slots), list(self.replicas)
        if move.reassign:
            old = state.slots[move.a]
            if old != EMPTY:
                state.replicas[old] -= 1
            state.replicas[move.b] += 1
            state.slots[move.a] = move.b
        else:
            state.slots[move.a], state.slots[move.b] = state.slots[move.b], state.slots[move.a]
        return state

    def can_give(self, slot: int) -> bool:
        expert = self.slots[slot]
        return expert == EMPTY or self.replicas[expert] > 1

    def copies(self, move: Move) -> int:
        if move.reassign:
            return 1
        return sum(self.slots[slot] != EMPTY for slot in (move.a, move.b))


@dataclass(frozen=True, order=True)
class Move:
    """Two slots exchange experts, or slot ``a`` gets expert ``b``."""

    reassign: bool
    a: int
    b: int


@dataclass(frozen=True)
class Step:
    move: Move
    copies: int
    gain: int
    before: int


# --- Screen ----------------------------------------------------------------------------------------


def i16(value: int) -> int:
    return max(-32768, min(32767, value))


def bend(x: int, curvature: int) -> int:
    return (x * x >> 16) * curvature


class Screen:
    """Estimates of second order around a GPU, and the candidates that they leave."""

    def __init__(self, state: State, busy: int) -> None:
        self.state, self.busy = state, busy
        loads = state.loads()
        steepest = max(slope(load) for row in loads for load in row)
        shift = max(0, steepest.bit_length() - 11)
        self.slope_shift = shift
        self.slopes = [[slope(load) >> shift for load in row] for row in loads]
        self.pull = [
            sum(s * (load >> 4) for s, load in zip(slopes, row, strict=True))
            for slopes, row in zip(self.slopes, loads, strict=True)
        ]
        self.shift = max(0, self.pull[busy].bit_length() - 15)
        self.zone = [g for g in range(state.gpus) if state.zone(g) == state.zone(busy)]
        self.curvature = [
            min(16383, ((7 << 39) // max(1, pull)) << self.shift >> 21) for pull in self.pull
        ]

    def feels(self, gpu: int, expert: int) -> int:
        shares = [min(32767, load >> 4) for load in self.state.share(expert)]
        return sum(s * x for s, x in zip(self.slopes[gpu], shares, strict=True))

    def felt(self, gpu: int, expert: int) -> int:
        return i16(self.feels(gpu, expert) >> self.shift)

    def at_home(self, slot: int) -> int:
        return self.felt(self.state.gpu(slot), self.state.slots[slot])

    def sum_felt(self, expert: int) -> int:
        gpus = [g for g in range(self.state.gpus) if expert in self.state.held(g)]
        return sum(self.feels(gpu, expert) for gpu in gpus)

    def given(self, slot: int) -> int:
        """What GPUs feel if the slot loses its expert."""
        expert = self.state.slots[slot]
        if expert == EMPTY:
            return 0
        felt = self.feels(self.state.gpu(slot), expert)
        others = (self.sum_felt(expert) - felt) // (self.state.replicas[expert] - 1)
        return i16((felt - others) >> self.shift)

    def relief(self, expert: int) -> int:
        """What another replica takes from the others."""
        part = 32768 // (self.state.replicas[expert] + 1)
        return i16((self.sum_felt(expert) >> self.shift) * part >> 15)

    def added(self, gpu: int, expert: int) -> int:
        """What a GPU feels of another replica."""
        felt = self.felt(gpu, expert)
        return felt - (felt * (32768 // (self.state.replicas[expert] + 1)) >> 15)

    def swap(self, here: int, there: int) -> int:
        state, gpu = self.state, self.state.gpu(there)
        less = i16(self.at_home(here) - self.felt(self.busy, state.slots[there]))
        more = i16(self.felt(gpu, state.slots[here]) - self.at_home(there))
        bent = bend(less, self.curvature[self.busy]) + bend(more, self.curvature[gpu])
        return less - more - (bent >> 3)

    def reassign(self, slot: int, expert: int) -> int:
        gpu = self.state.gpu(slot)
        added = self.added(gpu, expert)
        bent = bend(i16(self.at_home(slot) - added), self.curvature[gpu]) >> 3
        return self.given(slot) + self.relief(expert) - added - bent

    def looks_worth(self, estimate: int, gain: int) -> bool:
        """Whether a move with this estimate may gain so much: half of that is enough."""
        up = self.shift + self.slope_shift - 9
        least = gain // 2 >> up if up >= 0 else gain // 2 << -up
        return estimate >= max(1, least)

    def candidates(self, least: Callable[[int], int]) -> list[Move]:
        """The moves to be evaluated, if a move must gain ``least`` by the copies that it takes."""
        state, busy = self.state, self.busy
        swaps, reassignments = [], []
        zone_slots = sum(len(state.range(gpu)) for gpu in self.zone)
        few = len(state.range(busy)) * zone_slots <= 320
        for here in state.range(busy):
            for gpu in self.zone:
                if gpu == busy or state.slots[here] in state.held(gpu):
                    continue
                there = [s for s in state.range(gpu) if state.slots[s] not in state.held(busy)]
                moves = [Move(False, here, s) for s in there]
                if few:
                    swaps += [(0, m) for m in moves if state.copies(m) > 0]
                else:
                    swaps += best_of([(self.swap(m.a, m.b), m) for m in moves])
        half = len(state.whole) // 2
        for slot in filter(state.can_give, state.range(busy)):
            for experts in (range(half), range(half, len(state.whole))):
                reassignments += best_of(
                    [
                        (self.reassign(slot, expert), Move(True, slot, expert))
                        for expert in experts
                        if state.zones[expert] == state.zone(busy)
                        and expert not in state.held(busy)
                    ]
                )
        for gpu in self.zone:
            if gpu == busy:
                continue
            for slot in filter(state.can_give, state.range(gpu)):
                reassignments += best_of(
                    [
                        (self.reassign(slot, expert), Move(True, slot, expert))
                        for expert in state.held(busy)
                        if expert not in state.held(gpu)
                    ]
                )

        def looks_good(found: tuple[int, Move]) -> bool:
            estimate, move = found
            if few and not move.reassign:
                return True
            return self.looks_worth(estimate, least(state.copies(move)))

        return [
            move
            for moves, most in ((swaps, 320), (reassignments, 32))
            for _, move in sorted(filter(looks_good, moves), key=lambda x: (-x[0], x[1]))[:most]
        ]


def best_of(moves: list[tuple[int, Move]]) -> list[tuple[int, Move]]:
    """The first of the largest estimates, if it is positive."""
    best = max(moves, key=lambda x: x[0], default=None)
    return [best] if best and best[0] > 0 else []


# --- Search ----------------------------------------------------------------------------------------


def best_move(state: State, moves: list[Move], left: int) -> tuple[Move, int] | None:
    """The possible move with the largest gain per copy."""
    total = state.total()
    best = None
    for move in sorted(moves):
        loads = state.after(move).loads()
        gain = total - sum(map(potential, loads))
        copies = state.copies(move)
        if max(map(max, loads)) >= 2**20 or gain <= 0 or copies > left:
            continue
        if best is None or gain * best[2] > best[1] * copies:
            best = (move, gain, copies)
    return best and (best[0], best[1])


def least_gain(price: int, left: int, before: int, slots: int, copies: int) -> int:
    """What a move of so many copies must gain, if so many are left."""
    gain = -(-8 * price * copies * before // (10**6 * slots))
    return max(1, gain) if copies <= left else 2**64


def search(state: State, copies: int, price: int) -> tuple[State, list[Step]]:
    """Improves a state; ``price`` in millionths of the norm for all slots."""
    steps: list[Step] = []
    idle: set[int] = set()
    while copies > 0:
        potentials = [potential(load) for load in state.loads()]
        before = sum(potentials)
        busiest = []
        for zone in range(state.nodes):
            gpus = [gpu for gpu in range(state.gpus) if state.zone(gpu) == zone]
            busiest += sorted(gpus, key=lambda gpu: (-potentials[gpu], gpu))[:2]
        found = None
        least = partial(least_gain, price, copies, before, len(state.slots))
        for busy in sorted(busiest, key=lambda gpu: (-potentials[gpu], gpu)):
            if busy in idle:
                continue

            found = best_move(state, Screen(state, busy).candidates(least), copies)
            if found:
                move, gain = found
                cost = state.copies(move)
                if gain >= least(cost):
                    break
            found = None
            idle.add(busy)
        if not found:
            return state, steps
        idle -= {gpu for gpu in range(state.gpus) if state.zone(gpu) == state.zone(busy)}
        steps.append(Step(move, cost, gain, before))
        copies -= cost
        state = state.after(move)
    return state, steps


# --- Plans -----------------------------------------------------------------------------------------


def expected_loads(history: History) -> list[int]:
    """Mean and 5/8 of the standard deviation of each expert's share."""
    weights = history.planning_weights()
    total = max(1, sum(weights))
    expected = []
    for shares in zip(*history.rows, strict=True):
        mean = sum(s * w for s, w in zip(shares, weights, strict=True)) // total
        variance = sum((s - mean) ** 2 * w for s, w in zip(shares, weights, strict=True)) // total
        expected.append(mean + isqrt(variance) * 5 // 8)
    return expected


@dataclass(frozen=True)
class Fleet:
    """Equal GPUs on nodes; experts stay on the node that ``zones`` gives them."""

    gpus: int
    per_gpu: int
    zones: list[int]
    nodes: int = 1

    def zone(self, zone: int) -> range:
        size = self.gpus // self.nodes
        return range(zone * size, (zone + 1) * size)


def complete(history: History, fleet: Fleet, slots: list[int], room: list[int]) -> list[int]:
    """Experts for the slots in ``room``, which are empty: Adams' method, then LPT for vectors."""
    slots = list(slots)
    expected = expected_loads(history)
    for zone in range(fleet.nodes):
        experts = [expert for expert, its in enumerate(fleet.zones) if its == zone]
        gpus = fleet.zone(zone)
        free = [slot for slot in room if slot // fleet.per_gpu in gpus]
        placed = [slots.count(expert) for expert in range(len(expected))]
        replicas = [max(1, count) for count in placed]
        for _ in range(len(free) - sum(placed[expert] == 0 for expert in experts)):
            more = [expert for expert in experts if replicas[expert] < len(gpus)]
            replicas[_heaviest(more, expected, replicas)] += 1
        cells = wholes(history, fleet.gpus)
        counts = [replicas[e] if e in experts else 1 for e in range(len(expected))]
        shift = shift_of_shares(cells, counts)
        shares = [
            share([load >> shift for load in whole], count)
            for whole, count in zip(cells, counts, strict=True)
        ]
        order = [expert for expert in experts if replicas[expert] > placed[expert]]
        while order:
            expert = _heaviest(order, expected, replicas)
            order.remove(expert)
            for _ in range(replicas[expert] - placed[expert]):
                if not _place(expert, fleet, gpus, slots, free, shares, room):
                    break
        for slot in list(free):
            gpu = slot // fleet.per_gpu
            here = slots[gpu * fleet.per_gpu : (gpu + 1) * fleet.per_gpu]
            lacking = [expert for expert in experts if expert not in here]
            counts = [slots.count(expert) for expert in range(len(expected))]
            slots[slot] = _heaviest(lacking, expected, counts)
    return slots


def _place(
    expert: int,
    fleet: Fleet,
    gpus: range,
    slots: list[int],
    free: list[int],
    shares: list[list[int]],
    own: list[int],
) -> bool:
    """A replica where the potential grows least; else an expert in an own slot makes room, or none."""

    def held(gpu: int) -> list[int]:
        here = slots[gpu * fleet.per_gpu : (gpu + 1) * fleet.per_gpu]
        return [expert for expert in here if expert != EMPTY]

    def load(experts: list[int]) -> int:
        zeros = [0] * len(shares[0])
        columns = zip(zeros, *(shares[expert] for expert in experts), strict=True)
        return potential_of_any([sum(column) for column in columns])

    def room_of(gpu: int) -> list[int]:
        return [slot for slot in free if slot // fleet.per_gpu == gpu]

    open_gpus = [gpu for gpu in gpus if room_of(gpu)]
    fits = [gpu for gpu in open_gpus if expert not in held(gpu)]
    if fits:
        gpu = min(fits, key=lambda g: (load([*held(g), expert]) - load(held(g)), g))
        slots[room_of(gpu)[0]] = expert
    else:
        gpu = open_gpus[0]
        movable = [
            slot
            for slot in own
            if slot not in free
            and slot // fleet.per_gpu in gpus
            and expert not in held(slot // fleet.per_gpu)
            and slots[slot] not in held(gpu)
        ]
        if not movable:
            return False
        slots[room_of(gpu)[0]], slots[movable[0]] = slots[movable[0]], expert
    free.remove(room_of(gpu)[0])
    return True


def _heaviest(experts: list[int], expected: list[int], replicas: list[int]) -> int:
    best = experts[0]
    for expert in experts[1:]:
        if expected[expert] * replicas[best] > expected[best] * replicas[expert]:
            best = expert
    return best


#: What a move of a new plan must be worth, in millionths of the norm for all slots.
COLD_PRICE = 1000


def cold(history: History, num_slots: int, gpus: int) -> list[int]:
    """The plan of a layer without a previous placement."""
    zones = [0] * len(history.rows[0])
    fleet = Fleet(gpus, num_slots // gpus, zones)
    slots = complete(history, fleet, [EMPTY] * num_slots, list(range(num_slots)))
    state = State(wholes(history, gpus), slots, gpus, zones, 1)
    return search(state, 4 * num_slots, COLD_PRICE)[0].slots


def make_room(
    state: State, expected: list[int], empty: list[int], *, fill: bool
) -> tuple[list[int], list[int]]:
    """Slots in which each expert without a replica finds one, and those to be filled."""
    slots, replicas = list(state.slots), list(state.replicas)
    room: list[int] = []
    for zone in range(state.nodes):
        experts = [expert for expert in range(len(replicas)) if state.zones[expert] == zone]
        unplaced = sum(replicas[expert] == 0 for expert in experts)
        inside = [s for s in range(len(slots)) if state.zone(state.gpu(s)) == zone]
        here = [slot for slot in inside if slot in empty]
        wanted = max(unplaced, len(here)) if fill else unplaced
        here += [slot for slot in inside if slots[slot] == EMPTY and slot not in empty]
        here = here[:wanted]
        while len(here) < wanted:
            expert = min(
                (expert for expert in experts if replicas[expert] > 1),
                key=lambda expert: Fraction(expected[expert], replicas[expert] - 1),
            )
            potentials = [potential(load) for load in state.loads()]
            slot = max(
                (slot for slot in inside if slots[slot] == expert),
                key=lambda slot: (potentials[state.gpu(slot)], -slot),
            )
            slots[slot] = EMPTY
            replicas[expert] -= 1
            here.append(slot)
        room += here
    return slots, sorted(room)


def present(previous: list[int], gpus: int, new_gpus: int, per_gpu: int) -> list[int]:
    """What each slot of other GPUs holds, of a placement in which no GPU has an expert twice.

    A GPU with fewer slots keeps experts that would have no replica: in its last empty slot, or else the
    last of an expert with another replica.
    """
    old = len(previous) // gpus
    held = [previous[gpu * old : (gpu + 1) * old] for gpu in range(min(gpus, new_gpus))]
    slots = [(row + [EMPTY] * per_gpu)[:per_gpu] for row in held]
    for row, here in zip(held, slots, strict=True):
        for expert in row[per_gpu:]:
            counts = [[*chain(*slots)].count(expert) for expert in [expert, *here]]
            spare = [i for i, count in enumerate(counts[1:]) if count > 1 and here[i] != EMPTY]
            empty = [i for i, held in enumerate(here) if held == EMPTY]
            if expert != EMPTY and counts[0] == 0 and (empty or spare):
                here[(empty or spare)[-1]] = expert
    return [*chain(*slots)] + [EMPTY] * per_gpu * (new_gpus - len(slots))


def loses_replicas(previous: list[int], gpus: int, new_gpus: int, per_gpu: int) -> bool:
    """Whether an expert is in a slot that its GPU has no more, or on a GPU that is gone."""
    old = len(previous) // gpus
    cells = [divmod(slot, old) for slot, expert in enumerate(previous) if expert != EMPTY]
    return any(gpu >= new_gpus or position >= per_gpu for gpu, position in cells)


def warm(
    history: History,
    slots: list[int],
    gpus: int,
    copies: tuple[int, int],
    price: int,
    zones: list[int] | None = None,
    nodes: int = 1,
    *,
    fill: bool = False,
    loses: bool = False,
) -> tuple[State, list[Step]]:
    """The update of a layer; ``copies`` usually, and after a shift, a loss, a repair or filling."""
    experts = len(history.rows[0])
    zones = zones or [0] * experts
    fleet = Fleet(gpus, len(slots) // gpus, zones, nodes)
    cells = wholes(history, gpus)
    state = State(cells, slots, gpus, zones, nodes)
    empty = [slot for slot, expert in enumerate(slots) if expert == EMPTY]
    changed = 0 in state.replicas or bool(empty and fill)
    if changed:
        slots, room = make_room(state, expected_loads(history), empty, fill=fill)
        slots = complete(history, fleet, slots, room)
        state = State(cells, slots, gpus, zones, nodes)
    limit = copies[1] if history.shifted or changed or loses else copies[0]
    return search(state, limit, price)
