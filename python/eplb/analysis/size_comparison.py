"""Compares numbers of GPUs and of redundant slots: what each is worth, planned by one policy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb.analysis.comparison import Figures, PlanSizes, figures_of, sizes_of
from eplb.inputs.loads import canonical_loads
from eplb.inputs.windows import has_windows, summed, windows_of
from eplb.planning import plan
from eplb.plans import certified_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb import _core
    from eplb.plans import Plan


@dataclass(frozen=True)
class SizesRow:
    """A plan of some sizes, and what it reaches."""

    sizes: PlanSizes
    policy: str | None
    digest: str
    figures: Figures
    #: Balancedness without balancing, the mean over layers with load; None if none has load.
    unbalanced: float | None
    #: Load of the busiest GPU as a share of its layer's, the mean over layers with load; or None.
    busiest_share: float | None
    milliseconds: float


class SizeComparison:
    """Plans the same loads for several sizes, by the default policy.

    Plans of several windows are judged on the sum of the windows, as by ``eplb.compare``. The
    unbalanced placement is the one that ``engine`` starts with, if that is given. Engines' metrics
    are means over ``passes``, by default over the windows.
    """

    def __init__(
        self,
        load: Any,
        threads: int = 1,
        engine: str | None = None,
        passes: Sequence[Any] | None = None,
    ) -> None:
        self._load = load
        self._passes = windows_of(load) if passes is None else passes
        self._engine = engine
        self._threads = threads
        self._judged: _core.Loads | None = None
        if has_windows(load):
            self._judged = canonical_loads(summed(load), threads)

    def row(
        self, *, num_gpus: int, num_replicas: int | None, num_groups: int, num_nodes: int
    ) -> SizesRow:
        """The plan for these sizes. Arguments and exceptions are those of :func:`eplb.plan`."""
        start = time.perf_counter()
        made = plan(
            self._load,
            num_gpus=num_gpus,
            num_replicas=num_replicas,
            num_groups=num_groups,
            num_nodes=num_nodes,
            threads=self._threads,
        )
        milliseconds = (time.perf_counter() - start) * 1000
        if self._judged is not None:
            made = certified_for(made, self._judged)
        return SizesRow(
            sizes=sizes_of(made),
            policy=made.policy,
            digest=made.digest(),
            figures=figures_of(made, self._passes),
            unbalanced=figures_of(made.trivial(self._engine)).balancedness_mean,
            busiest_share=_busiest_share(made),
            milliseconds=milliseconds,
        )


def _busiest_share(made: Plan) -> float | None:
    loads = made.gpu_load[made.loaded_layers]
    if len(loads) == 0:
        return None
    scaled = loads / loads.max(axis=1, keepdims=True)  # no sum overflows
    return float((1 / scaled.sum(axis=1)).mean())
