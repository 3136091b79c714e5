"""What a plug-in did at one window of loads: the recorder and the metrics take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from eplb.plan_tables import IntTable

#: What was answered. ``updated``: a plan of eplb in which something moves. ``kept``: nothing is worth
#: its move. ``no load``: the window was empty. ``old map``: something failed, and the map in force
#: stays. ``own planner``: the engine's own planner answered. ``default``: something failed, and the
#: map in force is not a whole placement of the new shape, so that slot p got expert p % experts.
Decision = Literal["updated", "kept", "no load", "old map", "own planner", "default"]


@dataclass(frozen=True)
class Window:
    """A window of one model, and what was answered."""

    engine: str
    #: 0; others if the engine balances several models, as for multi-token prediction.
    model: int
    #: Windows with load of this model before it, in this process.
    number: int
    #: Seconds since 1970.
    time: float
    #: ``[layers, experts]``, int64: the tokens of all ranks.
    load: IntTable
    #: The map in force, ``[layers, slots]``, int64, -1 for an empty slot; None if there is none.
    previous: IntTable | None
    #: What was answered, ``[layers, slots]``, int64; -1 only on dead GPUs.
    phy2log: IntTable
    num_gpus: int
    num_nodes: int
    num_groups: int
    dead_gpus: tuple[int, ...]
    decision: Decision
    #: Why eplb's plan was not answered; empty if it was.
    reason: str
    #: Weight copies of all layers.
    copies: int
    #: Layers whose traffic has shifted.
    shifted: int
    #: Mean over layers with load, on this window; None if the map is not a whole placement.
    balancedness_before: float | None
    balancedness_after: float | None
    #: Planning time.
    seconds: float
    #: 16 hex digits of the plan, as ``Plan.digest`` has it; empty if it is not eplb's.
    digest: str
