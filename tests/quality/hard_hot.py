"""A few very hot experts, without and with groups: loads, goals, and a floor that proves the most of a gap.

The certificate's bound knows nothing of what stands beside a hot expert. So the gap is also told to a
*floor*: all counts of the hot experts, and all ways to put their replicas on GPUs, with the least that
may fill the other slots.
"""

from __future__ import annotations

from itertools import accumulate, product
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import eplb
import hard_loads
import numpy as np
from hard_loads import whole
from measures import CONTENDERS
from optima import EFFORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

#: Loads of single layers, slots, GPUs, and the gap that ``minimax`` ends within.
ROWS: list[tuple[list[int], int, int, float]] = [
    ([26056, 9944, *[1] * 20, *[100] * 38], 64, 4, 0.0081),
    ([26056, 9944, *[1] * 36, *[100] * 86], 128, 4, 0.0070),
    # The optimum, as HiGHS proves: 9947.
    ([26056, 9944, *[1] * 9, *[100] * 5], 20, 4, 0.0899),
    ([34180, 25873, 8951, *[120] * 25, *[20] * 36], 72, 8, 0.0055),
    ([34180, 25873, 8951, *[120] * 25, *[20] * 36], 80, 8, 0.0055),
    ([29175, 21094, 12260, 9594, *[200] * 20, *[10] * 40], 80, 8, 0.0073),
]

#: Experts, slots, GPUs, groups, nodes.
SHAPES = [
    (60, 64, 4, 1, 1),
    (64, 72, 8, 1, 1),
    (64, 80, 8, 1, 1),
    (124, 128, 4, 1, 1),
    (256, 288, 32, 1, 1),
    (256, 320, 64, 16, 8),
    (256, 320, 64, 8, 8),
    (256, 288, 32, 8, 4),
]
#: The mean gap that each contender ends within.
GOALS = {"minimax": 0.003, "minimax best": 0.001}
#: What the effort fast may be above ``deepseek``, duplicates or not.
FAST_ABOVE_DEEPSEEK = 0.01


class Case(NamedTuple):
    """A kind of loads, and sizes."""

    loads: str
    shape: tuple[int, int, int, int, int]

    def sizes(self) -> dict[str, Any]:
        """For ``eplb.plan``."""
        _, slots, gpus, groups, nodes = self.shape
        return {
            "num_replicas": slots,
            "num_gpus": gpus,
            "num_groups": groups,
            "num_nodes": nodes,
        }

    def name(self) -> str:
        """As the tables have it."""
        *sizes, groups, nodes = self.shape
        name = "/".join(map(str, sizes))
        return name if groups == 1 else f"{name}, {groups} groups on {nodes} nodes"

    def layers(self, layers: int) -> npt.NDArray[np.int64]:
        """So many layers of these loads."""
        experts, _, _, groups, _ = self.shape
        random = np.random.default_rng([experts, groups])
        return np.array([KINDS[self.loads](random, experts, groups, i) for i in range(layers)])


def hot(random: np.random.Generator, experts: int, _: int, layer: int) -> npt.NDArray[np.int64]:
    """One to four hot experts."""
    return hard_loads.hot(random, experts, layer)


def lognormal(random: np.random.Generator, experts: int, *_: int) -> npt.NDArray[np.int64]:
    """Lognormal 1.5."""
    load = random.lognormal(0, 1.5, experts)
    return whole(load, 10**7)


