"""How near ``minimax`` is to proven optima: of small random layers, and of all small worlds.

The random layers have no groups; HiGHS proves the best placement that has no expert twice on a GPU.
Loads are compared as fractions. The small worlds are those of rust_core/tests/small_instances.rs, which
tries every placement, and prints its table.
"""

from __future__ import annotations

import csv
import json
import subprocess
from fractions import Fraction
from itertools import chain, product
from math import lcm
from pathlib import Path
from typing import Any, NamedTuple

import eplb
from eplb.sampling import FAMILIES, family
from measures import CONTENDERS
from optimum import optimum

ROOT = Path(__file__).parents[2]
OPTIMA = Path(__file__).with_name("optima.json")
#: The head of the table of the small worlds.
HEAD = "effort,layers,exact,0.1%,1%,2%,5%,worst,flagged"
#: Contenders whose plans are compared with optima: the efforts of ``minimax``.
EFFORTS = [contender for contender in CONTENDERS if contender.startswith("minimax")]

#: Experts, slots, GPUs: HiGHS takes less than a second for nearly all of them.
SIZES = [
    (4, 6, 3),
    (5, 8, 4),
    (6, 8, 4),
    (6, 9, 3),
    (7, 9, 3),
    (8, 12, 4),
    (9, 12, 3),
    (10, 12, 4),
    (12, 16, 2),
    (20, 22, 2),
    (24, 26, 2),
    (12, 12, 6),
    (15, 15, 3),
    (16, 16, 4),
    (18, 18, 3),
]
LAYERS = 3
#: Nearly even loads: experts, slots, GPUs, and loads that ``even_load`` knows.
EVEN_SIZES = [
    (6, 10, 5),
    (8, 12, 3),
    (8, 12, 4),
    (9, 12, 3),
    (10, 15, 3),
    (12, 18, 3),
    (14, 18, 3),
    (16, 18, 3),
]
EVEN_LOADS = ["equal", "halves", "near", "steps"]
#: A few hot experts: experts, slots, GPUs, and the percent of the load that each of these carries.
HOT_SIZES = [(8, 12, 4), (9, 12, 3), (10, 12, 4), (12, 15, 3), (14, 16, 4), (12, 16, 4)]
HOT_LOADS = {
    "hot 65": [65],
    "hot 45": [45],
    "hot 65+25": [65, 25],
    "hot 48+31": [48, 31],
    "hot 34+33+19": [34, 33, 19],
    "hot 29+27+24": [29, 27, 24],
}
#: What is above the optimum by no more than these shares of it is counted.
WITHIN = [Fraction(thousandths, 1000) for thousandths in (0, 1, 10, 20, 50)]
#: Loads of the families are divided by so much: the solver's floats must tell placements apart.
SCALE = 100


