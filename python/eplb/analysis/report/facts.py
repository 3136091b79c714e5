"""What a report is made of: plain values of a replay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eplb.plan_tables import FloatTable


@dataclass(frozen=True, eq=False)
class SettingFacts:
    """A setting and what it reached."""

    name: str
    #: Whether it can be had in time.
    usable: bool
    #: Whether it keeps the default placement.
    is_trivial: bool
    #: The windows that were judged.
    windows: Sequence[int]
    #: Of each of them and each layer, ``[windows, layers]``; NaN without load.
    balancedness: FloatTable
    #: Windows of which the GPU loads are known, worst first, each with ``window``, ``layers``, ``before``,
    #: ``after``, ``moved`` and ``num_moved`` (a replay's snapshots as lists).
    snapshots: Sequence[Mapping[str, Any]]


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
