"""Replays a trace: settings side by side."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eplb.analysis.replay.cells import Cell, Course
from eplb.analysis.replay.events import after, events_of
from eplb.analysis.replay.figures import TimeModel
from eplb.analysis.replay.grid import Grid
from eplb.analysis.replay.kept_results import KeptResults, heading_of
from eplb.analysis.replay.results import replay_of
from eplb.analysis.replay.runners.choice import runner_of
from eplb.analysis.replay.settings import DEFAULT_SETTINGS, settings_of
from eplb.analysis.replay.snapshots import Limits
from eplb.analysis.replay.trace import trace_of
from eplb.analysis.replay.trials import refusal
from eplb.clusters import Cluster, topology_of
from eplb.errors import EplbError, Note, Parameter
from eplb.inputs.sizes import real_number, thread_count, whole_number
from eplb.text import count, short

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from os import PathLike

    from eplb.analysis.replay.results import Replay
    from eplb.analysis.replay.settings import Setting
    from eplb.analysis.replay.trace import Trace


def replay(
    trace: Any,
    settings: Any = None,
    *,
    num_gpus: int | None = None,
    num_replicas: int | None = None,
    num_groups: int = 1,
    num_nodes: int | None = None,
    cluster: Cluster | None = None,
    every: int = 1,
    warmup: int | None = None,
    events: Iterable[Any] = (),
    expert_bytes: int | None = None,
    time_model: Any = None,
    most_copies: float = 0.2,
    threads: int = 1,
    jobs: int = 1,
    ray: str | None = None,
    results: str | PathLike[str] | None = None,
    snapshots: bool = False,
) -> Replay:
    """What settings and planners would have reached on a trace: each plan is judged on the next window.

    Each setting makes its first plan after ``warmup`` windows, and an update before each later window
    (or every ``every`` windows), from what was known by then. Windows after the one that the first plan
    was for are judged. The first plan's weights are loaded at the start: they are no copies.

    Args:
        trace: loads ``[windows, layers, experts]``, oldest first, a list of tables, or what
            :func:`eplb.load_files.read_windows` returns.
        settings: texts, callables, or a dict that gives them names. A text is ``"trivial"`` (the default
            placement), a policy that plans the newest window anew at each update (``"deepseek"``,
            ``"adaptive"``, ``"minimax"``, ``"minimax:effort=fast"``), ``"multiwindow"`` (:class:`eplb.Balancer`)
            with any of its options, as ``"multiwindow:rows=8,move_price=0.005"``, ``"static"`` or
            ``"static:windows=16"`` (planned once and kept), or ``"hindsight"`` (one plan made from what is
            judged: a line to compare with, not a limit). A callable ``planner(load, previous, sizes)``
            returns phy2log ``[layers, slots]``. ``load`` is the newest window, ``previous`` the
            placement in force or None, ``sizes`` has ``num_gpus``, ``num_replicas`` and others. If it has
            a method ``observe(load)``, that gets every window first. By default a few of each.
        num_gpus: GPUs of all nodes. Needed unless ``cluster`` is given.
        num_replicas: slots per layer, as for :func:`eplb.plan`.
        num_groups: groups of experts, as for :func:`eplb.plan`.
        num_nodes: nodes, as for :func:`eplb.plan`.
        cluster: the GPUs, in the place of ``num_gpus``, ``num_replicas`` and ``num_nodes``.
        every: windows from one update to the next.
        warmup: windows before the first plan; by default 8, or a quarter of a short trace.
        events: what happens to GPUs: ``"40:dead=5"`` before window 40 is served, ``drain``, ``live`` or
            ``add``; or pairs of a window and arguments of :func:`eplb.replan`. All settings plan anew.
        expert_bytes: bytes of the weights of one expert of one layer.
        time_model: ``flat, slope, knee``: a layer takes flat + slope * max(0, max/mean - knee), in any unit.
        most_copies: the budget of the recommendation: the share of the slots that an update may fill.
        threads: threads to plan with. No answer depends on it.
        jobs: processes to run settings in. No answer depends on it. Callables must be functions of a
            module, or objects that can be pickled.
        ray: address of a Ray cluster to run settings on, such as ``"auto"``, in the place of ``jobs``. If
            ``ray.init`` was called before, its cluster is taken. No answer depends on it.
        results: a .jsonl file. A setting is written there as it ends; settings that are there are not run
            again, unless they are callables. A file with results of another trace, of other sizes, or of
            another release is refused.
        snapshots: keep the GPU loads of the worst windows of each setting, for :meth:`Replay.report`.

    Raises:
        LoadError, LoadTypeError: a window is invalid.
        TopologyError, TypeError: invalid sizes.
        EplbError: invalid settings, events or options; or a planner fails, or returns what is not a
            placement. The error names setting, window and layer.

    Time is that of planning, and O(layers * slots * log) for each window and setting. Memory is that of the
    trace, and 8 bytes for each window, layer and setting; with snapshots, tens of MB more.
    """
    run = prepare(
        trace,
        settings,
        num_gpus=num_gpus,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        cluster=cluster,
        every=every,
        warmup=warmup,
        events=events,
        expert_bytes=expert_bytes,
        time_model=time_model,
        most_copies=most_copies,
        threads=threads,
        jobs=jobs,
        ray=ray,
        results=results,
        snapshots=snapshots,
    )
    for _ in run.steps():
        pass
    return run.replay()


@dataclass
class Run:
    """A run: its cells, and the rows that are there so far."""

    trace: Trace
    course: Course
    grid: Grid
    expert_bytes: int | None
    time_model: TimeModel | None
    most_copies: float
    #: What was left out, a line each.
    notes: list[Note] = field(default_factory=list)

    @property
    def num_steps(self) -> int:
        """Rows of all cells."""
        return self.grid.num_steps

    @property
    def done(self) -> int:
        """Rows that are there."""
        return self.grid.done

    def steps(self) -> Generator[Setting, None, None]:
        """Runs all cells; yields the setting of each row, which is kept by then.

        Raises:
            EplbError, TypeError: as :meth:`Cell.rows`.
        """
        with closing(self.grid.steps()) as steps:
            for number in steps:
                yield self.grid.cells[number].setting

    def replay(self) -> Replay:
        """What there is so far."""
        settings = [cell.setting for cell in self.grid.cells]
        return replay_of(
            self.trace,
            self.course,
            [(each, rows) for each, rows in zip(settings, self.grid.rows, strict=True) if rows],
            expert_bytes=self.expert_bytes,
            time_model=self.time_model,
            most_copies=self.most_copies,
            finished=self.done == self.num_steps,
            lost={settings[number].name: why for number, why in self.grid.lost.items()},
            notes=tuple(self.notes),
        )


def prepare(
    trace: Any,
    settings: Any,
    *,
    num_gpus: int | None,
    num_replicas: int | None,
    num_groups: int,
    num_nodes: int | None,
    cluster: Cluster | None,
    every: int,
    warmup: int | None,
    events: Iterable[Any],
    expert_bytes: int | None,
    time_model: Any,
    most_copies: float,
    threads: int,
    jobs: int,
    ray: str | None,
    results: str | PathLike[str] | None,
    snapshots: bool,
) -> Run:
    """A run of which everything is checked; arguments and exceptions are those of :func:`replay`."""
    windows = trace_of(trace)
    sizes = topology_of(
        num_experts=windows.num_experts,
        num_replicas=num_replicas,
        num_groups=num_groups,
        num_nodes=num_nodes,
        num_gpus=num_gpus,
        cluster=cluster,
    )
    chosen = settings_of(DEFAULT_SETTINGS if settings is None else settings)
    before = checked_warmup(windows, warmup)
    happens = events_of(events)
    for event in happens:
        if event.window >= len(windows):
            raise EplbError(
                f"event at window {event.window}: the trace has windows 0 to {len(windows) - 1}"
            )
    gpus = Cluster.of(sizes.cluster)
    course = Course(
        gpus,
        whole_number("num_groups", num_groups),
        before,
        whole_number("every", every, EplbError),
        happens,
        thread_count(threads),
        Limits.of(len(chosen), windows.num_layers, gpus.num_gpus) if snapshots else None,
    )
    _check_events(course, windows.num_experts)
    budget = real_number("most_copies", most_copies)
    if not budget >= 0:
        raise EplbError(
            Parameter("most_copies", short(most_copies)),
            " is out of range; expected a share of the slots, for example 0.1",
        )
    chosen, notes = _able(chosen, course, windows, leave_out=settings is None)
    runner, kept = runner_of(jobs, ray), None
    if results is not None:
        heading = heading_of("replay", windows, course, cluster=course.cluster.to_dict())
        kept = KeptResults(results, heading)
    return Run(
        windows,
        course,
        Grid([Cell(setting, windows, course) for setting in chosen], runner, kept),
        None if expert_bytes is None else whole_number("expert_bytes", expert_bytes, EplbError),
        None if time_model is None else TimeModel.of(time_model),
        budget,
        notes,
    )


def _able(
    settings: list[Setting], course: Course, trace: Trace, *, leave_out: bool
) -> tuple[list[Setting], list[Note]]:
    """Those that can plan, and notes of those that are left out.

    Raises:
        EplbError, TypeError: one cannot, and none is to be left out, or none is left.
    """
    able, errors = [], []
    for setting in settings:
        error = refusal(setting, course, trace)
        if error is None:
            able.append(setting)
        elif leave_out and isinstance(error, EplbError):
            errors.append(error)
        else:
            raise error
    if not able:
        raise errors[0]
    return able, [Note("not replayed: ", *error.parts) for error in errors]


def checked_warmup(trace: Trace, warmup: int | None) -> int:
    """Windows before the first plan.

    Raises:
        EplbError, TypeError: too few, too many, or not a whole number.
    """
    before = trace.usual_warmup() if warmup is None else whole_number("warmup", warmup, EplbError)
    if before > len(trace) - 2:
        raise EplbError(
            Parameter("warmup", str(before)),
            f" is too large for {count(len(trace), 'window')}; expected at most {len(trace) - 2}",
        )
    return before


def _check_events(course: Course, num_experts: int) -> None:
    """Refuses events that no plan can follow, before anything is planned."""
    cluster = course.cluster
    for event in course.events:
        cluster, _ = after(cluster, [event])
        try:
            topology_of(
                num_experts=num_experts,
                num_gpus=None,
                num_replicas=None,
                num_groups=course.num_groups,
                num_nodes=None,
                cluster=cluster,
            )
        except EplbError as error:
            raise error.within(f"event at window {event.window}") from error