class Instance(NamedTuple):
    """A layer, and the sizes of its plan."""

    sizes: tuple[int, int, int]
    loads: str
    layer: int

    def load(self) -> list[int]:
        """Loads of the experts."""
        if self.loads in EVEN_LOADS:
            return even_load(self.loads, self.sizes[0])
        if self.loads in HOT_LOADS:
            return hot_load(HOT_LOADS[self.loads], self.sizes[0])
        row = family(self.loads, LAYERS, self.sizes[0])[self.layer]
        return [int(tokens) // SCALE for tokens in row]


def instances() -> list[Instance]:
    """All of them, in order."""
    random = product(SIZES, FAMILIES, range(LAYERS))
    even = product(EVEN_SIZES, EVEN_LOADS, range(1))
    hot = product(HOT_SIZES, HOT_LOADS, range(1))
    return [Instance(*one) for one in chain(random, even, hot)]


def even_load(name: str, experts: int) -> list[int]:
    """Loads that are equal, of two sizes, within a part in ten of each other, or of three sizes."""
    loads = {
        "equal": [60] * experts,
        "halves": [100 if expert % 2 else 30 for expert in range(experts)],
        "near": [1000 + 37 * expert % 101 for expert in range(experts)],
        "steps": [50 + 10 * (expert % 3) for expert in range(experts)],
    }
    return loads[name]


def hot_load(percent: list[int], experts: int) -> list[int]:
    """Experts that carry so much of the load, and others that share what is left."""
    others = [20 + 37 * expert % 61 for expert in range(experts - len(percent))]
    total = sum(others) * 100 // (100 - sum(percent))
    return [*others, *(total * share // 100 for share in percent)]


def peak(load: list[int], phy2log: list[int], gpus: int) -> Fraction:
    """The largest GPU load."""
    shares = [Fraction(load[expert], phy2log.count(expert)) for expert in phy2log]
    slots = len(phy2log) // gpus
    return max(sum(shares[at : at + slots], Fraction(0)) for at in range(0, len(shares), slots))


def proven(instance: Instance) -> Fraction:
    """The least largest GPU load that there is without duplicates."""
    experts, slots, gpus = instance.sizes
    load = instance.load()
    phy2log, bound = optimum(load, slots, gpus, distinct=True)
    least = peak(load, phy2log, gpus)
    # Any lower one would be lower by this much: an expert has no more copies than these.
    step = Fraction(1, lcm(*range(1, min(gpus, slots - experts + 1) + 1)))
    if least - bound >= step:
        raise ValueError(f"{instance}: {least} is not proven, only {bound} is")
    return least


def planned(instance: Instance, contender: str) -> Fraction:
    """The largest GPU load of a plan."""
    _, slots, gpus = instance.sizes
    load = instance.load()
    plan = eplb.plan([load], num_replicas=slots, num_gpus=gpus, **CONTENDERS[contender])
    return peak(load, plan.phy2log[0].tolist(), gpus)


def plans(instance: Instance) -> dict[str, str]:
    """The largest GPU load by each effort."""
    return {contender: str(planned(instance, contender)) for contender in EFFORTS}


def solved(instance: Instance) -> dict[str, Any]:
    """A row of the record: fractions as text."""
    row = {**instance._asdict(), "sizes": "/".join(map(str, instance.sizes))}
    return {**row, "optimum": str(proven(instance))}


def recorded() -> list[dict[str, Any]]:
    """The optima that were proven."""
    rows: list[dict[str, Any]] = json.loads(OPTIMA.read_text(encoding="utf-8"))
    return rows


def text(rows: list[dict[str, Any]]) -> str:
    """JSON with a line for each row, so that a change of one is a change of one line."""
    return "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"


def worlds() -> list[dict[str, str]]:
    """Try all small worlds: the table that their test prints."""
    command = ["cargo", "test", "--package", "eplb-core", "--locked", "--release", "--quiet"]
    only = ["--test", "small_instances", "--", "--nocapture", "everything_against_brute_force"]
    run = subprocess.run([*command, *only], cwd=ROOT, capture_output=True, text=True)
    _, found, after = run.stdout.partition(HEAD)
    if not found:
        raise RuntimeError(f"small worlds: {run.stderr}")
    return list(csv.DictReader([HEAD, *after.splitlines()[1 : 1 + len(EFFORTS)]]))


class Ratios(NamedTuple):
    """How many plans are how near to the optimum."""

    layers: int
    #: Counts, in the order of ``WITHIN``.
    within: list[int]
    worst: Fraction


def of_rows(rows: list[dict[str, Any]]) -> dict[str, Ratios]:
    """By effort."""
    return {effort: of_ratios([ratio(row, effort) for row in rows]) for effort in EFFORTS}


def ratio(row: dict[str, Any], effort: str) -> Fraction:
    """Of the plan's largest GPU load to the optimum."""
    return Fraction(row[effort]) / Fraction(row["optimum"])


def of_ratios(ratios: list[Fraction]) -> Ratios:
    """What is told of some ratios."""
    within = [sum(ratio <= 1 + share for ratio in ratios) for share in WITHIN]
    return Ratios(len(ratios), within, max(ratios))


def of_worlds(rows: list[dict[str, str]]) -> dict[str, Ratios]:
    """By effort."""
    ratios = {}
    for effort, row in zip(EFFORTS, rows, strict=True):
        _, layers, *within, worst, _ = row.values()
        ratios[effort] = Ratios(int(layers), [int(count) for count in within], Fraction(worst))
    return ratios
