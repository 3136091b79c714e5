"""The balancer of a rebalance loop: it remembers, updates, and says what ranks can compare."""

from __future__ import annotations

from dataclasses import fields
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.cluster_changes import Changes
from eplb.clusters import topology_of
from eplb.errors import LoadError
from eplb.history import LoadHistory
from eplb.replanning import replan

if TYPE_CHECKING:
    from eplb.clusters import Cluster
    from eplb.migration import Migration
    from eplb.plan_tables import IntTable
    from eplb.plans import Plan


#: What may be said of GPUs at a step, and of the placement in force.
_CHANGES = {field.name for field in fields(Changes)} | {"previous_gpus", "previous_cluster"}


class Balancer:
    """What every rank of an engine keeps: the history of the loads, and how to update from it.

    Give each rank the same loads, summed over all ranks, and the same placement. Then all ranks get the
    same update, on every machine, and :meth:`digest` is equal. A balancer is for one model; threads may
    share it.

    It forgets its history if there are other layers, experts or GPUs than before, if a GPU is in use that
    was not or is back (``live_gpus``), or if the placement in force has empty slots on GPUs in use: then
    there may be new ranks, which remember nothing, and all ranks must plan alike.

    Args:
        rows: rows of the history; see :class:`eplb.LoadHistory`.
        decay: what a window counts after another one.
        num_groups: groups of experts; each stays on its node. By default the plan's, or 1.
        num_nodes: nodes; a cluster has its own. By default the plan's, or 1.
        move_price: what moving every slot once must gain; see :func:`eplb.replan`.
        max_moves: the most weight copies of a layer and update.
        max_moves_after_shift: the same after a shift of the traffic.
        max_copies: the most weight copies of all layers.
        threads: threads to plan with. No answer depends on it.

    Raises:
        EplbError, TypeError: invalid options of the history; the other ones are checked by
            :meth:`step`.
    """

    def __init__(
        self,
        *,
        rows: int = 16,
        decay: float = 0.98,
        num_groups: int | None = None,
        num_nodes: int | None = None,
        move_price: float = 0.01,
        max_moves: float = 0.2,
        max_moves_after_shift: float | None = None,
        max_copies: int | None = None,
        threads: int = 1,
    ) -> None:
        self._rows, self._decay = rows, decay
        self._num_nodes = num_nodes
        self._options: dict[str, Any] = {
            "move_price": move_price,
            "max_moves": max_moves,
            "max_moves_after_shift": max_moves_after_shift,
            "max_copies": max_copies,
            "threads": threads,
            "num_groups": num_groups,
        }
        self._lock = Lock()
        self._history = self._new_history()
        self._plan: Plan | None = None

    @property
    def history(self) -> LoadHistory:
        """A copy of the history."""
        with self._lock:
            return self._history.copy()

    @property
    def plan(self) -> Plan | None:
        """The newest plan; None before the first step, and after a reset."""
        return self._plan

    def reset(self) -> None:
        """Forgets everything, as if it were new. All ranks must do it at the same step."""
        with self._lock:
            self._history, self._plan = self._new_history(), None

    def digest(self) -> str:
        """16 hex digits of the history and the newest plan, which ranks can compare after a step."""
        import hashlib

        with self._lock:
            parts = ["", ""]
            if self._plan is not None:
                parts = [self._history.digest(), self._plan.digest()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def step(
        self,
        load: Any,
        previous: Any = None,
        *,
        num_gpus: int | None = None,
        num_replicas: int | None = None,
        cluster: Cluster | None = None,
        **changes: Any,
    ) -> Migration:
        """Learns from a window of loads, or several, and updates the placement in force.

        If it raises, it has learnt nothing.

        Args:
            load: ``[layers, experts]``, or ``[windows, layers, experts]``, oldest first: the loads of
                all ranks together.
            previous: the placement in force, a plan or phy2log; None if there is none, so that every
                slot gets an expert. A table is on the GPUs of the new plan.
            num_gpus: GPUs of all nodes. Needed if ``previous`` is a table or None.
            num_replicas: slots per layer. Needed if ``previous`` is None.
            cluster: the GPUs of the new plan, in the place of both.
            changes: ``dead_gpus``, ``drain_gpus`` and others, as for :func:`eplb.replan`.

        Raises:
            LoadError, LoadTypeError, TopologyError, VerificationError, EplbError, TypeError: as
            :func:`eplb.replan`.
        """
        unknown = sorted(changes.keys() - _CHANGES)
        if unknown:
            raise TypeError(f"step() got an unexpected argument {unknown[0]!r}")
        # An iterator gives its numbers once.
        sizes = {name: _list(value) for name, value in changes.items()}
        sizes |= {"num_gpus": num_gpus, "num_replicas": num_replicas}
        sizes |= {"cluster": cluster} if cluster is not None else {"num_nodes": self._num_nodes}
        threads = self._options["threads"]
        with self._lock:
            extended = self._extended(load, threads)
            history = self._begun(load, threads) if extended is None else extended
            if previous is None:
                previous = _nothing_placed(history, num_gpus, num_replicas, cluster)
            update = replan(history, previous, **sizes, **self._options)
            forgets = sizes.get("live_gpus") or not _has_same_ranks(self._plan, update)
            if extended is not None and forgets:
                history = self._begun(load, threads)
                update = replan(history, previous, **sizes, **self._options)
            self._history, self._plan = history, update.plan
            return update

    def _new_history(self) -> LoadHistory:
        return LoadHistory(rows=self._rows, decay=self._decay)

    def _begun(self, load: Any, threads: int) -> LoadHistory:
        """A history of these windows alone."""
        history = self._new_history()
        history.observe(load, threads=threads)
        return history

    def _extended(self, load: Any, threads: int) -> LoadHistory | None:
        """The history with these windows; None if there is none, or it is of another model."""
        if self._plan is None:
            return None
        history = self._history.copy()
        try:
            history.observe(load, threads=threads)
        except LoadError:  # what is wrong with the loads themselves, a new history says too
            return None
        return history


def _list(value: Any) -> Any:
    return [*value] if hasattr(value, "__next__") else value


def _has_same_ranks(newest: Plan | None, update: Migration) -> bool:
    """Whether there are as many GPUs as before, none is in use that was not, and all have what they had."""
    after, before = update.plan.cluster, update.previous_cluster
    if newest is None or newest.num_gpus != after.num_gpus or before.num_gpus != after.num_gpus:
        return False
    if (after.used & ~newest.cluster.used).any():
        return False
    in_use = after.used[before.gpu_of_slot]
    return bool((update.previous[:, in_use] >= 0).all())


def _nothing_placed(
    history: LoadHistory, num_gpus: int | None, num_replicas: int | None, cluster: Cluster | None
) -> IntTable:
    """An empty placement.

    Raises:
        TopologyError, TypeError: the sizes do not go together, or are missing.
    """
    topology = topology_of(
        num_experts=history.num_experts,
        num_gpus=num_gpus,
        num_replicas=num_replicas,
        num_groups=1,
        num_nodes=None,
        cluster=cluster,
    )
    return np.full((history.num_layers, topology.num_replicas), -1)
