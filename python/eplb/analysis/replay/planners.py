"""What plans in a replay: one class for each kind of setting.

A planner is asked before each window for which a placement is to be planned. It is given the windows
that came since it was last asked, and where things stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from eplb.balancer import Balancer
from eplb.history import LoadHistory
from eplb.inputs.windows import Windows
from eplb.planning import DEFAULT_POLICY, DEFAULT_POLICY_OVER_TIME, plan
from eplb.plans import Plan
from eplb.replanning import replan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.replay.trace import Trace
    from eplb.clusters import Cluster


# Policies that plan every cluster.
_EVERY_CLUSTER = {DEFAULT_POLICY, DEFAULT_POLICY_OVER_TIME}
# More windows of a file between two updates are not in memory at once.
_MOST_LISTED = 64


@dataclass(frozen=True)
class Situation:
    """Where things stand when a plan is asked for."""

    #: The window that the plan is for, from 0.
    window: int
    #: The GPUs, after what has happened to them.
    cluster: Cluster
    num_groups: int
    #: The placement in force, on the GPUs as they were; None before the first plan.
    previous: Plan | None
    #: GPUs that have lost what they held since then; those of them that are in use are back, empty.
    emptied: frozenset[int] = frozenset()
    threads: int = 1

    @property
    def held(self) -> dict[str, Any]:
        """What GPUs hold, as :func:`eplb.replan` takes it: without what those that are back have lost."""
        before = self.previous
        assert before is not None  # noqa: S101 - for the type checker
        back = [gpu for gpu in self.emptied if self.cluster.used[gpu]]
        table = np.where(np.isin(before.cluster.gpu_of_slot, back), -1, before.phy2log)
        return {"previous": table, "previous_cluster": before.cluster}

    def plan(self, load: Any, policy: str, **options: Any) -> Plan:
        """A new plan, by :func:`eplb.plan`.

        The published policies know equal GPUs alone: they plan for those in use as if these were all, as an
        engine would that starts anew on them.
        """
        cluster = self.cluster
        options |= {"policy": policy, "num_groups": self.num_groups, "threads": self.threads}
        if cluster.used.all() or policy in _EVERY_CLUSTER:
            return plan(load, cluster=cluster, **options)
        inner = plan(load, cluster=cluster.without_unused(), **options)
        table = np.full((inner.num_layers, cluster.num_slots), -1)
        table[:, cluster.used[cluster.gpu_of_slot]] = inner.phy2log
        return Plan.from_phy2log(table, cluster=cluster)

    def repaired(self, load: Any) -> Plan:
        """The placement in force with the fewest copies that the GPUs of now need."""
        assert self.previous is not None  # noqa: S101 - for the type checker
        if not self.emptied and self.previous.cluster == self.cluster:
            return self.previous
        return replan(
            load,
            **self.held,
            cluster=self.cluster,
            num_groups=self.previous.num_groups,
            max_moves=0,
            threads=self.threads,
        ).plan


class Planner(Protocol):
    """What is judged."""

    def __call__(self, windows: Sequence[Any], now: Situation, /) -> Plan:
        """The placement for the next window; ``windows`` came since the last call, oldest first."""
        ...


class Trivial:
    """The default placement of engines, repaired if GPUs are lost."""

    def __call__(self, windows: Sequence[Any], now: Situation) -> Plan:
        """The default placement at first, then what is in force."""
        if now.previous is not None:
            return now.repaired(windows[-1])
        table = now.plan(windows[-1], policy=DEFAULT_POLICY_OVER_TIME).trivial().phy2log
        return Plan.from_phy2log(table, cluster=now.cluster)


class Anew:
    """A policy that knows no placement, on the newest window at each update."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, windows: Sequence[Any], now: Situation) -> Plan:
        """A new plan of the newest window."""
        return now.plan(windows[-1], **self.options)


class Balanced:
    """``eplb.Balancer``: updates with few moves, from a history."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.balancer: Balancer | None = None

    def __call__(self, windows: Sequence[Any], now: Situation) -> Plan:
        """An update."""
        if self.balancer is None:
            self.balancer = Balancer(num_groups=now.num_groups, threads=now.threads, **self.options)
        if now.previous is None:
            return self.balancer.step(_load(windows), None, cluster=now.cluster).plan
        return self.balancer.step(_load(windows), **now.held, cluster=now.cluster).plan


def _load(windows: Sequence[Any]) -> Any:
    """Several windows as loads: a list, or those of a file if they are many, which are read again."""
    return windows if isinstance(windows, Windows) and len(windows) > _MOST_LISTED else [*windows]


class Static:
    """A plan of the first ``windows`` windows, which is kept; before it, the default placement."""

    def __init__(self, windows: int, policy: str) -> None:
        self.windows, self.policy = windows, policy
        self.seen: list[Any] = []
        self.planned = False

    def __call__(self, windows: Sequence[Any], now: Situation) -> Plan:
        """The plan, as soon as there are windows enough."""
        if self.planned:
            return now.repaired(windows[-1])
        self.seen += windows[: self.windows - len(self.seen)]
        if len(self.seen) < self.windows:
            return Trivial()(windows, now)
        self.planned = True
        made = now.plan(self.seen, policy=self.policy)
        self.seen = []
        return made


class Hindsight:
    """One plan of all windows that are judged, and the one before: nobody has it in time."""

    def __init__(self, trace: Trace, first: int) -> None:
        self.trace, self.first = trace, first

    def __call__(self, windows: Sequence[Any], now: Situation) -> Plan:
        """The one plan."""
        if now.previous is not None:
            return now.repaired(windows[-1])
        history = LoadHistory(rows=32, decay=1)
        for window in range(self.first, len(self.trace)):
            history.observe(self.trace.windows[window], threads=now.threads)
        return now.plan(history, policy=DEFAULT_POLICY_OVER_TIME)
