"""What a thread that plans costs a main thread that is busy: its time over its quiet time.

Two main threads: one computes in Python, one calls numpy, as an engine calls its kernels, which
gives the interpreter away and must get it back from the planner each time.
"""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
from measured import Measured
from planners import PLANNERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from cases import Case, Loads, Sizes
    from planners import Planner

ROUNDS = 5
#: About 40 ms each when quiet.
ADDITIONS, CALLS = 1_000_000, 100


def in_python() -> int:
    """Holds the interpreter until it is asked to give it away."""
    total = 0
    for number in range(ADDITIONS):
        total += number
    return total


VALUES = np.ones(400_000)


def in_numpy() -> float:
    """Gives the interpreter away in every call."""
    return sum(float(np.sqrt(VALUES)[0]) for _ in range(CALLS))


MAIN_THREADS: dict[str, Callable[[], float]] = {"Python": in_python, "numpy": in_numpy}


def measure(case: Case, rounds: int = ROUNDS) -> Measured:
    """Quiet milliseconds, and how many times as much beside each planner."""
    (load,) = case.batches(1)
    figures: dict[str, float] = {}
    details: dict[str, dict[str, float]] = {}
    planners = {name: PLANNERS[name] for name in (case.planner, *case.beside)}
    for kind, work in MAIN_THREADS.items():
        quiet: list[float] = []
        busy: dict[str, list[float]] = {name: [] for name in planners}
        for _ in range(rounds):
            quiet.append(seconds_of(work))
            for name, planner in planners.items():
                busy[name].append(beside(work, planner, load, case.sizes))
        figures[f"quiet ms, main thread in {kind}"] = min(quiet) * 1e3
        details[f"main thread in {kind}, quiet"] = milliseconds(quiet)
        for name, seconds in busy.items():
            figures[f"quiet times, {name}, main thread in {kind}"] = statistics.median(
                seconds
            ) / statistics.median(quiet)
            details[f"main thread in {kind}, beside {name}"] = milliseconds(seconds)
    return Measured(figures, details)


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """The range and the median of some rounds."""
    figures = {
        "minimum": min(seconds),
        "median": statistics.median(seconds),
        "maximum": max(seconds),
    }
    return {name: figure * 1e3 for name, figure in figures.items()}


def seconds_of(work: Callable[[], float]) -> float:
    """Time of the work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def beside(work: Callable[[], float], planner: Planner, load: Loads, sizes: Sizes) -> float:
    """Time of the work while another thread plans again and again."""
    planning, enough = threading.Event(), threading.Event()

    def plan() -> None:
        while not enough.is_set():
            planner(load, sizes)
            planning.set()

    thread = threading.Thread(target=plan)
    thread.start()
    planning.wait()
    try:
        return seconds_of(work)
    finally:
        enough.set()
        thread.join()
