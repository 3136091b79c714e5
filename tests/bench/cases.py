"""The cases of cases.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from eplb.sampling import family

if TYPE_CHECKING:
    import numpy.typing as npt

    Loads = npt.NDArray[np.int64]

FILE = Path(__file__).with_name("cases.toml")


@dataclass(frozen=True)
class Sizes:
    """Sizes of a plan."""

    layers: int
    experts: int
    slots: int
    gpus: int
    groups: int = 1
    nodes: int = 1

    def text(self) -> str:
        """For readers."""
        text = f"{self.layers} x {self.experts} -> {self.slots} slots on {self.gpus} GPUs"
        grouped = f", {self.groups} groups on {self.nodes} nodes"
        return text + grouped if self.groups > 1 else text

    def options(self) -> dict[str, Any]:
        """For ``eplb.plan``."""
        return {
            "num_replicas": self.slots,
            "num_gpus": self.gpus,
            "num_groups": self.groups,
            "num_nodes": self.nodes,
        }


@dataclass(frozen=True)
class Goal:
    """A figure, and what it should be."""

    figure: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"{self.figure}: a goal is at_most or at_least so much")

    def missed_by(self, figure: float) -> float:
        """How many times too much or too little; 1 or less where the goal is reached."""
        if self.at_most is not None:
            return figure / self.at_most
        return (self.at_least or 0.0) / figure


@dataclass(frozen=True)
class Case:
    """What is timed, on which loads, beside what."""

    name: str
    measure: str
    planner: str
    sizes: Sizes
    families: tuple[str, ...]
    goals: tuple[Goal, ...] = ()
    shown: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    #: Numbers of slots, of the measure "growth".
    ladder: tuple[int, ...] = ()

    def batches(self, per_family: int = 2) -> list[Loads]:
        """Different loads of each family, ``[layers, experts]``."""
        return [
            layers_of(name, self.sizes.layers, self.sizes.experts, seed)
            for name in self.families
            for seed in range(1, per_family + 1)
        ]

    def of_size(self, **sizes: int) -> Case:
        """The same work with other sizes."""
        return replace(self, sizes=replace(self.sizes, **sizes))


#: A family has no more layers of its own.
MOST_LAYERS = 61


def layers_of(name: str, layers: int, experts: int, seed: int) -> Loads:
    """Loads of a family; more layers than ``MOST_LAYERS`` repeat these with experts rotated."""
    loads = family(name, min(layers, MOST_LAYERS), experts, seed)
    repeats = range(-(-layers // len(loads)))
    return np.concatenate([np.roll(loads, shift, axis=1) for shift in repeats])[:layers]


def read_cases(text: str | None = None) -> list[Case]:
    """The cases of the file, or of such a text."""
    document = tomllib.loads(FILE.read_text(encoding="utf-8") if text is None else text)
    return [case_of(entry, document["families"]) for entry in document["case"]]


def case_of(entry: dict[str, Any], families: dict[str, list[str]]) -> Case:
    """A case; an unknown key is an error."""
    lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
    special = {
        "sizes": Sizes(**entry["sizes"]),
        "families": tuple(families[entry["families"]]),
        "goals": tuple(Goal(**goal) for goal in entry["goals"]),
    }
    return Case(**{**entry, **lists, **special})
