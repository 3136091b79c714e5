"""Cells as tasks of a Ray cluster.

A task is a cell. Its rows come as it ends. If its worker or node is lost, Ray runs this task again, at most
``RETRIES`` times; other tasks are not touched. Every node needs the same version of eplb.
"""

from __future__ import annotations

import logging
import pickle
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eplb import __version__
from eplb.analysis.replay.cells import Cell
from eplb.analysis.replay.runners.ray_windows import RayWindows
from eplb.analysis.replay.runners.steps import Judged, Lost
from eplb.analysis.replay.runners.worker import sendable
from eplb.errors import EplbError
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from eplb.analysis.replay.cells import Course
    from eplb.analysis.replay.runners.steps import Step
    from eplb.analysis.replay.settings import Setting
    from eplb.analysis.replay.trace import Trace

#: How often Ray runs a task again, if its worker is lost each time.
RETRIES = 3
# Seconds after which Python looks whether there was Ctrl-C.
_GLANCE = 1.0
# Seconds in which the first node of a cluster answers.
_PATIENCE = 10.0


class OnRay:
    """Runs cells on the Ray cluster at an address, as ``ray.init`` takes it."""

    def __init__(self, address: str) -> None:
        self.address = address

    def steps(self, cells: Mapping[int, Cell]) -> Generator[Step, None, None]:
        """Runs the cells; see :class:`~eplb.analysis.replay.runners.steps.Runner`."""
        import ray

        if not cells:
            return
        ours = not ray.is_initialized()
        if ours:
            _connect(self.address)
        try:
            yield from _tasks(cells)
        finally:
            if ours:
                ray.shutdown()


def _connect(address: str) -> None:
    """Connects to the cluster, and prints nothing.

    Raises:
        EplbError: nothing answers.
    """
    import ray

    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise EplbError(
            f"no Ray cluster answers at {short(address)}: {reason}",
            hint=["ray start --head starts one and says its address"],
        ) from error


def _knock(address: str) -> None:
    """Looks whether anything listens at an address of a host and a port: Ray waits for many minutes.

    Raises:
        OSError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _tasks(cells: Mapping[int, Cell]) -> Iterator[Step]:
    """Starts all tasks, and gives what they return in the order in which they end."""
    import ray

    first = next(iter(cells.values()))
    trace = replace(first.trace, windows=RayWindows.put(first.trace.windows))
    task: Any = ray.remote(
        num_cpus=first.course.threads, max_retries=RETRIES, retry_exceptions=False
    )(run_cell)
    running = {
        task.remote(__version__, cell.setting, cell.course, trace): number
        for number, cell in sorted(cells.items())
    }
    failed: tuple[int, Exception] | None = None
    try:
        while running:
            ended, _ = ray.wait([*running], num_returns=1, timeout=_GLANCE)
            for reference in ended:
                number = running.pop(reference)
                outcome = _outcome(reference)
                if isinstance(outcome, str):
                    yield Lost(number, outcome)
                elif isinstance(outcome, Exception):
                    failed = number, outcome
                    for later in [each for each, other in running.items() if other > number]:
                        del running[later]
                        ray.cancel(later, force=True)
                else:
                    yield Judged(number, outcome)
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
    if failed is not None:
        raise failed[1]


def _outcome(reference: Any) -> Any:
    """Rows, or the exception of the cell, or in words why there are neither.

    Raises:
        EplbError: the cluster cannot run cells.
    """
    import ray
    from ray import exceptions

    try:
        return pickle.loads(ray.get(reference))  # noqa: S301 - from a task of ours
    except exceptions.RayTaskError as error:
        reason = str(error.cause or error).strip().rpartition("\n")[2]
        raise EplbError(
            f"a Ray worker cannot run this: {reason}",
            hint=[f"install eplb {__version__}, and the modules of your planners, on every node"],
        ) from error
    except exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        return f"Ray gave it up after {RETRIES} retries: {type(error).__name__}: {reason}"


def run_cell(version: str, setting: Setting, course: Course, trace: Trace) -> bytes:
    """The task: the rows of a cell, or the exception that it raised, pickled.

    As bytes they do not depend on the memory of Ray's store.
    """
    try:
        if version != __version__:
            raise EplbError(
                f"a Ray worker has eplb {__version__}; expected {version}",
                hint=[f"install eplb {version} on every node"],
            )
        return pickle.dumps(tuple(Cell(setting, trace, course).rows()))
    except Exception as error:  # noqa: BLE001 - it is raised where the rows are wanted
        return pickle.dumps(sendable(error))