def zipf(random: np.random.Generator, experts: int, groups: int, _: int) -> npt.NDArray[np.int64]:
    """Zipf 1.2 inside groups, which differ."""
    ranks = 1 / np.arange(1, experts // groups + 1) ** 1.2
    weights = random.lognormal(0, 0.3, groups)
    load: npt.NDArray[np.float64] = np.concatenate(
        [weight * random.permutation(ranks) for weight in weights]
    )
    return whole(load, 10**7)


KINDS: dict[str, Callable[[np.random.Generator, int, int, int], npt.NDArray[np.int64]]] = {
    "hot": hot,
    "lognormal 1.5": lognormal,
    "zipf 1.2": zipf,
}


def cases() -> list[Case]:
    """All of them."""
    kinds = [
        (shape, ["hot"] if shape[3] == 1 else ["lognormal 1.5", "zipf 1.2"]) for shape in SHAPES
    ]
    return [Case(loads, shape) for shape, names in kinds for loads in names]


class HotRow(TypedDict):
    """Gaps of a case by a contender: to the bound, to the floor, and to ``deepseek``."""

    loads: str
    shape: str
    contender: str
    gap_mean: float
    gap_worst: float
    #: None with groups, and for efforts without a goal.
    over_floor_mean: float | None
    #: With duplicates or without.
    above_deepseek: float


def measure(case: Case, contender: str, layers: int) -> HotRow:
    """The figures of a case."""
    loads, sizes = case.layers(layers), case.sizes()
    plan = eplb.plan(loads, **sizes, **CONTENDERS[contender])
    published = eplb.plan(loads, **sizes, policy="deepseek")
    peaks = plan.gpu_load.max(axis=1)
    over = None
    if case.shape[3] == 1 and contender in GOALS:
        rows = zip(loads.tolist(), peaks.tolist(), plan.gap.tolist(), strict=True)
        over = float(np.mean([min(gap, over_floor(load, peak, case)) for load, peak, gap in rows]))
    return HotRow(
        loads=case.loads,
        shape=case.name(),
        contender=contender,
        gap_mean=float(plan.gap.mean()),
        gap_worst=float(plan.gap.max()),
        over_floor_mean=over,
        above_deepseek=float((peaks / published.gpu_load.max(axis=1)).max() - 1),
    )


def hot_rows(layers: int) -> Iterator[HotRow]:
    """All cases by all efforts."""
    return (measure(case, contender, layers) for case in cases() for contender in EFFORTS)


def hot_misses(rows: list[HotRow]) -> list[str]:
    """The goals that these rows miss; where there is a floor, the gap is to it."""
    missed = []
    for row in rows:
        name = f"{row['contender']} on {row['loads']} at {row['shape']}"
        goal = GOALS.get(row["contender"], np.inf)
        gap = row["over_floor_mean"]
        gap = row["gap_mean"] if gap is None else gap
        if gap > goal:
            missed.append(f"{name}: mean gap {gap:.3%}, {goal:.2%} is the goal")
        if row["above_deepseek"] > FAST_ABOVE_DEEPSEEK:
            missed.append(f"{name}: {row['above_deepseek']:.2%} above deepseek")
    return missed


def over_floor(load: list[int], peak: float, case: Case) -> float:
    """By how much a peak is above the floor of its layer, if it is above the mean by any."""
    _, slots, gpus, _, _ = case.shape
    # Large shapes have more ways than can be looked at; they reach the bound.
    if gpus > 8 or peak <= 1.001 * sum(load) / gpus:
        return peak / (sum(load) / gpus) - 1
    return peak / Floor(load, slots, gpus, peak).least() - 1


class Floor:
    """The least peak that the hot experts of a layer allow; nothing above ``peak`` is looked at.

    With q redundant slots for the others, at most 2q of their replicas are not whole experts. So m slots
    hold at least the m - 2q lightest of them whole, and at most the m heaviest.
    """

    def __init__(self, load: list[int], slots: int, gpus: int, peak: float) -> None:
        """Experts of a quarter of the mean and more are hot, up to four of them."""
        ordered = sorted(load, reverse=True)
        total = sum(ordered)
        hot = sum(4 * gpus * w >= total for w in ordered[:4])
        self.hot, others = ordered[:hot], ordered[hot:]
        self.redundant = slots - len(load)
        self.per_gpu, self.gpus, self.peak, self.mean = slots // gpus, gpus, peak, total / gpus
        self.lightest = [0, *accumulate(reversed(others))]
        self.heaviest = [0, *accumulate(others)]

    def least(self) -> float:
        """The least peak of all counts of the hot experts."""
        most = min(self.gpus, self.redundant + 1)
        for counts in product(range(1, most + 1), repeat=len(self.hot)):
            rest = self.redundant - sum(counts) + len(counts)
            if rest >= 0:
                shares = ((w / count, count) for w, count in zip(self.hot, counts, strict=True))
                self.place(sorted(shares, reverse=True), {(0.0, 0): self.gpus}, rest)
        return self.peak

    def place(
        self, experts: list[tuple[float, int]], alike: dict[tuple[float, int], int], rest: int
    ) -> None:
        """Put the replicas of these experts on GPUs in every way; ``alike`` counts GPUs by their hot
        load and replicas.
        """
        if not experts:
            self.peak = min(self.peak, self.bound(alike, rest))
            return
        (share, count), *later = experts
        fits = [(kind, gpus) for kind, gpus in alike.items() if kind[0] + share < self.peak]
        for taken in product(*(range(gpus + 1) for _, gpus in fits)):
            if sum(taken) != count:
                continue
            after = dict(alike)
            for ((load, held), _), gpus in zip(fits, taken, strict=True):
                if gpus:
                    after[load, held] -= gpus
                    after[load + share, held + 1] = after.get((load + share, held + 1), 0) + gpus
            self.place(later, {kind: gpus for kind, gpus in after.items() if gpus}, rest)

    def bound(self, alike: dict[tuple[float, int], int], rest: int) -> float:
        """What some GPU carries at least: those with the most hot load on average."""
        free = sum(gpus * (self.per_gpu - held) for (_, held), gpus in alike.items())
        bound, load, slots, count = self.mean, 0.0, 0, 0
        for (hot, held), gpus in sorted(alike.items(), reverse=True):
            load, count = load + hot * gpus, count + gpus
            slots += gpus * (self.per_gpu - held)
            whole = self.lightest[max(0, slots - 2 * rest)]
            left = self.heaviest[-1] - self.heaviest[min(free - slots, len(self.heaviest) - 1)]
            bound = max(bound, (load + max(whole, left)) / count)
        return bound


def planned_rows(effort: str) -> list[dict[str, Any]]:
    """The single layers, by an effort."""
    return [
        {
            "shape": f"{len(load)}/{slots}/{gpus}",
            "goal": goal,
            "gap": float(
                eplb.plan([load], num_replicas=slots, num_gpus=gpus, effort=effort).gap[0]
            ),
        }
        for load, slots, gpus, goal in ROWS
    ]
