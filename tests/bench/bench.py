"""Times the planner side by side with a numpy planner: what `make bench` prints.

Rounds are interleaved, so that a change of the machine's clock meets all alike. Exits with 1 if plans differ, or the speed-up is below the goal.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
from numpy_planner import numpy_plan

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS, EXPERTS, REPLICAS, GPUS = 58, 256, 288, 32
ROUNDS = 30
#: The least speed-up over the numpy planner of the usual kind.
GOAL = 40.0

USUAL = "numpy planner"
LOCKSTEP = "numpy planner, layers in lockstep"
OURS = "eplb deepseek"

LOAD = np.random.default_rng(20).lognormal(10, 1, (LAYERS, EXPERTS)).astype(np.int64)


def plan(policy: str, **sizes: Any) -> tuple[Any, Any, Any]:
    """All that the numpy planner gives, as arrays."""
    made = eplb.plan(LOAD, num_gpus=GPUS, num_replicas=REPLICAS, policy=policy, **sizes)
    return made.phy2log, made.rank, made.logcnt


def usual(*, lockstep: bool) -> tuple[Any, Any, Any]:
    """The numpy planner."""
    return numpy_plan(LOAD.astype(np.float64), REPLICAS, GPUS, lockstep=lockstep)


def certified() -> Any:
    """A plan with its certificate."""
    made = eplb.plan(LOAD, num_gpus=GPUS, num_replicas=REPLICAS)
    return made.gap


CONTENDERS: dict[str, Callable[[], Any]] = {
    USUAL: lambda: usual(lockstep=False),
    LOCKSTEP: lambda: usual(lockstep=True),
    OURS: lambda: plan("deepseek"),
    "eplb adaptive": lambda: plan("adaptive"),
    "eplb adaptive, 8 groups on 4 nodes": lambda: plan("adaptive", num_groups=8, num_nodes=4),
    "eplb adaptive, with its certificate": certified,
}


def timed(rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each contender."""
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, contender in CONTENDERS.items():
            start = time.perf_counter()
            contender()
            times[name].append(time.perf_counter() - start)
    return times


def plans_are_equal() -> bool:
    """Whether the numpy planners give the plan of `deepseek`, as they must without ties."""
    tables = [CONTENDERS[USUAL](), usual(lockstep=True), CONTENDERS[OURS]()]
    return all(((a == b) & (b == c)).all() for a, b, c in zip(*tables, strict=True))


def main() -> int:
    """Print the table; tell whether the goal is reached."""
    equal = plans_are_equal()
    times = timed(ROUNDS)
    fastest = {name: min(seconds) for name, seconds in times.items()}
    print(f"{LAYERS} layers, {EXPERTS} experts -> {REPLICAS} slots on {GPUS} GPUs, one thread")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    print(f"{'':<38}{'median':>11}{'fastest':>11}{'a layer':>11}{'speed-up':>10}")
    for name, seconds in times.items():
        print(
            f"{name:<38}{statistics.median(seconds) * 1e3:>8.3f} ms{fastest[name] * 1e3:>8.3f} ms"
            f"{fastest[name] / LAYERS * 1e6:>8.2f} us{fastest[USUAL] / fastest[name]:>9.1f}x"
        )
    reached, best = (fastest[name] / fastest[OURS] for name in (USUAL, LOCKSTEP))
    print("a layer and speed-up are of the fastest round: other work on a machine only slows")
    print(f"plans of the numpy planners and {OURS} equal: {'yes' if equal else 'NO'}")
    print(
        f"{OURS}: {reached:.1f}x {USUAL} (goal: {GOAL:.0f}x), {best:.1f}x with layers in lockstep"
    )
    return int(not equal or reached < GOAL)


if __name__ == "__main__":
    sys.exit(main())
