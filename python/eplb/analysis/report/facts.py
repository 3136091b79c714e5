"""What a report is made of: plain values of a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eplb.plan_tables import FloatTable


@dataclass(frozen=True, eq=False)
class SnapshotFacts:
    """A window: what its update changed, on the loads that then came."""

    window: int
    #: Layers that are kept, ascending.
    layers: Sequence[int]
    #: GPU load / the mean one, before and after the update, ``[kept layers, GPUs]``; NaN if not in use.
    before: FloatTable
    after: FloatTable
    #: Of each kept layer the experts that moved, those with most load first: the expert, its share of the
    #: load of its layer, its GPUs before and after.
    moved: Sequence[Sequence[tuple[int, float, list[int], list[int]]]]


@dataclass(frozen=True, eq=False)
class SettingFacts:
    """A setting and what it reached."""

    name: str
    #: ``"trivial"``, ``"hindsight"``, ``"callable"``, a policy and so on.
    kind: str
    #: The windows that were judged.
    windows: Sequence[int]
    #: Of each of them and each layer, ``[windows, layers]``; NaN without load.
    balancedness: FloatTable
    #: Windows of which the GPU loads are known, worst first.
    snapshots: Sequence[SnapshotFacts]

    @property
    def is_trivial(self) -> bool:
        """Whether it keeps the default placement."""
        return self.kind == "trivial"

    @property
    def usable(self) -> bool:
        """Whether it can be had in time."""
        return self.kind != "hindsight"


@dataclass(frozen=True, eq=False)
class Facts:
    """A replay."""

    #: What the trace is, such as the name of its file; may be empty.
    title: str
    #: What ``--json`` has.
    values: Mapping[str, Any]
    #: The table of the settings, as it is printed.
    headings: Sequence[str]
    cells: Sequence[Sequence[str]]
    settings: Sequence[SettingFacts]
    #: The windows in which something happens to GPUs, and what.
    events: Sequence[tuple[int, str]]
