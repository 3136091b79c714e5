"""What a replay costs: seconds for 1,000 windows, and the memory beside the trace."""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import eplb
from measured import Measured

if TYPE_CHECKING:
    from cases import Case

SETTINGS = "trivial static deepseek minimax multiwindow"
WINDOWS = 1000


def measure(case: Case, windows: int = WINDOWS) -> Measured:
    """Processor time of one thread; of fewer windows, scaled to 1,000.

    Memory is the most that Python and numpy had beside the trace.
    """
    sizes = case.sizes
    trace = eplb.sampling.sample(
        seed=1, layers=sizes.layers, experts=sizes.experts, windows=windows, domains=4
    )
    options: dict[str, Any] = {"num_gpus": sizes.gpus, "num_replicas": sizes.slots}
    start = time.process_time()
    run = eplb.replay(trace, SETTINGS, **options)
    seconds = (time.process_time() - start) * WINDOWS / windows
    planning = sum(row.seconds for result in run.results for row in result.rows)
    tracemalloc.start()
    eplb.replay(trace, "multiwindow deepseek", **options)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Measured(
        {
            "s": seconds,
            "s of planning": planning * WINDOWS / windows,
            "MiB beside the trace": memory / 2**20,
        }
    )
