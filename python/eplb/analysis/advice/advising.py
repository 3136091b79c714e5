"""Tries numbers of GPUs and of redundant slots on a trace."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from eplb.analysis.advice.advice import Advice
from eplb.analysis.advice.choices import redundant_of
from eplb.analysis.advice.knees import PER_SLOT, knees_of
from eplb.analysis.advice.points import Point
from eplb.analysis.replay.cells import Cell, Course
from eplb.analysis.replay.figures import figures_of
from eplb.analysis.replay.grid import Grid
from eplb.analysis.replay.kept_results import KeptResults, heading_of
from eplb.analysis.replay.runners.choice import runner_of
from eplb.analysis.replay.running import checked_warmup
from eplb.analysis.replay.settings import settings_of
from eplb.analysis.replay.trace import trace_of
from eplb.clusters import Cluster, topology_of
from eplb.errors import EplbError, Note, Parameter, TopologyError
from eplb.inputs.sizes import real_number, thread_count, whole_number
from eplb.text import count, ranges, short

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from os import PathLike

    from eplb.analysis.advice.choices import Choice
    from eplb.analysis.replay.settings import Setting
    from eplb.analysis.replay.trace import Trace


def advise(
    trace: Any,
    *,
    num_gpus: Any,
    redundant: Any = None,
    setting: Any = "multiwindow",
    num_groups: int = 1,
    num_nodes: int = 1,
    every: int = 1,
    warmup: int | None = None,
    expert_bytes: int | None = None,
    per_slot: float = PER_SLOT,
    threads: int = 1,
    jobs: int = 1,
    ray: str | None = None,
    results: str | PathLike[str] | None = None,
) -> Advice:
    """How many redundant slots to take, on so many GPUs: what each number reaches on the next window.

    Each number of redundant slots on each number of GPUs is replayed as by :func:`eplb.replay`. The *knee*
    is the fewest redundant slots from which more of those that were tried bring less than ``per_slot`` of
    mean balancedness for each further slot of a GPU. Impossible sizes are left out, and named.

    Args:
        trace: loads ``[windows, layers, experts]``, oldest first, as for :func:`eplb.replay`.
        num_gpus: GPUs of all nodes: a number, or several.
        redundant: redundant slots per layer of all GPUs: a number, several, or a text such as
            ``"0,16,32"``, ``"0..96:16"`` (with a step) or ``"0..96"`` (at most nine numbers of it that go
            with the GPUs). By default from 0 to half as many as there are experts.
        setting: how to plan, as for :func:`eplb.replay`: a text or a callable.
        num_groups: groups of experts, as for :func:`eplb.plan`.
        num_nodes: nodes, as for :func:`eplb.plan`.
        every: windows from one update to the next.
        warmup: windows before the first plan; by default 8, or a quarter of a short trace.
        expert_bytes: bytes of the weights of one expert of one layer.
        per_slot: what a further slot of each GPU must bring: 0.005 is half a point of mean balancedness.
        threads: threads to plan with. No answer depends on it.
        jobs: processes to run in. No answer depends on it.
        ray: address of a Ray cluster, as for :func:`eplb.replay`.
        results: a .jsonl file to which points are written as they end, as for :func:`eplb.replay`. Points
            that are there are not run again; others may be there too.

    Raises:
        LoadError, LoadTypeError: a window is invalid.
        TopologyError: no sizes are possible. TypeError: something is of a wrong type.
        EplbError: invalid options, or a planner fails, as for :func:`eplb.replay`.

    Time and memory are those of a replay for each point.
    """
    run = prepare(
        trace,
        num_gpus=num_gpus,
        redundant=redundant,
        setting=setting,
        num_groups=num_groups,
        num_nodes=num_nodes,
        every=every,
        warmup=warmup,
        expert_bytes=expert_bytes,
        per_slot=per_slot,
        threads=threads,
        jobs=jobs,
        ray=ray,
        results=results,
    )
    for _ in run.steps():
        pass
    return run.advice()


@dataclass
class Run:
    """A run: its points, and the rows that are there so far."""

    trace: Trace
    setting: Setting
    grid: Grid
    expert_bytes: int | None
    per_slot: float
    left_out: tuple[Note, ...]

    @property
    def num_steps(self) -> int:
        """Rows of all points."""
        return self.grid.num_steps

    @property
    def done(self) -> int:
        """Points that are there with all rows."""
        return sum(map(self.grid.is_whole, range(len(self.grid.cells))))

    def steps(self) -> Generator[str, None, None]:
        """Runs all points; yields which one for each row, which is kept by then.

        Raises:
            EplbError, TypeError: as :meth:`eplb.analysis.replay.cells.Cell.rows`.
        """
        with closing(self.grid.steps()) as steps:
            for number in steps:
                yield self._name(number)

    def advice(self) -> Advice:
        """What there is so far."""
        grid, course = self.grid, self.grid.cells[0].course
        points = tuple(
            self._point(number) for number in range(len(grid.cells)) if grid.is_whole(number)
        )
        return Advice(
            self.trace.num_layers,
            self.trace.num_experts,
            course.num_groups,
            course.cluster.num_nodes,
            len(self.trace),
            course.warmup,
            course.every,
            self.setting,
            self.expert_bytes,
            self.per_slot,
            points,
            knees_of(points, self.per_slot),
            self.left_out,
            len(points) == len(grid.cells),
            {self._name(number): why for number, why in sorted(grid.lost.items())},
        )

    def _point(self, number: int) -> Point:
        cell, rows = self.grid.cells[number], self.grid.rows[number]
        cluster = cell.course.cluster
        return Point(
            cluster.num_gpus,
            cluster.num_slots - self.trace.num_experts,
            cluster.num_slots,
            self.trace.num_layers,
            self.expert_bytes,
            tuple(rows),
            figures_of(rows, self.expert_bytes),
        )

    def _name(self, number: int) -> str:
        cluster = self.grid.cells[number].course.cluster
        spare = count(cluster.num_slots - self.trace.num_experts, "redundant slot")
        return f"{count(cluster.num_gpus, 'GPU')} with {spare}"


def prepare(
    trace: Any,
    *,
    num_gpus: Any,
    redundant: Any,
    setting: Any,
    num_groups: int,
    num_nodes: int,
    every: int,
    warmup: int | None,
    expert_bytes: int | None,
    per_slot: float,
    threads: int,
    jobs: int,
    ray: str | None,
    results: str | PathLike[str] | None,
) -> Run:
    """A run of which everything is checked; arguments and exceptions are those of :func:`advise`."""
    windows = trace_of(trace)
    chosen = settings_of(setting)
    if len(chosen) != 1:
        raise EplbError(
            Parameter("setting"), f" is {count(len(chosen), 'setting')}; expected one of them"
        )
    wanted = redundant_of(redundant)
    numbers = [*num_gpus] if hasattr(num_gpus, "__iter__") else [num_gpus]
    gpus = [*dict.fromkeys(whole_number("num_gpus", number) for number in numbers)]
    if not gpus:
        raise TopologyError("there are no numbers of GPUs; give ", Parameter("num_gpus"))
    groups, nodes = whole_number("num_groups", num_groups), whole_number("num_nodes", num_nodes)
    share = real_number("per_slot", per_slot)
    if not 0 <= share < 1:
        raise EplbError(
            Parameter("per_slot", short(per_slot)),
            " is out of range; expected a difference of balancedness, for example 0.005",
        )
    before = checked_warmup(windows, warmup)
    updates, workers = whole_number("every", every, EplbError), thread_count(threads)
    cells: list[Cell] = []
    left_out: list[Note] = []
    first: EplbError | None = None
    for number in gpus:
        choice = wanted.on(number, windows.num_experts)
        left_out += _impossible(choice, number, windows.num_experts)
        for spare in choice.tried:
            try:
                sizes = topology_of(
                    num_experts=windows.num_experts,
                    num_replicas=windows.num_experts + spare,
                    num_groups=groups,
                    num_nodes=nodes,
                    num_gpus=number,
                    cluster=None,
                )
            except TopologyError as given:
                error = given.renamed(partial(_as_redundant, spare))
                first = first or error
                left_out.append(Note(*error.parts))
                continue
            course = Course(Cluster.of(sizes.cluster), groups, before, updates, (), workers)
            cells.append(Cell(chosen[0], windows, course))
    if not cells:
        if first is not None:
            raise first
        raise TopologyError(*(left_out[0].parts if left_out else _nothing(gpus)))
    runner, kept = runner_of(jobs, ray), None
    if results is not None:
        kept = KeptResults(results, heading_of("advise", windows, cells[0].course, num_nodes=nodes))
    return Run(
        windows,
        chosen[0],
        Grid(cells, runner, kept),
        None if expert_bytes is None else whole_number("expert_bytes", expert_bytes, EplbError),
        share,
        tuple(dict.fromkeys(left_out)),
    )


def _as_redundant(spare: int, parameter: Parameter) -> Parameter:
    """A number of slots as the number of redundant slots that was tried."""
    slots = parameter.name == "num_replicas" and parameter.value is not None
    return Parameter("redundant", str(spare)) if slots else parameter


def _impossible(choice: Choice, gpus: int, experts: int) -> Iterator[Note]:
    """What cannot be, a line for each reason."""
    on = f" on {count(gpus, 'GPU')}: "
    if choice.uneven:
        yield Note(
            Parameter("redundant", ranges(choice.uneven)),
            f"{on}with {count(experts, 'expert')}, the slots cannot be divided over the GPUs",
        )
    if choice.too_many:
        yield Note(
            Parameter("redundant", ranges(choice.too_many)),
            f"{on}a GPU would have more slots than the {experts} experts",
        )


def _nothing(gpus: list[int]) -> list[str | Parameter]:
    """That no number of a range goes with the GPUs."""
    return [
        Parameter("redundant"),
        " has no number that goes with ",
        Parameter("num_gpus", ",".join(map(str, gpus))),
        (
            ": the slots, experts and redundant ones, must be a multiple of the GPUs, and at most as "
            "many on each as there are experts"
        ),
    ]
