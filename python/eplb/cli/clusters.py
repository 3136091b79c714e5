"""Options for GPUs that are not all equal and in use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

import eplb
from eplb.cli.options import SizeOptions, listed
from eplb.cli.speeds import speeds_in
from eplb.clusters import topology_of
from eplb.text import ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.engines.target import Target

# A list of more GPUs than this is a mistake.
_MOST_GPUS = 2**20


def _gpus(text: str) -> list[int]:
    """``"5,6"`` or ``"8-15"`` as numbers."""
    return listed(text, "GPU", _MOST_GPUS)


def _slots(text: str) -> list[int]:
    """``"43,43,42"`` or ``"43x2,42"`` as numbers, one for each GPU."""
    slots: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,7})\s*(?:x\s*([0-9]{1,7})\s*)?", part, re.ASCII)
        if found is None:
            raise typer.BadParameter(
                f"{text!r} is not a list of slots; expected for example 43,43,42 or 43x2,42"
            )
        times = int(found[2] or 1)
        if len(slots) + times > _MOST_GPUS:
            raise typer.BadParameter(f"{text!r} is for more than {_MOST_GPUS} GPUs")
        slots += [int(found[1])] * times
    return slots


def _some_gpus(option: str, help_text: str) -> Any:
    """An option for numbers of GPUs."""
    return typer.Option(option, metavar="LIST", parser=_gpus, help=help_text)


Slots = Annotated[
    Any,
    typer.Option(
        "--slots",
        metavar="LIST",
        parser=_slots,
        help="Slots of each GPU, in the place of --replicas, if they differ: 43,43,42 or 43x2,42.",
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(
        "--speed",
        metavar="FILE",
        help="How fast each GPU is beside the others: a text or JSON file with a number for each, "
        "for example 1 and 0.87.",
    ),
]
Dead = Annotated[Any, _some_gpus("--dead", "GPUs that are lost, for example 5,6.")]
Drain = Annotated[Any, _some_gpus("--drain", "GPUs that are to be empty, such as 8-15.")]
Live = Annotated[Any, _some_gpus("--live", "Dead or drained GPUs that are back, empty.")]
Renumber = Annotated[
    bool,
    typer.Option(
        "--renumber",
        help="Write the plan for the GPUs in use alone, numbered anew: without dead and drained ones.",
    ),
]


def write_plan(plan: eplb.Plan, goal: Target, *, renumber: bool) -> list[str]:
    """Writes a plan, maybe for the GPUs in use alone, and returns notes."""
    written = plan.without_unused_gpus() if renumber else plan
    notes = written.write(goal)
    if written is plan:
        return notes
    gpus = ranges(np.flatnonzero(plan.cluster.used).tolist())
    last, digest = written.num_gpus - 1, written.digest()
    return [f"GPUs 0 to {last} of the file are GPUs {gpus}; its digest is {digest}", *notes]


def on_gpus(plan: eplb.Plan, speed: str | None, dead: list[int] | None) -> eplb.Plan:
    """The placement with these speeds, and without what these GPUs held.

    Raises:
        EplbError, OSError: the file of speeds cannot be read; an expert is on these GPUs only.
    """
    options = ClusterOptions(None, speed, dead, None)
    return plan.on_cluster(plan.cluster.changed(**options.changes())) if options.given else plan


@dataclass(frozen=True)
class ClusterOptions:
    """What the options say of single GPUs."""

    slots: list[int] | None
    speed: str | None
    dead: list[int] | None
    drain: list[int] | None

    @property
    def given(self) -> bool:
        """Whether any of them is given."""
        return any(value is not None for value in (self.slots, self.speed, self.dead, self.drain))

    def changes(self) -> dict[str, Any]:
        """The arguments of :func:`eplb.replan`, and of ``Cluster.changed``.

        Raises:
            EplbError, OSError: the file of speeds cannot be read.
        """
        return {
            "gpu_slots": self.slots,
            "gpu_speed": None if self.speed is None else speeds_in(self.speed),
            "dead_gpus": self.dead or (),
            "drain_gpus": self.drain or (),
        }

    def arguments(self, sizes: SizeOptions, experts: int) -> dict[str, Any]:
        """The arguments of :func:`eplb.plan` for loads of so many experts.

        Raises:
            EplbError, OSError: the options exclude each other, or speeds cannot be read.
        """
        arguments = sizes.arguments(experts)
        gpus = arguments["num_gpus"]
        if self.slots is None and gpus is None:
            raise eplb.EplbError("give --gpus, or --slots with the slots of each GPU")
        if not self.given:
            return arguments
        threads = arguments.pop("threads")
        if self.slots is None:
            equal = topology_of(num_experts=experts, cluster=None, **arguments)
            cluster = eplb.Cluster.of(equal.cluster)
        else:
            cluster = self._with_slots(sizes, arguments["num_nodes"], self.slots)
        return {
            "cluster": cluster.changed(**self.changes()),
            "num_groups": arguments["num_groups"],
            "threads": threads,
        }

    def _with_slots(self, sizes: SizeOptions, nodes: int, slots: Sequence[int]) -> eplb.Cluster:
        check_slots_alone(sizes)
        if sizes.gpus not in (None, len(slots)):
            raise eplb.EplbError(f"--slots is for {len(slots)} GPUs, but --gpus is {sizes.gpus}")
        return eplb.Cluster.uniform(len(slots), 1, nodes)


def check_slots_alone(sizes: SizeOptions) -> None:
    """Refuses numbers of all slots beside ``--slots``.

    Raises:
        EplbError
    """
    for option, value in (("--replicas", sizes.replicas), ("--redundant", sizes.redundant)):
        if value is not None:
            raise eplb.EplbError(f"give --slots or {option}, not both")
