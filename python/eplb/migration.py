"""An update of a placement: the new plan, and what leads to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.errors import EplbError
from eplb.inputs.sizes import whole_number
from eplb.plan_tables import read_only
from eplb.plans import Plan
from eplb.text import count
from eplb.transfers import Transfers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from eplb.clusters import Cluster
    from eplb.plan_tables import FloatTable, IntTable


@dataclass(frozen=True)
class MigrationColumns:
    """What the core says of each layer, as plain values, for pickle."""

    copies: list[int]
    objective: list[tuple[int, int]]
    shifted: list[bool]
    kept: list[bool]


class Migration:
    """A plan for the windows to come, and what it changes. :func:`eplb.replan` makes it.

    Arrays are read-only, with one value for each layer. ``print(migration)`` shows it on one screen.
    """

    def __init__(
        self,
        plan: Plan,
        update: _core.Migration | MigrationColumns,
        previous: IntTable,
        previous_cluster: Cluster,
        newest: _core.Loads | None,
    ) -> None:
        self._plan = plan
        self._update = update
        self._previous = previous
        self._previous_cluster = previous_cluster
        self._newest = newest
        self._before: Plan | None = None  # of a migration that was pickled

    @property
    def plan(self) -> Plan:
        """The new plan, certified for the newest window.

        An expert that stays on a GPU stays in its slot there.
        """
        return self._plan

    @property
    def previous(self) -> IntTable:
        """The placement that was in force, ``[layers, slots]``; -1 is an empty slot."""
        return self._previous

    @property
    def previous_cluster(self) -> Cluster:
        """The GPUs of the placement that was in force."""
        return self._previous_cluster

    @property
    def before(self) -> Plan | None:
        """The placement that was in force, certified for the newest window, without groups.

        It is on the GPUs as they were, but with their speeds of now, if no GPU was added or removed.
        None if it was not a whole placement: some expert had no slot.
        """
        if self._newest is None:
            return self._before
        cluster, now = self._previous_cluster, self._plan.cluster
        if cluster.num_gpus == now.num_gpus:
            cluster = cluster.changed(gpu_speed=now.gpu_speed)
        try:
            sizes = _core.Topology.of_cluster(self._plan.num_experts, 1, cluster.core)
            placement = _core.Placement.from_phy2log(sizes, self._previous)
        except EplbError:
            return None
        return Plan(placement, loads=self._newest)

    @property
    def copies(self) -> IntTable:
        """Weight copies of each layer: slots that get an expert which their GPU did not hold."""
        return read_only(np.array(self._update.copies, dtype=np.int64))

    @property
    def gain(self) -> FloatTable:
        """What the moves of each layer gain on the history, as a share; 0 if nothing moves.

        It is the share by which the norm of the GPU loads of all remembered windows falls, after
        experts without a replica got one. The norm is the eighth root of the sum of eighth powers.
        """
        objective = np.array(self._update.objective, dtype=np.float64)
        after, before = objective[:, 1], np.maximum(objective[:, 0], 1)
        return read_only(1 - (after / before) ** 0.125)

    @property
    def shifted(self) -> npt.NDArray[np.bool_]:
        """Layers whose traffic has shifted in the newest window, so that more may move."""
        return read_only(np.array(self._update.shifted, dtype=np.bool_))

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Layers in which nothing moves."""
        return read_only(np.array(self._update.kept, dtype=np.bool_))

    def transfers(self, expert_bytes: int | None = None) -> Transfers:
        """The weight copies that lead from the previous placement to the new plan, in steps.

        Args:
            expert_bytes: bytes of the weights of one expert of one layer, for sums.

        Raises:
            EplbError, TypeError: ``expert_bytes`` is not a positive whole number.
        """
        if expert_bytes is not None:
            expert_bytes = whole_number("expert_bytes", expert_bytes, EplbError)
        placement = self._plan.placement
        table = _core.transfers(
            self._previous,
            self._previous_cluster.core,
            placement.phy2log(),
            placement.topology,
        )
        return Transfers(table, expert_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        update, before = self._update, self.before
        columns = MigrationColumns(update.copies, update.objective, update.shifted, update.kept)
        return _restored, (self._plan, columns, self._previous, self._previous_cluster, before)

    def __repr__(self) -> str:
        copies = count(int(self.copies.sum()), "copy", "copies")
        return f"<eplb.Migration to {self._plan.digest()}: {copies}>"

    def __str__(self) -> str:
        return self.summary()

    def summary(self, layers: Sequence[int] | None = None) -> str:
        """The text of ``print(migration)``; ``layers`` is the hidden layer of each row, if known."""
        from eplb.summary import cluster_note, groups_note, layers_note, row

        plan, copies, kept = self._plan, self.copies, int(self.kept.sum())
        slots = plan.num_layers * plan.num_replicas
        slots_on_gpus = f"{count(plan.num_replicas, 'slot')} on {count(plan.num_gpus, 'GPU')}"
        experts = f"{count(plan.num_experts, 'expert')} in {slots_on_gpus}"
        lines = [
            f"Update of {count(plan.num_layers, 'layer')}: {experts}",
            *cluster_note(plan.cluster),
            *groups_note(plan),
            *layers_note(layers),
            row("copies", f"{copies.sum()} of {count(slots, 'slot')} ({copies.sum() / slots:.2%})"),
            row("", f"{count(plan.num_layers - kept, 'layer')} changed, {kept} kept"),
        ]
        if self.shifted.any():
            shifted = count(int(self.shifted.sum()), "layer")
            lines.append(row("shifted", f"the traffic of {shifted}, so that more may move"))
        if (made_from := plan.made_from) is not None:
            windows = count(made_from.windows, "window")
            lines.append(row("history", f"{windows}, digest {made_from.history}"))
        if copies.any():
            at = int(self.gain.argmax())
            names = range(plan.num_layers) if layers is None else layers
            figures = (
                f"mean {self.gain.mean():.2%}, largest {self.gain[at]:.2%} (layer {names[at]})"
            )
            lines.append(row("gain", f"{figures} on the history"))
            price = float(plan.options.get("move_price", 0)) * copies.sum() / slots
            lines.append(row("", f"the price of these copies: {price:.2%}"))
        return "\n".join([*lines, *self._newest_window(), row("digest", plan.digest())])

    def _newest_window(self) -> list[str]:
        """What the two placements reach on the newest window."""
        from eplb.summary import row

        layers = self._plan.loaded_layers
        if len(layers) == 0:
            return [row("newest window", "no load")]
        before = self.before
        if before is None:
            lines = [row("newest window", "the placement in force lacked experts")]
        else:
            same = self._previous_cluster == self._plan.cluster
            when = "as placed" if same else "before the change"
            lines = [row("newest window", f"{_figures(before, layers)} {when}")]
        return [*lines, row("", f"{_figures(self._plan, layers)} as updated")]


def _restored(
    plan: Plan,
    columns: MigrationColumns,
    previous: IntTable,
    previous_cluster: Cluster,
    before: Plan | None,
) -> Migration:
    """A migration from a pickle."""
    made = Migration(plan, columns, read_only(previous), previous_cluster, None)
    made._before = before  # noqa: SLF001
    return made


def _figures(plan: Plan, layers: IntTable) -> str:
    from eplb.summary import ratio

    values = plan.balancedness[layers]
    return f"balancedness mean {ratio(values.mean())}, worst {ratio(values.min())}"
